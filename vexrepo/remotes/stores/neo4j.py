"""Neo4j: the nodes of one label, and their relationships: ``neo4j://[USER@]HOST:7687/DATABASE?label=Memory``.

Options: ``label`` (default Memory, the original tool's); ``id``, ``text``, ``vector``: the properties that are those,
found by constraints, indexes and names where nothing says; ``similarity`` (cosine, euclidean) of a new vector index;
``tls=1``; ``routing=1`` for a cluster; ``user``.  Nodes are read in the order of their ids, by keyset; the server's own
ids of nodes are never kept, since they name another node once one is removed.  A batch is one transaction.
Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, TypeAlias

import numpy as np
import orjson

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, from_json
from vexrepo.objects.vector import MAIN, Space, Vector, pack_numbers
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Cursor, Description, Sourced
from vexrepo.remotes.stores.capabilities import Capabilities, native_id
from vexrepo.remotes.stores.exact_vectors import Found, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.neo4j_edges import WAITING, Edges
from vexrepo.remotes.stores.neo4j_graph import PASSWORD, Graph, Row, is_name, quoted
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
from vexrepo.remotes.stores.payload_records import PayloadReader, Plain
from vexrepo.remotes.stores.point_store import Point, PointStore, Wanted
from vexrepo.remotes.stores.points import Fields
from vexrepo.storage.ahead import one_ahead

Node: TypeAlias = Mapping[str, Any]

LABEL: Final = "Memory"
IDS: Final = ("id", "uuid", "uid", "memory_id", "node_id", "key", "name")  # what an id is looked for under
VECTORS: Final = ("vector", "embedding", "embeddings", "textEmbedding", "content_embedding", "name_embedding")
_PAGE: Final = 1000
_SAMPLE: Final = 32  # nodes that are looked at for what their properties are called
_ID_BYTES: Final = 4096  # an index takes some 8,000
_NUMBERS: Final = frozenset((float, int))
_LEAST: Final = -(1 << 63)
# Of values that cannot be compared the comparison is null.
_NO_TEXT: Final = "{id} IS NULL OR ({id} >= '') IS NULL"
_NO_ID: Final = "{id} IS NULL OR (({id} >= '') IS NULL AND ({id} >= $least) IS NULL)"


class Neo4jStore(PointStore):
    """The nodes of one label.  Those that have others as well keep them."""

    kind: ClassVar[str] = "neo4j"
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
        self._similarity = address.options.get("similarity", SIMILARITIES[0])
        if self._similarity not in SIMILARITIES:
            raise UsageError(
                f"{address}: similarity is {self._similarity!r:.40}, expected {' or '.join(SIMILARITIES)}",
                code="bad-address",
            )
        self.graph = Graph(address, self.readings)
        self.kinds = Kinds()
        self._report: Callable[[InvalidData], None] | None = None
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    @cached_property
    def _has_numbers(self) -> bool:
        """Whether there are nodes whose ids are numbers; asked where an id looks like one."""
        return bool(self.graph.read(f"{self._match} WHERE n.{self._id} >= $least RETURN 1 LIMIT 1", least=_LEAST))

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
        rows = self.graph.read(f"{self._match} RETURN properties(n) LIMIT {_SAMPLE}")
        self._sample = sample = [properties for (properties,) in rows]
        self._is_there = bool(sample or self._schema.indexes or self._schema.unique)
        self.id_name = self._find_id(sample)
        self._shadowed = self.id_name != "id" and any("id" in each for each in sample)
        self._take(self._schema, self._find_vector(sample))

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
        held += [name for name in VECTORS if any(_numbers(each.get(name)) for each in sample)]
        return held[0] if held else VECTORS[0]

    def _take(self, schema: Schema, main: str) -> None:
        """Take how the label is set up, and say what it can hold."""
        self._schema = schema
        self._vectors = {MAIN: main} | {name: name for name in schema.vectors if name != main}
        self._vector_names = frozenset(self._vectors.values())
        taken = self._vector_names | {self.id_name}
        self.can = Capabilities(
            holds,
            values=type(self).can.values,
            holds_name=lambda name: is_name(name) and name not in taken,
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
        count = self._count_all()
        if not self._is_there:
            return Description(count)
        indexes = sorted((each.to_json() for each in self._schema.indexes), key=orjson.dumps)
        return Description(count, {"vector": self._vectors[MAIN], "indexes": indexes})

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
        found = []
        for node in self._sample if self._fields is None else ():
            with contextlib.suppress(InvalidData):
                found.append(self._point(node))
        return self.name_fields(found)

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return the fields: the text's name as the address or most nodes have it, else the original tool's."""
        if "text" in self.address.options:
            return Fields(text=self._named("text", "content"))
        found = super().find_fields(sample)
        return found if any(found.text in point.payload for point in sample) else Fields(text="content")

    # -- reading -----------------------------------------------------------------------------------------------------

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield every memory in batches; ``place`` is its number in the order of the ids, from 1."""
        self._report = on_problem
        yield from super().scan(on_problem)

    def scan_on(
        self, cursor: Cursor | None, on_problem: Callable[[InvalidData], None] | None = None
    ) -> Iterator[tuple[list[Sourced], Cursor | None]]:
        """Yield the memories after a cursor in batches, each with the cursor after it."""
        self._report = on_problem
        yield from super().scan_on(cursor, on_problem)

    def read_points(self) -> Iterator[list[Point]]:
        """Yield the nodes in the order of their ids, texts before numbers; then say which have none."""
        return map(self._points, self._nodes(None))

    def read_points_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the nodes whose ids come after one."""
        return map(self._points, self._nodes(self._native(last)))

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the nodes of some ids; what makes none is left out."""
        natives = [self._native(each) for each in ids]
        rows = self.graph.read(f"{self._match} WHERE n.{self._id} IN $ids RETURN properties(n)", ids=natives)
        found = []
        for (properties,) in rows:
            with contextlib.suppress(InvalidData):
                found.append(self._point(properties))
        return found

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield the nodes, those that are plain as records."""
        reader = PayloadReader(self.fields())
        return (self._records(reader, page) for page in self._nodes(None))

    def _nodes(self, after: str | int | None) -> Iterator[list[Node]]:
        """Yield the properties of nodes in pages, then say which have no id."""
        for rows in self._pages("properties(n)", after):
            yield [properties for (properties,) in rows]

    def _count_all(self) -> int:
        ((count,),) = self.graph.read(f"{self._match} RETURN count(n)")
        return int(count)

    def _count(self, condition: str) -> int:
        """Return how many nodes have an id of which a condition is true."""
        query = f"{self._match} WHERE {condition.format(id=f'n.{self._id}')} RETURN count(n)"
        ((count,),) = self.graph.read(query, least=_LEAST)
        return int(count)

    def _pages(self, what: str, after: str | int | None = None) -> Iterator[list[Row]]:
        """Yield what is asked of all nodes that have an id, in pages; of those that share one the first."""
        for found, twice, without in one_ahead(self._asked(what, after), self.readings):
            if without:
                self._problem(
                    f"{self.address}: {without} nodes have no {self.id_name!r:.60} that is a text or a number, and so "
                    "no id; name another property with ?id=NAME",
                    "id-missing",
                )
            for identifier in twice:
                self._problem(
                    f"{self.address}: more than one node has the {self.id_name} {identifier!r:.80}; the first of them "
                    "is read",
                    "duplicate-key",
                )
            if found:
                yield found

    def _asked(self, what: str, after: str | int | None) -> Generator[tuple[list[Row], list[Any], int], None, None]:
        """Yield pages as they are asked for, each with the ids that are there more than once.

        The last says how many nodes have no id.
        """
        column, ahead = f"n.{self._id}", int(self.id_name not in self._schema.unique)
        count = 0
        for least in ("", _LEAST):  # each is compared with its like only
            if isinstance(after, int) and least == "":
                continue
            # All are counted without a look at any of them; comparisons look at each.
            if least == _LEAST and ((after is None and count == self._count_all()) or not self._count(_NO_TEXT)):
                return
            last: Any = least
            sign = ">="
            if after is not None and type(after) is type(least):
                last, sign = after, ">"
            while True:
                query = (
                    f"{self._match} WHERE {column} {sign} $last RETURN {column} AS at, {what} AS it ORDER BY at LIMIT "
                )
                rows = self.graph.read(f"{query}{_PAGE + ahead}", last=last)
                is_last = len(rows) < _PAGE + ahead
                found: list[Row] = []
                twice: list[Any] = []
                for identifier, *row in rows:
                    if found and identifier == last:
                        twice.append(identifier)
                    elif len(found) < _PAGE:
                        found.append(row)
                        last = identifier
                count += len(found)
                del rows  # not held while the next page is on its way
                yield found, twice, 0
                if is_last:
                    break
                sign = ">"
        yield [], [], self._count(_NO_ID)

    def _problem(self, message: str, code: str) -> None:
        error = InvalidData(message, code=code)
        if self._report is None:
            raise error
        self._report(error)

    def _points(self, nodes: Sequence[Node]) -> list[Point]:
        return [point for each in nodes if (point := self._point_or_problem(each)) is not None]

    def _records(self, reader: PayloadReader, nodes: Sequence[Node]) -> list[Point | Record]:
        """Return the records of nodes, and points of those that are not plain."""
        main = self._vectors[MAIN]
        numbers = [_floats(each.get(main)) for each in nodes]
        made = reader.records_of(nodes, numbers, self._plain, loses=False)
        found: list[Point | Record] = []
        for node, record in zip(nodes, made, strict=True):
            found += self._points([node]) if record is None else (record,)
        return found

    def _plain(self, node: Node, row: bytes | None) -> Plain | None:
        """Return the point of a node whose main vector has some numbers, None where it is not plain."""
        rest = {name: value for name, value in node.items() if name != self.id_name}
        if row is not None:
            del rest[self._vectors[MAIN]]
        if not self._vector_names.isdisjoint(rest):
            return None
        try:
            return Plain(self._shown_id(node[self.id_name]), self.kinds.payload(rest), row)
        except InvalidData:
            return None

    def _point_or_problem(self, properties: Mapping[str, Any]) -> Point | None:
        try:
            return self._point(properties)
        except InvalidData as error:
            self._problem(f"{self.address} node {properties.get(self.id_name)!r:.80}: {error}", error.code)
        return None

    def _point(self, properties: Mapping[str, Any]) -> Point:
        identifier = self._shown_id(properties[self.id_name])
        rest: dict[str, Any] = {}
        found: list[Found] = []
        decimals: list[str] = []
        places = {held: name for name, held in self._vectors.items()}
        for name, value in properties.items():
            if name == self.id_name:
                continue
            numbers = _numbers(value) if name in places else None
            if numbers is None:
                rest[name] = value
                continue
            if type(value).__name__ == "Vector":
                self.kinds.payload({name: value})
            if (row := _single(numbers)) is not None:
                found.append(Found(Vector(Space(places[name], "dense", None, len(numbers), "f32"), row), None))
                continue
            dtype, row = pack_numbers(numbers)
            if dtype == "f32d":
                decimals.append(places[name])
            found.append(exact_vector(places[name], row, "<f8" if dtype == "f64" else "<f4", name))
        return Point(identifier, with_exact(self.kinds.payload(rest), found, decimals), single_vectors(found))

    def _shown_id(self, value: Any) -> str:
        """Return an id as text.  Raises: InvalidData for one that text and numbers of this graph would share."""
        if isinstance(value, str):
            if self._native(value) != value:
                raise InvalidData(
                    f"the {self.id_name} {value!r:.60} is a text here and numbers elsewhere: memories would share it",
                    code="duplicate-key",
                )
            return value
        if type(value) is int:
            return str(value)
        raise InvalidData(f"the {self.id_name} {value!r:.60} is no text and no whole number", code="id-missing")

    def _native(self, identifier: str) -> str | int:
        """Return the value of the property of a native id: a number where such are the ids of the graph."""
        if len(identifier) <= 20 and identifier.removeprefix("-").isdecimal() and self._has_numbers:
            value = int(identifier)
            if str(value) == identifier and _LEAST <= value < 1 << 63:
                return value
        return identifier

    # -- edges -------------------------------------------------------------------------------------------------------

    @property
    def _edges(self) -> Edges:
        return Edges(self.graph, self.label, self.id_name, self._native_of_id, _shown_end, self.kinds)

    def _native_of_id(self, identifier: str) -> str | int:
        return self._native(native_id(from_json({"id": identifier}).key, self.can))

    def edges(self) -> Iterator[Record]:
        """Yield the relationships of the nodes as edges."""
        pages = ([identifier for (identifier,) in rows] for rows in self._pages(f"n.{self._id}"))
        return self._edges.read(pages) if self._is_there else iter(())

    def write_edges(self, upserts: Sequence[Record], deletes: Sequence[Record]) -> None:
        """Write and remove edges."""
        self._edges.write(upserts, deletes)

    # -- writing -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Make sure that ids are unique, and found quickly, before the first batch."""
        if self._shadowed:
            raise StoreError(
                f"{self.address}: its nodes have a property 'id' beside {self.id_name!r:.60}, which is their id here, "
                "and writing would take it away; nothing was written: name the other with ?id=id",
                code="store-schema",
            )
        if self.id_name not in self._schema.unique:
            self.graph.declare(constraint(self.label, self.id_name))
        self.graph.declare(constraint(WAITING, "key"))
        yield

    def prepare(self, wanted: Wanted) -> None:
        """Make the indexes: those of a kept configuration, else one for each vector."""
        main = self._vectors[MAIN]
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
        """Write nodes in one transaction; labels and relationships of those that are there stay."""
        rows = []
        for point in points:
            native = self._native(point.id)
            properties = self.kinds.properties(point.payload)
            for space, row in point.vectors:
                held = self._vectors[space.name]
                properties[held] = self.kinds.numbers(held, np.frombuffer(row, "<f4").astype("<f8").tolist())
            properties[self.id_name] = native
            rows.append({"id": native, "properties": properties})
        query = f"UNWIND $rows AS row MERGE (n:{quoted(self.label)} {{{self._id}: row.id}}) SET n = row.properties"
        self.graph.write(lambda ask: ask(query, {"rows": rows}))
        rows.clear()  # objects of the driver hold one another, and with them what was sent, until a collector looks

    def delete(self, ids: Sequence[str]) -> None:
        """Remove nodes with their relationships; those that are edges of a snapshot wait for what it says of them."""
        natives = [self._native(each) for each in ids]

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


