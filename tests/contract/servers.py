"""Every server of memories that a test can have: where it listens, what its addresses look like, what lets one in."""

from __future__ import annotations

import itertools
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.contract import chroma_server, milvus_server, neo4j_server, opensearch_server, postgres
from tests.contract.pinecone_server import Pinecone
from tests.contract.qdrant_server import QdrantServer
from tests.contract.weaviate_server import WeaviateServer
from tests.hosting.redis_server import redis_stack, valkey
from tests.hosting.scripted import ScriptedServer

KEY = "k3y/of the server"
FOREIGN = {
    "1": {"content": "high tide at noon", "story": "a tale of the sea", "topic": "tides", "importance": 3},
    "2": {"content": "low tide at six", "story": "another tale", "topic": "tides", "importance": 5},
}
VECTOR = [1.0, 0.5, 2.0, 2.0]
_NUMBER = itertools.count()


@dataclass(frozen=True)
class Live:
    """A server that runs, with an empty collection in it.

    ``target`` is where it listens: a port of 127.0.0.1, or a socket of the file system.  ``variable`` holds the secret
    that lets one in.  ``scripted`` is the server itself where it answers by HTTP, which a test can tell what to say.
    ``has_dims``: vectors are indexed, so that all have as many dimensions.  ``fill`` makes the collection and writes
    ``FOREIGN`` into it as another program would.
    """

    kind: str
    target: int | str
    place: str
    variable: str
    secret: str
    fill: Callable[[], None]
    user: str = ""
    scripted: ScriptedServer | None = None
    has_dims: bool = True

    def address(self, port: int, place: str | None = None) -> str:
        """Return the address of the collection, or of another ``place``, by way of a port of 127.0.0.1."""
        user = f"{self.user}@" if self.user else ""
        return f"{self.kind}://{user}127.0.0.1:{port}/{self.place if place is None else place}"

    @property
    def port(self) -> int:
        """The port of a server that listens at one."""
        assert isinstance(self.target, int)
        return self.target


@contextmanager
def _qdrant() -> Iterator[Live]:
    server = QdrantServer(KEY)

    def fill() -> None:
        server.make("agent", {"size": 4, "distance": "Dot"})
        server.put("agent", [{"id": int(n), "vector": VECTOR, "payload": each} for n, each in FOREIGN.items()])

    yield Live("qdrant", server.port, "agent", "QDRANT_API_KEY", KEY, fill, scripted=server)
    server.end()


@contextmanager
def _chroma() -> Iterator[Live]:
    server = chroma_server.Front()
    server.key = KEY
    name = chroma_server.new_address().location.rpartition("/")[2]

    def fill() -> None:
        base = f"http://127.0.0.1:{server.behind}/api/v2/tenants/default_tenant/databases/default_database/collections"
        made = httpx.post(base, json={"name": name}, timeout=60).json()["id"]
        body = {"ids": list(FOREIGN), "embeddings": [VECTOR] * 2}
        body["documents"] = [each["content"] for each in FOREIGN.values()]
        body["metadatas"] = [{k: v for k, v in each.items() if k != "content"} for each in FOREIGN.values()]
        httpx.post(f"{base}/{made}/upsert", json=body, timeout=60).raise_for_status()

    yield Live("chroma", server.port, name, "CHROMA_API_KEY", KEY, fill, scripted=server)
    server.end()


@contextmanager
def _weaviate() -> Iterator[Live]:
    server = WeaviateServer(KEY)

    def fill() -> None:
        server.make("Agent", {"content": "text", "story": "text", "topic": "text", "importance": "int"})
        place = "00000000-0000-4000-8000-00000000000"
        server.put("Agent", [{"id": place + n, "properties": each, "vector": VECTOR} for n, each in FOREIGN.items()])

    yield Live("weaviate", server.port, "Agent", "WEAVIATE_API_KEY", KEY, fill, scripted=server)
    server.end()


@contextmanager
def _pinecone() -> Iterator[Live]:
    service = Pinecone(KEY)
    index = service.make()

    def fill() -> None:
        index.put([{"id": n, "values": VECTOR, "metadata": each} for n, each in FOREIGN.items()], "notes")

    yield Live("pinecone", index.port, "notes", "PINECONE_API_KEY", KEY, fill, scripted=index)
    service.end()


