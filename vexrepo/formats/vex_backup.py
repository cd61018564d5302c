"""The backup that the original tool's ``sync push`` makes: a VEKTOR database's memories and edges, encrypted.

Its key is made of an access token and of where the machine says who it is, so the same two are needed to read it.
Layout: u32 big-endian 1 ‖ IV (16) ‖ tag (16) ‖ AES-256-GCM of JSON.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson

from vexrepo.errors import InvalidData, WrongKey

MAGIC: Final = b"\0\0\0\1"
IV_BYTES: Final = 16
TAG_BYTES: Final = 16
SYSTEMS: Final = ("linux", "darwin", "win32")
_BASE64 = re.compile(rb"AAAAA[Q-Za-f][A-Za-z0-9+/\s]+=*\s*\Z")
_HEAD = len(MAGIC) + IV_BYTES + TAG_BYTES


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: rows of ``memories`` and of ``memory_edges`` as JSON objects, blobs as bytes."""

    version: str
    exported_at: str
    memories: list[dict[str, Any]]
    edges: list[dict[str, Any]]


def candidates(machine_id: str) -> list[str]:
    """Return the machine ids that a text may stand for: the original puts the system's name before the id."""
    text = machine_id.strip()
    if text.split(":", 1)[0] in SYSTEMS:
        return [text]
    return [text, *(f"{system}:{text}" for system in SYSTEMS)]


def derive_key(token: str, machine_id: str) -> bytes:
    """Return the key of a backup, 32 bytes."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    ikm = machine_id.encode("utf-8", "surrogateescape") + hashlib.sha256(_raw(token)).digest()
    return HKDF(SHA256(), length=32, salt=b"vex-sync-v1", info=b"vex-sync-encrypt").derive(ikm)


def read_backup(raw: bytes, token: str, machine_ids: Sequence[str], where: str) -> Backup:
    """Return what a backup holds.

    Raises: InvalidData (backup-unreadable), WrongKey (wrong-token), without showing token or content.
    """
    if _BASE64.match(raw):  # as a host's interface gives it
        with suppress(binascii.Error):
            raw = base64.b64decode(raw)
    if len(raw) <= _HEAD or raw[: len(MAGIC)] != MAGIC:
        raise InvalidData(
            f"{where} is not a backup of the original tool (memory/vektor-backup.enc): it begins with "
            f"{raw[:8].hex()!r}, expected {MAGIC.hex()!r}",
            code="backup-unreadable",
        )
    for machine_id in machine_ids:
        plain = _decrypt(raw, derive_key(token, machine_id))
        if plain is not None:
            return _parse(plain, where)
    raise WrongKey(
        f"{where} does not open: either the token is not the one it was pushed with, or it was pushed from another "
        "machine (or the file is damaged).  Give that machine's id with --machine-id, on Linux linux: and what "
        "/etc/machine-id says, on macOS darwin: and its host name, on Windows win32:HOST:USER",
        code="wrong-token",
    )


def _decrypt(raw: bytes, key: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.ciphers.modes import GCM

    start = len(MAGIC) + IV_BYTES
    worker = Cipher(AES256(key), GCM(raw[len(MAGIC) : start], raw[start:_HEAD])).decryptor()
    plain = worker.update(raw[_HEAD:])
    try:
        return plain + worker.finalize()
    except InvalidTag:
        return None


def _parse(plain: bytes, where: str) -> Backup:
    try:
        try:
            value = orjson.loads(plain)
        except orjson.JSONDecodeError:
            value = json.loads(plain)  # takes halves of surrogate pairs: their rows are refused one by one
    except (ValueError, RecursionError):
        value = None
    match value:
        case {"memories": list(memories), "edges": list(edges), **rest} if all(
            isinstance(row, dict) for row in (*memories, *edges)
        ):
            rows, links = ([_with_blobs(row) for row in some] for some in (memories, edges))
            return Backup(str(rest.get("version", "")), str(rest.get("exported_at", "")), rows, links)
    raise InvalidData(
        f"{where} opens, but does not hold memories and edges as the original tool writes them",
        code="backup-unreadable",
    )


def _with_blobs(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _blob(value) if type(value) is dict else value for name, value in row.items()}


def _blob(value: dict[str, Any]) -> Any:
    """Return the bytes that JavaScript writes as an object of a type and numbers, or the object."""
    match value:
        case {"type": "Buffer", "data": list(numbers), **rest} if not rest:
            try:
                return bytes(numbers)
            except (TypeError, ValueError):
                pass
    return value


def _raw(token: str) -> bytes:
    return token.encode("utf-8", "surrogateescape")
