"""A reader of encrypted hosts written from remotes/PROTOCOL.md alone, without anything of vexrepo.

It shows that the page is enough, and checks what the page says a reader must check.  Slow and plain on purpose.
Section numbers refer to the page.  Run it: python reference_host.py FOLDER PASSPHRASE
"""

import hashlib
import hmac
import json
import re
import struct
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Refused(Exception):
    """What the page says to refuse."""


def need(condition: object, why: str) -> None:
    if not condition:
        raise Refused(why)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    need(len(dict(pairs)) == len(pairs), "a member appears twice")
    return dict(pairs)


def parse(raw: bytes) -> Any:
    """Return the value of canonical JSON that holds no numbers but integers (nothing here does)."""
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_members)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None

    def ordered(item: Any) -> Any:
        need(not isinstance(item, float), "a number is no integer")
        if isinstance(item, dict):
            names = sorted(item, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
            return {name: ordered(item[name]) for name in names}
        return [ordered(each) for each in item] if isinstance(item, list) else item

    try:
        again = json.dumps(ordered(value), separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused("half of a surrogate pair") from None
    need(again == raw, "JSON is not canonical")
    return value


def is_hex(text: Any, size: int) -> bool:
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text) is not None


def is_integer(value: Any, least: int, most: int = 2**53 - 1) -> bool:
    return type(value) is int and least <= value <= most


def exactly(value: Any, *names: str) -> dict[str, Any]:
    need(isinstance(value, dict) and set(value) == set(names), f"the members are not {', '.join(names)}")
    return dict(value)


# -- section 2: header -----------------------------------------------------------------------------------------------

SLOTS = {
    "passphrase": ("id", "kind", "wrapped", "salt", "memory_kib", "passes", "lanes"),
    "x25519": ("id", "kind", "wrapped"),
}


def parse_header(raw: bytes) -> dict[str, Any]:
    need(len(raw) <= 1 << 20, "the header is too large")
    header = exactly(parse(raw), "format", "host", "epoch", "slots")
    need(header["format"] == "vexrepo host 1", "another format")
    need(is_hex(header["host"], 16), "no host id")
    need(is_integer(header["epoch"], 1, 2**32 - 1), "no epoch")
    slots = header["slots"]
    need(isinstance(slots, list) and 1 <= len(slots) <= 1024, "the number of slots")
    for slot in slots:
        need(isinstance(slot, dict) and slot.get("kind") in SLOTS, "an unknown kind of slot")
        exactly(slot, *SLOTS[slot["kind"]])
        need(is_hex(slot["id"], 8), "a slot without id")
        if slot["kind"] == "x25519":
            need(is_hex(slot["wrapped"], 32 + 32 + 16), "a wrapped key of another size")
            continue
        need(is_hex(slot["wrapped"], 12 + 32 + 16) and is_hex(slot["salt"], 16), "a wrapped key of another size")
        memory, passes, lanes = slot["memory_kib"], slot["passes"], slot["lanes"]
        need(is_integer(memory, 1, 2**21) and is_integer(passes, 1, 64) and is_integer(lanes, 1, 16), "Argon2 limits")
        need(memory * passes <= 2**24 and memory >= 8 * lanes, "Argon2 limits")
    need(len({slot["id"] for slot in slots}) == len(slots), "two slots with one id")
    need(sum(slot["kind"] == "passphrase" for slot in slots) <= 16, "too many passphrases")
    return header


def binding(header: dict[str, Any], slot: dict[str, Any]) -> bytes:
    return (
        b"vex:host-slot:1\n"
        + bytes.fromhex(header["host"])
        + struct.pack("<I", header["epoch"])
        + bytes.fromhex(slot["id"])
    )


def unwrap_passphrase(slot: dict[str, Any], bound: bytes, passphrase: str) -> bytes | None:
    raw, wrapped = unicodedata.normalize("NFC", passphrase).encode(), bytes.fromhex(slot["wrapped"])
    key = Argon2id(
        salt=bytes.fromhex(slot["salt"]),
        length=32,
        iterations=slot["passes"],
        lanes=slot["lanes"],
        memory_cost=slot["memory_kib"],
    ).derive(raw)
    try:
        return AESGCM(key).decrypt(wrapped[:12], wrapped[12:], bound)
    except InvalidTag:
        return None


def private_key(seed: bytes) -> X25519PrivateKey:
    """Return the X25519 key of an Ed25519 identity: the scalar that RFC 8032 derives from its seed."""
    return X25519PrivateKey.from_private_bytes(hashlib.sha512(seed).digest()[:32])


def unwrap_recipient(slot: dict[str, Any], bound: bytes, seed: bytes) -> bytes | None:
    wrapped = bytes.fromhex(slot["wrapped"])
    key, nonce = hpke_key(private_key(seed), wrapped[:32], bound, 2, 32)
    try:
        return AESGCM(key).decrypt(nonce, wrapped[32:], None)
    except InvalidTag:
        return None


def hpke_key(private: X25519PrivateKey, enc: bytes, info: bytes, aead: int, key_bytes: int) -> tuple[bytes, bytes]:
    """Return key and nonce of the first message (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256)."""
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01" + struct.pack(">H", aead)

    def extract(own: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + own + label + ikm, "sha256")

    def expand(own: bytes, prk: bytes, label: bytes, context: bytes, size: int) -> bytes:
        labeled = struct.pack(">H", size) + b"HPKE-v1" + own + label + context
        return hkdf_expand(prk, labeled, size)

    shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    secret = expand(kem, extract(kem, b"", b"eae_prk", shared), b"shared_secret", enc + public, 32)
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    final = extract(suite, secret, b"secret", b"")
    return expand(suite, final, b"key", context, key_bytes), expand(suite, final, b"base_nonce", context, 12)


def hkdf_expand(prk: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869, section 2.3."""
    out, block, number = b"", b"", 1
    while len(out) < size:
        block = hmac.digest(prk, block + info + bytes((number,)), "sha256")
        out, number = out + block, number + 1
    return out[:size]


def hkdf(ikm: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    return hkdf_expand(hmac.digest(salt, ikm, "sha256"), info, size)


# -- section 3: sealed files -----------------------------------------------------------------------------------------


def padme(size: int) -> int:
    exponent = size.bit_length() - 1
    significant = exponent.bit_length()
    unit = 2 ** (exponent - significant)
    return (size + unit - 1) // unit * unit


def sealed_size(size: int) -> int:
    padded = padme(8 + size)
    return 60 + padded + 16 * ((padded + 65_535) // 65_536)


def open_sealed(host: str, masters: Mapping[int, bytes], path: str, raw: bytes) -> bytes:
    need(len(raw) >= 60 and raw[:8] == b"VEXSEAL1", "not a sealed file")
    (epoch,) = struct.unpack("<I", raw[8:12])
    need(epoch in masters, "sealed with a key that nobody has")
    info = b"vex:host-seal:1\n" + bytes.fromhex(host) + path.encode()
    derived = hkdf(masters[epoch], raw[12:44], info, 48)
    need(hmac.compare_digest(derived[32:], raw[44:60]), "another key")
    cipher, body = AESGCM(derived[:32]), raw[60:]
    pieces = [body[at : at + 65_552] for at in range(0, len(body), 65_552)]
    need(pieces, "no segments")
    plain = b""
    for number, piece in enumerate(pieces):
        nonce = number.to_bytes(11, "big") + (b"\1" if number == len(pieces) - 1 else b"\0")
        try:
            plain += cipher.decrypt(nonce, piece, None)
        except (InvalidTag, ValueError):
            raise Refused(f"segment {number} is not authentic") from None
    need(len(plain) >= 8, "no size")
    (size,) = struct.unpack("<Q", plain[:8])
    need(padme(8 + size) == len(plain), "padding of another size")
    need(not plain[8 + size :].strip(b"\0"), "padding that is not zero")
    return plain[8 : 8 + size]


# -- section 4: head -------------------------------------------------------------------------------------------------

HEAD = (
    "version host generation previous header write time_us refs packs keys slots".split()  # noqa: SIM905 - as listed
)
BAD_NAME = re.compile(r"^$|^HEAD$|^@$|^[0-9a-f]{4,64}$|[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|^[-/.]|[/.]$|\.lock$")
ORDER = 2**252 + 27742317777372353535851937790883648493
SMALL = {  # the points of small order, by their y
    0,
    1,
    2**255 - 20,
    2707385501144840649318225287225658788936804267575313519463743609750303021250,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
}


def parse_head(content: bytes) -> tuple[dict[str, Any], bytes, str | None]:
    """Return the head, its id, and the key it is signed by."""
    try:
        size = zstandard.get_frame_parameters(content).content_size
        need(0 < size <= 2**26, "a frame that does not state a proper size")
        worker = zstandard.ZstdDecompressor().decompressobj()
        raw = worker.decompress(content)
    except zstandard.ZstdError as error:
        raise Refused(f"zstd: {error}") from None
    need(worker.eof and not worker.unused_data and len(raw) == size, "not one frame")
    need(len(raw) >= 4, "no body")
    (length,) = struct.unpack("<I", raw[:4])
    need(4 + length <= len(raw), "a body that ends early")
    body, signature = raw[4 : 4 + length], raw[4 + length :]
    head = exactly(parse(body), *HEAD)
    check_head(head)
    identifier = blake3(b"vex:host-head:1\n" + body).digest()
    return head, identifier, check_signature(signature, identifier) if signature else None


def check_head(head: dict[str, Any]) -> None:
    need(head["version"] == 1 and type(head["version"]) is int, "another version")
    need(is_hex(head["host"], 16) and is_hex(head["header"], 32) and is_hex(head["write"], 16), "no ids")
    need(is_integer(head["generation"], 1) and is_integer(head["time_us"], -(2**53)), "no numbers")
    previous = head["previous"]
    need(isinstance(previous, list) and all(is_hex(each, 32) for each in previous), "no earlier heads")
    need(len(previous) == min(16, head["generation"] - 1), "the number of earlier heads")
    need(all(isinstance(head[name], dict) for name in ("refs", "keys", "slots")), "no objects")
    for name, commit in head["refs"].items():
        kind, _, rest = name.partition("/")
        need(kind in ("heads", "tags") and not BAD_NAME.search(rest) and is_hex(commit, 32), "no ref")
    for epoch, key in head["keys"].items():
        need(re.fullmatch("[1-9][0-9]{0,9}", epoch) and is_hex(key, 32), "no key of an epoch")
    for slot, note in head["slots"].items():
        need(is_hex(slot, 8) and isinstance(note, dict), "no slot")
        exactly(note, "name", *(["key"] if "key" in note else []))
        need(isinstance(note["name"], str) and ("key" not in note or is_hex(note["key"], 32)), "no slot")
    need(isinstance(head["packs"], list), "no packs")
    parts = []
    for pack in head["packs"]:
        exactly(pack, "digest", "size", "objects", "parts")
        need(is_hex(pack["digest"], 32) and is_integer(pack["size"], 1) and is_integer(pack["objects"], 0), "no pack")
        need(isinstance(pack["parts"], list), "no parts")
        for part in pack["parts"]:
            exactly(part, "name", "size", "sealed")
            need(is_hex(part["name"], 16) and is_integer(part["size"], 1, 2**24), "no part")
            need(is_integer(part["sealed"], 1) and part["sealed"] == sealed_size(part["size"]), "no part")
            parts.append(part["name"])
        need(sum(part["size"] for part in pack["parts"]) == pack["size"], "parts of another size than the pack")
    need(len(set(parts)) == len(parts), "a part twice")
    need(len({pack["digest"] for pack in head["packs"]}) == len(head["packs"]), "a pack twice")


def check_signature(raw: bytes, identifier: bytes) -> str:
    value = exactly(parse(raw), "type", "key", "signature")
    need(value["type"] == "ed25519" and is_hex(value["key"], 32) and is_hex(value["signature"], 64), "no signature")
    key, signature = bytes.fromhex(value["key"]), bytes.fromhex(value["signature"])
    y = int.from_bytes(key, "little") & (2**255 - 1)
    need(y not in SMALL and y < 2**255 - 19, "a key that anybody has")
    need(int.from_bytes(signature[32:], "little") < ORDER, "S is too large")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, b"vex:host-head-signature:1\n" + identifier)
    except (InvalidSignature, ValueError):
        raise Refused("the signature does not fit") from None
    return str(value["key"])


# -- section 5: reading ----------------------------------------------------------------------------------------------


class Host:
    """A host, opened.  ``files`` are those of the tip's tree by path."""

    def __init__(self, files: Mapping[str, bytes], *, passphrase: str | None = None, seed: bytes | None = None) -> None:
        need("vexrepo" in files, "not ours")
        self.files = files
        header = parse_header(files["vexrepo"])
        self.id = header["host"]
        master = None
        for slot in header["slots"]:
            bound = binding(header, slot)
            if slot["kind"] == "x25519" and seed is not None:
                master = master or unwrap_recipient(slot, bound, seed)
            elif slot["kind"] == "passphrase" and passphrase is not None:
                master = master or unwrap_passphrase(slot, bound, passphrase)
        need(master, "no slot opens")
        assert master is not None
        self.masters = {header["epoch"]: master}
        need("head" in files, "no head")
        self.head, self.head_id, self.signed_by = parse_head(self.open("head"))
        need(self.head["host"] == self.id, "the head of another host")
        need(self.head["header"] == blake3(files["vexrepo"]).hexdigest(), "another header")
        kinds = {slot["id"]: slot["kind"] == "x25519" for slot in header["slots"]}
        need(kinds == {name: "key" in note for name, note in self.head["slots"].items()}, "other slots")
        for epoch, key in self.head["keys"].items():
            need(int(epoch) < header["epoch"], "a key of an epoch that is not earlier")
            self.masters[int(epoch)] = bytes.fromhex(key)
        for pack in self.head["packs"]:
            for part in pack["parts"]:
                need(len(files.get(self.path(part), b"")) == part["sealed"], "a part is missing or of another size")

    def compare(self, seen: dict[str, Any]) -> None:
        """Refuse what contradicts what was seen before: generation, head id, perhaps epoch and mark of the key."""
        back = self.head["generation"] - seen["generation"]
        need(back >= 0, "rolled back")
        line = [self.head_id.hex(), *self.head["previous"]]
        need(back >= len(line) or line[back] == seen["head"], "another history")
        if "key" in seen:
            need(max(self.masters) >= seen["epoch"], "an earlier master key")
            master = self.masters.get(seen["epoch"])
            if master is None:
                need(back < len(line), "a new master key that does not show who drew it")
            else:
                mark = blake3(b"vex:host-key-mark:1\n" + bytes.fromhex(self.id) + master).hexdigest()
                need(mark == seen["key"], "another master key")

    def open(self, path: str) -> bytes:
        return open_sealed(self.id, self.masters, path, self.files[path])

    @staticmethod
    def path(part: dict[str, Any]) -> str:
        return f"packs/{part['name'][:2]}/{part['name']}"

    def packs(self) -> list[bytes]:
        """Return the pack files, in the order they were written."""
        found = []
        for pack in self.head["packs"]:
            contents = [self.open(self.path(part)) for part in pack["parts"]]
            sizes = [part["size"] for part in pack["parts"]]
            need([len(content) for content in contents] == sizes, "a part of another size")
            found.append(b"".join(contents))
            need(blake3(found[-1]).hexdigest() == pack["digest"], "the digest of another pack")
        return found


# -- section 7: recovery keys ----------------------------------------------------------------------------------------

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def times_x(value: int, power: int) -> int:
    for _ in range(power):
        value <<= 1
        if value & 32:
            value ^= 0b100101
    return value


def parse_recovery(text: str) -> bytes:
    plain = re.sub(r"[\s.-]", "", text).upper().replace("O", "0").replace("I", "1").replace("L", "1")
    need(re.fullmatch(f"[{CROCKFORD}]{{65}}", plain), "not 65 digits")
    bits = 0
    for group in range(13):
        *digits, check = [CROCKFORD.index(each) for each in plain[5 * group : 5 * group + 5]]
        expected = group
        for power, digit in enumerate(digits, 1):
            expected ^= times_x(digit, power)
            bits = bits * 32 + digit
        need(check == expected, f"group {group} has another check digit")
    seed = (bits >> 4).to_bytes(32, "big")
    need(bits & 15 == blake3(b"vex:recovery:1\n" + seed).digest()[0] >> 4, "another checksum")
    return seed


if __name__ == "__main__":
    root = Path(sys.argv[1])
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    host = Host(found, passphrase=sys.argv[2])
    sys.stdout.write(f"{host.head}\n{[len(pack) for pack in host.packs()]}\n")
