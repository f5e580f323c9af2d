"""A receiver that misbehaves: each connection is handed to a script that writes to the socket whatever it likes."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.listening import stop_listening

Script = Callable[[Reader, Writer], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def read_request(reader: Reader) -> bytes:
    """The head of a request, once its body has been read as well."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(lengths[0]) if lengths else 0)
    return head


@dataclass
class Hostile:
    """Runs the script on one connection after the other; once `script` is None, answers 200 for ever."""

    script: Script | None
    scheme: str = "http"
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[Writer] = field(default_factory=set)

    def url(self, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/hook"

    def connected(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        try:
            if self.script is not None:
                await self.script(reader, writer)
                return
            while True:
                self.heads.append(await read_request(reader))
                writer.write(OK)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # the sender went away
        finally:
            self._writers.discard(writer)
            writer.close()

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:  # of tasks that were cancelled before they began
            writer.transport.abort()


@asynccontextmanager
async def hostile(script: Script | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Hostile]:
    """A hostile receiver on a free port of this machine."""
    found = Hostile(script, "http" if tls is None else "https")
    server = await asyncio.start_server(found.connected, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        await stop_listening(server)
        await found.end()


def answering(*parts: bytes, every: float = 0, for_ever: bool = False, then_close: bool = True) -> Script:
    """Read the request, write the parts (the last one for ever, if so wished) with a pause between them, then close or keep still."""

    async def script(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(every)
        while for_ever:
            writer.write(parts[-1])
            await writer.drain()
            await asyncio.sleep(every)
        if not then_close:
            await reader.read()

    return script
