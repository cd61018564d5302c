"""Writes remotes/vectors/v1: a whole small host, values of each layer of its protocol, and hostile variants of it.

    python docs/dev/make_host_vectors.py            compares what does not depend on zstd's version or on chance
    python docs/dev/make_host_vectors.py --write    writes what is missing; a file that exists is never changed

A published version never changes: what differs is a bug in the code, or the protocol needs a new version.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vexrepo.objects import canonical
from vexrepo.objects.digest import CommitId
from vexrepo.objects.signature import Signature, public_key, sign
from vexrepo.remotes.hosts import head as heads
from vexrepo.remotes.hosts import slots
from vexrepo.remotes.hosts.head import Head, HeadId, Pack, Part, SlotNote
from vexrepo.remotes.hosts.header import Unlock
from vexrepo.remotes.hosts.memory import MemoryHost, Place
from vexrepo.remotes.hosts.recovery import format_recovery
from vexrepo.remotes.hosts.seal import SEGMENT_BYTES, SealKeys, padme, seal, sealed_size
from vexrepo.remotes.hosts.vault import Means, Recipient, Vault
from vexrepo.storage.keys import Identity
from vexrepo.storage.passphrase import Cost

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "remotes/vectors/v1"
FROZEN = ROOT / "objects/repos/v1"
PASSPHRASE = "cafe\N{COMBINING ACUTE ACCENT}, correct horse"  # not in NFC: the same as "café, correct horse"
WRITER, RECIPIENT = bytes(range(32)), bytes(range(64, 96))  # seeds of keys that protect nothing
CHEAP = Cost(1024, 2, 1)
PART_BYTES = 6000  # so that one pack has parts


class Stream:
    """Bytes that are the same in each run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return blake3(f"{self._name} {self._count}".encode()).digest(length=size)


# -- the host ------------------------------------------------------------------------------------------------------


def packs() -> list[Path]:
    """Return the packs of the frozen repository, which are what the host holds."""
    return sorted((FROZEN / "vex/packs").glob("*.pack"))


def refs() -> dict[str, CommitId]:
    """Return the refs of the frozen repository."""
    found = json.loads((FROZEN / "expected.json").read_text("utf-8"))["refs"]
    return {name: CommitId.parse(text) for name, text in found.items()}


def make_host(scratch: Path) -> tuple[list[dict[str, bytes]], dict[str, Any]]:
    """Return the files of each state of the host, the last one being the golden one, and what is in it."""
    stream, place, writer = Stream("host"), Place(), Identity("writer", public_key(WRITER), WRITER)
    clock = iter(range(1_780_000_000_000_000, 1_790_000_000_000_000, 1_000_000))
    means = Means(lambda: next(clock), scratch, identity=writer, cost=CHEAP, part_bytes=PART_BYTES, entropy=stream)
    vault = Vault.create(MemoryHost("memory:golden", place), means, passphrase=PASSPHRASE)
    states, masters = [], {}

    def keep() -> None:
        assert place.tip is not None
        states.append({path: place.files[file.id] for path, file in place.tip.files.items()})
        masters.update({str(epoch): key.hex() for epoch, key in vault.keys.masters.items()})

    with_all, half = packs(), 3
    vault.publish({"heads/main": refs()["tags/monday"]}, with_all[:half])
    keep()
    vault.add_recipient(Recipient("a laptop", public_key(RECIPIENT)))
    keep()
    vault.rekey(passphrases={"passphrase": PASSPHRASE}, recipients=[Recipient("a laptop", public_key(RECIPIENT))])
    keep()
    assert place.tip is not None
    place.tip = MemoryHost("memory:golden", place).publish(place.tip, {"README.md": b"Not for reading.\n"})
    vault.refresh()
    vault.publish(refs(), with_all[half:])
    keep()
    head = vault.head
    expected = {
        "passphrase": PASSPHRASE,
        "recipient_seed": RECIPIENT.hex(),
        "host": vault.host_id,
        "masters": masters,
        "generation": head.generation,
        "id": head.id.hex(),
        "previous": [each.hex() for each in head.previous],
        "signed_by": public_key(WRITER).hex(),
        "slots": [[slot.kind, slot.name, slot.key.hex() if slot.key else None] for slot in vault.slots],
        "refs": {name: commit.hex() for name, commit in sorted(head.refs.items())},
        "packs": [
            {"file": f"objects/repos/v1/vex/packs/{path.name}", "digest": pack.digest, "parts": len(pack.parts)}
            for path, pack in zip(with_all, head.packs, strict=True)
        ],
    }
    return states, expected


