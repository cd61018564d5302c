"""Hosts that answer what they should not: each lie has its error, is bounded, and gives no secret away."""

from __future__ import annotations

import hashlib
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.hosting.http_backend import PARTIAL, SECRET, USER, Answer, HttpBackend, git, http_backend, make_bare
from vexrepo.errors import HostError
from vexrepo.remotes.hosts import git as git_module
from vexrepo.remotes.hosts.base import Access, HostFile, OutcomeUnknown, Tip, Token
from vexrepo.remotes.hosts.git import GitHost
from vexrepo.remotes.hosts.git_directory import DirectoryHost
from vexrepo.remotes.hosts.git_objects import BLOB, COMMIT, MOST_BYTES, TREE, make_commit, make_object
from vexrepo.testing.hosts import noise, read_all

UPLOAD = "application/x-git-upload-pack-result"
RECEIVE = "application/x-git-receive-pack-result"
Raw = tuple[int, bytes, int | None, bytes]  # type, base as it is written, size (None: the true one), packed content


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "_PAUSES_S", (0.0, 0.0))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpBackend]:
    make_bare(tmp_path / "memory.git", PARTIAL)
    with DirectoryHost.open(str(tmp_path / "memory.git"), Access()) as host:
        host.publish(None, {"head": b"0"})
    with http_backend(tmp_path) as server:
        yield server


class Seen:
    """A host under test, and what its access was told."""

    def __init__(self, server: HttpBackend, timeout_s: float = 60.0) -> None:
        self.refused: list[str] = []
        self.host = GitHost.open(
            server.url(),
            Access(
                token=lambda url: Token(USER, SECRET, "VEX_TOKEN"), refused=self.refused.append, timeout_s=timeout_s
            ),
        )

    def fails(self, action: Callable[[GitHost], object]) -> HostError:
        with self.host, pytest.raises(HostError) as caught:
            action(self.host)
        texts = [str(caught.value), repr(caught.value), repr(self.host), repr(vars(self.host))]
        assert not any(SECRET in text for text in texts)
        assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)
        return caught.value


def read_tip(host: GitHost) -> Tip | None:
    return host.read_tip()


def tip_of(server: HttpBackend) -> Tip | None:
    with Seen(server).host as host:
        return host.read_tip()


def packed(kind: int, content: bytes, *, base: bytes = b"", size: int | None = None) -> Raw:
    return kind, base, len(content) if size is None else size, zlib.compress(content)


def pack(*items: Raw, count: int | None = None) -> bytes:
    """Return a pack with a right checksum, whatever is in it."""
    out = bytearray(b"PACK\0\0\0\2" + (len(items) if count is None else count).to_bytes(4, "big"))
    for kind, base, size, content in items:
        left = size or 0
        byte, left = kind << 4 | left & 15, left >> 4
        while left:
            out.append(byte | 0x80)
            byte, left = left & 0x7F, left >> 7
        out.append(byte)
        out += base + content
    return bytes(out) + hashlib.sha1(out).digest()


def line(content: bytes) -> bytes:
    return b"%04x%s" % (len(content) + 4, content)


def sent(content: bytes, *, shallow: bool = False) -> Answer:
    """Return an answer that brings a pack."""
    bands = b"".join(line(b"\1" + content[start : start + 60_000]) for start in range(0, len(content), 60_000))
    return Answer(200, {"Content-Type": UPLOAD}, (b"0000" if shallow else b"") + line(b"NAK\n") + bands + b"0000")


def answering(server: HttpBackend, answer: Answer, path: str = "/git-upload-pack") -> None:
    server.bend = lambda handler: answer if handler.path.endswith(path) else None


def blob(content: bytes) -> str:
    return make_object(BLOB, content).id


WANTED = b"what was asked for"
TIP = Tip("1" * 40, {"head": HostFile(blob(WANTED))})


def fetch_head(host: GitHost) -> object:
    return list(host.fetch(TIP, ["head"]))


