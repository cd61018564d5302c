"""The Milvus connector keeps the contract against the real server, and against Milvus Lite, which is another engine."""

from pathlib import Path

from tests.contract.milvus_server import new_address
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.milvus import MilvusStore
from vexrepo.testing.stores import StoreContract


class TestMilvus(StoreContract):
    """A server that has one vector in each collection."""

    dims = 6

    def setup_method(self) -> None:
        self.addresses: dict[Path, Address] = {}

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.addresses:
            self.addresses[tmp_path] = new_address()
        return MilvusStore.open(self.addresses[tmp_path], create=True)


class TestMilvusLite(StoreContract):
    """A file, whose collections have several vectors, and whose upserts add."""

    dims = 6

    def open_store(self, tmp_path: Path) -> Store:
        return MilvusStore.open(Address("milvus", str(tmp_path / "agent.db")), create=True)
