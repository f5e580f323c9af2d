"""The story of the first visit: GraphiQL's steps, run one after another in a real browser while a second window watches."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, WebSocket, async_playwright

from tests import servers
from tests.client import http_client
from tests.deployment import Deployment, deployed
from tests.receiver import Receiver
from tests.tenant import Tenant
from tests.waiting import PATIENCE, until

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
TABS = ["CreateApplication", "CreateEventType", "CreateEndpoint", "WatchAttempts", "SendMessage", "ListAttempts", "ResendMessage"]
# To install the browser takes longer than a test may.
pytestmark = [pytest.mark.sqlite_only, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of the system's Chromium."""
    try:
        return next(filter(None, map(shutil.which, BROWSERS)), None) or servers.install("chromium", "Google Chrome")
    except servers.Missing as error:
        pytest.fail(str(error), pytrace=False)


@contextmanager
def made_to_develop(folder: Path) -> Iterator[Deployment]:
    """Graphook as `make run` starts it: without a secret key, and so with a token for the page."""
    settings = {"GRAPHOOK_SECRET_KEY": "", "GRAPHOOK_ALLOW_SUBNETS": "", "GRAPHOOK_METRICS_PORT": "0"}
    with deployed(f"sqlite://{folder}/graphook.sqlite3", None, **settings) as running:
        yield running


