"""A real HTTP receiver: answers what it is told to and keeps what it got."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from tests.listening import Listener
from tests.waiting import until


@dataclass(frozen=True)
class Got:
    """One request as it came in; header names in lower case, `raw_names` as they were sent."""

    path: str
    headers: dict[str, str]
    raw_names: list[str]
    body: bytes
    at: float
    method: str = "POST"


@dataclass
class Receiver(Listener):
    """Listens on a free port of this machine. Each path has its own planned answers; 200 when there are none left."""

    requests: list[Got] = field(default_factory=list)
    plans: dict[str, list[int]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    takes: float = 0.0
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    # Requests to a path that are being answered, and the most there were at a time.
    open: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    def answers(self, path: str, *statuses: int) -> None:
        """Answer the next requests to a path with these."""
        self.plans.setdefault(path, []).extend(statuses)

    def hold(self, path: str) -> asyncio.Event:
        """Answer requests to a path only once the event is set."""
        self.gates[path] = asyncio.Event()
        return self.gates[path]

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def got(self, path: str = "/hook") -> list[Got]:
        """What came in for a path."""
        return [request for request in self.requests if request.path == path]

    async def wait_for(self, count: int, path: str = "/hook") -> list[Got]:
        """What came in for a path, once there are so many."""
        await until(lambda: len(self.got(path)) >= count, lambda: f"{len(self.got(path))} of {count} requests to {path}")
        return self.got(path)

    async def __aexit__(self, *_: object) -> None:
        for gate in self.gates.values():
            gate.set()
        await super().__aexit__()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request_line, *lines = head.split("\r\n")[:-2]
            pairs = [line.partition(":") for line in lines]
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _ = request_line.split(" ")
            now = asyncio.get_running_loop().time()
            self.requests.append(Got(path, headers, [name for name, _, _ in pairs], body, now, method))
            self.open[path] += 1
            self.most[path] = max(self.most[path], self.open[path])
            try:
                if path in self.gates:
                    await self.gates[path].wait()
                await asyncio.sleep(self.takes)
            finally:
                self.open[path] -= 1
            planned = self.plans.get(path)
            status = planned.pop(0) if planned else 200
            answer = self.bodies.get(path, b"ok")
            extra = "".join(f"{name}: {value}\r\n" for name, value in self.extra.items())
            writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: {len(answer)}\r\n{extra}\r\n".encode() + answer)
            await writer.drain()
