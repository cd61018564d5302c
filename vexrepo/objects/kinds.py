"""The types of stored objects, their codes on disk, and how each is named by its content."""

from __future__ import annotations

from enum import IntEnum

from vexrepo.errors import InvalidData
from vexrepo.objects import tree
from vexrepo.objects.digest import BodiesId, CommitId, ObjectId, SnapshotId, VectorsId

MAX_OBJECT_BYTES = 1 << 30


class ObjectType(IntEnum):
    """What an object is; the numbers are on disk."""

    COMMIT = 1
    SNAPSHOT = 2
    NODE = 3
    LEAF = 4
    BODIES = 5
    VECTORS = 6
    SIGNATURE = 7  # kept under the id of the commit it signs


def identify(kind: ObjectType, payload: bytes | memoryview) -> ObjectId:
    """Return the id that a payload has as an object of ``kind``.

    Raises: InvalidData (object-corrupt) for a malformed leaf or node; signatures have no id of their own.
    """
    match kind:
        case ObjectType.COMMIT:
            return CommitId.of(payload)
        case ObjectType.SNAPSHOT:
            return SnapshotId.of(payload)
        case ObjectType.BODIES:
            return BodiesId.of(payload)
        case ObjectType.VECTORS:
            return VectorsId.of(payload)
        case ObjectType.LEAF:
            return tree.leaf_id(payload)
        case ObjectType.NODE:
            return tree.node_id(payload)
    raise InvalidData("a signature has no id of its own", code="object-corrupt")
