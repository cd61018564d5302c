"""Weaviate on the command line: named by an address, by flags, and by the original tool's variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.weaviate_server import WeaviateServer

KEY = "k3y/of the server"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeaviateServer]:
    for name in ("URL", "CLASS", "TENANT", "API_KEY"):
        monkeypatch.delenv(f"WEAVIATE_{name}", raising=False)
    found = WeaviateServer()
    yield found
    found.end()


def url(server: WeaviateServer) -> str:
    return server.url


def test_migrate_goes_to_and_from_it(vex: Vex, memory: Memory, server: WeaviateServer) -> None:
    address = str(server.address(options={"tenant": "alice"}))
    assert vex("migrate", "--from", str(memory.path), "--to", address).code == 0
    other = str(server.address("Other"))
    ran = vex("migrate", "--from", address, "--to", other)
    assert ran.code == 0, ran.err
    assert vex("init", "--store", address).code == 0
    ran = vex("diff", str(memory.path), other, "--exit-code")
    assert ran.code == 0, ran.out + ran.err


def test_flags_and_the_originals_variables_name_a_class(
    vex: Vex, memory: Memory, server: WeaviateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--url", url(server), "--collection", "agent")
    ran = vex("import", str(memory.path), "--to", "weaviate", *flags)
    assert ran.code == 0, ran.err
    assert vex("export", "--from", "weaviate", *flags, "-o", "one.vmig.jsonl").code == 0
    monkeypatch.setenv("WEAVIATE_URL", url(server))
    monkeypatch.setenv("WEAVIATE_CLASS", "Agent")
    assert vex("export", "--from", "weaviate", "-o", "two.vmig.jsonl").code == 0
    text = Path("one.vmig.jsonl").read_text()
    assert text == Path("two.vmig.jsonl").read_text() and text.count("\n") == 4
    assert vex("import", str(memory.path), "--to", "weaviate", "--collection", "Kept", "--tenant", "bob").code == 0
    assert len(server.classes["Kept"].objects["bob"]) == 4
    assert "weaviate" in vex("adapters").out
