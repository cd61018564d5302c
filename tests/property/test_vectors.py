"""Vectors: every number that goes in comes out, in the smallest form that can hold it."""

import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.property.strategies import any_double, attempt, bits_of, float32s, json_integers, shortest_decimal
from vexrepo.errors import InvalidData
from vexrepo.objects import vector
from vexrepo.objects.vector import ITEM_BYTES, Space, Vector

LARGEST = 3.4028234663852886e38
singles = float32s()
decimals = singles.map(shortest_decimal)
edges = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 0.1, 1e-45, 1.401298464324817e-45, 1.1754943508222875e-38, LARGEST, -LARGEST, 3.4e38,
     3.4028235677973366e38, 16777216.0, 16777217.0, 2.0**53, 2.0**63, 2.0**64, 1e16, 1e20, 1e21, 1e22, 1e308, 5e-324,
     12345678901234567890.0, 1e-5, 1e-6, 1e-7, 0.30000001192092896, 0.30000001]
)  # fmt: skip
lists = st.one_of(
    st.lists(singles, min_size=1, max_size=8),
    st.lists(decimals, min_size=1, max_size=8),
    st.lists(any_double, min_size=1, max_size=8),
    st.lists(json_integers, min_size=1, max_size=8),
    st.lists(st.one_of(singles, decimals, any_double, json_integers, edges), min_size=1, max_size=8),
    st.lists(edges, min_size=1, max_size=8),
)


def as_bits(numbers: list[Any]) -> list[bytes]:
    return [bits_of(float(item)) for item in numbers]


def smallest(numbers: list[Any]) -> str:
    """The smallest exact dtype, by definition and slowly."""
    with np.errstate(over="ignore"):
        narrow = [np.float32(item) for item in map(float, numbers)]
    if [bits_of(float(item)) for item in narrow] == as_bits(numbers):
        return "f32"
    if all(map(np.isfinite, narrow)) and [bits_of(float(str(item))) for item in narrow] == as_bits(numbers):
        return "f32d"
    return "f64"


def check(numbers: list[Any], dtype: str, raw: bytes) -> None:
    assert dtype == smallest(numbers)
    assert len(raw) == ITEM_BYTES[dtype] * len(numbers)
    assert as_bits(vector.unpack_numbers(dtype, raw)) == as_bits(numbers)
    text = vector.numbers_json(dtype, raw)
    assert as_bits(json.loads(text)) == as_bits(numbers)
    assert as_bits(orjson.loads(text)) == as_bits(numbers)


def printed(numbers: list[Any]) -> list[bytes]:
    """The texts in which tools give these numbers."""
    found = [orjson.dumps(numbers), json.dumps(numbers).encode(), json.dumps(numbers, indent=1).encode()]
    found.append(b"[" + b", ".join(b"%.17e" % item for item in numbers) + b"]")
    if smallest(numbers) != "f64":
        found.append(orjson.dumps(np.array(numbers, "<f4"), option=orjson.OPT_SERIALIZE_NUMPY))
    return found


@given(lists)
@example([0.1, 0.10000000149011612])
@example([-0.0, 0.0])
@example([1, 2.5, -0.0, 5e-324])
@example([12345678901234567890.0, 0.5])
def test_numbers_come_back_bit_for_bit_in_the_smallest_exact_dtype(numbers: list[Any]) -> None:
    dtype, raw = vector.pack_numbers(list(numbers))
    check(numbers, dtype, raw)


@given(lists)
@example([0.1])
@example([1.5, 2.5])
@example([1e16, 1e17])
@example([0.1, 0.10000000149011612, 0.30000001192092896])
def test_the_text_changes_nothing_but_speed(numbers: list[Any]) -> None:
    for text in printed(numbers):
        parsed = orjson.loads(text)
        wanted = vector.pack_numbers(list(parsed))
        check(parsed, *wanted)
        assert vector.pack_numbers(list(parsed), text) == wanted
        assert vector.pack_text(text) == wanted


