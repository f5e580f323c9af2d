"""What keeps a process from starting is said in one sentence, before anything else runs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from graphook import database
from graphook.app import create_app
from graphook.cli import main
from graphook.devkey import kept_secret
from graphook.process import CannotStart, owned
from graphook.settings import Settings
from models.migrate import migrate
from tests.conftest import Backend
from tests.deployment import ROOT, SECRET_KEY, Process, environment_of

COMMANDS = {
    "serve": [sys.executable, "-m", "graphook.cli", "serve", "--port", "0"],
    "work": [sys.executable, "-m", "graphook.cli", "work"],
}


def refused(arguments: list[str], folder: Path, **settings: str) -> str:
    """The one line that a command ends with."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("GRAPHOOK_")}
    environment = inherited | {"PYTHONPATH": str(ROOT)} | settings
    ended = subprocess.run(arguments, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.postgresql_only
@pytest.mark.parametrize("command", COMMANDS)
async def test_a_database_without_the_schema_ends_the_start(command: str, backend: Backend, tmp_path: Path) -> None:
    url = await backend.empty_database()
    said = refused(COMMANDS[command], tmp_path, GRAPHOOK_DATABASE_URL=url, GRAPHOOK_SECRET_KEY=SECRET_KEY)
    assert said.startswith("graphook: The database lacks the migrations 0001")
    assert said.endswith("Run `graphook migrate` first.")


@pytest.mark.postgresql_only
async def test_a_command_that_the_database_does_not_let_write_says_so(backend: Backend, tmp_path: Path) -> None:
    def said(command: str, url: str, option: str) -> str:
        arguments = [sys.executable, "-m", "graphook.cli", *command.split()]
        return refused(arguments, tmp_path, GRAPHOOK_DATABASE_URL=f"{url}?options=-c%20{option}", GRAPHOOK_SECRET_KEY=SECRET_KEY)

    refusal = "graphook: The database does not do it: {}. `graphook doctor` says more."
    assert said("migrate", await backend.empty_database(), "role%3Dpg_monitor") == refusal.format("permission denied for schema public")
    assert said("token create --name n", await backend.fresh_database(), "default_transaction_read_only%3Don") == refusal.format(
        "cannot execute INSERT in a read-only transaction"
    )


@pytest.mark.postgresql_only
async def test_dramatiq_without_our_command_says_it_too_and_ends(backend: Backend, tmp_path: Path) -> None:
    url = await backend.empty_database()
    command = [sys.executable, "-m", "dramatiq", "workers.main", "--processes", "1"]
    process = Process.start(command, {"GRAPHOOK_DATABASE_URL": url, "GRAPHOOK_SECRET_KEY": SECRET_KEY})
    try:
        process.wait_for("graphook: The database lacks the migrations 0001")
        assert process.popen.wait(120) == 1
    finally:
        process.stop()
    assert "Traceback" not in process.output


@pytest.mark.sqlite_only
@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_cannot_be_reached_ends_the_start(command: str, tmp_path: Path) -> None:
    url = "postgresql://graphook@127.0.0.1:1/graphook"
    said = refused(COMMANDS[command], tmp_path, GRAPHOOK_DATABASE_URL=url, GRAPHOOK_SECRET_KEY=SECRET_KEY)
    assert said.startswith("graphook: The database cannot be reached: ")
    assert said.endswith("Check GRAPHOOK_DATABASE_URL; `graphook doctor` says more.")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("command", COMMANDS)
def test_no_secret_key_for_postgresql_ends_the_start(command: str, tmp_path: Path) -> None:
    said = refused(COMMANDS[command], tmp_path, GRAPHOOK_DATABASE_URL="postgresql://graphook@127.0.0.1:1/graphook")
    assert said.startswith("graphook: GRAPHOOK_SECRET_KEY is not set.")


@pytest.mark.parametrize("command", ["serve", pytest.param("work", marks=pytest.mark.postgresql_only)])
async def test_tracing_without_its_packages_ends_the_start(command: str, db: str, tmp_path: Path) -> None:
    # A module that refuses to be imported goes before the one that is installed.
    (tmp_path / "opentelemetry.py").write_text("raise ModuleNotFoundError(\"No module named 'opentelemetry'\")")
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from graphook.cli import main; sys.exit(main())"
    arguments = [sys.executable, "-c", program, str(tmp_path), *COMMANDS[command][3:]]
    said = refused(arguments, tmp_path, GRAPHOOK_DATABASE_URL=db, GRAPHOOK_SECRET_KEY=SECRET_KEY, GRAPHOOK_TRACING="true")
    assert said.startswith("graphook: GRAPHOOK_TRACING needs the extra `otel` (No module named 'opentelemetry'). ")


@pytest.mark.sqlite_only
def test_workers_on_sqlite_are_refused(tmp_path: Path) -> None:
    assert refused(COMMANDS["work"], tmp_path) == (
        "graphook: Workers need PostgreSQL: on SQLite, `graphook serve` does everything. Set GRAPHOOK_DATABASE_URL."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sqlite_only
@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["migrate"], ["token", "create", "--name", "n"]], ids=" ".join)
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("file/graphook.sqlite3", "file cannot be used: File exists"),
        ("file/below/graphook.sqlite3", "file/below cannot be used: Not a directory"),
        ("folder", "cannot be opened: unable to open database file"),
        ("no-database", "cannot be opened: file is not a database"),
    ],
)
def test_a_sqlite_file_that_cannot_be_opened_is_said(arguments: list[str], path: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "no-database").write_text("This is a text and no database, however long one looks at it.\n" * 100)
    said = refused([sys.executable, "-m", "graphook.cli", *arguments], tmp_path, GRAPHOOK_DATABASE_URL=f"sqlite://{path}")
    assert reason in said
    assert re.search(r"Check GRAPHOOK_DATABASE_URL(; `graphook doctor` says more)?\.$", said)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("contents", [b"", b"short\n"])
