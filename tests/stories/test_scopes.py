"""Which operations each scope opens, and which are the organisation's alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.arguments import of_every_operation
from tests.conftest import mint, organisation_of
from tests.deployment import Deployment
from tests.tenant import Refused, Tenant

# What any token may ask or do about itself.
OWN = {"Whoami", "Logout", "OneTimeTokenExchange"}
# What gives away more than one scope needs all that it gives away.
SEVERAL = {
    "AppPortalAccessCreate", "InboundUpdate", "InboundRotateUrl", "IntegrationKey", "IntegrationRotateKey", "MessageStreamPoll",
}  # fmt: skip
SEND = {
    "EndpointBulkReplay", "EndpointRecover", "EndpointReplayMissing", "EndpointSendExample", "MessageAttemptResend", "MessageBroadcast",
    "MessageCreate", "MessageCreateBatch", "MessageTestAttempt",
}  # fmt: skip
SECRETS = {"EndpointRotateSecret", "EndpointSecret", "OperationalEndpointRotateSecret", "OperationalEndpointSecret"}
MANAGE = {
    "AppTokensExpireAll", "ApplicationCreate", "ApplicationDelete", "ApplicationPatch", "ApplicationPurgeContent", "ApplicationUpdate",
    "DashboardAccessCreate", "EndpointCreate", "EndpointDelete", "EndpointPatch", "EndpointPatchHeaders", "EndpointPatchTransformation",
    "EndpointSimulateTransformation", "EndpointUpdate", "EndpointUpdateHeaders", "EnvironmentImport", "EnvironmentUpdateSettings",
    "EventTypeCreate", "EventTypeDelete", "EventTypeExportOpenapi", "EventTypeGenerateSchema", "EventTypeImportOpenapi", "EventTypePatch",
    "EventTypeUpdate", "EventTypeUpdateRetrySchedule", "GenerationCancel", "IntegrationCreate", "IntegrationDelete", "IntegrationUpdate",
    "MessageAttemptExpungeContent", "MessageCancel", "MessageExpungeContent", "MessageStreamCommit", "MessageStreamSeek", "MessagesCancel",
    "OperationalEndpointCreate", "OperationalEndpointDelete", "OperationalEndpointPatch", "OperationalEndpointPatchHeaders", "OperationalEndpointUpdate",
    "OperationalEndpointUpdateHeaders", "TemplateCreate", "TemplateDelete", "TemplateGenerate", "TemplateInstantiate", "TemplateOauthDiscord",
    "TemplateOauthInstantiate", "TemplateOauthSlack", "TemplateOauthStart", "TemplatePatch", "TemplateSimulate", "TemplateUpdate",
}  # fmt: skip
# Of what is read, what a token of one application does not see, and of the rest, what it may do to its application.
ORGANISATION = {
    "EnvironmentExport", "OperationalEndpoint", "OperationalEndpoints", "OperationalEventTypes", "OrganisationMessageStream",
    "UsageAggregateApplications", "UsageAggregateEventTypes",
}  # fmt: skip
APPLICATION = {
    "EndpointBulkReplay", "EndpointCreate", "EndpointDelete", "EndpointPatch", "EndpointPatchHeaders", "EndpointPatchTransformation",
    "EndpointRecover", "EndpointReplayMissing", "EndpointRotateSecret", "EndpointSecret", "EndpointSimulateTransformation", "EndpointUpdate",
    "EndpointUpdateHeaders", "MessageAttemptResend", "MessageStreamCommit", "MessageStreamPoll", "MessageStreamSeek", "TemplateInstantiate", "TemplateOauthDiscord", "TemplateOauthInstantiate",
    "TemplateOauthSlack", "TemplateOauthStart", "TemplateSimulate",
}  # fmt: skip


async def opened(tenant: Tenant, given: dict[str, dict[str, Any]]) -> set[str]:
    """The operations that are not FORBIDDEN to a token, whatever else becomes of them."""
    found = set()
    for name, arguments in given.items():
        try:
            answer = await tenant.run(name, **arguments)
        except Refused as refused:
            assert refused.code == "FORBIDDEN", name
            continue
        errors = answer.get("errors", ()) if isinstance(answer, dict) else ()
        if "FORBIDDEN" not in {error["code"] for error in errors}:
            found.add(name)
    return found


@pytest.mark.sqlite_only  # it is decided before a database is asked
async def test_a_scope_opens_its_operations_and_a_token_of_one_application_does_nothing_to_the_organisation(
    deployment: Deployment, acme: Tenant
) -> None:
    every = await of_every_operation(acme)
    await acme.do("EnvironmentUpdateSettings", input={"enableTransformations": True, "enforceHttps": False})
    app_id = every["EndpointSecret"]["appId"]
    org_id = await organisation_of(deployment, {"id": app_id})
    given = {name: arguments for name, arguments in every.items() if name not in OWN}
    read = set(given) - SEND - SECRETS - MANAGE - SEVERAL

    async with Tenant(acme.url, await mint(deployment, org_id=org_id, kind="app", app_id=app_id)) as tenant:
        assert await opened(tenant, given) == read - ORGANISATION | APPLICATION
    # The manager last: it deletes the application.
    for scope, expected in {"read": read, "send": SEND, "secrets": SECRETS, "manage": MANAGE}.items():
        async with Tenant(acme.url, await mint(deployment, org_id=org_id, scopes=[scope])) as tenant:
            assert await opened(tenant, given) == expected, scope
