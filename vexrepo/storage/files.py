"""The only code that writes repository files.

Every operation that changes the disk passes ``Files.step`` first, so that tests can stop the process at each
one.  Rules: a file becomes visible under its final name complete and fsynced, or not at all; the folder is
fsynced after a rename.  Errors of the system become StorageFailure with the path in the message.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from vexrepo.errors import StorageFailure

EARLY_BYTES = 32 << 20  # files below this are written back by their fsync


class Files:
    """File operations with durability; tests replace ``step`` to inject faults."""

    def step(self, name: str, path: Path) -> None:
        """Called before each operation that changes the disk."""

    def make_folder(self, path: Path) -> None:
        """Create a folder, its parents too, if missing."""
        with wrapped("create the folder", path):
            if not path.is_dir():
                self.make_folder(path.parent)  # one by one: each new name must be durable in the folder above it
                self.step("mkdir", path)
                path.mkdir(exist_ok=True)
                self.sync_folder(path.parent)

    def write(self, path: Path, content: bytes | Iterable[bytes], *, mode: int = 0o644) -> None:
        """Replace a file's content (whole or in pieces): all of it or nothing, durable on return."""
        scratch = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
        with wrapped("write", path):
            try:
                self.step("create", scratch)
                handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
                with os.fdopen(handle, "wb") as file:
                    self.step("write", scratch)
                    file.writelines((content,) if isinstance(content, bytes) else content)
                    self.sync(file, scratch)
                self.replace(scratch, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    scratch.unlink()
                raise

    def sync(self, file: IO[bytes], path: Path) -> None:
        """Bring a written file to the disk."""
        with wrapped("write", path):
            file.flush()
            self.step("fsync", path)
            os.fsync(file.fileno())

    def replace(self, source: Path, target: Path) -> None:
        """Rename over the target and make the new name durable."""
        with wrapped("write", target):
            self.step("replace", target)
            os.replace(source, target)
            self.sync_folder(target.parent)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable (where the system can)."""
        if os.name == "nt":
            return
        self.step("fsync-folder", path)
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, path: Path) -> None:
        """Remove a file if it is there."""
        with wrapped("remove", path):
            self.step("unlink", path)
            path.unlink(missing_ok=True)


class EarlyWriteback:
    """Brings what is written to a large file to the disk while more is being written.

    Without it the system lets unwritten pages pile up, then slows every write down and leaves the rest to the fsync
    at the end.  A help only: durability is still that fsync's.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = 0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def wrote(self, size: int) -> None:
        """Say that so many bytes more were written."""
        self._written += size
        if self._thread is None and self._written >= EARLY_BYTES and hasattr(os, "fdatasync"):
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.05):
            try:
                os.fdatasync(self._file.fileno())
            except (OSError, ValueError):  # the fsync at the end says what is wrong
                return

    def stop(self) -> None:
        """End; call before the file is closed."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()


@contextlib.contextmanager
def wrapped(verb: str, path: Path) -> Iterator[None]:
    """Turn the system's errors into StorageFailure (disk-full, disk-error)."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFailure(
                f"no space left on the device while writing {path}; nothing acknowledged was lost: free some space and "
                "run the command again",
                code="disk-full",
            ) from error
        raise StorageFailure(f"cannot {verb} {path}: {error.strerror or error}", code="disk-error") from error
