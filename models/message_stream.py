"""The stream of messages: what an application or an organisation accepted, in the order of commits, from any cursor on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from graphook.clock import from_us, to_us
from graphook.database import Session
from graphook.feed import Position
from graphook.ids import start_id
from models.feeds import MESSAGES
from models.message import Message

# Longer than a message takes from being asked for to its commit, with what clocks differ: one that is so much older was committed before.
SLACK_US = 30_000_000
# Messages that are looked at for one answer at most: a filter that finds nothing still gets on.
SCAN = 5000
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages of the stream: of any of these event types and any of these channels, accepted at or after a time, None for all."""

    event_types: Sequence[str] | None = None
    channels: Sequence[str] | None = None
    since: datetime | None = None

    def __contains__(self, message: Message) -> bool:
        return (
            (self.event_types is None or message.event_type in self.event_types)
            and (self.channels is None or any(channel in self.channels for channel in message.channels or ()))
            and (self.since is None or message.created_at >= self.since)
        )

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.event_types is None and self.channels is None and self.since is None


@dataclass(frozen=True, slots=True)
class StreamPage:
    """Messages in commit order, the place behind what was looked at, and whether that is all there is now."""

    messages: list[Message]
    position: Position
    done: bool


async def place_of(since: datetime) -> Position:
    """A place shortly before the first message that was accepted at or after a time."""
    return await MESSAGES.before(start_id("msg_", from_us(max(to_us(since) - SLACK_US, 0))))


async def read_page(
    session: Session, key: str, after: Position, limit: int, wanted: Wanted, *, scan: int = SCAN, chunk: int = CHUNK
) -> StreamPage:
    """Up to `limit` messages of an application or organisation behind a place. Looks at about `scan` at most, so it may find fewer and not be
    done."""
    found: list[Message] = []
    chunk = limit + 1 if wanted.everything else chunk
    position, looked_at = after, 0
    while looked_at < scan:
        events = await MESSAGES.read_in(session, key, position, chunk)
        for event in events:
            if event.item in wanted:
                if len(found) == limit:
                    return StreamPage(found, position, done=False)
                found.append(event.item)
            position = event.position
        looked_at += len(events)
        if len(events) < chunk:
            return StreamPage(found, position, done=True)
    return StreamPage(found, position, done=False)
