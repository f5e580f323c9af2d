"""The ASGI application: the API, GraphiQL, health, and the delivery engine when everything runs in one process."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import dramatiq
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message as ASGIMessage
from starlette.types import Receive, Scope, Send

from graphook import __version__, database, metrics, tracing
from graphook.access import Access
from graphook.auth import Caller
from graphook.batch import Batcher
from graphook.broker import Waker, create_broker
from graphook.devkey import kept_secret, replace_secret
from graphook.errors import Unauthenticated, Unavailable
from graphook.feed import Feed, fair_turns
from graphook.graphiql import graphiql_routes
from graphook.graphql_view import Authenticate, GraphQLView
from graphook.live import Bus, create_bus
from graphook.logos import logo_routes
from graphook.logs import configure_logging
from graphook.package_data import graphql_folder
from graphook.process import CannotStart, opened, owned
from graphook.sandbox import Sandbox
from graphook.seats import Seats
from graphook.settings import Settings
from models.backlog import Backlog
from models.cursor import Cursors
from models.feeds import ATTEMPTS, MESSAGES
from models.message import Accepted, Message, NewMessage
from models.migrate import migrate
from models.organisation import Organisation
from models.payload_check import PayloadChecks
from models.schema_checks import tell_of_lost_keys
from models.token import Token, presented
from resolvers.inbound_http import receive
from schema.api import create_schema, schema, sdl
from schema.context import Context, Services
from workers.deliver import DELIVER, register_deliver, register_generate
from workers.running import Working, start_workers
from workers.sample import sampled
from workers.trial import TrialSender

log = logging.getLogger(__name__)

# A redirection from one to the other is nothing that a browser's preflight request would follow.
GRAPHQL = ("/graphql", "/graphql/")
READY_SECONDS = 2.0
# A batch of creates: messages, and bytes of payload.
ACCEPT_ITEMS, ACCEPT_BYTES = 500, 4 * 1024 * 1024
# Bytes of payload that may wait to be written.
ACCEPT_QUEUE_BYTES = 64 * 1024 * 1024


def create_app(settings: Settings, *, worker: bool | None = None, on_ready: Callable[[str | None], None] | None = None) -> Application:
    """The application. `worker` runs the delivery engine in this process: by default only on SQLite, where this process owns everything.

    `on_ready` is called with the development token, if there is one.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with running(settings, worker=settings.embedded if worker is None else worker) as services:
            app.state.services = services
            token = await development_token(settings) if settings.development else None
            app.router.routes += graphiql_routes(token=token, documents=graphql_folder())
            if on_ready is not None:
                on_ready(token)
            yield

    def make_context(caller: Any, headers: Mapping[str, str]) -> Context:
        return Context(caller=caller, services=app.state.services, headers=headers)

    def admit(caller: Caller) -> AbstractContextManager[None]:
        services: Services = app.state.services
        return services.connections.held(caller.org_id, caller.app_id)

    shown = schema if settings.introspection else create_schema(introspection=False)
    view = GraphQLView(shown, _authenticator(), make_context, admit=admit)
    app = Application(
        view,
        routes=[
            Route("/", lambda _: RedirectResponse("/graphiql")),
            Route("/schema.graphql", lambda _: PlainTextResponse(sdl(), media_type="application/graphql; charset=utf-8")),
            Route("/inbound/{app_id}/{inbound_token}", receive, methods=["POST"]),
            Route("/app/{app_id}/inbound/msg/{inbound_token}", receive, methods=["POST"]),
            *logo_routes(),
            Route("/healthz", lambda _: PlainTextResponse("ok")),
            Route("/readyz", ready),
        ],
        lifespan=lifespan,
        access_log=settings.access_log,
    )
    return app


