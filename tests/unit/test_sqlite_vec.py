"""Databases with sqlite-vec of others: read with their types, changed without losing what is not ours."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import folder, memory, vex  # noqa: F401 - fixtures
from tests.contract.test_sqlite_vec import LANGCHAIN, make
from tests.refusals import refused
from vexrepo.errors import InvalidData
from vexrepo.formats.vmig import format_record
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores import sqlite_extension
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.sqlite_columns import Column
from vexrepo.remotes.stores.sqlite_vec import SqliteVecStore
from vexrepo.remotes.stores.sqlite_vec_table import parse_vec0
from vexrepo.testing.stores import check_holds, plan_between


def store(path: Path, *, create: bool = False, **options: str) -> SqliteVecStore:
    return SqliteVecStore.open(Address("sqlite-vec", str(path), options), create=create)


def records(path: Path, **options: str) -> list[Record]:
    with store(path, **options) as opened:
        return [each.record for batch in opened.scan() for each in batch]


def read(path: Path, **options: str) -> list[dict[str, Any]]:
    return [json.loads(format_record(each)) for each in records(path, **options)]


def ask(path: Path, statement: str, *values: Any) -> list[Any]:
    db = sqlite_extension.connect(str(path), "mode=rw", 5.0)
    try:
        return db.execute(statement, values).fetchall()
    finally:
        db.close()


def blob(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


@pytest.fixture
def chunks(tmp_path: Path) -> Path:
    """A table as the documentation of sqlite-vec has it."""
    path = tmp_path / "chunks.db"
    make(
        path,
        "CREATE VIRTUAL TABLE vec_chunks USING vec0(chunk_id integer primary key, user_id integer partition key, "
        "contents_embedding float[2], genre text, pinned boolean, +contents text, +url text, +raw blob)",
    )
    row = "INSERT INTO vec_chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    ask(path, row, 7, 3, blob(1, 0.5), "note", 1, "high tide", "https://example.org", b"\xff")
    ask(path, row, 8, 4, blob(0, 2), "note", 0, None, None, None)
    return path


def test_a_vec0_table_is_read_with_its_types(chunks: Path) -> None:
    first, second = read(chunks, text="contents")
    assert (first["id"], first["text"], first["vector"]) == ("7", "high tide", [1, 0.5])
    assert first["metadata"] == {
        "user_id": 3, "genre": "note", "pinned": True, "url": "https://example.org", "raw": {"$blob": "/w=="}
    }  # fmt: skip
    assert second == {**second, "id": "8", "metadata": {"user_id": 4, "genre": "note", "pinned": False}}
    with store(chunks, text="contents") as opened:
        mapping = opened.mapping()
        assert mapping["vector"] == "vec_chunks.contents_embedding float[2] l2"
        assert mapping["metadata.user_id"] == "user_id integer" and mapping["text"] == "contents text"


def test_a_changed_text_leaves_all_other_columns_as_they_were(chunks: Path) -> None:
    before = records(chunks, text="contents")
    value = json.loads(format_record(before[0]))
    changed = from_json({**value, "text": "low tide", "metadata": {**value["metadata"], "new": [1]}})
    with store(chunks, create=True, text="contents") as opened:
        opened.write(plan_between(before, [changed, before[1]]))
        check_holds(opened, [changed, before[1]])
    (row,) = ask(chunks, "SELECT * FROM vec_chunks WHERE chunk_id = 7")
    assert row == (7, 3, blob(1, 0.5), "note", 1, "low tide", "https://example.org", b"\xff")
    (near,) = ask(chunks, "SELECT chunk_id FROM vec_chunks WHERE contents_embedding MATCH ? AND k = 1", blob(1, 0.5))
    assert near == (7,)
    # Another memory under the number is not given what was carried for the one before it.
    ask(chunks, "UPDATE vec_chunks SET contents = 'other', contents_embedding = ? WHERE chunk_id = 7", blob(9, 9))
    assert "new" not in read(chunks, text="contents")[0]["metadata"]
    with store(chunks, create=True, text="contents") as opened:
        opened.write(plan_between([changed, before[1]], [before[1]]))
    assert not ask(chunks, "SELECT name FROM sqlite_master WHERE name = 'vec_chunks_vex'")


def test_what_langchain_wrote_is_read_and_what_is_written_is_found_by_it(tmp_path: Path) -> None:
    path = tmp_path / "lc.db"
    make(path, LANGCHAIN)
    row = "INSERT INTO notes (text, metadata, text_embedding) VALUES (?, ?, ?)"
    ask(path, row, "high tide", '{"page": 3}', blob(1, 0, 0, 0, 0, 0))
    (found,) = read(path)
    assert (found["id"], found["text"], found["vector"]) == ("1", "high tide", [1, 0, 0, 0, 0, 0])
    assert found["metadata"] == {"page": 3}
    new = from_json({"id": "2", "text": "low tide", "vector": [0, 1, 0, 0, 0, 0], "metadata": {"page": 4}})
    with store(path, create=True) as opened:
        opened.write(plan_between([], [new]))
    query = (
        "SELECT text, metadata, e.text_embedding FROM notes e INNER JOIN notes_vec v ON v.rowid = e.rowid "
        "WHERE v.text_embedding MATCH ? AND k = 1"
    )
    vector = blob(0, 1, 0, 0, 0, 0)
    ((text, more, raw),) = ask(path, query, vector)
    assert (text, json.loads(more), raw) == ("low tide", {"page": 4}, vector)
    with store(path) as opened:
        config = opened.describe().config
        assert opened.kept_config()["left"][:1] == ["trigger embed_text"]
    copy = tmp_path / "copy.db"
    with store(copy, create=True, table="notes") as opened:
        opened.write(plan_between([], records(path), config=config))
        check_holds(opened, records(path))
    with store(copy) as opened:
        assert opened.describe().config["vectors"] == config["vectors"]
        check_holds(opened, records(path))


def test_ours_are_plain_tables_that_any_program_can_search(tmp_path: Path) -> None:
    path = tmp_path / "ours.db"
    values = [
        {"id": "a", "text": "x", "vector": [1, 0], "namespace": "n", "metadata": {"k": 1}, "created_at": 5},
        {"id": "b", "text": "no vector"},
    ]
    with store(path, create=True) as opened:
        opened.write(plan_between([], [from_json(value) for value in values]))
    plain = sqlite3.connect(path)
    rows = plain.execute("SELECT id, content, namespace, created_at, metadata FROM memories ORDER BY id").fetchall()
    plain.close()
    assert rows == [("a", "x", "n", 5, '{"k":1}'), ("b", "no vector", None, None, None)]
    query = (
        "SELECT m.id, distance FROM memories_vec v JOIN memories m ON m.number = v.rowid "
        "WHERE embedding MATCH ? AND k = 5"
    )
    assert ask(path, query, blob(2, 0)) == [("a", 0.0)]  # cosine


def test_the_first_vectors_of_a_table_of_texts_get_a_table(tmp_path: Path) -> None:
    path = tmp_path / "ours.db"
    texts = [from_json({"id": "a", "text": "x"})]
    vectors = [from_json({"id": "a", "text": "x", "vector": [1, 2]})]
    with store(path, create=True) as opened:
        opened.write(plan_between([], texts))
    with store(path, create=True, distance="l1") as opened:
        opened.write(plan_between(texts, vectors))
        check_holds(opened, vectors)
        assert opened.describe().config["vectors"][0]["metric"] == "l1"


def test_vectors_of_other_dimensions_are_refused_before_anything_is_written(chunks: Path) -> None:
    before = chunks.read_bytes()
    record = from_json({"id": "9", "text": "x", "vector": [1, 2, 3]})
    with store(chunks, create=True) as opened:
        refused(
            lambda: opened.write(plan_between([], [record])), "store-dims", "3 dimensions", "2", "nothing was written"
        )
    assert chunks.read_bytes() == before


def test_a_write_is_all_or_nothing(chunks: Path) -> None:
    before = records(chunks, text="contents")
    plan = plan_between([], [from_json({"id": str(at), "text": "x", "vector": [1, at]}) for at in range(20, 5000)])
    with store(chunks, create=True, text="contents") as opened:
        seen = []

        def stop(count: int) -> None:
            seen.append(count)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            opened.write(replace(plan, advance=stop))
    assert seen and records(chunks, text="contents") == before
    fresh = chunks.with_name("fresh.db")
    with store(fresh, create=True) as opened, pytest.raises(KeyboardInterrupt):
        opened.write(replace(plan, advance=stop))
    assert sorted(each.name for each in chunks.parent.iterdir()) == ["chunks.db"]
    with store(fresh, create=True) as opened:
        opened.write(plan)
        assert opened.describe().count == 4980


def test_a_database_that_another_program_changed_is_not_written(chunks: Path) -> None:
    with store(chunks, create=True, text="contents") as opened:
        plan = replace(plan_between([], records(chunks, text="contents")), expected=opened.describe().fingerprint)
        ask(chunks, "UPDATE vec_chunks SET genre = 'y' WHERE chunk_id = 7")
        refused(lambda: opened.write(plan), "store-changed", "nothing was written")
    agent = sqlite_extension.connect(str(chunks), "mode=rw", 0.0)
    agent.execute("BEGIN IMMEDIATE")
    with store(chunks, create=True, text="contents") as opened:
        opened.busy_timeout_s = 0.05  # type: ignore[misc]
        refused(lambda: opened.write(plan_between([], [])), "store-locked", "locked by another program")
    agent.close()


def test_what_cannot_be_read_is_said(tmp_path: Path, chunks: Path) -> None:
    refused(lambda: store(tmp_path / "none.db"), "store-missing", "none.db")
    (tmp_path / "text.db").write_text("not a database, but some text")
    refused(lambda: store(tmp_path / "text.db"), "store-corrupt")
    refused(lambda: store(chunks, table="absent"), "store-missing", "vec_chunks")
    refused(lambda: store(chunks, vector="absent"), "store-schema", "contents_embedding")
    refused(lambda: store(chunks, colour="red"), "bad-address", "distance, id, table")
    refused(lambda: store(chunks, distance="near"), "bad-address", "cosine, l2, l1")
    ask(chunks, "CREATE VIRTUAL TABLE other USING vec0(e float[2])")
    refused(lambda: store(chunks), "store-schema", "2 tables of vectors: other, vec_chunks", "?table=NAME")
    ask(chunks, "CREATE TABLE plain (id TEXT PRIMARY KEY, body TEXT)")
    refused(lambda: store(chunks, table="plain"), "store-schema", "?vectors=NAME")
    ask(chunks, "INSERT INTO vec_chunks(chunk_id, user_id, contents_embedding, genre, pinned) VALUES (9, 1, ?, 'x', 1)",
        blob(float("nan"), 1))  # fmt: skip
    problems: list[InvalidData] = []
    with store(chunks, table="vec_chunks") as opened:
        assert sum(len(batch) for batch in opened.scan(problems.append)) == 2
    assert [each.code for each in problems] == ["not-finite"] and "row 3" in str(problems[0])
    refused(lambda: records(chunks, table="vec_chunks"), "not-finite", "9")


def test_a_missing_library_is_said_with_how_to_get_it(chunks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    refused(lambda: store(chunks), "store-unreadable", "pip install 'vexrepo[sqlite-vec]'")
    monkeypatch.undo()
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        monkeypatch.setitem(sys.modules, "apsw", None)
        refused(lambda: store(chunks), "store-unreadable", "apsw", "pip install 'vexrepo[sqlite-vec]'")


def test_definitions_of_vec0_tables_are_understood_in_all_their_spellings() -> None:
    table = parse_vec0(
        "t",
        'CREATE VIRTUAL TABLE "t" using VEC0( Id TEXT Primary  Key,\n e FLOAT[ 4 ] Distance_Metric = Cosine, b bit[8],'
        " i INT8[3], user int partition key, + note  text , flag bool, chunk_size = 16 )",
    )
    assert table is not None and table.chunk_size == 16 and table.has_text_key
    assert [part.sql() for part in table.parts] == [
        "Id text primary key",
        "e float[4] distance_metric=cosine",
        "b bit[8]",
        "i int8[3]",
        "user integer partition key",
        "+note text",
        "flag boolean",
    ]
    assert parse_vec0("t", "CREATE VIRTUAL TABLE t USING fts5(a)") is None
    assert parse_vec0("t", "CREATE VIRTUAL TABLE t USING vec0(e what[3])") is None


def test_a_column_holds_only_what_comes_back_the_same(tmp_path: Path) -> None:
    values = [
        "x", "5", " 5.0 ", "1e3", "0x10", "", "a\0b", 5, -5, 0, 1 << 62, -(1 << 63), 1 << 63, 0.5, 5.0, -0.0, 1e18,
        1e300, 2.0**63, True, None, [1], {"a": 1}, {"$blob": "/w=="}, {"$blob": "/x=="}, {"$blob": "no"}, "\ud800",
    ]  # fmt: skip
    kinds = ["TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", "", "VARCHAR(9)", "BOOLEAN", "DATETIME"]
    held = 0
    for rule, names in (("affinity", kinds), ("strict", ["TEXT", "INTEGER", "REAL", "BLOB", "ANY", "INT"])):
        columns = [Column(f"c{at}", kind, rule) for at, kind in enumerate(names)]  # type: ignore[arg-type]
        db = sqlite3.connect(":memory:")
        tail = " STRICT" if rule == "strict" else ""
        db.execute(f"CREATE TABLE t ({', '.join(f'{each.name} {each.declared}' for each in columns)}){tail}")
        for column in columns:
            for value in values:
                if column.holds(value):
                    held += 1
                    db.execute("DELETE FROM t")
                    db.execute(f"INSERT INTO t ({column.name}) VALUES (?)", (column.bind(value),))
                    (cell,) = db.execute(f"SELECT {column.name} FROM t").fetchone()
                    assert column.read(cell) == value and type(value) is not bool, (column, value, cell)
        db.close()
    assert held > 150
    assert not Column("c", "TEXT").holds(5) and not Column("c", "INTEGER").holds("5") and Column("c", "INT").holds("5x")


def test_a_repository_goes_to_sqlite_vec_and_back(vex, memory) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    vex("init")
    vex("commit", "--from", "agent.vmig.jsonl", "-m", "x")
    ran = vex("checkout", "main", "--to", "sqlite-vec:agent.db")
    assert ran.code == 0 and "verified 4 of 4" in ran.out, ran.err
    assert vex("diff", "main", "sqlite-vec:agent.db", "--exit-code").code == 0
    ask(Path("agent.db"), "UPDATE memories SET content = 'Lunch is at one' WHERE id = 'm4'")
    ran = vex("diff", "main", "sqlite-vec:agent.db", "--exit-code")
    assert ran.code == 1 and "one" in ran.out
    assert vex("commit", "--from", "sqlite-vec:agent.db", "-m", "y").code == 0
    assert vex("diff", "main", "sqlite-vec:agent.db", "--exit-code").code == 0
    ran = vex(
        "migrate",
        "--from",
        "sqlite-vec",
        "--db",
        "agent.db",
        "--table",
        "memories",
        "--to",
        "sqlite-vec:b.db?table=notes",
    )
    assert ran.code == 0, ran.err
    assert vex("diff", "main", "sqlite-vec:b.db?table=notes", "--exit-code").code == 0
    assert vex("export", "--from", "sqlite-vec:b.db?table=notes", "-o", "out.vmig.jsonl").code == 0
    assert vex("inspect", "sqlite-vec:agent.db", "--json").json()["records"] == 4


def test_new_memories_join_what_is_there_under_numbers_that_nothing_has(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    before = [from_json({"id": f"m{at}", "text": "t", "vector": [at, 1.0]}) for at in range(5)]
    with store(path, create=True) as opened:
        opened.write(plan_between([], before))
    ask(path, "INSERT INTO memories_vec(rowid, embedding) VALUES (90, ?)", blob(9, 9))  # of no memory
    ask(path, "INSERT INTO memories(number, id, content) VALUES (40, 'by hand', 'x')")
    odd = [from_json({"id": f"odd{at}", "text": "t", "tags": ["x"], "vector": [at, 2.0]}) for at in range(3)]
    plain = [from_json({"id": f"n{at}", "text": "t", "vector": [at, 3.0]}) for at in range(3)]
    held = sorted([*records(path), *odd, *plain])
    with store(path, create=True) as opened:
        opened.write(plan_between(records(path), held))
        check_holds(opened, held)
    numbers = [row[0] for row in ask(path, "SELECT number FROM memories WHERE id LIKE 'n%' ORDER BY id")]
    assert numbers == [91, 92, 93]


def test_defaults_are_asked_for_rows_that_are_written_and_for_each_anew(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    make(
        path,
        "CREATE TABLE notes (id TEXT PRIMARY KEY, content TEXT, token INTEGER NOT NULL DEFAULT (random()), state TEXT "
        "NOT NULL DEFAULT 'new'); CREATE VIRTUAL TABLE notes_vec USING vec0(embedding float[2])",
    )
    wanted = sorted(from_json({"id": f"m{at}", "text": "t", "vector": [at, 1.0]}) for at in range(3))
    with store(path, create=True) as opened:
        assert not opened.can.fills
        opened.write(plan_between([], wanted))
        check_holds(opened, wanted)
    rows = ask(path, "SELECT token, state FROM notes")
    assert len({token for token, _ in rows}) == 3 and {state for _, state in rows} == {"new"}
