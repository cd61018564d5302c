"""What Git hosts do beyond the contract: other people's files, few requests, limits, certificates, proxies, ssh."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosting.certificates import make_certificate
from tests.hosting.http_backend import PARTIAL, SECRET, USER, HttpBackend, git, http_backend, make_bare
from tests.hosting.listening import HttpHandler, HttpListening
from tests.hosting.sshd import Sshd, free_port, sshd
from vexrepo.errors import HostError
from vexrepo.remotes.hosts import git as git_module
from vexrepo.remotes.hosts import registry
from vexrepo.remotes.hosts.base import Access, Host, HostMoved, Token
from vexrepo.remotes.hosts.git import GitHost
from vexrepo.remotes.hosts.git_directory import DirectoryHost
from vexrepo.testing.hosts import PART, noise, read_all


def access(**more: Any) -> Access:
    return Access(token=lambda url: Token(USER, SECRET, "VEX_TOKEN"), **more)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "_PAUSES_S", (0.0, 0.0))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpBackend]:
    make_bare(tmp_path / "memory.git", PARTIAL)
    make_bare(tmp_path / "plain.git")
    with http_backend(tmp_path) as server:
        yield server


# requests


def test_a_publish_takes_five_requests_and_three_onto_a_tip_known_from_before(server: HttpBackend) -> None:
    with GitHost.open(server.url(), access()) as host:
        host.publish(None, {"vexrepo": b"{}", "head": b"1", PART: noise(50_000)})
    server.requests.clear()
    with GitHost.open(server.url(), access()) as host:
        tip = host.read_tip()
        assert tip is not None
        assert dict(host.fetch(tip, ["vexrepo", "head"])) == {"vexrepo": b"{}", "head": b"1"}
        tip = host.publish(tip, {"head": b"2"})
    assert len(server.requests) == 5
    server.requests.clear()
    with GitHost.open(server.url(), access()) as host:
        host.recall(tip)
        assert host.read_tip() is tip
        host.publish(tip, {"head": b"3"})
    assert len(server.requests) == 3


def test_after_another_publish_only_what_is_new_is_sent_by_a_host_without_partial_clone(
    server: HttpBackend, tmp_path: Path
) -> None:
    told: list[str] = []
    with GitHost.open(server.url("plain.git"), access()) as host:
        first = host.publish(None, {"head": b"1", PART: noise(300_000)})
        second = host.publish(first, {"head": b"2", "packs/aa/a": noise(5000)})
    got: list[int] = []
    with GitHost.open(server.url("plain.git"), access(notice=told.append)) as host:
        chunks = host._wire.chunks  # type: ignore[attr-defined]
        host._wire.chunks = lambda response: _counted(chunks(response), got)  # type: ignore[attr-defined]
        host.recall(first)
        assert host.read_tip() == second
        assert dict(host.fetch(second, ["head"])) == {"head": b"2"}
        assert sum(got) < 10_000
        assert read_all(host) == {"head": b"2", "packs/aa/a": noise(5000), PART: noise(300_000)}
    assert len(told) == 1 and "allowFilter" in told[0]


def _counted(chunks: Iterator[bytes], got: list[int]) -> Iterator[bytes]:
    for chunk in chunks:
        got.append(len(chunk))
        yield chunk


# other people's files


@pytest.mark.parametrize("name", ["memory.git", "plain.git", ""])
def test_what_others_put_there_is_kept_as_it_is(server: HttpBackend, tmp_path: Path, name: str) -> None:
    path = tmp_path / (name or "memory.git")
    work = tmp_path / "work"
    git("init", "--quiet", "--initial-branch=main", str(work))
    (work / "deep/er").mkdir(parents=True)
    (work / "README").write_text("ours is here as well\n" * 50)
    (work / "deep/er/tool.sh").write_text("#!/bin/sh\n")
    (work / "deep/er/tool.sh").chmod(0o755)
    (work / "link").symlink_to("README")
    os.mkdir(os.fsencode(work) + b"/caf\xe9")
    (work / os.fsdecode(b"caf\xe9") / "x").write_text("not UTF-8")
    git("add", ".", cwd=work)
    git("update-index", "--add", "--cacheinfo", "160000", "1" * 40, "submodule", cwd=work)
    for turn in range(3):
        (work / "README").write_text("ours is here as well\n" * 50 + str(turn))
        git("add", "README", cwd=work)
        git("commit", "--quiet", "-m", "theirs", cwd=work)
    git("push", "--quiet", str(path), "main", cwd=work)
    git("gc", "--quiet", cwd=path)
    before = git("ls-tree", "-r", "-z", "main", cwd=path)
    host = GitHost.open(server.url(name), access()) if name else DirectoryHost.open(str(path), Access())
    with host:
        tip = host.read_tip()
        assert tip is not None and tip.files["link"].mode == 0o120000
        files = [each for each in tip.files if each != "submodule"]
        assert dict(host.fetch(tip, files))["deep/er/tool.sh"] == b"#!/bin/sh\n"
        with pytest.raises(HostError) as caught:
            list(host.fetch(tip, ["submodule"]))
        assert caught.value.code == "host-file-missing"
        tip = host.publish(tip, {"head": b"1", PART: b"part"})
        tip = host.publish(tip, {}, ["head", PART], alone=True)
    assert git("ls-tree", "-r", "-z", "main", cwd=path) == before
    git("fsck", "--strict", cwd=path)


def test_a_file_of_others_in_the_way_of_a_folder_is_told(server: HttpBackend) -> None:
    with GitHost.open(server.url(), access()) as host:
        tip = host.publish(None, {"packs": b"a file"})
        with pytest.raises(HostError) as caught:
            host.publish(tip, {PART: b"1"})
        assert caught.value.code == "host-not-ours" and "'packs'" in str(caught.value)
        assert host.read_tip() == tip


def test_other_branches_are_not_looked_at(server: HttpBackend, tmp_path: Path) -> None:
    with GitHost.open(server.url(), access()) as host:
        tip = host.publish(None, {"head": b"1"})
        git("branch", "other", "main", cwd=tmp_path / "memory.git")
        git("update-ref", "-d", "refs/heads/main", cwd=tmp_path / "memory.git")
        assert host.read_tip() is None
        assert host.publish(None, {"head": b"2"}) != tip
    assert git("cat-file", "-p", "other:head", cwd=tmp_path / "memory.git") == "1"


def test_git_clones_what_was_published(server: HttpBackend, tmp_path: Path) -> None:
    files: dict[str, bytes | Path] = {"head": b"1", PART: noise(400_000), "empty": b""}
    with GitHost.open(server.url(), access()) as host:
        host.publish(None, files)
    server.token = None
    git("clone", "--quiet", server.url(), str(tmp_path / "clone"))
    assert {each: (tmp_path / "clone" / each).read_bytes() for each in files} == files
    who = git("log", "-1", "--format=%an %ae %at %cn %ce %ct %B", cwd=tmp_path / "clone")
    assert who == "vexrepo vexrepo@localhost 0 vexrepo vexrepo@localhost 0 vexrepo"


def test_git_pushes_through_the_server_as_it_does_through_others(server: HttpBackend, tmp_path: Path) -> None:
    """The server of these tests takes what git sends: bodies in chunks, packed ones, version 2."""
    work, url = tmp_path / "work", server.url().replace("http://", f"http://{USER}:{SECRET}@")
    git("init", "--quiet", "--initial-branch=main", str(work))
    for turn in range(3):
        (work / f"large{turn}").write_bytes(noise(2_000_000, str(turn)))
        git("add", ".", cwd=work)
        git("commit", "--quiet", "-m", "theirs", cwd=work)
        git("push", "--quiet", url, "main", cwd=work)
    with GitHost.open(server.url(), access()) as host:
        assert read_all(host) == {f"large{turn}": noise(2_000_000, str(turn)) for turn in range(3)}
        host.publish(host.read_tip(), {"head": b"1"})
    git("pull", "--quiet", url, "main", cwd=work)
    assert (work / "head").read_bytes() == b"1"
    assert {version for _, _, version in server.requests} == {"", "version=2"}


# a folder


def test_a_folder_frees_what_an_orphan_commit_leaves_behind_but_not_what_is_new_or_others_need(tmp_path: Path) -> None:
    path = tmp_path / "memory.git"
    DirectoryHost.create(path)
    objects = path / "objects"

    def age() -> None:
        for each in objects.glob("??/*"):
            os.utime(each, (1_000_000_000, 1_000_000_000))

    with DirectoryHost.open(str(path), Access()) as host:
        first = host.publish(None, {"vexrepo": b"{}", "head": b"1", PART: noise(500_000, "old")})
        (objects / PART[:2]).mkdir(exist_ok=True)
        age()
        new = host.publish(first, {"head": b"2", "packs/aa/new": noise(200_000, "new")})
        last = host.publish(new, {"head": b"3"}, [PART, "packs/aa/new"], alone=True)
        held = {each.parent.name + each.name for each in objects.glob("??/*")}
        assert first.files[PART].id not in held  # old, and nobody's
        assert new.files["packs/aa/new"].id in held  # a writer may be at work on it
        assert read_all(host) == {"vexrepo": b"{}", "head": b"3"}
        age()
        git("tag", "kept", "main", cwd=path)
        last = host.publish(last, {"head": b"4"}, alone=True)
        assert git("cat-file", "-p", "kept:head", cwd=path) == "3"
        git("tag", "-d", "kept", cwd=path)
        age()
        host.publish(last, {"head": b"5"}, alone=True)
        assert sum(each.stat().st_size for each in objects.glob("??/*")) < 2000
        assert read_all(host) == {"vexrepo": b"{}", "head": b"5"}
    git("fsck", "--strict", cwd=path)


def test_a_damaged_folder_is_told(tmp_path: Path) -> None:
    path = tmp_path / "memory.git"
    DirectoryHost.create(path)
    with DirectoryHost.open(str(path), Access()) as host:
        tip = host.publish(None, {"head": noise(1000)})
        found = path / "objects" / tip.files["head"].id[:2] / tip.files["head"].id[2:]
        found.chmod(0o644)
        whole = found.read_bytes()
        for content in (whole[:-20], whole[:50] + b"?" + whole[51:], b"", b"not zlib"):
            found.write_bytes(content)
            with DirectoryHost.open(str(path), Access()) as reader, pytest.raises(HostError) as caught:
                list(reader.fetch(tip, ["head"]))
            assert caught.value.code == "host-answer", content[:10]
        branch = path / "refs/heads/main"
        branch.write_text("nonsense\n")
        with pytest.raises(HostError) as caught:
            host.publish(tip, {"head": b"2"})
        assert caught.value.code == "host-answer" and branch.read_text() == "nonsense\n"


# refusals


def test_a_file_beyond_a_hosts_limit_is_refused_before_anything_is_sent(server: HttpBackend, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(70 << 20)
    with GitHost.open(server.url(), access()) as host, pytest.raises(HostError) as caught:
        host.publish(None, {"head": b"1", PART: large})
    assert caught.value.code == "host-limit" and PART in str(caught.value)
    assert not server.requests
    assert registry.open_host("https://github.com/a/b", Access()).limits.file_bytes == 100 << 20
    assert registry.open_host("git@github.com:a/b.git", Access()).limits.push_bytes == 2 << 30
    assert registry.open_host("https://gitlab.com/a/b", Access()).limits.file_bytes == 100 << 20
    assert registry.open_host("https://example.org/a/b", Access()).limits.file_bytes is None


REFUSALS = {
    "remote: error: File packs/00/x is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB": (
        "host-limit",
        "100.00 MB",
    ),
    "GitLab: You are attempting to check in one or more blobs which exceed the 100.0MiB limit:": (
        "host-limit",
        "100.0MiB",
    ),
    "Your push has been rejected, because this repository has exceeded its size limit of 10 GB by 660 MB.": (
        "host-limit",
        "10 GB",
    ),
    "GitLab: You are not allowed to force push code to a protected branch on this project.": (
        "host-refused",
        "forced pushes",
    ),
    "this repository is archived \x1b[31mred": ("host-refused", "archived red"),
}


@pytest.mark.parametrize("words", REFUSALS)
def test_a_host_that_refuses_a_push_is_quoted(server: HttpBackend, tmp_path: Path, words: str) -> None:
    code, part = REFUSALS[words]
    hook = tmp_path / "memory.git/hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\ncat >/dev/null\ncat >&2 <<'end'\n{words}\n{SECRET}\nend\nexit 1\n")
    hook.chmod(0o755)
    with GitHost.open(server.url(), access()) as host, pytest.raises(HostError) as caught:
        host.publish(None, {"head": b"1"})
    assert caught.value.code == code and part in str(caught.value) and "nothing was published" in str(caught.value)
    assert SECRET not in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_push_larger_than_a_host_takes_is_a_limit(server: HttpBackend, tmp_path: Path) -> None:
    git("config", "receive.maxInputSize", "100000", cwd=tmp_path / "memory.git")
    with GitHost.open(server.url(), access()) as host:
        with pytest.raises(HostError) as caught:
            host.publish(None, {"head": noise(200_000)})
        assert caught.value.code == "host-limit" and "exceeds maximum allowed size" in str(caught.value)
        assert host.read_tip() is None
        host.publish(None, {"head": noise(20_000)})


def test_a_host_that_allows_no_forced_push_refuses_alone_and_says_what_to_do(
    server: HttpBackend, tmp_path: Path
) -> None:
    git("config", "receive.denyNonFastForwards", "true", cwd=tmp_path / "memory.git")
    with GitHost.open(server.url(), access()) as host:
        tip = host.publish(None, {"head": b"1"})
        with pytest.raises(HostError) as caught:
            host.publish(tip, {"head": b"2"}, alone=True)
        assert caught.value.code == "host-refused" and "allow forced pushes" in str(caught.value)
        assert host.read_tip() == tip


def test_a_lock_that_another_left_behind_is_told(server: HttpBackend, tmp_path: Path) -> None:
    lock = tmp_path / "memory.git/refs/heads/main.lock"
    lock.touch()
    for host in (GitHost.open(server.url(), access()), DirectoryHost.open(str(tmp_path / "memory.git"), Access())):
        with host, pytest.raises(HostError) as caught:
            host.publish(None, {"head": b"1"})
        assert caught.value.code == "host-refused" and "main.lock" in str(caught.value)
    lock.unlink()
    with GitHost.open(server.url(), access()) as host:
        host.publish(None, {"head": b"1"})


def test_a_repository_that_is_not_there_is_told(server: HttpBackend, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    git("init", "--quiet", str(tmp_path / "work"))
    git("init", "--quiet", "--bare", "--object-format=sha256", str(tmp_path / "sha256.git"))
    git("config", "http.receivepack", "true", cwd=tmp_path / "sha256.git")
    for host, code in (
        (GitHost.open(server.url("other.git"), access()), "host-missing"),
        (DirectoryHost.open(str(tmp_path / "other"), Access()), "host-missing"),
        (DirectoryHost.open(str(tmp_path / "folder"), Access()), "host-missing"),
        (DirectoryHost.open(str(tmp_path / "work"), Access()), "host-answer"),
        (DirectoryHost.open(str(tmp_path / "sha256.git"), Access()), "host-answer"),
    ):
        for action in (host.read_tip, lambda host=host: host.publish(None, {"head": b"1"})):
            with pytest.raises(HostError) as caught:
                action()
            assert caught.value.code == code, host.url
        host.close()
    with GitHost.open(server.url("sha256.git"), access()) as host, pytest.raises(HostError) as caught:
        host.publish(host.read_tip(), {"head": b"1"})
    assert caught.value.code == "host-answer" and "SHA-256" in str(caught.value)


def test_nobody_listening_is_told_soon() -> None:
    url = f"http://127.0.0.1:{free_port()}/memory.git"
    for address in (url, url.replace("http", "git"), url.replace("http", "https")):
        with GitHost.open(address, access(timeout_s=5)) as host, pytest.raises(HostError) as caught:
            host.read_tip()
        assert caught.value.code == "host-unreachable" and "refused" in str(caught.value)


def test_a_token_is_not_sent_over_the_open_internet_in_clear() -> None:
    asked: list[str] = []

    def token(url: str) -> Token:
        asked.append(url)
        return Token(USER, SECRET, "VEX_TOKEN")

    for url, is_sent in (
        ("http://example.org/a.git", False),
        ("http://192.0.2.1.example.org/a.git", False),
        ("http://127.0.0.1/a.git", True),
        ("http://nas:3000/a.git", True),
        ("http://10.1.2.3/a.git", True),
        ("http://8.8.8.8/a.git", False),
        ("https://example.org/a.git", True),
    ):
        host = GitHost.open(url, Access(token=token))
        header = host._wire._authorization()  # type: ignore[attr-defined]
        assert ("Authorization" in header) == is_sent == bool(asked), url
        asked.clear()


# certificates and proxies


def test_a_certificate_is_checked_and_an_authority_of_ones_own_can_be_named(tmp_path: Path) -> None:
    make_bare(tmp_path / "memory.git", PARTIAL)
    authority, certificate, key = make_certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http_backend(tmp_path, context) as server:
        url = f"https://localhost:{server.port}/memory.git"
        with GitHost.open(url, access()) as host, pytest.raises(HostError) as caught:
            host.read_tip()
        assert caught.value.code == "host-unreachable" and "certificate" in str(caught.value)
        with GitHost.open(url, access(ca_file=authority)) as host:
            host.publish(host.read_tip(), {"head": noise(100_000)})
            assert read_all(host) == {"head": noise(100_000)}
        # A right certificate for another name is a wrong one.
        host = GitHost.open(url.replace("localhost", "127.0.0.1"), access(ca_file=authority))
        with host, pytest.raises(HostError) as caught:
            host.read_tip()
        assert caught.value.code == "host-unreachable"
        assert all(path.startswith("/memory.git") for _, path, _ in server.requests)


def test_requests_go_through_a_proxy_that_wants_a_password(server: HttpBackend) -> None:
    seen: list[str | None] = []

    class Handler(HttpHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Proxy-Authorization"))
            if seen[-1] is None:
                self.send_error(407)
                return
            self.path = self.path.removeprefix(f"http://127.0.0.1:{server.port}")
            server.serve(self)

        do_POST = do_GET

    proxy = HttpListening(Handler)
    try:
        with GitHost.open(server.url(), access(proxy=f"http://me:pa%24s@{proxy.host}")) as host:
            host.publish(host.read_tip(), {"head": b"1"})
        expected = "Basic " + base64.b64encode(b"me:pa$s").decode()
        assert seen == [expected] * 3
        with (
            GitHost.open(server.url(), access(proxy=f"http://{proxy.host}")) as host,
            pytest.raises(HostError) as caught,
        ):
            host.read_tip()
        assert caught.value.code == "host-unreachable" and "407" in str(caught.value)
    finally:
        proxy.end()


# ssh


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd") / "s") as machine:
        yield machine


def test_ssh_says_why_it_cannot(machine: Sshd, tmp_path: Path) -> None:
    make_bare(tmp_path / "it's here.git", PARTIAL)
    alone = machine.command.replace("ControlMaster=auto", "ControlMaster=no").replace("ControlPath=", "ControlPath=/no")
    (tmp_path / "empty").touch()
    for url, command, code, words in (
        (machine.url(tmp_path / "none.git"), machine.command, "host-missing", "none.git"),
        (machine.url(tmp_path / "none.git"), alone.replace("/user", "/host"), "host-refused", "denied"),
        (
            machine.url(tmp_path / "none.git"),
            alone.replace("known_hosts", "other"),
            "host-refused",
            "compare its key",
        ),
        (f"ssh://127.0.0.1:{free_port()}/x.git", alone, "host-unreachable", "refused"),
        (machine.url(tmp_path / "x.git"), "no-such-program-at-all -x", "host-unreachable", "no-such-program-at-all"),
        (machine.url(tmp_path / "x.git"), "false", "host-unreachable", "status 1"),
        (machine.url(tmp_path / "x.git"), "echo welcome to", "host-answer", "welc"),
    ):
        with GitHost.open(url, Access(ssh_command=command)) as host, pytest.raises(HostError) as caught:
            host.read_tip()
        assert caught.value.code == code and words in str(caught.value), str(caught.value)
    with GitHost.open(machine.url(tmp_path / "it's here.git"), Access(ssh_command=machine.command)) as host:
        assert host.read_tip() is None
        host.publish(None, {"head": b"1"})


def test_ssh_that_does_nothing_is_ended_in_time(tmp_path: Path) -> None:
    script = tmp_path / "ssh"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    host = GitHost.open("ssh://nowhere/x.git", Access(ssh_command=str(script), timeout_s=0.4))
    with host, pytest.raises(HostError) as caught:
        host.read_tip()
    assert caught.value.code == "host-unreachable" and "0.4 s" in str(caught.value)


DROPS = ((0, -1), (100, -1), (2000, -1), (50_000, -1), (-1, 0), (-1, 100), (-1, 260), (-1, 300), (-1, -1))


@pytest.mark.parametrize(("asked", "answered"), DROPS)
def test_a_push_that_ssh_drops_is_reported_as_what_became_of_it(
    machine: Sshd, tmp_path: Path, asked: int, answered: int
) -> None:
    path = make_bare(tmp_path / "memory.git", PARTIAL)
    with DirectoryHost.open(str(path), Access()) as host:
        tip = host.publish(None, {"head": b"1"})
    dropping = f"{sys.executable} {Path(__file__).parent.parent / 'hosting/dropping.py'} {asked} {answered}"
    with GitHost.open(machine.url(path), Access(ssh_command=f"{dropping} {machine.command}", timeout_s=4)) as host:
        try:
            host.publish(tip, {"head": noise(50_000)})
            code = ""
        except HostError as error:
            code = error.code
    with DirectoryHost.open(str(path), Access()) as host:
        now = host.read_tip()
    if code == "":
        assert now is not None and now.files["head"] != tip.files["head"]
    else:
        assert code == "host-no-answer" or (code == "host-unreachable" and now == tip)
    assert asked < 0 or now == tip
    assert code or asked < 0


# writers in other processes


WRITER = """
import sys
from pathlib import Path
from vexrepo.remotes.hosts.base import Access, HostMoved, Token
from vexrepo.remotes.hosts.registry import open_host
url, name, start = sys.argv[1:]
with open_host(url, Access(token=lambda url: Token({user!r}, {secret!r}, "test"))) as host:
    tip = host.read_tip()
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        host.publish(tip, {{"head": name.encode(), f"packs/aa/{{start}}{{name}}": name.encode() * 3000}})
        print("won", flush=True)
    except HostMoved:
        print("moved", flush=True)
