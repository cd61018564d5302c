"""Reading trees: leaves in key order, records, one record by key."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from vexrepo.errors import InvalidData, Tampered, VexError
from vexrepo.objects import tree
from vexrepo.objects.digest import LeafId, RecordId, TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import Record, body_value, record_id
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.tree import Child, Leaf, Matrix, Node
from vexrepo.objects.vector import Vector
from vexrepo.storage.ahead import reading_ahead
from vexrepo.storage.freed import note_records
from vexrepo.storage.glance import Glance
from vexrepo.storage.store import ObjectStore

GLANCED = 16  # past one row of so many, reading a leaf's vectors whole is quicker


class _Sight(NamedTuple):
    """Access to the rows of a dense column: ``head`` bytes, then rows of ``row_bytes``."""

    view: Glance
    head: int
    row_bytes: int


class LeafReader:
    """A leaf whose columns are read when they are asked for; ``keep`` False: it will not be asked for again."""

    __slots__ = ("_bodies", "_glances", "_matrices", "_sights", "_store", "_vectors", "id", "leaf")

    def __init__(self, store: ObjectStore, identifier: TreeId, *, keep: bool = True) -> None:
        self._store = store
        self.id = LeafId(identifier)
        self.leaf = Leaf.decode(store.get(identifier, ObjectType.LEAF, cache=keep))
        self._bodies: tree.Rows | None = None
        self._matrices: dict[bytes, Matrix] = {}
        self._vectors: list[tuple[Vector, ...]] | None = None
        self._sights: dict[bytes, _Sight | None] = {}
        self._glances = 0

    @property
    def bodies(self) -> tree.Rows:
        """The bodies, in key order."""
        if self._bodies is None:
            self._bodies = tree.decode_bodies(self._store.get(self.leaf.bodies, ObjectType.BODIES, cache=False))
            if len(self._bodies) != len(self.leaf.keys):
                raise self.wrong("its bodies are of another count")
        return self._bodies

    def payload(self, column: tree.Column) -> bytes:
        """Return the vectors object of a column, checked and not kept."""
        return self._store.get(column.vectors, ObjectType.VECTORS, cache=False)

    def matrix(self, column: tree.Column) -> Matrix:
        """Return the vectors of a column."""
        found = self._matrices.get(column.vectors)
        if found is None:
            found = self._matrices[column.vectors] = tree.decode_vectors(self.payload(column))
            if found.space != column.space:
                raise self.wrong("its vectors are of another space")
        return found

    @property
    def vectors(self) -> list[tuple[Vector, ...]]:
        """The vectors of each record, in key order."""
        if self._vectors is None:
            self._vectors = tree.assemble(self.leaf, self.bodies, [self.matrix(c) for c in self.leaf.columns])
        return self._vectors

    def wrong(self, why: str) -> Tampered:
        """Return the error for a leaf whose parts do not fit each other."""
        return Tampered(f"the leaf {self.id.hex()[:12]} is inconsistent: {why}; run `vex fsck`", code="object-corrupt")

    def vector_places(self, row: int) -> set[tuple[bytes, int]]:
        """Return where a record's vectors are: (vectors id, row there).  Equal places are equal vectors, unread."""
        return {
            (column.vectors, tree.rank(column.members, row))
            for column in self.leaf.columns
            if tree.is_member(column.members, row)
        }

    def row_vectors(self, row: int) -> tuple[Vector, ...]:
        """Return the vectors of one record, sorted by name, without building those of the others."""
        if self._vectors is not None:
            return self._vectors[row]
        proven = self._glance(row)
        if proven is not None:
            return proven
        found = []
        for column in self.leaf.columns:
            if tree.is_member(column.members, row):
                number = tree.rank(column.members, row)
                matrix = self.matrix(column)
                if number >= matrix.count:
                    raise self.wrong("its vectors are of another count")
                found.append(Vector(matrix.space, matrix.row(number)))
        return tuple(sorted(found, key=lambda item: item.space.name))

    def _glance(self, row: int) -> tuple[Vector, ...] | None:
        """Return the vectors of one record read by themselves, which its id proves; None where that cannot be done.

        Reading the columns whole then says what is wrong, if anything is.
        """
        self._glances += 1
        if self._glances > len(self.leaf.keys) // GLANCED:
            return None
        found = []
        for column in self.leaf.columns:
            if not tree.is_member(column.members, row):
                continue
            try:
                if column.vectors not in self._sights:
                    self._sights[column.vectors] = self._sight(column)
                sight = self._sights[column.vectors]
                if sight is None or column.vectors in self._matrices:
                    return None
                number = tree.rank(column.members, row)
                found.append(Vector(column.space, sight.view.row(number, sight.head, sight.row_bytes)))
            except VexError:
                return None
        vectors = tuple(found) if len(found) == 1 else tuple(sorted(found, key=lambda item: item.space.name))
        return vectors if record_id(self.bodies[row], vectors) == self.leaf.record_id(row) else None

    def _sight(self, column: tree.Column) -> _Sight | None:
        """Return access to single rows of a column, None if there is none."""
        if column.space.kind != "dense":
            return None
        view = self._store.glance(column.vectors)
        return _Sight(view, len(tree.vectors_header(column.space, 0)), column.space.row_bytes) if view else None

    def record(self, row: int) -> Record:
        """Return one record."""
        return Record(self.leaf.keys[row], self.leaf.record_id(row), self.bodies[row], self.row_vectors(row))

    def records(self) -> list[Record]:
        """Return all records, in key order."""
        ids = self.leaf.record_ids
        return [
            Record(key, RecordId(ids[32 * row : 32 * row + 32]), body, vectors)
            for row, (key, body, vectors) in enumerate(zip(self.leaf.keys, self.bodies, self.vectors, strict=True))
        ]


class RecordAt(NamedTuple):
    """A record in a leaf, its content read when asked for."""

    reader: LeafReader
    row: int

    @property
    def id(self) -> RecordId:
        """The record's id."""
        return self.reader.leaf.record_id(self.row)

    @property
    def body(self) -> bytes:
        """The record's body."""
        return self.reader.bodies[self.row]

    @property
    def record(self) -> Record:
        """The whole record."""
        return self.reader.record(self.row)


def read_node(store: ObjectStore, identifier: TreeId) -> Node:
    """Return an inner node."""
    return Node.decode(store.get(identifier, ObjectType.NODE))


def iter_leaves(store: ObjectStore, root: TreeRoot) -> Iterator[Child]:
    """Yield the leaves of a tree in key order.  A single leaf's last key is given as b"" (nothing above it)."""
    yield from _leaves_below(store, Child(b"", root.id, root.count), root.height)


def _leaves_below(store: ObjectStore, child: Child, height: int) -> Iterator[Child]:
    if height == 0:
        yield child
        return
    node = read_node(store, child.id)
    if node.level != height or sum(entry.count for entry in node.children) != child.count:
        raise Tampered(f"the node {child.id.hex()[:12]} is inconsistent; run `vex fsck`", code="object-corrupt")
    for entry in node.children:
        yield from _leaves_below(store, entry, height - 1)


def read_leaves(store: ObjectStore, leaves: Iterable[Child], *, ahead: int = 0) -> Iterator[LeafReader]:
    """Yield leaves with their columns read; ``ahead`` of them are read by a second thread meanwhile."""

    def load(child: Child) -> LeafReader:
        reader = LeafReader(store, child.id, keep=False)
        for column in reader.leaf.columns:
            reader.matrix(column)
        _ = reader.bodies
        return reader

    leaves = iter(leaves)
    if not ahead:
        for child in leaves:
            yield load(child)
        return
    with reading_ahead() as pool:
        pending = [pool.submit(load, child) for child in islice(leaves, ahead)]
        while pending:
            done = pending.pop(0).result()
            for child in leaves:
                pending.append(pool.submit(load, child))
                break
            yield done


def iter_records(store: ObjectStore, root: TreeRoot, *, ahead: int = 0) -> Iterator[Record]:
    """Yield the records of a tree in key order; memory holds a few leaves at a time."""
    for reader in read_leaves(store, iter_leaves(store, root), ahead=ahead):
        records = reader.records()
        yield from records
        if records:
            note_records(records[0], len(records))


def find_record(store: ObjectStore, root: TreeRoot, key: bytes) -> RecordAt | None:
    """Return the record with this key, None if there is none."""
    identifier, height = root.id, root.height
    while height:
        children = read_node(store, identifier).children
        place = bisect_left(children, key, key=_last_key)
        if place == len(children):
            return None
        identifier, height = children[place].id, height - 1
    reader = LeafReader(store, identifier)
    row = bisect_left(reader.leaf.keys, key)
    if row < len(reader.leaf.keys) and reader.leaf.keys[row] == key:
        return RecordAt(reader, row)
    return None


def _last_key(child: Child) -> bytes:
    return child.last_key


def check_records(reader: LeafReader, *, edges: bool = False, known: LeafReader | None = None) -> None:
    """Raise Tampered unless the leaf's record ids and keys are those of its content, in its one form.

    ``known`` is a leaf of which all that is known: a record that is the same there need not be looked at again.
    """
    from vexrepo.objects import edge
    from vexrepo.objects.record import check_record
    from vexrepo.objects.vector import check_row

    before = {record.id: record for record in known.records()} if known is not None else {}
    for row, record in enumerate(reader.records()):
        if before.get(record.id) == record:
            continue
        if record_id(record.body, record.vectors) != record.id:
            raise reader.wrong(f"record {row} has another id than its content gives")
        try:
            if edges:
                found = edge.from_json(body_value(record.body)).key if not record.vectors else b""
            else:
                found = check_record(record)
            for item in record.vectors:
                check_row(item.space, item.row)
        except InvalidData as error:
            raise reader.wrong(f"record {row}: {error}") from error
        if found != record.key:
            raise reader.wrong(f"record {row} has another key than its content gives")
