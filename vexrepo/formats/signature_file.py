"""``.vmig.sig``: the hash of every record of a file, their root, and an Ed25519 signature of the root.

Byte for byte the original tool's format: JSON indented by two without a final newline.  The signature is over
the root alone, which covers the hashes; ``signed_at`` and the file's own version are not protected by it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical

VERSION = "0.4.0"
HASH_BYTES, KEY_BYTES, SIGNATURE_BYTES = 32, 32, 64
MAX_BYTES = 1 << 29  # some 6.8 million records
ENDING = ".vmig.sig"

_PREFIX = "blake3:"
_ROW = re.compile(r"blake3:[0-9a-f]{64}")
_HASH_START, _HASH_END = b'    "blake3:', b'",\n'
_STEP = len(_HASH_START) + 2 * HASH_BYTES + len(_HASH_END)
_HEAD = re.compile(
    rb'\{\n  "vex_version": "([0-9.]{1,20})",\n  "signed_at": "([^"\\\x00-\x1f\x7f-\xff]{1,64})",\n'
    rb'  "record_count": (0|[1-9][0-9]{0,11}),\n  "root_hash": "blake3:([0-9a-f]{64})",\n  "record_hashes": \['
)
_TAIL = re.compile(
    rb'\],\n  "public_key": "ed25519:([A-Za-z0-9+/]{43}=)",\n  "signature": "([A-Za-z0-9+/]{86}==)"\n\}\Z'
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def record_hash(canonical_line: bytes) -> bytes:
    """Return the hash of a record's canonical form (32 bytes)."""
    return blake3(canonical_line).digest()


def root_of(hashes: bytes | bytearray) -> bytes:
    """Return the root (32 bytes) of record hashes, 32 bytes each, in the order of the file."""
    hasher = blake3(b"[")
    step = HASH_BYTES * 4096
    for at in range(0, len(hashes), step):
        rows = hashes[at : at + step].hex("|", HASH_BYTES).replace("|", '","' + _PREFIX)
        hasher.update((f'"{_PREFIX}{rows}"' if at == 0 else f',"{_PREFIX}{rows}"').encode())
    return hasher.update(b"]").digest()


def message_of(root: bytes) -> bytes:
    """Return the exact bytes that the signature is over."""
    return f"{_PREFIX}{root.hex()}".encode()


def path_of(name: str) -> str:
    """Return the name of the signature file of a data file."""
    return name.removesuffix(".vmig.jsonl") + ENDING


@dataclass(frozen=True, slots=True)
class SignatureFile:
    """What a signature file says.  ``hashes`` holds 32 bytes a record; nothing here is proved."""

    signed_at: str
    root: bytes
    hashes: bytes = field(repr=False)
    key: bytes
    signature: bytes
    count: int
    vex_version: str = VERSION

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        rows = self.hashes.hex("|", HASH_BYTES).replace("|", f'",\n    "{_PREFIX}')
        listed = f'[\n    "{_PREFIX}{rows}"\n  ]' if rows else "[]"
        return (
            f'{{\n  "vex_version": "{self.vex_version}",\n  "signed_at": "{self.signed_at}",\n'
            f'  "record_count": {self.count},\n  "root_hash": "{_PREFIX}{self.root.hex()}",\n'
            f'  "record_hashes": {listed},\n'
            f'  "public_key": "{key_text(self.key)}",\n'
            f'  "signature": "{base64.b64encode(self.signature).decode()}"\n}}'
        ).encode()


def key_text(key: bytes) -> str:
    """Return a public key as signature files have it: ``ed25519:`` and base64."""
    return "ed25519:" + base64.b64encode(key).decode()


def decode(raw: bytes, *, strict: bool = True) -> SignatureFile:
    """Return the signature file of its bytes; ``strict`` wants exactly the bytes that ``encode`` writes.

    Without it, any JSON with the right members will do.
    Raises: InvalidData (signature-file-corrupt, limit-exceeded).
    """
    if len(raw) > MAX_BYTES:
        raise InvalidData(
            f"the signature file has {len(raw)} bytes, the limit is {MAX_BYTES}: sign the data in several files",
            code="limit-exceeded",
        )
    found = _decode_exactly(raw)
    if found is not None and _TIME.fullmatch(found.signed_at) and found.vex_version == VERSION:
        return found
    loose = _decode_loosely(raw)
    if not strict:
        return loose
    if loose.vex_version != VERSION:
        raise _corrupt(f"it says vex_version {loose.vex_version[:20]!r}, expected {VERSION!r}")
    if not _TIME.fullmatch(loose.signed_at):
        raise _corrupt(f"its signed_at is {loose.signed_at[:40]!r}, expected a time such as 2026-01-31T12:00:00.000Z")
    raise _corrupt("it says what a signature file says, but was written again by another program (--compat accepts it)")


def _corrupt(why: str) -> InvalidData:
    return InvalidData(f"the signature file is not as vex writes it: {why}", code="signature-file-corrupt")


def _decode_exactly(raw: bytes) -> SignatureFile | None:
    """Return what the bytes of ``encode`` say, None for any other bytes."""
    head = _HEAD.match(raw)
    if head is None:
        return None
    close = raw.rfind(b"]")
    tail = _TAIL.match(raw, close) if close >= head.end() else None
    if tail is None:
        return None
    between = raw[head.end() : close]
    hashes = b""
    if between:
        text = between[1:-3].removesuffix(b'"') + _HASH_END  # without "\n" and "\n  "; the last row has no comma
        if len(text) % _STEP:
            return None
        try:
            hashes = bytes.fromhex(text.replace(_HASH_START, b"").replace(_HASH_END, b"").decode("ascii"))
        except (ValueError, UnicodeDecodeError):
            return None
    found = SignatureFile(
        head[2].decode(),
        bytes.fromhex(head[4].decode()),
        hashes,
        base64.b64decode(tail[1]),
        base64.b64decode(tail[2]),
        int(head[3]),
        head[1].decode(),
    )
    return found if found.encode() == raw else None


def _decode_loosely(raw: bytes) -> SignatureFile:
    try:
        value: Any = canonical.parse(raw)
    except InvalidData as error:
        raise _corrupt(str(error)) from None
    if not isinstance(value, dict):
        raise _corrupt("it is not a JSON object")
    for name in ("vex_version", "signed_at", "root_hash", "public_key", "signature"):
        if not isinstance(value.get(name), str):
            raise _corrupt(f"it has no {name}")
    count, listed = value.get("record_count"), value.get("record_hashes")
    if type(count) is not int or count < 0:
        raise _corrupt("its record_count is not a count")
    if not isinstance(listed, list):
        raise _corrupt("it has no record_hashes")
    for place, item in enumerate((value["root_hash"], *listed)):
        if not isinstance(item, str) or not _ROW.fullmatch(item):
            where = f"record_hashes[{place - 1}]" if place else "root_hash"
            raise _corrupt(f"its {where} is not blake3: and 64 digits")
    return SignatureFile(
        value["signed_at"],
        bytes.fromhex(value["root_hash"][len(_PREFIX) :]),
        bytes.fromhex("".join(item[len(_PREFIX) :] for item in listed)),
        _raw("public_key", value["public_key"].removeprefix("ed25519:"), KEY_BYTES),
        _raw("signature", value["signature"], SIGNATURE_BYTES),
        count,
        value["vex_version"],
    )


def _raw(name: str, text: str, size: int) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != size or base64.b64encode(found).decode() != text:
        raise _corrupt(f"its {name} is not {size} bytes in base64")
    return found
