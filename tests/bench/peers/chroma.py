"""Chroma: the server of its package, beside scripts on its own client and on httpx."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import orjson

from tests.bench.peers import MODEL, Peer, Row
from tests.contract import chroma_local, chroma_server
from vexrepo.remotes.stores.address import Address

_BATCH = 500
_PAGE = 1000
_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
_INCLUDE = ["embeddings", "metadatas", "documents"]


def metadata(row: Row) -> dict[str, Any]:
    """Return the metadata of a memory, each member by itself, so that people and agents can filter by it."""
    return {"namespace": row.namespace, "model": MODEL, "created_at": row.created_at, **row.metadata}


def write(client: Any, name: str, rows: Sequence[Row]) -> None:
    """Write memories with the official client."""
    made = client.create_collection(name, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    for at in range(0, len(rows), _BATCH):
        batch = rows[at : at + _BATCH]
        made.upsert(
            ids=[row.id for row in batch],
            documents=[row.text for row in batch],
            embeddings=[row.vector for row in batch],
            metadatas=[metadata(row) for row in batch],
        )


def read(client: Any, name: str) -> int:
    """Read memories with the official client."""
    held, count = client.get_collection(name, embedding_function=None), 0
    while True:
        page = held.get(limit=_PAGE, offset=count, include=_INCLUDE)
        if not page["ids"]:
            return count
        vectors = np.asarray(page["embeddings"], "<f4")
        found = list(zip(page["ids"], page["documents"], page["metadatas"], vectors, strict=True))
        count += len(found)


class _Chroma(Peer):
    client = "chromadb.HttpClient, pages of 1,000"

    def __init__(self, http: httpx.Client) -> None:
        chroma_local.importable()
        import chromadb

        self._http = http
        self._client = chromadb.HttpClient(host="127.0.0.1", port=chroma_server.port())

    def address(self, name: str) -> Address:
        return Address("chroma", f"//127.0.0.1:{chroma_server.port()}/{name}", {})

    def drop(self, name: str) -> None:
        self._http.delete(f"{_COLLECTIONS}/{name}")

    def write(self, name: str, rows: Sequence[Row]) -> None:
        write(self._client, name, rows)

    def read(self, name: str) -> int:
        return read(self._client, name)

    def _ask(self, path: str, **body: object) -> Any:
        headers = {"Content-Type": "application/json"}
        answer = self._http.post(f"{_COLLECTIONS}{path}", content=orjson.dumps(body), headers=headers)
        assert answer.is_success, answer.text
        return orjson.loads(answer.content)

    def write_bare(self, name: str, rows: Sequence[Row]) -> None:
        made = self._ask("", name=name, configuration={"hnsw": {"space": "cosine"}})
        for at in range(0, len(rows), _BATCH):
            batch = rows[at : at + _BATCH]
            self._ask(
                f"/{made['id']}/upsert",
                ids=[row.id for row in batch],
                documents=[row.text for row in batch],
                embeddings=[base64.b64encode(row.vector.tobytes()).decode() for row in batch],
                metadatas=[metadata(row) for row in batch],
            )

    def read_bare(self, name: str) -> int:
        path, count = f"/{self._http.get(f'{_COLLECTIONS}/{name}').json()['id']}/get", 0
        while True:
            page = self._ask(path, limit=_PAGE, offset=count, include=_INCLUDE)
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
