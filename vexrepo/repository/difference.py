"""Differences between revisions and stores, as values a command can show."""

from __future__ import annotations

import contextlib
import marshal
import math
import operator
import struct
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vexrepo.history.diff import Span, diff_span, diff_trees, differing_spans
from vexrepo.history.fields import ABSENT
from vexrepo.history.walk import RecordAt, find_record, iter_records
from vexrepo.objects import canonical
from vexrepo.objects.digest import CommitId, RecordId
from vexrepo.objects.record import Record, body_value
from vexrepo.objects.selection import Selection
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.vector import MAIN, Vector
from vexrepo.remotes.stores.address import Address
from vexrepo.repository.core import Core
from vexrepo.storage.beside import BesideStream, is_worthwhile
from vexrepo.storage.files import Files
from vexrepo.storage.store import ObjectStore

MANY_SPANS = 16  # that differ: enough to be worth a second process
PART_SPANS = 8  # compared by one of two processes before it is the other's turn
HELD = 2  # parts that wait to be printed
_TINY, _HUGE = 1e-100, 1e100


@dataclass(frozen=True, slots=True)
class Loose:
    """A record that is in no repository yet."""

    record: Record

    @property
    def id(self) -> RecordId:
        """The record's id."""
        return self.record.id

    @property
    def body(self) -> bytes:
        """The record's body."""
        return self.record.body


class Difference(NamedTuple):
    """One memory that differs; ``old`` None: learned, ``new`` None: forgotten."""

    key: bytes
    old: RecordAt | Loose | None
    new: RecordAt | Loose | None

    @property
    def kind(self) -> str:
        """``learned``, ``changed`` or ``forgotten``."""
        return "learned" if self.old is None else "forgotten" if self.new is None else "changed"


class FieldChange(NamedTuple):
    """One member that differs: a path like ``text`` or ``metadata.importance``; ``absent`` where it is missing."""

    path: str
    old: Any
    new: Any


_SIMPLE = frozenset((str, int, float, bool, type(None)))  # equal values have the same canonical form


class VectorChange(NamedTuple):
    """One vector that differs.  ``distance`` is cosine distance (0 same direction … 2 opposite), None where the

    two cannot be compared; ``scaled`` says that they are the same but for length.
    """

    name: str
    old: Vector | None
    new: Vector | None
    distance: float | None
    scaled: bool


def diff_commits(
    repository: Core, old: CommitId, new: CommitId, selection: Selection | None = None
) -> Iterator[Difference]:
    """Yield what changed from one commit to another, in key order."""
    a, b = repository.records_root(old), repository.records_root(new)
    assert a is not None and b is not None
    yield from _selected((Difference(*change) for change in diff_trees(repository.objects, a, b)), selection)


def diff_with_store(
    repository: Core,
    commit: CommitId | None,
    address: Address,
    selection: Selection | None = None,
    *,
    reverse: bool = False,
    advance: Callable[[int], None] = lambda amount: None,
) -> Iterator[Difference]:
    """Yield what changed from a commit to what a store holds now; with ``reverse``, the other way round.

    ``advance`` is told how much more was read: memories, or bytes of a file of lines.
    """
    from vexrepo.remotes import rawcache

    root = repository.records_root(commit)
    cache = None
    if repository.config["core.line_cache"]:
        cache = rawcache.path_for(repository.folder / "cache", repository.store_name(address))
    with repository.scratch() as scratch:
        applied = repository.last_seen(address)
        held = applied.records if applied else None
        found = _against(repository.objects, root, address, scratch, cache, held, advance)
        for change in _selected(found, selection):
            yield Difference(change.key, change.new, change.old) if reverse else change


class Shown(NamedTuple):
    """A difference in the words of whoever shows it."""

    key: bytes
    kind: str
    text: str


