"""LanceDB: the contract, on tables of ours and as others lay them out."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.contract.lancedb_engine import install
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.lancedb import LanceStore
from vexrepo.testing.stores import StoreContract

pytestmark = pytest.mark.timeout(500)  # the first one installs the engine


class _Lance(StoreContract):
    dims = 6
    schema: Any = None
    options: dict[str, str] = {}  # noqa: RUF012 - replaced as a whole

    def open_store(self, tmp_path: Path) -> Store:
        install()
        import lancedb

        path = tmp_path / "lance"
        if self.schema is not None and not path.exists():
            lancedb.connect(str(path)).create_table("memories", schema=pa.schema(self.schema))
        return LanceStore.open(Address("lancedb", str(path), self.options), create=True)


class TestOurs(_Lance):
    """A table that vexrepo makes itself."""


class TestTyped(_Lance):
    """Columns of many types, vectors in two precisions, no column for what is carried."""

    schema = (
        pa.field("key", pa.string(), False),
        pa.field("body", pa.large_string()),
        pa.field("namespace", pa.string()),
        pa.field("importance", pa.int32()),
        pa.field("weight", pa.float32()),
        pa.field("pinned", pa.bool_()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("created_at", pa.timestamp("us", "UTC")),
        pa.field("raw", pa.binary()),
        pa.field("vector", pa.list_(pa.float16(), 6)),
        pa.field("title", pa.list_(pa.float32(), 6)),
    )
    options = {"id": "key"}  # noqa: RUF012 - as above


class TestStruct(_Lance):
    """As LangChain makes them: metadata as a struct; numbers as ids."""

    schema = (
        pa.field("vector", pa.list_(pa.float32(), 6)),
        pa.field("id", pa.int64()),
        pa.field("text", pa.string()),
        pa.field("metadata", pa.struct([("importance", pa.float64()), ("tags", pa.string())])),
    )
