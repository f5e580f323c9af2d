"""Processes that die, stop or are replaced: rows R1 to R3, R10, R13, R15 and R16."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sized
from contextlib import ExitStack

from tests.chaos.balancer import balanced
from tests.chaos.compare import Comparison
from tests.chaos.field import Field, Trial
from tests.chaos.receiver import Answer
from tests.chaos.rows import row
from tests.chaos.system import Member
from tests.servers import Missing
from tests.waiting import until

# Sending takes a moment, so that there is always something in flight.
UNHURRIED = Answer(after=0.02)
# Sending takes so long that somebody is always in the middle of it, however slowly the messages come in.
LONG = Answer(after=0.25)
SHORT = {"CHAOS_MARGIN": "1"}
NGINX = "behind nginx"


async def grown(seen: Sized, count: int) -> None:
    """Return once there are more than so many."""
    await until(lambda: len(seen) > count, lambda: f"more than {count}, {len(seen)} so far", patience=120)


def nothing_lost(found: Comparison) -> None:
    """No message lost, every request recorded, and every duplicate shown as an interrupted attempt of the same delivery."""
    assert not found.faults, found
    assert found.unexplained == 0, f"{found.unexplained} duplicates that no attempt explains; {found}"
    assert found.duplicates <= found.interrupted + found.late, found


@row("R1", "Workers killed with -9 while they send: nothing is lost, and each delivery that was in flight shows an interrupted attempt.")
async def killed_workers(field: Field) -> str:
    kills, messages = field.count(20, 3), field.count(25_000, 400)
    async with field.trial(workers=2, plan=lambda *_: LONG, GRAPHOOK_REQUEST_TIMEOUT="1", GRAPHOOK_ENDPOINT_SLOTS="8") as trial:
        publishing = asyncio.create_task(trial.publisher.publish(messages, batch=20))
        for number in range(kills):
            await grown(trial.receiver.first_seen, 2 * messages * number // (kills + 1) + 10)
            # One of them may have nothing in flight: together they certainly have.
            victims = random.sample(trial.system.workers, 2)
            for victim in victims:
                await victim.kill()
            for victim in victims:
                await victim.start()
        await publishing
        found = await trial.settled()
    nothing_lost(found)
    assert found.interrupted > 0, "no kill hit a delivery: the trial proved nothing"
    return f"{kills} kills; {found}"


@row(
    "R2", "API processes killed with -9 while messages come in: what was acknowledged is there, and a repeated key makes no second message."
)
async def killed_apis(field: Field) -> str:
    kills, messages = field.count(20, 3), field.count(20_000, 400)
    async with field.trial(apis=2, endpoints=1) as trial:
        publishing = asyncio.create_task(trial.publisher.publish(messages, clients=8))
        for number in range(kills):
            await grown(trial.publisher.acknowledged, messages * number // (kills + 1) + 5)
            victim = trial.system.apis[number % 2]
            await victim.kill()
            await victim.start()
        await publishing
        found = await trial.settled()
        stored = await trial.number("SELECT count(*) FROM message")
    nothing_lost(found)
    assert stored == messages, f"{stored} messages for {messages} keys"
    assert trial.publisher.server_errors == 0, trial.publisher.statuses
    return f"{kills} kills, {trial.publisher.broken} requests cut off, {stored} messages for {messages} keys; {found}"


CRASH_POINTS = (
    "models.delivery:claim:before",
    "models.delivery:claim:after",
    "models.delivery:_pick:after",
    "workers.engine:attempt:before",
    "graphook.sender:Sender.send:before",
    "graphook.sender:Sender.send:after",
    "workers.engine:attempt:after",
    "models.delivery:settle:before",
    "models.delivery:_settlement:after",
    "models.delivery:settle:after",
    "models.delivery:promote:after",
    "models.delivery:take_back:before",
    "models.delivery:take_back:after",
    "graphook.database:Session.write_rows:after",
)
API_CRASH_POINTS = (
    "models.message:Message.accept:before",
    "models.message:_resolve:after",
    "models.message:_write:before",
    "models.message:_write:after",
    "models.message:Message.accept:after",
    "graphook.broker:Waker.wake:before",
    "graphook.broker:Waker._enqueue:before",
)


@row(
    "R3",
    "Death at each enumerated point between accepting a message and recording its attempt, the first and the second time it is reached.",
)
async def crash_points(field: Field) -> str:
    deaths = 0

    def fails_once(name: str, message: str, earlier: int) -> Answer:
        return Answer(503 if earlier == 0 and name == "e1" else 200)

    async with field.trial(plan=fails_once, each=SHORT, GRAPHOOK_REQUEST_TIMEOUT="1") as trial:
        for points, victim in ((API_CRASH_POINTS, trial.system.apis[0]), (CRASH_POINTS, trial.system.workers[0])):
            for crash in [f"{point}:{number}" for point in points for number in (1, 2)]:
                await _dies_at(trial, victim, crash)
                deaths += 1
                field.tell(f"R3 {crash}: nothing lost")
        found = await trial.settled()
    return f"{deaths} deaths at {len(CRASH_POINTS) + len(API_CRASH_POINTS)} points, each mended within 35 s of the restart; {found}"


async def _dies_at(trial: Trial, victim: Member, crash: str) -> None:
    """Publish with a process that will die at that point, and start it again when it has."""
    await victim.kill()
    if victim in trial.system.workers:
        await trial.publisher.publish(6, clients=2)
    await victim.launch(CHAOS_CRASH=crash)
    reviving = asyncio.create_task(revive(victim))
    try:
        if victim in trial.system.apis:
            await trial.publisher.publish(6, clients=2)
        async with asyncio.timeout(60):
            await reviving
        begin = time.monotonic()
        found = await trial.settled(60)
        took = time.monotonic() - begin
    except TimeoutError:
        raise AssertionError(f"{crash} was never reached") from None
    finally:
        reviving.cancel()
    stored = await trial.number("SELECT count(*) FROM message")
    assert stored == len(trial.publisher.acknowledged), f"{crash}: {stored} messages, {len(trial.publisher.acknowledged)} acknowledged"
    assert not found.faults, f"{crash}: {found}"
    assert found.unexplained == 0, f"{crash}: {found.unexplained} duplicates without a reason; {found}"
    assert took < 35, f"{crash}: mended {took:.0f} s after the restart"


async def revive(victim: Member) -> None:
    """Start a process again when it dies, this time without the fault."""
    await until(lambda: not victim.alive, "the process to die", patience=600)
    await victim.kill()
    await victim.start()


@row("R10", "A worker stopped for longer than its leases: others take over, and what it says afterwards adds a record but undoes nothing.")
async def stopped_worker(field: Field) -> str:
    rounds, messages = field.count(10, 1), field.count(5000, 100)
    plan_open = asyncio.Event()

    def slow(name: str, message: str, earlier: int) -> Answer:
        return Answer(after=0.5 if not plan_open.is_set() else 0.0)

    thawed = 0
    async with field.trial(workers=2, plan=slow, each=SHORT, GRAPHOOK_REQUEST_TIMEOUT="2") as trial:
        for _ in range(rounds):
            plan_open.clear()
            await trial.publisher.publish(messages, batch=50)
            await until(lambda: sum(trial.receiver.open.values()) >= 4, "requests in flight")
            # One of them may have claimed everything.
            ((holder, _),) = await trial.sql("SELECT leased_by, count(*) FROM delivery WHERE state = 2 GROUP BY 1 ORDER BY 2 DESC LIMIT 1")
            victim = next(worker for worker in trial.system.workers if worker.engine == holder)
            await victim.freeze()
            held = f"SELECT count(*) FROM delivery WHERE state = 2 AND leased_by = '{victim.engine}'"
            stuck = await trial.number(held)
            plan_open.set()

            async def taken_over(query: str = held) -> bool:
                return await trial.number(query) == 0

            await until(taken_over, "the others to take over", patience=60)
            await victim.thaw()
            thawed += stuck
            await trial.quiet()
        # What the stopped worker was told meanwhile is recorded when it wakes up.
        await asyncio.sleep(2)
        found = await trial.settled()
    nothing_lost_and_told(found)
    assert thawed > 0, "the worker held nothing when it was stopped"
    return f"stopped {rounds} times over its leases, holding {thawed} deliveries; {found}"


def nothing_lost_and_told(found: Comparison) -> None:
    """As `nothing_lost`; a duplicate may also show as two recorded successes, when the one who was interrupted reports in the end."""
    assert not found.faults, found
    assert found.unexplained == 0, found


@row(
    "R13",
    "The embedded service (SQLite) killed with -9: every acknowledged message is delivered after the restart and the file is sound.",
    embedded=True,
)
async def killed_embedded(field: Field) -> str:
    kills, messages = field.count(50, 3), field.count(20_000, 300)
    slowest = 0.0
    async with field.trial(embedded=True, plan=lambda *_: UNHURRIED, GRAPHOOK_REQUEST_TIMEOUT="1") as trial:
        (api,) = trial.system.apis
        publishing = asyncio.create_task(trial.publisher.publish(messages, batch=10))
        for number in range(kills):
            await grown(trial.receiver.first_seen, 2 * messages * number // (kills + 1) + 10)
            await api.kill()
            integrity = (await trial.sql("PRAGMA integrity_check"))[0][0]
            assert integrity == "ok", integrity
            before = len(trial.receiver.first_seen)
            await api.start()
            up = time.monotonic()
            if before < 2 * len(trial.publisher.acknowledged):
                await grown(trial.receiver.first_seen, before)
                slowest = max(slowest, time.monotonic() - up)
        await publishing
        found = await trial.settled()
        stored = await trial.number("SELECT count(*) FROM message")
    nothing_lost(found)
    assert stored == messages, f"{stored} messages for {messages} keys"
    assert slowest < field.within(2.0), f"deliveries went on {slowest:.1f} s after the start"
    return f"{kills} kills, integrity ok, deliveries went on {slowest:.1f} s after a start at the latest; {found}"


@row(
    "R15",
    "Workers and API processes replaced one after the other by SIGTERM under load: nothing lost, nothing sent twice, no request answered with an error.",
)
async def rolling_restart(field: Field) -> str:
    rounds, messages = field.count(10, 2), field.count(20_000, 600)
    behind = NGINX
    async with field.trial(apis=2, workers=2, plan=lambda *_: UNHURRIED, GRAPHOOK_REQUEST_TIMEOUT="10") as trial:
        with ExitStack() as stack:
            try:
                trial.publisher.urls = [stack.enter_context(balanced(trial.publisher.urls, may_install=field.scale > 0))]
            except Missing:
                behind = "without a load balancer, for want of nginx"
            await replace_in_turn(trial, rounds, messages)
        found = await trial.settled()
    assert not found.faults, found
    assert found.duplicates == found.interrupted == 0, found
    assert set(trial.publisher.statuses) == {200}, trial.publisher.statuses
    if behind == NGINX:
        assert trial.publisher.broken == 0, f"{trial.publisher.broken} requests were cut off"
    return f"{2 * rounds} processes replaced {behind}, no answer but 200; {found}"


async def replace_in_turn(trial: Trial, rounds: int, messages: int) -> None:
    """Tell one worker and one API process after the other to stop and start them again, while messages come in all the time."""

    async def replace() -> None:
        for number in range(rounds):
            for member in (trial.system.workers[number % 2], trial.system.apis[number % 2]):
                await grown(trial.publisher.acknowledged, len(trial.publisher.acknowledged))
                await member.stop()
                await member.start()

    replacing = asyncio.create_task(replace())
    while not replacing.done() or len(trial.publisher.acknowledged) < messages:
        await trial.publisher.publish(100, batch=5, rate=20)
    await replacing


@row("R16", "A message that kills whoever sends it is set aside after three deaths, and the others are delivered.")
async def poison(field: Field) -> str:
    messages = field.count(2000, 40)
    async with field.trial(each={**SHORT, "CHAOS_POISON": "poison"}, endpoints=1, GRAPHOOK_REQUEST_TIMEOUT="1") as trial:
        (worker,) = trial.system.workers
        poisonous = await trial.tenant.message(trial.app, eventType="poison")
        keeping = asyncio.create_task(keep_alive(worker))
        await trial.publisher.publish(messages, batch=20)
        found = await trial.settled(120)
        keeping.cancel()
        attempts = await trial.tenant.attempts(trial.app, poisonous)
        (state,) = await trial.sql(f"SELECT state, reason FROM delivery WHERE message_id = '{poisonous['id']}'")
    nothing_lost(found)
    assert [attempt["errorCode"] for attempt in attempts] == ["interrupted"] * 3, attempts
    assert state == (6, "interrupted too often"), state
    return f"set aside after 3 deaths; beside it {found}"


async def keep_alive(member: Member) -> None:
    """A supervisor: what dies is started again, as it was."""
    while True:
        if not member.alive:
            await member.kill()
            await member.launch()
        await asyncio.sleep(0.1)
