"""Much at once: rows I5 to I8."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left

from tests.chaos.crashes import nothing_lost
from tests.chaos.field import Field
from tests.chaos.isolation import another, delay
from tests.chaos.publisher import percentile
from tests.chaos.receiver import Answer
from tests.chaos.rows import row
from tests.waiting import until


@row(
    "I5", "An endpoint that comes back after an outage gets no more than its rate limit, and new messages of others are on time meanwhile."
)
async def recovery_surge(field: Field) -> str:
    messages, rate, down = field.count(10_000, 200), 20, True

    def plan(name: str, message: str, earlier: int) -> Answer:
        return Answer(503 if down and name == "limited" else 200)

    async with field.trial(endpoints=1, plan=plan, workers=2, GRAPHOOK_RETRY_SCHEDULE="2,2,2,2,2,600") as trial:
        limited = await another(trial, {"limited": {"rateLimit": rate}})
        await limited.publish(messages, batch=50)
        await until(lambda: len(trial.receiver.arrivals.get("limited", [])) > 2 * rate, "failures", patience=60)
        down = False
        during = await delay(trial, trial.publisher, 60, 10)
        found = await trial.settled(600)
        arrivals = trial.receiver.arrivals["limited"]
        most = max(bisect_left(arrivals, at + 1.0) - index for index, at in enumerate(arrivals))
    nothing_lost(found)
    # The network and a busy receiver press requests together that left a little apart.
    assert most <= 1.2 * rate + 4, f"{most} requests in one second with a limit of {rate}"
    assert during < 2, f"others' p95 {during:.1f} s"
    return f"at most {most} requests in any second with a limit of {rate}; others' create to first byte p95 {during * 1000:.0f} ms; {found}"


@row("I6", "One message to thousands of endpoints is accepted at once and sent to all, and others can create messages meanwhile.")
async def wide_message(field: Field) -> str:
    endpoints = field.count(10_000, 1000)
    async with field.trial(endpoints=1) as trial:
        wide = await another(trial, {f"wide{n}": {} for n in range(endpoints)})
        begin = time.monotonic()
        await wide.publish(1)
        accepted = time.monotonic() - begin
        others = asyncio.create_task(trial.publisher.publish(40, rate=20))
        await until(lambda: len(trial.receiver.first_seen) >= endpoints, lambda: f"{len(trial.receiver.first_seen)} requests", patience=300)
        sent = time.monotonic() - begin
        await others
        slowest = max(trial.publisher.latencies)
        found = await trial.settled()
    nothing_lost(found)
    assert found.duplicates <= found.late, found
    assert accepted <= 0.5, f"accepted after {accepted:.1f} s"
    assert sent <= 60, f"sent after {sent:.0f} s"
    return f"{endpoints} endpoints: accepted in {accepted * 1000:.0f} ms, all sent in {sent:.1f} s; others' slowest create {slowest * 1000:.0f} ms"


@row("I7", "Payloads of one megabyte to many endpoints: memory stays bounded and every signature verifies.")
async def large_payloads(field: Field) -> str:
    endpoints = field.count(500, 60)
    async with field.trial(endpoints=endpoints) as trial:
        (worker,) = trial.system.workers
        await trial.publisher.publish(1)
        await trial.quiet()
        before = most = worker.memory()
        trial.publisher.padding = 1_000_000
        publishing = asyncio.create_task(trial.publisher.publish(3, clients=1))
        while not publishing.done() or await trial.number("SELECT count(*) FROM delivery WHERE state <= 2"):
            most = max(most, worker.memory())
            await asyncio.sleep(0.1)
        await publishing
        found = await trial.settled()
    nothing_lost(found)
    grown = (most - before) / 1024 / 1024
    assert grown < 150, f"{grown:.0f} MiB more"
    return f"3 messages of 1 MB to {endpoints} endpoints, {grown:.0f} MiB more memory; {found}"


SLOW = Answer(after=0.2)


@row(
    "I8",
    "More than can be sent: refused with 429 or 503 and Retry-After before it is accepted, what was accepted is delivered, and it is over in 10 s.",
)
async def overload(field: Field) -> str:
    seconds = field.count(300, 5)
    async with field.trial(endpoints=1, plan=lambda *_: SLOW, GRAPHOOK_ACCEPT_QUEUE="150", GRAPHOOK_BACKLOG_LIMIT="400") as trial:
        publisher = trial.publisher
        # 32 at a time for 0.2 s each is 160 messages a second at most.
        await publisher.publish(480 * seconds, batch=40, rate=12, give_up=True)
        refused = publisher.statuses[429] + publisher.statuses[503]
        begin = time.monotonic()
        await publisher.publish(1)
        recovered = time.monotonic() - begin
        found = await trial.settled(300)
        stored = await trial.number("SELECT count(*) FROM message")
    nothing_lost(found)
    assert set(publisher.statuses) <= {200, 429, 503}, publisher.statuses
    assert publisher.broken == 0, f"{publisher.broken} requests cut off"
    assert refused > 0, "nothing was refused: the trial proved nothing"
    assert publisher.without_retry_after == 0, f"{publisher.without_retry_after} refusals without Retry-After"
    assert stored == len(publisher.acknowledged), f"{stored} messages stored, {len(publisher.acknowledged)} acknowledged"
    assert recovered <= 10, f"accepted again after {recovered:.0f} s"
    quick = percentile(publisher.refusals, 0.5)
    return f"{publisher.statuses[200]} batches accepted, {refused} refused (half of them within {quick * 1000:.0f} ms), recovered in {recovered:.1f} s; {found}"