@pytest.fixture
def development(tmp_path: Path) -> Iterator[Deployment]:
    """One in which nothing was done yet."""
    with made_to_develop(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One in which nothing is ever done."""
    with made_to_develop(tmp_path_factory.mktemp("looked-at")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def launched(chromium: str) -> AsyncIterator[Browser]:
    """The browser's process, which takes seconds to start."""
    async with async_playwright() as playwright:
        # Playwright starts it without Chromium's sandbox, which does not work as root: it only ever opens our own page.
        browser = await playwright.chromium.launch(executable_path=chromium)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(launched: Browser) -> AsyncIterator[BrowserContext]:
    """A browser of its own, which has seen nothing yet."""
    context = await launched.new_context(viewport={"width": 1280, "height": 800})
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    """A customer's server, on the loop of the browser."""
    async with Receiver() as listening:
        yield listening


def made_token(deployment: Deployment) -> str:
    """A new token, made as an operator makes one."""
    command = [sys.executable, "-m", "graphook.cli", "token", "create", "--name", "browser"]
    environment = {**os.environ, **deployment.environment}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    return next(line.removeprefix("token: ") for line in said.splitlines() if line.startswith("token: "))


class Window:
    """One window of the page, as a person uses it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def open_tab(self, number: int) -> None:
        await self.page.locator(".graphiql-tab-button").nth(number - 1).click()
        # A moment after the document, GraphiQL learns which operation it would run.
        learnt = "name => localStorage.getItem('graphook:graphiql:operationName') === name"
        await self.page.wait_for_function(learnt, arg=TABS[number - 1])

    async def write_variables(self, variables: Any) -> None:
        await self._write("Variables", variables)

    async def write_token(self, token: str) -> None:
        await self._write("Headers", {"Authorization": f"Bearer {token}"})

    async def _write(self, editor: str, content: Any) -> None:
        await self.page.get_by_role("button", name=editor, exact=True).click()
        await self.page.locator(".graphiql-editor-tool .CodeMirror:visible").click()
        await self.page.keyboard.press("Control+A")
        await self.page.keyboard.insert_text(json.dumps(content))

    async def variables(self) -> Any:
        return json.loads(await self._text(".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror"))

    async def start(self) -> None:
        await self.page.get_by_role("button", name="Execute query").click()

    async def response(self) -> Any:
        """What the response pane shows; None while that is nothing."""
        text = await self._text(".graphiql-response .CodeMirror")
        return json.loads(text) if text.strip() else None

    async def run(self, number: int) -> Any:
        """The root field of the response in a tab that is opened now."""
        await self.open_tab(number)
        assert await self.response() is None
        return await self.run_here()

    async def run_here(self) -> Any:
        """The root field of the response in the open tab."""
        await self.start()
        return await self.shown(lambda field: True)

    async def shown(self, wanted: Any) -> Any:
        """The root field of the response, once it is there and is the one wanted."""
        seen: Any = None

        async def there() -> bool:
            nonlocal seen
            seen = await self.response()
            return seen is not None and bool(seen.get("data")) and wanted(next(iter(seen["data"].values())))

        await until(there, lambda: f"the response; it is {seen}")
        return next(iter(seen["data"].values()))

    async def failure(self) -> str:
        """The message of the one error that the response shows, once it shows one; it says nothing else but its extensions."""
        seen: Any = None

        async def there() -> bool:
            nonlocal seen
            seen = await self.response()
            return seen is not None and "errors" in seen

        await until(there, lambda: f"an error; the response is {seen}")
        ((error,),) = seen.values()
        assert set(error) <= {"message", "extensions"}
        return str(error["message"])

    async def _text(self, editor: str) -> str:
        return str(await self.page.locator(editor).evaluate("element => element.CodeMirror.getValue()"))


async def is_watched(running: Deployment) -> bool:
    """Whether the service follows something for somebody."""
    url = running.server.wait_for("metrics are at ").rpartition(" ")[2]
    async with http_client() as client:
        return "\ngraphook_live_subscribers 1.0\n" in (await client.get(url)).text


async def test_the_first_steps_lead_from_nothing_to_a_webhook_that_is_watched_live(
    development: Deployment, browser: BrowserContext, receiver: Receiver
) -> None:
    urls: list[str] = []
    frames: list[str] = []
    said: list[str] = []

    def listen(page: Page) -> None:
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("websocket", opened)

    def opened(socket: WebSocket) -> None:
        urls.append(socket.url)
        socket.on("framesent", lambda frame: frames.append(str(frame)))

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(message.text)

    browser.on("page", listen)
    browser.on("console", heard)
    browser.on("request", lambda request: urls.append(request.url))

    page = await browser.new_page()
    window = Window(page)
    await page.goto(f"{development.url}/graphiql")
    await page.get_by_text("mutation CreateApplication").wait_for(state="attached")
    titles = await page.locator(".graphiql-tab-button").all_inner_texts()
    assert titles == TABS

    await page.get_by_role("button", name="Show Documentation Explorer").click()
    await page.get_by_role("link", name="Mutation", exact=True).click()
    await page.get_by_role("link", name="applicationCreate", exact=True).wait_for()

    created = await window.run(1)
    assert (created["application"]["uid"], created["created"], created["errors"]) == ("demo", True, [])
    assert (await window.run(2))["eventType"]["name"] == "invoice.paid"

    await window.open_tab(3)
    variables = await window.variables()
    variables["input"]["url"] = receiver.url()
    await window.write_variables(variables)
    endpoint = await window.run_here()
    assert (endpoint["endpoint"]["url"], endpoint["errors"]) == (receiver.url(), [])

    await page.get_by_role("button", name="Show First steps").click()
    async with browser.expect_page() as second:
        await page.get_by_role("link", name="Open a second window").click()
    watching = Window(await second.value)
    await watching.open_tab(4)
    await watching.start()
    await until(lambda: any('"type":"subscribe"' in frame for frame in frames), "the subscription to begin")
    await watching.page.get_by_role("button", name="Stop query").wait_for()
    await until(lambda: is_watched(development), "the subscription to be taken up")

    sent = await window.run(5)
    assert (sent["message"]["eventId"], sent["errors"]) == ("invoice-1001-paid", [])
    (webhook,) = await receiver.wait_for(1)
    assert json.loads(webhook.body)["invoice"] == "1001"
    assert webhook.headers["webhook-id"] == sent["message"]["id"]
    live = await watching.shown(lambda event: True)
    assert (live["attempt"]["msgId"], live["attempt"]["status"]) == (sent["message"]["id"], "SUCCESS")

    listed = await window.run(6)
    assert [node["id"] for node in listed["nodes"]] == [live["attempt"]["id"]]

    assert await window.run(7) == {"accepted": True, "errors": []}
    assert len(await receiver.wait_for(2)) == 2
    again = await watching.shown(lambda event: event["cursor"] != live["cursor"])
    assert again["attempt"]["status"] == "SUCCESS"
    await window.open_tab(6)
    await window.start()
    listed = await window.shown(lambda connection: len(connection["nodes"]) == 2)
    assert [node["triggerType"] for node in listed["nodes"]] == ["MANUAL", "SCHEDULED"]

    assert {urlsplit(url).netloc for url in urls if not url.startswith("data:")} == {urlsplit(development.url).netloc}
    assert said == []


async def test_ctrl_enter_runs_what_a_tab_shows_that_was_opened_this_very_moment(development: Deployment, browser: BrowserContext) -> None:
    page = await browser.new_page()
    window = Window(page)
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    await page.goto(f"{development.url}/graphiql")
    await page.get_by_text("mutation CreateApplication").wait_for(state="attached")

    # Nobody's fingers are this fast each time: GraphiQL still believes that it would run the operation of the tab before.
    await page.evaluate(
        """async number => {
            document.querySelectorAll(".graphiql-tab-button")[number - 1].click();
            await new Promise(resolve => setTimeout(resolve));  // the page draws the tab
            document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", ctrlKey: true, bubbles: true}));
        }""",
        1 + TABS.index("CreateEventType"),
    )
    assert (await window.shown(lambda field: True))["eventType"]["name"] == "invoice.paid"

    await window.run(1)
    await page.locator(".graphiql-tab-button").nth(TABS.index("WatchAttempts")).click()
    await page.keyboard.press("Control+Enter")
    await until(lambda: opened != [], "the subscription to be opened")


async def test_what_goes_wrong_is_said_in_a_sentence(
    development: Deployment, browser: BrowserContext, receiver: Receiver, tmp_path: Path
) -> None:
    async with Tenant(development.graphql, (tmp_path / "development-token").read_text().strip()) as acme:
        app = await acme.application(uid="demo")
        endpoint = await acme.endpoint(app, receiver.url())
        before = await acme.execute(f'{{ messageAttempts(appId: "demo", endpointId: "{endpoint["id"]}") {{ liveCursor }} }}')
        await acme.message(app)

    window = Window(await browser.new_page())
    await window.page.goto(f"{development.url}/graphiql")
    await window.open_tab(TABS.index("WatchAttempts") + 1)
    await window.write_variables({"after": before["liveCursor"]})
    await window.start()
    event = await window.shown(lambda event: True)
    await window.page.get_by_role("button", name="Stop query").click()

    await window.write_token("orgsk_unknown")
    await window.start()
    assert await window.failure() == 'This token is missing, unknown, expired or revoked. Put one that is valid under "Headers".'
    await window.open_tab(TABS.index("ListAttempts") + 1)
    await window.write_token("orgsk_…")
    await window.start()
    assert (await window.failure()).startswith('What is under "Headers" cannot be sent: ')

    await window.page.reload()
    await window.open_tab(TABS.index("WatchAttempts") + 1)
    await window.start()
    await window.shown(lambda event: True)
    development.server.stop()
    lost = f'The connection to the server was lost. Is it running? Run this again, with "after": "{event["cursor"]}" to miss nothing.'
    assert await window.failure() == lost
    for tab in ("WatchAttempts", "ListAttempts"):
        await window.open_tab(TABS.index(tab) + 1)
        await window.start()
        assert await window.failure() == "The server cannot be reached. Is it running?"


async def test_a_token_that_is_filled_in_once_serves_every_tab(tmp_path: Path, browser: BrowserContext) -> None:
    with deployed(f"sqlite://{tmp_path}/graphook.sqlite3", None) as production:
        page = await browser.new_page()
        window = Window(page)
        await page.goto(f"{production.url}/graphiql")
        assert await window.failure() == "Send the token as `Authorization: Bearer …`."

        await window.write_token(made_token(production))
        assert (await window.run_here())["created"]
        assert (await window.run(2))["eventType"]["name"] == "invoice.paid"
        await page.get_by_role("button", name="Show Documentation Explorer").click()
        await page.get_by_role("link", name="Mutation", exact=True).wait_for()


async def test_a_keyboard_alone_reaches_the_whole_page(looked_at: Deployment, browser: BrowserContext) -> None:
    page = await browser.new_page()
    await page.goto(f"{looked_at.url}/graphiql")
    await page.get_by_text("mutation CreateApplication").wait_for(state="attached")
    await page.get_by_role("button", name="Show Documentation Explorer").wait_for()
    document = ".graphiql-query-editor .CodeMirror"
    text = await page.locator(document).evaluate("element => element.CodeMirror.getValue()")
    focused = """() => {
        const part = document.activeElement.closest(".graphiql-query-editor .CodeMirror, .graphiql-response, .graphiql-editor-tool .CodeMirror");
        return part?.className.split(" ")[0] ?? document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent;
    }"""

    async def walk(key: str, steps: int) -> list[str]:
        found = []
        for _ in range(steps):
            await page.keyboard.press(key)
            found.append(await page.evaluate(focused))
        return found

    await page.get_by_role("button", name="New tab").focus()
    there = await walk("Tab", 15)
    assert {"Execute query (Ctrl-Enter)", "Variables", "Headers", "graphiql-response"} <= set(there)
    assert there.count("CodeMirror") == 2
    assert "New tab" in await walk("Shift+Tab", 15)
    assert await page.locator(document).evaluate("element => element.CodeMirror.getValue()") == text

    await page.get_by_role("button", name="Show Documentation Explorer").press("Enter")
    await page.get_by_role("link", name="Mutation", exact=True).wait_for()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("endpointCreate")
    await page.get_by_role("option", name="Mutation.endpointCreate", exact=True).wait_for()


async def test_the_documentation_shows_the_inputs_of_what_the_steps_create(looked_at: Deployment, browser: BrowserContext) -> None:
    page = await browser.new_page()
    await page.goto(f"{looked_at.url}/graphiql")
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    for kind in ("ApplicationIn", "EventTypeIn", "EndpointIn", "MessageIn"):
        await page.get_by_role("link", name=kind, exact=True).click()
        # A default that cannot be printed takes the whole page away.
        await page.locator(".graphiql-doc-explorer-title").get_by_text(kind, exact=True).wait_for()
        await page.locator(".graphiql-doc-explorer-back").click()


async def test_a_tab_that_is_opened_is_in_sight(looked_at: Deployment, browser: BrowserContext) -> None:
    page = await browser.new_page()
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"{looked_at.url}/graphiql")
    await page.get_by_role("button", name="Show First steps").click()
    for step in ("7 Resend message", "1 Create application"):
        await page.get_by_role("button", name=step).click()
        seen = """() => {
            const [tab, bar] = [".graphiql-tab-active", ".graphiql-tabs"].map(name => document.querySelector(name).getBoundingClientRect());
            return tab.left >= bar.left - 1 && tab.left < bar.right - 40;
        }"""
        await page.wait_for_function(seen, timeout=PATIENCE * 1000)


async def test_a_narrow_screen_has_room_for_the_document_and_the_response(looked_at: Deployment, browser: BrowserContext) -> None:
    page = await browser.new_page()
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"{looked_at.url}/graphiql")
    await page.get_by_role("button", name="Show First steps").click()
    await page.get_by_role("button", name="1 Create application").wait_for()
    for part in (".graphiql-query-editor", ".graphiql-response", ".graphiql-plugin"):
        box = await page.locator(part).bounding_box()
        assert box is not None
        assert box["width"] > 290
        assert box["height"] > 150
        assert box["x"] + box["width"] <= 390
