"""Deliveries against a pure model: whatever is accepted, claimed, settled, taken back or repeated in any order, the database agrees with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from graphook import database, secrets
from graphook.database import Statement
from graphook.errors import Conflict
from graphook.secrets import KeyRing
from models import claiming, delivery
from models.application import Application
from models.claim import Claim
from models.delivery import MAX_INTERRUPTS, Result, State
from models.endpoint import Endpoint
from models.idempotency import IdempotencyKey
from models.message import Accepted, Message, NewMessage
from tests.conftest import Backend
from tests.deployment import SECRET_KEY
from tests.models import make

T = TypeVar("T")
FAR = 3_600_000_000
OPEN = (State.READY, State.WAITING, State.LEASED)
# So few deliveries are open at a time that much happens to each.
FEW = 4
ROWS = Statement.same("SELECT message_id, endpoint_id, run, state, claim, tries, interrupts FROM delivery WHERE app_id = $1")
ATTEMPTS = Statement.same("SELECT message_id, endpoint_id, run, claim, status, error_code FROM attempt WHERE app_id = $1")
RUN_OUT = Statement.same("UPDATE delivery SET lease_until = 0 WHERE message_id = $1 AND endpoint_id = $2 AND run = $3 AND state = 2")
COME_DUE = Statement.same("UPDATE delivery SET due_at = 0 WHERE message_id = $1 AND endpoint_id = $2 AND run = $3 AND state = 1")
EMPTY = [Statement.same(f"DELETE FROM {table}") for table in ("delivery", "attempt", "idempotency")]

Key = tuple[str, str, int]


@dataclass
class Modelled:
    """One delivery as it should be."""

    state: State = State.READY
    claim: int = 0
    tries: int = 0
    interrupts: int = 0


class Deliveries(RuleBasedStateMachine):
    """Two endpoints of one application, and as many workers as there are claims."""

    runner: ClassVar[asyncio.Runner]
    messages = Bundle("messages")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[Key, Modelled] = {}
        self.attempts: dict[tuple[str, str, int, int], tuple[int, str | None]] = {}
        self.keys: dict[str, tuple[str, int]] = {}
        self.results: dict[tuple[Key, int], Result] = {}

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def count(self, *states: State) -> int:
        """How many deliveries are in one of these states."""
        return sum(it.state in states for it in self.model.values())

    def execute(self, *statements: Statement, args: tuple[Any, ...] = ()) -> list[Any]:
        async def all_of_them() -> list[Any]:
            async with database.transaction() as session:
                return [row for statement in statements for row in await session.fetch(statement, *args)]

        return self.run(all_of_them())

    async def read(self) -> tuple[Any, Any]:
        async with database.read() as session:
            return await session.fetch(ROWS, self.app.id), await session.fetch(ATTEMPTS, self.app.id)

    @initialize()
    def found(self) -> None:
        self.execute(*EMPTY)
        self.app: Application = self.run(make.application())
        self.endpoints: list[Endpoint] = [self.run(make.endpoint(self.app)) for _ in range(2)]
        self.disabled = [False, False]

    @precondition(lambda self: self.count(*OPEN) < FEW)
    @rule(target=messages, key=st.sampled_from([None, "a", "b"]), body=st.integers(0, 1))
    def accept(self, key: str | None, body: int) -> Any:
        given = None if key is None else IdempotencyKey.of(self.app.org_id, "messageCreate", key, body)
        new = NewMessage(self.app.org_id, self.app.id, "a.b", b"{}", key=given)
        (outcome,) = self.run(Message.accept([new])).outcomes
        earlier = self.keys.get(key) if key else None
        if earlier is not None:
            if earlier[1] == body:
                assert outcome == Accepted(earlier[0], self.app.id, replayed=True)
            else:
                assert isinstance(outcome, Conflict), outcome
            return multiple()
        assert outcome == Accepted(new.id, self.app.id)
        if key:
            self.keys[key] = (new.id, body)
        for endpoint, disabled in zip(self.endpoints, self.disabled, strict=True):
            if not disabled:
                self.model[new.id, endpoint.id, 0] = Modelled()
        return new.id

    @precondition(lambda self: self.count(State.READY) > 0)
    @rule(target=claims, wanted=st.lists(st.integers(0, 2), min_size=2, max_size=2))
    def claim(self, wanted: list[int]) -> Any:
        asked = {endpoint.id: n for endpoint, n in zip(self.endpoints, wanted, strict=True) if n}
        found = self.run(claiming.claim(asked, "worker", FAR)).claims
        for endpoint, disabled in zip(self.endpoints, self.disabled, strict=True):
            ready = [key for key, it in self.model.items() if key[1] == endpoint.id and it.state is State.READY]
            mine = [claim for claim in found if claim.endpoint.id == endpoint.id]
            if endpoint.id in asked and disabled:
                assert mine == []
                for key in ready:
                    self.model[key].state = State.CANCELED
            else:
                assert len(mine) == min(asked.get(endpoint.id, 0), len(ready))
        for claim in found:
            it = self.model[_key(claim)]
            assert (it.state, it.claim + 1, it.tries) == (State.READY, claim.number, claim.tries), "leased twice"
            it.state, it.claim = State.LEASED, claim.number
        return multiple(*found)

    @rule(claim=claims, other=claims, outcome=st.sampled_from([State.SUCCEEDED, State.WAITING, State.FAILED]))
    def settle(self, claim: Claim, outcome: State, other: Claim | None = None) -> None:
        """A claim has one result, which may be told late and more than once, and together with another's of the same delivery."""
        delay = FAR if outcome is State.WAITING else None
        self.results.setdefault((_key(claim), claim.number), make.result(claim, outcome, delay=delay))
        named = {(_key(one), one.number) for one in (claim, other or claim)}
        results = [self.results[name] for name in sorted(named) if name in self.results]
        self.run(delivery.settle(results))
        for result in sorted(results, key=lambda result: result.state is not State.SUCCEEDED):
            self._settled(result)

    def _settled(self, result: Result) -> None:
        key, number = _key(result.claim), result.claim.number
        if self.attempts.get((*key, number), (2, "interrupted")) == (2, "interrupted"):
            self.attempts[(*key, number)] = (0 if result.state is State.SUCCEEDED else 2, None)
        it = self.model[key]
        current = it.state is State.LEASED and it.claim == number
        if current or (result.state is State.SUCCEEDED and it.state is not State.SUCCEEDED):
            it.state, it.tries = result.state, it.tries + 1

    @rule(claim=claims)
    def cancel(self, claim: Claim) -> None:
        if (_key(claim), claim.number) in self.results:
            return
        self.run(delivery.cancel([claim], "a test"))
        self._end_claim(claim, State.CANCELED)

    def _end_claim(self, claim: Claim, state: State) -> None:
        it = self.model[_key(claim)]
        if it.state is State.LEASED and it.claim == claim.number:
            it.state = state

    @rule(claim=claims)
    def interrupt(self, claim: Claim) -> None:
        """The lease runs out, if the claim still has it, and somebody notices."""
        self.execute(RUN_OUT, args=_key(claim))
        self.run(delivery.take_back(1000))
        it = self.model[_key(claim)]
        if it.state is State.LEASED:
            self.attempts.setdefault((*_key(claim), it.claim), (2, "interrupted"))
            it.interrupts += 1
            it.state = State.QUARANTINED if it.interrupts >= MAX_INTERRUPTS else State.READY

    @rule(target=claims, claim=claims)
    def take_over(self, claim: Claim) -> Any:
        """The lease runs out, and another worker claims the delivery: what the first one says comes late."""
        self.interrupt(claim)
        return self.claim([FEW if endpoint.id == claim.endpoint.id else 0 for endpoint in self.endpoints])

    @rule(claim=claims, due=st.booleans())
    def wait(self, claim: Claim, due: bool) -> None:
        if due:
            self.execute(COME_DUE, args=_key(claim))
        self.run(delivery.promote(1000))
        it = self.model[_key(claim)]
        if due and it.state is State.WAITING:
            it.state = State.READY

    @precondition(lambda self: self.count(*OPEN) < FEW)
    @rule(message_id=messages, which=st.integers(0, 1))
    def resend(self, message_id: str, which: int) -> None:
        endpoint = self.endpoints[which]
        message = self.run(Message.load(self.app, message_id))
        try:
            self.run(delivery.resend(message, endpoint))
        except Conflict:
            assert self.disabled[which]
            return
        assert not self.disabled[which]
        runs = [run for message_, endpoint_, run in self.model if (message_, endpoint_) == (message_id, endpoint.id)]
        self.model[message_id, endpoint.id, max(runs, default=0) + 1] = Modelled()

    @precondition(lambda self: any(self.disabled) or self.count(State.READY) >= FEW)
    @rule(which=st.integers(0, 1))
    def switch(self, which: int) -> None:
        self.disabled[which] = not self.disabled[which]
        self.run(self.endpoints[which].change({"disabled": self.disabled[which]}))

    @invariant()
    def the_database_agrees(self) -> None:
        if not hasattr(self, "app"):
            return
        deliveries, attempts = self.run(self.read())
        rows = {(r["message_id"], r["endpoint_id"], r["run"]): r for r in deliveries}
        seen = {key: (State(r["state"]), r["claim"], r["tries"], r["interrupts"]) for key, r in rows.items()}
        assert seen == {key: (it.state, it.claim, it.tries, it.interrupts) for key, it in self.model.items()}
        recorded = {(r["message_id"], r["endpoint_id"], r["run"], r["claim"]): (r["status"], r["error_code"]) for r in attempts}
        assert recorded == self.attempts
        for key, it in self.model.items():
            if it.state is State.SUCCEEDED:
                assert any(recorded.get((*key, number)) == (0, None) for number in range(1, it.claim + 1)), "a success without a record"


