"""What a connector is: one class that reads a live store as records and writes records into it.

The core does the rest: sorting, comparing, the order of writes, progress, reports.  A connector reads lazily,
never invents a value that the store does not hold, and never drops one: what the store cannot hold natively is
carried in a reserved field (``carry.py``) so that what was written is read back (law 4 of the design).
The contract suite every connector passes is ``vexrepo.testing.stores``.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple, Self

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects.record import Record
from vexrepo.remotes.stores.address import Address

LEFT: Final = "left"  # of what is kept of a collection: what of it is not made again


@dataclass(frozen=True, slots=True)
class Description:
    """What a store is now.

    ``count`` records; ``config`` whatever is needed to create the store again as it is (JSON, canonical-ready);
    ``fingerprint`` changes whenever the content may have changed (None: cannot tell without reading).
    """

    count: int | None
    config: dict[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None


class Sourced(NamedTuple):
    """A record as read, and where: ``place`` is what ``Store.place`` turns into words (a line, a row)."""

    record: Record
    place: int


class Cursor(NamedTuple):
    """How far a scan has come: the native id of the last record, and its place."""

    last: str
    place: int


class Raw(NamedTuple):
    """Some records as the bytes each is made of, with their places; ``amount`` is what progress counts of them."""

    places: Sequence[int]
    pieces: Sequence[bytes | memoryview]
    amount: int


class RawScan(ABC):
    """A scan that gives each record as bytes, of which it is made only when it is asked for.

    Whoever knows which record some bytes are goes without making it.  ``decided_by`` is all that decides, beside its
    bytes, which record a piece is: options, the names and types of columns, …  Where these are the same texts, the same
    bytes are the same record, whenever they are read.
    """

    decided_by: Sequence[str]

    @abstractmethod
    def batches(self) -> Generator[Raw, None, None]:
        """Yield every record of the store, in batches, in any order.  Nothing is asked of the store before.

        Closed by whoever leaves it early.
        """

    @abstractmethod
    def records(self, raw: Raw, on_problem: Callable[[InvalidData], None] | None = None) -> list[Sourced]:
        """Return the records of some pieces of the batch that was given last, in order; problems as ``Store.scan``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a checkout wants written.

    A store that edits in place takes ``upserts`` (each a whole record, replacing the one of its key) before
    ``deletes`` (keys); one that can only be written anew takes ``records``: the complete wanted content, in key
    order.  Likewise for edges.  Iterables are lazy and are read once.  Where ``blocks`` is given, ``records`` can
    also be had as blocks by two processes: ``order`` says which process makes the next block, and blocks(0) and
    blocks(1) yield those of each.  Where ``lines`` is given, ``records`` can also be had as the lines of a vmig file
    they come from, to be written as they are.

    ``is_at_hand``: the records come as quickly as this machine reads them, so that a store may hold other writers off
    while they come.

    An import says a little more than a checkout, which leaves these alone: ``now_us`` is the time that a store
    which notes when a row came or was changed may note; ``keep_unnamed`` leaves native columns as they are that
    the record replacing a row does not name; ``link`` asks for the graph edges that the agent's own tools build
    between the records (a store without such edges takes no notice).
    """

    upserts: Callable[[], Iterator[Record]]
    deletes: Sequence[bytes]
    records: Callable[[], Iterator[Record]]
    edge_upserts: Sequence[Record] = ()
    edge_deletes: Sequence[Record] = ()
    edges: Callable[[], Iterator[Record]] = lambda: iter(())
    config: dict[str, Any] = field(default_factory=dict)
    expected: str | None = None  # the fingerprint the plan was made at: a store that moved on since refuses it
    blocks: Callable[[int], Iterator[list[Record]]] | None = None
    order: Sequence[int] = ()
    lines: Callable[[], Iterator[bytes]] | None = None
    advance: Callable[[int], None] = lambda count: None
    now_us: int | None = None
    keep_unnamed: bool = False
    link: bool = False
    is_at_hand: bool = True


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: records written and removed, the fingerprint afterwards, edges that were built."""

    upserted: int
    deleted: int
    fingerprint: str | None = None
    linked: int = 0


