"""Recovery keys: an identity's seed written so that a person can copy it from paper, and a slip is found and located.

Thirteen groups of five digits of Crockford's base 32, the fifth of each a check of its group and its place.
Format: remotes/PROTOCOL.md, "Recovery keys".
"""

from __future__ import annotations

import re
from typing import Final

from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects.signature import KEY_BYTES

DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUPS: Final = 13
GROUP_DIGITS: Final = 4  # and the check
_VALUES: Final = {**{digit: value for value, digit in enumerate(DIGITS)}, "O": 0, "I": 1, "L": 1}
_IGNORED = re.compile(r"[\s\-–—.]+")


def format_recovery(seed: bytes) -> str:
    """Return a seed in groups, to be printed: ``0F3ZK-…``."""
    number = int.from_bytes(seed, "big") << 4 | _check_bits(seed)
    groups = []
    for place in range(GROUPS):
        bits = number >> 20 * (GROUPS - 1 - place) & 0xFFFFF
        values = [bits >> shift & 31 for shift in (15, 10, 5, 0)]
        groups.append("".join(DIGITS[value] for value in (*values, _check(values, place))))
    return "-".join(groups)


def parse_recovery(text: str) -> bytes:
    """Return the seed of what somebody typed: case, spaces and dashes do not matter, O is 0, I and L are 1.

    Raises: InvalidData (key-unreadable), which says in which group the slip is and never what was typed.
    """
    typed = _IGNORED.sub("", text).upper()
    wanted = GROUPS * (GROUP_DIGITS + 1)
    for number, digit in enumerate(typed[:wanted]):
        if digit not in _VALUES:
            raise _unreadable(f"digit {number % 5 + 1} of group {number // 5 + 1} is none of {DIGITS}")
    if len(typed) != wanted:
        raise _unreadable(f"it has {len(typed)} digits, expected {wanted} in {GROUPS} groups of 5")
    number, wrong = 0, []
    for place in range(GROUPS):
        *values, check = (_VALUES[digit] for digit in typed[5 * place : 5 * place + 5])
        if check != _check(values, place):
            wrong.append(str(place + 1))
        for value in values:
            number = number << 5 | value
    if wrong:
        raise _unreadable(f"look again at group{'s' * (len(wrong) > 1)} {', '.join(wrong)}")
    seed = (number >> 4).to_bytes(KEY_BYTES, "big")
    if number & 15 != _check_bits(seed):
        raise _unreadable("the groups do not belong together")
    return seed


def _check(values: list[int], place: int) -> int:
    """Return the check digit: any one wrong digit, two exchanged ones, or a group in another place changes it."""
    found = place
    for power, value in enumerate(values, 1):
        for _ in range(power):
            value = value << 1 ^ (0b100101 if value & 16 else 0)  # times x modulo x^5 + x^2 + 1
        found ^= value
    return found


def _check_bits(seed: bytes) -> int:
    return blake3(b"vex:recovery:1\n" + seed).digest(length=1)[0] >> 4


def _unreadable(why: str) -> InvalidData:
    return InvalidData(f"this is not a recovery key: {why}", code="key-unreadable")
