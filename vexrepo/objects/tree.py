"""The tree of a snapshot: leaves of columns, inner nodes, and the rule that says where they end.

Records are sorted by key.  Where a leaf or node ends depends on keys alone, so that the same records give the
same tree whatever the order of edits, and an update never moves a boundary.  A leaf is columns: keys, record
ids, one object of bodies, one object of vectors for each embedding space.  Format: objects/FORMAT.md, "Tree".
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import accumulate, pairwise

from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects.digest import ID_BYTES, BodiesId, LeafId, NodeId, RecordId, TreeId, VectorsId
from vexrepo.objects.record import MAX_KEY_BYTES
from vexrepo.objects.vector import Space, Vector

FANOUT = 128  # expected children of an inner node
OVERFULL = 4  # a run of OVERFULL × expected entries without a natural end is cut
MIN_LEAF, MAX_LEAF = 16, 8192  # bounds of the expected records a leaf
LEAF_BYTES = 2 << 20  # aimed-at raw size of a leaf
# The size is fixed at the first commit, and short notes may be given long vectors later: more than this would make
# leaves of hundreds of megabytes then.
MOST_CHOSEN = 2048
GROUP = 64  # record ids hashed together: a proof shows one group, not the leaf

_U32 = struct.Struct("<I")
_PAIR = struct.Struct("<II")


def expected_records(record_bytes: float) -> int:
    """Return how many records a leaf should hold when one takes ``record_bytes``: a power of two."""
    wanted = LEAF_BYTES / max(record_bytes, 1.0)
    size = MIN_LEAF
    while size < MOST_CHOSEN and size * 1.5 < wanted:
        size *= 2
    return size


def ends_here(key: bytes, level: int, expected: int) -> bool:
    """Whether an entry with this last key naturally ends its leaf (level 0) or node (level ≥ 1)."""
    raw = blake3(b"vex:boundary:1\n" + bytes((level,)) + key).digest(8)
    return int.from_bytes(raw, "little") < (1 << 64) // expected


class Rows:
    """Byte strings that lie one after another; each is cut out when it is asked for."""

    __slots__ = ("_bounds", "_raw")

    def __init__(self, raw: bytes, bounds: list[int]) -> None:
        self._raw = raw
        self._bounds = bounds

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, row: int) -> bytes:
        return self._raw[self._bounds[row] : self._bounds[row + 1]]

    def __iter__(self) -> Iterator[bytes]:
        raw = self._raw
        return iter([raw[start:end] for start, end in pairwise(self._bounds)])


class _Reader:
    """Reads the fields of a payload and refuses to read past its end."""

    def __init__(self, payload: bytes | memoryview, what: str) -> None:
        self.raw = bytes(payload)
        self.payload = memoryview(self.raw)
        self.at = 0
        self.what = what

    def take(self, size: int) -> memoryview:
        end = self.at + size
        if size < 0 or end > len(self.payload):
            raise self.wrong("it ends early")
        part = self.payload[self.at : end]
        self.at = end
        return part

    def u32(self) -> int:
        found: int = _U32.unpack(self.take(4))[0]
        return found

    def u32s(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.take(4 * count))

    def lengths(self, count: int, limit: int) -> tuple[int, ...]:
        lengths = self.u32s(count)
        if lengths and max(lengths) > limit:
            raise self.wrong(f"an entry is longer than {limit} bytes")
        return lengths

    def rows(self, count: int, limit: int) -> Rows:
        lengths = self.lengths(count, limit)
        start = self.at
        self.take(sum(lengths))
        return Rows(self.raw, list(accumulate(lengths, initial=start)))

    def end(self) -> None:
        if self.at != len(self.payload):
            raise self.wrong("bytes follow its end")

    def wrong(self, why: str) -> InvalidData:
        return InvalidData(f"malformed {self.what} object: {why}", code="object-corrupt")


def _ascends(keys: list[bytes]) -> bool:
    return all(map(operator.lt, keys, keys[1:]))


def _encode_rows(rows: Sequence[bytes]) -> list[bytes]:
    return [struct.pack(f"<{len(rows)}I", *map(len, rows)), *rows]


@dataclass(frozen=True, slots=True)
class Column:
    """The vectors of one space in a leaf; ``members`` is a bitmap of the rows that have one, b"" for all."""

    space: Space
    vectors: VectorsId
    members: bytes


@dataclass(frozen=True, slots=True)
class Leaf:
    """A run of records in key order.  ``record_ids`` is 32 bytes a record."""

    keys: list[bytes]
    record_ids: bytes
    bodies: BodiesId
    columns: tuple[Column, ...]

    def record_id(self, row: int) -> RecordId:
        """Return the record id of a row."""
        return RecordId(self.record_ids[ID_BYTES * row : ID_BYTES * (row + 1)])

    def encode(self) -> tuple[LeafId, bytes]:
        """Return the leaf's id and its payload."""
        keys = b"".join(_encode_rows(self.keys))
        columns = [_U32.pack(len(self.columns))]
        for column in self.columns:
            space = column.space.encode()
            columns += (_PAIR.pack(len(space), len(column.members)), space, column.vectors, column.members)
        tail = b"".join(columns)
        payload = b"".join((_U32.pack(len(self.keys)), keys, self.record_ids, self.bodies, tail))
        return _leaf_id(len(self.keys), keys, self.record_ids, self.bodies, tail), payload

    @classmethod
    def decode(cls, payload: bytes | memoryview) -> Leaf:
        """Return the leaf of a payload.  Raises: InvalidData (object-corrupt)."""
        return _decode_leaf(bytes(payload))[1]


