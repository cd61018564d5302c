"""A reader of repositories written from objects/FORMAT.md alone, without anything of vexrepo.

It shows that the page is enough, and checks what the page says a complete reader must check.  Slow and plain on
purpose.  Section numbers refer to the page.  Run it: python reference_reader.py PATH/TO/.vex
"""

import json
import math
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3

COMMIT, SNAPSHOT, NODE, LEAF, BODIES, VECTORS, SIGNATURE = range(1, 8)
HEADERS = {
    COMMIT: b"vex:commit:1\n",
    SNAPSHOT: b"vex:snapshot:1\n",
    NODE: b"vex:node:1\n",
    LEAF: b"vex:leaf:1\n",
    BODIES: b"vex:bodies:1\n",
    VECTORS: b"vex:vectors:1\n",
}
MAX_PAYLOAD = 1 << 30
ITEM = {"f32": ("f", 4), "f32d": ("f", 4), "f64": ("d", 8)}


class Damaged(Exception):
    """Stored bytes are not what the format says."""


def need(condition: object, why: str) -> None:
    if not condition:
        raise Damaged(why)


def digest(*parts: bytes) -> bytes:
    return blake3(b"".join(parts)).digest()


# -- section 2: canonical JSON ---------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Return a double as ECMAScript prints it."""
    need(math.isfinite(value), "a number is not finite")
    if value == 0:
        return "0"
    sign, text = ("-", repr(-value)) if value < 0 else ("", repr(value))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        body = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        body = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        body = "0." + "0" * -point + digits
    else:
        tail = "." + digits[1:] if len(digits) > 1 else ""
        body = f"{digits[0]}{tail}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + body


