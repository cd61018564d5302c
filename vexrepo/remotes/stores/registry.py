"""Finds the connector for an address: a plugin is imported only when it is named.

Built-in connectors are listed here; others come from the entry-point group ``vexrepo.stores``.
"""

from __future__ import annotations

from pathlib import Path

from vexrepo.errors import StoreError
from vexrepo.remotes.plugins import Plugins
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store

BUILT_IN = {
    "jsonl": "vexrepo.remotes.stores.jsonl:JsonlStore",
    "vektor": "vexrepo.remotes.stores.vektor:VektorStore",
    "mcp": "vexrepo.remotes.stores.mcp:McpStore",
    "lancedb": "vexrepo.remotes.stores.lancedb:LanceStore",
    "letta": "vexrepo.remotes.stores.letta:LettaStore",
    "numpy": "vexrepo.remotes.stores.numpy_file:NumpyStore",
    "parquet": "vexrepo.remotes.stores.parquet:ParquetStore",
    "pgvector": "vexrepo.remotes.stores.pgvector:PgvectorStore",
    "neo4j": "vexrepo.remotes.stores.neo4j:Neo4jStore",
    "opensearch": "vexrepo.remotes.stores.opensearch:OpenSearchStore",
    "elasticsearch": "vexrepo.remotes.stores.opensearch:ElasticsearchStore",
    "redis": "vexrepo.remotes.stores.redis:RedisStore",
    "sqlite-vec": "vexrepo.remotes.stores.sqlite_vec:SqliteVecStore",
    "vex-backup": "vexrepo.remotes.stores.vex_backup:BackupStore",
    "milvus": "vexrepo.remotes.stores.milvus:MilvusStore",
    "chroma": "vexrepo.remotes.stores.chroma:ChromaStore",
    "pinecone": "vexrepo.remotes.stores.pinecone:PineconeStore",
    "qdrant": "vexrepo.remotes.stores.qdrant:QdrantStore",
    "weaviate": "vexrepo.remotes.stores.weaviate:WeaviateStore",
}


_STORES = Plugins(BUILT_IN, "vexrepo.stores", "no connector for stores of kind", "unknown-store")


def kinds() -> list[str]:
    """Return the names of all kinds of store that can be opened, sorted."""
    return _STORES.names()


def connector(kind: str) -> type[Store]:
    """Return the connector class for a kind of store.  Raises: UsageError (unknown-store)."""
    found: type[Store] = _STORES.find(kind)
    return found


def writes_anew(address: Address) -> bool:
    """Whether there is a file that a transfer would write anew, so that only what it brings is in it afterwards."""
    found = connector(address.kind)
    return found.rewrites and not found.keeps_others and Path(address.location).exists()


def open_store(address: Address, *, create: bool = False) -> Store:
    """Return the store at ``address``, open; with ``create``, to be written to, in turns with others.

    Raises: UsageError (unknown-store, …), StoreError (store-locked, store-missing, …).
    """
    found = connector(address.kind)
    if create and not found.writable:
        raise StoreError(f"{address} can only be read; name another target", code="store-read-only")
    if not create:
        return found.open(address)
    from vexrepo.remotes.stores.turns import take_turn

    end_turn = take_turn(address)
    try:
        store = found.open(address, create=True)
    except BaseException:
        end_turn()
        raise
    store.end_turn = end_turn
    return store
