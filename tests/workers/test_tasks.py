"""Background tasks: steps that are never repeated or skipped, whoever dies, and an end in any case."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.clock import now
from graphook.database import Session
from graphook.errors import InvalidInput, LimitExceeded, Unavailable
from graphook.ids import new_id
from graphook.live import LocalBus
from models.organisation import Organisation
from models.task import MAX_STARTS, ClaimedTask, LeaseLost, Task, TaskStatus, TaskType, cancel_task, claim_task
from tests.models.make import ended
from tests.waiting import PATIENCE, until
from workers import tasks as tasks_module
from workers.tasks import Step, TakeStep, TaskRunner

pytestmark = pytest.mark.usefixtures("db")

KIND = TaskType.ENDPOINT_RECOVER


async def task(org_id: str | None = None, **arguments: Any) -> Task:
    return await Task.start(org_id or (await Organisation.found("a test")).id, KIND, arguments)


async def count(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Three steps, each of which says how far it came."""
    reached = state.get("reached", 0) + 1
    if reached == 3:
        return Step({}, done=True, data={"counted": reached, "began": task.arguments})
    return Step({"reached": reached}, progress=reached * 30.0, endpoint_ids=[f"ep_{reached}"])


@asynccontextmanager
async def runner(
    step: TakeStep,
    *,
    owner: bool = False,
    woken: list[str] | None = None,
    lease_seconds: float = 30.0,
    name: str = "worker",
    at_once: int = 2,
    turn_seconds: float = 30.0,
) -> Any:
    found = woken if woken is not None else []
    running = TaskRunner(
        name,
        {KIND: step},
        found.extend,
        LocalBus(),
        owns_database=owner,
        at_once=at_once,
        lease_seconds=lease_seconds,
        turn_seconds=turn_seconds,
    )
    work = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        running.stop()
        await work


async def test_a_task_is_done_step_by_step_and_wakes_what_it_made_ready() -> None:
    begun, woken = await task(a=1), list[str]()

    async with runner(count, woken=woken):
        done = await ended(begun)

    assert (done.status, done.progress, done.data) == ("finished", 100.0, {"counted": 3, "began": {"a": 1}})
    assert done.arguments == {}, "what it was to do, such as a payload to send, went with its end"
    assert woken == ["ep_1", "ep_2"]


async def test_a_task_goes_on_where_a_dead_worker_left_it() -> None:
    begun = await task()
    first = await claim_task("dead", 30_000_000)
    assert first is not None
    await Task.filter(id=begun.id).update(state={"reached": 2}, progress=60.0)
    seen: list[int] = []

    async def watched(session: Session, of: ClaimedTask, state: Mapping[str, Any]) -> Step:
        seen.append(state["reached"])
        return await count(session, of, state)

    async with runner(watched, owner=True):
        await ended(begun)

    assert seen == [2]


async def test_an_outage_between_two_steps_repeats_none() -> None:
    seen: list[int] = []

    async def through_an_outage(session: Session, of: ClaimedTask, state: Mapping[str, Any]) -> Step:
        seen.append(state.get("reached", 0))
        if len(seen) == 2:
            raise Unavailable("The database went away.")
        return await count(session, of, state)

    begun = await task()
    async with runner(through_an_outage):
        done = await ended(begun)

    assert (done.status, seen) == ("finished", [0, 1, 1, 2])


