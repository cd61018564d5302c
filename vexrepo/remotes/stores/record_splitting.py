"""Records as columns of rows of a table of ours, a batch at a time, without the way through points.

The other direction of ``record_columns``.  A plain record's row is the very one that is made of its point; the others
are left to go that way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
from orjson import dumps

from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.point_carried import encode_usual, is_usual
from vexrepo.remotes.stores.points import TEXTS, Fields
from vexrepo.remotes.stores.record_columns import AT_ONCE, Column, Columns

Named: TypeAlias = tuple[Record, str]  # a record and its native id
# Types of members that are carried, of plain records; a float may be an integer that the parser gave up on.
_CARRIED: Final = frozenset((str, int, bool, type(None)))
_METADATA: Final = b'"metadata":'


class _Parsed(NamedTuple):
    """Records with what their bodies say; ``is_exact``: printed again, that gives the bodies, digit for digit."""

    records: Sequence[Named]
    values: Sequence[dict[str, Any]]
    is_exact: bool


class _Shape(NamedTuple):
    """What records have in common whose rows are made together."""

    names: tuple[str, ...]
    kinds: tuple[type, ...]
    decimals: tuple[str, ...]
    has_vector: bool


def _shape(dtype: str | None, names: tuple[str, ...], kinds: tuple[type, ...]) -> _Shape | None:
    return None if dtype is None else _Shape(names, kinds, (MAIN,) if dtype == "f32d" else (), bool(dtype))


def _parsed(records: Sequence[Named], others: list[Named]) -> _Parsed:
    """Return what records say; note those with an integer that the fast parser does not take."""
    bodies = b"[" + b",".join([record.body for record, _ in records]) + b"]"
    try:
        found = orjson.loads(bodies)
        return _Parsed(records, found, dumps(found) == bodies)
    except orjson.JSONDecodeError:
        kept, values = list[Named](), list[dict[str, Any]]()
        for each in records:
            try:
                values.append(orjson.loads(each[0].body))
                kept.append(each)
            except orjson.JSONDecodeError:
                others.append(each)
        return _Parsed(kept, values, False)


class ColumnWriter:
    """Makes columns of records.  ``payload``: the name of the column for metadata.

    ``dims``: of the column of vectors, 0 without one.  ``folds``: names that differ in capitals only are the same.
    """

    def __init__(self, fields: Fields, payload: str, dims: int, *, folds: bool) -> None:
        self._dims = dims
        self._folds = folds
        self._odd = fields.taken | {*TEXTS, payload}

    def columns(self, records: Sequence[Named]) -> tuple[Columns, list[Named]]:
        """Return the columns of those records, each with its native id, that are plain; and the others."""
        found, others = Columns([], [], [], [], [], [], [], []), list[Named]()
        for start in range(0, len(records), AT_ONCE):
            some, values, is_exact = _parsed(records[start : start + AT_ONCE], others)
            for shape, alike, members in self._shaped(some, values):
                made = self._made(shape, alike, members, is_exact, others) if shape is not None else None
                if made is None:
                    others += alike
                else:
                    for whole, part in zip(found, made, strict=True):
                        whole.extend(part)  # type: ignore[attr-defined]
        return found, others

    def _shaped(
        self, records: Sequence[Named], values: Sequence[dict[str, Any]]
    ) -> Iterable[tuple[_Shape | None, Sequence[Named], Sequence[Column]]]:
        """Yield records that are alike, with what they have in common, and their members in columns.

        None where they are not plain.
        """
        vectors = [record.vectors for record, _ in records]
        spaces = {id(each[0].space): each[0].space for each in vectors if each}
        dtypes = {key: space.dtype if self._is_plain(space) else None for key, space in spaces.items()}
        # Of each: the dtype of its vector, "" without one, None where it has others.
        held = ["" if not each else dtypes[id(each[0].space)] if len(each) == 1 else None for each in vectors]
        names = tuple(values[0]) if values else ()
        if len(set(held)) == 1 and list(map(tuple, values)).count(names) == len(values):
            columns = list(zip(*map(dict.values, values), strict=True))
            kinds = [set(map(type, column)) for column in columns]
            if all(len(each) == 1 for each in kinds):  # as most are
                yield _shape(held[0], names, tuple(each.pop() for each in kinds)), records, columns
                return
        groups: dict[Any, list[int]] = defaultdict(list)
        for at, (dtype, value) in enumerate(zip(held, values, strict=True)):
            groups[dtype, tuple(value), tuple(map(type, value.values()))].append(at)
        for key, places in groups.items():
            columns = list(zip(*(values[at].values() for at in places), strict=True))
            yield _shape(*key), [records[at] for at in places], columns

    def _is_plain(self, space: Space) -> bool:
        is_main = space.name == MAIN and space.kind == "dense" and space.dtype != "f64"
        return is_main and space.dims == self._dims

    def _made(
        self,
        shape: _Shape,
        records: Sequence[Named],
        members: Sequence[Column],
        is_exact: bool,
        others: list[Named],
    ) -> Columns | None:
        """Return the columns of records of one shape, None where they are not plain; note others among them."""
        kinds = dict(zip(shape.names, shape.kinds, strict=True))
        if kinds.get("created_at", str) not in (str, type(None)) or kinds.get("metadata", dict) is not dict:
            return None
        columns = dict(zip(shape.names, members, strict=True))
        natives = [native for _, native in records]
        identifiers = columns.pop("id")
        count = len(records)
        nothing = (None,) * count
        payload: Sequence[str | None] = nothing
        odd: set[int] = set()
        if "metadata" in columns:
            metadata = columns.pop("metadata")
            printed = [*map(dumps, metadata)]
            odd |= {at for at, raw in enumerate(printed) if raw == b"{}"}
            if not is_exact:
                # A body is canonical, and what is printed in it so is what it says, digit for digit.
                odd |= {at for at, raw in enumerate(printed) if _METADATA + raw not in records[at][0].body}
            if not self._are_free(set().union(*metadata)):
                odd |= {at for at, value in enumerate(metadata) if not self._are_free(value)}
            payload = b"\n".join(printed).decode().split("\n")  # which JSON has in none of its texts
        if identifiers != tuple(natives):
            odd |= {at for at in range(count) if identifiers[at] != natives[at]}
        text, namespace, model, created = (
            columns.pop(name) if kinds.get(name) is str else nothing
            for name in ("text", "namespace", "model", "created_at")
        )
        if not _CARRIED.issuperset([kinds[name] for name in columns]):
            return None
        carried = self._carried(columns, shape.decimals, count)
        if carried is None:
            return None
        vector = [record.vectors[0].row for record, _ in records] if shape.has_vector else nothing
        found = Columns(identifiers, carried, payload, text, namespace, model, created, vector)
        if not odd:
            return found
        if len(odd) == count:
            return None
        others += [records[at] for at in sorted(odd)]
        left = [at for at in range(count) if at not in odd]
        return Columns(*([column[at] for at in left] for column in found))

    def _are_free(self, names: Iterable[str]) -> bool:
        return self._odd.isdisjoint(map(str.lower, names) if self._folds else names)

    @staticmethod
    def _carried(columns: dict[str, Column], decimals: tuple[str, ...], count: int) -> Sequence[str | None] | None:
        """Return what each row carries: the members that have no column; None where those are long."""
        firsts = tuple([column[0] for column in columns.values()])
        if all(column.count(column[0]) == count for column in columns.values()):  # as most are
            rows = {firsts}
        else:
            rows = set(zip(*columns.values(), strict=True))
        found: dict[tuple[Any, ...], str | None] = {}
        for row in rows:
            absent = dict(zip(columns, row, strict=True))
            if not is_usual(absent):
                return None
            found[row] = encode_usual(absent, decimals) if absent or decimals else None
        if len(found) == 1:
            return (found[firsts],) * count
        return [found[row] for row in zip(*columns.values(), strict=True)]
