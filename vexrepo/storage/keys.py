"""Identities: Ed25519 seeds in files of their own, readable by their owner only, never inside the data.

A key file holds ``hex:`` and 64 digits, as the original tool writes it; ``base64:`` and bare digits are read too.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from vexrepo.errors import InvalidData, StateError, UsageError
from vexrepo.objects.signature import KEY_BYTES, Signature, public_key, sign
from vexrepo.storage.files import Files, wrapped

ENDING = ".key"


@dataclass(frozen=True)
class Identity:
    """A key pair with a name.  The seed is secret: it is never shown or logged."""

    name: str
    key: bytes
    seed: bytes = field(repr=False)

    def sign(self, message: bytes) -> Signature:
        """Return this identity's signature of a message."""
        return sign(self.seed, message)


def fingerprint(key: bytes) -> str:
    """Return a public key's first 8 digits in two groups, as shown to people."""
    digits = key.hex()[:8]
    return f"{digits[:4]} {digits[4:]}"


def parse_seed(text: str, where: str) -> bytes:
    """Return the seed of a key file's text.  Raises: InvalidData (key-unreadable), without showing the text."""
    body = text.strip()
    try:
        raw = (
            base64.b64decode(body[7:], validate=True)
            if body.startswith("base64:")
            else bytes.fromhex(body.removeprefix("hex:"))
        )
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise InvalidData(
            f"{where} is not a key file: expected hex: or base64: and {KEY_BYTES} bytes", code="key-unreadable"
        )
    return raw


def read_key_file(path: Path) -> Identity:
    """Return the key pair in a private key file.  Raises: UsageError (no-identity), InvalidData (key-unreadable)."""
    if not path.is_file():
        raise UsageError(f"there is no key file {path}", code="no-identity")
    with wrapped("read", path):
        seed = parse_seed(path.read_text("ascii", "replace"), str(path))
    return Identity("", public_key(seed), seed)


def write_key_file(files: Files, path: Path, identity: Identity) -> bool:
    """Write a private key into a file that only its owner can read; False if the same key is in it already.

    Raises: StateError (key-exists) for any other file of that name.
    """
    if os.path.lexists(path):
        if path.is_file() and path.stat().st_size < 1000:
            with wrapped("read", path):
                if path.read_bytes() == b"hex:" + identity.seed.hex().encode():
                    return False
        raise StateError(f"{path} exists already; a key is never overwritten", code="key-exists")
    files.write(path, b"hex:" + identity.seed.hex().encode(), mode=0o600)
    return True


class KeyFolder:
    """The identities of a user."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self._files = files

    def names(self) -> list[str]:
        """Return the names of all identities, sorted."""
        return (
            sorted(path.name[: -len(ENDING)] for path in self.folder.glob(f"*{ENDING}")) if self.folder.is_dir() else []
        )

    def read(self, name: str) -> Identity:
        """Return an identity.  Raises: UsageError (no-identity), InvalidData (key-unreadable)."""
        path = self._path(name)
        if not path.exists():
            known = ", ".join(self.names()) or "none"
            raise UsageError(
                f"no identity named {name!r} (known: {known}); make one with `vex key new`", code="no-identity"
            )
        with wrapped("read", path):
            seed = parse_seed(path.read_text("ascii", "replace"), str(path))
        return Identity(name, public_key(seed), seed)

    def create(self, name: str) -> Identity:
        """Make a new identity; its file is readable by the owner only.  Raises: StateError (key-exists)."""
        path = self._path(name)
        if path.exists():
            raise StateError(
                f"an identity named {name!r} exists already; a key is never overwritten", code="key-exists"
            )
        self._files.make_folder(self.folder)
        if os.name == "posix":
            self.folder.chmod(0o700)
        seed = secrets.token_bytes(KEY_BYTES)
        self._files.write(path, b"hex:" + seed.hex().encode(), mode=0o600)
        return Identity(name, public_key(seed), seed)

    def public_keys(self) -> dict[bytes, str]:
        """Return the public keys of all identities with their names."""
        found = {}
        for name in self.names():
            identity = self.read(name)
            found[identity.key] = name
        return found

    def _path(self, name: str) -> Path:
        if not name or name.startswith(".") or any(mark in name for mark in '/\\:*?"<>|\0'):
            raise UsageError(f"{name!r} cannot be the name of an identity", code="bad-option")
        return self.folder / f"{name}{ENDING}"
