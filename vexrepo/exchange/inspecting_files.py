"""What is on disk of a store: its bytes, and what the files beside a vmig file say of it."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.jsonl import JsonlStore

_SIGNATURE_BYTES = 64 << 20  # larger signature files are only said to be there


class Sidecar(NamedTuple):
    """What a ``.vmig.meta.json`` says, and whether its checksum is that of the file (None: it has none)."""

    name: str
    record_count: int | None
    exported_at: str
    source_store: str
    matches: bool | None


class Signature(NamedTuple):
    """What a ``.vmig.sig`` says of itself; only verifying tells whether it is true."""

    name: str
    record_count: int | None
    signed_at: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Files:
    """What is on disk: bytes, and the files beside a vmig file."""

    size_bytes: int | None = None
    sidecar: Sidecar | None = None
    signature: Signature | None = None


def read_files(store: Store) -> Files:
    """Return what is on disk for a store; all None for one that is elsewhere."""
    if not store.address.is_path:
        return Files()
    path = Path(store.address.location)
    size = sum(_size(each) for each in (path, Path(f"{path}-wal"))) if path.is_file() else None
    if not isinstance(store, JsonlStore):
        return Files(size)
    return Files(size, _read_sidecar(store), _read_signature(store))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _members(path: Path) -> dict[str, Any] | None:
    """Return the members of a JSON file beside the data, {} if it cannot be understood, None if there is none."""
    if not path.is_file():
        return None
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= _SIGNATURE_BYTES:
            found = json.loads(path.read_bytes())
            if isinstance(found, dict):
                return found
    return {}


def _text(members: dict[str, Any], name: str) -> str:
    found = members.get(name)
    return found if isinstance(found, str) else ""


def _count(members: dict[str, Any]) -> int | None:
    found = members.get("record_count")
    return found if type(found) is int else None


def _read_sidecar(store: JsonlStore) -> Sidecar | None:
    members = _members(store.sidecar)
    if members is None:
        return None
    checksum = _text(members, "checksum")
    matches = checksum == "sha256:" + _checksum(store.path) if checksum else None
    source = _text(members, "source_store")
    return Sidecar(store.sidecar.name, _count(members), _text(members, "exported_at"), source, matches)


def _read_signature(store: JsonlStore) -> Signature | None:
    path = store.sidecar.with_name(store.sidecar.name.removesuffix(".meta.json") + ".sig")
    members = _members(path)
    if members is None:
        return None
    return Signature(path.name, _count(members), _text(members, "signed_at"), _text(members, "public_key"))


def _checksum(path: Path) -> str:
    """Return the SHA-256 of the lines joined by newlines: the file without its last one."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        left = file.tell()
        if left:
            file.seek(-1, os.SEEK_END)
            left -= file.read(1) == b"\n"
        file.seek(0)
        while left and (block := file.read(min(1 << 20, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
