"""Runs ``vex`` in the test's own folder, with a small memory to work on."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.cli.quiet import make_quick, quiet_secrets
from vexrepo.cli.app import vex as app


@dataclass
class Ran:
    """What a run printed and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Vex = Callable[..., Ran]


def record(identifier: str, text: str, namespace: str = "notes", **metadata: Any) -> dict[str, Any]:
    """Return a memory as a vmig object with a small embedding made from its text."""
    vector = [((sum(text.encode()) * (place + 3)) % 97 - 48) / 64 for place in range(4)]
    value: dict[str, Any] = {"id": identifier, "text": text, "namespace": namespace, "vector": vector, "dims": 4}
    return {**value, "model": "tiny", "metadata": metadata} if metadata else {**value, "model": "tiny"}


class Memory:
    """A JSONL file that stands for an agent's live memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = {
            each["id"]: each
            for each in (
                record("m1", "The user prefers async communication", "prefs", importance=3),
                record("m2", "Pepe trending on CoinGecko", "trading"),
                record("m3", "The invoice of March is paid", "work", tags=["money"]),
                record("m4", "Lunch is at noon"),
            )
        }
        self.write()

    def write(self) -> None:
        lines = [json.dumps(each) + "\n" for each in self.records.values()]
        self.path.write_text("".join(lines), "utf-8")

    def learn(self, identifier: str, text: str, **rest: Any) -> None:
        self.records[identifier] = record(identifier, text, **rest)
        self.write()

    def forget(self, identifier: str) -> None:
        del self.records[identifier]
        self.write()

    def texts(self) -> dict[str, str]:
        """Return what the file holds now, by id."""
        found = [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]
        return {each["id"]: each["text"] for each in found}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's folder, as the current one."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("LOGNAME", "alice")
    monkeypatch.setenv("TZ", "UTC")
    return place


@pytest.fixture
def vex(folder: Path) -> Vex:
    """Run ``vex`` in this process: ``vex("commit", "-m", "x")``."""

    def run(*args: str, input: str | None = None, env: dict[str, str] | None = None) -> Ran:
        result = CliRunner().invoke(app, list(args), input=input, env=env, prog_name="vex")
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def memory(folder: Path) -> Memory:
    """A memory of four records in ``agent.vmig.jsonl``."""
    return Memory(folder / "agent.vmig.jsonl")


@pytest.fixture
def repo(vex: Vex, memory: Memory) -> Memory:
    """A repository with that memory committed once, as "first"."""
    assert vex("init", "--store", "agent.vmig.jsonl").code == 0
    assert vex("commit", "-m", "first").code == 0
    return memory


@pytest.fixture
def two(vex: Vex, repo: Memory) -> Memory:
    """As ``repo``, with a second commit: m1 changed, m2 forgotten, m5 learned."""
    repo.records["m1"] = record("m1", "The user prefers short calls before noon", "prefs", importance=5)
    del repo.records["m2"]
    repo.learn("m5", "The market opens at nine")
    assert vex("commit", "-m", "second").code == 0
    return repo


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases cost nothing, and nobody's keyring is asked."""
    make_quick(monkeypatch)
    quiet_secrets(monkeypatch)


def spawn(*args: str, python: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
    """Start ``vex`` as a process of its own."""
    command = [sys.executable, *python, "-m", "vexrepo", *args]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=dict(os.environ),
        **options,
    )


def run_process(*args: str, python: tuple[str, ...] = ()) -> Ran:
    """Run ``vex`` as a process of its own to its end."""
    process = spawn(*args, python=python)
    out, err = process.communicate(timeout=200)
    return Ran(process.returncode, out, err)
