"""Rows of a table that were read before are known by their bytes: whatever is done to it, nothing is read otherwise."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import postgres
from tests.contract.test_pgvector_halves import Halves
from tests.contract.test_pgvector_tables import file_of, fill, memory, repository
from vexrepo.errors import InvalidData, StateError
from vexrepo.objects.record import from_json
from vexrepo.objects.selection import Selection
from vexrepo.remotes.rawcache import path_for
from vexrepo.remotes.stores import pgvector_copy
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.pgvector_copy import RawRows
from vexrepo.remotes.stores.raw_rows import ValueRows
from vexrepo.remotes.stores.sqlite_extension import connect
from vexrepo.repository import Repository
from vexrepo.repository.commit import Committed

COUNT = 60
LONG = {"topic": "harbour " * 50, "n": 1.5}  # so that there are several pages
NOTES = (
    "CREATE TABLE notes (key int PRIMARY KEY, body text, mood text, rank text, extra jsonb, embedding vector(3))",
    f"""INSERT INTO notes
    SELECT n, 'note ' || n || repeat('.', 400), 'mood ' || n % 3, n % 5, '{{"n": 1.5}}', ARRAY[n, 1, 0.5]::vector
    FROM generate_series(1, {COUNT}) n""",
)


class Made:
    """Counts the rows that records are made of, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        points = RawRows.points

        def count(raws: RawRows, pieces: Any) -> Any:
            self._count += len(pieces)
            return points(raws, pieces)

        monkeypatch.setattr(RawRows, "points", count)
        values = ValueRows.points

        def count_values(raws: ValueRows, pieces: Any) -> Any:
            self._count += len(pieces)
            return values(raws, pieces)

        monkeypatch.setattr(ValueRows, "points", count_values)
        monkeypatch.setattr(pgvector_copy, "READ_ROWS", 7)

    def take(self) -> int:
        count, self._count = self._count, 0
        return count


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


@pytest.fixture
def database() -> str:
    return postgres.new_database()


