"""merge, conflicts, resolve, revert, cherry-pick."""

import json

import pytest

from tests.cli.conftest import record


@pytest.fixture
def forked(vex, repo):
    """Branch ``side`` changed m1 and learned m6; ``main``, where we are, changed m4 and learned m5."""
    vex("switch", "-c", "side")
    repo.learn("m1", "The user prefers calls", namespace="prefs", importance=3)
    repo.learn("m6", "The side is open")
    assert vex("commit", "-m", "on the side").code == 0
    assert vex("switch", "main").code == 0
    repo.records = {each["id"]: each for each in map(json.loads, repo.path.read_text().splitlines())}
    repo.learn("m4", "Lunch is at one")
    repo.learn("m5", "The market opens at nine")
    assert vex("commit", "-m", "on main").code == 0
    return repo


@pytest.fixture
def clashing(vex, repo):
    """Both branches changed m1's text and importance; ``side`` forgot m2, which ``main`` changed."""
    vex("switch", "-c", "side")
    repo.records.pop("m2")
    repo.learn("m1", "The user prefers calls", namespace="prefs", importance=4)
    vex("commit", "-m", "on the side")
    vex("switch", "main")
    repo.records["m2"] = record("m2", "Pepe trending everywhere", "trading")
    repo.learn("m1", "The user prefers letters", namespace="prefs", importance=5)
    vex("commit", "-m", "on main")
    return repo


def test_a_merge_brings_both_sides_together_and_the_store_along(vex, forked):
    preview = vex("merge", "side", "--dry-run")
    assert preview.out == "would merge side: 1 learned, 1 changed\n"
    ran = vex("merge", "side")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("[main ") and lines[0].endswith("] Merge side into main")
    assert lines[1].startswith(" 1 learned, 1 changed · 6 memories · ")
    assert forked.texts()["m1"] == "The user prefers calls"
    assert forked.texts()["m4"] == "Lunch is at one"
    assert vex("status").out.endswith(
        "nothing to commit, it holds exactly what " + vex("rev-parse", "HEAD", "--short").out.strip() + " holds\n"
    )
    assert vex("merge", "side").out == "already up to date: main has everything of side\n"
    assert vex("verify").code == 0
    vex("switch", "side")
    assert vex("merge", "main").out.startswith("side moved forward to ")


def test_a_merge_into_a_store_with_uncommitted_changes_is_refused_with_the_way_out(vex, forked):
    forked.learn("m9", "not committed")
    before = vex("rev-parse", "HEAD").out
    ran = vex("merge", "side")
    assert ran.code == 1
    assert "[unsaved-changes]" in ran.err and "vex commit" in ran.err and "--no-checkout" in ran.err
    assert vex("rev-parse", "HEAD").out == before
    assert vex("merge", "side", "--no-checkout").code == 0
    assert "m9" in forked.texts() and "m6" not in forked.texts()


def test_conflicts_stop_a_merge_with_4_and_nothing_changed(vex, clashing):
    before, text = vex("rev-parse", "HEAD").out, clashing.path.read_text()
    ran = vex("merge", "side")
    assert ran.code == 4
    assert "prefs/m1  text" in ran.out and "prefs/m1  metadata.importance" in ran.out
    assert "trading/m2  (whole)" in ran.out and "(forgotten)" in ran.out
    assert "vex merge --abort" in ran.out
    assert (vex("rev-parse", "HEAD").out, clashing.path.read_text()) == (before, text)
    found = vex("conflicts", "--json").json()
    assert [each["field"] for each in found["conflicts"]] == [["metadata", "importance"], ["text"], ["vector"], []]
    assert found["conflicts"][1]["ours"] == "The user prefers letters"
    assert vex("conflicts").code == 4
    assert vex("merge", "side").err.endswith("[merge-under-way]\n")
    assert vex("merge", "--continue").err.count("still open") == 1
    assert vex("merge", "--abort").out == "dropped the merge of side\n"
    assert vex("conflicts").out == "no conflicts\n"
    assert vex("merge", "--abort").code == 1


def test_conflicts_are_settled_one_by_one(vex, clashing):
    vex("merge", "side")
    ran = vex("resolve", "m1", "--field", "metadata.importance=7")
    assert ran.out == "prefs/m1  metadata.importance: your value\n3 conflicts left: vex conflicts\n"
    assert vex("resolve", "prefs/m1", "--theirs").out.count("theirs") == 2
    assert vex("resolve", "m1", "--field", "nothing=1").code == 2
    assert vex("resolve", "unknown", "--ours").err.endswith("[not-in-conflict]\n")
    assert vex("resolve", "m2", "--field", "text=x").code == 2
    assert vex("resolve", "m2").code == 2
    assert "all settled" in vex("resolve", "trading/m2", "--ours").out
    assert "vex merge --continue" in vex("conflicts").out
    done = vex("merge", "--continue")
    assert done.code == 0
    assert clashing.texts()["m1"] == "The user prefers calls"
    assert clashing.texts()["m2"] == "Pepe trending everywhere"
    values = [json.loads(line) for line in clashing.path.read_text().splitlines()]
    assert next(each["metadata"]["importance"] for each in values if each["id"] == "m1") == 7


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--policy", "ours"), "The user prefers letters"),
        (("--policy", "theirs"), "The user prefers calls"),
        (("--policy", "newest"), "The user prefers letters"),
    ],
)
def test_a_policy_decides(vex, clashing, options, text):
    assert vex("merge", "side", *options).code == 0
    assert clashing.texts()["m1"] == text


