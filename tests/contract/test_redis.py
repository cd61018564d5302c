"""Redis with search, hashes and documents, and Valkey without: all keep the contract."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.hosting.redis_server import redis_stack, valkey
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.redis import RedisStore
from vexrepo.testing.stores import StoreContract


class _Redis(StoreContract):
    port = 0
    options: ClassVar[dict[str, str]] = {}

    def open_store(self, tmp_path: Path) -> Store:
        options = {"prefix": f"t[{tmp_path.parent.name}/{tmp_path.name}]:", **self.options}
        return RedisStore.open(Address("redis", f"//127.0.0.1:{self.port}/0", options), create=True)


class _Searching(_Redis):
    dims = 6

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with redis_stack(tmp_path_factory.mktemp("redis")) as port:
            cls.port = port
            yield


class TestRedisHashes(_Searching):
    """Hashes with an index over them."""


class TestRedisDocuments(_Searching):
    """JSON documents with an index over them."""

    options: ClassVar[dict[str, str]] = {"keys": "json"}


class TestValkey(_Redis):
    """A server that cannot search."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with valkey(tmp_path_factory.mktemp("valkey")) as port:
            cls.port = port
            yield
