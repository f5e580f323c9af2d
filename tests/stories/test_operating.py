"""Stories of an operator: metrics, logs, request ids and traces of a real deployment."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.client import http_client
from tests.collector import Collector, attributes
from tests.conftest import Backend, mint
from tests.deployment import Deployment, Process, deployed
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant
from tests.waiting import until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass(frozen=True)
class Observed:
    """A deployment that tells all it can, and where its traces go."""

    running: Deployment
    collector: Collector

    async def scrape(self, *processes: Process) -> dict[str, float]:
        """Every sample of these processes, or of all, added up; as `name`, and as `name{label=value}`."""
        found: dict[str, float] = {}
        async with http_client() as http:
            for process in processes or (self.running.server, *self.running.workers):
                url = json.loads(process.wait_for("metrics are at "))["message"].rpartition(" ")[2]
                for family in text_string_to_metric_families((await http.get(url)).raise_for_status().text):
                    for sample in family.samples:
                        labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if name != "le")
                        for name in (sample.name, f"{sample.name}{{{labels}}}"):
                            found[name] = found.get(name, 0.0) + sample.value
        return found

    async def since(self, before: dict[str, float]) -> dict[str, float]:
        """How much each sample rose."""
        return {name: value - before.get(name, 0.0) for name, value in (await self.scrape()).items()}


@pytest.fixture(scope="module")
def observed(backend: Backend) -> Iterator[Observed]:
    with Collector() as collector:
        settings = {
            "GRAPHOOK_METRICS_PORT": "0",
            "GRAPHOOK_LOG_FORMAT": "json",
            "GRAPHOOK_ACCESS_LOG": "true",
            "GRAPHOOK_TRACING": "true",
            "GRAPHOOK_TRACE_RECEIVERS": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        with deployed(asyncio.run(backend.fresh_database()), backend.fresh_redis(), **settings) as running:
            yield Observed(running, collector)
    lines = running.server.lines
    messages = [json.loads(line)["message"] for line in lines if line.startswith("{")]
    assert {"the API is ready", "the API stops"} <= set(messages)
    assert all(line.startswith(("{", "GraphQL:", "GraphiQL:")) for line in lines), "nothing else is written"
    (engine,) = running.workers or [running.server]
    assert re.search(r"delivery engine wrk_\w+ has stopped", engine.output)


@pytest.fixture
async def tenant(observed: Observed) -> AsyncIterator[Tenant]:
    async with Tenant(observed.running.graphql, await mint(observed.running)) as tenant:
        yield tenant


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with http_client() as client:
        yield client


async def test_metrics_tell_what_was_accepted_sent_and_refused(
    observed: Observed, tenant: Tenant, receiver: Receiver, http: httpx.AsyncClient
) -> None:
    """Two messages to a receiver that fails once; the numbers of the API and of the worker together say just that."""
    before = await observed.scrape()
    app = await tenant.application()
    await tenant.endpoint(app, receiver.url())
    receiver.answers("/hook", 500)
    await tenant.settled(app, await tenant.message(app))
    await tenant.settled(app, await tenant.message(app))
    with pytest.raises(Refused):
        await tenant.execute("{ nothing }")
    await http.post(observed.running.graphql, json={"query": "{ __typename }"})
    async with tenant.subscribe("WatchMessageAttempts", appId=app["id"]) as live:
        await live.taken_up()

        async def seen() -> bool:
            return (await observed.scrape())["graphook_live_subscribers"] == 1

        await until(seen, "the subscriber in the metrics")

    rise = await observed.since(before)
    expected = {
        "graphook_messages_accepted_total": 2,
        "graphook_accept_batch_messages_sum": 2,
        "graphook_attempts_total{error_code=http_5xx,result=waiting}": 1,
        "graphook_attempts_total{error_code=,result=succeeded}": 2,
        "graphook_attempt_seconds_count": 3,
        "graphook_settle_batch_results_sum": 3,
        "graphook_claim_batch_deliveries_sum": 3,
        "graphook_leases_taken_back_total": 0,
        "graphook_wake_failures_total": 0,
        "graphook_operation_seconds_count{code=GRAPHQL_VALIDATION_FAILED,type=query}": 1,
        "graphook_operation_seconds_count{code=OK,type=mutation}": 4,
        "graphook_http_requests_total{status=401}": 1,
    }
    assert {name: rise.get(name) for name in expected} == expected
    now = await observed.scrape()
    assert (now["graphook_sends_in_flight"], now["graphook_sends_unrecorded"]) == (0, 0)
    assert now["graphook_event_loop_lag_seconds_count"] > 0
    assert {
        "process_resident_memory_bytes",
        "process_open_fds",
        "graphook_ready_deliveries",
        "graphook_oldest_ready_seconds",
        "graphook_oldest_unrestricted_seconds",
    } <= now.keys()
    assert not any(app["id"] in name or "127.0.0.1" in name for name in now), "no tenant and no URL is a label"
    assert (now.get("graphook_database_connections", 0) >= 2) == bool(observed.running.workers)


async def test_only_a_process_that_sends_shows_what_tells_that_one_is_there(observed: Observed) -> None:
    """An alert asks whether it is absent: it would never be if the API showed it, too."""
    telling = {
        "graphook_sends_in_flight",
        "graphook_sends_unrecorded",
        "graphook_ready_deliveries",
        "graphook_oldest_ready_seconds",
        "graphook_oldest_unrestricted_seconds",
    }
    api, workers = observed.running.server, observed.running.workers

    async def told() -> bool:
        return telling <= (await observed.scrape(*workers or [api])).keys()

    await until(told, "what is sent, and the backlog")
    if workers:
        assert not telling & (await observed.scrape(api)).keys()


async def test_a_disabled_endpoint_is_counted_and_told(observed: Observed, tenant: Tenant, receiver: Receiver) -> None:
    before = await observed.scrape()
    app = await tenant.application()
    endpoint = await tenant.endpoint(app, receiver.url())
    receiver.answers("/hook", 410)
    await tenant.settled(app, await tenant.message(app), "FAIL")

    engine = (observed.running.workers or [observed.running.server])[0]
    told = json.loads(await asyncio.to_thread(engine.wait_for, f"endpoint {endpoint['id']} is disabled"))
    assert {name: told[name] for name in ("level", "endpoint_id", "reason")} == {
        "level": "warning",
        "endpoint_id": endpoint["id"],
        "reason": "gone",
    }
    assert (await observed.since(before))["graphook_endpoints_disabled_total{reason=gone}"] == 1


async def test_a_request_and_the_attempts_it_led_to_are_one_trace(observed: Observed, tenant: Tenant, receiver: Receiver) -> None:
    """The caller's trace goes on through the API, the database and the worker, on to the receiver; each retry is a span of it."""
    app = await tenant.application()
    endpoint = await tenant.endpoint(app, receiver.url())
    receiver.answers("/hook", 500)
    document = 'mutation Send($app: ID!) { messageCreate(appId: $app, input: {eventType: "a", payload: {}}) { message { id } } }'
    answer = await tenant.execute(document, {"app": app["id"]}, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
    message = answer["message"]
    await tenant.settled(app, message)

    def attempts() -> list[Any]:
        return [s for s in observed.collector.named("webhook attempt") if attributes(s)["graphook.message_id"] == message["id"]]

    await until(lambda: len(attempts()) == 2 and bool(observed.collector.named("mutation Send")), "the spans")
    (request,) = observed.collector.named("mutation Send")
    failed, succeeded = attempts()
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, SPAN)
    for span in (failed, succeeded):
        assert (span.trace_id.hex(), span.parent_span_id) == (TRACE, request.span_id)
        found = attributes(span)
        assert (found["graphook.message_id"], found["graphook.endpoint_id"]) == (message["id"], endpoint["id"])
    assert (attributes(failed)["error.type"], attributes(failed)["http.response.status_code"], failed.status.code) == ("http_5xx", 500, 2)
    assert succeeded.status.code == 0
    sent = [f"00-{TRACE}-{span.span_id.hex()}-01" for span in (failed, succeeded)]
    assert [got.headers["traceparent"] for got in receiver.got("/hook")] == sent

    def linked() -> bool:
        return request.span_id in [link.span_id for batch in observed.collector.named("accept") for link in batch.links]

    await until(linked, "the transaction that accepted it")
    assert {"graphook"} == {resource["service.name"] for resource in observed.collector.resources}
    assert {"test"} == {resource["deployment.environment.name"] for resource in observed.collector.resources}


