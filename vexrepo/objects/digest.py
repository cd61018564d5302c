"""Object ids: BLAKE3-256 over a type header and a payload.

The header line (``vex:<type>:<version>\\n``) keeps an object of one type from being taken for another.
Ids of different things are different Python types; each is a ``bytes`` of length 32, so it sorts, hashes and
compares as fast as bytes do.  Format: objects/FORMAT.md, "Ids".
"""

from __future__ import annotations

from typing import Self

from blake3 import blake3

from vexrepo.errors import UsageError

ID_BYTES = 32


class ObjectId(bytes):
    """32 bytes that name an object by its content."""

    __slots__ = ()
    header = b""

    @classmethod
    def of(cls, *parts: bytes | bytearray | memoryview) -> Self:
        """Return the id of the object whose payload is the concatenation of ``parts``."""
        hasher = blake3(cls.header)
        for part in parts:
            hasher.update(part)
        return cls(hasher.digest())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the id written as 64 hexadecimal digits."""
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = b""
        if len(raw) != ID_BYTES or len(text) != 2 * ID_BYTES:
            raise UsageError(f"not an id of 64 hexadecimal digits: {text[:80]!r}", code="unknown-revision")
        return cls(raw)

    @property
    def short(self) -> str:
        """The first 7 hexadecimal digits, as shown to people."""
        return self.hex()[:7]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()[:12]}…)"

    def __str__(self) -> str:
        return self.hex()


class RecordId(ObjectId):
    """Names one version of one record: its body and its vectors."""

    __slots__ = ()
    header = b"vex:record:1\n"


class BodiesId(ObjectId):
    """Names the body column of a leaf."""

    __slots__ = ()
    header = b"vex:bodies:1\n"


class VectorsId(ObjectId):
    """Names the matrix of one embedding space in a leaf."""

    __slots__ = ()
    header = b"vex:vectors:1\n"


class TreeId(ObjectId):
    """Names a leaf or an inner node: a set of records in key order."""

    __slots__ = ()


class LeafId(TreeId):
    """Names a leaf, computed from keys, record ids and columns."""

    __slots__ = ()
    header = b"vex:leaf:1\n"


class NodeId(TreeId):
    """Names an inner node."""

    __slots__ = ()
    header = b"vex:node:1\n"


class SnapshotId(ObjectId):
    """Names the complete state of a memory."""

    __slots__ = ()
    header = b"vex:snapshot:1\n"


class CommitId(ObjectId):
    """Names a commit, signatures not included."""

    __slots__ = ()
    header = b"vex:commit:1\n"


class OperationId(ObjectId):
    """Names an entry of the operation log."""

    __slots__ = ()
    header = b"vex:operation:1\n"


def checksum(*parts: bytes | bytearray | memoryview) -> bytes:
    """Return the plain BLAKE3-256 of the concatenated parts: a check on bytes, not the name of an object."""
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return hasher.digest()
