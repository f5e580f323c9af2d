"""The child process of the sandbox: runs one handler after another, each in a context of its own, with nothing around it.

A script, started with nothing but a socket: bytes of memory and seconds of CPU time per call are its arguments. It says what of its
confinement the system refused; then, per call, it reads the code, what the handler is given and the payload, and answers with three parts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# The engine alone: the package around it starts a thread.
import _quickjs

REQUEST = REPLY = struct.Struct("!III")
# Bytes that the parent reads of an answer.
MAX_REPLY = 4 * 1024 * 1024
STACK = 256 * 1024
NOBODY = 65_534
# What the parent kills at its deadlines is ended here, too, should there be no parent any more.
CPU_SECONDS = 600

_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000
_DIE_WITH_PARENT, _SECCOMP, _NO_NEW_PRIVILEGES = 1, 22, 38
# By machine: its number for auditing, and the system calls that are left: read, write, close, lseek, memory, signals, clocks, random bytes, exit.
_SYSTEM_CALLS = {
    "x86_64": (
        0xC000_003E,
        (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 28, 39, 60, 96, 98, 131, 201, 202, 219, 228, 229, 231, 262, 318),
    ),
    "aarch64": (
        0xC000_00B7,
        (57, 62, 63, 64, 79, 80, 93, 94, 98, 113, 114, 124, 128, 132, 134, 135, 139, 165, 169, 172, 214, 215, 216, 222, 226, 233, 278),
    ),
}  # fmt: skip


def confine(memory: int) -> Iterator[str]:
    """Give up what running a handler does not need; what the system does not let it give up, in a few words each."""
    # The file table is full: no file, no socket, no pipe can be opened.
    limits = {"CPU": CPU_SECONDS, "NOFILE": 2, "NPROC": 0, "FSIZE": 0, "CORE": 0, "AS": _mapped() + 3 * memory + 32 * 1024 * 1024}
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if libc.unshare(_NEW_NETWORK) and libc.unshare(_NEW_USER | _NEW_NETWORK):
            yield f"a network namespace of its own ({os.strerror(ctypes.get_errno())})"
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    except (AttributeError, OSError) as error:
        yield f"namespaces and users ({error})"
    os.nice(10)
    for name, limit in limits.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
        except (AttributeError, OSError, ValueError) as error:
            yield f"the limit {name} ({error})"
    if not _filter_system_calls(libc):
        yield "a filter of system calls"


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("if_true", ctypes.c_ubyte), ("if_false", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction))]


def _filter_system_calls(libc: ctypes.CDLL) -> bool:
    """Let the kernel refuse all but a few system calls from now on; False where it does not."""
    machine, allowed = _SYSTEM_CALLS.get(os.uname().machine, (0, ()))
    if not allowed:
        return False
    load, equals, answer = 0x20, 0x15, 0x06
    refuse = _Instruction(answer, 0, 0, 0x0005_0000 | errno.EPERM)
    instructions = [_Instruction(load, 0, 0, 4), _Instruction(equals, 1, 0, machine), refuse, _Instruction(load, 0, 0, 0)]
    instructions += [_Instruction(equals, len(allowed) - index, 0, number) for index, number in enumerate(allowed)]
    instructions += [refuse, _Instruction(answer, 0, 0, 0x7FFF_0000)]
    program = _Program(len(instructions), (_Instruction * len(instructions))(*instructions))
    return bool(libc.prctl(_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0)


def _mapped() -> int:
    """Bytes of address space in use."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 1024 * 1024 * 1024


def serve(memory: int, seconds: float, program: str) -> None:
    """Run what is asked for until nobody asks any more."""
    _answer(["READY", "; ".join(confine(memory)), ""])
    while True:
        # Made before it is asked for, so that nobody waits for it.
        context = _context(memory, seconds)
        run = context.eval(program)
        sizes = _read(REQUEST.size)
        parts = [] if sizes is None else [_read(size) for size in REQUEST.unpack(sizes)]
        asked = [part.decode("utf-8", "replace") for part in parts if part is not None]
        if len(asked) < 3:
            return
        try:
            made = _run(context, run, asked, seconds)
        except MemoryError:
            made = ["MEMORY", "", ""]
        run = context = None
        _answer(made)


def _context(memory: int, seconds: float) -> Any:
    context = _quickjs.Context()
    context.set_memory_limit(memory)
    context.set_max_stack_size(STACK)
    context.set_time_limit(seconds)
    context.eval("globalThis.console = Object.fromEntries(['debug', 'error', 'info', 'log', 'warn'].map((name) => [name, () => {}]))")
    return context


def _run(context: Any, run: Any, asked: Sequence[str], seconds: float) -> list[str]:
    """The three parts of the answer."""
    if "\0" in asked[0]:
        return ["SYNTAX", "the code holds a NUL character", ""]
    until = time.process_time() + seconds
    try:
        if not run(*asked):
            # Each job may run for the whole time, so a chain of them is measured as one.
            while context.execute_pending_job():
                if time.process_time() >= until:
                    return ["TIMEOUT", "", ""]
        found = [run(None, number) for number in range(3)]
    except (_quickjs.JSException, _quickjs.StackOverflow) as error:
        # What the handler throws does not come this far: it was interrupted, a microtask threw, or there was no memory left to say more with.
        text = str(error)
        if text.startswith("InternalError: interrupted"):
            return ["TIMEOUT", "", ""]
        return ["MEMORY", "", ""] if text.startswith(("InternalError: out of memory", "null")) else ["THREW", text[:300], ""]
    except UnicodeDecodeError:
        return ["THREW", "something was thrown that holds half of a surrogate pair", ""]
    if None in found:
        return ["BAD_OUTPUT", "handler returned a promise that nothing settles", ""]
    return found


def _read(size: int) -> bytes | None:
    """So many bytes; None when the other end is closed."""
    found = bytearray()
    while len(found) < size:
        chunk = os.read(0, min(size - len(found), 1024 * 1024))
        if not chunk:
            return None
        found += chunk
    return bytes(found)


def _answer(parts: Sequence[str]) -> None:
    encoded = [part.encode("utf-8", "replace") for part in parts]
    if sum(map(len, encoded)) > MAX_REPLY:
        encoded = [b"TOO_LARGE", b"What handler returned has more than %d bytes" % MAX_REPLY, b""]
    rest = memoryview(REPLY.pack(*map(len, encoded)) + b"".join(encoded))
    while rest:
        rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]), Path(__file__).with_name("sandbox.js").read_text(encoding="utf-8"))