@contextmanager
def _search(kind: str) -> Iterator[Live]:
    front = opensearch_server.Front(kind)
    front.want()
    index, variable = opensearch_server.new_index(), f"{kind.upper()}_PASSWORD"
    secret, user = opensearch_server.PASSWORD, opensearch_server.USER

    def fill() -> None:
        dense: dict[str, Any] = {"type": "dense_vector", "dims": 4, "index": True, "similarity": "max_inner_product"}
        method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
        knn = {"type": "knn_vector", "dimension": 4, "method": method}
        fields = {"embedding": dense if kind == "elasticsearch" else knn, "content": {"type": "text"}}
        body = {"mappings": {"properties": {**fields, "topic": {"type": "keyword"}}}}
        made = httpx.put(f"{front.url}/{index}", json=body, auth=(user, secret), timeout=60)
        made.raise_for_status()
        opensearch_server.put(index, {n: {**each, "embedding": VECTOR} for n, each in FOREIGN.items()})

    yield Live(kind, front.port, index, variable, secret, fill, user, scripted=front)
    front.end()


@contextmanager
def _pgvector() -> Iterator[Live]:
    database = postgres.new_database()
    postgres.run(database, f"GRANT ALL ON SCHEMA public TO {postgres.LOCKED}")
    socket = f"{postgres.server().folder}/.s.PGSQL.5432"

    def fill() -> None:
        columns = "id text PRIMARY KEY, content text, story text, topic text, importance int, embedding vector(4)"
        rows = [f"('{n}', {', '.join(map(repr, each.values()))}, '{VECTOR}')" for n, each in FOREIGN.items()]
        postgres.run(
            database,
            f"CREATE TABLE vex_memories ({columns})",
            f"INSERT INTO vex_memories VALUES {', '.join(rows)}",
            f"GRANT ALL ON vex_memories TO {postgres.LOCKED}",
        )

    yield Live("pgvector", socket, database, "PGPASSWORD", postgres.PASSWORD, fill, postgres.LOCKED)


@contextmanager
def _redis(run: Callable[..., AbstractContextManager[int]], options: str = "") -> Iterator[Live]:
    with tempfile.TemporaryDirectory(prefix="vex-redis-") as folder, run(Path(folder), password=KEY) as port:
        place = f"0?prefix=agent:{options}"

        def fill() -> None:
            with redis.Redis(port=port, password=KEY) as client:
                for n, each in FOREIGN.items():
                    if options:
                        client.json().set(f"agent:{n}", "$", {**each, "embedding": VECTOR})
                    else:
                        client.hset(f"agent:{n}", mapping={**each, "embedding": struct.pack("<4f", *VECTOR)})

        yield Live("redis", port, place, "REDIS_PASSWORD", KEY, fill, has_dims=run is redis_stack)


@contextmanager
def _milvus() -> Iterator[Live]:
    port, secret, name = milvus_server.port(), milvus_server.TOKEN, f"bad_{next(_NUMBER)}"

    def fill() -> None:
        from pymilvus import DataType, MilvusClient

        client = MilvusClient(uri=f"http://127.0.0.1:{port}", token=secret)
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        for each in ("content", "story", "topic"):
            schema.add_field(each, DataType.VARCHAR, max_length=200)
        schema.add_field("importance", DataType.INT64)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=4)
        index = client.prepare_index_params()
        index.add_index("embedding", index_type="FLAT", metric_type="IP", params={})
        client.create_collection(name, schema=schema, index_params=index)
        client.insert(name, [{"id": n, **each, "embedding": VECTOR} for n, each in FOREIGN.items()])
        client.close()

    yield Live("milvus", port, name, "MILVUS_TOKEN", secret, fill)


@contextmanager
def _neo4j() -> Iterator[Live]:
    port, secret, label = neo4j_server.port(), neo4j_server.PASSWORD, neo4j_server.new_label()
    place = f"{neo4j_server.DATABASE}?label={label}"

    def fill() -> None:
        for n, each in FOREIGN.items():
            neo4j_server.ask(f"CREATE (n:{label}) SET n = $given", given={"id": n, **each, "embedding": VECTOR})

    # This engine has no indexes of vectors.
    yield Live("neo4j", port, place, "NEO4J_PASSWORD", secret, fill, "root", has_dims=False)


SERVERS: dict[str, Callable[[], AbstractContextManager[Live]]] = {
    "qdrant": _qdrant,
    "chroma": _chroma,
    "pgvector": _pgvector,
    "redis hashes": partial(_redis, redis_stack),
    "redis documents": partial(_redis, redis_stack, "&keys=json"),
    "valkey": partial(_redis, valkey),
    "milvus": _milvus,
    "neo4j": _neo4j,
    "opensearch": partial(_search, "opensearch"),
    "elasticsearch": partial(_search, "elasticsearch"),
    "weaviate": _weaviate,
    "pinecone": _pinecone,
}
CLIENTS = [name for name in SERVERS if name not in ("redis documents", "valkey")]  # spoken to each in another way
BY_HTTP = ("qdrant", "chroma", "opensearch", "elasticsearch", "weaviate", "pinecone")
