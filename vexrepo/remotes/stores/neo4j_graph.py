"""A graph database asked by Bolt: transactions through its official driver, errors of stores."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from vexrepo.errors import StoreError, UsageError
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import was_closed
from vexrepo.storage.ahead import Pool, Readings, Shared

if TYPE_CHECKING:
    import neo4j

T = TypeVar("T")
Row: TypeAlias = list[Any]
Ask: TypeAlias = Callable[[str, Mapping[str, Any]], list[Row]]

PASSWORD: Final = "password"
PORT: Final = 7687
MOST_NAME: Final = 16_383
_RETRY_S: Final = 15.0  # a transaction that the server wants done again is begun again for so long
_TOO_LARGE: Final = ("MemoryPoolOutOfMemory", "TransactionOutOfMemory", "TransactionMemoryLimit")
_UNKNOWN: Final = ("SyntaxError", "ProcedureNotFound", "FeatureNotFound", "NotSupported", "UnsupportedOperation")


def quoted(name: str) -> str:
    """Return a name of a label, property or type as Cypher writes it.  ``is_name`` says which are names."""
    return "`" + name.replace("`", "``") + "`"


def is_name(name: str) -> bool:
    """Whether a label, property or type can be called so."""
    return bool(name) and "\0" not in name and len(name.encode()) <= MOST_NAME


class Graph:
    """One database of a server.  Nothing is sent before it is asked; ``close`` ends the connections.

    Threads may ask it, one at a time.  The driver, closed while one of them is in the middle of an answer, would write
    its farewell into the message under way: so it is closed by whoever asks last.  Interrupted in the middle of one, it
    asks the server to begin anew, and waits for the answer of one that hangs for ever: so a thread of its own asks, and
    who waits for that can be interrupted.
    """

    def __init__(self, address: Address, readings: Readings) -> None:
        """Raises: UsageError (bad-address), StoreError (store-unreadable: no driver)."""
        self.address = address
        self._asker = Pool(1)
        readings.add(self._asker)
        self._asker_id: int | None = None  # of its thread
        self._shared = Shared(self._end)
        place, _, path = address.location.removeprefix("//").partition("/")
        parts = urlsplit(f"//{place}")
        try:
            self._host, self._port = parts.hostname or "localhost", parts.port or PORT
        except ValueError:
            raise UsageError(f"the port in {address} is no number", code="bad-address") from None
        self._user = parts.username or address.options.get("user") or "neo4j"
        self.database = path.strip("/") or None
        self._is_tls = bool(address.flag("tls"))
        routing = address.flag("routing")
        self._is_routed = self._is_tls if routing is None else routing
        try:
            import neo4j  # noqa: F401
        except ImportError:
            raise StoreError(
                f"{address}: the driver of Neo4j is not installed: pip install 'vexrepo[neo4j]'",
                code="store-unreadable",
            ) from None

    @cached_property
    def _driver(self) -> neo4j.Driver:
        import neo4j

        # Python prints the warnings of a logger that nobody listens to; they say what the errors say again.
        logging.getLogger("neo4j").addHandler(logging.NullHandler())
        reach = self.address.reach
        tls: dict[str, Any] = {}
        if self._is_tls:
            trusted = neo4j.TrustCustomCAs(str(reach.ca_file)) if reach.ca_file else neo4j.TrustSystemCAs()
            tls = {"encrypted": True, "trusted_certificates": trusted}
        secret = self.address.secret(PASSWORD)
        host = f"[{self._host}]" if ":" in self._host else self._host
        return neo4j.GraphDatabase.driver(
            f"{'neo4j' if self._is_routed else 'bolt'}://{host}:{self._port}",
            auth=(self._user, secret) if secret else None,
            connection_timeout=reach.connect_within(10.0),
            connection_acquisition_timeout=reach.timeout_s,
            max_transaction_retry_time=_RETRY_S if reach.tries is None else 0.0,
            user_agent="vexrepo",
            **tls,
        )

    @cached_property
    def _seen(self) -> neo4j.BookmarkManager:
        """What was written here, which every later transaction waits for: a cluster's members are behind its leader."""
        import neo4j

        return neo4j.GraphDatabase.bookmark_manager()

    def close(self) -> None:
        """End the connections, now or after the answer under way; who asks then gets StoreError (store-unreachable)."""
        self._shared.close()

    def _end(self) -> None:
        if "_driver" in self.__dict__:
            self._driver.close()

    # -- asking ------------------------------------------------------------------------------------------------------

    def read(self, query: str, **parameters: Any) -> list[Row]:
        """Return the rows of a query, in a transaction that is begun again where that may help."""
        return self._transact("execute_read", lambda ask: ask(query, parameters))

    def look(self, work: Callable[[Ask], T]) -> T:
        """Do some work that only reads, in one transaction."""
        return self._transact("execute_read", work)

    def write(self, work: Callable[[Ask], T]) -> T:
        """Do some work in one transaction.  It may be done twice where an answer was lost: it must be idempotent."""
        return self._transact("execute_write", work)

    def _transact(self, method: str, work: Callable[[Ask], T]) -> T:
        def inside(transaction: neo4j.ManagedTransaction) -> T:
            def ask(query: str, parameters: Mapping[str, Any]) -> list[Row]:
                return [each.values() for each in transaction.run(query, dict(parameters))]

            return work(ask)

        def ask(session: neo4j.Session) -> T:
            done: T = getattr(session, method)(inside)
            return done

        return self._ask(ask)

    def declare(self, statement: str) -> list[Row] | None:
        """Return the rows of a statement about the schema; None where the server does not know such a statement."""
        import neo4j.exceptions as of

        def ask(session: neo4j.Session) -> list[Row] | None:
            try:
                return [each.values() for each in session.run(statement)]
            except of.Neo4jError as error:
                if str(error.code).rpartition(".")[2] in _UNKNOWN:
                    return None
                raise

        return self._ask(ask)

    def _ask(self, work: Callable[[neo4j.Session], T]) -> T:
        def inside() -> T:
            self._asker_id = threading.get_ident()
            with self._session() as session:
                return work(session)

        if threading.get_ident() == self._asker_id:  # in the middle of some other work
            return inside()
        return self._asker.submit(inside).result()

    @contextlib.contextmanager
    def _session(self) -> Iterator[neo4j.Session]:
        with (
            self._shared.used(partial(was_closed, self.address)),
            self._asking(),
            self._driver.session(database=self.database, bookmark_manager=self._seen) as session,
        ):
            yield session

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn the driver's errors into ours; they name no secret."""
        import neo4j.exceptions as of

        where = str(self.address)
        try:
            yield
        except (of.AuthError, of.Forbidden) as error:
            raise StoreError(
                f"{where} does not let {self._user!r:.60} in ({_words(error)}); give the password as NEO4J_PASSWORD, "
                "the user in the address: neo4j://USER@HOST",
                code="store-refused",
            ) from None
        except of.NotALeader as error:
            raise StoreError(
                f"{where} is a member of a cluster that takes no writes ({_words(error)}); let the cluster say which "
                "does: ?routing=1",
                code="store-refused",
            ) from None
        except of.ConstraintError as error:
            raise StoreError(
                f"{where}: a constraint of the graph is against it ({_words(error)}); see SHOW CONSTRAINTS",
                code="store-schema",
            ) from None
        except of.Neo4jError as error:
            code = str(error.code)
            if any(each in code for each in _TOO_LARGE):
                raise StoreError(f"{where}: too much at once ({_words(error)})", code="store-limit") from None
            if "DatabaseNotFound" in code or "DatabaseUnavailable" in code:
                raise StoreError(f"{where}: {_words(error)}; check the name", code="store-missing") from None
            if ".Schema." in code:
                raise StoreError(
                    f"{where}: the graph does not take it ({_words(error)}); see SHOW CONSTRAINTS, and which nodes "
                    "share an id",
                    code="store-schema",
                ) from None
            if ".TransientError." in code:
                raise StoreError(
                    f"{where} is busy ({_words(error)}); run the command again later: it goes on where it stopped",
                    code="store-busy",
                ) from None
            raise StoreError(f"{where} does not take a request: {_words(error)}", code="store-answer") from None
        except (of.ServiceUnavailable, of.SessionExpired, OSError) as error:
            raise StoreError(
                f"{where} cannot be reached: {_words(error)}; is it running, is this its Bolt port, and with TLS "
                "(tls=1) or without?",
                code="store-unreachable",
            ) from None
        except of.DriverError as error:
            raise StoreError(f"{where} does not answer as Neo4j does: {_words(error)}", code="store-answer") from None


def _words(error: BaseException) -> str:
    """Return what an error says, in one line without the driver's annotations."""
    message = getattr(error, "message", None)
    text = message if isinstance(message, str) and message else str(error)
    return " ".join(text.split())[:300] or type(error).__name__


__all__ = ["Ask", "Graph", "Row", "is_name", "quoted"]
