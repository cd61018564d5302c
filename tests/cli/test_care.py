"""fsck, verify, keys, settings, ids and objects."""

import json
import shutil
import sys
from pathlib import Path

import pytest


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def largest_pack() -> Path:
    return max(Path(".vex/packs").glob("*.pack"), key=lambda path: path.stat().st_size)


def test_fsck_says_what_it_checked(vex, two):
    ran = vex("fsck")
    assert ran.code == 0
    assert ran.out.startswith("checked ") and "2 commits" in ran.out and ran.out.endswith(": all good\n")
    found = vex("fsck", "--json").json()
    assert found["ok"] and found["commits"] == 2 and found["problems"] == []


def test_damage_is_found_named_and_fails(vex, two):
    flip(largest_pack(), 40)
    ran = vex("fsck")
    assert ran.code == 1
    assert ran.out.startswith("damaged: ") and str(largest_pack()) in ran.out
    found = vex("fsck", "--json")
    assert found.code == 1 and not found.json()["ok"] and found.json()["problems"][0]["code"]
    assert vex("verify", "HEAD").code == 1 or vex("verify", "HEAD~1").code == 1


def test_a_damaged_pointer_is_told_by_every_command(vex, two):
    flip(Path(".vex/operation"), 3)
    for args in (["status"], ["log"], ["fsck"], ["commit", "-m", "x"]):
        ran = vex(*args)
        assert ran.code == 1 and "Traceback" not in ran.err, args


def test_a_rolled_back_repository_is_noticed_and_can_be_accepted(vex, repo):
    shutil.copytree(".vex", "before")
    repo.learn("m9", "new")
    vex("commit", "-m", "second")
    shutil.rmtree(".vex")
    Path("before").rename(".vex")
    for args in (["status"], ["log"], ["fsck"]):
        ran = vex(*args)
        assert ran.code == 1 and "[repository-rolled-back]" in ran.err + ran.out, args
    ran = vex("fsck", "--accept-rollback")
    assert ran.code == 0 and "counts as the newest" in ran.out
    assert vex("log").code == 0


def test_verify_judges_signature_and_content(vex, two):
    ran = vex("verify", "HEAD")
    assert ran.code == 0
    assert "good signature by " in ran.out and "content intact: 4 memories" in ran.out
    found = vex("verify", "HEAD~1", "--json").json()
    assert found["ok"] and found["signatures"][0]["verdict"] == "good" and found["damage"] is None


def test_a_strangers_signature_is_not_enough(vex, two, monkeypatch, tmp_path):
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "stranger"))
    ran = vex("verify")
    assert ran.code == 1 and "a key you do not know" in ran.out
    assert vex("verify", "--json").json()["signatures"][0]["verdict"] == "unknown"


def test_an_unsigned_commit_does_not_verify(vex, memory):
    vex("config", "set", "--user", "commit.sign", "no")
    vex("init", "--store", "agent.vmig.jsonl")
    assert "· unsigned ·" in vex("commit", "-m", "x").out
    ran = vex("verify")
    assert ran.code == 1 and "unsigned" in ran.out


def test_a_lost_key_stops_a_commit_with_its_own_code(vex, repo, home):
    shutil.rmtree(home / "keys")
    repo.learn("m9", "new")
    ran = vex("commit", "-m", "x")
    assert ran.code == 12 and "vex key new" in ran.err
    (home / "keys").mkdir()
    (home / "keys" / "default.key").write_text("hex:1234")
    ran = vex("commit", "-m", "x")
    assert ran.code == 12 and "1234" not in ran.err
    (home / "keys" / "default.key").unlink()
    assert vex("key", "new").code == 0
    assert vex("commit", "-m", "x").code == 0


def test_keys_are_made_listed_and_exported_but_never_shown(vex, repo, home):
    assert vex("key", "new", "work").out.splitlines()[1] == "  to sign with it: vex config set user.identity work"
    assert vex("key", "new", "work").code == 1
    assert vex("key", "new", "../evil").code == 2
    lines = vex("key", "list").out.splitlines()
    assert lines[0].startswith("* default") and lines[1].startswith("  work")
    public = vex("key", "export", "work").out.strip()
    assert len(public) == 64
    seed = (home / "keys" / "work.key").read_text().removeprefix("hex:")
    outputs = [vex("key", "list"), vex("key", "list", "--json"), vex("key", "export", "--json")]
    assert all(seed not in ran.out + ran.err for ran in outputs)
    vex("config", "set", "user.identity", "work")
    repo.learn("m9", "new")
    assert f"signed by {public[:4]}" in vex("commit", "-m", "x").out
    assert vex("key", "export", "nobody").code == 12


