"""Chroma on the command line: named by an address, by flags, and by variables."""

from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.chroma_server import new_address, port


def test_flags_and_variables_name_a_collection(vex: Vex, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    name = new_address().location.rpartition("/")[2]
    flags = ("--url", f"http://127.0.0.1:{port()}", "--collection", name)
    ran = vex("import", str(memory.path), "--to", "chroma", *flags)
    assert ran.code == 0, ran.err
    assert vex("export", "--from", "chroma", *flags, "-o", "one.vmig.jsonl").code == 0
    monkeypatch.setenv("CHROMA_URL", f"http://127.0.0.1:{port()}")
    monkeypatch.setenv("CHROMA_COLLECTION", name)
    assert vex("export", "--from", "chroma", "-o", "two.vmig.jsonl").code == 0
    text = Path("one.vmig.jsonl").read_text()
    assert text == Path("two.vmig.jsonl").read_text() and text.count("\n") == 4
    ran = vex("export", "--from", "chroma", "--database", "nowhere", "-o", "three.vmig.jsonl")
    assert ran.code == 1 and "store-missing" in ran.err
    assert "chroma" in vex("adapters").out
