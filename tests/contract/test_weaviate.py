"""The Weaviate connector keeps the contract against a server that is held to Weaviate's own description."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.contract.weaviate_server import WeaviateServer
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.weaviate import WeaviateStore
from vexrepo.testing.stores import StoreContract


class _Weaviate(StoreContract):
    dims = 6
    options: ClassVar[dict[str, str]] = {}
    made: ClassVar[dict[str, Any] | None] = None

    @pytest.fixture(autouse=True)
    def _servers(self) -> Iterator[None]:
        self.servers: dict[Path, WeaviateServer] = {}
        yield
        for each in self.servers.values():
            each.end()

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.servers:
            self.servers[tmp_path] = server = WeaviateServer()
            if self.made is not None:
                server.make("Agent", **self.made)
        return WeaviateStore.open(self.servers[tmp_path].address(options=self.options), create=True)


class TestWeaviate(_Weaviate):
    """A class that is made by us, with room for every vector."""


class TestWeaviateOfTheOriginalTool(_Weaviate):
    """A class as the original tool makes it: five properties of text, one vector, cosine."""

    made: ClassVar[dict[str, Any] | None] = {
        "properties": dict.fromkeys(("text", "model", "namespace", "created_at", "metadata"), "text"),
        "vectorIndexConfig": {"distance": "cosine"},
    }


class TestWeaviateNamedVectors(_Weaviate):
    """A class as the official client makes it, with types of its own for some properties."""

    made: ClassVar[dict[str, Any] | None] = {
        "properties": {"content": "text", "created_at": "date", "importance": "int", "n": "number[]", "tags": "text[]"},
        "vectorizer": None,
        "vectorConfig": {
            name: {
                "vectorizer": {"none": {}},
                "vectorIndexType": "hnsw",
                "vectorIndexConfig": {"distance": "dot", **more},
            }
            for name, more in (
                ("default", {}),
                ("title", {}),
                ("late", {"multivector": {"enabled": True}}),
            )
        },
    }


class TestWeaviateTenant(_Weaviate):
    """One tenant of a class that keeps objects by tenant."""

    options: ClassVar[dict[str, str]] = {"tenant": "alice"}


class TestWeaviateThatEmbeds(_Weaviate):
    """A class whose server makes vectors for objects that come without one."""

    made: ClassVar[dict[str, Any] | None] = {"vectorizer": "text2vec-transformers"}
