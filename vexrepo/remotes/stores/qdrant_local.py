"""Qdrant's embedded mode: a folder, kept by ``qdrant-client`` in this process, asked as a server is.

It has neither indexes nor quantisation, and takes ids that the server refuses: ours are those of the server.  Points
are read from its files (``qdrant_files``).  The client, which reads all of a folder into memory and unpickles it, is
opened where something is written; its files are looked at before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Final

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.local_service import LocalService, NotThereError, json_numbers
from vexrepo.remotes.stores.qdrant_files import Page, PointsFile, check_file

_DONE: Final = {"status": "completed"}
_NAMES: Final = {"vectors": "vectors_config", "sparse_vectors": "sparse_vectors_config"}
_META: Final = "meta.json"  # the names of the collections, and how each is set up
_UNKNOWN: Final = ("init_from",)  # members that older clients wrote there


class QdrantFolder(LocalService):
    """The engine of one folder."""

    kind: ClassVar[str] = "qdrant"
    extra: ClassVar[str] = "qdrant-local"
    marker: ClassVar[str] = _META

    def start(self, folder: Path) -> Any:
        """Return the folder, held.  Raises: ImportError, StoreError (store-locked)."""
        return _Folder(folder)

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
            return {"result": engine.client.create_collection(name, **{"vectors_config": {}, **given})}
        found = engine.collection(name)
        match method, rest:
            case "GET", "":
                return {"result": found.information()}
            case "POST", "points/count":
                return {"result": {"count": found.count()}}
            case "POST", "points/scroll":
                points, after = found.scroll(body.get("offset"), body["limit"])
                return {"result": {"points": points, "next_page_offset": after}}
            case "POST", "points":
                return {"result": found.find(body["ids"])}
            case "PUT", "points":
                engine.client.upsert(name, [_point(models, each) for each in body["points"]])
            case "POST", "points/delete":
                engine.client.delete(name, body["points"])
            case _:  # an index of a payload: there are none here
                pass
        return {"result": _DONE}


class _Folder:
    """A folder that no other program has open."""

    def __init__(self, path: Path) -> None:
        import qdrant_client  # noqa: F401 - where it is missing, that is said before anything is asked

        self._path = path
        self._client: Any = None
        self._collections: dict[str, _Collection] = {}
        self._held = _lock(path) if (path / _META).exists() else None

    @property
    def client(self) -> Any:
        """The client, open.  Raises: StoreError (store-locked, store-corrupt)."""
        if self._client is None:
            from qdrant_client import QdrantClient

            names = self._meta()["collections"] if (self._path / _META).exists() else ()
            for path in sorted(map(self._points, names)):
                if path.exists():
                    check_file(path)
            self._let_go()  # the client locks the folder itself
            try:
                self._client = QdrantClient(path=str(self._path), force_disable_check_same_thread=True)
            except RuntimeError as error:
                if "already accessed" not in str(error):
                    raise
                raise _locked(self._path) from None
        return self._client

    def collection(self, name: str) -> _Collection:
        """Return a collection, which may be named by an alias.  Raises: NotThereError."""
        meta = self._meta() if (self._path / _META).exists() else {}
        named = meta.get("aliases", {}).get(name, name)
        config = meta.get("collections", {}).get(named)
        if config is None:
            raise NotThereError(f"there is no collection {name}")
        found = self._collections.get(named)
        if found is None or found.config != config:
            found = self._collections[named] = _Collection(self, named, config, self._points(named))
        return found

    def _points(self, name: str) -> Path:
        return self._path / "collection" / name / "storage.sqlite"

    def _meta(self) -> Any:
        with open(self._path / _META) as file:  # in the encoding in which the client reads it
            return json.load(file)

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()  # with which its lock ends

    def close(self) -> None:
        """Let the folder go."""
        if self._client is not None:
            self._client.close()
        self._let_go()


class _Collection:
    """A collection, read from its file, or by the client where that alone can."""

    def __init__(self, folder: _Folder, name: str, config: Any, path: Path) -> None:
        from qdrant_client import models
        from qdrant_client.local.local_collection import LocalCollection

        self.config = config
        self._folder, self._name = folder, name
        known = {member: each for member, each in config.items() if member not in _UNKNOWN}
        self._information = LocalCollection(models.CreateCollection(**known)).info().model_dump(mode="json")
        params = self._information["config"]["params"]
        dense = params["vectors"] or {}
        names = [""] if "size" in dense and not isinstance(dense["size"], dict) else [*dense]
        self._file = PointsFile(path, [*names, *(params["sparse_vectors"] or {})]) if path.exists() else None

    def information(self) -> Any:
        """Return how it is set up, as the server says it."""
        return self._information

    def count(self) -> int:
        """Return how many points there are."""
        if (file := self._usual) is not None:
            return file.count()
        return int(self._folder.client.count(self._name, exact=True).count)

    def scroll(self, offset: Any, limit: int) -> tuple[list[Any], Any]:
        """Return a page of points, and the id of the first one that comes after it."""
        if (file := self._usual) is not None:
            page = file.page(offset, limit)
            return self._whole(page), page.following
        points, after = self._folder.client.scroll(
            self._name, limit=limit, offset=offset, with_payload=True, with_vectors=True
        )
        return [_json(each) for each in points], after

    def find(self, ids: Sequence[Any]) -> list[Any]:
        """Return those of some points that are there."""
        return self._whole(file.find(ids)) if (file := self._usual) is not None else self._ask(ids)

    @property
    def _usual(self) -> PointsFile | None:
        return self._file if self._file is not None and self._file.is_usual else None

    def _whole(self, page: Page) -> list[Any]:
        """Return the points of a page, with those that only the client can read."""
        if not page.others:
            return page.points
        others = {each["id"]: each for each in self._ask(page.others)}
        places = iter(page.others)
        return [others[next(places)] if each is None else each for each in page.points]

    def _ask(self, ids: Sequence[Any]) -> list[Any]:
        found = self._folder.client.retrieve(self._name, ids, with_payload=True, with_vectors=True)
        return [_json(each) for each in found]


def _lock(folder: Path) -> IO[str]:
    """Return the file that the client, too, locks while a folder is open.  Raises: StoreError (store-locked)."""
    import portalocker

    path = folder / ".lock"
    if not path.exists():
        path.write_text("tmp lock file")
    file = path.open("r+")
    try:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.exceptions.LockException:
        file.close()
        raise _locked(folder) from None
    return file


def _locked(folder: Path) -> StoreError:
    return StoreError(f"{folder} is open in another program; one at a time can", code="store-locked")


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
