"""Numbers as serde_json reads them: what is sent is read as what is meant."""

import math
import struct
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from vexrepo.remotes.stores.serde import (
    is_read_as_printed,
    is_read_exactly,
    nearest_read,
    nearest_value,
    number_text,
    sendable,
)

UNREADABLE = 0.23217612806301458


def read(text: str) -> float:
    """Return what the parser makes of a number: digits below 2^64 as a double, times or divided by a power of ten."""
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits, power = int(whole + fraction), int(exponent or 0) - len(fraction)
    assert digits < 1 << 64
    found = float(digits)
    while power < -308:
        found, power = found / 1e308, power + 308
    found = found / float(f"1e{-power}") if power < 0 else found * float(f"1e{power}")
    return math.copysign(found, -1 if mantissa.startswith("-") else 1)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_is_meant_or_known_not_to_be(value: float) -> None:
    text = number_text(value)
    assert is_read_exactly(value) is (text is not None)
    for is_held in (is_read_exactly, is_read_as_printed):
        near = nearest_read(value, is_held)
        assert near is not None and is_held(near) and abs(near - value) <= 8 * math.ulp(value)
    assert is_read_as_printed(value) is (read(repr(value)) == value)
    if text is not None:
        assert struct.pack("<d", read(text)) == struct.pack("<d", value)
        assert math.isclose(float(text), value, rel_tol=1e-14, abs_tol=1e-322)


def test_most_numbers_have_such_a_text() -> None:
    values = [math.sin(n) * 10.0 ** (n % 40 - 20) for n in range(1, 5000)]
    assert sum(map(is_read_exactly, values)) > 4950


def test_values_are_sent_so_that_they_are_read_exactly() -> None:
    value: dict[str, Any] = {"plain": [1, 0.5, "a", None, True], "n": 0.9908333333333333, "in": {"a": [1e-30]}}
    assert sendable(value["plain"]) is value["plain"]
    said = orjson.dumps(sendable(value))
    assert b"990833333333333376e-18" in said and b'"plain":[1,0.5,"a",null,true]' in said
    assert sendable({"n": UNREADABLE}) == {"n": UNREADABLE}


def test_a_number_without_a_text_has_a_near_one() -> None:
    assert not is_read_exactly(UNREADABLE)
    value = {"a": [UNREADABLE, 0.5], "b": "c"}
    near = nearest_value(value)
    assert near != value and near["b"] == "c" and near["a"][1] == 0.5 and is_read_exactly(near["a"][0])
    assert nearest_value(near) is near
