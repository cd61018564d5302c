"""A conflict: a field that both sides of a merge changed.  A value, which can wait in a file or in a record itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from vexrepo.history.fields import ABSENT, Path, edge_of, fields_of, from_json, record_of, to_json
from vexrepo.history.policy import UNDECIDED
from vexrepo.objects.record import Record

WHOLE: Final[Path] = ()  # the path of a conflict over whether a memory is there at all
MARK: Final = "vex_conflicts"  # the member that keeps conflicts in a committed record


class Conflict(NamedTuple):
    """One field that both sides changed and nothing decided; ABSENT where a side does not have it.

    For the path WHOLE the values are records: one side forgot the memory, the other changed it.  ``is_edge``: it is
    about a graph edge.
    """

    key: bytes
    path: Path
    base: Any
    ours: Any
    theirs: Any
    is_edge: bool = False


Resolve = Callable[[Conflict], Any]  # the chosen value, or UNDECIDED


def mark_conflicts(record: Record | None, conflicts: Sequence[Conflict]) -> Record:
    """Return a merged record with its conflicts as a member of its own, MARK, for a later commit to resolve.

    Each is an object with ``field`` (its path) and those of ``base``, ``ours`` and ``theirs`` that there are; where
    one side forgot the memory, ``field`` is [] and ``forgotten_by`` names the side.
    """
    marks: list[dict[str, Any]] = []
    for conflict in conflicts:
        if conflict.path == WHOLE:
            record = conflict.theirs if conflict.ours is ABSENT else conflict.ours
            marks.append({"field": [], "forgotten_by": "ours" if conflict.ours is ABSENT else "theirs"})
        else:
            values = {"base": conflict.base, "ours": conflict.ours, "theirs": conflict.theirs}
            kept = {name: to_json(value) for name, value in values.items() if value is not ABSENT}
            marks.append({"field": list(conflict.path), **kept})
    assert record is not None
    compose = edge_of if any(conflict.is_edge for conflict in conflicts) else record_of
    return compose({**fields_of(record), (MARK,): marks})


def marked_conflicts(record: Record, *, is_edge: bool = False) -> list[Conflict]:
    """Return the conflicts a record says it is in.  ``base``, ``ours`` and ``theirs`` are as they were merged."""
    fields = fields_of(record)
    marks = fields.pop((MARK,), None)
    found = []
    for mark in marks if isinstance(marks, list) else []:
        path = tuple(mark["field"])
        if path == WHOLE:
            alive = (edge_of if is_edge else record_of)(fields)
            ours, theirs = (ABSENT, alive) if mark["forgotten_by"] == "ours" else (alive, ABSENT)
            found.append(Conflict(record.key, WHOLE, ABSENT, ours, theirs, is_edge))
        else:
            base, ours, theirs = (
                from_json(path, mark[side]) if side in mark else ABSENT for side in ("base", "ours", "theirs")
            )
            found.append(Conflict(record.key, path, base, ours, theirs, is_edge))
    return found


def settle(record: Record, resolve: Resolve, *, is_edge: bool = False) -> Record | None:
    """Return a record with its marked conflicts resolved, None if it is to be forgotten; open ones stay marked."""
    fields = fields_of(record)
    marks = fields.pop((MARK,), None) or []
    left = []
    for mark, conflict in zip(marks, marked_conflicts(record, is_edge=is_edge), strict=True):
        chosen = resolve(conflict)
        if chosen is UNDECIDED:
            left.append(mark)
        elif conflict.path == WHOLE:
            if chosen is ABSENT:
                return None
        elif chosen is ABSENT:
            fields.pop(conflict.path, None)
        else:
            fields[conflict.path] = chosen
    if left:
        fields[MARK,] = left
    return (edge_of if is_edge else record_of)(fields)
