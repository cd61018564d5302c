"""Milvus, its file form (Milvus Lite) and Zilliz Cloud through ``pymilvus``: one client, errors of stores.

The client sends a request again by itself where the server is busy or away, until ``Reach.timeout_s`` is over.  It
writes every error into the program's log, too; that is turned off while we ask, since each becomes one of ours.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import re
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from vexrepo.errors import StoreError, UsageError
from vexrepo.remotes.answer import safe_words
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import was_closed

PORT: Final = 19530
PASSWORD: Final = "password"
COLLECTION: Final = "vex_memory"  # the original tool's
_CONNECT_S: Final = 10.0
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_OLD: Final = re.compile(r"v?(?:0|1|2\.[0-3])\.")
# What the server says where a request or an answer has more bytes than it, or we, take at once.
_TOO_LARGE: Final = ("larger than max", "exceeds the limit", "resource_exhausted", "message size", "exceed max message")
_REFUSED: Final = (
    "auth check failure",
    "authentication",
    "unauthenticated",
    "permission",
    "privilege",
    "authoriz",
)
_AWAY: Final = (
    "unavailable",
    "deadline_exceeded",
    "fail connecting",
    "connection refused",
    "retry timeout",
    "timed out",
)


class MilvusServer:
    """One server, or one file: what it can do, and the client to ask it with."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._is_closed = False
        self.options = address.options
        host, _, path = address.location.removeprefix("//").partition("/")
        self.host = "" if address.is_path else host
        named = "" if address.is_path else path.strip("/")
        self.collection = address.options.get("collection") or named or COLLECTION
        if not _NAME.fullmatch(self.collection):
            raise UsageError(
                f"{address}: a collection's name has up to 255 letters, digits and _, and begins with no digit; got "
                f"{self.collection!r:.80}",
                code="bad-address",
            )
        if address.is_path and not address.location.endswith(".db"):
            raise UsageError(f"{address}: the file of a Milvus database ends with .db", code="bad-address")

    @property
    def is_there(self) -> bool:
        """Whether there is anything to ask: a file that is not there is not made by looking."""
        return not self.address.is_path or Path(self.address.location).exists()

    @cached_property
    def version(self) -> str:
        """What the server says it is, such as ``v2.3.5``; ``lite-3.2.2`` for a file."""
        if self.address.is_path:  # those of Milvus Lite before 3 do not say
            return f"lite-{importlib.metadata.version('milvus-lite')}"
        with self.asking():
            return str(self.client.get_server_version(timeout=self.timeout_s))

    @property
    def merges(self) -> bool:
        """Whether an upsert adds to what a row has, and only an insert replaces it: so Milvus Lite from 3 on."""
        return self.address.is_path and not self.version.startswith(("lite-1.", "lite-2."))

    @property
    def has_several(self) -> bool:
        """Whether a collection may have several vectors, sparse ones too: from 2.4 on."""
        return self.address.is_path or _OLD.match(self.version) is None

    @property
    def timeout_s(self) -> float:
        """How long a request may take, with all that is tried again."""
        return self.address.reach.timeout_s

    # -- the client --------------------------------------------------------------------------------------------------

    @cached_property
    def client(self) -> Any:
        """The client; connects when it is asked.  Raises: UsageError (bad-address), StoreError."""
        if self._is_closed:  # who was left in the middle of a file would open it again
            raise was_closed(self.address)
        try:
            from pymilvus import MilvusClient
        except ImportError:
            raise self._not_installed("the client of Milvus", "milvus") from None
        if self.address.is_path:
            return self._open_file(MilvusClient)
        uri, has_tls = self._uri()
        reach = self.address.reach
        more = {"ca_pem_path": str(reach.ca_file)} if has_tls and reach.ca_file else {}
        with self.asking():
            return MilvusClient(
                uri=uri,
                token=self._token(),
                db_name=self.options.get("database", ""),
                timeout=reach.connect_within(_CONNECT_S),
                dedicated=True,  # else the client keeps its connection, and the secret, as long as the process runs
                **more,
            )

    def _open_file(self, make: Any) -> Any:
        path = self.address.location
        if not Path(path).absolute().parent.is_dir():
            raise StoreError(f"{self.address}: there is no folder {Path(path).parent}", code="store-missing")
        uri = _FILES.open(path)
        if uri is None:
            raise self._not_installed("Milvus Lite, which reads such files,", "milvus-lite")
        if not uri and self.merges and not Path(path).is_dir():
            raise StoreError(
                f"{self.address} is a file, and a database of Milvus Lite from 3 on is a folder: this is something "
                "else, or one of an older Milvus Lite, to be read with pip install 'milvus-lite<3'",
                code="store-schema",
            )
        if not uri:
            raise StoreError(
                f"{self.address} cannot be opened: another program has it open (Milvus Lite lets in one at a time), or "
                "it is no database of Milvus Lite 3",
                code="store-locked",
            )
        try:
            with self.asking():
                return make(uri=uri, timeout=self.timeout_s, dedicated=True)
        except BaseException:
            _FILES.close(path)
            raise

    def _not_installed(self, what: str, extra: str) -> StoreError:
        return StoreError(
            f"{self.address}: {what} is not installed: pip install 'vexrepo[{extra}]'", code="store-unreadable"
        )

    def _token(self) -> str:
        """Return ``USER:PASSWORD``, or a key as it is."""
        secret, user = self.address.secret(PASSWORD), self.host.rpartition("@")[0]
        return f"{user}:{secret}" if user and secret and not secret.startswith(f"{user}:") else secret

    def _uri(self) -> tuple[str, bool]:
        """Return where the server is, and whether it is spoken to by TLS: wherever a secret leaves this machine."""
        from vexrepo.remotes.stores.http_store import is_local

        parts = urlsplit(f"//{self.host}")
        try:
            name, port = parts.hostname or "localhost", parts.port or PORT
        except ValueError:
            raise UsageError(f"the port in {self.address} is no number", code="bad-address") from None
        has_secret, wanted = bool(self.address.secret(PASSWORD)), self.address.flag("tls")
        has_tls = port == 443 or (has_secret and not is_local(name)) if wanted is None else wanted
        shown = f"[{name}]" if ":" in name else name
        return f"http{'s' if has_tls else ''}://{shown}:{port}", has_tls

    def close(self) -> None:
        """End the connection; a file can be opened by others again."""
        self._is_closed = True
        client = self.__dict__.pop("client", None)
        if client is not None:
            with contextlib.suppress(Exception), _QUIET:
                client.close()
            if self.address.is_path:
                _FILES.close(self.address.location)

    # -- asking ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Turn the client's errors into ours.

        Raises: StoreError (store-limit: too much at once; store-missing, store-refused, store-busy, store-unreachable,
        store-answer).
        """
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        try:
            with _QUIET:
                yield
        except (MilvusException, RpcError, ValueError) as error:
            if self._is_closed:
                raise was_closed(self.address) from None
            if isinstance(error, ValueError):  # the client says so of a connection that is closed
                raise
            raise self._error(getattr(error, "code", None), _said(error)) from None

    def _error(self, code: Any, said: str) -> StoreError:
        words = safe_words(said, (self.address.secret(PASSWORD),) if self.address.secret(PASSWORD) else ())
        told = f"{said} {code}".lower()
        where = str(self.address)
        if any(each in told for each in _TOO_LARGE):
            return StoreError(f"{where} does not take that much at once: {words}", code="store-limit")
        if any(each in told for each in _REFUSED):
            return StoreError(
                f"{where} does not let us in, or not do that ({words}); give USER:PASSWORD or a key that may read and "
                "write this collection in the environment, as MILVUS_TOKEN",
                code="store-refused",
            )
        if code == 100:
            return StoreError(f"there is no collection {where}: {words}", code="store-missing")
        if code in (8, 9) or "rate limit" in told:
            return StoreError(f"{where} is busy or limits our requests ({words}); try again later", code="store-busy")
        if code == 2 or any(each in told for each in _AWAY):
            return StoreError(
                f"cannot reach {where}: {words}; is it running, is that its address, and does it speak TLS (tls=1) or "
                "not (tls=0)?",
                code="store-unreachable",
            )
        return StoreError(f"{where} does not take a request: {words}", code="store-answer")


def _said(error: BaseException) -> str:
    """Return what an error says, with what those say that it came of: the client leaves out why it was not let in."""
    words, seen = [], set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:  # some have themselves as their cause
        seen.add(id(found))
        details = getattr(found, "details", None)
        told = details() if callable(details) else getattr(found, "message", None)
        if told and told not in words:
            words.append(str(told))
        found = found.__cause__ or found.__context__
    return ": ".join(words) or type(error).__name__


class _Quiet:
    """Keeps the client out of the program's log while anybody here asks, in whichever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._askers = 0
        self._levels: dict[str, int] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._askers += 1
            if self._askers == 1:
                for name in ("pymilvus", "milvus_lite", "grpc"):
                    logger = logging.getLogger(name)
                    self._levels[name] = logger.level
                    logger.setLevel(logging.CRITICAL + 1)

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._askers -= 1
            if not self._askers:
                for name, level in self._levels.items():
                    logging.getLogger(name).setLevel(level)


_QUIET = _Quiet()


class _OpenFiles:
    """The files that this process has open.

    The engine lives in the process, one for each file, as long as somebody here uses it.  What somebody else in the
    process had opened before us stays open.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, int] = {}

    def open(self, path: str) -> str | None:
        """Return where the engine of a file listens, "" if it cannot be opened, None if it is not installed."""
        try:
            from milvus_lite.server_manager import server_manager_instance as engines
        except ImportError:
            return None
        name = str(Path(path).absolute())
        with self._lock:
            if name not in self._users:
                self._users[name] = 1 if name in getattr(engines, "_servers", ()) else 0
            with _QUIET:
                found = engines.start_and_get_uri(name)
            if found:
                self._users[name] += 1
            elif not self._users[name]:
                del self._users[name]
            return found or ""

    def close(self, path: str) -> None:
        """Say that one of us needs a file no more."""
        from milvus_lite.server_manager import server_manager_instance as engines

        name = str(Path(path).absolute())
        with self._lock:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
                engines.release_server(name)


_FILES = _OpenFiles()
