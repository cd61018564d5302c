"""Records as rows of a table of ours, without the way through points: most records are plain, and there are many.

A plain record's row is the very one that ``RowWriter`` makes of its point; every other record goes that way.  Rows are
made a column at a time for a whole batch: what a loop would do for each is done once, or by what runs through a list.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Sequence
from itertools import chain, islice, repeat
from operator import itemgetter
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
Column: TypeAlias = Sequence[Any]  # what each record says of a member
_MOST_KEPT: Final = 10_000  # forms of what is carried
_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
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
        self._at_once = max(1, PIECE_BYTES // (1000 + 4 * self._dims))  # rows in a piece
        # The field of what is carried, by what that is and whether the vector's numbers are short decimals.
        self._carried: dict[tuple[bytes, bool], bytes | None] = {(b"{}", False): NULL}

    @staticmethod
    def suits(table: Table, fields: Fields) -> bool:
        """Whether a table is of ours, and has no column that must say something."""
        return RecordReader.suits(table, fields) and not any(column.is_required for column in table.members.values())

    def rows(self, records: Sequence[Named]) -> tuple[list[bytes], Sequence[Named]]:
        """Return the rows of those records, each with its native id, that are plain, in pieces; and the others."""
        odd: set[int] = set()  # places of those that are not plain
        natives = tuple([native for _, native in records])
        members = _columns(_values([record.body for record, _ in records], odd))
        odd |= _others(members.pop("id", natives), natives)
        vectors, is_decimal = self._vectors(records, odd)
        payload = self._payload(members.pop("metadata", None), len(records), odd)
        told = [self._member(members, member, len(records), odd) for member in self._members]
        columns = [*_fields([*map(str.encode, natives)]), *vectors, self._rest(members, is_decimal, odd), *payload]
        columns += chain.from_iterable(told)
        rows: Iterable[tuple[bytes, ...]] = zip(repeat(self._head, len(records)), *columns, strict=True)
        if odd:
            rows = [row for at, row in enumerate(rows) if at not in odd]
        # Pieces of some 64 kB: the memory of larger ones is taken anew each time, which costs more than the work.
        pieces, rest = [], iter(rows)
        while piece := b"".join(chain.from_iterable(islice(rest, self._at_once))):
            pieces.append(piece)
        if pieces:  # the next rows are about as long
            self._at_once = max(1, PIECE_BYTES * len(records) // sum(map(len, pieces)))
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

    def _payload(self, found: Column | None, count: int, odd: set[int]) -> tuple[Strings, Strings]:
        """Return the fields of the metadata; note those which are no object or empty, or need another place."""
        taken = self._taken
        found = found if found is not None else (ABSENT,) * count
        if set(map(type, found)) == {dict} and all(found) and all(map(taken.isdisjoint, found)):
            return _fields([JSONB + printed for printed in map(dumps, found)])
        printed: list[bytes | None] = []
        for at, metadata in enumerate(found):
            is_plain = type(metadata) is dict and metadata and taken.isdisjoint(metadata)
            printed.append(JSONB + dumps(metadata) if is_plain else self._empty)
            if not is_plain and metadata is not ABSENT:
                odd.add(at)
        return _fields(printed)

    def _member(self, members: dict[str, Column], member: str, count: int, odd: set[int]) -> tuple[Strings, Strings]:
        """Take a member out of others, where it is a text, and return its fields."""
        texts = members.pop(member, None)
        if texts is None:
            return (NULL,) * count, (b"",) * count
        held: Sequence[str | None] = texts
        if set(map(type, texts)) != {str}:
            held = [text if type(text) is str else None for text in texts]
            members[member] = [text if type(text) is not str else ABSENT for text in texts]  # carried
            if member == "created_at":
                odd |= {at for at, text in enumerate(members[member]) if text is not ABSENT and text is not None}
        if member == "created_at":
            return _fields([JSONB + dumps(text) if text is not None else None for text in held])
        return _fields([text.encode() if text is not None else None for text in held])

    def _rest(self, members: dict[str, Column], is_decimal: Sequence[bool], odd: set[int]) -> Strings:
        """Return the fields, with their lengths, of what is carried: all that bodies say still."""
        columns = [*members.values(), is_decimal]
        if all(map(_is_constant, columns)):  # as of most
            absent = {name: column[0] for name, column in members.items()}
            field = self._carried_field(absent, is_decimal[0])
            if field is None:
                odd |= set(range(len(is_decimal)))
            return (field or NULL,) * len(is_decimal)
        found = []
        for at, values in enumerate(zip(*columns, strict=True)):
            absent = {name: value for name, value in zip(members, values, strict=False) if value is not ABSENT}
            field = self._carried_field(absent, is_decimal[at])
            if field is None:
                odd.add(at)
            found.append(field or NULL)
        return found

    def _carried_field(self, absent: dict[str, Any], is_decimal: bool) -> bytes | None:
        """Return the field of what is carried, with its length; None where it is long."""
        key = dumps(absent), is_decimal
        try:
            return self._carried[key]
        except KeyError:
            field = None
            if is_usual(absent):
                raw = encode_usual(absent, (MAIN,) if is_decimal else ()).encode()
                field = _length(len(raw)) + raw
            if len(self._carried) < _MOST_KEPT:
                self._carried[key] = field
            return field


def _columns(values: Sequence[dict[str, Any]]) -> dict[str, Column]:
    """Return the members of objects in columns, ``ABSENT`` where one has none of a name."""
    names = tuple(values[0]) if values else ()
    if len(names) > 1 and set(map(len, values)) == {len(names)}:
        with contextlib.suppress(KeyError):  # they have others
            return dict(zip(names, zip(*map(itemgetter(*names), values), strict=True), strict=True))
    names = tuple(dict.fromkeys(chain.from_iterable(values)))
    return {name: tuple([value.get(name, ABSENT) for value in values]) for name in names}


def _is_constant(column: Column) -> bool:
    """Whether all values of a column are one text, number, truth or null; true is no 1, though they are equal."""
    first = column[0]
    return type(first) in _SCALARS and column.count(first) == len(column) == list(map(type, column)).count(type(first))


def _values(bodies: Sequence[bytes], odd: set[int]) -> list[dict[str, Any]]:
    """Return what bodies say, {} for those that jsonb or the fast parser may not keep: they are odd."""
    try:
        raw = b",".join(bodies)
        values: list[dict[str, Any]] = loads(b"[" + raw + b"]")
        if _are_kept(raw, dumps(values)[1:-1]):  # members come in the order they have in the body
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
    # To look for one byte takes a twentieth of the time.
    return raw == printed and (b"\\" not in raw or _NUL not in raw) and (b"+" not in raw or b"e+" not in raw)


def _others(found: Sequence[Any], wanted: Sequence[Any]) -> set[int]:
    """Return the places where two lists differ."""
    if found == wanted:
        return set()
    return {at for at, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other}


def _vector_head(space: Space) -> bytes:
    """Return what stands before a vector's numbers: the field's length, and the dimensions."""
    return _length(4 + 4 * space.dims) + struct.pack(">HH", space.dims, 0)


def _fields(column: Sequence[bytes | None]) -> tuple[Strings, Strings]:
    """Return the lengths of fields and what is in them."""
    if None in column:
        return [NULL if field is None else _length(len(field)) for field in column], [field or b"" for field in column]
    return [*map(_length, map(len, column))], column  # type: ignore[arg-type,return-value]
