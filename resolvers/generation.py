"""Operations that let a model write, and that show what it writes."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any

import strawberry

from graphook import database, rules, strict_json
from graphook.auth import Scope
from graphook.errors import InvalidInput, LimitExceeded, NotConfigured
from graphook.llm import missing_settings
from models import allowance, generation, idempotency
from models.application import Application
from models.generation import Draft, brief_of
from models.message import Message
from models.task import GENERATIONS, Task, TaskStatus, TaskType
from resolvers.expected import lookup, mutation
from schema.context import Info
from schema.fields import check, given
from schema.types.generation import (
    MAX_EXAMPLES,
    EventTypeGenerateSchemaIn,
    EventTypeGenerateSchemaPayload,
    GenerateIn,
    Generation,
    GenerationCancelPayload,
    GenerationEvent,
    TemplateGeneratePayload,
)

_CURSOR = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")


@mutation(TemplateGeneratePayload, Scope.MANAGE, organisation=True)
async def template(info: Info, input: GenerateIn, idempotency_key: str | None = None) -> TemplateGeneratePayload:
    """Let the operator's model write the code of a transformation, and try it on the example. Watch it with the subscription `generation`.

    It is told the request, the contract of a handler, and the event type's description, schema and example: no secrets, and no payload of a
    message unless `includePayload` is true.
    """
    check(input)
    app_id = message_id = None
    if input.message_id is not None:
        if input.event_type is not None:
            raise InvalidInput("Give eventType or messageId: a message has its event type.", ("input", "eventType"))
        if input.app_id is None:
            raise InvalidInput("messageId needs the appId of its application.", ("input", "appId"))
        app = await Application.load(info.context.caller, str(input.app_id), ("input", "appId"))
        message = await Message.load(app, str(input.message_id), ("input", "messageId"))
        app_id, message_id = app.id, message.id
    elif input.include_payload:
        raise InvalidInput("includePayload needs a messageId.", ("input", "includePayload"))
    elif input.app_id is not None:
        raise InvalidInput("appId is that of a message; it needs the messageId.", ("input", "appId"))
    arguments = {
        "prompt": input.prompt,
        "event_type": input.event_type,
        "app_id": app_id,
        "message_id": message_id,
        "include_payload": input.include_payload,
    }
    return TemplateGeneratePayload(
        generation=await _start(info, TaskType.TEMPLATE_GENERATE, arguments, {"input": given(input)}, idempotency_key)
    )


@mutation(EventTypeGenerateSchemaPayload, Scope.MANAGE, organisation=True)
async def schema(info: Info, input: EventTypeGenerateSchemaIn, idempotency_key: str | None = None) -> EventTypeGenerateSchemaPayload:
    """Let the operator's model write a JSON Schema, draft 2020-12, which all examples fit. Watch it with the subscription `generation`.

    An answer that is no such schema is sent back once, with what is wrong.
    """
    check(input)
    examples = list(input.examples or ())
    if input.prompt is None and not examples:
        raise InvalidInput("Give a prompt, examples or both.", ("input", "prompt"))
    if len(examples) > MAX_EXAMPLES:
        raise InvalidInput(f"examples has {len(examples)} items; at most {MAX_EXAMPLES} are allowed.", ("input", "examples"))
    for index, example in enumerate(examples):
        _require_storable(example, ("input", "examples", str(index)))
    arguments = {"prompt": input.prompt or "", "examples": examples}
    return EventTypeGenerateSchemaPayload(
        generation=await _start(info, TaskType.EVENT_TYPE_GENERATE_SCHEMA, arguments, {"input": given(input)}, idempotency_key)
    )


@mutation(GenerationCancelPayload, Scope.MANAGE, organisation=True)
async def cancel(info: Info, id: strawberry.ID) -> GenerationCancelPayload:
    """End a generation: the model is stopped within a second, and what it had written stays. One that has ended is left as it is."""
    row = await generation.load(info.context.caller, str(id))
    info.context.services.wake("deliver", await generation.cancel(row))
    info.context.services.attempts.wake(row.id)
    return GenerationCancelPayload(generation=Generation.of(await generation.load(info.context.caller, row.id)))


@lookup
async def get(info: Info, id: strawberry.ID) -> Generation | None:
    """The generation of that id; null when there is none."""
    return Generation.of(await generation.load(info.context.caller, str(id)))


async def watch(
    info: Info,
    id: strawberry.ID,
    after: Annotated[
        str | None, strawberry.argument(description="The cursor of the last event that was read; from the beginning without it.")
    ] = None,
) -> AsyncGenerator[GenerationEvent, None]:
    """A generation while the model writes: the text so far, then what comes. Completes when it is finished or failed."""
    info.context.caller.require(Scope.READ)
    answer, length = _place(after)
    shown = None
    begun = await generation.load(info.context.caller, str(id))
    watched = info.context.services.attempts.watch(begun.org_id, begun.id, lambda: generation.load(info.context.caller, begun.id))
    async for row in watched:
        draft = Draft.of_row(row)
        restarted = draft.answer != answer or length > len(draft.text)
        text = draft.text if restarted else draft.text[length:]
        if text or restarted or row.status != shown:
            # What began before there was anything to read is not void.
            void, answer, length, shown = restarted and length > 0, draft.answer, len(draft.text), row.status
            yield GenerationEvent(cursor=f"{answer}.{length}", text=text, restarted=void, generation=Generation.of(row))
        if row.status != TaskStatus.RUNNING.value:
            return


async def _start(
    info: Info, kind: TaskType, arguments: Mapping[str, Any], given: Mapping[str, Any], idempotency_key: str | None
) -> Generation:
    caller, settings = info.context.caller, info.context.services.settings
    key = info.context.idempotency(info, idempotency_key, given)
    # Before anything is checked: what it began stays begun, whatever has gone since.
    begun = await idempotency.earlier(key)
    if begun is not None:
        return Generation.of(await Task.load(caller, begun))
    # What can be refused is refused now, and not by the task.
    await brief_of(caller.org_id, kind, arguments, settings.llm_prompt_limit)
    missing = missing_settings(settings)
    if missing:
        raise NotConfigured(f"No model is configured: the operator must set {' and '.join(missing)}.")

    bucket, per_minute = f"generate:{caller.org_id}", settings.generations_per_minute

    async def add() -> str:
        async with database.transaction():
            # The row of the allowance is held until the end: others of this organisation count after us.
            await allowance.draw(bucket, per_minute, "generations")
            if await Task.outstanding(caller.org_id, GENERATIONS) >= settings.generations_outstanding:
                raise LimitExceeded(
                    f"{settings.generations_outstanding} generations of this organisation wait or are worked on; wait for one to end."
                )
            return (await Task.start(caller.org_id, kind, arguments)).id

    await allowance.ready(bucket, per_minute)
    generation_id = await idempotency.once(key, add)
    info.context.services.wake("generate", [generation_id])
    return Generation.of(await Task.load(caller, generation_id))


def _require_storable(example: Any, path: tuple[str, ...]) -> None:
    if not rules.is_storable(example):
        raise InvalidInput("The example holds characters that cannot be stored.", path)
    try:
        strict_json.dumps(example)
    except strict_json.BadJSON as error:  # nested too deeply
        raise InvalidInput(str(error), path) from None


def _place(cursor: str | None) -> tuple[int, int]:
    """The number of the answer and the length of its text that a cursor stands for. Raises `InvalidInput`."""
    if cursor is None:
        return 0, 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InvalidInput(f"{rules.short(cursor)} is no cursor of a generation.", ("after",))
    return int(found[1]), int(found[2])
