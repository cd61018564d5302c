"""VEKTOR databases and sqlite-vec: memories_vec is made, filled and kept in step; queries come out as without it."""

import contextlib
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import folder, memory, vex  # noqa: F401 - fixtures
from tests.refusals import refused
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores import vektor, vektor_nearest
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.sqlite_extension import connect
from vexrepo.remotes.stores.vektor import VektorStore
from vexrepo.testing.stores import check_holds, plan_between


def store(path: Path, *, reach: Reach | None = None) -> VektorStore:
    return VektorStore.open(Address("vektor", str(path), reach=reach or Reach()), create=True)


def memories(count: int, dims: int = 4) -> list[Record]:
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((count, dims)).astype("f4")
    spaces = ("a", "b")
    values: list[dict[str, Any]] = [
        {"id": f"m{at}", "text": f"note {at}", "namespace": spaces[at % 2], "vector": row.tolist()}
        for at, row in enumerate(rows)
    ]
    values += [{"id": "none", "text": "no vector"}, {"id": "zero", "text": "zeros", "vector": [0.0] * dims}]
    return sorted(from_json(value) for value in values)


def copied(path: Path) -> list[tuple[str, bytes]]:
    """Return what agents see in memories_vec, by id."""
    db = connect(str(path), "mode=ro", 5.0)
    try:
        query = "SELECT m.id, v.embedding FROM memories_vec v JOIN memories m ON m.rowid = v.rowid ORDER BY m.id"
        return list(db.execute(query).fetchall())
    finally:
        db.close()


def expected(records: list[Record]) -> list[tuple[str, bytes]]:
    return sorted((json.loads(each.body)["id"], each.vectors[0].row) for each in records if each.vectors)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store(tmp_path / "agent.db").write(plan_between([], memories(50)))
    return tmp_path / "agent.db"


def test_a_database_is_filled_once_and_then_in_step(path: Path) -> None:
    before = path.read_bytes()
    asked = vektor_nearest.backfill(str(path), 5.0, dry_run=True)
    assert path.read_bytes() == before
    done = vektor_nearest.backfill(str(path), 5.0)
    assert asked == done and (done.dims, done.is_new, done.added, done.others) == (4, True, 51, 0)
    assert copied(path) == expected(memories(50))
    again = vektor_nearest.backfill(str(path), 5.0)
    assert not again.changes and not again.is_new
    db = connect(str(path), "mode=rw", 5.0)
    db.execute("DELETE FROM memories WHERE id = 'm1'")
    db.execute("UPDATE memories SET vector = ? WHERE id = 'm2'", (np.ones(4, "f4").tobytes(),))
    db.execute("UPDATE memories SET vector = ? WHERE id = 'm3'", (np.ones(5, "f4").tobytes(),))
    db.execute("DELETE FROM memories_vec WHERE rowid = (SELECT rowid FROM memories WHERE id = 'm4')")
    db.close()
    done = vektor_nearest.backfill(str(path), 5.0)
    assert (done.added, done.replaced, done.removed, done.others) == (1, 1, 2, 1)
    assert dict(copied(path))["m2"] == np.ones(4, "f4").tobytes() and len(copied(path)) == 49


def test_every_write_keeps_the_table_in_step(path: Path) -> None:
    vektor_nearest.backfill(str(path), 5.0)
    before, after = memories(50), memories(70)[5:]
    opened = store(path)
    done = opened.write(plan_between(before, after))
    assert done.fingerprint == opened.describe().fingerprint
    assert copied(path) == expected(after)


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_write_that_is_killed_leaves_the_table_in_step(path: Path, where: str) -> None:
    """Whether the memories are written and the table is not yet, or both and nothing is committed."""
    vektor_nearest.backfill(str(path), 5.0)
    before, after = memories(50), memories(70)[5:]
    child = os.fork()
    if child == 0:  # pragma: no cover - the child ends without a word
        bring = vektor_nearest.bring_in_step

        def killed(*given: Any) -> None:
            if where == "after":
                bring(*given)
            os.kill(os.getpid(), signal.SIGKILL)

        vektor_nearest.bring_in_step = killed
        with contextlib.suppress(BaseException):
            store(path).write(plan_between(before, after))
        os._exit(1)  # it was not asked in the transaction
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    check_holds(store(path), before)
    assert copied(path) == expected(before)
    store(path).write(plan_between(before, after))
    assert copied(path) == expected(after)


def test_a_table_that_is_damaged_does_not_keep_memories_from_being_written(path: Path) -> None:
    vektor_nearest.backfill(str(path), 5.0)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE memories_vec_vector_chunks00")
    db.commit()
    db.close()
    notices: list[str] = []
    opened = store(path, reach=Reach(notice=notices.append))
    opened.write(plan_between(memories(50), memories(60)))
    check_holds(opened, memories(60))
    assert len(notices) == 1 and "not in step" in notices[0]


