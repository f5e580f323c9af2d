"""The step of the task that writes event types into an OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from graphook import strict_json
from graphook.database import Session
from graphook.errors import LimitExceeded
from graphook.openapi_export import write
from models import event_catalogue
from models.task import ClaimedTask
from workers.tasks import Step

# It is kept with the task, and read whole.
MAX_BYTES = 2 * 1024 * 1024


async def export_openapi(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Write the document in one step, so that it shows the catalogue of one moment."""
    too_long = LimitExceeded(f"The document has more than {MAX_BYTES} bytes.")
    # Whatever an organisation has stored would be read and written else, and everything else in this process would wait.
    if await event_catalogue.size(session, task.org_id) > 2 * MAX_BYTES:
        raise too_long
    rows = await event_catalogue.live(task.org_id)
    # A thread of its own: many schemas take a second or two.
    document = await asyncio.to_thread(write, rows)
    if len(strict_json.dumps(document)) > MAX_BYTES:
        raise too_long
    return Step(state={}, done=True, data={"openapi": document, "eventTypes": len(rows)})
