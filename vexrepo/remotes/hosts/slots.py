"""Key slots: the master key of a host, wrapped by a passphrase or for the key pair of an identity.

Format: remotes/PROTOCOL.md, "Header".
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from vexrepo.errors import InvalidData
from vexrepo.objects.signature import is_proper_key
from vexrepo.storage.passphrase import Cost, stretch

MASTER_BYTES: Final = 32
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
Entropy: TypeAlias = Callable[[int], bytes]
_PASSPHRASE_BYTES: Final = NONCE_BYTES + MASTER_BYTES + TAG_BYTES
_RECIPIENT_BYTES: Final = 32 + MASTER_BYTES + TAG_BYTES


@dataclass(frozen=True, slots=True)
class PassphraseSlot:
    """A master key wrapped by a passphrase."""

    id: str
    wrapped: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "id": self.id,
            "kind": "passphrase",
            "lanes": self.cost.lanes,
            "memory_kib": self.cost.memory_kib,
            "passes": self.cost.passes,
            "salt": self.salt.hex(),
            "wrapped": self.wrapped.hex(),
        }

    def unwrap(self, passphrase: str, host: str, epoch: int) -> bytes | None:
        """Return the master key, None if the passphrase does not fit.

        Raises: UsageError (bad-option) for what is no passphrase, StorageFailure (out-of-memory).
        """
        cipher = AESGCM(stretch(passphrase, self.salt, self.cost))
        try:
            return cipher.decrypt(self.wrapped[:NONCE_BYTES], self.wrapped[NONCE_BYTES:], binding(host, epoch, self.id))
        except InvalidTag:
            return None


@dataclass(frozen=True, slots=True)
class RecipientSlot:
    """A master key encrypted to the X25519 form of an identity's key; it does not say whose."""

    id: str
    wrapped: bytes = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"id": self.id, "kind": "x25519", "wrapped": self.wrapped.hex()}

    def unwrap(self, seed: bytes, host: str, epoch: int) -> bytes | None:
        """Return the master key, None if it is not encrypted to the identity of a seed."""
        from nacl.signing import SigningKey

        private = X25519PrivateKey.from_private_bytes(bytes(SigningKey(seed).to_curve25519_private_key()))
        try:
            return _suite().decrypt(self.wrapped, private, binding(host, epoch, self.id))
        except (InvalidTag, ValueError):
            return None


Slot: TypeAlias = PassphraseSlot | RecipientSlot


def binding(host: str, epoch: int, slot: str) -> bytes:
    """Return what ties a wrapped key to its host, epoch and slot."""
    return b"vex:host-slot:1\n" + bytes.fromhex(host) + struct.pack("<I", epoch) + bytes.fromhex(slot)


def wrap_passphrase(
    master: bytes, passphrase: str, host: str, epoch: int, cost: Cost, entropy: Entropy = secrets.token_bytes
) -> PassphraseSlot:
    """Return a new slot.  Raises: UsageError (bad-option) for an unusable passphrase."""
    cost.check()
    slot, salt, nonce = entropy(8).hex(), entropy(SALT_BYTES), entropy(NONCE_BYTES)
    wrapped = AESGCM(stretch(passphrase, salt, cost)).encrypt(nonce, master, binding(host, epoch, slot))
    return PassphraseSlot(slot, nonce + wrapped, salt, cost)


def wrap_recipient(
    master: bytes, key: bytes, host: str, epoch: int, entropy: Entropy = secrets.token_bytes
) -> RecipientSlot:
    """Return a new slot for the identity of an Ed25519 public key.  Raises: InvalidData (weak-key)."""
    from nacl.signing import VerifyKey

    if not is_proper_key(key):
        raise InvalidData(f"{key.hex()} is no public key that somebody can have", code="weak-key")
    slot = entropy(8).hex()
    public = X25519PublicKey.from_public_bytes(bytes(VerifyKey(key).to_curve25519_public_key()))
    return RecipientSlot(slot, _suite().encrypt(master, public, binding(host, epoch, slot)))


def decode_slot(value: Any) -> Slot | None:
    """Return the slot of a JSON value, None if it is none.  Raises: InvalidData (limit-exceeded)."""
    match value:
        case {"id": str(slot), "kind": "x25519", "wrapped": str(wrapped), **rest} if not rest:
            if is_hex(slot, 8) and is_hex(wrapped, _RECIPIENT_BYTES):
                return RecipientSlot(slot, bytes.fromhex(wrapped))
        case {
            "id": str(slot),
            "kind": "passphrase",
            "lanes": int(lanes),
            "memory_kib": int(memory),
            "passes": int(passes),
            "salt": str(salt),
            "wrapped": str(wrapped),
            **rest,
        } if not rest and bool not in (type(lanes), type(memory), type(passes)):
            if is_hex(slot, 8) and is_hex(salt, SALT_BYTES) and is_hex(wrapped, _PASSPHRASE_BYTES):
                cost = Cost(memory, passes, lanes)
                cost.check()
                return PassphraseSlot(slot, bytes.fromhex(wrapped), bytes.fromhex(salt), cost)
    return None


def is_hex(text: Any, size: int) -> bool:
    """Whether a value is ``size`` bytes in lower-case hexadecimal."""
    return type(text) is str and len(text) == 2 * size and not text.strip("0123456789abcdef")


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
