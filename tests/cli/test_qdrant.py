"""Qdrant on the command line: named by an address, by flags, and by the original tool's variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.qdrant_server import QdrantServer

KEY = "k3y/of the server"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantServer]:
    for name in ("QDRANT_URL", "QDRANT_COLLECTION", "QDRANT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    found = QdrantServer()
    yield found
    found.end()


def url(server: QdrantServer) -> str:
    return server.url


def test_a_memory_is_committed_checked_out_and_clean(vex: Vex, memory: Memory, server: QdrantServer) -> None:
    address = str(server.address())
    assert vex("init", "--store", str(memory.path)).code == 0
    assert vex("commit", "-m", "first").code == 0
    ran = vex("checkout", "main", "--to", address)
    assert ran.code == 0 and "4" in ran.out, ran.err
    assert server.collections["agent"].made["vectors"] == {"size": 4, "distance": "Cosine"}
    ran = vex("diff", "main", address, "--exit-code")
    assert ran.code == 0, ran.out + ran.err
    server.put("agent", [{"id": 5, "vector": [1.0, 0, 0, 0], "payload": {"text": "learnt"}}])
    ran = vex("diff", "main", address, "--exit-code")
    assert ran.code == 1 and "learnt" in ran.out


def test_the_originals_flags_and_variables_name_a_collection(
    vex: Vex, memory: Memory, server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--url", url(server), "--collection", "agent")
    ran = vex("import", str(memory.path), "--to", "qdrant", *flags)
    assert ran.code == 0, ran.err
    ran = vex("export", "--from", "qdrant", *flags, "-o", "one.vmig.jsonl")
    assert ran.code == 0, ran.err
    monkeypatch.setenv("QDRANT_URL", url(server))
    monkeypatch.setenv("QDRANT_COLLECTION", "agent")
    assert vex("export", "--from", "qdrant", "-o", "two.vmig.jsonl").code == 0
    text = Path("one.vmig.jsonl").read_text()
    assert text == Path("two.vmig.jsonl").read_text() and text.count("\n") == 4
    ran = vex("export", "--from", "qdrant", "--text-field", "namespace", "-o", "three.vmig.jsonl")
    assert ran.code == 0 and '"text":"prefs"' in Path("three.vmig.jsonl").read_text()


def test_the_key_comes_from_the_environment_and_is_never_shown(
    vex: Vex, memory: Memory, server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = KEY
    address = str(server.address())
    ran = vex("import", str(memory.path), "--to", address)
    assert ran.code == 1 and "QDRANT_API_KEY" in ran.err and "store-refused" in ran.err
    monkeypatch.setenv("QDRANT_API_KEY", "wr0ng")
    ran = vex("import", str(memory.path), "--to", address)
    assert ran.code == 1 and "wr0ng" not in ran.out + ran.err
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    ran = vex("import", str(memory.path), "--to", address, "--json")
    assert ran.code == 0 and KEY not in ran.out + ran.err
    ran = vex("inspect", address + "?api_key=" + "k3y")
    assert ran.code == 2 and "QDRANT_API_KEY" in ran.err
    assert vex("inspect", address).code == 0


def test_adapters_names_qdrant_and_what_is_missing_is_said(vex: Vex, folder: Path, server: QdrantServer) -> None:
    assert "qdrant" in vex("adapters").out
    ran = vex("export", "--from", "qdrant", "--url", url(server), "-o", "x.vmig.jsonl")
    assert ran.code == 2 and "names no collection" in ran.err
    ran = vex("export", "--from", str(server.address("nothing")), "-o", "x.vmig.jsonl")
    assert ran.code == 1 and "store-missing" in ran.err