def open_host(files: dict[str, bytes], scratch: Path, **more: Any) -> Vault:
    """Return the vault of a host that holds files."""
    host = MemoryHost("memory:golden")
    host.publish(None, files)
    means = Means(lambda: 0, scratch, cost=CHEAP)
    return Vault.open(host, means, Unlock(passphrases=lambda: [PASSPHRASE]), **more)


def read_host(folder: Path = FOLDER / "host") -> dict[str, bytes]:
    """Return the files of the golden host."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


# -- values of each layer ------------------------------------------------------------------------------------------


def golden() -> dict[str, Any]:
    """Return the content of the golden files by name."""
    return {"padme": _padme(), "seal": _seals(), "passphrase": _passphrase(), "head": _head(), "recovery": _recovery()}


def _padme() -> list[list[int]]:
    sizes = [
        *range(2, 40),
        63,
        64,
        65,
        1000,
        1023,
        1025,
        65_536,
        65_537,
        100_001,
        2**24 - 1,
        2**24,
        2**24 + 8,
        2**40 + 1,
    ]
    return [[size, padme(size)] for size in sizes]


def _seals() -> list[dict[str, Any]]:
    keys = SealKeys("00112233445566778899aabbccddeeff", 7, {7: bytes(range(32))})
    found = []
    for number, size in enumerate((0, 1, 56, 57, 1000, 65_528, 65_529, 131_064, 131_065, 300_000)):
        path = "head" if number == 0 else heads.part_path(f"{number:032x}")
        content = blake3(b"content").digest(length=size)
        stream = Stream(f"seal {size}")
        salt = Stream(f"seal {size}")(32)
        key, commitment = keys.derive(7, salt, path)
        sealed = seal(keys, path, content, stream)
        assert len(sealed) == sealed_size(size)
        found.append(
            {
                "host": keys.host,
                "epoch": keys.epoch,
                "master": keys.masters[7].hex(),
                "path": path,
                "salt": salt.hex(),
                "key": key.hex(),
                "commitment": commitment.hex(),
                "content": f"the first {size} bytes of BLAKE3('content')",
                "size": size,
                "sealed_size": len(sealed),
                "sealed": sealed.hex() if len(sealed) < 2000 else None,
                "sealed_blake3": blake3(sealed).hexdigest(),
            }
        )
    return found


def _passphrase() -> list[dict[str, Any]]:
    host, master = "00112233445566778899aabbccddeeff", bytes(range(32))
    found = []
    for passphrase, cost in (
        (PASSPHRASE, CHEAP),
        ("x", Cost(8, 1, 1)),
        ("\N{KEY} \N{FULLWIDTH LATIN CAPITAL LETTER A}", Cost(64, 3, 4)),
    ):
        slot = slots.wrap_passphrase(master, passphrase, host, 3, cost, Stream("passphrase"))
        found.append(
            {
                "host": host,
                "epoch": 3,
                "master": master.hex(),
                "passphrase": passphrase,
                "binding": slots.binding(host, 3, slot.id).hex(),
                "slot": slot.to_json(),
            }
        )
    return found


def _head() -> dict[str, Any]:
    stream = Stream("head")
    part = Part(stream(16).hex(), 1000, sealed_size(1000))
    head = Head(
        host="00112233445566778899aabbccddeeff",
        generation=3,
        previous=(HeadId(stream(32)), HeadId(stream(32))),
        header=stream(32).hex(),
        write=stream(16).hex(),
        time_us=1_780_000_000_123_456,
        refs={
            "heads/main": CommitId(stream(32)),
            "tags/v1": CommitId(stream(32)),
            "heads/café/x": CommitId(stream(32)),
        },
        packs=(Pack(stream(32).hex(), 1000, 12, (part,)),),
        keys={1: stream(32), 10: stream(32), 2: stream(32)},
        slots={stream(8).hex(): SlotNote("passphrase"), stream(8).hex(): SlotNote("Ada", public_key(RECIPIENT))},
    )
    message = heads.message_of(head.id)
    signature = sign(WRITER, message).encode().decode()
    return {"body": head.encode().decode(), "id": head.id.hex(), "message": message.hex(), "signature": signature}


def _recovery() -> list[dict[str, str]]:
    seeds = (bytes(32), b"\xff" * 32, bytes(range(32)), Stream("recovery")(32))
    return [{"seed": seed.hex(), "text": format_recovery(seed)} for seed in seeds]


# -- hostile variants ----------------------------------------------------------------------------------------------

Case = tuple[str, str, dict[str, bytes | None], str]
TAMPERED = "host-tampered"


class Hostile:
    """Variants of the golden host.  Each is: name, what it is, the files that differ (None: missing), the code."""

    def __init__(self, states: list[dict[str, bytes]], files: dict[str, bytes], scratch: Path) -> None:
        self._states = states
        self._files = files
        vault = open_host(files, scratch)
        self._keys, self._head, self._header = vault.keys, vault.head, json.loads(files["vexrepo"])
        self._stream = Stream("hostile")

    def __iter__(self) -> Iterator[Case]:
        yield from self._headers()
        yield from self._sealed()
        yield from self._contents()
        yield from self._bodies()
        yield from self._parts()

    def iter_seen(self) -> Iterator[tuple[Case, dict[str, Any]]]:
        """Yield variants with what the reader's machine has seen before, which is what is wrong with them."""
        generation, identifier = self._head.generation, self._head.id.hex()
        now = {"generation": generation, "head": identifier}
        code = "host-rolled-back"
        older = {"head": self._states[2]["head"]}
        yield ("seen-later", "rolled back: the head of the state before", older, code), now
        yield ("seen-other", "another head of the same generation", {}, code), {**now, "head": "0" * 64}
        earlier = {"generation": generation - 1, "head": "0" * 64}
        yield ("seen-other-earlier", "another history: not the head before", {}, code), earlier
        yield from self._iter_marked(now)

    def _iter_marked(self, now: dict[str, Any]) -> Iterator[tuple[Case, dict[str, Any]]]:
        mark = self._keys.mark(2)
        other = {**now, "epoch": 2, "key": "0" * 64}
        yield ("seen-key", "another master key of the same epoch", {}, "host-unproven"), other
        earlier = {**now, "epoch": 1, "key": "0" * 64}
        yield ("seen-key-earlier", "another master key of an earlier epoch", {}, "host-unproven"), earlier
        later = {**now, "epoch": 3, "key": mark}
        yield ("seen-epoch", "an earlier master key than was seen", {}, "host-rolled-back"), later

    # -- header

    def _headers(self) -> Iterator[Case]:
        raw = self._files["vexrepo"]

        def case(name: str, what: str, content: bytes | None, code: str = TAMPERED) -> Case:
            return f"header-{name}", what, {"vexrepo": content}, code

        yield case("missing", "no header", None, "host-not-ours")
        yield case("empty", "an empty header", b"", "host-not-ours")
        yield case("text", "something else of that name", b"hello\n", "host-not-ours")
        yield case("list", "JSON, but a list", b"[]", "host-not-ours")
        yield case("cut", "the last byte is missing", raw[:-1], "host-not-ours")
        yield case("format", "another format", raw.replace(b"vexrepo host 1", b"another host 1"), "host-not-ours")
        yield case("version", "a newer format", raw.replace(b"vexrepo host 1", b"vexrepo host 2"), "host-version")
        yield case("space", "a space: not canonical", raw.replace(b":", b": ", 1))
        yield case("newline", "a newline after it", raw + b"\n")
        for name, what, change in (
            ("member", "a member too many", {"more": 1}),
            ("epoch-0", "epoch 0", {"epoch": 0}),
            ("epoch-true", "true is not 1", {"epoch": True}),
            ("epoch-huge", "epoch 2^32", {"epoch": 2**32}),
            ("epoch-other", "another epoch than that of the wrapped key", {"epoch": 3}),
            ("host-upper", "a host id in upper case", {"host": self._header["host"].upper()}),
            ("host-short", "a host id of 30 digits", {"host": self._header["host"][:30]}),
            ("host-other", "the id of another host", {"host": "0" * 32}),
            ("slots-none", "no slots", {"slots": []}),
            ("slots-object", "slots that are no array", {"slots": {}}),
        ):
            code = "wrong-passphrase" if name.endswith("-other") else TAMPERED
            yield case(name, what, canonical.encode({**self._header, **change}), code)
        passphrase, recipient = self._header["slots"]
        for name, what, found in (
            ("slot-twice", "a slot twice", [passphrase, recipient, passphrase]),
            ("slot-kind", "an unknown kind of slot", [passphrase, {**recipient, "kind": "x448"}]),
            ("slot-member", "a slot with a member too many", [passphrase, {**recipient, "name": "Ada"}]),
            ("slot-wrapped", "a wrapped key that is too short", [{**passphrase, "wrapped": passphrase["wrapped"][2:]}]),
            ("slot-number", "a slot that is a number", [passphrase, 1]),
            ("slot-memory", "Argon2 with more memory than allowed", [{**passphrase, "memory_kib": 2**21 + 1}]),
            ("slot-memory-huge", "Argon2 with 4 EiB", [{**passphrase, "memory_kib": 2**52}]),
            ("slot-memory-low", "Argon2 with less than 8 KiB a lane", [{**passphrase, "memory_kib": 7}]),
            ("slot-passes", "Argon2 with too many passes", [{**passphrase, "memory_kib": 8, "passes": 65}]),
            ("slot-passes-0", "Argon2 without passes", [{**passphrase, "passes": 0}]),
            ("slot-passes-true", "true is not 1", [{**passphrase, "passes": True}]),
            ("slot-lanes", "Argon2 with too many lanes", [{**passphrase, "lanes": 17}]),
            ("slot-work", "Argon2 that takes minutes", [{**passphrase, "memory_kib": 2**21, "passes": 64}]),
            (
                "slot-many",
                "17 passphrases to be tried",
                [{**passphrase, "id": f"{number:016x}"} for number in range(17)],
            ),
        ):
            yield case(name, what, canonical.encode({**self._header, "slots": found}))
        yield case(
            "slot-id",
            "a wrapped key under the id of another slot",
            canonical.encode({**self._header, "slots": [{**passphrase, "id": "0" * 16}, recipient]}),
            "wrong-passphrase",
        )
        yield case(
            "slot-removed",
            "a slot less than the head says",
            canonical.encode({**self._header, "slots": [passphrase]}),
        )
        yield case("older", "the header from before the master key was changed", self._states[1]["vexrepo"])

    # -- sealed files

    def _seal(self, content: bytes, path: str = "head", epoch: int | None = None) -> bytes:
        keys = self._keys if epoch is None else replace(self._keys, epoch=epoch)
        return seal(keys, path, content, self._stream)

    def _seal_plaintext(
        self, plaintext: bytes, last: int = 1, number: Callable[[int], int] = lambda number: number
    ) -> bytes:
        """Return a sealed head of any plaintext, numbers and mark of the last segment."""
        keys = self._keys
        salt = self._stream(32)
        key, commitment = keys.derive(keys.epoch, salt, "head")
        pieces = [plaintext[at : at + SEGMENT_BYTES] for at in range(0, len(plaintext), SEGMENT_BYTES)]
        out = [struct.pack("<8sI32s16s", b"VEXSEAL1", keys.epoch, salt, commitment)]
        for place, piece in enumerate(pieces):
            mark = last if place == len(pieces) - 1 else 0
            out.append(AESGCM(key).encrypt(number(place).to_bytes(11, "big") + bytes((mark,)), piece, None))
        return b"".join(out)

    def _sealed(self) -> Iterator[Case]:
        raw = self._files["head"]
        content = heads.encode_head(self._head, None)
        plain = struct.pack("<Q", len(content)) + content
        zeros = padme(len(plain)) - len(plain)
        for name, what, sealed in (
            ("missing", "no head", None),
            ("empty", "an empty head", b""),
            ("prefix", "only its first 60 bytes", raw[:60]),
            ("cut", "the last byte is missing", raw[:-1]),
            ("cut-tag", "the last tag is missing", raw[:-16]),
            ("more", "a byte too many", raw + b"\0"),
            ("magic", "another magic", b"VEXSEAL2" + raw[8:]),
            ("epoch", "an epoch whose key nobody has", raw[:8] + struct.pack("<I", 9) + raw[12:]),
            ("epoch-earlier", "sealed with an earlier master key", self._seal(content, epoch=1)),
            ("salt", "a bit of the salt flipped", _flipped(raw, 12)),
            ("commitment", "a bit of the commitment flipped", _flipped(raw, 44)),
            ("segment", "a bit of a segment flipped", _flipped(raw, 60)),
            ("tag", "a bit of the tag flipped", _flipped(raw, len(raw) - 1)),
            ("path", "sealed as another file", self._seal(content, "packs/00/" + "0" * 32)),
            ("not-final", "the last segment not marked as such", self._seal_plaintext(plain + bytes(zeros), last=0)),
            ("final-2", "the last segment marked 2", self._seal_plaintext(plain + bytes(zeros), last=2)),
            ("number", "segments numbered from 1", self._seal_plaintext(plain + bytes(zeros), number=lambda n: n + 1)),
            ("padding", "padding that is not zero", self._seal_plaintext(plain + bytes(zeros - 1) + b"\1")),
            ("padding-none", "no padding", self._seal_plaintext(plain)),
            ("padding-more", "a segment of padding", self._seal_plaintext(plain + bytes(zeros + SEGMENT_BYTES))),
            ("size", "a size beyond its plaintext", self._seal_plaintext(b"\xff" * 8 + plain[8:] + bytes(zeros))),
            ("size-short", "a plaintext too short for a size", self._seal_plaintext(b"\0" * 7)),
        ):
            yield f"head-{name}", what, {"head": sealed}, TAMPERED

    # -- what is sealed in the head

    def _contents(self) -> Iterator[Case]:
        body = self._head.encode()
        raw = struct.pack("<I", len(body)) + body
        own = sign(WRITER, heads.message_of(self._head.id))
        compress = zstandard.ZstdCompressor(level=3).compress
        unsized = zstandard.ZstdCompressor(level=3, write_content_size=False).compress(raw)
        bomb = zstandard.ZstdCompressor(level=3).compress(bytes(2**26 + 1))
        liar = compress(bytes(2**20)).replace(struct.pack("<I", 2**20), struct.pack("<I", 2**10), 1)
        assert zstandard.get_frame_parameters(liar).content_size == 2**10
        spaced = struct.pack("<I", len(body) + 1) + body.replace(b":", b": ", 1)
        other = Signature(own.key, sign(WRITER, b"something else").signature)
        strange = Signature(public_key(RECIPIENT), own.signature)
        small = Signature(bytes((1,)) + bytes(31), own.signature)
        for name, what, content in (
            ("empty", "nothing", b""),
            ("raw", "not compressed", raw),
            ("unsized", "a frame that does not state its size", unsized),
            ("bomb", "a frame of more than 2^26 bytes", bomb),
            ("liar", "a frame that states less than it holds", liar),
            ("cut", "half a frame", compress(raw)[:-20]),
            ("two", "two frames", compress(raw) + compress(b"x")),
            ("more", "a byte after the frame", compress(raw) + b"\0"),
            ("short", "three bytes", compress(b"abc")),
            ("size", "a body larger than what is there", compress(struct.pack("<I", len(body) + 1) + body)),
            ("size-smaller", "a body cut in two", compress(struct.pack("<I", len(body) - 1) + body)),
            ("space", "a body that is not canonical", compress(spaced)),
            ("list", "a body that is a list", compress(struct.pack("<I", 2) + b"[]")),
            ("signature-other", "the signature of something else", compress(raw + other.encode())),
            ("signature-key", "a signature of another key", compress(raw + strange.encode())),
            ("signature-small", "a key of small order", compress(raw + small.encode())),
            ("signature-more", "a newline after the signature", compress(raw + own.encode() + b"\n")),
        ):
            yield f"content-{name}", what, {"head": self._seal(content)}, TAMPERED

    def _bodies(self) -> Iterator[Case]:
        body = json.loads(self._head.encode())
        pack, more = body["packs"][0], body["packs"][1:]
        part = pack["parts"][0]
        ref = next(iter(body["refs"].values()))
        passphrase, recipient = (slot["id"] for slot in self._header["slots"])
        notes = body["slots"]

        def packs_with(**change: Any) -> dict[str, Any]:
            return {"packs": [{**pack, **change}, *more]}

        def part_with(**change: Any) -> dict[str, Any]:
            return packs_with(parts=[{**part, **change}, *pack["parts"][1:]])

        for name, what, change in (
            ("version", "a newer version", {"version": 2}),
            ("version-true", "true is not 1", {"version": True}),
            ("member", "a member too many", {"more": 1}),
            ("host", "the head of another host", {"host": "0" * 32}),
            ("header", "the digest of another header", {"header": "0" * 64}),
            ("generation-0", "generation 0", {"generation": 0}),
            ("generation-true", "true is not 1", {"generation": True}),
            ("generation-huge", "generation 2^53", {"generation": 2**53}),
            ("previous-none", "no earlier heads", {"previous": []}),
            ("previous-more", "more earlier heads than there were", {"previous": [*body["previous"], "0" * 64]}),
            ("previous-short", "an id of 62 digits", {"previous": [*body["previous"][:-1], "0" * 62]}),
            ("write", "a write id in upper case", {"write": "A" * 32}),
            ("time", "a time that is no integer", {"time_us": 1.5}),
            ("ref-name", "a ref outside heads/ and tags/", {"refs": {"notes/x": ref}}),
            ("ref-empty", "a ref without a name", {"refs": {"heads/": ref}}),
            ("ref-dots", "a ref that leads out of its folder", {"refs": {"heads/../x": ref}}),
            ("ref-id", "a ref to no id", {"refs": {"heads/main": "main"}}),
            ("pack-digest", "a digest of 62 digits", packs_with(digest="0" * 62)),
            ("pack-size", "a pack of another size than its parts", packs_with(size=pack["size"] + 1)),
            ("pack-objects", "a negative number of objects", packs_with(objects=-1)),
            ("pack-none", "a pack without parts", packs_with(parts=[], size=0)),
            ("pack-twice", "a pack twice", {"packs": [pack, *body["packs"]]}),
            ("pack-member", "a pack with a member too many", packs_with(more=1)),
            ("part-twice", "a part twice", packs_with(parts=[part, *pack["parts"]], size=pack["size"] + part["size"])),
            ("part-name", "the name of a part that leads elsewhere", part_with(name="../../" + "0" * 26)),
            ("part-sealed", "another sealed size than its size gives", part_with(sealed=part["sealed"] + 1)),
            ("part-empty", "an empty part", packs_with(parts=[{**part, "size": 0, "sealed": sealed_size(0)}])),
            (
                "part-huge",
                "a part of more than 2^24 bytes",
                packs_with(parts=[{**part, "size": 2**24 + 1, "sealed": sealed_size(2**24 + 1)}], size=2**24 + 1),
            ),
            ("keys-epoch", "the key of an epoch to come", {"keys": {"3": "0" * 64}}),
            ("keys-current", "the key of the current epoch", {"keys": {"2": "0" * 64}}),
            ("keys-name", "an epoch with a leading zero", {"keys": {"01": "0" * 64}}),
            ("keys-short", "a key of 31 bytes", {"keys": {"1": "0" * 62}}),
            ("slots-none", "no slots", {"slots": {}}),
            ("slots-more", "a slot that the header has not", {"slots": {**notes, "0" * 16: {"name": "x"}}}),
            ("slots-key", "a passphrase with a key", {"slots": {**notes, passphrase: notes[recipient]}}),
            ("slots-no-key", "a recipient without a key", {"slots": {**notes, recipient: notes[passphrase]}}),
            ("slots-member", "a slot with a member too many", {"slots": {**notes, passphrase: {"name": "x", "a": ""}}}),
        ):
            raw = canonical.encode({**body, **change})
            content = zstandard.ZstdCompressor(level=3).compress(struct.pack("<I", len(raw)) + raw)
            yield f"body-{name}", what, {"head": self._seal(content)}, TAMPERED

    # -- parts

    def _parts(self) -> Iterator[Case]:
        (one, two, three), single = self._head.packs[0].parts, self._head.packs[1].parts[0]
        raw = self._files[one.path]
        other = self._files[two.path]
        content = zstandard.ZstdCompressor(level=3).compress
        for name, what, files in (
            ("missing", "a part less than the head lists", {one.path: None}),
            ("cut", "a part without its last byte", {one.path: raw[:-1]}),
            ("more", "a part with a byte more", {one.path: raw + b"\0"}),
            ("empty", "an empty part", {one.path: b""}),
            ("flipped", "a bit flipped in a part", {one.path: _flipped(raw, 1000)}),
            ("swapped", "two parts of the same size, exchanged", {one.path: other, two.path: raw}),
            ("replayed", "a part in the place of another", {two.path: raw}),
        ):
            yield f"part-{name}", what, files, TAMPERED
        assert one.sealed == two.sealed and three.size < one.size
        body = json.loads(self._head.encode())
        for name, what, number, change in (
            ("order", "parts listed in another order", 0, {"parts": [body["packs"][0]["parts"][n] for n in (1, 0, 2)]}),
            ("digest", "the digest of another pack", 1, {"digest": "0" * 64}),
            (
                "padded",
                "a part whose size is another within its padding",
                1,
                {
                    "size": single.size - 1,
                    "parts": [{"name": single.name, "sealed": single.sealed, "size": single.size - 1}],
                },
            ),
        ):
            packs = [*body["packs"]]
            packs[number] = {**packs[number], **change}
            raw = canonical.encode({**body, "packs": packs})
            files = {"head": self._seal(content(struct.pack("<I", len(raw)) + raw))}
            yield f"pack-{name}", what, files, TAMPERED


