"""The MCP memory server itself, beside a repository on its file."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import node
from vexrepo.objects import edge
from vexrepo.objects.record import Record, body_value, from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.mcp import McpStore
from vexrepo.testing.stores import check_holds, plan_between

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config) -> Path:
    """Where the server is installed."""
    modules = node.installed(pytestconfig.rootpath, "mcp-memory", (HERE / "package.json").read_bytes())
    return modules / "@modelcontextprotocol" / "server-memory" / "dist" / "index.js"


def call(program: Path, file: Path, *tools: tuple[str, dict[str, Any]]) -> list[Any]:
    """Run the server on a file and return what its tools answer."""
    client = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    told: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": client},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]
    for at, (name, arguments) in enumerate(tools, 1):
        params = {"name": name, "arguments": arguments}
        told.append({"jsonrpc": "2.0", "id": at, "method": "tools/call", "params": params})
    environment = {"PATH": os.environ["PATH"], "HOME": str(file.parent), "MEMORY_FILE_PATH": str(file)}
    with subprocess.Popen(
        ["node", str(program)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            answers = []
            for message in told:
                process.stdin.write(json.dumps(message).encode() + b"\n")
                process.stdin.flush()
                while "id" in message:
                    answer = json.loads(process.stdout.readline())
                    if answer.get("id") == message["id"]:
                        answers.append(answer["result"])
                        break
        finally:
            process.kill()
    assert not any(answer.get("isError") for answer in answers), answers
    return [json.loads(answer["content"][0]["text"]) for answer in answers[1:]]


def read(file: Path) -> tuple[list[Record], list[Record]]:
    with McpStore.open(Address("mcp", str(file))) as store:
        return [each.record for batch in store.scan() for each in batch], list(store.edges())


def test_what_the_server_writes_is_read_and_what_is_written_it_reads(program: Path, tmp_path: Path) -> None:
    file, copy = tmp_path / "memory.jsonl", tmp_path / "copy.jsonl"
    entities = [
        {"name": "Ünï 🙂", "entityType": "person", "observations": ["likes tea", "two\nlines"]},
        {"name": "Bare", "entityType": "thing", "observations": []},
    ]
    relation = {"from": "Ünï 🙂", "to": "Bare", "relationType": "owns"}
    call(program, file, ("create_entities", {"entities": entities}), ("create_relations", {"relations": [relation]}))
    records, edges = read(file)
    assert [body_value(each.body)["id"] for each in records] == ["Ünï 🙂", "Bare"]
    with McpStore.open(Address("mcp", str(copy)), create=True) as store:
        store.write(plan_between([], records, [], edges))
    first, second = (call(program, each, ("read_graph", {}))[0] for each in (file, copy))
    assert first["relations"] == second["relations"]
    assert sorted(first["entities"], key=str) == sorted(second["entities"], key=str)


def test_what_the_server_cannot_hold_outlives_its_writing(program: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.jsonl"
    rest: dict[str, Any] = {"id": "m", "namespace": "n", "metadata": {"importance": 3}, "score": 0.5}
    record = from_json({**rest, "text": "a", "vector": [1.0, 2.0]})
    link = edge.from_json({"source": "m", "target": "m", "type": "t", "weight": 0.5})
    with McpStore.open(Address("mcp", str(file)), create=True) as store:
        store.write(plan_between([], [record], [], [link]))
    added = {"observations": [{"entityName": "m", "contents": ["b"]}]}
    call(program, file, ("add_observations", added))
    with McpStore.open(Address("mcp", str(file))) as store:
        check_holds(store, [from_json({**rest, "text": "a\nb", "vector": [1.0, 2.0]})])
        assert list(store.edges()) == [link]
