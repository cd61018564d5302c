"""How an SQLite database file is opened: read without leaving a trace beside it, written by one transaction.

Where a connection is to have an extension, ``connect`` is what makes one (``sqlite_extension``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from blake3 import blake3

from vexrepo.errors import InvalidData, StorageFailure, StoreError, VexError
from vexrepo.storage.files import Files

Connect: TypeAlias = Callable[[str, str, float], sqlite3.Connection]  # of a path, a mode and a time to wait in seconds

_MAGIC = b"SQLite format 3\0"
_CACHE_KIB = 32_000
_PAGE_BYTES = 8192  # of a new database: embeddings of usual length leave less of a page unused than with 4096
_NO_LOG = "-wal:0"
_WAL_INDEX_BYTES = 96  # both copies of the wal-index header: change counter, last frame, checksums


def read_header(path: str) -> bytes:
    """Return the first 100 bytes of a database file, b"" for an empty one.

    Raises: StoreError (store-missing, store-unreadable, store-corrupt) if it is no SQLite database.
    """
    if os.path.isdir(path):
        raise StoreError(
            f"{path} is a folder, expected a database file; name the file in it, e.g. {path}/agent.db",
            code="store-unreadable",
        )
    try:
        with open(path, "rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        raise StoreError(
            f"{path} does not exist, expected an SQLite database; check the path",
            code="store-missing",
        ) from None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}; check its permissions", code="store-unreadable"
        ) from error
    if header and not header.startswith(_MAGIC):
        raise StoreError(
            f"{path} is not an SQLite database (or an encrypted one): it starts with {header[:8]!r}, expected "
            f"{_MAGIC[:8]!r}; name another database, or restore the file from a backup",
            code="store-corrupt",
        )
    return header


class Marks(NamedTuple):
    """What changes with every committed transaction: of the main file, of the log beside it and its shared index."""

    main: str
    log: str | None
    shared: str | None

    @property
    def fingerprint(self) -> str:
        """These as one text."""
        parts = [self.main, *(part for part in (self.log, self.shared) if part is not None)]
        return blake3("|".join(parts).encode()).hexdigest(16)

    def is_passed(self, now: Marks) -> bool:
        """Whether somebody has committed since: ``now`` is taken within a transaction that holds other writers off.

        To begin that, files beside the database may have been made, with nothing in them.
        """
        if now.main != self.main or (now.log != self.log and not (self.log is None and now.log == _NO_LOG)):
            return True
        return self.shared is not None and bool(self.log) and self.log != _NO_LOG and now.shared != self.shared


def read_marks(path: str) -> Marks | None:
    """Return the marks of a database, or None if the files cannot be read."""
    try:
        log = shared = None
        main = _state(path)
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(f"{path}-wal")
            log = _NO_LOG
            if status.st_size:
                with open(f"{path}-wal", "rb") as file:
                    log = f"-wal:{status.st_size}:{file.read(32).hex()}|{status.st_mtime_ns}"
        with contextlib.suppress(FileNotFoundError), open(f"{path}-shm", "rb") as file:
            shared = f"-shm:0:{file.read(_WAL_INDEX_BYTES).hex()}"
    except OSError:
        return None
    return Marks(main, log, shared)


def fingerprint(path: str) -> str | None:
    """Return a text that changes with every committed transaction, or None if the files cannot be read."""
    marks = read_marks(path)
    return marks.fingerprint if marks is not None else None


def _state(path: str) -> str:
    status = os.stat(path)
    with open(path, "rb") as file:
        header = file.read(100)
    return f"{status.st_size}:{status.st_mtime_ns}:{header[24:28].hex()}"


@contextlib.contextmanager
def reading(path: str, timeout_s: float, connect: Connect | None = None) -> Iterator[sqlite3.Connection]:
    """Yield a connection inside one read transaction: a consistent view, whoever writes meanwhile.

    No file is created beside the database, and none is changed.  Raises: StoreError, StorageFailure.
    """
    connect = connect or _connect
    header = read_header(path)
    shared = os.path.exists(path + "-shm") and os.path.exists(path + "-wal")
    with contextlib.ExitStack() as stack:
        stack.enter_context(translated(path))
        if header[18:20] not in (b"\2\2", b"\2\1", b"\1\2") or shared:
            try:
                db = _begun(stack, connect(path, "mode=ro", timeout_s))
            except sqlite3.OperationalError as error:
                # A crashed writer left its journal: only a writer may roll it back, so it happens in a copy.
                code = getattr(error, "sqlite_errorname", "")
                hot = code in ("SQLITE_READONLY_ROLLBACK", "SQLITE_CANTOPEN") and os.path.exists(path + "-journal")
                if not hot:
                    raise
                db = _begun(stack, _connect_copy(stack, path, timeout_s, connect))
            yield db
        elif os.path.exists(path + "-wal") and os.path.getsize(path + "-wal"):
            # A log without its shared index: opening it here would create the index beside the data.
            yield _begun(stack, _connect_copy(stack, path, timeout_s, connect))
        else:
            # Nobody has this WAL database open, and opening it the plain way would create two files beside it.
            before = _state(path)
            yield _begun(stack, connect(path, "mode=ro&immutable=1", timeout_s))
            if _state(path) != before:
                raise StoreError(
                    f"{path} was changed by another program while it was being read; try again", code="store-changed"
                )


@contextlib.contextmanager
def writing(
    path: str, timeout_s: float, *, create: bool, connect: Connect | None = None, expected: str | None = None
) -> Iterator[sqlite3.Connection]:
    """Yield a connection inside one write transaction, committed at the end and rolled back on any error.

    With ``create``, a database that is missing comes to be as a whole or not at all; with ``expected``, one whose
    fingerprint is another by the time it is held is not written to.

    Raises: StoreError (store-changed, store-locked, store-cannot-hold, …), StorageFailure (disk-full, disk-error).
    """
    connect = connect or _connect
    missing = not os.path.exists(path)
    marks = read_marks(path) if expected is not None else None
    if expected is not None and (marks is None or marks.fingerprint != expected):
        raise _changed(path)
    if missing and create:
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise StoreError(
                f"{path} cannot be created: there is no folder {folder}; create the folder first", code="store-missing"
            )
    else:
        read_header(path)
        if not os.access(path, os.W_OK):
            raise StorageFailure(
                f"{path} is read-only, expected a database that can be written; change its permissions",
                code="disk-error",
            )
    if missing:
        with _new(path, timeout_s, connect) as db:
            yield db
        return
    with translated(path):
        db = connect(path, "mode=rw", timeout_s)
        try:
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            db.execute("BEGIN IMMEDIATE")
            # Whoever held the database until now may have committed since the look above.
            if marks is not None and ((now := read_marks(path)) is None or marks.is_passed(now)):
                raise _changed(path)
            yield db
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        finally:
            db.close()


def _changed(path: str) -> StoreError:
    return StoreError(
        f"{path} was changed by another program meanwhile; nothing was written: run the command again",
        code="store-changed",
    )


@contextlib.contextmanager
def _new(path: str, timeout_s: float, connect: Connect) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a database that gets its name when it is complete and on the disk."""
    folder, name = os.path.split(os.path.abspath(path))
    scratch = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    files = Files()
    try:
        with translated(path):
            db = connect(scratch, "mode=rwc", timeout_s)
            try:
                # Nobody sees the file before it is synced as a whole.
                db.execute("PRAGMA journal_mode = MEMORY")
                db.execute("PRAGMA synchronous = OFF")
                db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            finally:
                db.close()
        with open(scratch, "rb+") as file:
            files.sync(file, Path(scratch))
        _name(files, scratch, path)
    except StoreError as error:
        error.args = (str(error).replace(scratch, path),)  # nobody knows that other name
        raise
    finally:
        with contextlib.suppress(OSError):
            os.unlink(scratch)


