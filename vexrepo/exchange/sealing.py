"""Sealed exports: a vmig file and what belongs to it, in one file that only its recipients can open.

A random key seals the content (as files at a host are, remotes/PROTOCOL.md section 3), and is put into one sealed box
(libsodium) a recipient.  The file does not say who they are.  Format: hooks/CONTRACT.md, "Sealed exports".
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

from blake3 import blake3

from vexrepo.errors import InvalidData, StateError, Tampered, UsageError, WrongKey
from vexrepo.objects import canonical
from vexrepo.remotes.hosts.seal import SealKeys, open_stream, seal_stream
from vexrepo.remotes.stores.address import SEALED
from vexrepo.storage.files import Files, wrapped

MAGIC: Final = b"VEXBOX1\n"
ENDING: Final = SEALED
PARTS: Final = (".vmig.jsonl", ".vmig.meta.json", ".vmig.sig", ".vmig.proof", ".vmig.grant")
MAX_RECIPIENTS: Final = 1000
MAX_HEADER: Final = 1 << 20
MAX_RATIO: Final = 200  # past GENEROUS_BYTES, content that takes so many times less sealed is taken for a bomb
GENEROUS_BYTES: Final = 256 << 20
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_BLOCK: Final = 1 << 20

Advance = Callable[[int], None]


def seal_files(
    files: Files,
    parts: Mapping[str, Path],
    target: Path,
    recipients: Sequence[bytes],
    advance: Advance = lambda amount: None,
) -> int:
    """Write a sealed file of parts (by their endings, of ``PARTS``), for the holders of Ed25519 keys; return its bytes.

    The target is replaced whole.  Raises: UsageError (bad-option) for no or too many recipients, StorageFailure.
    """
    import tempfile

    import zstandard

    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise UsageError(f"a sealed file has 1 to {MAX_RECIPIENTS} recipients", code="bad-option")
    key = secrets.token_bytes(32)
    header = _Header.of(secrets.token_hex(16), [_box(key, each) for each in recipients])
    with wrapped("write", target), tempfile.TemporaryFile() as packed, tempfile.TemporaryFile() as sealed:
        with zstandard.ZstdCompressor(3).stream_writer(packed, closefd=False) as writer:
            for block in _pack(parts):
                writer.write(block)
                advance(len(block))
        size = packed.tell()
        packed.seek(0)
        seal_stream(header.keys(key), header.path, _Reader(packed), size, sealed)
        sealed.seek(0)
        files.write(target, chain((MAGIC, _U32.pack(len(header.raw)), header.raw), _blocks(sealed)))
    return target.stat().st_size


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


@dataclass(frozen=True, slots=True)
class _Header:
    """What is before the content: canonical JSON with the file's own name and the boxes with its key."""

    raw: bytes
    file: str
    boxes: list[bytes]

    @classmethod
    def of(cls, file: str, boxes: list[bytes]) -> _Header:
        value = {"version": 1, "file": file, "boxes": [each.hex() for each in boxes]}
        return cls(canonical.encode(value), file, boxes)

    @property
    def path(self) -> str:
        """The name the content is sealed under, which binds the header to it."""
        return "export/" + blake3(self.raw).hexdigest()

    def keys(self, key: bytes) -> SealKeys:
        return SealKeys(self.file, 1, {1: key})


class _Reader:
    """Reads a file into buffers."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readinto(self, buffer: memoryview, /) -> int:
        found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


def _pack(parts: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield the parts one after another, each with its ending and size before it."""
    for ending in PARTS:
        if ending in parts:
            with wrapped("read", parts[ending]), open(parts[ending], "rb") as file:
                yield bytes([PARTS.index(ending)]) + _U64.pack(os.fstat(file.fileno()).st_size)
                yield from _blocks(file)


def open_files(
    path: Path, seeds: Iterable[bytes], folder: Path, stem: str, *, overwrite: bool = False
) -> dict[str, Path]:
    """Open a sealed file with the first of some identities' seeds that fits; return its parts by their endings.

    They are written into ``folder`` as ``stem`` and their endings, readable by their owner only; all of them or none.
    Raises: InvalidData (sealed-unreadable), WrongKey (sealed-for-others), Tampered (sealed-damaged), StateError
    (file-exists), StorageFailure.
    """
    import tempfile

    with wrapped("read", path), open(path, "rb") as file:
        header = _read_header(path, file)
        keys = header.keys(_unbox(path, header, seeds))
        left = os.fstat(file.fileno()).st_size - file.tell()
        with tempfile.TemporaryFile() as packed:
            try:
                open_stream(keys, header.path, _Reader(file), left, packed)
            except Tampered as error:
                raise Tampered(
                    f"{path} is not as it was sealed: it was damaged or altered, and nothing of it was used; ask its "
                    "sender for another copy",
                    code="sealed-damaged",
                ) from error
            size = packed.tell()
            packed.seek(0)
            return _unpack(path, packed, size, folder, stem, overwrite=overwrite)


