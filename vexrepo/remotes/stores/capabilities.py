"""What a kind of store of points can hold, as values: the mapping follows them, and people are shown them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from blake3 import blake3

from vexrepo.objects.vector import MAIN

if TYPE_CHECKING:
    from vexrepo.objects.vector import Vector

IdForm: TypeAlias = Literal["text", "uuid", "number", "uuid only"]
ALL_KINDS: Final = frozenset({"dense", "multi", "sparse"})


@dataclass(frozen=True, slots=True)
class Alteration:
    """What a store does to the vectors it is given: ``is_same`` tells, of what was written and what is read.

    Both are float32 and of one name.
    """

    name: str
    is_same: Callable[[Vector, Vector], bool]

    def __bool__(self) -> bool:
        return self is not NOTHING


def _is_equal(written: Vector, found: Vector) -> bool:
    return written == found


def is_scaled(written: Vector, found: Vector) -> bool:
    """Whether two vectors are the same but for their length, as stores that scale them to 1 return them."""
    import numpy as np

    if written == found:
        return True
    if not _is_alike(written, found):
        return False
    a, b = (np.frombuffer(each.row, "<f4").astype("<f8").reshape(-1, each.space.dims) for each in (written, found))
    big_a, big_b = (np.abs(each).max(axis=1, keepdims=True) for each in (a, b))
    if not (big_a.all() and big_b.all()):
        return bool((a == b).all())
    a, b = a / big_a, b / big_b
    a, b = (each / np.sqrt((each * each).sum(axis=1, keepdims=True)) for each in (a, b))
    return bool(np.abs(a - b).max() <= 1e-6)


def is_half(written: Vector, found: Vector) -> bool:
    """Whether a vector is what half precision makes of another."""
    import numpy as np

    if written == found:
        return True
    if not _is_alike(written, found):
        return False
    with np.errstate(over="ignore"):
        halves = np.frombuffer(written.row, "<f4").astype("<f2").astype("<f4")
    return bool(halves.tobytes() == found.row)


def is_near(written: Vector, found: Vector) -> bool:
    """Whether vectors differ by no more than what scaling them there and back does to float32 numbers."""
    import numpy as np

    if written == found:
        return True
    if not _is_alike(written, found):
        return False
    a, b = (np.frombuffer(each.row, "<f4").astype("<f8") for each in (written, found))
    return bool(np.abs(a - b).max() <= 1e-6 * max(float(np.abs(a).max()), 1e-30))


def _is_alike(written: Vector, found: Vector) -> bool:
    same = written.space.kind == found.space.kind and written.space.dims == found.space.dims
    return same and len(written.row) == len(found.row) and written.space.kind != "sparse"


def is_ascending(item: Vector) -> bool:
    """Whether a sparse vector has numbers, at places in order, each once: others come back sorted, or are refused."""
    import numpy as np

    count = len(item.row) // 8
    places = np.frombuffer(item.row[: 4 * count], "<u4")
    return count > 0 and bool((places[1:] > places[:-1]).all())


NOTHING: Final = Alteration("nothing", _is_equal)
LENGTH: Final = Alteration("scales to length 1", is_scaled)
HALF: Final = Alteration("rounds to half precision", is_half)
ROUNDING: Final = Alteration("rounds in the last digit", is_near)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind of store holds natively; what it does not is carried in the reserved member.

    ``holds`` says whether a payload member's value comes back exactly as JSON, ``values`` the same in words;
    ``holds_name`` whether a member may have a name, ``holds_member`` whether one of this name may have such a value.
    ``nearest`` gives, for a value that does not come back exactly, the one that is held in its place, whose difference
    is carried; itself where there is none.  ``holds_id_member``: a member of metadata called ``id`` is like any other;
    ``drops_id_member``: but for one that is the native id.
    ``fills`` are members that every point has, with what they are where a record says nothing of them.  ``id_form``:
    native ids are text (of at most ``id_bytes``, where ``holds_id``), "uuid" UUIDs and unsigned 64-bit numbers, "uuid
    only", or "number" what fits into a signed 64-bit number and is not negative.  ``kinds`` are the vectors held,
    ``is_named`` whether besides the main one; ``names``, where not None, are the only vectors this collection is set
    up for.  ``holds_vector``: whether it takes one with these numbers.  ``needs_vector``: a point without one is given
    a placeholder.  ``mixes_dims``: vectors of one name may differ in their dimensions.  ``alters``: what it does to
    vectors.
    """

    holds: Callable[[Any], bool]
    values: str = "any JSON"
    holds_name: Callable[[str], bool] = lambda name: True
    holds_member: Callable[[str, Any], bool] = lambda name, value: True
    nearest: Callable[[Any], Any] = lambda value: value
    holds_id_member: bool = False
    drops_id_member: bool = False
    fills: Mapping[str, Any] = field(default_factory=dict)
    id_form: IdForm = "text"
    id_bytes: int = 1 << 16
    holds_id: Callable[[str], bool] = lambda identifier: True
    kinds: frozenset[str] = frozenset({"dense"})
    is_named: bool = False
    names: frozenset[str] | None = None
    holds_vector: Callable[[Vector], bool] = lambda vector: True
    needs_vector: bool = False
    mixes_dims: bool = False
    alters: Alteration = NOTHING

    def has_vector(self, name: str) -> bool:
        """Whether there is a place for a vector of a name."""
        return (name == MAIN or self.is_named) and (self.names is None or name in self.names)

    def describe(self) -> dict[str, Any]:
        """Return the JSON form, for people who choose a store."""
        return {
            "ids": _ID_WORDS[self.id_form],
            "values": self.values,
            "vectors": sorted(self.kinds),
            "named_vectors": self.is_named,
            "needs_vector": self.needs_vector,
            "mixes_dims": self.mixes_dims,
            "alters_vectors": self.alters.name if self.alters else None,
        }


