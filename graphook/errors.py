"""The errors a caller can be told about, each with a machine-readable code.

    GraphookError
    ├── InvalidInput      BAD_USER_INPUT     a value breaks a rule; `path` names it
    ├── InvalidInputs     (the first's)      several values break rules
    ├── NotFound          NOT_FOUND          unknown to the caller, or somebody else's
    ├── Conflict          CONFLICT           a uid, event id or idempotency key is taken
    ├── Forbidden         FORBIDDEN          the token lacks the scope
    ├── LimitExceeded     LIMIT_EXCEEDED     a documented limit is reached
    ├── NotConfigured     NOT_CONFIGURED     the operator has not set up what this needs; `message` names the settings
    ├── Unauthenticated   UNAUTHENTICATED    no token, or one that is unknown, expired or revoked
    ├── Overloaded        OVERLOADED         too much is waiting (or BACKLOG_FULL: of the caller's own); nothing was accepted
    └── Unavailable       UNAVAILABLE        the database cannot be reached or is too busy; safe to repeat with the same key
        └── Contended                        the database undid a transaction because of others; repeated at once, it goes through

Everything else is a fault of ours: it is logged with a request id and answered as INTERNAL_SERVER_ERROR.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_STEP = 1000


class GraphookError(Exception):
    """An expected failure. `message` is one sentence for a person; `path` names the argument it is about, if any."""

    code = "INTERNAL_SERVER_ERROR"

    def __init__(self, message: str, path: Sequence[str] = (), *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = tuple(path)
        if code is not None:
            self.code = code

    @property
    def extensions(self) -> dict[str, object]:
        """What graphql-core copies into a top-level error's `extensions`."""
        found: dict[str, object] = {"code": self.code}
        if self.path:
            # A name in it may be of any length.
            found["path"] = [step[:MAX_STEP] for step in self.path]
        return found


class InvalidInput(GraphookError):
    code = "BAD_USER_INPUT"


class InvalidInputs(GraphookError):
    """Several values break rules at once; `errors` has one each."""

    code = "BAD_USER_INPUT"

    def __init__(self, errors: Sequence[InvalidInput]) -> None:
        super().__init__(errors[0].message, errors[0].path, code=errors[0].code)
        self.errors = tuple(errors)


class NotFound(GraphookError):
    code = "NOT_FOUND"


class Conflict(GraphookError):
    code = "CONFLICT"


class Forbidden(GraphookError):
    code = "FORBIDDEN"


class LimitExceeded(GraphookError):
    code = "LIMIT_EXCEEDED"


class NotConfigured(GraphookError):
    """The operator has not set up what this needs; the message names the settings."""

    code = "NOT_CONFIGURED"


class Unauthenticated(GraphookError):
    code = "UNAUTHENTICATED"


class Unavailable(GraphookError):
    """The database cannot be reached or is too busy. `retry_after` is in seconds."""

    code = "UNAVAILABLE"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Contended(Unavailable):
    """The database undid a transaction because others wrote at the same time."""


class Overloaded(GraphookError):
    """More than the service will hold; nothing was accepted. OVERLOADED is everybody's, BACKLOG_FULL the caller's own."""

    code = "OVERLOADED"


# Code → the HTTP status of an answer that failed for it, and the seconds of its `Retry-After`.
TRY_AGAIN = {Unavailable.code: (503, 1), Overloaded.code: (503, 1), "TIMEOUT": (503, 1), "BACKLOG_FULL": (429, 5)}
