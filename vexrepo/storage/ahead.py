"""Threads that read ahead for a generator, which may be left in the middle, and for a store, which may be closed then.

A generator that is left in the middle may end much later, when the collector finds it: on any thread, at any line, the
start of another thread included, and with locks held that waiting for a thread, or asking a server, wants, too.  So its
end neither waits nor asks: its threads do what there is to do, and a store that is closed waits for them a while.

The threads are daemons.  A server that hangs would otherwise hold a program that was told to end, as long as its
answer may take.
"""

from __future__ import annotations

import atexit
import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from vexrepo.errors import StoreError

if TYPE_CHECKING:
    from concurrent.futures import Future

Page = TypeVar("Page")

_AT_END_S: Final = 1.0  # which a program that ends gives to all threads together


class Pool:
    """Up to so many threads, which do in turn what they are told until they are left; then one does ``last``."""

    def __init__(self, threads: int, last: Callable[[], None] | None = None) -> None:
        self._most = threads
        self._last = [last] if last is not None else []
        self._told: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._is_left = False
        _POOLS.add(self)

    def submit(self, work: Callable[..., Page], *given: Any) -> Future[Page]:
        """Tell a thread to do something; its ``result()`` waits, and raises StoreError where that was dropped."""
        from concurrent.futures import Future  # takes 5 ms to import

        future: Future[Page] = Future()
        self._told.put((future, work, given))
        if len(self._threads) < self._most:
            thread = Thread(target=self._run, name="vex-read", daemon=True)
            self._threads.append(thread)
            thread.start()
        if self._is_left:  # since before it was told, perhaps, when nobody takes it any more
            self._drop()
        return future

    def leave(self) -> None:
        """Drop what has not begun; what is under way runs out by itself.  Waits for nothing and takes no lock."""
        self._is_left = True
        for _ in range(self._most):
            self._told.put(None)

    def _drop(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                told = self._told.get_nowait()
                if told is not None:
                    _do(*told, is_left=True)
        for _ in range(self._most):
            self._told.put(None)

    def join(self, until: float | None) -> bool:
        """Wait for threads that were left, until a moment of ``time.monotonic``; return whether they have ended."""
        for each in self._threads:
            each.join(None if until is None else max(0.0, until - time.monotonic()))
        return self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether it was left, and none of its threads runs any more."""
        return self._is_left and not any(each.is_alive() for each in self._threads)

    def _run(self) -> None:
        while (told := self._told.get()) is not None:
            _do(*told, is_left=self._is_left)
            del told  # with what came of it, while nothing is to be done
        if self._last:
            with contextlib.suppress(Exception):  # nobody is there any more to be told
                self._last.pop()()


def _do(future: Future[Any], work: Callable[..., Any], given: tuple[Any, ...], *, is_left: bool) -> None:
    if is_left:
        future.set_exception(StoreError("it was closed while it was read", code="store-unreachable"))
        return
    try:
        future.set_result(work(*given))
    except BaseException as error:
        future.set_exception(error)


_POOLS: Final[WeakSet[Pool]] = WeakSet()


@atexit.register
def _end() -> None:
    until = time.monotonic() + _AT_END_S
    pools = list(_POOLS)
    for each in pools:
        each.leave()
    for each in pools:
        each.join(until)


class Readings:
    """What threads read ahead for one store."""

    def __init__(self) -> None:
        self._pools: list[Pool] = []

    def add(self, pool: Pool) -> None:
        """Note that a pool works for the store."""
        self._pools = [each for each in self._pools if not each.has_ended]
        self._pools.append(pool)

    def end(self, longest_s: float | None) -> bool:
        """End all reading, whoever holds it still, and wait for what is under way, no longer than said.

        What pages hold on the server is let go by then.  Returns whether all has ended.
        """
        for each in self._pools:
            each.leave()
        until = None if longest_s is None else time.monotonic() + longest_s
        return all(each.join(until) for each in self._pools)


class Shared:
    """What several threads use at once, and one of them ends: it is ended by whoever uses it last.

    A connection that is closed under a thread in the middle of an answer is closed in the middle of a message; and its
    number goes to the next file that is opened, from which the thread would read on.
    """

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._lock = Lock()
        self._users = 0
        self._is_ended = False
        self.is_closed = False

    @contextlib.contextmanager
    def used(self, refuse: Callable[[], Exception]) -> Iterator[None]:
        """Keep it from being ended meanwhile; raises what ``refuse`` returns once it was closed."""
        with self._lock:
            if self.is_closed:
                raise refuse()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
            self._end_if_unused()

    def close(self) -> None:
        """End it, now or when those are done who use it now; nobody else does any more."""
        self.is_closed = True
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        with self._lock:
            if self._users or not self.is_closed or self._is_ended:
                return
            self._is_ended = True
        self._end()


@contextlib.contextmanager
def reading_ahead(
    threads: int = 1, readings: Readings | None = None, *, last: Callable[[], None] | None = None
) -> Iterator[Pool]:
    """Give a pool of threads for the length of a generator, of the readings of a store where there is one."""
    pool = Pool(threads, last)
    if readings is not None:
        readings.add(pool)
    try:
        yield pool
    finally:
        pool.leave()


def one_ahead(pages: Generator[Page, None, None], readings: Readings | None = None) -> Iterator[Page]:
    """Yield what a generator yields, never None, the next of it made in a thread meanwhile.

    What it raises is raised in its place, and no more than one page is made before it is asked for.  Where the reader
    leaves early, or the store is closed, the thread closes the generator when it comes to the end of the page under
    way, so that what that holds on a server is let go.
    """
    with reading_ahead(1, readings, last=pages.close) as pool:
        coming = pool.submit(next, pages, None)
        try:
            while (page := coming.result()) is not None:
                coming = pool.submit(next, pages, None)
                yield page
        finally:
            del coming  # which holds an error, and that this frame