def _name(files: Files, scratch: str, path: str) -> None:
    """Give a file its name unless another file has it.  Raises: StoreError (store-changed)."""
    try:
        try:
            os.link(scratch, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(path):
                raise FileExistsError(path) from None
            os.rename(scratch, path)
    except FileExistsError:
        raise StoreError(
            f"{path} was created by another program meanwhile; nothing was written: run the command again",
            code="store-changed",
        ) from None
    files.sync_folder(Path(path).parent)


def _connect(path: str, mode: str, timeout_s: float) -> sqlite3.Connection:
    uri = f"{Path(path).absolute().as_uri()}?{mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def _begun(stack: contextlib.ExitStack, db: sqlite3.Connection) -> sqlite3.Connection:
    stack.callback(db.close)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the snapshot now
    return db


def _connect_copy(stack: contextlib.ExitStack, path: str, timeout_s: float, connect: Connect) -> sqlite3.Connection:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vex-"))
    copy = os.path.join(folder, "copy.db")
    for ending in ("", "-wal", "-journal"):
        if os.path.exists(path + ending):
            shutil.copyfile(path + ending, copy + ending)
    return connect(copy, "mode=rw", timeout_s)


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, naming the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from error


def explain(path: str, error: sqlite3.Error) -> VexError:
    """Return our error for one of SQLite's."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError(
            f"{path} is locked by another program; nothing was changed: try again when the agent is idle",
            code="store-locked",
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(
            f"{path} is damaged, expected a sound SQLite database ({error}); restore it from a backup, or try "
            "sqlite3 FILE .recover",
            code="store-corrupt",
        )
    if name == "SQLITE_FULL":
        return StorageFailure(
            f"no space left while writing {path}; nothing was changed: free some and run the command again",
            code="disk-full",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        return StorageFailure(
            f"{path} or its folder is read-only ({error}); nothing was changed: change the permissions",
            code="disk-error",
        )
    if name.startswith("SQLITE_IOERR"):
        return StorageFailure(f"the disk refused an operation on {path}: {error}; check the disk", code="disk-error")
    if name.startswith("SQLITE_CANTOPEN"):
        return StoreError(f"{path} cannot be opened ({error}); check its permissions", code="store-unreadable")
    if name.startswith(("SQLITE_CONSTRAINT", "SQLITE_TOOBIG", "SQLITE_MISMATCH")):
        return StoreError(
            f"{path} refuses a record: {error}; nothing was changed: its table has a rule that the record breaks",
            code="store-cannot-hold",
        )
    if "decode to UTF-8" in str(error):
        return InvalidData(f"{path} holds text that is not UTF-8: {error}; repair that row", code="not-utf8")
    return StoreError(f"{path} does not have the expected layout: {error}", code="store-schema")
