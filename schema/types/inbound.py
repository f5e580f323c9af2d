"""Inbound URLs in GraphQL."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from graphook import rules
from graphook.inbound import InboundScheme
from models.inbound import Inbound as Row
from schema.errors import UserError
from schema.fields import enumeration, field, required, value

enumeration(
    InboundScheme,
    "How a provider signs what it sends to an inbound URL.",
    {
        InboundScheme.NONE: "It does not; the URL is the only secret.",
        InboundScheme.STANDARD_WEBHOOKS: "Standard Webhooks: webhook-signature, with whsec_ or whpk_.",
        InboundScheme.GITHUB: "GitHub: X-Hub-Signature-256.",
        InboundScheme.STRIPE: "Stripe: Stripe-Signature.",
        InboundScheme.SHOPIFY: "Shopify: X-Shopify-Hmac-Sha256.",
    },
)


@strawberry.type(description="How an application takes the webhooks of others.")
class Inbound:
    app_id: strawberry.ID = field("The application.")
    scheme: InboundScheme = field("How what comes is verified.")
    has_url: bool = field("Whether there is a URL; inboundRotateUrl makes one and shows it.")
    updated_at: datetime = field("When it was last changed.")

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            app_id=strawberry.ID(row.app_id),
            scheme=InboundScheme(row.scheme),
            has_url=row.token_hash is not None,
            updated_at=row.updated_at,
        )


@strawberry.input(description="How to verify what comes to an inbound URL.")
class InboundIn:
    scheme: InboundScheme = required("How the provider signs.")
    secret: str | None = value("What it signs with; none for the scheme NONE.", rules.Text(secret=True), default=None)


@strawberry.type(description="An inbound URL that is valid now (component RotatedUrlOut).")
class RotatedUrl:
    url: str = field("Where the provider posts to. It is a secret.")


@strawberry.type(description="What inboundRotateUrl did.")
class InboundRotateUrlPayload:
    rotated_url: RotatedUrl | None = field("The URL, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What inboundUpdate did.")
class InboundUpdatePayload:
    inbound: Inbound | None = field("How webhooks are taken now, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)