@given(lists)
def test_it_makes_no_difference_whether_the_quick_parser_is_there(numbers: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for text in printed(numbers):
            with_it = vector.pack_text(text)
            patch.setattr(vector, "_simd_parser", lambda: None)
            assert vector.pack_text(text) == with_it
            patch.undo()


@given(lists)
def test_what_is_printed_packs_to_the_same_row_again(numbers: list[Any]) -> None:
    dtype, raw = vector.pack_numbers(list(numbers))
    text = vector.numbers_json(dtype, raw)
    assert vector.pack_text(text) == (dtype, raw)


@given(lists, st.none() | st.text(max_size=5))
def test_a_dense_vector_is_restored(numbers: list[Any], model: str | None) -> None:
    found = vector.from_json("", model, list(numbers))
    assert found is not None
    assert (found.space.kind, found.space.dims, found.space.model) == ("dense", len(numbers), model)
    assert as_bits(vector.to_json(found)) == as_bits(numbers)
    assert as_bits(json.loads(vector.to_json_text(found))) == as_bits(numbers)
    assert vector.from_json("", model, vector.to_json(found)) == found
    assert vector.from_text("", model, vector.to_json_text(found)) == found
    vector.check_row(found.space, found.row)
    values = vector.floats(found.space, found.row)
    assert values.shape == (len(numbers),)
    if found.space.dtype != "f32d":
        assert as_bits(values.tolist()) == as_bits(numbers)


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_a_multivector_is_restored(rows: int, dims: int, data: st.DataObject) -> None:
    numbers = data.draw(lists.filter(lambda found: len(found) >= 1))
    wide = (numbers * (rows * dims))[: rows * dims]
    value = [wide[at : at + dims] for at in range(0, len(wide), dims)]
    found = vector.from_json("title", "m", value)
    assert found is not None
    assert (found.space.kind, found.space.dims, found.space.dtype) == ("multi", dims, smallest(wide))
    assert [as_bits(row) for row in vector.to_json(found)] == [as_bits(row) for row in value]
    assert [as_bits(row) for row in json.loads(vector.to_json_text(found))] == [as_bits(row) for row in value]
    assert vector.floats(found.space, found.row).shape == (rows, dims)
    vector.check_row(found.space, found.row)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.one_of(singles, decimals, any_double)), max_size=6))
def test_a_sparse_vector_is_restored(pairs: list[tuple[int, float]]) -> None:
    value = {"indices": [index for index, _ in pairs], "values": [number for _, number in pairs]}
    found = vector.from_json("words", None, {name: list(items) for name, items in value.items()})
    assert found is not None
    assert (found.space.kind, found.space.dims) == ("sparse", 0)
    for back in (vector.to_json(found), json.loads(vector.to_json_text(found))):
        assert back["indices"] == value["indices"]
        assert as_bits(back["values"]) == as_bits(value["values"])
    vector.check_row(found.space, found.row)
    if found.space.dtype != "f32d":
        assert as_bits(vector.floats(found.space, found.row).tolist()) == as_bits(value["values"])


@given(st.lists(st.integers(0, 2**16 - 1), min_size=2, max_size=32))
def test_half_precision_values_are_kept_as_float32(bits: list[int]) -> None:
    halves = np.array(bits, "<u2").view("<f2")
    numbers = [float(item) for item in halves if np.isfinite(item)]
    if numbers:
        dtype, raw = vector.pack_numbers(numbers)
        assert dtype == "f32"
        check(numbers, dtype, raw)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_every_float32_and_its_decimal_take_four_bytes(first: int, second: int) -> None:
    values = np.array([first, second], "<u4").view("<f4")
    if not np.isfinite(values).all():
        return
    exact = [float(item) for item in values]
    assert vector.pack_numbers(exact) == ("f32", values.tobytes())
    short = [float(str(item)) for item in values]
    dtype, raw = vector.pack_numbers(short)
    assert (dtype, raw) == ("f32" if as_bits(short) == as_bits(exact) else "f32d", values.tobytes())
    printed = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    assert vector.pack_text(printed) == (dtype, raw)


@given(
    st.text(max_size=5), st.none() | st.text(max_size=5), st.integers(1, 2000), st.sampled_from(["f32", "f32d", "f64"])
)
def test_a_space_is_restored_from_its_bytes(name: str, model: str | None, dims: int, dtype: Any) -> None:
    for kind in vector.KINDS:
        space = Space(name, kind, model, 0 if kind == "sparse" else dims, dtype)  # type: ignore[arg-type]
        assert Space.decode(space.encode()) == space


