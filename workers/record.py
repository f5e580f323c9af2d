"""Recording what came of a request, again and again while that fails: nobody else knows it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from graphook.errors import Unavailable
from models.claim import Claim

log = logging.getLogger(__name__)

# Between two tries after a fault of ours, in seconds: a few until the lease is over.
FAULT_SECONDS = 2.0


async def record(claim: Claim, settle: Callable[[], Awaitable[object]], stopping: Callable[[], bool]) -> None:
    """Settle the result of a claim, also when its lease is over: a success still counts, and the log says what the receiver answered.

    Raises `Unavailable` while the process is `stopping` and the lease is over, and a fault of ours when either is so. That is logged the first time
    only: what breaks one result mostly breaks hundreds.
    """
    told = False
    while True:
        try:
            await settle()
        except Unavailable:
            if stopping() and claim.is_over:
                raise
            await asyncio.sleep(random.uniform(0.1, 0.5))
        except Exception:
            if stopping() or claim.is_over:
                raise
            if not told:
                said = "the result of message %s for endpoint %s was not recorded; it is tried again until its lease is over"
                log.exception(said, claim.message_id, claim.endpoint.id)
            told = True
            await asyncio.sleep(random.uniform(0.5, 1.0) * FAULT_SECONDS)
        else:
            return
