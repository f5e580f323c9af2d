"""What each command of the command line does with the arguments it was given; it answers with the exit status."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graphook.auth import ALL_SCOPES
from graphook.clock import format_rfc3339, now
from graphook.errors import Unavailable
from graphook.process import CannotStart, is_missing, opened
from graphook.settings import Settings
from graphook.settings_reference import describe, describe_in_markdown

_LISTED = "{:31}  {:7}  {:5}  {:31}  {:27}  {:24}  {}"


class WrongCall(Exception):
    """Options that do not go together; the message says why."""


@asynccontextmanager
async def _prepared(*, making: bool = False) -> AsyncIterator[None]:
    """The database, opened at the newest schema, which PostgreSQL must have. A SQLite file that is missing is made and told of if `making`.

    Raises `CannotStart` where it is missing otherwise, and `Unavailable` where it goes away meanwhile, in words for whoever runs a command.
    """
    from graphook.outage import told
    from models.migrate import migrate, require_schema

    settings = Settings.load()
    path = settings.sqlite_path.absolute()
    missing = settings.embedded and is_missing(path)
    if missing and not making:
        raise CannotStart(
            f"There is no database at {path}: `graphook serve` and `graphook token create` make one, where GRAPHOOK_DATABASE_URL says."
        )
    await (migrate if settings.embedded else require_schema)(settings.database_url)
    if missing:
        print(f"graphook: made {path}", file=sys.stderr)
    async with opened(settings):
        try:
            yield
        except Unavailable as error:
            raise Unavailable(
                f"The database is not available: {told(error.__cause__ or error)}. What was done before stays; run the command again."
            ) from error


# Each command imports what it needs when it runs: `--help` should not wait for a database driver.


def serve(arguments: argparse.Namespace) -> int:
    from graphook.server import serve

    serve(Settings.load(host=arguments.host, port=arguments.port), worker=arguments.worker)
    return 0


def work(arguments: argparse.Namespace) -> int:
    from workers.starting import check_worker

    settings = Settings.load()
    asyncio.run(check_worker(settings))
    command = [sys.executable, "-m", "dramatiq", "workers.main", "--processes", "1", "--threads", "2"]
    if settings.log_format == "json":
        # Dramatiq's own lines would be text.
        command.append("--skip-logging")
    command += arguments.dramatiq
    os.environ.setdefault("dramatiq_worker_timeout", "200")
    os.execv(sys.executable, command)


def migrate(_: argparse.Namespace) -> int:
    from models.migrate import migrate

    applied = asyncio.run(migrate(Settings.load().database_url))
    print("\n".join(f"applied {name}" for name in applied) if applied else "nothing to apply")
    return 0


def token_create(arguments: argparse.Namespace) -> int:
    from models.application import Application
    from models.organisation import Organisation
    from models.token import Token

    if arguments.feature_flag and arguments.app is None:
        raise WrongCall("--feature-flag needs --app: a token of the organisation sees every event type")

    async def create() -> None:
        async with _prepared(making=True):
            organisation = await Organisation.default()
            app = await Application.of_organisation(organisation.id, arguments.app) if arguments.app is not None else None
            token, plain = await Token.mint(
                "app" if app else "org",
                org_id=organisation.id,
                app_id=app.id if app else None,
                name=arguments.name,
                scopes=arguments.scope or ALL_SCOPES,
                feature_flags=arguments.feature_flag,
                expires_at=None if arguments.expires is None else now() + arguments.expires,
            )
            print(f"id: {token.id}\ntoken: {plain}\nKeep it safe: it is not shown again.")

    asyncio.run(create())
    return 0


def token_list(_: argparse.Namespace) -> int:
    from models.token import Token

    async def show() -> None:
        async with _prepared():
            print(_LISTED.format("ID", "STATE", "KIND", "APPLICATION", "EXPIRES", "SCOPES", "NAME"))
            for token, state in await Token.states():
                until = format_rfc3339(token.expires_at) if token.expires_at else "never"
                name = token.name if token.name.isprintable() else repr(token.name)
                print(_LISTED.format(token.id, state, token.kind, token.app_id or "-", until, ",".join(token.scopes), name))

    asyncio.run(show())
    return 0


def token_revoke(arguments: argparse.Namespace) -> int:
    from models.token import Token

    async def revoke() -> int:
        async with _prepared():
            token = await Token.get_or_none(id=arguments.id)
            if token is None:
                print(f"graphook: there is no token {arguments.id!r}; see `graphook token list`", file=sys.stderr)
                return 1
            await token.revoke()
            print(f"revoked {token.id}")
            return 0

    return asyncio.run(revoke())


def secrets_rotate(_: argparse.Namespace) -> int:
    from graphook.rules import counted
    from models.resealing import reseal

    async def rotate() -> list[str]:
        unreadable: dict[str, list[str]] = {}
        async with _prepared():
            async for progress in reseal():
                done = f"{counted(progress.rows, 'row')}, {counted(progress.resealed, 'value')} sealed anew"
                print(f"{progress.table}: {done}", flush=True)
                unreadable[progress.table] = progress.unreadable
        return [place for places in unreadable.values() for place in places]

    unreadable = asyncio.run(rotate())
    keys = Settings.load().secret_key
    if unreadable:
        said = (
            "no key in GRAPHOOK_SECRET_KEY reads {}; keep every older key" if keys else "set GRAPHOOK_SECRET_KEY to the key that reads {}"
        )
        print(f"graphook: {said.format(', '.join(unreadable))}", file=sys.stderr)
        return 1
    advice = " Take the older ones out of GRAPHOOK_SECRET_KEY once every process has the first one first." if len(keys) > 1 else ""
    print(f"Done: the {'first key' if advice else 'key'} opens everything.{advice}")
    return 0


def sdl(_: argparse.Namespace) -> int:
    from schema.api import sdl

    sys.stdout.write(sdl())
    return 0


def settings(arguments: argparse.Namespace) -> int:
    if arguments.markdown:
        sys.stdout.write(describe_in_markdown())
    else:
        for name, default, text in describe():
            print(f"{name}\n    {text}\n    Default: {default or '(none)'}")
    return 0


def doctor(_: argparse.Namespace) -> int:
    from graphook.doctor import examine
    from models.schema_checks import schema_findings

    return asyncio.run(examine(schema_findings))