def _flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]


def _write_hostile(case: Case, seen: dict[str, Any] | None) -> None:
    name, what, files, code = case
    changed = {path: content.hex() if content is not None else None for path, content in files.items()}
    value: dict[str, Any] = {"what": what, "code": code, "files": changed}
    if seen is not None:
        value["seen"] = seen
    target = FOLDER / f"hostile/{name}.json"
    target.parent.mkdir(exist_ok=True)
    assert not target.exists(), name
    target.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def main(arguments: list[str]) -> int:
    """Write or compare; return the number of differences."""
    write, different = "--write" in arguments, 0
    for name, value in golden().items():
        path, text = FOLDER / f"{name}.json", json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        if path.exists():
            if path.read_text("utf-8") != text:
                different += 1
                print(f"differs: {path.relative_to(ROOT)}")
        elif write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
        else:
            different += 1
            print(f"missing: {path.relative_to(ROOT)}")
    if write and not (FOLDER / "host").exists():
        with tempfile.TemporaryDirectory() as scratch:
            states, expected = make_host(Path(scratch))
            for path, content in states[-1].items():
                target = FOLDER / "host" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            (FOLDER / "host.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", "utf-8")
            hostile = Hostile(states, states[-1], Path(scratch))
            for case, seen in [*((case, None) for case in hostile), *hostile.iter_seen()]:
                _write_hostile(case, seen)
        print("wrote host, host.json, hostile")
    return different


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
