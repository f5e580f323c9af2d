"""Ten million attempts stored, retention and live traffic running: claims, lists and memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks import cpu, history, queries
from benchmarks.harness import Bench, Figure, Graphook, alternate, at_most
from benchmarks.load import Make, at_rate, percentile
from graphook import database
from graphook.clock import now_us
from models import claiming, delivery
from models.claim import Claim
from models.delivery import Result, State
from models.message import Message, NewMessage

APPLICATIONS = 20
TRAFFIC, LISTS, CLAIMS = 20.0, 20.0, 10.0
_NODES = "nodes { id } pageInfo { endCursor hasNextPage }"
_LISTS = {
    "messages": f"query($app: ID!) {{ messages(appId: $app, first: 50) {{ {_NODES} }} }}",
    "messages, deep": f"query($app: ID!, $cursor: String!) {{ messages(appId: $app, first: 50, after: $cursor) {{ {_NODES} }} }}",
    "messages of an event type": f"""query($app: ID!, $type: String!) {{
        messages(appId: $app, first: 50, filter: {{eventTypes: [$type]}}) {{ {_NODES} }} }}""",
    "messages with a tag": f"""query($app: ID!) {{ messages(appId: $app, first: 50, filter: {{tag: "audit"}}) {{ {_NODES} }} }}""",
    "attempts of an endpoint": f"""query($app: ID!, $endpoint: ID!) {{
        messageAttempts(appId: $app, endpointId: $endpoint, first: 50) {{ {_NODES} }} }}""",
    "failed attempts of an endpoint": f"""query($app: ID!, $endpoint: ID!) {{
        messageAttempts(appId: $app, endpointId: $endpoint, first: 50, filter: {{status: FAIL}}) {{ {_NODES} }} }}""",
    "attempts of a message": f"""query($app: ID!, $message: ID!) {{
        messageAttempts(appId: $app, messageId: $message, first: 50) {{ {_NODES} }} }}""",
    "destinations of a message": """query($app: ID!, $message: ID!) {
        messageDestinations(appId: $app, messageId: $message, first: 50) { nodes { endpointId status } } }""",
    "endpoints": f"query($app: ID!) {{ endpoints(appId: $app, first: 50) {{ {_NODES} }} }}",
    "applications": f"query {{ applications(first: 50) {{ {_NODES} }} }}",
}


@dataclass
class _Side:
    """A deployment under its live traffic, and what was seen of it."""

    graphook: Graphook
    apps: list[Any]
    lists: dict[str, Make]
    claimer: Any
    claims: list[float] = field(default_factory=list)
    waits: dict[str, list[float]] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)


async def measure(bench: Bench) -> list[Figure]:
    """p99 of a claim of ten (as the worker makes it, in its own transaction), the slowest p99 of ten list queries, and memory at the end.

    The limit of memory is memory after the first round; that of the others is the same on an empty database.
    """
    seconds = bench.scaled(60, 3)
    async with bench.graphook(worker=False) as full, bench.graphook() as empty:
        sides = []
        began = time.monotonic()
        for graphook, rows in ((full, bench.rows), (empty, 400)):
            apps = await graphook.applications(APPLICATIONS, None)
            for app in apps:
                app["endpoints"] = [await graphook.tenant.endpoint(app, bench.hook) for _ in range(2)]
            await history.write(graphook.database_url, graphook.org_id, apps, bench.hook, rows)
            (claimer,) = await graphook.applications(1, bench.hook)
            sides.append(_Side(graphook, apps, await _lists(graphook, apps[0]), claimer))
        wrote = time.monotonic() - began
        expired = "SELECT count(*) FROM message_content WHERE expires_at <= graphook_now()"
        before = (await full.ask(expired))[0][0]
        full.start_worker()

        for side in sides:
            await _run(side, seconds)
            side.claims.clear()
            side.waits.clear()
        await alternate(bench.rounds, lambda: _run(sides[0], seconds), lambda: _run(sides[1], seconds), warm_up=False)
        forgotten = before - (await full.ask(expired))[0][0]
        if before and not forgotten:
            raise RuntimeError(f"retention is not running: {full.said()}")
    filled, bare = sides
    p99s = {name: percentile(waits, 99) * 1e3 for name, waits in filled.waits.items()}
    bare_p99s = {name: percentile(waits, 99) * 1e3 for name, waits in bare.waits.items()}
    slowest = max(p99s, key=lambda name: p99s[name])
    rounds = [percentile(filled.claims, 99) * 1e3], [percentile(bare.claims, 99) * 1e3]
    name = f"{bench.rows:,} attempts"
    kept = {"write_s": wrote, "contents_forgotten": forgotten, "contents_expired": before}
    end, start = filled.memory[-1] / 2**20, filled.memory[0] / 2**20
    medians = {name: median(waits) * 1e3 for name, waits in filled.waits.items()}
    return [
        at_most(
            f"{name}, claim p99", rounds[0], "ms", rounds[1], 10, 3, claims=len(filled.claims), p50=median(filled.claims) * 1e3, **kept
        ),
        at_most(
            f"{name}, slowest list p99", [p99s[slowest]], "ms", [bare_p99s[slowest]], 100, 20, p99=p99s, p50=medians, empty_p99=bare_p99s
        ),
        Figure(f"{name}, memory", end, "MiB", start, start / end, 0.95, 0.99, "ratio", {"after_each_run": filled.memory}),
    ]


async def _lists(graphook: Graphook, app: Any) -> dict[str, Make]:
    """Each list query of the application, its cursor and its message from the middle of the application's history."""
    rows = await graphook.ask("SELECT id, event_type FROM message WHERE app_id = $1 ORDER BY id", app["id"])
    message, event_type = rows[len(rows) // 2]
    values = {"app": app["id"], "endpoint": app["endpoints"][0]["id"], "message": message, "cursor": message, "type": event_type}
    return {name: queries.graphql(graphook.token, document, values) for name, document in _LISTS.items()}


async def _run(side: _Side, seconds: float) -> None:
    graphook, names = side.graphook, list(side.lists)
    makes = list(side.lists.values())
    creates = queries.creates(graphook.token, [app["id"] for app in side.apps])
    async with database.connected(graphook.database_url):
        traffic, lists, _ = await asyncio.gather(
            at_rate(graphook.port, creates, TRAFFIC, seconds),
            at_rate(graphook.port, lambda number, due: makes[number % len(makes)](number, due), LISTS, seconds, connections=8),
            _claims(side, seconds),
        )
    traffic.checked()
    for number, wait in zip(lists.checked().numbers, lists.latencies, strict=True):
        side.waits.setdefault(names[number % len(names)], []).append(wait)
    side.memory.append(sum(cpu.resident_bytes(process.popen.pid) for process in graphook.processes))


async def _claims(side: _Side, seconds: float) -> None:
    """Accept ten messages, claim and settle their deliveries as a worker does, time and again, and keep how long each claim took."""
    app, org_id = side.claimer, side.graphook.org_id
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        await Message.accept([NewMessage(org_id, app["id"], queries.EVENT_TYPE, queries.payload(n, 0)) for n in range(10)])
        asked = time.monotonic()
        claimed = await claiming.claim({app["endpoint"]["id"]: 10}, "wrk_bench", 30_000_000)
        took = time.monotonic() - asked
        # The worker may have been quicker.
        if claimed.claims:
            side.claims.append(took)
            await delivery.settle([_result(claim) for claim in claimed.claims])
        await asyncio.sleep(max(0.0, 1 / CLAIMS - (time.monotonic() - began)))


def _result(claim: Claim) -> Result:
    return Result(
        claim=claim,
        state=State.SUCCEEDED,
        delay=None,
        counted=True,
        started_at=now_us(),
        duration_ms=1,
        status_code=200,
        response=b"ok",
        response_headers=[],
        request_headers=[],
        sensitive_headers=[],
        error_code=None,
    )
