"""The door to HTTP: bounded, patient, and silent about secrets, against servers that misbehave."""

import contextlib
import datetime as dt
import gc
import gzip
import ipaddress
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.hosting.listening import Listening
from vexrepo.errors import CODES, HostError, StoreError, UsageError, VexError
from vexrepo.remotes.http import Credential, Failures, HttpClient, Network, Patience, segment

SECRET = "s3cr3t/token+value"


class Service(Listening):
    """A server on a free port that answers each request with the next of ``script``, the last one for ever.

    An entry is the bytes to send (the connection is kept open if they are a whole answer), or a function of the socket.
    """

    def __init__(self, *script: bytes | Callable[[socket.socket], None], trust: ssl.SSLContext | None = None) -> None:
        self.hello = b""  # sent to whoever connects, before anything is asked
        self.script = list(script)
        self.requests: list[bytes] = []
        self._trust = trust
        super().__init__(self._greet)
        self.url = f"http{'s' if trust else ''}://{self.host}"

    def _greet(self, connection: socket.socket) -> None:
        connection.sendall(self.hello)
        if self._trust is None:
            self._talk_on(connection)
            return
        wrapped = self._trust.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self.held(wrapped):
            wrapped.do_handshake()
            self._talk_on(wrapped)

    def _talk_on(self, connection: socket.socket) -> None:
        while request := self._read(connection):
            self.requests.append(request)
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if callable(step):
                step(connection)
                return
            connection.sendall(step)

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        got = b""
        while b"\r\n\r\n" not in got:
            piece = connection.recv(65536)
            if not piece:
                return b""
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        length = next(
            (int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            if not (piece := connection.recv(65536)):
                return b""
            body += piece
        return head + b"\r\n\r\n" + body


def answer(status: int, value: object = None, **headers: str) -> bytes:
    """Return a whole answer; ``value`` is sent as JSON, bytes as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): text for name, text in headers.items()}
    return (
        f"HTTP/1.1 {status} X\r\n".encode()
        + "".join(f"{k}: {v}\r\n" for k, v in lines.items()).encode()
        + b"\r\n"
        + body
    )


def reset(connection: socket.socket) -> None:
    """End the connection as a crashed server does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """Start services that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*script: bytes | Callable[[socket.socket], None], trust: ssl.SSLContext | None = None) -> Service:
            service = Service(*script, trust=trust)
            stack.callback(service.end)
            return service

        yield start


@pytest.fixture
def waits() -> list[float]:
    """How long the client would have slept."""
    return []


@pytest.fixture
def client(waits: list[float]) -> Iterator[Callable[..., HttpClient]]:
    """Make clients that do not really wait, whose jitter is none."""
    with contextlib.ExitStack() as stack:

        def make(url: str, **options: object) -> HttpClient:
            options.setdefault("patience", Patience(sleep=waits.append, chance=lambda: 0.5))
            options.setdefault("credential", Credential.of(SECRET))
            options.setdefault("network", Network(timeout_s=5))
            return stack.enter_context(HttpClient(url, **options))  # type: ignore[arg-type]

        yield make


def failing(kind: type[VexError], code: str, act: Callable[[], object]) -> str:
    """Return the message of the error that ``act`` must raise: of a class, with a code, without the secret."""
    with pytest.raises(kind) as caught:
        act()
    assert caught.value.code == code
    assert code in CODES
    shown = str(caught.value) + repr(caught.value)
    assert SECRET not in shown
    assert "s3cr3t%2Ftoken" not in shown
    return str(caught.value)


def test_a_request_carries_the_credential_and_json_and_gives_json(serve, client):
    service = serve(answer(200, {"name": "ä", "count": 3, "none": None}))
    got = client(service.url + "/api/").ask("POST", "/things", body={"a": [1, 2.5]}, query={"q": "a b"})
    assert (got.status, got.json()) == (200, {"name": "ä", "count": 3, "none": None})
    head, _, body = service.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/things?q=a+b HTTP/1.1")
    assert f"authorization: bearer {SECRET}".encode() in head.lower()
    assert b"user-agent: vexrepo\r\n" in head.lower()
    assert json.loads(body) == {"a": [1, 2.5]}


def test_an_escaped_slash_in_a_path_stays_escaped(serve, client):
    service = serve(answer(200, {}))
    client(service.url).ask("GET", f"/projects/{segment('team/sub/memory name')}")
    assert service.requests[0].startswith(b"GET /projects/team%2Fsub%2Fmemory%20name HTTP/1.1")


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        (Credential.of("abc", scheme="token"), b"authorization: token abc"),
        (Credential.of("abc", header="api-key", scheme=""), b"api-key: abc"),
        (Credential.basic("alice", "abc"), b"authorization: basic ywxpy2u6ywjj"),
    ],
)
def test_credentials_come_in_the_forms_that_services_want(serve, client, credential, header):
    service = serve(answer(200, {}))
    client(service.url, credential=credential).ask("GET", "/")
    assert header in service.requests[0].lower()
    assert "abc" not in repr(credential)


def test_what_was_sent_is_let_go_with_its_answer(serve, client):
    service = serve(answer(200, {}), answer(200, {}), answer(404, {"message": "no"}), answer(200, {}))
    made = client(service.url)
    made.ask("POST", "/")
    body = b"x" * 100_000
    gc.disable()  # what only its collector frees is there for long, and a body may have megabytes
    try:
        held = sys.getrefcount(body)
        made.ask("POST", "/", body=body)
        made.ask("POST", "/", body=body, also={404})
        assert sys.getrefcount(body) == held
    finally:
        gc.enable()


def test_the_connection_is_kept(serve, client):
    service = serve(answer(200, {}))
    made = client(service.url)
    for _ in range(3):
        made.ask("GET", "/")
    assert len(service.requests) == 3
    assert len(service._open) == 1


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "host-refused", "does not know the token"),
        (403, "host-refused", "refuses"),
        (404, "host-missing", "is not there"),
        (410, "host-missing", "is not there"),
        (429, "host-busy", "try again later"),
        (503, "host-busy", "try again later"),
        (500, "host-unreachable", "out of order"),
        (502, "host-unreachable", "out of order"),
        (400, "host-answer", "does not take the request"),
        (422, "host-answer", "does not take the request"),
        (304, "host-answer", "does not take the request"),
    ],
)
def test_every_status_has_its_code_and_says_what_the_service_said(serve, client, status, code, words):
    service = serve(answer(status, {"message": "because of rain", "status": str(status)}))
    said = failing(HostError, code, lambda: client(service.url).ask("POST", "/x"))
    assert words in said
    assert f"{status}: because of rain" in said or status == 304
    assert "; " + str(status) not in said
    assert f"{service.url}/x" in said


def test_a_store_gets_its_own_errors_and_hints(serve, client):
    failures = Failures(
        StoreError,
        unreachable="store-unreadable",
        refused="store-unreadable",
        missing="store-missing",
        answer="store-unreadable",
        busy="store-locked",
        hints={"store-missing": "make the collection first"},
    )
    service = serve(answer(404, {"status": {"error": "Not found: Collection `x` doesn't exist!"}, "time": 0.1}))
    made = client(service.url, failures=failures)
    said = failing(StoreError, "store-missing", lambda: made.ask("GET", "/collections/x"))
    assert said.endswith("(404: Not found: Collection `x` doesn't exist!); make the collection first")


def test_a_status_that_is_asked_for_is_returned(serve, client):
    service = serve(answer(404, {"message": "no"}))
    assert client(service.url).ask("GET", "/", also=(404, 409)).status == 404


# patience


def test_a_get_is_tried_again_after_a_fault_and_succeeds(serve, client, waits):
    service = serve(answer(500, {}), answer(200, {"ok": True}))
    assert client(service.url).ask("GET", "/").json() == {"ok": True}
    assert waits == [0.5]


def test_waits_double_and_end(serve, client, waits):
    service = serve(answer(502, {}))
    failing(HostError, "host-unreachable", lambda: client(service.url).ask("GET", "/"))
    assert waits == [0.5, 1.0, 2.0]
    assert len(service.requests) == 4


def test_waits_are_not_the_same_for_everybody():
    low, high = Patience(chance=lambda: 0.0), Patience(chance=lambda: 0.999)
    assert (low.wait_s(1, None), low.wait_s(4, None)) == (0.375, None)
    assert 0.62 < (high.wait_s(1, None) or 0) < 0.63
    assert (high.wait_s(1, 7.0) or 0) >= 7.0
    assert low.wait_s(1, 7.0) == 7.0


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("step", [answer(500, {}), answer(429, {}, Retry_After="1"), reset])
def test_a_request_that_changes_something_is_never_repeated(serve, client, waits, method, step):
    service = serve(step, answer(200, {}))
    with pytest.raises(HostError):
        client(service.url).ask(method, "/", body={})
    assert (len(service.requests), waits) == (1, [])


def test_retry_after_in_seconds_is_kept(serve, client, waits):
    service = serve(answer(429, {}, Retry_After="3"), answer(200, {}))
    client(service.url).ask("PUT", "/")
    assert waits == [pytest.approx(3.15)]


def test_retry_after_as_a_date_goes_by_the_services_clock(serve, client, waits):
    date, later = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:41 GMT"
    service = serve(answer(503, {}, Retry_After=later, Date=date), answer(200, {}))
    client(service.url).ask("GET", "/")
    assert waits == [pytest.approx(4.2)]


def test_a_limit_that_is_told_as_a_moment_is_waited_for(serve, client, waits):
    date, reset_at = "Thu, 01 Jan 1970 00:01:40 GMT", "110"
    spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset_at, "date": date}
    service = serve(answer(403, {"message": "API rate limit exceeded"}, **spent), answer(200, {}))
    client(service.url).ask("GET", "/")
    assert waits == [pytest.approx(10.5)]


@pytest.mark.parametrize(("asked", "told"), [("45", "45 s"), ("900", "15 min"), ("7200", "2 h")])
def test_a_long_wait_is_told_and_not_waited_for(serve, client, waits, asked, told):
    service = serve(answer(429, {"message": "slow down"}, Retry_After=asked))
    said = failing(HostError, "host-busy", lambda: client(service.url).ask("GET", "/"))
    assert said.endswith(f"(429: slow down); try again in {told}")
    assert waits == []


def test_a_limit_is_known_from_its_words_alone(serve, client):
    service = serve(answer(403, {"message": "You have exceeded a secondary rate limit."}))
    failing(HostError, "host-busy", lambda: client(service.url).ask("POST", "/", also=(403,)))


def test_retry_after_that_means_nothing_is_not_heeded(serve, client, waits):
    service = serve(answer(503, {}, Retry_After="-5"), answer(503, {}, Retry_After="soon"), answer(200, {}))
    client(service.url).ask("GET", "/")
    assert waits == [0.5, 1.0]


def test_a_connection_that_breaks_is_tried_again(serve, client, waits):
    service = serve(reset, lambda connection: connection.close(), answer(200, {"ok": 1}))
    assert client(service.url).ask("GET", "/").json() == {"ok": 1}
    assert len(waits) == 2


def test_nobody_listens(client, waits):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    said = failing(HostError, "host-unreachable", lambda: client(f"http://127.0.0.1:{port}").ask("POST", "/"))
    assert said == f"cannot reach http://127.0.0.1:{port}: connection refused"
    assert len(waits) == 3  # nothing was sent, so even a POST may be tried again


def test_a_name_that_does_not_exist_is_said(client):
    said = failing(HostError, "host-unreachable", lambda: client("http://host.invalid").ask("GET", "/"))
    assert said.startswith("cannot reach http://host.invalid: ")


# slow, large, broken


def test_silence_ends_in_time(serve, client):
    service = serve(lambda connection: service.ending.wait())
    made = client(service.url, network=Network(timeout_s=0.2))
    said = failing(HostError, "host-unreachable", lambda: made.ask("GET", "/"))
    assert said.endswith("did not answer in time (0.2 s)")
    service.end()
    assert len(service.requests) <= 1  # once the time is over nothing is begun again


def test_a_client_that_is_closed_waits_for_no_answer_and_takes_no_connection_from_under_a_thread(serve, client):
    is_asked, may_answer = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        is_asked.set()
        assert may_answer.wait(60)
        connection.sendall(answer(200, {"ok": True}))
        assert connection.recv(1) == b""  # the client ends the connection, and only then

    service = serve(slow)
    made = client(service.url, network=Network(timeout_s=60))
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(made.ask("GET", "/").json()))
    thread.start()
    assert is_asked.wait(60)
    made.close()
    said = failing(HostError, "host-unreachable", lambda: made.ask("GET", "/"))
    assert said.endswith("was closed")
    assert found == []
    may_answer.set()
    thread.join(60)
    assert found == [{"ok": True}]
    service.wait_until_idle()


def test_a_request_is_not_tried_again_once_the_client_was_closed(serve, client):
    service = serve(answer(500, {}))
    made = client(service.url, patience=Patience(sleep=lambda wait_s: made.close()))
    assert failing(HostError, "host-unreachable", lambda: made.ask("GET", "/")).endswith("was closed")
    assert len(service.requests) == 1
    service.wait_until_idle()


def test_an_answer_that_drips_for_ever_ends(serve, client):
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(200):
            connection.sendall(b" ")
            threading.Event().wait(0.02)

    made = client(serve(drip).url, network=Network(timeout_s=1, whole_s=0.2), patience=Patience(tries=1))
    assert "in time" in failing(HostError, "host-unreachable", lambda: made.ask("GET", "/"))


def test_an_answer_that_is_too_large_is_refused_while_it_comes(serve, client):
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    made = client(serve(flood).url, most_bytes=100_000)
    assert "more than 100,000 bytes" in failing(HostError, "host-answer", lambda: made.ask("GET", "/"))


def test_an_answer_that_unpacks_to_too_much_is_refused(serve, client):
    packed = gzip.compress(bytes(50_000_000))
    service = serve(answer(200, packed, Content_Encoding="gzip"))
    assert "more than" in failing(HostError, "host-answer", lambda: client(service.url).ask("GET", "/"))


def test_gzip_is_understood_and_a_limit_can_be_given_for_one_request(serve, client):
    service = serve(answer(200, gzip.compress(b'{"a": "' + b"x" * 5000 + b'"}'), Content_Encoding="gzip"))
    made = client(service.url, most_bytes=100)
    assert len(made.ask("GET", "/", most_bytes=10_000).json()["a"]) == 5000
    assert b"accept-encoding: gzip\r\n" in service.requests[0].lower()


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({"Content_Encoding": "gzip"}, b"not gzip", "not gzip"),
        ({"Content_Encoding": "zstd"}, b"x", "encoding 'zstd'"),
    ],
)
def test_an_encoding_that_is_not_what_it_says_is_refused(serve, client, headers, body, words):
    service = serve(answer(200, body, **headers))
    assert words in failing(HostError, "host-answer", lambda: client(service.url).ask("GET", "/"))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\nProtocol mismatch.\r\n\r\n", "host-answer"),
        (b"\x00\xff\x00\xff\r\n\r\n", "host-answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "host-unreachable"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "host-unreachable"),
        (b"", "host-unreachable"),
    ],
)
def test_what_is_not_http_or_ends_early_is_said(serve, client, raw, code):
    def send(connection: socket.socket) -> None:
        connection.sendall(raw)
        connection.close()

    failing(HostError, code, lambda: client(serve(send).url).ask("GET", "/"))


def test_a_web_page_in_place_of_json_is_named_by_its_title(serve, client):
    page = b"<!DOCTYPE html><html><head><title>Sign in\n &mdash; Example</title></head>" + b"x" * 5000
    service = serve(answer(200, page, Content_Type="text/html"))
    got = client(service.url).ask("GET", "/user")
    said = failing(HostError, "host-answer", got.json)
    assert "answered 200 with a web page where JSON was expected (Sign in &mdash; Example)" in said
    assert "login page" in said


def test_a_broken_json_is_an_answer_that_makes_no_sense(serve, client):
    got = client(serve(answer(200, b'{"a": ')).url).ask("GET", "/")
    failing(HostError, "host-answer", got.json)


def test_members_are_taken_with_their_types(serve, client):
    value = {"t": "x", "n": 2.0, "b": True, "o": {"t": "y"}, "l": [{"t": "z"}], "s": ["a"], "z": None}
    got = client(serve(answer(200, value)).url).ask("GET", "/").fields()
    assert (got.text("t"), got.number("n"), got.flag("b"), got.text("z"), got.text("gone")) == (
        "x",
        2,
        True,
        None,
        None,
    )
    assert got.part("o").need_text("t") == "y"
    assert [one.text("t") for one in got.parts("l")] == ["z"]
    assert (got.objects("l"), got.objects("gone")) == ([{"t": "z"}], [])
    assert got.texts("s") == ["a"]
    for wrong in (
        lambda: got.text("n"),
        lambda: got.number("b"),
        lambda: got.flag("n"),
        lambda: got.part("l"),
        lambda: got.parts("s"),
        lambda: got.objects("s"),
        lambda: got.texts("l"),
        lambda: got.need_text("gone"),
    ):
        failing(HostError, "host-answer", wrong)
    failing(HostError, "host-answer", client(serve(answer(200, [1])).url).ask("GET", "/").fields)


# redirects


def test_a_get_follows_a_redirect_within_the_service(serve, client):
    service = serve(answer(301, {}, Location="/new/place"), answer(200, {"at": "new"}))
    assert client(service.url).ask("GET", "/old").json() == {"at": "new"}
    assert service.requests[1].startswith(b"GET /new/place ")
    assert SECRET.encode() in service.requests[1]


def test_a_redirect_to_another_host_is_named_and_not_followed(serve, client):
    elsewhere = serve(answer(200, {}))
    service = serve(answer(302, {}, Location=f"{elsewhere.url}/x?token={SECRET}"))
    said = failing(HostError, "host-answer", lambda: client(service.url).ask("GET", "/"))
    assert f"sends us on to {elsewhere.url}, where its secrets must not go" in said
    assert elsewhere.requests == []


@pytest.mark.parametrize("target", ["", "gopher://127.0.0.1/", "http://[::1", "http://alice:pw@127.0.0.1/"])
def test_a_redirect_to_nowhere_is_refused(serve, client, target):
    service = serve(answer(302, {}, Location=target))
    failing(HostError, "host-answer", lambda: client(service.url).ask("GET", "/"))


def test_a_post_does_not_follow_a_redirect(serve, client):
    service = serve(answer(307, {}, Location="/new"))
    said = failing(HostError, "host-answer", lambda: client(service.url).ask("POST", "/", body={}))
    assert "sends us elsewhere (307, to /new)" in said and "use that address" in said
    assert len(service.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_store_that_is_reached_by_https_alone_says_how(serve, client, method):
    service = serve(answer(308, {}, Location="https://127.0.0.1/x"))
    failures = Failures(StoreError, answer="store-answer", hints={"https": "?tls=1 in its address"})
    said = failing(StoreError, "store-answer", lambda: client(service.url, failures=failures).ask(method, "/x"))
    assert "sends us on to https://127.0.0.1, where" in said and said.endswith("(?tls=1 in its address)")


# secrets


@pytest.mark.parametrize(
    "said",
    [
        {"message": f"the token {SECRET} is not known"},
        f"<html><title>no {SECRET}</title>".encode(),
        f"plain {SECRET} text".encode(),
        b"x" * 195 + SECRET.encode(),
        b"s3cr3t%2Ftoken%2Bvalue",
    ],
)
def test_a_secret_that_a_service_repeats_is_not_shown(serve, client, said):
    service = serve(answer(401, said, Content_Type="text/plain"))
    shown = failing(HostError, "host-refused", lambda: client(service.url).ask("GET", "/"))
    assert "s3cr3t" not in shown


def test_what_a_service_says_cannot_move_the_terminals_cursor(serve, client):
    service = serve(answer(400, {"message": "a\x1b[2Jb\r\nc\u202ed" + "e" * 500}))
    said = failing(HostError, "host-answer", lambda: client(service.url).ask("GET", "/"))
    assert said.isprintable()
    assert len(said) < 320


@pytest.mark.parametrize("secret", ["abc\n", "abc\r\nX-Admin: 1", "pässword"])
def test_a_token_that_no_header_can_carry_is_refused_before_anything_is_sent(secret):
    with pytest.raises(HostError) as caught:
        HttpClient("http://127.0.0.1:9", credential=Credential.of(secret))
    assert caught.value.code == "host-refused"
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "codeberg.org", "ftp://x.org", "http://", "http://[::1", "https://alice:pw9@x.org/", "http://x.org:port"],
)
def test_an_address_that_cannot_be_used_is_refused(url):
    with pytest.raises(UsageError) as caught:
        HttpClient(url)
    assert caught.value.code == "bad-address"
    assert "pw9" not in str(caught.value)


# proxies and certificates


def test_a_proxy_is_used_and_its_password_stays_secret(serve, client):
    proxy = serve(answer(200, {"via": "proxy"}), answer(407, b"user:p%40ss refused", Content_Type="text/plain"))
    network = Network(proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}", timeout_s=5)
    made = client("http://service.invalid", network=network)
    assert made.ask("GET", "/x").json() == {"via": "proxy"}
    assert proxy.requests[0].startswith(b"GET http://service.invalid/x ")
    assert b"proxy-authorization: basic" in proxy.requests[0].lower()
    said = failing(HostError, "host-refused", lambda: made.ask("GET", "/x"))
    assert "proxy wants a user and password" in said
    assert "p%40ss" not in repr(network)


def test_a_proxy_that_refuses_a_tunnel_is_named(serve, client):
    proxy = serve(answer(407, b"", Content_Type="text/plain"))
    network = Network(proxy=f"http://user:pass9word@127.0.0.1:{proxy.port}", timeout_s=5)
    said = failing(
        HostError, "host-unreachable", lambda: client("https://service.invalid", network=network).ask("GET", "/")
    )
    assert "the proxy refused (407" in said
    assert "pass9word" not in said


@pytest.mark.parametrize("proxy", ["carrier-pigeon://x", "socks5://127.0.0.1:1", "http://u:pass9word@[::1"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(proxy):
    with pytest.raises(UsageError) as caught:
        HttpClient("http://x.org", network=Network(proxy=proxy))
    assert caught.value.code == "bad-option"
    assert "pass9word" not in str(caught.value)


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody trusts, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "ca.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    both = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(private + file.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return file, context


def test_a_certificate_is_trusted_when_its_file_is_named(serve, client, authority):
    file, trust = authority
    service = serve(answer(200, {"secure": True}), trust=trust)
    made = client(service.url, network=Network(ca_file=file, timeout_s=5))
    assert made.ask("GET", "/").json() == {"secure": True}


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(serve, client, authority, waits):
    service = serve(answer(200, {}), trust=authority[1])
    said = failing(HostError, "host-unreachable", lambda: client(service.url).ask("GET", "/"))
    assert "its certificate is not trusted (self-signed certificate)" in said
    assert "name the file of that authority's certificate" in said
    assert (service.requests, waits) == ([], [])


def test_tls_where_there_is_none_is_said(serve, client, waits):
    plain = serve(b"")
    plain.hello = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    said = failing(HostError, "host-unreachable", lambda: client(f"https://127.0.0.1:{plain.port}").ask("GET", "/"))
    assert "should the address begin with http:// in place of https://?" in said
    assert waits == []


def test_a_file_of_certificates_that_is_none_is_refused(tmp_path):
    for file in (tmp_path / "absent.pem", tmp_path / "text.pem"):
        if file.name == "text.pem":
            file.write_text("hello")
        with pytest.raises(UsageError) as caught:
            HttpClient("https://x.org", network=Network(ca_file=file))
        assert caught.value.code == "bad-option"
        assert str(file) in str(caught.value)
