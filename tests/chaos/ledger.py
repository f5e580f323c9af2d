"""Ledgers: what a publisher was promised and what a receiver was sent, written down and fsynced before anybody acts on it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Ledger:
    """An append-only file of JSON lines. Entries that wait at the same time share one fsync."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, **entry: Any) -> None:
        """Return once the entry is on disk."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((json.dumps(entry).encode() + b"\n", done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await asyncio.shield(done)

    def close(self) -> None:
        os.close(self._file)

    def entries(self) -> Iterator[dict[str, Any]]:
        """What the file holds, read back from disk."""
        with self.path.open() as lines:
            for line in lines:
                yield json.loads(line)

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await asyncio.to_thread(self._flush, b"".join(line for line, _ in batch))
                for _, done in batch:
                    done.set_result(None)
        finally:
            self._writing = None

    def _flush(self, lines: bytes) -> None:
        written = 0
        while written < len(lines):
            written += os.write(self._file, lines[written:])
        os.fsync(self._file)
