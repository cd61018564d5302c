"""Our stand-in for a Weaviate server, in a process of its own, beside scripts on httpx.

The official client reads and writes objects by gRPC, which the stand-in does not speak.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import orjson

from tests.bench.aside import Aside, aside
from tests.bench.peers import MODEL, Peer, Row
from tests.contract import weaviate_server
from vexrepo.remotes.stores.address import Address

_BATCH = 256
_PAGE = 1000


class _Server(weaviate_server.WeaviateServer):
    def where(self) -> str:
        return self.host

    def drop(self, name: str) -> None:
        self.classes.pop(name, None)
        self.written.clear()


def _make() -> _Server:
    weaviate_server.CONFORMANCE = None  # holding each message to the description takes longer than the rest
    return _Server()


class _Weaviate(Peer):
    client = "httpx, REST"

    def __init__(self, server: Aside) -> None:
        self._server = server
        self._host = server.call("where")
        self._http = httpx.Client(base_url=f"http://{self._host}/v1", timeout=60, trust_env=False)

    def address(self, name: str) -> Address:
        return Address("weaviate", f"//{self._host}/{name.capitalize()}")

    def drop(self, name: str) -> None:
        self._server.call("drop", name.capitalize())

    def write(self, name: str, rows: Sequence[Row]) -> None:
        kinds = {"name": "text", "text": "text", "namespace": "text", "model": "text", "created_at": "text",
                 "importance": "number", "tags": "text[]", "topic": "text"}  # fmt: skip
        properties = [{"name": each, "dataType": [kind]} for each, kind in kinds.items()]
        made = {"class": name.capitalize(), "vectorizer": "none", "properties": properties}
        self._http.post("/schema", json=made).raise_for_status()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda at: self._put(name.capitalize(), rows[at : at + _BATCH]), range(0, len(rows), _BATCH)))

    def _put(self, name: str, rows: Sequence[Row]) -> None:
        objects = [
            {
                "class": name,
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, row.id)),
                "vector": row.vector,
                "properties": {
                    "name": row.id, "text": row.text, "namespace": row.namespace, "model": MODEL,
                    "created_at": row.created_at, **row.metadata,
                },
            }
            for row in rows
        ]  # fmt: skip
        body = orjson.dumps({"objects": objects}, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = self._http.post("/batch/objects", content=body, headers={"Content-Type": "application/json"})
        assert all(each["result"]["status"] == "SUCCESS" for each in orjson.loads(answer.content))

    def read(self, name: str) -> int:
        found: list[Any] = []
        after = ""
        while True:
            query = {"class": name.capitalize(), "limit": str(_PAGE), "after": after, "include": "vector"}
            objects = orjson.loads(self._http.get("/objects", params=query).content)["objects"]
            if not objects:
                return len(found)
            for each in objects:
                found.append((each["id"], each["properties"], np.array(each["vector"], "<f4")))
            after = objects[-1]["id"]


@contextmanager
def serve() -> Iterator[Peer]:
    with aside(_make) as server:
        yield _Weaviate(server)
