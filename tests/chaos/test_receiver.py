"""The receiver of the suite counts what it holds open, and no more."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.chaos.field import SECRET
from tests.chaos.ledger import Ledger
from tests.chaos.receiver import Answer, LedgerReceiver
from tests.client import http_client
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.sqlite_only


async def test_a_request_that_hangs_is_over_when_its_sender_hangs_up(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "received")
    async with LedgerReceiver(ledger, lambda name, message, earlier: Answer(kind="hang"), {"e0": SECRET}) as receiver:
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                async with http_client(timeout=httpx.Timeout(PATIENCE, read=0.2)) as client:
                    await client.post(receiver.url("e0"), content=b"{}")
            await until(lambda: receiver.open["e0"] == 0, "the request to be over")
    ledger.close()

    assert receiver.most_open["e0"] == 1
    assert len(receiver.arrivals["e0"]) == 3
