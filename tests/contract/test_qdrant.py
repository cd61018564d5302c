"""The Qdrant connector keeps the contract against the real engine behind its REST interface."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.contract.qdrant_server import QdrantServer
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.qdrant import QdrantStore
from vexrepo.testing.stores import StoreContract


class _Qdrant(StoreContract):
    dims = 6
    distance: ClassVar[str] = "Dot"

    @pytest.fixture(autouse=True)
    def _servers(self) -> Iterator[None]:
        self.servers: dict[Path, QdrantServer] = {}
        yield
        for each in self.servers.values():
            each.end()

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.servers:
            self.servers[tmp_path] = QdrantServer()
        options = {"distance": self.distance}
        return QdrantStore.open(self.servers[tmp_path].address(options=options), create=True)


class TestQdrantDot(_Qdrant):
    """A metric that leaves vectors as they are."""


class TestQdrantCosine(_Qdrant):
    """The usual metric, which scales vectors to length 1."""

    distance = "Cosine"
