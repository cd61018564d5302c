"""The Chroma connector keeps the contract against the real server."""

from pathlib import Path
from typing import ClassVar

from tests.contract.chroma_server import new_address
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.chroma import ChromaStore
from vexrepo.testing.stores import StoreContract


class _Chroma(StoreContract):
    dims = 6
    distance: ClassVar[str] = "l2"

    def setup_method(self) -> None:
        self.addresses: dict[Path, Address] = {}

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.addresses:
            self.addresses[tmp_path] = new_address({"distance": self.distance})
        return ChromaStore.open(self.addresses[tmp_path], create=True)


class TestChromaL2(_Chroma):
    """A metric that leaves vectors as they are."""


class TestChromaCosine(_Chroma):
    """The usual metric, which rounds vectors in the last digit."""

    distance = "cosine"
