"""People who share a remote, each at a desk: a folder, a home, and the memory of an agent."""

import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.cli.conftest import Memory, Ran
from vexrepo.cli.app import vex as app

PASSPHRASE = "orbit velvet canyon thimble moss lantern"


class Desk:
    """One machine; ``desk("push")`` runs vex there."""

    def __init__(self, root: Path, name: str, **env: str) -> None:
        self.folder = root / name
        self.folder.mkdir(parents=True)
        self.env = {"VEX_HOME": str(root / f"{name}-home"), "LOGNAME": name, **env}

    def __call__(self, *args: str, input: str | None = None, **env: str) -> Ran:
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            result = CliRunner().invoke(app, list(args), input=input, env={**self.env, **env}, prog_name="vex")
        finally:
            os.chdir(before)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def ok(self, *args: str, **env: str) -> str:
        """Run vex, which has to succeed; return what it prints."""
        ran = self(*args, **env)
        assert ran.code == 0, f"vex {' '.join(args)}\n{ran.out}{ran.err}"
        return ran.out

    def json(self, *args: str, **env: str) -> Any:
        return json.loads(self.ok(*args, "--json", **env))

    def memory(self) -> Memory:
        """Return the memory in ``agent.vmig.jsonl``, as it is there now, made if it is missing."""
        path = self.folder / "agent.vmig.jsonl"
        found = Memory.__new__(Memory)
        found.path = path
        if path.exists():
            found.records = {each["id"]: each for each in map(json.loads, path.read_text("utf-8").splitlines())}
            return found
        Memory.__init__(found, path)
        return found

    def change(self, identifier: str, text: str) -> None:
        memory = self.memory()
        memory.records[identifier]["text"] = text
        memory.write()

    def learn(self, identifier: str, text: str) -> None:
        self.memory().learn(identifier, text)

    def texts(self) -> dict[str, str]:
        return self.memory().texts()

    def begin(self) -> "Desk":
        """Make a repository with one commit."""
        self.memory()
        self.ok("init", "--store", "agent.vmig.jsonl")
        self.ok("commit", "-m", "first")
        return self

    def join(self, url: str, name: str = "origin") -> "Desk":
        """Clone a remote here, and bring the memory into ``agent.vmig.jsonl``."""
        self.ok("clone", url, ".", "--origin", name, "--store", "agent.vmig.jsonl", VEX_PASSPHRASE=PASSPHRASE)
        self.ok("remote", "recipient", "add", name, "--self", VEX_PASSPHRASE=PASSPHRASE)
        return self


def shared(alice: Desk, bob: Desk, url: str) -> None:
    """Let alice begin and push, and bob join."""
    alice.begin()
    alice.ok("remote", "add", "backup", url)
    alice.ok("push", "backup", VEX_PASSPHRASE=PASSPHRASE)
    bob.join(url)
