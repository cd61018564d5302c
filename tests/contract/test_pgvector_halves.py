"""A table of PostgreSQL that two processes read, each half of its pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.contract import postgres
from tests.contract.test_pgvector_tables import fill, memory, repository
from vexrepo.errors import InvalidData
from vexrepo.remotes import intake
from vexrepo.remotes.stores import pgvector, pgvector_pages, pgvector_session
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.pgvector import PgvectorStore

COUNT = 400  # some ten pages
FOREIGN = (
    "CREATE TABLE vex_memories (key int PRIMARY KEY, note text, extra jsonb, embedding vector(3))",
    """INSERT INTO vex_memories SELECT n, 'note ' || n, '{"n": 1.5}', ARRAY[n, 1, 0.5]::vector
    FROM generate_series(1, 400) n""",
)


class Halves:
    """Says how often two processes were to read; ``before`` runs when both have their moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch, self.begun, self.before = monkeypatch, 0, lambda: None
        beside = intake.Beside

        def begin(*arguments: Any) -> Any:
            self.begun += 1
            self.before()
            return beside(*arguments)

        monkeypatch.setattr(intake, "Beside", begin)
        monkeypatch.setattr(pgvector, "is_worthwhile", lambda: True)
        self.allow()

    def allow(self, most: int = 0) -> None:
        self._patch.setattr(pgvector_pages, "HALVED_BYTES", most)


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> Halves:
    return Halves(monkeypatch)


@pytest.fixture
def database() -> str:
    return postgres.new_database()


def _ours(database: str, records: int = COUNT) -> Address:
    where = postgres.address(database, index="none")
    fill(where, memory(records, metadata={"topic": "harbour"}))
    return where


def _foreign(database: str) -> Address:
    postgres.run(database, *FOREIGN)
    return postgres.address(database)


@pytest.mark.parametrize("make", [_ours, _foreign])
def test_halves_are_the_same_memory_as_the_whole(
    make: Callable[[str], Address], database: str, tmp_path: Path, halves: Halves
) -> None:
    where = make(database)
    kept = repository(tmp_path / "halves")
    first = kept.commit("first", store=where)
    assert halves.begun == 1
    halves.allow(1 << 40)
    second = repository(tmp_path / "whole").commit("first", store=where)
    assert halves.begun == 1
    assert first.snapshot.records == second.snapshot.records
    assert first.snapshot.records.count == COUNT
    halves.allow()
    postgres.run(database, "UPDATE vex_memories SET vector = vector" if make is _ours else "VACUUM vex_memories")
    assert kept.status(where).is_clean
    assert halves.begun == (2 if make is _ours else 1)


def test_what_changed_is_found_in_both_halves(database: str, tmp_path: Path, halves: Halves) -> None:
    where = _ours(database)
    kept = repository(tmp_path)
    kept.commit("first", store=where)
    postgres.run(
        database,
        "UPDATE vex_memories SET content = 'another' WHERE id IN ('m01', 'm398')",
        "DELETE FROM vex_memories WHERE id IN ('m02', 'm397', 'm399')",
        "INSERT INTO vex_memories (id, content) VALUES ('new', 'a note')",
    )
    tally = kept.commit("then", store=where).tally
    assert (tally.learned, tally.changed, tally.forgotten) == (1, 2, 3)
    assert halves.begun == 2


def test_both_halves_are_of_one_moment(database: str, tmp_path: Path, halves: Halves) -> None:
    where = _ours(database)
    halves.before = lambda: postgres.run(
        database,
        "DELETE FROM vex_memories WHERE id < 'm200'",
        "UPDATE vex_memories SET content = 'moved to the other half'",
        "INSERT INTO vex_memories (id, content) VALUES ('new', 'a note')",
    )
    with PgvectorStore.open(where) as store:
        found = intake.take_in(store, (), tmp_path)
    assert halves.begun == 1
    texts = {row.record.key: row.record.text for row in found.sorter.sorted()}
    assert sorted(texts.values()) == sorted(f"note {n}" for n in range(COUNT))
    assert found.fingerprint is None  # the store holds something else by now