def _leaf_id(
    count: int,
    keys: bytes | memoryview,
    record_ids: bytes | memoryview,
    bodies: bytes | memoryview,
    columns: bytes | memoryview,
) -> LeafId:
    step = GROUP * ID_BYTES
    groups = b"".join(blake3(record_ids[at : at + step]).digest() for at in range(0, len(record_ids), step))
    return LeafId.of(_U32.pack(count), blake3(keys).digest(), blake3(groups).digest(), bodies, blake3(columns).digest())


def _decode_leaf(payload: bytes) -> tuple[LeafId, Leaf]:
    # A leaf is decoded to check its id, and at once again to be used.
    before = _latest.leaf
    if before is not None and before[0] is payload:
        return before[1]
    found = _parse_leaf(payload)
    _latest.leaf = payload, found
    return found


class _Latest:
    """What was decoded last; another thread's at times, which is why both parts of each are replaced as one."""

    leaf: tuple[bytes, tuple[LeafId, Leaf]] | None = None
    keys: tuple[bytes, list[bytes]] = b"", []


_latest = _Latest()


def _decode_keys(reader: _Reader, count: int) -> tuple[list[bytes], bytes]:
    """Return the keys of a leaf, and the bytes they were read from."""
    start = reader.at
    lengths = reader.lengths(count, MAX_KEY_BYTES)
    first = reader.at
    reader.take(sum(lengths))
    raw = reader.raw[start : reader.at]
    # Versions of a leaf mostly have the same keys, and are read one after the other.
    before, keys = _latest.keys
    if raw != before or len(keys) != count:
        keys = list(Rows(reader.raw, list(accumulate(lengths, initial=first))))
        if not _ascends(keys):
            raise reader.wrong("its keys are not in ascending order")
        _latest.keys = raw, keys
    return keys, raw


