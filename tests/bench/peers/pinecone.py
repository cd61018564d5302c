"""Our stand-in for Pinecone, in a process of its own, beside scripts on its own client and on httpx."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import orjson

from tests.bench.aside import Aside, aside
from tests.bench.peers import MODEL, Peer, Row
from tests.contract import pinecone_server
from tests.packages import installed
from vexrepo.remotes.stores.address import Address

_VERSION = {"X-Pinecone-Api-Version": "2025-10"}  # the one that the stand-in speaks
_BATCH = 350  # of 384 dimensions: nearly 2 MB
_OWN_BATCH = 250  # its client prints each number as a double


def _metadata(row: Row) -> dict[str, Any]:
    return {
        "text": row.text, "namespace": row.namespace, "model": MODEL, "created_at": row.created_at, **row.metadata,
    }  # fmt: skip


class _Service(pinecone_server.Pinecone):
    def where(self) -> str:
        return self.host

    def drop(self, name: str) -> None:
        index = self.indexes.pop(name, None)
        if index is not None:
            del self.models[name]
            index.end()

    def make_index(self, name: str, dims: int) -> str:
        return self.make(name, dims).host


def _make() -> _Service:
    pinecone_server.DATA.clear()  # holding each message to the description takes longer than the rest
    pinecone_server.CONTROL.clear()
    found = _Service()
    found.wait = 0
    return found


class _Pinecone(Peer):
    client = "pinecone, four requests at once"

    def __init__(self, service: Aside) -> None:
        self._service = service
        self._host = service.call("where")
        sys.path.append(str(installed("pinecone-10.2.0", "pinecone==10.2.0", "msgspec==0.22.0")))
        from pinecone import Pinecone

        self._client = Pinecone(api_key="none", host=f"http://{self._host}", additional_headers=_VERSION)
        self._http = httpx.Client(timeout=60, trust_env=False, headers=_VERSION)

    def address(self, name: str) -> Address:
        return Address("pinecone", f"//{self._host}/notes", {"index": name})

    def drop(self, name: str) -> None:
        self._service.call("drop", name.replace("_", "-"))

    def write(self, name: str, rows: Sequence[Row]) -> None:
        host = f"http://{self._service.call('make_index', name.replace('_', '-'), len(rows[0].vector))}"
        index = self._client.Index(host=host)

        def put(at: int) -> None:
            some = rows[at : at + _OWN_BATCH]
            vectors = [{"id": row.id, "values": row.vector.tolist(), "metadata": _metadata(row)} for row in some]
            assert index.upsert(vectors=vectors, namespace="notes").upserted_count == len(some)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(0, len(rows), _OWN_BATCH)))

    def read(self, name: str) -> int:
        model = self._http.get(f"http://{self._host}/indexes/{name}").json()
        index = self._client.Index(host=f"http://{model['host']}")

        def fetch(ids: list[str]) -> list[Any]:
            vectors = index.fetch(ids=ids, namespace="notes").vectors
            return [(name, each.metadata, np.array(each.values, "<f4")) for name, each in vectors.items()]

        with ThreadPoolExecutor(4) as pool:
            pages = [
                pool.submit(fetch, [each.id for each in page.vectors])
                for page in index.list(namespace="notes", limit=100)
            ]
            return sum(len(each.result()) for each in pages)

    def write_bare(self, name: str, rows: Sequence[Row]) -> None:
        url = f"http://{self._service.call('make_index', name.replace('_', '-'), len(rows[0].vector))}"
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda at: self._put(url, rows[at : at + _BATCH]), range(0, len(rows), _BATCH)))

    def _put(self, url: str, rows: Sequence[Row]) -> None:
        vectors = [
            {
                "id": row.id,
                "values": row.vector,
                "metadata": _metadata(row),
            }
            for row in rows
        ]
        body = orjson.dumps({"namespace": "notes", "vectors": vectors}, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = self._http.post(f"{url}/vectors/upsert", content=body, headers={"Content-Type": "application/json"})
        assert answer.json()["upsertedCount"] == len(rows)

    def read_bare(self, name: str) -> int:
        model = self._http.get(f"http://{self._host}/indexes/{name}").json()
        url = f"http://{model['host']}"
        found: list[Any] = []
        query = {"limit": "100", "namespace": "notes"}
        with ThreadPoolExecutor(4) as pool:
            pages = []
            while True:
                listed = orjson.loads(self._http.get(f"{url}/vectors/list", params=query).content)
                pages.append(pool.submit(self._fetch, url, [each["id"] for each in listed["vectors"]]))
                if "pagination" not in listed:
                    break
                query["paginationToken"] = listed["pagination"]["next"]
            for each in pages:
                found += each.result()
        return len(found)

    def _fetch(self, url: str, ids: list[str]) -> list[Any]:
        answer = self._http.get(f"{url}/vectors/fetch", params={"ids": ids, "namespace": "notes"})
        vectors = orjson.loads(answer.content)["vectors"]
        return [(name, each["metadata"], np.array(each["values"], "<f4")) for name, each in vectors.items()]


@contextmanager
def serve() -> Iterator[Peer]:
    with aside(_make) as service:
        yield _Pinecone(service)
