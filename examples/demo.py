"""The main job from end to end: a message goes out signed, is retried where it must be, and every attempt is watched live.

Starts its own server on a free port with a throw-away SQLite file, and two receivers: one that works and one that answers 500 twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook
from websockets.asyncio.client import ClientConnection, connect

HERE = Path(__file__).parent
RETRY_SECONDS = "0.5,1"
PATIENCE = 60.0
FIELDS = {"eventType", "payload", "rawPayload", "eventId", "channels", "tags", "payloadRetentionPeriod"}

EVENT_TYPE_CREATE = """
mutation ($input: EventTypeIn!) { eventTypeCreate(input: $input) { eventType { name } errors { code message path } } }"""
APPLICATION_CREATE = """
mutation ($input: ApplicationIn!) { applicationCreate(input: $input) { application { id name } errors { code message path } } }"""
ENDPOINT_CREATE = """
mutation ($app: ID!, $input: EndpointIn!) { endpointCreate(appId: $app, input: $input) { endpoint { id url } errors { code message path } } }"""
TRANSFORM = """
mutation ($app: ID!, $endpoint: ID!, $input: EndpointTransformationIn!) {
  endpointPatchTransformation(appId: $app, endpointId: $endpoint, input: $input) { transformation { enabled } errors { code message path } } }"""
TEST_ATTEMPT = """
mutation ($app: ID!, $endpoint: ID!, $input: MessageIn!) {
  messageTestAttempt(appId: $app, endpointId: $endpoint, input: $input) { messageAttempt { status response } errors { code message path } } }"""
# What a chat wants, whatever the event is.
TO_CHAT = """
function handler(webhook) {
  const names = Object.keys(webhook.payload).join(", ");
  webhook.payload = {text: `${webhook.eventType}, about ${names}`};
  return webhook;
}"""
ENDPOINT_SECRET = "query ($app: ID!, $endpoint: ID!) { endpointSecret(appId: $app, endpointId: $endpoint) { key } }"
MESSAGE_CREATE = """
mutation ($app: ID!, $input: MessageIn!) { messageCreate(appId: $app, input: $input) { message { id } errors { code message path } } }"""
ATTEMPTS = """
subscription ($app: ID!) { messageAttempts(appId: $app) {
  attempt { endpointId status responseStatusCode responseDurationMs response nextAttempt timestamp } } }"""


class DemoFailed(Exception):
    """The demonstration did not go as it should; the message says where."""


class Receiver:
    """A customer's server: answers what it is told to, then 200, and keeps what it got."""

    def __init__(self) -> None:
        self.answers: dict[str, list[int]] = {}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                path = request_line.split(" ")[1]
                self.requests.append((path, headers, body))
                planned = self.answers.get(path)
                status = planned.pop(0) if planned else 200
                writer.write(f"HTTP/1.1 {status} Demo\r\nContent-Length: 2\r\n\r\nok".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the sender closed its connection
        finally:
            writer.close()


@asynccontextmanager
async def server(folder: str) -> AsyncIterator[tuple[str, str]]:
    """A Graphook of our own: its address and a token."""
    environment = {
        **os.environ,
        "GRAPHOOK_DATABASE_URL": f"sqlite://{folder}/demo.sqlite3",
        "GRAPHOOK_ALLOW_SUBNETS": "127.0.0.0/8",
        "GRAPHOOK_RETRY_SCHEDULE": RETRY_SECONDS,
        "GRAPHOOK_LOG_LEVEL": "warning",
    }
    for name in ("GRAPHOOK_REDIS_URL", "GRAPHOOK_SECRET_KEY", "GRAPHOOK_HOST"):
        environment.pop(name, None)
    # In a session of its own, Ctrl-C does not reach it: it is ended below.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "graphook.cli", "serve", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        cwd=HERE.parent,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while "token: " not in said:
                    line = await process.stdout.readline()
                    if not line:
                        raise DemoFailed("the server stopped before it was ready; its messages are above")
                    said += line.decode()
        except TimeoutError:
            raise DemoFailed(f"the server was not ready within {PATIENCE:g} s") from None
        url, token = re.search(r"http://\S+/graphql", said), re.search(r"token: (\S+)", said)
        assert url is not None
        assert token is not None
        yield url[0], token[1]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class Client:
    """Speaks GraphQL to the server."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._http = httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)

    async def run(self, document: str, **variables: Any) -> Any:
        """The one root field's answer. Raises `DemoFailed` with the errors, if there are any."""
        response = await self._http.post(self._url, json={"query": document, "variables": variables})
        answer = response.json()
        if answer.get("errors"):
            raise DemoFailed("; ".join(f"the server refused: {error['message']}" for error in answer["errors"]))
        (found,) = answer["data"].values()
        if found.get("errors"):
            raise DemoFailed("; ".join(f"{e['code']} at {'.'.join(e['path'] or [])}: {e['message']}" for e in found["errors"]))
        return found

    @asynccontextmanager
    async def subscribed(self, document: str, **variables: Any) -> AsyncIterator[ClientConnection]:
        """A WebSocket on which the subscription's events come."""
        url = self._url.replace("http", "ws", 1)
        async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {self._token}"}}))
            await socket.recv()
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": document, "variables": variables}}))
            # A ping is answered after the subscription is taken up.
            await socket.send(json.dumps({"type": "ping"}))
            await socket.recv()
            yield socket

    async def close(self) -> None:
        await self._http.aclose()


def step(number: int, text: str) -> None:
    print(f"[{number}/7] {text}", flush=True)


def read_event(path: Path) -> dict[str, Any]:
    """The message to send, from a JSON file such as `examples/invoice_paid.json`."""
    try:
        event = json.loads(path.read_text("utf-8-sig"), parse_constant=_no_number)
        json.dumps(event, ensure_ascii=False).encode()
    except OSError as error:
        raise DemoFailed(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        reason = "half of a surrogate pair cannot be sent" if isinstance(error, UnicodeEncodeError) else error
        raise DemoFailed(f"{path} is not JSON: {reason}") from error
    if not isinstance(event, dict) or not isinstance(event.get("eventType"), str):
        raise DemoFailed(f"{path} needs an object with eventType and payload; see {HERE / 'invoice_paid.json'}")
    unknown = sorted(set(event) - FIELDS)
    if unknown:
        raise DemoFailed(f"{path} holds {', '.join(unknown)}; the demo sends {', '.join(sorted(FIELDS))}")
    if ("payload" in event) == ("rawPayload" in event):
        raise DemoFailed(f"{path} needs exactly one of payload and rawPayload")
    if not isinstance(event.get("payload", {}), dict) or not isinstance(event.get("rawPayload", ""), str):
        raise DemoFailed(f"{path}: payload is an object, rawPayload a text")
    return event


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


async def demonstrate(event: dict[str, Any]) -> None:
    began = time.monotonic()
    receiver = Receiver()
    receiver.answers["/flaky"] = [500, 500]
    with tempfile.TemporaryDirectory(prefix="graphook-demo-") as folder:
        async with receiver.listening(), server(folder) as (url, token):
            step(1, f"server ready at {url}, with a throw-away SQLite file")
            client = Client(url, token)
            schema = {"type": "object", "minProperties": 1}
            await client.run(
                EVENT_TYPE_CREATE, input={"name": event["eventType"], "description": "Sent by the demo.", "schemas": {"1": schema}}
            )
            app = (await client.run(APPLICATION_CREATE, input={"name": "Acme Inc.", "uid": "acme"}))["application"]
            step(2, f"event type {event['eventType']} and application {app['name']} ({app['id']})")
            endpoints: dict[str, str] = {}
            secrets: dict[str, str] = {}
            for path in ("/healthy", "/flaky"):
                address = f"http://127.0.0.1:{receiver.port}{path}"
                found = (await client.run(ENDPOINT_CREATE, app=app["id"], input={"url": address, "filterTypes": [event["eventType"]]}))[
                    "endpoint"
                ]
                endpoints[found["id"]] = path
                secrets[path] = (await client.run(ENDPOINT_SECRET, app=app["id"], endpoint=found["id"]))["key"]
            step(3, "two endpoints: /healthy answers 200, /flaky answers 500 twice before 200")
            async with client.subscribed(ATTEMPTS, app=app["id"]) as socket:
                message = (await client.run(MESSAGE_CREATE, app=app["id"], input=event))["message"]
                step(4, f"message {message['id']} accepted; its attempts as they happen:")
                counts = await watch(socket, endpoints)
            verified = verify(receiver, secrets)
            step(5, f"{verified} signatures verified with the independent standardwebhooks library")
            await transform(client, app["id"], receiver, event)
            await client.close()
    if counts != {"/healthy": 1, "/flaky": 3}:
        raise DemoFailed(f"expected 1 attempt to /healthy and 3 to /flaky, saw {counts}")
    step(7, f"done: 1 message, 2 deliveries, {sum(counts.values())} attempts, in {time.monotonic() - began:.1f} s")


async def transform(client: Client, app: str, receiver: Receiver, event: dict[str, Any]) -> None:
    """Send the event once more, to an endpoint that makes a chat's message of it; show both and verify what was sent."""
    address = f"http://127.0.0.1:{receiver.port}/chat"
    endpoint = (await client.run(ENDPOINT_CREATE, app=app, input={"url": address}))["endpoint"]["id"]
    secret = (await client.run(ENDPOINT_SECRET, app=app, endpoint=endpoint))["key"]
    await client.run(TRANSFORM, app=app, endpoint=endpoint, input={"code": TO_CHAT, "enabled": True})
    again = {name: value for name, value in event.items() if name != "eventId"}
    attempt = (await client.run(TEST_ATTEMPT, app=app, endpoint=endpoint, input=again))["messageAttempt"]
    if attempt["status"] != "SUCCESS":
        raise DemoFailed(f"the transformed message did not arrive: {attempt['response']}")
    _, headers, body = receiver.requests[-1]
    Webhook(secret).verify(body, headers)
    step(6, "the same for a chat: /chat has a transformation, 5 lines of JavaScript; its signature is verified, too")
    before = event["rawPayload"] if "rawPayload" in event else json.dumps(event["payload"], ensure_ascii=False)
    print(f"      before: {shortened(before)}\n      after:  {shortened(body.decode())}", flush=True)


def shortened(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:88]} …"


async def watch(socket: ClientConnection, endpoints: dict[str, str]) -> dict[str, int]:
    """Print each attempt until every endpoint has taken the message; how many there were to each."""
    counts = dict.fromkeys(endpoints.values(), 0)
    waiting = set(endpoints.values())
    while waiting:
        try:
            async with asyncio.timeout(PATIENCE):
                frame = json.loads(await socket.recv())
        except TimeoutError:
            raise DemoFailed(f"nothing happened for {PATIENCE:g} s; still waiting for {', '.join(sorted(waiting))}") from None
        if frame["type"] != "next" or frame["payload"].get("errors"):
            raise DemoFailed(f"the subscription ended: {frame}")
        attempt = frame["payload"]["data"]["messageAttempts"]["attempt"]
        path = endpoints[attempt["endpointId"]]
        counts[path] += 1
        retry = f"; next try at {attempt['nextAttempt'][11:23]}" if attempt["nextAttempt"] else ""
        code = attempt["responseStatusCode"] or attempt["response"]
        duration = attempt["responseDurationMs"]
        print(
            f"      {attempt['timestamp'][11:23]}  {path:9} try {counts[path]}: {attempt['status']:7} ({code}, {duration} ms){retry}",
            flush=True,
        )
        if attempt["status"] == "SUCCESS":
            waiting.discard(path)
        elif not attempt["nextAttempt"]:
            raise DemoFailed(f"{path} never took the message")
    return counts


def verify(receiver: Receiver, secrets: dict[str, str]) -> int:
    """Check every request that came in as a customer would; raises on the first bad signature."""
    for path, headers, body in receiver.requests:
        Webhook(secrets[path]).verify(body, headers)
    return len(receiver.requests)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--event", type=Path, default=HERE / "invoice_paid.json", help="a JSON file with eventType and payload")
    try:
        asyncio.run(demonstrate(read_event(parser.parse_args().event)))
    except DemoFailed as failure:
        print(f"the demo failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
