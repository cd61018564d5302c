"""Reading ahead: a generator that is left in the middle waits for nobody."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

from vexrepo.storage.ahead import reading_ahead


def test_a_reader_that_is_left_waits_for_none_of_its_threads() -> None:
    begun, may_end, later = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        may_end.wait(60)

    def read() -> Iterator[int]:
        with reading_ahead() as pool:
            pool.submit(slow)
            pool.submit(later.set)
            yield 1

    reader = read()
    assert next(reader) == 1
    assert begun.wait(60)
    reader.close()  # would wait for a minute
    assert not may_end.is_set()
    may_end.set()
    for thread in threading.enumerate():
        if thread.name.startswith("vex-read"):
            thread.join(60)
    assert not later.is_set()  # what had not begun was dropped


def test_a_reader_that_the_collector_ends_while_a_thread_begins_does_not_hang() -> None:
    """As it did: the collector ran within ``Thread.start``, the reader waited for a thread to end."""

    def read() -> Iterator[int]:
        with reading_ahead() as pool:
            pool.submit(int).result()
            yield 1

    lock = getattr(threading, "_shutdown_locks_lock", None) or threading.Lock()  # gone in Python 3.13
    reader = read()
    assert next(reader) == 1
    circle: list[object] = [reader]
    circle.append(circle)
    del reader, circle
    with lock:
        gc.collect()
    assert gc.collect() >= 0
