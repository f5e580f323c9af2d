"""Access in GraphQL: tokens for the portal, who a token is, and the end of tokens."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from graphook import rules
from graphook.auth import Caller, Capability, Scope
from schema.errors import UserError
from schema.fields import enumeration, field, required, value
from schema.scalars import URL
from schema.types.application import Application, ApplicationIn

enumeration(
    Capability,
    "What a token for the portal may do.",
    {
        Capability.VIEW_BASE: "See endpoints, messages, attempts and event types. Every token has it.",
        Capability.VIEW_ENDPOINT_SECRET: "See the secrets of endpoints.",
        Capability.MANAGE_ENDPOINT_SECRET: "Rotate the secrets of endpoints.",
        Capability.MANAGE_TRANSFORMATIONS: "Change the transformations of endpoints.",
        Capability.CREATE_ATTEMPTS: "Resend, recover and replay messages.",
        Capability.MANAGE_ENDPOINT: "Create, change and delete endpoints; move consumers of the message stream.",
    },
    name="AppPortalCapability",
)
enumeration(
    Scope,
    "What a token may do.",
    {
        Scope.READ: "Look at everything but secrets.",
        Scope.MANAGE: "Create, change and delete.",
        Scope.SEND: "Send and resend messages.",
        Scope.SECRETS: "See and rotate the secrets of endpoints.",
    },
    name="TokenScope",
)


@strawberry.enum(description="What a token speaks for.")
class TokenKind(Enum):
    ORGANISATION = strawberry.enum_value("org", description="The whole organisation.")
    APPLICATION = strawberry.enum_value("app", description="One application, such as a person in its portal.")
    INTEGRATION = strawberry.enum_value("integ", description="One application, for an integration.")


@strawberry.type(description="Who asks: what the token of this request stands for.")
class Whoami:
    token_id: strawberry.ID = field("The id of the token, which is no secret.")
    kind: TokenKind = field("What it speaks for.")
    organisation_id: strawberry.ID = field("Its organisation.")
    app_id: strawberry.ID | None = field("Its one application; null for a token of the whole organisation.")
    scopes: list[Scope] = field("What it may do.")
    capabilities: list[Capability] | None = field("What it may do in the portal; null for a token that its scopes alone limit.")
    feature_flags: list[str] = field("Which event types it sees beyond those that all see.")
    session_id: str | None = field("The session it belongs to.")
    expires_at: datetime | None = field("When it ends; null for never.")

    @classmethod
    def of(cls, caller: Caller) -> Whoami:
        return cls(
            token_id=strawberry.ID(caller.token_id),
            kind=TokenKind(caller.kind),
            organisation_id=strawberry.ID(caller.org_id),
            app_id=None if caller.app_id is None else strawberry.ID(caller.app_id),
            scopes=[scope for scope in Scope if scope in caller.scopes],
            capabilities=None if caller.capabilities is None else [item for item in Capability if item in caller.capabilities],
            feature_flags=sorted(caller.feature_flags),
            session_id=caller.session_id,
            expires_at=caller.expires_at,
        )


@strawberry.input(description="What a token for an application's portal may do, and for how long (component AppPortalAccessIn).")
class AppPortalAccessIn:
    capabilities: list[Capability] | None = value("What it may do; absent, everything that your own token may.", nullable=False)
    expiry: int | None = value("How many seconds it is valid; null means the default.", rules.PORTAL_EXPIRY, default=604_800)
    feature_flags: list[str] | None = value("Which event types it sees beyond those that all see.", rules.FEATURE_FLAGS, nullable=False)
    session_id: str | None = value("What appTokensExpireAll finds it by, such as your own session's id.", rules.SESSION_ID, default=None)
    application: ApplicationIn | None = value("Creates the application when there is none; its uid must equal appId.", default=None)


@strawberry.type(description="A way into an application's portal (component AppPortalAccessOut).")
class AppPortalAccess:
    url: URL = field("A link that works once, within ten minutes. Give it to nobody but the person who asked.")
    token: str = field("The token itself, for a portal that is embedded.")


@strawberry.type(description="A way into an application's portal, under its old name (component DashboardAccessOut).")
class DashboardAccess:
    url: URL = field("A link that works once, within ten minutes.")
    token: str = field("The token itself.")


@strawberry.input(description="The one-time token of a link (component OneTimeTokenIn).")
class OneTimeTokenIn:
    one_time_token: str = required("What stands behind #key= in the link.", rules.ONE_TIME_TOKEN)


@strawberry.type(description="What a one-time token was exchanged for (component OneTimeTokenOut).")
class OneTimeToken:
    token: str = field("The token to go on with. It is shown once.")
    capabilities: list[Capability] = field("What it may do.")


@strawberry.input(description="Which tokens of an application to end, and when (component ApplicationTokenExpireIn).")
class ApplicationTokenExpireIn:
    expiry: int | None = value("How many seconds they stay valid; null for none.", rules.EXPIRE_SECONDS, default=None)
    session_ids: list[str] | None = value("Only those of these sessions; absent, all.", rules.SESSION_IDS, nullable=False)


@strawberry.type(description="What appPortalAccessCreate did.")
class AppPortalAccessCreatePayload:
    app_portal_access: AppPortalAccess | None = field("The link and the token, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What dashboardAccessCreate did.")
class DashboardAccessCreatePayload:
    dashboard_access: DashboardAccess | None = field("The link and the token, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What oneTimeTokenExchange did.")
class OneTimeTokenExchangePayload:
    one_time_token: OneTimeToken | None = field("The token, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What appTokensExpireAll did.")
class AppTokensExpireAllPayload:
    application: Application | None = field("The application, unless there are errors.", default=None)
    expired: int = field("How many tokens and links it was; 0 when the idempotency key repeats an earlier request.", default=0)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What logout did.")
class LogoutPayload:
    token_id: strawberry.ID | None = field("The id of the token that is no longer valid, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)
