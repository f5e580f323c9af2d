"""When garbage is collected: seldom by the number of objects, most of which go by themselves, and always after so many bytes from outside."""

from __future__ import annotations

import gc

# Bytes. What is kept for nothing is a few times as much at most, since text is kept in several forms.
EVERY = 64 * 1024 * 1024
_came_in = 0


def settle_in() -> None:
    """Take what is loaded by now out of the garbage collector's sight, and let it look less often.

    The schema alone is some hundred thousand objects that never go, and each request makes hundreds that go by themselves: those of a few
    hundred requests under way must not be enough to make it look.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def came_in(size: int) -> None:
    """Collect garbage once `EVERY` bytes have come in.

    An error that knows its frames, and tokens that know their neighbours, go with the next collection only; a hundred thousand objects of
    refused requests hold gigabytes of what was sent.
    """
    global _came_in
    _came_in += size
    if _came_in >= EVERY:
        _came_in = 0
        gc.collect()
