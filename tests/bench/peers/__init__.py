"""Stores as ``bench_stores.py`` measures them: a module a kind, with a script written by hand on the official client.

A module has ``serve()``, a context manager that starts the engine, gives a ``Peer`` and ends the engine again.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vexrepo.objects import canonical
from vexrepo.objects.record import Record, key_of, with_body
from vexrepo.objects.vector import Space, Vector
from vexrepo.remotes.stores.address import Address

MODEL = "bge-small-en-v1.5"


class Row(NamedTuple):
    """A memory as somebody who only moves it has it in hand."""

    id: str
    text: str
    namespace: str
    created_at: str
    metadata: dict[str, Any]
    vector: NDArray[np.float32]


class Peer(ABC):
    """A running store, and its transfers as a script does them that knows this one store and these memories."""

    client: ClassVar[str]  # what the script uses, in words: "psycopg, binary COPY"
    bare: ClassVar[str] = "bare HTTP"  # what the second script does without the client's own, where there is one
    environment: Mapping[str, str] = {}  # what a vex command needs to open the store

    @abstractmethod
    def address(self, name: str) -> Address:
        """Return where vex has a collection; without an index of vectors where that can be said."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove a collection, if it is there."""

    @abstractmethod
    def write(self, name: str, rows: Sequence[Row]) -> None:
        """Make a collection, which is not there, and write rows into it: by hand, as quickly as it is usual."""

    @abstractmethod
    def read(self, name: str) -> int:
        """Read a collection that vex wrote: each id, its payload as objects, its vector as an array.  Return how many.

        By hand, as quickly as it is usual.  What vex carries beside is read, too, as a text.
        """

    def write_bare(self, name: str, rows: Sequence[Row]) -> None:  # noqa: B027 - only where the client does much beside
        """As ``write``, without what the client does beside.  Left as it is where ``write`` does without."""

    def read_bare(self, name: str) -> int:
        """As ``read``, without what the client does beside.  Left as it is where ``read`` does without."""
        raise AssertionError(name)

    def settle(self, name: str) -> None:  # noqa: B027 - most need nothing here
        """Called once a collection is filled, before it is measured: let the engine finish what it does later."""

    def touch(self, name: str) -> None:  # noqa: B027 - most need nothing here
        """Write one memory of a collection as it is, so that a store that knows when it was written does not know."""

    def change(self, name: str, *, back: bool = False) -> None:  # noqa: B027 - for stores that give records as bytes
        """Change the text of every hundredth memory of a collection, or take that back."""

    def raw(self, name: str) -> None:  # noqa: B027 - most need nothing here
        """Let the engine send a collection, and throw the bytes away.  Left as it is where nothing does that."""

    def dump(self, name: str, path: Path) -> None:  # noqa: B027 - most have no program for it
        """Let the engine's own program bring a collection into a file.  Left as it is where none does that."""


class FolderPeer(Peer):
    """Collections of a kind that is kept in folders, each in one of its own, which both open for each transfer."""

    kind: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def address(self, name: str) -> Address:
        return Address(self.kind, str(self._folder / name), {"collection": name})

    def drop(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)


def has(peer: Peer, method: str) -> bool:
    """Whether a peer says itself how it does something that it need not."""
    return getattr(type(peer), method) is not getattr(Peer, method)


def rows(count: int, dims: int, start: int = 0) -> Iterator[Row]:
    """Yield invented memories, the same ones at every call."""
    for first in range(start, start + count, 1000):
        numbers = np.random.default_rng(first).normal(size=(1000, dims)).astype("<f4")
        for place in range(first, min(first + 1000, start + count)):
            yield Row(
                f"mem_{place:07}",
                f"Note {place}: the tide table is printed on Mondays and lies on the desk by the window.",
                f"team-{place % 7}",
                f"2026-05-{1 + place % 28:02}T10:23:00.000Z",
                {"importance": place % 5, "tags": ["tide", f"t{place % 50}"], "topic": "harbour"},
                numbers[place - first],
            )


def as_json(row: Row) -> dict[str, Any]:
    """Return a memory as an export has it, without its vector."""
    return {
        "id": row.id,
        "text": row.text,
        "model": MODEL,
        "dims": len(row.vector),
        "namespace": row.namespace,
        "metadata": row.metadata,
        "created_at": row.created_at,
        "source_store": "vektor",
        "modality": "text",
        "score": None,
        "vex_version": "1.0.0",
    }


def as_record(row: Row) -> Record:
    """Return a memory as vex has it."""
    value = as_json(row)
    return with_body(key_of(value), canonical.encode(value), (Vector(_space(len(row.vector)), row.vector.tobytes()),))


@lru_cache
def _space(dims: int) -> Space:
    return Space("", "dense", MODEL, dims, "f32")  # one for all memories, as it is where they are read
