"""Connecting a channel by OAuth, in GraphQL."""

from __future__ import annotations

from datetime import datetime

import strawberry

from graphook import rules
from models.oauth_state import OauthProvider
from schema.errors import UserError
from schema.fields import enumeration, field, required, value
from schema.scalars import URL, StringMap
from schema.types.endpoint import Endpoint
from schema.types.transformation import VARIABLES

enumeration(
    OauthProvider,
    "Who makes incoming webhooks by OAuth.",
    {OauthProvider.SLACK: "Slack.", OauthProvider.DISCORD: "Discord."},
)

_REDIRECT_URI = "The page that the provider sends people back to, one of those that the operator allows."
_STATE = "The state that came back with the code; needed by tokens of an application, and where templateOauthStart began it."


@strawberry.input(description="Where to begin.")
class TemplateOauthStartIn:
    provider: OauthProvider = required("Who is asked.")
    redirect_uri: str = required(_REDIRECT_URI, rules.REDIRECT_URI)
    app_id: strawberry.ID | None = value("The application that an endpoint is to be made in, if it is known.", default=None)


@strawberry.type(description="Where a person is asked whether they agree.")
class OauthAuthorization:
    url: URL = field("Open it in the person's browser. It holds a state that works once, with this token only.")
    expires_at: datetime = field("Until when.")


@strawberry.input(description="What a provider sent a person back with (component OauthPayloadIn).")
class OauthPayloadIn:
    code: str = required("The code.", rules.OAUTH_CODE)
    redirect_uri: str = required(_REDIRECT_URI, rules.REDIRECT_URI)
    state: str | None = value(_STATE, rules.OAUTH_STATE, default=None)


@strawberry.type(description="What a code was exchanged for (component OauthPayloadOut).")
class OauthExchange:
    incoming_webhook_url: URL | None = field("Where messages are sent; a secret. Null when there is an error.")
    channel: str | None = field("The channel they come out in: its name (Slack) or its id (Discord).")
    error: str | None = field("A word for what went wrong, the provider's own where it has one.")


@strawberry.input(description="What a provider sent a person back with, and the endpoint that is to be made of it.")
class TemplateOauthInstantiateIn:
    provider: OauthProvider = required("Who was asked.")
    code: str = required("The code.", rules.OAUTH_CODE)
    redirect_uri: str = required(_REDIRECT_URI, rules.REDIRECT_URI)
    state: str | None = value(_STATE, rules.OAUTH_STATE, default=None)
    template_id: strawberry.ID | None = value(
        "The template whose code messages pass; the built-in one of the provider when absent.", default=None
    )
    variables: StringMap | None = value("What the code finds in webhook.env.", VARIABLES, default=None)
    uid: str | None = value("Your own id for the endpoint, unique within the application.", rules.UID, default=None)
    description: str = value("What the endpoint is for; the provider and the channel when empty.", rules.DESCRIPTION, default="")
    filter_types: list[str] | None = value(
        "Only messages of these event types; those of the template when absent.", rules.FILTER_TYPES, default=None
    )
    channels: list[str] | None = value("Only messages of any of these channels.", rules.ENDPOINT_CHANNELS, default=None)


@strawberry.type(description="What templateOauthInstantiate did.")
class TemplateOauthInstantiatePayload:
    endpoint: Endpoint | None = field("The endpoint, unless there are errors.", default=None)
    channel: str | None = field("The channel that its messages come out in: its name (Slack) or its id (Discord).", default=None)
    errors: list[UserError] = field("Why nothing was made.", default_factory=list)


@strawberry.type(description="What templateOauthStart did.")
class TemplateOauthStartPayload:
    authorization: OauthAuthorization | None = field("Where to go, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was begun.", default_factory=list)


@strawberry.type(description="What templateOauthSlack did.")
class TemplateOauthSlackPayload:
    oauth_exchange: OauthExchange | None = field("What the provider answered, unless there are errors.", default=None)
    errors: list[UserError] = field("Why the provider was not asked.", default_factory=list)


@strawberry.type(description="What templateOauthDiscord did.")
class TemplateOauthDiscordPayload:
    oauth_exchange: OauthExchange | None = field("What the provider answered, unless there are errors.", default=None)
    errors: list[UserError] = field("Why the provider was not asked.", default_factory=list)
