"""The head of a host: what it holds, and how it follows from what it held before.

Format: remotes/PROTOCOL.md, "Head".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import zstandard

from vexrepo.errors import InvalidData, UsageError
from vexrepo.history.revision import check_ref_name
from vexrepo.objects import canonical
from vexrepo.objects.digest import CommitId, ObjectId
from vexrepo.objects.signature import Signature, is_good
from vexrepo.remotes.hosts.header import MAX_EPOCH
from vexrepo.remotes.hosts.seal import HostTampered, sealed_size
from vexrepo.remotes.hosts.slots import MASTER_BYTES, is_hex

PATH: Final = "head"
PACKS: Final = "packs/"
MAX_BYTES: Final = 1 << 26  # of the head unpacked
MAX_PREVIOUS: Final = 16
MAX_PART_BYTES: Final = 1 << 24
MAX_NUMBER: Final = (1 << 53) - 1
_LENGTH = struct.Struct("<I")
_LEVEL = 3


class HeadId(ObjectId):
    """Names a head: one state of a host, told by one writer."""

    __slots__ = ()
    header = b"vex:host-head:1\n"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a pack at a host: its random name, the bytes of its content and of its sealed file."""

    name: str
    size: int
    sealed: int

    @property
    def path(self) -> str:
        """Where it is in the host's tree."""
        return part_path(self.name)


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack at a host: BLAKE3 of the pack file in hexadecimal, its size, its number of objects, its parts in order."""

    digest: str
    size: int
    objects: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class SlotNote:
    """What members know of a key slot: a name, and for a recipient the Ed25519 public key (32 bytes)."""

    name: str
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """One state of a host.  ``keys`` are the master keys of earlier epochs that packs are still sealed with."""

    host: str
    generation: int
    previous: tuple[HeadId, ...]
    header: str
    write: str
    time_us: int
    refs: Mapping[str, CommitId] = field(default_factory=dict)
    packs: tuple[Pack, ...] = ()
    keys: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    slots: Mapping[str, SlotNote] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the body."""
        return canonical.encode(
            {
                "generation": self.generation,
                "header": self.header,
                "host": self.host,
                "keys": {str(epoch): key.hex() for epoch, key in self.keys.items()},
                "packs": [_pack_to_json(pack) for pack in self.packs],
                "previous": [identifier.hex() for identifier in self.previous],
                "refs": {name: commit.hex() for name, commit in self.refs.items()},
                "slots": {name: _note_to_json(note) for name, note in self.slots.items()},
                "time_us": self.time_us,
                "version": 1,
                "write": self.write,
            }
        )

    @property
    def id(self) -> HeadId:
        """The head's id."""
        return HeadId.of(self.encode())

    def follows(self, generation: int, identifier: HeadId) -> bool | None:
        """Whether this is that earlier head or comes after it; None where ``previous`` does not reach back so far."""
        distance = self.generation - generation
        if distance <= 0:
            return distance == 0 and self.id == identifier
        return self.previous[distance - 1] == identifier if distance <= len(self.previous) else None


SignedHead: TypeAlias = "tuple[Head, Signature | None]"


def message_of(identifier: HeadId) -> bytes:
    """Return the exact bytes a head's signature is over."""
    return b"vex:host-head-signature:1\n" + identifier


def part_path(name: str) -> str:
    """Return where a part is in the host's tree."""
    return f"{PACKS}{name[:2]}/{name}"


def encode_head(head: Head, signature: Signature | None) -> bytes:
    """Return the content of the sealed file.  Raises: InvalidData (limit-exceeded)."""
    body = head.encode()
    raw = _LENGTH.pack(len(body)) + body + (signature.encode() if signature else b"")
    if len(raw) > MAX_BYTES:
        raise InvalidData(
            f"the list of what the host holds would have {len(raw):,} bytes, above the limit of {MAX_BYTES:,}; compact "
            "the remote, which joins its packs",
            code="limit-exceeded",
        )
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(raw)


def decode_head(content: bytes) -> SignedHead:
    """Return a head and its signature, which fits if there is one.  Raises: Tampered (host-tampered)."""
    raw = _decompress(content)
    if len(raw) < _LENGTH.size or (size := _LENGTH.unpack_from(raw)[0]) > len(raw) - _LENGTH.size:
        raise HostTampered(PATH, "its body is of another size")
    body, rest = raw[_LENGTH.size : _LENGTH.size + size], raw[_LENGTH.size + size :]
    try:
        head = _from_json(canonical.decode(body))
        signature = Signature.decode(rest) if rest else None
    except InvalidData as error:
        raise HostTampered(PATH, str(error)) from error
    if signature is not None and not is_good(signature, message_of(HeadId.of(body))):
        raise HostTampered(PATH, "its signature does not fit")
    return head, signature


