"""Endpoints in GraphQL."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from graphook import rules
from graphook.headers import is_sensitive
from models.delivery_policy import DeliveryPolicy as Choices
from models.endpoint import Endpoint as Row
from schema.context import Info
from schema.errors import UserError
from schema.fields import computed, field, required, value
from schema.node import Node
from schema.scalars import URL, StringMap
from schema.types.delivery_policy import DeliveryPolicy, DeliveryPolicyIn, EndpointHealth, EndpointState

_VERSION_GONE = "A relic of the contract without effect. Removed after 2027-12."


@strawberry.type(description="One header of a request or a response.")
class HttpHeader:
    name: str = field("Its name.")
    value: str | None = field("Its value; null when it is withheld.")
    masked: bool = field("Whether the value is withheld because it is sensitive.")


@strawberry.type(description="The custom headers of an endpoint (component EndpointHeadersOut).")
class EndpointHeaders:
    headers: list[HttpHeader] = field("The headers, sensitive values withheld.")
    sensitive: list[str] = field("The names whose values are withheld.")

    @classmethod
    def of(cls, row: Row) -> Self:
        found = row.header_map()
        return cls(
            headers=[
                HttpHeader(name=name, value=None if is_sensitive(name) else text, masked=is_sensitive(name)) for name, text in found.items()
            ],
            sensitive=[name for name in found if is_sensitive(name)],
        )


@strawberry.type(description="A URL of an application that messages are sent to (component EndpointOut).")
class Endpoint(Node):
    id: strawberry.ID = field("Its id: ep_ and 27 letters and digits.")
    uid: str | None = field("Your own id for it, unique within the application.")
    url: URL = field("Where messages are sent.")
    description: str = field("What it is for.")
    channels: list[str] | None = field("It gets messages of any of these channels; null for all messages.")
    filter_types: list[str] | None = field("It gets messages of these event types; null for all.")
    rate_limit: int | None = field("Messages per second.")
    version: int = field("Without effect.", deprecation_reason=_VERSION_GONE)
    metadata: StringMap = field("What you keep with it.")
    disabled: bool = field("Whether it gets nothing for now.")
    disabled_reason: str | None = field("Why it is disabled.")
    created_at: datetime = field("When it was created.")
    updated_at: datetime = field("When it was last changed.")
    row: strawberry.Private[Row]

    @computed("What it chose of how it is delivered to.")
    def delivery_policy(self) -> DeliveryPolicy:
        return DeliveryPolicy.of(Choices(**(self.row.delivery_policy or {})))

    @computed("How it is doing.")
    async def health(self, info: Info) -> EndpointHealth:
        row = self.row
        chosen = (row.delivery_policy or {}).get("breaker")
        breaker = info.context.services.settings.breaker if chosen is None else chosen
        opened = await info.context.loaders.breakers.load(row.id) if breaker else None
        if opened is not None:
            state = EndpointState.HALF_OPEN if opened.half_open else EndpointState.OPEN
        else:
            state = EndpointState.HEALTHY if row.failing_since is None else EndpointState.FAILING
        open_until = opened.open_until if opened is not None and not opened.half_open else None
        return EndpointHealth(state=state, failing_since=row.failing_since, open_until=open_until)

    @computed("The custom headers, sensitive values withheld.")
    def headers(self) -> EndpointHeaders:
        return EndpointHeaders.of(self.row)

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            uid=row.uid,
            url=URL(row.url),
            description=row.description,
            channels=row.channels,
            filter_types=row.filter_types,
            rate_limit=row.rate_limit,
            version=row.version,
            metadata=StringMap(row.metadata),
            disabled=row.disabled,
            disabled_reason=row.disabled_reason,
            created_at=row.created_at,
            updated_at=row.updated_at,
            row=row,
        )


@strawberry.type(description="What a receiver verifies with (component EndpointSecretOut).")
class EndpointSecret:
    key: str = field("`whsec_…`, or the public `whpk_…` of an asymmetric key.")


@strawberry.input(description="All that can be updated of an endpoint (component EndpointUpdate).")
class EndpointUpdate:
    url: URL = required("Where messages are sent: https, or http where the operator allows it.", rules.Text(1, 65_536))
    uid: str | None = value("Your own id for it, unique within the application.", rules.UID, default=None)
    description: str = value("What it is for.", rules.DESCRIPTION, default="")
    channels: list[str] | None = value("Only messages of any of these channels.", rules.ENDPOINT_CHANNELS, default=None)
    filter_types: list[str] | None = value(
        "Only messages of these event types; those that it does not have yet must exist.", rules.FILTER_TYPES, default=None
    )
    rate_limit: int | None = value("Messages per second.", rules.RATE_LIMIT, default=None)
    delivery_policy: DeliveryPolicyIn | None = value("How it is delivered to.", default=None)
    version: int | None = value("Without effect.", rules.VERSION, default=1)
    disabled: bool = value("Whether it gets nothing for now.", default=False)
    metadata: StringMap | None = value("What you keep with it; nothing when absent.", rules.METADATA, absent=dict, nullable=False)


@strawberry.input(description="A new endpoint (component EndpointIn).")
class EndpointIn(EndpointUpdate):
    secret: str | None = value("What signs its messages: 24 to 75 bytes in base64; made for you when absent.", rules.SECRET, default=None)
    headers: StringMap | None = value("Custom headers of every request.", default=None)


@strawberry.input(description="Changes to an endpoint: what is absent stays, null clears (component EndpointPatch).")
class EndpointPatch:
    url: URL | None = value("Where messages are sent.", rules.Text(1, 65_536), nullable=False)
    uid: str | None = value("Your own id for it; null forgets it.", rules.UID)
    description: str | None = value("What it is for.", rules.DESCRIPTION, nullable=False)
    channels: list[str] | None = value("Only messages of any of these channels; null for all.", rules.ENDPOINT_CHANNELS)
    filter_types: list[str] | None = value("Only messages of these event types; null for all.", rules.FILTER_TYPES)
    rate_limit: int | None = value("Messages per second; null for none.", rules.RATE_LIMIT)
    delivery_policy: DeliveryPolicyIn | None = value("How it is delivered to: what is absent in it stays, null is inherited again.")
    version: int | None = value("Without effect.", rules.VERSION, nullable=False)
    disabled: bool | None = value("Whether it gets nothing for now.", nullable=False)
    metadata: StringMap | None = value("What you keep with it.", rules.METADATA, nullable=False)
    secret: str | None = value("A new secret; the old one signs on for a day. Null changes nothing.", rules.SECRET)


@strawberry.input(description="The custom headers of an endpoint (component EndpointHeadersIn).")
class EndpointHeadersIn:
    headers: StringMap = required("Every header, by name.")


@strawberry.input(description="One header to set or to remove.")
class HttpHeaderPatch:
    name: str = required("Its name.")
    value: str | None = value("Its value; null removes it.", default=None)


@strawberry.input(description="Changes to the custom headers of an endpoint (component EndpointHeadersPatchIn).")
class EndpointHeadersPatchIn:
    headers: list[HttpHeaderPatch] = required("Headers to set, or to remove with a null value.")


@strawberry.input(description="How to rotate a secret (component EndpointSecretRotateIn).")
class EndpointSecretRotateIn:
    key: str | None = value("The new secret; made for you when absent.", rules.SECRET, default=None)
    grace_period_seconds: int = value("How long the old secret signs on.", rules.GRACE_SECONDS, default=86_400)


@strawberry.type(description="What endpointCreate did.")
class EndpointCreatePayload:
    endpoint: Endpoint | None = field("The endpoint, unless there are errors.", default=None)
    created: bool = field("False when the idempotency key repeats an earlier request.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What endpointUpdate did.")
class EndpointUpdatePayload:
    endpoint: Endpoint | None = field("The endpoint, unless there are errors.", default=None)
    created: bool = field("Whether there was none before.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What endpointPatch did.")
class EndpointPatchPayload:
    endpoint: Endpoint | None = field("The endpoint, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What endpointUpdateHeaders did.")
class EndpointUpdateHeadersPayload(EndpointPatchPayload):
    pass


@strawberry.type(description="What endpointPatchHeaders did.")
class EndpointPatchHeadersPayload(EndpointPatchPayload):
    pass


@strawberry.type(description="What endpointRotateSecret did.")
class EndpointRotateSecretPayload(EndpointPatchPayload):
    pass


@strawberry.type(description="What endpointDelete did.")
class EndpointDeletePayload:
    deleted_id: strawberry.ID | None = field("The id of what is gone, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)