_ID_WORDS: Final[dict[IdForm, str]] = {
    "text": "text",
    "uuid": "UUIDs and numbers",
    "uuid only": "UUIDs",
    "number": "numbers",
}


# -- ids ---------------------------------------------------------------------------------------------------------------


def native_id(key: bytes, can: Capabilities) -> str:
    """Return the native id a record with this key has where it is free: its own id, if the store can hold that."""
    raw = key.partition(b"\0\x01")[2]  # as ``split_key`` has it
    identifier = raw.decode()
    if can.id_form != "text":
        is_right = ("uuid" in can.id_form and is_uuid(identifier)) or (
            can.id_form in ("uuid", "number") and is_number(identifier, 64 if can.id_form == "uuid" else 63)
        )
        return identifier if is_right else mapped_id(key, can)
    fits = len(raw) <= can.id_bytes and identifier == identifier.strip() and can.holds_id(identifier)
    return identifier if fits and identifier else mapped_id(key, can)


def native_ids(keys: Sequence[bytes], can: Capabilities) -> list[str]:
    """As ``native_id`` for many keys."""
    if can.id_form == "text":
        raws = [key.partition(b"\0\x01")[2] for key in keys]
        found = [raw.decode() for raw in raws]
        fit = [each.strip() for each in found] == found and max(map(len, raws), default=0) <= can.id_bytes
        if fit and all(found) and all(map(can.holds_id, found)):
            return found
    return [native_id(key, can) for key in keys]


def mapped_id(key: bytes, can: Capabilities) -> str:
    """Return the native id of a record whose own id the store cannot hold, or another record has."""
    raw = bytearray(blake3(b"vex:native-id:1\n" + key).digest(16))
    if can.id_form == "text":
        return "vex-" + raw.hex()
    if can.id_form == "number":  # in the upper half, where no sequence gets to
        return str(int.from_bytes(raw[:8], "big") >> 2 | 1 << 62)
    raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80  # version 8 of RFC 9562: made in a way of our own
    return str(uuid.UUID(bytes=bytes(raw)))


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID as stores print it."""
    try:
        return len(text) == 36 and str(uuid.UUID(text)) == text
    except ValueError:
        return False


def is_number(text: str, bits: int = 64) -> bool:
    """Whether a text is an unsigned number of so many bits in its one form."""
    is_digits = text.isascii() and text.isdigit() and len(text) <= 20
    return is_digits and (text == "0" or text[0] != "0") and int(text) < 1 << bits
