"""Batches of rows become records and records rows, a column at a time; each as it would by its point."""

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import json_values, records, texts
from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, from_json, key_of, with_body
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import Capabilities, native_id
from vexrepo.remotes.stores.points import RESERVED, Fields, Point, read_point, write_point
from vexrepo.remotes.stores.record_columns import ColumnReader, Columns
from vexrepo.remotes.stores.record_splitting import ColumnWriter
from vexrepo.remotes.stores.sqlite_columns import Column
from vexrepo.remotes.stores.sqlite_vec_records import RecordReader, suits
from vexrepo.remotes.stores.sqlite_vec_rows import RowReader
from vexrepo.remotes.stores.sqlite_vec_table import Layout, Part, VectorTable
from vexrepo.testing.stores import tricky_records

DIMS = 3
FIELDS = Fields(text="content")
PART = Part("vector", "embedding", "float", DIMS, "cosine")
MEMBERS = {"content": "TEXT", "namespace": "TEXT", "model": "TEXT", "created_at": ""}
LAYOUT = Layout(
    "memories",
    VectorTable("memories_vec", (PART,)),
    "id",
    True,
    "number",
    "embedding",
    "content",
    "metadata",
    RESERVED,
    None,
    {name: Column(name, kind) for name, kind in MEMBERS.items()},
)
CAN = Capabilities(
    lambda value: True,
    holds_member=lambda name, value: LAYOUT.members[name].holds(value) if name in LAYOUT.members else True,
    names=frozenset({MAIN}),
    holds_vector=lambda item: item.space.dims == DIMS,
)
ODD_JSON = (
    *('{"a": 1}', '{"a":1.0}', '{"a":1e-6}', '{"a":1e21}', '{"a":0.5}', '{"b":1,"a":2}', '{"a":1,"a":2}', "[1]", "x"),
    *('{"\U0001f30a":1,"\uff61":2}', '{"a":18446744073709551616}', "{}", "null", '{"a":-0.0}', '{"a":"\\u00fc"}', ""),
    *('{"a":' + "[" * 127 + "]" * 127 + "}", '{"a":' + "[" * 200 + "]" * 200 + "}", '{"content":1}', '{"id":"b"}'),
    *('{"_vex":"x"}', '{"a":"\\ud800"}', '{"a":1E400}', '{"a":9007199254740993}', '{"a":"1.5e3"}', '{"metadata":{}}'),
)
rows = st.integers(0, 3).map(lambda count: b"\0\0\x80\x3f" * count)


def row_of(record: Record) -> tuple[Any, ...]:
    """Return the row of a record: id, vector, what is carried, no mark, metadata, members."""
    point = write_point(record, native_id(record.key, CAN), CAN, FIELDS)
    left = dict(point.payload)
    carried = left.pop(RESERVED, None)
    members = [left.pop(name, None) for name in MEMBERS]
    vector = point.vectors[0].row if point.vectors else None
    return (point.id, vector, carried, None, canonical.encode(left).decode() if left else None, *members)


def attempt(point: Point) -> Record | str:
    try:
        return read_point(point, CAN, FIELDS)
    except InvalidData as error:
        return error.code


def both(batch: list[tuple[Any, ...]]) -> tuple[list[Record | str], list[Record | str]]:
    """Return what rows read as: together, and each by its point."""
    db = sqlite3.connect(":memory:")
    quick = RecordReader(db, LAYOUT, FIELDS).records(batch)
    slow = [attempt(point) for row in batch for point in RowReader(db, LAYOUT).points([row])]
    return [each if isinstance(each, Record) else attempt(each) for each in quick], slow


@given(st.lists(records, min_size=1, max_size=6))
def test_rows_that_were_written_read_as_the_records(written: list[Record]) -> None:
    quick, slow = both([row_of(record) for record in written])
    assert quick == slow == written


def test_tricky_rows_read_as_their_records() -> None:
    written = tricky_records()
    quick, slow = both([row_of(record) for record in written])
    assert quick == slow == written


cells = st.fixed_dictionaries(
    {},
    optional={
        0: texts | st.integers(-5, 5) | st.none() | st.just(b"x") | st.just(""),
        1: rows | st.none() | st.just(b"\0\0\xc0\x7f" * DIMS),
        2: texts | st.none() | st.just('{"a":{"dims":3,"score":null},"v":1}'),
        4: st.none() | st.sampled_from(ODD_JSON) | json_values().map(lambda value: canonical.encode(value).decode()),
        5: texts | st.integers(-5, 5) | st.none() | st.just(b"x"),
        6: texts | st.integers(-5, 5) | st.none(),
        7: texts | st.floats(allow_nan=False) | st.none(),
        8: texts | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | st.none(),
    },
)


@given(st.lists(st.tuples(records, cells), min_size=1, max_size=5))
def test_what_an_agent_makes_of_rows_reads_the_same_both_ways(given: list[tuple[Record, dict[int, Any]]]) -> None:
    batch = [tuple(edits.get(at, cell) for at, cell in enumerate(row_of(record))) for record, edits in given]
    quick, slow = both(batch)
    assert quick == slow


