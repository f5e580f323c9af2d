"""What was deleted goes for good, with its secrets, once retention has taken what was sent of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.clock import now
from graphook.database import Statement
from models import partitions
from models.application import Application
from models.deleted import remove
from models.endpoint import Endpoint
from models.inbound import Inbound
from models.integration import Integration
from models.transformation import Transformation
from tests.models import make
from tests.models.test_retention import OLD, deliver
from workers.prune import prune

pytestmark = pytest.mark.usefixtures("db")

TABLES = ("application", "endpoint", "transformation", "restriction", "token", "integration", "inbound", "message_consumer", "delivery")


async def left() -> dict[str, int]:
    """The number of rows of each table that has any."""
    async with database.read() as session:
        counts = {table: (await session.fetch_text(f"SELECT count(*) AS n FROM {table}"))[0]["n"] for table in TABLES}
    return {table: count for table, count in counts.items() if count}


async def age(row: Application | Endpoint) -> None:
    """As if it had been deleted long ago."""
    await type(row).filter(id=row.id).update(deleted_at=now() - OLD)


async def furnished(app: Application, **values: Any) -> Endpoint:
    """An endpoint with a transformation, and a row that restricts it."""
    endpoint = await make.endpoint(app, rate_limit=1000, **values)
    await Transformation.begin(endpoint, "function handler(webhook) { return webhook }", {"secret": "of the customer"})
    await make.claims(endpoint)
    return endpoint


async def test_a_deleted_endpoint_stays_while_anything_was_sent_to_it_and_then_goes_with_its_secrets() -> None:
    app = await make.application()
    endpoint, other = await furnished(app), await furnished(app)
    await partitions.ensure(now() - OLD)
    await make.message(app, created_at=now() - OLD)
    await deliver(app, endpoint)
    await deliver(app, other)
    await endpoint.remove()
    await age(endpoint)

    await remove(now() - timedelta(days=90), 10)
    assert (await left())["endpoint"] == 2, "what was sent to it is still there"
    await prune(90)

    assert await left() == {"application": 1, "endpoint": 1, "transformation": 1, "restriction": 1}
    assert (await Endpoint.get()).id == other.id


async def test_a_deleted_application_goes_with_its_endpoints_keys_and_consumers_and_no_other() -> None:
    apps = [await make.application() for _ in range(2)]
    for app in apps:
        await furnished(app)
        await Integration.add(Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES)), app, "an integration")
        await Inbound.rotate(app)
        async with database.transaction() as session:
            await session.fetch(
                Statement.same("INSERT INTO message_consumer (app_id, name, position, seen_at) VALUES ($1, 'books', '', 0)"), app.id
            )
    await apps[0].remove()
    await age(apps[0])
    everything = await left()

    await prune(90)

    assert everything == {table: 2 for table in TABLES if table != "delivery"}
    assert await left() == {table: 1 for table in TABLES if table != "delivery"}
    assert (await Application.get()).id == apps[1].id
    assert [(await model.get()).app_id for model in (Endpoint, Integration, Inbound)] == [apps[1].id] * 3


async def test_an_application_stays_while_it_has_messages() -> None:
    app = await make.application()
    await make.message(app)
    await app.remove()
    await age(app)

    await prune(90)

    assert await left() == {"application": 1}


@pytest.mark.parametrize("days", [90, 0], ids=["deleted lately", "kept for ever"])
async def test_what_was_deleted_lately_stays_and_so_does_everything_where_nothing_is_forgotten(days: int) -> None:
    app = await make.application()
    endpoint, lately = await furnished(app), await furnished(app)
    for row in (endpoint, lately):
        await row.remove()
    if days == 0:
        await age(endpoint)
        await age(lately)

    await prune(days)

    assert (await left())["endpoint"] == 2


async def test_more_than_a_batch_is_removed_in_several() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.copies(endpoint, 5)
    await Endpoint.all().update(deleted_at=now() - OLD)

    assert [await remove(now(), 4) for _ in range(3)] == [4, 2, 0]
