"""Records as points: whatever a store can hold, a record comes back; and what an agent edits counts."""

import struct
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.property.strategies import records
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, from_json, split_key
from vexrepo.remotes.stores.capabilities import (
    ALL_KINDS,
    LENGTH,
    Capabilities,
    is_number,
    is_uuid,
    mapped_id,
    native_id,
)
from vexrepo.remotes.stores.plain_points import PointReader
from vexrepo.remotes.stores.points import (
    RESERVED,
    Fields,
    Point,
    read_point,
    write_point,
)
from vexrepo.testing.stores import tricky_records


def scalars(value: Any) -> bool:
    return type(value) in (str, bool) or (type(value) in (int, float) and abs(value) < 2**53)


STORES = {
    "everything": Capabilities(lambda value: True, kinds=ALL_KINDS, is_named=True),
    "scalars": Capabilities(scalars),
    "nothing": Capabilities(lambda value: False, kinds=frozenset()),
    "uuids": Capabilities(lambda value: True, id_form="uuid", is_named=True),
    "numbers": Capabilities(scalars, id_form="number"),
    "filled": Capabilities(scalars, fills={"importance": 3, "text": "", "namespace": "none"}),
    "short ids": Capabilities(scalars, id_bytes=8, holds_name=str.isidentifier),
    "needs a vector": Capabilities(scalars, needs_vector=True),
    "scales": Capabilities(lambda value: True, alters=LENGTH),
}
NAMES = st.sampled_from(sorted(STORES))


def through(record: Record, can: Capabilities, fields: Fields = Fields()) -> Point:  # noqa: B008 - a frozen value
    return write_point(record, native_id(record.key, can), can, fields, 4)


@given(records, NAMES)
def test_a_record_comes_back(record: Record, store: str) -> None:
    can = STORES[store]
    assert read_point(through(record, can), can, Fields()) == record


def quickly(point: Point, can: Capabilities) -> Record:
    (found,) = PointReader(Fields()).records([point])
    return found or read_point(point, can, Fields())


@given(records, NAMES, st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.text(max_size=5), st.integers())))
def test_points_read_a_batch_at_a_time_are_the_same_records(record: Record, store: str, edits: dict[str, Any]) -> None:
    can = STORES[store]
    for point in (through(record, can), write_point(record, mapped_id(record.key, can), can, Fields(), 4)):
        for payload in (point.payload, {**point.payload, **edits}):
            edited = point._replace(payload=payload)
            assert quickly(edited, can) == read_point(edited, can, Fields())
            copied = edited._replace(id="7")
            assert quickly(copied, can) == read_point(copied, can, Fields())


@pytest.mark.parametrize("store", ["everything", "uuids", "numbers"])
def test_most_points_need_no_way_of_their_own(store: str) -> None:
    can = STORES[store]
    values = [{"id": f"mem_{at}", "namespace": "n", "text": "x", "vector": [0.5, at], "dims": 2} for at in range(3)]
    found = [from_json({**value, "metadata": {"n": 1}}) for value in values]
    assert PointReader(Fields()).records([through(each, can) for each in found]) == found


@pytest.mark.parametrize(
    "carried",
    [
        '{"k":["7","a"],"v":1}',
        '{"a":{"x":{"k":["7","a"],"v":1}}}',
        '{"a":{"k":["7","a"],"v":1}}',
        '{"a":{"x":"y"},"k":["7","a"],"v":1}',
        '{"k":["7","a\\"b"],"v":1}',
        '{"k":["7","a","b"],"v":1}',
        '{"k":["7"],"v":1}',
        '{"k":["8","a"],"v":1}',
        '{"k":["7","a"],"k":["7","b"],"v":1}',
        '{"a":{"id":"b"},"k":["7","a"],"v":1}',
        '{"k":["7","a"],"v":2}',
        'x"k":["7","a"],"v":1}',
        '"k":["7","a"],"v":1}',
        '{"a":"k":["7","a"],"v":1}',
    ],
)
def test_what_names_a_point_is_read_as_it_says(carried: str) -> None:
    can = STORES["numbers"]
    point = Point("7", {"text": "x", RESERVED: carried}, ())
    assert quickly(point, can) == read_point(point, can, Fields())


@given(records, NAMES)
def test_what_is_carried_is_canonical(record: Record, store: str) -> None:
    can = STORES[store]
    for point in (through(record, can), write_point(record, mapped_id(record.key, can), can, Fields(), 4)):
        carried = point.payload.get(RESERVED)
        assert carried is None or canonical.decode(carried.encode())["v"] == 1


@pytest.mark.parametrize("store", STORES)
def test_tricky_records_come_back(store: str) -> None:
    can = STORES[store]
    for record in tricky_records():
        assert read_point(through(record, can), can, Fields()) == record, record.body


