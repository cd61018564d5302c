"""Objects of a repository on this disk, one a file, as git writes those of small pushes."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from vexrepo.remotes.hosts.git_objects import NAMES, GitObject, changed, object_hash, pieces
from vexrepo.storage.files import Files, wrapped

_OURS: Final = re.compile(r"[0-9a-f]{38}|\.[0-9a-f]{38}\.[0-9a-f]{8}\.tmp")  # the second: left behind by a crash
_FOLDER: Final = re.compile(r"[0-9a-f]{2}")


class LooseObjects:
    """The files below a repository's ``objects`` folder."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    def write(self, item: GitObject) -> None:
        """Write an object, durable on return, if it is not there.  Raises: StorageFailure."""
        path = self._folder / item.id[:2] / item.id[2:]
        with wrapped("write", path):
            if path.exists():
                os.utime(path)  # it is wanted again: what nobody wanted for long is removed
                return
        self._files.make_folder(path.parent)
        self._files.write(path, _packed(item), mode=0o444)

    def remove_unused(self, used: Collection[str], before_s: float) -> int:
        """Remove objects that are not ``used`` and were written before a moment; return the bytes that makes free.

        A help only: what cannot be removed stays.
        """
        freed = 0
        with suppress(OSError):
            for folder in self._folder.iterdir():
                if _FOLDER.fullmatch(folder.name):
                    freed += sum(self._remove(path, folder.name, used, before_s) for path in folder.iterdir())
        return freed

    def _remove(self, path: Path, prefix: str, used: Collection[str], before_s: float) -> int:
        if not _OURS.fullmatch(path.name) or prefix + path.name in used:
            return 0
        with suppress(OSError):
            about = path.stat()
            if about.st_mtime < before_s:
                path.unlink()
                return about.st_size
        return 0


def _packed(item: GitObject) -> Iterator[bytes]:
    """Yield an object as the content of a file of its own; stored, not compressed."""
    packer = zlib.compressobj(0)
    check = object_hash(item.kind, item.size)
    yield packer.compress(b"%s %d\0" % (NAMES[item.kind], item.size))
    for piece in pieces(item.content):
        check.update(piece)
        yield packer.compress(piece)
    if check.hexdigest() != item.id:
        raise changed(item)
    yield packer.flush()