class Application(Starlette):
    """Starlette, with a way past its layers, which cost as much as they do for all other requests, for those to the GraphQL URL."""

    def __init__(self, view: GraphQLView, routes: list[Route | WebSocketRoute], lifespan: Any, *, access_log: bool) -> None:
        super().__init__(
            routes=[*(made(path, view) for path in GRAPHQL for made in (Route, WebSocketRoute)), *routes],
            lifespan=lifespan,
            middleware=[Middleware(Access, every=access_log)],
        )
        self.stopping = view.stopping
        self._graphql = Access(view, every=access_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in GRAPHQL:
            await self._graphql(scope, receive, send)
        else:
            await super().__call__(scope, receive, _in_a_sentence(send) if scope["type"] == "lifespan" else send)


def _in_a_sentence(send: Send) -> Send:
    """Tells a server why nothing starts, such as `uvicorn graphook.app:app`, without the traceback that Starlette makes of it."""

    async def tell(message: ASGIMessage) -> None:
        error = sys.exc_info()[1]
        if message["type"] == "lifespan.startup.failed" and isinstance(error, CannotStart):
            message = {**message, "message": str(error)}
        await send(message)

    return tell


@asynccontextmanager
async def running(settings: Settings, *, worker: bool) -> AsyncIterator[Services]:
    """Everything that the API needs, and the engine if it runs here; stopped in order at the end."""
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing.traced(settings.tracing))
        stack.enter_context(owned(settings))
        if settings.embedded:
            await migrate(settings.database_url)
        await stack.enter_async_context(opened(settings))
        await tell_of_lost_keys()
        cursors = await Cursors.of_database()
        bus = create_bus(settings.database_url, settings.redis_url)
        turns = fair_turns()
        attempts, messages = Feed(ATTEMPTS, turns), Feed(MESSAGES, turns)

        def tell(key: str) -> None:
            attempts.wake(key)
            messages.wake(key)

        await bus.open(tell)
        stack.push_async_callback(bus.close)
        stack.push_async_callback(attempts.close)
        stack.push_async_callback(messages.close)
        sandbox = Sandbox.of(settings)
        stack.push_async_callback(sandbox.close)
        trial = TrialSender(settings, bus, sandbox)
        await trial.open(stack)
        broker = create_broker(settings.redis_url)
        # The broker of this process wakes those that work here: whatever it gets where nobody does, it would keep for ever.
        waker = Waker(broker if worker or settings.redis_url is not None else None)
        stack.push_async_callback(waker.close)
        if worker:
            working = await start_workers(settings, bus, stack, owns_database=settings.embedded, sandbox=sandbox)
            if settings.redis_url is None:
                _consume(broker, working, stack)
        subscriptions = Seats(settings.live_subscriptions, "subscriptions")
        metrics.watch(subscribers=lambda: subscriptions.taken)
        await stack.enter_async_context(sampled(settings, backlog=worker))
        log.info("the API is ready", extra={"version": __version__, "engine": worker})
        stack.callback(log.info, "the API stops")
        backlog = Backlog(settings.backlog_limit)
        stack.push_async_callback(backlog.counted)
        yield Services(
            settings=settings,
            policy=settings.ssrf_policy(),
            accept=_accept_batcher(waker, bus, settings.accept_queue),
            backlog=backlog,
            wake=waker.wake,
            attempts=attempts,
            messages=messages,
            trial=trial,
            cursors=cursors,
            payload_checks=PayloadChecks(),
            sandbox=sandbox,
            connections=Seats(settings.live_connections, "WebSocket connections"),
            subscriptions=subscriptions,
            turns=turns,
        )


def _authenticator() -> Authenticate:
    """Looks tokens up each time, so that a revoked one is refused at once; those of requests that arrive together in one query."""
    lookups = Batcher(Token.callers, max_items=500)

    async def authenticate(authorization: str | None) -> Caller:
        return await lookups.submit(presented(authorization))

    return authenticate


def _accept_batcher(waker: Waker, bus: Bus, queue: int) -> Batcher[NewMessage, Accepted]:
    async def flush(batch: Sequence[NewMessage]) -> Sequence[Accepted | Exception]:
        with metrics.accepting(len(batch)), tracing.batch("accept", (message.traceparent for message in batch), len(batch)):
            accepted = await database.repeating(Message.accept, batch)
        metrics.accepted(sum(isinstance(outcome, Accepted) and not outcome.replayed for outcome in accepted.outcomes))
        waker.wake(DELIVER, accepted.endpoint_ids)
        bus.publish(accepted.news)
        return accepted.outcomes

    return Batcher(
        flush,
        max_items=ACCEPT_ITEMS,
        max_weight=ACCEPT_BYTES,
        weigh=lambda message: len(message.body) + len(message.params or ""),
        max_waiting=queue,
        max_waiting_weight=ACCEPT_QUEUE_BYTES,
    )


def _consume(broker: dramatiq.Broker, working: Working, stack: AsyncExitStack) -> None:
    """Run the in-process broker's worker, which hands wake-ups to what is at work."""
    register_deliver(broker, working.engine.wake)
    register_generate(broker, working.generator.look)
    consumer = dramatiq.Worker(broker, worker_timeout=20, worker_threads=1)
    consumer.start()
    stack.callback(consumer.stop)


async def development_token(settings: Settings) -> str:
    """The developer's token, kept beside the database and made anew when it is no longer valid."""
    path = settings.sqlite_path.parent / "development-token"
    kept = kept_secret(path, lambda: "none yet")
    try:
        await Token.authenticate(f"Bearer {kept}")
    except Unauthenticated:
        organisation = await Organisation.default()
        _, plain = await Token.mint(org_id=organisation.id, name="development")
        return replace_secret(path, plain)
    return kept


async def ready(_: Request) -> Response:
    """200 while the database answers, 503 while it does not: within some seconds, whatever has become of the database."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await database.answers()
    except (Unavailable, TimeoutError) as error:
        told = str(error) or f"The database did not answer within {READY_SECONDS:g} seconds."
        return JSONResponse({"database": told}, 503, headers={"Retry-After": "1"})
    return JSONResponse({"database": "ok"})


def __getattr__(name: str) -> Starlette:
    """`app`, for `uvicorn graphook.app:app`: built from the environment when it is asked for."""
    if name != "app":
        raise AttributeError(name)
    settings = Settings.load()
    configure_logging(settings.log_level, settings.log_format)
    return create_app(settings)
