"""What connectors of stores with an HTTP interface share: one client, errors of stores, the scheme, the key.

An address is ``KIND://HOST:PORT/COLLECTION``.  It is spoken to by http on this machine, and by https wherever a key is
sent or ``?tls=1`` says so; ``?tls=0`` says that a key may go in the clear.  Requests wait and are sent again where that
may help (``Patience``, Retry-After), all but those said to do more when done twice.

Some stores may also be a folder, ``KIND:FOLDER?collection=COLLECTION``: then the same requests go to an engine in this
process (``local_service``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import urlsplit

from vexrepo.errors import StoreError, UsageError, VexError
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.http import Credential, Failures, HttpClient, Network, Patience, segment
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.point_store import PointStore
from vexrepo.storage.ahead import reading_ahead

KEY: Final = "api_key"
MOST_BYTES: Final = 256 << 20  # of one answer


class Service(Protocol):
    """What answers requests: a server by HTTP, or an engine in this process."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        also: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
        can_repeat: bool | None = None,
    ) -> Answer:
        """Return the answer to a request; a status of 200 to 299 or one of ``also``."""

    def nonsense(self, what: str) -> VexError:
        """Return the error for an answer that makes no sense."""

    def close(self) -> None:
        """End the connections."""


class HttpPointStore(PointStore):
    """A connector of a store that is asked by HTTP.  ``close`` ends the connections.

    ``port`` is the one where the address names none; ``key_header`` and ``key_scheme`` say how a key is sent,
    ``key_hint`` what to do where it is refused.  ``too_large``: the statuses that mean that a request is.
    ``has_folders``: a path is a folder, whose engine ``folder`` gives.
    """

    port: ClassVar[int]
    secrets: ClassVar[Mapping[str, str]] = {KEY: "the key of the store's interface"}
    key_header: ClassVar[str] = "Authorization"
    key_scheme: ClassVar[str] = "Bearer"
    key_hint: ClassVar[str] = "give the key in the environment, see remotes/STORES.md"
    too_large: ClassVar[frozenset[int]] = frozenset({413})
    options: ClassVar[frozenset[str]] = frozenset({"text", "tls"})
    writes_at_once: ClassVar[bool] = True
    patience: ClassVar[Patience] = Patience()
    has_folders: ClassVar[bool] = False

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        host, _, path = address.location.removeprefix("//").partition("/")
        self.is_folder = self.has_folders and address.is_path
        if self.is_folder:
            host, path = "", address.options.get("collection", "")
        elif "collection" in address.options:
            raise UsageError(
                f"{address}: the collection of a server is in its path; expected {self.kind}://HOST/COLLECTION",
                code="bad-address",
            )
        self.host = host
        self.path = path.strip("/")

    @property
    def collection(self) -> str:
        """The collection an address names.  Raises: UsageError (bad-address)."""
        if not self.path:
            form = f"{self.kind}://HOST:{self.port}/COLLECTION"
            form = f"{self.kind}:FOLDER?collection=COLLECTION" if self.is_folder else form
            raise UsageError(f"{self.address} names no collection; expected {form}", code="bad-address")
        return self.path

    @cached_property
    def above(self) -> str:
        """The path that the server is below, where it is below one: what stands before the collection."""
        return "".join(f"/{segment(each)}" for each in self.path.split("/")[:-1] if each)

    @cached_property
    def http(self) -> Service:
        """The client; nothing is sent before it is asked.  Raises: UsageError (bad-address)."""
        return self.folder() if self.is_folder else self.client(self.host)

    def folder(self) -> Service:
        """Return the engine of the folder that the address names, for a store that ``has_folders``."""
        raise UsageError(f"{self.address}: {self.kind} stores are no folders", code="bad-address")

    def client(self, host: str) -> HttpClient:
        """Return a client of a server, to which the key goes.  Raises: UsageError (bad-address)."""
        reach = self.address.reach
        base = self._base_url(host, has_key=self.has_secret())
        failures = Failures(
            StoreError,
            "store-unreachable",
            "store-refused",
            "store-missing",
            "store-answer",
            "store-busy",
            {
                "store-unreachable": f"is it running, and is {self.address} its address?",
                "store-refused": self.key_hint,
                "https": "?tls=1 in its address",
            },
        )
        network = Network(
            reach.proxy(base), reach.ca_file, reach.timeout_s, max(300.0, reach.timeout_s), reach.connect_within(10.0)
        )
        return HttpClient(
            base,
            credential=self.credential(),
            network=network,
            failures=failures,
            patience=self.patience if reach.tries is None else replace(self.patience, tries=reach.tries),
            headers=self.headers(),
            most_bytes=MOST_BYTES,
        )

    def has_secret(self) -> bool:
        """Whether something is sent that must not go in the clear."""
        return bool(self.address.secret(KEY))

    def credential(self) -> Credential | None:
        """Return the header that says who asks, None where nothing does."""
        key = self.address.secret(KEY)
        return Credential.of(key, header=self.key_header, scheme=self.key_scheme) if key else None

    def headers(self) -> Mapping[str, str]:
        """Return headers that every request has."""
        return {}

    def _base_url(self, host: str, *, has_key: bool) -> str:
        parts = urlsplit(f"//{host}")
        try:
            name, port = parts.hostname or "", parts.port or self.port
        except ValueError:
            raise UsageError(f"the port in {self.address} is no number", code="bad-address") from None
        if parts.username:
            raise UsageError(f"{self.address}: a user does not belong in this address", code="bad-address")
        wanted = self.address.flag("tls")
        is_tls = port == 443 or (has_key and not is_local(name)) if wanted is None else wanted
        shown = f"[{name}]" if ":" in name else name
        return f"http{'s' if is_tls else ''}://{shown}:{port}"

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        also: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
        can_repeat: bool = True,
        client: Service | None = None,
    ) -> Answer:
        """Return the answer to a request, of the store's server or of another one's ``client``.

        Its status is 200 to 299 or one of ``also``.

        Raises: StoreError (store-limit: the request is too large; store-unreachable, store-refused, store-missing,
        store-busy, store-answer).
        """
        answer = (client or self.http).ask(
            method,
            path,
            query=query,
            body=body,
            also={*also, *self.too_large},
            headers=headers,
            can_repeat=can_repeat,
        )
        if answer.status in self.too_large and answer.status not in also:
            said = f": {words}" if (words := answer.words()) else ""
            raise StoreError(
                f"{answer.where} does not take a request of that size ({answer.status}{said})", code="store-limit"
            )
        return answer

    @contextmanager
    def asking_ahead(self) -> Iterator[Callable[..., Callable[[], Answer]]]:
        """Give a function that begins to ask, for the length of a generator; what it returns waits for the answer.

        An engine in this process is asked when the answer is wanted: there is nothing to gain by a thread, and one that
        runs on after the folder was let go would open it again.
        """
        if self.is_folder:
            yield partial
            return
        with reading_ahead(1, self.readings) as pool:
            yield lambda ask, *given: pool.submit(ask, *given).result

    def close(self) -> None:
        """End what is read, and the connections."""
        super().close()
        if "http" in self.__dict__:
            self.http.close()


def is_local(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
