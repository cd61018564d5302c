"""Rows become records in two ways; both give the same record, whatever a row holds."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import json_values, records, texts
from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, from_json, key_of, with_body
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import Capabilities, native_id
from vexrepo.remotes.stores.pgvector import PgvectorStore
from vexrepo.remotes.stores.pgvector_columns import Column
from vexrepo.remotes.stores.pgvector_record_rows import RecordWriter
from vexrepo.remotes.stores.pgvector_records import RecordReader
from vexrepo.remotes.stores.pgvector_rows import RowReader, RowWriter
from vexrepo.remotes.stores.pgvector_table import Table, VectorColumn
from vexrepo.remotes.stores.pgvector_wire import can_be_held, encode_vectors
from vexrepo.remotes.stores.points import RESERVED, Fields, Point, read_point, write_point
from vexrepo.testing.stores import tricky_records

FIELDS = Fields(text="content")
MEMBERS = {"content": "text", "namespace": "text", "model": "text", "created_at": "jsonb"}
COLUMN = VectorColumn("vector", MAIN, "vector", 0)
TABLE = Table(
    "public",
    "t",
    Column("id", "text"),
    True,
    True,
    True,
    (COLUMN,),
    Column("metadata", "jsonb"),
    "content",
    RESERVED,
    {name: Column(name, kind) for name, kind in MEMBERS.items()},
)


def capabilities() -> Capabilities:
    return replace(PgvectorStore.can, kinds=frozenset({"dense"}), names=frozenset({MAIN}))


def row_of(point: Point) -> tuple[Any, ...]:
    """Return what the server would send for a point: JSON as PostgreSQL prints it, columns apart from the payload."""
    payload = dict(point.payload)
    reserved = payload.pop(RESERVED, None)
    members = [payload.pop(name, None) for name in MEMBERS]
    for at, kind in enumerate(MEMBERS.values()):
        if kind == "jsonb" and members[at] is not None:
            members[at] = b"\1" + printed(members[at]).encode()
    (vector,) = encode_vectors(COLUMN, [point.vectors[0] if point.vectors else None])
    return (point.id, vector, reserved, b"\1" + printed(payload).encode() if payload else None, *members)


def slow_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row as a query of texts gives it."""
    return tuple(field[1:].decode() if at != 1 and type(field) is bytes else field for at, field in enumerate(row))


def printed(value: Any) -> str:
    """Return JSON as jsonb does: members by length then bytes, with spaces, numbers in full."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
        return "{" + ", ".join(f"{printed(name)}: {printed(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(printed, value)) + "]"
    if isinstance(value, float):
        from decimal import Decimal

        return f"{Decimal(repr(value)):f}"
    if isinstance(value, str):
        text = orjson.dumps(value).decode()
        return text.replace("\\b", "\\b").replace("\x7f", "\x7f")
    return canonical.encode(value).decode()


def both(row: tuple[Any, ...]) -> tuple[Record | str, Record | str]:
    """Return what a row reads as: the quick way (or else by its point), and by its point."""
    reader = RecordReader(TABLE, FIELDS)
    (quick,) = reader.records([row])
    (point,) = RowReader(TABLE).points([slow_row(row)])
    slow = attempt(point)
    return (quick if isinstance(quick, Record) else attempt(quick)), slow


def attempt(point: Point) -> Record | str:
    try:
        return read_point(point, capabilities(), FIELDS)
    except InvalidData as error:
        return error.code


def point_of(record: Record) -> Point:
    can = capabilities()
    return write_point(record, native_id(record.key, can), can, FIELDS)


@given(records)
def test_a_row_that_was_written_reads_as_the_record(record: Record) -> None:
    quick, slow = both(row_of(point_of(record)))
    assert quick == slow == record


@given(st.lists(records, min_size=1, max_size=8))
def test_rows_of_a_batch_read_as_each_alone(many: list[Record]) -> None:
    rows = [row_of(point_of(record)) for record in many]
    found = RecordReader(TABLE, FIELDS).records(rows)
    assert [each if isinstance(each, Record) else attempt(each) for each in found] == many


NUMBERS = ["0", "-1", "1.0", "1.50", "-0.10", "0.5", "0.0001", "0.00001", "0.000001", "0.100000000000000005551"]
NUMBERS += ["12345678.999999999999", "999999999999999.9", "123456789012345", "1234567890123456", "9007199254740993"]
NUMBERS += ["18446744073709551615", "18446744073709551616", "100000000000000000000.5", "1000000000000000000000"]
NUMBERS += ["10000000000000000000000.0", "2.50000000000000000000"]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_number_that_jsonb_prints_reads_as_by_its_point(number: str) -> None:
    for raw in (f'{{"n": {number}}}', f'{{"a": [{number}, "x"]}}', f'{{"a": "{number}"}}'):
        quick, slow = both(("a", None, None, b"\1" + raw.encode(), "text", None, None, b"\1" + number.encode()))
        assert quick == slow, raw


@pytest.mark.parametrize(
    "raw", [b"\1null", b"\1true", b"\1[]", b'\1{"a": 1}', b'\1""', b'\1"\\u00e9"', b"\1" + b"9" * 400]
)
def test_every_time_that_jsonb_prints_reads_as_by_its_point(raw: bytes) -> None:
    quick, slow = both(("a", None, None, None, "text", None, None, raw))
    assert quick == slow


@pytest.mark.parametrize("record", tricky_records(), ids=lambda record: repr(record.key)[:30])
def test_tricky_rows_read_as_their_records(record: Record) -> None:
    quick, slow = both(row_of(point_of(record)))
    assert quick == slow == record


@given(
    records,
    st.dictionaries(st.sampled_from([*MEMBERS, "text", "x", "ü", "_vex", "id", "dims", ""]), json_values(), max_size=4),
    st.none() | st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
)
def test_what_an_agent_makes_of_a_row_reads_the_same_both_ways(
    record: Record, edits: dict[str, Any], numbers: list[float] | None
) -> None:
    import numpy as np

    point = point_of(record)
    payload = {**point.payload}
    for name, value in edits.items():
        if name in MEMBERS and name != "created_at" and not isinstance(value, str):
            continue  # no value of the column's type
        if PgvectorStore.can.holds(value) and value is not None:
            payload[name] = value if name != RESERVED else canonical.encode(value).decode()
    vectors = point.vectors
    if numbers is not None:
        row = np.array(numbers, "<f4").tobytes()
        vectors = (Vector(Space(MAIN, "dense", None, len(numbers), "f32"), row),)
    quick, slow = both(row_of(Point(point.id, {k: v for k, v in payload.items() if "\0" not in repr(v)}, vectors)))
    assert quick == slow


@given(texts, texts, st.none() | texts)
def test_plain_rows_take_the_quick_way(identifier: str, text: str, namespace: str | None) -> None:
    row = (identifier or "a", None, None, None, text, namespace, None, None)
    (found,) = RecordReader(TABLE, FIELDS).records([row])
    assert isinstance(found, Record)


def test_the_readers_are_for_tables_of_ours_only() -> None:
    assert RecordReader.suits(TABLE, FIELDS)
    for other in (
        replace(TABLE, is_plain=False),
        replace(TABLE, id=Column("id", "uuid")),
        replace(TABLE, payload=None),
        replace(TABLE, reserved=None),
        replace(TABLE, vectors=()),
        replace(TABLE, members={**TABLE.members, "n": Column("n", "integer")}),
        replace(TABLE, vectors=(VectorColumn("vector", MAIN, "halfvec", 3),)),
    ):
        assert not RecordReader.suits(other, FIELDS)


def written_both_ways(record: Record, table: Table = TABLE) -> tuple[bytes | None, bytes]:
    """Return a record's row as it is made the quick way, None where that leaves it, and by its point."""
    can = replace(capabilities(), holds_vector=lambda item: can_be_held(COLUMN, item))
    native = native_id(record.key, can)
    rows, others = RecordWriter(table, FIELDS).rows([(record, native)])
    assert (not rows) == (others == [(record, native)])
    return b"".join(rows) or None, RowWriter(table).rows([write_point(record, native, can, FIELDS)])


