"""What is sent of a claimed delivery: the message as it is, or what the transformation of its endpoint makes of it."""

from __future__ import annotations

from graphook.sandbox import Sandbox
from graphook.transformation import Webhook
from models.claim import Claim
from models.transformation import open_variables


async def transformed(claim: Claim, body: bytes, sandbox: Sandbox) -> Webhook:
    """The request to make. Raises `TransformationError`, and `SecretUnreadable` when no key of the ring opens the variables."""
    endpoint = claim.endpoint
    webhook = Webhook("POST", endpoint.url, body, claim.event_type, {}, channels=claim.channels)
    if endpoint.code is None:
        return webhook
    variables = open_variables(endpoint.id, endpoint.variables)
    return await sandbox.transform(endpoint.code, webhook, tenant=claim.org_id, line=claim.app_id, variables=variables, params=claim.params)
