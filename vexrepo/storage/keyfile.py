"""Private keys in files: plain as the original tool writes them, or sealed with a passphrase.

Format: objects/KEYS.md, "Private keys".
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from vexrepo.errors import InvalidData, WrongKey
from vexrepo.objects import canonical
from vexrepo.objects.signature import KEY_BYTES, is_proper_key, public_key
from vexrepo.storage.passphrase import Cost, stretch

COST: Final = Cost(memory_kib=65_536)  # RFC 9106's choice for less memory: a key is opened at every commit
MAX_BYTES: Final = 4096
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 12, 16
_HEX = frozenset("0123456789abcdef")

Ask = Callable[[str, bytes], Iterator[str]]  # what is opened, its public key → passphrases to try, in turn


@dataclass(frozen=True, slots=True)
class Sealed:
    """A private key under a passphrase; ``key`` is the public one."""

    key: bytes
    salt: bytes = field(repr=False)
    cost: Cost
    sealed: bytes = field(repr=False)

    def open(self, passphrase: str) -> bytes | None:
        """Return the seed, None if the passphrase does not fit.  Raises: StorageFailure (out-of-memory), UsageError."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        cipher = AESGCM(stretch(passphrase, self.salt, self.cost))
        try:
            return cipher.decrypt(self.sealed[:_NONCE_BYTES], self.sealed[_NONCE_BYTES:], _binding(self.key))
        except InvalidTag:
            return None

    def encode(self) -> bytes:
        """Return the content of the file."""
        value = {
            "type": "vex-key",
            "version": 1,
            "key": self.key.hex(),
            "salt": self.salt.hex(),
            "memory_kib": self.cost.memory_kib,
            "passes": self.cost.passes,
            "lanes": self.cost.lanes,
            "sealed": self.sealed.hex(),
        }
        return canonical.encode(value) + b"\n"


def _binding(key: bytes) -> bytes:
    return b"vex:key-file:1\n" + key


def seal(seed: bytes, passphrase: str, cost: Cost) -> Sealed:
    """Return a private key under a passphrase.  Raises: UsageError (bad-option) for an unusable one."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cost.check()
    key, salt, nonce = public_key(seed), secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    wrapped = AESGCM(stretch(passphrase, salt, cost)).encrypt(nonce, seed, _binding(key))
    return Sealed(key, salt, cost, nonce + wrapped)


def encode_plain(seed: bytes) -> bytes:
    """Return the content of a key file without a passphrase, as the original tool writes it."""
    return b"hex:" + seed.hex().encode()


def parse_seed(text: str, where: str) -> bytes:
    """Return the seed of a plain key file's text.  Raises: InvalidData (key-unreadable), without showing the text."""
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
        raise _unreadable(where, f"expected hex: or base64: and {KEY_BYTES} bytes, or what `vex key` writes")
    return raw


def is_private(raw: bytes) -> bool:
    """Whether a file's content can only be a private key (bare digits may be a public one)."""
    return raw.lstrip().startswith((b"hex:", b"base64:")) or b'"vex-key"' in raw[:MAX_BYTES]


def decode(raw: bytes, where: str) -> bytes | Sealed:
    """Return the seed in a key file's content, or the sealed key that it is.

    Raises: InvalidData (key-unreadable, limit-exceeded).
    """
    if len(raw) > MAX_BYTES:
        raise _unreadable(where, f"it has more than {MAX_BYTES} bytes")
    if not raw.lstrip().startswith(b"{"):
        return parse_seed(raw.decode("ascii", "replace"), where)
    try:
        value: Any = canonical.parse(raw)
    except InvalidData as error:
        raise _unreadable(where, str(error)) from None
    if isinstance(value, dict) and value.get("type") == "vex-key" and value.get("version") != 1:
        raise _unreadable(where, f"it has version {value.get('version')!r:.20}, this vexrepo knows version 1")
    match value:
        case {
            "type": "vex-key",
            "version": 1,
            "key": str(key),
            "salt": str(salt),
            "memory_kib": int(memory),
            "passes": int(passes),
            "lanes": int(lanes),
            "sealed": str(sealed),
            **rest,
        } if not rest and bool not in (type(memory), type(passes), type(lanes), type(value["version"])):
            sizes = ((key, KEY_BYTES), (salt, _SALT_BYTES), (sealed, _NONCE_BYTES + KEY_BYTES + _TAG_BYTES))
            if all(len(text) == 2 * size and _HEX.issuperset(text) for text, size in sizes):
                cost = Cost(memory, passes, lanes)
                cost.check()
                if is_proper_key(bytes.fromhex(key)):
                    return Sealed(bytes.fromhex(key), bytes.fromhex(salt), cost, bytes.fromhex(sealed))
    raise _unreadable(where, "its members are not those of a sealed key")


def public_of(found: bytes | Sealed) -> bytes:
    """Return the public key of what ``decode`` found."""
    return found.key if isinstance(found, Sealed) else public_key(found)


def unlock(found: bytes | Sealed, where: str, ask: Ask) -> tuple[bytes, str | None]:
    """Return the seed, and for a sealed key the first passphrase of ``ask`` that fits.

    Raises: WrongKey (key-passphrase-wrong, and what ``ask`` raises), InvalidData (key-unreadable).
    """
    if isinstance(found, bytes):
        return found, None
    for passphrase in ask(where, found.key):
        seed = found.open(passphrase)
        if seed is not None:
            if public_key(seed) != found.key:
                raise _unreadable(where, "it holds another key than the one it names")
            return seed, passphrase
    raise WrongKey(f"the passphrase does not open {where}; nothing was done", code="key-passphrase-wrong")


def _unreadable(where: str, why: str) -> InvalidData:
    return InvalidData(f"{where} is not a key file: {why}", code="key-unreadable")