def test_a_policy_leaves_open_what_it_cannot_decide(vex, clashing):
    """m2, which one side forgot, says nothing of its importance."""
    ran = vex("merge", "side", "--policy", "highest-importance", "--json")
    assert ran.code == 4
    assert [each["id"] for each in ran.json()["conflicts"]] == ["m2"]


def test_rules_come_from_the_configuration_and_the_command_line(vex, clashing):
    vex("config", "set", "merge.policy", "theirs")
    vex("config", "set", "merge.fields", "metadata.importance=max")
    ran = vex("merge", "side", "--json")
    assert ran.json()["result"] == "merged"
    assert {each["field"] for each in ran.json()["decided"]} == {"text", "vector", "metadata.importance", ""}
    values = [json.loads(line) for line in clashing.path.read_text().splitlines()]
    assert next(each["metadata"]["importance"] for each in values if each["id"] == "m1") == 5
    assert vex("merge", "HEAD", "--policy", "newst").err.count("did you mean newest") == 1
    assert vex("merge", "HEAD", "--field", "text").code == 2


def test_kept_conflicts_do_not_block_and_are_settled_later(vex, clashing):
    ran = vex("merge", "side", "--keep-conflicts")
    assert ran.code == 0
    assert "4 conflicts committed as such" in ran.out
    assert vex("conflicts").code == 4
    assert "vex_conflicts" in clashing.path.read_text()
    done = vex("resolve", "--all", "--theirs", "--json")
    assert done.json()["open"] == 0
    assert vex("conflicts").code == 0
    assert vex("checkout", "HEAD").code == 0
    assert "vex_conflicts" not in clashing.path.read_text()
    assert "m2" not in clashing.texts()


def test_an_editor_can_settle(vex, clashing, monkeypatch):
    vex("merge", "side")

    def edit(text, extension):
        value = json.loads(text)
        assert value["text"]["ours"] == "The user prefers letters"
        return json.dumps({"text": {"result": "Both"}, "metadata.importance": {"result": 1}})

    monkeypatch.setattr("click.edit", edit)
    assert vex("resolve", "m1", "--edit").code == 0
    monkeypatch.setattr("click.edit", lambda text, extension: None)
    assert vex("resolve", "m1", "--edit").code == 2
    monkeypatch.setattr("click.edit", lambda text, extension: "[")
    assert vex("resolve", "m1", "--edit").err.endswith("[not-json]\n")
    vex("resolve", "--all", "--ours")
    assert vex("merge", "--continue").code == 0
    assert clashing.texts()["m1"] == "Both"


def test_revert_and_cherry_pick_bring_the_store_along(vex, repo):
    repo.learn("m7", "A mistake")
    vex("commit", "-m", "wrong")
    repo.learn("m8", "Fine")
    vex("commit", "-m", "right")
    assert vex("revert", "HEAD~1").code == 0
    assert "m7" not in repo.texts() and "m8" in repo.texts()
    assert 'Revert "wrong"' in vex("log", "-n", "1").out
    assert vex("revert", "HEAD~2").err.startswith("nothing to revert")
    assert vex("cherry-pick", "HEAD~2").code == 0
    assert repo.texts()["m7"] == "A mistake"


def test_bad_merges_are_told_apart(vex, forked):
    assert vex("merge").code == 2
    assert vex("merge", "side", "--abort").code == 2
    assert vex("merge", "nowhere").code == 2
    assert vex("merge", "side", "--ff-only").err.endswith("[not-fast-forward]\n")
    assert vex("merge", "side", "--ff-only", "--no-ff").code == 2
    assert vex("merge", "--continue").err.endswith("[no-merge]\n")


def test_restore_reset_blame_and_bisect(vex, two):
    two.forget("m4")
    assert vex("restore", "HEAD", "m4").out == "restored 1 memory in jsonl:agent.vmig.jsonl as at HEAD\n"
    assert two.texts()["m4"] == "Lunch is at noon"
    assert vex("restore", "HEAD", "m4").out.startswith("jsonl:agent.vmig.jsonl already holds it")
    assert vex("restore", "HEAD", "nobody").err.endswith("[unknown-record]\n")
    assert vex("restore", "HEAD~1", "m2", "--dry-run").out.startswith("would restore 1 memory")

    ran = vex("blame", "m1")
    assert "prefs/m1" in ran.out and "second" not in ran.out.splitlines()[1]
    found = vex("blame", "m2", "--json").json()[0]
    assert found["forgotten"]["message"] == "second" and found["added"]["message"] == "first"
    assert vex("blame", "never").err.endswith("[unknown-record]\n")

    assert "second" in vex("bisect", "--believes", "short calls").out
    assert vex("bisect", "HEAD~1", "--believes", "async").code == 2
    command = "python3 -c \"import sys; sys.exit('m5' in open('{store}').read())\""
    assert vex("bisect", "HEAD~1", "HEAD", "--run", command, "--json").json()["first"]
    assert vex("bisect", "--run", "").code == 2
    assert vex("bisect").code == 2

    assert vex("reset", "HEAD~1").code == 0
    assert vex("status", "--json").json()["clean"] is False
    assert vex("undo").code == 0
    assert vex("reset", "--hard", "HEAD~1").code == 0
    assert vex("status", "--json").json()["clean"] is True


def test_gc_says_what_it_frees(vex, two):
    for number in range(6):
        two.learn("m7", f"version {number}")
        vex("commit", "-m", str(number))
    assert vex("gc", "--dry-run").out.startswith("would join 8 packs into ")
    assert vex("gc", "--auto").out == ""
    ran = vex("gc", "--full", "--json").json()
    assert (ran["packs_after"], ran["objects_removed"]) == (1, 0)
    assert vex("gc").out.startswith("nothing to do: 1 pack, ")
    assert vex("fsck").code == 0