@given(records)
def test_a_record_has_the_same_row_both_ways(record: Record) -> None:
    quick, slow = written_both_ways(record)
    assert quick in (None, slow)


@pytest.mark.parametrize("is_required", [False, True])
def test_tricky_records_have_the_same_row_both_ways(is_required: bool) -> None:
    table = replace(TABLE, payload=Column("metadata", "jsonb", is_required=is_required))
    made = [written_both_ways(record, table) for record in tricky_records()]
    assert all(quick in (None, slow) for quick, slow in made)
    assert sum(quick is not None for quick, _ in made) > len(made) / 2


@given(
    texts,
    texts,
    st.sampled_from(["f32", "f32d"]),
    st.dictionaries(st.sampled_from(["n", "ü", "deep", "vector", "score"]), json_values(), max_size=3),
)
def test_usual_records_have_the_same_row_both_ways(
    text: str, namespace: str, dtype: Any, metadata: dict[str, Any]
) -> None:
    value = {"id": "a", "text": text, "namespace": namespace, "metadata": metadata, "dims": 2, "created_at": text}
    vector = Vector(Space(MAIN, "dense", None, 2, dtype), bytes(8))
    record = with_body(key_of(value), canonical.encode(value), (vector,))
    quick, slow = written_both_ways(record)
    assert quick in (None, slow)


@given(st.lists(records, min_size=1, max_size=8) | st.permutations(tricky_records()))
def test_rows_of_a_batch_are_written_as_each_alone(many: list[Record]) -> None:
    check_batch(many)


@pytest.mark.parametrize(
    "values", [(1, True), (1, 1.5), (0, False, None), ("1", 1), ([1], [True]), ("a", "b"), ({}, 2)]
)
@pytest.mark.parametrize("name", ["score", "text", "created_at", "metadata"])
def test_what_is_alike_is_told_apart_in_a_batch(name: str, values: tuple[Any, ...]) -> None:
    plain = [{"id": f"m{at}", "text": "t", "metadata": {"n": 1}, name: value} for at, value in enumerate(values)]
    made = [with_body(key_of(value), canonical.encode(value), ()) for value in plain]
    made += [from_json({"id": "last", "text": "t", "metadata": {"n": 1}})]
    for many in (made, made[:1] * 3, made[1:2] * 3):
        check_batch(many)


def check_batch(many: list[Record]) -> None:
    """Check that records have the rows together that each has alone."""
    can = replace(capabilities(), holds_vector=lambda item: can_be_held(COLUMN, item))
    named = [(record, native_id(record.key, can)) for record in many]
    alone = [RecordWriter(TABLE, FIELDS).rows([each]) for each in named]
    rows, others = RecordWriter(TABLE, FIELDS).rows(named)
    assert b"".join(rows) == b"".join([b"".join(each) for each, _ in alone])
    assert list(others) == [each for _, left in alone for each in left]


def test_plain_records_take_the_quick_way() -> None:
    value = {"id": "a", "text": "t", "metadata": {"n": 1.5, "tags": ["x"]}, "created_at": "2026", "modality": None}
    record = from_json({**value, "vector": [0.1, 2.0], "dims": 2})
    quick, slow = written_both_ways(record)
    assert quick == slow
