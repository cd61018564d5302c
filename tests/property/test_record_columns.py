"""Batches of rows become records a column at a time; each is the record that its row reads as by its point."""

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import json_values, records, texts
from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import Capabilities, native_id
from vexrepo.remotes.stores.points import RESERVED, Fields, Point, read_point, write_point
from vexrepo.remotes.stores.record_columns import ColumnReader, Columns
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
