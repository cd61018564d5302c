"""Milvus on the command line: a file and a server, named by an address, by flags, and by variables."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.milvus_server import TOKEN, new_address, port


def test_a_repository_lives_with_a_file(vex: Vex, memory: Memory, folder: Path) -> None:
    assert vex("init", "--store", "milvus:agent.db").code == 0
    assert vex("import", str(memory.path), "--to", "milvus:agent.db").code == 0
    assert vex("commit", "-m", "first").code == 0
    assert "nothing to commit" in vex("status").out
    line = {"id": "new", "text": "learnt", "vector": [1.0, 0, 0, 0]}
    (folder / "new.vmig.jsonl").write_text(json.dumps(line) + "\n")
    assert vex("import", "new.vmig.jsonl", "--to", "milvus:agent.db").code == 0
    assert "1 learned" in vex("status").out
    assert "learnt" in vex("diff").out
    assert vex("checkout", "HEAD", "--force").code == 0
    assert "nothing to commit" in vex("status").out
    ran = vex("migrate", "--from", "milvus:agent.db", "--to", "out.vmig.jsonl")
    assert (ran.code, ran.err) == (0, "")
    assert len((folder / "out.vmig.jsonl").read_text().splitlines()) == 4


def test_flags_and_variables_name_a_collection_and_the_token_never_shows(
    vex: Vex, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = new_address().location.rpartition("/")[2]
    flags = ("--url", f"http://127.0.0.1:{port()}", "--collection", name)
    ran = vex("import", str(memory.path), "--to", "milvus", *flags)
    assert ran.code == 1 and "MILVUS_TOKEN" in ran.err and "store-refused" in ran.err
    monkeypatch.setenv("MILVUS_TOKEN", TOKEN)
    ran = vex("import", str(memory.path), "--to", "milvus", *flags)
    assert ran.code == 0, ran.err
    assert vex("export", "--from", "milvus", *flags, "-o", "one.vmig.jsonl").code == 0
    monkeypatch.delenv("MILVUS_TOKEN")
    monkeypatch.setenv("MILVUS_URL", f"http://{TOKEN}@127.0.0.1:{port()}")
    monkeypatch.setenv("MILVUS_COLLECTION", name)
    assert vex("export", "--from", "milvus", "-o", "two.vmig.jsonl").code == 0
    text = Path("one.vmig.jsonl").read_text()
    assert text == Path("two.vmig.jsonl").read_text() and text.count("\n") == 4
    monkeypatch.setenv("MILVUS_TOKEN", TOKEN.partition(":")[2])
    ran = vex("inspect", f"milvus://root@127.0.0.1:{port()}/{name}")
    assert ran.code == 0 and "_vex" in ran.out, ran.err
    monkeypatch.setenv("MILVUS_URL", f"http://root:wr0ng@127.0.0.1:{port()}")
    ran = vex("export", "--from", "milvus", "-o", "three.vmig.jsonl")
    assert ran.code == 1 and "store-refused" in ran.err and "wr0ng" not in ran.out + ran.err
    assert "milvus" in vex("adapters").out
