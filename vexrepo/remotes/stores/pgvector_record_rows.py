"""Records as rows of a table of ours, without the way through points: most records are plain, and there are many.

A plain record's row is the very one that ``RowWriter`` makes of its point; every other record goes that way.  Rows are
made a column at a time for a whole batch: what a loop would do for each is done once, or by what runs through a list.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain, islice, repeat
from typing import Any, Final, TypeAlias

import orjson
from orjson import dumps, loads

from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.carry import ABSENT
from vexrepo.remotes.stores.pgvector_records import RecordReader
from vexrepo.remotes.stores.pgvector_rows import JSONB
from vexrepo.remotes.stores.pgvector_table import Table
from vexrepo.remotes.stores.pgvector_wire import MAX_DIMS, NULL, PIECE_BYTES, swap_rows
from vexrepo.remotes.stores.point_carried import encode_usual, is_usual
from vexrepo.remotes.stores.points import TEXTS, Fields

Named: TypeAlias = tuple[Record, str]  # a record and its native id
Strings: TypeAlias = Sequence[bytes]
_MOST_KEPT: Final = 10_000  # forms of what is carried
_NUL: Final = b"\\u0000"  # in JSON; no text of PostgreSQL holds it
_length = struct.Struct(">i").pack


class RecordWriter:
    """Makes rows of records whose own ids the rows have."""

    def __init__(self, table: Table, fields: Fields) -> None:
        assert table.payload is not None
        self._dims = table.vectors[0].dims
        self._empty = JSONB + b"{}" if table.payload.is_required else None
        self._members = [next(member for member, name in fields.members if name == column) for column in table.members]
        self._taken = fields.taken | {*TEXTS, table.payload.name}
        self._head = struct.pack(">H", 4 + len(self._members))
        # The field of what is carried, by what that is and whether the vector's numbers are short decimals.
        self._carried: dict[tuple[bytes, bool], bytes | None] = {(b"{}", False): NULL}

    @staticmethod
    def suits(table: Table, fields: Fields) -> bool:
        """Whether a table is of ours, and has no column that must say something."""
        return RecordReader.suits(table, fields) and not any(column.is_required for column in table.members.values())

    def rows(self, records: Sequence[Named]) -> tuple[list[bytes], Sequence[Named]]:
        """Return the rows of those records, each with its native id, that are plain, in pieces; and the others."""
        odd: set[int] = set()  # places of those that are not plain
        natives = [native for _, native in records]
        values = _values([record.body for record, _ in records], odd)
        odd |= _others([value.pop("id", None) for value in values], natives)
        vectors, is_decimal = self._vectors(records, odd)
        payload = self._payload(values, odd)
        members = [self._member(values, member, odd) for member in self._members]
        columns = [*_fields([*map(str.encode, natives)]), *vectors, self._rest(values, is_decimal, odd), *payload]
        columns += chain.from_iterable(members)
        rows: Iterable[tuple[bytes, ...]] = zip(repeat(self._head, len(records)), *columns, strict=True)
        if odd:
            rows = [row for at, row in enumerate(rows) if at not in odd]
        # Pieces of some 64 kB: the memory of larger ones is taken anew each time, which costs more than the work.
        step = max(1, PIECE_BYTES * len(records) // sum([sum(map(len, column)) for column in columns]))
        pieces, rest = [], iter(rows)
        while piece := b"".join(chain.from_iterable(islice(rest, step))):
            pieces.append(piece)
        return pieces, [records[at] for at in sorted(odd)]

    def _vectors(self, records: Sequence[Named], odd: set[int]) -> tuple[tuple[Strings, Strings], list[bool]]:
        """Return the fields of the vectors, and whether the numbers of each are short decimals."""
        vectors = [record.vectors for record, _ in records]
        spaces = {id(item.space): item.space for each in vectors for item in each}  # few, and dear to compare
        held = {number: space for number, space in spaces.items() if self._holds(space)}
        if set(map(len, vectors)) == {1} and len(spaces) == len(held) == 1:
            (space,) = held.values()
            heads = [_vector_head(space)] * len(vectors)
            return (heads, swap_rows([each[0].row for each in vectors])), [space.dtype == "f32d"] * len(vectors)
        rows, heads, is_decimal = [], [], []
        for at, each in enumerate(vectors):
            is_one = len(each) == 1 and id(each[0].space) in held
            if each and not is_one:
                odd.add(at)
            rows.append(each[0].row if is_one else b"")
            heads.append(_vector_head(each[0].space) if is_one else NULL)
            is_decimal.append(is_one and each[0].space.dtype == "f32d")
        return (heads, swap_rows(rows)), is_decimal

    def _holds(self, space: Space) -> bool:
        is_main = space.name == MAIN and space.kind == "dense" and space.dtype != "f64"
        return is_main and space.dims <= MAX_DIMS and self._dims in (0, space.dims)

    def _payload(self, values: Sequence[dict[str, Any]], odd: set[int]) -> tuple[Strings, Strings]:
        """Take the metadata out of bodies and return its fields."""
        found = [value.pop("metadata", ABSENT) for value in values]
        taken = self._taken
        if set(map(type, found)) == {dict} and all(found) and all(map(taken.isdisjoint, found)):
            return _fields([JSONB + printed for printed in map(dumps, found)])
        printed: list[bytes | None] = []
        for at, metadata in enumerate(found):
            is_plain = type(metadata) is dict and metadata and taken.isdisjoint(metadata)
            printed.append(JSONB + dumps(metadata) if is_plain else self._empty)
            if not is_plain and metadata is not ABSENT:
                odd.add(at)
        return _fields(printed)

    def _member(self, values: Sequence[dict[str, Any]], member: str, odd: set[int]) -> tuple[Strings, Strings]:
        """Take a member out of bodies, where it is a text, and return its fields."""
        texts = [value.pop(member, ABSENT) for value in values]
        if set(map(type, texts)) != {str}:
            for at, text in enumerate(texts):
                if type(text) is not str:
                    texts[at] = None
                    if text is not ABSENT:
                        values[at][member] = text  # carried
                    if member == "created_at" and text is not ABSENT and text is not None:
                        odd.add(at)
        if member == "created_at":
            return _fields([JSONB + dumps(text) if text is not None else None for text in texts])
        return _fields([text.encode() if text is not None else None for text in texts])

    def _rest(self, values: Sequence[dict[str, Any]], is_decimal: Sequence[bool], odd: set[int]) -> Strings:
        """Return the fields, with their lengths, of what is carried: all that bodies say still."""
        known, found = self._carried, []
        for at, key in enumerate(zip(map(dumps, values), is_decimal, strict=True)):
            try:
                field = known[key]
            except KeyError:
                field = _carried_field(values[at], key[1])
                if len(known) < _MOST_KEPT:
                    known[key] = field
            if field is None:
                odd.add(at)
                field = NULL
            found.append(field)
        return found


def _values(bodies: Sequence[bytes], odd: set[int]) -> list[dict[str, Any]]:
    """Return what bodies say, {} for those that jsonb or the fast parser may not keep: they are odd."""
    try:
        values = list(map(loads, bodies))
        if _are_kept(b",".join(bodies), dumps(values)[1:-1]):  # members come in the order they have in the body
            return values
    except orjson.JSONDecodeError:
        pass
    values = []
    for at, body in enumerate(bodies):
        value: dict[str, Any] = {}
        try:
            value = loads(body)
            is_kept = _are_kept(body, dumps(value))
        except orjson.JSONDecodeError:  # a number that this parser does not take
            is_kept = False
        if not is_kept:
            odd.add(at)
        values.append(value if is_kept else {})
    return values


def _are_kept(raw: bytes, printed: bytes) -> bool:
    """Whether all of canonical JSON comes back from jsonb: no number was rounded, there is no NUL, no exponent."""
    return raw == printed and _NUL not in raw and b"e+" not in raw


def _others(found: Sequence[Any], wanted: Sequence[Any]) -> set[int]:
    """Return the places where two lists differ."""
    if found == wanted:
        return set()
    return {at for at, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other}


def _vector_head(space: Space) -> bytes:
    """Return what stands before a vector's numbers: the field's length, and the dimensions."""
    return _length(4 + 4 * space.dims) + struct.pack(">HH", space.dims, 0)


def _carried_field(absent: dict[str, Any], is_decimal: bool) -> bytes | None:
    """Return the field of what is carried, with its length; None where it is long."""
    if not is_usual(absent):
        return None
    raw = encode_usual(absent, (MAIN,) if is_decimal else ()).encode()
    return _length(len(raw)) + raw


def _fields(column: Sequence[bytes | None]) -> tuple[Strings, Strings]:
    """Return the lengths of fields and what is in them."""
    if None in column:
        return [NULL if field is None else _length(len(field)) for field in column], [field or b"" for field in column]
    return [*map(_length, map(len, column))], column  # type: ignore[arg-type,return-value]
