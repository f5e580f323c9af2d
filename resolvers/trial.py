"""Operations that try a message out: who would get it, whether anybody would, and sending it to one endpoint while the caller waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import strawberry

from graphook import rules
from graphook.auth import Scope
from graphook.clock import now_us
from graphook.errors import Conflict, InvalidInput, Overloaded
from graphook.headers import is_sensitive
from graphook.ids import new_id
from graphook.transformation import TransformationError, Webhook
from models import allowance, idempotency
from models.application import Application
from models.attempt import Attempt
from models.endpoint import Endpoint as EndpointRow
from models.message import Message as MessageRow
from models.page import PageRequest
from models.request import request_headers
from models.transformation import Transformation
from models.trial import is_listened_to
from models.where import Where
from resolvers.expected import mutation
from resolvers.new_message import arguments_of, checked, new_message
from resolvers.transformation import params_of
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.fields import check_value
from schema.types.attempt import MessageAttempt
from schema.types.endpoint import Endpoint, HttpHeader
from schema.types.message import MessageIn
from schema.types.transformation import TransformationSimulation
from schema.types.trial import MessageDryRun, MessagePrecheck, MessageTestAttemptPayload

# Transformations of one dry run at the same time: a page may have hundreds.
TOGETHER = 2


async def dry_run(
    info: Info,
    app_id: strawberry.ID,
    input: MessageIn,
    paging: Paging,
) -> Connection[MessageDryRun]:
    """Which endpoints would get a message, with which headers, and why others would not, by endpoint id. Nothing is written or sent.

    How many that run transformations may be made in a minute is limited for each organisation, as test attempts are.
    """
    caller, settings = info.context.caller, info.context.services.settings
    caller.require(Scope.READ)
    body = checked(input, ("input",))
    await _require_fit(info, input, body)
    request = paging.request("ep_")
    app = await Application.load(caller, str(app_id))
    message_id, at = new_id("msg_"), now_us()
    sees_secrets = caller.may(Scope.SECRETS)

    def header(name: str, text: str) -> HttpHeader:
        masked = is_sensitive(name) or (name.endswith("-signature") and not sees_secrets)
        return HttpHeader(name=name, value=None if masked else text, masked=masked)

    page = await EndpointRow.page(app, request, descending=False)
    reasons = {row.id: row.refusal(input.event_type, input.channels) for row in page.items}
    made = await _transformed(info, [row for row in page.items if reasons[row.id] is None], input, body)

    def shown(row: EndpointRow) -> MessageDryRun:
        found = made.get(row.id)
        webhook = found if isinstance(found, Webhook) else None
        failed = found if isinstance(found, TransformationError) else None
        sends = reasons[row.id] is None and failed is None and not (webhook and webhook.cancel)
        headers = [] if failed or (webhook and webhook.cancel) else request_headers(row, message_id, body, at, settings, webhook)
        return MessageDryRun(
            endpoint=Endpoint.of(row),
            would_send=sends,
            reason=reasons[row.id],
            headers=[header(*pair) for pair in headers],
            transformed=TransformationSimulation.of(webhook) if webhook and sees_secrets else None,
            transformation_error=failed.message if failed else None,
        )

    return connection(page, shown)


async def _transformed(info: Info, rows: Sequence[EndpointRow], input: MessageIn, body: bytes) -> dict[str, Webhook | TransformationError]:
    """What the transformations of those endpoints that have one make of a message, by endpoint id."""
    services, org_id = info.context.services, info.context.caller.org_id
    some = asyncio.Semaphore(TOGETHER)
    params = params_of(input.transformations_params, ("input", "transformationsParams"))

    async def one(row: EndpointRow, transformation: Transformation) -> Webhook | TransformationError:
        webhook = Webhook("POST", row.url, body, input.event_type, {}, channels=input.channels)
        try:
            async with some:
                return await services.sandbox.transform(
                    transformation.code or "",
                    webhook,
                    tenant=org_id,
                    line=row.app_id,
                    variables=transformation.variable_map(),
                    params=params,
                )
        except TransformationError as error:
            return error

    enabled = await Transformation.enabled_of([row.id for row in rows])
    chosen = [row for row in rows if row.id in enabled]
    if chosen:
        await allowance.draw(f"dry_run:{org_id}", services.settings.test_attempts_per_minute, "dry runs with transformations")
    made = await asyncio.gather(*(one(row, enabled[row.id]) for row in chosen))
    return {row.id: found for row, found in zip(chosen, made, strict=True)}


async def precheck(
    info: Info,
    app_id: strawberry.ID,
    event_type: Annotated[str, strawberry.argument(description="The event type of the message.")],
    channels: Annotated[list[str] | None, strawberry.argument(description="Its channels.")] = None,
) -> MessagePrecheck:
    """Whether any endpoint would get such a message, so that an expensive payload need not be made for nobody."""
    info.context.caller.require(Scope.READ)
    check_value(rules.EVENT_TYPE, event_type, ("eventType",))
    if channels is not None:
        check_value(rules.MESSAGE_CHANNELS, channels, ("channels",))
    app = await Application.load(info.context.caller, str(app_id))
    return MessagePrecheck(active=await is_listened_to(app.id, event_type, channels))


@mutation(MessageTestAttemptPayload, Scope.SEND, organisation=True)
async def attempt(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: MessageIn, idempotency_key: str | None = None
) -> MessageTestAttemptPayload:
    """Send a message to one endpoint now, whatever its filters say, and answer with the attempt: one try, at most 8 seconds.

    The message and the attempt are recorded like any others. How many may be made in a minute is limited for each organisation.
    """
    services, caller = info.context.services, info.context.caller
    body = checked(input, ("input",))
    if input.deliver_at is not None:
        raise InvalidInput("A test attempt is made at once.", ("input", "deliverAt"))
    app = await Application.load(caller, str(app_id))
    endpoint = await EndpointRow.load(app, str(endpoint_id))
    key = info.context.idempotency(info, idempotency_key, {"endpoint": endpoint.id, "input": arguments_of(input)})
    earlier = await idempotency.earlier(key)
    if earlier is None:
        await _require_fit(info, input, body)
    elif (made := await _made(app, endpoint, earlier)) is not None:
        return MessageTestAttemptPayload(message_attempt=MessageAttempt.of(made))
    endpoint.require_enabled()
    await allowance.draw(f"test:{caller.org_id}", services.settings.test_attempts_per_minute, "test attempts")
    new = new_message(info, app.id, input, body)
    new.key, new.fan_out, new.endpoint_id = key, False, endpoint.id
    accepted = await services.accept.submit(new)
    # Also when it is repeated: the process that accepted it may have died before it could send.
    sent = await services.trial.send(await MessageRow.load(app, accepted.message_id), endpoint, body, new.params)
    made = await _made(app, endpoint, accepted.message_id)
    if made is None and sent:
        raise Overloaded(
            "It could not be sent now, for its transformation could not be run or its secret not be read; the message is sent as soon as it can."
        )
    if made is None:
        raise Conflict("The attempt of this idempotency key is still under way.", ("idempotencyKey",))
    return MessageTestAttemptPayload(message_attempt=MessageAttempt.of(made))


async def _require_fit(info: Info, data: MessageIn, body: bytes) -> None:
    path = ("input", "payload" if data.raw_payload is None else "rawPayload")
    await info.context.services.payload_checks.require_fit(info.context.caller.org_id, data.event_type, body, path)


async def _made(app: Application, endpoint: EndpointRow, message_id: str) -> Attempt | None:
    """The latest attempt of a message at an endpoint."""
    where = Where().equal("a.message_id", message_id).equal("a.app_id", app.id).equal("a.endpoint_id", endpoint.id)
    return next(iter((await Attempt.page(where, PageRequest(limit=1))).items), None)
