"""VEKTOR databases: every generation read, edits joined with what is carried, nothing left beside them."""

import json
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vexrepo.errors import InvalidData, StorageFailure, StoreError
from vexrepo.objects import record
from vexrepo.objects.record import Record, make_key
from vexrepo.remotes.stores import sqlite_files, vektor_schema
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.carry import is_same, pack_vectors, reconcile, reconcile_value, unpack_vectors
from vexrepo.remotes.stores.vektor import VektorStore
from vexrepo.testing.stores import check_holds, plan_between, tricky_records

GOLDEN = Path(__file__).parent.parent / "interop" / "vektor"
NEWER = vektor_schema.NEWEST["memories"]
FLOATS = struct.pack("<3f", 0.5, -2.0, 0.25)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VektorStore, "busy_timeout_s", 0.05)


def make(path: Path, *statements: str) -> Path:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    return path


def run(path: Path, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return db.execute(statement, values).fetchall()
    finally:
        db.close()


def store(path: Path, *, create: bool = False) -> VektorStore:
    return VektorStore.open(Address("vektor", str(path)), create=create)


def read(path: Path) -> list[Record]:
    return [item.record for batch in store(path).scan() for item in batch]


def values(path: Path) -> list[dict[str, Any]]:
    return [item.to_json() for item in read(path)]


def table_names(path: Path) -> set[str]:
    return {name for (name,) in run(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}


def refused(action: Callable[[], Any], code: str, *words: str) -> None:
    with pytest.raises((StoreError, StorageFailure, InvalidData)) as caught:
        action()
    assert caught.value.code == code, caught.value
    for word in words:
        assert word in str(caught.value)


# -- golden files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "export"), [("memories.db", "export.vmig.jsonl"), ("ns.db", "export-ns.vmig.jsonl")])
def test_a_golden_database_reads_as_the_original_tool_exports_it(name: str, export: str) -> None:
    wanted = [json.loads(line) for line in (GOLDEN / export).read_text().rstrip("\n").split("\n")]
    found = values(GOLDEN / name)
    assert len(found) == store(GOLDEN / name).describe().count == len(wanted)
    key = lambda value: json.dumps([value["id"], value["text"], value["created_at"]])  # noqa: E731
    for ours, theirs in zip(sorted(found, key=key), sorted(wanted, key=key), strict=True):
        for member in ("id", "text", "created_at", "namespace"):
            assert ours[member] == theirs[member]
        assert ours.get("vector") == theirs["vector"]
        assert "model" not in ours and "source_store" not in ours


def test_the_older_golden_database_is_read_whole() -> None:
    found = values(GOLDEN / "source.db")
    assert found[1] == {
        "id": "2",
        "text": "Maren owns the schema; Ødegård reviews it.",
        "vector": [0.125, -0.25, 0.10000000149011612, 1.0],
        "dims": 4,
        "namespace": "ns",
        "metadata": {
            "agent_id": "agent-2",
            "edge_type": "episodic",
            "tags": "a,b",
            "importance": 0.85,
            "updated_at": 1780000060,
        },
        "created_at": 1780000060,
    }
    assert "vector" not in found[0] and "dims" not in found[0]
    assert next(store(GOLDEN / "source.db").edges()).to_json() == {
        "id": "1",
        "source": "1",
        "target": "2",
        "type": "causal",
        "weight": 0.51,
        "agent_id": "agent-1",
        "created_at": 1780000000,
        "table": "memory_edges",
    }


@pytest.mark.parametrize("name", ["ns.db", "source.db", "memories.db"])
@pytest.mark.parametrize("with_config", [True, False])
def test_a_golden_database_can_be_made_again(tmp_path: Path, name: str, with_config: bool) -> None:
    golden = store(GOLDEN / name)
    records, edges = list({item.key: item for item in read(GOLDEN / name)}.values()), list(golden.edges())
    config = golden.describe().config if with_config else {}
    path = tmp_path / "again.db"
    again = store(path, create=True)
    again.write(plan_between([], records, [], edges, config))
    check_holds(again, records)
    assert sorted(again.edges()) == sorted(edges)
    if with_config:
        assert again.describe().config == config
        assert "vex_carry" not in table_names(path)


# -- generations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ddl", "wanted"),
    [
        ("CREATE TABLE memories (id TEXT, content TEXT, embedding BLOB)", {"id": "1", "dims": 3}),
        ("CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, vector BLOB)", {"id": "1", "dims": 3}),
        ("CREATE TABLE memories (id TEXT, content TEXT)", {"id": "1"}),
        (
            "CREATE TABLE memories (ID text, Content text, Vector blob, memory_type DEFAULT 'semantic', namespace)",
            {"id": "1", "dims": 3, "metadata": {"memory_type": "semantic"}},
        ),
        (
            "CREATE TABLE memories (id TEXT, content TEXT, vector BLOB, embedding BLOB DEFAULT x'0001', rowid TEXT)",
            {"id": "1", "dims": 3, "metadata": {"embedding": {"$blob": "AAE="}}},
        ),
    ],
)
def test_every_generation_is_read_and_written(tmp_path: Path, ddl: str, wanted: dict[str, Any]) -> None:
    path = make(tmp_path / "agent.db", ddl)
    columns = ["id", "content"]
    if "dims" in wanted:
        columns.append("vector" if "vector" in ddl.lower() else "embedding")
    row = ["1", "text", FLOATS][: len(columns)]
    run(path, f"INSERT INTO memories ({', '.join(columns)}) VALUES ({', '.join('?' * len(row))})", tuple(row))
    expected = {**wanted, "text": "text"}
    if "dims" in wanted:
        expected["vector"] = [0.5, -2.0, 0.25]
    assert values(path) == [expected]
    held = read(path)
    wished = [*tricky_records(), record.from_json({"id": "new", "text": "t"})]
    wished = [item for item in wished if item.key != held[0].key] + held
    store(path).write(plan_between(held, wished))
    check_holds(store(path), wished)


def test_values_are_read_as_they_are_stored(tmp_path: Path) -> None:
    path = make(tmp_path / "agent.db", NEWER)
    run(
        path,
        "INSERT INTO memories (id, content, potential, tags, importance, created_at, namespace, pinned, vector) "
        "VALUES ('a', '', '[\"x\",1]', '', 2.50, 1.5, '', 0, x'')",
    )
    run(path, "INSERT INTO memories (id, potential, created_at, summary) VALUES ('b', '[ 1 ]', '2026', x'00ff')")
    assert values(path) == [
        {
            "id": "a",
            "text": "",
            "vector": [],
            "namespace": "",
            "metadata": {"potential": ["x", 1], "tags": "", "importance": 2.5, "pinned": 0},
            "created_at": 1.5,
        },
        {"id": "b", "metadata": {"potential": "[ 1 ]", "summary": {"$blob": "AP8="}}, "created_at": 2026},
    ]


@pytest.mark.parametrize(
    ("statement", "code", "word"),
    [
        ("INSERT INTO memories (id, vector) VALUES ('bad', x'00000000000000')", "vector-type", "7 bytes"),
        ("INSERT INTO memories (id, vector) VALUES ('bad', x'0000c07f')", "not-finite", "NaN"),
        ("INSERT INTO memories (id, vector) VALUES ('bad', x'0000803f0000807f')", "not-finite", "infinity"),
        ("INSERT INTO memories (id, vector) VALUES ('bad', '[1]')", "vector-type", "float32"),
        ("INSERT INTO memories (id, importance) VALUES ('bad', 9e999)", "not-finite", "inf"),
        ("INSERT INTO memories (id, content) VALUES ('bad', CAST(x'ff41' AS TEXT))", "not-utf8", "UTF-8"),
        ("INSERT INTO memories (id) VALUES (NULL)", "id-missing", "None"),
        ("INSERT INTO memories (id) VALUES ('')", "id-missing", "''"),
        ("INSERT INTO memories (id) VALUES (x'00')", "id-missing", "usable"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_the_others_are_read(
    tmp_path: Path, statement: str, code: str, word: str
) -> None:
    path = make(tmp_path / "agent.db", NEWER, "INSERT INTO memories (id) VALUES ('good')", statement)
    run(path, "INSERT INTO memories (id, vector) VALUES ('last', ?)", (FLOATS,))
    refused(lambda: read(path), code, "agent.db", "row 2", word)
    problems: list[InvalidData] = []
    found = [item for batch in store(path).scan(problems.append) for item in batch]
    assert [(item.record.to_json()["id"], item.place) for item in found] == [("good", 1), ("last", 3)]
    assert [problem.code for problem in problems] == [code]
    store(path).write(plan_between([found[0].record], [record.from_json({"id": "good", "text": "new"})]))
    assert run(path, "SELECT count(*) FROM memories") == [(3,)]


# -- reading leaves no trace -------------------------------------------------------------------------------------


def snapshot_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reading_creates_and_changes_no_file(tmp_path: Path, mode: str) -> None:
    path = make(tmp_path / "a b?#%.db", NEWER, "INSERT INTO memories (id) VALUES ('a')")
    run(path, f"PRAGMA journal_mode = {mode}")
    before, names = snapshot_of(tmp_path), set(os.listdir(tmp_path))
    assert len(read(path)) == 1
    assert store(path).describe().count == 1
    assert list(store(path).edges()) == []
    assert snapshot_of(tmp_path) == before and set(os.listdir(tmp_path)) == names


def test_a_database_a_live_agent_writes_is_read_at_one_moment(tmp_path: Path) -> None:
    path = make(tmp_path / "agent.db", "PRAGMA journal_mode = WAL", NEWER)
    agent = sqlite3.connect(path, isolation_level=None)
    agent.executemany("INSERT INTO memories (id) VALUES (?)", [(str(number),) for number in range(1_200)])
    first = store(path).describe().fingerprint
    batches = store(path).scan()
    seen = len(next(batches))
    agent.execute("DELETE FROM memories WHERE rowid > 300")
    agent.execute("INSERT INTO memories (id) VALUES ('later')")
    assert seen + sum(len(batch) for batch in batches) == 1_200
    assert store(path).describe().count == 301
    assert store(path).describe().fingerprint != first
    # Writing beside it works as well.
    store(path).write(plan_between([], [record.from_json({"id": "ours", "text": "t"})]))
    assert agent.execute("SELECT content FROM memories WHERE id = 'ours'").fetchall() == [("t",)]
    agent.close()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_what_a_crashed_writer_left_is_read_from_a_copy(tmp_path: Path, mode: str) -> None:
    path = make(tmp_path / "agent.db", NEWER, f"PRAGMA journal_mode = {mode}")
    run(path, "INSERT INTO memories (id, content) VALUES ('a', 'kept')")
    agent = sqlite3.connect(path, isolation_level=None)
    agent.execute("PRAGMA cache_size = 1")
    if mode == "wal":
        agent.execute("INSERT INTO memories (id) VALUES ('b')")
    else:
        agent.execute("BEGIN")
        agent.executemany("INSERT INTO memories (id, content) VALUES (?, ?)", [(str(n), "x" * 900) for n in range(200)])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    ending = "-wal" if mode == "wal" else "-journal"
    for name in ("agent.db", "agent.db" + ending):
        shutil.copy(tmp_path / name, crashed / name)
    agent.close()
    before = snapshot_of(crashed)
    assert len(before) == 2
    assert [value["id"] for value in values(crashed / "agent.db")] == (["a", "b"] if mode == "wal" else ["a"])
    assert snapshot_of(crashed) == before


# -- errors ------------------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_or_not_a_database_is_refused(tmp_path: Path) -> None:
    refused(lambda: store(tmp_path / "none.db"), "store-missing", "none.db")
    assert not (tmp_path / "none.db").exists()
    refused(lambda: store(tmp_path), "store-unreadable", "folder")
    (tmp_path / "text.db").write_text("not a database at all")
    refused(lambda: store(tmp_path / "text.db"), "store-corrupt", "text.db")
    (tmp_path / "empty.db").touch()
    refused(lambda: store(tmp_path / "empty.db"), "store-schema", "none")
    other = make(tmp_path / "other.db", "CREATE TABLE cookies (x)", "CREATE TABLE visits (y)")
    refused(lambda: store(other), "store-schema", "cookies, visits", "memories")
    refused(lambda: store(other, create=True), "store-schema", "cookies, visits")
    odd = make(tmp_path / "odd.db", "CREATE TABLE memories (note TEXT)")
    refused(lambda: store(odd), "store-schema", "note")
    flat = make(tmp_path / "flat.db", "CREATE TABLE memories (id TEXT PRIMARY KEY, content TEXT) WITHOUT ROWID")
    refused(lambda: store(flat), "store-schema", "row numbers")
    nowhere = store(tmp_path / "no" / "a.db", create=True)
    refused(lambda: nowhere.write(plan_between([], tricky_records())), "store-missing", "folder")


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "agent.db", NEWER)
    db = sqlite3.connect(path)
    db.executemany("INSERT INTO memories (id, content) VALUES (?, ?)", [(str(n), "x" * 500) for n in range(500)])
    db.commit()
    db.close()
    raw = bytearray(path.read_bytes())
    raw[8192:] = b"\xa5" * (len(raw) - 8192)
    path.write_bytes(raw)
    refused(lambda: read(path), "store-corrupt", "agent.db", "backup")


def test_a_locked_database_is_told_of_and_left_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "agent.db", NEWER)
    ours = store(path)
    agent = sqlite3.connect(path, isolation_level=None)
    agent.execute("BEGIN EXCLUSIVE")
    refused(lambda: list(ours.scan()), "store-locked", "agent.db")
    refused(lambda: ours.write(plan_between([], tricky_records())), "store-locked", "nothing was changed")
    agent.execute("ROLLBACK")
    agent.close()
    ours.write(plan_between([], tricky_records()))


def test_a_disk_that_is_full_or_read_only_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "agent.db", NEWER, "INSERT INTO memories (id) VALUES ('a')")
    before = path.read_bytes()
    connect = sqlite_files._connect

    def small(*args: Any) -> sqlite3.Connection:
        db = connect(*args)
        db.execute("PRAGMA max_page_count = 5")
        return db

    monkeypatch.setattr(sqlite_files, "_connect", small)
    refused(lambda: store(path).write(plan_between([], tricky_records())), "disk-full", "agent.db")
    fresh = tmp_path / "fresh.db"
    refused(lambda: store(fresh, create=True).write(plan_between([], tricky_records())), "disk-full")
    assert not fresh.exists()
    monkeypatch.setattr(sqlite_files, "_connect", connect)
    monkeypatch.setattr(os, "access", lambda *args: False)  # tests may run as root, who may write anything
    refused(lambda: store(path).write(plan_between([], tricky_records())), "disk-error", "read-only")
    assert path.read_bytes() == before


def test_a_rule_of_the_table_refuses_before_anything_is_written(tmp_path: Path) -> None:
    path = make(tmp_path / "agent.db", "CREATE TABLE memories (id TEXT, content TEXT CHECK (length(content) < 5))")
    wanted = [record.from_json({"id": "a", "text": "ok"}), record.from_json({"id": "b", "text": "too long"})]
    refused(lambda: store(path).write(plan_between([], wanted)), "store-cannot-hold", "CHECK")
    assert read(path) == []


# -- writing -----------------------------------------------------------------------------------------------------


def test_rows_a_write_does_not_name_stay_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    shutil.copy(GOLDEN / "source.db", path)
    run(path, "ALTER TABLE memories ADD COLUMN secret BLOB")
    run(path, "UPDATE memories SET secret = x'00ff', tags = NULL WHERE id % 2")
    before = run(path, "SELECT rowid, * FROM memories")
    records = read(path)
    changed = record.from_json({**records[3].to_json(), "text": "changed"})
    wanted = [item for item in records if item.key not in (records[3].key, records[5].key)] + [changed]
    written = store(path).write(plan_between(records, wanted))
    assert (written.upserted, written.deleted) == (1, 1)
    after = run(path, "SELECT rowid, * FROM memories")
    assert [row for row in after if row[0] != 4] == [row for row in before if row[0] not in (4, 6)]
    assert [row for row in after if row[0] == 4] == [(*row[:3], "changed", *row[4:]) for row in before if row[0] == 4]
    assert "vex_carry" not in table_names(path)


def test_twin_rows_become_one_when_their_key_is_written(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    shutil.copy(GOLDEN / "memories.db", path)
    records = read(path)
    twin = next(item for item in records if sum(item.key == other.key for other in records) > 1)
    store(path).write(plan_between([], [twin]))
    assert [item.id for item in read(path) if item.key == twin.key] == [twin.id]
    assert len(read(path)) == len(records) - 1


def test_a_configuration_cannot_smuggle_statements_in(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    evil = [
        "CREATE TABLE memories (id TEXT, content TEXT); DROP TABLE memories",
        "CREATE TABLE memories AS SELECT 1 AS id, 2 AS content",
        "CREATE TABLE other (x)",
        "ATTACH 'x.db' AS x",
        "CREATE VIEW graph_edges AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON memories BEGIN UPDATE memories SET content = 'obey'; END",
        "CREATE TRIGGER t AFTER INSERT ON memories BEGIN DELETE FROM memories_fts; DELETE FROM memories; END",
        "CREATE VIRTUAL TABLE memories_fts USING rtree(a, b, c)",
        7,
    ]
    records = tricky_records()
    store(path, create=True).write(plan_between([], records, config={"schema": evil, "user_version": "x"}))
    check_holds(store(path), records)
    assert table_names(path) <= {"memories", "vex_carry"}
    assert run(path, "SELECT count(*) FROM sqlite_master WHERE type IN ('trigger', 'view')") == [(0,)]


# -- full text ---------------------------------------------------------------------------------------------------

_NEW = "INSERT INTO memories_fts(rowid, content) VALUES (new.rowid, new.content);"
_AI = f"CREATE TRIGGER m_ai AFTER INSERT ON memories BEGIN {_NEW} END"
_GONE = "INSERT INTO memories_fts(memories_fts, rowid, content) VALUES ('delete', old.rowid, old.content);"
_AD = f"CREATE TRIGGER m_ad AFTER DELETE ON memories BEGIN {_GONE} END"
_AU = f"CREATE TRIGGER m_au AFTER UPDATE OF content ON memories BEGIN {_GONE} {_NEW} END"
_EXTERNAL = "CREATE VIRTUAL TABLE memories_fts USING fts5(content, content='memories', content_rowid='rowid')"


@pytest.mark.parametrize(
    "ddl",
    [
        [_EXTERNAL, _AI, _AD, _AU],
        [_EXTERNAL, _AI],
        [_EXTERNAL],
        ["CREATE VIRTUAL TABLE memories_fts USING fts5(id UNINDEXED, content, tags)"],
        ["CREATE VIRTUAL TABLE memories_fts USING fts5(content)"],
        ["CREATE VIRTUAL TABLE memories_fts USING fts5(content)", _AI],
        ["CREATE VIRTUAL TABLE memories_fts USING fts5(content, content='')"],
        ["CREATE VIRTUAL TABLE memories_fts USING fts4(content)"],
        ['CREATE VIRTUAL TABLE memories_fts USING fts4(content, content="memories")'],
    ],
)
def test_the_full_text_index_keeps_step(tmp_path: Path, ddl: list[str]) -> None:
    path = make(tmp_path / "agent.db", NEWER, *ddl)
    ours = store(path)

    def search(word: str) -> int:
        found: int = run(path, "SELECT count(*) FROM memories_fts WHERE memories_fts MATCH ?", (word,))[0][0]
        return found

    first = [record.from_json({"id": f"m{n}", "text": f"tide number{n} first"}) for n in range(5)]
    second = [record.from_json({"id": f"m{n}", "text": f"ferry number{n} second"}) for n in range(3)]
    ours.write(plan_between([], first))
    assert (search("tide"), search("number3"), search("ferry")) == (5, 1, 0)
    ours.write(plan_between(first, [*second, first[4]]))
    assert (search("tide"), search("number3"), search("ferry"), search("number1")) == (1, 0, 3, 1)
    ours.write(plan_between([*second, first[4]], []))
    assert (search("tide"), search("ferry")) == (0, 0)
    if "fts5" in ddl[0]:
        run(path, "INSERT INTO memories_fts(memories_fts) VALUES ('integrity-check')")
    config = ours.describe().config
    again = tmp_path / "again.db"
    store(again, create=True).write(plan_between([], first, config=config))
    assert store(again).describe().config == config
    path = again
    assert search("tide") == 5


# -- what is carried, and the agent's edits -----------------------------------------------------------------------

RICH: dict[str, Any] = {
    "id": "mem_1",
    "text": "The ferry leaves at 07:15.",
    "vector": [0.1, 0.2, 0.3],
    "vectors": {"title": [1.0]},
    "model": "m",
    "dims": 3,
    "metadata": {"importance": 3, "tags": ["a", "b"], "source": {"page": 4}},
    "created_at": "2026-01-01T00:00:00Z",
    "vex_version": "1.0.0",
}


@pytest.fixture(
    params=["CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, importance, tags, vector, created_at)", NEWER]
)
def rich(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A database with one memory that it cannot hold natively."""
    path = make(tmp_path / "agent.db", request.param)
    store(path).write(plan_between([], [record.from_json(json.loads(json.dumps(RICH)))]))
    assert "vex_carry" in table_names(path)
    return path


def test_an_edit_wins_for_what_it_touched_and_the_rest_is_kept(rich: Path) -> None:
    run(rich, "UPDATE memories SET importance = 5, content = 'It leaves at 08:00.'")
    assert values(rich) == [{**RICH, "text": "It leaves at 08:00.", "metadata": {**RICH["metadata"], "importance": 5}}]
    run(rich, "UPDATE memories SET vector = ?, tags = NULL", (FLOATS,))
    found = values(rich)[0]
    assert found["vector"] == [0.5, -2.0, 0.25] and found["vectors"] == {"title": [1.0]} and found["model"] == "m"
    assert found["metadata"] == {"importance": 5, "source": {"page": 4}}
    assert read(rich)[0] == record.from_json(found)
    run(rich, "UPDATE memories SET vector = ?", (FLOATS[:8],))
    assert values(rich)[0]["dims"] == 2
    run(rich, "UPDATE memories SET vector = NULL")
    assert "vector" not in values(rich)[0] and values(rich)[0]["vectors"] == {"title": [1.0]}
    held = read(rich)
    store(rich).write(plan_between([], held))
    check_holds(store(rich), held)


def test_what_was_carried_goes_with_its_memory(rich: Path) -> None:
    run(rich, "DELETE FROM memories")
    assert read(rich) == []
    run(rich, "INSERT INTO memories (rowid, content, created_at) VALUES (1, 'another', 5)")
    run(rich, "UPDATE memories SET id = '9' WHERE typeof(id) != 'integer'")
    assert values(rich)[0]["text"] == "another" and "model" not in values(rich)[0]
    held = read(rich)
    store(rich).write(plan_between(held, [record.from_json({"id": "2", "text": "t"})]))
    assert run(rich, "SELECT native FROM vex_carry") == [("2",)]
    store(rich).write(plan_between(read(rich), []))
    assert "vex_carry" not in table_names(rich)


def test_a_memory_the_agent_moves_to_another_namespace_keeps_what_it_carries(tmp_path: Path) -> None:
    path = make(tmp_path / "agent.db", NEWER)
    store(path).write(plan_between([], [record.from_json(json.loads(json.dumps({**RICH, "namespace": "a"})))]))
    run(path, "UPDATE memories SET namespace = 'b'")
    assert values(path) == [{**RICH, "namespace": "b"}]
    store(path).write(plan_between([], [record.from_json({"id": "x", "text": "y"})]))
    assert {**RICH, "namespace": "b"} in values(path)


@pytest.mark.parametrize("ddl", ["CREATE TABLE memories (id TEXT, content TEXT)", NEWER])
def test_rows_that_were_renumbered_find_what_they_carry(tmp_path: Path, ddl: str) -> None:
    path = make(tmp_path / "agent.db", ddl)
    records = tricky_records()
    store(path).write(plan_between([], records))
    run(path, "DELETE FROM memories WHERE rowid < 6")
    run(path, "VACUUM")
    kept = read(path)
    assert {item.id for item in kept} <= {item.id for item in records} and len(kept) == len(records) - 5
    store(path).write(plan_between(kept, records))
    check_holds(store(path), records)


def test_nothing_is_carried_for_memories_of_the_store_itself(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    shutil.copy(GOLDEN / "ns.db", path)
    records = read(path)
    store(path).write(plan_between(records, []))
    store(path).write(plan_between([], records))
    check_holds(store(path), records)
    assert table_names(path) == {"memories"}
    rich = record.from_json(json.loads(json.dumps(RICH)))
    store(path).write(plan_between(records, [*records, rich]))
    assert "vex_carry" in table_names(path)
    store(path).write(plan_between([*records, rich], records))
    assert table_names(path) == {"memories"}


def test_damaged_carried_data_is_named(rich: Path) -> None:
    run(rich, "UPDATE vex_carry SET body = x'7b'")
    refused(lambda: read(rich), "not-json", "agent.db", "vex_carry")


def test_an_edge_follows_a_memory_that_has_another_native_id(tmp_path: Path) -> None:
    from vexrepo.objects import edge

    path = make(tmp_path / "agent.db", "CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT)")
    records = [record.from_json({"id": name, "text": name}) for name in ("mem_a", "mem_b")]
    link = edge.from_json({"source": "mem_a", "target": "mem_b", "type": "causal", "id": "1", "table": "memory_edges"})
    store(path).write(plan_between([], records, [], [link]))
    assert list(store(path).edges()) == [link]
    ((source, target),) = run(path, "SELECT source_id, target_id FROM memory_edges")
    assert run(path, "SELECT id FROM memories ORDER BY content") == [(source,), (target,)]
    run(path, "UPDATE memory_edges SET weight = 0.5")
    assert next(store(path).edges()).to_json()["weight"] == 0.5


# -- reconciliation, as a law -------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", 0.5])
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
)
numbers = st.lists(st.sampled_from([0.5, -0.0, 0.1, 1e300]), min_size=1, max_size=3)


@st.composite
def records(draw: st.DrawFn) -> Record:
    value = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "text": scalars,
                "metadata": json_values,
                "model": st.sampled_from([None, "m", "n", 5]),
                "vector": st.none() | st.just([]) | numbers,
                "vectors": st.dictionaries(st.sampled_from("tu"), numbers, max_size=2),
                "created_at": scalars,
                "odd": json_values,
            },
        )
    )
    if isinstance(value.get("vector"), list) and value["vector"] and draw(st.booleans()):
        value["dims"] = len(value["vector"])
    return record.from_json({"id": "a", **value})


@given(records(), records(), records())
def test_reconciling_applies_exactly_what_changed(original: Record, then: Record, now: Record) -> None:
    assert reconcile(original, then, then) == original
    assert reconcile(then, then, now) == now
    assert reconcile(original, original, now) == now
    result = reconcile(original, then, now)
    assert result == record.from_json(result.to_json())
    before, after, kept, found = (item.to_json() for item in (then, now, original, result))
    for name in ("text", "created_at", "model"):
        if name in before and name in after and is_same(before[name], after[name]):
            assert is_same(found.get(name), kept.get(name))
        elif name in after:
            assert is_same(found[name], after[name])
        elif name in before:
            assert name not in found


@given(json_values, json_values, json_values)
def test_reconciled_values_keep_their_inputs(original: Any, then: Any, now: Any) -> None:
    copies = json.dumps([original, then, now])
    result = reconcile_value(original, then, now)
    assert json.dumps([original, then, now]) == copies
    assert reconcile_value(result, then, now) is not None or now is None or result is None


@given(records(), st.booleans())
def test_packed_vectors_come_back(item: Record, with_native: bool) -> None:
    native = item.vectors[0].row if with_native and item.vectors else None
    assert unpack_vectors(*pack_vectors(item.vectors, native), native) == item.vectors


def test_keys_name_their_place(tmp_path: Path) -> None:
    path = make(tmp_path / "agent.db", NEWER, "INSERT INTO memories (id, namespace) VALUES ('a', 'n')")
    ((item,),) = store(path).scan()
    assert item.record.key == make_key("n", "a") and item.place == 1
    assert store(path).place(item.place) == f"{path} row 1"
