"""Recording what came of a request, again and again while the database is away: nobody else knows it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from graphook.errors import Unavailable
from models.claim import Claim


async def record(claim: Claim, settle: Callable[[], Awaitable[object]], stopping: Callable[[], bool]) -> None:
    """Settle the result of a claim, also when its lease is over: a success still counts, and the log says what the receiver answered.

    Raises `Unavailable` while the process is `stopping` and the lease is over.
    """
    while True:
        try:
            await settle()
        except Unavailable:
            if stopping() and claim.is_over:
                raise
            await asyncio.sleep(random.uniform(0.1, 0.5))
        else:
            return