def _numbers(value: Any) -> list[Any] | None:
    """Return the numbers of a vector: a list, the vector type, or JSON text, as the original tool writes; else None."""
    if isinstance(value, str):
        if not (value.startswith("[") and value.endswith("]")):
            return None
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    elif type(value).__name__ == "Vector":
        value = value.to_native()
    return value if isinstance(value, list) and value and set(map(type, value)) <= _NUMBERS else None


def _floats(value: Any) -> list[Any] | None:
    """Return the numbers of a vector that is a list of floats, [] of none; None of others."""
    if value is None:
        return []
    return value if isinstance(value, list) and value and {float}.issuperset(map(type, value)) else None


def _single(numbers: list[Any]) -> bytes | None:
    """Return numbers as float32, None where that loses something: most vectors are such, and this is quick."""
    if set(map(type, numbers)) != {float}:
        return None
    values = np.array(numbers, "<f8")
    with np.errstate(over="ignore"):
        row = values.astype("<f4")
    is_same = np.isfinite(row).all() and np.array_equal(row.astype("<f8").view("<u8"), values.view("<u8"))
    return row.tobytes() if is_same else None


def _shown_end(value: Any, says: Any) -> str:
    """Return the id of the memory at the end of a relationship, where its node has an id that was made for it."""
    if isinstance(says, str):
        try:
            carried: Any = canonical.parse(says.encode())
        except (InvalidData, UnicodeEncodeError):
            carried = None
        match carried:
            case {"k": [native, str(original)]} if native == value:
                return original
    return str(value)
