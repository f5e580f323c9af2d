"""Operations on the transformations of endpoints."""

from __future__ import annotations

import strawberry

from graphook import strict_json
from graphook.auth import Capability, Scope
from graphook.errors import Forbidden, InvalidInput, InvalidInputs, Overloaded
from graphook.transformation import TransformationError, Webhook
from models.application import Application
from models.endpoint import Endpoint
from models.organisation_settings import OrganisationSettings
from models.transformation import Transformation as Row
from resolvers.endpoint import told
from resolvers.expected import mutation
from schema.context import Info
from schema.fields import check, given
from schema.types.transformation import (
    EndpointPatchTransformationPayload,
    EndpointSimulateTransformationPayload,
    EndpointTransformation,
    EndpointTransformationIn,
    EndpointTransformationSimulateIn,
    TransformationSimulation,
)

MAX_PARAMS = 65_536
# What is wrong with the code itself, whatever it is given.
_FAULTS = ("SYNTAX", "NO_HANDLER")
# What code is tried on that belongs to no endpoint.
SAMPLE = Webhook("POST", "https://example.com/", b"{}", "example", {})


async def get(info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID) -> EndpointTransformation:
    """The JavaScript that deliveries to an endpoint pass; without code where there is none."""
    info.context.caller.require(Scope.READ)
    endpoint = await Endpoint.load(await Application.load(info.context.caller, str(app_id)), str(endpoint_id))
    return EndpointTransformation.of(await Row.of(endpoint))


@mutation(EndpointPatchTransformationPayload, Scope.MANAGE, Capability.MANAGE_TRANSFORMATIONS)
async def patch(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: EndpointTransformationIn
) -> EndpointPatchTransformationPayload:
    """Change the code that deliveries to an endpoint pass, its variables, or whether it is enabled. The next attempt follows it, retries too."""
    check(input)
    await require_offered(info)
    app = await Application.load(info.context.caller, str(app_id))
    endpoint = await Endpoint.load(app, str(endpoint_id))
    if input.code:
        await check_code(info, input.code, ("input", "code"))
    row = await Row.change(endpoint, given(input))
    return await told(info, EndpointPatchTransformationPayload(transformation=EndpointTransformation.of(row)))


@mutation(EndpointSimulateTransformationPayload, Scope.MANAGE, Capability.MANAGE_TRANSFORMATIONS)
async def simulate(
    info: Info,
    app_id: strawberry.ID,
    endpoint_id: strawberry.ID,
    input: EndpointTransformationSimulateIn,
    idempotency_key: str | None = None,
) -> EndpointSimulateTransformationPayload:
    """Run code as a delivery to the endpoint would run it, and show what would be sent. Nothing is written or sent."""
    info.context.idempotency(info, idempotency_key, {})
    check(input)
    await require_offered(info)
    app = await Application.load(info.context.caller, str(app_id))
    endpoint = await Endpoint.load(app, str(endpoint_id))
    return EndpointSimulateTransformationPayload(simulation=await simulated(info, input, endpoint.url, app.id))


async def simulated(info: Info, input: EndpointTransformationSimulateIn, url: str, app_id: str = "") -> TransformationSimulation:
    """What the code would send to that URL, for an application where it is one's. Raises what a caller is told."""
    webhook = Webhook("POST", url, json_object(input.payload, ("input", "payload")), input.event_type, {}, channels=input.channels)
    try:
        made = await info.context.services.sandbox.transform(
            input.code,
            webhook,
            tenant=info.context.caller.org_id,
            line=app_id,
            variables=input.variables or {},
            params=params_of(input.transformations_params, ("input", "transformationsParams")),
        )
    except TransformationError as error:
        raise failed(error) from error
    return TransformationSimulation.of(made)


def failed(error: TransformationError, path: tuple[str, ...] = ("input", "code")) -> Exception:
    """What a caller is told of a transformation that failed."""
    if error.code == "UNAVAILABLE":
        return Overloaded(error.message)
    return InvalidInput(error.message, path, code="TRANSFORMATION_FAILED")


def params_of(value: object, path: tuple[str, ...]) -> str | None:
    """What a message says to transformations, as text. Raises `InvalidInputs`."""
    if value is None:
        return None
    text = json_object(value, path)
    if len(text) > MAX_PARAMS:
        raise InvalidInputs([InvalidInput(f"{path[-1]} has {len(text)} bytes as JSON; {MAX_PARAMS} are allowed.", path)])
    return text.decode()


def json_object(value: object, path: tuple[str, ...]) -> bytes:
    """An object as JSON text. Raises `InvalidInputs`."""
    if not isinstance(value, dict):
        raise InvalidInputs([InvalidInput(f"{path[-1]} is a JSON object.", path)])
    try:
        return strict_json.dumps(value)
    except strict_json.BadJSON as error:
        raise InvalidInputs([InvalidInput(str(error), path)]) from None


async def require_offered(info: Info) -> None:
    """Raise `Forbidden` where the organisation does not let the caller write code."""
    caller = info.context.caller
    if caller.app_id is not None and not (await OrganisationSettings.load(caller.org_id)).shown.get("enable_transformations"):
        raise Forbidden("The organisation's settings do not let tokens of one application write transformations (enableTransformations).")


async def check_code(info: Info, code: str, path: tuple[str, ...]) -> None:
    """Raise `InvalidInput` for code that cannot run at all, by running it on an empty payload."""
    try:
        await info.context.services.sandbox.transform(code, SAMPLE, tenant=info.context.caller.org_id)
    except TransformationError as error:
        if error.code in _FAULTS:
            raise failed(error, path) from error
