"""Neo4j on the command line: named by an address, by flags, and by the original tool's variables."""

from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex
from tests.contract.neo4j_server import DATABASE, PASSWORD, address, ask, new_label, port


@pytest.fixture(autouse=True)
def label(monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("NEO4J_URL", "NEO4J_URI", "NEO4J_USER", "NEO4J_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NEO4J_PASSWORD", PASSWORD)
    return new_label()


def test_a_memory_is_committed_checked_out_and_clean(vex: Vex, memory: Memory, label: str) -> None:
    where = str(address(label))
    assert vex("init", "--store", str(memory.path)).code == 0
    assert vex("commit", "-m", "first").code == 0
    ran = vex("checkout", "main", "--to", where)
    assert ran.code == 0 and "4" in ran.out, ran.err
    ran = vex("diff", "main", where, "--exit-code")
    assert ran.code == 0, ran.out + ran.err
    ask(f"MATCH (a:{label} {{id: 'm1'}}), (b:{label} {{id: 'm3'}}) CREATE (a)-[:EXPLAINS]->(b)")
    ask(f"MATCH (a:{label} {{id: 'm1'}}) SET a.content = 'learnt'")
    ran = vex("diff", "main", where, "--exit-code")
    assert ran.code == 1 and "learnt" in ran.out and "edges between memories: +1" in ran.out
    assert vex("commit", "--from", where, "-m", "second").code == 0
    ran = vex("checkout", "HEAD~1", "--to", where)
    assert ran.code == 0, ran.err
    assert ask(f"MATCH (n:{label})-[r]->() RETURN count(r)") == [[0]]
    other = str(address(new_label()))
    ran = vex("migrate", "--from", where, "--to", other)
    assert ran.code == 0, ran.err
    ran = vex("diff", where, other, "--exit-code")
    assert ran.code == 0, ran.out


def test_the_originals_flags_and_variables_name_a_label(
    vex: Vex, memory: Memory, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"bolt://root@127.0.0.1:{port()}/{DATABASE}"
    ran = vex("import", str(memory.path), "--to", "neo4j", "--url", url, "--label", label)
    assert ran.code == 0, ran.err
    monkeypatch.setenv("NEO4J_URL", f"bolt://127.0.0.1:{port()}/{DATABASE}")
    monkeypatch.setenv("NEO4J_USER", "root")
    ran = vex("export", "--from", "neo4j", "--label", label, "-o", "one.vmig.jsonl")
    assert ran.code == 0 and Path("one.vmig.jsonl").read_text().count("\n") == 4, ran.err
    ran = vex("export", "--from", "neo4j", "--label", label, "--text-field", "namespace", "-o", "two.vmig.jsonl")
    assert ran.code == 0 and '"text":"prefs"' in Path("two.vmig.jsonl").read_text()
    ran = vex("export", "--from", "neo4j", "--label", label, "--user", "nobody", "-o", "three.vmig.jsonl")
    assert ran.code == 1 and "store-refused" in ran.err


def test_the_password_is_wanted_and_never_shown(vex: Vex, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "wr0ng")
    ran = vex("inspect", str(address(label)))
    assert ran.code == 1 and "NEO4J_PASSWORD" in ran.err and "wr0ng" not in ran.out + ran.err
    ran = vex("inspect", "neo4j", "--url", f"bolt://root:{'s3cret'}@127.0.0.1:{port()}/{DATABASE}")
    assert ran.code == 2


def test_adapters_names_neo4j_and_what_is_missing_is_said(vex: Vex, label: str) -> None:
    assert "neo4j" in vex("adapters").out
    ran = vex("export", "--from", str(address(label)), "-o", "x.vmig.jsonl")
    assert ran.code == 1 and "store-missing" in ran.err and label in ran.err
