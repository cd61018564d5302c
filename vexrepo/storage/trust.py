"""Whose public keys a user knows: names for other people's keys, in a file of the user's configuration folder.

The file is JSON: ``{"version": 1, "keys": [{"name", "key", "added_at"}]}``.  What a later version adds to an
entry may narrow it (a period, a scope), so an entry with other members is refused, not read in part.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

import orjson

from vexrepo.errors import InvalidData, StateError, UsageError
from vexrepo.objects import canonical
from vexrepo.objects.signature import KEY_BYTES, is_proper_key
from vexrepo.objects.trust import KnownKey
from vexrepo.storage.files import Files, wrapped
from vexrepo.storage.lock import writer_lock

VERSION = 1
MAX_NAME = 100
_DIGITS = re.compile(r"[0-9a-fA-F]{64}")
_LOCK_TIMEOUT_S = 10


def parse_public_key(text: str, where: str) -> bytes:
    """Return the public key of a text: 64 digits, or ``ed25519:`` and base64 (or 64 digits).

    Raises: InvalidData (key-unreadable, weak-key), without showing the text, which may be a private key.
    """
    body = text.strip().removeprefix("ed25519:")
    if _DIGITS.fullmatch(body):
        raw = bytes.fromhex(body)
    else:
        try:
            raw = base64.b64decode(body, validate=True) if text.strip().startswith("ed25519:") else b""
        except (ValueError, binascii.Error):
            raw = b""
    if len(raw) != KEY_BYTES:
        raise InvalidData(
            f"{where} is not a public key: expected 64 digits, or ed25519: and base64", code="key-unreadable"
        )
    if not is_proper_key(raw):
        raise InvalidData(
            f"{where} is a key that fits signatures nobody made (of small order, or not a point at all): it is never "
            "accepted",
            code="weak-key",
        )
    return raw


class TrustStore:
    """The public keys a user vouches for."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path = path
        self._files = files

    def read(self) -> list[KnownKey]:
        """Return all keys, sorted by name.  Raises: InvalidData (trust-unreadable)."""
        if not self.path.exists():
            return []
        with wrapped("read", self.path):
            raw = self.path.read_bytes()
        try:
            value = canonical.parse(raw)
        except InvalidData as error:
            raise self._unreadable(str(error)) from None
        if not isinstance(value, dict) or type(value.get("version")) is not int:
            raise self._unreadable("it does not say its version")
        if value["version"] != VERSION:
            raise self._unreadable(f"it has version {value['version']}, this vexrepo knows version {VERSION}")
        listed = value.get("keys")
        if set(value) != {"version", "keys"} or not isinstance(listed, list):
            raise self._unreadable('expected "version" and "keys"')
        found = []
        for entry in listed:
            match entry:
                case {"name": str(name), "key": str(text), "added_at": str(added_at), **rest} if not rest:
                    try:
                        found.append(KnownKey(name, parse_public_key(text, f"the key of {name!r}"), added_at))
                    except InvalidData as error:
                        raise self._unreadable(str(error)) from None
                case _:
                    raise self._unreadable("an entry has other members than name, key and added_at")
        if len({each.name for each in found}) != len(found) or len({each.key for each in found}) != len(found):
            raise self._unreadable("a name or a key is there twice")
        return sorted(found, key=lambda each: each.name)

    def _unreadable(self, why: str) -> InvalidData:
        return InvalidData(
            f"{self.path} cannot be used: {why}; no key in it counts until it is put right", code="trust-unreadable"
        )

    def add(self, name: str, key: bytes, added_at: str) -> bool:
        """Take a key under a name; False if it is there under that name already.

        Raises: UsageError (bad-option), StateError (trust-exists) for a name or key in use.
        """
        _check_name(name)
        self._files.make_folder(self.path.parent)
        with writer_lock(self.path.with_suffix(".lock"), _LOCK_TIMEOUT_S):
            known = self.read()
            for each in known:
                if each.name == name and each.key == key:
                    return False
                if each.name == name:
                    raise StateError(
                        f"{name!r} is the name of another key ({each.key.hex()}); choose another --name, or "
                        "`vex trust remove` that one first",
                        code="trust-exists",
                    )
                if each.key == key:
                    raise StateError(
                        f"that key is known already as {each.name!r}; to rename it, `vex trust remove` it first",
                        code="trust-exists",
                    )
            self._write([*known, KnownKey(name, key, added_at)])
        return True

    def remove(self, what: str) -> KnownKey:
        """Forget a key, by name or by its digits.  Raises: UsageError (trust-unknown)."""
        key = None
        if _DIGITS.fullmatch(what.removeprefix("ed25519:")) or what.startswith("ed25519:"):
            key = parse_public_key(what, "KEY")
        self._files.make_folder(self.path.parent)
        with writer_lock(self.path.with_suffix(".lock"), _LOCK_TIMEOUT_S):
            known = self.read()
            for each in known:
                if each.name == what or each.key == key:
                    self._write([other for other in known if other is not each])
                    return each
        names = ", ".join(each.name for each in known) or "none"
        raise UsageError(f"no known key is named {what!r} (known: {names})", code="trust-unknown")

    def _write(self, known: list[KnownKey]) -> None:
        listed = [
            {"name": each.name, "key": each.key.hex(), "added_at": each.added_at}
            for each in sorted(known, key=lambda each: each.name)
        ]
        content = orjson.dumps({"version": VERSION, "keys": listed}, option=orjson.OPT_INDENT_2)
        self._files.write(self.path, content + b"\n", mode=0o600)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable() or _DIGITS.fullmatch(name):
        raise UsageError(
            f"{name!r:.120} cannot be the name of a key: up to {MAX_NAME} visible characters, not a key itself",
            code="bad-option",
        )
    if name.startswith("ed25519:"):
        raise UsageError("a name cannot begin with ed25519:", code="bad-option")
