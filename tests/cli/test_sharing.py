"""Grants and sealed exports: what may leave, what may enter, and who can read it."""

import json
import os
import secrets
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.conftest import Memory, Vex
from vexrepo.errors import Tampered, VexError, WrongKey
from vexrepo.exchange.sealing import PARTS, open_files, seal_files
from vexrepo.objects.signature import public_key
from vexrepo.storage.files import Files


class People:
    """Alice owns the memories, Bob is somebody else, with a home of his own."""

    def __init__(self, vex: Vex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._vex, self._homes, self._set = vex, tmp_path, monkeypatch.setenv
        self.keys: dict[str, str] = {}
        for name in ("alice", "bob", "eve"):
            self.act_as(name)
            assert vex("key", "new").code == 0
            self.keys[name] = vex("key", "list", "--json").json()[0]["key"]
        for name, other in (("alice", "bob"), ("bob", "alice"), ("eve", "alice")):
            self.act_as(name)
            assert vex("trust", "add", self.keys[other], "--name", other).code == 0
        self.act_as("alice")

    def act_as(self, name: str) -> None:
        self._set("VEX_HOME", str(self._homes / name))


@pytest.fixture
def people(vex: Vex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    return People(vex, tmp_path, monkeypatch)


def issue(vex: Vex, *options: str, until: str = "30d") -> Path:
    ran = vex("grant", "--to", "bob", "--until", until, "-o", "bob.vmig.grant", *options)
    assert ran.code == 0, ran.err
    return Path("bob.vmig.grant")


# -- grants ------------------------------------------------------------------------------------------------------------


def test_a_holder_exports_what_a_grant_covers_and_nothing_else(vex: Vex, memory: Memory, people: People) -> None:
    grant = issue(vex, "--namespace", "work")
    people.act_as("bob")
    source = ("export", "--from", memory.path.name, "--grant", str(grant), "-o", "out.vmig.jsonl")
    ran = vex(*source)
    assert ran.code == 0, ran.err
    assert [json.loads(line)["id"] for line in Path("out.vmig.jsonl").read_text("utf-8").splitlines()] == ["m3"]
    assert Path("out.vmig.grant").read_bytes() == grant.read_bytes()
    ran = vex(*source, "--namespace", "prefs")
    assert ran.code == 2 and "grant-exceeded" in ran.err


def test_a_grant_covers_an_export_of_a_commit(vex: Vex, memory: Memory, people: People) -> None:
    assert vex("init", "--store", memory.path.name).code == 0
    assert vex("commit", "-m", "x").code == 0
    grant = issue(vex, "--namespace", "work")
    people.act_as("bob")
    ran = vex("export", "--at", "HEAD", "--grant", str(grant), "-o", "out.vmig.jsonl", "--prove")
    assert ran.code == 0, ran.err
    assert len(Path("out.vmig.jsonl").read_text("utf-8").splitlines()) == 1


def test_only_its_holder_can_use_a_grant(vex: Vex, memory: Memory, people: People) -> None:
    grant = issue(vex, "--namespace", "work")
    people.act_as("eve")
    ran = vex("export", "--from", memory.path.name, "--grant", str(grant), "-o", "out.vmig.jsonl")
    assert ran.code == 1 and "grant-not-yours" in ran.err and not Path("out.vmig.jsonl").exists()


def test_a_grant_by_somebody_unknown_counts_for_nothing(vex: Vex, memory: Memory, people: People) -> None:
    people.act_as("eve")
    assert vex("trust", "add", people.keys["bob"], "--name", "bob").code == 0
    grant = issue(vex)
    people.act_as("bob")
    ran = vex("export", "--from", memory.path.name, "--grant", str(grant), "-o", "out.vmig.jsonl")
    assert ran.code == 1 and "grant-not-yours" in ran.err


@pytest.mark.parametrize("change", ["until_us", "namespaces", "to", "issuer", "signature", "text"])
def test_an_altered_grant_is_forged(vex: Vex, memory: Memory, people: People, change: str) -> None:
    path = issue(vex, "--namespace", "work")
    value = json.loads(path.read_bytes())
    inner = json.loads(value["grant"])
    if change == "until_us":
        inner["until_us"] += 1
    elif change == "namespaces":
        inner["namespaces"] = ["prefs", "work"]
    elif change in ("to", "issuer"):
        inner[change] = people.keys["eve"]
    elif change == "signature":
        value["signature"] = "00" * 64
    text = json.dumps(inner, sort_keys=True, separators=(",", ":"))
    value["grant"] = text + " " if change == "text" else text
    path.write_text(json.dumps(value, sort_keys=True, separators=(",", ":")), "utf-8")
    people.act_as("bob")
    ran = vex("export", "--from", memory.path.name, "--grant", str(path), "-o", "out.vmig.jsonl")
    assert ran.code == 1 and ("grant-unreadable" if change == "text" else "grant-forged") in ran.err


def test_a_grant_ends(vex: Vex, memory: Memory, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    from vexrepo.cli.surroundings import Edge

    grant = issue(vex, until="1h")
    assert "over already" in vex("grant", "--to", "bob", "--until", "2020-01-01", "-o", "x.grant").err
    people.act_as("bob")
    now = Edge.now_us()
    monkeypatch.setattr(Edge, "now_us", staticmethod(lambda: now + 2 * 3600 * 1_000_000))
    ran = vex("export", "--from", memory.path.name, "--grant", str(grant), "-o", "out.vmig.jsonl")
    assert ran.code == 1 and "grant-expired" in ran.err
    monkeypatch.setattr(Edge, "now_us", staticmethod(lambda: now - 2 * 3600 * 1_000_000))
    assert "grant-expired" in vex("grant", "--show", str(grant)).err


def test_a_grant_lets_its_holders_signature_in_for_what_it_covers(vex: Vex, memory: Memory, people: People) -> None:
    grant = issue(vex, "--namespace", "work")
    people.act_as("bob")
    for name, namespace in (("work", "work"), ("prefs", "prefs")):
        ran = vex("export", "--from", memory.path.name, "--namespace", namespace, "--sign", "-o", f"{name}.vmig.jsonl")
        assert ran.code == 0, ran.err
    people.act_as("eve")  # she knows Alice, not Bob
    arguments = ("--to", "vektor:eve.db", "--policy", "trusted")
    assert "signature-unknown-key" in vex("import", "work.vmig.jsonl", *arguments).err
    ran = vex("import", "prefs.vmig.jsonl", *arguments, "--grant", str(grant))
    assert ran.code == 1 and "signature-out-of-scope" in ran.err
    assert vex("import", "work.vmig.jsonl", *arguments, "--grant", str(grant)).code == 0


def test_a_grant_says_what_it_covers(vex: Vex, memory: Memory, people: People) -> None:
    grant = issue(vex, "--namespace", "work", "--components", "semantic", "--note", "for the audit")
    shown = vex("grant", "--show", str(grant)).out
    assert "work" in shown and "semantic" in shown and "bob" in shown and "audit" in shown
    value = vex("grant", "--show", str(grant), "--json").json()
    assert value["to"] == people.keys["bob"] and value["issuer"] == people.keys["alice"]
    assert vex("grant", "--to", "nobody", "--until", "1d", "-o", "x").code == 2


# -- sealed exports ----------------------------------------------------------------------------------------------------


def test_a_sealed_export_opens_for_its_recipient_only(vex: Vex, memory: Memory, people: People) -> None:
    Path("out.vmig.jsonl").write_text("mine\n", "utf-8")
    ran = vex("export", "--from", memory.path.name, "--sign", "--seal-to", "bob", "-o", "out.vmig.jsonl")
    assert ran.code == 0, ran.err
    assert Path("out.vmig.jsonl").read_text("utf-8") == "mine\n"  # what was there is not touched
    assert not [path for path in Path().iterdir() if path.name.startswith(".vex-")]
    raw = Path("out.vmig.sealed").read_bytes()
    for hidden in (b"Pepe", b"m1", b"prefs", bytes.fromhex(people.keys["bob"]), people.keys["bob"].encode()):
        assert hidden not in raw
    people.act_as("eve")
    ran = vex("unseal", "out.vmig.sealed", "-o", "inbox")
    assert ran.code == 12 and "sealed-for-others" in ran.err and not list(Path("inbox").iterdir())
    people.act_as("bob")
    assert vex("unseal", "out.vmig.sealed", "-o", "inbox").code == 0
    assert sorted(os.listdir("inbox")) == ["out.vmig.jsonl", "out.vmig.meta.json", "out.vmig.sig"]
    assert vex("verify", "inbox/out.vmig.jsonl").code == 0
    assert vex("unseal", "out.vmig.sealed", "-o", "inbox").code == 1  # nothing is overwritten


def test_an_export_is_sealed_to_a_key_in_a_file(vex: Vex, memory: Memory, people: People) -> None:
    people.act_as("eve")
    Path("eve.pub").write_text(vex("key", "export").out, "utf-8")
    people.act_as("alice")
    assert vex("export", "--from", memory.path.name, "--seal-to", "eve.pub", "-o", "out").code == 0
    people.act_as("bob")
    assert "sealed-for-others" in vex("unseal", "out.vmig.sealed", "-o", "inbox").err
    people.act_as("eve")
    assert vex("unseal", "out.vmig.sealed", "-o", "inbox").code == 0
    private = vex("key", "export", "--private", "eve.key")
    assert private.code == 0
    people.act_as("alice")
    ran = vex("export", "--from", memory.path.name, "--seal-to", "eve.key", "-o", "other")
    assert ran.code == 12 and "holds a private key" in ran.err and not Path("other.vmig.sealed").exists()


def test_a_key_with_a_passphrase_is_asked_for_where_no_other_opens_a_file(
    vex: Vex, memory: Memory, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.act_as("bob")
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", "a long one to remember")
    assert vex("key", "new", "archive", "--passphrase").code == 0
    Path("archive.pub").write_text(vex("key", "export", "archive").out, "utf-8")
    monkeypatch.delenv("VEX_KEY_PASSPHRASE")
    people.act_as("alice")
    for name in ("bob", "archive.pub"):
        assert vex("export", "--from", memory.path.name, "--seal-to", name, "-o", Path(name).stem).code == 0
    people.act_as("bob")
    assert vex("unseal", "bob.vmig.sealed").code == 0
    ran = vex("unseal", "archive.vmig.sealed")
    assert ran.code == 12 and "the key archive" in ran.err
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", "a long one to remember")
    assert vex("unseal", "archive.vmig.sealed").code == 0


def test_a_name_that_is_known_goes_before_a_file_called_so(vex: Vex, memory: Memory, people: People) -> None:
    """Whoever can lay a file beside the memories must not become who they are sealed to."""
    Path("bob").write_text(people.keys["eve"], "utf-8")
    assert vex("export", "--from", memory.path.name, "--seal-to", "bob", "-o", "out").code == 0
    people.act_as("bob")
    assert vex("unseal", "out.vmig.sealed", "-o", "inbox").code == 0


def test_nothing_is_given_to_a_revoked_key(vex: Vex, memory: Memory, people: People) -> None:
    assert vex("trust", "revoke", "bob", "--reason", "stolen").code == 0
    for ran in (
        vex("export", "--from", memory.path.name, "--seal-to", "bob", "-o", "out"),
        vex("export", "--from", memory.path.name, "--seal-to", people.keys["bob"], "-o", "out"),
        vex("grant", "--to", "bob", "--until", "1d", "-o", "bob.vmig.grant"),
    ):
        assert ran.code == 2 and "key-revoked" in ran.err
    assert not Path("out.vmig.sealed").exists() and not Path("bob.vmig.grant").exists()


def test_a_sealed_export_is_imported_at_once(vex: Vex, memory: Memory, people: People) -> None:
    assert vex("export", "--from", memory.path.name, "--sign", "--seal-to", "bob", "-o", "out").code == 0
    people.act_as("bob")
    ran = vex("import", "out.vmig.sealed", "--to", "vektor:bob.db", "--policy", "trusted", "--json")
    assert ran.code == 0, ran.err
    assert ran.json()["written"] == 4


def test_the_policy_for_where_a_sealed_file_lies_counts(vex: Vex, memory: Memory, people: People) -> None:
    """Anybody can seal for a public key: what is inside is no better than what lies there unsealed."""
    Path("inbox").mkdir()
    assert vex("export", "--from", memory.path.name, "--seal-to", "bob", "-o", "inbox/out").code == 0
    people.act_as("bob")
    assert vex("trust", "policy", "inbox", "trusted", "--user").code == 0
    ran = vex("import", "inbox/out.vmig.sealed", "--to", "vektor:bob.db")
    assert ran.code == 1 and "[signature-missing]" in ran.err and not Path("bob.db").exists()
    assert vex("trust", "policy", "inbox", "auto", "--user").code == 0
    assert vex("import", "inbox/out.vmig.sealed", "--to", "vektor:bob.db").code == 0


def test_what_is_wrong_with_a_sealed_file_is_said_of_it(vex: Vex, memory: Memory, people: People) -> None:
    """Not of the file it is opened to, which is gone when somebody looks."""
    seal = ("--seal-to", "bob", "-o", "inbox/out")
    Path("inbox").mkdir()
    assert vex("export", "--from", memory.path.name, "--sign", *seal).code == 0
    people.act_as("bob")
    where = "jsonl:inbox/out.vmig.sealed"
    ran = vex("import", "inbox/out.vmig.sealed", "--to", "vektor:bob.db", "--json")
    assert ran.json()["source"] == where and "vex-" not in ran.out + ran.err
    assert where in vex("import", "inbox/out.vmig.sealed", "--to", "vektor:bob.db").out

    people.act_as("eve")
    known = Path("known.vmig.jsonl")
    known.write_bytes(memory.path.read_bytes() + b'{"id": 7, "text": []}\n')
    parts = {PARTS[0]: known}
    seal_files(Files(), parts, Path("inbox/bad.vmig.sealed"), [bytes.fromhex(people.keys["bob"])])
    people.act_as("bob")
    for options in ((), ("--on-error", "skip"), ("--policy", "signed"), ("--policy", "signed", "--quarantine")):
        ran = vex("import", "inbox/bad.vmig.sealed", "--to", "vektor:bob.db", *options)
        assert ran.code in (1, 3) and "inbox/bad.vmig.sealed" in ran.err and "vex-" not in ran.out + ran.err
    shown = vex("quarantine", "show", "1", "--json").json()
    assert shown["source"]["address"] == "jsonl:inbox/bad.vmig.sealed" and "/vex-" not in json.dumps(shown)


def test_other_commands_say_how_a_sealed_file_is_opened(vex: Vex, memory: Memory, people: People) -> None:
    assert vex("export", "--from", memory.path.name, "--seal-to", people.keys["alice"], "-o", "out").code == 0
    for arguments in (["verify"], ["inspect"], ["validate"], ["migrate", "--to", "x.vmig.jsonl", "--from"]):
        ran = vex(*arguments, "out.vmig.sealed")
        assert ran.code == 2 and "open it first with vex unseal out.vmig.sealed" in ran.err


def test_hooks_are_told_of_the_sealed_file(vex: Vex, memory: Memory, people: People) -> None:
    Path("inbox").mkdir()
    assert vex("export", "--from", memory.path.name, "--seal-to", "bob", "-o", "inbox/out").code == 0
    people.act_as("bob")
    assert vex("init").code == 0
    program = Path(".vex/hooks/pre-import")
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\ncat > seen.json\n", "utf-8")
    program.chmod(0o755)
    assert vex("import", "inbox/out.vmig.sealed", "--to", "vektor:bob.db").code == 0
    source = json.loads(Path("seen.json").read_text("utf-8"))["source"]
    assert source == {"kind": "jsonl", "address": "jsonl:inbox/out.vmig.sealed"}


def test_a_proof_travels_sealed(vex: Vex, memory: Memory, people: People) -> None:
    assert vex("init", "--store", memory.path.name).code == 0
    assert vex("commit", "-m", "x").code == 0
    ran = vex("export", "--at", "HEAD", "--namespace", "work", "--prove", "--seal-to", "bob", "-o", "w.vmig.jsonl")
    assert ran.code == 0, ran.err
    people.act_as("bob")
    assert vex("unseal", "w.vmig.sealed").code == 0
    assert vex("verify", "w.vmig.jsonl").code == 0


SEED, OTHER = secrets.token_bytes(32), secrets.token_bytes(32)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sealed")
    source = folder / "in.vmig.jsonl"
    source.write_bytes(b'{"id":"a"}\n' * 20_000 + secrets.token_bytes(100_000))
    target = folder / "out.vmig.sealed"
    seal_files(Files(), {PARTS[0]: source}, target, [public_key(OTHER), public_key(SEED)])
    return target.read_bytes()


@settings(max_examples=80)
@given(st.data())
def test_every_flipped_or_missing_byte_is_noticed(
    sealed: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    at = data.draw(st.integers(0, len(sealed) - 1))
    cut = data.draw(st.booleans())
    raw = sealed[:at] if cut else sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    path = folder / "x.vmig.sealed"
    path.write_bytes(raw)
    with pytest.raises(VexError) as caught:
        open_files(path, [SEED], folder, "x")
    assert caught.value.code in ("sealed-unreadable", "sealed-damaged", "sealed-for-others")
    assert os.listdir(folder) == ["x.vmig.sealed"]


def test_bytes_after_the_end_are_noticed(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.vmig.sealed"
    path.write_bytes(sealed + b"\0")
    with pytest.raises(Tampered):
        open_files(path, [SEED], tmp_path, "x")


def test_boxes_of_another_file_do_not_open_this_one(sealed: bytes, tmp_path: Path) -> None:
    source = tmp_path / "in.vmig.jsonl"
    source.write_text("{}\n", "utf-8")
    seal_files(Files(), {PARTS[0]: source}, tmp_path / "mine.vmig.sealed", [public_key(SEED)])
    mine = (tmp_path / "mine.vmig.sealed").read_bytes()
    size = 12 + int.from_bytes(sealed[8:12], "little")
    own = 12 + int.from_bytes(mine[8:12], "little")
    (tmp_path / "mixed.vmig.sealed").write_bytes(mine[:own] + sealed[size:])
    with pytest.raises(Tampered):
        open_files(tmp_path / "mixed.vmig.sealed", [SEED], tmp_path, "mixed")


def test_a_stranger_gets_nothing(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.vmig.sealed"
    path.write_bytes(sealed)
    with pytest.raises(WrongKey):
        open_files(path, [secrets.token_bytes(32)], tmp_path, "x")


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.vmig.jsonl"
    with source.open("wb") as file:
        file.truncate(300 << 20)
    target = tmp_path / "out.vmig.sealed"
    seal_files(Files(), {PARTS[0]: source}, target, [public_key(SEED)])
    assert target.stat().st_size < 1 << 20
    with pytest.raises(VexError, match="far larger"):
        open_files(target, [SEED], tmp_path, "out")
