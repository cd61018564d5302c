"""What a vmig file or store holds, in numbers: read once, as a stream, in memory that grows by 8 bytes a record."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import orjson

from vexrepo.errors import InvalidData
from vexrepo.exchange.reading import iter_selected
from vexrepo.objects import record, vector
from vexrepo.objects.record import Record, split_key
from vexrepo.objects.selection import Selection, component_of
from vexrepo.objects.timestamp import time_us
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.jsonl import BATCH, JsonlStore
from vexrepo.storage.beside import Beside, is_worthwhile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MANY = 10_000  # different values are counted one by one up to this many
SPLIT_BYTES = 48 << 20  # files below this are read by one process
DAY_US = 86_400_000_000
UNIT = 1e-3  # how far from 1 a vector of unit length may be
_EXACT_LENGTHS = 10_000  # longer texts are counted to three digits

Advance = Callable[[int], None]
Value = TypeVar("Value")


@dataclass
class Tally(Generic[Value]):
    """Counts by value, for MANY different values; ``beyond`` counts the rest together."""

    counts: Counter[Value] = field(default_factory=Counter)
    beyond: int = 0

    def add(self, value: Value, amount: int = 1) -> None:
        """Count a value."""
        if value in self.counts or len(self.counts) < MANY:
            self.counts[value] += amount
        else:
            self.beyond += amount

    def add_all(self, values: Iterable[Value]) -> None:
        """Count many values."""
        for value, amount in Counter(values).items():
            self.add(value, amount)

    def merge(self, other: Tally[Value]) -> None:
        """Add the counts of another tally."""
        for value, amount in other.counts.items():
            self.add(value, amount)
        self.beyond += other.beyond

    def top(self, number: int) -> list[tuple[Value, int]]:
        """Return the most frequent values."""
        return self.counts.most_common(number)


@dataclass
class Lengths:
    """The lengths of vectors: exact ends and mean; ``rounded`` counts them to three digits."""

    count: int = 0
    total: float = 0.0
    least: float = float("inf")
    most: float = 0.0
    unit: int = 0
    zero: int = 0
    rounded: Tally[float] = field(default_factory=Tally)

    def add(self, norms: NDArray[np.float64]) -> None:
        """Count the lengths of some vectors."""
        import numpy as np

        self.count += len(norms)
        self.total += float(norms.sum())
        self.least = min(self.least, float(norms.min()))
        self.most = max(self.most, float(norms.max()))
        self.unit += int((np.abs(norms - 1) <= UNIT).sum())
        self.zero += int((norms == 0).sum())
        capped = np.minimum(norms, np.finfo(np.float32).max)
        values, amounts = np.unique(capped.astype(np.float32), return_counts=True)
        for value, amount in zip(values.tolist(), amounts.tolist(), strict=True):
            self.rounded.add(float(f"{value:.3g}"), amount)

    def merge(self, other: Lengths) -> None:
        """Add the lengths of others."""
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.unit += other.unit
        self.zero += other.zero
        self.rounded.merge(other.rounded)

    @property
    def mean(self) -> float:
        """The mean length."""
        return min(self.total / self.count, self.most) if self.count else 0.0  # a sum may be too large for a double


class _Seen(NamedTuple):
    """Values of a batch of records, to be counted together."""

    namespaces: list[str]
    components: list[str]
    sources: list[str]
    metadata: list[tuple[str, str]]
    days: list[int]


@dataclass
class Summary:
    """What records hold.  ``days`` counts by days since 1970 (UTC), ``metadata`` by (name, JSON type)."""

    records: int = 0
    with_text: int = 0
    with_vector: int = 0
    with_neither: int = 0
    namespaces: Tally[str] = field(default_factory=Tally)
    components: Tally[str] = field(default_factory=Tally)
    sources: Tally[str] = field(default_factory=Tally)
    spaces: Tally[Space] = field(default_factory=Tally)
    metadata: Tally[tuple[str, str]] = field(default_factory=Tally)
    days: Tally[int] = field(default_factory=Tally)
    earliest_us: int | None = None
    latest_us: int | None = None
    undated: int = 0
    text_lengths: Tally[int] = field(default_factory=Tally)
    longest: int = 0
    texts: bytearray = field(default_factory=bytearray)  # 8 bytes of hash a text
    lengths: Lengths = field(default_factory=Lengths)
    edges: Tally[str] = field(default_factory=Tally)
    problems: Tally[str] = field(default_factory=Tally)

    def take(self, items: Iterable[Record]) -> None:
        """Take a batch of records."""
        rows: dict[Space, list[bytes]] = {}
        seen = _Seen([], [], [], [], [])
        for item in items:
            self._take_one(item, _members_of(item.body), seen)
            for space, row in item.vectors:
                rows.setdefault(space, []).append(row)
        for space, found in rows.items():
            self.spaces.add(space, len(found))
            self.lengths.add(_norms(space, found))
        for name, values in seen._asdict().items():
            getattr(self, name).add_all(values)

    def _take_one(self, item: Record, value: dict[str, Any], seen: _Seen) -> None:
        self.records += 1
        self.with_vector += bool(item.vectors)
        text = value.get("text")
        if isinstance(text, str) and text:
            self.with_text += 1
            self._take_text(text)
        elif not item.vectors:
            self.with_neither += 1
        seen.namespaces.append(split_key(item.key)[0])
        seen.components.append(component_of(value))
        source = value.get("source_store")
        seen.sources.append(source if isinstance(source, str) else "")
        made = time_us(value.get("created_at"))
        if made is None:
            self.undated += 1
        else:
            seen.days.append(made // DAY_US)
            if self.earliest_us is None or made < self.earliest_us:
                self.earliest_us = made
            if self.latest_us is None or made > self.latest_us:
                self.latest_us = made
        metadata = value.get("metadata")
        if isinstance(metadata, dict):
            seen.metadata.extend([(name, _TYPES[type(member)]) for name, member in metadata.items()])

    def _take_text(self, text: str) -> None:
        size = len(text)
        self.longest = max(self.longest, size)
        if size > _EXACT_LENGTHS:
            size = int(float(f"{size:.3g}"))
        self.text_lengths.add(size)
        self.texts += hashlib.blake2b(text.encode(), digest_size=8).digest()

    def note(self, error: InvalidData) -> None:
        """Take a record that cannot be read."""
        self.problems.add(error.code)

    def merge(self, other: Summary) -> None:
        """Add what another summary counted."""
        for name in ("records", "with_text", "with_vector", "with_neither", "undated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _MERGED:
            getattr(self, name).merge(getattr(other, name))
        self.texts += other.texts
        self.longest = max(self.longest, other.longest)
        ends = [each for each in (self.earliest_us, other.earliest_us) if each is not None]
        self.earliest_us = min(ends, default=None)
        ends = [each for each in (self.latest_us, other.latest_us) if each is not None]
        self.latest_us = max(ends, default=None)

    def repeated_texts(self) -> tuple[int, int]:
        """Return (texts that several records have, those records), told apart by 64 bits of their hashes."""
        import numpy as np

        _, amounts = np.unique(np.frombuffer(self.texts, np.uint64), return_counts=True)
        repeated = amounts[amounts > 1]
        return len(repeated), int(repeated.sum())

    def text_length_at(self, share: float) -> int:
        """Return the length that this share of the texts does not exceed."""
        wanted, seen = share * sum(self.text_lengths.counts.values()), 0
        for size, amount in sorted(self.text_lengths.counts.items()):
            seen += amount
            if seen >= wanted:
                return size
        return 0

    def by_space(self, key: Callable[[Space], Value]) -> Counter[Value]:
        """Return the number of vectors by a property of their embedding space."""
        found: Counter[Value] = Counter()
        for space, amount in self.spaces.counts.items():
            found[key(space)] += amount
        return found


def _members_of(body: bytes) -> dict[str, Any]:
    """Return the members of a body that is known to be canonical."""
    try:
        found: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError:  # an integer above the range of a double
        return record.body_value(body)
    return found


_MERGED = ("namespaces", "components", "sources", "spaces", "metadata", "days", "text_lengths", "lengths", "problems")
_TYPES: dict[type, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    list: "array",
    dict: "object",
}


def _norms(space: Space, rows: list[bytes]) -> NDArray[np.float64]:
    """Return the Euclidean lengths of vectors; every row of a multi one counts."""
    import numpy as np

    if space.kind == "sparse":
        return np.array([_length(vector.floats(space, row)) for row in rows])
    kind = "<f8" if space.dtype == "f64" else "<f4"
    values = np.frombuffer(b"".join(rows), kind).reshape(-1, space.dims).astype(np.float64, copy=False)
    with np.errstate(over="ignore"):
        found: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", values, values))
    for row in np.flatnonzero(~np.isfinite(found)).tolist():
        found[row] = _length(values[row])
    return found


def _length(values: NDArray[Any]) -> float:
    """Return the length of one vector, whose squares may be too large for a double."""
    import numpy as np

    largest = float(np.abs(values).max(initial=0))
    if not largest:
        return 0.0
    return min(largest * float(np.linalg.norm(values.astype(np.float64) / largest)), sys.float_info.max)


# -- reading -------------------------------------------------------------------------------------------------------


def inspect(
    store: Store,
    selection: Selection | None = None,
    *,
    limit: int | None = None,
    advance: Advance = lambda amount: None,
) -> Summary:
    """Return what the selected records of a store hold; records that cannot be read are counted by code.

    ``advance`` is told bytes of a file or records of another store.
    """
    if isinstance(store, JsonlStore):
        if limit is None and store.size_bytes >= SPLIT_BYTES and is_worthwhile():
            middle = store.size_bytes // 2
            with Beside(_read_half, store, selection, middle) as second:
                # Both halves take about as long, so this one's progress counts for two.
                summary = _read_lines(store, selection, 0, middle, None, lambda amount: advance(2 * amount))
                summary.merge(second.result())
            return summary
        return _read_lines(store, selection, 0, None, limit, advance)
    summary = Summary()
    left = limit
    for batch in iter_selected(store, selection, summary.note):
        items = [item.record for item in batch][:left]
        summary.take(items)
        advance(len(batch))
        if left is not None:
            left -= len(items)
            if left <= 0:
                break
    if store.holds_edges and not selection and limit is None:
        for edge in store.edges():
            summary.edges.add(str(record.body_value(edge.body).get("type")))
    return summary


def _read_half(store: JsonlStore, selection: Selection | None, start: int) -> Summary:
    return _read_lines(store, selection, start, None, None, lambda amount: None)


def _read_lines(
    store: JsonlStore, selection: Selection | None, start: int, end: int | None, limit: int | None, advance: Advance
) -> Summary:
    summary = Summary()

    def records() -> Iterator[Record]:
        for offset, line in store.lines(start, end):
            advance(len(line))
            try:
                found = store.parse(offset, line)
            except InvalidData as error:
                summary.note(error)
                continue
            if not selection or selection.accepts(found.key, lambda found=found: found.body):  # type: ignore[misc]
                yield found

    selected = records() if limit is None else islice(records(), limit)
    while batch := list(islice(selected, BATCH)):
        summary.take(batch)
    return summary
