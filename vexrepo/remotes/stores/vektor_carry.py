"""What a VEKTOR database cannot hold natively: rows of the side table ``vex_carry`` in the same file.

One row stands for one row of another table (``tbl``), found by its row number and native id.  VACUUM may renumber
rows, so the id decides and the number only tells rows of equal ids apart.  Rows left behind by a memory that
was deleted, or whose place was taken by another memory, are ignored when reading and removed by the next write.

A row has one of two forms.  The *whole* form keeps the original and the projection.  The *short* form, which
nearly all memories take, keeps of both the members that differ (of metadata: its members that differ), and of
the rest only what tells one memory from another: ``projection`` starts with a byte 1 and 8 bytes for the text,
and always names namespace and created_at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson
from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, key_of, make_key, record_id
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores import carry
from vexrepo.remotes.stores.carry import ABSENT

_GONE = Vector(Space(MAIN, "dense", None, 1, "f32"), b"")
_SHORT: Final = b"\x01"
_MARK_END: Final = 9
_TELLING: Final = ("namespace", "created_at")
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))


class Carried(NamedTuple):
    """One row of the side table.  ``key`` is the record's key where it is not the native one."""

    native: str
    row: int
    key: bytes | None
    body: bytes
    projection: bytes
    digest: bytes | None
    spaces: bytes
    rows: bytes

    @property
    def is_short(self) -> bool:
        """Whether only the members that differ are kept."""
        return self.projection[:1] == _SHORT


def digest_of(native: bytes | None) -> bytes | None:
    """Return what tells whether a native vector changed."""
    return None if native is None else blake3(native).digest(16)


def plain_value(body: bytes) -> dict[str, Any]:
    """Return the members of a canonical body; as ``body_value``, quicker."""
    return read_body(body)[0]


def read_body(body: bytes) -> tuple[dict[str, Any], bool]:
    """Return the members of a canonical body, and whether they are plain (``canonical.is_plain``)."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body_value(body), False
    if type(value) is dict and canonical.is_plain(value):
        return value, True
    return body_value(body), False


def carried_memory(row: int, original: Record, read_back: Record) -> Carried:
    """Return the side row, in its whole form, that restores ``original`` where the store reads ``read_back``."""
    blob = _blob(read_back)
    spaces, rows = carry.pack_vectors(original.vectors, blob)
    native = str(body_value(read_back.body)["id"])
    key = original.key if original.key != read_back.key else None
    return Carried(native, row, key, original.body, read_back.body, digest_of(blob), spaces, rows)


def carried_edge(native: str, row: int, original: bytes, read_back: bytes) -> Carried:
    """Return the side row that restores an edge's body where the store reads another."""
    return Carried(native, row, None, original, read_back, None, b"[]", b"")


def can_be_short(original: Record, blob: bytes | None) -> bool:
    """Return whether a record's vectors are none or the native one, so that the short form can hold the rest."""
    if not original.vectors:
        return not blob
    only, *others = original.vectors
    return only.row == blob and not others and only.space.name == MAIN and only.space.kind == "dense"


def short_memory(
    native: str,
    row: int,
    original: Record,
    value: dict[str, Any],
    now: dict[str, Any],
    blob: bytes | None,
    *,
    is_plain: bool = False,
) -> Carried | None:
    """Return the side row, in its short form, that restores ``original``, or None where the store reads it as it is.

    ``value`` are the record's members and ``now`` those the row reads as natively; ``can_be_short``, and native id
    and namespace are the record's; ``is_plain`` says that ``value`` is known to be (``canonical.is_plain``).
    """
    mine, theirs = _apart(value, now)
    dtype = original.vectors[0].space.dtype if original.vectors else "f32"
    if not mine and not theirs and dtype == "f32":
        return None
    for name in _TELLING:
        if name in now:
            theirs[name] = now[name]
        if name in value:
            mine[name] = value[name]
    projection = b"".join((_SHORT, _mark(now), canonical.encode(theirs)))
    digest, spaces = (None, b"") if dtype == "f32" else (digest_of(blob), dtype.encode())
    body = orjson.dumps(mine, option=orjson.OPT_SORT_KEYS) if is_plain else canonical.encode(mine)
    return Carried(native, row, None, body, projection, digest, spaces, b"")


