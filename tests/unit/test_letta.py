"""Agent files of Letta: memories in and out, everything else in the file as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import folder, memory, vex  # noqa: F401 - fixtures
from tests.refusals import refused
from vexrepo.errors import InvalidData
from vexrepo.objects.record import Record, body_value, from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.letta import LettaStore
from vexrepo.testing.stores import StoreContract, check_holds, plan_between


def agent_file() -> dict[str, Any]:
    """Return an agent file as Letta exports it, shortened."""
    block = {"template_name": None, "is_template": False, "read_only": False, "metadata": {}, "hidden": None}
    message = {"type": "message", "name": None, "agent_id": "agent-0", "tool_calls": None, "approvals": []}
    text = {"type": "text", "text": "You are a helpful agent.", "signature": None}
    call = {"type": "tool_call", "id": "c1", "name": "search", "input": {"n": 12345678901234567890}}
    return {
        "agents": [
            {
                "name": "Sam",
                "tool_ids": ["tool-0"],
                "block_ids": ["block-0", "block-1"],
                "system": "You are …",
                "llm_config": {"temperature": 0.7, "context_window": 32000},
                "id": "agent-0",
                "in_context_message_ids": ["message-0", "message-2"],
                "messages": [
                    {**message, "role": "system", "content": [text], "id": "message-0", "created_at": "2026-01-01"},
                    {**message, "role": "user", "content": "hi", "id": "message-10", "created_at": "2026-01-02"},
                    {**message, "role": "assistant", "content": [text, call, text], "id": "message-2"},
                    {**message, "role": "tool", "content": [call], "id": "message-3", "created_at": None},
                ],
                "files_agents": [],
            }
        ],
        "groups": [],
        "blocks": [
            {"value": "First name: Chad", "limit": 20000, **block, "label": "human", "id": "block-0"},
            {"value": "I am Sam. 潮位", "limit": 5000, **block, "label": "persona", "id": "block-1"},
        ],
        "files": [],
        "tools": [{"id": "tool-0", "name": "search", "source_code": "def search(): ..."}],
        "mcp_servers": [],
        "metadata": {"revision_id": "abc"},
        "created_at": None,
    }


class TestLetta(StoreContract):
    def open_store(self, tmp_path: Path) -> Store:
        return LettaStore.open(Address("letta", str(tmp_path / "agent.af")), create=True)


class TestLettaAgent(StoreContract):
    """In a file with an agent, its memories first removed."""

    def open_store(self, tmp_path: Path) -> Store:
        path = tmp_path / "agent.af"
        if not path.exists():
            save(path, {**agent_file(), "blocks": [], "agents": [{**agent_file()["agents"][0], "messages": []}]})
        return LettaStore.open(Address("letta", str(path)), create=True)

    def values(self) -> list[dict[str, Any]]:
        spaces = ("blocks", "messages", "passages")
        return [
            {**value, "namespace": spaces[at % 3]} if "namespace" not in value else value
            for at, value in enumerate(super().values())
        ]


def save(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")


def store(path: Path, *, create: bool = False) -> LettaStore:
    return LettaStore.open(Address("letta", str(path)), create=create)


def records(path: Path) -> list[Record]:
    with store(path) as opened:
        return [each.record for batch in opened.scan() for each in batch]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "agent.af", agent_file())
    return tmp_path / "agent.af"


def test_blocks_and_messages_read_as_memories(path: Path) -> None:
    found = {(value["namespace"], value["id"]): value for value in (body_value(each.body) for each in records(path))}
    assert len(found) == 6
    block = found["blocks", "block-0"]
    assert block["text"] == "First name: Chad" and block["metadata"]["label"] == "human"
    assert block["metadata"]["limit"] == 20000 and block["metadata"]["hidden"] is None
    first = found["messages", "message-0"]
    assert (first["text"], first["created_at"]) == ("You are a helpful agent.", "2026-01-01")
    assert first["metadata"]["role"] == "system" and first["metadata"]["content"] == [
        {"type": "text", "signature": None}
    ]
    assert found["messages", "message-2"]["text"] == "You are a helpful agent.\nYou are a helpful agent."
    assert "text" not in found["messages", "message-3"]


def test_a_file_that_is_written_back_is_the_same(path: Path) -> None:
    before = path.read_bytes()
    held = records(path)
    with store(path, create=True) as opened:
        opened.write(plan_between(held, held))
    assert path.read_bytes() == before and not path.with_name("agent.af.vex").exists()


def test_changes_are_made_in_place_and_the_rest_of_the_file_stays(path: Path) -> None:
    held = {(value["namespace"], value["id"]): value for value in (body_value(each.body) for each in records(path))}
    held["blocks", "block-1"]["text"] = "I am Samantha."
    del held["blocks", "block-0"], held["messages", "message-0"]
    held["messages", "message-2"]["text"] = "In short."
    new = [
        {"id": "block-9", "namespace": "blocks", "text": "Likes tea", "metadata": {"label": "tastes", "limit": 100}},
        *({"id": f"message-{at}", "namespace": "messages", "text": "a", "created_at": "2026-02-01"} for at in (12, 11)),
        {"id": "p", "namespace": "passages", "text": "High tide", "vector": [0.5, 1], "metadata": {"tags": ["sea"]}},
        {"id": "p", "namespace": "elsewhere", "text": "High tide", "model": "m"},
    ]  # fmt: skip
    wanted = sorted(from_json(dict(value)) for value in [*held.values(), *new])
    with store(path, create=True) as opened:
        opened.write(plan_between([], wanted))
        check_holds(opened, wanted)
    now, was = json.loads(path.read_text("utf-8")), agent_file()
    agent = now["agents"][0]
    assert [each["id"] for each in agent["messages"]] == [
        "message-10",
        "message-2",
        "message-3",
        "message-11",
        "message-12",
    ]
    assert agent["messages"][0] == was["agents"][0]["messages"][1]
    assert [part["type"] for part in agent["messages"][1]["content"]] == ["text", "tool_call"]
    assert agent["block_ids"] == ["block-1", "block-9"] and agent["in_context_message_ids"] == ["message-2"]
    assert [block["value"] for block in now["blocks"]] == ["I am Samantha.", "Likes tea"]
    assert list(now["blocks"][0]) == list(was["blocks"][1]) and now["blocks"][1]["label"] == "tastes"
    assert now["passages"][0] == {"id": "p", "text": "High tide", "embedding": [0.5, 1], "tags": ["sea"]}
    assert now["passages"][1]["id"].startswith("vex-")
    for name in ("groups", "files", "tools", "mcp_servers", "metadata", "created_at"):
        assert now[name] == was[name]
    assert {**agent, "messages": 0, "block_ids": 0, "in_context_message_ids": 0} == {
        **was["agents"][0], "messages": 0, "block_ids": 0, "in_context_message_ids": 0
    }  # fmt: skip


def test_what_letta_changes_counts_and_what_it_cannot_hold_is_kept(path: Path) -> None:
    value = {
        "id": "block-5",
        "namespace": "blocks",
        "text": "a",
        "metadata": {"label": "x"},
        "score": 0.5,
        "vector": [1],
    }
    wanted = [*records(path), from_json(dict(value))]
    with store(path, create=True) as opened:
        opened.write(plan_between([], wanted))
    document = json.loads(path.read_text("utf-8"))
    document["blocks"][2]["value"] = "b"
    save(path, document)
    assert from_json({**value, "text": "b"}) in records(path)
    document["blocks"][2] |= {"value": "c", "label": "y"}  # another block of that id
    save(path, document)
    assert body_value(next(each for each in records(path) if b"block-5" in each.key).body)["metadata"]["label"] == "y"
    path.with_name("agent.af.vex").write_bytes(b'{"kind":"blocks"}\n')
    refused(lambda: records(path), "store-corrupt", "agent.af.vex")


def test_a_text_beyond_its_blocks_limit_takes_the_limit_along(path: Path) -> None:
    held = {body_value(each.body)["id"]: body_value(each.body) for each in records(path)}
    held["block-0"] |= {"text": "Chad " * 30, "metadata": {**held["block-0"]["metadata"], "limit": 100}}
    wanted = sorted(from_json(value) for value in held.values())
    with store(path, create=True) as opened:
        opened.write(plan_between([], wanted))
        check_holds(opened, wanted)
    (block,) = (each for each in json.loads(path.read_text("utf-8"))["blocks"] if each["id"] == "block-0")
    assert (len(block["value"]), block["limit"]) == (150, 150)


def test_the_older_form_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "old.af"
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}], "created_at": "2025-01-01T00:00:00"}]
    save(
        path, {"agent_type": "memgpt_agent", "core_memory": [{"label": "human", "value": "Chad"}], "messages": messages}
    )
    assert {body_value(each.body)["id"]: body_value(each.body)["text"] for each in records(path)} == {
        "human": "Chad",
        "message-0": "hi",
    }
    refused(lambda: store(path, create=True), "store-schema", "older form", "export it again")


def test_what_is_no_agent_file_or_would_be_lost_is_said(tmp_path: Path, path: Path) -> None:
    refused(lambda: records(tmp_path / "none.af"), "store-missing")
    for text, code in (("{", "store-corrupt"), ("[]", "store-schema"), ('{"agents":[]}', "store-schema")):
        (tmp_path / "odd.af").write_text(text)
        refused(lambda: records(tmp_path / "odd.af"), code, "odd.af")
    document = agent_file()
    document["blocks"] += [{"value": "x"}, "text", document["blocks"][0]]
    save(path, document)
    problems: list[InvalidData] = []
    with store(path) as opened:
        assert sum(len(batch) for batch in opened.scan(problems.append)) == 6
    assert [each.code for each in problems] == ["id-missing", "not-an-object", "duplicate-key"]
    before = path.read_bytes()
    refused(lambda: store(path, create=True), "store-schema", "block 3", "it would be lost")
    assert path.read_bytes() == before
    refused(lambda: LettaStore.open(Address("letta", str(path), {"x": "y"})), "bad-address")


def test_a_repository_goes_to_an_agent_file_and_back(vex, memory, path: Path) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    vex("init")
    assert vex("commit", "--from", str(path), "-m", "x").code == 0
    ran = vex("diff", "main", str(path), "--exit-code")
    assert ran.code == 0, ran.out
    document = agent_file()
    document["blocks"][0]["value"] = "First name: Charles"
    save(path, document)
    ran = vex("diff", "main", str(path), "--exit-code")
    assert ran.code == 1 and "Charles" in ran.out
    assert vex("checkout", "main", "--to", str(path), "--force").code == 0
    assert json.loads(path.read_text("utf-8")) == agent_file()
    assert vex("migrate", "--from", "agent.vmig.jsonl", "--to", "letta:new.af").code == 0
    assert vex("inspect", "letta:new.af", "--json").json()["records"] == 4
