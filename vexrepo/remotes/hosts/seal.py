"""Sealed files: content of any size, encrypted so that a host learns its size (roughly) and nothing else.

AES-256-GCM in segments of 64 KiB whose number and place at the end are authenticated, under a key of the file's own.
Memory is bounded whatever the size.  Format: remotes/PROTOCOL.md, "Sealed files".
"""

from __future__ import annotations

import hmac
import secrets
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vexrepo.errors import StorageFailure, Tampered
from vexrepo.objects.digest import checksum

MAGIC: Final = b"VEXSEAL1"
SEGMENT_BYTES: Final = 1 << 16
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
BATCH: Final = 16  # segments worked on at once: 1 MiB stays in the processor's cache
_HEADER = struct.Struct("<8sI32s16s")  # magic, epoch, salt, commitment
_SIZE = struct.Struct("<Q")


class Readable(Protocol):
    """What content is read from: a file, or bytes in memory."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Writable(Protocol):
    """What content is written to."""

    def write(self, raw: memoryview | bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class SealKeys:
    """The master keys of a host, by epoch; new files are sealed under the one of ``epoch``."""

    host: str
    epoch: int
    masters: Mapping[int, bytes] = field(repr=False)

    def derive(self, epoch: int, salt: bytes, path: str) -> tuple[bytes, bytes]:
        """Return a file's key (32 bytes) and commitment (16).  Raises: KeyError for an unknown epoch."""
        info = b"vex:host-seal:1\n" + bytes.fromhex(self.host) + path.encode()
        raw = HKDF(SHA256(), length=KEY_BYTES + 16, salt=salt, info=info).derive(self.masters[epoch])
        return raw[:KEY_BYTES], raw[KEY_BYTES:]

    def mark(self, epoch: int) -> str | None:
        """Return 64 digits by which an epoch's master key is known again and which tell nothing of it."""
        master = self.masters.get(epoch)
        return checksum(b"vex:host-key-mark:1\n", bytes.fromhex(self.host), master).hex() if master else None


