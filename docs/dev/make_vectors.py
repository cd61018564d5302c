"""Writes objects/vectors/v1, its hostile folder and objects/repos/v1.

    python docs/dev/make_vectors.py            compares the golden files with what the code gives now
    python docs/dev/make_vectors.py --write    writes what is missing; a file that exists is never changed

A published version never changes: what differs is a bug in the code, or the format needs a new version.
"""

from __future__ import annotations

import itertools
import json
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3

from vexrepo.objects import canonical, edge, tree
from vexrepo.objects import vector as vectors_of
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import BodiesId, CommitId, LeafId, NodeId, RecordId, SnapshotId, VectorsId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import from_json, make_key
from vexrepo.objects.signature import message_of, public_key, sign
from vexrepo.objects.snapshot import Snapshot, TreeRoot
from vexrepo.objects.tree import Child, Column, Leaf, Node
from vexrepo.objects.vector import Space
from vexrepo.storage.codec import Codec

ROOT = Path(__file__).parents[2] / "objects"
SEED = bytes(range(32))  # of a key that protects nothing


# -- golden files --------------------------------------------------------------------------------------------------


def golden() -> dict[str, Any]:
    """Return the content of the golden files by name."""
    return {
        "canonical": list(_canonical()),
        "keys": _keys(),
        "records": [_record(text) for text in RECORDS],
        "vectors": _vectors(),
        "boundaries": _boundaries(),
        "leaf": [_leaf(0, ""), _leaf(3, "sparse"), _leaf(200, "all")],
        "node": [_node(1, 3), _node(5, 1), _node(2, 128)],
        "snapshot": [_encoded(_snapshot())],
        "commit": [_encoded(_commit()), _encoded(_first_commit())],
        "signature": _signature(),
    }


def _canonical() -> Iterator[dict[str, str]]:
    for text in (
        "null",
        " [ ] ",
        '{"b":1,"a":2,"A":3,"":4}',
        '{"\\ud83d\\ude00":1,"\\ufb33":2,"\\u20ac":3,"\\r":4,"1":5,"\\u0080":6}',
        '"\\u0000\\u001f\\b\\f\\n\\r\\t\\"\\\\\\/\\u007f\\u2028\\u20ac"',
        "[1.0,1e0,10e-1,100e-2]",
        "[0,-0,0.0,-0.0,0e9]",
        "[1e21,1e20,123456789012345680000,1e-6,1e-7,1.5e300,5e-324,1.7976931348623157e308]",
        "[0.1,0.30000000000000004,333333333.33333329,4.50,2e-3,0.000001,1E+2]",
        "[9007199254740991,9007199254740993,-9007199254740993,18446744073709551616]",
        "[123456789012345678901234567890123456789012345678901234567890]",
        "[9007199254740993.0,1e16,10000000000000000.0]",
        '{"a":{"c":[{},[]],"b":null},"d":[true,false]}',
    ):
        yield {"json": text, "canonical": canonical.encode(canonical.parse(text.encode())).decode()}


def _keys() -> dict[str, Any]:
    pairs = (
        (None, "m1"),
        ("", "m1"),
        ("notes", "m1"),
        ("a", "z"),
        ("ab", "a"),
        ("a\0", "a"),
        ("a\0\1", "a"),
        ("a\1", "a"),
        ("a", "\0\1b"),
        ("café", "€😀"),
    )
    edges = (
        {"source": "a", "type": "knows", "target": "b"},
        {"source": "a", "type": "knows", "target": "b", "id": None, "weight": 0.5},
        {"source": "a\0", "type": "t\0\1", "target": "b", "id": "7"},
    )
    records = [{"namespace": space, "id": name, "key": make_key(space or "", name).hex()} for space, name in pairs]
    return {
        "records": records,
        "order": sorted({each["key"] for each in records}),
        "edges": [{"edge": value, "key": edge.from_json(dict(value)).key.hex()} for value in edges],
    }


RECORDS = (
    '{"id":"m1"}',
    '{"id":"m1","namespace":"","text":"hello","vector":null}',
    '{"id":"m1","namespace":null,"text":"caf\\u00e9 \\ud83d\\ude00","vector":[]}',
    '{"id":"m1","namespace":"notes","text":"t","vector":[0.5,-0.25,3],"model":"bge","dims":3,"metadata":{"b":1,"a":[]}}',
    '{"id":"m1","vector":[0.1,0.2,-0.0,1e-7],"model":"bge","score":0.1}',
    '{"id":"m1","vector":[0.1,0.2,0.12345678901234567],"model":7}',
    '{"id":"m1","vector":[[1,2],[3,4],[0.5,0.5]],"model":"colbert"}',
    '{"id":"m1","vector":{"indices":[7,3,4000000000],"values":[0.5,1,2]},"dims":30522}',
    '{"id":"m1","vector":{"indices":[],"values":[]}}',
    '{"id":"m1","model":"m","vectors":{"title":[1,2],"body":[0.1,0.3],"sparse":{"indices":[1],"values":[0.7]}}}',
    '{"id":"m1","vector":[1,2],"vectors":{"":[1]}}',
    '{"id":"m1","vectors":{"a":[1,2],"b":null}}',
    '{"id":"m1","vectors":{}}',
    '{"id":"m1","vectors":"none","vector":null,"dims":7}',
    '{"id":"m1","big":123456789012345678901234567890,"created_at":"2026-11-20T08:00:00.000Z","x":-0.0}',
)


def _record(text: str) -> dict[str, Any]:
    value: Any = canonical.parse(text.encode())
    found = from_json(value)
    return {
        "json": text,
        "key": found.key.hex(),
        "body": found.body.decode(),
        "vectors": [{"space": item.space.encode().decode(), "row": item.row.hex()} for item in found.vectors],
        "id": found.id.hex(),
    }


