"""A new message: from the input of a mutation to what became of it, held on the way against the schema of its event type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from graphook import tracing
from graphook.clock import now
from graphook.errors import Conflict, GraphookError, InvalidInput
from models.message import Accepted, NewMessage, Unchecked
from resolvers.payload import encoded, require_short
from resolvers.transformation import params_of
from schema.context import Info
from schema.fields import faults, given, refuse
from schema.types.message import MessageIn

# How often a message is held against a schema that has changed meanwhile.
SCHEMA_CHANGES = 5
# A few seconds are given to the request's way here, and to clocks that differ.
SOONEST, LATEST = timedelta(seconds=55), timedelta(hours=24, seconds=5)

# With the input that it is made of, and where that is among the arguments.
Item = tuple[NewMessage, MessageIn, tuple[str, ...]]


def checked(data: MessageIn, path: tuple[str, ...]) -> bytes:
    """The bytes to send. Raises `InvalidInputs` with whatever is wrong with the input."""

    def all_faults() -> Iterator[InvalidInput]:
        yield from faults(data, path)
        if (data.payload is None) == (data.raw_payload is None):
            yield InvalidInput("Give exactly one of payload and rawPayload.", (*path, "payload"))
        elif data.payload is not None and not isinstance(data.payload, dict):
            yield InvalidInput("payload is a JSON object; use rawPayload for anything else.", (*path, "payload"))
        if data.deliver_at is not None and not SOONEST <= data.deliver_at - now() <= LATEST:
            yield InvalidInput("deliverAt is not between 1 minute and 24 hours from now.", (*path, "deliverAt"))

    refuse(all_faults())
    params_of(data.transformations_params, (*path, "transformationsParams"))
    if data.raw_payload is not None:
        body = data.raw_payload.encode()
        require_short(body, (*path, "rawPayload"))
        return body
    return encoded(data.payload, (*path, "payload"))


async def hold(info: Info, new: NewMessage, data: MessageIn, path: tuple[str, ...]) -> None:
    """Raise `InvalidInputs` unless the payload fits the schema of its event type, as far as this process knows that.

    Where an application comes alongside, the schema is read anew first, so that a refusal leaves no application behind.
    """
    if data.application is not None:
        await info.context.services.payload_checks.learn(new.org_id, new.event_type)
    await info.context.services.payload_checks.hold(new, (*path, "payload" if data.raw_payload is None else "rawPayload"))


async def accept(info: Info, items: Sequence[Item]) -> list[Accepted | BaseException]:
    """Accept messages whose payloads fit the schemas that are known; what became of each. Where an event type has changed, its new schema decides."""
    services = info.context.services
    outcomes = await services.accept.submit_all([new for new, _, _ in items])
    for _ in range(SCHEMA_CHANGES):
        waiting = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Unchecked)]
        if not waiting:
            return outcomes
        for index, outcome in (await _accept_again(info, {index: items[index] for index in waiting})).items():
            outcomes[index] = outcome
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Unchecked):
            outcomes[index] = Conflict("The event type changes all the time; send the message again.", (*items[index][2], "eventType"))
    return outcomes


async def _accept_again(info: Info, items: Mapping[int, Item]) -> dict[int, Accepted | BaseException]:
    """Accept messages whose event type has changed; what became of each. A failure is that of these alone: others of their batch are accepted."""
    services = info.context.services
    outcomes: dict[int, Accepted | BaseException] = {}
    for event_type in sorted({new.event_type for new, _, _ in items.values()}):
        try:
            await services.payload_checks.learn(info.context.caller.org_id, event_type)
        except GraphookError as failure:
            outcomes |= {index: failure for index, (new, _, _) in items.items() if new.event_type == event_type}
    for index in items.keys() - outcomes.keys():
        try:
            await hold(info, *items[index])
        except GraphookError as failure:
            outcomes[index] = failure
    left = sorted(items.keys() - outcomes.keys())
    try:
        accepted = await services.accept.submit_all([items[index][0] for index in left])
    except GraphookError as failure:
        accepted = [failure] * len(left)
    return outcomes | dict(zip(left, accepted, strict=True))


def arguments_of(data: MessageIn) -> dict[str, object]:
    """What an idempotency key is held to."""
    values = given(data)
    if data.application is not None:
        values["application"] = given(data.application)
    return values


def new_message(info: Info, app: str, data: MessageIn, body: bytes) -> NewMessage:
    """The message of an input that is checked."""
    return NewMessage(
        org_id=info.context.caller.org_id,
        app=app,
        event_type=data.event_type,
        body=body,
        params=params_of(data.transformations_params, ("input", "transformationsParams")),
        event_id=data.event_id,
        channels=data.channels,
        tags=data.tags,
        retention=timedelta(days=data.payload_retention_period),
        deliver_at=data.deliver_at,
        traceparent=tracing.current(),
    )
