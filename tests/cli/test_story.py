"""The commands in the order a user meets them."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest


def test_init_says_where_what_and_which_key(vex, memory, home):
    ran = vex("init", "--store", "agent.vmig.jsonl")
    assert ran.code == 0
    line = ran.out.strip()
    assert line.startswith("Memory repository in .vex · workspace jsonl:agent.vmig.jsonl · identity ")
    assert line.endswith(" (new)")
    key = home / "keys" / "default.key"
    if sys.platform != "win32":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not list(Path(".").rglob("*.key"))


def test_init_keeps_a_key_that_is_there(vex, memory):
    first = vex("init", "a", "--json").json()
    second = vex("init", "b", "--json").json()
    assert first["identity"]["new"] and not second["identity"]["new"]
    assert first["identity"]["key"] == second["identity"]["key"]
    assert Path("b/.vex/format").exists()


def test_init_twice_changes_nothing(vex, repo):
    ran = vex("init")
    assert ran.code == 1
    assert "[repository-exists]" in ran.err
    assert vex("config", "get", "workspace.store").out == "jsonl:agent.vmig.jsonl\n"


@pytest.mark.parametrize(
    ("store", "code", "words"),
    [
        ("vecktor:x.db", "unknown-store", "did you mean vektor?"),
        ("notes.txt", "bad-address", "jsonl:notes.txt"),
        ("", "bad-address", "empty"),
        ("vektor://alice:secret@host/db", "bad-address", "password"),
    ],
)
def test_init_refuses_an_address_it_cannot_use(vex, home, store, code, words):
    ran = vex("init", "--store", store)
    assert ran.code == 2
    assert words in ran.err and f"[{code}]" in ran.err
    assert "secret" not in ran.err
    assert not Path(".vex").exists()
    assert not (home / "keys").exists()


def test_init_notes_a_store_that_is_not_there_yet(vex, folder):
    ran = vex("init", "--store", "gone.vmig.jsonl")
    assert ran.code == 0
    assert "there is no gone.vmig.jsonl yet" in ran.out


def test_status_before_the_first_commit_counts_what_there_is(vex, memory):
    vex("init", "--store", "agent.vmig.jsonl")
    assert vex("status").out == (
        "On main, workspace jsonl:agent.vmig.jsonl: no commit yet, 4 memories to keep (vex commit -m MESSAGE)\n"
    )


def test_the_first_commit_says_what_it_holds(vex, memory):
    vex("init", "--store", "agent.vmig.jsonl")
    first, second = vex("commit", "-m", "What the agent knew\n\nand why").out.splitlines()
    assert first.startswith("[main ") and first.endswith("] What the agent knew")
    assert second.startswith(" 4 memories · 4 namespaces · tiny, 4 dims · signed by ")
    assert second.endswith(" s")


def test_later_commits_say_what_changed(vex, repo):
    repo.learn("m9", "new")
    repo.forget("m2")
    line = vex("commit", "-m", "x").out.splitlines()[1]
    assert line.startswith(" +1 learned -1 forgotten · 4 memories · ")


def test_status_tells_the_difference_and_its_absence(vex, repo):
    assert vex("status").out.startswith("On main, workspace jsonl:agent.vmig.jsonl: nothing to commit")
    repo.learn("m9", "new")
    repo.records["m1"]["text"] = "other"
    repo.forget("m2")
    assert vex("status").out == "On main, workspace jsonl:agent.vmig.jsonl: 1 learned, 1 changed, 1 forgotten\n"
    found = vex("status", "--json").json()
    assert (found["learned"], found["changed"], found["forgotten"], found["clean"]) == (1, 1, 1, False)


def test_status_of_another_store(vex, repo, folder):
    Path("other.jsonl").write_text(json.dumps({"id": "z", "text": "z"}) + "\n")
    assert vex("status", "other.jsonl").out == "On main, jsonl:other.jsonl: 1 learned, 4 forgotten\n"


def test_status_without_a_workspace_says_how_to_get_one(vex, folder):
    vex("init")
    ran = vex("status")
    assert ran.code == 0
    assert "vex config set workspace.store STORE" in ran.out


def test_nothing_to_commit_is_said_plainly(vex, repo):
    ran = vex("commit", "-m", "again")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err == "nothing to commit: jsonl:agent.vmig.jsonl holds exactly what main holds\n"
    assert vex("commit", "-m", "again", "--allow-empty").code == 0


def test_a_commit_needs_a_message(vex, repo):
    assert vex("commit").code == 2
    assert vex("commit", "-m", "  ").code == 2
    repo.learn("m9", "new")
    assert vex("commit", "-F", "-", input="from a pipe\n").code == 0
    assert vex("log", "-1", "--json").json()["commits"][0]["message"] == "from a pipe"


def test_several_messages_are_paragraphs(vex, repo):
    repo.learn("m9", "new")
    vex("commit", "-m", "one", "-m", "two")
    assert vex("log", "-1", "--json").json()["commits"][0]["message"] == "one\n\ntwo"


def test_a_dry_run_commits_nothing(vex, repo):
    repo.learn("m9", "new")
    ran = vex("commit", "--dry-run")
    assert ran.code == 0
    assert ran.out.startswith("would commit to main\n +1 learned")
    assert len(vex("log", "--json").json()["commits"]) == 1
    assert vex("fsck").code == 0


def test_commit_from_another_store_and_of_a_part(vex, repo):
    Path("other.jsonl").write_text(json.dumps({"id": "z", "text": "z", "namespace": "work"}) + "\n")
    assert vex("commit", "--from", "other.jsonl", "--namespace", "work,none", "-m", "part").code == 0
    ids = {each["id"] for each in vex("diff", "HEAD~1", "HEAD", "--json").json()["changes"]}
    assert ids == {"m3", "z"}


def test_records_that_cannot_be_kept_stop_a_commit_or_are_left_out(vex, repo):
    with repo.path.open("a") as file:
        file.write('{"id":"bad","text":"x","vector":[1,"y"]}\n{"id":"m9","text":"good"}\n')
    ran = vex("commit", "-m", "x")
    assert ran.code == 1
    assert "agent.vmig.jsonl line 5 (id bad)" in ran.err
    assert len(vex("log", "--json").json()["commits"]) == 1
    ran = vex("commit", "-m", "x", "--on-error", "skip")
    assert ran.code == 3
    assert ran.err.startswith("left out: ") and "(id bad)" in ran.err
    assert "1 record left out" in ran.out
    assert vex("show", "HEAD:m9").code == 0
    repo.path.write_text('{"id":"bad"\n{"id":"m9","text":"good"}\n')
    ran = vex("commit", "-m", "x", "--on-error", "skip", "--json")
    assert ran.code == 3
    assert [each["code"] for each in ran.json()["left_out"]] == ["not-json"]


def test_everything_works_from_a_folder_below(vex, repo, folder, monkeypatch):
    (folder / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" / "er")
    assert "workspace jsonl:../../agent.vmig.jsonl: nothing" in vex("status").out
    assert vex("checkout", "HEAD", "--to", "copy.jsonl").code == 0
    assert (folder / "deep" / "er" / "copy.jsonl").exists()
    assert vex("diff", "HEAD", "copy.jsonl", "--exit-code").code == 0
    assert vex("config", "set", "workspace.store", "copy.jsonl").code == 0
    assert vex("config", "get", "workspace.store").out == "jsonl:deep/er/copy.jsonl\n"
    monkeypatch.chdir(folder)
    assert "workspace jsonl:deep/er/copy.jsonl: nothing" in vex("status").out


def test_C_runs_in_another_folder_and_comes_back(vex, repo, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert vex("-C", str(folder), "status").code == 0
    assert os.getcwd() == str(tmp_path)
    assert vex("-C", "nowhere", "status").code == 2
    assert vex("status").code == 10


def test_the_workspace_can_come_from_the_environment(vex, repo, folder, monkeypatch):
    (folder / "below").mkdir()
    Path("below/other.jsonl").write_text(json.dumps({"id": "z", "text": "z"}) + "\n")
    monkeypatch.chdir(folder / "below")
    found = vex("status", "--json", env={"VEX_WORKSPACE_STORE": "other.jsonl"}).json()
    assert found["store"] == "jsonl:below/other.jsonl"
    assert found["learned"] == 1


def test_undo_takes_back_step_by_step_and_op_restore_brings_back(vex, two):
    vex("commit", "-m", "nothing new")
    ran = vex("undo")
    assert ran.out.startswith("took back: commit second (")
    assert len(vex("log", "--json").json()["commits"]) == 1
    assert "1 learned, 1 changed, 1 forgotten" in vex("status").out
    assert vex("undo").code == 0
    assert vex("log").code == 1
    ran = vex("undo")
    assert ran.code == 1 and "[nothing-to-undo]" in ran.err
    operations = vex("op", "log", "--json").json()["operations"]
    wanted = next(each["id"] for each in operations if each["detail"] == "second")
    assert vex("op", "restore", wanted[:10]).code == 0
    assert len(vex("log", "--json").json()["commits"]) == 2
    assert len(vex("op", "log", "-n", "2").out.splitlines()) == 2
    assert vex("op", "restore", "zz").code == 2


def test_undo_passes_over_a_checkout_to_another_store(vex, two):
    vex("checkout", "HEAD", "--to", "copy.jsonl")
    assert vex("undo", "--json").json()["undone"]["detail"] == "second"
