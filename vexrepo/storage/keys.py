"""Identities: Ed25519 key pairs in files of their own, readable by their owner only, never inside the data.

A file holds the seed as the original tool writes it (``hex:`` and 64 digits), or sealed with a passphrase.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from vexrepo.errors import InvalidData, StateError, UsageError, WrongKey
from vexrepo.objects.signature import KEY_BYTES, Signature, public_key, sign
from vexrepo.storage import keyfile
from vexrepo.storage.files import Files, wrapped
from vexrepo.storage.keyfile import Ask, Sealed
from vexrepo.storage.passphrase import Cost

ENDING = ".key"
STATEMENT_ENDING = ".rotation"
Warn = Callable[[str], None]
_BARE = re.compile(rb"\s*[0-9a-fA-F]{64}\s*")


@dataclass(frozen=True)
class Identity:
    """A key pair with a name.  The seed is secret: it is never shown or logged."""

    name: str
    key: bytes
    seed: bytes = field(repr=False)

    def sign(self, message: bytes) -> Signature:
        """Return this identity's signature of a message."""
        return sign(self.seed, message)


@dataclass(frozen=True)
class Opened:
    """A key pair, and the passphrase that its file is sealed with (None: it is not)."""

    identity: Identity
    passphrase: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a file of the key folder shows without its passphrase."""

    name: str
    key: bytes
    path: Path
    is_sealed: bool


def fingerprint(key: bytes) -> str:
    """Return a public key's first 8 digits in two groups, as shown to people."""
    digits = key.hex()[:8]
    return f"{digits[:4]} {digits[4:]}"


def ask_nobody(where: str, key: bytes) -> Iterator[str]:
    """Have no passphrase.  Raises: WrongKey (no-passphrase)."""
    raise WrongKey(f"{where} is sealed with a passphrase, and there is none", code="no-passphrase")


def _silent(message: str) -> None:
    pass


def read_key_file(path: Path, ask: Ask = ask_nobody, warn: Warn = _silent) -> Identity:
    """Return the key pair in a private key file.

    Raises: UsageError (no-identity), InvalidData (key-unreadable), WrongKey (key-passphrase-wrong, no-passphrase).
    """
    return open_key_file(path, ask, warn).identity


def open_key_file(path: Path, ask: Ask = ask_nobody, warn: Warn = _silent, called: str = "") -> Opened:
    """As ``read_key_file``, with the passphrase that opened it; ``called`` is what people are asked to open."""
    if not path.is_file():
        raise UsageError(f"there is no key file {path}", code="no-identity")
    seed, passphrase = keyfile.unlock(_decode(path, warn), called or str(path), ask)
    return Opened(Identity("", public_key(seed), seed), passphrase)


