"""Tables of LanceDB of others: read with their types, changed without losing what is not ours, made again."""

import datetime as dt
import json
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.cli.conftest import folder, memory, vex  # noqa: F401 - fixtures
from tests.contract.lancedb_engine import install
from tests.refusals import refused
from vexrepo.errors import InvalidData
from vexrepo.formats.vmig import format_record
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.base import Plan
from vexrepo.remotes.stores.lancedb import LanceStore
from vexrepo.remotes.stores.lancedb_rows import RecordWriter
from vexrepo.remotes.stores.points import Point, read_point
from vexrepo.testing.stores import check_holds, plan_between

pytestmark = pytest.mark.timeout(500)  # the first one installs the engine


@pytest.fixture(autouse=True)
def _engine() -> None:
    install()


def store(path: Path, *, create: bool = False, reach: Reach | None = None, **options: str) -> LanceStore:
    return LanceStore.open(Address("lancedb", str(path), options, reach=reach or Reach()), create=create)


def records(path: Path, on_problem: Any = None, **options: str) -> list[Record]:
    with store(path, **options) as opened:
        return [each.record for batch in opened.scan(on_problem) for each in batch]


def read(path: Path, on_problem: Any = None, **options: str) -> list[dict[str, Any]]:
    return [json.loads(format_record(each)) for each in records(path, on_problem, **options)]


def make(path: Path, name: str, table: Any) -> Any:
    import lancedb

    return lancedb.connect(str(path)).create_table(name, table)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    columns = {
        "id": ["a", "b", None],
        "page_content": ["high tide", None, "c"],
        "embedding": pa.array([[0.5, 2], None, [1, 2]], pa.list_(pa.float32(), 2)),
        "at": pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)] * 3),
        "n": pa.array([1, None, 3], pa.int16()),
        "raw": [b"\xff", None, None],
        "deep": [{"x": [1, None]}, None, None],
    }
    make(tmp_path / "lance", "notes", pa.table(columns))
    return tmp_path / "lance"


def test_tables_of_others_are_read_with_their_types(foreign: Path) -> None:
    problems: list[InvalidData] = []
    first, second = read(foreign, problems.append, table="notes")
    assert (first["id"], first["text"], first["vector"]) == ("a", "high tide", [0.5, 2])
    assert first["metadata"] == {
        "at": "2026-01-02T00:00:00Z", "n": 1, "raw": {"$blob": "/w=="}, "deep": {"x": [1, None]}
    }  # fmt: skip
    assert second["metadata"] == {"at": "2026-01-02T00:00:00Z"} and "text" not in second
    assert [each.code for each in problems] == ["id-missing"] and "row 3" in str(problems[0])
    with store(foreign, table="notes") as opened:
        mapping = opened.mapping()
    assert mapping["text"] == "page_content string" and mapping["metadata.n"] == "n int16"
    assert mapping["vector"] == "embedding fixed_size_list<element: float>[2]" or "float" in mapping["vector"]


def test_a_changed_text_leaves_all_other_columns_as_they_were(foreign: Path) -> None:
    import lancedb

    before = records(foreign, lambda error: None, table="notes")
    value = json.loads(format_record(before[0]))
    changed = from_json({**value, "text": "low tide", "metadata": {**value["metadata"], "new": [1]}})
    with store(foreign, create=True, table="notes") as opened:
        opened.write(plan_between(before, [changed, before[1]]))
    table = lancedb.connect(str(foreign)).open_table("notes")
    (row,) = table.search().where("id = 'a'").limit(None).to_list()
    carried = row.pop("_vex")
    assert row == {
        "id": "a", "page_content": "low tide", "embedding": [0.5, 2], "n": 1, "raw": b"\xff", "deep": {"x": [1, None]},
        "at": row["at"],
    }  # fmt: skip
    assert "new" in carried and row["at"].isoformat().startswith("2026-01-02T00:00:00")
    assert records(foreign, lambda error: None, table="notes") == [before[1], changed] or sorted(
        records(foreign, lambda error: None, table="notes")
    ) == sorted([changed, before[1]])
    assert table.count_rows() == 3  # the row without an id is still there


def test_what_langchain_wrote_is_read(tmp_path: Path) -> None:
    columns = {
        "vector": pa.array([[1, 0]], pa.list_(pa.float32(), 2)),
        "id": ["x"],
        "text": ["high tide"],
        "metadata": [{"page": 3, "source": "a.pdf"}],
    }
    make(tmp_path / "lance", "vectorstore", pa.table(columns))
    (found,) = read(tmp_path / "lance", table="vectorstore")
    assert found["text"] == "high tide" and found["metadata"] == {"page": 3, "source": "a.pdf"}


