"""Keys from passphrases: Argon2id (RFC 9106, version 1.3), at a cost that a reader checks before it pays it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from vexrepo.errors import InvalidData, StorageFailure, UsageError

MAX_MEMORY_KIB: Final = 1 << 21
MAX_PASSES: Final = 64
MAX_LANES: Final = 16
MAX_WORK: Final = 1 << 24  # KiB × passes: above this, trying a passphrase would take minutes


@dataclass(frozen=True, slots=True)
class Cost:
    """What turning a passphrase into a key takes: memory, passes over it, lanes."""

    memory_kib: int = 262_144
    passes: int = 3
    lanes: int = 4

    def check(self) -> None:
        """Raise InvalidData (limit-exceeded) unless a reader may be asked for that much."""
        if not (
            1 <= self.lanes <= MAX_LANES
            and 8 * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB
            and 1 <= self.passes <= MAX_PASSES
            and self.memory_kib * self.passes <= MAX_WORK
        ):
            raise InvalidData(
                f"a passphrase asks for {self.memory_kib} KiB, {self.passes} passes and {self.lanes} lanes, where "
                f"{MAX_MEMORY_KIB} KiB, {MAX_PASSES} passes, {MAX_LANES} lanes and {MAX_WORK} KiB in all passes "
                "are the most",
                code="limit-exceeded",
            )

    def is_below(self, other: Cost) -> bool:
        """Whether guessing is cheaper than under another cost."""
        return self.memory_kib < other.memory_kib or self.memory_kib * self.passes < other.memory_kib * other.passes


def stretch(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    """Return the 32-byte key of a passphrase, taken as UTF-8 in Unicode's form NFC.

    Raises: UsageError (bad-option) for what is no passphrase, StorageFailure (out-of-memory).
    """
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    if not passphrase:
        raise UsageError("an empty passphrase protects nothing", code="bad-option")
    try:
        raw = unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError:
        raise UsageError("the passphrase is not text in UTF-8", code="bad-option") from None
    try:
        return Argon2id(
            salt=salt, length=32, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib
        ).derive(raw)
    except MemoryError:
        raise StorageFailure(
            f"there is not enough memory to try a passphrase: {cost.memory_kib >> 10} MiB are needed",
            code="out-of-memory",
        ) from None
