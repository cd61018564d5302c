"""Proofs: that some records belong to a commit, without showing the others.

A proof holds the commit, its signatures, its snapshot, and of the tree only digests on the way from the root to the
shown groups of record ids.  Whoever has the records computes their ids and finds them there.  It says that each
record was in the commit, not that there were no others.  Format: objects/PROOF.md.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import ID_BYTES, CommitId, LeafId, NodeId, SnapshotId
from vexrepo.objects.signature import Signature
from vexrepo.objects.snapshot import Snapshot
from vexrepo.objects.tree import FANOUT, GROUP, MAX_LEAF, OVERFULL, Leaf, Node

MAX_BYTES = 1 << 28
ENDING = ".vmig.proof"
_U32 = struct.Struct("<I")
_PAIR = struct.Struct("<II")


def path_of(name: str) -> str:
    """Return the name of the proof of a data file."""
    return name.removesuffix(".vmig.jsonl") + ENDING


@dataclass(frozen=True, slots=True)
class ProofNode:
    """An inner node without its keys: ``keys`` is their digest, ``ids`` 32 bytes a child, ``counts`` 8."""

    level: int
    keys: bytes
    ids: bytes
    counts: bytes

    @classmethod
    def of(cls, payload: bytes) -> ProofNode:
        """Return the node of a payload, its keys left out."""
        node = Node.decode(payload)
        tail = (ID_BYTES + 8) * len(node.children)
        ids = payload[-tail : -8 * len(node.children)]
        counts = payload[-8 * len(node.children) :]
        return cls(node.level, blake3(payload[_PAIR.size : -tail]).digest(), ids, counts)

    @property
    def id(self) -> NodeId:
        """The id of the node."""
        return NodeId.of(_PAIR.pack(self.level, len(self.counts) // 8), self.keys, self.ids, self.counts)

    def children(self) -> Iterator[tuple[bytes, int]]:
        """Yield each child's id and how many records are below it."""
        for at, (count,) in enumerate(struct.iter_unpack("<Q", self.counts)):
            yield self.ids[ID_BYTES * at : ID_BYTES * (at + 1)], count