def canonical(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        out = []
        for mark in value:
            short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(
                mark
            )
            out.append(short or (f"\\u{ord(mark):04x}" if mark < " " else mark))
        return '"' + "".join(out) + '"'
    if isinstance(value, (list, dict)):
        need(depth < 128, "JSON is nested too deep")
    if isinstance(value, list):
        return "[" + ",".join(canonical(item, depth + 1) for item in value) + "]"
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(canonical(name) + ":" + canonical(value[name], depth + 1) for name in names) + "}"
    if isinstance(value, float):
        return number(value)
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    need(len(dict(pairs)) == len(pairs), "a member appears twice")
    return dict(pairs)


def _refuse(text: str) -> float:
    raise Damaged(f"{text} is not JSON")


def parse(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_members, parse_constant=_refuse)
        encoded = canonical(value).encode()
    except (ValueError, RecursionError) as error:
        raise Damaged(f"not JSON: {error}") from None
    need(encoded == raw, "JSON is not canonical")
    return value


# -- sections 3 to 5: keys, records, vectors -------------------------------------------------------------------------


def record_key(value: dict[str, Any]) -> bytes:
    identifier, namespace = value.get("id"), value.get("namespace")
    need(isinstance(identifier, str) and identifier, "a record has no id")
    need(namespace is None or isinstance(namespace, str), "a namespace is no string")
    return (namespace or "").encode().replace(b"\0", b"\0\xff") + b"\0\x01" + identifier.encode()


def edge_key(value: dict[str, Any]) -> bytes:
    parts = [value[name] for name in ("source", "type", "target")] + [value.get("id") or ""]
    return b"\0\x01".join(part.encode().replace(b"\0", b"\0\xff") for part in parts)


def record_id(body: bytes, vectors: "list[tuple[dict[str, Any], bytes, bytes]]") -> bytes:
    parts = [b"vex:record:1\n", struct.pack("<I", len(body)), body]
    for _, space, row in vectors:
        parts += [struct.pack("<I", len(space)), space, struct.pack("<I", len(row)), row]
    return digest(*parts)


def shortest(single: float) -> float:
    """Return the double of the shortest decimal that only this float32 is nearest to."""
    if single == 0:
        return single
    raw = struct.pack("<f", single)
    for digits in range(1, 10):
        mantissa, exponent = f"{single:.{digits - 1}e}".split("e")
        whole, shift = int(mantissa.replace(".", "")), int(exponent) - digits + 1
        near = [item for item in (whole - 1, whole, whole + 1) if _packs_to(float(f"{item}e{shift}"), raw)]
        if near:
            exact = Fraction(single)
            best = min(near, key=lambda item: (abs(item * Fraction(10) ** shift - exact), item % 2))
            return float(f"{best}e{shift}")
    raise Damaged("a float32 has no decimal form")


def _packs_to(value: float, raw: bytes) -> bool:
    try:
        return struct.pack("<f", value) == raw
    except OverflowError:
        return False


def numbers(dtype: str, raw: bytes) -> list[float]:
    letter, size = ITEM[dtype]
    found = list(struct.unpack(f"<{len(raw) // size}{letter}", raw))
    need(all(map(math.isfinite, found)), "a vector is not finite")
    return [shortest(item) for item in found] if dtype == "f32d" else found


def vector_value(space: dict[str, Any], row: bytes) -> Any:
    size, dims = ITEM[space["dtype"]][1], space["dims"]
    if space["kind"] == "dense":
        need(len(row) == dims * size, "a dense row has the wrong size")
        return numbers(space["dtype"], row)
    if space["kind"] == "multi":
        need(row and len(row) % (dims * size) == 0, "a multi row has the wrong size")
        return [numbers(space["dtype"], row[at : at + dims * size]) for at in range(0, len(row), dims * size)]
    count = len(row) // (4 + size)
    need(len(row) == count * (4 + size), "a sparse row has the wrong size")
    return {
        "indices": list(struct.unpack(f"<{count}I", row[: 4 * count])),
        "values": numbers(space["dtype"], row[4 * count :]),
    }


def parse_space(raw: bytes) -> dict[str, Any]:
    space = parse(raw)
    need(isinstance(space, dict) and set(space) == {"name", "kind", "model", "dims", "dtype"}, "not a space")
    need(space["kind"] in ("dense", "multi", "sparse") and space["dtype"] in ITEM, "not a space")
    need(isinstance(space["name"], str) and (space["model"] is None or isinstance(space["model"], str)), "not a space")
    need(type(space["dims"]) is int and 0 <= space["dims"] <= 1 << 20, "not a space")
    need((space["dims"] == 0) == (space["kind"] == "sparse"), "not a space")
    return space


# -- section 6: the tree ---------------------------------------------------------------------------------------------


def ends(key: bytes, level: int, expected: int) -> bool:
    hashed = blake3(b"vex:boundary:1\n" + bytes([level]) + key).digest()[:8]
    return int.from_bytes(hashed, "little") < 2**64 // expected


class Fields:
    """Takes fields off the front of a payload."""

    def __init__(self, payload: bytes) -> None:
        self.payload, self.at = payload, 0

    def take(self, size: int) -> bytes:
        need(self.at + size <= len(self.payload), "a payload ends early")
        self.at += size
        return self.payload[self.at - size : self.at]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def rows(self, count: int) -> list[bytes]:
        sizes = struct.unpack(f"<{count}I", self.take(4 * count))
        return [self.take(size) for size in sizes]

    def end(self) -> None:
        need(self.at == len(self.payload), "bytes follow the end of a payload")


@dataclass
class Leaf:
    keys: list[bytes]
    ids: list[bytes]
    bodies: bytes
    columns: list[tuple[bytes, bytes, list[int]]]
    id: bytes = b""


def ascending(keys: list[bytes]) -> bool:
    return keys == sorted(set(keys)) and all(len(key) <= 1 << 20 for key in keys)


def parse_leaf(payload: bytes) -> Leaf:
    fields = Fields(payload)
    count = fields.u32()
    need(count <= 32768, "a leaf is too large")
    keys = fields.rows(count)
    key_part = payload[4 : fields.at]
    need(ascending(keys), "the keys of a leaf do not ascend")
    ids = [fields.take(32) for _ in range(count)]
    bodies = fields.take(32)
    tail = fields.at
    columns: list[tuple[bytes, bytes, list[int]]] = []
    for _ in range(fields.u32()):
        space_size, map_size = fields.u32(), fields.u32()
        space, vectors = fields.take(space_size), fields.take(32)
        parse_space(space)
        bitmap = fields.take(map_size)
        rows = list(range(count))
        if bitmap:
            need(map_size == (count + 7) // 8, "a bitmap has the wrong size")
            rows = [row for row in range(8 * map_size) if bitmap[row // 8] >> row % 8 & 1]
            need(rows and rows[-1] < count and len(rows) < count, "a bitmap is not in its one form")
        need(not columns or columns[-1][0] < space, "columns do not ascend")
        columns.append((space, vectors, rows))
    fields.end()
    groups = b"".join(digest(*ids[at : at + 64]) for at in range(0, count, 64))
    name = digest(
        b"vex:leaf:1\n", struct.pack("<I", count), digest(key_part), digest(groups), bodies, digest(payload[tail:])
    )
    return Leaf(keys, ids, bodies, columns, name)


@dataclass
class Node:
    level: int
    keys: list[bytes]
    ids: list[bytes]
    counts: list[int]
    id: bytes = b""


def parse_node(payload: bytes) -> Node:
    fields = Fields(payload)
    level, count = fields.u32(), fields.u32()
    need(1 <= level <= 64 and 1 <= count <= 512, "a node has an impossible level or number of children")
    keys = fields.rows(count)
    middle = fields.at
    need(ascending(keys), "the keys of a node do not ascend")
    ids = [fields.take(32) for _ in range(count)]
    counts = list(struct.unpack(f"<{count}Q", fields.take(8 * count)))
    fields.end()
    name = digest(b"vex:node:1\n", payload[:8], digest(payload[8:middle]), payload[middle:])
    return Node(level, keys, ids, counts, name)


def parse_bodies(payload: bytes) -> list[bytes]:
    fields = Fields(payload)
    found = fields.rows(fields.u32())
    fields.end()
    return found


def parse_vectors(payload: bytes) -> tuple[bytes, list[bytes]]:
    fields = Fields(payload)
    size, count = fields.u32(), fields.u32()
    raw = fields.take(size)
    space = parse_space(raw)
    need(not any(fields.take(-size % 8)), "padding is not zero")
    if space["kind"] == "dense":
        row = space["dims"] * ITEM[space["dtype"]][1]
        rows = [fields.take(row) for _ in range(count)]
    else:
        rows = fields.rows(count)
    fields.end()
    return raw, rows


# -- section 10: packs -----------------------------------------------------------------------------------------------


@dataclass
class Row:
    pack: "Pack"
    id: bytes
    offset: int
    stored: int
    size: int
    type: int
    codec: int
    depth: int

    @property
    def bytes(self) -> bytes:
        return self.pack.raw[self.offset : self.offset + self.stored]


class Pack:
    def __init__(self, path: Path) -> None:
        self.raw = raw = path.read_bytes()
        need(len(raw) >= 96 and raw[:8] == raw[-8:] == b"VEXPACK1", "not a pack")
        index_at, count, index_sum, entries_sum = struct.unpack("<QQ32s32s", raw[-88:-8])
        need(index_at >= 8 and index_at + 64 * count + 88 == len(raw), "a footer does not fit")
        index = raw[index_at:-88]
        need(digest(index) == index_sum and digest(raw[:index_at]) == entries_sum, "a pack's checksum does not fit")
        name = path.name.removesuffix(".pack").split("-")
        need(name[0].isdigit() and len(name[0]) >= 8, "a pack has no number")
        need(name[1] == digest(b"vex:pack:1\n", index_sum, entries_sum).hex()[:32], "a pack has another's name")
        self.rows = []
        for at in range(0, len(index), 64):
            identifier, offset, stored, size, _, _, kind, codec, depth = struct.unpack_from("<32sQIIIHBBB", index, at)
            need(not any(index[at + 57 : at + 64]), "padding is not zero")
            need(offset >= 8 and offset + stored <= index_at, "an entry lies outside the entries")
            need(size <= MAX_PAYLOAD and depth <= 8 and 1 <= kind <= 7, "an entry is beyond a limit")
            self.rows.append(Row(self, identifier, offset, stored, size, kind, codec, depth))
        order = [(row.id, row.type, row.offset) for row in self.rows]
        need(order == sorted(set(order)), "an index is not in order")
        unique = [(row.id, row.type, row.bytes if row.type == SIGNATURE else b"") for row in self.rows]
        need(len(unique) == len(set(unique)), "an object is there twice")


def unzstd(stored: bytes, size: int, prefix: bytes | None = None) -> bytes:
    try:
        need(zstandard.frame_content_size(stored) == size, "a frame states another size")
        if prefix is None:
            found = zstandard.ZstdDecompressor().decompress(stored)
        else:
            raw_content = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            found = zstandard.ZstdDecompressor(dict_data=raw_content).decompress(stored)
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from None
    need(len(found) == size, "a frame has another size")
    return found


def unshuffle(shuffled: bytes, item: int) -> bytes:
    count = len(shuffled) // item
    whole = bytearray(count * item)
    for plane in range(item):
        whole[plane::item] = shuffled[plane * count : (plane + 1) * count]
    return bytes(whole) + shuffled[count * item :]


def apply_rows(stored: bytes, base: bytes, size: int) -> bytes:
    fields = Fields(stored)
    head, row_bytes, item, count = struct.unpack("<IIII", fields.take(16))
    need(item in (4, 8) and row_bytes and row_bytes % item == 0, "a row difference is malformed")
    runs = list(struct.iter_unpack("<III", fields.take(12 * count)))
    need(head + row_bytes * sum(run[1] + run[2] for run in runs) == size, "a row difference has another size")
    given = unshuffle(unzstd(stored[fields.at :], head + row_bytes * sum(run[2] for run in runs)), item)
    out, at = [given[:head]], head
    for first, copied, new in runs:
        start = head + first * row_bytes
        need(start + copied * row_bytes <= len(base), "a row difference copies past its base")
        out += [base[start : start + copied * row_bytes], given[at : at + new * row_bytes]]
        at += new * row_bytes
    return b"".join(out)


# -- the whole -------------------------------------------------------------------------------------------------------


@dataclass
class Repository:
    """A repository, read and checked completely."""

    folder: Path
    rows: dict[tuple[bytes, int], Row] = field(default_factory=dict)
    signatures: dict[bytes, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need((self.folder / "format").read_bytes() == b"vexrepo repository 1\n", "another format")
        for path in sorted((self.folder / "packs").glob("*.pack")):
            if not path.name.startswith("."):
                for row in Pack(path).rows:
                    if row.type == SIGNATURE:
                        signature = parse(self.payload(row))
                        need(set(signature) == {"type", "key", "signature"}, "not a signature")
                        self.signatures.setdefault(row.id, []).append(signature)
                    else:
                        other = self.rows.setdefault((row.id, row.type), row)
                        if row.depth < other.depth:
                            self.rows[row.id, row.type] = row

    def find(self, identifier: bytes, kind: int | None = None) -> Row:
        for each in (kind,) if kind else range(1, 7):
            if (identifier, each) in self.rows:
                return self.rows[identifier, each]
        raise Damaged(f"the object {identifier.hex()} is missing")

    def payload(self, row: Row) -> bytes:
        """Section 10.1."""
        stored = row.bytes
        if row.codec in (4, 5):
            base = self.find(stored[:32])
            need(base.depth < row.depth, "a difference does not get nearer to a whole object")
            old = self.payload(base)
            if row.codec == 4:
                return unzstd(stored[32:], row.size, old)
            return apply_rows(stored[32:], old, row.size)
        if row.codec == 0:
            found = stored
        elif row.codec == 1:
            found = unzstd(stored, row.size)
        elif row.codec in (2, 3):
            found = unshuffle(unzstd(stored, row.size), 4 if row.codec == 2 else 8)
        else:
            raise Damaged(f"unknown codec {row.codec}")
        need(len(found) == row.size, "an object has another size")
        return found

    def get(self, identifier: bytes, kind: int) -> bytes:
        payload = self.payload(self.find(identifier, kind))
        if kind == LEAF:
            found = parse_leaf(payload).id
        elif kind == NODE:
            found = parse_node(payload).id
        else:
            found = digest(HEADERS[kind], payload)
        need(found == identifier, "an object's content gives another id")
        return payload

    # section 11
    def operations(self) -> Iterator[dict[str, Any]]:
        raw = (self.folder / "operation").read_bytes()
        need(len(raw) == 65 and raw[64:] == b"\n", "the pointer is damaged")
        identifier: str | None = raw[:64].decode()
        while identifier is not None:
            payload = (self.folder / "operations" / identifier).read_bytes()
            need(digest(b"vex:operation:1\n", payload).hex() == identifier, "an operation has another id")
            operation = parse(payload)
            need(operation["version"] == 1, "another version of operations")
            yield operation
            identifier = operation["parent"]

    def view(self) -> dict[str, Any]:
        found: dict[str, Any] = next(self.operations())["view"]
        return found

    def head(self) -> str | None:
        view = self.view()
        return view["refs"].get(view["head"]) if view["head"].startswith("heads/") else view["head"]

    def commit(self, identifier: str) -> dict[str, Any]:
        value: dict[str, Any] = parse(self.get(bytes.fromhex(identifier), COMMIT))
        return value

    def commits(self) -> dict[str, dict[str, Any]]:
        """Return every commit that a ref or HEAD of the current view reaches."""
        view = self.view()
        pending = [*view["refs"].values(), *filter(None, [self.head()])]
        found: dict[str, dict[str, Any]] = {}
        while pending:
            identifier = pending.pop()
            if identifier not in found:
                found[identifier] = self.commit(identifier)
                pending += found[identifier]["parents"]
        return found

    def records(self, commit: str, tree: str = "records") -> list[tuple[bytes, bytes, dict[str, Any]]]:
        """Return (key, record id, JSON object with its vectors) of a commit's records, or edges."""
        snapshot = parse(self.get(bytes.fromhex(self.commit(commit)["snapshot"]), SNAPSHOT))
        root, expected = snapshot[tree], snapshot["leaf_records"]
        found = list(self._below(bytes.fromhex(root["id"]), root["height"], expected, True, tree == "edges"))
        need(len(found) == root["count"], "a tree has another number of records")
        keys = [key for key, _, _ in found]
        need(ascending(keys), "the keys of a tree do not ascend")
        need(not root["height"] or len(parse_node(self.get(bytes.fromhex(root["id"]), NODE)).ids) > 1, "a lone child")
        return found

    def _below(
        self, identifier: bytes, height: int, expected: int, last: bool, edges: bool
    ) -> Iterator[tuple[bytes, bytes, dict[str, Any]]]:
        if height == 0:
            leaf = parse_leaf(self.get(identifier, LEAF))
            self._check_end(leaf.keys, 0, expected, last)
            yield from self._rows(leaf, edges)
            return
        node = parse_node(self.get(identifier, NODE))
        need(node.level == height, "a node is on the wrong level")
        self._check_end(node.keys, height, 128, last)
        for place, (key, child, count) in enumerate(zip(node.keys, node.ids, node.counts, strict=True)):
            found = list(self._below(child, height - 1, expected, last and place == len(node.ids) - 1, edges))
            need(len(found) == count and found[-1][0] == key, "a node does not describe its children")
            yield from found

    @staticmethod
    def _check_end(keys: list[bytes], level: int, expected: int, last: bool) -> None:
        natural = [place for place, key in enumerate(keys) if ends(key, level, expected)]
        need(all(place == len(keys) - 1 for place in natural), "something should have ended earlier")
        need(natural or last or len(keys) == 4 * expected, "something should have gone on")

    def _rows(self, leaf: Leaf, edges: bool) -> Iterator[tuple[bytes, bytes, dict[str, Any]]]:
        bodies = parse_bodies(self.get(leaf.bodies, BODIES))
        need(len(bodies) == len(leaf.keys), "a leaf has another number of bodies")
        held: list[list[tuple[dict[str, Any], bytes, bytes]]] = [[] for _ in leaf.keys]
        for space, vectors, members in leaf.columns:
            found, rows = parse_vectors(self.get(vectors, VECTORS))
            need(found == space and len(rows) == len(members), "a leaf and its vectors disagree")
            for member, row in zip(members, rows, strict=True):
                held[member].append((parse(space), space, row))
        for key, identifier, body, vectors in zip(leaf.keys, leaf.ids, bodies, held, strict=True):
            vectors.sort(key=lambda item: item[0]["name"])
            value = parse(body)
            need(record_id(body, vectors) == identifier, "a record has another id")
            need((edge_key if edges else record_key)(value) == key, "a record has another key")
            for space, _, row in vectors:
                model = value.get("model")
                need(space["model"] == (model if isinstance(model, str) else None), "a vector has another model")
                if space["name"]:
                    value.setdefault("vectors", {})[space["name"]] = vector_value(space, row)
                else:
                    value["vector"] = vector_value(space, row)
            yield key, identifier, value


if __name__ == "__main__":
    repository = Repository(Path(sys.argv[1]))
    for name, commit in repository.commits().items():
        count = len(repository.records(name))
        edges = len(repository.records(name, "edges"))
        print(name[:12], count, "records,", edges, "edges:", commit["message"])
