"""Tables of PostgreSQL as a repository meets them: others' layouts, other writers, and trouble."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.contract.postgres import LOCKED, PASSWORD, address, new_database, run, server
from tests.contract.test_pgvector import ORIGINAL
from tests.property.strategies import attempt
from vexrepo.errors import StoreError, VexError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores import pgvector, pgvector_session
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.pgvector import PgvectorStore
from vexrepo.remotes.stores.pgvector_errors import store_error
from vexrepo.remotes.stores.pgvector_table import parse_index
from vexrepo.repository import Repository, Surroundings
from vexrepo.testing.stores import check_holds, plan_between

WIRE = Path(__file__).parents[1] / "interop" / "wire"
UUID = "8ac1c623-a897-4cd0-8d32-383f79ffc623"
OURS = {"content", "namespace", "model", "created_at", "metadata", "vector", "_vex", "id"}


@pytest.fixture
def database() -> str:
    return new_database()


def memory(count: int = 20, **more: Any) -> list[Record]:
    return [
        from_json({"id": f"m{n:02}", "text": f"note {n}", "vector": [n / 4, 1.0, 0.1], "dims": 3, **more})
        for n in range(count)
    ]


def fill(where: Address, records: list[Record]) -> None:
    with PgvectorStore.open(where, create=True) as store:
        store.write(plan_between([], records))


def read(where: Address) -> dict[str, dict[str, Any]]:
    with PgvectorStore.open(where) as store:
        values = [item.record.to_json() for batch in store.scan() for item in batch]
    return {value["id"]: value for value in values}


def repository(tmp_path: Path) -> Repository:
    times = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))
    return Repository.init(tmp_path, Surroundings(now_us=lambda: next(times)))


def file_of(tmp_path: Path, records: list[Record]) -> Address:
    where = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    with JsonlStore.open(where, create=True) as store:
        store.write(plan_between([], records))
    return where


# -- layouts -----------------------------------------------------------------------------------------------------------


def golden(database: str) -> Address:
    rows = [json.loads(line) for line in (WIRE / "pgvector.rows.jsonl").read_text().splitlines()]
    indexes = (WIRE / "pgvector.indexes.txt").read_text().splitlines()
    run(database, ORIGINAL.replace("vector(6)", "vector(3)"), *indexes[1:])
    with server().connect(database) as connection:
        for row in rows:
            names = ", ".join(row)
            held = [json.dumps(value) if isinstance(value, dict) else value for value in row.values()]
            marks = ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO vex_memories ({names}) VALUES ({marks})".encode(), held)
    return address(database)


def test_what_the_original_tool_wrote_is_read_with_all_it_says(database: str) -> None:
    found = read(golden(database))
    exported = [json.loads(line) for line in (WIRE / "pgvector.export.vmig.jsonl").read_text().splitlines()]
    for value in exported:
        for member in ("id", "text", "namespace", "created_at", "vector"):
            got = found[value["id"]].get(member)
            assert (got if member != "vector" or got is None else [round(n, 6) for n in got]) == value[member]
    assert found["p1"]["metadata"] == {
        "importance": 4,
        "tags": ["a", "b"],
        "entities": ["Maren", "Ravi"],
        "potential": ["q1", "q2"],
        "extra": "E",
        "source": "vex",
    }
    assert found["p2"]["metadata"] == {"importance": 0.6, "tags": "", "entities": "", "potential": "", "source": "vex"}


def test_what_is_written_into_the_original_tools_table_is_what_its_readers_expect(database: str) -> None:
    where = golden(database)
    fill(
        where,
        [
            from_json(
                {
                    "id": "n",
                    "text": "new",
                    "created_at": "2026-05-29T10:23:00.000Z",
                    "metadata": {"tags": ["x", "y"], "potential": ["q", "r"], "importance": 2, "topic": "tides"},
                }
            )
        ],
    )
    columns = "content, created_at, tags, potential, importance, metadata"
    ((*plain, metadata),) = run(database, f"SELECT {columns} FROM vex_memories WHERE id = 'n'")
    assert plain == ["new", 1780050180, "x,y", "q|||r", 2.0]
    assert isinstance(metadata, dict) and metadata["topic"] == "tides" and metadata["tags"] == ["x", "y"]
    assert read(where)["n"]["created_at"] == "2026-05-29T10:23:00.000Z"


def test_a_table_made_again_is_set_up_as_it_was(database: str, tmp_path: Path) -> None:
    where = golden(database)
    run(database, "CREATE INDEX ON vex_memories USING ivfflat (vector vector_l2_ops) WITH (lists = 7)")
    kept = repository(tmp_path)
    first = kept.commit("first", store=where)
    assert first.id is not None
    other = address(new_database(), table="Another one")
    kept.checkout(first.id, other)
    with PgvectorStore.open(where) as a, PgvectorStore.open(other) as b:
        one, two = a.describe().config, b.describe().config
    assert {**two["columns"], "_vex": ""} == {**one["columns"], "_vex": ""}
    assert [index["opclass"] for index in two["indexes"]] == ["vector_cosine_ops", "vector_l2_ops"]
    assert two["indexes"] == one["indexes"]
    assert two["indexes"][0]["parameters"] == {"m": 16, "ef_construction": 64}
    assert kept.status(other).is_clean


def test_what_a_strangers_configuration_says_is_no_statement(database: str) -> None:
    evil = {
        "columns": {"id": "text; DROP TABLE x", 'a" text); DROP TABLE x; --': "text", "vector": "vector(3)"},
        "id": "id",
        "vector": "vector",
        "indexes": [
            {"column": "vector", "method": "hnsw; DROP", "opclass": "vector_l2_ops", "parameters": {}},
            {"column": "vector", "method": "hnsw", "opclass": "vector_l2_ops) ; --", "parameters": {"m": 4}},
            {"column": "vector", "method": "hnsw", "opclass": "vector_l2_ops", "parameters": {"m": "4); DROP", "x": 1}},
            "no index",
        ],
    }
    where = address(database)
    with PgvectorStore.open(where, create=True) as store:
        store.write(plan_between([], memory(), config=evil))
        check_holds(store, memory())
        assert set(store.describe().config["columns"]) == OURS
        assert len(store.describe().config["indexes"]) == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("hnsw", "vector_l2_ops", "v", ["m=4", "ef_construction=9"]), ("v", {"m": 4, "ef_construction": 9}, "")),
        (("ivfflat", "halfvec_ip_ops", '"a ""b"', []), ('a "b', {}, "")),
        (("hnsw", "halfvec_cosine_ops", "(v::halfvec(3))", []), ("v", {}, "halfvec(3)")),
        (("hnsw", "halfvec_cosine_ops", '("V x"::extensions.halfvec(3))', []), ("V x", {}, "halfvec(3)")),
        (("btree", "text_ops", "v", []), None),
        (("hnsw", "bit_hamming_ops", "v", []), None),
    ],
)
def test_indexes_are_understood(row: Any, expected: Any) -> None:
    found = parse_index(*row)
    assert (found and (found.column, found.parameters, found.cast)) == expected


def test_a_table_with_an_index_on_a_cast_is_made_again(database: str) -> None:
    run(
        database,
        "CREATE TABLE vex_memories (id text PRIMARY KEY, content text, v vector(3))",
        "CREATE INDEX ON vex_memories USING hnsw ((v::halfvec(3)) halfvec_cosine_ops)",
    )
    with PgvectorStore.open(address(database)) as store:
        config = store.describe().config
    assert config["indexes"][0]["cast"] == "halfvec(3)"
    other = address(new_database())
    with PgvectorStore.open(other, create=True) as store:
        store.write(plan_between([], memory(), config=config))
        assert store.describe().config["indexes"] == config["indexes"]
        check_holds(store, memory())


def test_a_new_table_is_indexed_for_cosine_unless_told_otherwise(database: str) -> None:
    fill(address(database), memory())
    fill(address(database, table="b", index="none"), memory())
    found = {str(name) for (name,) in run(database, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'")}
    assert [text for text in found if "hnsw" in text and "vector_cosine_ops" in text and "vex_memories" in text]
    assert not [text for text in found if "hnsw" in text and " public.b " in text]


def sparse(indices: list[int], values: list[float]) -> dict[str, Any]:
    return {"indices": indices, "values": values}


def test_named_and_sparse_vectors_get_columns(database: str) -> None:
    records = [
        from_json(
            {
                "id": "a",
                "vector": [1.0, 2.0],
                "vectors": {"title": [0.5, 0.25, 0.125], "words": sparse([3, 70_000], [0.5, 2.0])},
            }
        ),
        from_json({"id": "b", "vectors": {"title": [0.5, 0.25, 0.5], "words": sparse([9, 2], [0.5, 2.0])}}),
        from_json({"id": "c", "vectors": {"content": [1.0], "words": sparse([1], [0.0])}}),
    ]
    fill(address(database), records)
    with PgvectorStore.open(address(database)) as store:
        check_holds(store, records)
        columns = store.describe().config["columns"]
    assert (columns["title"], columns["words"], columns["vector"]) == ("vector(3)", "sparsevec", "vector(2)")
    assert run(database, "SELECT words::text FROM vex_memories ORDER BY id")[0] == ("{4:0.5,70001:2}/1000000000",)


@pytest.mark.parametrize(
    ("ddl", "insert", "expected"),
    [
        (  # LangChain
            (
                "CREATE TABLE t (id varchar PRIMARY KEY, collection_id uuid, embedding vector(2), document varchar, "
                "cmetadata jsonb)"
            ),
            f"""('x', '{UUID}', '[1,2]', 'note', '{{"source": "s"}}')""",
            {
                "id": "x",
                "text": "note",
                "vector": [1.0, 2.0],
                "metadata": {"source": "s", "collection_id": UUID},
            },
        ),
        (  # Mem0
            "CREATE TABLE t (id uuid PRIMARY KEY, vector vector(2), payload jsonb)",
            f"""('{UUID}', '[1,2]', '{{"data": "note", "user_id": "u", "created_at": "2026"}}')""",
            {
                "id": UUID,
                "text": "note",
                "vector": [1.0, 2.0],
                "created_at": "2026",
                "metadata": {"user_id": "u"},
            },
        ),
        (  # LlamaIndex
            (
                "CREATE TABLE t (id bigserial PRIMARY KEY, text varchar NOT NULL, metadata_ json, node_id varchar, "
                "embedding vector(2))"
            ),
            "(7, 'note', '{\"a\": {\"b\": [1, 2.5]}}', 'n1', '[1,2]')",
            {"id": "7", "text": "note", "vector": [1.0, 2.0], "metadata": {"a": {"b": [1, 2.5]}, "node_id": "n1"}},
        ),
        (  # somebody's own
            (
                "CREATE TABLE t (key text UNIQUE, story text, vec halfvec(2), at timestamptz, n numeric, f real, "
                "tags text[], b bytea)"
            ),
            r"('k', 'note', '[1,2]', '2026-05-29 12:23:00+02', 12345678901234567890.5, 0.1, '{a,b}', '\x0102')",
            {
                "id": "k",
                "text": "note",
                "vector": [1.0, 2.0],
                "metadata": {
                    "at": "2026-05-29T10:23:00+00:00",
                    "n": 12345678901234567000,
                    "f": 0.1,
                    "tags": ["a", "b"],
                    "b": r"\x0102",
                },
            },
        ),
    ],
)
def test_tables_of_others_are_understood(database: str, ddl: str, insert: str, expected: dict[str, Any]) -> None:
    run(database, ddl, f"INSERT INTO t VALUES {insert}")
    where = address(database, table="t")
    assert read(where)[expected["id"]] == expected
    before = run(database, "SELECT to_jsonb(t) FROM t")
    fill(where, [from_json({**expected})])
    if "numeric" not in ddl:  # its digits are more than a double has
        assert run(database, "SELECT to_jsonb(t) FROM t") == before
    assert read(where)[expected["id"]] == expected


REQUIRED = """CREATE TABLE notes (id text PRIMARY KEY, content filled NOT NULL, ip inet NOT NULL, tags text[] NOT NULL,
  rank rank NOT NULL, span int4range NOT NULL, for_s interval NOT NULL, embedding vector(2), grid int[], short short,
  ranks ranks, meta jsonb)"""


def test_columns_that_must_not_be_null_or_are_of_domains_and_arrays_are_written_as_they_were(database: str) -> None:
    run(
        database,
        "CREATE DOMAIN filled AS text CHECK (value <> '')",
        "CREATE DOMAIN rank AS int CHECK (value > 0)",
        "CREATE DOMAIN low AS rank CHECK (value < 10)",
        "CREATE DOMAIN short AS varchar(3)",
        "CREATE DOMAIN ranks AS int[]",
        REQUIRED.replace("rank rank", "rank low"),
        "INSERT INTO notes SELECT n, 'note ' || n, '10.0.0.1', '{a,NULL}', n, '[1,3)', '2 min', '[1,2]', "
        "'{{1,2},{3,NULL}}', 'abc', '{4,NULL}', '{\"k\": 1}' "
        "FROM generate_series(1, 4) n",
    )
    where, rows = address(database, table="notes"), "SELECT to_jsonb(n) FROM notes n ORDER BY id"
    before, kept = run(database, rows), [from_json(each) for each in read(where).values()]
    run(database, "UPDATE notes SET content = 'other', rank = 9 WHERE id = '2'", "DELETE FROM notes WHERE id = '3'")
    fill(where, kept)
    assert run(database, rows) == before
    with pytest.raises(StoreError, match="nothing was written") as raised:
        fill(where, [*kept, from_json({"id": "5", "text": "says nothing of the rest", "vector": [1.0, 2.0]})])
    assert raised.value.code == "store-cannot-hold" and run(database, rows) == before


def test_columns_that_the_server_makes_itself_are_neither_read_nor_written(database: str) -> None:
    run(
        database,
        """CREATE TABLE vex_memories (id text PRIMARY KEY, content text, vector vector(3), metadata jsonb,
             halves halfvec(3) GENERATED ALWAYS AS (vector::halfvec(3)) STORED,
             words text GENERATED ALWAYS AS (upper(content)) STORED,
             payload jsonb GENERATED ALWAYS AS ('{}') STORED)""",
    )
    records = [*memory(), from_json({"id": "z", "vectors": {"halves": [1.0, 2.0, 3.0]}, "metadata": {"words": "w"}})]
    with PgvectorStore.open(address(database)) as store:
        store.write(plan_between([], records))
        check_holds(store, records)
        changed = memory(text="changed")
        store.write(plan_between(records, changed))
        check_holds(store, changed)
        assert set(store.held_spaces() or ()) == {""}
    (row,) = run(database, "SELECT halves::text, words FROM vex_memories WHERE id = 'm04'")
    assert row == ("[1,1,0.099975586]", "CHANGED")
    with pytest.raises(StoreError) as raised:
        read(address(database, vector="halves"))
    assert raised.value.code == "store-schema" and "can be written" in str(raised.value)


def test_columns_can_be_named(database: str) -> None:
    run(
        database,
        "CREATE TABLE t (id text PRIMARY KEY, code text UNIQUE, content text, story text, a vector(2), b vector(2))",
        "INSERT INTO t VALUES ('1', 'c1', 'title', 'long', '[1,2]', '[3,4]')",
    )
    where = address(database, table="t", id="code", text="story", vector="b")
    assert read(where) == {
        "c1": {
            "id": "c1",
            "text": "long",
            "vector": [3.0, 4.0],
            "vectors": {"a": [1.0, 2.0]},
            "metadata": {"id": "1", "content": "title"},
        }
    }
    with pytest.raises(StoreError) as raised:
        read(address(database, table="t", vector="content"))
    assert raised.value.code == "store-schema" and "it has a, b" in str(raised.value)


def test_a_table_without_ids_is_refused_with_what_to_do(database: str) -> None:
    run(database, "CREATE TABLE t (x text, v vector(2))")
    with pytest.raises(StoreError) as raised:
        read(address(database, table="t"))
    assert raised.value.code == "store-schema" and "?id=COLUMN" in str(raised.value)


def test_a_column_and_a_member_of_one_name_are_both_kept(database: str) -> None:
    run(
        database,
        "CREATE TABLE t (id text PRIMARY KEY, content text, source text, metadata jsonb)",
        """INSERT INTO t VALUES ('a', 'x', 'column', '{"source": "member", "n": 1}')""",
    )
    found = read(address(database, table="t"))["a"]["metadata"]
    assert found == {"source": "column", "metadata": {"source": "member"}, "n": 1}


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("id text PRIMARY KEY, document text, cmetadata jsonb", """'a', 'x', '{"id": "doc-1", "n": 1}'"""),
        ("uuid text PRIMARY KEY, id bigint NOT NULL, document text, cmetadata jsonb", """'a', 7, 'x', '{"n": 1}'"""),
    ],
)
def test_a_member_called_id_stays_where_others_wrote_it(database: str, columns: str, values: str) -> None:
    run(database, f"CREATE TABLE t ({columns})", f"INSERT INTO t VALUES ({values})")
    ((before,),) = run(database, "SELECT to_jsonb(t) FROM t")
    with PgvectorStore.open(address(database, table="t")) as store:
        records = [item.record for batch in store.scan() for item in batch]
        edited = [from_json({**each.to_json(), "text": "edited"}) for each in records]
        store.write(plan_between(records, edited))
        check_holds(store, edited)
    assert isinstance(before, dict)
    assert run(database, "SELECT to_jsonb(t) FROM t") == [({**before, "document": "edited"},)]


def test_what_a_table_has_that_is_not_made_again_is_said_where_another_one_is_made(database: str) -> None:
    run(
        database,
        "CREATE TABLE data_x (id bigserial PRIMARY KEY, text varchar NOT NULL, metadata_ json, node_id varchar UNIQUE, "
        "embedding vector(2), tsv tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED)",
        "CREATE INDEX by_doc ON data_x ((metadata_->>'doc'))",
        "CREATE INDEX near ON data_x USING hnsw (embedding vector_cosine_ops)",
        """INSERT INTO data_x (text, metadata_, embedding) VALUES ('x', '{"doc": 1}', '[1, 2]')""",
    )
    heard: list[str] = []
    other = replace(address(database, table="copy"), reach=Reach(notice=heard.append))
    with PgvectorStore.open(address(database, table="data_x")) as store:
        records = [item.record for batch in store.scan() for item in batch]
        config = store.kept_config()
    assert config["left"] == [
        "generated column tsv", "default of id", "NOT NULL of text", "constraint data_x_node_id_key", "index by_doc"
    ]  # fmt: skip
    with PgvectorStore.open(other, create=True) as copy:
        copy.rehearse(plan_between([], records, config=config))
        assert len(heard) == 1 and "generated column tsv, default of id" in heard[0] and "by hand" in heard[0]
        copy.write(plan_between([], records, config={**config, "left": [f"\x1b[31m{n}" for n in range(25)]}))
        assert "\x1b" not in heard[1] and "and 5 more" in heard[1]
        check_holds(copy, records)
        copy.write(plan_between(records, [], config=config))
    assert len(heard) == 2  # what is there is not made


# -- other writers -----------------------------------------------------------------------------------------------------


def test_status_does_not_read_a_table_that_is_as_it_was(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, kept = address(database), repository(tmp_path)
    first = kept.commit("first", store=file_of(tmp_path, memory()))
    assert first.id is not None
    kept.checkout(first.id, where)

    def no_reading(store: PgvectorStore) -> Iterator[Any]:
        raise AssertionError("the table was read")

    with monkeypatch.context() as patched:
        patched.setattr(PgvectorStore, "_copied", no_reading)
        assert kept.status(where).is_clean
    run(database, "UPDATE vex_memories SET content = content WHERE id = 'm03'")
    assert kept.status(where).is_clean  # read, and found to be the same
    run(
        database,
        "UPDATE vex_memories SET content = 'other' WHERE id = 'm03'",
        "DELETE FROM vex_memories WHERE id = 'm04'",
    )
    status = kept.status(where)
    assert (status.learned, status.changed, status.forgotten) == (0, 1, 1)


@pytest.mark.parametrize(
    ("change", "is_quick"),
    [
        ("SELECT 1", True),
        ("ALTER TABLE vex_memories ADD COLUMN mood text DEFAULT 'calm'", False),
        ("CREATE TABLE more () INHERITS (vex_memories); INSERT INTO more (id) VALUES ('m50')", False),
        ("ALTER TABLE vex_memories RENAME TO t; CREATE VIEW vex_memories AS SELECT * FROM t", False),
        ("ALTER TABLE vex_memories ENABLE ROW LEVEL SECURITY", False),
    ],
    ids=["ours", "column", "child", "view", "policies"],
)
def test_rows_of_tables_of_ours_are_read_without_the_way_through_points(
    database: str, monkeypatch: pytest.MonkeyPatch, change: str, is_quick: bool
) -> None:
    fill(address(database), memory(metadata={"n": 1.5, "at": "x"}, created_at="2026-05-29T10:23:00.000Z"))
    run(database, change)
    ways: list[str] = []
    read_points = PgvectorStore.read_points

    def by_points(store: PgvectorStore) -> Any:
        ways.append("points")
        return read_points(store)

    monkeypatch.setattr(PgvectorStore, "read_points", by_points)
    found = read(address(database))
    assert len(found) == 20 + ("m50" in change) and found["m03"]["vector"] == [0.75, 1.0, 0.1]
    assert found["m03"]["metadata"].items() >= {"n": 1.5, "at": "x"}.items() and found["m03"]["dims"] == 3
    assert ways == ([] if is_quick else ["points"])


def test_numbers_that_only_jsonb_holds_are_read_and_left_alone(database: str, tmp_path: Path) -> None:
    where, kept = address(database), repository(tmp_path)
    fill(where, memory(4, metadata={"n": 1}))
    for key, number in (("m01", "1e400"), ("m02", "1e400 + 0.5"), ("m03", "0.1234567890123456789")):
        run(database, f"UPDATE vex_memories SET metadata = jsonb_build_object('n', {number}) WHERE id = '{key}'")
    held = run(database, "SELECT metadata::text FROM vex_memories ORDER BY id")
    found = read(where)
    assert found["m01"]["metadata"] == {"n": 10**400}
    assert "000.5" in str(found["m02"]["metadata"]) and found["m03"]["metadata"]["n"] == 0.12345678901234568
    kept.commit("first", store=where)
    assert kept.status(where).is_clean
    assert run(database, "SELECT metadata::text FROM vex_memories ORDER BY id") == held


@pytest.mark.parametrize("change", ["ADD COLUMN mood text DEFAULT 'calm'", "DROP COLUMN topic"])
def test_status_notices_a_column_that_comes_or_goes(database: str, tmp_path: Path, change: str) -> None:
    run(
        database,
        "CREATE TABLE notes (id text PRIMARY KEY, content text, topic text, vector vector(3))",
        "INSERT INTO notes VALUES ('a', 'one', 'tides', '[1,2,3]'), ('b', 'two', NULL, NULL)",
    )
    where = address(database, table="notes")
    kept = repository(tmp_path)
    kept.commit("first", store=where)
    assert kept.status(where).is_clean
    # No row is written: each has the place and the transaction it had.
    before = run(database, "SELECT ctid::text, xmin::text FROM notes ORDER BY id")
    run(database, f"ALTER TABLE notes {change}")
    assert run(database, "SELECT ctid::text, xmin::text FROM notes ORDER BY id") == before
    assert kept.status(where).changed


def test_what_an_agent_writes_meanwhile_is_not_overwritten(database: str, tmp_path: Path) -> None:
    where, kept = address(database), repository(tmp_path)
    first = kept.commit("first", store=file_of(tmp_path, memory()))
    second = kept.commit("second", store=file_of(tmp_path, memory(10, model="m")))
    assert first.id is not None and second.id is not None
    kept.checkout(first.id, where)
    with PgvectorStore.open(where, create=True) as store:
        plan = replace(plan_between(memory(), memory(10, model="m")), expected=store.describe().fingerprint)
        run(database, "UPDATE vex_memories SET content = 'by the agent' WHERE id = 'm03'")
        assert attempt(lambda: store.write(plan))[1] == "store-changed"
    assert read(where)["m03"]["text"] == "by the agent" and len(read(where)) == 20


def test_a_table_that_somebody_holds_is_waited_for_not_forever(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgvector_session, "LOCK_WAIT", "100ms")
    where = address(database)
    fill(where, memory(3))
    with server().connect(database) as other, other.transaction():
        other.execute("UPDATE vex_memories SET content = 'x' WHERE id = 'm00'")
        with pytest.raises(StoreError) as raised:
            fill(where, memory(4))
    assert raised.value.code == "store-locked" and "run the command again" in str(raised.value)


def test_limits_of_time_that_a_user_has_do_not_end_a_write_in_the_middle(database: str) -> None:
    limits = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
    run(database, *(f"ALTER DATABASE {database} SET {each} = '10min'" for each in limits))
    with PgvectorStore.open(address(database), create=True) as store:
        for _ in range(2):
            with store._session.transaction("write") as connection:
                found = [connection.execute(f"SHOW {each}".encode()).fetchone() for each in limits]
                assert found == [("0",)] * 3
            assert store._session.connection.execute("SHOW statement_timeout").fetchone() == ("10min",)  # as it was
        store.write(plan_between([], memory()))


def test_a_connection_that_ends_in_the_middle_leaves_everything_as_it_was(database: str) -> None:
    where = address(database)
    fill(where, memory(3))
    with PgvectorStore.open(where, create=True) as store:
        store.batch_points = store.most_points = 5  # type: ignore[misc]

        def cut(count: int) -> None:
            run("postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

        plan = replace(plan_between(memory(3), memory(60, model="m")), advance=cut)
        with pytest.raises(StoreError) as raised:
            store.write(plan)
    assert raised.value.code == "store-unreachable" and "is not there at all" in str(raised.value)
    assert read(where) == {value["id"]: value for value in (item.to_json() for item in memory(3))}
    fill(where, memory(60, model="m"))
    with PgvectorStore.open(where) as store:
        check_holds(store, memory(60, model="m"))


def test_two_rows_of_one_id_are_told(database: str, tmp_path: Path) -> None:
    run(
        database,
        "CREATE TABLE t (id text, content text)",
        "INSERT INTO t VALUES ('a', 'x'), ('b', 'y'), ('a', 'z')",
    )
    kept = repository(tmp_path)
    assert attempt(lambda: kept.commit("first", store=address(database, table="t")))[1] == "duplicate-key"


# -- trouble -----------------------------------------------------------------------------------------------------------


def test_a_password_is_used_and_never_shown(database: str) -> None:
    run(database, f"GRANT ALL ON SCHEMA public TO {LOCKED}", f"GRANT {LOCKED} TO CURRENT_USER")
    right = replace(address(database, user=LOCKED), secrets={"password": lambda: PASSWORD})
    fill(right, memory(2))
    assert len(read(right)) == 2
    for secrets in ({}, {"password": lambda: PASSWORD + "x"}):
        wrong = replace(address(database, user=LOCKED), secrets=secrets)
        with pytest.raises(StoreError) as raised:
            read(wrong)
        said = str(raised.value)
        assert raised.value.code == "store-refused" and PASSWORD not in said and "PGPASSWORD" in said
        assert raised.value.__cause__ is None
    assert PASSWORD not in repr(right) and PASSWORD not in str(right)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda a: replace(a, location="//postgres@/nowhere"), "store-missing", "no such database"),
        (lambda a: replace(a, options={**a.options, "table": "nothing"}), "store-missing", '"nothing"'),
        (lambda a: replace(a, options={"host": "/nonexistent"}), "store-unreachable", "is it running"),
        (lambda a: Address("pgvector", "//nobody@127.0.0.1:1/db"), "store-unreachable", "is it running"),
        (lambda a: Address("pgvector", "//nobody@host:port/db"), "bad-address", "expected a number"),
        (lambda a: replace(a, options={**a.options, "index": "best"}), "bad-address", "hnsw"),
        (lambda a: replace(a, options={**a.options, "tabel": "x"}), "bad-address", "tabel"),
    ],
)
def test_what_is_wrong_is_said(database: str, change: Callable[[Address], Address], code: str, words: str) -> None:
    fill(address(database), memory(1))
    with pytest.raises(VexError) as raised:
        read(change(address(database)))
    assert raised.value.code == code and words in str(raised.value)


def test_a_user_who_may_only_read_reads_and_is_told(database: str) -> None:
    fill(address(database), memory(3))
    run(database, "GRANT SELECT ON vex_memories TO reader")
    where = address(database, user="reader")
    assert len(read(where)) == 3
    for records in (memory(4), memory(2)):
        with pytest.raises(StoreError) as raised, PgvectorStore.open(where, create=True) as store:
            store.write(plan_between(memory(3), records))
        assert raised.value.code == "store-refused"
    with pytest.raises(StoreError) as raised:
        fill(address(database, user="reader", table="new"), memory(1))
    assert raised.value.code == "store-refused"
    run(database, "CREATE TABLE bare (id text PRIMARY KEY, v vector(3))", "GRANT ALL ON bare TO reader")
    with pytest.raises(StoreError) as raised:
        fill(address(database, user="reader", table="bare"), memory(1))
    assert raised.value.code == "store-refused" and "ADD COLUMN _vex" in str(raised.value)
    assert run(database, "SELECT count(*) FROM bare") == [(0,)]


def test_rows_that_are_hidden_from_the_user_are_told_of_and_never_written_over(database: str) -> None:
    fill(address(database), memory(4))
    run(
        database,
        "ALTER TABLE vex_memories ENABLE ROW LEVEL SECURITY",
        "GRANT ALL ON vex_memories TO reader",
        "CREATE POLICY own ON vex_memories TO reader USING (id <> 'm01')",
    )
    told: list[str] = []
    where = replace(address(database, user="reader"), reach=Reach(notice=told.append))
    assert sorted(read(where)) == ["m00", "m02", "m03"]
    assert len(told) == 1 and "row-level security" in told[0]
    # What seems to be missing is not written into the hidden row's place, or beside it.
    before = run(database, "SELECT id, content FROM vex_memories ORDER BY id")
    with pytest.raises(StoreError) as raised, PgvectorStore.open(where, create=True) as store:
        store.write(plan_between([memory(4)[n] for n in (0, 2, 3)], memory(4, model="m")))
    assert raised.value.code in ("store-refused", "store-cannot-hold") and "nothing was written" in str(raised.value)
    assert run(database, "SELECT id, content FROM vex_memories ORDER BY id") == before
    told.clear()
    read(replace(address(database), reach=Reach(notice=told.append)))
    assert told == []  # its owner sees all


def test_what_a_rule_of_the_table_refuses_leaves_it_as_it_was(database: str) -> None:
    run(database, "CREATE TABLE t (id text PRIMARY KEY, content text CHECK (content <> 'note 5'), metadata jsonb)")
    where = address(database, table="t")
    with pytest.raises(StoreError) as raised:
        fill(where, memory(20))
    assert raised.value.code == "store-cannot-hold" and read(where) == {}


def test_numbers_beyond_a_columns_range_are_refused_before_anything_is_written(database: str) -> None:
    run(database, "CREATE TABLE t (id integer PRIMARY KEY, content text, metadata jsonb)")
    where = address(database, table="t")
    assert attempt(lambda: fill(where, [from_json({"id": "5"}), from_json({"id": "a"})]))[1] == "store-cannot-hold"
    assert read(where) == {}
    fill(where, [from_json({"id": "5"})])
    assert list(read(where)) == ["5"]


def test_ids_that_are_too_long_for_the_column_are_made_anew(database: str) -> None:
    run(database, "CREATE TABLE t (id varchar(36) PRIMARY KEY, content text, metadata jsonb)")
    where = address(database, table="t")
    records = [from_json({"id": each, "text": "a"}) for each in ("short", "x" * 36, "ü" * 36, "x" * 37, "ü" * 37)]
    fill(where, records)
    with PgvectorStore.open(where) as store:
        check_holds(store, records)
    natives = [str(row[0]) for row in run(database, "SELECT id FROM t ORDER BY length(id)")]
    assert sorted(natives)[:1] == ["short"] and len([each for each in natives if each.startswith("vex-")]) == 2


def test_ids_that_cannot_be_made_anew_for_the_column_are_refused_before_anything_is_written(database: str) -> None:
    run(database, "CREATE TABLE t (id varchar(20) PRIMARY KEY, content text, metadata jsonb)")
    where = address(database, table="t")
    fill(where, memory(3))
    with pytest.raises(StoreError) as raised:
        fill(where, [from_json({"id": "b"}), from_json({"id": "x" * 21})])
    assert raised.value.code == "store-cannot-hold" and "character varying(20)" in str(raised.value)
    assert len(read(where)) == 3


def test_a_new_table_is_looked_for_a_few_times_however_many_records_come(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    find = pgvector.find_table

    def counting(connection: Any, name: str, *more: Any) -> Any:
        looked.append(name)
        return find(connection, name, *more)

    monkeypatch.setattr(pgvector, "find_table", counting)
    fill(address(database), memory(50))
    assert len(looked) < 10


@pytest.mark.parametrize("layout", ["PRIMARY KEY (id)", "UNIQUE (id)", "EXCLUDE (number WITH =)"])
def test_new_and_known_rows_of_one_write_all_arrive(database: str, layout: str) -> None:
    run(database, f"CREATE TABLE t (id text, content text, metadata jsonb, number serial, {layout})")
    where = address(database, table="t")
    records = memory(20)
    fill(where, records[::2])
    changed = [from_json({"id": f"m{n:02}", "text": f"other {n}"}) for n in range(0, 20, 3)]
    after = sorted({record.key: record for record in [*records, *changed]}.values())
    with PgvectorStore.open(where) as store:
        store.write(plan_between(records[::2], after))
        check_holds(store, after)


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("", "CREATE RULE twice AS ON INSERT TO t DO ALSO INSERT INTO seen VALUES (new.id)"),
        ("PRIMARY KEY", "CREATE POLICY mine ON t USING (id <> 'secret') ; ALTER TABLE t ENABLE ROW LEVEL SECURITY"),
    ],
)
def test_tables_whose_inserts_are_more_than_a_copy_are_inserted_into(database: str, key: str, rule: str) -> None:
    run(
        database,
        "CREATE TABLE seen (id text)",
        f"CREATE TABLE t (id text {key}, content text, metadata jsonb)",
        "GRANT ALL ON t, seen TO reader",
        rule,
    )
    fill(address(database, user="reader", table="t"), [from_json({"id": "a", "text": "one"})])
    assert run(database, "SELECT count(*) FROM t") == [(1,)]
    assert run(database, "SELECT count(*) FROM seen") == [(int("RULE" in rule),)]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("0A000", "store-schema"),
        ("25006", "store-refused"),
        ("40P01", "store-locked"),
        ("53100", "disk-full"),
        ("53300", "store-busy"),
        ("54000", "store-cannot-hold"),
        ("57014", "store-locked"),
        ("57P01", "store-unreachable"),
        ("08006", "store-unreachable"),
        ("XX000", "store-unreadable"),
    ],
)
def test_every_state_has_a_code(state: str, code: str) -> None:
    error = psycopg.errors.lookup(state)("what the server said\nand more")
    found = store_error(error, "write", "table t")
    assert found.code == code and "table t" in str(found) and "and more" not in str(found)


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("query_wait_timeout", "store-busy", "pool_size"),
        ("transaction blocks not allowed in statement pooling mode", "store-refused", "pool_mode transaction"),
    ],
)
def test_what_a_pooler_refuses_is_said_with_what_to_change(said: str, code: str, words: str) -> None:
    found = store_error(psycopg.errors.lookup("08P01")(said), "read", "table t")
    assert found.code == code and words in str(found) and "run the command again" not in str(found)


# -- what runs at the server -------------------------------------------------------------------------------------------

SPY = """
CREATE TABLE calls (who text, what text);
CREATE FUNCTION told(what text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO public.calls VALUES (current_user, what); RETURN what; END $$;
"""


def calls(database: str) -> list[Any]:
    found = [row[0] for row in run(database, "SELECT what FROM calls ORDER BY what")]
    run(database, "DELETE FROM calls")
    return found


def test_a_default_is_a_function_that_only_writing_calls_once_for_each_row_that_says_nothing(
    database: str, tmp_path: Path
) -> None:
    run(
        database,
        SPY,
        "CREATE TABLE notes (id text PRIMARY KEY, content text, vector vector(3), metadata jsonb, "
        "mark text NOT NULL DEFAULT told('default') || gen_random_uuid(), CONSTRAINT one UNIQUE (mark))",
    )
    where = address(database, table="notes")
    kept = repository(tmp_path / "kept")
    for create in (False, True):
        with PgvectorStore.open(where, create=create) as store:
            store.describe(), store.mapping(), store.held_spaces(), list(store.scan())
    assert calls(database) == []
    # What was opened to read is written to as well.
    with PgvectorStore.open(where) as store:
        list(store.scan())
        store.write(plan_between([], memory(3, metadata={"mark": "mine"})[:1] + memory(3)[1:]))
        check_holds(store, memory(3, metadata={"mark": "mine"})[:1] + memory(3)[1:])
    assert calls(database)[-2:] == ["default", "default"]
    kept.commit("first", store=where)
    assert kept.status(where).is_clean and list(read(where)) == ["m00", "m01", "m02"]
    assert calls(database) == []
    run(database, "UPDATE notes SET mark = 'edited' WHERE id = 'm01'")
    assert read(where)["m01"]["metadata"] == {"mark": "edited"}


def test_casts_and_functions_of_others_are_not_called_in_place_of_the_servers(database: str) -> None:
    run(
        database,
        SPY,
        """
        CREATE TYPE mood AS ENUM ('calm', 'busy');
        CREATE TYPE place AS (x int, feeling mood);
        CREATE FUNCTION as_json(mood) RETURNS json LANGUAGE sql AS $$ SELECT to_json(public.told('json')) $$;
        CREATE FUNCTION as_text(mood) RETURNS text LANGUAGE sql AS $$ SELECT public.told('text') $$;
        CREATE CAST (mood AS json) WITH FUNCTION as_json(mood);
        CREATE CAST (mood AS text) WITH FUNCTION as_text(mood);
        CREATE FUNCTION to_jsonb(integer) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_json(public.told('int'))::jsonb $$;
        CREATE FUNCTION same(oid, regclass) RETURNS boolean LANGUAGE sql AS
          $$ SELECT public.told('=') IS NOT NULL AND $1::text = $2::oid::text $$;
        CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = same);
        CREATE TABLE notes (id mood PRIMARY KEY, content text, now mood, all_of mood[], spot place, n integer);
        INSERT INTO notes VALUES ('calm', 'a', 'busy', '{calm,busy}', (1, 'calm'), 7);
        INSERT INTO notes (id, content) VALUES ('busy', 'b');
        """,
    )
    where = address(database, table="notes")
    found = read(where)
    assert calls(database) == []
    assert found["calm"]["metadata"] == {"now": "busy", "all_of": ["calm", "busy"], "spot": "(1,calm)", "n": 7}
    assert "metadata" not in found["busy"]


def test_triggers_and_defaults_find_what_they_find_for_the_user(database: str) -> None:
    run(
        database,
        SPY,
        """
        CREATE TABLE notes (id text PRIMARY KEY, content text, mark text NOT NULL DEFAULT 'x');
        CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM told('trigger'); RETURN coalesce(new, old); END $$;
        CREATE TRIGGER before BEFORE INSERT OR DELETE ON notes FOR EACH ROW EXECUTE FUNCTION before();
        """,
    )
    records = [from_json({"id": "a"}), from_json({"id": "b"})]
    with PgvectorStore.open(address(database, table="notes")) as store:
        store.write(plan_between([], records))
        assert calls(database) == ["trigger", "trigger"]
        store.write(plan_between(records, records[:1]))
        assert calls(database) == ["trigger"]
        check_holds(store, records[:1])


def test_a_local_connection_may_hold_as_much_as_is_asked_for(database: str) -> None:
    def held(line: socket.socket) -> int:
        return line.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    one, other = socket.socketpair()
    with one, other, PgvectorStore.open(address(database), create=True) as store:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, pgvector_session.SENT_BYTES)
        store.exists()
        with socket.socket(fileno=os.dup(store._session.connection.fileno())) as line:
            assert held(line) == held(one)
