"""Rows on their way into a table of PostgreSQL: the server takes them in while the next ones are made."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from vexrepo.remotes.stores.pgvector_wire import HEADER, TRAILER

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql


MOST_WAITING: Final = (
    1 << 20
)  # bytes that the client library is given before it is waited for: it would keep any number


class RowStream:
    """A COPY into a table that goes on over many batches.  Nothing else can be asked of the server before its end."""

    def __init__(
        self, connection: psycopg.Connection[Any], statement: sql.Composed, around: AbstractContextManager[None]
    ) -> None:
        self._connection = connection
        self._waiting = 0
        self._held = contextlib.ExitStack()
        self._held.enter_context(around)
        cursor = self._held.enter_context(connection.cursor())
        self._copy = self._held.enter_context(cursor.copy(statement))
        self._copy.write(HEADER)

    def write(self, rows: bytes) -> None:
        """Send rows."""
        self._copy.write(rows)
        self._waiting += len(rows)
        if self._waiting >= MOST_WAITING:
            self._connection.wait(_sent(self._connection))
            self._waiting = 0

    def end(self) -> None:
        """Wait until all are there.  Raises: psycopg.Error for what the server says of any of them."""
        self._copy.write(TRAILER)
        self._held.close()

    def cancel(self) -> None:
        """Give up: none will be there."""
        import psycopg

        with contextlib.suppress(psycopg.Error):  # something was told already
            self._held.__exit__(psycopg.Error, psycopg.Error("given up"), None)


def _sent(connection: psycopg.Connection[Any]) -> Generator[Any, Any, None]:
    """Wait, as psycopg waits for what it does itself, until all that was written is on its way."""
    from psycopg.waiting import Wait

    while connection.pgconn.flush() == 1:
        yield Wait.W
