"""Chroma: the server of its package, beside scripts on httpx; its own client needs 371 MB of other packages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import httpx
import numpy as np

from tests.bench.peers import MODEL, Peer, Row
from tests.contract import chroma_server
from vexrepo.remotes.stores.address import Address

_BATCH = 500
_PAGE = 1000
_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


class _Chroma(Peer):
    client = "httpx, pages of 1,000, base64"

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def address(self, name: str) -> Address:
        return Address("chroma", f"//127.0.0.1:{chroma_server.port()}/{name}", {})

    def drop(self, name: str) -> None:
        self._client.delete(f"{_COLLECTIONS}/{name}")

    def _ask(self, path: str, **body: object) -> object:
        answer = self._client.post(f"{_COLLECTIONS}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def write(self, name: str, rows: Sequence[Row]) -> None:
        made = self._ask("", name=name, configuration={"hnsw": {"space": "cosine"}})
        left = iter(rows)
        while batch := list(islice(left, _BATCH)):
            self._ask(
                f"/{made['id']}/upsert",
                ids=[row.id for row in batch],
                documents=[row.text for row in batch],
                embeddings=[base64.b64encode(row.vector.tobytes()).decode() for row in batch],
                metadatas=[
                    {
                        "namespace": row.namespace, "model": MODEL, "created_at": row.created_at,
                        "metadata": json.dumps(row.metadata),
                    }
                    for row in batch
                ],
            )  # fmt: skip

    def read(self, name: str) -> int:
        path, count = f"/{self._client.get(f'{_COLLECTIONS}/{name}').json()['id']}/get", 0
        while True:
            include = ["embeddings", "metadatas", "documents"]
            page = self._ask(path, limit=_PAGE, offset=count, include=include)
            if not page["ids"]:
                return count
            vectors = np.array(page["embeddings"], "<f4")
            found = list(zip(page["ids"], page["documents"], page["metadatas"], vectors, strict=True))
            count += len(found)


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a running server."""
    with httpx.Client(base_url=f"http://127.0.0.1:{chroma_server.port()}", timeout=60) as client:
        yield _Chroma(client)
