"""What a check of an installation finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, with what to do unless it is ok. `fail`: do not run like this; `warn`: it runs, but not as well as it could."""

    state: State
    what: str
    advice: str = ""
