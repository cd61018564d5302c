"""A snapshot: the complete state of a memory at one time.  Format: objects/FORMAT.md, "Snapshots"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.digest import ID_BYTES, SnapshotId, TreeId
from vexrepo.objects.tree import MAX_LEAF, MIN_LEAF
from vexrepo.objects.vector import Space

MAX_HEIGHT = 64


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """Where a tree begins: its root's id, how many levels of inner nodes it has (0: a leaf), how many records."""

    id: TreeId
    height: int
    count: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"id": self.id.hex(), "height": self.height, "count": self.count}

    @classmethod
    def from_json(cls, value: Any) -> TreeRoot:
        """Return the root of a JSON form.  Raises: InvalidData (object-corrupt)."""
        match value:
            case {"id": str(text), "height": int(height), "count": int(count), **rest} if (
                not rest
                and type(height) is int
                and type(count) is int
                and 0 <= height <= MAX_HEIGHT
                and 0 <= count < 1 << 63
            ):
                try:
                    raw = bytes.fromhex(text)
                except ValueError:
                    raw = b""
                if len(raw) == ID_BYTES and raw.hex() == text:
                    return cls(TreeId(raw), height, count)
        raise InvalidData(f"not a tree root: {value!r:.80}", code="object-corrupt")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Records, edges, and what is needed to make a store that holds them.

    ``leaf_records`` is the expected number of records a leaf, fixed at a repository's first commit.
    ``spaces`` describes the embedding spaces in use (JSON: dims, dtype, kind, model, name, count).
    ``collections`` maps a kind of store to its captured configuration.
    """

    records: TreeRoot
    edges: TreeRoot
    leaf_records: int
    spaces: list[dict[str, Any]] = field(default_factory=list)
    collections: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> tuple[SnapshotId, bytes]:
        """Return the snapshot's id and payload."""
        payload = canonical.encode(
            {
                **self.extra,
                "records": self.records.to_json(),
                "edges": self.edges.to_json(),
                "leaf_records": self.leaf_records,
                "spaces": self.spaces,
                "collections": self.collections,
            }
        )
        return SnapshotId.of(payload), payload

    @classmethod
    def decode(cls, payload: bytes | memoryview) -> Snapshot:
        """Return the snapshot of a payload; unknown members are kept.  Raises: InvalidData."""
        value: Any = canonical.decode(payload)
        match value:
            case {
                "records": records,
                "edges": edges,
                "leaf_records": int(leaf_records),
                "spaces": list(spaces),
                "collections": dict(collections),
                **extra,
            } if MIN_LEAF <= leaf_records <= MAX_LEAF and all(map(_is_space_count, spaces)):
                return cls(
                    TreeRoot.from_json(records),
                    TreeRoot.from_json(edges),
                    leaf_records,
                    spaces,
                    collections,
                    {str(name): item for name, item in extra.items()},
                )
        raise InvalidData("not a snapshot object", code="object-corrupt")


def _is_space_count(value: Any) -> bool:
    """Whether a member of ``spaces`` is a space with the number of its vectors."""
    if not isinstance(value, dict) or type(value.get("count")) is not int:
        return False
    try:
        Space.decode(canonical.encode({name: item for name, item in value.items() if name != "count"}))
    except InvalidData:
        return False
    return True
