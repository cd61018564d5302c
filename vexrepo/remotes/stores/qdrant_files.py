"""The files of Qdrant's embedded mode, read without its client: what they hold, and that they would run nothing.

A collection is a table of SQLite: a row is a point, pickled, under its id, pickled too.  Unpickling calls what a file
names, whoever wrote it.  Here nothing is called: names stand for objects that do nothing, and a file that names
anything but what the client itself writes is refused.  What a program put into a payload that is no JSON (a time, a
row of numpy) is left to the client, once the file was looked at.
"""

from __future__ import annotations

import base64
import io
import pickle  # noqa: TID251 - to look at what files name; nothing that they name is called
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.local_service import json_numbers

Id: TypeAlias = int | str
_MODELS: Final = "qdrant_client.http.models.models"
# What the files of the client name: its points, and values that programs put into payloads and vectors.
_PLAIN: Final = frozenset(
    {
        (_MODELS, "PointStruct"),
        (_MODELS, "SparseVector"),
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        ("uuid", "UUID"),
        ("uuid", "SafeUUID"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    }
)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
_BOUND: Final = 500  # values of one query


class _OtherError(Exception):
    """A point has something that only the client makes JSON of."""


class _Inert:
    """Stands for all that a file names, and does nothing."""

    def __new__(cls, *values: Any, **named: Any) -> _Inert:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class _Looking(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        _check_name(module, name)
        return _Inert


class _Struct:
    """Stands for a point, or a sparse vector: its members."""

    __slots__ = ("members",)

    members: Any

    def __setstate__(self, state: Any) -> None:
        self.members = state["__dict__"]


class _Reading(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        _check_name(module, name)
        if module != _MODELS:
            raise _OtherError
        return _Struct


def _check_name(module: str, name: str) -> None:
    """Raise StoreError (store-corrupt) for what no client writes."""
    if (module, name) not in _PLAIN:
        raise StoreError(
            f"names {module}.{name}"[:200] + ", which no Qdrant client writes, and which would run if it were opened; "
            "do not open this folder",
            code="store-corrupt",
        )


def check_file(path: Path) -> None:
    """Raise StoreError (store-corrupt) for a file that would run something when the client opens it."""
    with _opened(path) as file:
        # A view, or a column that is computed, can say one thing now and another when the client asks.
        roots = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'points' COLLATE NOCASE").fetchall()
        columns = file.execute("SELECT name, hidden FROM pragma_table_xinfo('points')").fetchall()
        if len(roots) > 1 or (roots and (not roots[0][0] or columns != [("id", 0), ("point", 0)])):
            raise StoreError("has no plain table of points, which each Qdrant client makes", code="store-corrupt")
        for _, _, raw in file.execute("SELECT rowid, id, point FROM points ORDER BY rowid DESC") if roots else ():
            _Looking(io.BytesIO(raw)).load()


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a file that is only read.  Raises: StoreError (store-corrupt)."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            yield file
    except StoreError as error:
        raise StoreError(f"{path} {error}", code=error.code) from None
    except Exception as error:  # whatever a file that is none makes of itself
        raise StoreError(f"{path} is damaged: {error}"[:300], code="store-corrupt") from error


@dataclass(frozen=True, slots=True)
class Page:
    """Points of a file.  ``others``: ids of those that are left to the client, each a None in ``points``."""

    points: list[dict[str, Any] | None]
    others: list[Id]
    following: Id | None


class PointsFile:
    """The points of one collection, in an order that does not change.  ``names``: of the vectors it is set up for."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path, self._names = path, names

    @cached_property
    def is_usual(self) -> bool:
        """Whether all keys are as the client writes them now.

        Older ones have other keys for some points, which may then be there twice, and only the client knows which one
        counts: nothing else is to be asked here then.
        """
        with _opened(self._path) as file:
            return all(_is_usual(key) for (key,) in file.execute("SELECT id FROM points"))

    def count(self) -> int:
        """Return how many points there are."""
        with _opened(self._path) as file:
            (found,) = file.execute("SELECT COUNT(*) FROM points").fetchone()
        return int(found)

    def page(self, start: Id | None, limit: int) -> Page:
        """Return up to so many points, the first one of id ``start`` if that is there."""
        after = "" if start is None else encode_key(start)
        with _opened(self._path) as file:
            rows = file.execute(
                "SELECT id, point FROM points WHERE id >= ? ORDER BY id LIMIT ?", (after, limit + 1)
            ).fetchall()
            following = _decode_key(rows.pop()[0]) if len(rows) > limit else None
            return self._read(rows, following)

    def find(self, ids: Sequence[Id]) -> Page:
        """Return those points of some ids that are there."""
        rows: list[Any] = []
        with _opened(self._path) as file:
            for at in range(0, len(ids), _BOUND):
                keys = [*map(encode_key, ids[at : at + _BOUND])]
                marks = ",".join("?" * len(keys))
                rows += file.execute(f"SELECT id, point FROM points WHERE id IN ({marks})", keys)
            return self._read(rows, None)

    def _read(self, rows: Sequence[tuple[Any, Any]], following: Id | None) -> Page:
        points: list[dict[str, Any] | None] = []
        others: list[Id] = []
        for key, raw in rows:
            identifier = _decode_key(key)
            try:
                points.append(self._point(identifier, _Reading(io.BytesIO(raw)).load()))
            except _OtherError:
                points.append(None)
                others.append(identifier)
        return Page(points, others, following)

    def _point(self, identifier: Id, found: Any) -> dict[str, Any]:
        """Return a point as the server answers it."""
        held = found.members
        if held["id"] != identifier:
            raise ValueError(f"the point of {identifier} says that it is {held['id']!r:.60}")
        payload, vector = held["payload"] or {}, held["vector"]
        if type(payload) is not dict or not _is_json(payload):
            raise _OtherError
        if type(vector) is not dict:
            vector = {"": vector}
        vector = {name: _vector(vector[name]) for name in self._names if vector.get(name) is not None}
        return {"id": identifier, "payload": payload, "vector": vector}


def encode_key(identifier: Id) -> str:
    """Return the key of a point's row."""
    return base64.b64encode(pickle.dumps(identifier, protocol=4)).decode()


class _Key(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"a key names {module}.{name}"[:200])


def _decode_key(key: str) -> Any:
    return _Key(io.BytesIO(base64.b64decode(key))).load()


def _is_usual(key: Any) -> bool:
    """Whether a key is one as the client writes it now: of a number, or of a UUID in its one spelling."""
    try:
        identifier = _decode_key(key)
    except Exception:  # whatever it makes of itself; the client is asked, which sees to what is in the file
        return False
    is_usual = type(identifier) is int or (type(identifier) is str and _UUID.fullmatch(identifier) is not None)
    return is_usual and encode_key(identifier) == key


def _vector(value: Any) -> Any:
    if type(value) is _Struct:
        return {"indices": value.members["indices"], "values": json_numbers(value.members["values"])}
    if type(value) is not list:
        raise _OtherError
    return json_numbers(value)


def _is_json(value: Any) -> bool:
    """Whether a value is one that JSON has, as it is."""
    kind = type(value)
    if kind is dict:
        return {str}.issuperset(map(type, value)) and all(map(_is_json, value.values()))
    return kind in _SCALARS or (kind is list and all(map(_is_json, value)))