def show_commits(
    repository: Core,
    old: CommitId,
    new: CommitId,
    show: Callable[[Difference], str | None],
    selection: Selection | None = None,
) -> Generator[Shown, None, None]:
    """Yield what changed from one commit to another, in key order, as ``show`` says it; where it gives None, nothing.

    Where much changed, a second process shows every second part.
    """
    a, b = repository.records_root(old), repository.records_root(new)
    assert a is not None and b is not None
    objects = repository.objects

    def shown(spans: list[Span]) -> Iterator[tuple[bytes, str, str]]:
        changes = (Difference(*change) for span in spans for change in diff_span(objects, span))
        for change in _selected(changes, selection):
            text = show(change)
            if text is not None:
                yield change.key, change.kind, text

    spans = differing_spans(objects, a, b)
    if len(spans) < MANY_SPANS or sys.platform != "linux" or not is_worthwhile():
        yield from map(Shown._make, shown(spans))
        return
    parts = [spans[at : at + PART_SPANS] for at in range(0, len(spans), PART_SPANS)]
    with BesideStream(lambda: (marshal.dumps(list(shown(part))) for part in parts[1::2]), held=HELD) as second:
        for number, part in enumerate(parts):
            yield from map(Shown._make, marshal.loads(second.take()) if number % 2 else shown(part))


class EdgeDifference(NamedTuple):
    """One graph edge that differs; ``old`` None: added, ``new`` None: removed."""

    key: bytes
    old: Record | None
    new: Record | None


def diff_edges(repository: Core, old: CommitId, new: CommitId) -> list[EdgeDifference]:
    """Return the graph edges that differ between two commits."""
    a, b = repository.snapshot_of(old), repository.snapshot_of(new)
    assert a is not None and b is not None
    return [
        EdgeDifference(change.key, change.old.record if change.old else None, change.new.record if change.new else None)
        for change in diff_trees(repository.objects, a.edges, b.edges)
    ]


