"""Redis and PostgreSQL that go away, answer slowly, fall silent or fail over, and links that are cut: rows R4 to R9, and R19."""

from __future__ import annotations

import asyncio
import signal
import time

import asyncpg

from tests.chaos.compare import rows
from tests.chaos.crashes import UNHURRIED, grown, nothing_lost, nothing_lost_and_told
from tests.chaos.field import Field
from tests.chaos.isolation import unharmed
from tests.chaos.proxy import Proxy
from tests.chaos.publisher import Publisher, percentile
from tests.chaos.receiver import Answer
from tests.chaos.rows import row
from tests.chaos.servers import redis_says
from tests.client import http_client
from tests.waiting import until


def a_third_fails_first(name: str, message: str, earlier: int) -> Answer:
    """Every third delivery is refused the first time."""
    return Answer(503 if earlier == 0 and sum(message.encode() + name.encode()) % 3 == 0 else 200, after=0.02)


@row(
    "R4",
    "Redis wiped, killed and gone for a while, with a third of the deliveries failing first: nothing lost, retries in time, no API errors.",
)
async def wiped_redis(field: Field) -> str:
    flushes, kills, down, messages = field.count(5, 2), field.count(2, 1), field.count(60, 5), field.count(20_000, 400)
    assert field.redis is not None
    schedule = 1.0
    async with field.trial(plan=a_third_fails_first, GRAPHOOK_RETRY_SCHEDULE=f"{schedule},{schedule}") as trial:
        publishing = asyncio.create_task(trial.publisher.publish(messages, clients=4))

        async def reached(part: float) -> None:
            await until(lambda: len(trial.publisher.acknowledged) > messages * part, "acknowledgements", patience=120)

        for number in range(flushes):
            await reached(0.5 * (number + 1) / (flushes + 1))
            assert redis_says(field.redis.port, "FLUSHALL").startswith(b"+OK")
        for number in range(kills):
            await reached(0.5 + 0.3 * (number + 1) / (kills + 1))
            field.redis.stop(signal.SIGKILL)
            if number == kills - 1:
                await asyncio.sleep(down)
            await asyncio.to_thread(field.redis.start)
        await publishing
        found = await trial.settled()
        late = await trial.sql(
            "SELECT (b.started_at - a.started_at) / 1000000.0 FROM attempt a JOIN attempt b ON b.message_id = a.message_id"
            " AND b.endpoint_id = a.endpoint_id AND b.claim = a.claim + 1 WHERE a.status = 2"
        )
    nothing_lost(found)
    assert found.duplicates <= found.late, found
    assert set(trial.publisher.statuses) == {200}, trial.publisher.statuses
    assert trial.publisher.broken == 0, f"{trial.publisher.broken} requests cut off"
    waits = [float(wait[0]) for wait in late]
    assert waits, "nothing failed first: the trial proved nothing"
    assert min(waits) > 0.8 * schedule, f"a retry after {min(waits):.1f} s"
    assert percentile(waits, 0.99) < 1.2 * schedule + field.within(2.5), f"a retry after {max(waits):.1f} s"
    return (
        f"{flushes} FLUSHALL, {kills} kills, {down} s gone; retries planned after {schedule:g} s came after {min(waits):.1f} to "
        f"{max(waits):.1f} s; {found}"
    )


@row("R5", "No Redis at all, API and workers in several processes: everything is delivered, and starts within 1.2 s.")
async def without_redis(field: Field) -> str:
    messages = field.count(4000, 100)
    async with field.trial(with_redis=False, workers=2) as trial:
        await trial.publisher.publish(messages, rate=25)
        found = await trial.settled()
        slow = percentile(trial.delays(), 0.99)
    nothing_lost(found)
    assert found.duplicates <= found.late, found
    assert slow <= 1.3, f"p99 {slow:.2f} s"
    return f"create to first byte p99 {slow * 1000:.0f} ms; {found}"


