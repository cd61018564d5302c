"""sqlite-vec beside a script on it: an ordinary table and a vec0 table, one transaction."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.bench.peers import MODEL, Peer, Row
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.sqlite_extension import connect

_READ = (
    "SELECT m.id, content, namespace, model, created_at, metadata, _vex, embedding "
    "FROM memories m JOIN memories_vec v ON v.rowid = m.number"
)


class _SqliteVec(Peer):
    client = "sqlite-vec, executemany"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.db"

    def address(self, name: str) -> Address:
        return Address("sqlite-vec", str(self._path(name)))

    def drop(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def write(self, name: str, rows: Sequence[Row]) -> None:
        db = connect(str(self._path(name)), "mode=rwc", 5.0)
        db.execute("PRAGMA journal_mode = MEMORY").fetchall()
        db.execute("BEGIN")
        db.execute(
            "CREATE TABLE memories (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, content TEXT, namespace TEXT, "
            "model TEXT, created_at, metadata TEXT, _vex TEXT)"
        )
        dims = len(rows[0].vector)
        db.execute(f"CREATE VIRTUAL TABLE memories_vec USING vec0(embedding float[{dims}] distance_metric=cosine)")
        db.executemany(
            "INSERT INTO memories VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                (at, row.id, row.text, row.namespace, MODEL, row.created_at, json.dumps(row.metadata))
                for at, row in enumerate(rows, 1)
            ),
        )
        db.executemany(
            "INSERT INTO memories_vec(rowid, embedding) VALUES (?, ?)",
            ((at, row.vector.tobytes()) for at, row in enumerate(rows, 1)),
        )
        db.execute("COMMIT")
        db.close()

    def read(self, name: str) -> int:
        db = connect(str(self._path(name)), "mode=ro", 5.0)
        found = [
            (*row[:5], json.loads(row[5]), row[6], np.frombuffer(row[7], "<f4")) for row in db.execute(_READ).fetchall()
        ]
        db.close()
        return len(found)

    def raw(self, name: str) -> None:
        db = connect(str(self._path(name)), "mode=ro", 5.0)
        for _ in db.execute(_READ):
            pass
        db.close()

    def touch(self, name: str) -> None:
        db = connect(str(self._path(name)), "mode=rw", 5.0)
        db.execute(
            "UPDATE memories SET content = content || '.' WHERE number = 1"
        )  # SQLite passes over what is the same
        db.execute("UPDATE memories SET content = substr(content, 1, length(content) - 1) WHERE number = 1")
        db.close()


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a folder for databases."""
    with tempfile.TemporaryDirectory() as folder:
        yield _SqliteVec(Path(folder))
