"""What is written under keys that are there already: what differs, and nothing else.

All that others keep with a key stays so: the time that it, or a field of it, has left to live, and how they wrote what
no edit of a memory touches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects import canonical
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.carry import is_same
from vexrepo.remotes.stores.points import Point
from vexrepo.remotes.stores.redis_forms import Layout, document_of, encode_hash, is_same_vector, print_json

if TYPE_CHECKING:
    import redis

Words: TypeAlias = Sequence[Any]

ID: Final = b"id"
_SIMPLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_held(
    client: redis.Redis, keys: Sequence[str], address: Address, *, is_document: bool
) -> list[tuple[Any, int]]:
    """Return what is under keys, nothing where nothing is, and how many milliseconds each has left to live.

    Raises: StoreError (store-cannot-hold) for a key that somebody uses for something else.
    """
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.execute_command(*(("JSON.GET", key) if is_document else ("HGETALL", key)))  # type: ignore[no-untyped-call]
        pipe.pttl(key)
    answers = pipe.execute(raise_on_error=False)
    for key, answer in zip(keys, answers[::2], strict=True):
        if isinstance(answer, Exception):
            if "wrong" not in str(answer).lower():
                raise answer
            kind = "JSON document" if is_document else "hash"
            raise StoreError(
                f"{address}: the key {key!r:.80} is not a {kind} but something of another program, and a memory would "
                "take its place; it was left as it is: give that memory another id, or write under another prefix "
                "(?prefix=)",
                code="store-cannot-hold",
            )
    return list(zip(answers[::2], answers[1::2], strict=True))


def read_ends(
    client: redis.Redis, changes: Sequence[tuple[str, Mapping[bytes, bytes], Any, Mapping[bytes, bytes]]]
) -> list[dict[bytes, int]]:
    """Return when the fields end that are set anew, of those that have an end, for each key.

    ``changes``: a hash's key, the fields that are set, any, and the fields that it has.
    """
    asked = [[name for name in changed if name in kept] for _, changed, _, kept in changes]
    if not any(asked):
        return [{}] * len(changes)
    pipe = client.pipeline(transaction=False)
    for (key, *_), names in zip(changes, asked, strict=True):
        if names:
            pipe.execute_command("HPEXPIRETIME", key, "FIELDS", len(names), *names)  # type: ignore[no-untyped-call]
    answers = iter(pipe.execute())
    return [
        {name: end_ms for name, end_ms in zip(names, next(answers) or (), strict=False) if end_ms > 0} if names else {}
        for names in asked
    ]


def hash_change(point: Point, layout: Layout, held: Mapping[bytes, bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return the fields of a hash that are to be set, and those that are to go."""
    fields = encode_hash(point, layout, names_id=held.get(ID) == point.id.encode())
    changed = {name: value for name, value in fields.items() if held.get(name) != value}
    return changed, [name for name in held if name not in fields]


def hash_commands(
    key: str, changed: Mapping[bytes, bytes], gone: Sequence[bytes], ends_ms: Mapping[bytes, int]
) -> Iterator[Words]:
    """Yield the commands of a change.  ``ends_ms``: when fields that are set end, for those that have an end."""
    if changed:
        yield ("HSET", key, *(each for pair in changed.items() for each in pair))
    for name, end_ms in ends_ms.items():
        yield ("HPEXPIREAT", key, end_ms, "FIELDS", 1, name)
    if gone:
        yield ("HDEL", key, *gone)


def document_commands(key: str, point: Point, layout: Layout, raw: bytes, life_ms: int) -> Iterator[Words]:
    """Yield the commands that make the document ``raw`` that of a point.  ``life_ms``: what the key has left."""
    try:
        held = canonical.parse(raw)
    except InvalidData:
        held = None
    if not isinstance(held, dict):
        yield from _whole(key, print_json(document_of(point, layout, names_id=False)), life_ms)
        return
    document = document_of(point, layout, names_id=held.get("id") == point.id)
    vectors = {each.name for each in layout.vectors.values()}
    changed = {
        name: value
        for name, value in document.items()
        if name not in held
        or not (is_same_vector(held[name], value) if name in vectors else is_same(held[name], value))
    }
    gone = [name for name in held if name not in document]
    if not all(map(_SIMPLE.fullmatch, [*changed, *gone])):
        yield from _whole(key, print_json(document), life_ms)
        return
    for name, value in changed.items():
        yield ("JSON.SET", key, f"$.{name}", print_json(value))
    for name in gone:
        yield ("JSON.DEL", key, f"$.{name}")


def _whole(key: str, document: bytes, life_ms: int) -> Iterator[Words]:
    yield ("JSON.SET", key, "$", document)
    if life_ms > 0:
        yield ("PEXPIRE", key, life_ms)
