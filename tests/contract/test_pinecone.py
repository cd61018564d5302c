"""The Pinecone connector keeps the contract against a service that is held to Pinecone's own description."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.contract.pinecone_server import Pinecone
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.pinecone import PineconeStore
from vexrepo.testing.stores import StoreContract


class _Pinecone(StoreContract):
    dims = 6
    options: ClassVar[dict[str, str]] = {}
    lag: ClassVar[int] = 0

    @pytest.fixture(autouse=True)
    def _services(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(PineconeStore, "patience", Patience(sleep=lambda seconds: None))
        self.services: dict[Path, Pinecone] = {}
        yield
        for each in self.services.values():
            each.end()

    def values(self) -> list[dict[str, Any]]:
        """All but a text that is longer than Pinecone takes, which is refused before anything is written."""
        return [each for each in super().values() if each["id"] != "text-long"]

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.services:
            self.services[tmp_path] = service = Pinecone()
            service.lag = self.lag
        address = self.services[tmp_path].address("agent", "notes", dims="6", **self.options)
        return PineconeStore.open(address, create=True)


class TestPineconeCosine(_Pinecone):
    """The usual index of dense vectors."""


class TestPineconeDotProduct(_Pinecone):
    """An index that takes a sparse vector beside each dense one."""

    options: ClassVar[dict[str, str]] = {"metric": "dotproduct"}


class TestPineconeSparse(_Pinecone):
    """An index of sparse vectors alone."""

    options: ClassVar[dict[str, str]] = {"type": "sparse"}


class TestPineconeThatComesLate(_Pinecone):
    """What is written is seen some reads later."""

    lag = 3