def _parse_leaf(payload: bytes) -> tuple[LeafId, Leaf]:
    reader = _Reader(payload, "leaf")
    count = reader.u32()
    if count > OVERFULL * MAX_LEAF:
        raise reader.wrong(f"{count} records, the limit is {OVERFULL * MAX_LEAF}")
    keys, raw_keys = _decode_keys(reader, count)
    record_ids = bytes(reader.take(ID_BYTES * count))
    bodies = BodiesId(reader.take(ID_BYTES))
    start = reader.at
    columns: list[Column] = []
    for _ in range(reader.u32()):
        space_size, members_size = reader.u32(), reader.u32()
        space = Space.decode(reader.take(space_size))
        vectors = VectorsId(reader.take(ID_BYTES))
        if members_size not in (0, (count + 7) // 8):
            raise reader.wrong("a column's bitmap has the wrong length")
        members = bytes(reader.take(members_size))
        # One form only: no bitmap where all rows have a vector, no bits past the last row, columns in order.
        if members and (members[-1] >> ((count - 1) % 8 + 1) or sum(map(int.bit_count, members)) in (0, count)):
            raise reader.wrong("a column's bitmap is not in its one form")
        if columns and columns[-1].space.encode() >= space.encode():
            raise reader.wrong("its columns are not in ascending order")
        columns.append(Column(space, vectors, members))
    tail = reader.payload[start : reader.at]
    reader.end()
    leaf = Leaf(keys, record_ids, bodies, tuple(columns))
    return _leaf_id(count, raw_keys, record_ids, bodies, tail), leaf


@dataclass(frozen=True, slots=True)
class Child:
    """One entry of an inner node: the last key below it, its id, how many records it holds."""

    last_key: bytes
    id: TreeId
    count: int


@dataclass(frozen=True, slots=True)
class Node:
    """An inner node: ``level`` 1 has leaves as children."""

    level: int
    children: list[Child]

    def encode(self) -> tuple[NodeId, bytes]:
        """Return the node's id and its payload."""
        keys = b"".join(_encode_rows([child.last_key for child in self.children]))
        head = _PAIR.pack(self.level, len(self.children))
        ids = b"".join(child.id for child in self.children)
        counts = struct.pack(f"<{len(self.children)}Q", *(child.count for child in self.children))
        return _node_id(head, keys, ids, counts), b"".join((head, keys, ids, counts))

    @classmethod
    def decode(cls, payload: bytes | memoryview) -> Node:
        """Return the node of a payload.  Raises: InvalidData (object-corrupt)."""
        return _decode_node(payload)[1]


def _node_id(head: bytes | memoryview, keys: bytes | memoryview, ids: bytes, counts: bytes | memoryview) -> NodeId:
    return NodeId.of(head, blake3(keys).digest(), ids, counts)


def _decode_node(payload: bytes | memoryview) -> tuple[NodeId, Node]:
    reader = _Reader(payload, "node")
    head = reader.payload[:8]
    level, count = reader.u32(), reader.u32()
    if not 1 <= level <= 64 or not 1 <= count <= OVERFULL * FANOUT:
        raise reader.wrong(f"level {level} with {count} children")
    start = reader.at
    keys = list(reader.rows(count, MAX_KEY_BYTES))
    raw_keys = reader.payload[start : reader.at]
    if not _ascends(keys):
        raise reader.wrong("its keys are not in ascending order")
    ids = bytes(reader.take(ID_BYTES * count))
    raw_counts = reader.take(8 * count)
    reader.end()
    kind = LeafId if level == 1 else NodeId
    children = [
        Child(key, kind(ids[ID_BYTES * at : ID_BYTES * (at + 1)]), total)
        for at, (key, total) in enumerate(zip(keys, struct.unpack(f"<{count}Q", raw_counts), strict=True))
    ]
    return _node_id(head, raw_keys, ids, raw_counts), Node(level, children)


def leaf_id(payload: bytes | memoryview) -> LeafId:
    """Return the id that a leaf's payload has.  Raises: InvalidData (object-corrupt)."""
    return _decode_leaf(bytes(payload))[0]


def node_id(payload: bytes | memoryview) -> NodeId:
    """Return the id that a node's payload has.  Raises: InvalidData (object-corrupt)."""
    return _decode_node(payload)[0]


def encode_bodies(bodies: Sequence[bytes]) -> bytes:
    """Return the payload of a body column."""
    return b"".join((_U32.pack(len(bodies)), *_encode_rows(bodies)))


def decode_bodies(payload: bytes | memoryview) -> Rows:
    """Return the bodies of a body column.  Raises: InvalidData (object-corrupt)."""
    reader = _Reader(payload, "bodies")
    found = reader.rows(reader.u32(), len(reader.payload))
    reader.end()
    return found


def vectors_header(space: Space, count: int) -> bytes:
    """Return the start of a vectors payload: padded to 8 bytes, so that the rows after it are aligned."""
    encoded = space.encode()
    return b"".join((_PAIR.pack(len(encoded), count), encoded, bytes(-len(encoded) % 8)))


def encode_vectors(space: Space, rows: Sequence[bytes | memoryview]) -> bytes:
    """Return the payload of the vectors of one space: dense rows as one matrix, others with their lengths."""
    parts: list[bytes | memoryview] = [vectors_header(space, len(rows))]
    if space.kind != "dense":
        parts.append(struct.pack(f"<{len(rows)}I", *map(len, rows)))
    return b"".join((*parts, *rows))


@dataclass(frozen=True, slots=True)
class Matrix:
    """The decoded vectors of one space in a leaf: rows are slices of the payload, not copies."""

    space: Space
    payload: memoryview
    start: int
    offsets: tuple[int, ...] | None  # None: dense
    count: int

    def row(self, number: int) -> bytes:
        """Return the bytes of one row."""
        if self.offsets is None:
            size = self.space.row_bytes
            at = self.start + number * size
            return bytes(self.payload[at : at + size])
        return bytes(self.payload[self.offsets[number] : self.offsets[number + 1]])

    def rows(self) -> list[bytes]:
        """Return the bytes of all rows."""
        raw: bytes = self.payload.obj  # type: ignore[assignment]
        bounds = self.offsets or range(self.start, len(raw) + 1, self.space.row_bytes)
        return [raw[start:end] for start, end in pairwise(bounds)]

    @property
    def dense(self) -> memoryview:
        """The rows of a dense space as one block, row after row."""
        return self.payload[self.start :]


def decode_vectors(payload: bytes | memoryview) -> Matrix:
    """Return the rows of a vectors payload.  Raises: InvalidData (object-corrupt)."""
    reader = _Reader(payload, "vectors")
    space_size, count = reader.u32(), reader.u32()
    space = Space.decode(reader.take(space_size))
    if any(reader.take(-space_size % 8)):
        raise reader.wrong("its padding is not zero")
    if space.kind == "dense":
        start = reader.at
        reader.take(count * space.row_bytes)
        reader.end()
        return Matrix(space, reader.payload, start, None, count)
    lengths = reader.u32s(count)
    offsets = [reader.at]
    for length in lengths:
        reader.take(length)
        offsets.append(reader.at)
    reader.end()
    return Matrix(space, reader.payload, offsets[0], tuple(offsets), count)


def members_bitmap(rows: Sequence[int], count: int) -> bytes:
    """Return the bitmap of row numbers out of ``count``, b"" when all are in it."""
    if len(rows) == count:
        return b""
    bits = bytearray((count + 7) // 8)
    for row in rows:
        bits[row >> 3] |= 1 << (row & 7)
    return bytes(bits)


def is_member(members: bytes, row: int) -> bool:
    """Whether a bitmap names a row."""
    return not members or bool(members[row >> 3] >> (row & 7) & 1)


def rank(members: bytes, row: int) -> int:
    """Return how many rows a bitmap names before ``row``."""
    if not members:
        return row
    whole = sum(byte.bit_count() for byte in members[: row >> 3])
    return whole + ((members[row >> 3] & ((1 << (row & 7)) - 1)).bit_count() if row & 7 else 0)


def members_rows(members: bytes, count: int) -> Sequence[int]:
    """Return the row numbers a bitmap names, ascending."""
    if not members:
        return range(count)
    return [row for row in range(count) if members[row >> 3] >> (row & 7) & 1]


def assemble(leaf: Leaf, bodies: Sized, matrices: Sequence[Matrix]) -> list[tuple[Vector, ...]]:
    """Return the vectors of each row of a leaf, sorted by name.  Raises: InvalidData (object-corrupt)."""
    count = len(leaf.keys)
    if len(bodies) != count:
        raise InvalidData(f"a leaf of {count} records has {len(bodies)} bodies", code="object-corrupt")
    held: list[list[Vector]] = [[] for _ in range(count)]
    for column, matrix in zip(leaf.columns, matrices, strict=True):
        rows = members_rows(column.members, count)
        if matrix.space != column.space or matrix.count != len(rows):
            raise InvalidData(f"a leaf and its vectors disagree on {column.space.label}", code="object-corrupt")
        for row, raw in zip(rows, matrix.rows(), strict=True):
            held[row].append(Vector(matrix.space, raw))
    for found in held:
        if len(found) > 1:
            found.sort(key=_by_name)
            if any(a.space.name == b.space.name for a, b in pairwise(found)):
                raise InvalidData("a record of a leaf has two vectors of the same name", code="object-corrupt")
    return [tuple(found) for found in held]


def _by_name(item: Vector) -> str:
    return item.space.name
