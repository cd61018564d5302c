"""A forge on a free port, as far as vexrepo talks to one: accounts, organisations, tokens, repositories, faults."""

import base64
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hosting.listening import HttpHandler, HttpListening


@dataclass
class FakeToken:
    """Who it belongs to, and what it may: scopes, or (``fine``) permissions."""

    user: str
    scopes: set[str] = field(default_factory=set)
    fine: bool = False
    expires: str | None = None
    sso: bool = False  # the organisation wants it authorised


@dataclass
class FakeRepository:
    """A repository; ``writers`` and ``readers`` are accounts beside the owner's members."""

    owner: str
    name: str
    visibility: str = "private"
    archived: bool = False
    empty: bool = True
    writers: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    body: dict = field(default_factory=dict)  # what it was made with
    id: int = 1


@dataclass
class Reply:
    """What to answer; ``value`` is sent as JSON, bytes as they are."""

    status: int
    value: object = None
    headers: dict[str, str] = field(default_factory=dict)


class Gone(Exception):
    """Raised by a fault to end the connection without an answer."""


@dataclass
class Asked:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: object
    token: FakeToken | None = None


class FakeForge(ABC):
    """State and server.  ``api`` is where the interface begins below the server's root."""

    api = ""

    def __init__(self) -> None:
        self.reset()
        fake = self

        class Handler(HttpHandler):
            def _handle(self) -> None:
                raw = self.body()
                parts = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    parts.path,
                    {name: values[0] for name, values in parse_qs(parts.query).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(raw) if raw else None,
                )
                try:
                    reply = fake.handle(asked)
                except Gone:
                    self.close_connection = True
                    return
                is_bytes = isinstance(reply.value, bytes)
                body = reply.value if is_bytes else json.dumps(reply.value).encode()
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle

        self._server = HttpListening(Handler)
        self.url = self._server.url

    def close(self) -> None:
        """End the server."""
        self._server.end()

    # state

    def reset(self) -> None:
        """Forget everything."""
        self.tokens: dict[str, FakeToken] = {}
        self.orgs: dict[str, set[str]] = {}  # name: those who may make repositories in it
        self.repositories: dict[tuple[str, str], FakeRepository] = {}
        self.asked: list[Asked] = []
        self.faults: list[Callable[[Asked, Callable[[], Reply]], Reply]] = []
        self.check: Callable[[Asked, Reply], list[str]] = lambda asked, reply: []  # the vendor's document
        self.violations: list[str] = []

    def add(self, owner: str, name: str, **of: object) -> FakeRepository:
        """Add a repository."""
        made = FakeRepository(owner, name, id=len(self.repositories) + 1, **of)  # type: ignore[arg-type]
        self.repositories[owner.lower(), name.lower()] = made
        return made

    def find(self, owner: str, name: str) -> FakeRepository | None:
        """Return a repository."""
        return self.repositories.get((owner.lower(), name.lower()))

    def may_write(self, user: str | None, repository: FakeRepository) -> bool:
        """Return whether an account may push."""
        members = {repository.owner} | self.orgs.get(repository.owner, set()) | repository.writers
        return user in members

    def may_read(self, user: str | None, repository: FakeRepository) -> bool:
        """Return whether an account may see."""
        if repository.visibility == "public" or (repository.visibility == "internal" and user):
            return True
        return user in repository.readers or self.may_write(user, repository)

    # requests

    def handle(self, asked: Asked) -> Reply:
        """Return the reply to a request, faults first."""
        self.asked.append(asked)
        asked.token = self.token_of(asked)

        def right() -> Reply:
            if "/info/refs" in asked.path:
                return self.git(asked)
            reply = self.interface(asked)
            self.violations += self.check(asked, reply)
            return reply

        return self.faults.pop(0)(asked, right) if self.faults else right()

    def token_of(self, asked: Asked) -> FakeToken | None:
        """Return the token that a request carries, None if it is unknown or absent."""
        scheme, _, value = asked.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        elif scheme not in self.schemes:
            return None
        return self.tokens.get(value)

    schemes: tuple[str, ...] = ("Bearer", "token")

    @abstractmethod
    def interface(self, asked: Asked) -> Reply:
        """Answer the REST interface."""

    def git(self, asked: Asked) -> Reply:
        """Answer the first request of a fetch or push."""
        owner, name = re.fullmatch(r"/(.+)/([^/]+)\.git/info/refs", unquote(asked.path)).groups()
        assert asked.headers["user-agent"].startswith("git/")
        service = asked.query["service"]
        has_token = "authorization" in asked.headers
        repository = self.find(owner, name)
        user = asked.token.user if asked.token else None
        if has_token and asked.token is None:
            return Reply(401, b"Bad credentials", {"Content-Type": "text/plain"})
        if asked.token is not None and not self.git_scope(asked.token, service):
            return self.git_refusal(asked.token)
        if repository is None or not self.may_read(user, repository):
            return Reply(404 if has_token else 401, b"Not found", {"Content-Type": "text/plain"})
        if service == "git-receive-pack" and (repository.archived or not self.may_write(user, repository)):
            return Reply(403 if has_token else 401, b"Write access not granted.", {"Content-Type": "text/plain"})
        return Reply(
            200,
            b"001f# service=" + service.encode() + b"\n0000",
            {"Content-Type": f"application/x-{service}-advertisement"},
        )

    @abstractmethod
    def git_scope(self, token: FakeToken, service: str) -> bool:
        """Return whether a token's scopes let Git in."""

    def git_refusal(self, token: FakeToken) -> Reply:
        """Return what Git is told about a token that lacks a scope."""
        return Reply(403, b"Write access to repository not granted.", {"Content-Type": "text/plain"})