def _key(claim: Claim) -> Key:
    return (claim.message_id, claim.endpoint.id, claim.run)


@pytest.fixture
def machine(backend: Backend) -> Iterator[type[Deliveries]]:
    """The machine with a database of its own."""
    url = asyncio.run(backend.fresh_database())
    secrets.install(KeyRing([SECRET_KEY]))
    with asyncio.Runner() as runner:
        Deliveries.runner = runner
        runner.run(database.connect(url))
        try:
            yield Deliveries
        finally:
            runner.run(database.disconnect())
            runner.run(backend.drop(url))


def test_deliveries_do_what_the_model_says(backend: Backend, machine: type[Deliveries]) -> None:
    # The same steps each time: a failure is no accident.
    tried = settings(
        max_examples=150 if backend.name == "sqlite" else 8, stateful_step_count=30, deadline=None, derandomize=True, database=None
    )
    run_state_machine_as_test(machine, settings=tried)


@pytest.mark.parametrize("ended", [State.READY, State.LEASED, State.WAITING, State.FAILED, State.CANCELED, State.QUARANTINED])
def test_a_success_that_comes_late_is_final_whatever_became_of_its_delivery(machine: type[Deliveries], ended: State) -> None:
    """What the machine hardly ever gets to by itself: it takes several steps in one order."""
    steps = machine()
    steps.found()
    steps.accept(None, 0)
    (late,) = steps.claim([1, 0]).values
    steps.interrupt(late)
    if ended in (State.LEASED, State.WAITING, State.FAILED):
        (current,) = steps.claim([1, 0]).values
        if ended is not State.LEASED:
            steps.settle(current, ended)
    elif ended is State.CANCELED:
        steps.switch(0)
        steps.claim([1, 0])
    elif ended is State.QUARANTINED:
        for _ in range(MAX_INTERRUPTS - 1):
            steps.interrupt(steps.claim([1, 0]).values[0])
    assert steps.model[_key(late)].state is ended

    steps.settle(late, State.SUCCEEDED)

    steps.the_database_agrees()
    assert steps.model[_key(late)].state is State.SUCCEEDED


@pytest.mark.parametrize("outcome", [State.WAITING, State.FAILED])
def test_a_late_success_beside_the_failure_of_its_successor_is_final(machine: type[Deliveries], outcome: State) -> None:
    steps = machine()
    steps.found()
    steps.accept(None, 0)
    (late,) = steps.claim([1, 0]).values
    steps.interrupt(late)
    (current,) = steps.claim([1, 0]).values
    steps.results[_key(current), current.number] = make.result(current, outcome, delay=FAR if outcome is State.WAITING else None)

    steps.settle(late, State.SUCCEEDED, current)

    steps.the_database_agrees()
    assert steps.model[_key(late)].state is State.SUCCEEDED
