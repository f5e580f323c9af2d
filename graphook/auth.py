"""Who asks: what a valid token stands for, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from graphook.errors import Forbidden


class Scope(StrEnum):
    """What a token may do. A token without a scope is refused with FORBIDDEN before anything is read or written."""

    READ = "read"
    MANAGE = "manage"
    SEND = "send"
    SECRETS = "secrets"


ALL_SCOPES = tuple(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """The organisation, and perhaps the one application, that a token speaks for. Every load goes through it."""

    token_id: str
    org_id: str
    app_id: str | None
    scopes: frozenset[str]
    feature_flags: frozenset[str] = frozenset()
    expires_at: datetime | None = None

    def require(self, scope: Scope) -> None:
        """Raise `Forbidden` unless the token has the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"This token lacks the scope {scope.value!r}.")

    def require_organisation(self) -> None:
        """Raise `Forbidden` for a token that is limited to one application."""
        if self.app_id is not None:
            raise Forbidden("This needs a token of the organisation; yours is limited to one application.")