async def test_a_task_taken_up_after_a_long_outage_is_worked_on_through_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it is leased counts from when it was taken up."""
    begun = await task()
    lease_seconds, fails = 2.0, True
    back_at = asyncio.get_running_loop().time() + lease_seconds

    async def claimed(*args: Any) -> ClaimedTask | None:
        if asyncio.get_running_loop().time() < back_at:
            raise Unavailable("The database is away.")
        return await claim_task(*args)

    async def once_more(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
        nonlocal fails
        if fails:
            fails = False
            raise Unavailable("The database went away again.")
        return Step({}, done=True)

    monkeypatch.setattr(tasks_module, "claim_task", claimed)
    async with runner(once_more, lease_seconds=lease_seconds, at_once=1):
        done = await ended(begun)

    assert (done.status, done.claim) == ("finished", 1)


async def test_a_kind_that_a_worker_does_not_know_is_left_to_others_and_stops_nobody() -> None:
    newer = await task()
    await Task.filter(id=newer.id).update(type="endpoint.of-a-newer-version")
    known = await task()

    async with runner(count):
        await ended(known)
    await newer.refresh_from_db()

    assert (newer.status, newer.starts) == ("running", 0)


async def test_a_lease_is_respected_until_it_runs_out() -> None:
    await task()

    assert await claim_task("a", 30_000_000) is not None
    assert await claim_task("b", 30_000_000) is None
    await task()
    assert await claim_task("a", 0) is not None
    assert await claim_task("b", 30_000_000) is not None


async def test_one_of_an_organisation_is_worked_on_at_a_time_and_organisations_take_turns() -> None:
    org_id, other = [(await Organisation.found("a test")).id for _ in range(2)]
    mine = [(await task(org_id)).id for _ in range(3)]
    theirs = [(await task(other)).id for _ in range(2)]

    async def claim(lease_us: int = 10_000_000) -> ClaimedTask | None:
        return await claim_task("worker", lease_us)

    async def end(task: ClaimedTask | None) -> str:
        assert task is not None
        async with database.transaction() as session:
            await task.end(session, TaskStatus.FINISHED, {})
        return task.id

    first, second = await asyncio.gather(claim(), claim())
    assert first is not None
    assert second is not None
    assert {first.id, second.id} == {mine[0], theirs[0]}
    assert await claim() is None, "one of each is worked on"
    for claimed in sorted((first, second), key=lambda claimed: claimed.id == mine[0]):
        await end(claimed)

    assert [await end(await claim()) for _ in range(3)] == [theirs[1], mine[1], mine[2]]
    died = await task(org_id)
    await claim(lease_us=0)
    again = await claim()
    assert again is not None
    assert (again.id, again.number) == (died.id, 2)


async def test_long_tasks_take_turns_and_no_organisation_has_more_of_them_for_having_more_tasks() -> None:
    many, one = [(await Organisation.found("a test")).id for _ in range(2)]
    tasks = {(await task(org_id)).id: name for org_id, name in ((many, "first"), (many, "second"), (one, "other"))}
    turns: list[str] = []

    async def noted(session: Session, of: ClaimedTask, state: Mapping[str, Any]) -> Step:
        turns.append(tasks[of.id])
        return await count(session, of, state)

    async with runner(noted, at_once=1, turn_seconds=0.0):
        for id in tasks:
            await ended(await Task.get(id=id))

    assert turns == ["first", "other", "second", "other", "first", "other", "second", "first", "second"]


async def test_the_turns_of_a_task_begun_long_ago_count_too() -> None:
    old, new = [(await Organisation.found("a test")).id for _ in range(2)]
    begun = now() - timedelta(days=1)
    long = await Task.create(
        id=new_id("qtask_", begun), org_id=old, type=KIND.value, status="running", arguments={}, state={}, data={}, created_at=begun,
        updated_at=begun,
    )  # fmt: skip
    await task(new)

    claimed = await claim_task("worker", 30_000_000)
    assert claimed is not None
    assert claimed.id == long.id
    async with database.transaction() as session:
        await claimed.advance(session, {}, 1.0, 30_000_000)
    await claimed.release()
    following = await claim_task("worker", 30_000_000)

    assert following is not None
    assert following.org_id == new


async def test_a_worker_that_lost_its_lease_writes_nothing() -> None:
    begun = await task()
    slow = await claim_task("slow", 0)
    assert slow is not None
    assert await claim_task("quick", 30_000_000) is not None

    async with database.transaction() as session:
        with pytest.raises(LeaseLost):
            await slow.advance(session, {"reached": 9}, 90.0, 30_000_000)
        with pytest.raises(LeaseLost):
            await slow.end(session, TaskStatus.FINISHED, {})
    await begun.refresh_from_db()
    assert (begun.status, begun.state, begun.progress) == ("running", {}, 0.0)


async def test_an_expected_failure_ends_the_task_with_its_reason() -> None:
    async def refuse(session: Session, of: ClaimedTask, state: Mapping[str, Any]) -> Step:
        raise InvalidInput("The endpoint is gone.")

    begun = await task(body="a payload")
    async with runner(refuse):
        done = await ended(begun)

    assert (done.status, done.data, done.arguments) == ("failed", {"error": "The endpoint is gone."}, {})


async def test_a_task_that_is_canceled_keeps_nothing_of_what_it_was_to_do() -> None:
    begun = await task(body="a payload")

    await cancel_task(begun.id, {"error": "canceled"})

    await begun.refresh_from_db()
    assert (begun.status, begun.data, begun.arguments) == ("failed", {"error": "canceled"}, {})


async def test_a_task_that_is_given_back_again_and_again_is_not_taken_for_one_that_breaks_its_worker() -> None:
    await task()

    for _ in range(2 * MAX_STARTS):
        claimed = await claim_task("worker", 30_000_000)
        assert claimed is not None
        assert claimed.starts == 1
        await claimed.release()


async def test_a_task_that_breaks_its_worker_every_time_is_ended() -> None:
    tries: list[int] = []

    async def broken(session: Session, of: ClaimedTask, state: Mapping[str, Any]) -> Step:
        tries.append(of.number)
        raise RuntimeError("a fault of ours")

    begun = await task()
    async with runner(broken, lease_seconds=0.2):
        done = await ended(begun)

    assert (done.status, len(tries)) == ("failed", 3)
    assert "interrupted" in done.data["error"]


async def test_tasks_whose_steps_always_time_out_leave_their_place_to_others_and_are_ended() -> None:
    """A statement that takes too long is told from an outage by nothing but that others get through."""
    slow = [await task() for _ in range(2)]
    seen: list[str] = []

    async def timed_out(session: Session, of: ClaimedTask, state: Mapping[str, Any]) -> Step:
        seen.append(of.id)
        if of.id in {one.id for one in slow}:
            raise Unavailable("canceling statement due to statement timeout")
        return await count(session, of, state)

    async with runner(timed_out, lease_seconds=0.2):
        await until(lambda: {one.id for one in slow} <= set(seen), "both to be taken up")
        assert (await ended(await task())).status == "finished"
        for one in slow:
            assert (await ended(one)).status == "failed"


async def test_who_is_looking_when_its_worker_stops_ends_as_well() -> None:
    """The others, who were woken to end, must not leave it asleep."""
    gate = asyncio.Event()

    class Runner(TaskRunner):
        looks = 0

        async def _claim(self) -> tuple[ClaimedTask | None, float]:
            self.looks += 1
            if self.looks == 2:
                await gate.wait()
            return None, 0.0

    running = Runner("worker", {KIND: count}, lambda _: None, LocalBus(), at_once=2, look_every=3600.0)
    work = asyncio.create_task(running.run())
    await until(lambda: running.looks == 2, "one to wait and one to look")
    running.stop()
    for _ in range(3):
        await asyncio.sleep(0)
    gate.set()

    async with asyncio.timeout(PATIENCE):
        await work


async def test_a_stopping_worker_gives_its_task_back_after_the_present_step() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def gated(session: Session, of: ClaimedTask, state: Mapping[str, Any]) -> Step:
        began.set()
        await go_on.wait()
        return await count(session, of, state)

    begun = await task()
    async with runner(gated) as running:
        await began.wait()
        running.stop()
        go_on.set()
    await begun.refresh_from_db()

    assert (begun.status, begun.state) == ("running", {"reached": 1})
    assert begun.lease_until is None
    assert await claim_task("next", 30_000_000) is not None


def caller(org_id: str, app_id: str | None = None) -> Caller:
    return Caller("tok_test", org_id, app_id, frozenset(ALL_SCOPES))


async def test_of_many_tasks_begun_at_once_no_more_begin_than_an_organisation_may_have() -> None:
    org_id, other = (await Organisation.found("a test")).id, (await Organisation.found("another")).id
    await Task.start(org_id, TaskType.TEMPLATE_GENERATE, {})  # counts elsewhere

    begun = await asyncio.gather(
        *(Task.start_within(3, caller(started_by), KIND, {}) for started_by in [org_id, other] * 10), return_exceptions=True
    )

    tasks = [found.org_id for found in begun if isinstance(found, Task)]
    assert sorted(tasks) == sorted([org_id, other] * 3)
    assert sum(isinstance(found, LimitExceeded) for found in begun) == 14
    assert await Task.filter(type=KIND.value).count() == 6


async def test_the_tokens_of_an_application_have_a_share_of_the_tasks_of_their_organisation() -> None:
    org_id, most = (await Organisation.found("a test")).id, 20
    customer, another = (new_id("app_") for _ in range(2))

    begun = await asyncio.gather(
        *(Task.start_within(most, caller(org_id, customer), KIND, {}, customer) for _ in range(most)), return_exceptions=True
    )

    assert sum(isinstance(found, Task) for found in begun) == 5
    assert {str(found) for found in begun if not isinstance(found, Task)} == {
        "At most 5 background tasks of an application wait or are worked on; wait for some to end."
    }
    await Task.start_within(most, caller(org_id, another), KIND, {}, another)
    for _ in range(most - 6):
        await Task.start_within(most, caller(org_id), KIND, {}, customer)
    with pytest.raises(LimitExceeded, match="At most 20 background tasks of an organisation"):
        await Task.start_within(most, caller(org_id), KIND, {})
