"""The file of the MCP memory server: lossless both ways, also after the server wrote it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import folder, memory, vex  # noqa: F401 - fixtures
from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects import edge
from vexrepo.objects.record import body_value, from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.mcp import McpStore
from vexrepo.testing.stores import StoreContract, check_holds, plan_between

ENTITIES: list[dict[str, Any]] = [
    {"type": "entity", "name": "Alice", "entityType": "person", "observations": ["likes tea", "lives in Porto"]},
    {"type": "entity", "name": "Odd", "entityType": "", "observations": ["two\nlines", ""]},
    {"type": "entity", "name": "Bare", "entityType": "thing", "observations": []},
    {"type": "entity", "name": "Blank", "entityType": "thing", "observations": [""]},
]
RELATION = {"type": "relation", "from": "Alice", "to": "Nobody", "relationType": "knows"}


class TestMcp(StoreContract):
    def open_store(self, tmp_path: Path) -> Store:
        return McpStore.open(Address("mcp", str(tmp_path / "memory.jsonl")), create=True)


def save(path: Path, *values: dict[str, Any]) -> Address:
    path.write_text("\n".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n", "utf-8")
    return Address("mcp", str(path))


def as_server(path: Path) -> list[dict[str, Any]]:
    """Return what the server has in mind after it read a file: it keeps these members and no others."""
    kept = {
        "entity": ["type", "name", "entityType", "observations"],
        "relation": ["type", "from", "to", "relationType"],
    }
    values = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [{name: value[name] for name in kept[value["type"]]} for value in values]


def test_a_file_of_the_server_is_read_and_written_back_the_same(tmp_path: Path) -> None:
    address = save(tmp_path / "memory.jsonl", *ENTITIES, RELATION)
    with McpStore.open(address) as store:
        records, edges = [each.record for batch in store.scan() for each in batch], list(store.edges())
    first = body_value(records[0].body)
    assert first == {"id": "Alice", "text": "likes tea\nlives in Porto", "metadata": {"entityType": "person"}}
    assert body_value(edges[0].body) == {"source": "Alice", "target": "Nobody", "type": "knows"}
    copy = tmp_path / "copy.jsonl"
    with McpStore.open(Address("mcp", str(copy)), create=True) as store:
        store.write(plan_between([], records, [], edges))
        check_holds(store, records)
    key = json.dumps
    assert sorted(map(key, as_server(copy))) == sorted(map(key, [*ENTITIES, RELATION]))
    assert not (tmp_path / "copy.jsonl.vex").exists()  # nothing had to be carried


def test_what_the_server_changes_counts_and_what_it_cannot_hold_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    rest = {"id": "m", "metadata": {"importance": 3}, "namespace": "n"}
    first, other = from_json({**rest, "text": "a", "vector": [1.0, 2.0]}), from_json({"id": "o", "score": 0.5})
    link = edge.from_json({"source": "m", "target": "o", "type": "t", "weight": 0.5})
    with McpStore.open(Address("mcp", str(path)), create=True) as store:
        store.write(plan_between([], [first, other], [], [link]))
    entities = as_server(path)
    entities[1 if entities[1]["name"] == "m" else 0]["observations"].append("new")
    save(path, *[each for each in entities if each.get("name") != "o"])
    with McpStore.open(Address("mcp", str(path))) as store:
        check_holds(store, [from_json({**rest, "text": "a\nnew", "vector": [1.0, 2.0]})])
        assert list(store.edges()) == [link]


def test_lines_the_server_would_pass_over_are_said_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    address = save(path, ENTITIES[0], {"type": "note"}, ENTITIES[0])
    problems: list[InvalidData] = []
    with McpStore.open(address) as store:
        assert sum(len(batch) for batch in store.scan(problems.append)) == 1
    assert ["line 2" in str(problems[0]), "line 3" in str(problems[1])] == [True, True]
    more = {**ENTITIES[0], "createdAt": "2026-01-01"}
    for values in ((ENTITIES[0], {"type": "note"}), (more,)):
        address, before = save(path, *values), path.read_bytes()
        with pytest.raises(StoreError) as refused:
            McpStore.open(address, create=True)
        assert refused.value.code == "store-schema" and path.read_bytes() == before
    with McpStore.open(address) as store:
        (batch,) = store.scan()
        assert body_value(batch[0].record.body)["metadata"]["createdAt"] == "2026-01-01"


def test_a_damaged_file_beside_is_said(tmp_path: Path) -> None:
    address = save(tmp_path / "memory.jsonl", ENTITIES[0])
    (tmp_path / "memory.jsonl.vex").write_bytes(b'{"entity":1}\n')
    with pytest.raises(StoreError) as refused, McpStore.open(address) as store:
        list(store.scan())
    assert refused.value.code == "store-corrupt"


def test_a_repository_goes_to_the_server_and_back(vex, memory) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    vex("init")
    vex("commit", "--from", "agent.vmig.jsonl", "-m", "x")
    ran = vex("checkout", "main", "--to", "mcp:memory.jsonl")
    assert ran.code == 0, ran.err
    assert vex("diff", "main", "mcp:memory.jsonl", "--exit-code").code == 0
    assert vex("inspect", "mcp:memory.jsonl", "--json").json()["records"] == 4
