"""A branch that moved on without its store: nothing is taken back by accident, and what the store learned stays."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex, record


def branch_off(vex, repo) -> None:
    """Leave main and the store at a commit, and a branch with another text of m1 and without m2."""
    vex("switch", "-c", "other")
    repo.records["m1"] = record("m1", "from the other branch", "prefs")
    repo.forget("m2")
    assert vex("commit", "-m", "other").code == 0
    assert vex("switch", "main").code == 0
    repo.records = {each["id"]: each for each in map(json.loads, repo.path.read_text("utf-8").splitlines())}


def test_a_commit_of_a_store_left_behind_is_refused(vex, repo):
    branch_off(vex, repo)
    assert vex("merge", "other", "--no-checkout").code == 0
    at = vex("rev-parse", "HEAD~1").out.strip()
    assert f"moved on from {at[:7]} to " in vex("status").out and "vex checkout HEAD --merge\n" in vex("status").out
    assert vex("status", "--json").json()["left_behind_at"] == at
    ran = vex("commit", "-m", "would take it back")
    assert ran.code == 1 and "store-behind" in ran.err and "vex checkout HEAD --merge" in ran.err
    assert vex("checkout", "HEAD", "--merge").out == " → jsonl:agent.vmig.jsonl · 1 changed, 1 removed\n"
    assert repo.texts()["m1"] == "from the other branch" and "m2" not in repo.texts()
    assert vex("status", "--json").json()["left_behind_at"] is None
    assert vex("status").out.startswith("On main, workspace jsonl:agent.vmig.jsonl: nothing to commit")


def test_what_the_store_learned_meanwhile_stays(vex, repo):
    branch_off(vex, repo)
    repo.learn("m9", "learned meanwhile")
    assert vex("merge", "other", "--no-checkout").code == 0
    preview = vex("checkout", "HEAD", "--merge", "--dry-run")
    assert "1 changed, 1 removed" in preview.out and "m2" in repo.texts()
    assert vex("checkout", "HEAD", "--merge").code == 0
    assert {"m9", "m1"} <= set(repo.texts()) and "m2" not in repo.texts()
    assert vex("status", "--json").json()["learned"] == 1
    assert vex("commit", "-m", "now").code == 0


def test_where_both_changed_the_same_memory_nothing_is_written(vex, repo):
    branch_off(vex, repo)
    repo.records["m1"]["text"] = "mine"
    repo.write()
    assert vex("merge", "other", "--no-checkout").code == 0
    assert "1 of these was changed there, too" in vex("checkout", "HEAD", "--merge", "-n").out
    ran = vex("checkout", "HEAD", "--merge")
    assert ran.code == 1 and "unsaved-changes" in ran.err
    assert repo.texts()["m1"] == "mine" and "m2" in repo.texts()
    assert vex("commit", "--from", "agent.vmig.jsonl", "-m", "exactly what it holds").code == 0


def test_a_merge_that_waited_is_finished_beside_what_was_learned_meanwhile(vex, repo):
    branch_off(vex, repo)
    repo.records["m1"]["text"] = "from main"
    repo.write()
    assert vex("commit", "-m", "main").code == 0
    assert vex("merge", "other").code == 4
    repo.learn("m9", "learned meanwhile")
    assert vex("resolve", "m1", "--theirs").code == 0
    assert vex("merge", "--continue").code == 0
    assert repo.texts()["m1"] == "from the other branch" and "m9" in repo.texts() and "m2" not in repo.texts()


def test_going_back_with_reset_is_no_moving_on(vex, two):
    assert vex("reset", "HEAD~1").code == 0
    assert vex("commit", "-m", "second, in other words").code == 0


def test_a_commit_of_a_part_leaves_nothing_behind(vex, repo):
    repo.records["m1"]["text"] = "changed"
    repo.learn("m9", "learned")
    assert vex("commit", "-m", "part", "--namespace", "prefs").code == 0
    assert vex("status", "--json").json()["learned"] == 1
    assert vex("commit", "-m", "the rest").code == 0


def test_options_that_contradict_each_other(vex, repo):
    for args in (["--force"], ["--namespace", "x"], ["--components", "x"]):
        ran = vex("checkout", "HEAD", "--merge", *args)
        assert ran.code == 2 and "--merge does not go with" in ran.err


# -- a store that refuses what a branch brings it ----------------------------------------------------------------------


@pytest.fixture
def other_model(vex: Vex, memory: Memory) -> Memory:
    """The remote ``field``, where a memory with an embedding of another model was learned; the workspace is live."""
    assert vex("init", "--store", "vektor:agent.db").code == 0
    assert vex("import", str(memory.path), "--to", "vektor:agent.db").code == 0
    assert vex("commit", "-m", "first").code == 0
    field = Memory(memory.path.with_name("field.vmig.jsonl"))
    assert vex("remote", "add", "field", "field.vmig.jsonl").code == 0
    assert vex("push", "field").code == 0
    field.records = {each["id"]: each for each in map(json.loads, field.path.read_text("utf-8").splitlines())}
    field.records["m9"] = record("m9", "The agent in the field learnt this") | {"model": "another"}
    field.write()
    return field


def test_a_pull_that_the_workspace_refuses_leaves_the_branch(vex: Vex, other_model: Memory) -> None:
    before = vex("rev-parse", "HEAD").out
    for _ in range(2):
        refused = vex("pull", "field")
        assert refused.code == 1 and "[store-model]" in refused.err and "main is where it was" in refused.err
        assert vex("rev-parse", "HEAD").out == before
        assert "nothing to commit" in vex("status").out
    # Both ways out: taken all the same, or not into this store.
    assert vex("pull", "field", "--no-checkout").code == 0 and vex("undo").code == 0
    assert vex("pull", "field", "--mix-models").code == 0
    assert "nothing to commit" in vex("status").out and vex("rev-parse", "HEAD").out != before


def test_a_merge_that_the_workspace_refuses_leaves_the_branch(vex: Vex, other_model: Memory) -> None:
    assert vex("fetch", "field").code == 0
    assert vex("commit", "--allow-empty", "-m", "so that it is a merge").code == 0
    before = vex("rev-parse", "HEAD").out
    for command in (("merge", "field"), ("cherry-pick", "field")):
        refused = vex(*command)
        assert refused.code == 1 and "[store-model]" in refused.err and "main is where it was" in refused.err
        assert vex("rev-parse", "HEAD").out == before
        assert "nothing to commit" in vex("status").out
    assert vex("merge", "field", "--mix-models").code == 0


def test_a_hook_that_keeps_a_pull_out_of_the_workspace_leaves_the_branch(vex: Vex, repo: Memory) -> None:
    Memory(repo.path.with_name("copy.vmig.jsonl")).learn("m9", "not for this agent")
    hook = Path(".vex/hooks/pre-checkout")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = vex("rev-parse", "HEAD").out
    refused = vex("pull", "copy.vmig.jsonl", "--allow-unrelated-histories")
    assert refused.code == 1 and "[hook-veto]" in refused.err and "main is where it was" in refused.err
    assert vex("rev-parse", "HEAD").out == before and "nothing to commit" in vex("status").out