BOMB = zlib.compress(b"\0" * (64 << 20), 1)
LIES = {
    "another file": (pack(packed(BLOB, b"something else")), "host-answer"),
    "a flipped bit": (pack(packed(BLOB, WANTED[:-1] + b"s")), "host-answer"),
    "another type": (pack(packed(TREE, WANTED)), "host-answer"),
    "type 5": (pack(packed(5, WANTED)), "host-answer"),
    "one more than asked for": (pack(packed(BLOB, WANTED), packed(BLOB, b"x")), "host-answer"),
    "millions of objects": (pack(count=0xFFFFFFFF), "host-answer"),
    "no pack": (b"<html>no pack</html>", "host-answer"),
    "version 9": (b"PACK\0\0\0\x09" + pack()[8:], "host-answer"),
    "an early end": (pack(packed(BLOB, WANTED))[:-30], "host-answer"),
    "an early end of the checksum": (pack(packed(BLOB, WANTED))[:-1], "host-answer"),
    "a wrong checksum": (pack(packed(BLOB, WANTED))[:-1] + b"\0", "host-answer"),
    "more after the checksum": (pack(packed(BLOB, WANTED)) + b"more", "host-answer"),
    "a size beyond every limit": (pack(packed(BLOB, WANTED, size=1 << 60)), "host-answer"),
    "a size just beyond the limit": (pack(packed(BLOB, WANTED, size=MOST_BYTES + 1)), "host-answer"),
    "a smaller size than it has": (pack(packed(BLOB, WANTED, size=3)), "host-answer"),
    "a larger size than it has": (pack(packed(BLOB, WANTED, size=3000)), "host-answer"),
    "far more than it says": (pack((BLOB, b"", len(WANTED), BOMB)), "host-answer"),
    "no zlib": (pack((BLOB, b"", len(WANTED), b"not zlib at all")), "host-answer"),
    "a difference from nowhere": (pack((6, b"\xff\xff\xff\xff\x7f", 5, zlib.compress(b"12345"))), "host-answer"),
    "nothing": (pack(), "host-file-missing"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_pack_that_is_not_what_was_asked_for_is_refused(server: HttpBackend, name: str) -> None:
    content, code = LIES[name]
    answering(server, sent(content))
    tracemalloc.start()
    try:
        assert Seen(server).fails(fetch_head).code == code
        assert tracemalloc.get_traced_memory()[1] < 40 << 20  # the answer itself is held by this process as well
    finally:
        tracemalloc.stop()


def test_a_right_file_is_taken_before_the_lie_that_follows_is_found(server: HttpBackend) -> None:
    answering(server, sent(pack(packed(BLOB, WANTED))[:-1] + b"\0"))
    got = []
    with Seen(server).host as host, pytest.raises(HostError):
        for item in host.fetch(TIP, ["head"]):
            got.append(item)
    assert got == [("head", WANTED)]


TALK = {
    "letters for a length": (b"zzzz", "host-answer"),
    "a length below four": (b"0003", "host-answer"),
    "a plus for a digit": (b"+00a123456", "host-answer"),
    "a packet that ends early": (b"fff0" + b"x" * 20, "host-unreachable"),
    "nothing": (b"", "host-unreachable"),
    "an unknown acknowledgement": (line(b"MAYBE\n"), "host-answer"),
    "an unknown band": (line(b"NAK\n") + line(b"\7what?"), "host-answer"),
    "its own refusal": (line(b"ERR access denied: \x1b[31mno\nentry " + SECRET.encode()), "host-refused"),
    "a refusal while it sends": (line(b"NAK\n") + line(b"\3fatal: repository \x07not found"), "host-missing"),
    "talk without end": (line(b"NAK\n") + line(b"\2" + b"." * 60_000) * 1300, "host-answer"),
}


@pytest.mark.parametrize("name", TALK)
def test_talk_that_is_not_the_protocol_is_refused(server: HttpBackend, name: str) -> None:
    body, code = TALK[name]
    answering(server, Answer(200, {"Content-Type": UPLOAD}, body))
    assert Seen(server).fails(fetch_head).code == code


def tree(*entries: tuple[bytes, bytes, str]) -> bytes:
    return b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(id)) for mode, name, id in entries)


def doubling(levels: int) -> list[bytes]:
    """Return trees that list 10 ** levels files."""
    trees = [tree(*((b"100644", b"%d" % place, blob(b"x")) for place in range(10)))]
    for _ in range(levels):
        below = make_object(TREE, trees[-1]).id
        trees.append(tree(*((b"40000", b"%d" % place, below) for place in range(10))))
    return trees


def deep(levels: int) -> list[bytes]:
    trees = [tree((b"100644", b"x", blob(b"x")))]
    for _ in range(levels):
        trees.append(tree((b"40000", b"d", make_object(TREE, trees[-1]).id)))
    return trees


TREES = {
    "billions of files": doubling(9),
    "folders without end": deep(500),
    "a name twice": [tree((b"100644", b"a", blob(b"1")), (b"100644", b"a", blob(b"2")))],
    "a name with a slash": [tree((b"100644", b"a/b", blob(b"1")))],
    "no name": [tree((b"100644", b"", blob(b"1")))],
    "no mode": [b" a\0" + bytes(20)],
    "an early end": [tree((b"100644", b"a", blob(b"1")))[:-3]],
    "no tree": [b"no tree at all"],
    "a folder that is not sent": [tree((b"40000", b"d", "5" * 40))],
}


