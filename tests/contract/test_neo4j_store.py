"""What is particular to Neo4j: graphs of others, relationships both ways, types that JSON has not, what goes wrong.

The engine is ArcadeDB, which speaks Bolt and Cypher; the statements about vector indexes, which it has not, are held to
their text, and what a Neo4j answers to SHOW is given as its manual has it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import neo4j
import neo4j.exceptions
import neo4j.spatial
import neo4j.time
import pytest

from tests.contract import moving
from tests.contract.neo4j_server import address, ask, new_label, port
from tests.hosting.listening import PAGE, saying_to_everybody
from tests.hosting.proxy import Cuts, proxy_to
from tests.property.strategies import attempt
from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects import edge
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores import neo4j_graph
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.neo4j import Neo4jStore
from vexrepo.remotes.stores.neo4j_graph import Graph
from vexrepo.remotes.stores.neo4j_schema import INDEXES
from vexrepo.remotes.stores.neo4j_values import Kinds, holds
from vexrepo.repository import Repository, Surroundings
from vexrepo.storage.ahead import Readings
from vexrepo.testing.stores import check_holds, plan_between

CLOCK = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neo4j_graph, "_RETRY_S", 0.01)


memory = partial(moving.memory, last=0.3)


def fill(where: Address, records: list[Record]) -> None:
    with Neo4jStore.open(where, create=True) as store:
        store.write(plan_between([], records))


def read(where: Address, problems: list[str] | None = None) -> dict[str, Any]:
    report = None if problems is None else lambda error: problems.append(f"{error.code}: {error}")
    with Neo4jStore.open(where) as store:
        found = [item.record.to_json() for batch in store.scan(report) for item in batch]
    assert len({each["id"] for each in found}) == len(found)
    return {each["id"]: each for each in found}


def edges(where: Address) -> list[dict[str, Any]]:
    with Neo4jStore.open(where) as store:
        found = [each.to_json() for each in store.edges()]
    return sorted(found, key=lambda each: (each["source"], each["type"], each["target"], str(each.get("weight"))))


def change(where: Address, edit: Callable[[dict[str, Any]], Any], *only: str) -> None:
    """Write memories that are there back, edited."""
    with Neo4jStore.open(where) as store:
        held = [item.record for batch in store.scan() for item in batch]
        wanted = []
        for each in held:
            value = each.to_json()
            if not only or value["id"] in only:
                edit(value)
            wanted.append(from_json(value))
        store.write(plan_between(held, wanted))


# -- a repository ------------------------------------------------------------------------------------------------------


def test_a_commit_of_what_was_checked_out_is_the_same(tmp_path: Path) -> None:
    kept = Repository.init(tmp_path, Surroundings(now_us=lambda: next(CLOCK)))
    source, label = Address("jsonl", str(tmp_path / "in.vmig.jsonl")), new_label()
    with JsonlStore.open(source, create=True) as store:
        store.write(plan_between([], memory()))
    first = kept.commit("first", store=source)
    assert first.id is not None
    live = address(label)
    assert kept.checkout(first.id, live).verified == 30
    assert kept.status(live).is_clean
    ask(f"MATCH (a:{label} {{id: 'm1'}}), (b:{label} {{id: 'm2'}}) CREATE (a)-[:LEADS_TO {{weight: 0.5}}]->(b)")
    ask(f"MATCH (n:{label} {{id: 'm3'}}) SET n.content = 'other', n.seen = 7")
    ask(f"MATCH (n:{label} {{id: 'm4'}}) DETACH DELETE n")
    changes = {each.key.rpartition(b"\1")[2].decode(): each.kind for each in kept.diff_with_store(first.id, live)}
    assert changes == {"m3": "changed", "m4": "forgotten"}
    second = kept.commit("what the agent did", store=live)
    assert second.id is not None and kept.status(live).is_clean
    assert attempt(lambda: kept.commit("again", store=live))[1] == "nothing-to-commit"
    kept.checkout(first.id, live)
    assert edges(live) == [] and len(read(live)) == 30
    other = address(new_label())
    kept.checkout(second.id, other)
    assert edges(other) == [{"source": "m1", "target": "m2", "type": "LEADS_TO", "weight": 0.5}]
    assert read(other)["m3"]["metadata"] == {"seen": 7}


def test_what_agents_find_is_plain() -> None:
    label = new_label()
    value = {
        "id": "a", "text": "hello", "vector": [1.0, 2.0], "namespace": "n", "model": "m", "created_at": "2026-01-01",
        "metadata": {"importance": 3, "tags": ["x", "y"], "deep": {"a": 1}},
    }  # fmt: skip
    fill(address(label), [from_json(value)])
    ((found,),) = ask(f"MATCH (n:{label}) RETURN properties(n)")
    assert found.pop("_vex")
    assert found == {
        "id": "a", "content": "hello", "vector": [1.0, 2.0], "namespace": "n", "model": "m",
        "created_at": "2026-01-01", "importance": 3, "tags": ["x", "y"],
    }  # fmt: skip
    assert [label] in [row[4] for row in ask("SHOW CONSTRAINTS")]


# -- graphs of others --------------------------------------------------------------------------------------------------


def test_what_the_original_tool_wrote_is_read() -> None:
    label = new_label()
    ask(
        f"CREATE (a:{label} {{id: 'm1', content: 'hello', namespace: 'prefs', importance: 4.0, tags: 'a,b', "
        "created_at: 1780000000, source: 'chat', vector: '[0.1,-2,3.5]'}), "
        f"(b:{label} {{id: 'm2', content: '', namespace: '', importance: 3.5, tags: '', created_at: 0, source: '', "
        "vector: '[]'}) CREATE (a)-[:MENTIONS]->(:Entity {name: 'Alice'}), (a)-[:TEMPORAL_NEXT]->(b)"
    )
    live = address(label)
    assert read(live) == {
        "m1": {
            "id": "m1", "text": "hello", "namespace": "prefs", "created_at": 1780000000, "vector": [0.1, -2, 3.5],
            "metadata": {"importance": 4, "tags": "a,b", "source": "chat"},
        },
        "m2": {
            "id": "m2", "text": "", "namespace": "", "created_at": 0,
            "metadata": {"importance": 3.5, "tags": "", "source": "", "vector": "[]"},
        },
    }  # fmt: skip
    assert edges(live) == [
        {"source": "m1", "target": "Alice", "type": "MENTIONS", "target_label": "Entity", "target_key": "name"},
        {"source": "m1", "target": "m2", "type": "TEMPORAL_NEXT"},
    ]


def test_an_update_keeps_what_json_has_no_form_for() -> None:
    label = new_label()
    ask(
        f"CREATE (n:{label}:Person {{id: 'a', text: 'one', at: localdatetime('2026-01-02T03:04:05.000000006'), "
        "day: date('2026-01-02'), took: duration('P1DT2S'), place: point({latitude: 1.5, longitude: 2.0}), "
        "score: 1.0, scores: [1.0, 2.5], days: [date('2026-01-03')], raw: $raw, embedding: [0.5, 0.25]}), "
        f"(:{label} {{id: 'b', text: 'two', score: 0.5}})",
        raw=b"\0\xff",
    )
    live = address(label)
    assert read(live)["a"] == {
        "id": "a", "text": "one", "vector": [0.5, 0.25],
        "metadata": {
            "neo4j:labels": ["Person"],
            "at": "2026-01-02T03:04:05.000000006", "day": "2026-01-02", "took": "P1DT2S",
            "place": {"$point": {"srid": 4326, "coordinates": [2, 1.5]}}, "score": 1, "scores": [1, 2.5],
            "days": ["2026-01-03"], "raw": {"$blob": "AP8="},
        },
    }  # fmt: skip
    before = ask(f"MATCH (n:{label} {{id: 'a'}}) RETURN properties(n), labels(n)")
    change(live, lambda value: value.update(text="uno"), "a")
    ((after, labels),) = ask(f"MATCH (n:{label} {{id: 'a'}}) RETURN properties(n), labels(n)")
    assert after.pop("text") == "uno" and before[0][0].pop("text") == "one"
    assert after == before[0][0] and sorted(labels) == sorted([label, "Person"])
    assert [type(after[name]) for name in ("score", "at", "day")] == [float, neo4j.time.DateTime, neo4j.time.Date]


@pytest.mark.parametrize("numbers", [[0.7059025442445032, 0.1], [0.0081421807, 0.25]], ids=["doubles", "decimals"])
def test_vectors_of_more_than_single_precision_stay_so_where_a_node_is_edited_or_made_again(
    numbers: list[float],
) -> None:
    label = new_label()
    ask(f"CREATE (:{label} {{id: 'a', text: 'one', embedding: $v}}), (:{label} {{id: 'b', embedding: $v}})", v=numbers)
    live = address(label)
    change(live, lambda value: value.update(text="uno"), "a")
    assert ask(f"MATCH (n:{label} {{id: 'a'}}) RETURN properties(n)") == [
        [{"id": "a", "text": "uno", "embedding": numbers}]
    ]
    with Neo4jStore.open(live) as store:
        records = sorted(item.record for batch in store.scan() for item in batch)
        store.write(plan_between(records, records[:1]))
        store.write(plan_between(records[:1], records))
        check_holds(store, records)
    assert ask(f"MATCH (n:{label} {{id: 'b'}}) RETURN properties(n)") == [[{"id": "b", "embedding": numbers}]]


def test_labels_of_a_node_are_part_of_it() -> None:
    label = new_label()
    ask(
        f"CREATE (a:{label}:Person:`Old friend` {{id: 'a', text: 'one'}}), (b:{label} {{id: 'b', text: 'two'}}), "
        f"(c:{label}:Person {{id: 'c', text: 'three'}}), (a)-[:KNOWS]->(c)"
    )
    live = address(label)

    def labels() -> dict[str, list[str]]:
        found = ask(f"MATCH (n:{label}) RETURN n.id, labels(n)")
        return {identifier: sorted({*names} - {label}) for identifier, names in found}

    before = labels()
    with Neo4jStore.open(live) as store:
        records = sorted(item.record for batch in store.scan() for item in batch)
        kept = list(store.edges())
        assert [each.to_json().get("metadata") for each in records] == [
            {"neo4j:labels": ["Old friend", "Person"]}, None, {"neo4j:labels": ["Person"]},
        ]  # fmt: skip
        # What is removed and made again is found by the queries of others, as it was.
        store.write(plan_between(records, records[1:2], kept, []))
        assert labels() == {"b": []}
    with Neo4jStore.open(live) as store:
        store.write(plan_between(records[1:2], records, [], kept))
        check_holds(store, records)
        assert labels() == before and [each.id for each in store.edges()] == [each.id for each in kept]
    # Labels can be given and taken away; this engine cannot do both to one node in one transaction.
    wanted = {"a": ["Person"], "b": ["Foe", "New"], "c": list[str]()}

    def relabel(value: dict[str, Any]) -> None:
        names = wanted[value["id"]]
        value["metadata"] = {"neo4j:labels": names} if names else {}

    change(live, relabel)
    assert labels() == wanted and ask(f"MATCH (:{label} {{id: 'a'}})-[r]->() RETURN type(r)") == [["KNOWS"]]
    odd = {"neo4j:labels": ["not", "in", "order"]}
    change(live, lambda value: value.update(metadata=odd), "b")
    assert labels()["b"] == [] and read(live)["b"]["metadata"] == odd
    ask(f"MATCH (n:{label} {{id: 'a'}}) SET n.`neo4j:labels` = 1")
    with pytest.raises(InvalidData, match="rename that property"):
        read(live)


def test_a_label_made_as_another_one_was_calls_things_as_that_did_and_has_its_kinds_of_values() -> None:
    label, other = new_label(), new_label()
    node = {"id": "a", "text": "one", "score": 1.0, "day": neo4j.time.Date(2026, 1, 2), "embedding": [0.5, 0.25]}
    ask(f"CREATE (n:{label}) SET n = $node", node=node)
    with Neo4jStore.open(address(label)) as store, Neo4jStore.open(address(other), create=True) as copy:
        records = [item.record for batch in store.scan() for item in batch]
        copy.write(plan_between([], records, config=store.kept_config()))
    ((made,),) = ask(f"MATCH (n:{other}) RETURN properties(n)")
    assert made == node and type(made["score"]) is float
    with Neo4jStore.open(address(other)) as copy:
        check_holds(copy, records)


def test_ids_that_are_numbers_stay_numbers() -> None:
    label = new_label()
    ask(f"UNWIND range(-3, 3000) AS at CREATE (:{label} {{id: at, text: 'note ' + toString(at)}})")
    ask(f"CREATE (:{label} {{id: 'x', text: 'a text'}})")
    live = address(label)
    found = read(live)
    assert len(found) == 3005 and found["-3"]["text"] == "note -3" and found["2999"]["text"] == "note 2999"
    change(live, lambda value: value.update(text="new"), "7", "x")
    assert ask(f"MATCH (n:{label}) WHERE n.text = 'new' RETURN n.id ORDER BY n.id") in ([[7], ["x"]], [["x"], [7]])
    with Neo4jStore.open(live) as store:
        held = [item.record for batch in store.scan() for item in batch]
        store.write(plan_between(held, held[:-1]))
    assert ask(f"MATCH (n:{label}) RETURN count(n)") == [[3004]]
    both = new_label()
    ask(f"CREATE (:{both} {{id: 7, text: 'a number'}}), (:{both} {{id: '7', text: 'a text'}})")
    problems: list[str] = []
    assert read(address(both), problems)["7"]["text"] == "a number" and "duplicate-key" in problems[0]


def test_nodes_that_share_an_id_or_have_none_are_named() -> None:
    label = new_label()
    ask(f"UNWIND range(1, 150) AS at CREATE (:{label} {{uuid: 'u' + toString(at % 64), name: 'n'}})")
    ask(f"CREATE (:{label} {{name: 'n'}})")
    live = address(label, id="uuid")
    problems: list[str] = []
    assert len(read(live, problems)) == 64
    assert sum("more than one node" in each for each in problems) >= 64
    assert any(each.startswith("id-missing") for each in problems)
    with pytest.raises(InvalidData) as raised:
        read(live)
    assert raised.value.code == "duplicate-key"
    assert attempt(lambda: fill(live, memory(2)))[1] == "store-schema"  # ids cannot be made unique


def test_nodes_looked_at_meanwhile_leave_problems_of_a_reading_its_own() -> None:
    label = new_label()
    ask(f"UNWIND range(1, 2) AS at CREATE (:{label} {{uuid: 'u1', name: 'n'}})")
    ask(f"UNWIND range(1000, 3500) AS at CREATE (:{label} {{uuid: 'v' + toString(at), name: 'n'}})")
    ask(f"UNWIND range(1, 2) AS at CREATE (:{label} {{uuid: 'w1', name: 'n'}})")
    problems: list[str] = []
    with Neo4jStore.open(address(label, id="uuid")) as store:
        for _ in store.scan(lambda error: problems.append(error.code)):
            assert [each.id for each in store.find_points(["v1001"])] == ["v1001"]
    assert problems == ["duplicate-key", "duplicate-key"]


def test_what_an_id_is_called_is_found_or_asked_for() -> None:
    label = new_label()
    ask(f"CREATE (:{label} {{uuid: 'u1', summary: 'one', name: 'x'}}), (:{label} {{uuid: 'u2', name: 'x'}})")
    assert set(read(address(label, text="summary"))) == {"u1", "u2"}
    assert read(address(label, text="summary"))["u1"]["text"] == "one"
    nameless = new_label()
    ask(f"CREATE (:{nameless} {{body: 'one', code: 'c'}})")
    with pytest.raises(StoreError, match=r"\?id=NAME") as raised:
        read(address(nameless))
    assert raised.value.code == "store-schema"
    assert set(read(address(nameless, id="code"))) == {"c"}
    both = new_label()
    ask(f"CREATE (:{both} {{uuid: 'u1', id: true, text: 'one'}})")
    change(address(both), lambda value: value.update(text="uno"))
    assert ask(f"MATCH (n:{both}) RETURN n.uuid, n.id, n.text, size(keys(n))") == [["u1", True, "uno", 3]]


def test_vectors_are_found_by_name_and_kept_to_the_last_digit() -> None:
    label = new_label()
    ask(
        f"CREATE (:{label} {{id: 'a', textEmbedding: [0.1, 0.2]}}), "
        f"(:{label} {{id: 'b', textEmbedding: [0.1234567890123456, 1.0]}})"
    )
    live = address(label)
    found = read(live)
    assert found["a"]["vector"] == [0.1, 0.2] and found["b"]["vector"] == [0.1234567890123456, 1]
    assert read(address(label, vector="other"))["a"]["metadata"] == {"textEmbedding": [0.1, 0.2]}
    change(live, lambda value: value.update(model="m"))
    again = read(live)
    assert again["b"]["vector"] == [0.1234567890123456, 1] and again["b"]["model"] == "m"


# -- relationships -----------------------------------------------------------------------------------------------------


def test_relationships_with_properties_go_both_ways() -> None:
    label = new_label()
    ask(
        f"CREATE (a:{label} {{id: 'a'}}), (b:{label} {{id: 'b'}}), (e:Entity {{name: 'E', kind: 'city'}}) "
        "CREATE (a)-[:KNOWS {since: date('2026-01-02'), weight: 1.0, type: 'x', id: 5}]->(b), "
        "(a)-[:KNOWS {weight: 2.0}]->(b), (b)-[:SELF]->(b), (e)-[:SAW {id: 's1'}]->(a)"
    )
    live = address(label)
    found = edges(live)
    ids = [each.pop("id", None) for each in found]
    assert found == [
        {"source": "E", "target": "a", "type": "SAW", "source_label": "Entity", "source_key": "name"},
        {
            "source": "a", "target": "b", "type": "KNOWS", "since": "2026-01-02", "weight": 1,
            "more": {"id": 5, "type": "x"},
        },
        {"source": "a", "target": "b", "type": "KNOWS", "weight": 2},
        {"source": "b", "target": "b", "type": "SELF"},
    ]  # fmt: skip
    assert ids[0] == "s1" and ids[3] is None and len({*ids[1:3]}) == 2  # told apart by an id made of what they say
    other = address(new_label())
    with Neo4jStore.open(live) as store:
        held = list(store.edges())
    with Neo4jStore.open(other, create=True) as store:
        store.write(plan_between([], [from_json({"id": each}) for each in "ab"], [], held))
    assert edges(other) == edges(live)
    query = "MATCH (e:Entity)-[:SAW]->(n:{}) RETURN e.kind"
    assert ask(query.format(other.options["label"])) == [["city"]]  # that node was there already, and was not touched
    with Neo4jStore.open(live) as store:
        store.write(plan_between([], [], held, held[:1]))
        assert list(store.edges()) == held[:1]  # still by the id it had beside the other
    ((count,),) = ask(f"MATCH (:{label})-[r]-() RETURN count(DISTINCT r)")
    assert count == 1


def test_what_an_agent_does_to_a_relationship_counts() -> None:
    label = new_label()
    live = address(label)
    made = edge.from_json({"source": "a", "target": "b", "type": "", "note": {"deep": [1]}, "weight": 1, "left": "x"})
    with Neo4jStore.open(live, create=True) as store:
        store.write(plan_between([], [from_json({"id": each}) for each in "ab"], [], [made]))
    assert edges(live) == [made.to_json()]
    ask(f"MATCH (:{label})-[r]->() SET r.weight = 2, r.seen = true REMOVE r.left")
    assert edges(live) == [{"source": "a", "target": "b", "type": "", "note": {"deep": [1]}, "weight": 2, "seen": True}]


def test_a_relationship_that_another_removes_while_others_are_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Repository.init(tmp_path, Surroundings(now_us=lambda: next(CLOCK)))
    label = new_label()
    live = address(label)
    wanted = [edge.from_json({"source": "m1", "target": f"m{n}", "type": "NEXT", "weight": n}) for n in (2, 3)]
    with Neo4jStore.open(live, create=True) as store:
        store.write(plan_between([], memory(5), [], wanted))
    first = kept.commit("first", store=live)
    assert first.id is not None
    ask(f"MATCH (:{label})-[r:NEXT {{weight: 2}}]->() SET r.weight = 7")
    written = Neo4jStore.write_edges

    def write_edges(self: Neo4jStore, *given: Any) -> None:
        written(self, *given)
        ask(f"MATCH (:{label})-[r:NEXT {{weight: 3}}]->() DELETE r")

    with monkeypatch.context() as patched:
        patched.setattr(Neo4jStore, "write_edges", write_edges)
        with pytest.raises(StoreError, match="1 of the edges are not there or are otherwise; something") as raised:
            kept.checkout(first.id, live, force=True)
        assert raised.value.code == "store-changed"
    assert kept.checkout(first.id, live).is_whole and kept.status(live).is_clean


def test_edges_wait_for_their_memories() -> None:
    label = new_label()
    live = address(label)
    wanted = [edge.from_json({"source": "m1", "target": "m2", "type": "next", "weight": 0.5})]
    with Neo4jStore.open(live, create=True) as store:
        store.write(plan_between([], memory(2), [], wanted))
    assert edges(live) == [wanted[0].to_json()]
    assert ask(f"MATCH (:{label})-[r]->() RETURN count(r)") == [[0]]
    with Neo4jStore.open(live) as store:
        store.write(plan_between(memory(2), memory(3)))
    assert ask(f"MATCH (:{label})-[r:next]->() RETURN r.weight") == [[0.5]]
    assert edges(live) == [wanted[0].to_json()]
    with Neo4jStore.open(live) as store:
        store.write(plan_between(memory(3), memory(1)))
    assert edges(live) == [wanted[0].to_json()]


# -- how it is set up --------------------------------------------------------------------------------------------------


class Declared:
    """Stands for a server that has vector indexes: answers SHOW INDEXES, notes what it is told to make."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *rows: list[Any]) -> None:
        self.told: list[str] = []
        really = Graph.declare

        def declare(graph: Graph, statement: str) -> list[list[Any]] | None:
            if statement == INDEXES:
                return [list(each) for each in rows]
            if " CONSTRAINT" in statement or "CONSTRAINTS" in statement:
                return really(graph, statement)
            self.told.append(statement)
            return []

        monkeypatch.setattr(Graph, "declare", declare)


