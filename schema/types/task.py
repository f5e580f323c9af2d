"""Background tasks in GraphQL."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from models.task import Task as Row
from models.task import TaskStatus, TaskType
from schema.errors import UserError
from schema.fields import enumeration, field
from schema.node import Node
from schema.scalars import JSON

LONG = ("openapi", "choices", "script", "trial", "schema")

enumeration(
    TaskStatus,
    "How a background task stands (component BackgroundTaskStatus).",
    {TaskStatus.RUNNING: "It waits for a worker or is at work.", TaskStatus.FINISHED: "It is done.", TaskStatus.FAILED: "It was given up."},
    name="BackgroundTaskStatus",
)
enumeration(
    TaskType,
    "What a background task does (component BackgroundTaskType).",
    {
        TaskType.ENDPOINT_REPLAY: "Delivers what an endpoint was never sent (endpoint.replay in the contract).",
        TaskType.ENDPOINT_RECOVER: "Sends once more what failed (endpoint.recover).",
        TaskType.ENDPOINT_BULK_REPLAY: "Sends once more what a filter names (endpoint.bulk-replay).",
        TaskType.SDK_GENERATE: "Writes event types into an OpenAPI document (sdk.generate).",
        TaskType.APPLICATION_CANCEL_MESSAGES: "Cancels what is still to be sent of the messages that a filter names (ours).",
        TaskType.APPLICATION_PURGE_CONTENT: "Forgets all payloads and responses of an application (application.purge_content).",
        TaskType.APPLICATION_STATS: "Adds up how much each application sent (application.stats).",
        TaskType.EVENT_TYPE_AGGREGATE: "Lists which event types each application asks for (event-type.aggregate).",
        TaskType.MESSAGE_BROADCAST: "Sends a message to every application (message.broadcast).",
        TaskType.TEMPLATE_GENERATE: "Lets a model write a transformation (ours).",
        TaskType.EVENT_TYPE_GENERATE_SCHEMA: "Lets a model write a JSON Schema (ours).",
    },
    name="BackgroundTaskType",
)


@strawberry.type(
    description="Long work that goes on by itself, whatever becomes of the process that began it (components BackgroundTaskOut, RecoverOut, "
    "ReplayOut, ExportEventTypeOut, MessageBroadcastOut, AggregateEventTypesOut, AppUsageStatsOut)."
)
class BackgroundTask(Node):
    id: strawberry.ID = field("Its id: qtask_ and 27 letters and digits.")
    task: TaskType = field("What it does.")
    status: TaskStatus = field("How it stands.")
    progress: float = field("How much is done, in percent.")
    data: JSON = field(
        "Its result once it is finished, such as messagesSent; the reason under `error` when it failed (component BackgroundTaskData). A list leaves out what is long: the document of an export, and the answer of a model."
    )
    app_id: strawberry.ID | None = field("The application it is about; null for the whole organisation.")
    created_at: datetime = field("When it was begun.")
    updated_at: datetime = field("When it last got on.")

    @classmethod
    def in_a_list(cls, row: Row) -> Self:
        """A task without what it may have written at length, which is read by itself."""
        found = cls.of(row)
        found.data = JSON({name: value for name, value in row.data.items() if name not in LONG})
        return found

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            task=TaskType(row.type),
            status=TaskStatus(row.status),
            progress=row.progress,
            data=JSON(row.data),
            app_id=None if row.app_id is None else strawberry.ID(row.app_id),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


@strawberry.type(description="What every mutation that begins a background task did; each has a type of its own.")
class BackgroundTaskPayload:
    background_task: BackgroundTask | None = field(
        "The task, unless there are errors. It is durable: a worker takes it up at once.", default=None
    )
    errors: list[UserError] = field("Why nothing was begun.", default_factory=list)