def test_a_table_is_made_again_with_its_types_and_indexes(tmp_path: Path) -> None:
    import lancedb
    from lancedb.index import FTS, BTree, HnswSq, IvfPq

    rng = np.random.default_rng(7)
    values = [
        {"id": f"m{at}", "text": f"note {at}", "vector": rng.standard_normal(8).astype("f4").tolist()}
        for at in range(300)
    ]
    wanted = sorted(from_json(dict(value)) for value in values)
    with store(tmp_path / "one", create=True) as opened:
        opened.write(plan_between([], wanted))
    table = lancedb.connect(str(tmp_path / "one")).open_table("memories")
    table.add_columns({"n": "CAST(5 AS int)"})
    table.create_index("id", config=BTree())
    table.create_index("content", config=FTS(with_position=True, stem=False))
    table.create_index("vector", config=HnswSq(distance_type="cosine", m=12, ef_construction=40))
    held = records(tmp_path / "one")
    with store(tmp_path / "one") as opened:
        config = opened.describe().config
    kinds = {each["column"]: each for each in config["indexes"]}
    assert {name: each["type"] for name, each in kinds.items()} == {"id": "BTree", "content": "FTS", "vector": "HnswSq"}
    assert kinds["vector"]["parameters"] == {"distance_type": "cosine", "m": 12, "ef_construction": 40}
    assert kinds["content"]["parameters"]["with_position"] is True
    with store(tmp_path / "two", create=True) as opened:
        opened.write(plan_between([], held, config=config))
        check_holds(opened, held)
        assert opened.describe().config == config
    notices: list[str] = []
    table.create_index("vector", config=IvfPq(distance_type="dot", num_sub_vectors=2))
    with store(tmp_path / "one") as opened:
        config = opened.describe().config
    config["indexes"].append({"column": "n", "type": "FTS", "parameters": {}})
    with store(tmp_path / "three", create=True, reach=Reach(notice=notices.append)) as opened:
        opened.write(plan_between([], held[:9], config=config))
        check_holds(opened, held[:9])
        made = opened.describe().config
    assert (
        made["columns"]["n"] == "int32"
        and {
            "column": "vector",
            "type": "IvfPq",
            "parameters": {"distance_type": "dot", "num_sub_vectors": 2, "num_bits": 8},
        }
        in made["indexes"]
    )
    assert len(notices) == 1 and "FTS on n" in notices[0]


def test_columns_of_all_types_are_made_again(tmp_path: Path) -> None:
    import lancedb

    schema = pa.schema(
        [
            pa.field("vector", pa.list_(pa.float32(), 2)),
            pa.field("id", pa.large_string()),
            pa.field("text", pa.string()),
            pa.field("metadata", pa.struct([("source", pa.string()), ("page", pa.int32())])),
            pa.field("price", pa.decimal128(10, 2)),
            pa.field("tags", pa.list_(pa.large_string())),
            pa.field("raw", pa.large_binary()),
            pa.field("parts", pa.list_(pa.struct([("k", pa.string()), ("n", pa.list_(pa.int8()))]))),
        ]
    )
    row = {
        "vector": [1.0, 2.0], "id": "a", "text": "one", "metadata": {"source": "s", "page": 1},
        "price": Decimal("1.50"), "tags": ["x"], "raw": b"\xff", "parts": [{"k": "v", "n": [1, 2]}],
    }  # fmt: skip
    make(tmp_path / "lance", "docs", pa.Table.from_pylist([row], schema=schema))
    held = records(tmp_path / "lance", table="docs")
    with store(tmp_path / "lance", table="docs") as opened:
        config = opened.kept_config()
    with store(tmp_path / "lance", create=True, table="copy") as opened:
        opened.write(plan_between([], held, config=config))
        check_holds(opened, held)
    made = lancedb.connect(str(tmp_path / "lance")).open_table("copy").to_arrow()
    assert {each.name: each.type for each in made.schema if each.name != "_vex"} == {e.name: e.type for e in schema}
    assert {name: value for name, value in made.to_pylist()[0].items() if value is not None} == row


