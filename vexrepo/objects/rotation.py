"""A rotation: the statement of a key that another one takes its place, signed by both.

Format: objects/KEYS.md, "Rotation".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.signature import KEY_BYTES, SIGNATURE_BYTES, Signature, is_good, sign

MAX_BYTES = 4096
_END_TIME_US = 253_402_300_800_000_000  # the year 10000


@dataclass(frozen=True, slots=True)
class Rotation:
    """``new`` takes the place of ``old`` from ``time_us`` on (microseconds since 1970, as the old key's owner says)."""

    old: bytes
    new: bytes
    time_us: int
    by_old: bytes = field(repr=False)
    by_new: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Return the content of a file with the statement."""
        value = {
            "type": "vex-key-rotation",
            "version": 1,
            "old": self.old.hex(),
            "new": self.new.hex(),
            "time_us": self.time_us,
            "by_old": self.by_old.hex(),
            "by_new": self.by_new.hex(),
        }
        return canonical.encode(value) + b"\n"


def message_of(old: bytes, new: bytes, time_us: int) -> bytes:
    """Return the exact bytes that both keys sign."""
    return b"vex:key-rotation:1\n" + old + new + time_us.to_bytes(8, "little")


def make(old_seed: bytes, new_seed: bytes, old: bytes, new: bytes, time_us: int) -> Rotation:
    """Return the statement that the key of one seed takes the place of the other's."""
    message = message_of(old, new, time_us)
    return Rotation(old, new, time_us, sign(old_seed, message).signature, sign(new_seed, message).signature)


def decode(raw: bytes, where: str) -> Rotation:
    """Return the statement in a file's content, both signatures checked.

    The new key has signed, so that nobody can pass off somebody else's key as the next of their own.
    Raises: InvalidData (rotation-unreadable, rotation-bad).
    """
    if len(raw) > MAX_BYTES:
        raise _unreadable(where, f"it has more than {MAX_BYTES} bytes")
    try:
        value: Any = canonical.parse(raw)
    except InvalidData as error:
        raise _unreadable(where, str(error)) from None
    match value:
        case {
            "type": "vex-key-rotation",
            "version": 1,
            "old": str(old),
            "new": str(new),
            "time_us": int(time_us),
            "by_old": str(by_old),
            "by_new": str(by_new),
            **rest,
        } if not rest and bool not in (type(time_us), type(value["version"])) and 0 <= time_us < _END_TIME_US:
            sizes = (KEY_BYTES, KEY_BYTES, SIGNATURE_BYTES, SIGNATURE_BYTES)
            parts = [_raw(text, size) for text, size in zip((old, new, by_old, by_new), sizes, strict=True)]
            if all(parts):
                return _checked(Rotation(parts[0], parts[1], time_us, parts[2], parts[3]), where)
        case {"type": "vex-key-rotation", "version": int(version)} if version != 1:
            raise _unreadable(where, f"it has version {version}, this vexrepo knows version 1")
    raise _unreadable(where, "its members are not those of one")


def _checked(found: Rotation, where: str) -> Rotation:
    message = message_of(found.old, found.new, found.time_us)
    for what, key, signature in (("old", found.old, found.by_old), ("new", found.new, found.by_new)):
        if not is_good(Signature(key, signature), message):
            raise InvalidData(f"{where}: the {what} key has not signed this statement", code="rotation-bad")
    if found.old == found.new:
        raise InvalidData(f"{where}: the old and the new key are the same", code="rotation-bad")
    return found


def _raw(text: str, size: int) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return b""
    return found if len(found) == size and found.hex() == text else b""


def _unreadable(where: str, why: str) -> InvalidData:
    return InvalidData(f"{where} is not a rotation statement: {why}", code="rotation-unreadable")
