"""Hashes of Redis as records, without the way through points: most are plain, and there are many.

How the fields of a hash are read is worked out once for all hashes with the same fields and the same ``_vex_types``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.stores.payload_records import PayloadReader, Plain, are_finite
from vexrepo.remotes.stores.points import Fields
from vexrepo.remotes.stores.redis_forms import TYPES, Layout, from_base64, plain_value, told_types

Hash: TypeAlias = Mapping[bytes, bytes]

_TYPES: Final = TYPES.encode()
_ID: Final = b"id"
_MOST_PLANS: Final = 1000
_MOST_SAID: Final = 10_000  # bytes of what is kept to know a kind of hash by
_SHORT: Final = 64  # bytes of JSON that many hashes may say alike, and is parsed once


class _Plan(NamedTuple):
    """How hashes of one kind are read: their fields by name, each with how it is decoded; the field of the vector."""

    members: list[tuple[str, bytes, Callable[[bytes], Any]]]
    vector: bytes | None
    may_be_base64: bool
    has_id: bool


class HashReader:
    """Makes records of the hashes that are plain."""

    def __init__(self, layout: Layout, fields: Fields) -> None:
        self._layout = layout
        self._main = layout.vectors[MAIN]
        self._others = frozenset(each.name.encode() for name, each in layout.vectors.items() if name != MAIN)
        self._payloads = PayloadReader(fields)
        self._plans: dict[tuple[tuple[bytes, ...], bytes], _Plan | None] = {}

    def records(self, ids: Sequence[bytes], hashes: Sequence[Hash]) -> list[Record | None]:
        """Return the record of each hash, which is not empty, under its id; None for those that are not plain."""
        decoded = [self._decode(identifier, fields) for identifier, fields in zip(ids, hashes, strict=True)]
        fit = are_finite([b"" if found is None else found.row or b"" for found in decoded])
        return self._payloads.records(
            [found if is_right else None for found, is_right in zip(decoded, fit, strict=True)]
        )

    def _decode(self, identifier: bytes, fields: Hash) -> Plain | None:
        """Return the point of a hash, None where that is not so simple."""
        said = fields.get(_TYPES, b"")
        kind = tuple(fields), said
        try:
            plan = self._plans[kind]
        except KeyError:
            plan = self._planned(*kind)
        if plan is None or (plan.has_id and fields[b"id"] != identifier):
            return None
        try:
            shown = identifier.decode()
            payload = {name: decode(fields[raw]) for name, raw, decode in plan.members}
        except (UnicodeDecodeError, InvalidData):
            return None
        if plan.vector is None:
            return Plain(shown, payload, None)
        row = fields[plan.vector]
        if not row or (plan.may_be_base64 and from_base64(row, self._main) is not None):
            return None
        return Plain(shown, payload, row)

    def _planned(self, names: tuple[bytes, ...], said: bytes) -> _Plan | None:
        """Return how hashes with these fields that say these types are read, None for those that go through points."""
        found = self._made(names, said)
        if len(self._plans) < _MOST_PLANS and len(said) < _MOST_SAID:
            self._plans[names, said] = found
        return found

    def _made(self, names: tuple[bytes, ...], said: bytes) -> _Plan | None:
        types, main = told_types(said), self._main.name.encode()
        if not self._others.isdisjoint(names) or self._main.dtype != "<f4":
            return None
        members: list[tuple[str, bytes, Callable[[bytes], Any]]] = []
        for raw in names:
            if raw in (_TYPES, _ID, main):
                continue
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                return None
            kind = types.get(name)
            decode = _DECODERS.get(kind) if type(kind) is str else None
            if decode is None:
                decode = _as_number if name in self._layout.numbers else bytes.decode
            members.append((name, raw, decode))
        return _Plan(members, main if main in names else None, types.get(self._main.name) != "f4", _ID in names)


def _as_json(raw: bytes) -> Any:
    return _parsed(raw) if len(raw) <= _SHORT else canonical.parse(raw)


_parsed = lru_cache(4096)(canonical.parse)  # what it gives is printed, and not handed on


def _as_words(raw: bytes) -> list[str]:
    return raw.decode().split(",")


def _as_number(raw: bytes) -> Any:
    return plain_value(raw, True)


_DECODERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "json": _as_json,
    "list": _as_words,
    "text": bytes.decode,
}
