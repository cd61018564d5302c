"""``vex status`` and remotes at a host: one request tells whether it moved, and nothing is asked of anybody."""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.desks import Desk, shared
from tests.hosting.http_backend import PARTIAL, SECRET, USER, Answer, HttpBackend, http_backend, make_bare

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", "120")  # on a busy machine an answer may take its time
    monkeypatch.setenv("VEX_STATUS_CONNECT_S", "60")


@pytest.fixture
def alice(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "alice")


@pytest.fixture
def bob(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "bob")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpBackend]:
    make_bare(tmp_path / "served" / "memory.git", PARTIAL)
    monkeypatch.setenv("VEX_TOKEN", SECRET)
    with http_backend(tmp_path / "served") as server:
        yield server


def url_of(server: HttpBackend) -> str:
    return server.url().replace("http://", f"http://{USER}@")


def test_a_host_that_moved_is_said_with_one_request_and_no_passphrase(alice: Desk, bob: Desk, served: HttpBackend):
    shared(alice, bob, url_of(served))
    alice.ok("fetch", "backup")  # bob let himself in
    assert alice.ok("status").endswith("  backup: the same\n")
    bob.learn("m9", "Bob learnt this")
    bob.ok("commit", "-m", "bob's")
    bob.ok("push")
    before = len(served.requests)
    assert "  backup: the same; moved since it was last seen (vex fetch backup)\n" in alice.ok("status")
    assert len(served.requests) == before + 1
    (found,) = alice.json("status")["remotes"]
    assert (found["state"], found["ahead"], found["behind"], found["error"]) == ("moved", 0, 0, None)
    assert alice.json("status", "--no-remotes")["remotes"][0]["state"] == "unasked"
    assert len(served.requests) == before + 2
    alice.ok("fetch", "backup")
    assert "  backup: 1 to pull\n" in alice.ok("status")
    assert alice.json("status")["remotes"][0]["state"] == "same"


def test_a_host_that_cannot_be_asked_keeps_what_was_seen(
    alice: Desk, bob: Desk, served: HttpBackend, monkeypatch: pytest.MonkeyPatch
):
    shared(alice, bob, url_of(served))
    monkeypatch.delenv("VEX_TOKEN")
    assert alice.ok("status").endswith("  backup: the same  as last seen\n")  # it wants a token: none is asked for
    assert alice.json("status")["remotes"][0]["state"] == "refused"
    monkeypatch.setenv("VEX_TOKEN", "another")
    told = alice.ok("status")
    assert "  backup: cannot be looked at: " in told and "[host-refused]" in told and "another" not in told
    monkeypatch.setenv("VEX_TOKEN", SECRET)
    served.bend = lambda handler: Answer(503)
    before = len(served.requests)
    assert "  backup: not reachable (127.0.0.1" in alice.ok("status")
    assert len(served.requests) == before + 1  # and is not asked again and again


def test_a_host_that_was_emptied_or_is_gone_is_shouted(alice: Desk, bob: Desk, tmp_path: Path):
    path = make_bare(tmp_path / "served" / "memory.git")
    shared(alice, bob, str(path))
    shutil.rmtree(path)
    make_bare(path)
    assert "  backup: emptied: nothing is there any more (vex fetch backup says more)\n" in alice.ok("status")
    assert alice.json("status")["remotes"][0]["state"] == "emptied"
    shutil.rmtree(path)
    told = alice.ok("status")
    assert "  backup: cannot be looked at: " in told and "[host-missing]" in told


def test_a_host_that_was_never_seen_from_here_is_not_asked(alice: Desk, served: HttpBackend):
    alice.begin()
    alice.ok("remote", "add", "backup", url_of(served))
    assert "backup" not in alice.ok("status")
    assert alice.json("status")["remotes"][0]["state"] == "unseen"
    assert not served.requests


def test_ssh_is_left_alone_unless_it_is_asked_for_and_never_asks(
    alice: Desk, bob: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = make_bare(tmp_path / "served" / "memory.git")
    ran = tmp_path / "ran"
    program = tmp_path / "ssh"
    program.write_text(
        f'#!{sys.executable}\nimport sys, os\nopen({str(ran)!r}, "a").write(repr(sys.argv[1:]) + "\\n")\n'
        'os.execvp("sh", ["sh", "-c", sys.argv[-1]])\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    shared(alice, bob, f"ssh://host{path}")
    alice.ok("fetch", "backup")
    ran.unlink()
    assert alice.ok("status").endswith("  backup: the same\n") and not ran.exists()
    assert alice.ok("status", "--remotes").endswith("  backup: the same\n")
    (line,) = ran.read_text().splitlines()
    assert line.startswith("['-o', 'BatchMode=yes', ")


def test_a_host_that_says_nothing_is_not_waited_for(
    alice: Desk, bob: Desk, served: HttpBackend, monkeypatch: pytest.MonkeyPatch
):
    import threading

    shared(alice, bob, url_of(served))
    over = threading.Event()

    def hang(handler: object) -> Answer:
        over.wait(300)
        return Answer(503)

    served.bend = hang
    monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", "1")
    began = time.monotonic()
    told = alice.ok("status")
    over.set()
    assert "  backup: not reachable (127.0.0.1" in told and time.monotonic() - began < 55
