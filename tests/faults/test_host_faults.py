"""Connections that end anywhere: what is reported is what happened, and the tip is never broken.

Law 7.  Between the client and Git's http-backend a proxy cuts the connection after so many bytes of the requests or of
the answers; where it cuts, is taken from a run without cuts, so that every part of every message is hit.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.faults.harness import MODES
from tests.hosting.http_backend import PARTIAL, SECRET, USER, HttpBackend, git, http_backend, make_bare
from tests.hosting.proxy import Cuts, Proxy, proxy_to
from vexrepo.errors import HostError
from vexrepo.remotes.hosts import git as git_module
from vexrepo.remotes.hosts.base import Access, OutcomeUnknown, Tip, Token
from vexrepo.remotes.hosts.git import GitHost
from vexrepo.remotes.hosts.git_directory import DirectoryHost
from vexrepo.testing.hosts import PART, noise, read_all

FIRST: dict[str, bytes | Path] = {"vexrepo": b"{}", "head": b"1" * 900, PART: noise(150_000, "first")}
SECOND: dict[str, bytes | Path] = {"head": b"2" * 900, "packs/ab/second": noise(90_000, "second")}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "_PAUSES_S", (0.0, 0.0))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpBackend]:
    make_bare(tmp_path / "memory.git", PARTIAL)
    with http_backend(tmp_path) as server:
        yield server


@pytest.fixture
def proxy(server: HttpBackend) -> Iterator[Proxy]:
    with proxy_to(server.port) as proxy:
        yield proxy


def access(timeout_s: float = 60.0) -> Access:
    return Access(token=lambda url: Token(USER, SECRET, "a test"), timeout_s=timeout_s)


def through(proxy: Proxy, timeout_s: float = 60.0) -> GitHost:
    return GitHost.open(f"http://127.0.0.1:{proxy.port}/memory.git", access(timeout_s))


def directly(tmp_path: Path) -> DirectoryHost:
    return DirectoryHost.open(str(tmp_path / "memory.git"), Access())


def offsets(total: int, seed: int, near_end: int) -> list[int]:
    """Return where to cut ``total`` bytes: at both ends densely, in between by chance."""
    chance = random.Random(seed)
    ends = [
        0,
        1,
        20,
        150,
        total - near_end,
        total - 60,
        total - 21,
        total - 20,
        total - 19,
        total - 5,
        total - 1,
        total,
    ]
    return sorted({*ends, *(chance.randrange(total) for _ in range(10))} & set(range(total + 1)))


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("side", ["asked", "answered"])
def test_a_publish_that_is_cut_off_is_reported_as_what_became_of_it(
    tmp_path: Path, server: HttpBackend, proxy: Proxy, side: str, for_good: bool
) -> None:
    with directly(tmp_path) as host:
        first = host.publish(None, FIRST)
    branch = tmp_path / "memory.git" / "refs" / "heads" / "main"

    def publish(cuts: Cuts) -> tuple[str, Tip | None]:
        branch.write_text(first.version + "\n")
        proxy.cuts = cuts
        with through(proxy) as host:
            try:
                return "", host.publish(first, SECOND)
            except HostError as error:
                return ("a secret" if SECRET in str(error) else error.code), None

    clean = Cuts()
    code, second = publish(clean)
    assert second is not None and code == ""
    seen = set()
    total = clean.asked_bytes if side == "asked" else clean.answered_bytes
    for offset in offsets(total, 5, 700):
        code, tip = publish(Cuts(**{side: offset}, for_good=for_good))
        seen.add(code)
        proxy.settle()  # what got through may not have begun to be served
        server.wait_until_idle()
        with directly(tmp_path) as host:
            now = host.read_tip()
            assert now in (first, second), offset
            if code == "":
                assert tip == now == second
            elif code != "host-no-answer":
                assert now == first, (offset, code)  # told that nothing was published
    assert ("" in seen) or for_good
    assert seen <= {"", "host-no-answer", "host-unreachable", "host-answer"}
    if side == "answered" and for_good:
        assert "host-no-answer" in seen
    git("fsck", "--strict", cwd=tmp_path / "memory.git")
    with directly(tmp_path) as host:
        host.publish(host.read_tip(), {"head": b"3"})
        assert read_all(host)["head"] == b"3"


@pytest.mark.parametrize("side", ["asked", "answered"])
def test_a_fetch_that_is_cut_off_once_goes_on_where_it_was(tmp_path: Path, proxy: Proxy, side: str) -> None:
    files: dict[str, bytes | Path] = {f"packs/aa/{place}": noise(30_000, str(place)) for place in range(20)}
    with directly(tmp_path) as host:
        tip = host.publish(None, files)
    clean = proxy.cuts = Cuts()
    with through(proxy) as host:
        assert read_all(host) == files
    total = clean.asked_bytes if side == "asked" else clean.answered_bytes
    for offset in offsets(total, 6, 300):
        proxy.cuts = Cuts(**{side: offset})
        with through(proxy) as host:
            assert host.read_tip() == tip
            assert dict(host.fetch(tip, files)) == files, offset
        if side == "answered":  # only what had not come yet came again
            assert proxy.cuts.answered_bytes < 1.2 * clean.answered_bytes, offset


def test_a_host_that_is_gone_in_the_middle_of_a_fetch_is_an_error(tmp_path: Path, proxy: Proxy) -> None:
    files: dict[str, bytes | Path] = {f"packs/aa/{place}": noise(30_000, str(place)) for place in range(20)}
    with directly(tmp_path) as host:
        tip = host.publish(None, files)
    with through(proxy) as host:
        host.read_tip()
        proxy.cuts = Cuts(answered=200_000, for_good=True)
        got = []
        with pytest.raises(HostError) as caught:
            got.extend(host.fetch(tip, files))
        assert caught.value.code == "host-unreachable"
        assert 0 < len(got) < 20 and all(files[path] == content for path, content in got)


def test_a_lost_answer_is_known_again_when_the_same_is_published_again(
    tmp_path: Path, server: HttpBackend, proxy: Proxy
) -> None:
    with directly(tmp_path) as host:
        first = host.publish(None, FIRST)
    report_begins, report_bytes = 0, 0

    def at_a_push(handler: BaseHTTPRequestHandler) -> None:
        # Counted from here: what is asked before may have taken more than one request.
        nonlocal report_begins
        if handler.command == "POST":
            report_begins = proxy.cuts.answered_bytes
            if report_bytes:
                proxy.cuts.answered = report_begins + report_bytes - 50

    server.bend = at_a_push
    proxy.cuts = Cuts()
    with through(proxy) as host:
        second = host.publish(first, SECOND)
    report_bytes = proxy.cuts.answered_bytes - report_begins
    (tmp_path / "memory.git" / "refs" / "heads" / "main").write_text(first.version + "\n")
    with through(proxy) as host:
        proxy.cuts = Cuts(for_good=True)
        with pytest.raises(OutcomeUnknown):
            host.publish(first, SECOND)
        proxy.cuts = Cuts()
        assert host.publish(first, SECOND) == second
        assert host.read_tip() == second


def test_a_slow_line_is_waited_for_as_long_as_it_carries_anything(
    tmp_path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vexrepo.remotes.hosts.git_http._SEND_S", 2.0)
    files: dict[str, bytes | Path] = {"head": b"1", PART: noise(12_000_000)}
    proxy.cuts = Cuts(pause_s=0.02)
    with through(proxy) as host:
        begin = time.monotonic()
        host.publish(None, files)
        assert time.monotonic() - begin > 3.0
    with directly(tmp_path) as host:
        assert read_all(host) == files


def test_a_line_that_carries_nothing_any_more_is_given_up(
    tmp_path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vexrepo.remotes.hosts.git_http._SEND_S", 0.5)
    proxy.cuts = Cuts(stalls_at=300_000)
    with through(proxy) as host, pytest.raises(HostError) as caught:
        host.publish(None, {"head": b"1", PART: noise(12_000_000)})
    assert caught.value.code == "host-unreachable" and "nothing was published" in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="forks a child for each file operation")
@pytest.mark.parametrize("mode", MODES)
def test_a_fault_at_any_file_operation_leaves_a_folder_whole(tmp_path: Path, mode: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.host_harness", mode, str(tmp_path / "case")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert not result["wrong"], "\n".join(result["wrong"][:20])
    assert result["operations"] >= 30, "the faults did not reach the file operations"
