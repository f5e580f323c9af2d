"""What is recorded, and what two callers at once make of one key: rows R11, R12, R14, R17 and R18."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

from tests.chaos.crashes import nothing_lost
from tests.chaos.field import Field, NotRun
from tests.chaos.receiver import Answer
from tests.chaos.rows import row
from tests.client import http_client
from tests.operations import operations


@row("R11", "A worker whose clock is an hour wrong, either way: leases and retries keep the database's time, nothing is lost.")
async def wrong_clocks(field: Field) -> str:
    messages, seen = field.count(2000, 40), []
    for hours in (-1, 1):

        def fails_once(name: str, message: str, earlier: int) -> Answer:
            return Answer(503 if earlier == 0 else 200)

        skewed = {"CHAOS_CLOCK": str(hours * 3600)}
        async with field.trial(endpoints=1, plan=fails_once, each=skewed, GRAPHOOK_RETRY_SCHEDULE="2,2") as trial:
            begin = time.monotonic()
            await trial.publisher.publish(messages, batch=20)
            found = await trial.settled(60)
            took = time.monotonic() - begin
            pairs = [sorted(a for a in trial.receiver.arrivals["e0"])]
        nothing_lost(found)
        assert found.interrupted == 0, found
        assert found.receipts == 2 * messages, found
        assert max(pairs[0]) - min(pairs[0]) >= 1.6, "a retry came early"
        assert took < 30, f"it took {took:.0f} s"
        seen.append(f"{hours:+d} h: {found.receipts} requests, retries planned after 2 s done within {took:.0f} s")
    return "; ".join(seen) + "; the clock is set wrong inside the worker process"


@row("R12", "A full disk under the embedded service: 503 while nothing can be written, and on it goes when there is room.", embedded=True)
async def full_disk(field: Field) -> str:
    messages = field.count(2000, 60)
    disk = field.folder / "disk"
    disk.mkdir()
    # Room for the messages, some 4 KiB each with all that belongs to them, twice, and for the write-ahead log.
    size = f"size={8 + messages // 100}m"
    if os.geteuid() != 0 or await _run("mount", "-t", "tmpfs", "-o", size, "chaos", str(disk)):
        raise NotRun("a small file system cannot be mounted here")
    try:
        async with Field(disk, field.scale).trial(embedded=True, endpoints=1) as trial:
            publisher = trial.publisher
            await publisher.publish(messages)
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass
            publisher.padding = 200_000
            await publisher.publish(5, give_up=True, clients=1)
            refused = Counter(publisher.statuses)
            ballast.unlink()
            begin = time.monotonic()
            publisher.padding = 0
            await publisher.publish(messages)
            took = time.monotonic() - begin
            found = await trial.settled()
            sound = (await trial.sql("PRAGMA integrity_check"))[0][0]
    finally:
        await _run("umount", "-l", str(disk))
    nothing_lost(found)
    assert refused[503] > 0, f"nothing was refused: {refused}"
    assert publisher.server_errors == 0, publisher.statuses
    assert sound == "ok", sound
    return f"{refused[503]} messages refused with 503, {messages} accepted within {took:.1f} s of room being there; {found}"


async def _run(*command: str) -> int:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


@row("R14", "The embedded service answers only after an fsync: at least one for each message created alone.", embedded=True)
async def fsync_before_answer(field: Field) -> str:
    messages = field.count(1000, 30)
    strace = shutil.which("strace")
    if strace is None:
        raise NotRun("strace is missing")
    async with field.trial(embedded=True, endpoints={}) as trial:
        process = trial.system.apis[0].process
        assert process is not None
        log = field.folder / "fsyncs"
        command = [strace, "-f", "-q", "-e", "trace=fsync,fdatasync", "-o", str(log), "-p", str(process.popen.pid)]
        tracer = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        try:
            await asyncio.sleep(1)
            if tracer.returncode is not None:
                raise NotRun("strace may not look at processes here")
            before = _syncs(log)
            await trial.publisher.publish(messages, clients=1)
            counted = _syncs(log) - before
        finally:
            if tracer.returncode is None:
                tracer.send_signal(signal.SIGINT)
                await tracer.wait()
    assert counted >= messages, f"{counted} fsyncs for {messages} messages"
    return f"{counted} fsyncs for {messages} messages created one after the other"


def _syncs(log: Path) -> int:
    return sum("sync(" in line for line in log.read_text().splitlines()) if log.exists() else 0


@row("R17", "The same idempotency key many times at once over several API processes makes one message; with another body it is refused.")
async def racing_keys(field: Field) -> str:
    keys, callers = field.count(500, 10), 40
    async with field.trial(apis=2, endpoints=1) as trial:
        headers = {"Authorization": f"Bearer {trial.publisher.token}"}
        async with http_client(headers=headers, timeout=60) as client:

            async def create(number: int, key: str, body: str) -> dict[str, object]:
                values = {"eventType": "invoice.paid", "rawPayload": body}
                variables = {"appId": trial.app["id"], "idempotencyKey": key, "input": values}
                url = trial.system.apis[number % 2].url
                response = await client.post(url, json={"query": operations()["MessageCreate"], "variables": variables})
                assert response.status_code == 200, response.text
                return dict(response.json()["data"]["messageCreate"])

            for _ in range(keys):
                key, body = str(uuid4()), json.dumps({"n": random.random()})
                answers = await asyncio.gather(*(create(n, key, body) for n in range(callers)))
                ids = {answer["message"]["id"] for answer in answers}  # type: ignore[index]
                assert len(ids) == 1, f"{len(ids)} messages for one key"
                other = await create(0, key, '{"n":"other"}')
                assert other["errors"][0]["code"] == "IDEMPOTENCY_KEY_REUSED", other  # type: ignore[index]
        stored = await trial.number("SELECT count(*) FROM message")
    assert stored == keys, f"{stored} messages for {keys} keys"
    return f"{keys} keys, each {callers} times at once over 2 processes: {stored} messages; another body refused each time"


@row(
    "R18",
    "Receivers that fail, cut connections and let requests hang: one attempt is recorded for each request that arrived, no more and no less.",
)
async def exact_records(field: Field) -> str:
    messages = field.count(50_000, 400)

    def anything(name: str, message: str, earlier: int) -> Answer:
        if earlier >= 2:
            return Answer()
        dice = random.random()
        if dice < 0.5:
            return Answer()
        if dice < 0.95:
            return random.choice([Answer(500), Answer(429), Answer(302), Answer(404, after=0.05), Answer(kind="reset"), Answer(kind="cut")])
        return Answer(kind="hang")

    async with field.trial(plan=anything, workers=2, GRAPHOOK_REQUEST_TIMEOUT="3", GRAPHOOK_RETRY_SCHEDULE="0.1,0.1,0.5") as trial:
        trial.receiver.reusable = False
        await trial.publisher.publish(messages, batch=20)
        found = await trial.settled()
    assert not found.faults, found
    # An answer that comes too late on a busy machine is a timeout for the sender and taken for the receiver.
    assert found.duplicates <= found.late, found
    assert found.attempts == found.receipts, f"{found.attempts} attempts, {found.receipts} requests; {found}"
    return f"{found.attempts} attempts for {found.receipts} requests; {found}"
