"""``vex sign REV`` and ``vex verify`` of commits, ranges and stores, under each policy."""

import json
import os
from pathlib import Path

import pytest

from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import Signature, public_key
from vexrepo.storage.pack import PackWriter

SEED = bytes(range(32))
KEY = public_key(SEED).hex()


@pytest.fixture
def team(folder) -> Path:
    path = folder / "team.key"
    path.write_text("hex:" + SEED.hex())
    path.chmod(0o600)
    return path


def other_home(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "other"))


def verdicts(vex, *args) -> dict[str, str]:
    found = vex("verify", *args, "--json").json()
    return {each["key"][:8]: each["verdict"] for each in found["signatures"]}


# -- signing beside commits -----------------------------------------------------------------------------------------


def test_a_second_signature_is_put_beside_a_commit_and_only_once(vex, two, team):
    mine = vex("key", "export").out.strip()
    before = vex("rev-parse", "HEAD").out
    packs = set(os.listdir(".vex/packs"))
    ran = vex("sign", "HEAD", "--key", "team.key")
    assert ran.code == 0 and ran.out.startswith("signed commit ") and "second" in ran.out
    assert vex("rev-parse", "HEAD").out == before
    assert len(set(os.listdir(".vex/packs")) - packs) == 1
    assert verdicts(vex, "HEAD") == {mine[:8]: "good", KEY[:8]: "unknown"}
    operations = os.listdir(".vex/operations")
    ran = vex("sign", "HEAD", "--key", "team.key")
    assert ran.code == 0 and "already" in ran.out
    assert vex("sign", "HEAD", "--key", "team.key", "--json").json() == {
        "signed": [],
        "already": 1,
        "identity": {"name": None, "key": KEY},
    }
    assert os.listdir(".vex/operations") == operations
    assert "sign" in vex("op", "log").out
    assert vex("fsck").code == 0


def test_undo_passes_a_signature_over(vex, two, team):
    vex("sign", "HEAD", "--key", "team.key")
    first = vex("rev-parse", "HEAD~").out
    assert vex("undo").code == 0
    assert vex("rev-parse", "HEAD").out == first


def test_a_range_is_signed_at_once(vex, two, team):
    two.learn("m9", "third")
    vex("commit", "-m", "third")
    done = vex("sign", "HEAD~2..HEAD", "--key", "team.key", "--json").json()
    assert len(done["signed"]) == 2 and done["already"] == 0
    assert KEY[:8] not in verdicts(vex, "HEAD~2")
    assert KEY[:8] in verdicts(vex, "HEAD~") and KEY[:8] in verdicts(vex, "HEAD")
    ran = vex("sign", "HEAD~2..", "--key", "team.key")
    assert ran.code == 0 and "2 commits signed by" in ran.out
    assert vex("sign", "HEAD..HEAD", "--key", "team.key").code == 0


def test_all_signatures_survive_gc(vex, two, team):
    vex("key", "new", "second")
    for args in (["--key", "team.key"], ["--identity", "second"]):
        assert vex("sign", "HEAD", *args).code == 0
    assert vex("gc", "--full").code == 0
    assert len(os.listdir(".vex/packs")) == 1
    assert len(verdicts(vex, "HEAD")) == 3 and vex("fsck").code == 0


def test_somebody_known_vouches_for_what_a_stranger_or_a_lost_key_signed(vex, two, team, monkeypatch, tmp_path):
    author = vex("key", "export").out.strip()
    vex("sign", "HEAD", "--key", "team.key")
    other_home(monkeypatch, tmp_path)
    assert vex("verify", "HEAD").code == 1
    vex("trust", "add", KEY, "--name", "team")
    assert vex("verify", "HEAD").code == 0 and vex("verify", "HEAD~").code == 1
    vex("trust", "revoke", author, "--reason", "lost")
    assert verdicts(vex, "HEAD") == {author[:8]: "revoked", KEY[:8]: "good"}
    assert vex("verify", "HEAD").code == 0


def test_a_signature_of_ones_own_that_others_will_not_count_is_said(vex, two):
    vex("trust", "revoke", "default")
    vex("key", "new", "old")
    vex("trust", "revoke", "old", "--since", "1d")
    ran = vex("sign", "HEAD", "--identity", "old")
    assert ran.code == 0 and "REVOKED" in ran.out


def test_whoever_signs_with_a_key_that_has_ended_is_told(vex, two):
    vex("trust", "add", vex("key", "export").out.strip(), "--name", "default", "--valid-until", "2020-01-01")
    two.learn("m9", "third")
    for args in (["commit", "-m", "third"], ["sign", "agent.vmig.jsonl"]):
        ran = vex(*args)
        assert ran.code == 0 and "valid until 2020-01-01" in ran.err and "user.identity" in ran.err, args


