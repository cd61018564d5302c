"""The writer lock: one process writes at a time; readers need none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from vexrepo.errors import Locked
from vexrepo.storage.files import wrapped


@contextlib.contextmanager
def writer_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock file.  Raises: Locked after ``timeout_s`` seconds of waiting, StorageFailure."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=timeout_s)
    with wrapped("lock", path):
        try:
            lock.acquire()
        except Timeout:
            raise Locked(
                f"another process is writing to {path.parent} (waited {timeout_s:g} s for {path.name}); nothing was "
                "changed: wait for it to end and run the command again",
                code="repository-locked",
            ) from None
    try:
        yield
    finally:
        lock.release()
