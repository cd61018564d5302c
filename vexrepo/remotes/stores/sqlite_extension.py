"""Connections to SQLite that have the extension sqlite-vec, whose virtual tables hold vectors.

Many builds of Python cannot load extensions into their ``sqlite3`` (those of python.org for macOS, of several
distributions): there the library apsw, with an SQLite of its own, stands in for it and speaks as ``sqlite3`` does, as
far as connectors ask.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from vexrepo.errors import StoreError

if TYPE_CHECKING:
    import apsw

_INSTALL: Final = "pip install 'vexrepo[sqlite-vec]'"


def connect(path: str, mode: str, timeout_s: float) -> sqlite3.Connection:
    """Return a connection that has the extension (a ``sqlite_files.Connect``).

    Raises: StoreError (store-unreadable) where the extension, or what could load it, is missing; sqlite3.Error.
    """
    try:
        import sqlite_vec
    except ImportError:
        raise StoreError(
            f"{path}: tables of vectors need the extension sqlite-vec: {_INSTALL}", code="store-unreadable"
        ) from None
    uri = f"{Path(path).absolute().as_uri()}?{mode}"
    extension = sqlite_vec.loadable_path()
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        db = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        try:
            db.enable_load_extension(True)
            db.load_extension(extension)
            db.enable_load_extension(False)
        except BaseException:
            db.close()
            raise
        return db
    try:
        import apsw
    except ImportError:
        raise StoreError(
            f"{path}: the sqlite3 of this Python cannot load the extension sqlite-vec, and apsw, which can, is not "
            f"installed: {_INSTALL}",
            code="store-unreadable",
        ) from None
    with _translated():
        opened = apsw.Connection(uri, apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            opened.set_busy_timeout(round(1000 * timeout_s))
            opened.enable_load_extension(True)
            opened.load_extension(extension)
            opened.enable_load_extension(False)
        except BaseException:
            opened.close()
            raise
    return cast(sqlite3.Connection, _Connection(opened))


class _Connection:
    """A connection of apsw that speaks as one of sqlite3 does: its cursors, its errors."""

    def __init__(self, opened: apsw.Connection) -> None:
        self._opened = opened
        self.text_factory: Any = str  # of no effect: text that is not UTF-8 is an error here

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is under way."""
        return bool(self._opened.in_transaction)

    def create_function(self, name: str, count: int, function: Callable[..., Any], *, deterministic: bool) -> None:
        """Give SQL a function."""
        self._opened.create_scalar_function(name, function, count, deterministic=deterministic)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> _Cursor:
        """Run a statement."""
        with _translated():
            return _Cursor(self._opened.execute(statement, tuple(values)))

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> _Cursor:
        """Run a statement for each row of values."""
        with _translated():
            before = self._opened.total_changes()
            found = self._opened.executemany(statement, rows)
            return _Cursor(found, self._opened.total_changes() - before)

    def close(self) -> None:
        """Close the connection, with statements that were not read to their end."""
        self._opened.close(True)


class _Cursor:
    """The rows of a statement; ``rowcount`` is of rows that many statements changed."""

    def __init__(self, rows: Iterable[Any], rowcount: int = -1) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        with _translated():
            yield from self._rows

    def fetchone(self) -> Any:
        """Return the next row, None at the end."""
        with _translated():
            return next(self._rows, None)

    def fetchmany(self, count: int) -> list[Any]:
        """Return up to ``count`` rows."""
        with _translated():
            return list(islice(self._rows, count))

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        with _translated():
            return list(self._rows)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of apsw as those of sqlite3, with the name of SQLite's own code."""
    import apsw

    try:
        yield
    except apsw.Error as error:
        code: int = getattr(error, "extendedresult", 0) or getattr(error, "result", 0)
        found = sqlite3.OperationalError(str(error))
        name = apsw.mapping_extended_result_codes.get(code) or apsw.mapping_result_codes.get(code)
        found.sqlite_errorname = name if isinstance(name, str) else ""
        raise found from error
    except UnicodeDecodeError as error:
        raise sqlite3.OperationalError(f"Could not decode to UTF-8 text: {error}") from error
