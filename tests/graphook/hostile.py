"""A receiver that misbehaves: each connection is handed to a script that writes to the socket whatever it likes."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import Awaitable, Callable

from tests.listening import Listener

Script = Callable[[Reader, Writer], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def read_request(reader: Reader) -> bytes:
    """The head of a request, once its body has been read as well."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(lengths[0]) if lengths else 0)
    return head


class Hostile(Listener):
    """Runs the script on one connection after the other; once `script` is None, answers 200 for ever."""

    def __init__(self, script: Script | None, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.heads: list[bytes] = []
        self.connections = 0

    def url(self, host: str = "127.0.0.1") -> str:
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}/hook"

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        if self.script is not None:
            await self.script(reader, writer)
            return
        while True:
            self.heads.append(await read_request(reader))
            writer.write(OK)
            await writer.drain()


def hostile(script: Script | None = None, *, tls: ssl.SSLContext | None = None) -> Hostile:
    """A hostile receiver on a free port of this machine."""
    return Hostile(script, tls)


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
