"""What restricts an endpoint holds over all processes: the most in flight, and the order of a queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from graphook import database
from graphook.database import Statement
from models import claiming, delivery
from models.cancel import cancel_pending
from models.claim import Claim
from models.delivery import State
from models.delivery_policy import DeliveryPolicy
from models.endpoint import Endpoint
from models.message import Message
from models.where import Where
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")

AN_HOUR = 3_600_000_000


async def run(text: str, *args: Any) -> None:
    async with database.transaction() as session:
        await session.fetch(Statement.same(text), *args)


async def restricted(**policy: Any) -> tuple[Any, Endpoint]:
    app = await make.application()
    return app, await make.endpoint(app, delivery_policy=policy)


async def claim_all(endpoint: Endpoint, worker: str = "worker") -> list[str]:
    return [claim.message_id for claim in await make.claims(endpoint, worker=worker)]


async def fail(claim: Claim, delay: int = AN_HOUR) -> None:
    await delivery.settle([make.result(claim, State.WAITING, delay=delay, status=500)])


async def make_due(message_id: str) -> None:
    await run("UPDATE delivery SET due_at = 0 WHERE message_id = $1 AND state = 1", message_id)
    await delivery.promote(10)


async def test_all_claimers_together_stay_within_the_most_in_flight() -> None:
    app, endpoint = await restricted(max_in_flight=3)
    for _ in range(8):
        await make.message(app)

    claimed = await claiming.claim({endpoint.id: 10}, "first", 30_000_000)
    assert (len(claimed.claims), claimed.full, claimed.more, claimed.later) == (3, [endpoint.id], [], {})
    assert await make.claims(endpoint, worker="second") == []
    await delivery.settle([make.result(claimed.claims[0])])
    (fourth,) = await make.claims(endpoint, worker="second")
    await fail(fourth)
    await delivery.cancel(claimed.claims[1:], "a test")
    assert len(await make.claims(endpoint, worker="second")) == 3


async def test_a_lease_that_ran_out_counts_until_it_is_taken_back() -> None:
    app, endpoint = await restricted(max_in_flight=1)
    first, second = await make.message(app), await make.message(app)
    assert [claim.message_id for claim in await make.claims(endpoint, lease_us=0)] == [first]
    assert await claim_all(endpoint) == []

    await delivery.take_back(10)

    assert await claim_all(endpoint) == [second], "it is due since its lease ran out, the other since before"


async def test_many_claimers_at_once_never_go_beyond_the_most_in_flight_and_leave_nothing() -> None:
    app, endpoint = await restricted(max_in_flight=4)
    for _ in range(40):
        await make.message(app)
    held, most, delivered = 0, 0, 0

    async def work(worker: str) -> None:
        nonlocal held, most, delivered
        while delivered < 40:
            claims = await make.claims(endpoint, each=3, worker=worker)
            held += len(claims)
            most = max(most, held)
            await asyncio.sleep(0)
            held -= len(claims)
            await delivery.settle([make.result(claim) for claim in claims])
            delivered += len(claims)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(f"worker {n}") for n in range(4)))

    assert (most <= 4, delivered) == (True, 40)


async def test_one_of_an_ordered_queue_is_in_flight_and_its_retry_keeps_its_place() -> None:
    app, endpoint = await restricted(ordered=True)
    first, second = await make.message(app), await make.message(app)

    claimed = await claiming.claim({endpoint.id: 10}, "first", 30_000_000)
    (head,) = claimed.claims
    assert (head.message_id, claimed.full) == (first, [endpoint.id])
    assert await claim_all(endpoint, "second") == []
    await fail(head)
    assert await claim_all(endpoint) == [], "the head waits for its retry"
    await make_due(first)
    (again,) = await make.claims(endpoint)
    assert (again.message_id, again.tries) == (first, 1)
    await delivery.settle([make.result(again, State.FAILED, status=500)])
    assert await claim_all(endpoint) == [second]


async def test_a_queue_that_is_ordered_again_begins_with_what_is_ready_then() -> None:
    app, endpoint = await restricted(ordered=True)
    await make.message(app)
    (head,) = await make.claims(endpoint)
    await fail(head)
    await endpoint.change({"delivery_policy": None})
    await endpoint.change({"delivery_policy": {"ordered": True}})

    second, third = await make.message(app), await make.message(app)
    (before,) = await Where().equal("id", endpoint.id).load(Endpoint)
    (claim,) = await make.claims(endpoint)
    assert claim.message_id == second, "what waited for a retry is not put in order"
    await fail(claim)
    await endpoint.change({"delivery_policy": {"ordered": True, "max_in_flight": 3}})
    before.update_from_dict({"delivery_policy": None})
    await before.change({"delivery_policy": {"ordered": True}})
    assert await claim_all(endpoint) == [], "a queue that stays ordered keeps its head, whatever who changes it had read"
    await make_due(second)
    (claim,) = await make.claims(endpoint)
    await delivery.settle([make.result(claim)])
    assert await claim_all(endpoint) == [third]


async def test_a_head_whose_lease_ran_out_comes_again_before_the_others() -> None:
    app, endpoint = await restricted(ordered=True)
    first, _ = await make.message(app), await make.message(app)
    await make.claims(endpoint, lease_us=0)
    await delivery.take_back(10)

    assert await claim_all(endpoint) == [first]


async def test_an_ordered_queue_keeps_the_order_of_acceptance_for_many_claimers() -> None:
    app, endpoint = await restricted(ordered=True)
    accepted = [await make.message(app) for _ in range(20)]
    sent: list[str] = []

    async def work(worker: str) -> None:
        while len(sent) < 20:
            for claim in await make.claims(endpoint, worker=worker):
                sent.append(claim.message_id)
                await delivery.settle([make.result(claim)])

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(f"worker {n}") for n in range(4)))

    assert sent == accepted


async def test_what_a_queue_took_before_a_rate_was_set_does_not_count_against_the_rate() -> None:
    app, endpoint = await restricted(ordered=True)
    for _ in range(20):
        await make.message(app)
        await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    await endpoint.change({"rate_limit": 5})
    message_id = await make.message(app)

    # A second later …
    await run("UPDATE restriction SET refilled_at = refilled_at - 1000000 WHERE endpoint_id = $1", endpoint.id)
    assert await claim_all(endpoint) == [message_id]


async def test_manual_resends_pass_the_queue() -> None:
    app, endpoint = await restricted(ordered=True)
    first, second = await make.message(app), await make.message(app)
    (head,) = await make.claims(endpoint)
    await fail(head)

    await delivery.resend(await Message.load(app, second), endpoint)

    assert [(claim.message_id, claim.run) for claim in await make.claims(endpoint)] == [(second, 1)]
    await make_due(first)
    assert await claim_all(endpoint) == [first]


async def test_a_message_that_is_still_fanned_out_goes_before_later_ones() -> None:
    app, endpoint = await restricted(ordered=True)
    earlier, later = await make.message(app), await make.message(app)
    await run("DELETE FROM delivery WHERE message_id = $1", earlier)
    await run("INSERT INTO fanout (message_id, app_id, after_endpoint) VALUES ($1, $2, '')", earlier, app.id)
    assert await claim_all(endpoint) == []

    await run("UPDATE fanout SET after_endpoint = $1", endpoint.id)
    assert await claim_all(endpoint) == [later]


async def test_a_message_that_is_fanned_out_to_those_before_an_endpoint_keeps_it_waiting_for_nothing() -> None:
    app, endpoint = await restricted(ordered=True)
    earlier, later = await make.message(app), await make.message(app)
    await run("DELETE FROM delivery WHERE message_id = $1", earlier)
    await run("INSERT INTO fanout (message_id, app_id, after_endpoint, last_endpoint) VALUES ($1, $2, '', 'ep_0')", earlier, app.id)
    assert await cancel_pending(earlier, endpoint.id) == 0, "nor is there anything to cancel for it"
    assert await claim_all(endpoint) == [later]


async def test_what_is_fanned_out_elsewhere_or_was_accepted_later_keeps_no_queue_waiting() -> None:
    app, endpoint = await restricted(ordered=True)
    elsewhere = await make.application()
    others, first, later = await make.message(elsewhere), await make.message(app), await make.message(app)
    await run("DELETE FROM delivery WHERE message_id = $1", later)
    for message_id, app_id in ((others, elsewhere.id), (later, app.id)):
        await run("INSERT INTO fanout (message_id, app_id, after_endpoint) VALUES ($1, $2, '')", message_id, app_id)

    assert await claim_all(endpoint) == [first]


async def test_an_unrestricted_endpoint_has_no_row() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    assert len(await make.claims(endpoint)) == 1

    async with database.read() as session:
        assert await session.fetch_text("SELECT * FROM restriction") == []


async def test_one_claim_takes_of_restricted_and_of_free_endpoints_with_the_body_for_each() -> None:
    app = await make.application()
    restricted, free, disabled = [await make.endpoint(app, **values) for values in ({"rate_limit": 5}, {}, {})]
    messages = [await make.message(app) for _ in range(3)]
    await Endpoint.filter(id=disabled.id).update(disabled=True)

    claimed = await make.claims(restricted, free, disabled)

    assert Counter(claim.endpoint.id for claim in claimed) == {restricted.id: 1, free.id: 3}
    assert sorted(claim.message_id for claim in claimed if claim.endpoint.id == free.id) == messages
    assert all(claim.body for claim in claimed)
    assert await make.claims(free, disabled) == []


async def test_what_an_endpoint_is_sent_after_it_was_enabled_is_not_canceled_by_a_claim_that_read_it_before() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)

    async with database.transaction() as session:
        assert await claiming._cancel_ready(session, [endpoint.id]) == []
    assert len(await make.claims(endpoint)) == 1


async def test_a_disabled_endpoint_with_more_to_cancel_is_claimed_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "CANCEL_PER_LANE", 2)
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(3):
        await make.message(app)
    await endpoint.change({"disabled": True})

    claimed = [await claiming.claim({endpoint.id: 20}, "worker", 30_000_000) for _ in range(2)]

    assert [(found.claims, found.more) for found in claimed] == [([], [endpoint.id]), ([], [])]


async def test_an_endpoint_that_cannot_be_read_is_put_off() -> None:
    app = await make.application()
    broken, other = await make.endpoint(app), await make.endpoint(app)
    await Endpoint.filter(id=broken.id).update(delivery_policy=["not", "a", "policy"])
    await make.message(app)

    claimed = await claiming.claim({broken.id: 20, other.id: 20}, "worker", 30_000_000)

    assert [claim.endpoint.id for claim in claimed.claims] == [other.id]
    assert claimed.later == {broken.id: claiming.UNREADABLE_SECONDS}


def test_what_only_a_newer_version_knows_of_a_policy_is_passed_over() -> None:
    assert DeliveryPolicy.read('{"ordered": true, "newer": 1}') == DeliveryPolicy(ordered=True)
