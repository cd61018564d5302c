"""Parts of a table by the pages its rows lie in, so that two processes can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

HALVED_BYTES: Final = 48 << 20  # tables below this are read by one process
FIRST_VERSION: Final = 140_000  # of servers that go to a page without reading those before it
# Only the server's own kind of table has pages as they are meant here.
_SIZE: Final = """
SELECT pg_relation_size(c.oid) / current_setting('block_size')::bigint, pg_table_size(c.oid)
FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE c.oid = to_regclass(%s) AND c.relkind = 'r' AND NOT c.relhassubclass AND a.amname = 'heap'
"""


@dataclass(frozen=True, slots=True)
class Pages:
    """Some pages of a table: those before a page, or that one and all after it."""

    middle: int
    is_second: bool

    def condition(self) -> sql.Composed:
        """Return the condition, with its WHERE, that rows of these pages meet; each row meets one of the two."""
        from psycopg import sql

        sign = sql.SQL(">=") if self.is_second else sql.SQL("<")
        first = sql.Literal(f"({self.middle},0)")
        return sql.SQL(" WHERE ctid OPERATOR(pg_catalog.{}) {}::pg_catalog.tid").format(sign, first)


def find_middle(connection: psycopg.Connection[Any], name: str) -> int | None:
    """Return the page in the middle of a table of this (quoted) name, None where it is not worth reading in halves."""
    if connection.info.server_version < FIRST_VERSION:
        return None
    row = connection.execute(_SIZE, (name,)).fetchone()
    if row is None or row[0] < 2 or row[1] < HALVED_BYTES:
        return None
    return int(row[0]) // 2