class Store(ABC):
    """A connector, open on one address.  Used as a context manager; ``close`` releases what it holds."""

    kind: ClassVar[str]
    rewrites: ClassVar[bool] = False  # can only be written as a whole
    keeps_others: ClassVar[bool] = True  # a transfer leaves what it does not bring, though it is all written anew
    holds_edges: ClassVar[bool] = False
    reads_snapshot: ClassVar[bool] = False  # a scan sees one moment, whatever is written meanwhile
    resumes: ClassVar[bool] = False  # a scan goes on after a cursor: records come in an order that does not change
    builds_edges: ClassVar[bool] = False  # takes notice of Plan.link
    writable: ClassVar[bool] = True
    secrets: ClassVar[Mapping[str, str]] = {}  # what Address.secrets must give, by name, with words for each
    writes_whole: ClassVar[bool] = True  # a write is done as a whole or not at all
    holds_others_off: ClassVar[bool] = False  # nobody writes between the last look at it and the end of a write
    is_forkable: ClassVar[bool] = True  # a second process may read through what this one opened
    checks_itself: ClassVar[bool] = False  # a write reads back all that it wrote before it counts
    shows_late: ClassVar[bool] = False  # what was written may be seen a moment later only
    scans_to_write: ClassVar[bool] = False  # a write needs a scan of all; one that came before is not done again

    end_turn: Callable[[], None] | None = None  # lets the next writer of the store, once this one is closed

    def __init__(self, address: Address) -> None:
        self.address = address

    @classmethod
    @abstractmethod
    def open(cls, address: Address, *, create: bool = False) -> Self:
        """Return the connector open on ``address``; with ``create``, a missing store is made when written to.

        Raises: StoreError (store-missing, store-unreadable, store-locked, store-corrupt, store-schema).
        """

    @abstractmethod
    def describe(self) -> Description:
        """Return what the store is now.  Cheap: does not read the records."""

    def kept_config(self) -> dict[str, Any]:
        """Return what is kept of how the collection is set up, so that another one is made and written as it is.

        And what of that is not made again (``left``), which is said where another one is made.
        """
        config = dict(self.describe().config)
        left = self.find_left() if config else []
        return {**config, LEFT: left} if left else config

    def find_left(self) -> list[str]:
        """Return, in words, what of how the collection is set up is not made again."""
        return []

    @abstractmethod
    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield every record of the store, in batches, in any order.

        A record that cannot be read raises InvalidData with a message naming file, place and id; with
        ``on_problem`` it is reported there instead and left out.
        """

    @contextlib.contextmanager
    def halved(self) -> Iterator[Store | None]:
        """Give a connector for a second process, forked from this one, that scans half of the records.

        This one scans the other half as long as that is held, and both see one moment.  None where that gains nothing
        or cannot be had: then this one scans all.  The second process closes what it was given.
        """
        yield None

    def scan_raw(self) -> RawScan | None:
        """Return a scan of the records as bytes, None where they are not to be had as that at little cost."""
        return None

    def scan_newest(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """As ``scan``, the newest records first where the store can tell, so that a reader may stop early."""
        return self.scan(on_problem)

    def scan_on(
        self, cursor: Cursor | None, on_problem: Callable[[InvalidData], None] | None = None
    ) -> Iterator[tuple[list[Sourced], Cursor | None]]:
        """As ``scan``, after a cursor; each batch with the one to go on from, None where the store does not resume."""
        for batch in self.scan(on_problem):
            yield batch, None

    def scan_nearest(
        self, query: Sequence[float], on_problem: Callable[[InvalidData], None] | None = None
    ) -> Iterator[list[Sourced]] | None:
        """As ``scan``, the records with a vector, the nearest to a query first by cosine, to float32's precision.

        So a reader may stop early.  None where the store cannot tell.
        """
        return None

    def read_keys(self, keys: Sequence[bytes]) -> Iterator[Record] | None:
        """Yield the records that the store has under some keys, in any order; None where it has to be scanned."""
        return None

    def edges(self) -> Iterator[Record]:
        """Yield the graph edges of the store (``vexrepo.objects.edge``)."""
        return iter(())

    @abstractmethod
    def write(self, plan: Plan) -> Written:
        """Make the store hold what ``plan`` wants, all or nothing where the store can.

        Raises: StoreError (store-cannot-hold or store-changed before anything is written, store-locked, …),
        StorageFailure (disk-full, disk-error).
        """

    def end_writing(self) -> None:  # noqa: B027 - many stores remember nothing
        """Let go of what was remembered for writing: from now on it is only read."""

    def rehearse(self, plan: Plan) -> None:
        """Take a plan's records, and write nothing: what can be known to be refused is, with what ``write`` raises.

        Raises: StoreError (store-cannot-hold, store-dims, …).
        """
        deque(plan.upserts(), maxlen=0)

    @property
    def alteration(self) -> str:
        """What is done to vectors, so that some come back otherwise than they were written; "" for nothing."""
        return ""

    @property
    def alters(self) -> bool:
        """Whether some vectors come back otherwise than they were written; ``settle`` undoes it."""
        return bool(self.alteration)

    @property
    def keeps_originals(self) -> bool:
        """Whether what it alters is as it was given once it is opened anew."""
        return False

    def settle(self, saved: Record, found: Record) -> Record:
        """Return a record read here with the vectors of one that was saved, where the store only altered those."""
        return found

    def check_expected(self, plan: Plan) -> None:
        """Raise StoreError (store-changed) if the store is not as it was when the plan was made."""
        if plan.expected is not None and self.describe().fingerprint != plan.expected:
            raise StoreError(
                f"{self.address} was changed by another program meanwhile; nothing was written: run the command again",
                code="store-changed",
            )

    def told_models(self) -> Iterable[tuple[str, str]]:
        """Return (namespace, model) of embeddings as far as the store can tell without being read as a whole."""
        return ()

    def mapping(self) -> dict[str, str]:
        """Return which part of the store each member of a record is, in words, for people; {} where it goes without."""
        return {}

    def place(self, place: int) -> str:
        """Return words for a place: ``memories.vmig.jsonl line 12``."""
        return f"{self.address.location} record {place}"

    def close(self) -> None:  # noqa: B027 - many stores hold nothing open
        """Release connections and files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.close()
        finally:
            if self.end_turn is not None:
                self.end_turn()


def was_closed(address: Address) -> StoreError:
    """Return the error for who still reads a store, or asks for more of it, after it was closed."""
    return StoreError(f"{address} was closed", code="store-unreachable")


def collect(records: Iterable[Record]) -> Plan:
    """Return a plan that writes exactly ``records`` (for tests and small tools)."""
    held = sorted(records)
    return Plan(upserts=lambda: iter(held), deletes=(), records=lambda: iter(held))
