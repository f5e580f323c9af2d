"""Runs `graphook serve` or a worker with faults inside: the product has no code for tests, so they are put around its functions here.

    CHAOS_CRASH    module:name:before|after:n   die, as by kill -9, before or after the n-th call
    CHAOS_POISON   an event type                die when a message of this type is about to be sent
    CHAOS_MARGIN   seconds                      the lease margin, shorter than an operator gets it
    CHAOS_CLOCK    seconds                      the process's wall clock is wrong by so much
    CHAOS_NO_TICK  1                            the engine looks for work only when it is told to: known to lose
    CHAOS_DNS      silent=here, two domains     names below the one are never answered by the resolver, those below the other are this machine

`python -m tests.chaos.launcher serve --port 0` is the API. A worker is `dramatiq tests.chaos.launcher`.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _crash(spec: str) -> None:
    module_name, path, moment, number = spec.split(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    static = isinstance(inspect.getattr_static(owner, name), staticmethod)
    wrapped = _mortal(getattr(owner, name), moment, int(number))
    _replace(owner, name, staticmethod(wrapped) if static else wrapped)


def _mortal(function: Callable[..., Any], moment: str, number: int) -> Callable[..., Any]:
    calls = 0

    def count(now: str) -> None:
        nonlocal calls
        if now == moment:
            calls += 1
            if calls == number:
                _die()

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            count("before")
            found = await function(*args, **kwargs)
            count("after")
            return found

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        count("before")
        found = function(*args, **kwargs)
        count("after")
        return found

    return called


def _replace(owner: Any, name: str, value: Any) -> None:
    """In its own place, and wherever modules have imported it by name."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    if inspect.ismodule(owner):
        for module in list(sys.modules.values()):
            if getattr(module, name, None) is original and module is not owner:
                setattr(module, name, value)


def _poison(event_type: str) -> None:
    from workers import engine, send

    original = send.attempt

    async def attempt(claim: Any, *rest: Any) -> Any:
        if claim.event_type == event_type:
            _die()
        return await original(claim, *rest)

    _replace(engine, "attempt", attempt)


def _wrong_clock(seconds: float) -> None:
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + round(seconds * 1e9)


def _dns(silent: str, here: str) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).endswith(f".{silent}"):
            time.sleep(3600)
        return real("127.0.0.1" if str(host).endswith(f".{here}") else host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def _no_tick() -> None:
    from workers.engine import Engine

    async def never(self: Engine) -> None:
        await asyncio.Event().wait()

    Engine._tick_forever = never  # type: ignore[method-assign]


def prepare() -> None:
    """Put the faults of the environment in place."""
    found = os.environ.get
    if clock := found("CHAOS_CLOCK"):
        _wrong_clock(float(clock))
    if domains := found("CHAOS_DNS"):
        _dns(*domains.split("="))
    if margin := found("CHAOS_MARGIN"):
        from workers import engine

        engine.LEASE_MARGIN = float(margin)
    if found("CHAOS_NO_TICK"):
        _no_tick()
    if event_type := found("CHAOS_POISON"):
        _poison(event_type)
    if crash := found("CHAOS_CRASH"):
        _crash(crash)


if __name__ == "__main__":
    from graphook import app, cli

    assert app, "imported, so that what is replaced is replaced there too"
    prepare()
    sys.exit(cli.main())

prepare()
import workers.main  # noqa: E402

broker = workers.main.broker