def _decode(path: Path, warn: Warn) -> bytes | Sealed:
    with wrapped("read", path), open(path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        raw = file.read(keyfile.MAX_BYTES + 1)
    if _BARE.fullmatch(raw) and path.suffix != ENDING:
        raise InvalidData(
            f"{path} holds 64 bare digits, which may be a public key, and everybody could sign with a private key of "
            f"those digits.  If it is a private one, name the file *{ENDING}, or write hex: before the digits",
            code="key-unreadable",
        )
    found = keyfile.decode(raw, str(path))
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        warn(f"others on this machine can get at the private key {path}; chmod 600 it")
    return found


def write_key_file(files: Files, path: Path, identity: Identity) -> bool:
    """Write a private key, without a passphrase, into a file that only its owner can read.

    False if it is in that file already.  Raises: StateError (key-exists) for any other file of that name.
    """
    return _write_new(files, path, keyfile.encode_plain(identity.seed))


def _write_new(files: Files, path: Path, content: bytes) -> bool:
    """Write a file of a key that is not there, or is the same already: then False.  Raises: StateError (key-exists)."""
    if os.path.lexists(path):
        if path.is_file() and path.stat().st_size == len(content):
            with wrapped("read", path):
                if path.read_bytes() == content:
                    return False
        raise StateError(f"{path} exists already; a key is never overwritten", code="key-exists")
    files.write(path, content, mode=0o600)
    return True


class KeyFolder:
    """The identities of a user.

    ``ask`` gives passphrases for a sealed key, ``warn`` is told of files that others can read; ``cost`` is what
    sealing a key costs (None: what keys cost).
    """

    def __init__(
        self, folder: Path, files: Files, ask: Ask = ask_nobody, warn: Warn = _silent, cost: Cost | None = None
    ) -> None:
        self.folder = folder
        self._files = files
        self._ask = ask
        self._warn = warn
        self._cost = cost if cost is not None else keyfile.COST

    def names(self) -> list[str]:
        """Return the names of all identities, sorted."""
        return (
            sorted(path.name[: -len(ENDING)] for path in self.folder.glob(f"*{ENDING}")) if self.folder.is_dir() else []
        )

    def read(self, name: str) -> Identity:
        """Return an identity, its key opened.

        Raises: UsageError (no-identity), InvalidData (key-unreadable), WrongKey (key-passphrase-wrong, no-passphrase).
        """
        return self.open(name).identity

    def open(self, name: str) -> Opened:
        """As ``read``, with the passphrase that opened it."""
        opened = open_key_file(self._existing(name), self._ask, self._warn, f"the key {name}")
        return Opened(replace(opened.identity, name=name), opened.passphrase)

    def copy(self, name: str, target: Path) -> None:
        """Write an identity's file, as it is, into another that only its owner can read.

        Raises: UsageError (no-identity), InvalidData (key-unreadable), StateError (key-exists).
        """
        path = self._existing(name)
        _decode(path, self._warn)
        with wrapped("read", path):
            content = path.read_bytes()
        _write_new(self._files, target, content)

    def look(self, name: str) -> KeyFile:
        """Return what an identity's file shows without its passphrase.

        Raises: UsageError (no-identity), InvalidData (key-unreadable).
        """
        path = self._existing(name)
        found = _decode(path, _silent)
        return KeyFile(name, keyfile.public_of(found), path, isinstance(found, Sealed))

    def create(self, name: str, passphrase: str | None = None) -> Identity:
        """Make a new identity; its file is readable by the owner only.  Raises: StateError (key-exists)."""
        seed = secrets.token_bytes(KEY_BYTES)
        return self.keep(Identity(name, public_key(seed), seed), passphrase)

    def keep(self, identity: Identity, passphrase: str | None = None) -> Identity:
        """Write an identity's key pair under its name.

        Raises: StateError (key-exists) for a name in use, UsageError (bad-option) for a name that is none.
        """
        path = self._path(identity.name)
        if os.path.lexists(path):
            raise StateError(
                f"an identity named {identity.name!r} exists already; a key is never overwritten", code="key-exists"
            )
        self._make_folder()
        self._files.write(path, self._content(identity.seed, passphrase), mode=0o600)
        return identity

    def protect(self, identity: Identity, passphrase: str | None) -> None:
        """Write an identity's file anew, under another passphrase or (None) without one."""
        path = self._existing(identity.name)
        if self.look(identity.name).key != identity.key:
            raise StateError(f"{path} holds another key meanwhile; nothing was changed", code="key-exists")
        self._files.write(path, self._content(identity.seed, passphrase), mode=0o600)

    def rotate(self, old: Identity, new: Identity, retired: str, statement: bytes, passphrase: str | None) -> None:
        """Put ``new`` in the place of ``old``, which stays under the name ``retired``.

        Stopped anywhere, the old key is there under one name at least, and the statement is never missing where the new
        key is in place.
        """
        path = self._existing(old.name)
        if self.look(old.name).key != old.key:
            raise StateError(f"{path} holds another key meanwhile; nothing was changed", code="key-exists")
        with wrapped("read", path):
            content = path.read_bytes()
        if os.path.lexists(self._path(retired)):
            raise StateError(f"an identity named {retired!r} exists already", code="key-exists")
        self._files.write(self._path(retired), content, mode=0o600)
        self._files.write(self.statement_path(old.name), statement)
        self._files.write(path, self._content(new.seed, passphrase), mode=0o600)

    def statement_path(self, name: str) -> Path:
        """Return where the statement is that vouches for the key of that name as the next of an older one."""
        return self._path(name).with_suffix(STATEMENT_ENDING)

    def public_keys(self) -> dict[bytes, str]:
        """Return the public keys of all identities with their names."""
        return {found.key: found.name for found in map(self.look, self.names())}

    def check_name(self, name: str) -> None:
        """Raise UsageError (bad-option) unless a name can be that of an identity."""
        self._path(name)

    def _content(self, seed: bytes, passphrase: str | None) -> bytes:
        if passphrase is None:
            return keyfile.encode_plain(seed)
        return keyfile.seal(seed, passphrase, self._cost).encode()

    def _make_folder(self) -> None:
        self._files.make_folder(self.folder)
        if os.name == "posix":
            self.folder.chmod(0o700)

    def _existing(self, name: str) -> Path:
        path = self._path(name)
        if not path.exists():
            known = ", ".join(self.names()) or "none"
            raise UsageError(
                f"no identity named {name!r} (known: {known}); make one with `vex key new`", code="no-identity"
            )
        return path

    def _path(self, name: str) -> Path:
        if (
            not name
            or len(name) > 100
            or name.startswith(".")
            or not name.isprintable()
            or any(mark in name for mark in '/\\:*?"<>|\0')
            or not unicodedata.is_normalized("NFC", name)
        ):
            raise UsageError(f"{name!r:.120} cannot be the name of an identity", code="bad-option")
        return self.folder / f"{name}{ENDING}"
