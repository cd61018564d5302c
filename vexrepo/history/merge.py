"""Three-way merge of trees, record by record and field by field (law 3).

Only keys that both sides changed are looked into; what one side alone changed is taken over.  A field both
changed differently is decided by the policy or is a conflict, which is a value: never silently resolved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from vexrepo.history.build import Edit
from vexrepo.history.conflict import WHOLE, Conflict, Resolve, mark_conflicts
from vexrepo.history.diff import Change, diff_trees
from vexrepo.history.fields import (
    ABSENT,
    TEXT,
    VECTOR,
    Path,
    edge_of,
    fields_of,
    fit,
    is_mergeable,
    is_same,
    record_of,
)
from vexrepo.history.policy import UNDECIDED, Policy, Side, Sides
from vexrepo.history.walk import RecordAt
from vexrepo.objects.record import Record
from vexrepo.objects.selection import component_of
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.storage.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Merged:
    """One memory that both sides changed, merged.  In a conflict ``record`` has our value (None: forgotten).

    ``decided`` are the fields for which the policy chose; ``stale`` says that the vector is of another text than
    the merged one: it should be embedded again.
    """

    key: bytes
    record: Record | None
    conflicts: tuple[Conflict, ...] = ()
    decided: tuple[Path, ...] = ()
    stale: bool = False


@dataclass(slots=True)
class Outcome:
    """What a merge of two trees did, counted while its edits are taken."""

    learned: int = 0
    changed: int = 0
    forgotten: int = 0
    both: int = 0
    edges: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    decided: list[tuple[bytes, Path]] = field(default_factory=list)
    stale: list[bytes] = field(default_factory=list)


def undecided(conflict: Conflict) -> Any:
    """Decide nothing."""
    return UNDECIDED


def iter_merge_edits(
    store: ObjectStore,
    base: TreeRoot,
    ours: TreeRoot,
    theirs: TreeRoot,
    policy: Policy,
    outcome: Outcome,
    times_us: tuple[int, int] = (0, 0),
    resolve: Resolve = undecided,
    *,
    are_edges: bool = False,
    keep_conflicts: bool = False,
) -> Iterator[Edit]:
    """Yield the edits that turn our tree into the merged one, in key order; ``outcome`` is filled on the way.

    ``times_us`` are those of our and their commit; ``resolve`` is asked about what the policy leaves open;
    ``are_edges``: the trees hold graph edges.  With ``keep_conflicts``, records in conflict say so themselves.
    Memory holds a few leaves of each tree, whatever their size.
    """
    for mine, yours in _side_by_side(diff_trees(store, base, ours), diff_trees(store, base, theirs)):
        if yours is None:
            continue
        if mine is None:
            yield _count(Edit(yours.key, _record(yours.new)), yours.old is not None, outcome)
            continue
        if mine.new is not None and yours.new is not None and mine.new.id == yours.new.id:
            continue
        if mine.new is None and yours.new is None:
            continue
        outcome.both += 1
        merged = merge_record(
            mine.key,
            _record(mine.old),
            _record(mine.new),
            _record(yours.new),
            policy,
            times_us,
            resolve,
            is_edge=are_edges,
        )
        outcome.conflicts += merged.conflicts
        outcome.decided += [(mine.key, path) for path in merged.decided]
        if merged.stale:
            outcome.stale.append(mine.key)
        if merged.conflicts and keep_conflicts:
            merged = replace(merged, record=mark_conflicts(merged.record, merged.conflicts))
        had = mine.new
        if (had.id if had else None) != (merged.record.id if merged.record else None):
            yield _count(Edit(mine.key, merged.record), had is not None, outcome)


def _side_by_side(
    ours: Iterator[Change], theirs: Iterator[Change]
) -> Iterator[tuple[Change, None] | tuple[None, Change] | tuple[Change, Change]]:
    a, b = next(ours, None), next(theirs, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a.key < b.key):
            assert a is not None
            yield a, None
            a = next(ours, None)
        elif a is None or b.key < a.key:
            yield None, b
            b = next(theirs, None)
        else:
            yield a, b
            a, b = next(ours, None), next(theirs, None)


def _record(at: RecordAt | None) -> Record | None:
    return at.record if at is not None else None


def _count(edit: Edit, had: bool, outcome: Outcome) -> Edit:
    if edit.record is None:
        outcome.forgotten += 1
    elif had:
        outcome.changed += 1
    else:
        outcome.learned += 1
    return edit


def merge_record(
    key: bytes,
    base: Record | None,
    ours: Record | None,
    theirs: Record | None,
    policy: Policy,
    times_us: tuple[int, int] = (0, 0),
    resolve: Resolve = undecided,
    *,
    is_edge: bool = False,
) -> Merged:
    """Return the merge of one memory (or graph edge) that both sides changed; None stands for one not there."""
    a, b, origin = fields_of(ours), fields_of(theirs), fields_of(base)
    sides = Sides(a, b, *times_us, component=_component(a) or _component(b))
    if ours is None or theirs is None:
        conflict = Conflict(key, WHOLE, _or_absent(base), _or_absent(ours), _or_absent(theirs), is_edge)
        return _forgotten_or_changed(conflict, policy, sides, resolve)
    fit((origin, a, b))
    merge = _FieldMerge(key, policy, sides, resolve, is_edge)
    for path in sorted({*origin, *a, *b}):
        if is_mergeable(path):
            merge.take(path, *(side.get(path, ABSENT) for side in (origin, a, b)))
        else:
            merge.fields[path] = a.get(path, ABSENT)
    merge.let_vector_follow_text(origin, a, b)
    compose = edge_of if is_edge else record_of
    merged = compose({path: item for path, item in merge.fields.items() if item is not ABSENT})
    # The same record either way round keeps the id it has (and its bytes as they were written).
    for side in (ours, theirs):
        if merged.id == side.id:
            merged = side
    return Merged(key, merged, tuple(merge.conflicts), tuple(merge.decided), merge.is_stale(a, b))


def _forgotten_or_changed(conflict: Conflict, policy: Policy, sides: Sides, resolve: Resolve) -> Merged:
    chosen = policy.decide(WHOLE, conflict.base, conflict.ours, conflict.theirs, sides)
    decided: tuple[Path, ...] = () if chosen is UNDECIDED else (WHOLE,)
    if chosen is UNDECIDED:
        chosen = resolve(conflict)
    if chosen is UNDECIDED:
        return Merged(conflict.key, _or_none(conflict.ours), (conflict,))
    return Merged(conflict.key, _or_none(chosen), (), decided)


def _or_absent(record: Record | None) -> Any:
    return ABSENT if record is None else record


def _or_none(value: Any) -> Record | None:
    return value if isinstance(value, Record) else None


def _component(fields: dict[Path, Any]) -> str:
    value = {path[0]: item for path, item in fields.items() if len(path) == 1}
    value["metadata"] = {path[1]: item for path, item in fields.items() if path[0] == "metadata" and len(path) == 2}
    return component_of(value)


class _FieldMerge:
    """Merges the fields of one memory; ``taken`` says which side a field's value is from ("" where they agree)."""

    def __init__(self, key: bytes, policy: Policy, sides: Sides, resolve: Resolve, is_edge: bool) -> None:
        self._key, self._policy, self._sides, self._resolve, self._is_edge = key, policy, sides, resolve, is_edge
        self.fields: dict[Path, Any] = {}
        self.taken: dict[Path, Side | None] = {}
        self.conflicts: list[Conflict] = []
        self.decided: list[Path] = []

    def take(self, path: Path, base: Any, ours: Any, theirs: Any) -> None:
        """Merge one field."""
        if is_same(ours, theirs):
            self._set(path, ours, None)
        elif is_same(ours, base):
            self._set(path, theirs, "theirs")
        elif is_same(theirs, base):
            self._set(path, ours, "ours")
        else:
            self._settle(Conflict(self._key, path, base, ours, theirs, self._is_edge))

    def _settle(self, conflict: Conflict) -> None:
        chosen = self._policy.decide(conflict.path, conflict.base, conflict.ours, conflict.theirs, self._sides)
        if chosen is not UNDECIDED:
            self.decided.append(conflict.path)
        else:
            chosen = self._resolve(conflict)
        if chosen is UNDECIDED:
            self.conflicts.append(conflict)
            chosen = conflict.ours
        side: Side | None = (
            "ours" if is_same(chosen, conflict.ours) else "theirs" if is_same(chosen, conflict.theirs) else None
        )
        self._set(conflict.path, chosen, side)

    def _set(self, path: Path, value: Any, side: Side | None) -> None:
        self.fields[path] = value
        self.taken[path] = side

    def let_vector_follow_text(self, base: dict[Path, Any], ours: dict[Path, Any], theirs: dict[Path, Any]) -> None:
        """Where one side changed the text and its vector and the other only embedded again: take the first's vector."""
        side = self.taken.get(TEXT)
        if side is None or any(conflict.path == TEXT for conflict in self.conflicts):
            return
        mine, other = (ours, theirs) if side == "ours" else (theirs, ours)
        if not is_same(other.get(TEXT, ABSENT), base.get(TEXT, ABSENT)):
            return
        if is_same(mine.get(VECTOR, ABSENT), base.get(VECTOR, ABSENT)):
            return  # its text has no vector of its own yet: the other's stays, and is stale
        if self.taken.get(VECTOR) != side or any(conflict.path == VECTOR for conflict in self.conflicts):
            self.conflicts = [conflict for conflict in self.conflicts if conflict.path != VECTOR]
            self._set(VECTOR, mine.get(VECTOR, ABSENT), side)

    def is_stale(self, ours: dict[Path, Any], theirs: dict[Path, Any]) -> bool:
        """Whether the vector is of another text than the merged one."""
        embedding = self.fields.get(VECTOR)
        if embedding is None or embedding is ABSENT or embedding.row is None:
            return False
        if any(conflict.path == TEXT for conflict in self.conflicts):
            return False  # not known before the text is
        text = self.fields.get(TEXT, ABSENT)
        return not any(
            is_same(side.get(VECTOR, ABSENT), embedding) and is_same(side.get(TEXT, ABSENT), text)
            for side in (ours, theirs)
        )
