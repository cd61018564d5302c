"""The memory file of the MCP memory server: ``mcp:memory.jsonl``.

An entity is a memory, its observations the lines of its text; a relation is a graph edge.  The server keeps nothing
else when it writes the file, so what a memory or an edge says beyond that is carried in a file beside it,
``memory.jsonl.vex``, and joined with what the server changed since.  Files are read and held in memory: they are small.
Format: remotes/STORES.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, Final

import orjson

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects import canonical, edge
from vexrepo.objects.record import Record, body_value, from_json
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Written
from vexrepo.remotes.stores.capabilities import Capabilities, mapped_id
from vexrepo.remotes.stores.carry import carried_json, carried_record, reconcile
from vexrepo.remotes.stores.file_store import DAMAGES, CarryingFile

BATCH: Final = 500
ENTITY: Final = frozenset(("type", "name", "entityType", "observations"))
RELATION: Final = frozenset(("type", "from", "to", "relationType"))
NO_TYPE: Final = "memory"  # of an entity whose memory names none
_CAN: Final = Capabilities(lambda value: True)


@dataclass(slots=True)
class _Carried:
    """What is carried: memories by the name of their entity, edges by (from, type, to) in the order of the file."""

    memories: dict[str, tuple[Record, Record]] = field(default_factory=dict)  # the original and the projection
    edges: dict[tuple[str, str, str], list[Record]] = field(default_factory=lambda: defaultdict(list))


class McpStore(CarryingFile):
    """A file of entities and relations.  Places are numbers of lines, from 1."""

    kind: ClassVar[str] = "mcp"
    expected: ClassVar[str] = "a memory.jsonl"
    holds_edges: ClassVar[bool] = True

    def check_ours(self) -> None:
        """Raise StoreError (store-schema) for a file with something that a write would not put back."""
        for place, line in self._lines():
            try:
                value = _parse(line)
            except InvalidData as error:
                raise StoreError(
                    f"{self.place(place)}: {error}; it would be lost: mend the file, or name another target",
                    code="store-schema",
                ) from None
            more = value.keys() - (ENTITY if value["type"] == "entity" else RELATION)
            if more:
                raise StoreError(
                    f"{self.place(place)} has {', '.join(sorted(more)):.200}, which the MCP memory server does not "
                    "know: the file is another program's, which would lose that; name another target",
                    code="store-schema",
                )

    def describe(self) -> Description:
        """Return what changes whenever the files may have changed."""
        if not self.path.exists():
            return Description(0)
        return Description(None, fingerprint=self.fingerprint())

    def place(self, place: int) -> str:
        """Return words for a line."""
        return f"{self.path} line {place}"

    # -- reading -----------------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        if not self.path.exists():
            return
        try:
            with open(self.path, "rb") as file:
                for place, line in enumerate(file, 1):
                    if line.strip():
                        yield place, line
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}", code="store-unreadable") from None

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield the entities as memories."""
        memories, names = self._carried().memories, set[str]()

        def found() -> Iterator[Sourced]:
            for place, line in self._lines():
                try:
                    value = _parse(line)
                    if value["type"] == "entity":
                        if value["name"] in names:
                            raise InvalidData(
                                f"a second entity {value['name']!r:.80}: rename or remove one of them (with --on-error "
                                "skip the first is read)",
                                code="duplicate-key",
                            )
                        names.add(value["name"])
                        yield Sourced(_joined(_memory(value), memories.get(value["name"])), place)
                except InvalidData as error:
                    told = InvalidData(f"{self.place(place)}: {error}", code=error.code)
                    if on_problem is None:
                        raise told from None
                    on_problem(told)

        records = found()
        while batch := list(islice(records, BATCH)):
            yield batch

    def edges(self) -> Iterator[Record]:
        """Yield the relations as edges; one that is there twice is one."""
        carried, seen = self._carried().edges, set[bytes]()
        for _, line in self._lines():
            try:
                value = _parse(line)
            except InvalidData:
                continue  # said while the memories are read
            if value["type"] != "relation":
                continue
            rows = carried.get((value["from"], value["relationType"], value["to"]))
            found = rows.pop(0) if rows else _edge(value)
            if found.key not in seen:
                seen.add(found.key)
                yield found

    def _carried(self) -> _Carried:
        """Return what the file beside says.  Raises: StoreError (store-corrupt)."""
        found = _Carried()
        try:
            for value in self.read_beside():
                if "edge" in value:
                    made = edge.from_json(value["edge"])
                    found.edges[_triple(value["edge"])].append(made)
                    continue
                found.memories[value["entity"]["name"]] = (carried_record(value), _memory(value["entity"]))
        except DAMAGES as error:
            raise self.damaged(error) from None
        return found

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Write both files anew."""
        lines: list[bytes] = []
        carried: list[bytes] = []
        names: set[str] = set()
        count = 0
        for record in plan.records():
            name = str(body_value(record.body)["id"])
            if name in names:
                name = mapped_id(record.key, _CAN)
            names.add(name)
            entity = _entity(name, record)
            if _memory(entity) != record:
                carried.append(canonical.encode({"entity": entity, **carried_json(record)}))
            lines.append(orjson.dumps(entity))
            count += 1
            plan.advance(1)
        relations: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
        for each in plan.edges():
            relations[_triple(body_value(each.body))].append(each)
        for triple, rows_of in relations.items():
            relation = {"type": "relation", "from": triple[0], "to": triple[2], "relationType": triple[1]}
            lines += [orjson.dumps(relation)] * len(rows_of)
            if rows_of != [_edge(relation)]:
                carried += [canonical.encode({"edge": body_value(each.body)}) for each in rows_of]
        self.check_expected(plan)
        self.write_both(b"".join(line + b"\n" for line in lines), carried)
        return Written(count, 0, self.fingerprint())


def _parse(line: bytes) -> dict[str, Any]:
    """Return an entity or a relation as the server understands it.

    Raises: InvalidData (not-json, not-an-object, unsupported-value) for what the server would pass over.
    """
    value = canonical.parse(line.strip())
    if not isinstance(value, dict):
        raise InvalidData(f"{line!r:.60} is no object", code="not-an-object")
    match value:
        case {"type": "entity", "name": str(), "entityType": str(), "observations": [*rows]} if all(
            isinstance(row, str) for row in rows
        ):
            return value
        case {"type": "relation", "from": str(), "to": str(), "relationType": str()}:
            return value
    raise InvalidData(f"neither an entity nor a relation: {line!r:.80}", code="unsupported-value")


def _memory(entity: Mapping[str, Any]) -> Record:
    """Return the memory an entity natively is."""
    rows = entity["observations"]
    metadata = {name: value for name, value in entity.items() if name not in ENTITY}
    metadata["entityType"] = entity["entityType"]
    value: dict[str, Any] = {"id": entity["name"], "metadata": metadata}
    if rows:
        value["text"] = "\n".join(rows)
        if value["text"].split("\n") != rows:
            metadata["observations"] = rows
    return from_json(value)


def _entity(name: str, record: Record) -> dict[str, Any]:
    """Return the entity that is nearest to a memory."""
    value = body_value(record.body)
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    text, kind, rows = value.get("text"), metadata.get("entityType"), metadata.get("observations")
    lines = text.split("\n") if isinstance(text, str) else []
    if isinstance(rows, list) and rows and all(isinstance(row, str) for row in rows) and "\n".join(rows) == text:
        lines = rows
    kind = kind if isinstance(kind, str) else NO_TYPE
    return {"type": "entity", "name": name, "entityType": kind, "observations": lines}


def _joined(now: Record, carried: tuple[Record, Record] | None) -> Record:
    """Return the memory that was written, with what the server changed since."""
    if carried is None:
        return now
    original, then = carried
    was, found = body_value(then.body), body_value(now.body)
    if was.get("text") != found.get("text") and was["metadata"]["entityType"] != found["metadata"]["entityType"]:
        return now  # another entity of that name
    return reconcile(original, then, now)


def _edge(relation: Mapping[str, Any]) -> Record:
    value = {name: each for name, each in relation.items() if name not in RELATION}
    return edge.from_json(
        {**value, "source": relation["from"], "target": relation["to"], "type": relation["relationType"]}
    )


def _triple(value: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(value["source"]), str(value["type"]), str(value["target"])