@pytest.mark.parametrize("name", TREES)
def test_folders_that_cannot_be_listed_are_refused(server: HttpBackend, tmp_path: Path, name: str) -> None:
    trees = TREES[name]
    commit = make_commit(make_object(TREE, trees[-1]).id, [])
    assert isinstance(commit.content, bytes)
    path = tmp_path / "memory.git"
    (path / "commit").write_bytes(commit.content)
    git("hash-object", "-w", "-t", "commit", "--literally", "commit", cwd=path)
    (path / "refs/heads/main").write_text(commit.id + "\n")
    content = pack(packed(COMMIT, commit.content), *(packed(TREE, each) for each in trees))
    answering(server, sent(content, shallow=True))
    begin = time.monotonic()
    assert Seen(server).fails(read_tip).code == "host-answer"
    assert time.monotonic() - begin < 120


def test_a_difference_that_makes_far_more_than_it_should_is_refused(server: HttpBackend, tmp_path: Path) -> None:
    base = b"0123456789" * 100
    huge = bytes([0xE8, 0x07]) + b"\xff\xff\xff\xff\x7f" + b"\xb0\xe8\x03" * 1000
    answering(
        server,
        sent(pack(packed(BLOB, base), (7, bytes.fromhex(blob(base)), len(huge), zlib.compress(huge))), shallow=True),
    )
    error = Seen(server).fails(read_tip)
    assert error.code == "host-answer"


def test_a_list_of_refs_that_is_none_is_refused(server: HttpBackend) -> None:
    head = line(b"# service=git-upload-pack\n") + b"0000"
    for body, code in (
        (b"", "host-unreachable"),
        (b"0000", "host-answer"),
        (head + line(b"what is this\n"), "host-answer"),
        (head + line(b"0" * 64 + b" capabilities^{}\0object-format=sha256\n") + b"0000", "host-answer"),
        (head + line(b"1" * 40 + b" refs/heads/main\0 filter\n"), "host-unreachable"),
        (head + line(b"ERR no such repository, \x1b]0;title\x07\n"), "host-missing"),
    ):
        kind = {"Content-Type": "application/x-git-upload-pack-advertisement"}
        answering(server, Answer(200, kind, body), "upload-pack")
        assert Seen(server).fails(read_tip).code == code, body


