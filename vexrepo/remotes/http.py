"""The one door to HTTP: requests to a service, bounded in time and size, with errors that say what to do.

Nothing else imports httpx, so that it can be replaced here.  Used by Git hosts' REST APIs and by stores over HTTP:
``Failures`` says which error class and codes the trouble becomes.  A secret goes into one header of requests to one
origin (scheme, host and port), never into a URL, a message or a redirect to somewhere else.
"""

from __future__ import annotations

import base64
import random
import ssl
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self
from urllib.parse import quote, unquote, urlsplit

import httpx
import orjson

from vexrepo.errors import HostError, UsageError, VexError
from vexrepo.remotes.answer import Answer, safe_words
from vexrepo.remotes.certificates import trusted
from vexrepo.storage.ahead import Shared
from vexrepo.storage.freed import note_passed

MOST_BYTES: Final = 8 << 20  # of an answer, unpacked
_MOST_HOPS = 3
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # idempotent: RFC 9110, section 9.2.2
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_STREAM = httpx.ByteStream(b"")


@dataclass(frozen=True, slots=True)
class Network:
    """How to get out: a proxy, the certificates to trust (a PEM file in place of the system's), and patience.

    ``timeout_s`` is how long to wait for the next bytes, ``connect_s`` for the connection, ``whole_s`` how long for the
    whole body of an answer.
    """

    proxy: str | None = field(default=None, repr=False)  # may hold a password
    ca_file: Path | None = None
    timeout_s: float = 60.0
    whole_s: float = 300.0
    connect_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Failures:
    """What trouble becomes: an error class, a code for each kind, and what to do (``hints``, by code) as its end.

    The hint ``https`` says how to come to a host by that.
    """

    error: type[VexError] = HostError
    unreachable: str = "host-unreachable"
    refused: str = "host-refused"
    missing: str = "host-missing"
    answer: str = "host-answer"
    busy: str = "host-busy"
    hints: Mapping[str, str] = field(default_factory=dict)

    def make(self, code: str, what: str) -> VexError:
        """Return the error of a code."""
        hint = self.hints.get(code)
        return self.error(what + (f"; {hint}" if hint else ""), code=code)


@dataclass(frozen=True, slots=True)
class Patience:
    """When to try again.  Waits double from ``first_wait_s``, by chance a little less or more, up to the longest.

    A service that asks for a longer wait than the longest is not waited for, and after the network's ``timeout_s``
    nothing is begun again.  Only requests that do nothing more when done twice are repeated, and those never sent.
    """

    tries: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def wait_s(self, attempt: int, asked_s: float | None) -> float | None:
        """Return how long to wait after a failed attempt (1, 2, …); None to give up."""
        if attempt >= self.tries or (asked_s is not None and asked_s > self.longest_wait_s):
            return None
        if asked_s is not None:
            return asked_s * (1 + 0.1 * self.chance())  # never before it was asked to, not all at the same moment
        return float(min(self.longest_wait_s, self.first_wait_s * 2 ** (attempt - 1)) * (0.75 + 0.5 * self.chance()))


@dataclass(frozen=True, slots=True)
class Credential:
    """A header that says who asks."""

    header: str
    value: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)  # every form of it that must never be shown

    @classmethod
    def of(cls, secret: str, *, header: str = "Authorization", scheme: str = "Bearer") -> Self:
        """Return ``Authorization: Bearer SECRET``, or with another header or scheme ("token", "" for none)."""
        return cls(header, f"{scheme} {secret}".lstrip(), (secret, quote(secret, safe="")))

    @classmethod
    def basic(cls, user: str, secret: str) -> Self:
        """Return HTTP's basic authorization."""
        packed = base64.b64encode(f"{user}:{secret}".encode()).decode()
        return cls("Authorization", f"Basic {packed}", (packed, secret, quote(secret, safe="")))


def segment(text: str) -> str:
    """Return text as one segment of a path: slashes and everything else that means something are escaped."""
    return quote(text, safe="")


