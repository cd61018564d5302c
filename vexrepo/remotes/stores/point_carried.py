"""What is carried with a point: the text of the reserved member ``_vex``, and the patch in it.

Most points of a memory carry the same, so what is short is encoded and parsed once.  Format: remotes/STORES.md.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.vector import Space, Vector, check_row
from vexrepo.remotes.stores.carry import ABSENT, is_same

VERSION: Final = 1
MOST_KEPT: Final = 1024  # characters of what is carried, where it is kept to be encoded and parsed once
_LAST: Final = f'"v":{VERSION}}}'  # of what is carried
_NAMED: Final = frozenset(("k",))
_SCALARS: Final = frozenset((str, int, float, bool, type(None)))


def encode_carried(absent: dict[str, Any], decimals: tuple[str, ...], rest: dict[str, Any]) -> str:
    """Return the reserved member: what is added at the top, whose numbers are short decimals, and all else."""
    if rest.keys() <= _NAMED and is_usual(absent):
        usual = encode_usual(absent, decimals)
        if not rest:
            return usual
        named = canonical.encode(rest["k"]).decode()  # behind "a" and "f", before "v"
        return f'{usual[: -len(_LAST)]}"k":{named},{_LAST}'
    return _encode_anew(absent, decimals, rest)


def _encode_anew(absent: dict[str, Any], decimals: tuple[str, ...], rest: dict[str, Any]) -> str:
    carried = {**rest, "v": VERSION}
    if absent:
        carried["a"] = absent
    if decimals:
        carried["f"] = list(decimals)
    return canonical.encode(carried).decode()


def is_usual(absent: dict[str, Any]) -> bool:
    """Whether what is carried is short: most records of a memory carry the same."""
    values = absent.values()
    return _SCALARS.issuperset(map(type, values)) and sum([len(v) for v in values if type(v) is str]) <= MOST_KEPT


def encode_usual(absent: dict[str, Any], decimals: tuple[str, ...]) -> str:
    """Return the reserved member of a record that only has members to be added; encoded once for all that say it."""
    values = tuple(absent.values())
    return _encode_known(
        tuple(absent), values, tuple(map(type, values)), decimals
    )  # true is no 1, though they are equal


@functools.lru_cache(maxsize=512)
def _encode_known(
    names: tuple[str, ...], values: tuple[Any, ...], kinds: tuple[type, ...], decimals: tuple[str, ...]
) -> str:
    return _encode_anew(dict(zip(names, values, strict=True)), decimals, {})


class Carried(NamedTuple):
    """What a reserved member says: see remotes/STORES.md."""

    native: str | None
    id: str | None
    absent: dict[str, Any]
    patch: list[list[Any]]
    decimals: frozenset[str]
    rows: list[tuple[Vector, bool]]  # carried vectors, and of each whether there was a native one
    is_placeholder: bool
    text: str | None

    @property
    def is_usual(self) -> bool:
        """Whether it only adds members, and says how numbers were printed."""
        return self.native is None and not (self.patch or self.rows or self.is_placeholder)


def parse_carried(text: Any) -> Carried | None:
    """Return what a reserved member says, None where it is nothing of ours."""
    if type(text) is not str:
        return None
    # What most points carry says the same of all: parsed once.  Long ones are rows, each its own.
    return _parse_short(text) if len(text) <= MOST_KEPT else _parse(text)


def _parse(text: str) -> Carried | None:
    try:
        value = canonical.parse(text.encode())
    except (InvalidData, UnicodeEncodeError):
        return None  # not ours, or damaged: the point reads as it natively does
    if not isinstance(value, dict) or value.get("v") != VERSION:
        return None
    match value.get("k"):
        case None:
            native = identifier = None
        case [str(native), str(identifier)]:
            pass
        case _:
            return None
    absent, patch, decimals = value.get("a", {}), value.get("b", []), value.get("f", [])
    told = value.get("t")
    is_right = isinstance(absent, dict) and "id" not in absent and (told is None or isinstance(told, str))
    if not (is_right and _is_patch(patch) and _are_names(decimals)):
        return None
    try:
        rows = _parse_rows(value.get("s", []))
    except InvalidData:
        return None
    return Carried(native, identifier, absent, patch, frozenset(decimals), rows, "p" in value, told)


_parse_short = functools.lru_cache(maxsize=512)(_parse)


def _is_patch(patch: Any) -> bool:
    if not isinstance(patch, list):
        return False
    for entry in patch:
        match entry:
            case [[str(), *path], [*was], [*now]] if len(was) <= 1 and len(now) <= 1:
                if not _are_names(path):
                    return False
            case _:
                return False
    return True


def _are_names(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _parse_rows(entries: Any) -> list[tuple[Vector, bool]]:
    """Return carried vectors, and of each whether there was a native one.  Raises: InvalidData."""
    found: list[tuple[Vector, bool]] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        match entry:
            case [str(space), str(row), (0 | 1) as was_native]:
                try:
                    item = Vector(Space.decode(space.encode()), base64.b64decode(row, validate=True))
                except (ValueError, binascii.Error) as error:
                    raise InvalidData("a carried row is not base64", code="unsupported-value") from error
                check_row(*item)
                found.append((item, bool(was_native)))
            case _:
                raise InvalidData("not a carried vector", code="unsupported-value")
    return found


# -- patches -----------------------------------------------------------------------------------------------------------
#
# An entry is [path, was, is]: the members that lead to a value, what the native form said there, and what the record
# says; each of the two is a list of one value, or empty where there is none.  What the native form says nothing of at
# the top is in an object of its own, the same in most records.


def make_patch(was: Any, now: Any, path: tuple[str, ...]) -> list[list[Any]]:
    """Return the entries that make what a record says of what its native form says, at a path."""
    if was is not now and isinstance(was, dict) and isinstance(now, dict) and was:
        found: list[list[Any]] = []
        for name in sorted(was.keys() | now.keys()):
            found += make_patch(was.get(name, ABSENT), now.get(name, ABSENT), (*path, name))
        return found
    if was is now or is_same(was, now):
        return []
    return [[list(path), [] if was is ABSENT else [was], [] if now is ABSENT else [now]]]


def apply_patch(value: dict[str, Any], path: Sequence[str], was: Any, now: Any) -> None:
    """Make a value say what it said, where the native form is as it was then.  ``ABSENT`` stands for nothing."""
    holder = value
    for name in path[:-1]:
        inner = holder.get(name, ABSENT)
        if inner is ABSENT:
            if was is not ABSENT:
                return  # an agent removed it
            inner = {}
        if not isinstance(inner, dict):
            return  # an agent put something else there
        holder[name] = inner = dict(inner)  # what was parsed once is shared between records
        holder = inner
    name = path[-1]
    if is_same(holder.get(name, ABSENT), was):
        if now is ABSENT:
            holder.pop(name, None)
        else:
            holder[name] = now
