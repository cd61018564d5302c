"""Some memories of a commit, proved to somebody who must not see the others."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.conftest import Memory, Vex
from vexrepo.errors import InvalidData
from vexrepo.objects.proof import Proof


@pytest.fixture
def proven(vex: Vex, memory: Memory) -> tuple[Path, Path]:
    """A file of one namespace and its proof, made at a signed commit of a few hundred memories."""
    for number in range(300):
        memory.records[f"n{number}"] = {**memory.records["m4"], "id": f"n{number}", "text": f"secret note {number}"}
    memory.write()
    assert vex("init", "--store", memory.path.name).code == 0
    assert vex("commit", "-m", "all of it").code == 0
    ran = vex("export", "--at", "HEAD", "--namespace", "work", "--prove", "-o", "part.vmig.jsonl")
    assert ran.code == 0, ran.err
    return Path("part.vmig.jsonl"), Path("part.vmig.proof")


def codes(vex: Vex, *arguments: str) -> set[str]:
    ran = vex("verify", *arguments, "--json")
    assert ran.code == 1
    return {each["code"] for each in ran.json()["reasons"]}


def test_a_part_of_a_commit_is_proved_by_who_knows_its_signer(vex: Vex, proven: tuple[Path, Path]) -> None:
    file, proof = proven
    found = vex("verify", str(file), "--json")
    assert found.code == 0
    assert found.json()["records"] == 1 and found.json()["ok"]
    assert "proven" in vex("verify", str(file)).out
    assert proof.stat().st_size < 64 << 10


def test_a_proof_shows_nothing_of_the_others(proven: tuple[Path, Path]) -> None:
    raw = proven[1].read_bytes()
    for hidden in (b"secret note", b"n17", b"Lunch", b"prefs"):
        assert hidden not in raw


def test_exported_memories_are_written_exactly_as_the_commit_has_them(
    memory: Memory, proven: tuple[Path, Path]
) -> None:
    (line,) = proven[0].read_text("utf-8").splitlines()
    assert json.loads(line) == memory.records["m3"]  # nothing is filled in that the commit does not say


def test_a_changed_memory_is_not_proven(vex: Vex, proven: tuple[Path, Path]) -> None:
    file = proven[0]
    file.write_text(file.read_text("utf-8").replace("is paid", "is open"), "utf-8")
    assert codes(vex, str(file)) == {"not-proven"}


def test_a_vector_changed_in_its_last_digit_is_not_proven(vex: Vex, proven: tuple[Path, Path]) -> None:
    file = proven[0]
    value = json.loads(file.read_text("utf-8"))
    value["vector"][0] += 2**-20
    file.write_text(json.dumps(value) + "\n", "utf-8")
    assert codes(vex, str(file)) == {"not-proven"}


def test_a_memory_slipped_in_is_not_proven(vex: Vex, proven: tuple[Path, Path]) -> None:
    file = proven[0]
    value = {**json.loads(file.read_text("utf-8")), "id": "m99"}
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(value) + "\n")
    assert codes(vex, str(file)) == {"not-proven"}


def test_a_proof_for_another_commit_proves_nothing(vex: Vex, memory: Memory, proven: tuple[Path, Path]) -> None:
    file, _ = proven
    before = file.read_bytes()
    memory.records["m3"]["text"] = "The invoice of March is open"
    memory.write()
    assert vex("commit", "-m", "later").code == 0
    assert vex("export", "--at", "HEAD", "--namespace", "work", "--prove", "-o", "other.vmig.jsonl").code == 0
    file.write_bytes(before)
    assert codes(vex, str(file), "--proof", "other.vmig.proof") == {"not-proven"}


def test_a_proof_by_somebody_unknown_is_unknown(
    vex: Vex, proven: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "stranger"))
    assert codes(vex, str(proven[0])) == {"signature-unknown-key"}
    assert vex("verify", str(proven[0]), "--json").json()["verdict"] == "unknown"


def test_a_proof_without_the_authors_signature_is_bad(vex: Vex, proven: tuple[Path, Path]) -> None:
    value = json.loads(proven[1].read_text("utf-8"))
    value["signatures"] = []
    proven[1].write_text(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False), "utf-8")
    assert codes(vex, str(proven[0])) == {"signature-missing"}


def test_only_a_commit_can_be_proved(vex: Vex, memory: Memory) -> None:
    ran = vex("export", "--from", memory.path.name, "--prove", "-o", "x.vmig.jsonl")
    assert ran.code == 2 and "--at" in ran.err


def test_a_memory_that_is_there_twice_is_not_proven(vex: Vex, proven: tuple[Path, Path]) -> None:
    file, _ = proven
    file.write_bytes(2 * file.read_bytes())
    ran = vex("verify", str(file))
    assert ran.code == 1 and "part.vmig.jsonl line 2 (work/m3)" in ran.out and "proven: all" not in ran.out
    assert codes(vex, str(file)) == {"duplicate-key"}


def test_a_missing_or_foreign_proof_is_named(vex: Vex, proven: tuple[Path, Path]) -> None:
    assert "proof-missing" in vex("verify", str(proven[0]), "--proof", "none.proof").err
    whole = proven[1].read_text("utf-8")
    spaced = whole.replace('"version":1', '"version": 1')
    for content in ('{"version":2}', "", "a note", whole[:-20], whole + "\n", spaced):
        Path("bad.proof").write_text(content, "utf-8")
        ran = vex("verify", str(proven[0]), "--proof", "bad.proof")
        assert ran.code == 1 and "bad.proof: the proof cannot be understood" in ran.err
        assert "[proof-unreadable]" in ran.err


def test_a_dry_run_writes_nothing(vex: Vex, proven: tuple[Path, Path]) -> None:
    ran = vex("export", "--at", "HEAD", "--prove", "-n", "-o", "dry.vmig.jsonl", "--json")
    assert ran.json()["written"] == 304
    assert not list(Path().glob("dry*"))


@settings(max_examples=60)
@given(st.data())
def test_every_change_of_a_proof_is_noticed(proof_bytes: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(proof_bytes) - 1))
    to = data.draw(st.integers(0, 255).filter(lambda byte: byte != proof_bytes[at]))
    changed = proof_bytes[:at] + bytes([to]) + proof_bytes[at + 1 :]
    sound = Proof.decode(proof_bytes)
    try:
        found = Proof.decode(changed)
        found.check()
    except InvalidData:
        return
    # What still holds together is about another commit, or a signature that is judged apart.
    assert found.commit_id != sound.commit_id or found.signature_payloads != sound.signature_payloads


@pytest.fixture(scope="module")
def proof_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from vexrepo.history.proving import Prover
    from vexrepo.objects.selection import Selection
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import Repository, Surroundings

    folder = tmp_path_factory.mktemp("proof")
    lines = [json.dumps({"id": f"m{n}", "text": f"t{n}", "vector": [n / 7] * 400}) + "\n" for n in range(2000)]
    (folder / "m.vmig.jsonl").write_text("".join(lines), "utf-8")
    repository = Repository.init(folder, Surroundings(now_us=lambda: 1_750_000_000_000_000))
    made = repository.commit("x", store=Address("jsonl", str(folder / "m.vmig.jsonl")))
    assert made.id is not None
    prover = Prover(repository.objects, made.id, Selection(namespaces=frozenset([""])))
    assert len(list(prover.records())) == 2000
    return prover.proof().encode()


def b64(value: Any) -> bytes:
    return base64.b64decode(value)


def test_a_checker_written_from_the_page_agrees(proof_bytes: bytes) -> None:
    """objects/PROOF.md, step by step, without our code."""
    value = json.loads(proof_bytes)
    commit, snapshot = value["commit"], value["snapshot"]
    assert blake3(b"vex:snapshot:1\n" + snapshot.encode()).hexdigest() == json.loads(commit)["snapshot"]
    root = json.loads(snapshot)["records"]
    allowed = {(bytes.fromhex(root["id"]), root["height"]): root["count"]}
    for node in value["nodes"]:
        ids, counts = b64(node["ids"]), b64(node["counts"])
        head = node["level"].to_bytes(4, "little") + (len(counts) // 8).to_bytes(4, "little")
        name = blake3(b"vex:node:1\n" + head + bytes.fromhex(node["keys"]) + ids + counts).digest()
        below = [int.from_bytes(counts[at : at + 8], "little") for at in range(0, len(counts), 8)]
        assert allowed[name, node["level"]] == sum(below)
        for place, count in enumerate(below):
            allowed[ids[32 * place : 32 * place + 32], node["level"] - 1] = count
    shown = set()
    for leaf in value["leaves"]:
        groups = b64(leaf["groups"])
        parts = (leaf["keys"], blake3(groups).hexdigest(), leaf["bodies"], leaf["columns"])
        size = leaf["count"].to_bytes(4, "little")
        name = blake3(b"vex:leaf:1\n" + size + b"".join(map(bytes.fromhex, parts))).digest()
        assert allowed[name, 0] == leaf["count"]
        for number, text in leaf["shown"].items():
            ids = b64(text)
            assert blake3(ids).digest() == groups[32 * int(number) : 32 * int(number) + 32]
            shown |= {ids[at : at + 32] for at in range(0, len(ids), 32)}
    assert len(shown) == 2000
    assert shown == Proof.decode(proof_bytes).check()
