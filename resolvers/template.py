"""Operations on templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import strawberry

from graphook.auth import Capability, Scope
from graphook.errors import InvalidInput, InvalidInputs
from graphook.rules import short
from graphook.transformation import TransformationError
from models import built_in_template, idempotency
from models.application import Application
from models.event_type import EventType
from models.template import PREFIX
from models.template import Template as Row
from resolvers.endpoint import OfTemplate, create_in, told
from resolvers.expected import lookup, mutation
from resolvers.transformation import SAMPLE, check_code, failed, require_offered, simulated
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.fields import check, check_value, given
from schema.scalars import StringMap
from schema.types.endpoint import EndpointIn
from schema.types.ordering import Ordering
from schema.types.template import (
    Template,
    TemplateCreatePayload,
    TemplateDeletePayload,
    TemplateIn,
    TemplateInstantiatePayload,
    TemplatePatch,
    TemplatePatchPayload,
    TemplateSimulatePayload,
    TemplateUpdate,
    TemplateUpdatePayload,
    TransformationSimulateIn,
)
from schema.types.transformation import VARIABLES


@lookup
async def get(info: Info, id: strawberry.ID) -> Template | None:
    """The template of that id, the organisation's or a built-in one; null when there is none."""
    return Template.of(await Row.load(info.context.caller, str(id)))


async def page(
    info: Info,
    paging: Paging,
    order: Ordering = Ordering.ASCENDING,
) -> Connection[Template]:
    """The templates: the built-in ones, then the organisation's, oldest first."""
    info.context.caller.require(Scope.READ)
    request = paging.request(PREFIX)
    found = await Row.page(info.context.caller, request, descending=order is Ordering.DESCENDING)
    return connection(found, Template.of)


@mutation(TemplateCreatePayload, Scope.MANAGE, organisation=True)
async def create(info: Info, input: TemplateIn, idempotency_key: str | None = None) -> TemplateCreatePayload:
    """Create a template. What endpoints get from it is a copy: later changes do not reach them."""
    check(input)
    caller, values, was_new = info.context.caller, given(input), False
    key = info.context.idempotency(info, idempotency_key, {"input": values})
    if await idempotency.earlier(key) is None:
        await _check(info, values)

    async def add() -> str:
        nonlocal was_new
        was_new = True
        return (await Row.add(caller, values)).id

    template_id = await idempotency.once(key, add)
    return TemplateCreatePayload(template=Template.of(await idempotency.made(Row.load(caller, template_id))), created=was_new)


@mutation(TemplateUpdatePayload, Scope.MANAGE, organisation=True)
async def update(info: Info, id: strawberry.ID, input: TemplateUpdate) -> TemplateUpdatePayload:
    """Replace all of a template; a name that is blank or absent stays."""
    check(input)
    values = given(input)
    if not values["name"].strip():
        del values["name"]
    return TemplateUpdatePayload(template=await _change(info, id, values))


@mutation(TemplatePatchPayload, Scope.MANAGE, organisation=True)
async def patch(info: Info, id: strawberry.ID, input: TemplatePatch) -> TemplatePatchPayload:
    """Change parts of a template."""
    check(input)
    return TemplatePatchPayload(template=await _change(info, id, given(input)))


@mutation(TemplateDeletePayload, Scope.MANAGE, organisation=True)
async def delete(info: Info, id: strawberry.ID) -> TemplateDeletePayload:
    """Delete a template. Endpoints keep the code that they got from it."""
    row = await Row.load(info.context.caller, str(id))
    await row.remove()
    return TemplateDeletePayload(deleted_id=strawberry.ID(row.id))


@mutation(TemplateInstantiatePayload, Scope.MANAGE)
async def instantiate(
    info: Info,
    app_id: strawberry.ID,
    template_id: strawberry.ID,
    input: EndpointIn,
    variables: Annotated[
        StringMap | None, strawberry.argument(description=f"What the code finds in webhook.env: {VARIABLES.describe()}.")
    ] = None,
    idempotency_key: str | None = None,
) -> TemplateInstantiatePayload:
    """Create an endpoint whose messages pass a copy of the template's code. Unless it asks for event types itself, it gets those of the template."""
    app = await Application.load(info.context.caller, str(app_id))
    check_value(VARIABLES, variables or {}, ("variables",))

    async def load() -> Row:
        row = await Row.load(info.context.caller, str(template_id), ("templateId",))
        await check_variables(info, app, row, variables or {}, ("variables",))
        return row

    endpoint, created = await create_in(info, app, input, idempotency_key, OfTemplate(str(template_id), load, variables))
    return await told(info, TemplateInstantiatePayload(endpoint=endpoint, created=created))


@mutation(TemplateSimulatePayload, Scope.MANAGE, Capability.MANAGE_TRANSFORMATIONS)
async def simulate(info: Info, input: TransformationSimulateIn, idempotency_key: str | None = None) -> TemplateSimulatePayload:
    """Run code that is meant for a template, and show what would be sent to an endpoint made of it. Nothing is written or sent."""
    info.context.idempotency(info, idempotency_key, {})
    check(input)
    await require_offered(info)
    caller = info.context.caller
    return TemplateSimulatePayload(simulation=await simulated(info, input, SAMPLE.url, caller.app_id or ""))


async def check_variables(info: Info, app: Application, template: Row, variables: Mapping[str, str], path: tuple[str, ...]) -> None:
    """Raise what is wrong with the variables of a built-in template, by trying it with them. What others look for, nobody knows."""
    known = built_in_template.variables_of(template.id)
    if known is None or not variables:
        return
    unknown = [name for name in variables if name not in known]
    if unknown:
        listed = " and ".join(known)
        raise InvalidInputs(
            [
                InvalidInput(f"{template.name} knows no variable {short(name)}; it knows {listed}.", (*path, name[:40]))
                for name in unknown[:9]
            ]
        )
    try:
        await info.context.services.sandbox.transform(template.transformation, SAMPLE, tenant=app.org_id, line=app.id, variables=variables)
    except TransformationError as error:
        raise failed(error, path) from error


async def _change(info: Info, id: strawberry.ID, values: dict[str, Any]) -> Template:
    row = await Row.load(info.context.caller, str(id))
    await _check(info, values, row)
    return Template.of(await row.change(values))


async def _check(info: Info, values: dict[str, Any], before: Row | None = None) -> None:
    if values.get("filter_types"):
        kept = None if before is None else before.filter_types
        await EventType.require_known(info.context.caller, values["filter_types"], ("input", "filterTypes"), kept=kept)
    if "transformation" in values:
        await check_code(info, values["transformation"], ("input", "transformation"))
