"""Every subscription of the API, one line an operation."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import strawberry

from resolvers import attempt, delivery, generation, message_stream, task
from schema.fields import subscription
from schema.types.attempt import MessageAttemptEvent
from schema.types.delivery import MessageStatusEvent
from schema.types.generation import GenerationEvent
from schema.types.message_stream import MessageEvent
from schema.types.task import BackgroundTask


@strawberry.type(description="What can be watched live.")
class Subscription:
    message_attempts: AsyncGenerator[MessageAttemptEvent, None] = subscription(attempt.watch)
    messages: AsyncGenerator[MessageEvent, None] = subscription(message_stream.watch)
    message_status: AsyncGenerator[MessageStatusEvent, None] = subscription(delivery.watch)
    background_task: AsyncGenerator[BackgroundTask, None] = subscription(task.watch)
    generation: AsyncGenerator[GenerationEvent, None] = subscription(generation.watch)
