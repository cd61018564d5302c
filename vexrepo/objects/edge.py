"""A graph edge between two memories, kept as a record without vectors in a tree of its own.

Members: ``source`` and ``target`` (record ids), ``type``, and whatever else the store says of it (``weight``,
``id``, ``created_at``, ``agent_id`` …).  Format: objects/FORMAT.md, "Edges".
"""

from __future__ import annotations

from typing import Any

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import MAX_KEY_BYTES, Record, record_id


def from_json(value: dict[str, Any]) -> Record:
    """Return the record of an edge's JSON object.  Its key is (source, type, target, id).

    Raises: InvalidData (id-missing, unsupported-value, not-finite).
    """
    parts = [value.get(name) for name in ("source", "type", "target")]
    for name, part in zip(("source", "type", "target"), parts, strict=True):
        if not isinstance(part, str):
            raise InvalidData(f"an edge needs a {name} that is a string, got {part!r:.40}", code="id-missing")
    identifier = value.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise InvalidData(f"an edge's id must be a string, got {identifier!r:.40}", code="id-missing")
    try:
        encoded = [str(part).encode().replace(b"\0", b"\0\xff") for part in (*parts, identifier or "")]
    except UnicodeEncodeError:
        raise InvalidData(
            "an edge's source, type, target or id holds a lone surrogate", code="lone-surrogate"
        ) from None
    key = b"\0\x01".join(encoded)
    if len(key) > MAX_KEY_BYTES:
        raise InvalidData(
            f"an edge's source, type, target and id take {len(key)} bytes, the limit is {MAX_KEY_BYTES}",
            code="limit-exceeded",
        )
    body = canonical.encode(value)
    return Record(key, record_id(body, ()), body, ())
