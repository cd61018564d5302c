"""Neo4j: the nodes of one label, and their relationships: ``neo4j://[USER@]HOST:7687/DATABASE?label=Memory``.

Options: ``label`` (default Memory, the original tool's); ``id``, ``text``, ``vector``: the properties that are those,
found by constraints, indexes and names where nothing says; ``similarity`` (cosine, euclidean) of a new vector index;
``tls=1``; ``routing=1`` for a cluster; ``user``.  Nodes are read in the order of their ids, by keyset; the server's own
ids of nodes are never kept, since they name another node once one is removed.  A batch is one transaction.
Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import Record, from_json
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description
from vexrepo.remotes.stores.capabilities import Capabilities, native_id
from vexrepo.remotes.stores.neo4j_edges import WAITING, Edges
from vexrepo.remotes.stores.neo4j_graph import PASSWORD, Graph, is_name, quoted
from vexrepo.remotes.stores.neo4j_ids import Ids, shown_end
from vexrepo.remotes.stores.neo4j_labels import LABELS, are_labels, with_labels, write_nodes
from vexrepo.remotes.stores.neo4j_nodes import Node, Nodes, numbers_of
from vexrepo.remotes.stores.neo4j_pages import Pages
from vexrepo.remotes.stores.neo4j_schema import (
    MAX_DIMS,
    SIMILARITIES,
    Schema,
    constraint,
    creation,
    new_vector_index,
    of_config,
    read_schema,
)
from vexrepo.remotes.stores.neo4j_values import Kinds, holds
from vexrepo.remotes.stores.payload_records import PayloadReader
from vexrepo.remotes.stores.point_store import Point, PointStore, Wanted
from vexrepo.remotes.stores.points import Fields

LABEL: Final = "Memory"
IDS: Final = ("id", "uuid", "uid", "memory_id", "node_id", "key", "name")  # what an id is looked for under
VECTORS: Final = ("vector", "embedding", "embeddings", "textEmbedding", "content_embedding", "name_embedding")
_SAMPLE: Final = 32  # nodes that are looked at for what their properties are called
_NODE: Final = "properties(n), labels(n)"  # what is asked of each
_ID_BYTES: Final = 4096  # an index takes some 8,000


class Neo4jStore(PointStore):
    """The nodes of one label.  Those that have others as well keep them."""

    kind: ClassVar[str] = "neo4j"
    names_text: ClassVar[bool] = True
    own_text: ClassVar[str] = "content"
    holds_edges: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    secrets: ClassVar[Mapping[str, str]] = {PASSWORD: "the password of the Neo4j server"}
    options: ClassVar[frozenset[str]] = frozenset(
        {"label", "id", "text", "vector", "similarity", "tls", "routing", "user"}
    )
    batch_points: ClassVar[int] = 500
    batch_bytes: ClassVar[int] = 4 << 20
    can = Capabilities(
        holds,
        values="text, flags, 64-bit integers, floats, and lists of one of these",
        holds_name=is_name,
        id_bytes=_ID_BYTES,
        is_named=True,
    )

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self.label = self._named("label", LABEL)
        self._similarity = address.choice("similarity", SIMILARITIES) or SIMILARITIES[0]
        self.graph = Graph(address, self.readings)
        self.kinds = Kinds()
        self._has_labels = False  # whether a node was seen that has others than ours
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def _named(self, option: str, default: str) -> str:
        name = self.address.options.get(option, default)
        if not is_name(name):
            raise UsageError(f"{self.address}: {option} is {name!r:.40}, which is no name", code="bad-address")
        return name

    def close(self) -> None:
        """End what is read, and the connections."""
        super().close()
        self.graph.close()

    # -- what there is -----------------------------------------------------------------------------------------------

    def collection_words(self) -> str:
        """Return what the collection is called to people."""
        return f"node with the label {self.label!r:.60} in {self.address}"

    def _look(self) -> None:
        """Find out how the label is set up, and what its nodes call their id and their vectors."""
        self._schema = read_schema(self.graph, self.label)
        rows = self.graph.read(f"{self._match} RETURN {_NODE} LIMIT {_SAMPLE}")
        sample = [properties for properties, _ in rows]
        self._is_there = bool(sample or self._schema.indexes or self._schema.unique)
        self._ids = Ids(self.graph, self.label, self._find_id(sample))
        self._sample = self._read_nodes(rows, lambda message, code: None)
        self._take(self._schema, self._find_vector(sample))

    @property
    def id_name(self) -> str:
        """The property that is the id."""
        return self._ids.name

    @property
    def _match(self) -> str:
        return f"MATCH (n:{quoted(self.label)})"

    @property
    def _id(self) -> str:
        return quoted(self.id_name)

    def _find_id(self, sample: Sequence[Mapping[str, Any]]) -> str:
        """Return the property that is the id: as the address says, as a constraint has it, or as nodes call it."""
        if "id" in self.address.options:
            return self._named("id", "id")
        if unique := self._schema.unique:
            return next((name for name in IDS if name in unique), None) or min(unique)
        fitting = (name for name in IDS if all(type(each.get(name)) in (str, int) for each in sample))
        found = next(fitting, None)
        if found is None:
            raise StoreError(
                f"{self.address}: no property tells the nodes of {self.label!r:.60} apart (looked for "
                f"{', '.join(IDS)}); name the one that does: ?id=NAME",
                code="store-schema",
            )
        return found

    def _find_vector(self, sample: Sequence[Mapping[str, Any]]) -> str:
        if "vector" in self.address.options:
            return self._named("vector", VECTORS[0])
        indexed = self._schema.vectors
        held: list[str] = [name for name in VECTORS if name in indexed] or sorted(indexed)
        held += [name for name in VECTORS if any(numbers_of(each.get(name)) for each in sample)]
        return held[0] if held else VECTORS[0]

    def _take(self, schema: Schema, main: str) -> None:
        """Take how the label is set up, and say what it can hold."""
        self._schema = schema
        self._vectors = {MAIN: main} | {name: name for name in schema.vectors if name != main}
        taken = frozenset(self._vectors.values()) | {self.id_name}
        self.can = Capabilities(
            holds,
            values=type(self).can.values,
            holds_name=lambda name: is_name(name) and name not in taken,
            holds_member=lambda name, value: name != LABELS or are_labels(value, self.label),
            holds_id_member=True,
            id_bytes=_ID_BYTES,
            is_named=not self._is_there or len(self._vectors) > 1,
            names=frozenset(self._vectors) if self._is_there else None,
            mixes_dims=self._is_there and not any(each.dims for each in schema.vectors.values()),
        )

    def exists(self) -> bool:
        """Whether there is a node of the label, or an index or constraint of it."""
        return self._is_there

    def describe(self) -> Description:
        """Return the count of the nodes, and the label's indexes."""
        count = self._pages.count_all()
        if not self._is_there:
            return Description(count)
        indexes = sorted((each.to_json() for each in self._schema.indexes), key=orjson.dumps)
        config: dict[str, Any] = {"vector": self._vectors[MAIN], "indexes": indexes}
        if kinds := self.kinds.to_json():
            config["kinds"] = kinds
        return Description(count, config)

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that indexes are for; None where there is none, or they take any dims."""
        indexed = self._schema.vectors
        spaces = {
            name: Space(name, "dense", None, indexed[held].dims, "f32")
            for name, held in self._vectors.items()
            if held in indexed and indexed[held].dims
        }
        return spaces or None

    def fields(self) -> Fields:
        """Return what the members of a payload are called, as the nodes looked at first have it."""
        return self.name_fields(self._known(self._sample if self._fields is None else ()))

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return the fields: the text's name as the address or most nodes have it, else the original tool's."""
        if "text" in self.address.options:
            return Fields(text=self._named("text", self.own_text))
        found = super().find_fields(sample)
        return found if any(found.text in point.payload for point in sample) else Fields(text=self.own_text)

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield the nodes in the order of their ids, texts before numbers; then say which have none."""
        return map(self._nodes.points, self._read(None))

    def read_points_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the nodes whose ids come after one."""
        return map(self._nodes.points, self._read(self._ids.native(last)))

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the nodes of some ids; what makes none is left out."""
        natives = [self._ids.native(each) for each in ids]
        rows = self.graph.read(f"{self._match} WHERE n.{self._id} IN $ids RETURN {_NODE}", ids=natives)
        return self._known(self._read_nodes(rows, lambda message, code: None))

    def _known(self, nodes: Iterable[Node]) -> list[Point]:
        """Return the points of those nodes that make one."""
        reader, found = self._nodes, []
        for each in nodes:
            with contextlib.suppress(InvalidData):
                found.append(reader.point(each))
        return found

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield the nodes, those that are plain as records."""
        reader, nodes = PayloadReader(self.fields()), self._nodes
        return (nodes.records(reader, page) for page in self._read(None))

    def _read(self, after: str | int | None) -> Iterator[list[Node]]:
        """Yield the properties of nodes in pages, then say which have no id."""
        for rows in self._pages.read(_NODE, after):
            yield self._read_nodes(rows, self._problem)

    def _read_nodes(self, rows: Sequence[Sequence[Any]], problem: Callable[[str, str], None]) -> list[Node]:
        """Return nodes as their properties and labels say."""
        found: list[Node] = []
        for properties, labels in rows:
            self._has_labels = self._has_labels or len(labels) > 1
            try:
                found.append(with_labels(properties, labels, self.label))
            except InvalidData as error:
                problem(f"{self.address} node {properties.get(self.id_name)!r:.80} {error}", error.code)
        return found

    @property
    def _pages(self) -> Pages:
        is_unique = self.id_name in self._schema.unique
        return Pages(self.graph, self.label, self.id_name, is_unique, self.readings, self._problem)

    @property
    def _nodes(self) -> Nodes:
        return Nodes(str(self.address), self._ids, self._vectors, self.kinds, self._problem)

    def _problem(self, message: str, code: str) -> None:
        self.tell(InvalidData(message, code=code))

    # -- edges -------------------------------------------------------------------------------------------------------

    @property
    def _edges(self) -> Edges:
        return Edges(self.graph, self.label, self.id_name, self._native_of_id, shown_end, self.kinds)

    def _native_of_id(self, identifier: str) -> str | int:
        return self._ids.native(native_id(from_json({"id": identifier}).key, self.can))

    def edges(self) -> Iterator[Record]:
        """Yield the relationships of the nodes as edges."""
        pages = ([identifier for (identifier,) in rows] for rows in self._pages.read(f"n.{self._id}"))
        return self._edges.read(pages) if self._is_there else iter(())

    def write_edges(self, upserts: Sequence[Record], deletes: Sequence[Record]) -> None:
        """Write and remove edges."""
        self._edges.write(upserts, deletes)

    # -- writing -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Make sure that ids are unique, and found quickly, before the first batch."""
        if self.id_name not in self._schema.unique:
            self.graph.declare(constraint(self.label, self.id_name))
        self.graph.declare(constraint(WAITING, "key"))
        yield

    def prepare(self, wanted: Wanted) -> None:
        """Make the indexes: those of a kept configuration, else one for each vector."""
        main = self._vectors[MAIN]
        told = wanted.config.get("vector")
        if "vector" not in self.address.options and isinstance(told, str) and told not in self.fields().taken:
            main = told if is_name(told) and told != self.id_name else main
        self.kinds.take(wanted.config.get("kinds"))
        indexes = of_config(wanted.config, wanted.spaces, main)
        indexed = {each.properties[0] for each in indexes if each.type == "VECTOR"}
        if not indexed and "indexes" not in wanted.config:
            taken = self.fields().taken | {self.id_name}
            for name, space in sorted(wanted.spaces.items()):
                held = name or main
                if space.kind == "dense" and space.dims <= MAX_DIMS and held not in taken and is_name(held):
                    indexes.append(new_vector_index(held, space.dims, self._similarity))
        known = [self.graph.declare(creation(self.label, each)) is not None for each in indexes]
        made = tuple(each for each, is_known in zip(indexes, known, strict=True) if is_known)
        self._is_there = True
        self._take(Schema(made, frozenset({self.id_name})), main)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write nodes in one transaction; relationships of those that are there stay."""
        nodes = self._nodes
        rows = [nodes.row(each) for each in points]
        self.graph.write(
            lambda ask: write_nodes(
                ask, self.label, self.id_name, [dict(row) for row in rows], has_others=self._has_labels
            )
        )
        rows.clear()  # objects of the driver hold one another, and with them what was sent, until a collector looks

    def delete(self, ids: Sequence[str]) -> None:
        """Remove nodes with their relationships; those that are edges of a snapshot wait for what it says of them."""
        natives = [self._ids.native(each) for each in ids]

        def remove(ask: Any) -> None:
            self._edges.release(ask, natives)
            ask(f"{self._match} WHERE n.{self._id} IN $ids DETACH DELETE n", {"ids": natives})

        self.graph.write(remove)

    def finish(self) -> None:
        """Say what searches will not find."""
        if MAIN in self._vectors and self._vectors[MAIN] not in self._schema.vectors:
            self.address.reach.notice(
                f"{self.address}: no vector index covers {self._vectors[MAIN]!r:.60} (the server has none before "
                "Neo4j 5.15, or it was never made): memories are stored and read, but not found by their vectors"
            )
