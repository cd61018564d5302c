"""Threads that read ahead for a generator, which may be left in the middle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def reading_ahead(threads: int = 1) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads for the length of a generator.

    A generator that is left in the middle may end much later, when the collector finds it: on any thread, at any line,
    the start of another thread included, with a lock of ``threading`` held that waiting for a thread wants, too.  So
    this never waits for one: what has not begun is dropped, and what is under way runs out by itself.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes 5 ms to import

    pool = ThreadPoolExecutor(threads, "vex-read")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