@row("R6", "Redis that answers seconds late: creating messages does not wait for it.")
async def slow_redis(field: Field) -> str:
    messages = field.count(3000, 100)
    assert field.redis is not None
    async with Proxy(field.redis.port) as proxy, field.trial(redis_port=proxy.port) as trial:
        publisher = trial.publisher
        await publisher.publish(messages, rate=25)
        before = percentile(publisher.latencies, 0.5)
        publisher.latencies.clear()
        proxy.delay = 5.0
        await publisher.publish(messages, rate=25)
        during = percentile(publisher.latencies, 0.5)
        found = await trial.settled()
    nothing_lost(found)
    assert set(publisher.statuses) == {200}, publisher.statuses
    assert max(publisher.latencies) < 5, f"a create took {max(publisher.latencies):.1f} s"
    unharmed(before, during)
    return f"half of the creates within {before * 1000:.0f} ms before, within {during * 1000:.0f} ms with 5 s of delay on each answer of Redis; {found}"


@row("R7", "PostgreSQL restarted, fast and at once, under load: 503 with Retry-After and never 500, back within 2 s, nothing lost.")
async def restarted_postgresql(field: Field) -> str:
    restarts, messages = field.count(5, 1), field.count(10_000, 300)
    assert field.postgres is not None
    slowest, worst_page = 0.0, ""
    async with field.trial(workers=2, plan=lambda *_: UNHURRIED) as trial:
        publisher = trial.publisher
        publishing = asyncio.create_task(_publish_until_told(publisher, messages))
        for how in [signal.SIGINT] * restarts + [signal.SIGQUIT] * restarts:
            await grown(publisher.acknowledged, len(publisher.acknowledged) + 30)
            await asyncio.to_thread(field.postgres.stop, how)
            await asyncio.sleep(1)
            await asyncio.to_thread(field.postgres.start)
            slowest = max(slowest, await _accepting_again(publisher))
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        await publisher.publish(10)
        found = await trial.settled()
        worst_page = "; ".join(trial.system.faults_of_ours()[:1])
    statuses = publisher.statuses
    nothing_lost_and_told(found)
    assert publisher.server_errors == 0, f"{statuses}; {worst_page}"
    assert publisher.without_retry_after == 0, f"{publisher.without_retry_after} refusals without Retry-After"
    assert statuses[503] > 0, "no request met the outage: the trial proved nothing"
    assert slowest <= field.within(2.0), f"back after {slowest:.1f} s"
    return f"{2 * restarts} restarts, {statuses[503]} answers 503, no other error, accepting again after {slowest:.1f} s; {found}"


async def _accepting_again(publisher: Publisher) -> float:
    """Seconds from now until a message is accepted."""
    begin = time.monotonic()
    await until(lambda: publisher.last_success > begin, "messages to be accepted again", patience=30)
    return publisher.last_success - begin


async def _publish_until_told(publisher: Publisher, messages: int) -> None:
    """Load that goes on until it is cancelled."""
    while True:
        await publisher.publish(messages, clients=4)


