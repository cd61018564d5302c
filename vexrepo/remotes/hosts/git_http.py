"""The way to a Git host over HTTP: stateless requests, a token sent at once, nothing followed to another address."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from vexrepo.errors import HostError, UsageError
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.certificates import trusted
from vexrepo.remotes.hosts.base import Access, Token
from vexrepo.remotes.hosts.git_http_errors import REDIRECTS, failed, lost, not_git, redirected, slow
from vexrepo.remotes.hosts.git_wire import (
    MOST_ADVERT,
    Advert,
    Pace,
    Packets,
    Service,
    Session,
    Wire,
    patience_s,
    read_advert,
)

_READ: Final = 1 << 16
_MOST_WORDS: Final = 1 << 16
_MOST_HOPS: Final = 4
_SEND_S = 60.0
_PRIVATE: Final = (".local", ".lan", ".internal", ".home.arpa", ".localhost", ".ts.net")


class _SlowLine:
    """A connection that, once made, may take longer to send each piece than it may to be made.

    urllib3 has one time limit for both, set again for each request.
    """

    sock: Any
    _limit_s: Any = None
    _is_sending = False

    @property
    def timeout(self) -> Any:
        """How long the next thing may take."""
        return _SEND_S if self._is_sending and self.sock is not None else self._limit_s

    @timeout.setter
    def timeout(self, limit_s: Any) -> None:
        self._limit_s = limit_s

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock.settimeout(_SEND_S)

    def request(self, *arguments: Any, **named: Any) -> None:
        self._is_sending = True
        try:
            super().request(*arguments, **named)  # type: ignore[misc]
        finally:
            self._is_sending = False


class _Connection(_SlowLine, HTTPConnection):
    pass


class _SafeConnection(_SlowLine, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SafePool(HTTPSConnectionPool):
    ConnectionCls = _SafeConnection


class HttpWire(Wire):
    """HTTP and HTTPS through urllib3.  Reads neither environment nor Git's configuration."""

    def __init__(self, url: str, access: Access) -> None:
        parts = urlsplit(url.rstrip("/"))
        self._url = url
        self._base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._access = access
        self._origin = _origin(url)
        self._pool: urllib3.PoolManager | None = None
        self._token: Token | None = None
        self._asked = False

    def begin(self, service: Service, known: Advert | None = None) -> Session:
        if known is not None:
            return HttpSession(self, service, known)
        response = self._get(f"/info/refs?service={service}")
        if kind_of(response) != f"application/x-{service}-advertisement":
            raise not_git(self.read(response), self.where)
        packets = Packets(self.chunks(response), self.where, MOST_ADVERT, self.secrets)
        if packets.next() != f"# service={service}\n".encode() or packets.next() is not None:
            raise HostError(f"{self.where} answered a list of refs that does not begin as one", code="host-answer")
        advert = read_advert(packets, self.where)
        for _ in packets.rest():  # read to its end, so that the connection can be used again
            pass
        return HttpSession(self, service, advert)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    @property
    def where(self) -> str:
        """The address, for messages."""
        return self._base

    def request(
        self, method: str, path: str, body: Iterable[bytes] | None, size: int, headers: dict[str, str]
    ) -> BaseHTTPResponse:
        """Return the answer to a request, not yet read.  Raises: HostError for what never got to the host."""
        headers = {
            "User-Agent": "git/vexrepo",  # some hosts take nobody for Git who is not called so
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache",
            **self._authorization(),
            **headers,
        }
        if body is not None:
            headers["Content-Length"] = str(size)
        url = path if path.startswith("http") else self._base + path
        try:
            return self._manager().request(
                method, url, body=body, headers=headers, redirect=False, retries=False, preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(
                    connect=min(self._access.connect_s, self._access.timeout_s),
                    read=patience_s(self._access.timeout_s, size),
                ),
            )  # fmt: skip
        except (HTTPError, OSError) as error:
            raise lost(error, self.where, self._access.timeout_s) from error

    def _get(self, path: str) -> BaseHTTPResponse:
        url = self._base + path
        for _ in range(_MOST_HOPS):
            response = self.request("GET", url, None, 0, {"Accept": "*/*"})
            if response.status not in REDIRECTS:
                break
            response.close()
            target = self._target(url, response)
            if _origin(target) != self._origin or not target.endswith(path):
                raise redirected(self.where, target)
            url = target
        else:
            raise HostError(f"{self.where} redirects in circles", code="host-answer")
        if response.status != 200:
            raise self.failed(response)
        self._base = url.removesuffix(path)
        return response

    def _target(self, url: str, response: BaseHTTPResponse) -> str:
        try:
            target = urljoin(url, response.headers.get("Location", ""))
            _origin(target)
        except ValueError as error:
            raise HostError(f"{self.where} redirects to what is no address", code="host-answer") from error
        return target

    def chunks(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        """Yield an answer as it comes, until its end.  Raises: Unreachable when it stops coming, or hardly comes."""
        pace = Pace(self._access.timeout_s)
        try:
            while True:
                begin = time.monotonic()
                chunk = response.read1(_READ)
                if not chunk:
                    return
                if pace.is_too_slow(len(chunk), time.monotonic() - begin):
                    raise slow(self.where, self._access.timeout_s)
                yield chunk
        except (HTTPError, OSError) as error:
            raise lost(error, self.where, self._access.timeout_s) from error
        finally:
            response.close()

    def failed(self, response: BaseHTTPResponse) -> HostError:
        """Return the error that a status other than 200 stands for."""
        if response.status in REDIRECTS:
            response.close()
            return redirected(self.where, self._target(self._base, response))
        answer = self.read(response)
        if answer.status == 401 and self._token is not None:
            self._access.refused(self._url)
        return failed(answer, self.where, self._token, self._no_token)

    def read(self, response: BaseHTTPResponse) -> Answer:
        """Return the beginning of an answer that is not a pack."""
        body = b""
        with suppress(HostError):
            for chunk in self.chunks(response):
                body += chunk
                if len(body) > _MOST_WORDS:
                    break
        response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, body, self.where, _nonsense, self.secrets)

    def _authorization(self) -> dict[str, str]:
        if not self._asked:
            self._asked = True
            if not self._no_token:
                self._token = self._access.token(self._url)
            if self._token is not None:
                pair = f"{self._token.user}:{self._token.secret}"
                self.secrets = (self._token.secret, base64.b64encode(pair.encode()).decode())
        return {"Authorization": f"Basic {self.secrets[1]}"} if self.secrets else {}

    @property
    def _no_token(self) -> str:
        """Why no token is sent, empty where one may be."""
        parts = urlsplit(self._base)
        if parts.scheme == "https" or _is_private(parts.hostname or ""):
            return ""
        return "tokens are not sent over http, where everybody on the way can read them; use https, or ssh"

    def _manager(self) -> urllib3.PoolManager:
        if self._pool is None:
            is_safe = self._base.startswith("https:") or self._access.proxy
            context = trusted(self._access.ca_file) if is_safe else None
            if self._access.proxy:
                self._pool = _proxied(self._access.proxy, context)
            else:
                self._pool = urllib3.PoolManager(ssl_context=context)
            self._pool.pool_classes_by_scheme = {"http": _Pool, "https": _SafePool}
        return self._pool