def test_the_table_is_not_written_anew_before_both_halves_are_read(
    database: str, tmp_path: Path, halves: Halves
) -> None:
    where, refused = _ours(database), []

    def rewrite() -> None:
        with pytest.raises(psycopg.errors.LockNotAvailable) as error:
            postgres.run(
                database,
                "SET lock_timeout = '50ms'",
                "ALTER TABLE vex_memories ALTER COLUMN content TYPE varchar USING content || '!'",
            )
        refused.append(error)

    halves.before = rewrite
    with PgvectorStore.open(where) as store:
        assert intake.take_in(store, (), tmp_path).count == COUNT
    assert len(refused) == halves.begun == 1


def test_a_memory_that_both_halves_have_is_refused(database: str, tmp_path: Path, halves: Halves) -> None:
    where = _ours(database)
    postgres.run(
        database,
        "ALTER TABLE vex_memories DROP CONSTRAINT vex_memories_pkey",
        "INSERT INTO vex_memories SELECT * FROM vex_memories WHERE id = 'm00'",
    )
    with pytest.raises(InvalidData, match=r"point \d+ of the second half of its pages repeats") as error:
        repository(tmp_path).commit("first", store=where)
    assert error.value.code == "duplicate-key"
    assert halves.begun == 1


@pytest.mark.parametrize(
    ("identifier", "where"), [("m01", r"point \d+ \(id"), ("m399", r"second half of its pages \(id")]
)
def test_a_row_that_makes_no_memory_is_told_of_wherever_it_is(
    identifier: str, where: str, database: str, tmp_path: Path, halves: Halves
) -> None:
    address = _ours(database)
    postgres.run(database, f"UPDATE vex_memories SET id = '' WHERE id = '{identifier}'")
    if identifier == "m01":  # an update writes rows anew, at the end
        postgres.run(database, "UPDATE vex_memories SET content = content WHERE id <> ''", "VACUUM FULL vex_memories")
    kept = repository(tmp_path)
    with PgvectorStore.open(address) as store:
        (tmp_path / "first").mkdir()
        with pytest.raises(InvalidData, match=where):
            intake.take_in(store, (), tmp_path / "first")
        assert store.describe().count == COUNT  # the store goes on
        (tmp_path / "second").mkdir()
        found = intake.take_in(store, (), tmp_path / "second", skip_problems=True)
    assert halves.begun == 2
    assert found.count == COUNT - 1
    assert len(found.problems) == 1
    assert kept.commit("first", store=address, skip_problems=True).snapshot.records.count == COUNT - 1


def test_a_user_who_may_have_one_connection_reads_all_with_it(database: str, tmp_path: Path, halves: Halves) -> None:
    _ours(database)
    postgres.run(database, "CREATE ROLE single LOGIN CONNECTION LIMIT 1", "GRANT SELECT ON vex_memories TO single")
    with PgvectorStore.open(postgres.address(database, user="single")) as store:
        found = intake.take_in(store, (), tmp_path)
        assert store.describe().count == COUNT  # by the same connection: a new one would be refused while this one ends
    assert halves.begun == 0
    assert found.count == COUNT
    assert found.fingerprint is not None


def test_progress_of_halves_adds_up(database: str, tmp_path: Path, halves: Halves) -> None:
    told: list[int] = []
    with PgvectorStore.open(_ours(database)) as store:
        intake.take_in(store, (), tmp_path, advance=told.append)
    assert halves.begun == 1
    assert COUNT / 2 < sum(told) < COUNT * 2


def test_a_store_that_may_be_written_is_read_by_one_process(database: str, tmp_path: Path, halves: Halves) -> None:
    where = _ours(database)
    with PgvectorStore.open(where, create=True) as store:
        assert intake.take_in(store, (), tmp_path).count == COUNT
    assert halves.begun == 0


def test_a_pooler_without_a_second_connection_is_not_waited_for(
    database: str, tmp_path: Path, halves: Halves, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, begin, begun = _ours(database), pgvector_session._begin, []

    def begin_late(connection: psycopg.Connection[Any]) -> None:
        begun.append(connection)
        if len(begun) == 2:
            connection.execute("SELECT pg_sleep(20)")  # as long as a pooler lets somebody wait
        begin(connection)

    monkeypatch.setattr(pgvector_session, "_begin", begin_late)
    monkeypatch.setattr(pgvector_session, "SECOND_WAIT_S", 1)
    kept = repository(tmp_path)
    assert kept.commit("first", store=where).snapshot.records.count == COUNT
    assert halves.begun == 0 and len(begun) == 2 and begun[1].closed
    assert kept.commit("second", store=where, allow_empty=True).snapshot.records.count == COUNT
    assert halves.begun == 1
