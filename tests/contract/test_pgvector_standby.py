"""A replica of PostgreSQL, which can only be read: it refuses nothing that reading asks for, and writing says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.contract import postgres
from tests.contract.test_pgvector_halves import Halves
from tests.contract.test_pgvector_tables import fill, memory, read, repository
from vexrepo.errors import StoreError
from vexrepo.objects.record import Record
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.pgvector import PgvectorStore
from vexrepo.remotes.stores.pgvector_errors import store_error
from vexrepo.testing.stores import plan_between


@pytest.fixture(scope="module")
def replica() -> Iterator[str]:
    with postgres.standby() as folder:
        yield folder


def _on(replica: str, where: Address) -> Address:
    """Return the address of a table on the replica, once that has it."""
    postgres.catch_up(replica)
    return replace(where, options={**where.options, "host": replica})


def test_a_replica_is_read_as_its_primary(replica: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database, halves = postgres.new_database(), Halves(monkeypatch)
    primary = postgres.address(database, index="none")
    fill(primary, memory(400, metadata={"topic": "harbour"}))
    # What a role may have set, and no replica does.
    postgres.run(database, f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")
    where = _on(replica, primary)
    assert read(where) == read(primary)
    kept = repository(tmp_path)
    kept.commit("first", store=where)
    assert halves.begun == 1
    status = kept.status(where)
    assert not any((status.learned, status.changed, status.forgotten))
    postgres.run(database, "DELETE FROM vex_memories WHERE id = 'm07'", "UPDATE vex_memories SET content = id")
    postgres.catch_up(replica)
    status = kept.status(where)
    assert (status.learned, status.changed, status.forgotten) == (0, 399, 1)


@pytest.mark.parametrize("table", ["vex_memories", "new"])
def test_a_write_to_a_replica_is_refused_before_anything_is_read(replica: str, table: str) -> None:
    database = postgres.new_database()
    fill(postgres.address(database), memory(3))
    where = _on(replica, postgres.address(database, table=table))

    def records() -> Iterator[Record]:
        pytest.fail("asked for what is not written")

    with pytest.raises(StoreError) as raised, PgvectorStore.open(where, create=True) as store:
        store.write(replace(plan_between([], memory(4)), upserts=records))
    said = str(raised.value)
    assert raised.value.code == "store-refused" and f'"{table}"' in said
    assert "replica" in said and "nothing was written" in said and "name the primary" in said


def test_a_user_whose_transactions_only_read_is_told_what_to_set() -> None:
    database = postgres.new_database()
    fill(postgres.address(database), memory(3))
    postgres.run(database, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    assert len(read(postgres.address(database))) == 3
    with pytest.raises(StoreError) as raised:
        fill(postgres.address(database), memory(4))
    assert raised.value.code == "store-refused" and "default_transaction_read_only" in str(raised.value)


def test_a_read_that_the_replica_ends_says_why() -> None:
    ended = psycopg.errors.lookup("40001")("canceling statement due to conflict with recovery")
    found = store_error(ended, "read", "table t")
    assert found.code == "store-busy" and "hot_standby_feedback" in str(found)
    another = store_error(psycopg.errors.lookup("40001")("could not serialize access"), "write", "table t")
    assert another.code == "store-locked"
