"""push, fetch, pull and clone as people type them, over a folder and over HTTP with a token."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.desks import PASSPHRASE, Desk, shared
from tests.hosting.http_backend import PARTIAL, SECRET, USER, git, http_backend, make_bare
from tests.hosting.sshd import sshd

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(params=["folder", "http"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty repository."""
    path = make_bare(tmp_path / "served" / "memory.git", PARTIAL)
    if request.param == "folder":
        yield str(path)
        return
    monkeypatch.setenv("VEX_TOKEN", SECRET)
    with http_backend(tmp_path / "served") as server:
        yield server.url().replace("http://", f"http://{USER}@")


@pytest.fixture
def folder_url(tmp_path: Path) -> str:
    return str(make_bare(tmp_path / "served" / "memory.git"))


@pytest.fixture
def alice(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "alice")


@pytest.fixture
def bob(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "bob")


def test_a_copy_goes_to_a_host_and_comes_back_with_address_and_passphrase_alone(alice, bob, url):
    alice.begin()
    alice.ok("remote", "add", "backup", url)
    out = alice.ok("push", "backup", VEX_PASSPHRASE=PASSPHRASE)
    assert out.startswith("Sealed 1 pack, ") and "→ " in out and "· the host sees sizes, nothing else" in out
    assert "vex remote recovery-key backup" in out
    assert "backup: the same" in alice.ok("status")
    assert alice.ok("push").startswith("nothing to send: ")  # this machine's key opens it
    out = bob.ok("clone", url, "copy", VEX_PASSPHRASE=PASSPHRASE)
    assert "4 memories · 1 commit" in out and "cd copy && vex checkout main --to STORE" in out
    assert "identity" in out and "(new)" in out and "vex remote recipient add origin --self" in out
    bob.ok("-C", "copy", "checkout", "main", "--to", "jsonl:back.vmig.jsonl")
    back = (bob.folder / "copy" / "back.vmig.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["id"] for line in back) == ["m1", "m2", "m3", "m4"]
    assert bob.ok("-C", "copy", "rev-parse", "HEAD") == alice.ok("rev-parse", "HEAD")


def test_over_ssh_the_systems_ssh_and_its_keys_do_it(alice, bob, tmp_path):
    path = make_bare(tmp_path / "memory.git", PARTIAL)
    with sshd(tmp_path / "sshd", restricted=True) as server:
        for desk in (alice, bob):
            desk.ok("config", "set", "--user", "ssh.command", server.command)
        shared(alice, bob, server.url(path))
        bob.learn("b1", "bob has learned this")
        bob.ok("commit", "-m", "bob")
        bob.ok("push")
        alice.ok("pull")
        assert "b1" in alice.texts()
        alice.ok("remote", "add", "none", server.url(tmp_path / "none.git"))
        ran = alice("push", "none")
        assert ran.code == 1 and f"git init --bare {tmp_path / 'none.git'}" in ran.err and "--create" not in ran.err
        alice.ok("remote", "remove", "none")
        ran = alice("push", VEX_SSH_COMMAND="ssh -o BatchMode=yes -i /nowhere")
        assert ran.code == 1 and ("host-refused" in ran.err or "host-unreachable" in ran.err)


def test_two_people_work_and_the_later_one_is_told_to_pull(alice, bob, url):
    shared(alice, bob, url)
    bob.learn("b1", "bob has learned this")
    bob.ok("commit", "-m", "bob")
    assert "→" in bob.ok("push")
    alice.learn("a1", "alice has learned this")
    alice.ok("commit", "-m", "alice")
    ran = alice("push")
    assert ran.code == 1 and "not-fast-forward" in ran.err and "vex pull backup" in ran.err
    out = alice.ok("pull")
    assert "Merge backup/main" in out and "→ jsonl:agent.vmig.jsonl · 1 added" in out
    assert {"a1", "b1"} <= set(alice.texts())
    assert alice.ok("push").startswith("Sealed 1 pack")
    assert "1 to pull" not in bob.ok("status")
    assert "origin/main" in bob.ok("fetch") and "2 to pull" in bob.ok("status")
    assert "moved forward" in bob.ok("pull") and {"a1", "b1"} <= set(bob.texts())
    assert bob.ok("rev-parse", "HEAD") == alice.ok("rev-parse", "HEAD")
    assert bob.ok("pull").splitlines()[-1].startswith("already up to date")


def test_a_conflict_stops_with_4_and_is_settled(alice, bob, url):
    shared(alice, bob, url)
    bob.change("m1", "bob says so")
    bob.ok("commit", "-m", "bob")
    bob.ok("push")
    alice.change("m1", "alice says so")
    alice.ok("commit", "-m", "alice")
    ran = alice("pull")
    assert ran.code == 4 and "vex resolve" in ran.out and alice.texts()["m1"] == "alice says so"
    alice.ok("resolve", "m1", "--theirs")
    alice.ok("merge", "--continue")
    assert alice.texts()["m1"] == "bob says so"
    alice.ok("push")


def test_a_pull_leaves_in_the_store_what_no_commit_has(alice, bob, folder_url):
    shared(alice, bob, folder_url)
    bob.learn("b1", "bob has learned this")
    bob.change("m2", "bob says so")
    bob.ok("commit", "-m", "bob")
    bob.ok("push")
    alice.learn("a1", "not committed")
    dry = alice.ok("pull", "--dry-run")
    assert "would pull backup/main" in dry and "would bring jsonl:agent.vmig.jsonl along" in dry
    assert "b1" not in alice.texts()
    alice.ok("pull")
    assert {"a1", "b1"} <= set(alice.texts()) and alice.texts()["m2"] == "bob says so"
    assert alice.json("status")["learned"] == 1


def test_a_pull_over_the_same_memory_changes_nothing(alice, bob, folder_url):
    shared(alice, bob, folder_url)
    bob.change("m2", "bob says so")
    bob.ok("commit", "-m", "bob")
    bob.ok("push")
    alice.change("m2", "alice says so, uncommitted")
    before = alice.ok("rev-parse", "HEAD")
    ran = alice("pull")
    assert ran.code == 1 and "unsaved-changes" in ran.err and "vex commit" in ran.err
    assert alice.ok("rev-parse", "HEAD") == before and alice.texts()["m2"] == "alice says so, uncommitted"
    alice.ok("commit", "-m", "alice")
    assert alice("pull").code == 4


def test_a_dry_run_sends_nothing(alice, folder_url):
    alice.begin()
    alice.ok("remote", "add", "backup", folder_url)
    assert alice.ok("push", "--dry-run").startswith("Would seal 1 pack")  # and asks for no passphrase
    assert git("rev-parse", "--verify", "-q", "refs/heads/main", cwd=Path(folder_url), check=False) == ""
    assert "no branch seen yet" in alice.ok("remote", "show")


def test_branches_tags_and_deletions(alice, bob, folder_url):
    shared(alice, bob, folder_url)
    alice.ok("branch", "experiment")
    alice.ok("branch", "second")
    alice.ok("tag", "v1")
    assert "experiment" in alice.ok("push", "backup", "experiment")
    out = alice.ok("push", "--all", "--tags")
    assert "second" in out and "tag v1" in out
    out = bob.ok("fetch")
    assert "origin/experiment" in out and "tag v1" in out
    assert "origin/second" in bob.ok("branch", "-r")
    out = alice.ok("push", "backup", "--delete", "experiment", "second")
    assert "experiment  gone" in out
    assert "origin/experiment  gone" in bob.ok("fetch")
    assert alice.ok("push", "backup", "HEAD:published").count("published") == 1
    assert "published" in bob.ok("fetch")


def test_force_leaves_behind_only_what_was_seen(alice, bob, folder_url):
    shared(alice, bob, folder_url)
    bob.learn("b1", "bob has learned this")
    bob.ok("commit", "-m", "bob")
    bob.ok("push")
    alice.change("m1", "another history")
    alice.ok("commit", "-m", "alice")
    ran = alice("push", "--force")
    assert ran.code == 1 and "host-moved" in ran.err and "vex fetch backup" in ran.err
    alice.ok("fetch")
    assert "forced" in alice.ok("push", "--force-with-lease")
    assert "forced" in bob.ok("fetch")


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["push", "main"], 2, "main is a branch here, and no remote"),
        (["push", "backpu"], 2, "did you mean backup?"),
        (["push", "https://host/memory.git"], 2, "vex remote add NAME"),
        (["push", "https://alice:hunter2@host/memory.git"], 2, "would hold a secret"),
        (["push", "backup", "nope"], 2, "nope"),
        (["push", "backup", "--delete"], 2, "name the branches"),
        (["push", "backup", "--passphrase", "hunter2"], 2, "VEX_PASSPHRASE"),
        (["fetch", "backup", "--all"], 2, "give a REMOTE or --all"),
        (["pull", "backup", "nope"], 2, "no branch nope"),
        (["pull", "--ff-only", "--no-ff"], 2, "exclude each other"),
        (["clone", "vektor:agent.db"], 2, "the address of a store"),
        (["clone", "https://alice:hunter2@host/memory.git"], 2, "would hold a secret"),
    ],
)
def test_what_cannot_be_done_says_why(alice, folder_url, args, code, why):
    alice.begin()
    alice.ok("remote", "add", "backup", folder_url)
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    ran = alice(*args)
    assert ran.code == code and why in ran.err and "hunter2" not in ran.err + ran.out