@pytest.mark.parametrize("payload", ODD_JSON)
def test_metadata_out_of_the_ordinary_reads_the_same_both_ways(payload: str) -> None:
    plain = ("a", None, None, None, '{"n":1}', "t", "ns", None, None)
    quick, slow = both([plain, (*plain[:4], payload, *plain[5:]), plain])
    assert quick == slow and isinstance(quick[0], Record)


@given(texts.filter(bool), texts, st.none() | texts, st.none() | st.integers(0, 9) | texts)
def test_plain_rows_take_the_quick_way(identifier: str, text: str, namespace: str | None, created: Any) -> None:
    columns = ([identifier], [None], ['{"n":[1,"x"]}'], [text], [namespace], [None], [created], [bytes(4 * DIMS)])
    (found,) = ColumnReader(FIELDS, DIMS).records(Columns(*columns))
    assert found is not None and found.vectors == (Vector(Space(MAIN, "dense", None, DIMS, "f32"), bytes(4 * DIMS)),)


def test_the_quick_way_is_for_tables_of_ours_only() -> None:
    assert suits(LAYOUT, FIELDS) and suits(replace(LAYOUT, vectors=None), FIELDS)
    for other in (
        replace(LAYOUT, rows=""),
        replace(LAYOUT, has_text_id=False),
        replace(LAYOUT, payload=None),
        replace(LAYOUT, reserved=None),
        replace(LAYOUT, copy="embedding"),
        replace(LAYOUT, main=None),
        replace(LAYOUT, members={**LAYOUT.members, "n": Column("n", "INTEGER")}),
        replace(LAYOUT, vectors=VectorTable("memories_vec", (PART, replace(PART, name="title")))),
        replace(LAYOUT, vectors=VectorTable("memories_vec", (replace(PART, type="int8"),))),
    ):
        assert not suits(other, FIELDS)


def rows_made(written: list[Record]) -> dict[str, tuple[Any, ...]]:
    """Return the rows of those of the records that are plain, by id; the others come back as they were given."""
    named = [(record, native_id(record.key, CAN)) for record in written]
    made, others = ColumnWriter(FIELDS, "metadata", DIMS, folds=True).columns(named)
    found = {each[0]: (each[0], each[7], each[1], None, each[2], *each[3:7]) for each in zip(*made, strict=True)}
    assert sorted([*found, *(native for _, native in others)]) == sorted(native for _, native in named)
    return found


def distinct(written: list[Record]) -> list[Record]:
    return list({native_id(record.key, CAN): record for record in written}.values())


@given(st.lists(records, max_size=6).map(distinct))
def test_records_have_the_same_rows_both_ways(written: list[Record]) -> None:
    rows = {row[0]: row for row in map(row_of, written)}
    assert all(rows[identifier] == row for identifier, row in rows_made(written).items())


def test_tricky_records_have_the_same_rows_both_ways() -> None:
    written = distinct(tricky_records())
    rows, made = {row[0]: row for row in map(row_of, written)}, rows_made(written)
    assert all(rows[identifier] == row for identifier, row in made.items())
    assert len(made) > len(written) / 3


names = st.sampled_from(["n", "ü", "deep", "Content", "text", "metadata", "_vex", "id", ""])
usual = st.fixed_dictionaries(
    {"id": texts.filter(bool)},
    optional={
        "text": texts | st.none(),
        "namespace": texts | st.none(),
        "model": texts | st.integers(0, 3),
        "created_at": texts | st.integers() | st.none(),
        "metadata": st.dictionaries(names, json_values(), max_size=3) | st.none(),
        "dims": st.just(DIMS) | st.none(),
        "score": json_values(),
        "big": st.integers(-(1 << 80), 1 << 80) | st.booleans() | st.sampled_from([1, 1.0, 1e21, -0.0, 1e-7]),
    },
)


@given(st.lists(st.tuples(usual, st.sampled_from(["f32", "f32d", "f64", None])), max_size=6))
def test_usual_records_have_the_same_rows_both_ways(values: list[tuple[dict[str, Any], Any]]) -> None:
    written = []
    for value, dtype in values:
        model = value["model"] if isinstance(value.get("model"), str) else None
        row = bytes((8 if dtype == "f64" else 4) * DIMS)
        vectors = (Vector(Space(MAIN, "dense", model, DIMS, dtype), row),) if dtype is not None else ()
        written.append(with_body(key_of(value), canonical.encode(value), vectors))
    written = distinct(written)
    rows = {row[0]: row for row in map(row_of, written)}
    assert all(rows[identifier] == row for identifier, row in rows_made(written).items())


def test_plain_records_take_the_quick_way() -> None:
    values = [
        {"id": f"m{at}", "text": "t", "metadata": {"n": 1.5, "e": 1e-7, "tags": ["ü"]}, "modality": None, "dims": 3}
        for at in range(5)
    ]
    written = [from_json({**value, "vector": [0.1, 2.0, 3]}) for value in values]
    written += [from_json({"id": "none", "namespace": "x", "score": 0, "created_at": "2026"})]
    assert len(rows_made(written)) == 6
