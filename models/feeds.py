"""The tables that are read in the order of their commits: attempts and messages."""

from __future__ import annotations

from models.attempt import Attempt
from models.cursor import CommitSource
from models.message import COLUMNS, Message

ATTEMPTS: CommitSource[Attempt] = CommitSource("attempt", Attempt.columns(), Attempt.of)
MESSAGES: CommitSource[Message] = CommitSource("message", COLUMNS, Message.of)
# What the ids in their cursors begin with.
ATTEMPT, MESSAGE = "atmpt_", "msg_"