@pytest.fixture(params=["one process", "two processes"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    halves = Halves(monkeypatch)
    halves.allow(0 if request.param == "two processes" else 1 << 40)
    yield int(request.param == "two processes") + 1
    assert bool(halves.begun) == (request.param == "two processes")


class Both:
    """A repository that knows rows and one that does not, which have to agree."""

    def __init__(self, folder: Path) -> None:
        (folder / "knows").mkdir()
        (folder / "reads").mkdir()
        self.knows, self.reads = repository(folder / "knows"), repository(folder / "reads")
        self.reads.config.add("core.line_cache", False, "a test")

    @property
    def cache(self) -> Path:
        (found,) = (self.knows.folder / "cache").iterdir()
        return found

    def commit(self, where: Address) -> Committed:
        """Commit a store to both and return what the one that knows did; the other has made all rows anew."""
        found = [_look(kept, where) for kept in (self.knows, self.reads)]
        assert found[0] == found[1]
        done = [kept.commit("then", store=where, allow_empty=True) for kept in (self.knows, self.reads)]
        assert done[0].snapshot.records == done[1].snapshot.records
        assert done[0].tally == done[1].tally
        assert _look(self.knows, where) == []
        return done[0]


def _look(kept: Repository, where: Address) -> list[tuple[bytes, bytes, bytes]]:
    """Return how a store differs from the branch, as status and diff find it."""
    view = kept.view()
    found = list(kept.diff_with_store(view.commit, where))
    status = kept.status(where)
    assert status.learned + status.changed + status.forgotten == len(found)
    return [(each.key, each.old.id if each.old else b"", each.new.id if each.new else b"") for each in found]


def _notes(database: str, **options: str) -> Address:
    postgres.run(database, *NOTES)
    return postgres.address(database, table="notes", **options)


def test_only_what_changed_is_made_again(database: str, tmp_path: Path, made: Made, processes: int) -> None:
    where, kept = _notes(database), repository(tmp_path)
    kept.commit("first", store=where)
    assert made.take() == COUNT if processes == 1 else 0 < made.take() < COUNT
    postgres.run(
        database,
        "UPDATE notes SET mood = mood WHERE key % 2 = 0",  # moves rows, and leaves them what they are
        "UPDATE notes SET mood = 'other' WHERE key = 7",
        "DELETE FROM notes WHERE key = 8",
        "INSERT INTO notes VALUES (1000, 'new')",
    )
    status = kept.status(where)
    assert (status.learned, status.changed, status.forgotten) == (1, 1, 1)
    assert made.take() <= 2
    tally = kept.commit("then", store=where).tally
    assert (tally.learned, tally.changed, tally.forgotten) == (1, 1, 1)
    assert made.take() <= 2
    postgres.run(database, "UPDATE notes SET mood = mood")
    with pytest.raises(StateError, match="nothing to commit"):
        kept.commit("again", store=where)
    assert made.take() == 0


STEPS = (
    "UPDATE notes SET body = body || '!' WHERE key % 11 = {n}",
    "UPDATE notes SET embedding = '[{n}, 0.25, 1]' WHERE key = {n}",
    "UPDATE notes SET extra = '{{\"n\": {n}}}' WHERE key % 13 = {n}",
    "DELETE FROM notes WHERE key % 17 = {n}",
    "INSERT INTO notes (key, body, rank) SELECT max(key) + 1, 'a new note', '{n}' FROM notes",
    "UPDATE notes SET key = key + 500 WHERE key % 19 = {n}",
    "VACUUM FULL notes",
    "UPDATE notes SET mood = mood",
)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_done_to_rows_a_commit_is_the_same(
    seed: int, database: str, tmp_path: Path, made: Made, processes: int
) -> None:
    where, both, chance = _notes(database), Both(tmp_path), random.Random(seed)
    both.commit(where)
    for _ in range(4):
        some = chance.choices(STEPS, k=chance.randrange(3))
        postgres.run(database, *(each.format(n=chance.randrange(8)) for each in some))
        both.commit(where)


@pytest.mark.parametrize(
    "change",
    [
        # After these, each row is sent as the very bytes that it was before, and is another memory.
        "ALTER TABLE notes RENAME COLUMN mood TO feeling",
        "ALTER TABLE notes RENAME mood TO x; ALTER TABLE notes RENAME rank TO mood; ALTER TABLE notes RENAME x TO rank",
        "ALTER TABLE notes ALTER COLUMN rank TYPE int USING rank::int",
        "ALTER TABLE notes RENAME COLUMN embedding TO vec; ALTER TABLE notes ADD COLUMN embedding vector(3)",
        "ALTER TABLE notes RENAME COLUMN extra TO more",
        "ALTER TABLE notes ALTER COLUMN key TYPE text",
        # After these, not.
        "ALTER TABLE notes ADD COLUMN namespace text; ALTER TABLE notes DROP COLUMN rank",
        "ALTER TABLE notes ADD COLUMN more int DEFAULT 3",
        "ALTER TABLE notes DROP COLUMN mood",
        "ALTER TABLE notes ALTER COLUMN embedding TYPE halfvec(3)",
        "ALTER TABLE notes ALTER COLUMN extra TYPE text",
        "ALTER TABLE notes ALTER COLUMN mood SET NOT NULL; ALTER TABLE notes ALTER COLUMN mood SET DEFAULT 'none'",
    ],
)
def test_a_table_that_was_altered_is_read_anew(change: str, database: str, tmp_path: Path, made: Made) -> None:
    where, both = _notes(database), Both(tmp_path)
    both.commit(where)
    postgres.run(database, *change.split("; "))
    both.commit(where)
    postgres.run(database, "UPDATE notes SET body = body")
    made.take()
    assert _look(both.knows, where) == []
    assert made.take() == 0  # what it is now is known by now


def test_a_table_that_is_addressed_in_another_way_is_read_anew(database: str, tmp_path: Path) -> None:
    where, both = _notes(database), Both(tmp_path)
    both.commit(where)
    (cache,) = (both.knows.folder / "cache").iterdir()
    raw = cache.read_bytes()
    for options in ({"text": "mood"}, {"text": "body"}, {"id": "body"}, {"profile": "none"}):
        other = postgres.address(database, table="notes", **options)
        for name in (both.knows.store_name(other), both.knows.store_name(where)):
            path_for(cache.parent, name).write_bytes(raw)  # as if all of them had one
        both.commit(other)


def test_a_table_of_ours_is_known_as_well(database: str, tmp_path: Path, made: Made, processes: int) -> None:
    where, both = postgres.address(database, index="none"), Both(tmp_path)
    fill(where, memory(COUNT, metadata=LONG, namespace="team"))
    both.commit(where)
    postgres.run(
        database,
        "UPDATE vex_memories SET content = content",
        "UPDATE vex_memories SET metadata = '{}', namespace = NULL WHERE id = 'm03'",
        "UPDATE vex_memories SET vector = NULL, model = 'another' WHERE id = 'm50'",
        "DELETE FROM vex_memories WHERE id = 'm04'",
    )
    made.take()
    status = both.knows.status(where)
    assert (status.learned, status.changed, status.forgotten) == (1, 1, 2)  # one has another namespace now
    assert made.take() <= 2
    both.commit(where)
    postgres.run(
        database, "ALTER TABLE vex_memories RENAME content TO text", "DELETE FROM vex_memories WHERE id = 'm05'"
    )
    both.commit(where)


def test_vectors_that_the_table_rounds_are_no_change_when_their_rows_are_known(
    database: str, tmp_path: Path, made: Made
) -> None:
    postgres.run(database, "CREATE TABLE vex_memories (id text PRIMARY KEY, content text, embedding halfvec(3))")
    where, kept = postgres.address(database), repository(tmp_path)
    exact = [from_json({**each.to_json(), "vector": [n / 3, 1.0, 0.1]}) for n, each in enumerate(memory(COUNT))]
    first = kept.commit("first", store=file_of(tmp_path, exact))
    assert first.id is not None
    kept.checkout(first.id, where)
    for number in range(3):
        postgres.run(database, f"UPDATE vex_memories SET content = 'changed' WHERE id = 'm0{number}'")
        status = kept.status(where)
        assert (status.learned, status.changed, status.forgotten) == (0, 1, 0)
        assert kept.commit("then", store=where).tally.total == 1


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "empty", "folder"])
def test_a_damaged_cache_costs_time_only(damage: str, database: str, tmp_path: Path, made: Made) -> None:
    where, both = _notes(database), Both(tmp_path)
    both.commit(where)
    postgres.run(database, "UPDATE notes SET mood = 'other' WHERE key = 7")
    cache = both.cache
    raw = cache.read_bytes()
    cache.unlink()
    if damage == "folder":
        cache.mkdir()
    elif damage != "gone":
        middle = len(raw) // 2
        flipped = raw[:middle] + bytes((raw[middle] ^ 1,)) + raw[middle + 1 :]
        cache.write_bytes({"cut": raw[:middle], "flipped": flipped, "empty": b""}[damage])
    made.take()
    assert both.knows.status(where).changed == 1
    assert made.take() == COUNT
    both.commit(where)


