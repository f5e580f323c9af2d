"""Payloads against the schemas of their event types, with the compiled schemas that a process keeps."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from graphook import strict_json
from graphook.clock import to_us
from graphook.errors import InvalidInput, InvalidInputs
from graphook.event_schemas import newest
from graphook.schema_check import BadSchema, SchemaCheck
from models.event_type import EventType
from models.message import EventTypeState, NewMessage

KEPT = 1000


class PayloadChecks:
    """One per process. What it keeps may be stale: `Message.accept` decides whether it was right, and `learn` brings it up to date."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[tuple[str, str], tuple[EventTypeState, SchemaCheck | None]] = OrderedDict()

    async def hold(self, message: NewMessage, path: tuple[str, ...]) -> None:
        """Hold a message's payload against the schema that is known for its event type, and note in the message which that was.

        Raises `InvalidInputs` with paths within the payload, which is at `path`.
        """
        message.must_fit = True
        key = message.org_id, message.event_type
        while True:
            state, check = self._known.get(key, (None, None))
            if state is not None:
                self._known.move_to_end(key)
            # A thread of its own: a large payload takes a while, and everybody else is served meanwhile.
            faults = [] if check is None else await asyncio.to_thread(_faults, check, message.body)
            if not faults:
                message.fits = state
                return
            await self.learn(*key)
            if self._known.get(key, (None, None))[0] == state:  # not refused by a schema that has changed since
                what = f"The payload does not fit the schema of {message.event_type}: "
                raise InvalidInputs([InvalidInput(f"{what}{text}", (*path, *where)) for text, where in faults])

    async def require_fit(self, org_id: str, event_type: str, body: bytes, path: tuple[str, ...]) -> None:
        """Hold a payload against the schema that its event type has now. Raises as `hold`."""
        await self.learn(org_id, event_type)
        await self.hold(NewMessage(org_id, "", event_type, body), path)

    async def learn(self, org_id: str, name: str) -> None:
        """Read an event type's schema anew. Raises `InvalidInput` when nothing can be held against it."""
        row = await EventType.filter(org_id=org_id, name=name, archived=False, validate_payload=True).first()
        if row is None:
            self._known.pop((org_id, name), None)
            return
        version = newest(row.schemas)
        check = None
        if row.schemas is not None and version is not None:
            try:
                check = await asyncio.to_thread(SchemaCheck, row.schemas[version])
            except BadSchema as error:  # two changes at once: the schema, and that payloads must fit it
                what = f"Nothing can be held against the schema of {name}: {error.message}."
                raise InvalidInput(what, ("input", "eventType")) from None
        self._known[org_id, name] = EventTypeState(row.id, to_us(row.updated_at)), check
        self._known.move_to_end((org_id, name))
        while len(self._known) > self._kept:
            self._known.popitem(last=False)


def _faults(check: SchemaCheck, body: bytes) -> list[tuple[str, tuple[str, ...]]]:
    try:
        value = strict_json.loads(body)
    except strict_json.BadJSON as error:
        return [(f"it cannot be read. {error}", ())]
    return check.faults(value)