def _space(name: str, kind: Any, dims: int, dtype: Any, model: str | None = "bge-small-en-v1.5") -> Space:
    return Space(name, kind, model, dims, dtype)


def _vectors() -> dict[str, Any]:
    numbers = (
        "[0.5,-1,0,-0.0,3.4028234663852886e38]",
        "[0.1,1e-45,3.4028235e38,16777216,0.3]",
        "[0.1,0.10000000149011612]",
        "[1e-46,1]",
        "[3.5e38,1]",
        "[9007199254740992,1]",
        "[1.1754943508222875e-38,9.8607613e-32]",
        "[0.00024414062,9.8607613e-32,1.1754944e-38,-0.0]",
    )
    found = []
    for text in numbers:
        item = vectors_of.from_json("", None, canonical.parse(text.encode()))
        assert item is not None
        found.append({"json": text, "dtype": item.space.dtype, "row": item.row.hex()})
    payloads = []
    for space, rows in (
        (_space("", "dense", 2, "f32"), [struct.pack("<2f", 1, 2), struct.pack("<2f", 0.5, -0.0)]),
        (_space("title", "dense", 2, "f64", None), [struct.pack("<2d", 0.1, 2)]),
        (_space("colbert", "multi", 2, "f32"), [struct.pack("<2f", 1, 2), struct.pack("<4f", 1, 2, 3, 4)]),
        (_space("bm25", "sparse", 0, "f32d"), [struct.pack("<2I2f", 9, 4, 0.1, 0.7), b""]),
    ):
        payload = tree.encode_vectors(space, rows)
        payloads.append(
            {
                "space": space.encode().decode(),
                "rows": [row.hex() for row in rows],
                "payload": payload.hex(),
                "id": VectorsId.of(payload).hex(),
            }
        )
    bodies = [b'{"id":"a"}', b"{}", b""]
    payload = tree.encode_bodies(bodies)
    return {
        "numbers": found,
        "payloads": payloads,
        "bodies": {
            "bodies": [item.decode() for item in bodies],
            "payload": payload.hex(),
            "id": BodiesId.of(payload).hex(),
        },
    }


def _boundaries() -> dict[str, Any]:
    hashes = []
    for level, expected, number in itertools.product((0, 1, 2), (16, 128), range(6)):
        key = make_key("notes", f"m{number * 7}")
        raw = blake3(b"vex:boundary:1\n" + bytes((level,)) + key).digest(8)
        hashes.append(
            {
                "key": key.hex(),
                "level": level,
                "expected": expected,
                "hash": str(int.from_bytes(raw, "little")),
                "ends": tree.ends_here(key, level, expected),
            }
        )
    names = [f"m{number:04}" for number in range(300)]
    sizes, held = [], 0
    for name in names:
        held += 1
        if tree.ends_here(make_key("", name), 0, 16) or held == 64:
            sizes.append(held)
            held = 0
    return {"hashes": hashes, "leaves": {"ids": names, "leaf_records": 16, "sizes": [*sizes, held] if held else sizes}}


def _leaf_value(count: int, members: str) -> Leaf:
    keys = [make_key("notes", f"m{number:04}") for number in range(count)]
    ids = b"".join(RecordId.of(key) for key in keys)
    columns: list[Column] = []
    if members:
        spaces = [_space("", "dense", 3, "f32"), _space("title", "dense", 2, "f32d", None)]
        bitmap = tree.members_bitmap(range(0, count, 2), count) if members == "sparse" else b""
        columns = [Column(space, VectorsId.of(space.encode()), bitmap) for space in sorted(spaces, key=Space.encode)]
    return Leaf(keys, ids, BodiesId.of(b"bodies"), tuple(columns))


def _leaf(count: int, members: str) -> dict[str, Any]:
    leaf = _leaf_value(count, members)
    identifier, payload = leaf.encode()
    return {
        "keys": [key.hex() for key in leaf.keys],
        "record_ids": [leaf.record_id(row).hex() for row in range(count)],
        "bodies": leaf.bodies.hex(),
        "columns": [
            {"space": item.space.encode().decode(), "vectors": item.vectors.hex(), "members": item.members.hex()}
            for item in leaf.columns
        ],
        "payload": payload.hex(),
        "id": identifier.hex(),
    }


def _node_value(level: int, count: int) -> Node:
    kind = LeafId if level == 1 else NodeId
    names = (make_key("notes", f"m{number:04}") for number in range(count))
    return Node(level, [Child(name, kind.of(name), 3 + number) for number, name in enumerate(names)])


def _node(level: int, count: int) -> dict[str, Any]:
    node = _node_value(level, count)
    identifier, payload = node.encode()
    return {
        "level": level,
        "children": [
            {"last_key": child.last_key.hex(), "id": child.id.hex(), "count": child.count} for child in node.children
        ],
        "payload": payload.hex(),
        "id": identifier.hex(),
    }


def _snapshot() -> Snapshot:
    return Snapshot(
        TreeRoot(LeafId.of(b"records"), 2, 70_000),
        TreeRoot(LeafId.of(b"edges"), 0, 12),
        1024,
        [{"name": "", "kind": "dense", "model": "bge", "dims": 384, "dtype": "f32d", "count": 69_000}],
        {"qdrant": {"distance": "Cosine", "size": 384}},
        {"later": [1, 2, 3]},
    )