@row("R8", "PostgreSQL lost for good, and its synchronous standby promoted: nothing that was acknowledged is lost.")
async def failed_over(field: Field) -> str:
    assert field.postgres is not None
    primary = field.postgres
    messages = field.count(5000, 200)
    async with Proxy(primary.port) as proxy:
        with primary.standby() as standby:
            await _administer(primary.url, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")

            async def in_step() -> bool:
                return bool(await rows(primary.url, "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))

            try:
                await until(in_step, "the standby to be in step")
                async with field.trial(database_port=proxy.port, workers=2, plan=lambda *_: UNHURRIED) as trial:
                    publishing = asyncio.create_task(trial.publisher.publish(messages, clients=4))
                    await until(lambda: len(trial.publisher.acknowledged) > messages // 2, "load", patience=60)
                    await asyncio.to_thread(primary.stop, signal.SIGQUIT)
                    proxy.become("refused")
                    await _administer(standby.url, "SELECT pg_promote()")
                    await _administer(standby.url, "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
                    proxy.upstream = standby.port
                    proxy.become("open")
                    took = await _accepting_again(trial.publisher)
                    await publishing
                    trial.system.database_url = standby.database(trial.database_url.rpartition("/")[2])
                    found = await trial.settled()
            finally:
                if primary.guard is not None and primary.guard.poll() is not None:
                    await asyncio.to_thread(primary.start)
                await _administer(primary.url, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
    nothing_lost_and_told(found)
    assert trial.publisher.server_errors == 0, trial.publisher.statuses
    assert took <= 10, f"accepting again after {took:.1f} s"
    return f"accepting again {took:.1f} s after the promotion; {found}"


async def _administer(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, timeout=20)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@row("R9", "A worker cut off from the database alone: others resend what it held, and nothing is lost.")
async def partitioned_worker(field: Field) -> str:
    assert field.postgres is not None
    messages, seconds = field.count(5000, 100), field.count(60, 8)
    async with (
        Proxy(field.postgres.port) as proxy,
        field.trial(workers=1, plan=lambda *_: Answer(after=0.2), each={"CHAOS_MARGIN": "1"}, GRAPHOOK_REQUEST_TIMEOUT="2") as trial,
    ):
        link = field.postgres.database(trial.database_url.rpartition("/")[2], proxy.port)
        cut_off = trial.system.add_worker(GRAPHOOK_DATABASE_URL=link, CHAOS_MARGIN="1")
        await cut_off.start()
        held = f"SELECT count(*) FROM delivery WHERE state = 2 AND leased_by = '{cut_off.engine}'"

        async def holds_some() -> bool:
            # The other may be woken first, and send all of a few.
            await trial.publisher.publish(messages, batch=50)
            return await trial.number(held) > 0

        await until(holds_some, "the worker to hold something")
        proxy.become("silent")
        stuck = await trial.number(held)
        await asyncio.sleep(seconds)
        await trial.quiet()
        proxy.become("open")
        await trial.publisher.publish(10)
        await asyncio.sleep(3)
        found = await trial.settled()
    nothing_lost_and_told(found)
    return f"cut off for {seconds} s or more, holding {stuck} deliveries; {found}"


@row(
    "R19",
    "PostgreSQL silent for good on the connections there are, as when its host dies and the address moves: each request answered within 20 s with 503 "
    "and Retry-After or as usual, /readyz within 5 s, then everything goes on and nothing is lost.",
)
async def silent_postgresql(field: Field) -> str:
    rounds, messages = field.count(5, 1), field.count(500, 200)
    assert field.postgres is not None
    slowest = 0.0
    probes: list[tuple[float, int]] = []
    async with Proxy(field.postgres.port) as proxy, field.trial(database_port=proxy.port, workers=2, plan=lambda *_: UNHURRIED) as trial:
        publisher = trial.publisher
        probing = asyncio.create_task(_probe_until_told(trial.system.apis[0].url.replace("/graphql", "/readyz"), probes))
        for _ in range(rounds):
            publishing = asyncio.create_task(publisher.publish(messages, rate=25))
            await grown(publisher.acknowledged, len(publisher.acknowledged) + 30)
            proxy.forget()
            slowest = max(slowest, await _accepting_again(publisher))
            await until(publishing.done, "every message to be accepted", patience=40)
            await publishing
        probing.cancel()
        ended = (await asyncio.gather(probing, return_exceptions=True))[0]
        found = await trial.settled()
    nothing_lost_and_told(found)
    statuses, longest, probe = publisher.statuses, publisher.longest, max(seconds for seconds, _ in probes)
    refused = sum(status == 503 for _, status in probes)
    assert set(statuses) | {status for _, status in probes} == {200, 503}, f"{dict(statuses)}, {refused} probes refused: not 200 and 503"
    assert publisher.without_retry_after == 0, f"{publisher.without_retry_after} refusals without Retry-After"
    assert publisher.broken == 0, f"{publisher.broken} requests cut off"
    assert longest <= 20, f"a request was answered after {longest:.1f} s"
    assert isinstance(ended, asyncio.CancelledError), f"/readyz was not answered: {ended!r}"
    assert probe <= 5, f"/readyz answered after {probe:.1f} s"
    return (
        f"silent {rounds} times: {statuses[503]} answers 503, the slowest answer after {longest:.1f} s; {refused} of /readyz, the slowest after {probe:.1f} s; "
        f"accepting again after {slowest:.1f} s; {found}"
    )


async def _probe_until_told(url: str, probes: list[tuple[float, int]]) -> None:
    """Asks as a load balancer does, and writes down the seconds that each answer took and its status."""
    async with http_client(timeout=60) as client:
        while True:
            begin = time.monotonic()
            response = await client.get(url)
            probes.append((time.monotonic() - begin, response.status_code))
            await asyncio.sleep(0.2)
