"""OpenSearch: its emulator, which keeps everything in memory, and a script on plain httpx."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import httpx
import numpy as np
import orjson

from tests.bench.peers import MODEL, Peer, Row
from tests.contract import opensearch_server
from vexrepo.remotes.stores.address import Address

_BATCH = 500


class _OpenSearch(Peer):
    client = "httpx, _bulk and search_after"

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def address(self, name: str) -> Address:
        return Address("opensearch", f"//127.0.0.1:{opensearch_server.port()}/{name}")

    def drop(self, name: str) -> None:
        self._client.delete(f"/{name}")

    def write(self, name: str, rows: Sequence[Row]) -> None:
        vector = {"type": "knn_vector", "dimension": len(rows[0].vector)}
        mappings = {"dynamic": False, "properties": {"text": {"type": "text"}, "vector": vector}}
        self._client.put(f"/{name}", json={"settings": {"index": {"knn": True}}, "mappings": mappings})
        left = iter(rows)
        while batch := list(islice(left, _BATCH)):
            lines = []
            for row in batch:
                value = {
                    "text": row.text, "namespace": row.namespace, "model": MODEL, "created_at": row.created_at,
                    **row.metadata, "vector": row.vector,
                }  # fmt: skip
                lines += [
                    orjson.dumps({"index": {"_id": row.id}}),
                    orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY),
                ]
            body = b"\n".join(lines) + b"\n"
            answer = self._client.post(f"/{name}/_bulk", content=body, headers={"Content-Type": "application/x-ndjson"})
            assert orjson.loads(answer.content)["errors"] is False
        self._client.post(f"/{name}/_refresh")

    def read(self, name: str) -> int:
        count = 0
        opened = self._client.post(f"/{name}/_search/point_in_time", params={"keep_alive": "5m"}).json()
        body = {"size": 1000, "pit": {"id": opened["pit_id"], "keep_alive": "5m"}, "sort": ["_shard_doc"]}
        while hits := orjson.loads(self._client.post("/_search", json=body).content)["hits"]["hits"]:
            found = [(hit, np.array(hit["_source"].pop("vector"), "<f4")) for hit in hits]
            count += len(found)
            body["search_after"] = hits[-1]["sort"]
        self._client.request("DELETE", "/_search/point_in_time", json={"pit_id": [opened["pit_id"]]})
        return count


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a running emulator."""
    with httpx.Client(base_url=f"http://127.0.0.1:{opensearch_server.port()}", timeout=60) as client:
        yield _OpenSearch(client)