def vector_index(label: str, name: str, dims: int, similarity: str = "COSINE") -> list[Any]:
    """Return a row of SHOW INDEXES as the manual of Neo4j 5 has it."""
    config = {
        "vector.dimensions": dims, "vector.similarity_function": similarity, "vector.hnsw.m": 32,
        "vector.quantization.enabled": True,
    }  # fmt: skip
    options = {"indexProvider": "vector-2.0", "indexConfig": config}
    return [f"i_{name}", "VECTOR", "NODE", [label], [name], options, None]


def test_a_new_label_gets_a_vector_index(monkeypatch: pytest.MonkeyPatch) -> None:
    server, label = Declared(monkeypatch), new_label()
    value = {"id": "a", "vector": [1.0, 2.0], "vectors": {"title": [1.0, 2.0, 3.0], "bad\0name": [1.0]}}
    records = [from_json(value)]
    said: list[str] = []
    where = address(label, similarity="euclidean")
    with Neo4jStore.open(
        Address("neo4j", where.location, where.options, where.secrets, Reach(notice=said.append)), create=True
    ) as store:
        store.write(plan_between([], records))
        check_holds(store, records)
    assert server.told == [
        f"CREATE VECTOR INDEX `vex_{label}_{name}_vector` IF NOT EXISTS FOR (n:`{label}`) ON (n.`{name}`) OPTIONS "
        f"{{indexConfig: {{`vector.dimensions`: {dims}, `vector.similarity_function`: 'euclidean'}}}}"
        for name, dims in (("vector", 2), ("title", 3))
    ]
    assert said == []
    ((found,),) = ask(f"MATCH (n:{label}) RETURN properties(n)")
    assert found["vector"] == [1, 2] and found["title"] == [1, 2, 3]


