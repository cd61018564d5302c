"""What a host is: a place that keeps opaque files and can replace its tip, if that is still what the writer saw.

Hosts know nothing of memory or keys.  Sealing, retrying and the meaning of the files are the business of those above
(``vault``).  The contract suite every host passes is ``vexrepo.testing.hosts``; the protocol is remotes/PROTOCOL.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from vexrepo.errors import HostError


class HostMoved(HostError):
    """The tip is not what was expected: somebody else published meanwhile.  Nothing was changed."""


class OutcomeUnknown(HostError):
    """The connection ended after the files were sent and before an answer came: they may have been published or not."""


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file at a host: its id there (for Git the hexadecimal id of its blob), and its size where that is known.

    ``mode`` is Git's.  Ours are plain files; what others put there (a symbolic link, a submodule) keeps its mode.
    """

    id: str
    size: int | None = field(default=None, compare=False)
    mode: int = 0o100644


@dataclass(frozen=True, slots=True)
class Tip:
    """What a host holds at one moment: ``version`` names the moment, ``files`` maps paths to files."""

    version: str
    files: Mapping[str, HostFile]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a host takes: bytes of one file, and of all the files of one ``publish``.  None: no known limit."""

    file_bytes: int | None = None
    push_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A user's name and secret for a host, and for messages where they come from: "VEX_TOKEN", "the keyring"."""

    user: str
    secret: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach hosts: secrets and the network's particulars, from the command line's edge.

    ``token`` is asked for (with the URL) when a host may want one; ``refused`` is told (the URL) when it was refused.
    ``ssh_command`` replaces ``ssh``; ``proxy`` and ``ca_file`` are for HTTP; ``timeout_s`` is how long to wait for an
    answer, ``connect_s`` for a connection.  ``scratch`` is a folder for temporary
    files, the system's where it is None.  ``progress`` is told (what, done, total), in bytes; ``notice``, once each,
    what a user should know: that a host has no partial clone, for one.  Secrets never show in ``repr``.
    """

    token: Callable[[str], Token | None] = field(default=lambda url: None, repr=False)
    refused: Callable[[str], None] = field(default=lambda url: None, repr=False)
    ssh_command: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    ca_file: Path | None = None
    scratch: Path | None = None
    timeout_s: float = 60.0
    connect_s: float = 10.0
    progress: Callable[[str, int, int | None], None] = lambda what, done, total: None
    notice: Callable[[str], None] = lambda text: None


class Host(ABC):
    """A host, open on one address.  Used as a context manager; ``close`` releases connections."""

    kind: ClassVar[str]

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    @abstractmethod
    def open(cls, url: str, access: Access) -> Self:
        """Return the host at a URL, without talking to it yet.  Raises: UsageError (bad-address)."""

    @abstractmethod
    def read_tip(self) -> Tip | None:
        """Return what the host holds now, None for an empty one.

        Raises: HostError (host-unreachable, host-refused, host-missing, host-answer).
        """

    def peek(self) -> str | None:
        """Return the version of what the host holds now, None for an empty one; asks once, and for as little as it can.

        Raises: as ``read_tip``.
        """
        tip = self.read_tip()
        return tip.version if tip is not None else None

    @abstractmethod
    def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (path, content) of files of a tip, each once, in any order; memory holds one at a time.

        Every content has the id the tip gives.  Raises: HostError (…, host-file-missing).
        """

    @abstractmethod
    def publish(
        self,
        expected: Tip | None,
        add: Mapping[str, Path | bytes],
        remove: Collection[str] = (),
        *,
        alone: bool = False,
    ) -> Tip:
        """Replace the tip by one with files added (or replaced) and removed, if it is still ``expected`` (None: empty).

        ``alone`` leaves the history before it behind (an orphan commit under a lease).
        Raises: HostMoved (host-moved), OutcomeUnknown (host-no-answer), HostError (host-refused, host-limit, …).
        """

    @property
    def limits(self) -> Limits:
        """Return what the host is known to take; ``publish`` refuses more (host-limit) before it sends anything."""
        return Limits()

    def recall(self, tip: Tip) -> None:  # noqa: B027 - a help only
        """Say what tip was seen here last, in an earlier run: while it is still there its files need no asking for."""

    def close(self) -> None:  # noqa: B027 - many hosts hold nothing open
        """Release connections and files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