def test_a_row_that_makes_no_memory_is_told_of_each_time(
    database: str, tmp_path: Path, made: Made, processes: int
) -> None:
    where, kept = postgres.address(database, index="none"), repository(tmp_path)
    fill(where, memory(COUNT, metadata=LONG))
    postgres.run(database, "UPDATE vex_memories SET id = '' WHERE id = 'm09'")
    done = kept.commit("first", store=where, skip_problems=True)
    assert len(done.problems) == 1
    postgres.run(database, "UPDATE vex_memories SET content = content")
    again = kept.commit("again", store=where, skip_problems=True, allow_empty=True)
    assert [code for code, _ in again.problems] == [code for code, _ in done.problems]
    with pytest.raises(InvalidData, match="point"):
        kept.commit("then", store=where)


def test_a_known_row_that_is_there_twice_is_refused(database: str, tmp_path: Path, processes: int) -> None:
    where, kept = _notes(database, id="key"), repository(tmp_path)
    kept.commit("first", store=where)
    postgres.run(
        database,
        "ALTER TABLE notes DROP CONSTRAINT notes_pkey",
        "INSERT INTO notes SELECT * FROM notes WHERE key = 1",
        "UPDATE notes SET mood = mood WHERE key <> 1",
    )
    with pytest.raises(InvalidData) as error:
        kept.commit("again", store=where)
    assert error.value.code == "duplicate-key"
    done = kept.commit("again", store=where, skip_problems=True, allow_empty=True)
    assert len(done.problems) == 1 and done.tally.total == 0
    postgres.run(database, "DELETE FROM notes WHERE ctid = (SELECT max(ctid) FROM notes WHERE key = 1)")
    assert kept.status(where).is_clean


def test_a_commit_of_a_part_neither_asks_the_cache_nor_changes_it(database: str, tmp_path: Path, made: Made) -> None:
    where, both = postgres.address(database, index="none"), Both(tmp_path)
    fill(where, memory(COUNT, namespace="team"))
    both.commit(where)
    raw = both.cache.read_bytes()
    postgres.run(database, "UPDATE vex_memories SET content = 'other' WHERE id = 'm01' OR id = 'm02'")
    made.take()
    selection = Selection(namespaces=frozenset(("team",)))
    assert both.knows.commit("a part", store=where, selection=selection).tally.changed == 2
    assert made.take() == COUNT
    assert both.cache.read_bytes() == raw


# -- sqlite-vec --------------------------------------------------------------------------------------------------------


def _run(path: Path, *statements: str) -> None:
    db = connect(str(path), "mode=rwc", 5.0)
    for statement in statements:
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE docs RENAME COLUMN mood TO feeling",
        "ALTER TABLE docs RENAME mood TO x; ALTER TABLE docs RENAME rank TO mood; ALTER TABLE docs RENAME x TO rank",
        "ALTER TABLE docs RENAME COLUMN body TO feeling",
        "ALTER TABLE docs ADD COLUMN more DEFAULT 3",
        "ALTER TABLE docs DROP COLUMN rank",
        "UPDATE docs SET rank = CAST(rank AS REAL)",
        "UPDATE docs_vec SET embedding = '[1, 0, 0.5]' WHERE number = 7",
        "DELETE FROM docs WHERE rowid = 7; INSERT INTO docs (body, mood) VALUES ('new', 'calm')",
        "UPDATE docs SET mood = 'other' WHERE rowid = 7",
    ],
)
def test_rows_of_sqlite_vec_are_known_as_long_as_they_are_the_same(change: str, tmp_path: Path, made: Made) -> None:
    path, both = tmp_path / "agent.db", Both(tmp_path)
    where = Address("sqlite-vec", str(path), {"table": "docs", "vectors": "docs_vec"})
    _run(
        path,
        "CREATE TABLE docs (number INTEGER PRIMARY KEY, body TEXT, mood TEXT, rank)",
        "CREATE VIRTUAL TABLE docs_vec USING vec0(number INTEGER PRIMARY KEY, embedding float[3])",
    )
    for number in range(1, COUNT):
        _run(
            path,
            f"INSERT INTO docs VALUES ({number}, 'note {number}', 'calm', {number % 5})",
            f"INSERT INTO docs_vec VALUES ({number}, '[{number}, 0.25, 1]')",
        )
    both.commit(where)
    _run(path, *change.split("; "))
    both.commit(where)
    _run(path, "VACUUM")
    made.take()
    assert _look(both.knows, where) == []
    assert made.take() == 0
