"""How far an index of vectors is, while PostgreSQL makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.contract import postgres
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores import pgvector_indexing
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.base import collect
from vexrepo.remotes.stores.pgvector import PgvectorStore
from vexrepo.remotes.stores.pgvector_indexing import watched
from vexrepo.remotes.stores.pgvector_session import Session

COUNT = 300


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(pgvector_indexing, "FIRST_S", 0.0)
    monkeypatch.setattr(pgvector_indexing, "EVERY_S", 0.001)
    return postgres.new_database()


def _told(address: Address, tell: Callable[[str, int, int | None], None]) -> Address:
    return replace(address, reach=Reach(progress=tell))


def _records() -> list[Record]:
    return [from_json({"id": f"m{n}", "text": "a tide", "vector": [float(n), 1.0, 0.5]}) for n in range(COUNT)]


def _index_of(database: str) -> str:
    rows = postgres.run(database, "SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'")
    return str(rows[0][0])


def test_how_far_an_index_is_is_told_while_it_is_made(database: str) -> None:
    postgres.run(
        database,
        "CREATE TABLE made (id text PRIMARY KEY, content text, vector vector(2))",
        "INSERT INTO made SELECT n::text, 'a tide', '[1,2]' FROM generate_series(1, 100) n",
        # The index is not done before the first news of it.
        "CREATE FUNCTION waits(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS "
        "'BEGIN PERFORM pg_advisory_lock_shared(7), pg_advisory_unlock_shared(7); RETURN $1; END'",
    )
    told: list[tuple[str, int, int | None]] = []
    with postgres.server().connect(database) as other:
        other.execute("SELECT pg_advisory_lock(7)")

        def tell(what: str, done: int, total: int | None) -> None:
            if not told:
                other.execute("SELECT pg_advisory_unlock(7)")
            told.append((what, done, total))

        with PgvectorStore.open(_told(postgres.address(database, table="made"), tell)) as store:
            store._session.connection.execute("SET statement_timeout = '60s'")  # where no news comes
            with watched(store._session, store.table):
                store._session.connection.execute("CREATE INDEX ON made (waits(id))")
    assert told[0] == ("indexing vectors", 0, 100)


def test_what_is_written_is_indexed_while_somebody_looks(database: str) -> None:
    told: list[tuple[str, int, int | None]] = []
    address = _told(postgres.address(database), lambda *each: told.append(each))
    with PgvectorStore.open(address, create=True) as store:
        assert store.write(collect(_records())).upserted == COUNT
    assert "vector_cosine_ops" in _index_of(database)
    assert all(what == "indexing vectors" and 0 <= done <= COUNT == total for what, done, total in told)


def test_no_other_connection_is_made_where_nobody_looks(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Session] = []
    another = Session.another
    monkeypatch.setattr(Session, "another", lambda self: made.append(self) or another(self))
    with PgvectorStore.open(postgres.address(database), create=True) as store:
        store.write(collect(_records()))
    assert len(made) == 1
    assert _index_of(database)


def test_a_user_who_may_have_one_connection_gets_an_index_without_news(database: str) -> None:
    postgres.run(
        database, "CREATE ROLE alone LOGIN CONNECTION LIMIT 1", "GRANT CREATE, USAGE ON SCHEMA public TO alone"
    )
    told: list[tuple[str, int, int | None]] = []
    address = _told(postgres.address(database, user="alone"), lambda *each: told.append(each))
    with PgvectorStore.open(address, create=True) as store:
        store.write(collect(_records()))
    assert told == []
    assert _index_of(database)
