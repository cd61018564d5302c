"""Milvus 2.3.5, of the package milvus, beside scripts on pymilvus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from pymilvus import DataType, MilvusClient

from tests.bench.peers import MODEL, Peer, Row
from tests.contract import milvus_server
from vexrepo.remotes.stores.address import Address


class _Milvus(Peer):
    client = "pymilvus, upsert and query_iterator of 1,000"
    environment: ClassVar[Mapping[str, str]] = {"MILVUS_TOKEN": milvus_server.TOKEN}

    def __init__(self) -> None:
        self._client = MilvusClient(uri=f"http://127.0.0.1:{milvus_server.port()}", token=milvus_server.TOKEN)

    def address(self, name: str) -> Address:
        secrets = {"password": lambda: milvus_server.TOKEN}
        return Address("milvus", f"//127.0.0.1:{milvus_server.port()}/{name}", secrets=secrets)

    def drop(self, name: str) -> None:
        self._client.drop_collection(name)

    def write(self, name: str, rows: Sequence[Row]) -> None:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=True)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=65_535)
        schema.add_field("text", DataType.VARCHAR, max_length=65_535)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=len(rows[0].vector))
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
        self._client.create_collection(name, schema=schema, index_params=indexes)
        for start in range(0, len(rows), 1000):
            self._client.upsert(name, [_fields(row) for row in rows[start : start + 1000]])

    def read(self, name: str) -> int:
        pages = self._client.query_iterator(name, batch_size=1000, output_fields=["*"])
        found = []
        while page := pages.next():
            found += [{**row, "vector": np.array(row["vector"], "<f4")} for row in page]
        pages.close()
        return len(found)

    def settle(self, name: str) -> None:
        self._client.flush(name)

    def touch(self, name: str) -> None:
        found = self._client.query(name, filter='id == "mem_0000003"', output_fields=["*"], consistency_level="Strong")
        self._client.upsert(name, [dict(found[0])])

    def close(self) -> None:
        self._client.close()


def _fields(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "text": row.text,
        "namespace": row.namespace,
        "model": MODEL,
        "created_at": row.created_at,
        **row.metadata,
        "vector": row.vector,
    }


@contextmanager
def serve() -> Iterator[Peer]:
    peer = _Milvus()
    try:
        yield peer
    finally:
        peer.close()
