"""``vex demo``: the story is true, checks itself, and stays in its folder."""

import contextlib
import os
import re
import shlex
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vexrepo.cli.app import vex
from vexrepo.demo import stage
from vexrepo.demo.agent import Agent, read_script

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line in this process, in a folder; returns (exit code, stdout, stderr)."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def _run(line: str, folder: Path = tmp_path) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        capfd.readouterr()
        code = vex.main(shlex.split(line)[1:], prog_name="vex", standalone_mode=False)
        out, err = capfd.readouterr()
        return code, out, err

    return _run


def commands(text: str) -> list[tuple[str, int]]:
    """Return the commands a story shows and the exit code it says each had."""
    found: list[tuple[str, int]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], 0))
        elif match := re.fullmatch(r"\(exit code (\d+)\)", line):
            found[-1] = (found[-1][0], int(match[1]))
    return found


def test_the_story_is_told_and_its_numbers_are_those_of_the_sample(run: Run, tmp_path: Path) -> None:
    code, out, err = run("vex demo --fast --keep play")
    assert (code, err) == (0, "")
    for line in (
        "4 learned, 2 changed, 1 forgotten",
        "[-async communication-]{+short calls before noon+}",
        "2 learned, 8 forgotten in 3 namespaces",
        "agent.db holds 303 memories again, row for row what they were.",
        "took back: branch delete experiment",
        "object-corrupt",
        "all good",
    ):
        assert line in out
    assert out.count("Ines is allergic to hazelnuts") == 2, "before the experiment, and after the way back"
    assert out.count("there is nothing else to remember about meals") == 1
    assert [line for line, code in commands(out) if code] == ["vex fsck", "vex verify HEAD"]
    assert commands(out)[-1] == ("vex fsck", 0), "the byte is put back"
    assert not re.search("\x1b", out), "no colours off a terminal"


def test_what_is_kept_is_a_sound_repository_and_the_live_database(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("vex demo --fast --keep play")
    play = tmp_path / "play"
    with sqlite3.connect(play / "agent.db") as db:
        assert db.execute("SELECT count(*) FROM memories").fetchone() == (303,)
        assert db.execute("SELECT count(*) FROM graph_edges").fetchone() == (12,)
    monkeypatch.setenv("VEX_HOME", str(play / "home"))
    for line in (
        "vex fsck",
        "vex verify experiment",
        "vex diff --exit-code",
        "vex switch experiment",
        "vex verify HEAD",
    ):
        code, _, err = run(line, play)
        assert (code, err) == (0, ""), line
    assert run("vex log --oneline", play)[1].count("\n") == 3


def test_every_command_shown_does_the_same_when_typed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, told, _ = run("vex demo --fast")
    shown = commands(told)
    assert len(shown) > 15
    typed = tmp_path / "typed"
    typed.mkdir()
    monkeypatch.setenv("VEX_HOME", str(typed / "home"))
    agent = Agent(typed / "agent.db", read_script())
    agent.begin()
    before = {"vex status": agent.work, "vex diff --stat": agent.prune}
    is_damaged = False
    damage = contextlib.ExitStack()
    for line, code in shown:
        before.get(line, lambda: None)()
        if code and not is_damaged:
            (pack,) = typed.glob(".vex/packs/00000001-*.pack")
            damage.enter_context(stage.flipped_byte(pack))
        elif not code:
            damage.close()
        is_damaged = bool(code)
        found, _, err = run(line, typed)
        assert (found, err) == (code, ""), line


def test_nothing_is_left_behind_and_nothing_else_is_touched(
    run: Run, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEX_WORKSPACE_STORE", "jsonl:other.vmig.jsonl")
    monkeypatch.setattr(socket, "socket", _no_network)
    before = dict(os.environ)
    assert run("vex demo --fast")[0] == 0
    assert list(tmp_path.iterdir()) == []
    assert list(home.iterdir()) == [], "the user's VEX_HOME"
    assert dict(os.environ) == before
    assert Path.cwd() == tmp_path


def _no_network(*args: Any, **options: Any) -> Any:
    raise AssertionError("the demo opened a socket")


def test_a_folder_in_use_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    (tmp_path / "file").write_text("keep me")
    for name in ("mine", "file"):
        code, out, err = run(f"vex demo --keep {name}")
        assert (code, out) == (2, "") and f"{name} is in use" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    assert run("vex demo --fast --keep empty")[0] == 0


@pytest.mark.parametrize(
    ("method", "complaint"),
    [("work", "expected a difference of"), ("prune", "expected 2 learned and 8 forgotten")],
)
def test_a_step_that_goes_wrong_ends_the_story(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, complaint: str
) -> None:
    monkeypatch.setattr(Agent, method, lambda self: None)
    code, out, err = run("vex demo --fast")
    assert code == 1
    assert f"vex: the demo did not go as told: {complaint}" in err
    assert "That was it" not in out
    (kept,) = tmp_path.iterdir()
    assert str(kept) in err, "what is left for a look is named"


def test_damage_that_is_not_caught_ends_the_story(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_flip", lambda path, at: None)
    code, _, err = run("vex demo --fast")
    assert code == 1
    assert "`vex fsck` ended with exit code 0, expected 1" in err


def test_an_interrupted_story_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    def interrupt(self: Agent) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Agent, "prune", interrupt)
    try:
        assert run("vex demo --fast")[0] == 130
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert list(tmp_path.iterdir()) == []


def test_there_are_pauses_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(stage.time, "sleep", slept.append)
    stage.Stage(vex, pausing=False, color=None).tell("words")
    assert not slept
    stage.Stage(vex, pausing=True, color=None).tell("words " * 50)
    assert slept and max(slept) <= 2.5


def test_colours_follow_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run("vex demo --fast")[1]
    assert "\x1b[36m\x1b[1m$ vex status\x1b[0m" in out and "\x1b[32m+ people/mem_01404e" in out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("vex demo --fast")[1]


def test_it_runs_as_a_program_of_its_own_without_a_home_or_a_terminal(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "SYSTEMROOT"}}
    environment |= {"HOME": str(tmp_path / "nobody"), "TMPDIR": str(tmp_path), "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "vexrepo.cli", "demo"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []
