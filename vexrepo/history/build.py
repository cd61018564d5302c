"""Building trees: a base tree plus sorted edits gives the tree of the result.

Only leaves that an edit touches are read and written; the others are taken over by id.  The result depends on
the records alone (law 1): where a leaf ends is decided by keys, and a base leaf is taken over only where a new
leaf would begin and end just there.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from vexrepo.history.census import Census
from vexrepo.history.walk import LeafReader, iter_leaves, read_node
from vexrepo.objects import tree
from vexrepo.objects.digest import ID_BYTES, BodiesId, VectorsId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.tree import FANOUT, OVERFULL, Child, Column, Leaf, Node
from vexrepo.objects.vector import Space
from vexrepo.storage.store import ObjectStore, Writer

LEAVES_IN_FLIGHT = 3


class Edit(NamedTuple):
    """A record to set, or None to remove the one with this key."""

    key: bytes
    record: Record | None


def edit_tree(
    store: ObjectStore | None,
    writer: Writer,
    base: TreeRoot | None,
    edits: Iterable[Edit],
    leaf_records: int,
    pool: ThreadPoolExecutor | None = None,
    census: Census | None = None,
) -> TreeRoot:
    """Return the tree of ``base`` with ``edits`` (ascending unique keys) applied.

    ``leaf_records`` is the expected number of records a leaf; it must be the one the base was built with.
    ``pool`` packs leaves beside the caller's thread; ``census`` counts the leaves of the result.
    """
    nodes = _Nodes(store, writer, base)
    cutter = _Cutter(writer, nodes, leaf_records, pool, census)
    pending = _Peekable(iter(edits))
    if store is not None and base is not None and base.count:
        leaves = list(iter_leaves(store, base)) if base.height else [Child(b"", base.id, base.count)]
        for number, child in enumerate(leaves):
            last = number == len(leaves) - 1
            if (pending.head is None and cutter.at_start) or (
                cutter.at_start and not last and pending.head is not None and pending.head.key > child.last_key
            ):
                cutter.take_over(child)
            else:
                reader = LeafReader(store, child.id)
                keys = reader.leaf.keys
                mine = pending.take(keys[-1], OVERFULL * len(keys))
                complete = pending.head is None or (not last and pending.head.key > keys[-1])
                if cutter.at_start and complete and (rows := _updated_rows(reader.leaf, mine)) is not None:
                    cutter.submit(patch_leaf, writer, reader, rows, census)
                    continue
                cutter.origin = reader
                for record in _merged(reader.records(), mine, pending):
                    cutter.add(record)
    for edit in pending:
        if edit.record is not None:
            cutter.add(edit.record)
    return cutter.finish()


class _Peekable:
    """An iterator whose next item can be seen."""

    def __init__(self, items: Iterator[Edit]) -> None:
        self._items = items
        self.head: Edit | None = next(items, None)

    def __iter__(self) -> Iterator[Edit]:
        while self.head is not None:
            yield self.pop()

    def pop(self) -> Edit:
        found = self.head
        assert found is not None
        self.head = next(self._items, None)
        return found

    def take(self, bound: bytes, most: int) -> list[Edit]:
        """Return the items up to a key, no more than ``most``."""
        found: list[Edit] = []
        while self.head is not None and self.head.key <= bound and len(found) < most:
            found.append(self.pop())
        return found


def _merged(records: list[Record], mine: list[Edit], rest: _Peekable) -> Iterator[Record]:
    """Yield the records of a leaf with its edits applied; ``rest`` holds those that ``mine`` had no room for."""
    last = records[-1].key
    edits = itertools.chain(mine, _until(rest, last))
    edit = next(edits, None)
    for record in records:
        while edit is not None and edit.key < record.key:
            if edit.record is not None:
                yield edit.record
            edit = next(edits, None)
        if edit is not None and edit.key == record.key:
            if edit.record is not None:
                yield edit.record
            edit = next(edits, None)
        else:
            yield record


def _until(rest: _Peekable, bound: bytes) -> Iterator[Edit]:
    while rest.head is not None and rest.head.key <= bound:
        yield rest.pop()


def _updated_rows(leaf: Leaf, edits: list[Edit]) -> list[tuple[int, Record]] | None:
    """Return (row, record) if all edits replace records of the leaf without moving vectors between columns.

    Then keys, and so boundaries, stay as they are and the leaf can be patched in place.
    """
    found = []
    for edit in edits:
        row = bisect_left(leaf.keys, edit.key)
        if edit.record is None or row == len(leaf.keys) or leaf.keys[row] != edit.key:
            return None
        spaces = {column.space for column in leaf.columns if tree.is_member(column.members, row)}
        if spaces != {item.space for item in edit.record.vectors}:
            return None
        found.append((row, edit.record))
    return found


class _Cutter:
    """Collects records into leaves, hands full leaves to the pool and finished ones, in order, to the nodes."""

    def __init__(
        self,
        writer: Writer,
        nodes: _Nodes,
        leaf_records: int,
        pool: ThreadPoolExecutor | None,
        census: Census | None,
    ) -> None:
        self._census = census
        self._writer = writer
        self._nodes = nodes
        self._expected = leaf_records
        self._pool = pool
        self._rows: list[Record] = []
        self._flying: deque[Future[Child] | Child] = deque()
        self.origin: LeafReader | None = None

    @property
    def at_start(self) -> bool:
        """Whether the next record would begin a leaf."""
        return not self._rows

    def add(self, record: Record) -> None:
        self._rows.append(record)
        if len(self._rows) >= OVERFULL * self._expected or tree.ends_here(record.key, 0, self._expected):
            self._cut()

    def take_over(self, child: Child) -> None:
        if child.last_key == b"":  # the only leaf of a flat tree: its last key is not in a node
            self.origin = None
        self._flying.append(child)
        self._drain(LEAVES_IN_FLIGHT)

    def submit(self, work: Callable[..., Child], *arguments: Any) -> None:
        """Have a leaf written by the pool, or here and now without one."""
        self._flying.append(self._pool.submit(work, *arguments) if self._pool else work(*arguments))
        self._drain(LEAVES_IN_FLIGHT)

    def _cut(self) -> None:
        rows, self._rows = self._rows, []
        self.submit(pack_leaf, self._writer, rows, self.origin, self._census)

    def _drain(self, keep: int) -> None:
        while len(self._flying) > keep:
            done = self._flying.popleft()
            child = done if isinstance(done, Child) else done.result()
            if self._census is not None:
                self._census.add(child.id)
            self._nodes.add(child)

    def finish(self) -> TreeRoot:
        if self._rows or not (self._flying or self._nodes.started):
            self._cut()
        self._drain(0)
        return self._nodes.finish()


def pack_leaf(writer: Writer, rows: list[Record], origin: LeafReader | None, census: Census | None) -> Child:
    """Write a leaf and its columns; ``origin`` is the leaf it replaces.  Returns its entry for a node."""
    old_columns = {column.space: column.vectors for column in origin.leaf.columns} if origin else {}
    bodies = tree.encode_bodies([row.body for row in rows])
    bodies_id = BodiesId.of(bodies)
    writer.put(ObjectType.BODIES, bodies_id, bodies, base=origin.leaf.bodies if origin else None)
    del bodies
    members: dict[Space, list[int]] = {}
    held: dict[Space, list[bytes]] = {}
    for number, row in enumerate(rows):
        for item in row.vectors:
            space = item.space
            if space not in members:
                members[space], held[space] = [], []
            members[space].append(number)
            held[space].append(item.row)
    columns = []
    for space in sorted(members, key=Space.encode):
        payload = tree.encode_vectors(space, held[space])
        vectors_id = VectorsId.of(payload)
        put_vectors(writer, space, vectors_id, payload, old_columns.get(space))
        columns.append(Column(space, vectors_id, tree.members_bitmap(members[space], len(rows))))
        del payload
    leaf = Leaf([row.key for row in rows], b"".join(row.id for row in rows), bodies_id, tuple(columns))
    leaf_id, encoded = leaf.encode()
    if census is not None:
        census.note(leaf_id, leaf)
    writer.put(ObjectType.LEAF, leaf_id, encoded, base=origin.id if origin else None)
    return Child(rows[-1].key if rows else b"", leaf_id, len(rows))


def patch_leaf(writer: Writer, origin: LeafReader, rows: list[tuple[int, Record]], census: Census | None) -> Child:
    """Write a leaf that differs from ``origin`` in the content of some rows only.  Returns its entry for a node."""
    leaf = origin.leaf
    bodies, ids = list(origin.bodies), bytearray(leaf.record_ids)
    for row, record in rows:
        bodies[row] = record.body
        ids[ID_BYTES * row : ID_BYTES * (row + 1)] = record.id
    payload = tree.encode_bodies(bodies)
    bodies_id = BodiesId.of(payload)
    writer.put(ObjectType.BODIES, bodies_id, payload, base=leaf.bodies)
    del payload, bodies
    columns = [_patch_column(writer, origin, column, rows) for column in leaf.columns]
    patched = Leaf(leaf.keys, bytes(ids), bodies_id, tuple(columns))
    leaf_id, encoded = patched.encode()
    if census is not None:
        census.note(leaf_id, patched)
    writer.put(ObjectType.LEAF, leaf_id, encoded, base=origin.id)
    return Child(leaf.keys[-1], leaf_id, len(leaf.keys))


def _patch_column(writer: Writer, origin: LeafReader, column: Column, rows: list[tuple[int, Record]]) -> Column:
    numbers = {row: number for number, row in enumerate(tree.members_rows(column.members, len(origin.leaf.keys)))}
    matrix = origin.matrix(column)
    changed = {}
    for row, record in rows:
        for item in record.vectors:
            if item.space == column.space and matrix.row(numbers[row]) != item.row:
                changed[numbers[row]] = item.row
    if not changed:
        return column
    space = column.space
    if space.kind == "dense":
        block = bytearray(matrix.payload)
        for number, raw in changed.items():
            block[matrix.start + number * len(raw) : matrix.start + (number + 1) * len(raw)] = raw
        payload: bytes | bytearray = block
    else:
        # A row may be empty (a sparse vector of nothing).
        held = [changed[n] if n in changed else matrix.row(n) for n in range(matrix.count)]
        payload = tree.encode_vectors(space, held)
    vectors_id = VectorsId.of(payload)
    put_vectors(writer, space, vectors_id, payload, column.vectors)
    return Column(space, vectors_id, column.members)


def put_vectors(
    writer: Writer, space: Space, identifier: VectorsId, payload: bytes | bytearray, base: VectorsId | None
) -> None:
    """Write the vectors of one space, as a difference from ``base`` where that is smaller."""
    writer.put(
        ObjectType.VECTORS,
        identifier,
        payload,
        base=base,
        item_bytes=space.item_bytes,
        head=len(tree.vectors_header(space, 0)) if space.kind == "dense" else 0,
        row_bytes=space.row_bytes,
    )


class _Nodes:
    """Collects children into nodes, level by level."""

    def __init__(self, store: ObjectStore | None, writer: Writer, base: TreeRoot | None) -> None:
        self._writer = writer
        self._levels: list[list[Child]] = []
        self._alone: dict[bytes, Child] = {}
        self._replaced = _old_nodes(store, base) if store and base else {}
        self.started = False

    def add(self, child: Child, level: int = 1) -> None:
        self.started = True
        while len(self._levels) < level:
            self._levels.append([])
        entries = self._levels[level - 1]
        entries.append(child)
        if len(entries) >= OVERFULL * FANOUT or tree.ends_here(child.last_key, level, FANOUT):
            self._close(level)

    def _close(self, level: int) -> None:
        entries, self._levels[level - 1] = self._levels[level - 1], []
        node_id, payload = Node(level, entries).encode()
        if len(entries) == 1:
            self._alone[node_id] = entries[0]
        old = self._replaced.get(level)
        base = None
        if old:
            place = bisect_left(old, entries[-1].last_key, key=_last_key)
            base = old[min(place, len(old) - 1)].id
        self._writer.put(ObjectType.NODE, node_id, payload, base=base)
        self.add(Child(entries[-1].last_key, node_id, sum(entry.count for entry in entries)), level + 1)

    def finish(self) -> TreeRoot:
        level = 1
        while True:
            entries = self._levels[level - 1]
            above = any(self._levels[level:])
            if not above and len(entries) == 1:
                # A node with one child at the top adds nothing: the child is the root.
                only = entries[0]
                while only.id in self._alone:
                    only, level = self._alone[only.id], level - 1
                return TreeRoot(only.id, level - 1, only.count)
            if entries:
                self._close(level)
            level += 1


def _last_key(child: Child) -> bytes:
    return child.last_key


def _old_nodes(store: ObjectStore, base: TreeRoot) -> dict[int, list[Child]]:
    """Return the inner nodes of a tree by level: what new ones are stored as differences from."""
    found: dict[int, list[Child]] = {}
    layer = [Child(b"\xff", base.id, base.count)]
    for level in range(base.height, 0, -1):
        found[level] = layer
        if level > 1:
            layer = [child for parent in layer for child in read_node(store, parent.id).children]
    return found
