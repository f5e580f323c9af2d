"""How much memory is kept by what ran."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def growth() -> Iterator[Callable[[], int]]:
    """A function that tells, once the block is over, how many bytes that were allocated in it are still there."""
    gc.collect()
    tracemalloc.start()
    kept = 0
    try:
        yield lambda: kept
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
