"""Points become records in two ways; both give the same record, whatever a payload or a hash holds."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import json_values, records
from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import Capabilities, native_id
from vexrepo.remotes.stores.payload_records import PayloadReader, Plain, are_finite, single_rows
from vexrepo.remotes.stores.points import RESERVED, Fields, Point, read_point, write_point
from vexrepo.remotes.stores.redis_forms import TYPES, Layout, decode_hash, encode_hash
from vexrepo.remotes.stores.redis_records import HashReader
from vexrepo.testing.stores import tricky_records

FIELDS = Fields(text="content")
LAYOUT = Layout()
CAN = Capabilities(lambda value: True, holds_name=LAYOUT.takes_name)
NAMES = [*(name for _, name in FIELDS.members), "text", "x", "ü", RESERVED, "id", "dims", "vector", "metadata", ""]
NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=5)


def point_of(record: Record) -> Point:
    return write_point(record, native_id(record.key, CAN), CAN, FIELDS)


def slowly(point: Point) -> Record | str:
    try:
        return read_point(point, CAN, FIELDS)
    except InvalidData as error:
        return error.code


def quickly(point: Point) -> Record | None:
    if len(point.vectors) > 1 or any(item.space.name != MAIN for item in point.vectors):
        return None
    plain = Plain(point.id, point.payload, point.vectors[0].row if point.vectors else None)
    return PayloadReader(FIELDS).records([plain])[0]


def check(point: Point) -> None:
    quick = quickly(point)
    assert quick is None or quick == slowly(point)


def of_hash(
    identifier: str, held: Mapping[bytes, bytes], layout: Layout = LAYOUT
) -> tuple[Record | None, Record | str]:
    (quick,) = HashReader(layout, FIELDS).records([identifier.encode()], [held])
    try:
        return quick, slowly(decode_hash(identifier, held, layout))
    except InvalidData as error:
        return quick, error.code


@given(records)
def test_a_point_that_was_written_reads_the_same_both_ways(record: Record) -> None:
    point = point_of(record)
    assert slowly(point) == record
    check(point)


@pytest.mark.parametrize("record", tricky_records(), ids=lambda record: repr(record.key)[:30])
def test_tricky_points_and_hashes_read_as_their_records(record: Record) -> None:
    point = point_of(record)
    check(point)
    quick, slow = of_hash(point.id, encode_hash(point, LAYOUT))
    assert slow == record and quick in (None, record)


@given(records, st.dictionaries(st.sampled_from(NAMES), json_values(), max_size=4), st.none() | NUMBERS)
def test_what_an_agent_makes_of_a_point_reads_the_same_both_ways(
    record: Record, edits: dict[str, Any], numbers: list[float] | None
) -> None:
    import numpy as np

    point = point_of(record)
    vectors = point.vectors
    if numbers is not None:
        row = np.array(numbers, "<f4").tobytes()
        vectors = (Vector(Space(MAIN, "dense", None, len(numbers), "f32"), row),)
    payload = {**point.payload, **edits}
    if RESERVED in edits:
        payload[RESERVED] = canonical.encode(edits[RESERVED]).decode()
    check(Point(point.id, payload, vectors))


@given(records)
def test_a_hash_that_was_written_reads_the_same_both_ways(record: Record) -> None:
    point = point_of(record)
    quick, slow = of_hash(point.id, encode_hash(point, LAYOUT))
    assert slow == record and quick in (None, record)


@given(
    records,
    st.dictionaries(
        st.sampled_from([name.encode() for name in [*NAMES, TYPES, "importance"]]) | st.binary(max_size=4),
        st.binary(max_size=9) | json_values().map(canonical.encode),
        max_size=4,
    ),
)
def test_what_an_agent_makes_of_a_hash_reads_the_same_both_ways(record: Record, edits: dict[bytes, bytes]) -> None:
    point = point_of(record)
    quick, slow = of_hash(point.id, {**encode_hash(point, LAYOUT), **edits})
    assert quick is None or quick == slow


def test_a_plain_memory_is_read_the_quick_way() -> None:
    (plain,) = (each for each in tricky_records() if each.key.endswith(b"plain"))
    point = point_of(plain)
    assert quickly(point) == plain
    assert of_hash(point.id, encode_hash(point, LAYOUT)) == (plain, plain)


@given(st.lists(st.binary(max_size=9), max_size=5))
def test_rows_that_are_no_finite_numbers_are_told_apart(rows: list[bytes]) -> None:
    assert are_finite(rows) == [all(are_finite([row])) for row in rows]


@given(
    st.lists(st.lists(st.floats() | st.integers(-(1 << 53), 1 << 53), min_size=1, max_size=3), max_size=5),
    st.booleans(),
)
def test_numbers_become_rows_only_where_nothing_is_lost(vectors: list[list[Any]], loses: bool) -> None:
    import numpy as np

    for numbers, row in zip(vectors, single_rows(vectors, loses=loses), strict=True):
        if row is None:
            continue
        found = np.frombuffer(row, "<f4")
        assert np.isfinite(found).all() and len(found) == len(numbers)
        with np.errstate(over="ignore"):
            assert np.array_equal(found, np.array(numbers, "<f8").astype("<f4"))
        assert loses or [float(number) for number in found] == numbers