def _commit() -> Commit:
    return Commit(
        SnapshotId.of(b"snapshot"),
        (CommitId.of(b"one"), CommitId.of(b"two")),
        {"name": "Ada", "key": public_key(SEED).hex()},
        1_780_000_000_123_456,
        "What the agent knew on Monday\n\nAnd a second paragraph: café, 😀.",
        {"kind": "vektor", "store": "agent.db"},
        {"records": 70_000, "learned": 4, "changed": 2, "forgotten": 1},
        {"later": {"members": True}},
    )


def _first_commit() -> Commit:
    return Commit(SnapshotId.of(b"snapshot"), (), {"name": ""}, 0, "")


def _encoded(value: Snapshot | Commit) -> dict[str, Any]:
    identifier, payload = value.encode()
    return {"payload": payload.decode(), "id": identifier.hex()}


def _signature() -> dict[str, Any]:
    commit = _commit().encode()[0]
    return {
        "seed": SEED.hex(),
        "key": public_key(SEED).hex(),
        "commit": commit.hex(),
        "message": message_of(commit).hex(),
        "payload": sign(SEED, message_of(commit)).encode().decode(),
    }


# -- hostile files -------------------------------------------------------------------------------------------------


def hostile() -> dict[str, dict[str, Any]]:
    """Return the content of the hostile files by name: what it is, the input, the one code it must give."""
    found: dict[str, dict[str, Any]] = {}
    for name, what, kind, raw, code in itertools.chain(_lines(), _objects(), _jsons()):
        text = {"text": raw} if isinstance(raw, str) else {"hex": raw.hex()}
        assert name not in found, name
        found[name] = {"what": what, "kind": kind, "input": text, "code": code}
    found.update(_signatures())
    found.update(_packs())
    return found


def _lines() -> Iterator[tuple[str, str, str, str | bytes, str]]:
    for name, what, line, code in (
        ("line-nan", "NaN is not JSON", '{"id":"a","score":NaN}', "not-finite"),
        ("line-infinity", "nor is Infinity", '{"id":"a","vector":[1,-Infinity]}', "not-finite"),
        ("line-too-large", "a number no double can hold", '{"id":"a","score":1e400}', "not-finite"),
        ("line-surrogate", "half a surrogate pair", '{"id":"a","text":"\\ud83d"}', "lone-surrogate"),
        ("line-twice", "a member twice", '{"id":"a","text":"1","text":"2"}', "duplicate-member"),
        ("line-twice-escaped", "twice, once in disguise", '{"id":"a","\\u0069d":"b"}', "duplicate-member"),
        ("line-twice-nested", "twice, inside", '{"id":"a","m":[{"x":1,"x":1}]}', "duplicate-member"),
        ("line-latin1", "bytes that are not UTF-8", b'{"id":"a","text":"\xe9"}', "not-utf8"),
        ("line-overlong", "an overlong form of /", b'{"id":"a","text":"\xc0\xaf"}', "not-utf8"),
        ("line-utf8-surrogate", "a surrogate written as UTF-8", b'{"id":"a","text":"\xed\xa0\x80"}', "not-utf8"),
        ("line-list", "a list", '["id","a"]', "not-an-object"),
        ("line-two", "two values", '{"id":"a"}{"id":"b"}', "not-json"),
        ("line-cut", "a line that ends early", '{"id":"a","text":"b', "not-json"),
        ("line-deep", "129 lists inside one another", '{"id":"a","m":' + "[" * 128 + "]" * 128 + "}", "too-deep"),
        ("line-digits", "an integer of 1001 digits", '{"id":"a","n":' + "9" * 1001 + "}", "too-long"),
        ("line-no-id", "no id", '{"text":"a"}', "id-missing"),
        ("line-id-empty", "an empty id", '{"id":""}', "id-missing"),
        ("line-id-number", "a number as id", '{"id":1}', "id-missing"),
        ("line-namespace", "a namespace that is a list", '{"id":"a","namespace":[]}', "namespace-type"),
        ("line-dims", "dims that disagree", '{"id":"a","vector":[1,2],"dims":384}', "dims-mismatch"),
        ("line-dims-true", "true is not 1", '{"id":"a","vector":[1],"dims":true}', "dims-mismatch"),
        ("line-vector-text", "a vector that is text", '{"id":"a","vector":"AAAA"}', "vector-type"),
        ("line-vector-true", "true in a vector", '{"id":"a","vector":[1,true]}', "vector-type"),
        ("line-vector-ragged", "rows of two lengths", '{"id":"a","vector":[[1,2],[3]]}', "vector-type"),
        ("line-vector-nested", "a list among numbers", '{"id":"a","vector":[1,[2]]}', "vector-type"),
        ("line-vector-integer", "2^53 + 1", '{"id":"a","vector":[9007199254740993]}', "vector-type"),
        ("line-sparse-ragged", "more values", '{"id":"a","vector":{"indices":[1],"values":[1,2]}}', "vector-type"),
        ("line-sparse-negative", "an index of −1", '{"id":"a","vector":{"indices":[-1],"values":[1]}}', "vector-type"),
        ("line-named-text", "text in a named vector", '{"id":"a","vectors":{"t":[1,"2"]}}', "vector-type"),
    ):
        yield name, what, "line", line, code