"""


@pytest.mark.parametrize("kind", ["http", "folder", "both"])
def test_of_processes_that_race_exactly_one_publishes(server: HttpBackend, tmp_path: Path, kind: str) -> None:
    program = WRITER.format(user=USER, secret=SECRET)
    path = tmp_path / "memory.git"
    with DirectoryHost.open(str(path), Access()) as host:
        host.publish(None, {"head": b"0"})
    for turn in range(2):
        urls = [str(path) if kind == "folder" or (kind == "both" and place % 2) else server.url() for place in range(4)]
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", program, url, f"w{place}", str(turn)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for place, url in enumerate(urls)
        ]
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        outcomes = [writer.communicate(timeout=60)[0].strip() for writer in writers]
        assert sorted(outcomes) == ["moved", "moved", "moved", "won"]
        with DirectoryHost.open(str(path), Access()) as host:
            assert read_all(host)["head"] == f"w{outcomes.index('won')}".encode()
    git("fsck", "--strict", cwd=path)


def test_a_push_of_gits_own_between_reading_and_publishing_is_noticed(server: HttpBackend, tmp_path: Path) -> None:
    path = tmp_path / "memory.git"
    hosts: list[Host] = [GitHost.open(server.url(), access()), DirectoryHost.open(str(path), Access())]
    with hosts[1]:
        hosts[1].publish(None, {"head": b"0"})
        git("clone", "--quiet", str(path), str(tmp_path / "work"))
        for host in hosts:
            tip = host.read_tip()
            git("commit", "--quiet", "--allow-empty", "-m", "theirs", cwd=tmp_path / "work")
            git("push", "--quiet", cwd=tmp_path / "work")
            git("pack-refs", "--all", cwd=path)
            with pytest.raises(HostMoved):
                host.publish(tip, {"head": b"1"})
            host.publish(host.read_tip(), {"head": b"2"})
            git("pull", "--quiet", cwd=tmp_path / "work")
        hosts[0].close()
