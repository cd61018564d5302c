"""Ed25519 signatures over commits, as values that sit beside what they sign.

A verdict is a value, not an exception; ``vexrepo.objects.trust`` gives it.  Format: objects/FORMAT.md, "Signature".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.digest import CommitId

KEY_BYTES = 32
SIGNATURE_BYTES = 64


class Verdict(Enum):
    """What a signature is worth; hooks/CONTRACT.md section 2 says what each means."""

    GOOD = "good"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    OUT_OF_SCOPE = "out-of-scope"
    REVOKED = "revoked"
    BAD = "bad"


def message_of(commit: CommitId) -> bytes:
    """Return the exact bytes a commit's signature is over."""
    return b"vex:commit-signature:1\n" + commit


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature by one key; which commit it is over is where it is kept."""

    key: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the payload."""
        return canonical.encode({"key": self.key.hex(), "signature": self.signature.hex(), "type": "ed25519"})

    @classmethod
    def decode(cls, payload: bytes | memoryview) -> Signature:
        """Return the signature of a payload.  Raises: InvalidData (object-corrupt, not-canonical)."""
        match canonical.decode(payload):
            case {"key": str(key), "signature": str(signature), "type": "ed25519", **rest} if not rest:
                try:
                    raw_key, raw_signature = bytes.fromhex(key), bytes.fromhex(signature)
                except ValueError:
                    raw_key = raw_signature = b""
                if len(raw_key) == KEY_BYTES and len(raw_signature) == SIGNATURE_BYTES:
                    if raw_key.hex() == key and raw_signature.hex() == signature:
                        return cls(raw_key, raw_signature)
        raise InvalidData("not a signature object", code="object-corrupt")


def sign(seed: bytes, message: bytes) -> Signature:
    """Return the signature of ``message`` by the key pair of a 32-byte seed."""
    from nacl.signing import SigningKey

    key = SigningKey(seed)
    return Signature(bytes(key.verify_key), bytes(key.sign(message).signature))


def public_key(seed: bytes) -> bytes:
    """Return the public key (32 bytes) of a seed."""
    from nacl.signing import SigningKey

    return bytes(SigningKey(seed).verify_key)


def is_proper_key(key: bytes) -> bool:
    """Whether 32 bytes are a public key that somebody can have: canonical, and not of small order."""
    from nacl.bindings import crypto_core_ed25519_is_valid_point

    # A small-order key "verifies" messages nobody signed; libsodium's point check refuses those and
    # keys outside the main subgroup.
    return len(key) == KEY_BYTES and bool(crypto_core_ed25519_is_valid_point(key))


def is_good(signature: Signature, message: bytes) -> bool:
    """Whether the signature fits message and key.  Small-order and non-canonical keys never do."""
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    if not is_proper_key(signature.key):
        return False
    try:
        VerifyKey(signature.key).verify(message, signature.signature)
    except (CryptoError, ValueError):
        return False
    return True
