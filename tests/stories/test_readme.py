"""The README's first webhook, typed as it stands there, and the programs of the guide."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from tests.deployment import Process
from tests.documents import ROOT, blocks
from tests.receiver import Receiver
from tests.servers import free_port
from tests.tenant import Tenant
from tests.waiting import PATIENCE, until

README = ROOT / "README.md"
RECEIVER, SEND, LOOK = (block.text for block in blocks(README, "bash"))
# The shell function comes first; the last block uses it in the same terminal.
FUNCTION = SEND.partition("\n\n")[0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    """What `make run` starts, in a folder of its own and on a free port."""
    settings = [name for name in os.environ if name.startswith("GRAPHOOK_")]
    command = ["env", *(f"--unset={name}" for name in settings), str(Path(sys.executable).parent / "graphook"), "serve", "--port", "0"]
    process = Process.start(command, {"PYTHONUNBUFFERED": "1"}, tmp_path)
    try:
        process.wait_for("token: ")
        yield process
    finally:
        process.stop()


@pytest.fixture
def receiver_port() -> int:
    return free_port()


@pytest.fixture
def printing_receiver(receiver_port: int, tmp_path: Path) -> Iterator[Process]:
    """The receiver of the README."""
    process = Process.start(["bash", "-c", "exec " + RECEIVER.replace("8090", str(receiver_port))], {}, tmp_path)
    try:
        yield process
    finally:
        process.kill()


@pytest.mark.sqlite_only
async def test_the_readme_leads_to_a_first_webhook_that_verifies(
    server: Process, printing_receiver: Process, receiver_port: int, tmp_path: Path
) -> None:
    address = server.wait_for("GraphQL:").split()[1].removesuffix("/graphql")
    await until(lambda: _listens(receiver_port), "the receiver to listen")

    def typed(text: str) -> list[Any]:
        there = text.replace("http://127.0.0.1:8000", address).replace("8090", str(receiver_port))
        said = subprocess.run(["bash", "-eu", "-c", there], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True).stdout
        return [json.loads(line) for line in said.splitlines()]

    answers = typed(SEND)
    assert [list(answer["data"]) for answer in answers] == [["applicationCreate"], ["endpointCreate"], ["messageCreate"]]
    assert [found["errors"] for answer in answers for found in answer["data"].values()] == [[], [], []]
    await until(lambda: '{"invoice":"1001","amount":4900}' in printing_receiver.lines, lambda: printing_receiver.output)
    await until(lambda: typed(f"{FUNCTION}\n{LOOK}")[0]["data"]["messageAttempts"]["nodes"] != [], "the attempt to be recorded")
    attempts, secret = typed(f"{FUNCTION}\n{LOOK}")

    ((attempt,),) = (found["nodes"] for found in attempts["data"].values())
    assert (attempt["status"], attempt["responseStatusCode"]) == ("SUCCESS", 204)
    names: dict[str, Any] = {}
    (verify,) = blocks(README, "python")
    exec(compile(verify.text, str(verify), "exec"), names)
    headers, body = _printed(printing_receiver.lines)
    key = secret["data"]["endpointSecret"]["key"]
    assert names["receive"](headers, body, key) == {"invoice": "1001", "amount": 4900}
    with pytest.raises(WebhookVerificationError):
        names["receive"](headers, body + b" ", key)


async def test_the_python_client_of_the_guide_goes_on_where_it_was(acme: Tenant, receiver: Receiver) -> None:
    (block,) = blocks(ROOT / "docs" / "guide" / "live.md", "python")
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    url = acme.url.replace("http", "ws", 1)
    listed = await acme.execute(
        "query ($app: ID!, $endpoint: ID!) { messageAttempts(appId: $app, endpointId: $endpoint) { liveCursor } }",
        {"app": app["id"], "endpoint": endpoint["id"]},
    )
    messages = [await acme.message(app) for _ in range(3)]
    for message in messages:
        await acme.settled(app, message)

    async with asyncio.timeout(PATIENCE):
        first = names["watch"](url, acme.token, app["id"], listed["liveCursor"])
        event = await anext(first)
        await first.aclose()
        second = names["watch"](url, acme.token, app["id"], event["cursor"])
        seen = [event, await anext(second), await anext(second)]
        await second.aclose()

    assert sorted(event["attempt"]["msgId"] for event in seen) == sorted(message["id"] for message in messages)
    with pytest.raises(RuntimeError, match="token"):
        await anext(names["watch"](url, "orgsk_" + "0" * 43, app["id"]))


async def test_the_python_client_of_the_guide_comes_back_after_an_outage_of_the_database() -> None:
    (block,) = blocks(ROOT / "docs" / "guide" / "live.md", "python")
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    away = {"message": "The database is not available; try again.", "extensions": {"code": "UNAVAILABLE"}}
    events: list[Any] = [{"data": {"messageAttempts": {"cursor": cursor}}} for cursor in ("1", "2")]
    connections = iter([[events[0], {"data": None, "errors": [away]}], [events[1]]])
    asked: list[str | None] = []

    async def service(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps({"type": "connection_ack"}))
        asked.append(json.loads(await socket.recv())["payload"]["variables"]["after"])
        for payload in next(connections):
            await socket.send(json.dumps({"id": "1", "type": "next", "payload": payload}))
        await socket.wait_closed()

    async with serve(service, "127.0.0.1", 0, subprotocols=[Subprotocol("graphql-transport-ws")]) as server, asyncio.timeout(PATIENCE):
        watched = names["watch"](f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", "orgsk_…", "acme")
        assert [(await anext(watched))["cursor"], (await anext(watched))["cursor"]] == ["1", "2"]
        await watched.aclose()
    assert asked == [None, "1"]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _printed(lines: list[str]) -> tuple[dict[str, str], bytes]:
    """The headers and the body of the one request that the receiver printed."""
    begin = next(index for index, line in enumerate(lines) if line.startswith("Host: "))
    end = lines.index("", begin)
    return dict(line.split(": ", 1) for line in lines[begin:end]), lines[end + 1].encode()
