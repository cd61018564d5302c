"""Reading ahead: a generator that is left in the middle waits for nobody."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator

import pytest

from vexrepo.errors import StoreError
from vexrepo.storage.ahead import Readings, one_ahead, reading_ahead


def test_a_reader_that_is_left_waits_for_none_of_its_threads() -> None:
    begun, may_end, later = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        may_end.wait(60)

    def read() -> Generator[int, None, None]:
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


def test_no_more_than_one_page_is_made_before_it_is_asked_for() -> None:
    made: list[int] = []
    is_second = threading.Event()

    def pages() -> Generator[int, None, None]:
        for number in range(5):
            made.append(number)
            if number == 1:
                is_second.set()
            yield number

    reader = one_ahead(pages())
    assert next(reader) == 0
    assert is_second.wait(60)
    assert made == [0, 1]
    assert [*reader] == [1, 2, 3, 4]


def test_what_a_page_raises_is_raised_in_its_place() -> None:
    def pages() -> Generator[str, None, None]:
        yield "first"
        yield "second"
        raise KeyError("third")

    reader = one_ahead(pages())
    assert [next(reader), next(reader)] == ["first", "second"]
    with pytest.raises(KeyError, match="third"):
        next(reader)
    assert [*reader] == []


def test_what_pages_hold_is_let_go_when_their_reader_leaves() -> None:
    is_let_go = threading.Event()

    def pages() -> Generator[int, None, None]:
        try:
            yield from range(5)
        finally:
            is_let_go.set()

    reader = one_ahead(pages())
    next(reader)
    reader.close()  # type: ignore[attr-defined]
    assert is_let_go.wait(60)


def test_a_page_under_way_is_let_go_when_it_is_there_and_nobody_waits_for_it() -> None:
    is_under_way, may_end, is_let_go = threading.Event(), threading.Event(), threading.Event()

    def pages() -> Generator[int, None, None]:
        try:
            yield 0
            is_under_way.set()
            may_end.wait(60)
            yield 1
        finally:
            is_let_go.set()

    reader = one_ahead(pages())
    next(reader)
    assert is_under_way.wait(60)
    reader.close()  # type: ignore[attr-defined]
    assert not is_let_go.is_set()
    may_end.set()
    assert is_let_go.wait(60)


def test_a_collector_that_ends_a_reader_lets_nothing_go_itself() -> None:
    """It may hold a lock that asking a server wants: what pages hold is let go by their thread."""
    closed_by: list[int] = []
    is_let_go = threading.Event()

    def pages() -> Generator[int, None, None]:
        try:
            yield from range(5)
        finally:
            closed_by.append(threading.get_ident())
            is_let_go.set()

    reader = one_ahead(pages())
    next(reader)
    circle: list[object] = [reader]
    circle.append(circle)
    del reader, circle
    gc.collect()
    assert is_let_go.wait(60)
    assert closed_by != [threading.get_ident()]


def test_readings_that_end_let_go_of_what_somebody_else_still_holds() -> None:
    is_under_way, may_end, is_let_go = threading.Event(), threading.Event(), threading.Event()
    readings = Readings()

    def pages() -> Generator[int, None, None]:
        try:
            yield 0
            is_under_way.set()
            may_end.wait(60)
            yield 1
            yield 2
        finally:
            is_let_go.set()

    reader = one_ahead(pages(), readings)
    assert next(reader) == 0
    assert is_under_way.wait(60)
    assert not readings.end(0.01)  # is not waited for longer
    may_end.set()
    assert readings.end(60) and is_let_go.is_set()
    assert next(reader) == 1  # which was under way
    with pytest.raises(StoreError, match="closed while it was read"):
        next(reader)


def test_what_had_not_begun_when_readings_ended_is_told_of() -> None:
    readings, may_end, is_under_way = Readings(), threading.Event(), threading.Event()

    def slow() -> int:
        is_under_way.set()
        may_end.wait(60)
        return 1

    with reading_ahead(1, readings) as pool:
        first, second = pool.submit(slow), pool.submit(int)
        assert is_under_way.wait(60)
        readings.end(0)
        may_end.set()
        assert first.result() == 1
        with pytest.raises(StoreError, match="closed"):
            second.result()


def test_a_program_ends_though_a_thread_of_it_hangs() -> None:
    program = """
import threading
from vexrepo.storage.ahead import one_ahead
def pages():
    yield 1
    is_under_way.set()
    threading.Event().wait()
is_under_way = threading.Event()
reader = one_ahead(pages())
print(next(reader), is_under_way.wait(60), flush=True)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "1 True\n", "")
