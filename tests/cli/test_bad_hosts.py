"""Hosts that refuse, break off, lie or are somebody else's: a clear message, the way out, and nothing half done."""

import errno
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.cli.desks import PASSPHRASE, Desk
from tests.hosting.http_backend import PARTIAL, SECRET, USER, Answer, HttpBackend, git, http_backend, make_bare
from vexrepo.cli.surroundings import Edge
from vexrepo.storage.files import Files

pytestmark = pytest.mark.usefixtures("quick")

PAGE = b"<!DOCTYPE html><html><title>Sign in</title>please sign in</html>"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpBackend]:
    make_bare(tmp_path / "served" / "memory.git", PARTIAL)
    with http_backend(tmp_path / "served") as found:
        yield found


@pytest.fixture
def url(server: HttpBackend) -> str:
    return server.url().replace("http://", f"http://{USER}@")


@pytest.fixture
def alice(tmp_path: Path, url: str) -> Desk:
    """Alice has a commit and a remote, and has not pushed yet."""
    desk = Desk(tmp_path, "alice", VEX_TOKEN=SECRET).begin()
    desk.ok("remote", "add", "backup", url)
    return desk


def tip(server: HttpBackend) -> str:
    return git("rev-parse", "-q", "--verify", "refs/heads/main", cwd=server.root / "memory.git", check=False)


def is_write(handler: BaseHTTPRequestHandler) -> bool:
    return "git-receive-pack" in handler.path


# -- passphrase and token ----------------------------------------------------------------------------------------------


def test_a_wrong_passphrase_ends_with_12_before_anything_is_downloaded(alice, server, url, tmp_path):
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    bob = Desk(tmp_path, "bob", VEX_TOKEN=SECRET)
    server.requests.clear()
    ran = bob("clone", url, "copy", VEX_PASSPHRASE="wrong-passphrase")
    wrong = len(server.requests)
    assert ran.code == 12 and "wrong-passphrase" in ran.err.rsplit("[", 1)[1] and "nothing was downloaded" in ran.err
    assert not (bob.folder / "copy").exists() and "wrong passphrase" in ran.err
    server.requests.clear()
    bob.ok("clone", url, "copy", VEX_PASSPHRASE=PASSPHRASE)
    assert wrong < len(server.requests)


def test_no_passphrase_and_nobody_to_ask_ends_with_12_and_says_where_to_put_it(alice, server):
    ran = alice("push")
    assert ran.code == 12 and "VEX_PASSPHRASE_FILE" in ran.err and tip(server) == ""


