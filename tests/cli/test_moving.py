"""branch, tag, switch and checkout."""

import json
from pathlib import Path

from tests.cli.conftest import record


def test_branches_are_made_listed_renamed_and_deleted(vex, two):
    assert "go there with vex switch x" in vex("branch", "x", "HEAD~1").out
    lines = vex("branch").out.splitlines()
    assert lines[0].startswith("* main  ") and lines[1].startswith("  x     ")
    assert vex("branch", "x").code == 1
    assert vex("branch", "x", "--force").code == 0
    assert vex("branch", "-m", "x", "y").code == 0
    assert vex("branch", "-m", "trunk").out == "renamed branch main to trunk\n"
    assert [each["name"] for each in vex("branch", "--json").json()] == ["trunk", "y"]
    assert vex("branch", "-d", "trunk").code == 1
    assert vex("branch", "-d", "y").out.startswith("deleted branch y (was ")
    assert vex("branch", "-d", "y").code == 2
    assert vex("branch", "bad name").code == 2
    assert vex("branch", "a", "b", "c").code == 2


def test_tags_do_not_move(vex, repo):
    at = vex("rev-parse", "HEAD").out
    assert vex("tag", "v1").code == 0
    repo.learn("m9", "new")
    vex("commit", "-m", "x")
    assert vex("rev-parse", "v1").out == at
    assert vex("tag", "v1").code == 1
    assert vex("tag", "v1", "-f").code == 0
    assert vex("rev-parse", "v1", "--short").out.strip() in vex("tag").out
    assert vex("tag", "--json").json()[0]["name"] == "v1"
    assert vex("tag", "-d", "v1").code == 0
    assert vex("tag").out == ""


def test_a_branch_made_here_leaves_the_store_alone(vex, repo):
    repo.learn("m9", "not committed")
    ran = vex("switch", "-c", "experiment")
    assert ran.out.startswith("made and switched to experiment at ")
    assert "m9" in repo.texts()
    assert vex("status").out == "On experiment, workspace jsonl:agent.vmig.jsonl: 1 learned\n"


def test_switching_brings_the_store_along(vex, repo):
    vex("switch", "-c", "experiment")
    repo.path.unlink()
    repo.forget("m2")
    vex("commit", "-m", "prune")
    ran = vex("switch", "main")
    assert ran.out.splitlines()[0].startswith("switched to main at ")
    assert ran.out.splitlines()[1] == "4 memories → jsonl:agent.vmig.jsonl · 1 added · verified 4 of 4"
    assert "m2" in repo.texts()
    assert vex("switch", "experiment", "--json").json()["checkout"]["removed"] == 1
    assert "m2" not in repo.texts()
    assert vex("switch", "experiment").out.startswith("already on experiment at ")


def test_switching_refuses_to_lose_what_is_not_committed(vex, two):
    vex("branch", "old", "HEAD~1")
    two.learn("m9", "precious")
    ran = vex("switch", "old")
    assert ran.code == 1
    assert all(word in ran.err for word in ("1 memory", "no commit has", "notes/m9")) and "vex commit" in ran.err
    assert "m9" in two.texts() and vex("status", "--json").json()["branch"] == "main"
    assert vex("switch", "old", "--keep").code == 0
    assert "m9" in two.texts()
    vex("switch", "main", "--keep")
    assert vex("switch", "old", "--force").code == 0
    assert set(two.texts()) == {"m1", "m2", "m3", "m4"}


def test_a_branch_made_elsewhere_brings_the_store_there_or_is_not_made(vex, two):
    two.learn("m9", "precious")
    assert vex("switch", "-c", "old", "HEAD~1").code == 1
    assert len(vex("branch", "--json").json()) == 1
    two.forget("m9")
    assert vex("switch", "-c", "old", "HEAD~1").code == 0
    assert "m2" in two.texts()
    assert vex("switch", "-c", "old", "HEAD").code == 1
    assert vex("switch", "-c", "HEAD").code == 2