def test_a_server_without_vector_indexes_is_told_of() -> None:
    said: list[str] = []
    where = address(new_label())
    with Neo4jStore.open(
        Address("neo4j", where.location, where.options, where.secrets, Reach(notice=said.append)), create=True
    ) as store:
        store.write(plan_between([], memory(2)))
    assert len(said) == 1 and "no vector index covers 'vector'" in said[0]


def test_other_dimensions_than_the_index_are_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    label = new_label()
    live = address(label)
    fill(live, memory(2))
    Declared(monkeypatch, vector_index(label, "vector", 4))
    records = [*memory(5), from_json({"id": "odd", "text": "a", "vector": [1.0, 2.0]})]
    with pytest.raises(StoreError, match="nothing was written") as raised:
        fill(live, records)
    assert raised.value.code == "store-dims" and len(read(live)) == 2


def test_the_indexes_of_a_label_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    label, other = new_label(), new_label()
    ask(f"CREATE (:{label} {{id: 'a', text: 'x', embedding: [1.0, 2.0], title: [1.0, 2.0, 3.0]}})")
    server = Declared(
        monkeypatch,
        vector_index(label, "embedding", 2),
        vector_index(label, "title", 3, "EUCLIDEAN"),
        ["i1", "RANGE", "NODE", [label], ["namespace", "kind"], {"indexConfig": {}}, None],
        ["i2", "FULLTEXT", "NODE", [label], ["text"],
         {"indexConfig": {"fulltext.analyzer": "it's", "fulltext.eventually_consistent": False}}, None],
        ["i3", "RANGE", "NODE", [label], ["id"], {}, "its constraint"],
        ["i4", "LOOKUP", "NODE", None, None, {}, None],
        ["i5", "VECTOR", "RELATIONSHIP", ["KNOWS"], ["embedding"], {}, None],
    )  # fmt: skip
    with Neo4jStore.open(address(label)) as store:
        config = store.describe().config
        records = [item.record for batch in store.scan() for item in batch]
        assert records[0].to_json()["vectors"] == {"title": [1, 2, 3]}
        assert {name: space.dims for name, space in (store.held_spaces() or {}).items()} == {"": 2, "title": 3}
    with Neo4jStore.open(address(other, vector="vec"), create=True) as store:
        store.write(plan_between([], records, config=config))
        check_holds(store, records)
        assert store.describe().config["vector"] == "vec"
    hnsw = "`vector.hnsw.m`: 32, `vector.quantization.enabled`: true"
    fulltext = "`fulltext.analyzer`: 'it\\'s', `fulltext.eventually_consistent`: false"
    wanted = f"""
        VECTOR vec_vector (n.`vec`) `vector.dimensions`: 2, {hnsw}, `vector.similarity_function`: 'COSINE'
        VECTOR title_vector (n.`title`) `vector.dimensions`: 3, {hnsw}, `vector.similarity_function`: 'EUCLIDEAN'
        FULLTEXT text_fulltext EACH~[n.`text`] {fulltext}
    """
    both = "(n.`namespace`, n.`kind`)"
    made = {f"CREATE INDEX `vex_{other}_namespace_kind_range` IF NOT EXISTS FOR (n:`{other}`) ON {both}"}
    for kind, name, on, said in (line.split(None, 3) for line in wanted.strip().splitlines()):
        head = f"CREATE {kind} INDEX `vex_{other}_{name}` IF NOT EXISTS FOR (n:`{other}`) ON {on.replace('~', ' ')}"
        made.add(f"{head} OPTIONS {{indexConfig: {{{said}}}}}")
    assert set(server.told) == made and len(server.told) == 4


