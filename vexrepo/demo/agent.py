"""The agent of the story: its SQLite memory, and what it does to it with plain SQL."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

Rows: TypeAlias = list[tuple[Any, ...]]

# The tables a VEKTOR agent makes for itself.
SCHEMA = """
CREATE TABLE memories (
  id TEXT, agent_id TEXT, content TEXT, summary TEXT, importance INT, tags TEXT, namespace TEXT, pinned INT,
  created_at NUM, updated_at NUM, vector BLOB, edge_type TEXT, potential TEXT, memory_type TEXT
);
CREATE TABLE graph_edges (
  id TEXT PRIMARY KEY, source_id TEXT NOT NULL, target_id TEXT NOT NULL,
  edge_type TEXT NOT NULL, weight REAL DEFAULT 1.0, created_at INTEGER
);
CREATE INDEX ge_source ON graph_edges(source_id);
CREATE INDEX ge_target ON graph_edges(target_id);
"""
INSERT = """
INSERT INTO memories (id, agent_id, content, importance, tags, namespace, created_at, vector, memory_type)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
UPDATE = "UPDATE memories SET content = ?, importance = ?, tags = ?, vector = ? WHERE id = ?"
LINKED = 1_780_185_600  # 2026-05-31T00:00:00Z, when the agent made its links


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its embedding (384 numbers)."""

    text: str
    vector: list[float]


@dataclass(frozen=True, slots=True)
class Script:
    """What the memory holds at first, and what happens to it; records are in vmig form."""

    initial: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    learned: list[dict[str, Any]]
    changed: list[dict[str, Any]]
    forgotten: list[str]
    pruned: list[str]
    summaries: list[dict[str, Any]]
    questions: list[Question]

    def question(self, word: str) -> Question:
        """Return the question with a word in it."""
        return next(each for each in self.questions if word in each.text)


def read_script() -> Script:
    """Return the story that is shipped with the package."""
    import zstandard

    folder = resources.files("vexrepo.demo")
    packed = (folder / "memory.vmig.jsonl.zst").read_bytes()
    story = json.loads((folder / "story.json").read_text("utf-8"))
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as lines:
        initial = [json.loads(line) for line in lines.read().splitlines()]
    return Script(
        initial,
        story["edges"],
        story["learned"],
        story["changed"],
        story["forgotten"],
        [each["id"] for each in story["experiment"]["delete"]],
        story["experiment"]["add"],
        [Question(each["text"], each["vector"]) for each in story["queries"]],
    )


class Agent:
    """An agent that keeps its memory in an SQLite file and knows nothing of vex."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = path
        self.script = script

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path)) as db, db:
            yield db

    def begin(self) -> None:
        """Make the database as it is when the story begins."""
        with self._open() as db:
            db.executescript(SCHEMA)
            db.executemany(INSERT, map(_row, self.script.initial))
            db.executemany(
                "INSERT INTO graph_edges VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        f"ge-{e['type']}-{e['source']}-{e['target']}",
                        e["source"],
                        e["target"],
                        e["type"],
                        e["weight"],
                        LINKED,
                    )
                    for e in self.script.edges
                ],
            )

    def work(self) -> None:
        """Learn, change and forget what a week of work brings."""
        with self._open() as db:
            db.executemany(INSERT, map(_row, self.script.learned))
            for record in self.script.changed:
                known = record["metadata"]
                db.execute(
                    UPDATE,
                    (record["text"], known["importance"], known["tags"], _blob(record["vector"]), record["id"]),
                )
            self._forget(db, self.script.forgotten)

    def prune(self) -> None:
        """Clean up with too much zeal: details are deleted, summaries take their place."""
        with self._open() as db:
            self._forget(db, self.script.pruned)
            db.executemany(INSERT, map(_row, self.script.summaries))

    @staticmethod
    def _forget(db: sqlite3.Connection, ids: list[str]) -> None:
        for each in ids:
            db.execute("DELETE FROM memories WHERE id = ?", (each,))
            db.execute("DELETE FROM graph_edges WHERE source_id = ? OR target_id = ?", (each, each))

    def count(self) -> int:
        """Return the number of memories."""
        with self._open() as db:
            found: int = db.execute("SELECT count(*) FROM memories").fetchone()[0]
            return found

    def contents(self) -> tuple[Rows, Rows]:
        """Return every column of all memories and of all edges, by id."""
        with self._open() as db:
            return (
                db.execute("SELECT * FROM memories ORDER BY id").fetchall(),
                db.execute("SELECT * FROM graph_edges ORDER BY id").fetchall(),
            )

    def recall(self, question: Question) -> tuple[float, str]:
        """Return the memory nearest to a question: (cosine similarity, text)."""
        import numpy as np

        with self._open() as db:
            rows = db.execute("SELECT content, vector FROM memories").fetchall()
        matrix = np.array([np.frombuffer(blob, "<f4") for _, blob in rows])
        asked = np.array(question.vector, dtype=np.float32)
        cosine = matrix @ asked / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(asked))
        best = int(np.argmax(cosine))
        return float(cosine[best]), str(rows[best][0])


def _row(record: dict[str, Any]) -> tuple[Any, ...]:
    known = record["metadata"]
    return (
        record["id"],
        known["agent_id"],
        record["text"],
        known["importance"],
        known["tags"],
        record["namespace"],
        record["created_at"],
        _blob(record["vector"]),
        known["memory_type"],
    )


def _blob(vector: list[float]) -> bytes:
    import struct

    return struct.pack(f"<{len(vector)}f", *vector)
