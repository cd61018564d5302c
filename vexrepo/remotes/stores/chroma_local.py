"""Chroma's embedded mode: a folder, kept by ``chromadb`` in this process, asked as its server is."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from vexrepo.remotes.stores.local_service import LocalService, NotThereError, json_numbers


class ChromaFolder(LocalService):
    """The engine of one folder."""

    kind: ClassVar[str] = "chroma"
    extra: ClassVar[str] = "chroma-local"
    marker: ClassVar[str] = "chroma.sqlite3"

    def start(self, folder: Path) -> Any:
        """Return what Chroma's own server asks.  Raises: ImportError."""
        from chromadb.api import ServerAPI
        from chromadb.config import Settings, System

        settings = Settings(is_persistent=True, persist_directory=str(folder), anonymized_telemetry=False)
        system = System(settings)
        engine = system.instance(ServerAPI)
        system.start()
        return engine

    def stop(self, engine: Any) -> None:
        """Close the files."""
        engine._system.stop()

    def absence(self, words: str) -> Any:
        """Return what the server says where something is not there."""
        return {"error": "NotFoundError", "message": words}

    def answer_nothing(self, parts: list[str]) -> Any:
        """Return what is answered where there is no folder: nothing is known of limits."""
        return {} if parts[2:] == ["pre-flight-checks"] else super().answer_nothing(parts)

    def answer(self, engine: Any, method: str, parts: list[str], body: Any) -> Any:
        """Return what the server would answer."""
        from chromadb.errors import NotFoundError

        try:
            return self._answer(engine, method, parts[2:], body)
        except NotFoundError as error:
            raise NotThereError(str(error)) from None

    def _answer(self, engine: Any, method: str, parts: list[str], body: Any) -> Any:
        if parts == ["pre-flight-checks"]:
            return {"max_batch_size": engine.get_max_batch_size(), "supports_base64_encoding": False}
        _, tenant, _, database, _, *rest = parts
        place = {"tenant": tenant, "database": database}
        if not rest:
            configuration = json.dumps(body["configuration"])
            wanted = (body["name"], configuration, None, body.get("metadata"), False, tenant, database)
            return {"id": str(engine.bindings.create_collection(*wanted).id)}
        if len(rest) == 1:
            return _described(engine.get_collection(rest[0], **place))
        collection, what = UUID(rest[0]), rest[1]
        match what:
            case "count":
                return engine._count(collection, **place)
            case "get":
                found = engine._get(collection, **body, **place)
                columns = {name: found[name] for name in ("ids", "metadatas", "documents", "uris")}
                embeddings = found.pop("embeddings")
                return {**columns, "embeddings": embeddings if embeddings is None else _rows(embeddings)}
            case "delete":
                engine._delete(collection, ids=body["ids"], **place)
            case "upsert":
                engine._upsert(collection, **body, **place)
        return {}


def _rows(embeddings: list[Any]) -> list[Any]:
    """Return embeddings as rows of float32, which they are; as lists, as in JSON, where one has no finite numbers.

    At once: the collector walks through each list as long as it is there.
    """
    import numpy as np

    rows = [each and struct.pack(f"<{len(each)}f", *each) for each in embeddings]
    if np.isfinite(np.frombuffer(b"".join([row for row in rows if row]), "<f4")).all():
        return rows
    return [each and json_numbers(each) for each in embeddings]


def _described(model: Any) -> dict[str, Any]:
    return {
        "id": str(model.id),
        "name": model.name,
        "configuration_json": model.configuration_json,
        "metadata": dict(model.metadata) if model.metadata else None,
        "dimension": model.dimension,
    }
