"""The types of operational messages: what each tells, and the JSON Schema of its body."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from graphook.errors import InvalidInput


class OperationalType(StrEnum):
    ATTEMPT_FAILING = "message.attempt.failing"
    ATTEMPT_EXHAUSTED = "message.attempt.exhausted"
    ATTEMPT_RECOVERED = "message.attempt.recovered"
    ENDPOINT_CREATED = "endpoint.created"
    ENDPOINT_UPDATED = "endpoint.updated"
    ENDPOINT_DELETED = "endpoint.deleted"
    ENDPOINT_DISABLED = "endpoint.disabled"
    ENDPOINT_ENABLED = "endpoint.enabled"
    TASK_FINISHED = "background_task.finished"

    @property
    def description(self) -> str:
        """When it is sent, in one sentence."""
        return _DESCRIPTIONS[self]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema (draft 2020-12) of a message of this type."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "description": self.description,
            **_object({"type": {"const": self.value}, "data": _DATA[self]}),
        }

    @classmethod
    def require_known(cls, names: Iterable[str], path: tuple[str, ...]) -> None:
        """Raise `InvalidInput` at the first of `names` that is no type of operational messages."""
        for index, name in enumerate(names):
            if name not in set(cls):
                raise InvalidInput(
                    f"There are no operational messages of the type {name}; query operationalEventTypes.", (*path, str(index))
                )


_DESCRIPTIONS = {
    OperationalType.ATTEMPT_FAILING: "The fourth scheduled attempt of a message at an endpoint failed, and there are attempts left.",
    OperationalType.ATTEMPT_EXHAUSTED: "A message is not tried again at an endpoint: its last scheduled attempt failed.",
    OperationalType.ATTEMPT_RECOVERED: "A message was delivered at the fifth scheduled attempt or later, or after all when it was no longer tried.",
    OperationalType.ENDPOINT_CREATED: "An endpoint was created.",
    OperationalType.ENDPOINT_UPDATED: "An endpoint was changed, its headers or its secret included.",
    OperationalType.ENDPOINT_DELETED: "An endpoint was deleted.",
    OperationalType.ENDPOINT_DISABLED: "An endpoint was disabled, by request or because it failed for too long or is gone.",
    OperationalType.ENDPOINT_ENABLED: "An endpoint that was disabled gets messages again.",
    OperationalType.TASK_FINISHED: "A background task has ended, with success or not.",
}

_TEXT = {"type": "string"}
_UID = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_ATTEMPT = _object(
    {
        "appId": _TEXT,
        "appUid": _UID,
        "msgId": _TEXT,
        "msgEventId": _UID,
        "endpointId": _TEXT,
        "lastAttempt": _object({"id": _TEXT, "responseStatusCode": {"type": "integer"}, "timestamp": _TIME}),
    }
)
_ENDPOINT = {"appId": _TEXT, "appUid": _UID, "endpointId": _TEXT, "endpointUid": _UID}
_DATA = {
    OperationalType.ATTEMPT_FAILING: _ATTEMPT,
    OperationalType.ATTEMPT_EXHAUSTED: _ATTEMPT,
    OperationalType.ATTEMPT_RECOVERED: _ATTEMPT,
    OperationalType.ENDPOINT_CREATED: _object(_ENDPOINT),
    OperationalType.ENDPOINT_UPDATED: _object(_ENDPOINT),
    OperationalType.ENDPOINT_DELETED: _object(_ENDPOINT),
    OperationalType.ENDPOINT_DISABLED: _object(
        {**_ENDPOINT, "trigger": {"enum": ["manual", "automatic"]}, "failSince": {"type": ["string", "null"], "format": "date-time"}}
    ),
    OperationalType.ENDPOINT_ENABLED: _object({**_ENDPOINT, "trigger": {"enum": ["manual"]}}),
    OperationalType.TASK_FINISHED: _object(
        {"taskId": _TEXT, "task": _TEXT, "status": {"enum": ["finished", "failed"]}, "data": {"type": "object"}}
    ),
}
