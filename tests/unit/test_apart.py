"""Work beside a process: heard as it comes, cut off wherever it is, and over by then with all that it started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vexrepo.errors import StoreError
from vexrepo.storage.apart import Apart, Fault, Teller, Work, _Process, _Thread

Begin = Callable[[Work], Apart]


@pytest.fixture(params=["process", "thread"] if sys.platform == "linux" else ["thread"])
def begin(request: pytest.FixtureRequest) -> Begin:
    return (lambda work: _Process(work, 60)) if request.param == "process" else _Thread


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_end(processes: list[int]) -> None:
    until = time.monotonic() + 60
    while any(map(is_running, processes)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_is_told_is_heard_in_its_order_to_the_end(begin: Begin) -> None:
    def work(teller: Teller) -> None:
        teller.tell("there", 5)
        teller.tell(b"x" * 200_000, None, "é")

    with begin(work) as found:
        assert found.hear(None) == ("there", 5)
        assert found.hear(None) == (b"x" * 200_000, None, "é")
        assert found.hear(None) is None


def test_an_error_is_raised_where_it_is_heard(begin: Begin) -> None:
    class Other(StoreError):
        """Known to none but who raises it."""

    def work(teller: Teller) -> None:
        raise Other("it is gone", code="store-missing")

    with begin(work) as found, pytest.raises(StoreError, match="it is gone") as raised:
        found.hear(None)
    assert raised.value.code == "store-missing"


def test_a_fault_names_what_it_was(begin: Begin) -> None:
    def work(teller: Teller) -> None:
        raise ZeroDivisionError("by nothing")

    with begin(work) as found, pytest.raises(Fault, match="ZeroDivisionError: by nothing"):
        found.hear(None)


def test_work_that_hangs_is_not_waited_for_and_what_it_told_before_is_kept(begin: Begin) -> None:
    def work(teller: Teller) -> None:
        teller.tell("there")
        time.sleep(600)

    began = time.monotonic()
    with begin(work) as found:
        assert found.hear(None) == ("there",)
        with pytest.raises(TimeoutError):
            found.hear(time.monotonic() + 0.05)
    assert time.monotonic() - began < 120


def test_what_was_told_in_time_is_heard_later_too(begin: Begin) -> None:
    with begin(lambda teller: teller.tell(1)) as found:
        until = time.monotonic() + 60
        heard = None
        while heard is None:
            assert time.monotonic() < until
            with contextlib.suppress(TimeoutError):
                heard = found.hear(time.monotonic() - 1)
        assert heard == (1,)


def test_how_far_it_is_goes_to_whoever_listens_and_holds_nothing_up(begin: Begin) -> None:
    def work(teller: Teller) -> None:
        teller._murmured = -1.0
        teller.murmur(7, 10)
        teller.murmur(8, 10)  # at once: too soon
        teller.tell("done")

    listened: list[object] = []
    with begin(work) as found:
        assert found.hear(None, listened.append) == ("done",)
    assert listened == [(7, 10)]


def test_a_thread_that_nobody_hears_ends_when_it_next_tells_something() -> None:
    goes, ended = threading.Event(), threading.Event()

    def work(teller: Teller) -> None:
        try:
            goes.wait(60)
            teller.murmur(1, 2)
        finally:
            ended.set()

    with _Thread(work):
        pass
    goes.set()
    assert ended.wait(60)


@pytest.mark.skipif(sys.platform != "linux", reason="there are no such processes elsewhere")
class TestAProcess:
    """A process is killed with all that it started."""

    def test_it_is_killed_with_what_it_started(self) -> None:
        def work(teller: Teller) -> None:
            started = subprocess.Popen(["sleep", "600"])
            teller.tell(os.getpid(), started.pid)
            while True:
                with contextlib.suppress(BaseException):
                    time.sleep(600)

        with _Process(work, 60) as found:
            heard = found.hear(None)
            assert heard is not None
        await_end(list(heard))

    def test_it_has_no_terminal_and_says_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        def work(teller: Teller) -> None:
            os.write(1, b"said of work")
            os.write(2, b"said of work")
            try:
                os.close(os.open("/dev/tty", os.O_RDWR))
            except OSError:
                teller.tell("none", sys.stdin.isatty() if sys.stdin else False)

        with _Process(work, 60) as found:
            assert found.hear(None) == ("none", False)
        # gRPC, where a test before this one has used it, says something of its own about each fork.
        assert "said of work" not in "".join(capfd.readouterr())

    def test_one_that_is_killed_by_another_is_a_fault(self) -> None:
        with _Process(lambda teller: os.kill(os.getpid(), 9), 60) as found, pytest.raises(Fault, match="without an"):
            found.hear(None)

    @pytest.mark.parametrize("longest", ["0.01", "None"])
    def test_it_outlives_its_parent_by_a_moment(self, longest: str) -> None:
        script = f"""
import os, time
from vexrepo.storage.apart import apart
def work(teller):
    teller.tell(os.getpid())
    while True:
        time.sleep(600)
print(apart(work, {longest}).hear(None)[0], flush=True)
os.kill(os.getpid(), 9)
"""
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
        await_end([int(ran.stdout)])
