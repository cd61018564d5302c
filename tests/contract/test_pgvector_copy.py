"""Rows as COPY sends them, split by psycopg or, where that does it otherwise than is known, by us."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import DataError
from psycopg._copy_base import BinaryFormatter

from tests.contract.postgres import address, new_database, run
from tests.contract.test_pgvector_tables import fill, memory, read
from vexrepo.remotes.stores.pgvector_wire import HEADER, TRAILER

known = BinaryFormatter.parse_row


def of_3_2(self: BinaryFormatter, data: Any) -> Any:
    """As psycopg 3.2 does it: there is no trailer after the header."""
    if bytes(data) == HEADER + TRAILER:
        raise DataError("bad copy data: length exceeding data")
    return known(self, data)


def refusing(self: BinaryFormatter, data: Any) -> Any:
    raise DataError("a row is not to be split here")


def in_bytes(self: BinaryFormatter, data: Any) -> Any:
    row = known(self, data)
    return row if row is None else tuple(value.encode() if isinstance(value, str) else value for value in row)


def waiting_for_a_header(self: BinaryFormatter, data: Any) -> Any:
    self._signature_sent = False
    return known(self, data)


@pytest.mark.parametrize("parse", [None, of_3_2, refusing, in_bytes, waiting_for_a_header])
def test_rows_are_split_whatever_psycopg_does(parse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    database = new_database()
    records = memory(3, metadata={"topic": "Föhr", "n": 1}) + memory(5)[3:]
    fill(address(database), records)
    run(
        database,
        "CREATE TABLE notes (key uuid PRIMARY KEY, note text, n int, at date, v vector(2))",
        "INSERT INTO notes VALUES (gen_random_uuid(), 'Grüße', 3, '2026-01-02', '[1,0.5]')",
        "INSERT INTO notes VALUES (gen_random_uuid())",
    )
    ours, theirs = address(database), address(database, table="notes")
    expected = read(ours), read(theirs)
    assert len(expected[0]) == 5 and expected[0]["m00"]["metadata"]["topic"] == "Föhr"
    if parse is None:
        monkeypatch.delattr(BinaryFormatter, "parse_row")
    else:
        monkeypatch.setattr(BinaryFormatter, "parse_row", parse)
    assert (read(ours), read(theirs)) == expected
