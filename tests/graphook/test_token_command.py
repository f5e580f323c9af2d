"""The tokens of the command line: what a token would silently be more than was asked for is refused, and the list says what is what."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphook.cli import main
from models.token import Token
from tests.deployment import environment_of

CREATE = ["token", "create", "--name", "acme"]


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*CREATE, "--expires", "0d"], "argument --expires: '0d' is not a time of at least 1m"),
        ([*CREATE, "--expires", "00m"], "argument --expires: '00m' is not a time of at least 1m"),
        ([*CREATE, "--expires", "-1d"], "argument --expires: '-1d' is not a time of at least 1m"),
        ([*CREATE, "--expires", "5"], "argument --expires: '5' is not a time of at least 1m"),
        ([*CREATE, "--expires", "m"], "argument --expires: 'm' is not a time of at least 1m"),
        ([*CREATE, "--expires", "99999999d"], "argument --expires: '99999999d' is more than 36500d"),
        ([*CREATE, "--expires", "36501d"], "argument --expires: '36501d' is more than 36500d"),
        ([*CREATE, "--expires", f"{'9' * 5000}m"], "9m' is more than 36500d"),
        ([*CREATE, "--app", ""], "argument --app: The value '' has 0 characters; 1 to 256 are allowed."),
        ([*CREATE, "--app", "a b"], "argument --app: The value 'a b' must match"),
        ([*CREATE, "--app", "acme", "--feature-flag", ""], "argument --feature-flag: The value '' has 0 characters"),
        (["token", "create", "--name", ""], "argument --name: The value '' has 0 characters"),
        (["token", "create", "--name", "a\nb\x1b[31m"], r"argument --name: The value 'a\nb\x1b[31m' must match"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused_with_its_option(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.sqlite_only
def test_a_feature_flag_without_an_application_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*CREATE, "--feature-flag", "beta"]) == 2
    assert capsys.readouterr().err == "graphook: --feature-flag needs --app: a token of the organisation sees every event type\n"


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which there is nothing yet."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.sqlite_only
@pytest.mark.parametrize("arguments", [["token", "list"], ["token", "revoke", "tok_1"], ["secrets", "rotate"]], ids=" ".join)
def test_a_command_that_needs_a_database_makes_none(arguments: list[str], nothing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"graphook: There is no database at {nothing}/graphook-data/graphook.sqlite3: `graphook serve` and `graphook token create` make one, "
        "where GRAPHOOK_DATABASE_URL says.\n"
    )
    assert list(nothing.iterdir()) == []


@pytest.mark.sqlite_only
def test_the_first_token_says_where_it_made_a_database_and_the_next_does_not(nothing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(CREATE) == 0
    said = capsys.readouterr()
    assert said.err == f"graphook: made {nothing}/graphook-data/graphook.sqlite3\n"
    assert "token: orgsk_" in said.out
    assert main(CREATE) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.sqlite_only
def test_graphook_alone_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Begin on this machine" in capsys.readouterr().out


def run(db: str, *arguments: str) -> list[str]:
    """What `graphook token …` prints."""
    command = [sys.executable, "-m", "graphook.cli", "token", *arguments]
    ended = subprocess.run(command, env=os.environ | environment_of(db, None), capture_output=True, text=True, timeout=120, check=True)
    return ended.stdout.splitlines()


async def test_a_name_that_would_command_the_terminal_is_listed_harmlessly(db: str) -> None:
    await Token.mint("integ", org_id="org_1", name="a\nb\x1b[31m")  # an integration's name may be so
    _, line = run(db, "list")
    assert line.endswith(r"  'a\nb\x1b[31m'")


async def test_the_list_has_a_header_and_says_what_never_expires(db: str) -> None:
    forever, soon = (run(db, "create", "--name", "back end", *more)[0].removeprefix("id: ") for more in ([], ["--expires", "1m"]))
    run(db, "revoke", soon)
    header, first, second = run(db, "list")

    columns = {name: header.index(name) for name in header.split()}
    assert list(columns) == ["ID", "STATE", "KIND", "APPLICATION", "EXPIRES", "SCOPES", "NAME"]
    for line, token, state in ((first, forever, "valid"), (second, soon, "revoked")):
        assert line[columns["ID"] :].startswith(token)
        assert line[columns["STATE"] :].startswith(state)
        assert line[columns["SCOPES"] :].startswith("manage,read,secrets,send")
        assert line[columns["NAME"] :] == "back end"
    assert first[columns["EXPIRES"] :].startswith("never ")
    assert second[columns["EXPIRES"] :].startswith("20")
