"""Indexing the vectors of a table, which takes minutes where there are many: how far it has come is told meanwhile.

The connection that makes an index waits for it; another one asks the server (``pg_stat_progress_create_index``, which
shows users their own work).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.pgvector_session import Session
from vexrepo.remotes.stores.pgvector_table import Table, default_index, indexes_of

if TYPE_CHECKING:
    import psycopg

FIRST_S: Final = 1.5  # an index that is made sooner is not asked about
EVERY_S: Final = 0.5
LEFT_S: Final = 5.0  # after which a connection that cannot be made is left to itself
WHAT: Final = "indexing vectors"
# HNSW tells how many vectors it has, IVFFlat in its last phase also of how many.
_PROGRESS: Final = """
SELECT tuples_done, tuples_total FROM pg_catalog.pg_stat_progress_create_index
WHERE pid OPERATOR(pg_catalog.=) %s AND tuples_done IS NOT NULL
"""


def make_indexes(session: Session, table: Table, config: Mapping[str, Any], method: str) -> None:
    """Index the vectors of a table that was made, as ``config`` says or else by the method."""
    names = {each.column for each in table.vectors}
    indexes = [index for index in indexes_of(config) if index.column in names]
    if not indexes and not config and (index := default_index(table, method)) is not None:
        indexes = [index]
    connection = session.connection
    for index in indexes:
        with watched(session, table):
            connection.execute(index.statement(table, extension_schema(connection)))


def extension_schema(connection: psycopg.Connection[Any]) -> str:
    """Return the schema that the extension lives in."""
    row = connection.execute(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
    ).fetchone()
    assert row is not None
    return str(row[0])


@contextlib.contextmanager
def watched(session: Session, table: Table) -> Iterator[None]:
    """Tell how far an index of a table is that the session makes meanwhile, where somebody is told."""
    from psycopg import sql

    tell = session.progress
    if tell is None:
        yield
        return
    count = sql.SQL("SELECT pg_catalog.pg_backend_pid(), pg_catalog.count(*) FROM {}").format(table.identifier())
    row = session.connection.execute(count).fetchone()
    assert row is not None
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(session, *row, tell, done), name="vex-index", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join(LEFT_S)


def _watch(
    session: Session, pid: int, count: int, tell: Callable[[str, int, int | None], None], done: threading.Event
) -> None:
    """Tell how many vectors the index has that a server's process makes, until it is done.

    Nothing is told where the server takes no other connection.
    """
    import psycopg

    if done.wait(FIRST_S):
        return
    with contextlib.suppress(psycopg.Error, StoreError), session.another() as connection:
        while not done.wait(EVERY_S):
            row = connection.execute(_PROGRESS, (pid,)).fetchone()
            if row is not None and not done.is_set():
                tell(WHAT, row[0], row[1] or count)
