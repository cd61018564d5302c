"""Threads that read ahead for a generator, which may be left in the middle."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Page = TypeVar("Page")


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


def one_ahead(pages: Generator[Page, None, None]) -> Iterator[Page]:
    """Yield what a generator yields, never None, the next of it made in a thread meanwhile.

    What it raises is raised in its place, and no more than one page is made before it is asked for.  Where the reader
    leaves early, the generator is closed, so that what it holds on a server is let go: at once, or by the thread when
    that comes to the end of the page under way, for which nobody waits.
    """
    is_left = False

    def following() -> Page | None:
        try:
            return next(pages, None)
        finally:
            if is_left:
                close()

    def close() -> None:
        with contextlib.suppress(ValueError):  # it is making a page
            pages.close()

    with reading_ahead() as pool:
        try:
            coming = pool.submit(following)
            while (page := coming.result()) is not None:
                coming = pool.submit(following)
                yield page
        finally:
            is_left = True
            close()
