"""What a process of the service holds from start to stop: the key ring, the file lock and the database."""

from __future__ import annotations

import fcntl
import resource
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from graphook import database
from graphook.devkey import kept_secret
from graphook.secrets import MIN_KEY_LENGTH, KeyRing, install
from graphook.settings import Settings


class CannotStart(Exception):
    """The process must not start; the message says why and what to do."""


@contextmanager
def owned(settings: Settings) -> Iterator[None]:
    """Hold the lock of a SQLite file, which one serving process owns. Raises `CannotStart`; does nothing on PostgreSQL."""
    lock = _lock(settings.sqlite_path) if settings.embedded else None
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[None]:
    """Install the key ring and connect the database, with as many files as the system allows."""
    lift_file_limit()
    install(KeyRing(secret_keys(settings)))
    async with database.connected(settings.database_url, settings.database_pool_size):
        yield


def lift_file_limit() -> None:
    """Let the process open as many files as the system lets it: of the usual 1,024, sends and sockets would soon have no connection more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # What has no bound at all is not everywhere taken for a number.
    if soft != hard and hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_data_folder(folder: Path) -> None:
    """Make the folder of a SQLite file, for its owner alone, if there is none. Raises `CannotStart`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def is_missing(path: Path) -> bool:
    """Whether there is no file at `path`. Raises `CannotStart` where that cannot be seen."""
    try:
        return not path.exists()
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> CannotStart:
    return CannotStart(f"{path} cannot be used: {error.strerror}. Check GRAPHOOK_DATABASE_URL.")


def secret_keys(settings: Settings, *, making: bool = True) -> tuple[str, ...]:
    """The keys that seal secrets: those of the settings, or in development the one beside the database, made there if `making`. Raises `CannotStart`."""
    if settings.secret_key:
        return settings.secret_key
    if not settings.development:
        raise CannotStart(
            "GRAPHOOK_SECRET_KEY is not set. Set it to a key that seals secrets at rest, such as the output of `openssl rand -base64 32`, "
            "and keep a copy: without it, endpoint secrets cannot be read. (Only SQLite on a loopback address makes a key by itself.)"
        )
    path = settings.development_key
    if not making and is_missing(path):
        return ()
    try:
        key = kept_secret(path, lambda: secrets.token_urlsafe(32))
    except OSError as error:
        raise _unusable(path, error) from error
    if len(key) < MIN_KEY_LENGTH:
        raise CannotStart(
            f"{path} holds no key of at least {MIN_KEY_LENGTH} characters. Put it back; if it is lost, delete the file, and another is made: "
            "with that one, the secrets of the endpoints there are cannot be read."
        )
    return (key,)


def _lock(path: Path) -> IO[str]:
    lock_path = path.with_name(path.name + ".lock")
    make_data_folder(path.parent)
    try:
        file = lock_path.open("w")
    except OSError as error:
        raise _unusable(lock_path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise CannotStart(
            f"Another process serves {path}: it holds the lock {lock_path}. Stop it, or use PostgreSQL for several."
        ) from error
    return file