def test_a_key_of_development_that_is_none_any_more_ends_the_start(contents: bytes, tmp_path: Path) -> None:
    (tmp_path / "development-key").write_bytes(contents)
    said = refused(COMMANDS["serve"], tmp_path, GRAPHOOK_DATABASE_URL="sqlite://graphook.sqlite3")
    assert said.startswith("graphook: development-key holds no key of at least 32 characters. Put it back; if it is lost, delete the file")
    assert (tmp_path / "development-key").read_bytes() == contents


@pytest.mark.sqlite_only
def test_what_is_kept_of_development_may_be_no_text(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"\xff" * 3)
    assert kept_secret(tmp_path / "kept", lambda: "made") == "\ufffd" * 3


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("host", "advice"),
    [("203.0.113.1", "--host or GRAPHOOK_HOST"), ("nowhere.invalid", "--host or GRAPHOOK_HOST"), ("127.0.0.1", "--port (make run PORT=…)")],
)
def test_an_address_that_cannot_be_listened_on_is_refused_with_what_to_change(host: str, advice: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused([*COMMANDS["serve"][:-1], port, "--host", host], tmp_path, GRAPHOOK_SECRET_KEY=SECRET_KEY)
    assert said.startswith(f"graphook: Cannot listen on {host}, port {port}: ")
    assert advice in said


@pytest.mark.sqlite_only
@pytest.mark.parametrize("arguments", [[], ["--help"], ["sdl"], ["settings"], ["doctor"], ["token", "create", "--name", "n"]], ids=" ".join)
def test_a_reader_that_has_gone_ends_a_command_quietly(arguments: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "graphook.cli", *arguments]
        ended = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writing)
    assert ended.returncode == 128 + signal.SIGPIPE
    assert [line for line in ended.stderr.splitlines() if not line.startswith("graphook: made ")] == []