def test_a_configuration_of_a_stranger_makes_only_what_is_known(tmp_path: Path) -> None:
    config = {
        "columns": {
            "id": "string",
            "x": "extension<evil>",
            "y": 5,
            "vector": "fixed_size_list<item: float>[999999999]",
        },
        "id": "id",
        "vector": ["x"],
        "indexes": [{"column": "id", "type": "__import__", "parameters": {}}, {"column": "no", "type": "BTree"}, 5],
    }
    record = from_json({"id": "a", "text": "x", "vector": [1, 2]})
    with store(tmp_path / "lance", create=True) as opened:
        opened.write(plan_between([], [record], config=config))
        check_holds(opened, [record])
        assert opened.describe().config["indexes"] == []


def test_other_dimensions_and_what_is_not_there_are_said(tmp_path: Path, foreign: Path) -> None:
    record = from_json({"id": "9", "text": "x", "vector": [1, 2, 3]})
    with store(foreign, create=True, table="notes") as opened:
        version = opened.describe().fingerprint
        refused(lambda: opened.write(plan_between([], [record])), "store-dims", "3 dimensions", "nothing was written")
        assert opened.describe().fingerprint == version
    refused(lambda: store(foreign), "store-missing", "notes", "?table=NAME")
    refused(lambda: store(tmp_path / "none"), "store-missing", "none")
    refused(lambda: store(foreign, table="notes", id="raw"), "store-schema", "'raw'", "?id=COLUMN")
    refused(lambda: store(foreign, table="notes", vector="n"), "store-schema", "'n'", "embedding")
    refused(lambda: store(foreign, colour="red"), "bad-address", "id, table, text, vector")
    (tmp_path / "file").write_text("x")
    refused(lambda: store(tmp_path / "file"), "store-unreadable", "no folder")
    (foreign / "broken.lance").mkdir()
    refused(lambda: store(foreign, table="broken"), "store-unreadable", "broken")


def test_a_table_that_another_program_changed_is_not_written(foreign: Path) -> None:
    import lancedb

    with store(foreign, create=True, table="notes") as opened:
        plan = replace(plan_between([], records(foreign, print, table="notes")), expected=opened.describe().fingerprint)
        lancedb.connect(str(foreign)).open_table("notes").delete("id = 'b'")
        refused(lambda: opened.write(plan), "store-changed", "nothing was written")


def interrupted(opened: LanceStore, plan: Plan, batches: int) -> None:
    """Write a plan until so many batches are done."""
    done = []

    def stop(count: int) -> None:
        done.append(count)
        if len(done) == batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.write(replace(plan, advance=stop))


def memories(count: int, **more: Any) -> list[Record]:
    return sorted(from_json({"id": f"m{at:03}", "text": "x", "vector": [at, 1.0], **more}) for at in range(count))


def test_an_interrupted_write_leaves_no_table_and_is_done_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LanceStore, "batch_points", 40)
    with store(tmp_path / "lance", create=True) as opened:
        interrupted(opened, plan_between([], memories(100)), 2)
    assert not (tmp_path / "lance").exists()
    with store(tmp_path / "lance", create=True) as opened:
        opened.write(plan_between([], memories(100)))
        check_holds(opened, memories(100))
        assert opened._open.version == 2, "made, and filled at once"


