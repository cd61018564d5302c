"""Qdrant's embedded mode: a folder, kept by ``qdrant-client`` in this process, asked as a server is.

It has neither indexes nor quantisation, and takes ids that the server refuses: ours are those of the server.  Its files
are pickled: opening one would run whatever a stranger put there.  So each is looked at first, and refused where it
names anything but what the client itself writes.
"""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - to look at what files name; nothing that they name is called
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Final

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.local_service import LocalService, NotThereError, json_numbers

_DONE: Final = {"status": "completed"}
_NAMES: Final = {"vectors": "vectors_config", "sparse_vectors": "sparse_vectors_config"}
# What the files of the client name: its points, and values that programs put into payloads and vectors.
_PLAIN: Final = frozenset(
    {
        ("qdrant_client.http.models.models", "PointStruct"),
        ("qdrant_client.http.models.models", "SparseVector"),
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


class QdrantFolder(LocalService):
    """The engine of one folder."""

    kind: ClassVar[str] = "qdrant"
    extra: ClassVar[str] = "qdrant-local"
    marker: ClassVar[str] = "meta.json"

    def start(self, folder: Path) -> Any:
        """Return the client.  Raises: ImportError, StoreError (store-locked)."""
        from qdrant_client import QdrantClient

        for each in sorted(folder.glob("collection/*/storage.sqlite")):
            _check_file(each)
        try:
            return QdrantClient(path=str(folder), force_disable_check_same_thread=True)
        except RuntimeError as error:
            if "already accessed" not in str(error):
                raise
            raise StoreError(f"{folder} is open in another program; one at a time can", code="store-locked") from None

    def stop(self, engine: Any) -> None:
        """Close the files."""
        engine.close()

    def absence(self, words: str) -> Any:
        """Return what the server says where a collection is not there."""
        return {"status": {"error": words}}

    def answer(self, engine: Any, method: str, parts: list[str], body: Any) -> Any:
        """Return what the server would answer."""
        from qdrant_client import models

        name, rest = parts[-1] if len(parts) == 2 else parts[1], "/".join(parts[2:])
        if (method, rest) == ("PUT", ""):
            made = models.CreateCollection(**body)
            given = {_NAMES.get(each, each): getattr(made, each) for each in made.model_fields_set}
            return {"result": engine.create_collection(name, **{"vectors_config": {}, **given})}
        if not engine.collection_exists(name):
            raise NotThereError(f"there is no collection {name}")
        match method, rest:
            case "GET", "":
                return {"result": engine.get_collection(name).model_dump(mode="json")}
            case "POST", "points/count":
                return {"result": {"count": engine.count(name, exact=True).count}}
            case "POST", "points/scroll":
                points, after = engine.scroll(
                    name, limit=body["limit"], offset=body.get("offset"), with_payload=True, with_vectors=True
                )
                return {"result": {"points": [_json(each) for each in points], "next_page_offset": after}}
            case "POST", "points":
                found = engine.retrieve(name, body["ids"], with_payload=True, with_vectors=True)
                return {"result": [_json(each) for each in found]}
            case "PUT", "points":
                engine.upsert(name, [_point(models, each) for each in body["points"]])
            case "POST", "points/delete":
                engine.delete(name, body["points"])
            case _:  # an index of a payload: there are none here
                pass
        return {"result": _DONE}


class _Inert:
    """Stands for all that a file names, and does nothing."""

    def __new__(cls, *values: Any, **named: Any) -> _Inert:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class _Looking(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PLAIN:
            raise StoreError(f"names {module}.{name}"[:200], code="store-corrupt")
        return _Inert


def _check_file(path: Path) -> None:
    """Raise StoreError (store-corrupt) for a file that would run something when the client opens it."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            for (raw,) in file.execute("SELECT point FROM points"):
                _Looking(io.BytesIO(raw)).load()
    except StoreError as error:
        raise StoreError(
            f"{path} {error}, which no Qdrant client writes, and which would run if it were opened; do not open this "
            "folder",
            code="store-corrupt",
        ) from None
    except Exception as error:  # whatever a file that is none makes of itself
        raise StoreError(f"{path} is damaged: {error}"[:300], code="store-corrupt") from error


def _point(models: Any, value: dict[str, Any]) -> Any:
    """Return a point as the client has it, without a look at each number of its vectors."""
    vector = value["vector"]
    named = vector if isinstance(vector, dict) else {"": vector}
    vector = {
        name: models.SparseVector(indices=each["indices"].tolist(), values=each["values"].tolist())
        if isinstance(each, dict)
        else each.tolist()
        for name, each in named.items()
    }
    return models.PointStruct.model_construct(id=value["id"], vector=vector, payload=value["payload"])


def _json(point: Any) -> dict[str, Any]:
    vector = point.vector
    if isinstance(vector, dict):
        vector = {
            name: {"indices": each.indices, "values": json_numbers(each.values)}
            if hasattr(each, "indices")
            else json_numbers(each)
            for name, each in vector.items()
        }
    elif vector is not None:
        vector = json_numbers(vector)
    return {"id": point.id, "payload": point.payload, "vector": vector}
