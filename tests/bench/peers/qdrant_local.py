"""Qdrant in a folder, its embedded mode, beside scripts on qdrant-client.  Both open the folder for each transfer."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from qdrant_client import QdrantClient

from tests.bench.peers import FolderPeer, Peer, Row, qdrant

_PAGE = 2000  # for each, the client sorts all ids: pages of 256, as one asks a server for, take half as long again


class _Folder(FolderPeer):
    kind = "qdrant"
    client = "qdrant-client, pages of 2,000"

    def write(self, name: str, rows: Sequence[Row]) -> None:
        with closing(QdrantClient(path=str(self._folder / name))) as client:
            qdrant.write(client, name, rows)

    def read(self, name: str) -> int:
        with closing(QdrantClient(path=str(self._folder / name))) as client:
            return qdrant.read(client, name, _PAGE)


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a folder for folders."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a server would do better
        yield _Folder(Path(folder))