@pytest.mark.sqlite_only
@pytest.mark.parametrize("being_loaded", ["graphook.cli", "graphook.settings", "graphook.app"])
def test_an_interrupt_while_a_command_is_being_loaded_ends_it_quietly(being_loaded: str, tmp_path: Path) -> None:
    interrupt = "os.kill(os.getpid(), signal.SIGINT)"
    hook = f"sys.addaudithook(lambda event, found: {interrupt} if event == 'import' and found[0] == {being_loaded!r} else None)"
    (tmp_path / "sitecustomize.py").write_text(f"import os, signal, sys\n{hook}\n")
    command = [str(Path(sys.executable).with_name("graphook")), "serve", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("port", ["abc", "-1", "65536", "1e3", "9" * 5000])
def test_what_is_no_port_is_said(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--port", port])
    assert capsys.readouterr().err.endswith(f"argument --port: {port!r} is not a port, a number from 0 to 65535\n")


@pytest.mark.sqlite_only
def test_make_run_says_where_its_data_is_and_ends_quietly_at_control_c(tmp_path: Path) -> None:
    # As a terminal does it: the signal goes to make, its shell and the server alike.
    recipe = re.search(r"^run:.*\n\t@(.*?)(?:  #.*)?$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    (tmp_path / "Makefile").write_text(f"run:\n\t@{recipe[1]}\n")
    command = ["make", "--no-print-directory", "run", f"BIN={Path(sys.executable).parent}", "PORT=0"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("GRAPHOOK_", "MAKE"))}
    running = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdout is not None
    said = [running.stdout.readline() for _ in range(5)]
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=120)

    assert said[2] == f"data: {tmp_path / 'graphook-data'}\n"
    assert said[4] == "Ctrl-C stops it.\n"
    assert "make: ***" not in errors
    assert "Traceback" not in errors
    assert "the API stops" in errors


@pytest.mark.sqlite_only
def test_a_second_control_c_ends_the_server_as_quietly(tmp_path: Path) -> None:
    program = (
        "import signal, sys; from graphook import cli, server; "
        "server.settle_in = lambda: [signal.raise_signal(signal.SIGINT) for _ in range(2)]; sys.exit(cli.main())"
    )
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GRAPHOOK_")} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, *COMMANDS["serve"][3:]]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 130
    assert ended.stdout.endswith("Ctrl-C stops it.\n")
    assert "Traceback" not in ended.stderr
    assert ended.stderr.endswith(" has stopped\n")


@pytest.mark.sqlite_only
def test_a_second_server_of_one_file_hears_of_the_first_before_its_port(tmp_path: Path) -> None:
    settings = {"GRAPHOOK_DATABASE_URL": f"sqlite://{tmp_path}/data/graphook.sqlite3"}
    first = Process.start(COMMANDS["serve"], {**settings, "PYTHONUNBUFFERED": "1"})
    try:
        port = first.wait_for("GraphQL:").rpartition(":")[2].removesuffix("/graphql")
        said = refused([*COMMANDS["serve"][:-1], port], tmp_path, **settings)
    finally:
        first.stop()
    assert said.startswith(f"graphook: Another process serves {tmp_path}/data/graphook.sqlite3")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.sqlite_only
def test_of_two_servers_that_start_at_once_one_says_why_it_does_not(tmp_path: Path) -> None:
    # The other took the lock after this one had looked for it.
    program = (
        "import sys; from graphook import cli, server; check = server.check_start\n"
        "async def late(settings):\n    await check(settings); lock.__enter__()\n"
        "from graphook.process import owned; from graphook.settings import Settings; lock = owned(Settings.load())\n"
        "server.check_start = late; sys.exit(cli.main())"
    )
    said = refused([sys.executable, "-c", program, *COMMANDS["serve"][3:]], tmp_path)
    assert said.startswith("graphook: Another process serves graphook-data/graphook.sqlite3: it holds the lock ")


@pytest.mark.sqlite_only
async def test_another_server_of_the_application_is_told_in_a_sentence_why_it_does_not_start(tmp_path: Path) -> None:
    settings = Settings.load(database_url=f"sqlite://{tmp_path}/graphook.sqlite3")
    told: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    with owned(settings), pytest.raises(CannotStart) as raised:
        await create_app(settings)({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert str(raised.value).startswith(f"Another process serves {tmp_path}/graphook.sqlite3")
    assert told == [{"type": "lifespan.startup.failed", "message": str(raised.value)}]


@pytest.mark.postgresql_only
async def test_a_database_url_says_more_after_its_name_as_those_of_postgresql_do(backend: Backend, tmp_path: Path) -> None:
    url = await backend.empty_database()
    assert len(await migrate(f"{url}?sslmode=disable&application_name=hooks")) > 1
    said = refused(COMMANDS["serve"], tmp_path, GRAPHOOK_DATABASE_URL=f"{url}?sslmode=maybe", GRAPHOOK_SECRET_KEY=SECRET_KEY)
    assert said.startswith("graphook: The database cannot be reached: `sslmode` parameter must be one of: disable, allow, ")
    said = refused(COMMANDS["serve"], tmp_path, GRAPHOOK_DATABASE_URL=f"{url}?weather=fine", GRAPHOOK_SECRET_KEY=SECRET_KEY)
    assert said.startswith('graphook: The database cannot be reached: unrecognized configuration parameter "weather". Check ')
    said = refused(COMMANDS["serve"], tmp_path, GRAPHOOK_DATABASE_URL=f"{url}?target_session_attrs=standby", GRAPHOOK_SECRET_KEY=SECRET_KEY)
    assert said.startswith("graphook: The database cannot be reached: None of the hosts match the target attribute requirement ")


@pytest.mark.postgresql_only
async def test_the_pool_connects_as_the_url_says(backend: Backend) -> None:
    url = await backend.empty_database()
    async with (
        database.connected(f"{url}?sslmode=disable&application_name=hooks&options=-c%20enable_seqscan%3Doff"),
        database.read() as session,
    ):
        (row,) = await session.fetch_text("SELECT current_setting('application_name'), current_setting('enable_seqscan')")
    assert tuple(row.values()) == ("hooks", "off")


@pytest.mark.postgresql_only
def test_a_worker_ends_well_at_control_c_and_its_every_line_is_json_where_json_is_asked_for(db: str, backend: Backend) -> None:
    process = Process.start(COMMANDS["work"], environment_of(db, backend.redis_url, GRAPHOOK_LOG_FORMAT="json"))
    try:
        process.wait_for("is ready")
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(120) == 0
    finally:
        process.stop()
    assert [json.loads(line)["logger"] for line in process.lines] == ["workers.engine", "workers.engine"]
