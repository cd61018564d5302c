"""A tip as bytes, so that a later run need not ask a host again for the files of a tip that is still there."""

from __future__ import annotations

import json
from pathlib import Path

from blake3 import blake3

from vexrepo.objects.digest import checksum
from vexrepo.remotes.hosts.base import HostFile, Tip

_DIGEST = 32


def tip_path(folder: Path, url: str) -> Path:
    """Return where a repository, whose ``.vex`` folder is named, keeps the tip last seen at an address."""
    return folder / "cache" / "hosts" / f"tip-{checksum(url.encode()).hex()[:16]}"


def encode_tip(tip: Tip) -> bytes:
    """Return a tip as bytes: a BLAKE3 digest, then JSON.

    A publish writes the whole listing anew: a damaged one would lose files at the host, hence the digest.
    """
    files = {path: [file.id, file.size, file.mode] for path, file in tip.files.items()}
    body = json.dumps([tip.version, files], separators=(",", ":")).encode()  # paths need not be UTF-8
    return blake3(body).digest() + body


def decode_tip(encoded: bytes) -> Tip | None:
    """Return the tip of bytes that ``encode_tip`` made, None where they are damaged (ask the host, then)."""
    digest, body = encoded[:_DIGEST], encoded[_DIGEST:]
    if blake3(body).digest() != digest:
        return None
    version, files = json.loads(body)
    return Tip(version, {path: HostFile(*file) for path, file in files.items()})
