"""The step of the task that writes event types into an OpenAPI document."""

from __future__ import annotations

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
    rows = await event_catalogue.live(task.org_id)
    document = write(rows)
    if len(strict_json.dumps(document)) > MAX_BYTES:
        raise LimitExceeded(f"The document has more than {MAX_BYTES} bytes.")
    return Step(state={}, done=True, data={"openapi": document, "eventTypes": len(rows)})
