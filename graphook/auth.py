"""Who asks: what a valid token stands for, and what it may do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from graphook.errors import Forbidden
from graphook.tokens import Kind


class Scope(StrEnum):
    """What a token may do. A token without a scope is refused with FORBIDDEN before anything is read or written."""

    READ = "read"
    MANAGE = "manage"
    SEND = "send"
    SECRETS = "secrets"


ALL_SCOPES = tuple(Scope)


class Capability(StrEnum):
    """What a token for the portal may do: a finer division of the scopes within one application."""

    VIEW_BASE = "ViewBase"
    VIEW_ENDPOINT_SECRET = "ViewEndpointSecret"  # noqa: S105 - a name, no secret
    MANAGE_ENDPOINT_SECRET = "ManageEndpointSecret"  # noqa: S105 - a name, no secret
    MANAGE_TRANSFORMATIONS = "ManageTransformations"
    CREATE_ATTEMPTS = "CreateAttempts"
    MANAGE_ENDPOINT = "ManageEndpoint"


_SCOPE_OF = {
    Capability.VIEW_BASE: Scope.READ,
    Capability.VIEW_ENDPOINT_SECRET: Scope.SECRETS,
    Capability.MANAGE_ENDPOINT_SECRET: Scope.SECRETS,
    Capability.MANAGE_TRANSFORMATIONS: Scope.MANAGE,
    Capability.CREATE_ATTEMPTS: Scope.SEND,
    Capability.MANAGE_ENDPOINT: Scope.MANAGE,
}
# What a scope asks of a token with capabilities, where an operation does not name another one.
_CAPABILITY_OF = {
    Scope.READ: Capability.VIEW_BASE,
    Scope.MANAGE: Capability.MANAGE_ENDPOINT,
    Scope.SEND: Capability.CREATE_ATTEMPTS,
    Scope.SECRETS: Capability.VIEW_ENDPOINT_SECRET,
}


def scopes_of(capabilities: Collection[Capability]) -> frozenset[Scope]:
    """The scopes that a token needs for these capabilities."""
    return frozenset(_SCOPE_OF[capability] for capability in capabilities)


@dataclass(frozen=True, slots=True)
class Caller:
    """The organisation, and perhaps the one application, that a token speaks for. Every load goes through it.

    `capabilities` is None for a token that its scopes alone limit.
    """

    token_id: str
    org_id: str
    app_id: str | None
    scopes: frozenset[str]
    feature_flags: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    kind: Kind = "org"
    capabilities: frozenset[str] | None = None
    session_id: str | None = None

    def require(self, scope: Scope, capability: Capability | None = None) -> None:
        """Raise `Forbidden` unless the token has the scope and, if it is limited to capabilities, the capability (by default the scope's own)."""
        self.require_session()
        needed = capability or _CAPABILITY_OF[scope]
        if self.capabilities is not None and needed not in self.capabilities:
            raise Forbidden(f"This token lacks the capability {needed.name}.")
        if scope not in self.scopes:
            raise Forbidden(f"This token lacks the scope {scope.value!r}.")

    def may(self, scope: Scope) -> bool:
        """Whether the token has the scope and, if it is limited to capabilities, the scope's own."""
        try:
            self.require(scope)
        except Forbidden:
            return False
        return True

    def require_session(self) -> None:
        """Raise `Forbidden` for a one-time token, which can only be exchanged."""
        if self.kind == "once":
            raise Forbidden("A one-time token can only be exchanged for another token.")

    def require_organisation(self) -> None:
        """Raise `Forbidden` for a token that is limited to one application."""
        self.require_session()
        if self.app_id is not None:
            raise Forbidden("This needs a token of the organisation; yours is limited to one application.")

    def grantable(self) -> frozenset[Capability]:
        """The capabilities that it may give away: those that its own scopes cover."""
        return frozenset(capability for capability, scope in _SCOPE_OF.items() if scope in self.scopes)
