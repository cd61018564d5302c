"""PostgreSQL with pgvector: the contract, and what tables look like."""

from pathlib import Path
from typing import ClassVar

import pytest

from tests.contract.postgres import address, new_database, server
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.pgvector import PgvectorStore
from vexrepo.testing.stores import StoreContract

ORIGINAL = """
CREATE TABLE vex_memories (id TEXT PRIMARY KEY, content TEXT, namespace TEXT, importance FLOAT, tags TEXT,
  entities TEXT, potential TEXT, created_at BIGINT, source TEXT, metadata JSONB, vector vector(6))
"""


class _Pgvector(StoreContract):
    dims = 6
    ddl: ClassVar[str] = ""
    options: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _databases(self) -> None:
        self.databases: dict[Path, str] = {}

    def open_store(self, tmp_path: Path) -> Store:
        if tmp_path not in self.databases:
            self.databases[tmp_path] = new_database()
            if self.ddl:
                with server().connect(self.databases[tmp_path]) as connection:
                    connection.execute(self.ddl.encode())
        return PgvectorStore.open(address(self.databases[tmp_path], **self.options), create=True)


class TestOurs(_Pgvector):
    """A table that vexrepo makes itself."""


class TestAnyDims(_Pgvector):
    """Vectors of any dimensions in one column."""

    dims = None
    ddl = "CREATE TABLE notes (id text PRIMARY KEY, content text, metadata jsonb, vector vector)"
    options: ClassVar[dict[str, str]] = {"table": "notes"}


class TestOriginal(_Pgvector):
    """The original tool's table."""

    ddl = ORIGINAL


class TestStrict(_Pgvector):
    """Columns that must not be NULL, of many types, in half precision; a schema and names that must be quoted."""

    ddl = """
    CREATE SCHEMA "my schema";
    CREATE TYPE mood AS ENUM ('calm', 'busy');
    CREATE TABLE "my schema"."Notes" ("Key" varchar(200) PRIMARY KEY, content text NOT NULL, namespace text NOT NULL
      DEFAULT 'none', importance real NOT NULL DEFAULT 0.5, pinned boolean NOT NULL, n numeric(8,2), updated_at
      timestamptz NOT NULL DEFAULT now(), tags text[], mood mood DEFAULT 'calm', size int GENERATED ALWAYS AS
      (length(content)) STORED, number bigserial, "meta" jsonb NOT NULL, embedding halfvec(6), title vector(6))
    """
    options: ClassVar[dict[str, str]] = {"table": "Notes", "schema": "my schema"}


class TestBare(_Pgvector):
    """Nothing but ids and vectors: what is carried gets a column."""

    ddl = "CREATE TABLE vex_memories (id uuid PRIMARY KEY, vec vector(6))"


class TestNumbers(_Pgvector):
    """Ids that are numbers, and not declared unique; no vectors at all."""

    ddl = "CREATE TABLE vex_memories (id bigint, page_content text, cmetadata json)"
