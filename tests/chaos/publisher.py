"""A customer who publishes: repeats each message with its key until it is acknowledged, and writes down what was."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from tests.chaos.ledger import Ledger
from tests.client import http_client
from tests.operations import operations


@dataclass
class Publisher:
    """One application's publisher. What it saw is counted: statuses, transport errors, refusals that name no time to come back."""

    ledger: Ledger
    urls: Sequence[str]
    token: str
    app_id: str
    endpoints: Sequence[str]
    event_type: str = "invoice.paid"
    padding: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    without_retry_after: int = 0
    # Seconds that an accepted request took, and that a refused one took; when each message id was acknowledged.
    latencies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    acknowledged: dict[str, float] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    last_success: float = 0.0
    # Seconds that the slowest answer took, whatever it was.
    longest: float = 0.0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def publish(self, count: int, *, batch: int = 1, clients: int = 4, rate: float | None = None, give_up: bool = False) -> None:
        """Publish so many messages: by so many clients as fast as they can, or `rate` requests a second whatever becomes of them.

        `give_up`: a refusal (429 or 503) is taken for an answer and the message is not published.
        """
        sizes = [min(batch, count - start) for start in range(0, count, batch)]
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=50)
        async with http_client(headers={"Authorization": f"Bearer {self.token}"}, timeout=60, limits=limits) as client:
            if rate is None:
                waiting = iter(sizes)

                async def work() -> None:
                    for size in waiting:
                        await self._send(client, size, give_up)

                await asyncio.gather(*(work() for _ in range(clients)))
                return
            begin = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number, size in enumerate(sizes):
                    await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
                    group.create_task(self._send(client, size, give_up))

    async def _send(self, client: httpx.AsyncClient, size: int, give_up: bool) -> None:
        bodies = [json.dumps({"n": next(self._numbers), "padding": "x" * self.padding}) for _ in range(size)]
        inputs = [{"eventType": self.event_type, "rawPayload": body} for body in bodies]
        variables: dict[str, object] = {"appId": self.app_id, "idempotencyKey": str(uuid4())}
        variables |= {"inputs": inputs} if size > 1 else {"input": inputs[0]}
        request = {"query": operations()["MessageCreateBatch" if size > 1 else "MessageCreate"], "variables": variables}
        for tries in itertools.count():
            begun = time.monotonic()
            found = await self._try(client, self.urls[tries % len(self.urls)], request)
            if found is not None:
                now = time.monotonic()
                for message, body in zip(found, bodies, strict=True):
                    self.acknowledged[message], self.begun[message] = now, begun
                    sha256 = hashlib.sha256(body.encode()).hexdigest()
                    await self.ledger.append(message=message, sha256=sha256, endpoints=list(self.endpoints))
                self.latencies.append(now - begun)
                self.last_success = now
                return
            if give_up:
                self.refusals.append(time.monotonic() - begun)
                return
            await asyncio.sleep(0.05)

    async def _try(self, client: httpx.AsyncClient, url: str, request: Mapping[str, object]) -> list[str] | None:
        begin = time.monotonic()
        try:
            response = await client.post(url, json=request)
        except httpx.HTTPError:
            self.broken += 1
            return None
        self.longest = max(self.longest, time.monotonic() - begin)
        self.statuses[response.status_code] += 1
        if response.status_code != 200:
            self.without_retry_after += response.status_code in (429, 503) and "retry-after" not in response.headers
            return None
        answer = response.json()
        assert not answer.get("errors"), answer
        (found,) = answer["data"].values()
        results = found.get("results", [found])
        assert all(result["message"] for result in results), results
        return [result["message"]["id"] for result in results]

    @property
    def server_errors(self) -> int:
        """Answers that must never be given: 5xx other than 503."""
        return sum(count for status, count in self.statuses.items() if status >= 500 and status != 503)


def percentile(values: Sequence[float], part: float) -> float:
    """The value that `part` of the values (0 to 1) do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
