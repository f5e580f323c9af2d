"""Who may run an operation, and what becomes of its expected failures: the errors of a mutation's payload, the null of a query of one thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from graphook.auth import Caller, Capability, Scope
from graphook.errors import Forbidden, GraphookError, NotFound
from models.organisation_settings import OrganisationSettings
from schema.errors import user_errors

P = ParamSpec("P")
T = TypeVar("T")


def mutation(
    payload: Callable[..., T], scope: Scope | None, capability: Capability | None = None, *, organisation: bool = False
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Check the caller's scope (and that it speaks for the whole organisation), run the resolver, and answer expected failures in `payload`.

    A token of the portal also needs the capability, by default the scope's own. Without a scope the resolver itself decides who may.
    """

    def decorate(resolver: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(resolver)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                info: Any = kwargs["info"]
                caller: Caller = info.context.caller
                # First the organisation: whoever needs another token is not helped by a capability.
                if organisation:
                    caller.require_organisation()
                if scope is not None:
                    caller.require(scope, capability)
                    if caller.app_id is not None:
                        await _require_writable(caller)
                return await resolver(*args, **kwargs)
            except GraphookError as failure:
                errors = user_errors(failure)
                if errors is None:
                    raise
                # It has been told. Its frames hold what was sent, and one of them may hold it in turn.
                failure.__traceback__ = None
                return payload(errors=errors)

        return run

    return decorate


def lookup(resolver: Callable[P, Awaitable[T | None]]) -> Callable[P, Awaitable[T | None]]:
    """Check the caller for the scope read, run the resolver of a query of one thing, and answer null where it raises `NotFound`."""

    @wraps(resolver)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T | None:
        info: Any = kwargs["info"]
        info.context.caller.require(Scope.READ)
        try:
            return await resolver(*args, **kwargs)
        except NotFound:
            return None

    return run


async def _require_writable(caller: Caller) -> None:
    if (await OrganisationSettings.load(caller.org_id)).read_only:
        raise Forbidden("The organisation's settings let tokens of one application only read.")
