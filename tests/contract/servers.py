"""Every server of memories that a test can have: where it listens, what its addresses look like, what lets one in."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.contract import chroma_server, milvus_server, neo4j_server, opensearch_server, postgres
from tests.contract.pinecone_server import Pinecone
from tests.contract.qdrant_server import QdrantServer
from tests.contract.weaviate_server import WeaviateServer
from tests.hosting.redis_server import redis_stack, valkey
from tests.hosting.scripted import ScriptedServer

KEY = "k3y/of the server"
_NUMBER = itertools.count()


@dataclass(frozen=True)
class Live:
    """A server that runs, with an empty collection in it.

    ``target`` is where it listens: a port of 127.0.0.1, or a socket of the file system.  ``variable`` holds the secret
    that lets one in.  ``scripted`` is the server itself where it answers by HTTP, which a test can tell what to say.
    ``has_dims``: vectors are indexed, so that all have as many dimensions.
    """

    kind: str
    target: int | str
    place: str
    variable: str
    secret: str
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
    yield Live("qdrant", server.port, "agent", "QDRANT_API_KEY", KEY, scripted=server)
    server.end()


@contextmanager
def _chroma() -> Iterator[Live]:
    server = chroma_server.Front()
    server.key = KEY
    name = chroma_server.new_address().location.rpartition("/")[2]
    yield Live("chroma", server.port, name, "CHROMA_API_KEY", KEY, scripted=server)
    server.end()


@contextmanager
def _weaviate() -> Iterator[Live]:
    server = WeaviateServer(KEY)
    yield Live("weaviate", server.port, "Agent", "WEAVIATE_API_KEY", KEY, scripted=server)
    server.end()


@contextmanager
def _pinecone() -> Iterator[Live]:
    service = Pinecone(KEY)
    index = service.make()
    yield Live("pinecone", index.port, "notes", "PINECONE_API_KEY", KEY, scripted=index)
    service.end()


@contextmanager
def _search(kind: str) -> Iterator[Live]:
    front = opensearch_server.Front(kind)
    front.want()
    index, variable = opensearch_server.new_index(), f"{kind.upper()}_PASSWORD"
    secret, user = opensearch_server.PASSWORD, opensearch_server.USER
    yield Live(kind, front.port, index, variable, secret, user, scripted=front)
    front.end()


@contextmanager
def _pgvector() -> Iterator[Live]:
    database = postgres.new_database()
    postgres.run(database, f"GRANT ALL ON SCHEMA public TO {postgres.LOCKED}")
    socket = f"{postgres.server().folder}/.s.PGSQL.5432"
    yield Live("pgvector", socket, database, "PGPASSWORD", postgres.PASSWORD, postgres.LOCKED)


@contextmanager
def _redis(run: Callable[..., AbstractContextManager[int]], options: str = "") -> Iterator[Live]:
    with tempfile.TemporaryDirectory(prefix="vex-redis-") as folder, run(Path(folder), password=KEY) as port:
        place = f"0?prefix=agent:{options}"
        yield Live("redis", port, place, "REDIS_PASSWORD", KEY, has_dims=run is redis_stack)


@contextmanager
def _milvus() -> Iterator[Live]:
    port, secret = milvus_server.port(), milvus_server.TOKEN
    yield Live("milvus", port, f"bad_{next(_NUMBER)}", "MILVUS_TOKEN", secret)


@contextmanager
def _neo4j() -> Iterator[Live]:
    port, secret, label = neo4j_server.port(), neo4j_server.PASSWORD, neo4j_server.new_label()
    place = f"{neo4j_server.DATABASE}?label={label}"
    yield Live("neo4j", port, place, "NEO4J_PASSWORD", secret, "root", has_dims=False)  # this engine has no indexes


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
