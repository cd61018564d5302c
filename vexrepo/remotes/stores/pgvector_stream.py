"""Rows on their way into a table of PostgreSQL: the server takes them in while the next ones are made."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from vexrepo.remotes.stores.pgvector_wire import HEADER, TRAILER

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql


class RowStream:
    """A COPY into a table that goes on over many batches.  Nothing else can be asked of the server before its end."""

    def __init__(
        self, connection: psycopg.Connection[Any], statement: sql.Composed, around: AbstractContextManager[None]
    ) -> None:
        self._held = contextlib.ExitStack()
        self._held.enter_context(around)
        cursor = self._held.enter_context(connection.cursor())
        self._copy = self._held.enter_context(cursor.copy(statement))
        self._copy.write(HEADER)

    def write(self, rows: bytes) -> None:
        """Send rows."""
        self._copy.write(rows)

    def end(self) -> None:
        """Wait until all are there.  Raises: psycopg.Error for what the server says of any of them."""
        self._copy.write(TRAILER)
        self._held.close()

    def cancel(self) -> None:
        """Give up: none will be there."""
        import psycopg

        with contextlib.suppress(psycopg.Error):  # something was told already
            self._held.__exit__(psycopg.Error, psycopg.Error("given up"), None)