def test_where_sqlite_vec_is_missing_that_is_said_and_the_write_is_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vektor_nearest.backfill(str(path), 5.0)
    monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    notices: list[str] = []
    opened = store(path, reach=Reach(notice=notices.append))
    opened.write(plan_between(memories(50), memories(40)))
    assert len(notices) == 1 and "pip install 'vexrepo[sqlite-vec]'" in notices[0] and "vex backfill" in notices[0]
    assert opened.describe().count == 42
    refused(lambda: vektor_nearest.backfill(str(path), 5.0), "store-unreadable", "pip install")
    assert opened.scan_nearest([1, 0, 0, 0]) is None


def test_a_table_of_another_kind_is_left_alone(path: Path, tmp_path: Path) -> None:
    db = connect(str(path), "mode=rw", 5.0)
    db.execute("CREATE VIRTUAL TABLE memories_vec USING vec0(memory_id text primary key, embedding float[4])")
    db.close()
    refused(lambda: vektor_nearest.backfill(str(path), 5.0), "store-schema", "left alone", "memory_id")
    other = tmp_path / "other.db"
    store(other).write(plan_between([], [from_json({"id": "a", "text": "x"})]))
    refused(lambda: vektor_nearest.backfill(str(other), 5.0), "store-cannot-hold", "how many dimensions")
    assert vektor_nearest.backfill(str(other), 5.0, dims=3).dims == 3
    refused(lambda: vektor_nearest.backfill(str(other), 5.0, dims=4), "store-dims", "3 dimensions, not 4")
    refused(lambda: vektor_nearest.backfill(str(tmp_path / "none.db"), 5.0), "store-missing")


def test_the_nearest_come_first_and_where_that_cannot_be_told_all_are_read(path: Path) -> None:
    query = [0.5, -1.0, 0.25, 2.0]

    def score(record: Record) -> float:
        row = np.frombuffer(record.vectors[0].row, "<f4").astype("f8")
        length = float(np.linalg.norm(row) * np.linalg.norm(query))
        return float(row @ np.array(query)) / length if length else 0.0

    batches = store(path).scan_nearest(query)
    assert batches is not None
    found = [item.record for batch in batches for item in batch]
    wanted = sorted((each for each in memories(50) if each.vectors), key=score, reverse=True)
    assert [each.key for each in found] == [each.key for each in wanted]
    for value in ({"id": "x", "vector": [1.0] * 5}, {"id": "x", "vector": [0.1234567890123456, 1e-5, 3.3, 4.4]}):
        opened = store(path)
        opened.write(plan_between([], [from_json(value)]))
        assert opened.scan_nearest(query) is None


@pytest.mark.parametrize("scale", [2.0**90, 2.0**-90, 2.0**300])
def test_how_long_a_query_is_does_not_change_the_order(path: Path, scale: float) -> None:
    query = np.array([1.0, -2.0, 0.5, 3.0])
    expected = vektor_nearest.nearest_rows(str(path), 5.0, query.tolist())
    assert expected and vektor_nearest.nearest_rows(str(path), 5.0, (query * scale).tolist()) == expected


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(vektor.nearest, "nearest_rows", lambda *args: None)


def test_an_export_by_vector_is_the_same_with_and_without_sqlite_vec(vex, path: Path, without) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    query = json.dumps([0.5, -1.0, 0.25, 2.0])
    asked = [(), ("--limit", "3"), ("--limit", "60"), ("--limit", "7", "--namespace", "a")]

    def exported(name: str) -> list[str]:
        texts = []
        for at, more in enumerate(asked):
            out = f"{name}{at}.vmig.jsonl"
            ran = vex("export", "--from", f"vektor:{path}", "--vec-query", query, *more, "-o", out)
            assert ran.code == 0, ran.err
            texts.append(Path(out).read_text())
        return texts

    fast = exported("fast")
    without()
    assert exported("slow") == fast and [text.count("\n") for text in fast] == [10, 3, 51, 7]


def test_the_command_fills_and_reports(vex, path: Path) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    assert "would be made" in vex("backfill", str(path), "--dry-run").out
    ran = vex("backfill", "--db", str(path), "--json")
    assert ran.code == 0, ran.err
    found = ran.json()
    assert (found["made"], found["added"], found["dims"], found["dry_run"]) == (True, 51, 4, False)
    assert "in step, 4 dims" in vex("backfill", f"vektor:{path}").out
    assert vex("backfill").code == 2 and vex("backfill", str(path), "--db", str(path)).code == 2
    ran = vex("backfill", "jsonl:x.vmig.jsonl")
    assert ran.code == 2 and "vektor database" in ran.err
    plain = sqlite3.connect(path)  # anybody can still open it
    assert plain.execute("SELECT count(*) FROM memories").fetchone() == (52,)
    plain.close()
