"""Qdrant in a folder, its embedded mode, beside scripts on qdrant-client.  Both open the folder for each transfer."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from qdrant_client import QdrantClient

from tests.bench.peers import FolderPeer, Peer, Row, qdrant


class _Folder(FolderPeer):
    kind = "qdrant"
    client = "qdrant-client, path=…"

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
