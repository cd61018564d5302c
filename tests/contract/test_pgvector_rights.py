"""What a user of PostgreSQL may not do, or named wrongly, is said with what to ask for."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.postgres import address, new_database, run
from tests.contract.test_pgvector_tables import fill, memory, read
from vexrepo.errors import StoreError
from vexrepo.objects.record import Record
from vexrepo.remotes.stores import pgvector_session
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.pgvector import PgvectorStore
from vexrepo.testing.stores import plan_between

NOTES = (
    "CREATE TABLE notes (id text PRIMARY KEY, content text, mood text, vector vector(3), metadata jsonb, _vex text, "
    'size int GENERATED ALWAYS AS (length(content)) STORED, "odd, name" text)'
)


@pytest.fixture
def database() -> str:
    return new_database()


def refused(where: Address, records: list[Record] | None = None) -> tuple[str, str]:
    """Return the code and the words of what keeps a user from reading, or writing records over ``memory(3)``."""
    with pytest.raises(StoreError) as raised:
        if records is None:
            read(where)
        else:
            with PgvectorStore.open(where, create=True) as store:
                store.write(plan_between(memory(3), records))
    return raised.value.code, str(raised.value)


def test_columns_that_cannot_be_read_are_named(database: str) -> None:
    run(database, NOTES, "GRANT SELECT (id, content, vector, metadata, _vex) ON notes TO reader")
    where = address(database, user="reader", table="notes")
    code, said = refused(where)
    assert code == "store-refused" and "columns mood, odd, name;" in said
    assert 'GRANT SELECT ("mood", "odd, name") ON "public"."notes" TO "reader"' in said
    # What is granted column by column is enough, though nobody tells such a user where a row is and who wrote it.
    run(database, 'GRANT SELECT (mood, "odd, name") ON notes TO reader')
    fill(address(database, table="notes"), memory(3))
    assert read(where) == read(address(database, table="notes"))
    with PgvectorStore.open(where) as store:
        assert store.describe().count == 3 and store.describe().fingerprint is None


@pytest.mark.parametrize(
    ("rights", "records", "words"),
    [
        (
            "",
            memory(4),
            "lacks INSERT on any column, UPDATE on any column, DELETE: ask for GRANT INSERT, UPDATE, DELETE",
        ),
        ("UPDATE, DELETE", memory(4), "lacks INSERT on any column: ask for GRANT INSERT ON"),
        ("INSERT, UPDATE", memory(2), "lacks DELETE: ask for GRANT DELETE ON"),
        (
            "INSERT, DELETE, UPDATE (id, content, vector, metadata)",
            memory(3, model="m"),
            'lacks UPDATE on the columns mood, _vex, odd, name: ask for GRANT UPDATE ("mood", "_vex", "odd, name") ON',
        ),
        ("INSERT (id, content), UPDATE, DELETE", memory(4), 'GRANT INSERT ("mood", "vector", '),
    ],
)
def test_rights_that_a_write_lacks_are_named(database: str, rights: str, records: list[Record], words: str) -> None:
    run(database, NOTES, "GRANT SELECT ON notes TO reader")
    fill(address(database, table="notes"), memory(3))
    if rights:
        run(database, f"GRANT {rights} ON notes TO reader")
    before = run(database, "SELECT * FROM notes ORDER BY id")
    code, said = refused(address(database, user="reader", table="notes"), records)
    assert code == "store-refused" and words in said and "nothing was written" in said, said
    assert run(database, "SELECT * FROM notes ORDER BY id") == before


def test_a_right_to_the_columns_alone_is_too_little_to_hold_other_writers_off(database: str) -> None:
    run(database, NOTES, "GRANT SELECT, INSERT ON notes TO reader")
    names = 'id, content, mood, vector, metadata, _vex, "odd, name"'
    run(database, f"GRANT UPDATE ({names}) ON notes TO reader")
    code, said = refused(address(database, user="reader", table="notes"), memory(4))
    assert code == "store-refused" and "DELETE" in said


def test_a_schema_that_the_user_may_not_use_is_named(database: str) -> None:
    run(database, "CREATE SCHEMA vault", NOTES.replace("notes", "vault.notes"), "GRANT ALL ON vault.notes TO reader")
    for options in ({"schema": "vault", "table": "notes"}, {"table": "notes"}):
        for records in (None, memory(1)) if "schema" in options else (None,):
            code, said = refused(address(database, user="reader", **options), records)
            assert code == "store-refused" and 'GRANT USAGE ON SCHEMA "vault" TO "reader"' in said, said


def test_a_name_with_a_dot_that_is_that_of_a_schema_and_its_table_is_told(database: str) -> None:
    run(database, "CREATE SCHEMA agent", NOTES.replace("notes", "agent.notes"))
    for records in (None, memory(1)):
        code, said = refused(address(database, table="agent.notes"), records)
        assert code == "store-missing" and "?schema=agent&table=notes" in said
    # A table that is really called so is read, and made where its schema is named.
    fill(address(database, table="agent.notes", schema="public"), memory(2))
    assert len(read(address(database, table="agent.notes"))) == 2
    code, said = refused(address(database, table="agent.other"))
    assert code == "store-missing" and "schema=" not in said
    # One that is in no schema that the user looks in.
    code, said = refused(address(database, table="notes"))
    assert code == "store-missing" and "?schema=agent&table=notes" in said
    fill(address(database, table="notes"), memory(1))
    assert run(database, "SELECT (SELECT count(*) FROM agent.notes), (SELECT count(*) FROM notes)") == [(0, 1)]


@pytest.mark.parametrize("is_given_up", [True, False])
def test_a_pooler_that_lets_wait_is_told_of_and_given_up(
    database: str, monkeypatch: pytest.MonkeyPatch, *, is_given_up: bool
) -> None:
    fill(address(database), memory(3))
    told: list[str] = []
    seen = threading.Event()
    begin = pgvector_session._settings

    def notice(text: str) -> None:
        told.append(text)
        seen.set()

    def waiting(connection: Any) -> str:
        if not seen.is_set():  # as a pooler does that has no connection left
            if is_given_up:
                connection.execute("SELECT pg_sleep(30)")
            else:
                assert seen.wait(60)
        return begin(connection)

    monkeypatch.setattr(pgvector_session, "_settings", waiting)
    monkeypatch.setattr(pgvector_session, "TOLD_S", 0.05)
    where = replace(address(database), reach=Reach(notice=notice, timeout_s=1.0 if is_given_up else 60.0))
    if is_given_up:
        code, said = refused(where)
        assert code == "store-busy" and "within 1 s" in said and "pooler" in said and "nothing was written" in said
    else:
        assert len(read(where)) == 3
    assert len(told) == 1 and "does not answer so far" in told[0]