def diff_edges_with_store(repository: Core, commit: CommitId | None, address: Address) -> list[EdgeDifference]:
    """Return the graph edges that differ between a commit and a store; none where the store keeps no edges."""
    from vexrepo.remotes.stores.registry import open_store

    snapshot = repository.snapshot_of(commit)
    with open_store(address) as store:
        if not store.holds_edges:
            return []
        new = {edge.key: edge for edge in store.edges()}
    old = {edge.key: edge for edge in iter_records(repository.objects, snapshot.edges)} if snapshot else {}
    return [
        EdgeDifference(key, old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if key not in old or key not in new or old[key].id != new[key].id
    ]


def diff_stores(old: Address, new: Address, scratch: Path, selection: Selection | None = None) -> Iterator[Difference]:
    """Yield what changed from one store to another; needs no repository, only a scratch folder."""
    from vexrepo.history import build
    from vexrepo.remotes.intake import Tally, iter_edits, take_in
    from vexrepo.remotes.stores.registry import open_store

    files = Files()
    objects = ObjectStore(scratch / "packs", files)
    with objects.writer() as writer:
        root = None
        with open_store(old) as store:
            intake = take_in(store, (), scratch)
            edits = iter_edits(objects, None, intake, Tally())
            root = build.edit_tree(None, writer, None, edits, 1024)
        writer.finish()
    yield from _selected(_against(objects, root, new, scratch, None), selection)
    objects.close()


def _against(
    objects: ObjectStore,
    root: TreeRoot | None,
    address: Address,
    scratch: Path,
    cache: Path | None,
    applied: TreeRoot | None = None,
    advance: Callable[[int], None] = lambda amount: None,
) -> Iterator[Difference]:
    from vexrepo.history.baseline import iter_record_ids
    from vexrepo.remotes.intake import Tally, iter_edits, reconcile, take_in
    from vexrepo.remotes.stores.registry import open_store

    with open_store(address) as store:
        intake = take_in(store, iter_record_ids(objects, root) if root else (), scratch, cache=cache, advance=advance)
        reconcile(objects, (root, applied), intake, scratch)
        for edit in iter_edits(objects, root, intake, Tally()):
            old = find_record(objects, root, edit.key) if root else None
            yield Difference(edit.key, old, Loose(edit.record) if edit.record else None)


def _selected(changes: Iterator[Difference], selection: Selection | None) -> Iterator[Difference]:
    for change in changes:
        if not selection or any(
            side is not None and selection.accepts(change.key, _body_of(side)) for side in (change.old, change.new)
        ):
            yield change


def _body_of(side: RecordAt | Loose) -> Callable[[], bytes]:
    return lambda: side.body


def field_changes(change: Difference) -> list[FieldChange]:
    """Return the members of the body that differ, metadata by its own members."""
    return compare_bodies(
        body_value(change.old.body) if change.old else {}, body_value(change.new.body) if change.new else {}
    )


def compare_bodies(old: dict[str, Any], new: dict[str, Any]) -> list[FieldChange]:
    """Return the members of two bodies that differ, metadata by its own members."""
    found: list[FieldChange] = []
    _compare("", old, new, found, nested=("metadata",))
    return found


def _compare(
    prefix: str, old: dict[str, Any], new: dict[str, Any], found: list[FieldChange], nested: tuple[str, ...]
) -> None:
    # Most members are simple and equal, and settled at once.
    perhaps = [
        name
        for name, a in old.items()
        if name not in new or type(a) is not type(b := new[name]) or type(a) not in _SIMPLE or a != b
    ]
    perhaps += [name for name in new if name not in old]
    for name in sorted(perhaps):
        a, b = old.get(name, ABSENT), new.get(name, ABSENT)
        if name in nested and isinstance(a, dict) and isinstance(b, dict):
            _compare(f"{prefix}{name}.", a, b, found, ())
        elif a is ABSENT or b is ABSENT or canonical.encode(a) != canonical.encode(b):
            found.append(FieldChange(prefix + name, a, b))


def vector_changes(change: Difference, mode: str = "exact") -> list[VectorChange]:
    """Return the vectors that differ.  ``mode``: ``exact``, ``scale`` (lengths do not count), ``ignore``."""
    if mode == "ignore" or change.old is None or change.new is None:
        return []
    if isinstance(change.old, RecordAt) and isinstance(change.new, RecordAt):
        a_reader, b_reader = change.old.reader, change.new.reader
        if a_reader.vector_places(change.old.row) == b_reader.vector_places(change.new.row):
            return []
    before, after = (
        side.reader.row_vectors(side.row) if isinstance(side, RecordAt) else side.record.vectors
        for side in (change.old, change.new)
    )
    if before == after:
        return []
    old = {item.space.name: item for item in before}
    new = {item.space.name: item for item in after}
    found = []
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if a == b:
            continue
        distance, scaled = (None, False) if a is None or b is None else _distance(a, b)
        if mode == "scale" and scaled:
            continue
        found.append(VectorChange(name or "vector" if name == MAIN else name, a, b, distance, scaled))
    return found


def _distance(a: Vector, b: Vector) -> tuple[float | None, bool]:
    if a.space.kind != "dense" or b.space.kind != "dense" or a.space.dims != b.space.dims:
        return None, False
    # Without numpy: for a handful of vectors loading it takes longer, and its sums differ between processors.
    x, y = _doubles(a), _doubles(b)
    length_x, length_y = math.hypot(*x), math.hypot(*y)
    if not length_x or not length_y:
        return (0.0 if length_x == length_y else None), length_x == length_y
    if not (_TINY < length_x < _HUGE and _TINY < length_y < _HUGE):
        # Dividing by the largest component first keeps what follows inside the range of a double.
        x, y = ([value / max(map(abs, values)) for value in values] for values in (x, y))
        length_x, length_y = math.hypot(*x), math.hypot(*y)
    # 1 − cos as half the squared distance of the unit vectors: exact for near ones, where 1 − cos cancels.
    apart = math.dist(x, y)
    turned = apart * apart - (length_x - length_y) ** 2
    if turned > apart * apart / 2 and turned > length_x * length_y * len(x) * 1e-11:  # neither cancels nor is tiny
        return min(2.0, turned / (2 * length_x * length_y)), False
    scale = length_x / length_y
    y = [value * scale for value in y]
    gap = math.dist(x, y) / length_x
    scaled = gap <= 1e-6 or (
        gap <= 1e-6 * math.sqrt(len(x)) and max(map(abs, map(operator.sub, x, y))) <= 1e-6 * length_x
    )
    return min(2.0, gap * gap / 2), scaled


def _doubles(vector: Vector) -> Sequence[float]:
    return struct.unpack(f"<{vector.space.dims}{'d' if vector.space.dtype == 'f64' else 'f'}", vector.row)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder for differences that need no repository."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="vex-") as folder:
        yield Path(folder)