@pytest.mark.parametrize(
    ("args", "code", "exit_code"),
    [
        (["HEAD", "--compat"], "bad-option", 2),
        (["HEAD", "--output", "x.sig"], "bad-option", 2),
        (["HEAD", "--write-key"], "bad-option", 2),
        (["nowhere"], "unknown-revision", 2),
        (["HEAD...HEAD"], "unknown-revision", 2),
        (["HEAD", "--identity", "absent"], "no-identity", 12),
        (["absent.vmig.jsonl"], "store-missing", 2),
    ],
)
def test_what_cannot_be_signed_changes_nothing(vex, repo, args, code, exit_code):
    operations = sorted(os.listdir(".vex/operations"))
    ran = vex("sign", *args)
    assert ran.code == exit_code and f"[{code}]" in ran.err
    assert sorted(os.listdir(".vex/operations")) == operations


def test_no_key_is_made_only_to_sign_a_commit(vex, repo, monkeypatch, tmp_path):
    other_home(monkeypatch, tmp_path)
    ran = vex("sign", "HEAD")
    assert ran.code == 12 and "[no-identity]" in ran.err
    assert vex("key", "list", "--json").json() == []


# -- ranges and policies ---------------------------------------------------------------------------------------------


def test_a_range_is_judged_commit_by_commit(vex, two, team, monkeypatch, tmp_path):
    ran = vex("verify", "HEAD~..HEAD", "--json")
    assert ran.code == 0 and ran.json()["ok"] and ran.json()["good"] == 1
    two.learn("m9", "third")
    vex("config", "set", "commit.sign", "false")
    vex("commit", "-m", "third")
    found = vex("verify", "HEAD~2..HEAD", "--json")
    assert found.code == 1 and [each["ok"] for each in found.json()["commits"]] == [True, False]
    assert found.json()["commits"][1]["verdict"] is None and found.json()["good"] == 1
    ran = vex("verify", "HEAD~2..")
    assert (
        ran.code == 1 and "third" in ran.out and "second" not in ran.out and "1 commit of HEAD~2.. not good" in ran.out
    )
    assert vex("verify", "HEAD..HEAD").code == 0
    ran = vex("verify", "HEAD~2..HEAD", "--policy", "integrity")
    assert ran.code == 0 and "2 commits of HEAD~2..HEAD good" in ran.out


def test_each_policy_says_what_is_enough(vex, two, monkeypatch, tmp_path):
    vex("config", "set", "commit.sign", "false")
    two.learn("m9", "third")
    vex("commit", "-m", "unsigned")
    other_home(monkeypatch, tmp_path)
    enough = {
        "HEAD": {"integrity": 0, "signed": 1, "trusted": 1, "auto": 0},
        "HEAD~": {"integrity": 0, "signed": 0, "trusted": 1, "auto": 1},
    }
    for revision, codes in enough.items():
        for policy, code in codes.items():
            ran = vex("verify", revision, "--policy", policy, "--json")
            assert (ran.code, ran.json()["ok"], ran.json()["policy"]) == (code, not code, policy), (revision, policy)
    ran = vex("verify", "HEAD", "--policy", "lax")
    assert ran.code == 2 and "[bad-policy]" in ran.err


def test_files_are_judged_by_the_same_policies(vex, memory, team, monkeypatch, tmp_path):
    for policy, code in {"integrity": 0, "signed": 1, "trusted": 1, "auto": 0}.items():
        ran = vex("verify", "agent.vmig.jsonl", "--policy", policy)
        assert ran.code == code, policy
        assert "[signature-file-missing]" in ran.err if code else "unsigned" in ran.out
    found = vex("verify", "agent.vmig.jsonl", "--policy", "integrity", "--json").json()
    assert found["ok"] and found["verdict"] is None and found["records"] == 4
    vex("sign", "agent.vmig.jsonl", "--key", "team.key")
    for policy, code in {"integrity": 0, "signed": 0, "trusted": 1, "auto": 1}.items():
        assert vex("verify", "agent.vmig.jsonl", "--policy", policy).code == code, policy
    vex("trust", "revoke", KEY)
    for policy in ("integrity", "signed", "trusted", "auto"):
        assert vex("verify", "agent.vmig.jsonl", "--policy", policy).code == 1, policy


def test_a_file_that_is_damaged_is_not_enough_for_any_policy(vex, memory):
    memory.path.write_bytes(memory.path.read_bytes() + b'{"id":\n')
    ran = vex("verify", "agent.vmig.jsonl", "--policy", "integrity")
    assert ran.code == 1 and "agent.vmig.jsonl" in ran.err


# -- stores ----------------------------------------------------------------------------------------------------------


