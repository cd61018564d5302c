"""Pinecone on the command line: named by an address, by flags, and by the original tool's variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.pinecone_server import Pinecone
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores.pinecone import PineconeStore

KEY = "k3y/of the project"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pinecone]:
    monkeypatch.setattr(PineconeStore, "patience", Patience(sleep=lambda seconds: None))
    for name in ("HOST", "INDEX", "API_KEY"):
        monkeypatch.delenv(f"PINECONE_{name}", raising=False)
    found = Pinecone()
    yield found
    found.end()


def test_a_memory_is_committed_changed_and_checked_out_back(vex: Vex, memory: Memory, service: Pinecone) -> None:
    service.lag = 2
    address = str(service.address("agent", "notes"))
    assert vex("init", "--store", address).code == 0
    assert vex("commit", "--from", str(memory.path), "-m", "first").code == 0
    ran = vex("checkout", "main")
    assert ran.code == 0 and "4" in ran.out, ran.err
    assert vex("diff", "main", address, "--exit-code").code == 0
    index = service.indexes["agent"]
    held = dict(next(each for each in index.written if each["id"] == "m2"))
    held["metadata"] = {**held["metadata"], "text": "edited by the agent"}
    index.put([held], "notes")
    ran = vex("diff", "main", address, "--exit-code")
    assert ran.code == 1 and "edited by the agent" in ran.out
    assert vex("commit", "-m", "second").code == 0
    ran = vex("checkout", "main~1", "--to", address)
    assert ran.code == 0, ran.err
    assert vex("diff", "main~1", address, "--exit-code").code == 0


def test_flags_and_the_originals_variables_name_an_index(
    vex: Vex, memory: Memory, service: Pinecone, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--url", f"http://{service.host}/notes", "--index", "agent")
    ran = vex("import", str(memory.path), "--to", "pinecone", *flags)
    assert ran.code == 0, ran.err
    assert vex("export", "--from", "pinecone", *flags, "-o", "one.vmig.jsonl").code == 0
    monkeypatch.setenv("PINECONE_HOST", f"http://{service.indexes['agent'].host}/notes")
    assert vex("export", "--from", "pinecone", "-o", "two.vmig.jsonl").code == 0
    text = Path("one.vmig.jsonl").read_text()
    assert text == Path("two.vmig.jsonl").read_text() and text.count("\n") == 4
    monkeypatch.setenv("PINECONE_HOST", "agent.svc.example.invalid")
    ran = vex("export", "--from", "pinecone", "-o", "three.vmig.jsonl")
    assert ran.code == 1 and "https://agent.svc.example.invalid" in ran.err
    monkeypatch.delenv("PINECONE_HOST")
    ran = vex("export", "--from", "pinecone", "-o", "three.vmig.jsonl")
    assert ran.code == 2 and "names no index" in ran.err
    assert "pinecone" in vex("adapters").out