def test_settings_come_from_the_nearest_layer(vex, repo, home):
    assert vex("config", "get", "user.name").out == "\n"
    vex("config", "set", "--user", "user.name", "Alice")
    assert (home / "config.toml").exists()
    vex("config", "set", "user.name", "Bob")
    assert vex("config", "get", "user.name").out == "Bob\n"
    assert vex("config", "get", "user.name", env={"VEX_USER_NAME": "Eve"}).out == "Eve\n"
    lines = vex("config", "list", "--show-origin").out.splitlines()
    assert any(line.startswith("user.name = Bob") and line.rstrip().endswith("config.toml") for line in lines)
    origin = vex("config", "list", "--json", env={"VEX_USER_NAME": "Eve"}).json()["user.name"]
    assert origin == {"value": "Eve", "origin": "environment VEX_USER_NAME"}
    assert vex("config", "unset", "user.name").out.startswith("user.name = Alice")
    repo.learn("m9", "new")
    vex("commit", "-m", "x")
    assert "Author: Alice" in vex("log", "-1").out


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        (["config", "set", "user.nam", "x"], {}, "did you mean user.name?"),
        (["config", "get", "nothing.like.it"], {}, "known: "),
        (["config", "set", "core.lock_timeout_s", "soon"], {}, "whole number"),
        (["config", "set", "hooks.timeout_s", "0"], {}, "hooks.timeout_s must be 1 or more, got 0"),
        (["config", "set", "--", "http.timeout_s", "-5"], {}, "must be 1 or more, got -5"),
        (["status"], {"VEX_HTTP_CONCURRENCY": "0"}, "must be 1 or more, got 0"),
        (["config", "set", "checks.own", "schema,secret"], {}, "did you mean secrets?"),
        (["config", "set", "checks.own", "auto"], {}, "known: drift, injection, pii, schema, secrets"),
        (["config", "set", "checks.foreign", "auto,secrets"], {}, "known: drift, injection, pii, schema, secrets"),
        (["config", "set", "checks.drift_share", "7"], {}, "checks.drift_share must be from 0 to 1, got 7"),
        (["config", "set", "checks.secrets_severity", "stop"], {}, "checks.secrets_severity"),
        (["config", "set", "checks.injection_warn", "0.9"], {}, "above checks.injection_threshold"),
        (["config", "set", "workspace.store", "vektr:x"], {}, "did you mean vektor?"),
        (["status"], {"VEX_COMMIT_SIGN": "perhaps"}, "environment VEX_COMMIT_SIGN"),
    ],
)
def test_settings_that_make_no_sense_are_refused(vex, repo, args, env, words):
    before = Path(".vex/config.toml").read_bytes()
    ran = vex(*args, env=env)
    assert ran.code == 2 and words in ran.err
    assert Path(".vex/config.toml").read_bytes() == before


def test_a_broken_configuration_file_is_named_and_not_written_over(vex, repo):
    path = Path(".vex/config.toml")
    path.write_text("[user\nname=1")
    for args in (["status"], ["config", "list"], ["config", "set", "user.name", "x"]):
        ran = vex(*args)
        assert ran.code == 1 and "config.toml is not TOML" in ran.err
    assert path.read_text() == "[user\nname=1"


def test_settings_outside_a_repository(vex, folder):
    assert vex("config", "list").code == 0
    ran = vex("config", "set", "user.name", "x")
    assert ran.code == 10 and "--user" in ran.err


def test_revisions_resolve_to_full_ids(vex, two):
    head, first = (vex("rev-parse", text).out.strip() for text in ("HEAD", "HEAD~1"))
    assert len(head) == 64
    assert vex("rev-parse", "@", "main", head[:8], "main@{0}").out.split() == [head] * 4
    assert vex("rev-parse", "HEAD^", "@{1}", first[:10], "--short").out.split() == [first[:7]] * 3
    assert vex("rev-parse", "HEAD", "--json").json() == [{"revision": "HEAD", "commit": head}]
    for bad in ("HEAD~5", "nope", "HEAD@{last full moon}", "HEAD^3"):
        assert vex("rev-parse", bad).code == 2, bad
    assert vex("rev-parse").code == 2


def test_every_kind_of_object_can_be_read(vex, repo):
    commit = vex("cat-object", "HEAD", "--json").json()
    assert commit["type"] == "commit" and commit["value"]["message"] == "first"
    assert json.loads(vex("cat-object", commit["id"][:9]).out) == commit["value"]
    snapshot = vex("cat-object", commit["value"]["snapshot"], "--json").json()
    assert snapshot["type"] == "snapshot"
    leaf = vex("cat-object", snapshot["value"]["records"]["id"], "--json").json()
    assert leaf["type"] == "leaf"
    assert [each["id"] for each in leaf["value"]["records"]] == ["m4", "m1", "m2", "m3"]
    bodies = vex("cat-object", leaf["value"]["bodies"])
    assert [json.loads(line)["id"] for line in bodies.out.splitlines()] == ["m4", "m1", "m2", "m3"]
    vectors = vex("cat-object", leaf["value"]["columns"][0]["vectors"], "--json").json()
    assert vectors["value"]["count"] == 4 and len(vectors["value"]["first"]) == 4
    assert vex("cat-object", commit["id"], "--type").out == "commit\n"
    raw = vex("cat-object", commit["id"], "--raw").out
    assert json.loads(raw) == commit["value"]


def test_a_tree_of_several_leaves_has_a_node(vex, folder):
    lines = [json.dumps({"id": f"m{n}", "text": "x" * 200_000}) for n in range(200)]
    Path("big.jsonl").write_text("\n".join(lines) + "\n")
    vex("init")
    assert vex("commit", "--from", "big.jsonl", "-m", "x").code == 0
    snapshot = vex("cat-object", vex("cat-object", "HEAD", "--json").json()["value"]["snapshot"], "--json").json()
    node = vex("cat-object", snapshot["value"]["records"]["id"], "--json").json()
    assert node["type"] == "node"
    assert sum(child["count"] for child in node["value"]["children"]) == 200


def test_objects_that_are_not_there(vex, repo):
    assert vex("cat-object", "00000000").code == 2
    assert vex("cat-object", "nope").code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no file permissions of this kind")
def test_a_repository_that_cannot_be_read_says_so(vex, repo, monkeypatch):
    def refuse(*args: object) -> bytes:
        raise PermissionError(13, "Permission denied", ".vex/operation")

    monkeypatch.setattr("vexrepo.storage.oplog.OperationLog.current_id", refuse)
    ran = vex("log")
    assert ran.code == 1 and ran.err.startswith("vex: Permission denied: .vex/operation")
