"""A reader written from objects/FORMAT.md alone reads what our code writes, and the frozen repository."""

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from docs.dev import make_vectors
from tests.hostile.reference_reader import Damaged, Repository
from vexrepo.history.walk import iter_records
from vexrepo.objects import tree
from vexrepo.objects.digest import CommitId
from vexrepo.objects.signature import Verdict, public_key
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.repository import Repository as OurRepository
from vexrepo.repository import Surroundings, Trust
from vexrepo.storage import codec

ROOT = Path(__file__).parents[2]
FROZEN = ROOT / "objects/repos/v1"


def ours(folder: Path) -> OurRepository:
    trust = Trust.of({public_key(make_vectors.SEED): "sample"})
    return OurRepository.open(folder, Surroundings(lambda: 0, trust=trust))


def our_records(repository: OurRepository, root: TreeRoot) -> list[tuple[bytes, bytes, dict[str, Any]]]:
    return [(item.key, bytes(item.id), item.to_json()) for item in iter_records(repository.objects, root)]


def compare(folder: Path) -> Repository:
    """Hold what the two readers see against each other; return the other one."""
    repository, other = ours(folder), Repository(folder)
    view = repository.view()
    assert other.view()["refs"] == {name: commit.hex() for name, commit in view.refs.items()}
    assert other.view()["head"] == view.head
    commits = other.commits()
    reached = {name.hex() for start in view.refs.values() for name, _ in repository.history(start)}
    assert set(commits) == reached
    for name, value in commits.items():
        commit = repository.commit_at(CommitId.parse(name))
        snapshot = repository.snapshot_of(CommitId.parse(name))
        assert snapshot is not None
        assert (commit.message, commit.time_us) == (value["message"], value["time_us"])
        assert our_records(repository, snapshot.records) == other.records(name)
        assert our_records(repository, snapshot.edges) == other.records(name, "edges")
        keys = {signature["key"] for signature in other.signatures.get(bytes.fromhex(name), [])}
        assert keys == {signed.key.hex() for signed in repository.signatures(CommitId.parse(name))}
    return other


def test_the_reader_uses_nothing_of_ours() -> None:
    source = ast.parse((ROOT / "tests/hostile/reference_reader.py").read_text())
    names = {
        name.name.split(".")[0]
        for node in ast.walk(source)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert names <= {
        "blake3",
        "zstandard",
        "json",
        "struct",
        "math",
        "sys",
        "pathlib",
        "dataclasses",
        "collections",
        "fractions",
        "typing",
    }


def test_it_reads_a_repository_as_we_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "LEAF_BYTES", tree.LEAF_BYTES)  # the maker changes it
    make_vectors.make_repository(tmp_path)
    other = compare(tmp_path / ".vex")
    used = {row.codec for row in other.rows.values()}
    assert used & codec.IS_DELTA and len(used) >= 4
    assert len(list(other.operations())) == len(list(ours(tmp_path / ".vex").log.walk()))
    assert any(other.records(name, "edges") for name in other.commits())


@pytest.mark.parametrize("levels", [1, 2])
def test_it_agrees_on_trees_of_some_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, levels: int) -> None:
    monkeypatch.setattr(tree, "LEAF_BYTES", 1)
    count = 300 if levels == 1 else 6000
    lines = [json.dumps({"id": f"m{number}", "vector": [number, 0.5]}) + "\n" for number in range(count)]
    file = tmp_path / "memory.vmig.jsonl"
    file.write_text("".join(lines))
    repository = OurRepository.init(tmp_path, Surroundings(lambda: 0), store=str(file))
    repository.commit("one")
    root = repository.records_root(repository.resolve("HEAD"))
    assert root is not None and root.height == levels
    file.write_text("".join(lines[5:]).replace("0.5", "0.25", 3))
    repository.commit("two")
    compare(tmp_path / ".vex")


