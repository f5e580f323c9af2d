"""The outermost layer of the API: requests that fail are logged by their id, and the process's listener shows the counts."""

from __future__ import annotations

import errno
import logging
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from graphook import metrics, tracing
from graphook.access import Access
from graphook.graphql_errors import fault_of_ours
from tests.client import http_client


def application(*, every: bool = False) -> Starlette:
    async def unavailable(_: Request) -> Response:
        return PlainTextResponse("later", 503)

    async def broken(_: Request) -> Response:
        raise ValueError("broken")

    async def masked(_: Request) -> Response:
        return PlainTextResponse(str(fault_of_ours(ValueError("hidden"), "here")["requestId"]))

    routes = [Route("/unavailable", unavailable), Route("/broken", broken), Route("/masked", masked)]
    return Starlette(routes=routes, middleware=[Middleware(Access, every=every)])


async def get(path: str, **options: bool) -> httpx.Response:
    transport = httpx.ASGITransport(application(**options), raise_app_exceptions=False)
    async with http_client(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers={"X-Request-Id": "request-1"})


@pytest.mark.parametrize(("path", "status"), [("/unavailable", 503), ("/broken", 500)])
async def test_a_request_that_fails_is_logged_once_at_any_setting(path: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    for every in (False, True):
        caplog.clear()
        response = await get(path, every=every)
        assert (response.status_code, response.headers["X-Request-Id"]) == (status, "request-1")
        (record,) = [record for record in caplog.records if record.name == "graphook.access"]
        assert (record.levelno, record.getMessage()) == (logging.WARNING, f"GET {path} {status}")


async def test_a_masked_fault_is_found_in_the_log_by_the_id_of_its_request(caplog: pytest.LogCaptureFixture) -> None:
    response = await get("/masked")
    assert response.text == response.headers["X-Request-Id"] == "request-1"
    (record,) = [record for record in caplog.records if "broke at" in record.getMessage()]
    assert "request-1" in record.getMessage()


async def test_metrics_are_shown_while_they_are_served_and_no_longer() -> None:
    with metrics.served("127.0.0.1", 0) as port:
        async with http_client() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    assert "graphook_messages_accepted_total" in text
    assert "_created" not in text
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port or 0)) == errno.ECONNREFUSED


def test_a_port_that_is_taken_is_told_and_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with metrics.served("127.0.0.1", taken.getsockname()[1]) as port:
            assert port is None
    assert "metrics are not shown" in caplog.text


def test_tracing_that_is_off_costs_nothing_and_says_nothing() -> None:
    with tracing.traced(False), tracing.attempt("00-" + "1" * 32 + "-" + "2" * 16 + "-01", {}) as span:
        assert span is None
        assert tracing.current() is None


def test_a_batch_of_attempts_is_counted_by_outcome() -> None:
    def value(result: str, code: str) -> float:
        return metrics.REGISTRY.get_sample_value("graphook_attempts_total", {"result": result, "error_code": code}) or 0.0

    before = value("waiting", "timeout"), value("succeeded", "")
    metrics.settled([("waiting", "timeout", 10), ("succeeded", "", 5), ("waiting", "timeout", 20)], 0.01)
    assert (value("waiting", "timeout"), value("succeeded", "")) == (before[0] + 2, before[1] + 1)
