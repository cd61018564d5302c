"""The built-in connectors pass the contract."""

import sqlite3
from pathlib import Path

from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.vektor import VektorStore
from vexrepo.remotes.stores.vektor_nearest import backfill
from vexrepo.remotes.stores.vektor_schema import NEWEST
from vexrepo.testing.stores import StoreContract

OLDER = """
CREATE TABLE memories (id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT NOT NULL DEFAULT 'default',
  content TEXT NOT NULL, edge_type TEXT DEFAULT 'semantic', tags TEXT DEFAULT '', importance REAL DEFAULT 1.0,
  vector BLOB, created_at INTEGER, updated_at INTEGER);
CREATE TABLE memory_edges (id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT NOT NULL DEFAULT 'default',
  source_id INTEGER NOT NULL, target_id INTEGER NOT NULL, edge_type TEXT NOT NULL DEFAULT 'related',
  weight REAL DEFAULT 1.0, created_at INTEGER);
"""
UNIQUE = """
CREATE TABLE memories (id TEXT PRIMARY KEY, content TEXT, embedding BLOB, namespace TEXT, memory_type TEXT,
  importance REAL, tags TEXT, created_at TEXT, extra BLOB);
CREATE VIRTUAL TABLE memories_fts USING fts5(id UNINDEXED, content);
CREATE TABLE graph_edges (id TEXT PRIMARY KEY, source_id TEXT NOT NULL, target_id TEXT NOT NULL,
  edge_type TEXT NOT NULL, weight REAL DEFAULT 1.0, created_at INTEGER);
CREATE TABLE memory_edges (id INTEGER PRIMARY KEY, agent_id TEXT, source_id TEXT, target_id TEXT, edge_type TEXT,
  weight REAL, created_at INTEGER);
"""


class TestVektorNewest(StoreContract):
    """A database that vexrepo makes itself."""

    def open_store(self, tmp_path: Path) -> Store:
        return VektorStore.open(Address("vektor", str(tmp_path / "agent.db")), create=True)


class TestVektorOlder(StoreContract):
    """The older generation: integer ids, no namespaces, columns that refuse NULL."""

    schema = OLDER

    def open_store(self, tmp_path: Path) -> Store:
        path = tmp_path / "agent.db"
        if not path.exists():
            with sqlite3.connect(path) as db:
                db.executescript(self.schema)
            db.close()
        return VektorStore.open(Address("vektor", str(path)))


class TestVektorUnique(TestVektorOlder):
    """Text ids that must be unique, vectors in ``embedding``, both edge tables, full text without triggers."""

    schema = UNIQUE


class TestVektorWal(TestVektorOlder):
    """As older, in write-ahead mode."""

    schema = "PRAGMA journal_mode = WAL;" + OLDER


class TestVektorSearched(StoreContract):
    """A database with a table of vectors for agents to search, which each write keeps in step."""

    def open_store(self, tmp_path: Path) -> Store:
        path = tmp_path / "agent.db"
        if not path.exists():
            with sqlite3.connect(path) as db:
                db.executescript("".join(f"{statement};" for statement in NEWEST.values()))
            db.close()
            backfill(str(path), 5.0, dims=2)
        return VektorStore.open(Address("vektor", str(path)))


class TestVektorSearchedUnique(TestVektorUnique):
    """Such a table in an older generation."""

    def open_store(self, tmp_path: Path) -> Store:
        is_new = not (tmp_path / "agent.db").exists()
        store = super().open_store(tmp_path)
        if is_new:
            backfill(str(tmp_path / "agent.db"), 5.0, dims=2)
        return store


class TestJsonl(StoreContract):
    """The file connector."""

    def open_store(self, tmp_path: Path) -> Store:
        from vexrepo.remotes.stores.jsonl import JsonlStore

        return JsonlStore.open(Address("jsonl", str(tmp_path / "memory.vmig.jsonl")), create=True)
