"""Numbers that servers written in Rust read as they are meant.

Their JSON parser, serde_json without its feature ``float_roundtrip``, is a last digit off for many long numbers [found
with the engines of Qdrant, Chroma and Redis]: it rounds the digits to a double, and again what that is times or divided
by a power of ten.  Of nearly all numbers there is another text that it reads as them: 0.9908333333333333 as
``990833333333333376e-18``, say.  That is no help where a server keeps what it read as JSON, and reads it again (Qdrant,
Chroma).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

_POWERS: Final = tuple(float(f"1e{power}") for power in range(309))
_DIGITS: Final = 1 << 64  # what it keeps of the digits is below


def is_read_as_printed(value: float) -> bool:
    """Whether the parser reads a finite number as it is where it is printed as Python, and Rust, print it."""
    return value == 0 or _read(*_taken_apart(repr(value))) == abs(value)


def is_read_exactly(value: float) -> bool:
    """Whether there is a text that the parser reads as this number."""
    return number_text(value) is not None


def number_text(value: float) -> str | None:
    """Return a text that the parser reads as a finite number: as Python prints it where that will do; None: none."""
    printed = repr(value)
    if value == 0:
        return printed
    size = abs(value)
    if is_read_as_printed(value):
        return printed
    sign = "-" if value < 0 else ""
    for digits, power in _near(size):
        if _read(digits, power) == size:
            return f"{sign}{digits}e{power}"
    return None


def nearest_value(value: Any, is_held: Callable[[float], bool] = is_read_exactly) -> Any:
    """Return a JSON value with the nearest number that is held for each that is not; itself if there is none."""
    if isinstance(value, float):
        near = nearest_read(value, is_held)
        return value if near is None or near == value else near
    if isinstance(value, dict):
        made = {name: nearest_value(each, is_held) for name, each in value.items()}
        return made if any(made[name] is not each for name, each in value.items()) else value
    if isinstance(value, list):
        items = [nearest_value(each, is_held) for each in value]
        return items if any(one is not other for one, other in zip(items, value, strict=True)) else value
    return value


def nearest_read(value: float, is_held: Callable[[float], bool] = is_read_exactly) -> float | None:
    """Return the nearest number that is held; None where that is not one of the next few."""
    if is_held(value):
        return value
    above = below = value
    for _ in range(8):
        above, below = math.nextafter(above, math.inf), math.nextafter(below, -math.inf)
        for each in (above, below):
            if math.isfinite(each) and is_held(each):
                return each
    return None


def sendable(value: Any) -> Any:
    """Return a JSON value for orjson to print so that its numbers are read exactly; itself where all are anyway."""
    if isinstance(value, float):
        text = number_text(value)
        return value if text is None or text == repr(value) else orjson.Fragment(text)
    if isinstance(value, dict):
        made = {name: sendable(each) for name, each in value.items()}
        return made if any(made[name] is not each for name, each in value.items()) else value
    if isinstance(value, list):
        items = [sendable(each) for each in value]
        return items if any(one is not other for one, other in zip(items, value, strict=True)) else value
    return value


def _taken_apart(printed: str) -> tuple[int, int]:
    """Return the digits of a printed number, and the power of ten they are times."""
    mantissa, _, exponent = printed.partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    return int(whole + fraction), int(exponent or 0) - len(fraction)


def _read(digits: int, power: int) -> float:
    """Return what the parser makes of digits times a power of ten."""
    found = float(digits)
    while power < -308:
        found, power = found / 1e308, power + 308
    if power > 308:
        return math.inf
    return found / _POWERS[-power] if power < 0 else found * _POWERS[power]


def _near(size: float) -> Iterator[tuple[int, int]]:
    """Yield digits and powers of ten that are about a number: many digits, so that roundings may cancel out."""
    middle = 18 - math.floor(math.log10(size))
    for power in range(middle + 1, middle - 5, -1):
        if -308 <= power <= 308:
            whole = size * _POWERS[power] if power >= 0 else size / _POWERS[-power]
            for each in _around(whole):
                if 1 <= each < _DIGITS and each.is_integer():
                    yield int(each), -power


def _around(number: float) -> Iterator[float]:
    above = below = number
    yield number
    for _ in range(2):
        above, below = math.nextafter(above, math.inf), math.nextafter(below, 0.0)
        yield above
        yield below