def _apart(one: dict[str, Any], other: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the members of each that the other does not have just so; of two metadata, the members of these."""
    mine: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    for name, item in one.items():
        held = other.get(name, ABSENT)
        if item is held:
            continue
        if held is not ABSENT:
            if name == "metadata" and type(item) is type(held) is dict:
                mine[name], theirs[name] = _apart(item, held)
                if not mine[name] and not theirs[name]:
                    del mine[name], theirs[name]
                continue
            if carry.is_same(item, held):
                continue
            theirs[name] = held
        mine[name] = item
    for name, item in other.items():
        if name not in one:
            theirs[name] = item
    return mine, theirs


def _mark(value: dict[str, Any]) -> bytes:
    text = value.get("text")
    return blake3(text.encode("utf-8", "surrogatepass") if type(text) is str else canonical.encode([text])).digest(8)


def then_of(carried: Carried) -> dict[str, Any]:
    """Return the native members a side row was written beside: all, or in the short form those it keeps."""
    return plain_value(carried.projection[_MARK_END:] if carried.is_short else carried.projection)


def restore(
    carried: Carried, now: dict[str, Any], blob: bytes | None, read: Callable[[], Record], space: Callable[[str], Space]
) -> Record:
    """Return the record a native row and its side row stand for.

    ``now`` are the members the row reads as, ``blob`` its vector, ``read`` makes its record; ``space`` gives the
    space of the blob for a dtype.  Raises: InvalidData if the side row is damaged.
    """
    if not carried.is_short:
        return _restore_whole(carried, read())
    then = then_of(carried)
    if is_stale(carried, then, now):
        return read()
    value = _joined(carried, plain_value(carried.body), then, now, blob)
    return _record(carried, value, canonical.encode(value), blob, space)


def restore_simply(
    carried: Carried, row: int, now: dict[str, Any], blob: bytes | None, space: Callable[[str], Space]
) -> Record | None:
    """As ``restore``, for the only side row of an id; None wherever anything needs a closer look."""
    if carried.row != row or carried.projection[:1] != _SHORT:
        return None
    try:
        then, mine = orjson.loads(carried.projection[_MARK_END:]), orjson.loads(carried.body)
    except orjson.JSONDecodeError:
        return None
    if type(then) is not dict or type(mine) is not dict or then.get("namespace") != now.get("namespace"):
        return None
    if then.get("created_at") != now.get("created_at") and is_stale(carried, then, now):
        return None
    value = _joined(carried, mine, then, now, blob)
    # Numbers that the fast parser may have read inexactly are not certain.
    body = canonical.encode_certain(value)
    return None if body is None else _record(carried, value, body, blob, space)


def _joined(
    carried: Carried, mine: dict[str, Any], then: dict[str, Any], now: dict[str, Any], blob: bytes | None
) -> dict[str, Any]:
    """Return the members of the record that ``mine`` and ``then`` (used up) say differs from ``now``."""
    value = dict(now)
    before, kept = then.pop("metadata", ABSENT), mine.pop("metadata", ABSENT)
    if before is not ABSENT or kept is not ABSENT:
        held = now.get("metadata", ABSENT)
        if type(before) is dict and type(kept) is dict:
            metadata = dict(held) if held is not ABSENT else {}
            _apply(metadata, kept, before)
            result: Any = ABSENT if held is ABSENT and not metadata else metadata
        else:
            result = carry.reconcile_value(kept, before, held)
        _set(value, "metadata", result)
    _apply(value, mine, then)
    if blob:
        value.pop("vector", None)  # null or []; it must not stand beside a real one
    return value


def _record(
    carried: Carried, value: dict[str, Any], body: bytes, blob: bytes | None, space: Callable[[str], Space]
) -> Record:
    vectors: tuple[Vector, ...] = ()
    if blob:
        dtype = "f32"
        if carried.spaces and carried.digest == digest_of(blob):
            dtype = carried.spaces.decode("ascii", "replace")
        found = space(dtype)
        model = value.get("model")
        vectors = (Vector(found if type(model) is not str else _with_model(found, model), blob),)
    namespace = value.get("namespace")
    if type(namespace) is str or namespace is None:
        key = make_key(namespace or "", value["id"])
    else:
        key = key_of(value)
    return Record(key, record_id(body, vectors), body, vectors)


@functools.lru_cache(maxsize=256)
def _with_model(space: Space, model: str) -> Space:
    return Space(space.name, space.kind, model, space.dims, space.dtype)


def _apply(value: dict[str, Any], mine: dict[str, Any], then: dict[str, Any]) -> None:
    """Give ``value`` the members of ``mine`` where it still holds those of ``then``."""
    for name, before in then.items():
        held = value.get(name, ABSENT)
        if type(before) is type(held) and type(held) in _PLAIN and before == held:
            _set(value, name, mine.get(name, ABSENT))
        else:
            _set(value, name, carry.reconcile_value(mine.get(name, ABSENT), before, held))
    for name, item in mine.items():
        if name not in then:
            value[name] = carry.reconcile_value(item, ABSENT, value[name]) if name in value else item


def _set(value: dict[str, Any], name: str, item: Any) -> None:
    if item is ABSENT:
        value.pop(name, None)
    else:
        value[name] = item


def _restore_whole(carried: Carried, now: Record) -> Record:
    blob = _blob(now)
    digest = digest_of(blob)
    if now.body == carried.projection and digest == carried.digest:
        value = canonical.decode(carried.body)
        if not isinstance(value, dict):
            raise InvalidData("a carried body is not an object", code="not-an-object")
        vectors = carry.unpack_vectors(carried.spaces, carried.rows, blob)
        key = now.key if carried.key is None else key_of(value)
        return Record(key, record_id(carried.body, vectors), carried.body, vectors)
    if is_stale(carried, body_value(carried.projection), body_value(now.body)):
        return now
    then_vectors: tuple[Vector, ...] = now.vectors
    if digest != carried.digest:
        # The old native row is gone; all that counts is that it is not the present one.
        then_vectors = () if carried.digest is None else (_GONE,)
        kept = carry.unpack_vectors(carried.spaces, carried.rows, None)
    else:
        kept = carry.unpack_vectors(carried.spaces, carried.rows, blob)
    original = Record(now.key, record_id(carried.body, kept), carried.body, kept)
    then = Record(now.key, record_id(carried.projection, then_vectors), carried.projection, then_vectors)
    return carry.reconcile(original, then, now)


def _blob(record: Record) -> bytes | None:
    return record.vectors[0].row if record.vectors else None


def is_stale(carried: Carried, then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Return whether a native row is another memory than the one its side row was written for (as ``then``).

    An edit keeps the id and the time of creation; a reused row number keeps neither text nor time.
    """
    if (carried.native if carried.is_short else then.get("id")) != now.get("id"):
        return True
    if then.get("created_at") == now.get("created_at"):
        return False
    return carried.projection[1:_MARK_END] != _mark(now) if carried.is_short else then.get("text") != now.get("text")


def fits(carried: Carried, now: dict[str, Any]) -> bool:
    """Return whether a side row was written for this very content (in the short form: as far as can be told)."""
    if not carried.is_short:
        return carried.projection == canonical.encode(now)
    then = then_of(carried)
    return carried.projection[1:_MARK_END] == _mark(now) and all(agrees(then, now, name) for name in _TELLING)


def agrees(then: dict[str, Any], now: dict[str, Any], name: str) -> bool:
    """Whether a member is the same, or absent from both."""
    return carry.is_same(then.get(name, ABSENT), now.get(name, ABSENT))
