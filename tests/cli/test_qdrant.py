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


def test_a_key_does_not_belong_in_an_address(vex: Vex, server: QdrantServer) -> None:
    ran = vex("inspect", f"{server.address()}?api_key={KEY[:3]}")
    assert ran.code == 2 and "QDRANT_API_KEY" in ran.err


def test_a_key_on_the_command_line_is_refused_with_the_variable_for_it(vex: Vex, server: QdrantServer) -> None:
    for option, variable in (("--api-key", "QDRANT_API_KEY"), ("--password", "PGPASSWORD")):
        ran = vex("export", "--from", "qdrant", "--url", url(server), option, KEY, "-o", "x.vmig.jsonl")
        assert ran.code == 2 and variable in ran.err and KEY not in ran.err


def test_adapters_names_qdrant_and_what_is_missing_is_said(vex: Vex, folder: Path, server: QdrantServer) -> None:
    assert "qdrant" in vex("adapters").out
    ran = vex("export", "--from", "qdrant", "--url", url(server), "-o", "x.vmig.jsonl")
    assert ran.code == 2 and "names no collection" in ran.err
    ran = vex("export", "--from", str(server.address("nothing")), "-o", "x.vmig.jsonl")
    assert ran.code == 1 and "store-missing" in ran.err


def test_a_collection_that_scales_vectors_is_said_to(vex: Vex, memory: Memory, server: QdrantServer) -> None:
    ran = vex("import", str(memory.path), "--to", str(server.address("scaled")), "--json").json()
    assert ran["verified"] == {"count": 4, "sample": 4, "altered": 4}
    assert "scales to length 1: 4 of the 4 that were read back" in ran["notes"][-1]
    # What is of length 1 already loses a last digit at most: no word of it.
    assert vex("export", "--from", str(server.address("scaled")), "-o", "unit.vmig.jsonl").code == 0
    for source, address in (
        ("unit.vmig.jsonl", server.address("unit")),
        (str(memory.path), server.address("exact", {"distance": "Dot"})),
    ):
        ran = vex("import", source, "--to", str(address), "--json").json()
        assert ran["verified"]["altered"] == 0 and not [each for each in ran["notes"] if "length" in each]
