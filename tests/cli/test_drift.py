"""``vex status`` and stores that are remotes: what they changed, and never a wait for one that does not answer."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.qdrant_server import QdrantServer
from vexrepo.cli import drifting


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantServer]:
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    found = QdrantServer()
    yield found
    found.end()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", "120")  # on a busy machine an answer may take its time


def test_a_file_is_looked_at_and_its_drift_said(vex: Vex, repo: Memory) -> None:
    assert vex("remote", "add", "copy", "copy.vmig.jsonl").code == 0
    assert "  copy: never seen, and not there (vex push copy makes it)\n" in vex("status").out
    assert "  copy: never seen (vex status --remotes looks)\n" in vex("status", "--no-remotes").out
    assert vex("push", "copy").code == 0
    assert vex("status").out.endswith("  copy: the same\n")
    Path("copy.vmig.jsonl").write_text(
        Path("copy.vmig.jsonl").read_text("utf-8").replace("Lunch is at noon", "Lunch is at one"), "utf-8"
    )
    ran = vex("status")
    assert ran.code == 0 and "  copy: the same; 1 changed there since it was last seen (vex pull copy)\n" in ran.out
    (found,) = vex("status", "--json").json()["remotes"]
    assert found["drift"] == {"learned": 0, "changed": 1, "forgotten": 0, "edges": 0} and found["checked"] is True
    assert (found["remote"], found["ahead"], found["behind"], found["error"]) == ("copy", 0, 0, None)
    repo.learn("m5", "Ours")
    assert vex("commit", "-m", "ours").code == 0 and vex("fetch", "copy").code == 0
    assert "  copy: 1 to push, 1 to pull\n" in vex("status").out
    (found,) = vex("status", "--no-remotes", "--json").json()["remotes"]
    assert (found["checked"], found["drift"], found["ahead"], found["behind"]) == (False, None, 1, 1)


def test_a_server_is_asked_unless_that_is_not_wanted(vex: Vex, repo: Memory, server: QdrantServer) -> None:
    assert vex("remote", "add", "agent", str(server.address())).code == 0
    assert vex("push", "agent").code == 0
    asked = len(server.asked)
    for mode in ("files", "none"):
        assert vex("config", "set", "status.remotes", mode).code == 0
        assert "  agent: the same  as last seen\n" in vex("status").out and len(server.asked) == asked
    assert vex("status", "--json").json()["remotes"][0]["state"] == "unasked"
    assert "  agent: the same\n" in vex("status", "--remotes").out and len(server.asked) > asked
    assert vex("config", "unset", "status.remotes").code == 0
    assert "  agent: the same  as last seen\n" in vex("status", "--no-remotes").out
    assert "  agent: the same\n" in vex("status").out
    assert vex("status", "--json").json()["remotes"][0]["state"] == "same"
    server.put("agent", [{"id": 5, "vector": [1.0, 0, 0, 0], "payload": {"text": "learnt"}}])
    assert "  agent: the same; 1 learned there since it was last seen (vex pull agent)\n" in vex("status").out
    assert vex("config", "set", "status.remotes", "all").code == 0
    (found,) = vex("status", "--json").json()["remotes"]
    assert (found["state"], found["drift"]["learned"], found["records"]) == ("drifted", 1, 5)
    assert vex("config", "set", "status.remotes", "some").code == 0
    ran = vex("status")
    assert ran.code == 2 and "expected one of reachable, all, files, none" in ran.err


def test_what_somebody_emptied_or_took_away_is_shouted(vex: Vex, repo: Memory, server: QdrantServer) -> None:
    assert vex("remote", "add", "agent", str(server.address())).code == 0
    assert vex("remote", "add", "copy", "copy.vmig.jsonl").code == 0
    assert vex("push", "agent").code == 0 and vex("push", "copy").code == 0
    lines = Path("copy.vmig.jsonl").read_text("utf-8").splitlines(keepends=True)
    Path("copy.vmig.jsonl").write_text(lines[0], "utf-8")
    found = server.collections.pop("agent")
    ran = vex("status")
    assert ran.code == 0 and "  agent: the same as last seen; gone: it is not there any more (" in ran.out
    assert "vex push agent --force makes it anew" in ran.out
    assert "  copy: the same; 3 forgotten there since it was last seen: most of it is gone (vex diff copy" in ran.out
    states = {each["remote"]: each["state"] for each in vex("status", "--json").json()["remotes"]}
    assert states == {"agent": "missing", "copy": "drifted"}
    server.make("agent", found.made["vectors"])
    found.shard.close()
    shutil.rmtree(found.folder)
    ran = vex("status")
    assert "  agent: the same; emptied: 4 memories that it was last seen to hold are gone (vex push agent" in ran.out
    assert "emptied" in vex("push", "agent").err or "holds nothing any more" in vex("push", "agent").err
    assert vex("push", "agent", "--force").code == 0 and "  agent: the same\n" in vex("status").out


def test_a_pull_that_takes_most_of_what_there_was_says_how_to_have_it_back(vex: Vex, repo: Memory) -> None:
    assert vex("remote", "add", "copy", "copy.vmig.jsonl").code == 0 and vex("push", "copy").code == 0
    lines = Path("copy.vmig.jsonl").read_text("utf-8").splitlines(keepends=True)
    Path("copy.vmig.jsonl").write_text("".join(lines[:2]), "utf-8")
    ran = vex("pull", "copy")
    assert ran.code == 0 and "not meant" not in ran.out  # half of it
    assert vex("undo").code == 0 and vex("checkout", "HEAD").code == 0
    Path("copy.vmig.jsonl").write_text(lines[0], "utf-8")
    ran = vex("pull", "copy")
    assert "3 of 4 memories are gone from jsonl:agent.vmig.jsonl: if that is not meant, vex undo, then" in ran.out
    assert len(repo.texts()) == 1
    assert vex("undo").code == 0 and vex("checkout", "HEAD").code == 0 and len(repo.texts()) == 4


def test_what_holds_more_than_can_come_in_time_is_not_begun_to_be_read(
    vex: Vex, repo: Memory, server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vex("remote", "add", "agent", str(server.address())).code == 0
    assert vex("push", "agent").code == 0
    monkeypatch.setattr(drifting, "_MOST_PER_S", 0.01)
    asked = len(server.asked)
    assert "agent: the same as last seen; 4 memories there, more than 120 s to read: vex status" in vex("status").out
    assert not any("scroll" in each for each in server.asked[asked:])
    assert "  agent: the same\n" in vex("status", "--remotes").out


def test_a_store_that_does_not_know_the_key_is_said(
    vex: Vex, repo: Memory, server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vex("remote", "add", "agent", str(server.address())).code == 0
    assert vex("push", "agent").code == 0
    server.key = "k3y"
    ran = vex("status")
    assert ran.code == 0 and "  agent: cannot be looked at: " in ran.out and "[store-refused]" in ran.out
    assert "QDRANT_API_KEY" in ran.out
    monkeypatch.setenv("QDRANT_API_KEY", "another")
    assert vex("status", "--json").json()["remotes"][0]["state"] == "refused"
    monkeypatch.setenv("QDRANT_API_KEY", "k3y")
    assert "  agent: the same\n" in vex("status").out


def test_a_store_that_was_never_seen_says_what_it_holds(vex: Vex, repo: Memory, server: QdrantServer) -> None:
    address = str(server.address())
    assert vex("import", "agent.vmig.jsonl", "--to", address).code == 0
    assert vex("remote", "add", "agent", address).code == 0
    ran = vex("status", "--remotes")
    assert "  agent: never seen, 4 memories there (vex fetch agent)\n" in ran.out
    assert vex("status", "--remotes", "--json").json()["remotes"][0]["records"] == 4


def test_a_server_that_does_not_answer_is_not_waited_for(
    vex: Vex, repo: Memory, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEX_STATUS_TIMEOUT_S", "1")
    for name, kind in (("one", "qdrant"), ("two", "chroma"), ("three", "pgvector"), ("four", "redis")):
        place = {"pgvector": "db", "redis": "0"}.get(kind, "agent")
        assert vex("remote", "add", name, f"{kind}://127.0.0.1:{silent}/{place}").code == 0
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = closed.getsockname()[1]
    assert vex("remote", "add", "gone", f"qdrant://127.0.0.1:{gone}/agent").code == 0
    began = time.monotonic()
    ran = vex("status", "--remotes")
    assert time.monotonic() - began < 55  # each would wait for a minute
    assert ran.code == 0 and "nothing to commit" in ran.out
    assert ran.out.count(f": not reachable (127.0.0.1:{silent})\n") == 4, ran.out
    assert f"  gone: not reachable (127.0.0.1:{gone})\n" in ran.out
    found = vex("status", "--remotes", "--json").json()["remotes"]
    assert {each["remote"]: each["error"]["code"] for each in found} == dict.fromkeys(
        ("four", "gone", "one", "three", "two"), "store-unreachable"
    )


def test_the_workspace_as_a_remote_is_looked_at_once(vex: Vex, repo: Memory) -> None:
    assert vex("remote", "add", "own", "agent.vmig.jsonl").code == 0
    repo.learn("m5", "new")
    ran = vex("status")
    assert "1 learned" in ran.out and "  own: the same  as last seen\n" in ran.out


def test_a_remote_whose_connector_is_gone_is_said(vex: Vex, repo: Memory) -> None:
    with open(".vex/config.toml", "a", encoding="utf-8") as file:
        file.write('\n[remote.old]\nstore = "weavers:agent"\n')
    ran = vex("status")
    assert ran.code == 0 and "  old: cannot be looked at: " in ran.out and "[unknown-store]" in ran.out


def test_status_names_what_another_program_wrote(vex: Vex, repo: Memory) -> None:
    assert vex("remote", "add", "copy", "copy.vmig.jsonl").code == 0
    assert vex("push", "copy").code == 0
    Path("copy.vmig.jsonl").write_text('{"id": "x"\n', "utf-8")
    ran = vex("status")
    assert ran.code == 0 and "  copy: cannot be looked at: " in ran.out
