"""A generation: a background task that asks a model, what the model is told, and its answer as far as it has come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from graphook import generation, strict_json
from graphook.auth import Caller
from graphook.completion import Failure
from graphook.errors import InvalidInput, LimitExceeded, NotFound
from graphook.event_schemas import newest
from graphook.generation import Message as Said
from graphook.rules import short
from graphook.schema_check import BadSchema
from graphook.schema_example import NoExample, example
from models.event_type import EventType
from models.message import Message
from models.task import GENERATIONS, Task, TaskType, cancel_task

# The type of a webhook that is about no event type.
SOME_TYPE = "example.event"


@dataclass(frozen=True, slots=True)
class Draft:
    """The present answer of a generation: how often the work was taken up, the number of the answer, and its text so far.

    The work is taken up again after its worker died; then, and for a repair, the model is asked anew and the number goes up.
    """

    taken: int = 0
    answer: int = 0
    text: str = ""

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        return cls(state.get("taken", 0), state.get("answer", 0), state.get("text", ""))

    @classmethod
    def of_row(cls, row: Task) -> Self:
        """That of a task, which keeps the text of a finished one with its result."""
        found = cls.of(row.state)
        contents = [choice["message"]["content"] for choice in row.data.get("choices", ()) if choice["index"] == 0]
        return cls(found.taken, found.answer, contents[0]) if contents else found

    @property
    def state(self) -> dict[str, Any]:
        """What the task keeps of it."""
        return {"taken": self.taken, "answer": self.answer, "text": self.text}


@dataclass(frozen=True, slots=True)
class Brief:
    """What a model is told, and the webhook that its code is tried on; `real` when its payload is a message's, which only the message keeps."""

    messages: Sequence[Said]
    event_type: str = SOME_TYPE
    payload: Any = None
    real: bool = False


async def load(caller: Caller, generation_id: str) -> Task:
    """The caller's generation of that id. Raises `NotFound`, also for a task of another kind."""
    unknown = NotFound(f"There is no generation {short(generation_id)}.", ("id",))
    try:
        row = await Task.load(caller, generation_id)
    except NotFound:
        raise unknown from None
    if row.type not in GENERATIONS:
        raise unknown
    return row


async def cancel(row: Task) -> list[str]:
    """End a generation that still runs; its worker stops within a second. Answers with the endpoints that are to be told."""
    return await cancel_task(row.id, {"error": "It was canceled.", "code": Failure.CANCELED.value})


async def brief_of(org_id: str, kind: TaskType, arguments: Mapping[str, Any], limit: int) -> Brief:
    """What the model is told for a task's arguments. Raises `NotFound`, `InvalidInput` (no payload any more), and `LimitExceeded` beyond so many bytes."""
    if kind is TaskType.TEMPLATE_GENERATE:
        brief = await _of_transformation(org_id, arguments)
    else:
        brief = Brief(generation.for_schema(arguments["prompt"], arguments["examples"]))
    size = generation.size(brief.messages)
    if size > limit:
        raise LimitExceeded(f"The model would be told {size} bytes; {limit} are allowed.", ("input",))
    return brief


async def _of_transformation(org_id: str, arguments: Mapping[str, Any]) -> Brief:
    name, payload, data = arguments["event_type"], None, {}
    if arguments["message_id"] is not None:
        message = await _message(arguments["app_id"], arguments["message_id"])
        name = name or message.event_type
        # Only when it is asked for: it leaves the service.
        payload = await _payload(message) if arguments["include_payload"] else None
        data = {"eventType": name, "example": payload}
    row = None if name is None else await EventType.filter(org_id=org_id, name=name).first()
    if row is None and arguments["event_type"] is not None:
        raise NotFound(f"There is no event type {short(name)}.", ("input", "eventType"))
    if row is not None:
        version = newest(row.schemas)
        schema = row.schemas[version] if row.schemas and version is not None else None
        if payload is None and schema is not None:
            payload = await _example(schema)
        data = {"eventType": row.name, "description": row.description, "schema": schema, "example": payload}
    said = generation.for_transformation(arguments["prompt"], data)
    return Brief(said, name or SOME_TYPE, {} if payload is None else payload, arguments["include_payload"])


async def _message(app_id: str, message_id: str) -> Message:
    found = await Message.load_many(app_id, [message_id])
    if message_id not in found:
        raise NotFound(f"There is no message {short(message_id)} in this application.", ("input", "messageId"))
    return found[message_id]


async def _payload(message: Message) -> Any:
    body = (await Message.contents([message])).get(message.id)
    if body is None:
        raise InvalidInput("The message's payload has expired or was expunged.", ("input", "messageId"), code="MISSING_PAYLOAD")
    return strict_json.loads(body)


async def _example(schema: dict[str, Any]) -> Any:
    """The schema's first example, else one that is made from it, else None."""
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    try:
        # A thread of its own: looking for one may take a second.
        return await asyncio.to_thread(example, schema)
    except (NoExample, BadSchema):
        return None