async def test_the_access_log_tells_of_each_request_and_no_secret(observed: Observed, http: httpx.AsyncClient) -> None:
    query = {"query": "{ hidden }", "token": "S3CR3T"}
    headers = {"X-Request-Id": "request-42", "Authorization": "Bearer S3CR3T"}
    await http.get(observed.running.graphql, params=query, headers=headers)

    entry = json.loads(await asyncio.to_thread(observed.running.server.wait_for, "request-42"))
    assert entry.pop("milliseconds") >= 0
    entry.pop("time")
    assert entry == {
        "level": "info",
        "logger": "graphook.access",
        "message": "GET /graphql 401",
        "request_id": "request-42",
        "method": "GET",
        "path": "/graphql",
        "status": 401,
        "client": "127.0.0.1",
    }
    assert "S3CR3T" not in observed.running.server.output
    assert "hidden" not in observed.running.server.output


async def test_a_plain_deployment_shows_no_metrics_and_logs_no_request(deployment: Deployment, http: httpx.AsyncClient) -> None:
    """The API's own port has no metrics: it is the public one."""
    response = await http.get(f"{deployment.url}/metrics", headers={"X-Request-Id": "request-43"})
    assert response.status_code == 404
    assert "metrics are at" not in deployment.server.output
    assert "request-43" not in deployment.server.output


async def test_the_url_may_end_with_a_slash(deployment: Deployment, acme: Tenant, http: httpx.AsyncClient) -> None:
    url = f"{deployment.graphql}/"
    assert (await http.options(url)).status_code == 204
    async with Tenant(url, acme.token) as same:
        app = await same.application()
        async with same.subscribe("WatchMessageAttempts", appId=app["id"]) as live:
            await live.taken_up()


async def test_every_answer_names_its_request(deployment: Deployment, http: httpx.AsyncClient) -> None:
    for path, status in (("/healthz", 200), ("/graphql", 401), ("/nothing", 404)):
        response = await http.get(deployment.url + path)
        assert response.status_code == status
        assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-Id"])
    given = await http.get(f"{deployment.url}/healthz", headers={"X-Request-Id": "from-the-proxy.1"})
    assert given.headers["X-Request-Id"] == "from-the-proxy.1"
    for bad in ("short", "x" * 65, "with space", "semi;colon", 'quo"ted-id'):
        response = await http.get(f"{deployment.url}/healthz", headers={"X-Request-Id": bad})
        assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-Id"])
    refused = await http.post(deployment.graphql)
    assert "X-Request-Id" in refused.headers["Access-Control-Expose-Headers"]


async def test_receivers_know_nothing_of_traces_by_default(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    given = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    answer = await acme.run_with(given, "MessageCreate", appId=app["id"], input={"eventType": "a", "payload": {}})
    await acme.settled(app, answer["message"])

    (request,) = receiver.got("/hook")
    assert "traceparent" not in request.headers
