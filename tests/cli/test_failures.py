"""How runs end: exit codes, messages, no tracebacks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.cli.conftest import record, run_process
from vexrepo import errors
from vexrepo.cli.failures import exit_code
from vexrepo.cli.options import KNOWN_KEY, OWN_KEY
from vexrepo.objects.signature import public_key
from vexrepo.repository import Repository


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["comit"], "there is no command 'comit'; did you mean commit?"),
        (["op", "lgo"], "did you mean log?"),
        (["log", "--onelin"], "--oneline"),
        (["commit", "--on-error", "ignore"], "'stop'"),
        (["xyzzy"], "there is no command 'xyzzy'"),
    ],
)
def test_mistyped_commands_and_options_are_helped(vex, folder, args, words):
    ran = vex(*args)
    assert ran.code == 2
    assert ran.err.startswith("vex: ") and words in ran.err and "--help" in ran.err
    assert len(ran.err.splitlines()) == 2


@pytest.mark.parametrize("args", [["status"], ["log"], ["commit", "-m", "x"], ["fsck"], ["undo"], ["diff"], ["tag"]])
def test_outside_a_repository_the_code_is_10(vex, folder, args):
    ran = vex(*args)
    assert ran.code == 10 and "vex init" in ran.err
    ran = vex(*args, "--json")
    assert ran.code == 10 and ran.out == ""
    assert json.loads(ran.err)["error"]["code"] == "no-repository"


def test_errors_as_json_go_to_stderr(vex, repo):
    for args in (["show", "nope", "--json"], ["log", "--json", "--bogus"], ["nope", "--json"]):
        ran = vex(*args)
        assert ran.code == 2 and ran.out == ""
        assert set(json.loads(ran.err)["error"]) == {"code", "message"}


def test_a_memory_called_json_is_not_the_option(vex, repo):
    ran = vex("log", "--", "--json")
    assert ran.code == 1 and ran.err.startswith("vex: ")


def test_exit_codes_follow_the_class_and_some_codes():
    assert exit_code(errors.UsageError("", code="bad-option")) == 2
    assert exit_code(errors.NoRepository("", code="no-repository")) == 10
    assert exit_code(errors.Locked("", code="repository-locked")) == 11
    assert exit_code(errors.StoreError("", code="store-locked")) == 11
    assert exit_code(errors.WrongKey("", code="x")) == 12
    assert exit_code(errors.UsageError("", code="no-identity")) == 12
    assert exit_code(errors.Tampered("", code="object-corrupt")) == 1
    assert exit_code(errors.VexError("", code="x")) == 1


def test_a_locked_repository_is_11_and_readers_go_on(vex, repo):
    repo.learn("m9", "new")
    with FileLock(".vex/lock"):
        ran = vex("commit", "-m", "x", env={"VEX_CORE_LOCK_TIMEOUT_S": "0"})
        assert ran.code == 11 and "[repository-locked]" in ran.err
        assert vex("log").code == 0 and vex("diff").code == 0
    assert vex("commit", "-m", "x").code == 0


def test_a_fault_shows_no_traceback_unless_asked(vex, repo, monkeypatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("odd \x1b[31m")

    monkeypatch.setattr("vexrepo.repository.Repository.status", fail)
    ran = vex("status")
    assert ran.code == 1
    assert "Traceback" not in ran.err and "report it" in ran.err and "odd \\x1b[31m" in ran.err
    assert "Traceback" in vex("status", env={"VEX_DEBUG": "1"}).err
    assert json.loads(vex("status", "--json").err)["error"]["code"] == "unexpected"


def test_colours_only_where_wanted(vex, two):
    assert "\x1b" not in vex("log").out
    assert "\x1b[33m" in vex("log", env={"FORCE_COLOR": "1"}).out
    assert "\x1b" not in vex("log", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).out
    assert "\x1b" not in vex("log", "--json", env={"FORCE_COLOR": "1"}).out


def test_help_version_and_nothing(vex, folder):
    assert vex().code == 0 and vex().out == vex("--help").out == vex("-h").out == vex("help").out
    assert vex("--version").out.startswith("vex 0.")
    assert vex("op").code == 2
    assert vex("help", "op", "log").out == vex("op", "log", "--help").out.replace(
        "Usage: vex op log", "Usage: vex op log"
    )
    assert vex("help", "comit").code == 2
    assert vex("help", "log", "x").code == 2


# -- real processes ------------------------------------------------------------------------------------------------

INTERRUPTING = """
import os, signal, sys
from vexrepo.storage.files import Files
wanted, seen = int(sys.argv[1]), 0
def step(self, name, path):
    global seen
    seen += 1
    if seen == wanted:
        os.kill(os.getpid(), signal.SIGINT)
