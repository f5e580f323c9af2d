"""What one endpoint or one tenant does must not reach the others: rows I1 to I4."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.chaos.crashes import nothing_lost
from tests.chaos.field import SECRET, Field, NotRun, Trial, mint
from tests.chaos.ledger import Ledger
from tests.chaos.publisher import Publisher, percentile
from tests.chaos.receiver import Answer, bomb
from tests.chaos.rows import row
from tests.tenant import Tenant
from tests.waiting import until

# What the table calls unharmed: a fifth more, or in seconds what a busy machine takes anyway. Waiting for somebody's timeout takes 2 and more.
NOISE = 0.5


def unharmed(before: float, during: float) -> None:
    """Raises `NotRun` where the machine is too busy with other things for the difference to mean anything."""
    if during > 1.2 * before and before > NOISE:
        raise NotRun(f"the machine is busy with other things: {before * 1000:.0f} ms before anything, {during * 1000:.0f} ms during")
    assert during <= max(1.2 * before, before + NOISE), f"{before * 1000:.0f} ms before, {during * 1000:.0f} ms during"


async def delay(trial: Trial, publisher: Publisher, messages: int, rate: float) -> float:
    """The p95 of seconds from create to first byte, of messages published now."""
    earlier = set(publisher.acknowledged)
    await publisher.publish(messages, rate=rate)
    new = publisher.acknowledged.keys() - earlier
    name = publisher.endpoints[0]
    seen = trial.receiver.first_seen
    await until(lambda: all((message, name) in seen for message in new), "the healthy deliveries", patience=60)
    return percentile([seen[message, name] - publisher.begun[message] for message in new], 0.95)


async def another(trial: Trial, endpoints: Mapping[str, Mapping[str, Any]], *, same_tenant: bool = True) -> Publisher:
    """A publisher of another application, of the same organisation or of another one."""
    token = trial.tenant.token if same_tenant else await mint(trial.database_url)
    async with Tenant(trial.system.apis[0].url, token) as tenant:
        app = await tenant.application()
        at_once = asyncio.Semaphore(8)

        async def create(name: str, values: Mapping[str, Any]) -> None:
            trial.receiver.secrets[name] = SECRET
            async with at_once:
                found = await tenant.endpoint(app, **{"url": trial.receiver.url(name), "secret": SECRET, **values})
            trial.endpoints[name] = found["id"]

        await asyncio.gather(*(create(name, values) for name, values in endpoints.items()))
    return Publisher(trial.publisher.ledger, trial.publisher.urls, token, app["id"], list(endpoints))


@row("I1", "Endpoints that hang until the timeout do not slow the others down.")
async def slow_endpoints(field: Field) -> str:
    messages = field.count(5000, 120)

    def plan(name: str, message: str, earlier: int) -> Answer:
        return Answer(kind="hang") if name.startswith("slow") else Answer()

    async with field.trial(endpoints=1, plan=plan, GRAPHOOK_RETRY_SCHEDULE="1,1") as trial:
        before = await delay(trial, trial.publisher, messages, 20)
        slow = await another(trial, {f"slow{n}": {} for n in range(10)})
        await slow.publish(100, batch=10)
        await until(lambda: sum(trial.receiver.open.values()) > 20, "requests that hang")
        during = await delay(trial, trial.publisher, messages, 20)
        hanging = max(trial.receiver.most_open[name] for name in slow.endpoints)
    unharmed(before, during)
    return f"create to first byte p95 {before * 1000:.0f} ms before, {during * 1000:.0f} ms beside 10 endpoints with up to {hanging} hanging requests"


@row("I2", "Endpoints whose name is never resolved do not slow the others down.")
async def dead_names(field: Field) -> str:
    messages, names = field.count(5000, 120), 100
    domains = {"CHAOS_DNS": "silent.example.com=here.example.org"}
    async with field.trial(endpoints=1, host="hooks.here.example.org", each=domains, GRAPHOOK_RETRY_SCHEDULE="1,1") as trial:
        # Each delivery dials, and looks up the name as soon as its last answer is a few seconds old.
        trial.receiver.reusable = False
        before = await delay(trial, trial.publisher, messages, 20)
        dead = await another(trial, {f"dead{n}": {"url": f"http://n{n}.silent.example.com/"} for n in range(names)})
        dead.ledger = Ledger(field.folder / "dead-names")
        await dead.publish(5, batch=5)
        during = await delay(trial, trial.publisher, messages, 20)

        async def recorded() -> bool:
            return await trial.number("SELECT count(*) FROM attempt WHERE error_code IN ('dns', 'timeout')") > 0

        await until(recorded, "the names to be given up", patience=60)
        failed = await trial.number(f"SELECT count(*) FROM attempt WHERE status = 2 AND endpoint_id = '{trial.endpoints['e0']}'")
    assert failed == 0, f"{failed} attempts at the name that is answered failed"
    unharmed(before, during)
    return f"create to first byte p95 {before * 1000:.0f} ms before, {during * 1000:.0f} ms beside {names} names that are not answered"


@row("I3", "A tenant with a long backlog does not slow another tenant down.")
async def flooding_tenant(field: Field) -> str:
    messages, flood = field.count(5000, 120), field.count(100_000, 2000)
    # Slow while the others are looked at, then quick: what is left of the backlog would take half an hour.
    seconds = {"flooded": 0.5}

    def plan(name: str, message: str, earlier: int) -> Answer:
        return Answer(after=seconds.get(name, 0.0))

    async with field.trial(endpoints=1, plan=plan) as trial:
        before = await delay(trial, trial.publisher, messages, 20)
        flooder = await another(trial, {"flooded": {}}, same_tenant=False)
        await flooder.publish(flood, batch=200)
        waiting = await trial.number("SELECT count(*) FROM delivery WHERE state = 0")
        during = await delay(trial, trial.publisher, messages, 20)
        seconds.clear()
        found = await trial.settled(600)
    nothing_lost(found)
    assert waiting > flood / 2, f"the backlog was only {waiting}"
    unharmed(before, during)
    return f"create to first byte p95 {before * 1000:.0f} ms before, {during * 1000:.0f} ms beside a backlog of {waiting}; {found}"


@row("I4", "Answers that drip, never end or unpack to 64 MiB: each is over within the time limit, memory stays, the others notice nothing.")
async def hostile_answers(field: Field) -> str:
    messages, each = field.count(5000, 120), field.count(100, 8)
    kinds = {"drip": Answer(kind="drip"), "huge": Answer(kind="huge"), "bomb": Answer(kind="bomb")}

    def plan(name: str, message: str, earlier: int) -> Answer:
        return kinds.get(name.rstrip("0123456789"), Answer())

    await asyncio.to_thread(bomb)
    async with field.trial(endpoints=1, plan=plan, GRAPHOOK_RETRY_SCHEDULE="", GRAPHOOK_REQUEST_TIMEOUT="2") as trial:
        before = await delay(trial, trial.publisher, messages, 20)
        (worker,) = trial.system.workers
        memory = worker.memory()
        hostile = await another(trial, {f"{kind}{n}": {} for kind in kinds for n in range(each)})
        hostile.ledger = Ledger(field.folder / "hostile")
        sending = asyncio.create_task(hostile.publish(5, batch=5))
        during = await delay(trial, trial.publisher, messages, 20)
        await sending
        most = worker.memory()
        await trial.quiet()
        most = max(most, worker.memory())
        longest = await trial.number("SELECT max(duration_ms) FROM attempt")
        ids = ", ".join(f"'{trial.endpoints[name]}'" for name in hostile.endpoints)
        attempts = await trial.number(f"SELECT count(*) FROM attempt WHERE status = 2 AND endpoint_id IN ({ids})")
    grown = most - memory
    assert attempts == 15 * each, f"{attempts} of {15 * each} hostile answers are recorded as failures"
    assert grown < 64 * 1024 * 1024, f"{grown / 1024 / 1024:.0f} MiB more"
    assert longest <= 3000, f"an attempt took {longest} ms"
    unharmed(before, during)
    return (
        f"{attempts} hostile answers, the longest attempt {longest} ms of 2,000 allowed, {max(0, grown) / 1024 / 1024:.0f} MiB more memory; "
        f"create to first byte p95 {before * 1000:.0f} ms before, {during * 1000:.0f} ms during"
    )
