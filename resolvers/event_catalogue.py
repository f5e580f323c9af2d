"""Operations on the whole catalogue of event types."""

from __future__ import annotations

import asyncio
from typing import Any

from graphook import event_schemas, openapi, strict_json, yaml_text
from graphook.auth import Scope
from graphook.errors import InvalidInput, InvalidInputs
from models import event_catalogue, idempotency
from models.task import TaskType
from resolvers.event_type import require_checkable
from resolvers.expected import mutation
from resolvers.task import begin
from schema.context import Info, one_of
from schema.fields import refuse
from schema.types.event_catalogue import (
    EventTypeExportOpenapiPayload,
    EventTypeFromOpenApi,
    EventTypeImportOpenApiIn,
    EventTypeImportOpenapiPayload,
)

MAX_YAML = 1024 * 1024


@mutation(EventTypeImportOpenapiPayload, Scope.MANAGE, organisation=True)
async def import_openapi(info: Info, input: EventTypeImportOpenApiIn, idempotency_key: str | None = None) -> EventTypeImportOpenapiPayload:
    """Create, change or bring back the event types that an OpenAPI document has as webhooks: all of them or, when one is wrong, none."""
    one_of(("input", "spec"), spec=input.spec, specRaw=input.spec_raw)
    caller = info.context.caller
    key = info.context.idempotency(
        info, idempotency_key, {"spec": input.spec, "specRaw": input.spec_raw, "replaceAll": input.replace_all, "dryRun": input.dry_run}
    )
    base = ("input", "spec" if input.spec_raw is None else "specRaw")
    # A thread of its own: a large document takes seconds, and everybody else is served meanwhile.
    webhooks = await asyncio.to_thread(_webhooks, input, base)
    names = [webhook.name for webhook in webhooks]
    rows = await event_catalogue.existing(caller, names)
    for webhook in webhooks:
        try:
            await require_checkable(webhook.values, rows.get(webhook.name))
        except InvalidInput as fault:
            raise InvalidInput(fault.message, _located(webhook, fault.path[2:], base), code=fault.code) from None
    archived = await event_catalogue.others(caller, names) if input.replace_all else []
    if input.dry_run:
        found = [EventTypeFromOpenApi.of(webhook.name, webhook.values) for webhook in webhooks]
        return EventTypeImportOpenapiPayload(modified=names, archived=archived, to_modify=found)

    async def add() -> str:
        await event_catalogue.write(caller, {webhook.name: webhook.values for webhook in webhooks}, archive_others=input.replace_all)
        return caller.org_id

    await idempotency.once(key, add)
    return EventTypeImportOpenapiPayload(modified=names, archived=archived)


@mutation(EventTypeExportOpenapiPayload, Scope.MANAGE, organisation=True)
async def export_openapi(info: Info, idempotency_key: str | None = None) -> EventTypeExportOpenapiPayload:
    """Write all event types that are not archived into an OpenAPI 3.1 document, which the finished task has in its data under `openapi`."""
    task = await begin(info, TaskType.SDK_GENERATE, {}, {}, idempotency_key)
    return EventTypeExportOpenapiPayload(background_task=task)


def _webhooks(data: EventTypeImportOpenApiIn, base: tuple[str, ...]) -> list[openapi.Webhook]:
    """The event types of the document. Raises `InvalidInputs` with everything that is wrong with it."""
    webhooks = openapi.read(_document(data, base), base)

    def all_faults() -> Any:
        for webhook in webhooks:
            if webhook.values["schemas"] is not None:
                for fault in event_schemas.faults(webhook.values["schemas"], ()):
                    yield InvalidInput(fault.message, _located(webhook, fault.path, base))

    refuse(all_faults())
    return webhooks


def _document(data: EventTypeImportOpenApiIn, base: tuple[str, ...]) -> Any:
    text = data.spec_raw
    if text is None:
        try:
            if len(strict_json.dumps(data.spec)) > openapi.MAX_BYTES:
                raise InvalidInputs([InvalidInput(f"spec has more than {openapi.MAX_BYTES} bytes as JSON.", base)])
        except strict_json.BadJSON as error:  # nested too deeply
            raise InvalidInputs([InvalidInput(str(error), base)]) from None
        return data.spec
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > openapi.MAX_BYTES:
        raise InvalidInputs([InvalidInput(f"specRaw has {size} bytes; {openapi.MAX_BYTES} are allowed.", base)])
    if text.lstrip().startswith("{"):
        try:
            return strict_json.loads(text)
        except strict_json.BadJSON as error:
            # YAML may begin like JSON.
            if size > MAX_YAML:
                raise InvalidInputs([InvalidInput(str(error), base)]) from None
    if size > MAX_YAML:
        raise InvalidInputs([InvalidInput(f"specRaw has {size} bytes; {MAX_YAML} are allowed in YAML.", base)])
    try:
        return yaml_text.loads(text)
    except yaml_text.BadYAML as error:
        raise InvalidInputs([InvalidInput(str(error), base)]) from None


def _located(webhook: openapi.Webhook, path: tuple[str, ...], base: tuple[str, ...]) -> tuple[str, ...]:
    """The place in the document of a place in the schemas of an event type."""
    source = webhook.sources.get(path[0]) if path else None
    return (*base, *(webhook.path if source is None else source.locate(path[1:])))
