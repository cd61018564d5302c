"""sqlite-vec: the contract, on tables of ours and as others lay them out."""

from pathlib import Path
from typing import ClassVar

from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.sqlite_extension import connect
from vexrepo.remotes.stores.sqlite_vec import SqliteVecStore
from vexrepo.testing.stores import StoreContract

LANGCHAIN = """
CREATE TABLE notes (rowid INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT, metadata BLOB, text_embedding BLOB);
CREATE VIRTUAL TABLE notes_vec USING vec0(rowid INTEGER PRIMARY KEY, text_embedding float[6]);
CREATE TRIGGER IF NOT EXISTS embed_text AFTER INSERT ON notes BEGIN
  INSERT INTO notes_vec(rowid, text_embedding) VALUES (new.rowid, new.text_embedding);
END
"""


def make(path: Path, script: str) -> None:
    """Run statements in a new database."""
    db = connect(str(path), "mode=rwc", 5.0)
    db.execute(script).fetchall()
    db.close()


class _SqliteVec(StoreContract):
    dims = 6
    script: ClassVar[str] = ""
    options: ClassVar[dict[str, str]] = {}

    def open_store(self, tmp_path: Path) -> Store:
        path = tmp_path / "agent.db"
        if self.script and not path.exists():
            make(path, self.script)
        store = SqliteVecStore.open(Address("sqlite-vec", str(path), self.options), create=True)
        assert not self.script or store.exists(), "the table is not understood"
        return store


class TestOurs(_SqliteVec):
    """Tables that vexrepo makes itself."""


class TestOneTable(_SqliteVec):
    """A vec0 table alone, with columns of every kind; what is carried gets a table."""

    script = """
    CREATE VIRTUAL TABLE notes USING vec0(id text primary key, namespace text partition key, embedding float[6]
      distance_metric=cosine, genre text, importance integer, weight float, pinned boolean, +content text, +raw blob,
      +updated_at integer, chunk_size=64)
    """


class TestNumbers(_SqliteVec):
    """Numbers as ids, a column of JSON."""

    script = "CREATE VIRTUAL TABLE notes USING vec0(embedding float[6], +contents text, +metadata text)"
    options: ClassVar[dict[str, str]] = {"text": "contents"}


class TestSeveralVectors(_SqliteVec):
    """Several vectors a row, one of them of small integers, one of bits."""

    script = """
    CREATE VIRTUAL TABLE notes USING vec0(id text primary key, embedding float[6], title float[6], small int8[6],
      bits bit[8], +content text)
    """


class TestSmall(_SqliteVec):
    """A main vector of small integers: others are carried."""

    script = "CREATE VIRTUAL TABLE notes USING vec0(embedding int8[6], +content text)"


class TestLangChain(_SqliteVec):
    """As LangChain makes them: a second copy of each vector, and a trigger that fills the vec0 table."""

    script = LANGCHAIN


class TestStrict(_SqliteVec):
    """An ordinary table of strict columns that must not be NULL, in write-ahead mode, joined by text."""

    script = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE docs ("Key" TEXT PRIMARY KEY, body TEXT NOT NULL, namespace TEXT NOT NULL DEFAULT 'none', importance
      REAL NOT NULL, n INTEGER, created_at ANY, size INTEGER GENERATED ALWAYS AS (length(body))) STRICT;
    CREATE VIRTUAL TABLE docs_vec USING vec0(id text primary key, vector float[6], lang text, summary text,
      +updated_at integer);
    """


class TestLoose(_SqliteVec):
    """Columns of every affinity, the vec0 table named by the address, text in the metadata."""

    script = """
    CREATE TABLE items (id TEXT UNIQUE NOT NULL, importance NUMERIC, pinned BOOLEAN, n INT, created_at DATETIME,
      summary, tags VARCHAR(10), metadata JSON);
    CREATE VIRTUAL TABLE embeds USING vec0(emb float[6] distance_metric=l1);
    """
    options: ClassVar[dict[str, str]] = {"table": "items", "vectors": "embeds", "text": "text"}