def padme(size: int) -> int:
    """Return a size rounded up so that it tells little and adds at most 12 % (Nikitin et al., PETS 2019)."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (size + mask) & ~mask


def sealed_size(size: int) -> int:
    """Return how many bytes the sealed file of ``size`` bytes of content has."""
    padded = padme(_SIZE.size + size)
    return _HEADER.size + padded + -(-padded // SEGMENT_BYTES) * TAG_BYTES


class HostTampered(Tampered):
    """A file of a host is not what was put there; ``why`` says what is wrong with it, in few words."""

    def __init__(self, path: str, why: str) -> None:
        mended = "`vex remote compact`" if path.startswith("packs/") else "push into an empty repository"
        super().__init__(
            f"the host's file {path} is not what was put there: {why}; nothing of it was used.  It was damaged or "
            f"exchanged at the host: {mended} from a machine that has everything makes it whole",
            code="host-tampered",
        )
        self.why = why


def seal_stream(
    keys: SealKeys,
    path: str,
    source: Readable,
    size: int,
    target: Writable,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
) -> None:
    """Write the sealed form of ``size`` bytes of ``source`` as the file ``path``.

    Raises: StorageFailure (disk-error) if the source ends early.
    """
    salt = entropy(SALT_BYTES)
    key, commitment = keys.derive(keys.epoch, salt, path)
    cipher = AESGCM(key)
    target.write(_HEADER.pack(MAGIC, keys.epoch, salt, commitment))
    padded = padme(_SIZE.size + size)
    count = -(-padded // SEGMENT_BYTES)
    plain = memoryview(bytearray(min(count, BATCH) * SEGMENT_BYTES))
    sealed = memoryview(bytearray(min(count, BATCH) * (SEGMENT_BYTES + TAG_BYTES)))
    _SIZE.pack_into(plain, 0, size)
    filled, left = _SIZE.size, size
    for first in range(0, count, BATCH):
        here = min(padded - first * SEGMENT_BYTES, len(plain))
        taken = min(left, here - filled)
        if _read_into(source, plain[filled : filled + taken]) != taken:
            raise StorageFailure(
                f"what is to be sealed as {path} ended early: another program changed it; run the command again",
                code="disk-error",
            )
        padding = here - filled - taken
        plain[here - padding : here] = bytes(padding)
        at = 0
        for number in range(first, min(first + BATCH, count)):
            begin = (number - first) * SEGMENT_BYTES
            segment = plain[begin : min(begin + SEGMENT_BYTES, here)]
            end = at + len(segment) + TAG_BYTES
            cipher.encrypt_into(_nonce(number, count), segment, None, sealed[at:end])
            at = end
        target.write(sealed[:at])
        left -= taken
        filled = 0


def open_stream(keys: SealKeys, path: str, source: Readable, sealed_bytes: int, target: Writable) -> int:
    """Write the content of a sealed file of ``sealed_bytes`` bytes; return its size.

    Only authentic segments are passed on; but what is written may be used only once this returns.
    Raises: Tampered (host-tampered).
    """
    body = sealed_bytes - _HEADER.size
    count = -(-body // (SEGMENT_BYTES + TAG_BYTES))
    padded = body - count * TAG_BYTES
    if count < 1 or padded < _SIZE.size or padded <= (count - 1) * SEGMENT_BYTES:
        raise HostTampered(path, "it is too short")
    cipher = _cipher(keys, path, source)
    sealed = memoryview(bytearray(min(count, BATCH) * (SEGMENT_BYTES + TAG_BYTES)))
    plain = memoryview(bytearray(min(count, BATCH) * SEGMENT_BYTES))
    size, left = -1, 0
    for first in range(0, count, BATCH):
        here = min(body - first * (SEGMENT_BYTES + TAG_BYTES), len(sealed))
        if _read_into(source, sealed[:here]) != here:
            raise HostTampered(path, "it ends early")
        at = 0
        for number in range(first, min(first + BATCH, count)):
            begin = (number - first) * (SEGMENT_BYTES + TAG_BYTES)
            segment = sealed[begin : min(begin + SEGMENT_BYTES + TAG_BYTES, here)]
            end = at + len(segment) - TAG_BYTES
            try:
                cipher.decrypt_into(_nonce(number, count), segment, None, plain[at:end])
            except InvalidTag:
                raise HostTampered(path, f"segment {number + 1:,} of {count:,} is not authentic") from None
            at = end
        begin = 0
        if size < 0:
            (size,) = _SIZE.unpack_from(plain)
            begin, left = _SIZE.size, size
            if padme(_SIZE.size + size) != padded:
                raise HostTampered(path, "its padding is of another size")
        taken = min(left, at - begin)
        target.write(plain[begin : begin + taken])
        left -= taken
        if plain[begin + taken : at] != bytes(at - begin - taken):
            raise HostTampered(path, "its padding is not zero")
    return size


def seal(keys: SealKeys, path: str, content: bytes, entropy: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """Return the sealed form of content held in memory."""
    target = BytesIO()
    seal_stream(keys, path, BytesIO(content), len(content), target, entropy)
    return target.getvalue()


def open_sealed(keys: SealKeys, path: str, sealed: bytes) -> bytes:
    """Return the content of a sealed file held in memory.  Raises: Tampered (host-tampered)."""
    target = BytesIO()
    open_stream(keys, path, BytesIO(sealed), len(sealed), target)
    return target.getvalue()


def _cipher(keys: SealKeys, path: str, source: Readable) -> AESGCM:
    raw = bytearray(_HEADER.size)
    if _read_into(source, memoryview(raw)) != _HEADER.size:
        raise HostTampered(path, "it is too short")
    magic, epoch, salt, commitment = _HEADER.unpack(raw)
    if magic != MAGIC:
        raise HostTampered(path, "it does not start as a sealed file does")
    if epoch not in keys.masters:
        raise HostTampered(path, f"it is sealed with key number {epoch}, which is not in use")
    key, expected = keys.derive(epoch, salt, path)
    if not hmac.compare_digest(commitment, expected):
        raise HostTampered(path, "it was sealed with another key, or as another file")
    return AESGCM(key)


def _nonce(number: int, count: int) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if number == count - 1 else b"\0")


def _read_into(source: Readable, buffer: memoryview) -> int:
    """Fill a buffer; return how many bytes there were, fewer only where the source ends."""
    filled = 0
    while filled < len(buffer) and (got := source.readinto(buffer[filled:])):
        filled += got
    return filled
