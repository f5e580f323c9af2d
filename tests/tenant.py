"""An organisation as tests drive it: named operations over HTTP, subscriptions over WebSocket, and builders with sensible defaults."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

from tests.client import http_client
from tests.operations import operations
from tests.waiting import PATIENCE, until

_numbers = itertools.count(1)


class Refused(Exception):
    """The answer had top-level errors."""

    def __init__(self, errors: list[dict[str, Any]], status: int) -> None:
        super().__init__(json.dumps(errors))
        self.errors = errors
        self.status = status

    @property
    def code(self) -> str:
        return str(self.errors[0]["extensions"]["code"])

    @property
    def path(self) -> list[str]:
        return list(self.errors[0]["extensions"].get("path", []))


class Tenant:
    """One token's view of the service."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self._http = http_client(headers={"Authorization": f"Bearer {token}"})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def run(self, name: str, /, **variables: Any) -> Any:
        """The answer of a named operation's one root field. Raises `Refused` on top-level errors."""
        return await self.execute(operations()[name], variables)

    async def run_with(self, headers: dict[str, str], name: str, /, **variables: Any) -> Any:
        """The same, with more HTTP headers."""
        return await self.execute(operations()[name], variables, headers)

    async def execute(self, document: str, variables: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Any:
        response = await self._http.post(self.url, json={"query": document, "variables": variables or {}}, headers=headers)
        answer = response.json()
        if answer.get("errors"):
            raise Refused(answer["errors"], response.status_code)
        values = list(answer["data"].values())
        return values[0] if len(values) == 1 else answer["data"]

    async def do(self, name: str, /, **variables: Any) -> Any:
        """The entity of a mutation that must succeed."""
        payload = await self.run(name, **variables)
        assert payload["errors"] == [], payload["errors"]
        return next(value for key, value in payload.items() if key not in ("errors", "created"))

    async def fault(self, name: str, /, **variables: Any) -> tuple[str, list[str] | None]:
        """The code and path of the one error of a mutation that must fail."""
        payload = await self.run(name, **variables)
        assert len(payload["errors"]) == 1, payload
        return payload["errors"][0]["code"], payload["errors"][0]["path"]

    @asynccontextmanager
    async def subscribe(self, name: str, /, **variables: Any) -> AsyncIterator[Subscription]:
        """A named subscription that is taken up."""
        async with self.follow(operations()[name], variables) as subscription:
            yield subscription

    @asynccontextmanager
    async def follow(self, document: str, variables: dict[str, Any]) -> AsyncIterator[Subscription]:
        """A subscription that is taken up."""
        async with connect(self.url.replace("http", "ws", 1), subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {self.token}"}}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            subscription = Subscription(socket)
            await subscription.begin(document, variables)
            yield subscription

    # Builders

    async def application(self, **values: Any) -> Any:
        return await self.do("ApplicationCreate", input={"name": f"application {next(_numbers)}", **values})

    async def endpoint(self, app: Any, url: str, **values: Any) -> Any:
        return await self.do("EndpointCreate", appId=app["id"], input={"url": url, **values})

    async def event_type(self, name: str, /, **values: Any) -> Any:
        return await self.do("EventTypeCreate", input={"name": name, "description": "a test", **values})

    async def message(self, app: Any, **values: Any) -> Any:
        given = {"eventType": "invoice.paid", **values}
        if "rawPayload" not in given:
            given.setdefault("payload", {"number": next(_numbers)})
        return await self.do("MessageCreate", appId=app["id"], input=given)

    # Questions

    async def attempts(self, app: Any, message: Any, **arguments: Any) -> list[Any]:
        return list((await self.run("MessageAttempts", appId=app["id"], messageId=message["id"], **arguments))["nodes"])

    async def destinations(self, app: Any, message: Any) -> dict[str, str]:
        """Endpoint id → status."""
        nodes = (await self.run("MessageDestinations", appId=app["id"], messageId=message["id"]))["nodes"]
        return {node["endpointId"]: node["status"] for node in nodes}

    async def settled(self, app: Any, message: Any, *statuses: str) -> list[Any]:
        """The message's attempts, newest first, once every destination has one of the statuses (SUCCESS when none is given)."""
        wanted = set(statuses or ("SUCCESS",))
        seen: dict[str, str] = {}

        async def reached() -> bool:
            nonlocal seen
            seen = await self.destinations(app, message)
            return bool(seen) and set(seen.values()) <= wanted

        await until(reached, lambda: f"{message['id']} to be {wanted}; it is {seen}")
        return await self.attempts(app, message)


class Subscription:
    """Events of one subscription."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def begin(self, document: str, variables: dict[str, Any]) -> None:
        """Have an operation carried out on this socket, when the one before has completed."""
        await self._socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": document, "variables": variables}}))

    async def next(self, patience: float = PATIENCE) -> Any:
        """The next event's root field; None when the subscription completes. Raises `Refused` on an error."""
        async with asyncio.timeout(patience):
            frame = json.loads(await self._socket.recv())
        if frame["type"] == "complete":
            return None
        if frame["type"] == "error":
            raise Refused(frame["payload"], 0)
        if frame["payload"].get("errors"):
            raise Refused(frame["payload"]["errors"], 0)
        (event,) = frame["payload"]["data"].values()
        return event

    async def taken_up(self) -> None:
        """Return once the server has dealt with what was sent so far."""
        await self._socket.send(json.dumps({"type": "ping"}))
        assert json.loads(await self._socket.recv())["type"] == "pong"
