"""What a forge can be asked: who we are, what a repository is, to make a private one, what a token lacks.

Pushing and fetching need none of this: it is there so that a repository need not be made by hand, that one which
everybody can see is noticed, and that a token that will not do is told apart from one that will, with the box to tick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from types import TracebackType
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlsplit

from vexrepo.errors import HostError
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.hosts.base import Access, Token
from vexrepo.remotes.http import Credential, Failures, HttpClient, Network, Patience, segment

_MOST_ADVERT: Final = 64 << 20  # refs of a repository that is not ours may be many


class Forbidden(HostError):
    """The host knows the token, but it lacks a right.  ``lacks`` are the names the host has for what is missing."""

    def __init__(self, message: str, lacks: Collection[str] = ()) -> None:
        super().__init__(message, code="host-refused")
        self.lacks = tuple(lacks)


class NameTaken(HostError):
    """There is a repository of that name already."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="host-refused")


class Visibility(StrEnum):
    """Who can see a repository: those it is shared with; everybody with an account there; everybody."""

    PRIVATE = "private"
    INTERNAL = "internal"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Place:
    """A repository's owner (a user, an organisation, a group and its subgroups) and name."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class Site:
    """A forge's address: ``web`` is what people open and what Git pushes to, ``api`` where its interface is."""

    web: str
    api: str

    @property
    def host(self) -> str:
        """The name, with the port where it is not the usual one, for messages."""
        return urlsplit(self.web).netloc


@dataclass(frozen=True, slots=True)
class Hosted:
    """A repository at a forge.  ``may_push`` is the account's right, not the token's; None: the forge does not say."""

    place: Place
    visibility: Visibility
    size_bytes: int | None = None
    default_branch: str | None = None
    is_archived: bool = False
    is_empty: bool | None = None
    may_push: bool | None = None
    ssh_url: str | None = None


