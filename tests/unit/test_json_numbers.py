"""Vectors taken out of answers before these are parsed: the same numbers, or none are taken."""

import math
import struct
import sys
from importlib.util import find_spec

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vexrepo.remotes.stores import json_numbers
from vexrepo.remotes.stores.json_numbers import cut_arrays, placed, take_numbers, take_rows

MARK = b'"vector":['
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
numbers = st.lists(st.one_of(finite, st.floats(-3e38, 3e38), st.integers(-(2**63), 2**64 - 1)), min_size=1, max_size=6)


def is_taken(found: object) -> bool:
    """Whether numbers were taken, as they must be wherever the optional package can be installed."""
    assert (found is not None) == (find_spec("simdjson") is not None)
    return found is not None


def packed(vector: list[float]) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)


@given(st.lists(st.tuples(numbers, st.text()), min_size=1, max_size=5))
def test_numbers_taken_out_are_those_that_a_parser_reads(found):
    objects = [{"id": text, "vector": vector, "payload": {text: text}} for vector, text in found]
    said = orjson.dumps({"objects": objects})
    taken = take_numbers(said, MARK)
    if not is_taken(taken):
        return
    value, rows = taken
    assert rows == [packed(each["vector"]) for each in orjson.loads(said)["objects"]]
    assert placed(value["objects"], "vector", rows) == rows
    assert [{**each, "vector": 0} for each in value["objects"]] == [{**each, "vector": 0} for each in objects]


@given(st.lists(st.lists(finite, min_size=3, max_size=3), min_size=1, max_size=5))
def test_rows_of_one_array_are_taken_out_in_order(vectors):
    said = orjson.dumps({"ids": [str(at) for at in range(len(vectors))], "embeddings": vectors, "uris": [[], [[1]]]})
    taken = take_rows(said, b'"embeddings":[[')
    assert not is_taken(taken) or taken == (
        {**orjson.loads(said), "embeddings": None},
        [packed(each) for each in vectors],
    )


@pytest.mark.parametrize(
    "vector",
    [
        "",
        "[1]",
        "1,[2]",
        "1],[2",
        "null",
        "1,null",
        "true",
        '"1"',
        "{}",
        "1e400",
        "1e39",
        "-3.5e38",
        "NaN",
        "1,",
        "01",
        "9" * 30,
    ],
)
def test_where_something_is_no_finite_number_nothing_is_taken(vector):
    said = b'[{"vector":[1.5]},{"vector":[%s]}]' % vector.encode()
    taken = take_numbers(said, MARK)
    assert taken is None or placed(taken[0], "vector", taken[1]) is None
    assert take_rows(b'{"embeddings":[[1.5],[%s]]}' % vector.encode(), b'"embeddings":[[') is None or vector == "1],[2"


@pytest.mark.parametrize("said", [b"", b"[]", b'{"vector":[1', b'[{"vector":[1]}', b'{"vector": [1]}', b'{"vector":1}'])
def test_an_answer_of_another_form_is_left_as_it_is(said):
    assert take_numbers(said, MARK) is None


@pytest.mark.parametrize("name", ["vector", 'x"vector'])
@pytest.mark.parametrize("is_first", [True, False])
def test_an_array_behind_the_mark_in_a_payload_is_not_taken_for_a_vector(name, is_first):
    parts = [("payload", {name: [2, 3]}), ("vector", [1.0])]
    said = orjson.dumps([dict(parts if is_first else parts[::-1]), {"vector": [4.0], "payload": {}}])
    taken = take_numbers(said, MARK)
    assert not is_taken(taken) or placed(taken[0], "vector", taken[1]) is None
    assert placed([{"vector": True}, 3, None], "vector", [b"1234"]) is None


def test_a_mark_within_a_text_is_none():
    said = orjson.dumps({"text": '"vector":[1,2]', "vector": [1.0]})
    taken = take_numbers(said, MARK)
    assert not is_taken(taken) or taken == ({"text": '"vector":[1,2]', "vector": 0}, [packed([1.0])])


def test_a_zero_keeps_the_sign_that_its_print_has():
    taken = take_numbers(b'{"vector":[-0.0,0.0]}', MARK)
    if not is_taken(taken):
        return
    assert [math.copysign(1, each) for each in struct.unpack("<2f", taken[1][0])] == [-1, 1]


def test_arrays_cut_out_leave_their_places():
    assert cut_arrays(b'[{"vector":[1,2]},{"vector":[3]}]', MARK) == (b'[{"vector":0},{"vector":1}]', [b"1,2", b"3"])


def test_without_the_optional_package_nothing_is_taken(monkeypatch):
    monkeypatch.setitem(sys.modules, "simdjson", None)
    monkeypatch.delattr(json_numbers._local, "parse", raising=False)
    assert take_numbers(b'{"vector":[1.0]}', MARK) is None
    monkeypatch.delattr(json_numbers._local, "parse")
