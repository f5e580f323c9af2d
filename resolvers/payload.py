"""What an operation is given to send, as the bytes that are signed, within the limits."""

from __future__ import annotations

from typing import Any

from graphook import strict_json
from graphook.errors import InvalidInput, InvalidInputs
from graphook.rules import Path

MAX_PAYLOAD = 1024 * 1024
MAX_DEPTH = 64


def encoded(payload: Any, path: Path) -> bytes:
    """The bytes of a JSON payload. Raises `InvalidInputs` when they are too many or nested too deep."""
    try:
        body = strict_json.dumps(payload)
    except strict_json.BadJSON as error:
        raise InvalidInputs([InvalidInput(str(error), path)]) from None
    require_short(body, path)
    if strict_json.depth_exceeds(body, MAX_DEPTH):
        raise InvalidInputs([InvalidInput(f"payload is nested more than {MAX_DEPTH} levels deep.", path)])
    return body


def require_short(body: bytes, path: Path) -> None:
    """Raise `InvalidInputs` for more bytes than are sent."""
    if len(body) > MAX_PAYLOAD:
        raise InvalidInputs([InvalidInput(f"{path[-1]} has {len(body)} bytes; {MAX_PAYLOAD} are allowed.", path)])
