"""OpenSearch keeps the contract against an emulator, Elasticsearch against its dialect on the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.contract.opensearch_server import Front, new_index
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.opensearch import ElasticsearchStore, OpenSearchStore
from vexrepo.testing.stores import StoreContract


class _Search(StoreContract):
    dims = 6
    kind: ClassVar[type[OpenSearchStore]] = OpenSearchStore
    options: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _front(self) -> Iterator[None]:
        self.front = Front(self.kind.kind)
        self.indexes: dict[Path, str] = {}
        yield
        self.front.end()

    def open_store(self, tmp_path: Path) -> Store:
        index = self.indexes.setdefault(tmp_path, new_index())
        return self.kind.open(self.front.address(index, **self.options), create=True)


class TestOpenSearch(_Search):
    """Vectors measured by their direction."""


class TestOpenSearchByDistance(_Search):
    """Vectors measured by their distance."""

    options: ClassVar[dict[str, str]] = {"similarity": "l2"}


class TestElasticsearch(_Search):
    """The dialect of Elasticsearch, whose vectors are apart from the documents."""

    kind = ElasticsearchStore
