"""A TCP proxy between two processes, whose link can be cut, held up or led elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from tests.listening import Listener

Link = Literal["open", "refused", "silent"]


class Proxy(Listener):
    """Listens on a free port and forwards to `upstream`. `delay` is in seconds, for each piece of data in either direction.

    refused: connections are reset, as with a server that is gone. silent: nothing gets through and nobody is told, as in a partition.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.delay = 0.0
        self._link: Link = "open"
        self._passes = asyncio.Event()
        self._passes.set()

    def become(self, link: Link) -> None:
        """Change what the link does. After a partition, connections that saw it are reset, as a firewall does that forgot them."""
        if link == "silent":
            self._passes.clear()
        else:
            self._passes.set()
        if link == "refused" or self._link == "silent":
            self.cut()
        self._link = link

    def forget(self) -> None:
        """Let the connections there are stay silent for good, while new ones go through: as when a host dies and its address moves to another."""
        self._passes.clear()
        self._passes = asyncio.Event()
        self._passes.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        finally:  # also where one side is gone: the other is told by closing
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