def _unpack(path: Path, packed: IO[bytes], size: int, folder: Path, stem: str, *, overwrite: bool) -> dict[str, Path]:
    import zstandard

    limit = max(GENEROUS_BYTES, MAX_RATIO * size)
    found: dict[str, Path] = {}
    made: dict[str, Path] = {}
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed, closefd=False) as reader:
            while head := reader.read(1):
                ending = PARTS[head[0]] if head[0] < len(PARTS) else ""
                raw = _exactly(path, reader, _U64.size)
                (part_bytes,) = _U64.unpack(raw)
                limit -= part_bytes
                if not ending or ending in found or limit < 0:
                    raise _unreadable(path, "what is in it is malformed, or far larger than it should be")
                target = folder / (stem + ending)
                if target.exists() and not overwrite:
                    raise StateError(f"{target} exists already; name another place with -o", code="file-exists")
                scratch = folder / f".{stem}{ending}.{secrets.token_hex(4)}.tmp"
                made[ending] = scratch
                found[ending] = target
                _write_part(path, reader, scratch, part_bytes)
        if PARTS[0] not in found:
            raise _unreadable(path, "there are no memories in it")
        for ending, scratch in made.items():
            with wrapped("write", found[ending]):
                os.replace(scratch, found[ending])
        return found
    except zstandard.ZstdError as error:
        raise _unreadable(path, str(error)) from None
    finally:
        for scratch in made.values():
            scratch.unlink(missing_ok=True)


def _write_part(path: Path, reader: Any, scratch: Path, size: int) -> None:
    with wrapped("write", scratch), open(scratch, "xb") as file:
        scratch.chmod(0o600)
        while size:
            block = _exactly(path, reader, min(size, _BLOCK))
            file.write(block)
            size -= len(block)
        file.flush()
        os.fsync(file.fileno())


def _exactly(path: Path, reader: Any, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        block = reader.read(size - len(parts))
        if not block:
            raise _unreadable(path, "it ends early")
        parts += block
    return parts


def _read_header(path: Path, file: IO[bytes]) -> _Header:
    start = file.read(len(MAGIC) + _U32.size)
    if len(start) < len(MAGIC) + _U32.size or not start.startswith(MAGIC):
        raise _unreadable(path, "it does not begin as a sealed file does")
    (size,) = _U32.unpack(start[len(MAGIC) :])
    header = file.read(size) if size <= MAX_HEADER else b""
    try:
        value = canonical.decode(header) if len(header) == size and size else None
    except InvalidData:
        value = None
    match value:
        case {"version": 1, "file": str(name), "boxes": list(boxes), **rest} if (
            not rest and len(name) == 32 and _is_hex(name) and 0 < len(boxes) <= MAX_RECIPIENTS
        ):
            if all(isinstance(each, str) and len(each) == 160 and _is_hex(each) for each in boxes):
                return _Header(header, name, [bytes.fromhex(each) for each in boxes])
    raise _unreadable(path, "its header is malformed")


def _is_hex(text: str) -> bool:
    return all(mark in "0123456789abcdef" for mark in text)


def _box(key: bytes, recipient: bytes) -> bytes:
    from nacl.exceptions import CryptoError
    from nacl.public import SealedBox
    from nacl.signing import VerifyKey

    try:
        return bytes(SealedBox(VerifyKey(recipient).to_curve25519_public_key()).encrypt(key))
    except (CryptoError, RuntimeError) as error:
        raise InvalidData(f"nothing can be sealed for the key {recipient.hex()}", code="weak-key") from error


def _unbox(path: Path, header: _Header, seeds: Iterable[bytes]) -> bytes:
    from nacl.exceptions import CryptoError
    from nacl.public import SealedBox
    from nacl.signing import SigningKey

    for seed in seeds:
        opener = SealedBox(SigningKey(seed).to_curve25519_private_key())
        for box in header.boxes:
            try:
                key = bytes(opener.decrypt(box))
            except CryptoError:
                continue
            if len(key) == 32:
                return key
    raise WrongKey(
        f"{path} is sealed for {len(header.boxes)} others: none of your identities (vex key list) opens it; ask its "
        "sender to seal it for your public key (vex key export)",
        code="sealed-for-others",
    )


def _unreadable(path: Path, why: str) -> InvalidData:
    return InvalidData(f"{path} is not a sealed file that can be read: {why}", code="sealed-unreadable")
