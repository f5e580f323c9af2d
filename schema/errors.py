"""Expected failures as data: what a mutation's payload lists under `errors`."""

from __future__ import annotations

import enum
from typing import Any

import strawberry

from graphook import errors as failures
from schema.fields import field


@strawberry.enum(description="What kind of failure it is. Values may be added.")
class ErrorCode(enum.Enum):
    BAD_USER_INPUT = strawberry.enum_value("BAD_USER_INPUT", description="A value breaks a rule.")
    INVALID_UID_PREFIX = strawberry.enum_value("INVALID_UID_PREFIX", description="A uid begins like one of our ids.")
    MISSING_PAYLOAD = strawberry.enum_value("MISSING_PAYLOAD", description="The payload has expired or was expunged.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="There is no such thing, or it is somebody else's.")
    CONFLICT = strawberry.enum_value("CONFLICT", description="A uid, a name or an event id is taken.")
    ENDPOINT_DISABLED = strawberry.enum_value("ENDPOINT_DISABLED", description="The endpoint is disabled.")
    IDEMPOTENCY_KEY_REUSED = strawberry.enum_value("IDEMPOTENCY_KEY_REUSED", description="The key came with other arguments before.")
    CURSOR_EXPIRED = strawberry.enum_value("CURSOR_EXPIRED", description="A cursor's place is not in the database, as after a restore.")
    BATCH_LEASED = strawberry.enum_value("BATCH_LEASED", description="A batch of the consumer is out.")
    BATCH_NOT_LEASED = strawberry.enum_value("BATCH_NOT_LEASED", description="The iterator is not of the batch that is out.")
    LIMIT_EXCEEDED = strawberry.enum_value("LIMIT_EXCEEDED", description="A documented limit is reached.")
    OAUTH_FAILED = strawberry.enum_value("OAUTH_FAILED", description="A provider refused an authorisation, or could not be asked.")
    TRANSFORMATION_FAILED = strawberry.enum_value(
        "TRANSFORMATION_FAILED", description="The code of a transformation has a fault, broke off or made nothing that can be sent."
    )
    FORBIDDEN = strawberry.enum_value("FORBIDDEN", description="The token lacks the scope.")
    NOT_CONFIGURED = strawberry.enum_value("NOT_CONFIGURED", description="The operator has not set up what this needs.")


@strawberry.interface(description="An expected failure of a mutation (component HttpErrorOut). Nothing was written for it.")
class UserError:
    code: ErrorCode = field("What kind of failure it is.")
    message: str = field("One sentence for a person.")
    path: list[str] | None = field('Which argument it is about, such as ["input", "uid"].')


@strawberry.type(description="A value breaks a rule (components HTTPValidationError and ValidationError).")
class InvalidInput(UserError):
    pass


@strawberry.type(description="There is no such thing, or it is somebody else's.")
class NotFound(UserError):
    pass


@strawberry.type(description="Something is taken, or stands against it.")
class Conflict(UserError):
    pass


@strawberry.type(description="A documented limit is reached.")
class LimitExceeded(UserError):
    pass


@strawberry.type(description="The token may not do this.")
class PermissionDenied(UserError):
    pass


@strawberry.type(description="The operator has not set up what this needs; the message names the settings.")
class NotConfigured(UserError):
    pass


USER_ERRORS: dict[type[failures.GraphookError], type[UserError]] = {
    failures.InvalidInput: InvalidInput,
    failures.NotFound: NotFound,
    failures.Conflict: Conflict,
    failures.LimitExceeded: LimitExceeded,
    failures.Forbidden: PermissionDenied,
    failures.NotConfigured: NotConfigured,
}


def user_errors(failure: failures.GraphookError) -> list[UserError] | None:
    """The payload form of a failure; None for one that belongs at the top level, such as an outage."""
    if isinstance(failure, failures.InvalidInputs):
        return [error for found in failure.errors for error in user_errors(found) or []]
    for kind, shown in USER_ERRORS.items():
        if isinstance(failure, kind):
            path: Any = failure.extensions.get("path")
            return [shown(code=ErrorCode(failure.code), message=failure.message, path=path)]
    return None