def _decompress(content: bytes) -> bytes:
    try:
        frame = zstandard.get_frame_parameters(content)
        if not 0 < frame.content_size <= MAX_BYTES:
            raise HostTampered(PATH, "it does not state its size, or too great a one")
        # One frame and nothing after it: decompress() alone would not notice what follows.
        worker = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        raw = worker.decompress(content)
    except zstandard.ZstdError:
        raise HostTampered(PATH, "it cannot be decompressed") from None
    if not worker.eof or worker.unused_data or len(raw) != frame.content_size:
        raise HostTampered(PATH, "it is not one compressed frame")
    return raw


def _pack_to_json(pack: Pack) -> dict[str, Any]:
    parts = [{"name": part.name, "sealed": part.sealed, "size": part.size} for part in pack.parts]
    return {"digest": pack.digest, "objects": pack.objects, "parts": parts, "size": pack.size}


def _note_to_json(note: SlotNote) -> dict[str, str]:
    return {"name": note.name} if note.key is None else {"key": note.key.hex(), "name": note.name}


def _from_json(value: Any) -> Head:
    match value:
        case {
            "generation": int(generation),
            "header": str(header),
            "host": str(host),
            "keys": dict(keys),
            "packs": list(packs),
            "previous": list(previous),
            "refs": dict(refs),
            "slots": dict(slots),
            "time_us": int(time_us),
            "version": 1,
            "write": str(write),
            **rest,
        } if not rest and type(value["version"]) is int:
            found = Head(
                _hex(host, 16),
                _number(generation, 1),
                tuple(HeadId(bytes.fromhex(_hex(each, 32))) for each in previous),
                _hex(header, 32),
                _hex(write, 16),
                _number(time_us, -MAX_NUMBER),
                {_ref(name): CommitId(bytes.fromhex(_hex(each, 32))) for name, each in refs.items()},
                tuple(_pack(each) for each in packs),
                {_epoch(name): bytes.fromhex(_hex(each, MASTER_BYTES)) for name, each in keys.items()},
                {_hex(name, 8): _note(each) for name, each in slots.items()},
            )
            if len(found.previous) != min(generation - 1, MAX_PREVIOUS):
                raise _refused("its list of earlier heads is not as long as its generation says")
            names = [part.name for pack in found.packs for part in pack.parts]
            if len(set(names)) != len(names) or len({pack.digest for pack in found.packs}) != len(found.packs):
                raise _refused("it lists a pack or part twice")
            return found
    raise _refused("its members are not those of a head")


def _pack(value: Any) -> Pack:
    match value:
        case {"digest": str(digest), "objects": int(objects), "parts": list(parts), "size": int(size), **rest} if (
            not rest
        ):
            pack = Pack(_hex(digest, 32), _number(size, 1), _number(objects, 0), tuple(_part(each) for each in parts))
            if sum(part.size for part in pack.parts) == size:
                return pack
    raise _refused("a pack in it is not as vex writes it")


def _part(value: Any) -> Part:
    match value:
        case {"name": str(name), "sealed": int(sealed), "size": int(size), **rest} if not rest:
            if 1 <= _number(size, 1) <= MAX_PART_BYTES and _number(sealed, 1) == sealed_size(size):
                return Part(_hex(name, 16), size, sealed)
    raise _refused("a part in it is not as vex writes it")


def _note(value: Any) -> SlotNote:
    match value:
        case {"name": str(name), "key": str(key), **rest} if not rest:
            return SlotNote(name, bytes.fromhex(_hex(key, 32)))
        case {"name": str(name), **rest} if not rest:
            return SlotNote(name)
    raise _refused("what it says of a key slot is not as vex writes it")


def _hex(value: Any, size: int) -> str:
    if not is_hex(value, size):
        raise _refused(f"it has something else where {2 * size} hexadecimal digits belong")
    return str(value)


def _number(value: int, least: int) -> int:
    if type(value) is not int or not least <= value <= MAX_NUMBER:
        raise _refused("a number in it is out of bounds")
    return value


def _epoch(name: str) -> int:
    if not name.isascii() or not name.isdigit() or str(int(name)) != name or not 1 <= int(name) <= MAX_EPOCH:
        raise _refused("it has something else where the number of a master key belongs")
    return int(name)


def _ref(name: str) -> str:
    kind, _, rest = name.partition("/")
    if kind not in ("heads", "tags"):
        raise _refused("it has something else where the name of a branch or tag belongs")
    try:
        check_ref_name(rest)
    except UsageError as error:
        raise _refused(str(error)) from None
    return name


def _refused(why: str) -> InvalidData:
    return InvalidData(why, code="object-corrupt")
