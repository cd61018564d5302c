"""The golden files of objects/vectors/v1 are what our code gives, and what a reader written from the page gives."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from docs.dev import make_vectors
from tests.hostile import reference_reader as reference
from vexrepo.formats import vmig
from vexrepo.objects import canonical, tree
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId, VectorsId
from vexrepo.objects.signature import Signature, is_good, message_of, public_key, sign
from vexrepo.objects.snapshot import Snapshot
from vexrepo.objects.vector import Space, Vector, to_json

FOLDER = Path(__file__).parents[2] / "objects/vectors/v1"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def test_the_files_are_those_the_code_makes() -> None:
    made = make_vectors.golden()
    assert sorted(made) == NAMES
    for name, value in made.items():
        assert json.loads(json.dumps(value)) == load(name), name


def test_the_hostile_files_are_those_the_code_makes() -> None:
    # Packs hold compressed bytes, which another version of zstd may write otherwise.
    made = {name: case for name, case in make_vectors.hostile().items() if case["kind"] != "pack"}
    for name, case in made.items():
        assert json.loads((FOLDER / f"hostile/{name}.json").read_text("utf-8")) == json.loads(json.dumps(case)), name


@pytest.mark.parametrize("case", load("canonical"), ids=lambda case: case["json"][:20])
def test_canonical_json(case: dict[str, str]) -> None:
    expected = case["canonical"].encode()
    assert canonical.encode(canonical.parse(case["json"].encode())) == expected
    assert canonical.decode(expected) == canonical.parse(case["json"].encode())
    assert reference.canonical(reference.parse(expected)).encode() == expected
    assert reference.canonical(json.loads(case["json"])).encode() == expected


def test_keys() -> None:
    golden = load("keys")
    for case in golden["records"]:
        value = {"id": case["id"], "namespace": case["namespace"]}
        assert reference.record_key(value).hex() == case["key"]
        line = json.dumps(value).encode()
        assert vmig.parse_record(line).key.hex() == case["key"]
    for case in golden["edges"]:
        assert reference.edge_key(case["edge"]).hex() == case["key"]
    assert golden["order"] == sorted(golden["order"])
    pairs = [(case["namespace"] or "", case["id"]) for case in golden["records"]]
    by_pair = dict(zip(pairs, (case["key"] for case in golden["records"]), strict=True))
    assert [by_pair[pair] for pair in sorted(set(pairs))] == golden["order"], "keys sort as (namespace, id) does"


@pytest.mark.parametrize("case", load("records"), ids=lambda case: case["json"][:40])
def test_records(case: dict[str, Any]) -> None:
    found = vmig.parse_record(case["json"].encode())
    vectors = [(item.space.encode().decode(), item.row.hex()) for item in found.vectors]
    assert (found.key.hex(), found.body.decode(), found.id.hex()) == (case["key"], case["body"], case["id"])
    assert vectors == [(item["space"], item["row"]) for item in case["vectors"]]
    spaces = [reference.parse_space(item["space"].encode()) for item in case["vectors"]]
    parts = [
        (space, item["space"].encode(), bytes.fromhex(item["row"]))
        for space, item in zip(spaces, case["vectors"], strict=True)
    ]
    assert reference.record_id(case["body"].encode(), parts).hex() == case["id"]
    # And back: every number is as it came (−0 in a vector, too).
    again = json.loads(vmig.format_record(found))
    assert vmig.parse_record(json.dumps(again).encode()) == found
    for space, _, row in parts:
        held = again["vectors"][space["name"]] if space["name"] else again["vector"]
        assert bits(reference.vector_value(space, row)) == bits(held)


def bits(value: Any) -> Any:
    """Return numbers as the bytes of their doubles, so that 0 and −0 differ."""
    if isinstance(value, dict):
        return [value["indices"], bits(value["values"])]
    return [bits(item) if isinstance(item, list) else struct.pack("<d", item) for item in value]


def test_numbers_of_vectors() -> None:
    for case in load("vectors")["numbers"]:
        numbers = json.loads(case["json"])
        raw = bytes.fromhex(case["row"])
        assert bits(reference.numbers(case["dtype"], raw)) == bits(numbers), case["json"]
        space = Space("", "dense", None, len(numbers), case["dtype"])
        assert bits(to_json(Vector(space, raw))) == bits(numbers), case["json"]


def test_payloads_of_vectors_and_bodies() -> None:
    golden = load("vectors")
    for case in golden["payloads"]:
        payload = bytes.fromhex(case["payload"])
        rows = [bytes.fromhex(row) for row in case["rows"]]
        matrix = tree.decode_vectors(payload)
        assert [matrix.row(number) for number in range(matrix.count)] == rows
        assert VectorsId.of(payload).hex() == case["id"]
        assert reference.parse_vectors(payload) == (case["space"].encode(), rows)
    case = golden["bodies"]
    assert [body.decode() for body in reference.parse_bodies(bytes.fromhex(case["payload"]))] == case["bodies"]
    assert [body.decode() for body in tree.decode_bodies(bytes.fromhex(case["payload"]))] == case["bodies"]
    assert reference.digest(b"vex:bodies:1\n", bytes.fromhex(case["payload"])).hex() == case["id"]


def test_boundaries() -> None:
    golden = load("boundaries")
    assert any(case["ends"] for case in golden["hashes"])
    for case in golden["hashes"]:
        place = (bytes.fromhex(case["key"]), case["level"], case["expected"])
        assert tree.ends_here(*place) == reference.ends(*place) == case["ends"]
        assert case["ends"] == (int(case["hash"]) < 2**64 // case["expected"])
    leaves, sizes, held = golden["leaves"], [], 0
    for name in leaves["ids"]:
        held += 1
        if reference.ends(reference.record_key({"id": name}), 0, leaves["leaf_records"]) or held == 64:
            sizes.append(held)
            held = 0
    assert [*sizes, *([held] if held else [])] == leaves["sizes"]


@pytest.mark.parametrize("case", load("leaf"), ids=lambda case: f"{len(case['keys'])} records")
def test_leaves(case: dict[str, Any]) -> None:
    payload = bytes.fromhex(case["payload"])
    leaf, other = tree.Leaf.decode(payload), reference.parse_leaf(payload)
    assert tree.leaf_id(payload).hex() == other.id.hex() == case["id"]
    assert leaf.encode() == (tree.leaf_id(payload), payload)
    assert [key.hex() for key in leaf.keys] == [key.hex() for key in other.keys] == case["keys"]
    assert [identifier.hex() for identifier in other.ids] == case["record_ids"]
    assert leaf.bodies.hex() == other.bodies.hex() == case["bodies"]
    assert [(space.decode(), name.hex()) for space, name, _ in other.columns] == [
        (column["space"], column["vectors"]) for column in case["columns"]
    ]
    assert [list(tree.members_rows(column.members, len(leaf.keys))) for column in leaf.columns] == [
        rows for _, _, rows in other.columns
    ]


@pytest.mark.parametrize("case", load("node"), ids=lambda case: f"level {case['level']}")
def test_nodes(case: dict[str, Any]) -> None:
    payload = bytes.fromhex(case["payload"])
    node, other = tree.Node.decode(payload), reference.parse_node(payload)
    assert tree.node_id(payload).hex() == other.id.hex() == case["id"]
    assert node.encode() == (tree.node_id(payload), payload)
    found = [(child.last_key.hex(), child.id.hex(), child.count) for child in node.children]
    assert found == [
        (key.hex(), name.hex(), n) for key, name, n in zip(other.keys, other.ids, other.counts, strict=True)
    ]
    assert found == [(child["last_key"], child["id"], child["count"]) for child in case["children"]]


@pytest.mark.parametrize("name", ["snapshot", "commit"])
def test_snapshots_and_commits(name: str) -> None:
    kind = {"snapshot": Snapshot, "commit": Commit}[name]
    for case in load(name):
        payload = case["payload"].encode()
        value = kind.decode(payload)
        identifier, again = value.encode()
        assert (again, identifier.hex()) == (payload, case["id"])
        assert reference.parse(payload) == json.loads(case["payload"])
        assert reference.digest(f"vex:{name}:1\n".encode(), payload).hex() == case["id"]


def test_signatures() -> None:
    case = load("signature")
    seed, commit = bytes.fromhex(case["seed"]), CommitId.parse(case["commit"])
    assert public_key(seed).hex() == case["key"]
    assert message_of(commit).hex() == case["message"]
    assert sign(seed, message_of(commit)).encode().decode() == case["payload"]
    signature = Signature.decode(case["payload"].encode())
    assert is_good(signature, message_of(commit))
    assert not is_good(signature, message_of(CommitId.of(b"another")))
