"""The demo with events of one's own: it sends what fits, and says in one sentence what does not, before it starts anything."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT


def demo(event: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--event", str(event)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def make_demo(folder: Path) -> list[str]:
    """The command that does what `make demo` does, with a Makefile in `folder` that sets nothing up."""
    recipe = re.search(r"^demo:.*\n(\t@.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    (folder / "Makefile").write_text(f"demo:\n{recipe[1]}\n")
    return ["make", "--no-print-directory", "-f", str(folder / "Makefile"), "demo", f"BIN={Path(sys.executable).parent}"]


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"eventType": "a", "payload": {"n": NaN}}', "is not JSON: NaN is no number"),
        ('{"eventType": "a", "payload": {"n": -Infinity}}', "is not JSON: -Infinity is no number"),
        ('{"eventType": "a", "payload": {"n": "\\ud800"}}', "is not JSON: half of a surrogate pair cannot be sent"),
        ("[" * 100_000, "is not JSON: maximum recursion depth exceeded"),
        ("{", "is not JSON: Expecting property name"),
        ("[]", "needs an object with eventType and payload; see"),
        ('{"eventType": "a"}', "needs exactly one of payload and rawPayload"),
        ('{"eventType": "a", "payload": {}, "rawPayload": "x"}', "needs exactly one of payload and rawPayload"),
        ('{"eventType": "a", "payload": [1]}', ": payload is an object, rawPayload a text"),
        ('{"eventType": "a", "rawPayload": {}}', ": payload is an object, rawPayload a text"),
        ('{"eventType": "a", "payload": {}, "event": 1, "type": 2}', "holds event, type; the demo sends channels, eventId, eventType"),
    ],
)  # fmt: skip
def test_an_event_that_cannot_be_sent_is_told_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(text)
    ended = demo(event)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"the demo failed: {event}")
    assert said in line


@pytest.mark.sqlite_only
@pytest.mark.parametrize("with_make", [False, True], ids=["alone", "with make"])
def test_control_c_stops_it_and_its_server(with_make: bool, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "demo.py")]
    if with_make:
        command = make_demo(tmp_path)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    # As a terminal does it: the signal goes to make, its shell and the demo alike.
    running = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:(\d+)/", running.stdout.readline())
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=120)

    assert errors == "stopped\n"
    assert running.returncode == (-signal.SIGINT if with_make else 130)
    assert address is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address[1])), timeout=5)


@pytest.mark.sqlite_only
def test_an_event_of_any_name_and_from_any_editor_is_read(tmp_path: Path) -> None:
    event = tmp_path / 'the customer\'s "$(first)" événement.json'
    event.write_text('{"eventType": "a"}', "utf-8-sig")  # with a byte order mark, as editors on Windows write it
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(
        [*make_demo(tmp_path), "EVENT=" + str(event).replace("$", "$$")],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr.splitlines()[0] == f"the demo failed: {event} needs exactly one of payload and rawPayload"


@pytest.mark.sqlite_only
def test_a_raw_payload_goes_all_the_way(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"eventType": "invoice.paid", "rawPayload": "{\\"amount\\": 1.10}", "tags": ["demo"]}')
    ended = demo(event)
    assert ended.returncode == 0, ended.stderr
    assert "done: 1 message, 2 deliveries, 4 attempts" in ended.stdout
    assert 'before: {"amount": 1.10}' in ended.stdout
    assert 'after:  {"text":"invoice.paid, about amount"}' in ended.stdout
