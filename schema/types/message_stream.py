"""The message stream in GraphQL."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Self

import strawberry

from models.message_stream import StreamPage
from schema.errors import UserError
from schema.fields import enumeration, field
from schema.types.message import Message


class StreamStart(Enum):
    """Where to begin without a cursor."""

    OLDEST = "oldest"
    NEWEST = "newest"


enumeration(
    StreamStart,
    "Where to begin in a stream of messages.",
    {StreamStart.OLDEST: "With the first message there is.", StreamStart.NEWEST: "Behind every message that is there now."},
)


@strawberry.type(description="Messages in the order in which they were committed, oldest first (component MessageStreamOut).")
class MessageStream:
    data: list[Message] = field("The messages. There may be none although it is not done, when the filters leave many out.")
    iterator: str = field("Pass as `iterator` to go on; it is always there.")
    done: bool = field("Whether this was all there is now.")

    @classmethod
    def of(cls, page: StreamPage, iterator: str) -> Self:
        return cls(data=[Message.of(row) for row in page.messages], iterator=iterator, done=page.done)


@strawberry.type(description="A message as it was accepted, with the place to resume from.")
class MessageEvent:
    cursor: str = field("Pass as `after` to go on behind this message.")
    message: Message = field("The message.")


@strawberry.type(description="What messageStreamPoll did.")
class MessageStreamPollPayload:
    message_stream: MessageStream | None = field("The batch, unless there are errors.", default=None)
    leased_until: datetime | None = field(
        "Until when nobody else gets the batch: commit it before, or it is given out again. Null for an empty one, which needs no commit.",
        default=None,
    )
    errors: list[UserError] = field("Why nothing was leased.", default_factory=list)


@strawberry.type(description="What messageStreamCommit did.")
class MessageStreamCommitPayload:
    iterator: str | None = field("Where the consumer is now, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was moved.", default_factory=list)


@strawberry.type(description="What messageStreamSeek did.")
class MessageStreamSeekPayload(MessageStreamCommitPayload):
    pass