def test_the_remote_need_not_be_named_where_it_is_clear(alice, folder_url, tmp_path):
    alice.begin()
    assert "vex remote add NAME URL" in alice("push").err
    alice.ok("remote", "add", "one", folder_url)
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    alice.ok("remote", "add", "two", str(make_bare(tmp_path / "two.git")))
    ran = alice("push")
    assert ran.code == 2 and "name the remote (one, two)" in ran.err
    alice.ok("config", "set", "push.remote", "one")
    assert "nothing to send" in alice.ok("push")
    alice.ok("remote", "rename", "two", "origin")
    alice.ok("config", "unset", "push.remote")
    assert alice.ok("push", VEX_PASSPHRASE=PASSPHRASE).startswith("Sealed")


def test_a_folder_that_is_missing_is_made_where_asked_to(alice, tmp_path):
    alice.begin()
    alice.ok("remote", "add", "disk", str(tmp_path / "new.git"))
    ran = alice("push", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "host-missing" in ran.err and "vex push disk --create" in ran.err
    assert "made an empty bare repository" in alice.ok("push", "--create", VEX_PASSPHRASE=PASSPHRASE)


def test_every_verb_speaks_json(alice, bob, folder_url):
    alice.begin()
    alice.ok("remote", "add", "backup", folder_url)
    pushed = alice.json("push", VEX_PASSPHRASE=PASSPHRASE)
    assert pushed["created"] and pushed["refs"][0]["name"] == "heads/main" and pushed["refs"][0]["result"] == "new"
    cloned = bob.json("clone", folder_url, "copy", VEX_PASSPHRASE=PASSPHRASE)
    assert cloned["records"] == 4 and cloned["branch"] == "main" and cloned["commit"] == pushed["refs"][0]["new"]
    fetched = alice.json("fetch")
    assert fetched["remote"] == "backup" and fetched["packs"] == 0
    assert alice.json("fetch", "--all")[0]["remote"] == "backup"
    assert alice.json("pull")["result"] == "up-to-date"
    assert alice.json("pull", "--dry-run")["result"] in ("preview", "up-to-date")
    assert alice.json("push", "--dry-run")["dry_run"] is True


def test_a_branch_without_commits_begins_where_the_remote_is(alice, bob, folder_url):
    alice.begin()
    alice.ok("remote", "add", "backup", folder_url)
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    bob.ok("init", "--store", "agent.vmig.jsonl")
    bob.ok("remote", "add", "backup", folder_url)
    assert "would begin main at backup/main" in bob.ok("pull", "-n", VEX_PASSPHRASE=PASSPHRASE)
    bob.ok("pull", VEX_PASSPHRASE=PASSPHRASE)
    assert set(bob.texts()) == {"m1", "m2", "m3", "m4"}
    assert bob.ok("rev-parse", "HEAD") == alice.ok("rev-parse", "HEAD")


def test_a_store_with_memories_of_its_own_keeps_them_at_a_clone(alice, bob, folder_url):
    alice.begin()
    alice.ok("remote", "add", "backup", folder_url)
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    bob.learn("b1", "bob's own")
    bob.ok("clone", folder_url, "copy", "--store", "agent.vmig.jsonl", VEX_PASSPHRASE=PASSPHRASE)
    assert {"b1", "m1"} <= set(bob.texts())
    bob.change("m1", "another text")
    ran = bob("clone", folder_url, "again", "--store", "agent.vmig.jsonl", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "the memory is in again" in ran.err and "unsaved-changes" in ran.err
    assert (bob.folder / "again" / ".vex" / "format").exists() and bob.texts()["m1"] == "another text"


def test_a_clone_goes_into_a_folder_that_is_new_or_empty(alice, bob, folder_url):
    alice.begin()
    alice.ok("remote", "add", "backup", folder_url)
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    bob.ok("clone", folder_url, VEX_PASSPHRASE=PASSPHRASE)
    assert (bob.folder / "memory" / ".vex" / "format").exists()
    ran = bob("clone", folder_url, VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "repository-exists" in ran.err
    (bob.folder / "full").mkdir()
    (bob.folder / "full" / "file").write_text("x")
    ran = bob("clone", folder_url, "full", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "folder-not-empty" in ran.err
    assert os.listdir(bob.folder / "full") == ["file"]


def test_a_signature_beside_a_commit_that_both_have_is_pushed_and_fetched(alice, bob, folder_url):
    shared(alice, bob, folder_url)
    bob.ok("sign", "HEAD")
    out = bob.ok("push", "--json", VEX_PASSPHRASE=PASSPHRASE)
    assert json.loads(out)["signatures"] == 1 and json.loads(out)["packs"] == 1
    assert bob.ok("push", VEX_PASSPHRASE=PASSPHRASE).startswith("nothing to send")
    out = alice.ok("fetch", VEX_PASSPHRASE=PASSPHRASE)
    assert "1 signature of commits that were here" in out
    assert "nothing new" in alice.ok("fetch", VEX_PASSPHRASE=PASSPHRASE)
    found = json.loads(alice.ok("verify", "HEAD", "--json"))
    assert [each["verdict"] for each in found["signatures"]] == ["good", "unknown"] and found["ok"]
    assert alice.ok("fsck")