@given(records, NAMES, st.sampled_from(["content", "page_content"]))
def test_a_record_comes_back_whatever_its_text_is_called(record: Record, store: str, name: str) -> None:
    can, fields = STORES[store], Fields(text=name)
    assert read_point(through(record, can, fields), can, fields) == record


@given(records, NAMES)
def test_a_record_under_another_id_comes_back(record: Record, store: str) -> None:
    can = STORES[store]
    point = write_point(record, mapped_id(record.key, can), can, Fields(), 4)
    assert read_point(point, can, Fields()) == record


@given(records, NAMES, st.text(min_size=1, max_size=5), st.one_of(st.text(max_size=5), st.integers(-9, 9)))
def test_what_an_agent_adds_or_changes_counts_and_the_rest_stays(
    record: Record, store: str, name: str, value: Any
) -> None:
    can = STORES[store]
    assume(name not in Fields().taken)
    point = through(record, can)
    edited = Point(point.id, {**point.payload, name: value}, point.vectors)
    found = read_point(edited, can, Fields()).to_json()
    original = record.to_json()
    metadata = found["metadata"]
    if isinstance(original.get("metadata"), dict):
        assert metadata == {**original["metadata"], name: value} or name in original["metadata"]
    assert (isinstance(metadata, dict) and canonical.encode(metadata[name]) == canonical.encode(value)) or (
        name in (original.get("metadata") or {})
    )
    assert {k: v for k, v in found.items() if k != "metadata"} == {k: v for k, v in original.items() if k != "metadata"}


@given(records, NAMES, st.text(max_size=8))
def test_a_text_an_agent_rewrites_counts(record: Record, store: str, text: str) -> None:
    can = STORES[store]
    point = through(record, can)
    held = point.payload.get("text")
    assume(held is not None and held != text)
    edited = Point(point.id, {**point.payload, "text": text}, point.vectors)
    found, original = read_point(edited, can, Fields()).to_json(), record.to_json()
    assert found.pop("text") == text
    original.pop("text", None)
    assert found == original


def test_a_vector_an_agent_exchanges_counts() -> None:
    can = STORES["everything"]
    record = from_json({"id": "a", "text": "x", "vector": [0.1, 0.25], "dims": 2, "score": None})
    point = through(record, can)
    (held,) = point.vectors
    longer = held._replace(space=held.space.__class__("", "dense", None, 3, "f32"), row=struct.pack("<3f", 1, 2, 3))
    found = read_point(Point(point.id, point.payload, (longer,)), can, Fields()).to_json()
    assert found == {"id": "a", "text": "x", "vector": [1.0, 2.0, 3.0], "dims": 3, "score": None}


def test_a_store_that_scales_gives_back_what_was_written() -> None:
    can = STORES["scales"]
    record = from_json({"id": "a", "vector": [0.1234567890123, 3.5, -2.0]})
    point = through(record, can)
    (held,) = point.vectors
    values = struct.unpack("<3f", held.row)
    norm = sum(value * value for value in values) ** 0.5
    scaled = held._replace(row=struct.pack("<3f", *(value / norm for value in values)))
    assert read_point(Point(point.id, point.payload, (scaled,)), can, Fields()) == record
    turned = held._replace(row=struct.pack("<3f", 1.0, 0.0, 0.0))
    assert read_point(Point(point.id, point.payload, (turned,)), can, Fields()).to_json()["vector"] == [1.0, 0.0, 0.0]


def test_what_is_carried_does_not_follow_a_copy() -> None:
    can = STORES["uuids"]
    record = from_json({"id": "not a uuid", "namespace": "n", "text": "x"})
    point = through(record, can)
    copy = Point("7", point.payload, point.vectors)
    assert read_point(copy, can, Fields()).key != record.key
    assert split_key(read_point(copy, can, Fields()).key) == ("n", "7")


@given(st.one_of(st.text(max_size=30), st.integers(), st.none(), st.recursive(st.text(max_size=3), st.lists)))
def test_a_reserved_member_that_is_not_ours_never_breaks_reading(text: Any) -> None:
    point = Point("a", {"text": "x", RESERVED: text}, ())
    assert read_point(point, STORES["everything"], Fields()).to_json() == {"id": "a", "text": "x"}


@given(st.text(max_size=40))
def test_native_ids_are_of_the_form_a_store_wants(identifier: str) -> None:
    assume(identifier)
    key = from_json({"id": identifier}).key if _is_utf8(identifier) else b""
    assume(key)
    for name in ("uuids", "short ids"):
        can = STORES[name]
        for found in (native_id(key, can), mapped_id(key, can)):
            assert is_uuid(found) or is_number(found) if can.id_form != "text" else found == found.strip()
    assert native_id(key, STORES["short ids"]) == identifier or len(native_id(key, STORES["short ids"])) == 36


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
