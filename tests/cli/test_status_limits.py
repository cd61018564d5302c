"""``vex status`` waits for no remote longer than it says, whatever that does, and leaves nothing behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Memory, Ran, Vex, run_process, spawn
from tests.contract.qdrant_server import QdrantServer
from tests.hosting.scripted import Request, Said

WAITS_S = 55  # each of these would wait for a minute, or for good


class Hostile:
    """A server that takes connections and does to each what it is told."""

    def __init__(self, treat: Callable[[socket.socket, threading.Event], None]) -> None:
        self._treat = treat
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                taken, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, taken: socket.socket) -> None:
        with taken, contextlib.suppress(OSError):
            self._treat(taken, self._over)

    def end(self) -> None:
        self._over.set()
        self._listening.close()


def silent(taken: socket.socket, over: threading.Event) -> None:
    over.wait(300)


def a_byte_at_a_time(taken: socket.socket, over: threading.Event) -> None:
    taken.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not over.wait(0.05):
        taken.sendall(b"x")


def a_body_without_end(taken: socket.socket, over: threading.Event) -> None:
    taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
    while not over.wait(0.05):
        taken.sendall(b" ")


def busy_for_a_minute(taken: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        if not taken.recv(65536):
            return
        taken.sendall(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 15\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def hostile() -> Iterator[Callable[[Callable[[socket.socket, threading.Event], None]], int]]:
    servers: list[Hostile] = []

    def serve(treat: Callable[[socket.socket, threading.Event], None]) -> int:
        servers.append(Hostile(treat))
        return servers[-1].port

    yield serve
    for each in servers:
        each.end()


class Held(QdrantServer):
    """Says what it holds, and gives nothing of it as long as it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held = False
        self.reads = threading.Event()
        self.goes_on = threading.Event()

    def reply(self, request: Request) -> Said | None:
        if self.is_held and request.path.endswith("/scroll"):
            goes_on = self.goes_on
            self.reads.set()
            goes_on.wait(300)
        return super().reply(request)

    def go_on(self) -> None:
        """Give what was asked for until now."""
        before, self.goes_on = self.goes_on, threading.Event()
        before.set()

    def end(self) -> None:
        self.is_held = False
        self.go_on()
        super().end()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    server = Held()
    yield server
    server.end()


def slowly(monkeypatch: pytest.MonkeyPatch, *args: str) -> tuple[int, Ran]:
    """Run ``vex status`` with a limit within which this machine comes to read what is not given."""
    for limit in (2, 8, 32):
        monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", str(limit))
        ran = run_process("status", *args)
        if "more than" in ran.out or '"slow"' in ran.out:
            break
    return limit, ran


def lines_of(ran: Ran) -> list[str]:
    assert ran.code == 0, ran.err
    return ran.out.splitlines()[1:]


def running_below(folder: Path) -> list[str]:
    """Return the processes whose current folder is one."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_there = os.readlink(each / "cwd") == str(folder)
            if is_there and (each / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(each.name)
    return [each for each in found if each != str(os.getpid())]


def check_nothing_is_left(folder: Path) -> None:
    until = time.monotonic() + 60
    while sys.platform == "linux" and running_below(folder):
        assert time.monotonic() < until, running_below(folder)
        time.sleep(0.01)
    assert not list((folder / ".vex" / "tmp").glob("*"))


@pytest.mark.parametrize("treat", [silent, a_byte_at_a_time, a_body_without_end, busy_for_a_minute])
def test_no_server_holds_it_longer_than_the_limit(
    vex: Vex, repo: Memory, hostile: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, treat: Any
) -> None:
    port = hostile(treat)
    for name, address in (
        ("b-qdrant", f"qdrant://127.0.0.1:{port}/agent"),
        ("a-weaviate", f"weaviate://127.0.0.1:{port}/Agent"),
        ("c-redis", f"redis://127.0.0.1:{port}/0"),
        ("d-pgvector", f"pgvector://me@127.0.0.1:{port}/db"),
        ("e-neo4j", f"neo4j://127.0.0.1:{port}/neo4j"),
    ):
        assert vex("remote", "add", name, address).code == 0
    monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", "1")
    began = time.monotonic()
    found = lines_of(run_process("status"))
    assert time.monotonic() - began < WAITS_S
    assert [each.split(":")[0].strip() for each in found] == [
        "a-weaviate", "b-qdrant", "c-redis", "d-pgvector", "e-neo4j"
    ]  # fmt: skip
    assert all(": the same" not in each for each in found)
    if treat is silent:
        assert found[1] == f"  b-qdrant: not reachable (127.0.0.1:{port})"
    check_nothing_is_left(folder)


def test_a_store_that_takes_long_is_named_with_what_is_known_and_waited_for_where_that_is_asked(
    vex: Vex, repo: Memory, held: Held, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vex("remote", "add", "agent", str(held.address())).code == 0
    assert vex("push", "agent").code == 0
    held.is_held = True
    limit, ran = slowly(monkeypatch)
    words = f"agent: the same as last seen; 4 memories there, more than {limit} s to read: vex status --remotes waits"
    assert lines_of(ran) == [f"  {words}"]
    check_nothing_is_left(folder)
    _, ran = slowly(monkeypatch, "--json")
    (told,) = ran.json()["remotes"]
    assert (told["state"], told["records"], told["drift"], told["error"]) == ("slow", 4, None, None)
    held.go_on()
    held.reads.clear()
    monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", "120")
    waiting = spawn("status", "--remotes")
    assert held.reads.wait(120)
    held.go_on()
    out, err = waiting.communicate(timeout=200)
    assert (waiting.returncode, out.splitlines()[1:], err) == (0, ["  agent: the same"], "")


def test_ctrl_c_ends_it_and_all_that_it_asked(vex: Vex, repo: Memory, held: Held, folder: Path) -> None:
    assert vex("remote", "add", "agent", str(held.address())).code == 0
    assert vex("push", "agent").code == 0
    held.is_held = True
    waiting = spawn("status", "--remotes")
    assert held.reads.wait(120)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=120)
    assert waiting.returncode == 130 and "interrupted" in err and "Traceback" not in err
    check_nothing_is_left(folder)


def test_where_it_cannot_fork_a_thread_that_hangs_does_not_hold_its_end(
    vex: Vex, repo: Memory, hostile: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vex("remote", "add", "agent", f"qdrant://127.0.0.1:{hostile(a_byte_at_a_time)}/agent").code == 0
    monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", "1")
    script = (
        "import sys, vexrepo.cli, vexrepo.storage.apart as apart\n"
        "apart.is_forkable = lambda: False\n"
        "sys.argv[1:] = ['status']\n"
        "vexrepo.cli.main()\n"
    )
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False)
    assert time.monotonic() - began < WAITS_S
    assert ran.returncode == 0 and "agent: not reachable" in ran.stdout and not ran.stderr


def test_remotes_are_asked_beside_each_other(
    vex: Vex, repo: Memory, hostile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = hostile(silent)
    for number in range(8):
        assert vex("remote", "add", f"r{number}", f"qdrant://127.0.0.1:{port}/agent").code == 0
    monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", "10")
    began = time.monotonic()
    assert len(lines_of(run_process("status"))) == 8
    assert time.monotonic() - began < 70  # one after the other: 80
