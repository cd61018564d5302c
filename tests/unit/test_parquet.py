"""Parquet and Arrow files keep the contract; those of others are read whole and never written over."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import folder, memory, vex  # noqa: F401 - fixtures
from vexrepo.errors import InvalidData, StoreError
from vexrepo.formats.vmig import format_record
from vexrepo.objects.record import from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.parquet import ParquetStore
from vexrepo.testing.stores import StoreContract, plan_between


class TestParquet(StoreContract):
    name = "memory.parquet"

    def open_store(self, tmp_path: Path) -> Store:
        return ParquetStore.open(Address("parquet", str(tmp_path / self.name)), create=True)


class TestArrow(TestParquet):
    name = "memory.arrow"


def read(path: Path, **options: str) -> list[dict[str, Any]]:
    with ParquetStore.open(Address("parquet", str(path), options)) as store:
        return [json.loads(format_record(each.record)) for batch in store.scan() for each in batch]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.parquet"
    table = pa.table(
        {
            "id": pa.array([7, 8, None]),
            "page_content": ["a", None, "c"],
            "embedding": pa.array([[0.1, 2.0], None, [1.0, 2.0]], pa.list_(pa.float64(), 2)),
            "at": pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)] * 3),
            "raw": [b"\xff", None, None],
            "deep": [{"x": [1, None]}, None, None],
        }
    )
    pq.write_table(table, path)
    return path


def test_files_of_others_are_read_whole(foreign: Path) -> None:
    problems: list[InvalidData] = []
    with ParquetStore.open(Address("parquet", str(foreign))) as store:
        assert store.describe().count == 3
        records = [each.record for batch in store.scan(problems.append) for each in batch]
    first, second = (json.loads(format_record(each)) for each in records)
    assert (first["id"], first["text"], first["vector"]) == ("7", "a", [0.1, 2.0])
    assert first["metadata"] == {"at": "2026-01-02T00:00:00Z", "raw": {"$blob": "/w=="}, "deep": {"x": [1, None]}}
    assert (second["id"], second["metadata"]) == ("8", {"at": "2026-01-02T00:00:00Z"})
    assert [each.code for each in problems] == ["id-missing"] and "row 3" in str(problems[0])


def test_files_of_others_are_never_written_over(foreign: Path) -> None:
    before = foreign.read_bytes()
    with pytest.raises(StoreError, match="another file") as refused:
        ParquetStore.open(Address("parquet", str(foreign)), create=True)
    assert refused.value.code == "store-schema" and foreign.read_bytes() == before


def test_columns_are_named_by_the_address_and_what_is_no_such_file_is_said(foreign: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["k"], "words": ["w"], "v": [[1.0]]}), tmp_path / "named.parquet")
    with pytest.raises(StoreError, match="no column 'id'; it has key, words, v") as refused:
        read(tmp_path / "named.parquet")
    assert refused.value.code == "store-schema"
    (found,) = read(tmp_path / "named.parquet", id="key", text="words", vector="v")
    assert (found["id"], found["text"], found["vector"]) == ("k", "w", [1.0])
    (tmp_path / "broken.parquet").write_bytes(foreign.read_bytes()[:100])
    for name, code in (("broken.parquet", "store-unreadable"), ("none.parquet", "store-missing")):
        with pytest.raises(StoreError) as refused:
            read(tmp_path / name)
        assert refused.value.code == code


def test_our_files_are_plain_tables(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    with ParquetStore.open(Address("parquet", str(path)), create=True) as store:
        value = {"id": "m", "text": "a", "vector": [0.5, 1], "metadata": {"n": 1}, "created_at": 5, "namespace": "x"}
        store.write(plan_between([], [from_json(value)]))
    (row,) = pq.read_table(path).to_pylist()
    assert (row["id"], row["text"], row["namespace"], row["vector"]) == ("m", "a", "x", [0.5, 1.0])
    assert json.loads(row["metadata"]) == {"created_at": 5, "n": 1}


def test_a_repository_goes_to_parquet_and_back(vex, memory) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    vex("init")
    vex("commit", "--from", "agent.vmig.jsonl", "-m", "x")
    for store in ("m.parquet", "parquet:m.feather"):
        ran = vex("checkout", "main", "--to", store)
        assert ran.code == 0 and "verified 4 of 4" in ran.out, ran.err
        assert vex("diff", "main", store, "--exit-code").code == 0
    assert vex("inspect", "m.parquet", "--json").json()["records"] == 4
