"""The way to a Git host over HTTP: stateless requests, a token sent at once, nothing followed to another address."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse

from vexrepo.errors import HostError, UsageError
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.hosts.base import Access, Token
from vexrepo.remotes.hosts.git_errors import Unreachable, clean, limit_error
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
_PRIVATE: Final = (".local", ".lan", ".internal", ".home.arpa", ".localhost", ".ts.net")


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
            raise self.not_git(response)
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
                    connect=self._access.timeout_s, read=patience_s(self._access.timeout_s, size)
                ),
            )  # fmt: skip
        except (HTTPError, OSError) as error:
            raise self.lost(error) from error

    def _get(self, path: str) -> BaseHTTPResponse:
        url = self._base + path
        for _ in range(_MOST_HOPS):
            response = self.request("GET", url, None, 0, {"Accept": "*/*"})
            if response.status not in (301, 302, 303, 307, 308):
                break
            response.drain_conn()
            target = urljoin(url, response.headers.get("Location", ""))
            if _origin(target) != self._origin or not target.endswith(path):
                raise self._elsewhere(target)
            url = target
        else:
            raise HostError(f"{self.where} redirects in circles", code="host-answer")
        if response.status != 200:
            raise self.failed(response)
        self._base = url.removesuffix(path)
        return response

    def _elsewhere(self, target: str) -> HostError:
        """Return the error of a redirect: a token is never sent to where its user did not send it."""
        to = urlsplit(target)
        shown = f"{to.scheme}://{to.hostname}{f':{to.port}' if to.port else ''}{to.path.removesuffix('/info/refs')}"
        return HostError(
            f"{self.where} redirects to {clean(shown)}; if you trust that address, make it the remote's: "
            "vex remote set-url",
            code="host-answer",
        )

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
                    raise self._slow()
                yield chunk
        except (HTTPError, OSError) as error:
            raise self.lost(error) from error
        finally:
            response.close()

    def lost(self, error: Exception) -> HostError:
        """Return the error of a connection that was not made, or ended."""
        host = urlsplit(self._base).netloc
        if isinstance(error, NameResolutionError):
            return Unreachable(
                f"cannot reach {self.where}: the name {host} is not known; look at the address", again=False
            )
        if isinstance(error, (ConnectTimeoutError, ReadTimeoutError, TimeoutError)) and not (
            isinstance(error, NewConnectionError)  # one of them, by inheritance
        ):
            return self._slow()
        if isinstance(error, ProxyError):
            return Unreachable(f"cannot reach {self.where}: the proxy does not let us through ({_reason(error)})")
        if isinstance(error, (SSLError, ssl.SSLError)):
            return Unreachable(
                f"cannot trust {self.where}: {_reason(error)}; if it is your own host, give the file of its "
                "certificate authority",
                again=False,
            )
        return Unreachable(f"cannot reach {self.where}: {_reason(error)}")

    def _slow(self) -> HostError:
        return Unreachable(
            f"{self.where} did not answer within {self._access.timeout_s:g} s; try again, or allow it more time",
            again=False,
        )

    def failed(self, response: BaseHTTPResponse) -> HostError:
        """Return the error that a status other than 200 stands for."""
        answer = self._answer(response)
        status, words = answer.status, answer.words()
        said = f" ({status}{f': {words}' if words else ''})"
        if answer.is_busy or status in (500, 502, 504):
            return Unreachable(f"{self.where} cannot answer now{said}; try again later", after_s=answer.wait_s())
        if status in (401, 403):
            return self._refused(status, said)
        if status in (404, 410):
            by = (
                f", or none that the token from {self._token.source} may see"
                if self._token
                else ", or a token is needed"
            )
            return HostError(
                f"no repository at {self.where}{by}{said}; create it, or look at the address", code="host-missing"
            )
        if status == 413:
            return limit_error(self.where, words or "413 request too large")
        if status == 407:
            return Unreachable(f"cannot reach {self.where}: the proxy wants to know who asks (407)", again=False)
        if status in (301, 302, 303, 307, 308):
            return self._elsewhere(urljoin(self._base, response.headers.get("Location", "")))
        return HostError(f"{self.where} answered with status{said}, which Git hosts do not", code="host-answer")

    def _refused(self, status: int, said: str) -> HostError:
        if self._token is None:
            hint = self._no_token or "it wants a token, and there is none for it: set VEX_TOKEN"
            return HostError(f"{self.where} refused{said}: {hint}", code="host-refused")
        if status == 401:
            self._access.refused(self._url)
        what = "does not know" if status == 401 else "gives no right to this to"
        return HostError(
            f"{self.where} {what} the token from {self._token.source}{said}; make a token that may write to the "
            "repository and put it there",
            code="host-refused",
        )

    def not_git(self, response: BaseHTTPResponse) -> HostError:
        """Return the error of an answer that is not of the kind asked for."""
        answer = self._answer(response)
        if not answer.body:  # http.client takes headers that end early for all there are
            return Unreachable(f"{self.where} closed the connection before it answered; try again")
        if answer.is_page:
            words = answer.words()
            return HostError(
                f"{self.where} answered with a web page{f' ({words})' if words else ''}, not as a Git host: look at "
                "the address; it may also be a sign-in page or a proxy's",
                code="host-answer",
            )
        kind = clean(kind_of(response)) or "something"
        return self._nonsense(f"{self.where} answered with {kind} that is not Git's protocol")

    def _nonsense(self, what: str) -> HostError:
        return HostError(f"{what}; look at the address", code="host-answer")

    def _answer(self, response: BaseHTTPResponse) -> Answer:
        """Return the beginning of an answer that is not a pack."""
        try:
            body = response.read(_MOST_WORDS)
        except (HTTPError, OSError):
            body = b""
        finally:
            response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, body, self.where, self._nonsense, self.secrets)

    def _authorization(self) -> dict[str, str]:
        if not self._asked:
            self._asked = True
            if not self._no_token:
                self._token = self._access.token(self._url)
            if self._token is not None:
                pair = f"{self._token.user}:{self._token.secret}"
                self.secrets = (self._token.secret, base64.b64encode(pair.encode()).decode())
        if self._token is None:
            return {}
        return dict(urllib3.make_headers(basic_auth=f"{self._token.user}:{self._token.secret}"))

    @property
    def _no_token(self) -> str:
        """Why no token is sent, empty where one may be."""
        parts = urlsplit(self._base)
        if parts.scheme == "https" or _is_private(parts.hostname or ""):
            return ""
        return "tokens are not sent over http, where everybody on the way can read them; use https, or ssh"

    def _manager(self) -> urllib3.PoolManager:
        if self._pool is None:
            context = trusted(self._access)
            if self._access.proxy:
                proxy = urlsplit(self._access.proxy)
                if proxy.scheme not in ("http", "https") or not proxy.hostname:
                    raise UsageError("the proxy's address must begin with http:// or https://", code="bad-address")
                headers = None
                if proxy.username:
                    headers = urllib3.make_headers(
                        proxy_basic_auth=f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
                    )
                self._pool = urllib3.ProxyManager(
                    f"{proxy.scheme}://{proxy.hostname}:{proxy.port or (443 if proxy.scheme == 'https' else 80)}",
                    proxy_headers=headers,
                    ssl_context=context,
                    proxy_ssl_context=context,
                )
            else:
                self._pool = urllib3.PoolManager(ssl_context=context)
        return self._pool


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
            raise self._wire.not_git(response)
        return self._wire.chunks(response)

    def close(self) -> None:
        """Nothing is kept."""


def kind_of(response: BaseHTTPResponse) -> str:
    """Return the media type of an answer, empty where it has none."""
    return response.headers.get("Content-Type", "").split(";")[0].strip().lower()


def trusted(access: Access) -> ssl.SSLContext:
    """Return the certificates to trust: the system's, or the file given.  Raises: UsageError (bad-option)."""
    if access.ca_file is None:
        context = ssl.create_default_context()
        if not context.get_ca_certs() and ssl.get_default_verify_paths().capath is None:
            import certifi  # where Python knows of no certificates of the system

            context.load_verify_locations(certifi.where())
        return context
    try:
        return ssl.create_default_context(cafile=access.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the certificates in {access.ca_file} cannot be used: {error.strerror or error}", code="bad-option"
        ) from error


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


def _reason(error: BaseException) -> str:
    """Return the innermost words of an error of urllib3, which wraps others."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        inner = (
            error.__cause__
            or error.__context__
            or next((each for each in error.args if isinstance(each, BaseException)), None)
        )
    return clean(getattr(error, "strerror", None) or str(error)) or type(error).__name__