@dataclass(frozen=True, slots=True)
class ProofLeaf:
    """A leaf of which only some groups of record ids are shown.

    ``keys`` and ``columns`` are digests, ``groups`` holds the digest of each group of 64 ids, ``shown`` maps a group's
    number to its ids (32 bytes each).
    """

    count: int
    keys: bytes
    groups: bytes
    bodies: bytes
    columns: bytes
    shown: Mapping[int, bytes]

    @classmethod
    def of(cls, payload: bytes, rows: set[int]) -> ProofLeaf:
        """Return the leaf of a payload, showing the groups that hold some of its rows."""
        leaf = Leaf.decode(payload)
        count, ids = len(leaf.keys), leaf.record_ids
        step = GROUP * ID_BYTES
        key_bytes = 4 * count + sum(map(len, leaf.keys))
        start = _U32.size + key_bytes + len(ids) + ID_BYTES
        return cls(
            count,
            blake3(payload[_U32.size : _U32.size + key_bytes]).digest(),
            b"".join(blake3(ids[at : at + step]).digest() for at in range(0, len(ids), step)),
            bytes(leaf.bodies),
            blake3(payload[start:]).digest(),
            {group: ids[group * step : (group + 1) * step] for group in sorted({row // GROUP for row in rows})},
        )

    @property
    def id(self) -> LeafId:
        """The id of the leaf."""
        return LeafId.of(_U32.pack(self.count), self.keys, blake3(self.groups).digest(), self.bodies, self.columns)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof file says.  ``check`` says whether it holds together; nothing is proved before."""

    commit_payload: bytes
    signature_payloads: tuple[bytes, ...]
    snapshot_payload: bytes
    nodes: tuple[ProofNode, ...]
    leaves: tuple[ProofLeaf, ...]

    @property
    def commit_id(self) -> CommitId:
        """The id of the commit."""
        return CommitId.of(self.commit_payload)

    @property
    def commit(self) -> Commit:
        """The commit.  Raises: InvalidData."""
        return Commit.decode(self.commit_payload)

    @property
    def signatures(self) -> list[Signature]:
        """The signatures, not judged.  Raises: InvalidData."""
        return [Signature.decode(each) for each in self.signature_payloads]

    def check(self) -> frozenset[bytes]:
        """Return the ids of records that belong to the commit by this proof.

        Raises: InvalidData (proof-wrong) where a part does not lead to the commit.
        """
        snapshot = Snapshot.decode(self.snapshot_payload)
        if SnapshotId.of(self.snapshot_payload) != self.commit.snapshot:
            raise _wrong("its snapshot is not that of its commit")
        root = snapshot.records
        known = {(bytes(root.id), root.height): root.count}
        for node in self.nodes:
            if known.get((node.id, node.level)) != sum(count for _, count in node.children()):
                raise _wrong(f"a node of level {node.level} is not below the snapshot's root")
            known.update(((child, node.level - 1), count) for child, count in node.children())
        proven: set[bytes] = set()
        for leaf in self.leaves:
            if known.get((leaf.id, 0)) != leaf.count:
                raise _wrong("a leaf is not below the snapshot's root")
            for group, ids in leaf.shown.items():
                if blake3(ids).digest() != leaf.groups[ID_BYTES * group : ID_BYTES * (group + 1)]:
                    raise _wrong("a group of record ids is not that of its leaf")
                proven.update(ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES))
        return frozenset(proven)

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        return canonical.encode(
            {
                "version": 1,
                "commit": self.commit_payload.decode(),
                "signatures": [each.decode() for each in self.signature_payloads],
                "snapshot": self.snapshot_payload.decode(),
                "nodes": [
                    {"level": each.level, "keys": each.keys.hex(), "ids": _text(each.ids), "counts": _text(each.counts)}
                    for each in self.nodes
                ],
                "leaves": [
                    {
                        "count": each.count,
                        "keys": each.keys.hex(),
                        "groups": _text(each.groups),
                        "bodies": each.bodies.hex(),
                        "columns": each.columns.hex(),
                        "shown": {str(group): _text(ids) for group, ids in each.shown.items()},
                    }
                    for each in self.leaves
                ],
            }
        )

    @classmethod
    def decode(cls, raw: bytes) -> Proof:
        """Return the proof of a file's bytes.

        Raises: InvalidData (proof-unreadable, limit-exceeded).
        """
        if len(raw) > MAX_BYTES:
            raise InvalidData(f"a proof of {len(raw)} bytes is above the limit of {MAX_BYTES}", code="limit-exceeded")
        try:
            value = canonical.decode(raw)
        except InvalidData as error:
            raise _unreadable(str(error)) from None
        match value:
            case {
                "version": 1,
                "commit": str(commit),
                "signatures": list(signatures),
                "snapshot": str(snapshot),
                "nodes": list(nodes),
                "leaves": list(leaves),
                **rest,
            } if not rest and all(isinstance(each, str) for each in signatures):
                return cls(
                    commit.encode(),
                    tuple(each.encode() for each in signatures),
                    snapshot.encode(),
                    tuple(map(_node, nodes)),
                    tuple(map(_leaf, leaves)),
                )
        raise _unreadable("it is not a proof of version 1")


def _node(value: Any) -> ProofNode:
    match value:
        case {"level": int(level), "keys": keys, "ids": ids, "counts": counts, **rest} if (
            not rest and type(level) is int
        ):
            node = ProofNode(level, _digest(keys), _bytes(ids), _bytes(counts))
            size = len(node.counts) // 8
            if (
                1 <= level <= 64
                and 1 <= size <= OVERFULL * FANOUT
                and len(node.counts) == 8 * size
                and len(node.ids) == ID_BYTES * size
            ):
                return node
    raise _unreadable("a node is malformed")


def _leaf(value: Any) -> ProofLeaf:
    match value:
        case {
            "count": int(count),
            "keys": keys,
            "groups": groups,
            "bodies": bodies,
            "columns": columns,
            "shown": dict(shown),
            **rest,
        } if not rest and type(count) is int and 0 < count <= OVERFULL * MAX_LEAF:
            total = -(-count // GROUP)
            numbers = {text: _number(text) for text in shown}
            leaf = ProofLeaf(
                count,
                _digest(keys),
                _bytes(groups),
                _digest(bodies),
                _digest(columns),
                {numbers[text]: _bytes(ids) for text, ids in shown.items()},
            )
            if len(leaf.groups) == ID_BYTES * total and all(
                group < total and len(ids) == ID_BYTES * min(GROUP, count - group * GROUP)
                for group, ids in leaf.shown.items()
            ):
                return leaf
    raise _unreadable("a leaf is malformed")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6 or str(int(text)) != text:
        raise _unreadable("a group has no number")
    return int(text)


def _digest(value: Any) -> bytes:
    raw = b""
    if isinstance(value, str):
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            raw = b""
    if len(raw) != ID_BYTES or raw.hex() != value:
        raise _unreadable("a digest is not 64 hexadecimal digits")
    return raw


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            raw = b""
        if _text(raw) == value:
            return raw
    raise _unreadable("something is not base64")


def _unreadable(why: str) -> InvalidData:
    return InvalidData(f"the proof cannot be understood: {why}", code="proof-unreadable")


def _wrong(why: str) -> InvalidData:
    return InvalidData(f"the proof proves nothing: {why}", code="proof-wrong")