def test_switching_to_what_is_no_branch_says_what_to_do(vex, two):
    vex("tag", "v1", "HEAD~1")
    ran = vex("switch", "v1")
    assert ran.code == 2 and "vex switch --detach v1" in ran.err
    assert "did you mean main?" in vex("switch", "mian").err
    ran = vex("switch", "--detach", "v1")
    assert ran.out.startswith("switched to a HEAD detached at ")
    assert vex("status").out.startswith("On detached at ")
    assert "* (no branch, at " in vex("branch").out
    assert vex("switch", "x", "y").code == 2


def test_a_branch_before_the_first_commit(vex, memory):
    vex("init", "--store", "agent.vmig.jsonl")
    assert vex("branch").out == "* main  no commit yet\n"
    assert vex("switch", "-c", "trunk").code == 0
    assert vex("commit", "-m", "x").out.startswith("[trunk ")
    assert [each["name"] for each in vex("branch", "--json").json()] == ["trunk"]


def test_without_a_workspace_only_head_moves(vex, memory):
    vex("init")
    vex("commit", "--from", "agent.vmig.jsonl", "-m", "x")
    vex("switch", "-c", "other")
    assert vex("switch", "main").out.startswith("switched to main")
    assert vex("checkout", "main").code == 1


def test_checkout_goes_back_and_forth(vex, two):
    ran = vex("checkout", "HEAD~1")
    assert ran.out.splitlines()[0].startswith(
        "4 memories → jsonl:agent.vmig.jsonl · 1 added, 1 changed, 1 removed · verified 4 of 4 · HEAD detached at "
    )
    assert "m2" in two.texts()
    ran = vex("checkout", "main")
    assert ran.out.endswith("verified 4 of 4 · on main\n")
    assert "m5" in two.texts()
    assert vex("checkout", "main").out.startswith("jsonl:agent.vmig.jsonl already holds ")


def test_checkout_of_head_with_force_drops_changes(vex, two):
    two.forget("m1")
    two.learn("m9", "junk")
    assert vex("checkout", "HEAD").code == 1
    found = vex("checkout", "HEAD", "--force", "--json").json()
    assert (found["added"], found["removed"], found["unsaved"], found["verified"]) == (1, 1, 1, 4)
    assert found["head"]["branch"] == "main"
    assert set(two.texts()) == {"m1", "m3", "m4", "m5"}


def test_a_dry_run_writes_nothing(vex, two):
    two.learn("m9", "precious")
    before = two.path.read_bytes()
    ran = vex("checkout", "HEAD~1", "--dry-run")
    assert ran.code == 0
    assert "1 added, 1 changed, 2 removed" in ran.out and "1 memory there are in no commit" not in ran.out
    assert "1 memory there is in no commit and would be lost" in ran.out
    assert two.path.read_bytes() == before
    assert vex("status", "--json").json()["branch"] == "main"


def test_checkout_into_another_store_leaves_head(vex, two):
    ran = vex("checkout", "HEAD~1", "--to", "copy.vmig.jsonl")
    assert ran.out == "4 memories → jsonl:copy.vmig.jsonl · 4 added · verified 4 of 4\n"
    assert vex("diff", "HEAD~1", "copy.vmig.jsonl", "--exit-code").code == 0
    assert vex("status", "--json").json()["branch"] == "main"


def test_a_partial_checkout_writes_only_its_part(vex, two):
    ran = vex("checkout", "HEAD~1", "--namespace", "trading")
    assert ran.out == "1 memory → jsonl:agent.vmig.jsonl · 1 added\n"
    assert set(two.texts()) == {"m1", "m2", "m3", "m4", "m5"}
    assert "short calls" in two.texts()["m1"]
    assert vex("status", "--json").json()["branch"] == "main"


def test_components_select_by_kind_of_memory(vex, folder):
    Path("a.jsonl").write_text(
        "".join(
            json.dumps(record(f"m{n}", f"t{n}", memory_type=kind)) + "\n"
            for n, kind in enumerate(["working", "semantic"])
        )
    )
    vex("init")
    vex("commit", "--from", "a.jsonl", "-m", "x")
    vex("checkout", "HEAD", "--to", "b.jsonl", "--components", "semantic,other")
    assert [json.loads(line)["id"] for line in Path("b.jsonl").read_text().splitlines()] == ["m1"]
