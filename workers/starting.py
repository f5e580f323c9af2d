"""What keeps a process of workers from starting; who asks loads nothing of what they work with."""

from __future__ import annotations

from graphook.process import CannotStart
from graphook.settings import Settings
from models.migrate import check_start


async def check_worker(settings: Settings) -> None:
    """Raise, in one sentence, for what keeps a process of workers from starting."""
    if settings.embedded:
        raise CannotStart("Workers need PostgreSQL: on SQLite, `graphook serve` does everything. Set GRAPHOOK_DATABASE_URL.")
    await check_start(settings)
