"""A TCP proxy between two processes, whose link can be cut, held up or led elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal, Self

from tests.listening import stop_listening

Link = Literal["open", "refused", "silent"]


class Proxy:
    """Listens on a free port and forwards to `upstream`. `delay` is in seconds, for each piece of data in either direction.

    refused: connections are reset, as with a server that is gone. silent: nothing gets through and nobody is told, as in a partition.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.delay = 0.0
        self.port = 0
        self._link: Link = "open"
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop_listening(self._server)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:  # of tasks that were cancelled before they began
            writer.transport.abort()

    def become(self, link: Link) -> None:
        """Change what the link does. After a partition, connections that saw it are reset, as a firewall does that forgot them."""
        if link == "silent":
            self._passes.clear()
        else:
            self._passes.set()
        if link == "refused" or self._link == "silent":
            for writer in self._writers:
                writer.transport.abort()
        self._link = link

    def forget(self) -> None:
        """Let the connections there are stay silent for good, while new ones go through: as when a host dies and its address moves to another."""
        self._passes.clear()
        self._passes = asyncio.Event()
        self._passes.set()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other: asyncio.StreamWriter | None = None
        try:
            if self._link == "refused":
                return
            passes = self._passes
            await passes.wait()
            far, other = await asyncio.open_connection("127.0.0.1", self.upstream)
            self._writers.add(other)
            ways = {asyncio.create_task(self._pump(reader, other, passes)), asyncio.create_task(self._pump(far, writer, passes))}
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # one side is gone: the other is told by closing
        finally:
            for end in (writer, other):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await passes.wait()
                writer.write(data)
                await writer.drain()
