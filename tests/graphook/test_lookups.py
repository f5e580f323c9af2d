"""Lookups by the system: which names wait for which, and how long the C library tries."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from graphook.connector import GuardedResolver, NoAddress
from graphook.errors import Overloaded
from graphook.lookups import PER_PARENT, THREADS, LookupThreads
from graphook.ssrf import Policy
from tests.waiting import PATIENCE, until

PUBLIC = "93.184.216.34"
# What glibc has settled on at the first lookup of a process that has imported the module: seconds of each try, and tries.
SETTLED = """
import ctypes, socket
import {module}
socket.getaddrinfo("localhost", None)
state = ctypes.CDLL(None).__res_state
state.restype = ctypes.POINTER(ctypes.c_int)
print(state()[0], state()[1])
"""


class NameServers:
    """Name servers that answer at once, but for the silent names: those after `opened` only. Remembers what was asked."""

    def __init__(self, silent: str) -> None:
        self.silent = silent
        self.asked: list[str] = []
        self.opened = threading.Event()

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if self.silent in host:
            self.opened.wait(60)
        return [PUBLIC]


@pytest.fixture
async def servers() -> AsyncIterator[NameServers]:
    found = NameServers("silent")
    yield found
    found.opened.set()


async def given_up(asking: Sequence[asyncio.Task[Sequence[str]]]) -> int:
    """How many were told that there was no thread for them, once those that wait for one are done."""
    await until(lambda: sum(task.done() for task in asking) >= len(asking) - PER_PARENT, "those that wait to give up")
    return sum(isinstance(task.exception(), Overloaded) for task in asking if task.done())


async def test_names_of_a_parent_that_are_not_answered_leave_threads_to_the_others(servers: NameServers) -> None:
    look_up = LookupThreads(1.0, servers)
    asking = [asyncio.create_task(look_up(f"n{n}.silent.example.com")) for n in range(2 * THREADS)]
    await until(lambda: len(servers.asked) == PER_PARENT, "the first of them to be asked for")

    assert await look_up("hook.example.org") == [PUBLIC]
    assert await given_up(asking) == 2 * THREADS - PER_PARENT
    assert len(servers.asked) == PER_PARENT + 1

    servers.opened.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found.count([PUBLIC]) == PER_PARENT
    assert await look_up("late.silent.example.com") == [PUBLIC]
    look_up.close()


async def test_a_thread_is_taken_for_as_long_as_its_lookup_lasts_whoever_still_waits_for_it(servers: NameServers) -> None:
    look_up = LookupThreads(0.1, servers)
    resolver = GuardedResolver(Policy(dns_timeout=0.1), look_up, kept=0)
    for _ in range(2):
        asking = [resolver.resolve(f"n{n}.silent.example.com") for n in range(2 * PER_PARENT)]
        assert all(isinstance(found, NoAddress) for found in await asyncio.gather(*asking, return_exceptions=True))

    assert len(servers.asked) == PER_PARENT
    patient = GuardedResolver(Policy(dns_timeout=PATIENCE), look_up, kept=0)
    assert await patient.resolve("hook.example.org") == [PUBLIC]
    servers.opened.set()
    await resolver.close()
    await patient.close()
    look_up.close()


async def test_parents_take_turns_at_the_threads_that_come_free(servers: NameServers) -> None:
    look_up = LookupThreads(30, servers)
    parents = THREADS // PER_PARENT
    asking = [asyncio.create_task(look_up(f"n{n}.silent{parent}.com")) for parent in range(parents) for n in range(3 * PER_PARENT)]
    await until(lambda: len(servers.asked) == THREADS, "every thread to be taken")
    last = asyncio.create_task(look_up("hook.example.org"))
    await asyncio.sleep(0)
    servers.opened.set()
    await asyncio.gather(*asking, last)

    assert servers.asked.index("hook.example.org") <= 2 * THREADS
    look_up.close()


@pytest.mark.skipif(not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""), reason="only glibc tells")
@pytest.mark.parametrize(
    ("module", "set_by_operator", "settled"),
    [
        ("graphook.app", None, "1 2"),
        ("workers.running", None, "1 2"),
        ("graphook.lookups", "timeout:4 attempts:3", "4 3"),
        ("graphook.lookups", "", "5 2"),
    ],
)
def test_the_c_library_gives_up_soon_unless_the_operator_says_otherwise(module: str, set_by_operator: str | None, settled: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RES_OPTIONS"}
    if set_by_operator is not None:
        environment["RES_OPTIONS"] = set_by_operator
    done = subprocess.run(
        [sys.executable, "-c", SETTLED.format(module=module)], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == settled.split()
