"""What becomes of deliveries whose transformation could not be run: the fault is ours, and costs neither a try nor the endpoint's good name."""

from __future__ import annotations

from typing import Any

import pytest

from graphook.sandbox import Sandbox
from graphook.transformation import TransformationError, Webhook
from models import delivery
from models.application import Application
from models.delivery import State
from models.endpoint import Endpoint
from models.message import Message
from models.transformation import Transformation
from tests.models import make
from tests.waiting import until
from tests.workers.test_engine import FakeSender, all_succeeded, rows, running, states
from workers import engine, send

pytestmark = pytest.mark.usefixtures("db")


class FaultySandbox(Sandbox):
    """Fails so many times with these errors, one after another, before it runs the code."""

    def __init__(self, *codes: Any) -> None:
        super().__init__()
        self.codes = list(codes)

    async def transform(self, code: str, webhook: Webhook, **given: Any) -> Webhook:
        if self.codes:
            raise TransformationError(self.codes.pop(0), "not now")
        return webhook


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(engine, "TICK", 0.02)


async def transformed() -> tuple[Application, Endpoint, str]:
    """An application, its endpoint with a transformation, and a message to it."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    await Transformation.change(endpoint, {"code": "function handler(w) { return w }", "enabled": True})
    return app, endpoint, await make.message(app)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "CRASHED"])
async def test_what_the_sandbox_could_not_run_is_given_back_and_sent_a_little_later(code: str) -> None:
    await transformed()

    async with running(sender := FakeSender(), FaultySandbox(code, code), retry_schedule=()):
        await until(all_succeeded, "the delivery to be sent")

    assert len(sender.urls) == 1
    assert await rows("tries", "delivery") == [1], "the two that ran nothing are no tries"
    assert await rows("interrupts", "delivery") == [0]
    assert await rows("response_status_code", "attempt") == [200], "and no attempts"


async def test_a_lack_of_capacity_never_ends_a_delivery() -> None:
    _, endpoint, _ = await transformed()

    async with running(FakeSender(), FaultySandbox(*["UNAVAILABLE"] * 6), retry_schedule=()):
        await until(all_succeeded, "the delivery to be sent")
        await endpoint.refresh_from_db()

    assert endpoint.failing_since is None


async def test_a_resend_that_could_not_be_run_is_not_failed_but_sent() -> None:
    app, endpoint, message_id = await transformed()
    async with running(FakeSender(), FaultySandbox()):
        await until(all_succeeded, "the delivery to be sent")
    await delivery.resend(await Message.load(app, message_id), endpoint)

    async with running(FakeSender(), FaultySandbox("UNAVAILABLE")):
        await until(all_succeeded, "the resend to be sent")

    assert len(await rows("id", "attempt")) == 2


async def test_code_that_crashes_again_and_again_has_failed() -> None:
    """The third time, and each time after that: it does not go round for ever, nor is it quarantined."""
    await transformed()

    async with running(FakeSender(), FaultySandbox(*["CRASHED"] * 4), retry_schedule=(0.01,)):

        async def failed() -> bool:
            return await states() == [int(State.FAILED)]

        await until(failed, "the delivery to fail")

    assert await rows("error_code", "attempt") == ["transformation_crashed"] * 2
    assert (await rows("tries", "delivery"), await rows("interrupts", "delivery")) == ([2], [0])


async def test_a_late_give_back_changes_nothing() -> None:
    _, endpoint, _ = await transformed()
    (claim,) = await make.claims(endpoint)
    await delivery.take_back_all("nobody")
    await delivery.take_back(10)
    settled = make.result(claim, State.WAITING, delay=3_600_000_000)

    await delivery.settle([send.given_back(settled)])

    assert await states() == [int(State.READY)]
    assert await rows("error_code", "attempt") == ["interrupted"]
