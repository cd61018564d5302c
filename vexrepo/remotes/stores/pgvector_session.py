"""Connections to PostgreSQL, made when they are first needed, and what holds while something is asked over it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.pgvector_errors import connection_parameters, store_error
from vexrepo.remotes.stores.pgvector_stream import RowStream

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

LIBPQ: Final = frozenset(
    {
        "host",
        "port",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslnegotiation",
        "channel_binding",
        "gssencmode",
        "options",
    }
)  # what an address may say of the connection
LOCK_WAIT: Final = "10s"
SENT_BYTES: Final = 2 << 20  # which the kernel is asked to hold; it may give less
SECOND_WAIT_S: Final = 3  # for what a second connection is asked: a pooler without another one lets it wait for minutes
TOLD_S: Final = 3.0  # after which somebody who waits for a transaction to begin is told
_NO_LIMIT: Final = "; SET LOCAL transaction_timeout = 0"
_LIMITED_FROM: Final = 170000  # the first version that has such
_OWN_PATH: Final = "pg_catalog, pg_temp"
_SETTINGS: Final = (
    f"SET LOCAL search_path = {_OWN_PATH}; SET LOCAL statement_timeout = 0; "
    # Within a transaction the server waits for what is read here and made ready.
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL timezone = 'UTC'; "
    "SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; "
    "SET LOCAL datestyle = 'ISO'; "
    # To start processes for a fingerprint takes longer than to look at so many rows.
    "SET LOCAL min_parallel_table_scan_size = '64MB'"
)
_PATH: Final = "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(false)::pg_catalog.text[]"


class Session:
    """The connection to one database, its transactions, and the rows that are on their way over it.

    A second one is made where something is asked while rows are read.

    ``where`` is what people are told of the place.
    """

    def __init__(self, address: Address, where: str) -> None:
        self._address = address
        self._where = where
        # The user's search path, as it is set and as the schemas that are there.
        self._path: tuple[Any, ...] | None = None
        self._connections: list[psycopg.Connection[Any]] = []
        self._busy: list[psycopg.Connection[Any]] = []  # those that rows come over
        self._stream: RowStream | None = None  # of new rows, as long as nothing else is asked of the server

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection to ask on: not one that rows come over, which are waited for for ever by whoever asks more.

        Raises: StoreError (store-unreachable, store-refused, …).
        """
        for each in self._connections:
            if each.closed or each not in self._busy:
                return each
        self._connections.append(self.another())
        return self._connections[-1]

    def another(self) -> psycopg.Connection[Any]:
        """Return one more connection, which the caller closes.  Raises: as ``connection``."""
        import psycopg

        with self.wrapped("reach"):
            made = psycopg.connect(
                **self._parameters,
                autocommit=True,
                prepare_threshold=None,  # poolers hand statements to connections that never saw them
            )
        # Not as the user's transactions are by default: a replica knows no serializable ones.
        made.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        _widen(made)
        return made

    @cached_property
    def _parameters(self) -> dict[str, Any]:  # kept: the password is asked for once
        return connection_parameters(self._address, LIBPQ)

    @property
    def progress(self) -> Callable[[str, int, int | None], None] | None:
        """Whom to tell of long work."""
        return self._address.reach.progress

    @property
    def schemas(self) -> Sequence[str]:
        """The schemas of the user's search path that are there, once there was a transaction."""
        return self._path[1] if self._path is not None else ()

    @contextlib.contextmanager
    def wrapped(self, doing: str) -> Iterator[None]:
        """Raise what the server says as what it means to somebody who was ``doing`` something."""
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise store_error(error, doing, self._where) from None

    @contextlib.contextmanager
    def transaction(self, doing: str) -> Iterator[psycopg.Connection[Any]]:
        """Give the connection within a transaction, the one under way or a new one; settings end with it.

        Names in a statement are those of the server's own functions, types and operators: what somebody else made
        under such a name in a schema of the user's search path would run with the user's rights.
        """
        from psycopg.pq import TransactionStatus

        with self.wrapped(doing):
            connection = self.connection
            if connection.info.transaction_status != TransactionStatus.IDLE:
                self.end_stream()
                yield connection
                return
            with contextlib.ExitStack() as held:
                with self._answered(connection):
                    held.enter_context(connection.transaction())
                    if self._path is None:
                        self._path = connection.execute(_PATH).fetchone()
                    connection.execute(_settings(connection).encode())
                yield connection

    @contextlib.contextmanager
    def _answered(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Say that an answer is waited for, where a pooler lets a transaction wait for a connection of the server.

        Raises: StoreError (store-busy) after as long as any answer is waited for.
        """

        reach = self._address.reach
        why = "a pooler in front of the server may have no connection left (pool_size)"
        told = threading.Timer(TOLD_S, reach.notice, (f"{self._where} does not answer so far: {why}",))
        told.daemon = True
        told.start()
        try:
            with _ended_after(connection, reach.timeout_s):
                yield
        except _NotAnsweredError:
            raise StoreError(
                f"{self._where} did not answer within {reach.timeout_s:g} s: {why}; nothing was written: run the "
                "command again when others have ended, or give the pooler more",
                code="store-busy",
            ) from None
        finally:
            told.cancel()
            told.join()  # a second process is begun only where there are no threads

    @contextlib.contextmanager
    def doubled(self, table: sql.Identifier) -> Iterator[Session | None]:
        """Give a session of another connection, for a second process; both see the same moment until this is left.

        Everything asked meanwhile is within one transaction.  The table is held first: one that is written anew would
        seem empty to whoever looks from an earlier moment.  None where the server does not give all that.
        """
        import psycopg
        from psycopg import sql

        connection = self.connection
        other, is_made = Session(self._address, self._where), False
        other._path = self._path
        other.__dict__["_parameters"] = {**self._parameters, "connect_timeout": SECOND_WAIT_S}
        with contextlib.suppress(psycopg.Error, StoreError, _NotAnsweredError):
            _begin(connection)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(table))
            row = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
            second = other.connection
            with _ended_after(second, SECOND_WAIT_S):
                _begin(second)
                second.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(row[0] if row else "")))
            is_made = True
        if not is_made:
            other.close()
            with self.wrapped("read"):
                connection.rollback()
            yield None
            return
        try:
            yield other
            with self.wrapped("read"):
                connection.execute("COMMIT")
        except BaseException:
            # Whatever is under way ends; another connection is made when it is needed.
            self.close()
            self._connections.clear()
            raise
        finally:
            other.close()

    @contextlib.contextmanager
    def as_the_user(self) -> Iterator[None]:
        """Let triggers and defaults find what they find when the user writes."""
        connection, set_path = self.connection, "SELECT pg_catalog.set_config('search_path', %s, true)"
        assert self._path is not None
        connection.execute(set_path, (self._path[0],))
        yield
        connection.execute(set_path, (_OWN_PATH,))  # not after an error: there is no transaction then

    @contextlib.contextmanager
    def reading(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Say that rows come over a connection, so that what is asked meanwhile is asked on another."""
        self._busy.append(connection)
        try:
            yield
        finally:
            self._busy.remove(connection)

    # -- rows on their way -------------------------------------------------------------------------------------------

    def send(self, statement: sql.Composed, pieces: Sequence[bytes]) -> None:
        """Send rows by a COPY that goes on until something else is asked of the server."""
        with self.wrapped("write"):
            if self._stream is None:
                self._stream = RowStream(self.connection, statement, self.as_the_user())
            for piece in pieces:
                self._stream.write(piece)

    def end_stream(self) -> None:
        """Let the rows that are on their way arrive; nothing else can be asked before."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.end()

    def cancel_stream(self) -> None:
        """Give up what is on its way."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    def close(self) -> None:
        """End the connections."""
        for each in self._connections:
            each.close()


def _widen(connection: psycopg.Connection[Any]) -> None:
    """Let a local socket hold more: with what it holds by itself, client and server wait for each other by turns.

    One to another machine grows by itself, and would no longer.
    """
    if connection.info.host.startswith("/"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)


def _begin(connection: psycopg.Connection[Any]) -> None:
    """Begin a transaction that sees one moment."""
    connection.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ; {_settings(connection)}".encode())


def _settings(connection: psycopg.Connection[Any]) -> str:
    """Return the statements that set what holds within a transaction."""
    more = _NO_LIMIT if connection.info.server_version >= _LIMITED_FROM else ""
    return f"SET LOCAL lock_timeout = '{LOCK_WAIT}'; {_SETTINGS}{more}"


class _NotAnsweredError(Exception):
    """A connection was ended, since it did not answer."""


@contextlib.contextmanager
def _ended_after(connection: psycopg.Connection[Any], wait_s: float) -> Iterator[None]:
    """End a connection that does not answer in time.  Raises: _NotAnsweredError."""
    import psycopg

    with socket.fromfd(connection.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM) as line:
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(wait_s, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except psycopg.Error:
            if not is_over.is_set():
                raise
        finally:
            timer.cancel()
            timer.join()
    if is_over.is_set():
        raise _NotAnsweredError