class HttpClient:
    """A client of one service at one base URL; connections are kept between requests.  Used as a context manager.

    Threads may ask it at once; closed meanwhile, its connections are ended by whoever asks last.
    """

    def __init__(
        self,
        base_url: str,
        *,
        credential: Credential | None = None,
        network: Network | None = None,
        failures: Failures | None = None,
        patience: Patience | None = None,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Make a client; nothing is sent yet.  Raises: UsageError (bad-address, bad-option) for what cannot be used."""
        self._failures = failures or Failures()
        self._patience = patience or Patience()
        self._network = network or Network()
        self._most_bytes = most_bytes
        self._secrets = _longest_first(_secrets(credential, self._network.proxy))
        self.base_url = base_url.rstrip("/")
        self.origin = _origin(base_url)
        sent = {"User-Agent": "vexrepo", "Accept": "application/json", "Accept-Encoding": "gzip", **(headers or {})}
        if credential is not None:
            if not credential.value.isascii() or not credential.value.isprintable():
                raise self._failures.make(
                    self._failures.refused,
                    f"the token for {self.origin} holds characters that no token has (a line end, an accent): "
                    "copy it again",
                )
            sent[credential.header] = credential.value
        self._client = self._connect(sent)
        self._shared = Shared(self._client.close)

    def _connect(self, headers: Mapping[str, str]) -> httpx.Client:
        timeout = httpx.Timeout(self._network.timeout_s, connect=min(self._network.connect_s, self._network.timeout_s))
        trust = trusted(self._network.ca_file) if self.origin.startswith("https:") or self._network.proxy else False
        try:
            return httpx.Client(
                headers=headers, timeout=timeout, verify=trust, proxy=self._network.proxy or None, trust_env=False
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:  # its text may hold the proxy's password
            raise UsageError(
                "the proxy's address cannot be used: expected http://HOST:PORT or https://HOST:PORT", code="bad-option"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections, now or after the requests under way; nothing is asked any more, nor again."""
        self._shared.close()

    def _closed(self) -> VexError:
        return self._failures.make(self._failures.unreachable, f"the connection to {self.origin} was closed")

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        also: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
        most_bytes: int | None = None,
        can_repeat: bool | None = None,
    ) -> Answer:
        """Return the answer to a request at the base URL + ``path``.

        ``body`` is sent as it is (bytes) or as JSON, arrays of numpy as lists.  A status of 200 to 299 or one of
        ``also`` is returned, every other raised.  GET, HEAD, OPTIONS, PUT and DELETE are tried again where that may
        help, others where ``can_repeat`` says that doing it twice does nothing more.
        Raises: the class of ``Failures`` with its code for unreachable (no connection, no answer in time, 5xx),
        refused (401, 403), missing (404, 410), busy (429 and the like), answer (what is not understood).
        """
        content = (
            body if isinstance(body, bytes) or body is None else orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        )
        sent = {**({"Content-Type": "application/json"} if content is not None else {}), **(headers or {})}
        request = self._client.build_request(method, self.base_url + path, params=query, content=content, headers=sent)
        most = self._most_bytes if most_bytes is None else most_bytes
        repeats = method in _REPEATABLE if can_repeat is None else can_repeat
        with self._shared.used(self._closed):
            return self._ask(request, most, also, repeats=repeats)

    def _ask(self, request: httpx.Request, most: int, also: Collection[int], *, repeats: bool) -> Answer:
        enough = time.monotonic() + self._network.timeout_s
        for attempt in count(1):
            try:
                answer = self._follow(request, most)
            except httpx.RequestError as error:
                again = _may_repeat(error, repeats=repeats) and time.monotonic() < enough
                wait = self._patience.wait_s(attempt, None) if again else None
                if wait is None:
                    self._raise_unreachable(error)
            else:
                if 200 <= answer.status < 300 or (answer.status in also and not answer.is_busy):
                    return answer
                passing = answer.is_busy or answer.status in _PASSING
                again = passing and repeats and time.monotonic() < enough
                wait = self._patience.wait_s(attempt, answer.wait_s()) if again else None
                if wait is None:
                    self._raise_status(answer)
            self._patience.sleep(wait)
            if self._shared.is_closed:
                raise self._closed()
        raise AssertionError("count() does not end")

    def _follow(self, request: httpx.Request, most: int) -> Answer:
        """Send a request and return its answer; a GET that is sent elsewhere within this origin goes there."""
        for hop in count():
            answer = self._send(request, most)
            if answer.status not in _REDIRECTS:
                return answer
            try:
                target = request.url.join(answer.headers.get("location", ""))
                origin = _origin(str(target))
            except (httpx.InvalidURL, UsageError) as error:
                raise self.nonsense(f"{answer.where} sends us on to no address that can be used") from error
            if origin != self.origin:
                hint = self._failures.hints.get("https") if _is_secure(origin, self.origin) else None
                raise self.nonsense(
                    f"{answer.where} sends us on to {safe_words(origin, self._secrets)}, where its secrets must not "
                    "go: if that is the service's new address, use it in place of the old one"
                    + (f" ({hint})" if hint else "")
                )
            if request.method not in ("GET", "HEAD"):
                path = safe_words(target.path, self._secrets)
                raise self.nonsense(
                    f"{answer.where} sends us elsewhere ({answer.status}, to {path}); what may change something is not "
                    "sent on: use that address in place of this one"
                )
            if hop == _MOST_HOPS:
                raise self.nonsense(f"{answer.where} sends us on again and again")
            request = self._client.build_request(request.method, target, headers=request.headers)
        raise AssertionError("count() does not end")

    def _send(self, request: httpx.Request, most: int) -> Answer:
        deadline = time.monotonic() + self._network.whole_s
        where = str(request.url.copy_with(query=None, fragment=None))
        response = self._client.send(request, stream=True)
        try:
            unpack = self._unpacker(response, where)
            parts: list[bytes] = []
            size = 0
            for raw in response.iter_raw():
                part = unpack(raw, most + 1 - size)
                size += len(part)
                if size > most:
                    raise self.nonsense(f"{where} answered with more than {most:,} bytes; expected less")
                parts.append(part)
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer does not end", request=request)
            note_passed(size)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, headers, b"".join(parts), where, self.nonsense, self._secrets)
        except zlib.error as error:
            raise self.nonsense(f"{where} answered with bytes that are not gzip, as it says they are") from error
        finally:
            response.close()
            # A response and its stream hold each other, and with them the body that was sent: megabytes, in so few
            # objects that the collector of such rings seldom looks.
            response.stream = _NO_STREAM

    def _unpacker(self, response: httpx.Response, where: str) -> Callable[[bytes, int], bytes]:
        """Return what undoes the answer's compression, never making more than asked for (as httpx's own would)."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return lambda raw, most: raw
        if encoding not in ("gzip", "x-gzip"):
            raise self.nonsense(f"{where} answered in the encoding {encoding[:20]!r}; expected gzip")
        unpacked = zlib.decompressobj(wbits=31)
        return lambda raw, most: unpacked.decompress(raw, max(most, 1))

    def nonsense(self, what: str) -> VexError:
        """Return the error for an answer that makes no sense."""
        return self._failures.make(self._failures.answer, what)

    def _raise_unreachable(self, error: httpx.RequestError) -> NoReturn:
        code = self._failures.unreachable
        if isinstance(error, httpx.RemoteProtocolError) and not any(
            word in str(error) for word in ("closed", "disconn")
        ):
            raise self.nonsense(
                f"{self.origin} does not answer in HTTP: is it the address of something else?"
            ) from error
        what = f"cannot reach {self.origin}: {_reason(error, self._network, self._secrets)}"
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            what = f"{self.origin} did not answer in time ({self._network.timeout_s:g} s)"
        raise self._failures.make(code, what) from error

    def _raise_status(self, answer: Answer) -> NoReturn:
        failures, status = self._failures, answer.status
        said = f": {words}" if (words := answer.words()) else ""
        if answer.is_busy:
            wait = answer.wait_s()
            when = "later" if wait is None else f"in {_duration(wait)}"
            raise failures.make(
                failures.busy, f"{answer.where} is busy or limits our requests ({status}{said}); try again {when}"
            )
        if status == 401:
            raise failures.make(failures.refused, f"{answer.where} does not know the token, or wants one (401{said})")
        if status == 403:
            raise failures.make(failures.refused, f"{answer.where} refuses (403{said})")
        if status == 407:
            raise failures.make(
                failures.refused, "the proxy wants a user and password (407): put them into the proxy's address"
            )
        if status in (404, 410):
            raise failures.make(failures.missing, f"{answer.where} is not there ({status}{said})")
        if status >= 500:
            raise failures.make(
                failures.unreachable, f"{answer.where} is out of order ({status}{said}); try again later"
            )
        raise failures.make(failures.answer, f"{answer.where} does not take the request ({status}{said})")


def _secrets(credential: Credential | None, proxy: str | None) -> Iterator[str]:
    if credential is not None:
        yield from credential.secrets
    try:
        password = urlsplit(proxy).password if proxy else None
    except ValueError:
        password = None  # a client cannot be made with it
    if password:
        yield password
        yield unquote(password)


def _longest_first(secrets: Iterator[str]) -> tuple[str, ...]:
    return tuple(sorted({text for text in secrets if text}, key=len, reverse=True))


def _origin(url: str) -> str:
    """Return scheme, host and port of a URL.  Raises: UsageError (bad-address)."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError("a service's address must be http://HOST… or https://HOST…", code="bad-address")
    if parts.username or parts.password:
        raise UsageError(
            f"a user or password does not belong in an address ({parts.scheme}://{host}…); "
            "give it in the environment, the keyring or a file",
            code="bad-address",
        )
    host = f"[{host}]" if ":" in host else host
    standard = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, standard) else "")