def _objects() -> Iterator[tuple[str, str, str, str | bytes, str]]:
    space = _space("", "dense", 3, "f32").encode().decode()
    for name, what, raw, code in (
        ("space-order", "members in another order", '{"name":"","kind":"dense"}', "not-canonical"),
        ("space-member", "a member too many", space[:-1] + ',"x":1}', "unsupported-value"),
        ("space-kind", "an unknown kind", space.replace("dense", "dance"), "unsupported-value"),
        ("space-dtype", "an unknown dtype", space.replace("f32", "f16"), "unsupported-value"),
        ("space-dims-0", "dense without dims", space.replace(":3", ":0"), "unsupported-value"),
        ("space-dims-huge", "more dims than allowed", space.replace(":3", ":1048577"), "unsupported-value"),
        ("space-dims-true", "true is not 1", space.replace(":3", ":true"), "unsupported-value"),
        ("space-sparse-dims", "sparse with dims", space.replace("dense", "sparse"), "unsupported-value"),
        ("space-model", "a number as model", space.replace('"bge-small-en-v1.5"', "7"), "unsupported-value"),
    ):
        yield name, what, "space", raw, code

    u32 = struct.Struct("<I").pack
    leaf = _leaf_value(3, "sparse").encode()[1]
    keys = leaf[4:16] + leaf[16 : 16 + sum(struct.unpack("<3I", leaf[4:16]))]
    after = leaf[4 + len(keys) :]
    one = len(keys[12:]) // 3
    swapped = keys[:12] + keys[12 + one : 12 + 2 * one] + keys[12 : 12 + one] + keys[12 + 2 * one :]
    twice = keys[:12] + keys[12 : 12 + one] * 2 + keys[12 + 2 * one :]
    tail = 4 + len(keys) + 96 + 32  # where the columns begin
    column = leaf[tail + 4 : tail + 4 + (len(leaf) - tail - 4) // 2]
    spaces = sorted((_space("", "dense", 3, "f32"), _space("title", "dense", 2, "f32d", None)), key=Space.encode)
    bitmap_at = tail + 4 + 8 + len(spaces[0].encode()) + 32
    changed = {bits: leaf[:bitmap_at] + bytes((bits,)) + leaf[bitmap_at + 1 :] for bits in (0, 7, 0x0D)}
    plain = _leaf_value(2, "all")
    reversed_columns = Leaf(plain.keys, plain.record_ids, plain.bodies, plain.columns[::-1]).encode()[1]
    same_columns = Leaf(plain.keys, plain.record_ids, plain.bodies, plain.columns[:1] * 2).encode()[1]
    for name, what, raw in (
        ("leaf-empty", "no bytes", b""),
        ("leaf-cut", "the last byte is missing", leaf[:-1]),
        ("leaf-more", "a byte too many", leaf + b"\0"),
        ("leaf-count", "more records than there are", u32(4) + leaf[4:]),
        ("leaf-count-huge", "4 billion records", u32(2**32 - 1) + leaf[4:]),
        ("leaf-key-huge", "a key of 4 GB", leaf[:4] + u32(2**32 - 1) + leaf[8:]),
        ("leaf-order", "keys that descend", leaf[:4] + swapped + after),
        ("leaf-twice", "a key twice", leaf[:4] + twice + after),
        ("leaf-columns", "more columns than there are", leaf[:tail] + u32(3) + leaf[tail + 4 :]),
        ("leaf-columns-huge", "4 billion columns", leaf[:tail] + u32(2**32 - 1) + leaf[tail + 4 :]),
        ("leaf-columns-order", "columns that descend", reversed_columns),
        ("leaf-columns-twice", "a space twice", same_columns),
        ("leaf-bitmap-none", "a bitmap that names no record", changed[0]),
        ("leaf-bitmap-all", "a bitmap that names all", changed[7]),
        ("leaf-bitmap-past", "a bit past the last record", changed[0x0D]),
        ("leaf-bitmap-size", "a bitmap of two bytes", leaf[:bitmap_at] + b"\0" + leaf[bitmap_at:]),
    ):
        yield name, what, "leaf", raw, "object-corrupt"
    assert column

    node = _node_value(1, 3).encode()[1]
    level2 = struct.pack("<II", 0, 3) + node[8:]
    sizes = struct.unpack("<3I", node[8:20])
    first = node[20 : 20 + sizes[0]]
    for name, what, raw in (
        ("node-empty", "no bytes", b""),
        ("node-level-0", "level 0 is for leaves", level2),
        ("node-level-65", "a level above the limit", struct.pack("<II", 65, 3) + node[8:]),
        ("node-no-child", "no children", struct.pack("<II", 1, 0)),
        ("node-crowded", "513 children", _node_value(1, 513).encode()[1]),
        ("node-cut", "the last byte is missing", node[:-1]),
        ("node-more", "a byte too many", node + b"\0"),
        ("node-twice", "a key twice", node[:20] + first + first + node[20 + 2 * sizes[0] :]),
    ):
        yield name, what, "node", raw, "object-corrupt"

    bodies = tree.encode_bodies([b"{}", b'{"id":"a"}'])
    for name, what, raw in (
        ("bodies-cut", "the last byte is missing", bodies[:-1]),
        ("bodies-more", "a byte too many", bodies + b"\0"),
        ("bodies-count-huge", "4 billion bodies", u32(2**32 - 1) + bodies[4:]),
        ("bodies-size-huge", "a body of 4 GB", bodies[:4] + u32(2**32 - 1) + bodies[8:]),
    ):
        yield name, what, "bodies", raw, "object-corrupt"

    dense = _space("", "dense", 3, "f32")
    multi = _space("", "multi", 2, "f32")
    matrix = tree.encode_vectors(dense, [struct.pack("<3f", 1, 2, 3)] * 2)
    rows = tree.encode_vectors(multi, [struct.pack("<2f", 1, 2)])
    padding = 8 + len(dense.encode())
    assert -len(dense.encode()) % 8
    for name, what, raw in (
        ("vectors-cut", "the last byte is missing", matrix[:-1]),
        ("vectors-more", "a byte too many", matrix + b"\0"),
        ("vectors-count-huge", "4 billion rows", matrix[:4] + u32(2**32 - 1) + matrix[8:]),
        ("vectors-padding", "padding that is not zero", matrix[:padding] + b"\1" + matrix[padding + 1 :]),
        (
            "vectors-row-size",
            "a row longer than the payload",
            rows.replace(u32(8) + struct.pack("<f", 1), u32(9) + struct.pack("<f", 1)),
        ),
    ):
        yield name, what, "vectors", raw, "object-corrupt"
    yield (
        "vectors-space",
        "a space that is not canonical",
        "vectors",
        struct.pack("<II", 3, 0) + b"{ }" + bytes(5),
        "not-canonical",
    )
    for name, what, space_of, row, code in (
        ("row-nan", "NaN in a row", dense, struct.pack("<3f", 1, float("nan"), 1), "not-finite"),
        ("row-infinity", "infinity in a row", dense, struct.pack("<3f", 1, float("-inf"), 1), "not-finite"),
        ("row-multi-short", "part of a row", multi, struct.pack("<3f", 1, 2, 3), "dims-mismatch"),
        ("row-multi-empty", "no row at all", multi, b"", "dims-mismatch"),
        ("row-sparse-short", "an index without its value", _space("", "sparse", 0, "f32"), u32(1), "dims-mismatch"),
    ):
        yield name, what, "row", json.dumps({"space": space_of.encode().decode(), "row": row.hex()}), code


def _jsons() -> Iterator[tuple[str, str, str, str | bytes, str]]:
    snapshot = _snapshot().encode()[1].decode()
    for name, what, raw, code in (
        ("snapshot-space", "white space", snapshot.replace(":", ": ", 1), "not-canonical"),
        ("snapshot-list", "a list", "[]", "object-corrupt"),
        ("snapshot-missing", "no edges", snapshot.replace('"edges"', '"ebbs"'), "object-corrupt"),
        ("snapshot-leaf-1", "one record a leaf", snapshot.replace(":1024,", ":1,"), "object-corrupt"),
        ("snapshot-leaf-huge", "leaves beyond the limit", snapshot.replace(":1024,", ":8193,"), "object-corrupt"),
        ("snapshot-height", "a height of 65", snapshot.replace('"height":2', '"height":65'), "object-corrupt"),
        ("snapshot-height-true", "true is not 1", snapshot.replace('"height":2', '"height":true'), "object-corrupt"),
        ("snapshot-count", "fewer than no records", snapshot.replace('"count":70000', '"count":-1'), "object-corrupt"),
        (
            "snapshot-root-member",
            "an unknown member of a root",
            snapshot.replace('"height":2', '"height":2,"i":0'),
            "object-corrupt",
        ),
        ("snapshot-spaces", "a space without dims", snapshot.replace('"dims":384,', ""), "object-corrupt"),
        (
            "snapshot-upper",
            "an id in upper case",
            snapshot.replace(LeafId.of(b"records").hex(), LeafId.of(b"records").hex().upper()),
            "object-corrupt",
        ),
    ):
        yield name, what, "snapshot", raw, code
    commit = _first_commit().encode()[1].decode()
    identifier = SnapshotId.of(b"snapshot").hex()
    many = json.dumps(["00" * 32] * 65, separators=(",", ":"))
    for name, what, raw, code in (
        ("commit-space", "white space", commit + "\n", "not-canonical"),
        ("commit-order", "members in another order", '{"snapshot":"","parents":[]}', "not-canonical"),
        ("commit-missing", "no parents", commit.replace('"parents"', '"partners"'), "object-corrupt"),
        ("commit-parents", "65 parents", commit.replace("[]", many), "object-corrupt"),
        ("commit-parent-number", "a number as parent", commit.replace("[]", "[7]"), "object-corrupt"),
        ("commit-id-short", "an id of 62 digits", commit.replace(identifier, identifier[2:]), "object-corrupt"),
        ("commit-id-upper", "an id in upper case", commit.replace(identifier, identifier.upper()), "object-corrupt"),
        (
            "commit-id-space",
            "white space in an id",
            commit.replace(identifier, identifier[:-2] + "  "),
            "object-corrupt",
        ),
        (
            "commit-time",
            "the year 10000",
            commit.replace('"time_us":0', '"time_us":253402300800000000'),
            "object-corrupt",
        ),
        ("commit-time-true", "true is not 1", commit.replace('"time_us":0', '"time_us":true'), "object-corrupt"),
        ("commit-time-half", "half a microsecond", commit.replace('"time_us":0', '"time_us":0.5'), "object-corrupt"),
        (
            "commit-author",
            "a number as author's key",
            commit.replace('{"name":""}', '{"key":5,"name":""}'),
            "object-corrupt",
        ),
        (
            "commit-statistics",
            "text for a count",
            commit.replace('"statistics":{}', '"statistics":{"a":"b"}'),
            "object-corrupt",
        ),
    ):
        assert raw not in (commit,), name
        yield name, what, "commit", raw, code
    payload = sign(SEED, b"").encode().decode()
    key = public_key(SEED).hex()
    for name, what, raw, code in (
        ("signature-type", "an unknown type", payload.replace("ed25519", "ed448"), "object-corrupt"),
        ("signature-order", "members in another order", '{"type":"ed25519",' + payload[1:-18] + "}", "not-canonical"),
        ("signature-extra", "an unknown member", payload[:-1] + ',"version":1}', "object-corrupt"),
        ("signature-key-short", "a key of 31 bytes", payload.replace(key, key[2:]), "object-corrupt"),
        ("signature-key-upper", "a key in upper case", payload.replace(key, key.upper()), "object-corrupt"),
        (
            "signature-key-space",
            "white space in a key",
            payload.replace(key, key[:2] + " " + key[2:]),
            "object-corrupt",
        ),
    ):
        yield name, what, "signature", raw, code


ORDER = 2**252 + 27742317777372353535851937790883648493
SMALL_ORDER = {
    "identity": "01" + "00" * 31,
    "order-2": "ec" + "ff" * 30 + "7f",
    "order-4": "00" * 32,
    "order-8": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "identity-not-canonical": "ee" + "ff" * 30 + "7f",
}


def _signatures() -> Iterator[tuple[str, dict[str, Any]]]:
    commit = CommitId.of(b"anything")
    good = sign(SEED, message_of(commit))

    def case(name: str, what: str, key: bytes, signature: bytes) -> tuple[str, dict[str, Any]]:
        payload = canonical.encode({"key": key.hex(), "signature": signature.hex(), "type": "ed25519"})
        given = {"commit": commit.hex(), "payload": payload.decode()}
        return name, {"what": what, "kind": "verify", "input": given, "code": "signature-bad"}

    for name, key in SMALL_ORDER.items():
        # R = the identity and S = 0 satisfy the equation for such a key, whatever was signed (or for one message in 8).
        yield case(f"verify-{name}", "a key of small order", bytes.fromhex(key), b"\1" + bytes(63))
    scalar = int.from_bytes(good.signature[32:], "little") + ORDER
    yield case("verify-s", "S above the group order", good.key, good.signature[:32] + scalar.to_bytes(32, "little"))
    other = sign(SEED, message_of(CommitId.of(b"something else")))
    yield case("verify-other", "the signature of another commit", good.key, other.signature)
    yield case("verify-message", "a signature without the header", good.key, sign(SEED, commit).signature)
    yield case("verify-key", "another key", public_key(bytes(32)), good.signature)
    yield case("verify-zero", "nothing but zeros", good.key, bytes(64))


class _Pack:
    """Builds a pack with any faults wanted."""

    def __init__(self) -> None:
        self.entries = bytearray(b"VEXPACK1")
        self.rows: list[tuple[Any, ...]] = []

    def add(
        self,
        identifier: bytes,
        kind: int,
        codec: int,
        stored: bytes,
        size: int,
        *,
        depth: int = 0,
        offset: int | None = None,
        length: int | None = None,
    ) -> None:
        at = len(self.entries) if offset is None else offset
        self.rows.append((identifier, at, len(stored) if length is None else length, size, 0, 0, kind, codec, depth))
        self.entries += stored

    def file(self, *, count: int | None = None, index_at: int | None = None, ordered: bool = True) -> bytes:
        rows = sorted(self.rows, key=lambda row: (row[0], row[6])) if ordered else self.rows
        index = b"".join(struct.pack("<32sQIIIHBBB7x", *row) for row in rows)
        at = len(self.entries) if index_at is None else index_at
        number = len(rows) if count is None else count
        sums = blake3(index).digest() + blake3(self.entries).digest()
        return bytes(self.entries) + index + struct.pack("<QQ", at, number) + sums + b"VEXPACK1"


def _frame(size: int) -> bytes:
    """Return a tiny zstd frame that claims to hold ``size`` bytes."""
    return (
        b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", size) + (1 | 1 << 1 | (1 << 17) << 3).to_bytes(3, "little") + b"\0"
    )


def _packs() -> Iterator[tuple[str, dict[str, Any]]]:
    body = tree.encode_bodies([b'{"id":"a","text":"' + b"many words " * 40 + b'"}'])
    name_of, kind = BodiesId.of(body), int(ObjectType.BODIES)
    plain = zstandard.ZstdCompressor().compress(body)

    def case(name: str, what: str, raw: bytes, code: str, ask: bytes | None = name_of) -> tuple[str, dict[str, Any]]:
        value: dict[str, Any] = {"what": what, "kind": "pack", "input": {"hex": raw.hex()}, "code": code}
        if ask is not None:
            value["get"] = {"id": ask.hex(), "type": kind}
        return f"pack-{name}", value

    def one(codec: int, stored: bytes, size: int, **options: Any) -> bytes:
        pack = _Pack()
        pack.add(name_of, kind, codec, stored, size, **options)
        return pack.file()

    good = one(Codec.ZSTD, plain, len(body))
    yield case("empty", "no bytes", b"", "pack-corrupt")
    yield case("cut", "the last byte is missing", good[:-1], "pack-corrupt")
    yield case("magic", "another magic", b"VEXPACK2" + good[8:], "pack-corrupt")
    yield case("end", "another magic at the end", good[:-1] + b"2", "pack-corrupt")
    pack = _Pack()
    pack.add(name_of, kind, Codec.ZSTD, plain, len(body))
    yield case("footer-count", "a footer with another number of rows", pack.file(count=2), "pack-corrupt")
    yield case("footer-count-huge", "a footer with 2^64 − 1 rows", pack.file(count=2**64 - 1), "pack-corrupt")
    yield case("footer-index", "an index outside the file", pack.file(index_at=2**63), "pack-corrupt")
    yield case("footer-index-0", "an index over the magic", _Pack().file(index_at=0), "pack-corrupt", None)
    yield case("offset", "an entry past the entries", one(1, plain, len(body), offset=len(good)), "pack-corrupt")
    yield case("offset-0", "an entry over the magic", one(1, plain, len(body), offset=0), "pack-corrupt")
    yield case("offset-huge", "an offset of 2^64 − 1", one(1, plain, len(body), offset=2**64 - 1), "pack-corrupt")
    yield case(
        "length",
        "an entry that reaches into the index",
        one(1, plain, len(body), length=len(plain) + 1),
        "pack-corrupt",
    )
    yield case("size-huge", "a payload above the limit", one(1, plain, 2**30 + 1), "pack-corrupt")
    yield case("depth", "a difference deeper than 8", one(1, plain, len(body), depth=9), "pack-corrupt")
    pack = _Pack()
    pack.add(name_of, 8, Codec.ZSTD, plain, len(body))
    yield case("type", "an unknown type", pack.file(), "pack-corrupt")
    yield case("codec", "an unknown codec", one(200, plain, len(body)), "object-corrupt")
    yield case("size", "another size than the frame's", one(1, plain, len(body) + 1), "object-corrupt")
    yield case("raw-size", "another size than is stored", one(0, body, len(body) + 1), "object-corrupt")
    yield case("bomb", "a frame that claims a terabyte", one(1, _frame(2**40), len(body)), "object-corrupt")
    yield case(
        "bomb-limit", "a frame that claims the limit and ends early", one(1, _frame(2**20), 2**20), "object-corrupt"
    )
    yield case("bomb-shuffle", "the same among numbers", one(2, _frame(2**40), len(body)), "object-corrupt")
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(body)
    yield case("unsized", "a frame that does not state its size", one(1, unsized, len(body)), "object-corrupt")
    yield case("no-frame", "bytes that are no frame", one(1, b"hello world", len(body)), "object-corrupt")
    yield case("other", "an object under another's id", one(0, b"other content", 13), "object-corrupt")
    pack = _Pack()
    pack.add(name_of, kind, Codec.ZSTD, plain, len(body))
    pack.add(name_of, kind, Codec.ZSTD, plain, len(body))
    yield case("row-twice", "an index that names an object twice", pack.file(), "pack-corrupt", None)
    pack = _Pack()
    pack.add(b"\2" * 32, kind, Codec.RAW, b"b", 1)
    pack.add(b"\1" * 32, kind, Codec.RAW, b"a", 1)
    yield case("row-order", "an index that descends", pack.file(ordered=False), "pack-corrupt", None)

    for codec, label in ((Codec.PREFIX, "prefix"), (Codec.ROWS, "rows")):
        pack = _Pack()
        pack.add(name_of, kind, codec, name_of + plain, len(body), depth=1)
        yield case(f"{label}-self", "a difference from itself", pack.file(), "object-corrupt")
        pack = _Pack()
        other = b"\7" * 32
        pack.add(name_of, kind, codec, other + plain, len(body), depth=2)
        pack.add(other, kind, codec, name_of + plain, len(body), depth=1)
        yield case(f"{label}-loop", "two differences from each other", pack.file(), "object-corrupt")
        pack = _Pack()
        pack.add(name_of, kind, codec, b"\7" * 32 + plain, len(body), depth=1)
        yield case(f"{label}-base", "a difference from an object that is not there", pack.file(), "object-missing")
        pack = _Pack()
        pack.add(name_of, kind, codec, b"\7" * 31, len(body), depth=1)
        yield case(f"{label}-short", "a difference without a whole base id", pack.file(), "object-missing")

    base = b"\0" * 8 + struct.pack("<6f", *range(6))  # a head of 8 bytes, rows of 8

    def rows(head: int, row: int, item: int, runs: list[tuple[int, int, int]], literal: bytes, size: int) -> bytes:
        pack = _Pack()
        pack.add(b"\7" * 32, kind, Codec.RAW, base, len(base))
        stored = struct.pack("<IIII", head, row, item, len(runs)) + b"".join(struct.pack("<III", *run) for run in runs)
        pack.add(name_of, kind, Codec.ROWS, b"\7" * 32 + stored + literal, size, depth=1)
        return pack.file()

    head = zstandard.ZstdCompressor().compress(bytes(8))
    yield case("rows-past", "rows copied from past the base", rows(8, 8, 4, [(2, 2, 0)], head, 24), "object-corrupt")
    yield case("rows-size", "another size than the runs give", rows(8, 8, 4, [(0, 3, 0)], head, 40), "object-corrupt")
    yield case("rows-item", "items of 3 bytes", rows(8, 8, 3, [(0, 3, 0)], head, 32), "object-corrupt")
    yield case("rows-zero", "rows of no bytes", rows(8, 0, 4, [(0, 3, 0)], head, 8), "object-corrupt")
    yield case("rows-odd", "rows of half an item", rows(8, 6, 4, [(0, 3, 0)], head, 26), "object-corrupt")
    billions = [(0, 0, 2**32 - 1)] * 4
    bomb = rows(8, 64, 4, billions, _frame(8 + 64 * 4 * (2**32 - 1)), 2**20)
    yield case("rows-bomb", "runs and a frame that claim a terabyte", bomb, "object-corrupt")
    copies = rows(8, 8, 4, [(0, 3, 0)] * 1000, head, 32)
    yield case("rows-copies", "more copies than the size allows", copies, "object-corrupt")
    pack = _Pack()
    pack.add(b"\7" * 32, kind, Codec.RAW, base, len(base))
    pack.add(name_of, kind, Codec.ROWS, b"\7" * 32 + struct.pack("<IIII", 8, 8, 4, 2**32 - 1), 32, depth=1)
    yield case("rows-runs-huge", "4 billion runs", pack.file(), "object-corrupt")


# -- a frozen repository ---------------------------------------------------------------------------------------------


def make_repository(folder: Path) -> None:
    """Make a repository that uses every part of the format in ``folder/.vex``, with a fixed clock and key."""
    from vexrepo.objects.record import Record
    from vexrepo.remotes.stores.address import Address
    from vexrepo.remotes.stores.base import Plan
    from vexrepo.remotes.stores.registry import open_store
    from vexrepo.repository import Repository, Surroundings
    from vexrepo.storage.keys import Identity

    clock = itertools.count(1_780_000_000_000_000, 3_600_000_000)
    around = Surroundings(lambda: next(clock), "Ada", Identity("default", public_key(SEED), SEED))
    file = folder / "memory.vmig.jsonl"
    tree.LEAF_BYTES = 4096  # several leaves and nodes in little space

    def record(number: int, version: int) -> dict[str, Any]:
        value: dict[str, Any] = {
            "id": f"mem_{number:03}",
            "text": f"The agent learned fact {number}, now told for the {version}. time. "
            + "Words follow. " * (number % 3),
            "namespace": ("notes", "trading", None)[number % 3],
            "vector": [round(((number * 7 + axis * 13 + version) % 101) / 101, 6) for axis in range(12)],
            "model": "sample-embed",
            "dims": 12,
            "metadata": {"importance": number % 5, "tags": ["a", "b"][: number % 3]},
            "created_at": "2026-11-20T08:00:00.000Z",
        }
        if number % 10 == 3:
            value["vectors"] = {
                "title": [[0.5, 0.25], [number, 1]],
                "terms": {"indices": [9, number], "values": [0.1, 2]},
            }
        if number % 10 == 7:
            value["vector"], value["model"] = [number + 1 / 3, 2 / 7, 0.1], "sample-double"
            value["dims"] = 3
        if number % 10 == 9:
            del value["vector"], value["dims"]
        return value

    def write(records: list[dict[str, Any]]) -> None:
        file.write_text("".join(json.dumps(item) + "\n" for item in records))

    repository = Repository.init(folder, around, store=str(file))
    repository.config.add("core.line_cache", False, "make_vectors")
    write([record(number, 1) for number in range(90)])
    repository.commit("What the agent knew on Monday")
    repository.create_tag("monday", "HEAD")
    write([record(number, 2 if number % 30 == 4 else 1) for number in range(91) if number != 50])
    repository.commit("Learned, changed and forgot")
    repository.create_branch("trial", "HEAD~1", switch=True)
    write([record(number, 3 if number == 11 else 1) for number in range(90)])
    repository.commit("Another way")
    store = open_store(Address("vektor", str(folder / "agent.db")), create=True)
    held: list[Record] = sorted(from_json(record(number, 1)) for number in range(6))
    edges = [
        edge.from_json({"source": f"mem_{a:03}", "target": f"mem_{b:03}", "type": "relates", "weight": 0.5})
        for a, b in ((0, 1), (1, 2), (0, 5))
    ]
    store.write(Plan(lambda: iter(held), (), lambda: iter(held), edges, (), lambda: iter(edges)))
    repository.create_branch("graph", "HEAD", switch=True)
    repository.commit("With edges", store=Address("vektor", str(folder / "agent.db")))
    repository.create_branch("gone", "HEAD")
    repository.undo()


def summary(folder: Path) -> dict[str, Any]:
    """Return every record and edge of every commit of a repository, as kept beside the frozen one."""
    from vexrepo.history.walk import iter_records
    from vexrepo.repository import Repository, Surroundings

    repository = Repository.open(folder, Surroundings(lambda: 0))
    view, commits = repository.view(), {}
    for start in view.refs.values():
        for identifier, commit in repository.history(start):
            snapshot = repository.snapshot_of(identifier)
            assert snapshot is not None
            commits[identifier.hex()] = {
                "message": commit.message,
                "records": {
                    item.id.hex(): item.to_json() for item in iter_records(repository.objects, snapshot.records)
                },
                "edges": {item.id.hex(): item.to_json() for item in iter_records(repository.objects, snapshot.edges)},
            }
    # A record that several commits have is written once.
    seen: set[str] = set()
    for commit_value in commits.values():
        for name in ("records", "edges"):
            held: dict[str, Any] = commit_value[name]
            commit_value[name] = {key: None if key in seen else value for key, value in held.items()}
            seen |= held.keys()
    refs = {name: commit.hex() for name, commit in view.refs.items()}
    return {"head": view.head, "refs": refs, "commits": commits}


def main(arguments: list[str]) -> int:
    """Write or compare; return the number of differences."""
    files = {ROOT / f"vectors/v1/{name}.json": value for name, value in golden().items()}
    files |= {ROOT / f"vectors/v1/hostile/{name}.json": value for name, value in hostile().items()}
    different = 0
    for path, value in sorted(files.items()):
        text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        if path.exists():
            if path.read_text("utf-8") != text:
                different += 1
                print(f"differs: {path.relative_to(ROOT)}")
        elif "--write" in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
        else:
            different += 1
            print(f"missing: {path.relative_to(ROOT)}")
    frozen = ROOT / "repos/v1"
    if "--write" in arguments and not frozen.exists():
        with tempfile.TemporaryDirectory() as scratch:
            make_repository(Path(scratch))
            shutil.rmtree(Path(scratch) / ".vex/tmp", ignore_errors=True)
            (Path(scratch) / ".vex/lock").unlink(missing_ok=True)
            (Path(scratch) / ".vex/config.toml").unlink()
            frozen.mkdir(parents=True)
            # Not under its usual name, which version control leaves out.
            shutil.copytree(Path(scratch) / ".vex", frozen / "vex")
        text = json.dumps(summary(frozen / "vex"), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        (frozen / "expected.json").write_text(text.replace('"},"', '"},\n"') + "\n", "utf-8")
        print("wrote repos/v1")
    return different


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
