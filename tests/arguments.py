"""For every named operation, arguments that are valid and complete: what tests begin from to make one of them wrong."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from graphook.clock import now
from tests.tenant import Tenant

Path = tuple[str | int, ...]

NOBODY = "222222222222222222222222222"


async def of_every_operation(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """Operation → arguments, about an application, an endpoint, an event type and messages of the tenant made for this."""
    app = await tenant.application(uid="an-application")
    await tenant.event_type("a.b")
    endpoint = await tenant.endpoint(app, "https://example.com/", uid="an-endpoint", disabled=True)
    message = await tenant.message(app, eventType="a.b", eventId="an-event")
    expunged = await tenant.message(app, eventType="a.b")
    template = {
        "name": "n", "logo": "https://example.com/l", "transformation": "function handler(w) { return w; }", "description": "d", "instructions": "i",
        "instructionsLink": "https://example.com/i", "kind": "SLACK", "featureFlag": "f", "filterTypes": ["a.b"],
    }  # fmt: skip
    made = await tenant.do("TemplateCreate", input=template)
    oauth = {"code": "c", "redirectUri": "https://example.com/oauth", "state": "s" * 43}
    integration = await tenant.do("IntegrationCreate", appId=app["id"], input={"name": "an integration"})
    await tenant.do("OperationalEndpointCreate", input={"url": "https://example.com/", "uid": "operations", "disabled": True})
    in_app = {"appId": app["id"]}
    page: dict[str, Any] = {"first": 1, "after": None, "last": None, "before": None, "limit": None, "iterator": None}
    application = {"name": "n", "uid": "an-application", "rateLimit": 1, "metadata": {"k": "v"}}
    update = {
        "url": "https://example.com/", "uid": "an-endpoint", "description": "d", "channels": ["c"], "filterTypes": ["a.b"], "rateLimit": 1,
        "version": 1, "disabled": True, "metadata": {"k": "v"},
        "deliveryPolicy": {"retrySchedule": [1.5], "noRetryOn": ["404", "5xx"], "maxInFlight": 3, "ordered": True, "breaker": True},
    }  # fmt: skip
    event_type = {
        "description": "d", "schemas": {"1": {"type": "object"}}, "featureFlag": "f", "archived": False, "deprecated": True, "groupName": "g",
        "validatePayload": False,
    }  # fmt: skip
    new_message = {
        "eventType": "a.b", "payload": {"k": ["v"]}, "rawPayload": None, "eventId": None, "channels": ["c"], "tags": ["t"],
        "payloadRetentionPeriod": 5, "application": application, "deliverAt": (now() + timedelta(hours=1)).isoformat(),
        "transformationsParams": {"k": "v"},
    }  # fmt: skip
    message_filter = {
        "eventId": "an-event", "channel": "c", "tag": "t", "eventTypes": ["a.b"], "createdAfter": "2026-01-01T00:00:00Z", "createdBefore": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    attempt_filter = {"status": "SUCCESS", "statusCodeClass": "CODE_2XX", "endpointId": endpoint["id"], **message_filter}
    attempt_filter.pop("eventId")
    stream = {"limit": 1, "iterator": None, "start": "OLDEST", "since": None, "eventTypes": ["a.b"], "channels": ["c"]}
    consumer = {**in_app, "consumerId": "a-consumer"}
    of_message = {**in_app, "messageId": message["id"]}
    of_endpoint = {**in_app, "endpointId": endpoint["id"]}
    period = {"since": (now() - timedelta(days=1)).isoformat(), "until": now().isoformat()}
    dates = {"startDate": period["since"], "endDate": period["until"]}
    palette = dict.fromkeys(
        ("backgroundHover", "backgroundPrimary", "backgroundSecondary", "buttonPrimary", "interactiveAccent", "navigationAccent", "primary",
         "textDanger", "textPrimary"), "#fff"
    )  # fmt: skip
    settings = {
        "displayName": "Acme", "colorPaletteDark": palette, "colorPaletteLight": dict(palette), "customBaseFontSize": 16, "customColor": "#fff",
        "customFontFamily": "Inter", "customFontFamilyUrl": "https://example.com/f", "customLogoUrl": "https://example.com/l",
        "customThemeOverride": {"borderRadius": {"button": "LG", "card": "NONE", "input": "FULL"}, "fontSize": {"base": 16}},
        "disableEndpointOnFailure": True, "enableChannels": True, "enableIntegrationManagement": True, "enableMessageTags": True,
        "enableTransformations": True, "enforceHttps": False, "eventCatalogPublished": True, "readOnly": False, "showUseSvixPlay": False,
    }  # fmt: skip
    code = "function handler(webhook) { return webhook }"
    simulation = {
        "code": code, "eventType": "a.b", "payload": {"k": "v"}, "channels": ["c"], "variables": {"K": "v"}, "transformationsParams": {"k": "v"},
    }  # fmt: skip
    attempt = {**of_message, "id": f"atmpt_{NOBODY}"}
    return {
        "Application": {"id": app["id"]},
        "Applications": {**page, "order": "ASCENDING"},
        "ApplicationCreate": {"input": application, "getIfExists": True, "idempotencyKey": None},
        "ApplicationUpdate": {"id": app["id"], "input": application},
        "ApplicationPatch": {"id": app["id"], "input": application},
        "ApplicationDelete": {"id": "unknown"},
        "Endpoint": {**in_app, "id": endpoint["id"]},
        "Endpoints": {**in_app, **page, "order": "ASCENDING"},
        "EndpointSecret": of_endpoint,
        "EndpointCreate": {
            **in_app,
            "input": {**update, "uid": None, "secret": f"whsec_{'A' * 32}", "headers": {"X-A": "b"}},
            "idempotencyKey": None,
        },
        "EndpointUpdate": {**in_app, "id": endpoint["id"], "input": update},
        "EndpointPatch": {**in_app, "id": endpoint["id"], "input": {**update, "secret": None}},
        "EndpointDelete": {**in_app, "id": "unknown"},
        "EndpointUpdateHeaders": {**of_endpoint, "input": {"headers": {"X-A": "b"}}},
        "EndpointPatchHeaders": {**of_endpoint, "input": {"headers": [{"name": "X-A", "value": "b"}]}},
        "EndpointTransformation": of_endpoint,
        "EndpointPatchTransformation": {**of_endpoint, "input": {"code": code, "enabled": False, "variables": {"K": "v"}}},
        "EndpointSimulateTransformation": {**of_endpoint, "input": simulation, "idempotencyKey": None},
        "TemplateSimulate": {"input": simulation, "idempotencyKey": None},
        "EndpointRotateSecret": {
            **of_endpoint,
            "input": {"key": f"whsec_{'A' * 32}", "gracePeriodSeconds": 0},
            "idempotencyKey": None,
        },
        **_of_operational_endpoints(update, page),
        "EventType": {"name": "a.b"},
        "EventTypes": {**page, "order": "ASCENDING", "includeArchived": True},
        "EventTypeCreate": {"input": {"name": "c.d", "retrySchedule": [1.5], **event_type}, "idempotencyKey": "one"},
        "EventTypeUpdate": {"name": "a.b", "input": event_type},
        "EventTypePatch": {"name": "a.b", "input": event_type},
        "EventTypeImportOpenapi": {
            "input": {"spec": {"openapi": "3.1.0", "webhooks": {"e.f": {}}}, "specRaw": None, "dryRun": False, "replaceAll": False},
            "idempotencyKey": None,
        },
        "EventTypeExportOpenapi": {"idempotencyKey": None},
        "EventTypeGenerateExample": {"input": {"schema": {"type": "string"}}, "idempotencyKey": None},
        "EndpointSendExample": {**of_endpoint, "input": {"eventType": "a.b"}, "idempotencyKey": None},
        "EventTypeRetrySchedule": {"name": "a.b"},
        "EventTypeUpdateRetrySchedule": {"name": "a.b", "input": {"retrySchedule": [1, 2]}},
        "EventTypeDelete": {"name": "unknown", "expunge": True},
        "Message": {**in_app, "id": message["id"]},
        "Messages": {**in_app, **page, "filter": message_filter},
        "MessageCreate": {"appId": "an-application", "input": new_message, "idempotencyKey": None},
        "MessageCreateBatch": {"appId": "an-application", "inputs": [new_message], "idempotencyKey": None},
        "MessageExpungeContent": {**in_app, "messageId": expunged["id"]},
        "MessageDryRun": {**in_app, "input": new_message, **page},
        "MessagePrecheck": {**in_app, "eventType": "a.b", "channels": ["c"]},
        "MessageTestAttempt": {**of_endpoint, "input": {**new_message, "deliverAt": None}, "idempotencyKey": None},
        "MessageCancel": {**of_message, "endpointId": endpoint["id"]},
        "MessagesCancel": {
            **in_app,
            "input": {
                "createdBefore": now().isoformat(),
                "createdAfter": "2026-01-01T00:00:00Z",
                "eventTypes": ["a.b"],
                "endpointId": endpoint["id"],
            },
            "idempotencyKey": None,
        },
        "ApplicationPurgeContent": {**in_app, "idempotencyKey": None},
        "MessageStream": {**in_app, **stream},
        "OrganisationMessageStream": stream,
        "MessageStreamPoll": {
            **consumer,
            "leaseSeconds": 30,
            "limit": 1,
            "start": "OLDEST",
            "since": None,
            "eventTypes": ["a.b"],
            "channels": ["c"],
        },
        "MessageStreamCommit": {**consumer, "iterator": (await tenant.run("MessageStream", appId=app["id"]))["iterator"]},
        "MessageStreamSeek": {**consumer, "iterator": None, "start": "NEWEST", "since": None},
        "MessageDestinations": {**of_message, **page},
        "EndpointMessages": {**of_endpoint, **page, "filter": {**message_filter, "status": "SUCCESS"}},
        "MessageAttempt": attempt,
        "MessageAttempts": {**of_message, "endpointId": None, **page, "filter": attempt_filter},
        "MessageAttemptExpungeContent": attempt,
        "MessageAttemptResend": {**of_message, "endpointId": endpoint["id"], "idempotencyKey": None},
        "EndpointRecover": {**of_endpoint, "input": period, "idempotencyKey": None},
        "EndpointReplayMissing": {**of_endpoint, "input": period, "idempotencyKey": None},
        "EndpointBulkReplay": {
            **of_endpoint,
            "input": {
                **period,
                "eventTypes": ["a.b"],
                "channel": "c",
                "tag": "t",
                "status": "SUCCESS",
                "statusCodeClass": "CODE_2XX",
            },
            "idempotencyKey": None,
        },
        "ApplicationAttemptStats": {**in_app, **dates},
        "EndpointAttemptStats": {**of_endpoint, **dates},
        "EndpointStats": {**of_endpoint, **period},
        "ApplicationStats": {**in_app, **period},
        "ApplicationsStats": {**period, **page},
        "UsageAggregateApplications": {"input": {**period, "appIds": [app["id"]]}, "idempotencyKey": None},
        "UsageAggregateEventTypes": {},
        "MessageBroadcast": {
            "input": {"eventType": "a.b", "payload": {"k": ["v"]}, "eventId": None, "channels": ["c"], "payloadRetentionPeriod": 5},
            "idempotencyKey": None,
        },
        "EnvironmentSettings": {},
        "EnvironmentExport": {},
        "EnvironmentUpdateSettings": {"input": settings},
        "EnvironmentImport": {
            "input": {
                "version": 1,
                "createdAt": "2026-01-01T00:00:00Z",
                "eventTypes": [{"name": "e.f", "retrySchedule": None, **event_type}],
                "settings": settings,
            },
            "idempotencyKey": None,
        },
        "BackgroundTask": {"id": f"qtask_{NOBODY}"},
        "BackgroundTasks": {**page, "order": "ASCENDING", "status": None, "task": None},
        "Integration": {**in_app, "id": integration["id"]},
        "Integrations": {**in_app, **page},
        "IntegrationKey": {**in_app, "integrationId": integration["id"]},
        "IntegrationCreate": {**in_app, "input": {"name": "n"}, "idempotencyKey": None},
        "IntegrationUpdate": {**in_app, "id": integration["id"], "input": {"name": "n"}},
        "IntegrationDelete": {**in_app, "id": "unknown"},
        "IntegrationRotateKey": {**in_app, "integrationId": integration["id"], "idempotencyKey": None},
        "Template": {"id": made["id"]},
        "Templates": {**page, "order": "ASCENDING"},
        "TemplateCreate": {"input": {**template, "filterTypes": None}, "idempotencyKey": None},
        "TemplateUpdate": {"id": made["id"], "input": template},
        "TemplatePatch": {"id": made["id"], "input": template},
        "TemplateDelete": {"id": f"trtmpl_{NOBODY}"},
        "TemplateInstantiate": {
            **in_app,
            "templateId": made["id"],
            "input": {**update, "uid": None, "secret": f"whsec_{'A' * 32}", "headers": {"X-A": "b"}},
            "variables": {"K": "v"},
            "idempotencyKey": None,
        },
        "TemplateOauthStart": {"input": {"provider": "SLACK", "redirectUri": oauth["redirectUri"], "appId": app["id"]}},
        "TemplateOauthInstantiate": {
            **in_app,
            "input": {
                **oauth,
                "provider": "SLACK",
                "templateId": made["id"],
                "variables": {"K": "v"},
                "uid": None,
                "description": "d",
                "filterTypes": ["a.b"],
                "channels": ["c"],
            },
        },
        "TemplateOauthSlack": {"input": oauth},
        "TemplateOauthDiscord": {"input": oauth},
        "Inbound": in_app,
        "InboundUpdate": {**in_app, "input": {"scheme": "GITHUB", "secret": "a secret of GitHub's"}},
        "InboundRotateUrl": {**in_app, "idempotencyKey": None},
        "Whoami": {},
        "Logout": {},
        "AppPortalAccessCreate": {
            "appId": "an-application",
            "input": {"capabilities": ["VIEW_BASE"], "expiry": 3600, "featureFlags": ["f"], "sessionId": "s", "application": application},
            "idempotencyKey": None,
        },
        "DashboardAccessCreate": {**in_app, "idempotencyKey": None},
        "AppTokensExpireAll": {**in_app, "input": {"expiry": 60, "sessionIds": ["s"]}, "idempotencyKey": None},
        "OneTimeTokenExchange": {"input": {"oneTimeToken": f"oncesk_{'0' * 43}"}},
        "TemplateGenerate": {
            "input": {"prompt": "p", "eventType": None, **in_app, "messageId": message["id"], "includePayload": False},
            "idempotencyKey": None,
        },
        "EventTypeGenerateSchema": {"input": {"prompt": "p", "examples": [{"k": ["v"]}]}, "idempotencyKey": None},
        "Generation": {"id": f"qtask_{NOBODY}"},
        "GenerationCancel": {"id": f"qtask_{NOBODY}"},
        "Node": {"id": app["id"]},
        "Nodes": {"ids": [app["id"], endpoint["id"]]},
    }


def _of_operational_endpoints(update: dict[str, Any], page: dict[str, Any]) -> dict[str, dict[str, Any]]:
    values = {**update, "uid": "operations", "channels": None, "filterTypes": ["endpoint.created"]}
    endpoint = {"endpointId": "operations"}
    secret = f"whsec_{'A' * 32}"
    return {
        "OperationalEndpoint": {"id": "operations"},
        "OperationalEndpoints": {**page, "order": "ASCENDING"},
        "OperationalEndpointSecret": endpoint,
        "OperationalEndpointCreate": {
            "input": {**values, "uid": None, "secret": secret, "headers": {"X-A": "b"}},
            "idempotencyKey": None,
        },
        "OperationalEndpointUpdate": {"id": "operations", "input": values},
        "OperationalEndpointPatch": {"id": "operations", "input": {**values, "secret": None}},
        "OperationalEndpointDelete": {"id": "unknown"},
        "OperationalEndpointUpdateHeaders": {**endpoint, "input": {"headers": {"X-A": "b"}}},
        "OperationalEndpointPatchHeaders": {**endpoint, "input": {"headers": [{"name": "X-A", "value": "b"}]}},
        "OperationalEndpointRotateSecret": {**endpoint, "input": {"key": secret, "gracePeriodSeconds": 0}, "idempotencyKey": None},
        "OperationalEventTypes": {},
    }


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of everything within a value."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


def replaced(value: Any, path: Path, new: Any) -> Any:
    """A copy of the value with something else, or something more, at a path."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return changed