# -- values ------------------------------------------------------------------------------------------------------------


def test_what_a_property_cannot_hold_is_known() -> None:
    assert all(map(holds, ["", True, 0, (1 << 63) - 1, -(1 << 63), 0.1, {"$blob": ""}]))
    assert all(map(holds, [[], ["a"], [1], [True], [0.5, 1]]))
    wrong = [None, {}, [[]], [["a"]], [None], [1, True], ["a", 1], 1 << 63, {"$blob": "no"}, [{"$blob": ""}]]
    assert not any(map(holds, [*wrong, [0.5, 1 << 60], {"$point": {"srid": 1, "coordinates": [1, 2]}}]))


def test_times_with_zones_and_the_vector_type_come_back() -> None:
    import pytz
    from neo4j.vector import Vector

    kinds = Kinds()
    at = pytz.timezone("Europe/Berlin").localize(neo4j.time.DateTime(2026, 7, 1, 10))
    properties = {"at": at, "held": Vector.from_native([1.0, 2.5], "f32"), "on": neo4j.time.Time(10, 1)}
    payload = kinds.payload(properties)
    assert payload["at"] == "2026-07-01T10:00:00.000000000+02:00[Europe/Berlin]" and payload["held"] == [1, 2.5]
    assert kinds.properties({"at": payload["at"], "on": payload["on"]}) == {"at": at, "on": properties["on"]}
    assert kinds.properties({"at": "yesterday"}) == {"at": "yesterday"}
    assert kinds.numbers("held", [1.0, 2.5]).raw() == properties["held"].raw() and kinds.numbers("at", [1.0]) == [1.0]
    assert attempt(lambda: kinds.payload({"x": float("nan")}))[1] == "not-finite"
    assert attempt(lambda: kinds.payload({"x": object()}))[1] == "unsupported-value"
    wide = neo4j.spatial.CartesianPoint((1.0, 2.0, 3.0))
    assert kinds.properties(kinds.payload({"p": wide})) == {"p": wide}


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_connection_that_is_cut_leaves_what_a_second_run_completes() -> None:
    label = new_label()
    many = memory(1500)
    with proxy_to(port()) as proxy, pytest.raises(StoreError, match="is it running") as raised:
        proxy.cuts = Cuts(asked=100_000, for_good=True)
        fill(address(label, proxy.port), many)
    assert raised.value.code == "store-unreachable"
    ((there,),) = ask(f"MATCH (n:{label}) RETURN count(n)")
    assert 0 < there < 1500 and there % 500 == 0  # whole batches
    with Neo4jStore.open(address(label)) as store:
        held = [item.record for batch in store.scan() for item in batch]
        store.write(plan_between(held, many))
        check_holds(store, many)


