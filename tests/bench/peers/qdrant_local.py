"""Qdrant in a folder, its embedded mode, beside scripts on qdrant-client.  Both open the folder for each transfer."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from qdrant_client import QdrantClient

from tests.bench.peers import Peer, Row, qdrant
from vexrepo.remotes.stores.address import Address


class _Folder(Peer):
    client = "qdrant-client, path=…"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def address(self, name: str) -> Address:
        return Address("qdrant", str(self._folder / name), {"collection": name})

    def drop(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def write(self, name: str, rows: Sequence[Row]) -> None:
        with closing(QdrantClient(path=str(self._folder / name))) as client:
            qdrant.write(client, name, rows)

    def read(self, name: str) -> int:
        with closing(QdrantClient(path=str(self._folder / name))) as client:
            return qdrant.read(client, name)


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a folder for folders."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a server would do better
        yield _Folder(Path(folder))
