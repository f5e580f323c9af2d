"""The command line: `graphook serve`, `work`, `migrate`, `token`, `secrets`, `sdl`, `settings` and `doctor`."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from graphook import __version__, commands
from graphook.auth import ALL_SCOPES
from graphook.commands import WrongCall
from graphook.errors import GraphookError
from graphook.process import CannotStart
from graphook.settings import BadSettings

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_MOST_DAYS = 36_500


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0 when it worked, 1 when it failed, 2 when it was called wrongly, and as of a signal when it was ended."""
    try:
        try:
            return _run(argv)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        # Whoever read the output has gone, which is no fault. What is left of it must go somewhere when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    given = sys.argv[1:] if argv is None else argv
    if not given:
        parser.print_help()
        return 0
    arguments = parser.parse_args(given)
    try:
        run: Callable[[argparse.Namespace], int] = arguments.run
        return run(arguments)
    except (BadSettings, CannotStart, GraphookError, WrongCall) as error:
        print(f"graphook: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadSettings | WrongCall) else 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from graphook.outage import is_refusal, told

        if not is_refusal(error):
            raise
        print(f"graphook: The database does not do it: {told(error)}. `graphook doctor` says more.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="graphook",
        description="Graphook sends webhooks: GraphQL in; signed, retried and recorded deliveries out.",
        epilog="""\
Begin on this machine, with nothing else installed:
  graphook serve

With PostgreSQL, and Redis if there is one:
  export GRAPHOOK_DATABASE_URL=postgresql://… GRAPHOOK_REDIS_URL=redis://… GRAPHOOK_SECRET_KEY=…
  graphook migrate && graphook token create --name backend
  graphook serve        and, as often as needed,        graphook work

Settings are GRAPHOOK_… environment variables; `graphook settings` lists them. `graphook COMMAND --help` says more.""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"graphook {__version__}")
    parsers = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = _command(
        parsers,
        "serve",
        commands.serve,
        "run the API and GraphiQL and, on SQLite, all the rest",
        "graphook serve --port 8000",
        """
On SQLite (the default) this one process is the whole service: it makes the file graphook-data/graphook.sqlite3 below the
current folder, keeps its schema up to date and sends the deliveries. Without GRAPHOOK_SECRET_KEY, on a loopback address, it
also makes a key and prints a token for development.

On PostgreSQL it answers the API only; run `graphook migrate` before it and `graphook work` beside it.""",
    )
    serve.add_argument("--host", help="address to listen on (GRAPHOOK_HOST, 127.0.0.1)")
    serve.add_argument("--port", type=_port, help="port to listen on, 0 for a free one (GRAPHOOK_PORT, 8000)")
    choice = serve.add_mutually_exclusive_group()
    choice.add_argument("--worker", action="store_true", default=None, help="send deliveries from this process too, as it does on SQLite")
    choice.add_argument(
        "--no-worker", action="store_false", dest="worker", help="leave deliveries to `graphook work`, as it does on PostgreSQL"
    )

    work = _command(
        parsers,
        "work",
        commands.work,
        "send the deliveries (PostgreSQL only)",
        "graphook work\n  graphook work -- --processes 4",
        """
One process sends up to GRAPHOOK_WORKER_SLOTS deliveries at a time. Run as many as you need, on as many machines: they share
the work through the database, and another takes over what one leaves behind. It is Dramatiq's worker with
`--processes 1 --threads 2`; `dramatiq workers.main` works too.""",
    )
    work.add_argument("dramatiq", nargs="*", metavar="OPTION", help="more options for Dramatiq, after --")

    _command(
        parsers,
        "migrate",
        commands.migrate,
        "bring the database to the newest schema",
        "graphook migrate",
        """
Needed on PostgreSQL before the first start and before each new version; safe to repeat. On SQLite, `graphook serve` does it.""",
    )

    token = _command(parsers, "token", None, "make, list and revoke API tokens", "graphook token create --name backend")
    tokens = token.add_subparsers(required=True, metavar="ACTION")
    create = _command(
        tokens,
        "create",
        commands.token_create,
        "make a token; it is shown once",
        "graphook token create --name backend --scope send\n  graphook token create --name acme-portal --app acme --expires 7d",
        """
Send it as `Authorization: Bearer TOKEN`. Only a hash of it is stored. Where there is no SQLite file yet it makes one, and says
where: a server knows the token if GRAPHOOK_DATABASE_URL and the current folder lead it to the same file. Scopes:
  read     look at everything but secrets
  manage   create, change and delete applications, endpoints and event types; expunge content; poll, commit and move
           consumers of the message stream
  send     send and resend messages
  secrets  see and rotate the secrets that endpoints are signed with""",
    )
    create.add_argument("--name", type=_kept("TOKEN_NAME"), required=True, help="what the token is for")
    create.add_argument(
        "--app",
        type=_kept("REFERENCE"),
        metavar="ID_OR_UID",
        help="limit it to one application: it cannot send new messages, nor see other applications",
    )
    create.add_argument(
        "--scope",
        action="append",
        choices=[scope.value for scope in ALL_SCOPES],
        help="what it may do; repeat for several, all when not given",
    )
    create.add_argument(
        "--feature-flag",
        type=_kept("FEATURE_FLAG"),
        action="append",
        default=[],
        metavar="FLAG",
        help="with --app: it sees the event types behind this flag; repeat for several",
    )
    # A negative time is a value that breaks the rule of --expires, not an option that nobody knows.
    create._negative_number_matcher = re.compile(r"-\d")
    create.add_argument(
        "--expires",
        type=_duration,
        metavar="TIME",
        help="how long it is valid, such as 12h or 30d, 1m to 36500d; it never expires when not given",
    )
    _command(tokens, "list", commands.token_list, "list the tokens, without their text", "graphook token list")
    revoke = _command(
        tokens,
        "revoke",
        commands.token_revoke,
        "make a token useless, at once for requests and within half a minute for open streams",
        "graphook token revoke tok_2Zz…",
    )
    revoke.add_argument("id", help="the token's id, from `graphook token list`")

    sealed = _command(parsers, "secrets", None, "look after the secrets at rest", "graphook secrets rotate")
    actions = sealed.add_subparsers(required=True, metavar="ACTION")
    _command(
        actions,
        "rotate",
        commands.secrets_rotate,
        "seal every secret with the first key of GRAPHOOK_SECRET_KEY; may be broken off and repeated",
        "GRAPHOOK_SECRET_KEY=new,old graphook secrets rotate",
    )

    _command(parsers, "sdl", commands.sdl, "print the GraphQL schema", "graphook sdl > schema.graphql")
    settings = _command(parsers, "settings", commands.settings, "list every setting with its default and meaning", "graphook settings")
    settings.add_argument("--markdown", action="store_true", help="as the table of the documentation")
    _command(
        parsers,
        "doctor",
        commands.doctor,
        "check the installation, the database and Redis, and say what to do",
        "graphook doctor",
        """
Reads the same settings as the other commands and changes nothing. Exits with 1 when a check fails; a warning is no failure.""",
    )
    return parser


def _command(
    parsers: Any, name: str, run: Callable[[argparse.Namespace], int] | None, text: str, example: str, more: str = ""
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.\n{more}".rstrip(),
        epilog=f"Example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def _kept(name: str) -> Callable[[str], str]:
    """What reads an argument that keeps one of the rules of the API."""

    def read(text: str) -> str:
        from graphook import rules

        rule: rules.Rule = getattr(rules, name)
        for fault in rule.check(text, ()):
            raise argparse.ArgumentTypeError(fault.message)
        return text

    return read


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:6]) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 0 to 65535")
    return int(text)


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"0*([0-9]*)([mhd])", text)
    if match is None or not match[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of at least 1m, such as 30m, 12h or 7d")
    seconds = int(match[1][:12]) * _UNITS[match[2]]
    if seconds > _MOST_DAYS * _UNITS["d"]:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {_MOST_DAYS}d")
    return timedelta(seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