def test_a_server_that_is_down_or_something_else_is_named() -> None:
    with saying_to_everybody(PAGE) as front, pytest.raises(StoreError, match="HTTP") as raised:
        Neo4jStore.open(where := address(new_label(), front.port))
    assert raised.value.code == "store-unreachable"
    with pytest.raises(StoreError, match="is it running") as raised:
        Neo4jStore.open(where)
    assert raised.value.code == "store-unreachable"


def test_a_wrong_password_is_refused_and_never_shown() -> None:
    with pytest.raises(StoreError, match="NEO4J_PASSWORD") as raised:
        Neo4jStore.open(address(new_label(), password="wr0ng"))
    assert raised.value.code == "store-refused" and "wr0ng" not in str(raised.value)
    with pytest.raises(StoreError) as nothing:
        Neo4jStore.open(address(new_label(), password=""))
    assert nothing.value.code in ("store-refused", "store-unreachable", "store-answer")


def test_a_missing_label_or_database_is_named() -> None:
    with pytest.raises(StoreError, match="check the name") as raised:
        Neo4jStore.open(address(new_label()))
    assert raised.value.code == "store-missing"
    where = address(new_label())
    nowhere = Address("neo4j", where.location.replace("/agent", "/nowhere"), where.options, where.secrets)
    assert attempt(lambda: Neo4jStore.open(nowhere))[1] == "store-missing"