@pytest.mark.parametrize("records", [1, 2])
def test_a_lone_leaf_is_the_root_even_where_a_node_would_end(tmp_path: Path, records: int) -> None:
    """One leaf whose last key naturally ends a node of level 1 (and of level 2)."""
    names = (f"m{number}" for number in range(10**6))
    ending = [b"\0\x01" + name.encode() for name in names if tree.ends_here(b"\0\x01" + name.encode(), 1, tree.FANOUT)][
        :2000
    ]
    last = next((key for key in ending if tree.ends_here(key, 2, tree.FANOUT)), ending[0])
    held = sorted({last, b"\0\x01!"} if records == 2 else {last})
    file = tmp_path / "memory.vmig.jsonl"
    file.write_text("".join(json.dumps({"id": key[2:].decode()}) + "\n" for key in held))
    repository = OurRepository.init(tmp_path, Surroundings(lambda: 0), store=str(file))
    repository.commit("one")
    root = repository.records_root(repository.resolve("HEAD"))
    assert root is not None and (root.height, root.count) == (0, records)
    assert repository.check().problems == []
    compare(tmp_path / ".vex")


def test_the_frozen_repository_is_read_completely() -> None:
    other = compare(FROZEN / "vex")
    expected = json.loads((FROZEN / "expected.json").read_text("utf-8"))
    assert other.view()["refs"] == expected["refs"]
    assert other.view()["head"] == expected["head"]
    # What several commits have is written out once.
    written = [each[kind] for each in expected["commits"].values() for kind in ("records", "edges")]
    seen = {identifier: value for each in written for identifier, value in each.items() if value is not None}
    for name, commit in expected["commits"].items():
        for kind in ("records", "edges"):
            found = {identifier.hex(): value for _, identifier, value in other.records(name, kind)}
            assert found == {identifier: seen[identifier] for identifier in commit[kind]}
    assert set(expected["commits"]) == set(other.commits())


def root_count(repository: OurRepository, commit: CommitId) -> int:
    root = repository.records_root(commit)
    assert root is not None
    return root.count


def test_the_frozen_repository_is_sound_and_signed() -> None:
    repository = ours(FROZEN / "vex")
    report = repository.check()
    assert report.problems == []
    assert report.commits >= 4 and report.operations >= 8
    for commit in repository.view().refs.values():
        [verified] = repository.verify([commit])
        assert [item.verdict for item in verified.signatures] == [Verdict.GOOD]
        assert verified.damage is None and verified.records == root_count(repository, commit)


def test_the_frozen_repository_can_be_worked_with(tmp_path: Path) -> None:
    shutil.copytree(FROZEN / "vex", tmp_path / ".vex")
    file = tmp_path / "memory.vmig.jsonl"
    repository = OurRepository.open(tmp_path / ".vex", Surroundings(lambda: 1_790_000_000_000_000, "tester"))
    from vexrepo.remotes.stores.address import Address

    address = Address("jsonl", str(file))
    repository.checkout(repository.resolve("monday"), address)
    with open(file, "a") as more:
        more.write('{"id":"new","vector":[1,2,3]}\n')
    repository.commit("more", store=address)
    assert repository.check().problems == []
    compare(tmp_path / ".vex")


def test_the_frozen_repository_is_small_and_has_deltas_and_edges() -> None:
    other = Repository(FROZEN / "vex")
    assert sum(path.stat().st_size for path in FROZEN.rglob("*") if path.is_file()) < 150_000
    assert sum(path.stat().st_size for path in (FROZEN / "vex").rglob("*") if path.is_file()) < 60_000
    assert {row.codec for row in other.rows.values()} >= {1, 2, 4}
    assert any(other.records(name, "edges") for name in other.commits())


@pytest.mark.parametrize("part", ["packs", "operations", "operation", "format"])
def test_the_other_reader_notices_damage_as_well(tmp_path: Path, part: str) -> None:
    shutil.copytree(FROZEN / "vex", tmp_path / "vex")
    place = tmp_path / "vex" / part
    for path in sorted(place.iterdir()) if place.is_dir() else [place]:
        raw = path.read_bytes()
        for at in range(0, len(raw), max(1, len(raw) // 12)):
            path.write_bytes(raw[:at] + bytes((raw[at] ^ 4,)) + raw[at + 1 :])
            with pytest.raises((Damaged, OSError, UnicodeDecodeError)):
                other = Repository(tmp_path / "vex")
                list(other.operations())
        path.write_bytes(raw)