def test_a_token_the_host_does_not_know_is_not_shown(alice, server):
    ran = alice("push", VEX_TOKEN="unknown-token-42", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "host-refused" in ran.err and "VEX_TOKEN" in ran.err
    assert "unknown-token-42" not in ran.err and tip(server) == ""


def test_a_host_that_wants_a_token_is_told_apart(alice, server):
    ran = alice("push", VEX_TOKEN="", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "set VEX_TOKEN" in ran.err


def test_a_token_that_may_read_but_not_write(alice, server):
    server.bend = lambda handler: (
        Answer(403, {"Content-Type": "text/plain"}, b"read-only") if is_write(handler) else None
    )
    ran = alice("push", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "host-refused" in ran.err and "write" in ran.err and SECRET not in ran.err
    assert tip(server) == "" and "backup" not in alice.ok("status")


# -- hosts in trouble --------------------------------------------------------------------------------------------------


def test_a_host_that_is_down(alice, server):
    server.close()
    for args in (["push"], ["fetch"], ["pull"], ["remote", "check"]):
        ran = alice(*args, VEX_PASSPHRASE=PASSPHRASE)
        assert ran.code == 1 and "host-unreachable" in ran.err and "127.0.0.1" in ran.err


def test_a_host_that_does_not_answer_in_time(alice, server):
    alice.ok("config", "set", "http.timeout_s", "1")
    done = threading.Event()
    server.bend = lambda handler: Answer() if done.wait(200) else None
    try:
        ran = alice("push", VEX_PASSPHRASE=PASSPHRASE)
    finally:
        done.set()
    assert ran.code == 1 and "host-unreachable" in ran.err


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_host_that_answers_a_page(alice, server, status):
    server.bend = lambda handler: Answer(status, {"Content-Type": "text/html"}, PAGE)
    ran = alice("push", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and ("host-answer" in ran.err or status != 200) and "<" not in ran.err
    assert "backup" not in alice.ok("status")


def test_a_host_that_sends_the_token_elsewhere_is_not_followed(alice, server):
    server.bend = lambda handler: Answer(302, {"Location": "http://127.0.0.1:1/elsewhere.git"})
    ran = alice("push", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and SECRET not in ran.err


def test_a_push_that_is_too_large_for_the_host(alice, server):
    server.bend = lambda handler: (
        Answer(413, {"Content-Type": "text/plain"}, b"too large")
        if handler.command == "POST" and is_write(handler)
        else None
    )
    ran = alice("push", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "host-limit" in ran.err and tip(server) == ""


def test_a_repository_that_is_missing(alice, server, tmp_path):
    alice.ok("remote", "set-url", "backup", server.url("nowhere.git").replace("http://", f"http://{USER}@"))
    ran = alice("push", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "host-missing" in ran.err and "vex push backup --create" in ran.err


def test_a_repository_that_is_not_ours_is_left_untouched(alice, server, url, tmp_path):
    work = tmp_path / "work"
    git("clone", "-q", str(server.root / "memory.git"), str(work))
    (work / "README").write_text("somebody else's work")
    git("add", ".", cwd=work)
    git("commit", "-qm", "mine", cwd=work)
    git("push", "-q", "origin", "HEAD:main", cwd=work)
    before = tip(server)
    for args in (["push"], ["push", "--force"], ["fetch"], ["remote", "check"], ["remote", "compact", "backup"]):
        ran = alice(*args, VEX_PASSPHRASE=PASSPHRASE)
        assert ran.code == 1 and "host-not-ours" in ran.err
    bob = Desk(tmp_path, "bob", VEX_TOKEN=SECRET)
    assert bob("clone", url, "copy", VEX_PASSPHRASE=PASSPHRASE).code == 1
    assert tip(server) == before and not (bob.folder / "copy").exists()


def test_an_empty_repository_has_nothing_to_give(alice, server, url, tmp_path):
    for args in (["fetch"], ["pull"], ["remote", "check"], ["remote", "recipient", "list"]):
        ran = alice(*args, VEX_PASSPHRASE=PASSPHRASE)
        assert ran.code == 1 and "host-empty" in ran.err
    assert Desk(tmp_path, "bob", VEX_TOKEN=SECRET)("clone", url, "copy").code == 1


# -- this side ---------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_during_a_clone_leaves_no_repository(alice, url, tmp_path, monkeypatch):
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    bob = Desk(tmp_path, "bob", VEX_TOKEN=SECRET)

    def step(files: Files, name: str, path: Path) -> None:
        if name == "write" and ".vex" in path.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as full:
        full.setattr(Files, "step", step)
        ran = bob("clone", url, "copy", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "disk-full" in ran.err
    assert not (bob.folder / "copy" / ".vex" / "format").exists()
    assert "4 memories" in bob.ok("clone", url, "copy", VEX_PASSPHRASE=PASSPHRASE)


def test_a_store_that_cannot_be_written_leaves_the_branch_for_the_next_time(alice, url, tmp_path):
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    bob = Desk(tmp_path, "bob", VEX_TOKEN=SECRET).join(url)
    bob.learn("b1", "bob has learned this")
    bob.ok("commit", "-m", "bob")
    bob.ok("push")
    alice.ok("config", "set", "workspace.store", "gone/agent.vmig.jsonl")
    ran = alice("pull")
    alice.ok("config", "set", "workspace.store", "agent.vmig.jsonl")
    assert ran.code in (0, 1)
    alice.ok("pull")
    assert "b1" in alice.texts() and "nothing to commit" in alice.ok("status")


def test_clocks_that_disagree_do_no_harm(alice, url, tmp_path, monkeypatch):
    years = {"alice": 2090, "bob": 1990}
    clock = {"ticks": 0}

    def now_us() -> int:
        clock["ticks"] += 1
        return (years[os.environ["LOGNAME"]] - 1970) * 31_557_600_000_000 + clock["ticks"]

    monkeypatch.setattr(Edge, "now_us", staticmethod(now_us))
    alice.ok("commit", "-m", "from the future", "--allow-empty")
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    bob = Desk(tmp_path, "bob", VEX_TOKEN=SECRET).join(url)
    bob.learn("b1", "long ago")
    bob.ok("commit", "-m", "long ago")
    bob.ok("push")
    alice.learn("a1", "in the future")
    alice.ok("commit", "-m", "again")
    assert alice("push").code == 1
    alice.ok("pull")
    alice.ok("push")
    bob.ok("pull")
    assert {"a1", "b1"} <= set(bob.texts())
    assert "all right" in alice.ok("remote", "check", "--read-data")
