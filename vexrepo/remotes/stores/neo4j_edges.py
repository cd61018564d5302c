"""Relationships as edges, both ways.

A relationship between two memories is an edge of its type; its properties are the edge's members.  One to or from a
node of another label (an entity that a memory mentions, say) has ``target_label`` and ``target_key``, or ``source_…``:
the label and the property that tells such nodes apart; no other property of that node is kept.  What a relationship
cannot hold is in its property ``_vex``.  A graph has no relationship without both its nodes: an edge whose memories are
not there waits as a node ``:_VexEdge``, and becomes a relationship when they come.  Format: remotes/STORES.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple

from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical, edge
from vexrepo.objects.record import Record, body_value
from vexrepo.remotes.stores.carry import is_same, reconcile_value
from vexrepo.remotes.stores.neo4j_graph import Ask, Graph, Row, is_name, quoted
from vexrepo.remotes.stores.neo4j_values import Kinds, holds
from vexrepo.remotes.stores.point_names import Hashes
from vexrepo.remotes.stores.points import RESERVED

BATCH: Final = 500
WAITING: Final = "_VexEdge"
KEYS: Final = ("id", "uuid", "name", "key")  # what tells nodes of other labels apart: the first that is a text
NO_TYPE: Final = "RELATED_TO"  # of an edge whose type no relationship can have
_TAKEN: Final = frozenset(("source", "target", "type", RESERVED, "more"))
_ENDS: Final = ("source", "target")


class End(NamedTuple):
    """A node that a relationship begins or ends at: a memory (``label`` ""), or another by label and property."""

    label: str
    key: str
    value: Any


class Relation(NamedTuple):
    """A relationship as it lies in the graph."""

    source: End
    type: str
    target: End
    properties: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Edges:
    """The relationships of one label's nodes.

    ``native`` gives the value of the property ``key`` of the memory with an id, ``shown`` the id of a memory with a
    value there, of which ``_vex`` is told where it may say another.
    """

    graph: Graph
    label: str
    key: str
    native: Callable[[str], Any]
    shown: Callable[[Any, Any], str]
    kinds: Kinds

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, pages: Iterator[Sequence[Any]]) -> Iterator[Record]:
        """Yield the edges of memories, whose native ids are given in pages, and those that wait; each once."""
        seen = Hashes()
        for ids in pages:
            for found in self.graph.look(lambda ask, ids=ids: self._of_nodes(ask, ids)):  # type: ignore[misc]
                if found.key not in seen:
                    seen.note(found.key)
                    yield found
        for _, found in self._waiting():
            if found.key not in seen:
                seen.note(found.key)
                yield found

    def _of_nodes(self, ask: Ask, ids: Sequence[Any]) -> list[Record]:
        """Return the edges that begin at memories, or come to them from nodes of other labels."""
        found = []
        for way in ("-[r]->(b)", "<-[r]-(b)"):
            others = f" WHERE NOT b:{quoted(self.label)}" if way[0] == "<" else ""
            query = (
                f"UNWIND $ids AS id MATCH (a:{quoted(self.label)} {{{quoted(self.key)}: id}}){way}{others} "
                f"WITH a, b, type(r) AS kind, collect([elementId(r), properties(r)]) AS rows {self._columns()}"
            )
            for row in ask(query, {"ids": list(ids)}):
                found += [record for _, record in self._records(row, is_outgoing=way[0] == "-")]
        return found

    def _columns(self) -> str:
        """Return what is asked of a group of relationships of one type between two nodes."""
        label, key = quoted(self.label), quoted(self.key)
        told = [
            f"{each}.{key}, CASE WHEN {each}.{key} STARTS WITH 'vex-' THEN {each}.{RESERVED} END" for each in ("a", "b")
        ]
        keys = ", ".join(f"b.{quoted(each)}" for each in KEYS)
        return f"RETURN {', '.join(told)}, b:{label}, labels(b), [{keys}], kind, rows"

    def _records(self, row: Row, *, is_outgoing: bool) -> list[tuple[str, Record]]:
        """Return the element ids and edges of a group; of those that only their properties tell apart, an id more."""
        one, one_says, other, other_says, is_memory, labels, keys, kind, rows = row
        ends: dict[str, Any] = {"source": self.shown(one, one_says)}
        if is_memory:
            ends["target"] = self.shown(other, other_says)
        else:
            held = next((name for name, value in zip(KEYS, keys, strict=True) if isinstance(value, str)), None)
            if held is None or not labels:
                return []  # nothing tells that node from others
            ends |= {"target": keys[KEYS.index(held)], "target_label": min(labels), "target_key": held}
        if not is_outgoing:
            ends = {_turned(name): value for name, value in ends.items()}
        ends["type"] = kind
        found = [(element, self._value(properties, ends)) for element, properties in rows]
        made = [(element, edge.from_json(value)) for element, value in found]
        if len({record.key for _, record in made}) < len({record.id for _, record in made}):
            bodies: defaultdict[bytes, set[bytes]] = defaultdict(set)
            for _, record in made:
                bodies[record.key].add(record.id)
            made = [
                (element, _told_apart(record) if len(bodies[record.key]) > 1 else record) for element, record in made
            ]
        return made

    def _value(self, properties: Mapping[str, Any], ends: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON of an edge: what was written, with what was changed since."""
        now = self._natively(properties, ends)
        text = properties.get(RESERVED)
        if not isinstance(text, str):
            return now
        try:
            carried: Any = canonical.parse(text.encode())
        except (InvalidData, UnicodeEncodeError):
            return now
        match carried:
            case {"v": 1, "e": dict(original), "p": dict(then)}:
                found = reconcile_value(original, then, now)
                try:
                    edge.from_json(found)
                except InvalidData:
                    return now
                return dict(found)
        return now

    def _natively(self, properties: Mapping[str, Any], ends: Mapping[str, Any]) -> dict[str, Any]:
        value = self.kinds.payload({name: each for name, each in properties.items() if name != RESERVED})
        clashing = {name: value.pop(name) for name in sorted(value.keys() & (_TAKEN | ends.keys()))}
        if "id" in value and not isinstance(value["id"], str):
            clashing["id"] = value.pop("id")
        if clashing:
            value["more"] = clashing
        return {**value, **ends}

    def _waiting(self) -> Iterator[tuple[str, Record]]:
        last = ""
        query = (
            f"MATCH (e:{WAITING}) WHERE e.key > $last AND e.label = $label "
            f"RETURN e.key, e.edge ORDER BY e.key LIMIT {BATCH}"
        )
        while rows := self.graph.read(query, last=last, label=self.label):
            for last, text in rows:
                value = canonical.parse(str(text).encode())
                if isinstance(value, dict):
                    yield last, edge.from_json(value)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, upserts: Sequence[Record], deletes: Sequence[Record]) -> None:
        """Write edges, replacing those of their keys, and remove others; then join what waited for its memories."""
        changes = iter([*((each, True) for each in upserts), *((each, False) for each in deletes)])
        while batch := list(islice(changes, BATCH)):
            self.graph.write(lambda ask, batch=batch: self._change(ask, batch))  # type: ignore[misc]
        waiting = self._waiting()
        while held := list(islice(waiting, BATCH)):
            self.graph.write(lambda ask, held=held: self._join(ask, held))  # type: ignore[misc]

    def release(self, ask: Ask, ids: Sequence[Any]) -> None:
        """Keep the edges of memories that are about to be removed: they wait until told otherwise."""
        label, key = quoted(self.label), quoted(self.key)
        query = (
            f"UNWIND $ids AS id MATCH (b:{label} {{{key}: id}})<-[r]-(a:{label}) "
            f"WITH a, b, type(r) AS kind, collect([elementId(r), properties(r)]) AS rows {self._columns()}"
        )
        coming = [
            record for row in ask(query, {"ids": list(ids)}) for _, record in self._records(row, is_outgoing=True)
        ]
        self._keep(ask, {each.key: each for each in [*coming, *self._of_nodes(ask, ids)]}.values())

    def _keep(self, ask: Ask, records: Any) -> None:
        rows = [{"key": self._key(each), "edge": each.body.decode()} for each in records]
        if rows:
            query = f"UNWIND $rows AS row MERGE (e:{WAITING} {{key: row.key}}) SET e.label = $label, e.edge = row.edge"
            ask(query, {"rows": rows, "label": self.label})

    def _key(self, record: Record) -> str:
        return blake3(self.label.encode() + b"\0" + record.key).hexdigest(16)

    def _change(self, ask: Ask, batch: Sequence[tuple[Record, bool]]) -> None:
        keys = {record.key for record, _ in batch}
        relations = [(self._relation(body_value(record.body)), record, is_kept) for record, is_kept in batch]
        gone: list[str] = []
        for (source, target), rows in _by_ends(relations).items():
            beside = []
            for element, record in self._found(ask, source, target, [relation for relation, _, _ in rows]):
                if record.key in keys:
                    gone.append(element)
                elif (identifier := str(body_value(record.body).get("id"))).startswith("vex-"):
                    beside.append({"element": element, "id": identifier})
            if beside:  # told apart from what goes; from now on by an id of its own
                ask(
                    "UNWIND $rows AS row MATCH ()-[r]->() WHERE elementId(r) = row.element SET r.id = row.id",
                    {"rows": beside},
                )
        if gone:
            ask("MATCH ()-[r]->() WHERE elementId(r) IN $gone DELETE r", {"gone": gone})
        ask(f"MATCH (e:{WAITING}) WHERE e.key IN $keys DELETE e", {"keys": [self._key(record) for record, _ in batch]})
        wanted = [(relation, record) for relation, record, is_kept in relations if is_kept]
        made = self._create(ask, [relation for relation, _ in wanted])
        self._keep(ask, [record for at, (_, record) in enumerate(wanted) if at not in made])

    def _join(self, ask: Ask, held: Sequence[tuple[str, Record]]) -> None:
        made = self._create(ask, [self._relation(body_value(record.body)) for _, record in held])
        if made:
            ask(f"MATCH (e:{WAITING}) WHERE e.key IN $keys DELETE e", {"keys": [held[at][0] for at in sorted(made)]})

    def _found(self, ask: Ask, source: End, target: End, relations: Sequence[Relation]) -> Iterator[tuple[str, Record]]:
        """Yield what is there of the types and between the nodes of relationships, as edges with their element ids.

        Such an id holds inside the transaction.
        """
        is_outgoing = not source.label
        one, other = (source, target) if is_outgoing else (target, source)
        if one.label:
            return  # between nodes none of which is a memory: never read as an edge
        way = "-[r]->" if is_outgoing else "<-[r]-"
        query = (
            f"UNWIND $rows AS row MATCH (a{self._pattern(one, 'one')}){way}(b{self._pattern(other, 'other')}) "
            "WHERE type(r) = row.kind "
            f"WITH DISTINCT a, b, r WITH a, b, type(r) AS kind, collect([elementId(r), properties(r)]) AS rows "
            f"{self._columns()}"
        )
        rows = [
            {
                "one": (each.source if is_outgoing else each.target).value,
                "other": (each.target if is_outgoing else each.source).value,
                "kind": each.type,
            }
            for each in relations
        ]
        for row in ask(query, {"rows": rows}):
            yield from self._records(row, is_outgoing=is_outgoing)

    def _pattern(self, end: End, name: str) -> str:
        return f":{quoted(end.label or self.label)} {{{quoted(end.key)}: row.{name}}}"

    def _create(self, ask: Ask, relations: Sequence[Relation]) -> set[int]:
        """Make relationships; return the places of those whose memories are there."""
        groups: defaultdict[tuple[str, tuple[str, str], tuple[str, str]], list[int]] = defaultdict(list)
        for at, each in enumerate(relations):
            groups[each.type, each.source[:2], each.target[:2]].append(at)
        made: set[int] = set()
        for (kind, source, target), places in groups.items():
            ends = [("a", End(*source, None), "source"), ("b", End(*target, None), "target")]
            ends.sort(key=lambda each: bool(each[1].label))  # what has to be there before what is made
            words = " ".join(
                f"{'MERGE' if end.label else 'MATCH'} ({name}{self._pattern(end, member)})"
                for name, end, member in ends
            )
            query = (
                f"UNWIND $rows AS row {words} CREATE (a)-[r:{quoted(kind)}]->(b) SET r = row.properties RETURN row.at"
            )
            rows = [
                {
                    "at": at,
                    "source": relations[at].source.value,
                    "target": relations[at].target.value,
                    "properties": relations[at].properties,
                }
                for at in places
            ]
            made |= {at for (at,) in ask(query, {"rows": rows})}
        return made

    def _relation(self, value: Mapping[str, Any]) -> Relation:
        """Return the relationship that is nearest to an edge; what it cannot say is in its ``_vex``."""
        kind = value["type"] if is_name(value["type"]) else NO_TYPE
        ends: dict[str, Any] = {name: value[name] for name in _ENDS} | {"type": kind}
        found = {}
        for name in _ENDS:
            label, key = value.get(f"{name}_label"), value.get(f"{name}_key")
            is_other = isinstance(label, str) and is_name(label) and key in KEYS and label != self.label
            if is_other:
                found[name] = End(str(label), str(key), value[name])
                ends |= {f"{name}_label": label, f"{name}_key": key}
            else:
                found[name] = End("", self.key, self.native(value[name]))
        members: dict[str, Any] = {name: each for name, each in value.items() if name not in ends}
        more = members.get("more")
        if isinstance(more, dict) and more and more.keys() <= (_TAKEN | ends.keys() | {"id"}) - {RESERVED, "more"}:
            members = {**members, **more}
            del members["more"]
        held = {name: each for name, each in members.items() if is_name(name) and name != RESERVED and holds(each)}
        held.pop("more", None)
        properties = self.kinds.properties(held)
        then = self._natively(properties, ends)
        if not is_same(then, dict(value)):
            properties[RESERVED] = canonical.encode({"v": 1, "e": dict(value), "p": then}).decode()
        return Relation(found["source"], kind, found["target"], properties)


def _turned(name: str) -> str:
    for one, other in (_ENDS, _ENDS[::-1]):
        if name.startswith(one):
            return name.replace(one, other, 1)
    return name


def _told_apart(record: Record) -> Record:
    """Return an edge with an id made of what it says, where another of its type is between the same two."""
    value = body_value(record.body)
    if isinstance(value.get("id"), str):
        return record
    return edge.from_json({**value, "id": "vex-" + blake3(record.body).hexdigest(8)})


def _by_ends(
    relations: Sequence[tuple[Relation, Record, bool]],
) -> dict[tuple[End, End], list[tuple[Relation, Record, bool]]]:
    """Return relationships in groups whose ends are found in one way; the values of these ends stand for nothing."""
    groups: defaultdict[tuple[End, End], list[tuple[Relation, Record, bool]]] = defaultdict(list)
    for each in relations:
        source, target = each[0].source, each[0].target
        groups[source._replace(value=None), target._replace(value=None)].append(each)
    return groups
