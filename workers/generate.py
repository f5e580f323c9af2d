"""Works on generations: asks the model outside any transaction, keeps its answer while it comes, and tries what it wrote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from graphook import database, generation, strict_json
from graphook.completion import Completion, Failure, GenerationFailed
from graphook.errors import GraphookError, NotFound, Unavailable
from graphook.generation import BadAnswer
from graphook.live import Bus
from graphook.llm import Messages, Model, missing_settings
from graphook.sandbox import Sandbox
from graphook.settings import Settings
from graphook.transformation import TransformationError, Webhook
from models.generation import Brief, Draft, brief_of
from models.task import GENERATIONS, ClaimedTask, LeaseLost, TaskStatus, TaskType
from workers.tasks import LOOK_EVERY, TaskRunner

log = logging.getLogger(__name__)

T = TypeVar("T")

LEASE_SECONDS = 10.0
# How often what has come is written, and whether the generation was canceled is looked at.
KEEP_EVERY = 0.25
# The second time that a worker dies over it ends a generation: each time the model is asked anew, which costs.
MAX_TAKEN = 2
# Where the webhook of a trial would go.
TRIAL_URL = "https://example.com/webhook"
# Bytes of a payload that a trial may make.
MAX_TRIED = 256 * 1024


class _Stopped(Exception):
    """The process stops; another one asks anew."""


class Generator(TaskRunner):
    """One per process: a runner whose tasks ask the model."""

    def __init__(
        self,
        worker: str,
        settings: Settings,
        sandbox: Sandbox,
        wake: Callable[[Iterable[str]], None],
        bus: Bus,
        *,
        lease_seconds: float = LEASE_SECONDS,
        look_every: float = LOOK_EVERY,
    ) -> None:
        # One looks also where no model is configured: it ends what a process with other settings has begun.
        at_once = 1 if missing_settings(settings) else settings.llm_slots
        super().__init__(worker, {}, wake, bus, kinds=GENERATIONS, at_once=at_once, lease_seconds=lease_seconds, look_every=look_every)
        self._settings = settings
        self._sandbox = sandbox
        self._model = Model(settings)

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            await self._model.close()

    async def _take_steps(self, task: ClaimedTask) -> None:
        work = _Work(task, self._lease_us, self._bus, self._stopping)
        try:
            told = await work.end(*await self._result(work))
        except _Stopped:
            await work.give_back()
            return
        except LeaseLost:
            log.info("generation %s was canceled, or taken over by another worker", task.id)
            return
        self._wake(told)
        self._bus.publish([task.id])

    async def _result(self, work: _Work) -> tuple[TaskStatus, Mapping[str, Any]]:
        """How the task ends, and its data."""
        task = work.task
        try:
            await work.begin()
            brief = await work.through_outages(lambda: brief_of(task.org_id, task.type, task.arguments, self._settings.llm_prompt_limit))
            write = self._write_code if task.type is TaskType.TEMPLATE_GENERATE else self._write_schema
            return TaskStatus.FINISHED, await write(work, brief)
        except Unavailable:
            raise
        except GraphookError as error:
            return TaskStatus.FAILED, _why(error)

    async def _write_code(self, work: _Work, brief: Brief) -> dict[str, Any]:
        completion = await self._ask(work, brief.messages)
        script = generation.code_of(completion.text)
        trial = await work.while_kept(self._try(work.task.org_id, script, brief))
        return {**self._shown(completion), "script": script, "trial": trial}

    async def _write_schema(self, work: _Work, brief: Brief) -> dict[str, Any]:
        completion = await self._ask(work, brief.messages)
        try:
            schema = await self._schema_of(work, completion)
        except BadAnswer as fault:
            conversation = generation.repair(brief.messages, completion.text, str(fault))
            if generation.size(conversation) > self._settings.llm_prompt_limit:
                raise _unusable(fault) from None
            await work.next_answer()
            completion = await self._ask(work, conversation)
            try:
                schema = await self._schema_of(work, completion)
            except BadAnswer as error:
                raise _unusable(error) from None
        return {**self._shown(completion), "schema": schema}

    async def _ask(self, work: _Work, messages: Messages) -> Completion:
        return await work.while_kept(self._model.ask(messages, work.hear))

    @staticmethod
    async def _schema_of(work: _Work, completion: Completion) -> dict[str, Any]:
        # A thread of its own: a large schema takes a second, and everybody else is served meanwhile.
        checking = asyncio.to_thread(generation.schema_of, completion.text, work.task.arguments["examples"])
        return await work.while_kept(checking)

    async def _try(self, tenant: str, code: str | None, brief: Brief) -> dict[str, Any]:
        """What the code makes of the example."""
        shown = {"eventType": brief.event_type, "payload": None if brief.real else brief.payload}
        if code is None:
            return {**shown, "error": {"code": "NO_CODE", "message": "The answer holds no function handler."}}
        given = Webhook("POST", TRIAL_URL, strict_json.dumps(brief.payload), brief.event_type, {})
        try:
            made = await self._sandbox.transform(code, given, tenant=tenant)
        except TransformationError as error:
            return {**shown, "error": {"code": error.code, "message": error.message}}
        if len(made.payload) > MAX_TRIED:
            return {**shown, "error": {"code": "OUTPUT_TOO_LARGE", "message": f"The payload has more than {MAX_TRIED} bytes."}}
        return {
            **shown,
            "made": {
                "method": made.method,
                "url": made.url,
                "payload": made.payload.decode(),
                "headers": dict(made.headers),
                "cancel": made.cancel,
            },
        }

    def _shown(self, completion: Completion) -> dict[str, Any]:
        """A completion as the task keeps it."""
        return {
            "id": completion.id,
            "object": "chat.completion",
            "model": completion.model or self._settings.llm_model,
            "created": completion.created,
            "choices": [
                {
                    "index": choice.index,
                    "finishReason": choice.finish_reason or "stop",
                    "message": {"role": choice.role, "content": choice.content},
                }
                for _, choice in sorted(completion.choices.items())
            ],
            "usage": {"promptTokens": completion.prompt_tokens, "completionTokens": completion.completion_tokens},
        }


class _Work:
    """One generation at work: what has come of its answer, and how that is kept under the task's lease."""

    def __init__(self, task: ClaimedTask, lease_us: int, bus: Bus, stopping: asyncio.Event) -> None:
        self.task = task
        self._lease_us = lease_us
        self._bus = bus
        self._stopping = stopping
        self._taken = 0
        self._answer = 0
        self._parts: list[str] = []
        self._kept = 0

    async def begin(self) -> None:
        """Count that the work is taken up, and begin an answer. Raises `GenerationFailed` when that was often enough."""
        found = await self.through_outages(self._found)
        self._taken, self._answer = found.taken + 1, found.answer
        if found.taken >= MAX_TAKEN:
            self._parts = [found.text]
            raise GenerationFailed(Failure.INTERRUPTED, "It was interrupted more than once while the model answered.")
        await self.next_answer()

    async def _found(self) -> Draft:
        async with database.transaction() as session:
            return Draft.of(await self.task.position(session))

    async def next_answer(self) -> None:
        """Forget what has come, which the next answer takes the place of."""
        self._answer += 1
        self._parts, self._kept = [], 0
        await self.through_outages(self._write)

    def hear(self, text: str) -> None:
        """A piece of the answer."""
        self._parts.append(text)

    async def while_kept(self, doing: Coroutine[Any, Any, T]) -> T:
        """The result of something, under a lease that is renewed meanwhile. Whatever ends the keeping ends it: see `_keep`."""
        task, keeping = asyncio.create_task(doing), asyncio.create_task(self._keep())
        try:
            await asyncio.wait({task, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
            return task.result()
        finally:
            task.cancel()
            keeping.cancel()
            await asyncio.gather(task, keeping, return_exceptions=True)

    async def _keep(self) -> None:
        """Write what comes, in batches, until the generation is canceled or taken over (`LeaseLost`) or the process stops (`_Stopped`)."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            try:
                async with asyncio.timeout(KEEP_EVERY):
                    await self._stopping.wait()
                raise _Stopped
            except TimeoutError:
                pass
            try:
                if len(self._parts) > self._kept or (loop.time() - renewed) * 1_000_000 > self._lease_us / 3:
                    await self._write()
                    renewed = loop.time()
                else:
                    async with database.transaction() as session:
                        await self.task.position(session)
            except Unavailable as error:
                # The model goes on; what it says is written when the database is back, if the lease is still ours then.
                log.warning("a generation waits for the database: %s", error)

    async def through_outages(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until the database answers: an outage costs no second request to the model. Raises `Unavailable` once the process stops."""
        while True:
            try:
                return await call()
            except Unavailable as error:
                if self._stopping.is_set():
                    raise
                log.warning("a generation waits for the database: %s", error)
                await asyncio.sleep(KEEP_EVERY)

    async def give_back(self) -> None:
        """Let another worker ask anew; that this one was stopped does not count."""
        self._taken -= 1
        await self._write()
        await self.task.release()

    async def end(self, status: TaskStatus, data: Mapping[str, Any]) -> list[str]:
        """Record the result, through an outage too; the text of a finished one is in it."""
        text = "" if status is TaskStatus.FINISHED else "".join(self._parts)

        async def write() -> list[str]:
            async with database.transaction() as session:
                await self.task.advance(session, Draft(self._taken, self._answer, text).state, 0.0, self._lease_us)
                return await self.task.end(session, status, data)

        return await self.through_outages(write)

    async def _write(self) -> None:
        count = len(self._parts)
        draft = Draft(self._taken, self._answer, "".join(self._parts))
        async with database.transaction() as session:
            await self.task.advance(session, draft.state, 0.0, self._lease_us)
        self._kept = count
        self._bus.publish([self.task.id])


def _unusable(fault: BadAnswer) -> GenerationFailed:
    return GenerationFailed(Failure.ANSWER_INVALID, f"The model wrote no schema that can be used: {fault}")


def _why(error: GraphookError) -> dict[str, Any]:
    """A failure as the task keeps it."""
    if isinstance(error, GenerationFailed):
        more = {} if error.retry_after is None else {"retryAfter": error.retry_after}
        return {"error": error.message, "code": error.failure.value, **more}
    gone = isinstance(error, NotFound) or error.code == "MISSING_PAYLOAD"
    return {"error": error.message, "code": (Failure.INPUT_GONE if gone else Failure.INPUT_TOO_LARGE).value}