def test_a_list_of_refs_without_end_is_refused(server: HttpBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vexrepo.remotes.hosts.git_http.MOST_ADVERT", 1 << 20)
    refs = b"".join(line(b"1" * 40 + b" refs/heads/%060d\n" % place) for place in range(20_000))
    body = line(b"# service=git-upload-pack\n") + b"0000" + refs
    answering(server, Answer(200, {"Content-Type": "application/x-git-upload-pack-advertisement"}, body), "upload-pack")
    assert Seen(server).fails(read_tip).code == "host-answer"


STATUS = {
    401: "host-refused",
    403: "host-refused",
    404: "host-missing",
    410: "host-missing",
    413: "host-limit",
    418: "host-answer",
    500: "host-unreachable",
    502: "host-unreachable",
    503: "host-unreachable",
}


@pytest.mark.parametrize("status", STATUS)
def test_each_status_has_its_error(server: HttpBackend, status: int) -> None:
    words = f"go \x1b[1maway, {SECRET}\n".encode()
    answering(server, Answer(status, {"Content-Type": "text/plain"}, words), "upload-pack")
    seen = Seen(server)
    error = seen.fails(read_tip)
    assert error.code == STATUS[status] and "go" in str(error)
    assert ("VEX_TOKEN" in str(error)) == (status in (401, 403, 404, 410))
    assert seen.refused == ([server.url()] if status == 401 else [])
    assert len(server.requests) == (3 if status >= 500 else 1)


def test_a_host_that_wants_a_token_where_there_is_none_says_so(server: HttpBackend) -> None:
    with GitHost.open(server.url(), Access()) as host, pytest.raises(HostError) as caught:
        host.read_tip()
    assert caught.value.code == "host-refused" and "VEX_TOKEN" in str(caught.value)


def test_a_web_page_is_not_taken_for_a_host(server: HttpBackend) -> None:
    page = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html><title>Sign in</title></html>")
    for path, action in (
        ("upload-pack", read_tip),
        ("/git-upload-pack", fetch_head),
        ("receive-pack", lambda host: host.publish(host.read_tip(), {"head": b"1"})),
    ):
        answering(server, page, path)
        error = Seen(server).fails(action)
        assert error.code == "host-answer" and "Sign in" in str(error)


def test_a_web_page_after_a_push_leaves_the_outcome_open(server: HttpBackend) -> None:
    answering(server, Answer(200, {"Content-Type": "text/html"}, b"<title>Oops</title>"), "/git-receive-pack")
    error = Seen(server).fails(lambda host: host.publish(host.read_tip(), {"head": b"1"}))
    assert isinstance(error, OutcomeUnknown) and error.code == "host-no-answer"


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_failure_after_a_push_leaves_the_outcome_open(server: HttpBackend, status: int) -> None:
    answering(server, Answer(status), "/git-receive-pack")
    assert isinstance(Seen(server).fails(lambda host: host.publish(host.read_tip(), {"head": b"1"})), OutcomeUnknown)


def test_a_host_that_asks_to_wait_is_asked_again_then_and_not_where_that_is_long(server: HttpBackend) -> None:
    answers = [Answer(429, {"Retry-After": "0"}), Answer(503, {"Retry-After": "1"})]
    server.bend = lambda handler: answers.pop() if answers else None
    begin = time.monotonic()
    with Seen(server).host as host:
        assert host.read_tip() is not None
    assert 0.9 < time.monotonic() - begin < 120
    answering(server, Answer(429, {"Retry-After": "3000"}), "upload-pack")
    server.requests.clear()
    assert Seen(server).fails(read_tip).code in ("host-unreachable", "host-busy")
    assert len(server.requests) == 1


def test_a_token_never_follows_a_redirect_to_another_place(server: HttpBackend, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with http_backend(tmp_path / "other") as other:
        for target in (
            f"{other.url()}/info/refs?service=git-upload-pack",
            f"https://127.0.0.1:{server.port}/memory.git/info/refs?service=git-upload-pack",
            f"http://user:{SECRET}@localhost:{server.port}/memory.git/info/refs?service=git-upload-pack",
            f"//localhost:{other.port}/memory.git/info/refs?service=git-upload-pack",
        ):
            for status in (301, 302, 303, 307, 308):
                answering(server, Answer(status, {"Location": target}), "upload-pack")
                error = Seen(server).fails(read_tip)
                assert error.code == "host-answer" and "redirects to" in str(error)
        server.bend = None
        tip = tip_of(server)
        for service in ("upload", "receive"):
            answering(server, Answer(307, {"Location": f"{other.url()}/git-{service}-pack"}), f"/git-{service}-pack")
            action = fetch_head if service == "upload" else lambda host: host.publish(tip, {"head": b"2"})
            Seen(server).fails(action)
        assert other.requests == []


def test_a_redirect_within_a_host_is_followed_and_one_in_circles_is_not(server: HttpBackend, tmp_path: Path) -> None:
    def moved(handler: BaseHTTPRequestHandler) -> Answer | None:
        return Answer(301, {"Location": handler.path.replace("/old", "")}) if handler.path.startswith("/old") else None

    server.bend = moved
    access = Access(token=lambda url: Token(USER, SECRET, "VEX_TOKEN"))
    with GitHost.open(server.url("old/memory.git"), access) as host:
        tip = host.publish(host.read_tip(), {"head": noise(5000)})
        assert host.read_tip() == tip and read_all(host) == {"head": noise(5000)}
    server.bend = lambda handler: Answer(302, {"Location": handler.path})
    assert "circles" in str(Seen(server).fails(read_tip))


def test_a_host_that_does_not_answer_is_given_up_in_time(server: HttpBackend) -> None:
    def silent(handler: BaseHTTPRequestHandler) -> Answer | None:
        given_up.wait()
        return None

    server.bend, given_up = silent, threading.Event()
    try:
        error = Seen(server, timeout_s=0.3).fails(read_tip)
    finally:
        given_up.set()
    assert error.code == "host-unreachable" and "0.3 s" in str(error)


def test_a_host_that_hardly_answers_is_given_up_in_time(server: HttpBackend) -> None:
    def dripping(handler: BaseHTTPRequestHandler) -> Answer | None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        handler.end_headers()
        while True:  # until the client has gone away
            handler.wfile.write(b"0")
            time.sleep(0.1)

    server.bend = dripping
    assert Seen(server, timeout_s=0.5).fails(read_tip).code in ("host-unreachable", "host-answer")


def test_a_host_that_hangs_up_on_a_large_push_says_why(server: HttpBackend) -> None:
    def full(handler: BaseHTTPRequestHandler) -> Answer | None:
        if not handler.path.endswith("/git-receive-pack"):
            return None
        handler.wfile.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        handler.close_connection = True
        return None

    server.bend = full
    server.backend = ["false"]
    assert Seen(server).fails(lambda host: host.publish(host.read_tip(), {"head": b"1"})).code in (
        "host-limit",
        "host-unreachable",
    )