class Saying(neo4j.exceptions.Neo4jError):
    """An error of the server, with a code of its manual."""

    def __init__(self, code: str) -> None:
        super().__init__("too much")
        self._said = code

    @property
    def code(self) -> str:  # type: ignore[override]
        return self._said

    @property
    def message(self) -> str:  # type: ignore[override]
        return "too much"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """A server that answers with a code to more rows than a number."""
    script: list[tuple[int, str]] = []
    really = Graph.write

    def write(graph: Graph, work: Any) -> Any:
        def limited(ask: Any) -> Any:
            def asking(query: str, parameters: dict[str, Any]) -> Any:
                for most, code in script:
                    if len(parameters.get("rows", ())) > most:
                        raise Saying(code)
                return ask(query, parameters)

            return work(asking)

        return really(graph, limited)

    monkeypatch.setattr(Graph, "write", write)
    return script


def test_batches_are_halved_until_the_server_takes_them(failing: list[tuple[int, str]]) -> None:
    live = address(new_label())
    failing.append((60, "Neo.TransientError.General.MemoryPoolOutOfMemoryError"))
    fill(live, memory(400))
    with Neo4jStore.open(live) as store:
        check_holds(store, memory(400))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Neo.TransientError.Transaction.DeadlockDetected", "store-busy"),
        ("Neo.TransientError.Request.RateLimitReached", "store-busy"),
        ("Neo.ClientError.Schema.ConstraintCreationFailed", "store-schema"),
        ("Neo.ClientError.Statement.TypeError", "store-answer"),
    ],
)
def test_what_a_server_says_has_a_code(failing: list[tuple[int, str]], said: str, code: str) -> None:
    failing.append((0, said))
    assert attempt(lambda: fill(address(new_label()), memory(3)))[1] == code