def _proxied(address: str, context: ssl.SSLContext | None) -> urllib3.PoolManager:
    """Return the way through a proxy.  Raises: UsageError (bad-address), without showing a password."""
    try:
        proxy = urlsplit(address)
        scheme, host, port = proxy.scheme, proxy.hostname, proxy.port
    except ValueError:
        proxy, scheme, host, port = urlsplit(""), "", None, None
    if scheme not in ("http", "https") or not host:
        raise UsageError("the proxy's address must be http://HOST:PORT or https://HOST:PORT", code="bad-address")
    headers = {}
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return urllib3.ProxyManager(
        f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or (443 if scheme == 'https' else 80)}",
        proxy_headers=headers,
        ssl_context=context,
        proxy_ssl_context=context,
    )


class HttpSession(Session):
    """Requests to one service; each stands alone."""

    has_version_2 = True

    def __init__(self, wire: HttpWire, service: Service, advert: Advert) -> None:
        self.advert = advert
        self._wire = wire
        self._service = service

    def exchange(self, request: Iterable[bytes], size: int, *, version: int = 0) -> Iterator[bytes]:
        headers = {
            "Content-Type": f"application/x-{self._service}-request",
            "Accept": f"application/x-{self._service}-result",
        }
        if version:
            headers["Git-Protocol"] = f"version={version}"
        response = self._wire.request("POST", f"/{self._service}", request, size, headers)
        if response.status != 200:
            raise self._wire.failed(response)
        if kind_of(response) != headers["Accept"]:
            raise not_git(self._wire.read(response), self._wire.where)
        return self._wire.chunks(response)

    def close(self) -> None:
        """Nothing is kept."""


def kind_of(response: BaseHTTPResponse) -> str:
    """Return the media type of an answer, empty where it has none."""
    return response.headers.get("Content-Type", "").split(";")[0].strip().lower()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_private(host: str) -> bool:
    """Return whether a name or address is one of a private network, as far as can be told from it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE)
    return address.is_private or address.is_loopback or address in ipaddress.ip_network("100.64.0.0/10")


def _nonsense(what: str) -> HostError:
    return HostError(f"{what}; look at the address", code="host-answer")