@dataclass(frozen=True, slots=True)
class TokenReport:
    """What a token may do.  ``scopes`` is None where a host does not tell; ``expires`` is as the host writes it.

    ``missing`` are the scopes to add for pushing and for making repositories; ``advice`` says where and how.
    """

    account: str | None
    scopes: tuple[str, ...] | None
    missing: tuple[str, ...] = ()
    expires: str | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a host still allows this account.  None: not told, or no limit."""

    requests_left: int | None = None
    requests_limit: int | None = None
    requests_reset_s: int | None = None  # seconds until it is full again
    stored_bytes: int | None = None
    storage_bytes: int | None = None


class Forge(ABC):
    """A forge, with the token of an ``Access``.  Nothing is sent before it is asked something.  A context manager."""

    provider: ClassVar[str]
    headers: ClassVar[dict[str, str]] = {}
    scheme: ClassVar[str] = "Bearer"
    token_page: ClassVar[str]  # under the site's web address
    to_push: ClassVar[str]  # the boxes to tick, in the words of the host's form
    to_create: ClassVar[str]
    push_scope: ClassVar[str]

    def __init__(self, site: Site, access: Access, url: str | None = None, patience: Patience | None = None) -> None:
        """Make a forge at a site.  ``url`` is the repository's address, by which the token is found."""
        self.site = site
        self._access = access
        self._url = url or site.web
        self._patience = patience or Patience()
        self._network = Network(access.proxy, access.ca_file, access.timeout_s, whole_s=2 * access.timeout_s)
        self._token: Token | None = None
        self._asked = False
        self._is_known = False  # the token, to the interface
        self._client: HttpClient | None = None

    # what every forge is asked in its own way

    @abstractmethod
    def whoami(self) -> str:
        """Return the account's name.  Raises: HostError (host-refused for a token that is not known, …)."""

    @abstractmethod
    def find_repository(self, place: Place) -> Hosted | None:
        """Return a repository; None where there is none, or none that the token may see.

        Raises: Forbidden for a token that may not ask, HostError.
        """

    @abstractmethod
    def create_private(self, place: Place) -> Hosted:
        """Make an empty private repository, of the account or an organisation, that says nothing about its content.

        Raises: Forbidden, NameTaken, HostError (host-missing: no such owner, host-limit: no room, …).
        """

    @abstractmethod
    def token_report(self) -> TokenReport:
        """Return what the token may do, as far as the forge tells.  Raises: HostError (host-refused, …)."""

    @abstractmethod
    def limits(self) -> Allowance:
        """Return what the host still allows, as far as it tells."""

    # what is the same everywhere

    def check_token(self, place: Place | None = None) -> TokenReport:
        """Return what the token may do, and whether it may push to a repository that is there.

        Raises: HostError (host-refused for a token that is not known, …).
        """
        report = self.token_report()
        if report.missing or place is None or not self.is_there(place) or self.may_push(place):
            return report
        advice = (
            f"{self.site.host} lets this token read {place}, but not push to it: either the account has no right to "
            f"write there, or the token lacks it; {self.where_to_make(self.to_push)}"
        )
        return replace(report, missing=(self.push_scope,), advice=advice)

    def is_there(self, place: Place) -> bool:
        """Return whether Git may fetch from a repository with the token.  Raises: as ``may_push``."""
        return self._advert(place, "git-upload-pack").status == 200

    def may_push(self, place: Place) -> bool:
        """Return whether the token may push, by beginning a push as Git does and going no further.

        This is the one answer that holds for every kind of token.  It changes nothing, but only where the repository
        is there: GitLab, and some Giteas, make one that somebody begins to push to.
        Raises: HostError (host-refused for a token that is not known, host-missing, host-answer, …).
        """
        answer = self._advert(place, "git-receive-pack")
        if answer.status == 404:
            raise HostError(f"no repository {place} at {self.site.host} that the token may see", code="host-missing")
        return answer.status == 200

    def _advert(self, place: Place, service: str) -> Answer:
        """Return the answer (200, 401, 403, 404) to the first request of a fetch or push."""
        token = self.token()
        credential = Credential.basic(token.user or "x-access-token", token.secret) if token else None
        kind = f"application/x-{service}-advertisement"
        # some hosts take nobody for Git who is not called so
        with self._connect(self.site.web, credential, {"Accept": "*/*", "User-Agent": "git/vexrepo"}) as http:
            path = f"{self._path(place)}/info/refs"
            answer = http.ask("GET", path, query={"service": service}, also=(401, 403, 404), most_bytes=_MOST_ADVERT)
        if answer.status == 401 and not self._is_known:  # GitLab's words, too, for a token that is not for Git
            raise self.unknown_token(answer)
        if answer.status == 200 and not answer.headers.get("content-type", "").startswith(kind):
            raise HostError(f"{answer.where} did not answer as a Git host does: check the address", code="host-answer")
        return answer

    def https_url(self, place: Place) -> str:
        """Return the address that Git pushes to with a token."""
        return self.site.web + self._path(place)

    def ssh_url(self, place: Place) -> str:
        """Return the address that Git pushes to with an ssh key, on the usual port."""
        return f"git@{urlsplit(self.site.web).hostname}:{place}.git"

    @property
    def insiders(self) -> str:
        """Who can see what is "internal"."""
        return f"everybody with an account at {self.site.host}"

    @property
    def source(self) -> str:
        """Where the token comes from, for messages."""
        token = self.token()
        return f"the token from {token.source}" if token else "a request without a token"

    @staticmethod
    def _path(place: Place) -> str:
        return "".join(f"/{segment(part)}" for part in (*place.owner.split("/"), f"{place.name}.git"))

    def token(self) -> Token | None:
        """Return the token, asked for once."""
        if not self._asked:
            parts = urlsplit(self.site.web)
            if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
                self._token = self._access.token(self._url)
            self._asked = True
        return self._token

    def ask(self, method: str, path: str, *, body: Any = None, also: Collection[int] = (), **query: str) -> Answer:
        """Return the interface's answer, with the status 200 to 299 or one of ``also``.

        Raises: HostError for a token that is not known or not there (401), Forbidden (403), HostError for the rest.
        """
        if self._client is None:
            token = self.token()
            credential = Credential.of(token.secret, scheme=self.scheme) if token else None
            self._client = self._connect(self.site.api, credential, self.headers)
        answer = self._client.ask(method, path, query=query or None, body=body, also=(401, 403, *also))
        if answer.status == 401:
            raise self.unknown_token(answer)
        self._is_known = self._token is not None
        if answer.status == 403 and 403 not in also:
            raise self.forbidden(answer)
        return answer

    def _connect(self, url: str, credential: Credential | None, headers: dict[str, str]) -> HttpClient:
        return HttpClient(
            url,
            credential=credential,
            network=self._network,
            failures=Failures(),
            patience=self._patience,
            headers=headers,
        )

    # errors

    def where_to_make(self, boxes: str) -> str:
        """Return the end of a message: where to make a token, and with what."""
        return f"make one at {self.site.web}{self.token_page} with {boxes}"

    def unknown_token(self, answer: Answer) -> HostError:
        """Return the error for 401, and tell the access that its token is refused."""
        host = self.site.host
        if self._token is None:
            if urlsplit(self.site.web).scheme == "http":
                what = f"{host} wants a token, and none is sent over http, where everybody on the way can read it"
                return HostError(f"{what}: use https", code="host-refused")
            what = f"{host} wants a token and there is none"
            return HostError(f"{what}: {self.where_to_make(self.to_create)}", code="host-refused")
        self._access.refused(self._url)
        words = f" ({text})" if (text := answer.words()) else ""
        return HostError(
            f"{host} does not know {self.source}{words}: it is mistyped, expired or revoked; "
            f"{self.where_to_make(self.to_create)}",
            code="host-refused",
        )

    def forbidden(self, answer: Answer) -> Forbidden:
        """Return the error for 403: what the host says is missing, and how to get it."""
        lacks = self.lacking(answer)
        words = f" ({text})" if (text := answer.words()) else ""
        what = f"{self.site.host} gives no right to this to {self.source}{words}"
        if lacks:
            return Forbidden(f"{what}; {self.where_to_make(self.boxes(lacks))}", lacks)
        return Forbidden(
            f"{what}: either the account has no such right (ask an owner for it), or the token lacks it; "
            + self.where_to_make(self.to_create)
        )

    def lacking(self, answer: Answer) -> tuple[str, ...]:
        """Return the scopes or permissions that a 403 names as missing."""
        return ()

    def boxes(self, lacks: Collection[str]) -> str:
        """Return words for scopes that are missing."""
        return " and ".join(f"the scope {name!r}" for name in lacks)

    def close(self) -> None:
        """Release the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        self.close()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
