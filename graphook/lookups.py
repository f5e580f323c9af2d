"""Lookups of host names by the system, in threads that no parent domain can fill with names that are not answered."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from graphook.turns import Turns

THREADS = 64
# Of one parent domain. Its further names wait in a line of their own, and the parents take turns.
PER_PARENT = 8
_WAITING = 10_000
_WAITING_PER_PARENT = 1000

# A thread stays in a lookup for as long as the C library takes to give up on the name servers, by itself 10 s for each. glibc reads this at the
# first lookup of a process, so it is set before any; other libraries ignore it. What the operator has set stays.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")


def system_addresses(host: str) -> list[str]:
    """The addresses of a name, as the system has them. Blocks; raises OSError or UnicodeError when there are none."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class LookupThreads:
    """Looks names up in threads of its own: the loop's pool has a handful, and a few dead names would hold up everything else that uses it.

    `patience` is how many seconds a lookup waits for a thread. Belongs to one event loop.
    """

    def __init__(self, patience: float, ask: Callable[[str], Sequence[str]] = system_addresses) -> None:
        self._patience = patience
        self._ask = ask
        self._turns = Turns(THREADS, PER_PARENT, _WAITING, _WAITING_PER_PARENT)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="graphook-dns")

    async def __call__(self, host: str) -> Sequence[str]:
        """The addresses of a name. Raises OSError or UnicodeError when there are none, and `Overloaded` when no thread was free in time.

        Not to be cancelled while others need threads: the turn would be over, and its thread still taken.
        """
        async with self._turns.turn(_parent(host), "", self._patience):
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, host)

    def close(self) -> None:
        """Begin no lookup more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _parent(host: str) -> str:
    """The last two labels of a name, which is as near to "one owner" as names tell without a list of public suffixes."""
    return ".".join(host.rsplit(".", 2)[-2:])