@given(st.integers(2**53, 10**22), st.booleans())
def test_integers_past_2_53_are_taken_where_a_double_prints_or_equals_them(number: int, negative: bool) -> None:
    number = -number if negative else number
    double = float(number)
    held = double == number or (abs(double) < 1e21 and vector.canonical.number(double) == str(number))
    for text in (None, b"[%d,0.5]" % number):
        numbers = orjson.loads(text) if text else [number, 0.5]
        found, code = attempt(lambda numbers=numbers, text=text: vector.pack_numbers(numbers, text))
        assert code == ("" if held else "vector-type")
        assert found is None or as_bits(vector.unpack_numbers(*found)) == as_bits([double, 0.5])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([1.0, float("nan")], "not-finite"),
        ([float("inf"), 1.0], "not-finite"),
        ([1.0, 10**400], "not-finite"),
        ([1.0, True], "vector-type"),
        ([False], "vector-type"),
        ([1.0, None], "vector-type"),
        (["1.0", 2.0], "vector-type"),
        ([1.0, [2.0]], "vector-type"),
        ([2**53 + 1], "vector-type"),
        ([36893488147419103233], "vector-type"),
        ([[1.0, 2.0], [1.0, "x"]], "vector-type"),
        ([[1.0, float("nan")]], "not-finite"),
        ({"indices": [1], "values": [None]}, "vector-type"),
    ],
)
def test_what_is_no_number_is_refused(value: Any, code: str) -> None:
    with pytest.raises(InvalidData) as caught:
        vector.from_json("", None, value)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "value",
    [
        None, [], "x", 5, {}, [[]], [[1.0], []], [[1.0], [1.0, 2.0]], [[1.0], 2.0], {"indices": [1], "values": []},
        {"indices": [-1], "values": [1.0]}, {"indices": [2**32], "values": [1.0]}, {"indices": [1.0], "values": [1.0]},
        {"indices": [True], "values": [1.0]}, {"indices": [1], "values": [1.0], "dims": 3}, {"indices": 1, "values": 1},
    ],
)  # fmt: skip
def test_a_value_of_another_shape_is_no_vector(value: Any) -> None:
    assert vector.from_json("", None, value) is None


@pytest.mark.parametrize(
    "text", [b"[1,2", b"[1,,2]", b"[[1,2]", b"[1,2]]", b"[NaN]", b"[1e400]", b"", b"[01]", b"[1]x"]
)
def test_a_text_that_is_no_array_is_refused(text: bytes) -> None:
    with pytest.raises((orjson.JSONDecodeError, InvalidData)):
        vector.pack_text(text)


def test_vectors_have_a_largest_size() -> None:
    with pytest.raises(InvalidData) as caught:
        vector.from_json("", None, [0.5] * (vector.MAX_DIMS + 1))
    assert caught.value.code == "limit-exceeded"
    with pytest.raises(InvalidData) as caught:
        vector.from_text("", None, b"[" + b"0.5," * vector.MAX_DIMS + b"0.5]")
    assert caught.value.code == "limit-exceeded"
    largest = vector.from_text("", None, b"[" + b"0.5," * (vector.MAX_DIMS - 1) + b"0.5]")
    assert largest.space.dims == vector.MAX_DIMS


@given(st.sampled_from(vector.KINDS), st.sampled_from(["f32", "f32d", "f64"]), st.binary(max_size=40))
def test_a_row_is_well_formed_or_refused(kind: Any, dtype: Any, row: bytes) -> None:
    space = Space("", kind, None, 0 if kind == "sparse" else 2, dtype)
    code = attempt(lambda: vector.check_row(space, row))[1]
    if code:
        assert code in ("dims-mismatch", "not-finite")
        return
    back = vector.to_json(Vector(space, row))
    again = vector.from_json("", None, back)
    assert again is not None
    numbers = back["values"] if kind == "sparse" else np.array(back, "<f8").ravel().tolist()
    assert again.space.dtype == smallest(numbers)
    if again.space.dtype == dtype:
        assert again.row == row
    assert struct.unpack(f"<{len(numbers)}d", struct.pack(f"<{len(numbers)}d", *numbers)) == tuple(numbers)
