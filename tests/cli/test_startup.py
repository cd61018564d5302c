"""Start-up: process time, and what is not imported."""

import subprocess
import sys

import pytest

from tests.cli.conftest import run_process

HEAVY = ("numpy", "psycopg", "httpx", "dulwich", "rich", "nacl", "cryptography", "tomlkit", "hypothesis", "sqlite3")


def process_time(*args: str) -> float:
    """Return the least processor time, of three runs, of ``vex`` with these arguments."""
    resource = pytest.importorskip("resource")
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "vexrepo", *args], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


@pytest.mark.parametrize(
    ("args", "limit_s"),
    [(["--help"], 0.2), (["--version"], 0.2), (["log", "-1"], 0.3), (["status"], 0.3), (["rev-parse", "HEAD"], 0.3)],
)
def test_commands_start_quickly(two, args, limit_s):
    assert process_time(*args) < limit_s


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["log", "-1"],
        ["log", "--json"],
        ["status"],
        ["branch"],
        ["rev-parse", "HEAD"],
        ["op", "log"],
        ["diff", "HEAD~1", "HEAD"],
    ],
)
def test_light_commands_import_nothing_heavy(two, args):
    ran = run_process(*args, python=("-X", "importtime"))
    assert ran.code == 0
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in ran.err.splitlines() if "|" in line}
    assert not imported & set(HEAVY)


def test_help_imports_no_command(folder):
    ran = run_process("--help", python=("-X", "importtime"))
    assert "vexrepo.cli.commands" not in ran.err and "vexrepo.repository" not in ran.err


@pytest.mark.parametrize("args", [["status", "--no-remotes"], ["status"]])
def test_status_imports_no_connector_that_it_does_not_ask(two, vex, args):
    assert vex("remote", "add", "agent", "qdrant://127.0.0.1:1/agent").code == 0
    if len(args) == 1:
        assert vex("config", "set", "status.remotes", "files").code == 0
    ran = run_process(*args, python=("-X", "importtime"))
    assert ran.code == 0 and "agent: never seen" in ran.out
    assert "vexrepo.remotes.stores.qdrant" not in ran.err and "httpx" not in ran.err