def test_a_write_that_fails_after_some_versions_restores_the_one_before(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lancedb

    monkeypatch.setattr(LanceStore, "batch_points", 20)
    monkeypatch.setattr("vexrepo.remotes.stores.lancedb._MERGED_ROWS", 20)
    with store(foreign, create=True, table="notes") as opened:
        opened.write(plan_between([], memories(60)))
    table = lancedb.connect(str(foreign)).open_table("notes")
    before, versions = table.to_arrow(), len(table.list_versions())
    assert "_vex" not in before.column_names
    with store(foreign, create=True, table="notes") as opened:
        changed = memories(100, text="changed", big=[1])
        interrupted(opened, plan_between(memories(60), changed), 4)
        table.checkout_latest()
        assert len(table.list_versions()) > versions + 2, "nothing was written before"
        assert table.to_arrow().equals(before)
        opened.write(plan_between(memories(60), changed))
        assert {each.key: each for each in records(foreign, print, table="notes")}.items() >= {
            each.key: each for each in changed
        }.items()


def test_all_rows_are_read_each_once_of_one_version_by_several_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lancedb

    monkeypatch.setattr("vexrepo.remotes.stores.lancedb.READ_ROWS", 7)
    monkeypatch.setattr("vexrepo.remotes.stores.lancedb._AHEAD_BYTES", 0)
    path, wanted = tmp_path / "lance", memories(100)
    with store(path, create=True) as opened:
        for start in range(0, 100, 30):  # several files, with gaps
            opened.write(plan_between(wanted[: max(0, start - 3)], wanted[: start + 30]))
        opened.write(plan_between(wanted, [*wanted[:11], *wanted[13:50], *wanted[52:]]))
    with store(path) as opened:
        found, batches = list[Record](), opened.scan()
        found += [each.record for each in next(batches)]
        lancedb.connect(str(path)).open_table("memories").delete("id > 'm020'")
        assert opened.describe().count == 19
        found += [each.record for batch in batches for each in batch]
    assert sorted(found) == sorted([*wanted[:11], *wanted[13:50], *wanted[52:]])


def test_what_another_program_wrote_meanwhile_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lancedb

    path, said = tmp_path / "lance", list[str]()
    with store(path, create=True) as opened:
        opened.write(plan_between([], memories(5)))
    table = lancedb.connect(str(path)).open_table("memories")

    def fail(self: LanceStore, ids: Any) -> None:
        table.add([{"id": "theirs", "content": "y"}])
        raise OSError("broken")

    monkeypatch.setattr(LanceStore, "delete", fail)
    with store(path, create=True, reach=Reach(notice=said.append)) as opened, pytest.raises(OSError, match="broken"):
        opened.write(plan_between(memories(5), memories(2)))
    assert "another program wrote" in said[0] and "run the command again" in said[0]
    assert len(records(path)) == 6


def test_what_the_library_refuses_in_the_middle_of_a_stream_is_told_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LanceStore, "batch_points", 5)
    path = tmp_path / "lance"
    with store(path, create=True) as opened:
        opened.write(plan_between([], memories(5)))
        mark = opened.describe()

        def broken(self: RecordWriter, given: Any) -> Any:
            return pa.record_batch({"other": [1]}), []

        with monkeypatch.context() as patched:
            patched.setattr(RecordWriter, "rows", broken)
            refused(lambda: opened.write(plan_between(memories(5), memories(100))), "store-unreadable", "cannot write")
        assert opened.describe() == mark
        opened.write(plan_between(memories(5), memories(100)))
        check_holds(opened, memories(100))


def test_what_an_agent_makes_of_rows_reads_the_same_both_ways(tmp_path: Path) -> None:
    import lancedb

    odd = [from_json({"id": f"odd{at}", "text": "t", "tags": ["x"], "vector": [at, 2.0]}) for at in range(3)]
    with store(tmp_path / "lance", create=True) as opened:
        opened.write(plan_between([], [*memories(20, metadata={"n": 1}), *odd]))
    table = lancedb.connect(str(tmp_path / "lance")).open_table("memories")
    table.update("id = 'm003'", {"metadata": '{"a": 1.0}'})
    table.update("id = 'm004'", {"metadata": "no JSON", "namespace": "x"})
    table.update("id = 'm005'", {"_vex": "x", "content": None})
    table.update("id = 'm006'", {"id": ""})
    table.update("id = 'm007'", values_sql={"vector": "NULL"})
    table.update("id = 'm008'", values_sql={"namespace": "arrow_cast(NULL, 'Utf8')", "content": "''"})
    with store(tmp_path / "lance") as opened:
        can, fields = opened.can, opened.fields()

        def read(each: Point | Record) -> Record | str:
            try:
                return each if isinstance(each, Record) else read_point(each, can, fields)
            except InvalidData as error:
                return error.code

        quick = [read(each) for batch in opened.read_records() for each in batch]
        slow = [read(each) for batch in opened.read_points() for each in batch]
    assert quick == slow and len(quick) == 23


def test_a_missing_library_is_said_with_how_to_get_it(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    refused(lambda: store(foreign, table="notes"), "store-unreadable", "pip install 'vexrepo[lancedb]'")


def test_a_repository_goes_to_lancedb_and_back(vex, memory) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    import lancedb

    vex("init")
    vex("commit", "--from", "agent.vmig.jsonl", "-m", "x")
    ran = vex("checkout", "main", "--to", "lancedb:db")
    assert ran.code == 0 and "verified 4 of 4" in ran.out, ran.err
    assert vex("diff", "main", "lancedb:db", "--exit-code").code == 0
    lancedb.connect("db").open_table("memories").update("id = 'm4'", {"content": "Lunch is at one"})
    ran = vex("diff", "main", "lancedb:db", "--exit-code")
    assert ran.code == 1 and "one" in ran.out
    ran = vex("migrate", "--from", "lancedb", "--db", "db", "--to", "lancedb:other?table=notes")
    assert ran.code == 0, ran.err
    assert vex("diff", "lancedb:db", "lancedb:other?table=notes", "--exit-code").code == 0
    assert vex("inspect", "lancedb:db", "--json").json()["records"] == 4
