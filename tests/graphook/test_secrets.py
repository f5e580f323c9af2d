"""Secrets at rest: sealed, bound to their row, and readable after a rotation."""

from __future__ import annotations

import pytest

from graphook.secrets import KeyRing, SecretUnreadable
from tests.growth import growth

OLD, NEW = "o" * 32, "n" * 32


def test_a_sealed_value_shows_nothing_and_opens_with_its_context() -> None:
    ring = KeyRing([OLD])

    sealed = ring.encrypt("whsec_plain", "endpoint.secret:ep_1")

    assert "plain" not in sealed
    assert sealed != ring.encrypt("whsec_plain", "endpoint.secret:ep_1")
    assert ring.decrypt(sealed, "endpoint.secret:ep_1") == "whsec_plain"


def test_a_value_moved_to_another_row_is_unreadable() -> None:
    ring = KeyRing([OLD])

    with pytest.raises(SecretUnreadable, match="another row"):
        ring.decrypt(ring.encrypt("x", "endpoint.secret:ep_1"), "endpoint.secret:ep_2")


def test_a_changed_value_is_unreadable() -> None:
    ring = KeyRing([OLD])
    name, _, text = ring.encrypt("x", "c").partition(":")

    with pytest.raises(SecretUnreadable):
        ring.decrypt(f"{name}:{text[:-6]}{'A' * 6}", "c")


@pytest.mark.parametrize("length", [0, 1, 4, 12, 20])
def test_a_value_that_was_cut_off_is_unreadable(length: int) -> None:
    ring = KeyRing([OLD])
    name, _, text = ring.encrypt("x", "c").partition(":")

    with pytest.raises(SecretUnreadable, match="was altered"):
        ring.decrypt(f"{name}:{text[:length]}", "c")


def test_old_values_open_while_their_key_is_in_the_ring() -> None:
    sealed = KeyRing([OLD]).encrypt("x", "c")

    both = KeyRing([NEW, OLD])
    assert both.decrypt(sealed, "c") == "x"
    assert both.needs_rotation(sealed)
    assert not both.needs_rotation(both.encrypt("x", "c"))
    with pytest.raises(SecretUnreadable, match="GRAPHOOK_SECRET_KEY"):
        KeyRing([NEW]).decrypt(sealed, "c")


def test_a_short_key_is_no_key() -> None:
    with pytest.raises(ValueError, match="32 characters"):
        KeyRing(["short"])


def test_long_values_are_not_remembered() -> None:
    ring = KeyRing([OLD])
    sealed = [ring.encrypt(str(n).ljust(32_000, "x"), "endpoint.headers:ep_1") for n in range(50)]

    with growth() as grown:
        for n, text in enumerate(sealed):
            assert ring.decrypt(text, "endpoint.headers:ep_1").strip("x") == str(n)

    assert grown() < 20 * 32_000