def _is_secure(origin: str, other: str) -> bool:
    """Whether an origin is the same host by https that another is by http."""
    one, two = urlsplit(origin), urlsplit(other)
    return (one.scheme, two.scheme) == ("https", "http") and one.hostname == two.hostname


def _may_repeat(error: httpx.RequestError, *, repeats: bool) -> bool:
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):  # never sent
        return not any(isinstance(cause, ssl.SSLError) for cause in _causes(error))
    return repeats and isinstance(error, (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError))


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _reason(error: httpx.RequestError, network: Network, secrets: tuple[str, ...]) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            trusted = f"those in {network.ca_file}" if network.ca_file else "those this system trusts"
            return (
                f"its certificate is not trusted ({cause.verify_message}): no certificate of {trusted} vouches for it; "
                "if it is signed by your own authority, name the file of that authority's certificate"
            )
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS as expected; should the address begin with http:// in place of https://?"
    if isinstance(error, httpx.ProxyError):
        return f"the proxy refused ({safe_words(str(error), secrets)})"
    words = next((c.strerror for c in _causes(error) if isinstance(c, OSError) and c.strerror), None)
    through = " (through the proxy)" if network.proxy else ""
    if isinstance(error, httpx.ConnectTimeout):
        return f"it does not take the connection in time{through}"
    return safe_words(words or str(error) or "the connection ended", secrets).lower() + through


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 6000 else f"{round(seconds / 3600)} h"