def test_every_transaction_waits_for_what_was_written_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    session = neo4j.Driver.session

    def recorded(driver: neo4j.Driver, **how: Any) -> neo4j.Session:
        given.append(how.get("bookmark_manager"))
        return session(driver, **how)

    monkeypatch.setattr(neo4j.Driver, "session", recorded)
    with Neo4jStore.open(address(new_label()), create=True) as store:
        store.write(plan_between([], memory(3)))
        check_holds(store, memory(3))
    # Members of a cluster are behind the one that takes the writes: only who shares what it saw is told to wait.
    assert len(given) > 2 and given[0] is not None and len(set(map(id, given))) == 1


def test_errors_of_the_driver_have_codes() -> None:
    graph = Graph(Address("neo4j", "//localhost/agent"), Readings())
    for error, code in (
        (neo4j.exceptions.NotALeader("no"), "store-refused"),
        (neo4j.exceptions.SessionExpired("gone"), "store-unreachable"),
        (neo4j.exceptions.ConfigurationError("odd"), "store-answer"),
    ):
        with pytest.raises(StoreError) as raised, graph._asking():
            raise error
        assert raised.value.code == code


@pytest.mark.parametrize(
    ("location", "options"),
    [
        ("//host/db", {"label": ""}),
        ("//host/db", {"label": "a\0b"}),
        ("//host/db", {"similarity": "dot"}),
        ("//host/db", {"tls": "yes"}),
        ("//host:port/db", {}),
        ("//host/db", {"colour": "red"}),
    ],
)
def test_an_address_that_says_nothing_is_refused(location: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        Neo4jStore.open(Address("neo4j", location, options))
    assert raised.value.code == "bad-address"


def test_names_are_quoted_wherever_they_come_from() -> None:
    label = f"odd` label {new_label()}"
    live = address(label)
    records = [from_json({"id": "a", "text": "x", "vector": [1.0], "metadata": {"a`b {c}": 1, "d'e": "f"}})]
    made = [edge.from_json({"source": "a", "target": "a", "type": "x`y-[:z]", "it's": "1"})]
    with Neo4jStore.open(live, create=True) as store:
        store.write(plan_between([], records, [], made))
    with Neo4jStore.open(live) as store:
        check_holds(store, records)
        assert list(store.edges()) == made
