"""Qdrant: its engine in process, behind a front of ours in Python, beside scripts on qdrant-client and on httpx.

All wait for the front, which is most of the time: rates say little of what a server would do.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import orjson
from qdrant_client import QdrantClient, models

from tests.bench.peers import MODEL, Peer, Row
from tests.contract import qdrant_server
from vexrepo.remotes.stores.address import Address

_BATCH = 256


def identifier(row: Row) -> str:
    """Return the id of a memory's point."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, row.id))


def payload(row: Row) -> dict[str, Any]:
    """Return the payload of a memory's point."""
    return {
        "id": row.id, "content": row.text, "namespace": row.namespace, "model": MODEL, "created_at": row.created_at,
        **row.metadata,
    }  # fmt: skip


def write(client: QdrantClient, name: str, rows: Sequence[Row]) -> None:
    """Write memories with the official client."""
    params = models.VectorParams(size=len(rows[0].vector), distance=models.Distance.COSINE)
    client.create_collection(name, vectors_config=params)
    for at in range(0, len(rows), _BATCH):
        points = [
            models.PointStruct(id=identifier(row), vector=row.vector.tolist(), payload=payload(row))
            for row in rows[at : at + _BATCH]
        ]
        client.upsert(name, points, wait=True)


def read(client: QdrantClient, name: str, limit: int = _BATCH) -> int:
    """Read memories with the official client, in pages of up to ``limit``."""
    count, offset = 0, None
    while True:
        points, offset = client.scroll(name, limit=limit, offset=offset, with_payload=True, with_vectors=True)
        found = [(each.id, each.payload, np.array(each.vector, "<f4")) for each in points]
        count += len(found)
        if offset is None:
            return count


class _Qdrant(Peer):
    client = "qdrant-client, pages of 256"

    def __init__(self, server: qdrant_server.QdrantServer, http: httpx.Client) -> None:
        self._server = server
        self._http = http
        self._client = QdrantClient(url=str(http.base_url), timeout=60, check_compatibility=False)

    def address(self, name: str) -> Address:
        return self._server.address(name)

    def drop(self, name: str) -> None:
        self._server.collections.pop(name, None)  # the front knows no DELETE of a collection

    def write(self, name: str, rows: Sequence[Row]) -> None:
        write(self._client, name, rows)

    def read(self, name: str) -> int:
        return read(self._client, name)

    def _ask(self, method: str, path: str, **body: object) -> Any:
        content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = self._http.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert answer.is_success, answer.text
        return orjson.loads(answer.content)["result"]

    def write_bare(self, name: str, rows: Sequence[Row]) -> None:
        self._ask("PUT", f"/collections/{name}", vectors={"size": len(rows[0].vector), "distance": "Cosine"})
        for at in range(0, len(rows), _BATCH):
            points = [
                {"id": identifier(row), "vector": row.vector, "payload": payload(row)} for row in rows[at : at + _BATCH]
            ]
            self._ask("PUT", f"/collections/{name}/points?wait=true", points=points)

    def read_bare(self, name: str) -> int:
        count, offset = 0, None
        while True:
            body = {"limit": _BATCH, "with_vector": True, "with_payload": True, "offset": offset}
            page = self._ask("POST", f"/collections/{name}/points/scroll", **body)
            found = [(each["id"], each["payload"], np.array(each["vector"], "<f4")) for each in page["points"]]
            count += len(found)
            offset = page["next_page_offset"]
            if offset is None:
                return count


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a running front."""
    qdrant_server.CONFORMANCE = None  # looking at each message costs more than answering it
    server = qdrant_server.QdrantServer()
    try:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            yield _Qdrant(server, client)
    finally:
        server.end()
