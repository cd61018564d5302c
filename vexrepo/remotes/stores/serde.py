"""Numbers that servers written in Rust read as they are sent.

Their JSON parser, serde_json without its feature ``float_roundtrip``, is a last digit off for many long numbers [found
with the engines of Qdrant and Chroma].  Exact are those whose digits make an integer below 2^53, times or divided by a
power of ten up to 22: one operation, rounded once.
"""

from __future__ import annotations


def is_read_exactly(value: float) -> bool:
    """Whether a number comes out of that parser as it went in."""
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    fraction = fraction.rstrip("0") if exponent or fraction != "0" else ""
    return int(whole + fraction) < 1 << 53 and abs(int(exponent or 0) - len(fraction)) <= 22