Files.step = step
sys.argv[1:] = sys.argv[2:]
from vexrepo.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_ctrl_c_at_any_step_of_a_commit_tells_the_truth(vex, repo):
    repo.learn("m9", "new")
    told = set()
    for step in range(1, 40):
        before = vex("rev-parse", "HEAD").out
        command = [sys.executable, "-c", INTERRUPTING, str(step), "commit", "-m", "x", "--allow-empty"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
        moved = vex("rev-parse", "HEAD").out != before
        assert "Traceback" not in ran.stderr
        assert vex("fsck").code == 0
        if ran.returncode == 0:
            assert moved
            break
        assert ran.returncode == 130
        wanted = "interrupted after the repository was changed" if moved else "interrupted; nothing was committed"
        assert wanted in ran.stderr
        told.add(moved)
    else:
        pytest.fail("no step was the last")
    assert told == {True, False}


def test_ctrl_c_that_python_words_as_another_error_is_an_interruption(vex, repo, monkeypatch):
    class Field:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    def interrupted(*_: object, **__: object) -> None:
        try:
            type("Made", (), {"field": Field()})
        except KeyboardInterrupt as error:  # from 3.12 on it comes as it is
            raise RuntimeError("Error calling __set_name__") from error

    monkeypatch.setattr(Repository, "commit", interrupted)
    repo.learn("m9", "new")
    ran = vex("commit", "-m", "x")
    assert ran.code == 130 and ran.err == "vex: interrupted; nothing was committed  [interrupted]\n"


WAITING = """
import pathlib, sys
from filelock import BaseFileLock
plain = BaseFileLock.acquire
def acquire(lock, *args, **options):
    pathlib.Path("waiting").touch()
    return plain(lock, *args, **options)
BaseFileLock.acquire = acquire
from vexrepo.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_ctrl_c_while_waiting_for_the_lock(vex, repo):
    repo.learn("m9", "new")
    with FileLock(".vex/lock"):
        command = [sys.executable, "-c", WAITING, "commit", "-m", "x"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        while not Path("waiting").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == "" and err == "vex: interrupted; nothing was committed  [interrupted]\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise")
@pytest.mark.parametrize("args", [["log", "--json"], ["log"], ["--help"], ["diff", "HEAD~1", "HEAD"]])
def test_a_reader_that_went_away_is_no_fault(two, args):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "vexrepo", *args]
    ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert ran.returncode == 141
    assert ran.stderr == b""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_ctrl_c_while_python_makes_a_class_ends_with_our_code(folder):
    """Classes of NamedTuple are made by an exec of a text, which Python remembers to have been interrupted."""
    Path("stopped.py").write_text(
        "import sys\nfrom vexrepo.cli import main, surroundings\n"
        "def stop(*args, **options):\n    exec('raise KeyboardInterrupt')\n"
        "surroundings.Edge.repository = stop\nsys.argv[1:] = ['log']\nmain()\n"
    )
    ran = subprocess.run([sys.executable, "-m", "stopped"], capture_output=True, text=True, check=False)
    assert ran.returncode == 130 and "interrupted" in ran.stderr and "Traceback" not in ran.stderr


def test_both_modules_run_and_pass_exit_codes_on(repo):
    for module in ("vexrepo", "vexrepo.cli"):
        ran = subprocess.run(
            [sys.executable, "-m", module, "diff", "HEAD", "HEAD", "--exit-code"], capture_output=True, check=False
        )
        assert ran.returncode == 0 and ran.stderr == b""
    repo.forget("m1")
    assert run_process("diff", "--exit-code").code == 1
    assert run_process("nope").code == 2


def test_a_terminal_without_unicode_gets_something_to_read(repo, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    ran = run_process("log", "--oneline")
    assert ran.code == 0 and "(HEAD ? main)" in ran.out
    repo.learn("m9", "ümlaut")
    ran = run_process("diff", "--json")
    assert json.loads(ran.out)["changes"][0]["record"]["text"] == "ümlaut"


def test_a_message_that_is_not_utf8_is_refused(vex, repo):
    repo.learn("m9", "new")
    ran = subprocess.run([sys.executable, "-m", "vexrepo", "commit", "-m", b"\xff"], capture_output=True, check=False)
    assert ran.returncode in (1, 2) and b"Traceback" not in ran.stderr
    Path("message").write_bytes(b"\xff\xfe")
    assert vex("commit", "-F", "message").code == 2
    assert vex("commit", "-F", "missing").code == 2


def test_completion_knows_the_names_of_keys(vex, folder):
    vex("key", "new", "work")
    vex("trust", "add", public_key(bytes(32)).hex(), "--name", "alice")
    assert [each.value for each in OWN_KEY.shell_complete(None, None, "")] == ["work"]
    assert [each.value for each in KNOWN_KEY.shell_complete(None, None, "al")] == ["alice"]


def test_completion_knows_commands_and_branches(two, monkeypatch):
    monkeypatch.setenv("_VEX_COMPLETE", "bash_complete")
    for words, at, wanted in (("vex co", 1, "commit"), ("vex log ma", 2, "main"), ("vex log --one", 2, "--oneline")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(at))
        assert wanted in run_process().out


def test_progress_is_for_terminals_only(repo):
    repo.learn("m9", "new")
    assert run_process("commit", "-m", "x").err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals")
def test_progress_on_a_terminal_is_removed_before_the_result(repo, folder):
    import pty

    lines = [json.dumps(record(f"r{n}", f"text {n}")) for n in range(60_000)]
    Path("large.jsonl").write_text("\n".join(lines) + "\n")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vexrepo", "commit", "--from", "large.jsonl", "-m", "x"],
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:
            break
        if not block:
            break
        seen += block
    assert process.wait(timeout=60) == 0
    assert b"reading " in seen and b" MB/s" in seen
    assert seen.rstrip(b" ").endswith(b"\r")
