"""What a store of another program may hold and a memory cannot be: one id twice, numbers that are none."""

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from tests.cli.conftest import Vex
from tests.contract import lancedb_engine, neo4j_server, postgres
from tests.contract.servers import KEY, SERVERS
from vexrepo.remotes.stores import sqlite_extension

Rows = list[tuple[str, str, list[float]]]  # id, text, vector
GOOD = ("good", "high tide", [1.0, 2.0])


def _table(rows: Rows) -> pa.Table:
    ids, texts, vectors = zip(*rows, strict=True)
    held = pa.array([list(each) for each in vectors], pa.list_(pa.float32(), 2))
    return pa.table({"id": ids, "text": texts, "embedding": held})


@contextmanager
def _lancedb(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    lancedb_engine.install()
    import lancedb

    lancedb.connect("lance").create_table("notes", _table(rows))
    yield "lancedb:lance?table=notes"


@contextmanager
def _parquet(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pq.write_table(_table(rows), "notes.parquet")
    yield "parquet:notes.parquet"


@contextmanager
def _numpy(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    ids, texts, vectors = zip(*rows, strict=True)
    np.savez("notes.npz", id=np.array(ids), text=np.array(texts), vector=np.array(vectors, np.float32))
    yield "numpy:notes.npz"


@contextmanager
def _sqlite_vec(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    db = sqlite_extension.connect("notes.db", "mode=rwc", 60.0)
    db.execute("CREATE VIRTUAL TABLE notes USING vec0(id text primary key, vector float[2], +text text)")
    for name, text, vector in rows:
        db.execute("INSERT INTO notes VALUES (?, ?, ?)", (name, struct.pack("<2f", *vector), text))
    db.close()
    yield "sqlite-vec:notes.db?table=notes"


@contextmanager
def _redis(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with SERVERS["redis hashes"]() as live:
        monkeypatch.setenv(live.variable, KEY)
        with redis.Redis(port=live.port, password=KEY) as client:
            for name, text, vector in rows:
                client.hset(f"agent:{name}", mapping={"content": text, "embedding": struct.pack("<2f", *vector)})
        yield live.address(live.port)


@contextmanager
def _neo4j(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with SERVERS["neo4j"]() as live:
        monkeypatch.setenv(live.variable, live.secret)
        label = live.place.rpartition("=")[2]
        for name, text, vector in rows:
            neo4j_server.ask(
                f"CREATE (n:{label}) SET n = $given", given={"id": name, "text": text, "embedding": vector}
            )
        yield live.address(live.port)


@contextmanager
def _pgvector(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    database = postgres.new_database()
    values = ", ".join(f"('{name}', '{text}', '{vector}')" for name, text, vector in rows)
    postgres.run(database, "CREATE TABLE t (id text, content text, v vector(2))", f"INSERT INTO t VALUES {values}")
    yield str(postgres.address(database, table="t"))


@contextmanager
def _milvus(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from pymilvus import DataType, MilvusClient

    with SERVERS["milvus"]() as live:
        monkeypatch.setenv(live.variable, live.secret)
        client = MilvusClient(uri=f"http://127.0.0.1:{live.port}", token=live.secret)
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("text", DataType.VARCHAR, max_length=200)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=2)
        index = client.prepare_index_params()
        index.add_index("embedding", index_type="FLAT", metric_type="IP", params={})
        client.create_collection(live.place, schema=schema, index_params=index)
        for name, text, vector in rows:  # an insert of its own each: one request refuses a key twice
            client.insert(live.place, [{"id": name, "text": text, "embedding": vector}])
        client.close()
        yield live.address(live.port)


@contextmanager
def _mcp(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    lines = [{"type": "entity", "name": n, "entityType": "note", "observations": [t]} for n, t, _ in rows]
    Path("memory.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    yield "mcp:memory.jsonl"


@contextmanager
def _letta(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    blocks = [{"value": text, "limit": 5000, "label": f"l{at}", "id": name} for at, (name, text, _) in enumerate(rows)]
    lists = {"agents": [], "groups": [], "files": [], "tools": [], "mcp_servers": []}
    Path("agent.af").write_text(json.dumps({**lists, "blocks": blocks, "metadata": {}}))
    yield "letta:agent.af"


@contextmanager
def _jsonl(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    lines = [{"id": name, "text": text, "vector": vector} for name, text, vector in rows]
    Path("notes.vmig.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    yield "notes.vmig.jsonl"


@contextmanager
def _vektor(rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with sqlite3.connect("agent.db") as db:
        db.execute("CREATE TABLE memories (id TEXT, content TEXT, vector BLOB, namespace TEXT, created_at NUM)")
        for name, text, vector in rows:
            db.execute("INSERT INTO memories VALUES (?, ?, ?, 'n', 1)", (name, text, struct.pack("<2f", *vector)))
    db.close()
    yield "vektor:agent.db"


Make = Callable[[Rows, Path, pytest.MonkeyPatch], Any]
# Of all other stores an id is the key: a second of one id is the first, written over.
MAY_HOLD_ONE_ID_TWICE: dict[str, Make] = {
    "lancedb": _lancedb,
    "parquet": _parquet,
    "numpy": _numpy,
    "neo4j": _neo4j,
    "pgvector": _pgvector,
    "milvus": _milvus,
    "jsonl": _jsonl,
    "vektor": _vektor,
    "mcp": _mcp,
    "letta": _letta,
}
# All other stores refuse these when they are written, or have no form for them.
MAY_HOLD_NO_NUMBER: dict[str, Make] = {
    "lancedb": _lancedb,
    "parquet": _parquet,
    "numpy": _numpy,
    "sqlite-vec": _sqlite_vec,
    "redis": _redis,
    "neo4j": _neo4j,
}


@pytest.mark.parametrize("kind", MAY_HOLD_ONE_ID_TWICE)
def test_one_id_twice_is_named_and_nothing_is_committed_until_one_is_chosen(
    vex: Vex, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [GOOD, *((f"m{n}", "more", [1.0, 1.0]) for n in range(3)), ("twin", "one", [1.0, 0.5])]
    with MAY_HOLD_ONE_ID_TWICE[kind]([*rows, ("twin", "other", [2.0, 0.5])], folder, monkeypatch) as address:
        assert vex("init").code == 0
        ran = vex("commit", "--from", address, "-m", "x")
        assert ran.code == 1 and "twin" in ran.err and ran.err.rstrip().endswith("[duplicate-key]"), ran.err
        assert "--on-error skip" in ran.err and vex("log").code != 0, ran.err
        ran = vex("commit", "--from", address, "-m", "x", "--on-error", "skip")
        assert ran.code == 3 and "5 memories" in ran.out, ran.out + ran.err
        assert "twin" in ran.out + ran.err and "duplicate-key" in ran.out + ran.err
        assert vex("show", "HEAD:twin").code == 0


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", MAY_HOLD_NO_NUMBER)
def test_a_number_that_is_none_is_named_and_the_rest_can_be_read(
    vex: Vex, folder: Path, kind: str, number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [GOOD, ("bad", "low tide", [number, 0.5])]
    with MAY_HOLD_NO_NUMBER[kind](rows, folder, monkeypatch) as address:
        ran = vex("export", "--from", address, "-o", "out.vmig.jsonl")
        assert ran.code == 1 and ran.err.rstrip().endswith("[not-finite]"), ran.out + ran.err
        assert not Path("out.vmig.jsonl").exists()
        ran = vex("inspect", address, "--json")
        assert ran.code == 0 and ran.json()["records"] == 1, ran.out + ran.err