def test_a_store_is_compared_with_the_signed_commit_it_was_last_seen_at(vex, two):
    ran = vex("verify", "jsonl:agent.vmig.jsonl")
    assert ran.code == 0 and "4 memories, exactly as commit" in ran.out and "good signature" in ran.out
    two.records["m3"]["text"] = "The invoice of March was never paid"
    two.forget("m4")
    ran = vex("verify", "jsonl:agent.vmig.jsonl")
    assert ran.code == 1 and "NOT as commit" in ran.out and "1 changed, 1 forgotten" in ran.out
    assert "changed work/m3" in ran.out and "forgotten notes/m4" in ran.out
    found = vex("verify", "jsonl:agent.vmig.jsonl", "--json").json()
    assert not found["ok"] and not found["same"] and found["verdict"] == "good"
    assert {(each["kind"], each["namespace"], each["id"]) for each in found["differences"]} == {
        ("changed", "work", "m3"),
        ("forgotten", "notes", "m4"),
    }
    ran = vex("verify", "jsonl:agent.vmig.jsonl", "--namespace", "prefs")
    assert ran.code == 0 and "what was selected" in ran.out
    assert vex("verify", "jsonl:agent.vmig.jsonl", "--at", "HEAD~").code == 1


def test_what_a_store_holds_is_worth_what_its_commit_is_worth(vex, two, monkeypatch, tmp_path):
    other_home(monkeypatch, tmp_path)
    found = vex("verify", "jsonl:agent.vmig.jsonl", "--json")
    assert found.code == 1 and found.json()["same"] and found.json()["verdict"] == "unknown"
    assert vex("verify", "jsonl:agent.vmig.jsonl", "--policy", "signed").code == 0
    ran = vex("verify", "jsonl:agent.vmig.jsonl")
    assert "vex trust add" in ran.out


def test_a_store_that_was_never_seen_needs_a_commit_to_be_compared_with(vex, repo):
    Path("copy.vmig.jsonl").write_bytes(Path("agent.vmig.jsonl").read_bytes())
    ran = vex("verify", "jsonl:copy.vmig.jsonl")
    assert ran.code == 1 and "[store-unseen]" in ran.err and "--at REV" in ran.err
    assert vex("verify", "jsonl:copy.vmig.jsonl", "--at", "HEAD").code == 0


def test_a_database_is_known_by_its_name_alone(vex, two):
    assert vex("checkout", "HEAD", "--to", "vektor:agent.db").code == 0
    for name in ("vektor:agent.db", "agent.db"):
        ran = vex("verify", name)
        assert ran.code == 0 and "4 memories, exactly as commit" in ran.out, name
    import sqlite3

    with sqlite3.connect("agent.db") as database:
        database.execute("UPDATE memories SET content = 'slipped in' WHERE id = 'm3'")
    assert vex("verify", "agent.db").code == 1


def test_a_file_that_is_not_signed_says_that_it_can_be_compared(vex, repo):
    ran = vex("verify", "agent.vmig.jsonl")
    assert ran.code == 1 and "[signature-file-missing]" in ran.err
    assert "vex verify jsonl:agent.vmig.jsonl" in ran.err


@pytest.mark.parametrize(
    "args",
    [
        ["HEAD", "--at", "HEAD"],
        ["HEAD", "--namespace", "x"],
        ["HEAD", "--public-key", KEY],
        ["agent.vmig.jsonl", "--at", "HEAD"],
        ["agent.vmig.jsonl", "--components", "x"],
        ["jsonl:agent.vmig.jsonl", "--compat"],
        ["jsonl:agent.vmig.jsonl", "--signature", "x"],
    ],
)
def test_options_of_another_subject_are_refused(vex, repo, args):
    ran = vex("verify", *args)
    assert ran.code == 2 and "[bad-option]" in ran.err


def test_a_commit_without_its_authors_signature_is_not_good_whoever_else_signed(vex, two, team, monkeypatch, tmp_path):
    vex("sign", "HEAD", "--key", "team.key")
    vex("trust", "add", KEY, "--name", "team")
    copy = PackWriter.copy

    def copy_others(self, entry, stored):
        if entry.type != ObjectType.SIGNATURE or Signature.decode(stored).key.hex() == KEY:
            copy(self, entry, stored)

    with monkeypatch.context() as patched:
        patched.setattr(PackWriter, "copy", copy_others)
        assert vex("gc", "--full").code == 0
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "none"))
    vex("trust", "add", KEY, "--name", "team")
    ran = vex("verify", "HEAD")
    assert ran.code == 1 and "author's signature" in ran.out and "missing" in ran.out
    assert json.loads(vex("verify", "HEAD", "--json").out)["verdict"] == "bad"
