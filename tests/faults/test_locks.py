"""Two writers, readers beside a writer, and Ctrl-C at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vexrepo.errors import Locked
from vexrepo.history.walk import iter_records
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals a child process")

WRITER = """
import signal, sys, time
from pathlib import Path
from vexrepo.repository import Repository, Surroundings
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
folder, message, hold, wait = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])

def now_us():
    # The clock is asked for in the middle of a commit, with the lock held.
    print("inside", flush=True)
    until = time.monotonic() + hold
    while time.monotonic() < until and not (folder / "go").exists():
        time.sleep(0.01)
    return time.time_ns() // 1000

repository = Repository.open(folder / ".vex", Surroundings(now_us, message))
repository.config.add("core.lock_timeout_s", wait, "test")
print("ready", flush=True)
try:
    print("committed", repository.commit(message, allow_empty=True).id.hex(), flush=True)
except Exception as error:
    # Until 3.11 Python words Ctrl-C while a class is made, as an import does, as RuntimeError.
    if isinstance(error.__cause__, KeyboardInterrupt):
        raise error.__cause__
    print(getattr(error, "code", repr(error)), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    raise
"""


def write_lines(path: Path, count: int, *, dims: int = 4, version: int = 1) -> None:
    with open(path, "w") as file:
        for number in range(count):
            vector = [((number * 31 + axis) * version % 1009) / 1024 for axis in range(dims)]
            file.write(json.dumps({"id": f"m{number}", "text": f"memory {number} {version}", "vector": vector}) + "\n")


def around() -> Surroundings:
    return Surroundings(lambda: time.time_ns() // 1000, "tester")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "memory.vmig.jsonl", 50)
    Repository.init(tmp_path, around(), store=str(tmp_path / "memory.vmig.jsonl")).commit("one")
    return tmp_path


def start(folder: Path, message: str, hold: float = 0, wait: int = 10) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), message, str(hold), str(wait)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def await_word(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    while (line := process.stdout.readline()).strip() != word:
        assert line, "the writer ended early"


def test_a_second_writer_waits_for_the_first_and_both_commits_are_there(folder: Path) -> None:
    one = start(folder, "first", hold=0.3)
    await_word(one, "inside")
    two = start(folder, "second", wait=30)
    out = [process.communicate(timeout=60)[0].split()[-2:] for process in (one, two)]
    assert [words[0] for words in out] == ["committed", "committed"], out
    repository = Repository.open(folder / ".vex", around())
    assert [commit.message for _, commit in repository.history(repository.resolve("HEAD"))] == [
        "second",
        "first",
        "one",
    ]
    assert repository.check().problems == []


def test_a_second_writer_that_will_not_wait_is_told_and_changes_nothing(folder: Path) -> None:
    one = start(folder, "first", hold=60)
    await_word(one, "inside")
    before = sorted(path.name for path in (folder / ".vex").rglob("*") if "tmp" not in path.parts)
    repository = Repository.open(folder / ".vex", around())
    repository.config.add("core.lock_timeout_s", 0, "test")
    writes = (
        lambda: repository.commit("never"),
        lambda: repository.create_tag("never", "HEAD"),
        repository.undo,
        lambda: repository.checkout(repository.resolve("HEAD"), Address("jsonl", str(folder / "other.jsonl"))),
    )
    for write in writes:
        with pytest.raises(Locked) as caught:
            write()
        assert caught.value.code == "repository-locked"
    assert sorted(path.name for path in (folder / ".vex").rglob("*") if "tmp" not in path.parts) == before
    assert not (folder / "other.jsonl").exists()
    (folder / "go").touch()
    one.communicate(timeout=60)


def test_readers_work_while_a_writer_holds_the_lock(folder: Path) -> None:
    one = start(folder, "first", hold=60)
    await_word(one, "inside")
    started = time.monotonic()
    repository = Repository.open(folder / ".vex", around())
    repository.config.add("core.lock_timeout_s", 0, "test")
    root = repository.records_root(repository.resolve("HEAD"))
    assert root is not None
    assert len(list(iter_records(repository.objects, root))) == 50
    assert repository.status().is_clean
    assert list(repository.diff_with_store(repository.resolve("HEAD"), repository.workspace())) == []
    assert repository.check().problems == []
    assert one.poll() is None, f"the writer ended before the readers did ({time.monotonic() - started:.1f} s)"
    (folder / "go").touch()
    one.communicate(timeout=60)
    # What was committed meanwhile is seen by a repository that was open all along.
    assert [commit.message for _, commit in repository.history(repository.resolve("HEAD"))] == ["first", "one"]


def test_the_lock_of_a_killed_writer_is_free(folder: Path) -> None:
    one = start(folder, "first", hold=60)
    await_word(one, "inside")
    one.kill()
    one.communicate(timeout=60)
    repository = Repository.open(folder / ".vex", around())
    repository.config.add("core.lock_timeout_s", 0, "test")
    repository.create_tag("after", "HEAD")
    assert repository.check().problems == []


@pytest.mark.parametrize("seed", range(2))
def test_ctrl_c_at_any_moment_of_a_commit_leaves_a_sound_repository(tmp_path: Path, seed: int) -> None:
    """Commits of 4,000 changed records, interrupted at random moments; afterwards one is left to finish."""
    chance = random.Random(seed)
    file = tmp_path / "memory.vmig.jsonl"
    write_lines(file, 4000, dims=48)
    Repository.init(tmp_path, around(), store=str(file)).commit("one")
    write_lines(file, 4000, dims=48, version=2)
    begun = time.monotonic()
    Repository.open(tmp_path / ".vex", around()).commit("two")
    whole = time.monotonic() - begun
    interrupted, acknowledged = 0, ["one", "two"]
    for number in range(60):
        if number >= 12 and interrupted >= 3:
            break
        write_lines(file, 4000, dims=48, version=3 + len(acknowledged))
        child = start(tmp_path, f"try{number}", wait=0)
        await_word(child, "ready")
        time.sleep(chance.random() * whole)
        child.send_signal(signal.SIGINT)
        out, error = child.communicate(timeout=60)
        assert "committed" in out or child.returncode == -signal.SIGINT, (out, error[-500:])
        if "committed" in out:
            acknowledged.append(f"try{number}")
            whole *= 0.8  # the signal came too late: other work on the machine made the first look slow
        else:
            interrupted += 1
        repository = Repository.open(tmp_path / ".vex", around())
        history = [commit.message for _, commit in repository.history(repository.resolve("HEAD"))]
        assert not [message for message in acknowledged if message not in history]
        assert repository.check().problems == []
    assert interrupted >= 3, "too few interruptions hit a commit"
    repository = Repository.open(tmp_path / ".vex", around())
    repository.commit("last", allow_empty=True)
    assert repository.snapshot_of(repository.resolve("HEAD")).records.count == 4000  # type: ignore[union-attr]
    # What an interruption within the tidying itself leaves goes with the next write, folders a day later.
    assert list((tmp_path / ".vex/packs").glob(".*")) == []
    assert len(list((tmp_path / ".vex/tmp").glob("*"))) < interrupted
    assert repository.check().problems == []
