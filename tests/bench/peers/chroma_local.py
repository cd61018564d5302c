"""Chroma in a folder, its embedded mode, beside scripts on chromadb.  Both open the folder for each transfer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.peers import FolderPeer, Peer, Row, chroma
from tests.contract import chroma_local


class _Folder(FolderPeer):
    kind = "chroma"
    client = "chromadb.PersistentClient"

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        import chromadb
        from chromadb.api.shared_system_client import SharedSystemClient

        client = chromadb.PersistentClient(str(self._folder / name))
        try:
            yield client
        finally:
            client._system.stop()
            SharedSystemClient.clear_system_cache()  # else the next one is given this

    def write(self, name: str, rows: Sequence[Row]) -> None:
        with self._opened(name) as client:
            chroma.write(client, name, rows)

    def read(self, name: str) -> int:
        with self._opened(name) as client:
            return chroma.read(client, name)


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a folder for folders."""
    chroma_local.importable()
    with tempfile.TemporaryDirectory() as folder:
        yield _Folder(Path(folder))
