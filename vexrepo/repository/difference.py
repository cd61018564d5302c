"""Differences between revisions and stores, as values a command can show."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vexrepo.history import build
from vexrepo.history.baseline import iter_record_ids
from vexrepo.history.diff import diff_trees
from vexrepo.history.fields import ABSENT
from vexrepo.history.walk import RecordAt, find_record, iter_records
from vexrepo.objects import canonical
from vexrepo.objects.digest import CommitId, RecordId
from vexrepo.objects.record import Record, body_value
from vexrepo.objects.selection import Selection
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.vector import MAIN, Vector, floats
from vexrepo.remotes import linecache
from vexrepo.remotes.intake import Tally, iter_edits, take_in
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository.core import Core
from vexrepo.storage.files import Files
from vexrepo.storage.store import ObjectStore


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


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One member that differs: a path like ``text`` or ``metadata.importance``; ``absent`` where it is missing."""

    path: str
    old: Any
    new: Any


_SIMPLE = frozenset((str, int, float, bool, type(None)))  # equal values have the same canonical form


@dataclass(frozen=True, slots=True)
class VectorChange:
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
) -> Iterator[Difference]:
    """Yield what changed from a commit to what a store holds now; with ``reverse``, the other way round."""
    root = repository.records_root(commit)
    cache = None
    if repository.config["core.line_cache"]:
        cache = linecache.path_for(repository.folder / "cache", repository.store_name(address))
    with repository.scratch() as scratch:
        found = _against(repository.objects, root, address, scratch, cache)
        for change in _selected(found, selection):
            yield Difference(change.key, change.new, change.old) if reverse else change


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
    objects: ObjectStore, root: TreeRoot | None, address: Address, scratch: Path, cache: Path | None
) -> Iterator[Difference]:
    with open_store(address) as store:
        intake = take_in(store, iter_record_ids(objects, root) if root else (), scratch, cache=cache)
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
    old = body_value(change.old.body) if change.old else {}
    new = body_value(change.new.body) if change.new else {}
    found: list[FieldChange] = []
    _compare("", old, new, found, nested=("metadata",))
    return found


def _compare(
    prefix: str, old: dict[str, Any], new: dict[str, Any], found: list[FieldChange], nested: tuple[str, ...]
) -> None:
    for name in sorted({*old, *new}):
        a, b = old.get(name, ABSENT), new.get(name, ABSENT)
        if _same(a, b):
            continue
        if name in nested and isinstance(a, dict) and isinstance(b, dict):
            _compare(f"{prefix}{name}.", a, b, found, ())
        else:
            found.append(FieldChange(prefix + name, a, b))


def _same(a: Any, b: Any) -> bool:
    """Whether two members are there and have the same canonical form."""
    if type(a) is type(b) and type(a) in _SIMPLE:
        return bool(a == b)
    return a is not ABSENT and b is not ABSENT and canonical.encode(a) == canonical.encode(b)


def vector_changes(change: Difference, mode: str = "exact") -> list[VectorChange]:
    """Return the vectors that differ.  ``mode``: ``exact``, ``scale`` (lengths do not count), ``ignore``."""
    if mode == "ignore" or change.old is None or change.new is None:
        return []
    if isinstance(change.old, RecordAt) and isinstance(change.new, RecordAt):
        a_reader, b_reader = change.old.reader, change.new.reader
        if a_reader.vector_places(change.old.row) == b_reader.vector_places(change.new.row):
            return []
    old = {item.space.name: item for item in change.old.record.vectors}
    new = {item.space.name: item for item in change.new.record.vectors}
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
    import numpy as np

    if a.space.kind != "dense" or b.space.kind != "dense" or a.space.dims != b.space.dims:
        return None, False
    x, y = floats(a.space, a.row).astype(np.float64), floats(b.space, b.row).astype(np.float64)
    # Dividing by the largest component first keeps the sums of squares inside the range of a double.
    big_x, big_y = float(np.abs(x).max()), float(np.abs(y).max())
    if not big_x or not big_y:
        return (0.0 if big_x == big_y else None), big_x == big_y
    x, y = x / big_x, y / big_y
    norm_x, norm_y = float(np.sqrt(x @ x)), float(np.sqrt(y @ y))
    unit_x, unit_y = x / norm_x, y / norm_y
    # 1 − cos as half the squared distance of the unit vectors: exact for near ones, where 1 − cos cancels.
    gap = unit_x - unit_y
    distance = min(2.0, float(gap @ gap) / 2)
    return distance, bool(np.abs(gap).max() <= 1e-6)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder for differences that need no repository."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="vex-") as folder:
        yield Path(folder)
