"""The same commands on an agent's SQLite database."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import record


@pytest.fixture
def database(vex, repo):
    """The memory of ``repo`` in ``agent.db``, which is the workspace now."""
    assert (
        vex("checkout", "HEAD", "--to", "vektor:agent.db").out
        == "4 memories → vektor:agent.db · 4 added · verified 4 of 4\n"
    )
    assert vex("config", "set", "workspace.store", "agent.db").code == 0
    return Path("agent.db")


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_a_live_database_is_compared_committed_and_rolled_back(vex, database):
    assert vex("status").out.startswith("On main, workspace vektor:agent.db: nothing to commit")
    change(
        database,
        "UPDATE memories SET content = 'Lunch is at one' WHERE id = 'm4'",
        "DELETE FROM memories WHERE id = 'm2'",
    )
    assert vex("status").out == "On main, workspace vektor:agent.db: 1 changed, 1 forgotten\n"
    assert "Lunch is at [-noon-]{+one+}" in vex("diff").out
    assert vex("checkout", "HEAD").code == 1
    assert vex("commit", "-m", "second").code == 0
    ran = vex("checkout", "HEAD~1")
    assert "1 added, 1 changed · verified 4 of 4" in ran.out
    rows = dict(sqlite3.connect(database).execute("SELECT id, content FROM memories").fetchall())
    assert rows["m4"] == "Lunch is at noon" and "m2" in rows


def test_edges_that_changed_alone_are_not_hidden(vex, database):
    change(
        database,
        "CREATE TABLE IF NOT EXISTS graph_edges (id TEXT PRIMARY KEY, source_id TEXT NOT NULL, "
        "target_id TEXT NOT NULL, edge_type TEXT NOT NULL, weight REAL DEFAULT 1.0, created_at INTEGER)",
        "INSERT INTO graph_edges (id, source_id, target_id, edge_type, weight) VALUES ('e', 'm1', 'm2', 'x', 1)",
    )
    assert vex("status").out == "On main, workspace vektor:agent.db: 1 edge differs\n"
    assert not vex("status", "--json").json()["clean"]
    assert vex("diff").out == "edges between memories: +1\n"
    assert vex("diff", "--edges").out == "+ m1 –x→ m2\nedges between memories: +1\n"
    assert vex("diff", "--exit-code").code == 1
    assert vex("diff", "--json").json()["edges"] == {"learned": 1, "changed": 0, "forgotten": 0}
    assert vex("diff", "agent.db", "HEAD", "--json").json()["edges"]["forgotten"] == 1
    assert "1 edge" in vex("commit", "-m", "linked").out
    assert "no memory changed\nedges between memories: +1" in vex("show").out
    assert vex("status").out.startswith("On main, workspace vektor:agent.db: nothing to commit")
    change(database, "UPDATE graph_edges SET weight = 0.5")
    assert vex("diff", "--edges").out.startswith("~ m1 –x→ m2   weight 1 → 0.5\n")
    listed = vex("diff", "HEAD~1", "HEAD", "--edges", "--json").json()["edge_changes"]
    assert listed[0]["kind"] == "learned" and listed[0]["new"]["target"] == "m2"
    assert "1 edge there is in no commit" in vex("checkout", "HEAD~1", "--dry-run").out
    assert "1 edge" in vex("checkout", "HEAD~1", "--force").out


@pytest.mark.parametrize(
    ("content", "code"), [(b"not a database, just text " * 40, "store-corrupt"), (b"", "store-schema")]
)
def test_a_file_that_is_no_such_database_is_refused(vex, repo, content, code):
    Path("bad.db").write_bytes(content)
    ran = vex("commit", "--from", "bad.db", "-m", "x")
    assert ran.code == 1 and "bad.db" in ran.err
    assert code in ran.err or "[store-" in ran.err


def test_a_database_another_program_writes_to_is_told(vex, database):
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    ran = vex("checkout", "HEAD", "--force")
    connection.execute("ROLLBACK")
    connection.close()
    assert ran.code in (0, 11) and "Traceback" not in ran.err


def test_a_database_of_sqlite_vec_is_not_taken_for_one_without_vectors(vex, memory):
    assert vex("import", str(memory.path), "--to", "sqlite-vec:agent.db").code == 0
    before = Path("agent.db").read_bytes()
    for args in (
        ("export", "--from", "agent.db", "-o", "out.vmig.jsonl"),
        ("import", str(memory.path), "--to", "agent.db"),
        ("inspect", "agent.db"),
    ):
        ran = vex(*args)
        assert ran.code == 1 and "name it sqlite-vec:agent.db" in ran.err and "[store-schema]" in ran.err, args
    assert Path("agent.db").read_bytes() == before and not Path("out.vmig.jsonl").exists()


def test_a_model_far_behind_in_a_large_database_is_seen(vex, folder, monkeypatch):
    monkeypatch.setattr("vexrepo.remotes.models.LOOKED_AT", 500)
    rows = [record(f"m{n}", "one", "early" if n < 3000 else "late") for n in range(3010)]
    Path("in.vmig.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert vex("import", "in.vmig.jsonl", "--to", "agent.db", "--skip-graph").code == 0
    for namespace, code in (("late", 1), ("early", 1), ("other", 0)):
        Path("one.vmig.jsonl").write_text(json.dumps(record("new", "new", namespace) | {"model": "another"}) + "\n")
        ran = vex("import", "one.vmig.jsonl", "--to", "agent.db", "--skip-graph")
        assert ran.code == code and ("[store-model]" in ran.err) == bool(code), (namespace, ran.err)
