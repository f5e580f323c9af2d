"""The comparison can fail: each of its six columns is made to show what it is for."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from graphook.clock import now
from graphook.signing import parse_secret, signed_headers
from tests.chaos.compare import Comparison, rows
from tests.chaos.field import SECRET, Field, Trial
from tests.chaos.receiver import Answer
from tests.client import http_client

pytestmark = pytest.mark.sqlite_only

COLUMNS = ("lost", "duplicates", "unrecorded", "phantom", "bad_signature", "corrupt")


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return Field(tmp_path, 0.0)


def columns(found: Comparison) -> dict[str, int]:
    return {name: getattr(found, name) for name in COLUMNS if getattr(found, name)}


async def request(trial: Trial, message: str, body: bytes, secret: str = SECRET) -> None:
    """A request at the receiver that the service knows nothing of."""
    headers = signed_headers([parse_secret(secret)], message, int(now().timestamp()), body, style="webhook")
    async with http_client() as client:
        await client.post(trial.receiver.url("e0"), content=body, headers=headers)


async def test_each_column_of_the_comparison_can_be_other_than_zero(field: Field) -> None:
    """One sabotage after the other on a real run; each shows in its own column, beside those before it."""
    async with field.trial(embedded=True, endpoints=1) as trial:
        await trial.publisher.publish(5, clients=1)
        assert columns(await trial.settled()) == {}
        entries = list(trial.publisher.ledger.entries())
        message, other = entries[0]["message"], entries[1]["message"]

        await trial.publisher.ledger.append(message="msg_neverseen", sha256="", endpoints=["e0"])
        assert columns(await trial.settled()) == {"lost": 1}, "an acknowledgement without a delivery"

        with sqlite3.connect(trial.database_url.removeprefix("sqlite://"), timeout=20) as connection:
            connection.execute("UPDATE attempt SET status = 2, error_code = 'connection' WHERE message_id = ?", (other,))
        connection.close()
        assert columns(await trial.settled()) == {"lost": 1, "phantom": 1}, "a delivery that succeeded without a successful attempt"

        trial.receiver.forgetful = True
        await trial.publisher.publish(1)
        await trial.quiet()
        trial.receiver.forgetful = False
        assert columns(await trial.settled()) == {"lost": 2, "phantom": 2}, "a receiver that answered but says that nothing came"

        with sqlite3.connect(trial.database_url.removeprefix("sqlite://"), timeout=20) as connection:
            connection.execute("DELETE FROM attempt WHERE message_id = ?", (message,))
            connection.execute("UPDATE delivery SET state = 5 WHERE message_id = ?", (message,))
        connection.close()
        assert columns(await trial.settled()) == {"lost": 2, "phantom": 2, "unrecorded": 1}, "a request whose attempt is gone"

        await request(trial, "msg_unknown", b"{}")
        seen = columns(await trial.settled())
        assert seen == {"lost": 2, "phantom": 2, "unrecorded": 2}, "a request that nobody sent"

        (body,) = await rows(trial.database_url, f"SELECT body FROM message_content WHERE message_id = '{entries[2]['message']}'")
        await request(trial, entries[2]["message"], body[0])
        seen = columns(await trial.settled())
        assert seen == {"lost": 2, "phantom": 2, "unrecorded": 3, "duplicates": 1}, "the same request twice"

        await request(trial, entries[3]["message"], b'{"n":"other"}')
        seen = columns(await trial.settled())
        assert seen == {"lost": 2, "phantom": 2, "unrecorded": 4, "duplicates": 2, "corrupt": 1}, "another body"

        (body,) = await rows(trial.database_url, f"SELECT body FROM message_content WHERE message_id = '{entries[4]['message']}'")
        await request(trial, entries[4]["message"], body[0], "whsec_" + "A" * 40)
        seen = columns(await trial.settled())
        assert seen == dict(zip(COLUMNS, (2, 3, 5, 2, 1, 1), strict=True)), "another's signature"


async def test_a_duplicate_that_no_attempt_explains_is_told_from_one_that_is(field: Field) -> None:
    async with field.trial(embedded=True, endpoints=1, plan=lambda *_: Answer()) as trial:
        await trial.publisher.publish(1)
        assert (await trial.settled()).unexplained == 0
        (entry,) = trial.publisher.ledger.entries()
        (body,) = await rows(trial.database_url, "SELECT body FROM message_content")
        await request(trial, entry["message"], body[0])
        assert (await trial.settled()).unexplained == 1
