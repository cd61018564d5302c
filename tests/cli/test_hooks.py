"""Hooks at the events of a repository: a veto leaves everything as it was."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Memory, Vex


@pytest.fixture
def begun(vex: Vex, memory: Memory) -> Memory:
    assert vex("init", "--store", memory.path.name).code == 0
    assert vex("commit", "-m", "begin").code == 0
    return memory


def hook(vex: Vex, event: str, text: str, name: str = "mine") -> None:
    Path(name).write_text(text, "utf-8")
    assert vex("hook", "add", event, name).code == 0


def state() -> dict[str, bytes]:
    """Everything that counts in the repository."""
    root = Path(".vex")
    return {
        str(path): path.read_bytes()
        for path in (root / "operation", *sorted(root.glob("operations/*")), *sorted(root.glob("packs/*")))
    }


REFUSE = "#!/bin/sh\necho 'not today'\nexit 1\n"


@pytest.mark.parametrize("command", ["commit", "merge", "merge-ff", "revert", "checkout", "switch", "resolve-free"])
def test_a_veto_leaves_everything_as_it_was(vex: Vex, begun: Memory, command: str) -> None:
    vex("branch", "other")
    begun.learn("m5", "on main")
    if command == "commit":
        arguments, event = ("commit", "-m", "x"), "pre-commit"
    else:
        assert vex("commit", "-m", "on main").code == 0
        assert vex("switch", "other").code == 0
        if command in ("merge", "revert"):
            begun.records = {name: each for name, each in begun.records.items() if name != "m5"}
            begun.learn("m6", "on other")
            assert vex("commit", "-m", "on other").code == 0
        arguments, event = {
            "merge": (("merge", "main"), "pre-merge"),
            "merge-ff": (("merge", "main"), "pre-merge"),
            "revert": (("revert", "HEAD"), "pre-merge"),
            "checkout": (("checkout", "main"), "pre-checkout"),
            "switch": (("switch", "main"), "pre-checkout"),
            "resolve-free": (("cherry-pick", "main"), "pre-merge"),
        }[command]
    hook(vex, event, REFUSE)
    before, file = state(), begun.path.read_bytes()
    ran = vex(*arguments)
    assert ran.code == 1
    assert "not today" in ran.err and "hook-veto" in ran.err
    assert state() == before
    assert begun.path.read_bytes() == file
    assert vex("fsck").code == 0
    assert vex("hook", "disable", f"{event}.d/mine").code == 0
    assert vex(*arguments).code == 0


def test_a_hook_sees_what_a_commit_changes(vex: Vex, begun: Memory) -> None:
    hook(
        vex,
        "pre-commit",
        "#!/usr/bin/env python3\nimport json, sys\nevent = json.load(sys.stdin)\n"
        "event['after'] = open(event['records']).read(); event['was'] = open(event['before']).read()\n"
        "json.dump(event, open('seen.json', 'w'))\n",
    )
    begun.learn("m5", "new")
    begun.learn("m1", "changed", namespace="prefs")
    begun.forget("m2")
    assert vex("commit", "-m", "x").code == 0
    seen = json.loads(Path("seen.json").read_text("utf-8"))
    assert seen["counts"] == {"learned": 1, "changed": 1, "forgotten": 1, "total": 4}
    assert [json.loads(line)["id"] for line in seen["after"].splitlines()] == ["m5", "m1"]
    assert {json.loads(line)["id"] for line in seen["was"].splitlines()} == {"m1", "m2"}
    assert seen["branch"] == "main" and seen["target"] == {"kind": "branch", "name": "main"}
    assert seen["source"] == {"kind": "jsonl", "address": "jsonl:agent.vmig.jsonl"}
    assert seen["repository"] == os.getcwd()
    assert Path(seen["records"]).is_absolute() and Path(seen["before"]).is_absolute()


def test_the_last_lines_of_a_hook_that_writes_megabytes_are_its_reason(vex: Vex, begun: Memory) -> None:
    hook(vex, "pre-commit", "#!/bin/sh\nyes spam | head -c 3000000\necho one reason\necho another\nexit 3\n")
    begun.learn("m5", "new")
    ran = vex("commit", "-m", "x")
    assert ran.code == 1 and "spam / one reason / another (exit code 3)  [hook-veto]" in ran.err
    assert len(ran.err) < 500


@pytest.mark.parametrize("place", ["pre-commit", "pre-commit.d/10-mine"])
def test_a_hook_that_is_gone_behind_its_link_refuses(vex: Vex, begun: Memory, place: str) -> None:
    path = Path(".vex/hooks") / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/nowhere/check")
    begun.learn("m5", "new")
    ran = vex("commit", "-m", "x")
    assert ran.code == 1 and "[hook-not-runnable]" in ran.err and "link" in ran.err
    assert "refuses everything" in vex("hook", "list").out
    assert vex("hook", "remove", place).code == 0
    assert vex("commit", "-m", "x").code == 0


def test_a_folder_in_the_place_of_a_hook_refuses(vex: Vex, begun: Memory) -> None:
    Path(".vex/hooks/pre-commit").mkdir(parents=True)
    begun.learn("m5", "new")
    ran = vex("commit", "-m", "x")
    assert ran.code == 1 and "[hook-not-runnable]" in ran.err


def test_a_misspelled_hook_is_listed_as_never_run(vex: Vex, begun: Memory) -> None:
    hook(vex, "pre-commit", REFUSE)
    shutil.copy(Path(".vex/hooks/pre-commit.d/mine"), ".vex/hooks/pre-comit")
    Path(".vex/hooks/pre-imports.d").mkdir()
    Path(".vex/hooks/README").write_text("read me", "utf-8")
    assert vex("hook", "list", "--json").json()["never_run"] == ["pre-comit", "pre-imports.d"]
    assert "pre-comit  never run" in vex("hook", "list").out


def test_passing_the_hooks_by_is_recorded_in_the_commit(vex: Vex, begun: Memory) -> None:
    hook(vex, "pre-commit", REFUSE)
    begun.learn("m5", "new")
    assert vex("commit", "-m", "x").code == 1
    assert vex("commit", "-m", "x", "--no-verify").code == 0
    assert vex("show", "HEAD", "--json").json()["source"]["unverified"] is True
    assert "passed by (--no-verify)" in vex("show", "HEAD").out
    assert "passed by" not in vex("show", "HEAD~1").out


def test_passing_by_can_be_forbidden(vex: Vex, begun: Memory) -> None:
    assert vex("config", "set", "hooks.allow_no_verify", "false").code == 0
    begun.learn("m5", "new")
    ran = vex("commit", "-m", "x", "--no-verify")
    assert ran.code == 1 and "no-verify-refused" in ran.err and "config.toml" in ran.err


def test_hooks_after_the_fact_may_use_the_repository(vex: Vex, begun: Memory) -> None:
    import sys

    python = f'PYTHONPATH="{Path(__file__).parents[2]}" {sys.executable} -m vexrepo.cli'
    hook(vex, "post-commit", f"#!/bin/sh\n{python} tag seen > out.txt 2>&1\n")
    begun.learn("m5", "new")
    ran = vex("commit", "-m", "x")
    assert ran.code == 0, ran.err
    assert vex("rev-parse", "seen").out == vex("rev-parse", "HEAD").out, Path("out.txt").read_text()
    assert shutil.which("sh")


def test_a_failing_hook_after_the_fact_is_said_and_changes_nothing(vex: Vex, begun: Memory) -> None:
    hook(vex, "post-commit", "#!/bin/sh\necho oh no\nexit 1\n")
    begun.learn("m5", "new")
    ran = vex("commit", "-m", "x")
    assert ran.code == 0
    assert "oh no" in ran.err and "failed" in ran.err


def test_the_time_limit_is_a_setting(vex: Vex, begun: Memory) -> None:
    hook(vex, "pre-commit", "#!/bin/sh\nsleep 60\n")
    assert vex("config", "set", "hooks.timeout_s", "1").code == 0
    begun.learn("m5", "new")
    ran = vex("commit", "-m", "x")
    assert ran.code == 1 and "hook-timeout" in ran.err and "within 1 s" in ran.err


def test_hooks_are_listed_with_their_state(vex: Vex, begun: Memory) -> None:
    vex("config", "set", "checks.foreign", "secrets")
    listed = vex("hook", "list").out
    assert "secrets  built-in check" in listed and "pre-commit" not in listed
    vex("config", "set", "checks.foreign", "")
    assert "no hooks" in vex("hook", "list").out
    hook(vex, "pre-commit", REFUSE)
    Path(".vex/hooks/pre-merge").write_text("#!/bin/sh\n", "utf-8")
    assert vex("hook", "disable", "pre-commit.d/mine").code == 0
    listed = {each["name"]: (each["on"], each["runnable"]) for each in vex("hook", "list", "--json").json()["hooks"]}
    assert listed == {"pre-commit.d/mine": (False, True), "pre-merge": (True, False)}
    assert "not executable" in vex("hook", "list").out


def test_an_event_can_be_tried(vex: Vex, begun: Memory) -> None:
    begun.learn("m5", "new")
    assert "nothing stands" in vex("hook", "run", "pre-commit").out
    hook(vex, "pre-commit", '#!/bin/sh\nread -r line\necho "$line" | grep -q \'"learned":1\' && exit 1\nexit 0\n')
    before = state()
    assert vex("hook", "run", "pre-commit").code == 1
    begun.forget("m5")
    assert vex("hook", "run", "pre-commit").code == 0
    assert state() == before


def test_mistakes_are_named_with_the_way_out(vex: Vex, begun: Memory) -> None:
    Path("mine").write_text(REFUSE, "utf-8")
    assert "pre-commit" in vex("hook", "add", "precommit", "mine").err
    assert "no file" in vex("hook", "add", "pre-commit", "nowhere").err
    assert "installed: none" in vex("hook", "remove", "x").err
    for bad in (("hook", "add", "precommit", "mine"), ("hook", "remove", "x"), ("hook", "run", "x")):
        assert vex(*bad).code == 2
