"""Qdrant: its engine in process, behind a front of ours in Python, beside scripts on httpx.

Both wait for the front, which is most of the time: rates say little of what a server would do.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import httpx
import numpy as np

from tests.bench.peers import MODEL, Peer, Row
from tests.contract import qdrant_server
from vexrepo.remotes.stores.address import Address

_BATCH = 256


class _Qdrant(Peer):
    client = "httpx, pages of 256"

    def __init__(self, server: qdrant_server.QdrantServer, client: httpx.Client) -> None:
        self._server = server
        self._client = client

    def address(self, name: str) -> Address:
        return self._server.address(name)

    def drop(self, name: str) -> None:
        self._server.collections.pop(name, None)  # the front knows no DELETE of a collection

    def _ask(self, method: str, path: str, **body: object) -> dict[str, object]:
        answer = self._client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()["result"]

    def write(self, name: str, rows: Sequence[Row]) -> None:
        self._ask("PUT", f"/collections/{name}", vectors={"size": len(rows[0].vector), "distance": "Cosine"})
        left = iter(rows)
        while batch := list(islice(left, _BATCH)):
            points = [
                {
                    "id": str(uuid.uuid5(uuid.NAMESPACE_OID, row.id)), "vector": row.vector.tolist(),
                    "payload": {
                        "id": row.id, "content": row.text, "namespace": row.namespace, "model": MODEL,
                        "created_at": row.created_at, **row.metadata,
                    },
                }
                for row in batch
            ]  # fmt: skip
            self._ask("PUT", f"/collections/{name}/points?wait=true", points=points)

    def read(self, name: str) -> int:
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
