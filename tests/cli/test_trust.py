"""``vex trust``: known keys with periods and scopes, revocation, and policies of sources."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Memory
from vexrepo.cli.surroundings import Edge
from vexrepo.objects.signature import public_key

SEED, OTHER = bytes(range(32)), bytes([9]) * 32
KEY = public_key(SEED)
DAY = 86_400_000_000


@pytest.fixture
def signed(vex, memory: Memory) -> Memory:
    """A memory signed with the key SEED, which nobody knows yet."""
    Path("team.key").write_text("hex:" + SEED.hex())
    Path("team.key").chmod(0o600)
    assert vex("sign", "agent.vmig.jsonl", "--key", "team.key").code == 0
    return memory


def later(monkeypatch, time_us: int) -> None:
    now = Edge.now_us()
    monkeypatch.setattr(Edge, "now_us", staticmethod(lambda: now + time_us))


def verdict(vex, *args: str) -> tuple[str, str]:
    ran = vex("verify", *(args or ("agent.vmig.jsonl",)), "--json")
    found = ran.json()
    assert ran.code == (0 if found["verdict"] == "good" else 1) and found["ok"] == (ran.code == 0)
    return found["verdict"], found["reasons"][0]["code"] if found["reasons"] else ""


def test_a_key_counts_in_its_period_only(vex, signed, monkeypatch):
    ran = vex("trust", "add", KEY.hex(), "--name", "team", "--valid-until", "90d")
    assert ran.code == 0 and "counts until " in ran.out
    assert verdict(vex) == ("good", "")
    later(monkeypatch, 91 * DAY)
    assert verdict(vex) == ("expired", "signature-expired")
    ran = vex("verify", "agent.vmig.jsonl")
    assert "nothing proves that this was signed before" in ran.out and "[signature-expired]" in ran.out
    assert vex("trust", "edit", "team", "--valid-until", "none").code == 0
    assert verdict(vex) == ("good", "")
    assert vex("trust", "edit", "team", "--valid-from", "30d").code == 0
    assert verdict(vex) == ("expired", "signature-expired")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--namespace", "prefs,trading,work,notes"], "good"),
        (["--namespace", "prefs", "--namespace", "trading"], "out-of-scope"),
        (["--components", "semantic"], "out-of-scope"),
        (["--components", "semantic,"], "good"),
    ],
)
def test_a_key_counts_for_its_namespaces_and_memory_types_only(vex, signed, options, wanted):
    vex("trust", "add", KEY.hex(), "--name", "team", *options)
    code = "signature-out-of-scope" if wanted == "out-of-scope" else ""
    assert verdict(vex) == (wanted, code)
    vex("trust", "edit", "team", "--any-namespace", "--any-component")
    assert verdict(vex) == ("good", "")


def test_a_revoked_key_counts_for_no_file_whatever_time_it_claims(vex, signed, monkeypatch):
    vex("trust", "add", KEY.hex(), "--name", "team")
    later(monkeypatch, DAY)
    ran = vex("trust", "revoke", "team", "--reason", "laptop stolen")
    assert ran.code == 0 and "revoked from" in ran.out
    assert verdict(vex) == ("revoked", "signature-revoked")
    assert "laptop stolen" in vex("verify", "agent.vmig.jsonl").out
    found = vex("trust", "show", "team", "--json").json()
    assert found["revoked"]["reason"] == "laptop stolen"
    ran = vex("trust", "remove", "team")
    assert ran.code == 1 and "[trust-narrows]" in ran.err
    assert vex("trust", "remove", "team", "--force").code == 0
    assert verdict(vex) == ("unknown", "signature-unknown-key")


def test_a_key_that_is_not_known_can_be_revoked_and_a_revocation_only_moves_back(vex, signed):
    assert vex("trust", "revoke", KEY.hex(), "--since", "3d").code == 0
    assert verdict(vex) == ("revoked", "signature-revoked")
    first = vex("trust", "show", KEY.hex(), "--json").json()["revoked"]["from"]
    assert vex("trust", "revoke", KEY.hex(), "--since", "2d", "--json").json()["revoked"]["from"] == first
    assert vex("trust", "revoke", KEY.hex(), "--since", "4d", "--json").json()["revoked"]["from"] < first
    assert vex("trust", "revoke", KEY.hex()[:8], "--since", "3000-01-01", "--json").json()["revoked"]["from"] < first
    ran = vex("trust", "revoke", "nobody")
    assert ran.code == 2 and "[trust-unknown]" in ran.err


def test_list_and_show_tell_what_limits_a_key(vex, folder):
    vex("trust", "add", KEY.hex(), "--name", "importer", "--namespace", "web", "--components", "semantic",
        "--valid-from", "2020-01-01", "--valid-until", "2099-01-01", "--note", "the crawler")  # fmt: skip
    listed = vex("trust", "list").out
    assert "from 2020-01-01 · until 2099-01-01 · only web · only type semantic" in listed
    shown = vex("trust", "show", "importer").out
    assert "2099-01-01T00:00:00Z" in shown and "the crawler" in shown
    found = vex("trust", "show", KEY.hex(), "--json").json()
    assert found == vex("trust", "list", "--json").json()[0]
    assert found["namespaces"] == ["web"] and found["note"] == "the crawler" and found["own"] is False


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["edit", "team"], "bad-option"),
        (["edit", "team", "--any-namespace", "--namespace", "x"], "bad-option"),
        (["edit", "nobody", "--note", "x"], "trust-unknown"),
        (["edit", "team", "--valid-until", "soon"], "bad-option"),
        (["edit", "team", "--valid-from", "2030-01-01", "--valid-until", "2029-01-01"], "bad-option"),
        (["edit", "team", "--name", "te\u0430n"], "trust-exists"),
        (["edit", "team", "--note", "two\nlines"], "bad-option"),
        (["show", "nobody"], "trust-unknown"),
    ],
)
def test_what_cannot_be_understood_changes_nothing(vex, folder, home, args, code):
    vex("trust", "add", KEY.hex(), "--name", "team")
    vex("trust", "add", public_key(OTHER).hex(), "--name", "tean")
    before = (home / "trust.json").read_bytes()
    ran = vex("trust", *args)
    assert ran.code in (1, 2) and f"[{code}]" in ran.err
    assert (home / "trust.json").read_bytes() == before


def test_a_name_in_letters_of_another_script_is_shown_as_such(vex, signed, home):
    # Written by hand, or by a version that did not look: still read, and shown for what it is.
    mixed, whole = ("\u0430lice", "[Cyrillic, Latin letters]"), ("\u0421\u0430\u0440\u0430", "[Cyrillic letters]")
    for name, shown in (mixed, whole):
        entry = {"name": name, "key": KEY.hex(), "added_at": "2026"}
        (home / "trust.json").write_text(json.dumps({"version": 2, "keys": [entry]}))
        for args in (["verify", "agent.vmig.jsonl"], ["trust", "list"], ["trust", "show", KEY.hex()]):
            assert shown in vex(*args).out, args
    entry = {"name": "J\u00fcrgen", "key": KEY.hex(), "added_at": "2026"}
    (home / "trust.json").write_text(json.dumps({"version": 2, "keys": [entry]}))
    assert "letters]" not in vex("trust", "list").out
    entry = {"name": "\x1b[31mred\u202e", "key": KEY.hex(), "added_at": "2026"}
    (home / "trust.json").write_text(json.dumps({"version": 2, "keys": [entry]}))
    for args in (["verify", "agent.vmig.jsonl"], ["trust", "list"], ["trust", "show", KEY.hex()]):
        assert not {"\x1b", "\u202e"} & set(vex(*args).out), args


def test_a_clock_that_differs_a_little_is_no_reason_to_refuse(vex, signed, monkeypatch):
    signed_at = json.loads(Path("agent.vmig.sig").read_text())["signed_at"]
    vex("trust", "add", KEY.hex(), "--name", "team", "--valid-from", signed_at)
    now = Edge.now_us()
    for behind_us, wanted in ((240_000_000, "good"), (900_000_000, "expired")):
        monkeypatch.setattr(Edge, "now_us", staticmethod(lambda behind_us=behind_us: now - behind_us))
        assert verdict(vex)[0] == wanted


# -- commits -------------------------------------------------------------------------------------------------------


def test_what_this_machine_held_before_a_revocation_stays_good_and_nothing_else(vex, repo, monkeypatch):
    first = vex("rev-parse", "HEAD").out.strip()
    later(monkeypatch, DAY)
    vex("trust", "revoke", "default", "--reason", "copied")
    assert vex("verify", first).code == 0
    later(monkeypatch, DAY)
    repo.learn("m9", "by whoever has the key")
    assert vex("commit", "-m", "second").code == 0
    found = vex("verify", "HEAD", "--json")
    assert found.code == 1 and found.json()["signatures"][0]["verdict"] == "revoked"
    # --since says from when on the record is no help.
    vex("trust", "revoke", "default", "--since", "30d")
    assert vex("verify", first).code == 1


def test_a_repository_from_elsewhere_is_no_evidence_of_its_own_past(vex, repo, monkeypatch, tmp_path):
    public = vex("key", "export").out.strip()
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "other"))
    vex("trust", "add", public, "--name", "alice")
    later(monkeypatch, DAY)
    vex("trust", "revoke", "alice")
    assert vex("verify", "HEAD").code == 1
    # Not even after this machine has worked with it: it was first seen after the revocation.
    vex("key", "new")
    repo.learn("m9", "mine")
    assert vex("commit", "-m", "second").code == 0
    found = vex("verify", "HEAD~", "--json")
    assert found.code == 1 and found.json()["signatures"][0]["verdict"] == "revoked"
    assert vex("verify", "HEAD").code == 0


def test_a_limited_key_may_change_its_namespaces_on_top_of_what_others_signed(vex, repo, monkeypatch, tmp_path):
    mine = vex("key", "export").out.strip()
    assert vex("key", "new", "importer").code == 0
    importer = vex("key", "export", "importer").out.strip()
    vex("config", "set", "user.identity", "importer")
    repo.learn("w1", "found on the web", namespace="web")
    vex("commit", "-m", "in scope")
    repo.records["m1"]["text"] = "The user prefers to pay twice"
    repo.learn("w2", "found on the web", namespace="web")
    vex("commit", "-m", "out of scope")
    repo.forget("m2")
    vex("commit", "-m", "forgetting is a change too")
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "other"))
    vex("trust", "add", mine, "--name", "alice")
    vex("trust", "add", importer, "--name", "importer", "--namespace", "web")
    beyond = "out-of-scope"
    for revision, wanted in (("HEAD~3", "good"), ("HEAD~2", "good"), ("HEAD~", beyond), ("HEAD", beyond)):
        found = vex("verify", revision, "--json").json()
        assert found["signatures"][0]["verdict"] == wanted, revision
    assert "'prefs'" in vex("verify", "HEAD~").out and "'trading'" in vex("verify", "HEAD").out
    vex("trust", "edit", "importer", "--any-namespace", "--components", "semantic")
    assert vex("verify", "HEAD~2").code == 1


# -- policies ------------------------------------------------------------------------------------------------------


def policy(vex, *args: str) -> tuple[str, str | None]:
    ran = vex("trust", "policy", *args, "--json")
    assert ran.code == 0, ran.err
    return ran.json()["policy"], ran.json().get("rule")


def test_the_most_particular_policy_counts_and_its_origin_is_told(vex, repo, home):
    Path("in/deep").mkdir(parents=True)
    assert policy(vex) == ("auto", None)
    assert policy(vex, "in/deep/x.jsonl") == ("auto", None)
    vex("trust", "policy", "signed", "--user")
    assert policy(vex, "in/deep") == ("signed", None)
    assert vex("trust", "policy", "in", "trusted").code == 0
    assert policy(vex, "in/deep") == ("trusted", "file:in")
    assert policy(vex, "in/deep", "integrity") == ("integrity", "file:in/deep")
    assert policy(vex, "in/deep/x.vmig.jsonl") == ("integrity", "file:in/deep")
    assert policy(vex, "./in/deeper.jsonl") == ("trusted", "file:in")
    assert policy(vex, "jsonl:in/x.jsonl") == ("trusted", "file:in")
    assert policy(vex, "./inner.jsonl") == ("signed", None)
    ran = vex("trust", "policy", "in/x")
    assert "trusted" in ran.out and "file:in" in ran.out and "config.toml" in ran.out
    listed = vex("trust", "policy", "--json").json()
    assert [each["source"] for each in listed["sources"]] == ["file:in", "file:in/deep"]
    assert policy(vex, "in/deep", "--unset") == ("trusted", "file:in")
    ran = vex("trust", "policy", "in/deep", "--unset")
    assert ran.code == 2 and "[bad-option]" in ran.err
    assert vex("config", "unset", "trust.sources").code == 0
    assert policy(vex, "in") == ("signed", None)


def test_the_repositorys_policy_goes_before_the_users_for_the_same_source(vex, repo, home):
    Path("in").mkdir()
    vex("trust", "policy", "in", "trusted", "--user")
    assert policy(vex, "in")[0] == "trusted"
    assert (home / "config.toml").exists()
    vex("trust", "policy", "in", "integrity")
    assert policy(vex, "in")[0] == "integrity"
    vex("trust", "policy", "in", "--unset")
    assert policy(vex, "in")[0] == "trusted"


def test_remotes_have_policies_by_name(vex, repo):
    vex("remote", "add", "backup", "https://git.example/alice/memory.git")
    assert policy(vex, "backup", "trusted") == ("trusted", "remote:backup")
    assert policy(vex, "remote:other") == ("auto", None)
    Path("backup").mkdir()  # a folder of that name is another source
    assert policy(vex, "backup") == ("auto", None)
    assert policy(vex, "remote:backup") == ("trusted", "remote:backup")


def test_the_environment_sets_the_general_policy(vex, repo, monkeypatch):
    monkeypatch.setenv("VEX_TRUST_POLICY", "trusted")
    found = vex("trust", "policy", "agent.vmig.jsonl", "--json").json()
    assert found["policy"] == "trusted" and found["origin"] == "environment VEX_TRUST_POLICY"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["nowhere", "trusted"], "bad-option"),
        (["agent.vmig.jsonl", "strict"], "bad-policy"),
        (["--unset"], "bad-option"),
        (["agent.vmig.jsonl", "trusted", "--unset"], "bad-option"),
        (["nosuch://host/x", "trusted"], "unknown-store"),
    ],
)
def test_policies_that_are_none_are_refused(vex, repo, args, code):
    ran = vex("trust", "policy", *args)
    assert ran.code == 2 and f"[{code}]" in ran.err
    assert "trust" not in Path(".vex/config.toml").read_text()


@pytest.mark.parametrize(
    "content",
    [
        '[trust]\npolicy = "strict"\n',
        "[trust]\npolicy = 1\n",
        '[trust.sources]\n"file:." = "loose"\n',
        '[trust.sources]\n"file:." = true\n',
        '[trust.sources]\n"downloads" = "trusted"\n',
        '[trust]\nsources = "file:."\n',
    ],
)
def test_a_configuration_that_cannot_be_understood_lets_nothing_pass(vex, repo, content):
    Path(".vex/config.toml").write_text(content)
    ran = vex("trust", "policy", "agent.vmig.jsonl")
    assert ran.code == 1 and "[bad-config]" in ran.err and "config.toml" in ran.err


def test_the_general_policy_is_checked_when_it_is_set(vex, repo):
    ran = vex("config", "set", "trust.policy", "strict")
    assert ran.code == 2 and "[bad-policy]" in ran.err
    assert vex("config", "set", "trust.policy", "Signed").code == 0 and policy(vex) == ("signed", None)


def test_a_policy_needs_a_repository_or_the_user(vex, folder):
    ran = vex("trust", "policy", "signed")
    assert ran.code == 10 and "--user" in ran.err
    assert vex("trust", "policy", "signed", "--user").code == 0
    assert vex("trust", "policy", os.curdir, "trusted", "--user").code == 0
    assert policy(vex, os.curdir)[0] == "trusted"
