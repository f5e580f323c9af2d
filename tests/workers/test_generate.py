"""Generations at work: batches, leases, and workers that die, stop or have no model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import dramatiq
import pytest

from graphook.broker import Waker, create_broker
from graphook.errors import Unavailable
from graphook.live import LocalBus
from graphook.sandbox import Sandbox
from graphook.settings import Settings
from models.organisation import Organisation
from models.task import Task, TaskType, claim_task
from tests.llm_server import ANSWER, CODE, Answer, Gate, LLMServer
from tests.models.make import ended
from tests.waiting import until
from workers.deliver import GENERATE, register_generate
from workers.generate import KEEP_EVERY, Generator

pytestmark = pytest.mark.usefixtures("db")

MARK = "the request"


async def begin(org_id: str | None = None, **values: Any) -> Task:
    arguments = {"prompt": MARK, "event_type": None, "app_id": None, "message_id": None, "include_payload": False}
    row = await Task.start(org_id or (await Organisation.found("a test")).id, TaskType.TEMPLATE_GENERATE, arguments)
    if values:
        await Task.filter(id=row.id).update(**values)
    return row


class Blips(LocalBus):
    """A bus at which the database seems to go away: so often, the answer to a commit is lost."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def publish(self, ids: Iterable[str]) -> None:
        if self.left:
            self.left -= 1
            raise Unavailable("The database went away.")
        super().publish(ids)


@asynccontextmanager
async def generator(
    llm: LLMServer | None, *, lease_seconds: float = 10.0, look_every: float = 1.0, told: list[str] | None = None, blips: int = 0
) -> AsyncIterator[Generator]:
    settings = Settings.load() if llm is None else Settings.load(llm_base_url=llm.url, llm_model="small-1")
    bus, sandbox = Blips(blips), Sandbox.of(settings)
    await bus.open((told if told is not None else []).append)
    running = Generator("worker", settings, sandbox, lambda _: None, bus, lease_seconds=lease_seconds, look_every=look_every)
    work = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        running.stop()
        await work
        await sandbox.close()


async def test_pieces_are_written_in_batches(llm: LLMServer) -> None:
    llm.answers(MARK, Answer(list(f"```js\n{CODE}\n```" + " " * 20_000)))
    begun, told, at = await begin(), list[str](), time.monotonic()

    async with generator(llm, told=told):
        done = await ended(begun)

    assert (done.status, done.data["script"]) == ("finished", CODE)
    assert done.state["text"] == "", "the text of a finished one is in its result"
    assert len(told) <= 4 + (time.monotonic() - at) / KEEP_EVERY


async def test_a_lease_is_renewed_while_the_model_is_silent_and_kept_to_one_worker(llm: LLMServer) -> None:
    gate = Gate()
    llm.answers(MARK, Answer([gate, *ANSWER]))
    begun = await begin()

    async with generator(llm, lease_seconds=2.7):
        await until(lambda: len(llm.asked) == 1, "the request")
        seen = set[Any]()

        async def renewed() -> bool:
            await begun.refresh_from_db()
            seen.add(begun.lease_until)
            return len(seen) > 4

        await until(renewed, "renewals of the lease")
        assert await claim_task("another", 1_000_000) is None
        gate.open()
        done = await ended(begun)

    assert (done.status, len(llm.asked)) == ("finished", 1)


async def test_a_generation_is_asked_anew_once_after_its_worker_died_and_then_fails(llm: LLMServer) -> None:
    once = await begin(state={"taken": 1, "answer": 1, "text": "lost"})
    twice = await begin(state={"taken": 2, "answer": 2, "text": "lost again"})

    async with generator(llm):
        finished, failed = await ended(once), await ended(twice)

    assert (finished.status, finished.state["answer"]) == ("finished", 2)
    assert (failed.status, failed.data["code"], failed.state["text"]) == ("failed", "INTERRUPTED", "lost again")
    assert len(llm.asked) == 1


async def test_blips_of_the_database_are_no_deaths_and_cost_no_second_request(llm: LLMServer) -> None:
    begun = await begin()

    async with generator(llm, blips=3):
        done = await ended(begun)

    assert (done.status, done.state["taken"], done.state["answer"], len(llm.asked)) == ("finished", 1, 1, 1)


async def test_a_worker_that_stops_gives_its_generation_back_uncounted(llm: LLMServer) -> None:
    llm.answers(MARK, Answer(["so far", Gate()]), Answer(ANSWER))
    begun = await begin()

    async with generator(llm) as running:
        await until(lambda: len(llm.asked) == 1, "the request")
        running.stop()
    await begun.refresh_from_db()
    assert (begun.status, begun.state["taken"]) == ("running", 0)
    assert begun.lease_until is None
    await until(lambda: llm.asked[0].hung_up, "the model to be stopped")

    async with generator(llm):
        assert (await ended(begun)).status == "finished"


async def test_a_worker_that_lost_its_lease_stops_the_model_and_writes_nothing(llm: LLMServer) -> None:
    llm.answers(MARK, Answer(["mine", Gate()]))
    begun = await begin()

    async with generator(llm):
        await until(lambda: len(llm.asked) == 1, "the request")
        await Task.filter(id=begun.id).update(claim=99, leased_by="another", state={"taken": 2, "answer": 7, "text": "theirs"})
        await until(lambda: llm.asked[0].hung_up, "the model to be stopped")
        await begun.refresh_from_db()

    assert (begun.status, begun.state["text"]) == ("running", "theirs")


async def test_what_is_gone_when_the_work_begins_is_a_typed_failure(llm: LLMServer) -> None:
    begun = await begin(arguments={"prompt": MARK, "event_type": "gone", "app_id": None, "message_id": None, "include_payload": False})

    async with generator(llm):
        done = await ended(begun)

    assert (done.status, done.data["code"], llm.asked) == ("failed", "INPUT_GONE", [])


async def test_a_worker_without_a_model_fails_what_another_process_began() -> None:
    begun = await begin()

    async with generator(None):
        done = await ended(begun)

    assert (done.status, done.data["code"]) == ("failed", "NOT_CONFIGURED")
    assert "GRAPHOOK_LLM_BASE_URL" in done.data["error"]


async def test_the_message_that_wakes_a_generator_reaches_it() -> None:
    broker, looks = create_broker(None), list[bool]()
    register_generate(broker, lambda: looks.append(True))
    consumer, waker = dramatiq.Worker(broker, worker_timeout=20, worker_threads=1), Waker(broker)
    consumer.start()
    try:
        waker.wake(GENERATE, ["qtask_1"])
        await until(lambda: bool(looks), "the look")
    finally:
        await waker.close()
        consumer.stop()


async def test_a_generator_that_is_woken_begins_at_once(llm: LLMServer) -> None:
    first, second = await begin(), await begin()
    async with generator(llm, look_every=3600) as running:
        await ended(first)
        await ended(second)
        third = await begin()
        running.look()

        assert (await ended(third)).status == "finished"
