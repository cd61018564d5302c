"""Faults at every file operation: a process that ends, a disk that is full, power that fails.

Run as a program it tries one action with one kind of fault at each of its file operations in turn, in children
forked from a warm process, and prints what was wrong with what was left behind:

    python -m tests.faults.harness ACTION MODE FOLDER

Operations are counted where the system sees them: opening for writing, each raw write, fsync, rename, unlink,
mkdir and rmdir, whoever asks for them (repository files, scratch runs, the store being written).  Modes:

- ``kill``      the process ends just before operation n
- ``torn``      as kill, but if it is a write, half of it is done first
- ``lost``      the power fails before operation n: content that was not fsynced is cut in half, renames whose
                folder was not fsynced are undone
- ``short``     operation n, if it is a write, writes only half and says so, as a system may
- ``full``      operation n says "no space left", once
- ``stayfull``  operation n and all after it say so, but for removals
"""

import builtins
import errno
import io
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODES = ("kill", "torn", "lost", "short", "full", "stayfull")
KILLED = 77
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Injector:
    """Counts file operations below a folder and makes one of them fail."""

    def __init__(self, root: Path, attic: Path, mode: str, at: int) -> None:
        self.root, self.attic, self.mode, self.at = str(root), attic, mode, at
        self.count = 0
        self.fired = ""
        self.active = True
        self.short = False
        self.kinds: list[str] = []
        self.dirty: dict[int, int] = {}  # inode → a descriptor of our own
        self.renames: list[tuple[str, str, str | None]] = []
        self.lock = threading.RLock()
        self.real_open, self.real_fdopen, self.real_fsync = builtins.open, os.fdopen, os.fsync

    def install(self) -> None:
        """Watch this process until it ends."""
        injector = self

        class RawFile(io.FileIO):
            def write(self, content: Any) -> int:
                injector.operation("write", self.name, self.fileno(), bytes(content))
                with injector.lock:
                    injector.mark_dirty(self.fileno())
                    if injector.short:
                        injector.short = False
                        content = bytes(content)[: max(1, memoryview(content).nbytes // 2)]
                return super().write(content)

        def watched_open(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
            if "b" not in mode or not set(mode) & set("wax+") or not isinstance(file, (str, os.PathLike)):
                return injector.real_open(file, mode, buffering, *rest, **named)
            if not buffering:
                return RawFile(os.fspath(file), mode)
            kind = io.BufferedRandom if "+" in mode else io.BufferedWriter
            return kind(RawFile(os.fspath(file), mode), buffering if buffering > 1 else 8192)

        def watched_fdopen(handle: int, mode: str = "r", *rest: Any, **named: Any) -> Any:
            return io.BufferedWriter(RawFile(handle, mode))

        def watched_fsync(handle: int) -> None:
            injector.operation("fsync", handle)
            injector.real_fsync(handle)
            with injector.lock:
                injector.synced(handle)

        builtins.open, os.fdopen, os.fsync = watched_open, watched_fdopen, watched_fsync  # type: ignore[assignment]
        sys.addaudithook(self.audit)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open" and isinstance(args[2], int) and args[2] & WRITE_FLAGS:
            self.operation("open", args[0])
        elif event == "os.rename":
            self.operation("rename", args[1])
            if self.mode == "lost":
                self.renamed(os.fspath(args[0]), os.fspath(args[1]))
        elif event in ("os.remove", "os.rmdir", "os.mkdir"):
            self.operation(event[3:], args[0])

    def operation(self, what: str, path: Any, handle: int = -1, content: bytes = b"") -> None:
        if not self.active:
            return
        name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else str(path)
        if name.startswith("/") and not name.startswith(self.root):
            return
        with self.lock:
            self.count += 1
            self.kinds.append(what)
            if self.count < self.at or not self.at or (self.count > self.at and self.mode != "stayfull"):
                return
            if self.mode == "short":
                self.short = what == "write"
                return
            if self.mode in ("full", "stayfull"):
                if what in ("remove", "rmdir"):  # these need no space
                    return
                self.fired = self.fired or f"{what} {name.removeprefix(self.root)}"
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            self.active = False
            if self.mode == "torn" and content:
                os.write(handle, content[: len(content) // 2])
            if self.mode == "lost":
                self.lose()
            os._exit(KILLED)

    def mark_dirty(self, handle: int) -> None:
        inode = os.fstat(handle).st_ino
        if self.mode == "lost" and inode not in self.dirty:
            self.dirty[inode] = os.dup(handle)

    def synced(self, handle: int) -> None:
        status = os.fstat(handle)
        self.dirty.pop(status.st_ino, None)
        self.renames = [item for item in self.renames if os.stat(Path(item[1]).parent).st_ino != status.st_ino]

    def renamed(self, source: str, target: str) -> None:
        kept = None
        if os.path.exists(target):
            kept = str(self.attic / f"{os.getpid()}-{self.count}")
            os.link(target, kept)
        self.renames.append((source, target, kept))

    def lose(self) -> None:
        for handle in self.dirty.values():
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
        for source, target, kept in reversed(self.renames):
            if os.path.exists(target) and not os.path.exists(source):
                os.rename(target, source)
                if kept is not None:
                    os.rename(kept, target)


def in_child(work: Callable[[], Any], answer: Path) -> tuple[int, Any]:
    """Run ``work`` in a forked child; return its exit status and what it returned (or the error it raised)."""
    answer.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        status = 1
        try:
            found = work()
            answer.write_text(json.dumps(found))
            status = 0
        except BaseException as error:  # the parent reports it
            import traceback

            answer.write_text(json.dumps("".join(traceback.format_exception(error))[-1500:]))
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    content = json.loads(answer.read_text()) if answer.exists() else None
    return os.waitstatus_to_exitcode(status), content


# -- the repository the faults happen to ------------------------------------------------------------------------


def line(number: int, version: int = 0) -> dict[str, Any]:
    """Return a record."""
    vector = [((number * 37 + axis * 11 + version) % 97) / 64 for axis in range(16)]
    return {
        "id": f"m{number:03}",
        "text": f"memory {number} in version {version} " + "of a few words " * (number % 4),
        "vector": vector,
        "model": "unit-model",
        "dims": 16,
        "namespace": ("work", "home", None)[number % 3],
        "metadata": {"importance": number % 5},
    }


ONE = [line(number) for number in range(60)]
TWO = [line(number, version=number % 20 == 3) for number in range(60) if number % 25] + [line(100)]
THREE = [*TWO, line(200)]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in lines))


class Case:
    """A folder with a memory file, a repository and a state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "memory.vmig.jsonl"

    def around(self) -> Any:
        from vexrepo.repository import Surroundings
        from vexrepo.storage.keys import Identity, public_key

        seed = bytes(range(32))
        return Surroundings(
            now_us=lambda: 1_780_000_000_000_000,
            author="tester",
            identity=Identity("default", public_key(seed), seed),
            state_folder=self.folder / "state",
        )

    def open(self) -> Any:
        from vexrepo.repository import Repository

        return Repository.open(self.folder / ".vex", self.around())

    def address(self) -> Any:
        from vexrepo.remotes.stores.address import Address

        return Address("jsonl", str(self.file))

    def init(self) -> None:
        from vexrepo.repository import Repository

        Repository.init(self.folder, self.around(), store=str(self.file))

    def commit(self, message: str) -> None:
        # Named, so that what the file holds counts whatever the branch was moved to meanwhile.
        self.open().commit(message, store=self.address())

    def checkout(self, revision: str, head: str | None = None) -> None:
        repository = self.open()
        repository.checkout(repository.resolve(revision), self.address(), head=head)

    def gc(self) -> None:
        from vexrepo.repository.collect import collect

        collect(self.open(), full=True)

    def merge(self) -> None:
        from vexrepo.history.policy import Policy
        from vexrepo.repository import merging

        repository = self.open()
        merging.merge(repository, repository.resolve("older"), "older", Policy())

    def resolve(self) -> None:
        from vexrepo.repository import merging
        from vexrepo.repository.mergestate import Resolution

        repository = self.open()
        state, found = merging.conflicts(repository)
        for conflict in found:
            state = state.with_resolution(conflict, Resolution("theirs"))
        merging.resolve(repository, state)

    def proceed(self) -> None:
        from vexrepo.repository import merging

        merging.proceed(self.open())

    def content(self, revision: str = "HEAD") -> list[list[str]]:
        """Return (key, id) of the records of a revision; the text "unborn" where there is no commit."""
        from vexrepo.errors import UsageError
        from vexrepo.history.walk import iter_records

        repository = self.open()
        try:
            root = repository.records_root(repository.resolve(revision))
        except UsageError as error:
            return [[error.code, ""]]
        return [[record.key.hex(), record.id.hex()] for record in iter_records(repository.objects, root)]

    def refs(self) -> dict[str, str]:
        return {name: commit.hex() for name, commit in self.open().view().refs.items()}

    def snapshot(self) -> dict[str, Any]:
        """Return what can be seen from outside: HEAD's content, head and refs, the memory file."""
        if not (self.folder / ".vex/format").exists():
            return {"repository": False}
        view = self.open().view()
        return {"repository": True, "head": view.head, "refs": self.refs(), "content": self.content()}

    def text(self) -> str:
        return self.file.read_text() if self.file.exists() else "absent"


def prepare(case: Case, action: str) -> None:
    """Bring a fresh case to where ``action`` starts."""
    write_lines(case.file, ONE)
    if action == "init":
        return
    case.init()
    if action == "first-commit":
        return
    case.commit("one")
    if action == "empty-checkout":
        # From a memory with nothing in it, back and forth: the file and its sidecar must agree at all times.
        case.file.write_text("")
        (case.folder / "memory.vmig.meta.json").write_text('{"record_count": 0}')
        case.commit("nothing")
        case.checkout("HEAD~1")
        return
    if action == "refill":
        case.file.write_text("")
        (case.folder / "memory.vmig.meta.json").write_text('{"record_count": 0}')
        case.commit("nothing")
        case.open().create_branch("older", "HEAD~1")
        return
    if action == "branch":
        return
    write_lines(case.file, TWO)
    if action == "second-commit":
        return
    case.commit("two")
    case.open().create_branch("older", "HEAD~1")
    if action in ("merge", "resolve"):
        # Another branch that changed one memory as this one did, in another way where there is to be a conflict.
        case.open().move_head("heads/older", case.open().resolve("older"))
        other = [line(number, version=(7 if number == 3 and action == "resolve" else 0)) for number in range(60)]
        write_lines(case.file, [*other, line(150)])
        case.commit("three")
        case.open().move_head("heads/main", case.open().resolve("main"))
        write_lines(case.file, TWO)
    if action == "resolve":
        case.merge()
        case.resolve()


ACTIONS = (
    "init",
    "first-commit",
    "second-commit",
    "switch",
    "empty-checkout",
    "refill",
    "branch",
    "undo",
    "gc",
    "merge",
    "resolve",
)


def judge(
    case: Case,
    before: dict[str, Any],
    after: dict[str, Any],
    texts: tuple[str, str],
    done: bool,
    again: Callable[[Case], None] | None,
) -> list[str]:
    """Return what is wrong with what a fault left behind; then go on working with it."""
    wrong: list[str] = []
    seen = case.snapshot()
    allowed = [after] if done else [before, after]
    if not seen["repository"] and not before["repository"]:
        case.init()  # an interrupted init can be run again
    elif not before["repository"]:
        pass  # made, but not acknowledged: refs are checked below
    elif seen not in allowed:
        wrong.append("the state is neither the old nor the new one")
    if case.text() not in (texts[1:] if done else texts):
        wrong.append(f"the memory file is neither the old nor the new one: {case.text()[:200]!r}")
    if again is not None:
        again(case)
        if case.text() != texts[1]:
            wrong.append("doing it again did not give the new memory file")
    report = case.open().check()
    wrong += [f"fsck: {problem}" for problem in report.problems]
    if report.commits < len(before.get("refs", {})):
        wrong.append("fsck saw fewer commits than were acknowledged")
    write_lines(case.file, THREE)
    case.commit("afterwards")
    if len(case.content()) != len(THREE):
        wrong.append("the next commit does not hold what it should")
    for name, commit in before.get("refs", {}).items():
        if commit not in [identifier.hex() for identifier, _ in case.open().history(case.open().view().commit)]:
            if case.refs().get(name) != commit:
                wrong.append(f"the commit of {name} is gone")
    wrong += [f"fsck afterwards: {problem}" for problem in case.open().check().problems]
    wrong += [f"left in packs: {path.name}" for path in (case.folder / ".vex/packs").glob(".*")]
    return wrong


def run(action: str, mode: str, folder: Path) -> dict[str, Any]:
    """Try a fault at every operation of an action; return the number of operations and all that was wrong."""
    from vexrepo.objects import tree

    tree.LEAF_BYTES = 6000  # several leaves and a node even here
    template, attic, answer = folder / "template", folder / "attic", folder / "answer"
    template.mkdir(parents=True)
    attic.mkdir()
    base = Case(template)
    prepare(base, action)
    before, old_text = base.snapshot(), base.text()

    def case_at(name: str) -> Case:
        target = folder / name
        shutil.copytree(template, target)
        return Case(target)

    def action_of(case: Case) -> Callable[[], None]:
        """The action alone: the template is where it starts."""
        return {
            "init": case.init,
            "first-commit": lambda: case.commit("one"),
            "second-commit": lambda: case.commit("two"),
            "switch": lambda: case.checkout("older", head="heads/older"),
            "empty-checkout": lambda: case.checkout("HEAD"),
            "refill": lambda: case.checkout("older"),
            "branch": lambda: case.open().create_branch("trial", "HEAD", switch=True) and None,
            "undo": lambda: case.open().undo() and None,
            "gc": case.gc,
            "merge": case.merge,
            "resolve": case.proceed,
        }[action]

    whole = case_at("whole")

    def counted() -> list[str]:
        injector = Injector(whole.folder, attic, mode, 0)
        injector.install()
        action_of(whole)()
        return injector.kinds

    status, kinds = in_child(counted, answer)
    if status:
        return {"operations": 0, "wrong": [f"without a fault: {kinds}"]}
    after, texts = whole.snapshot(), (old_text, whole.text())
    failures: list[str] = []
    again = (lambda case: action_of(case)()) if action in ("switch", "empty-checkout", "refill") else None
    acknowledged = 0
    for number, kind in enumerate(kinds, 1):
        if (mode in ("torn", "short") and kind != "write") or ("full" in mode and kind in ("remove", "rmdir")):
            continue  # as kill, or no fault at all
        case = case_at(f"case-{number}")

        def attempt(case: Case = case, number: int = number) -> dict[str, Any]:
            from vexrepo.errors import VexError

            injector = Injector(case.folder, attic, mode, number)
            injector.install()
            outcome = "done"
            try:
                action_of(case)()
            except VexError as error:
                outcome = f"{type(error).__name__} {error.code}"
            injector.active = False
            left: list[str] = []
            if (case.folder / ".vex/format").exists():
                case.open().config.add("core.lock_timeout_s", 0, "test")
                repository = case.open()
                repository.config.add("core.lock_timeout_s", 0, "test")
                with repository.lock():
                    pass
            for part in ("packs", "tmp", "operations"):
                left += [path.name for path in (case.folder / ".vex" / part).glob("*") if part == "tmp"]
                left += [path.name for path in (case.folder / ".vex" / part).glob(".*")]
            return {"outcome": outcome, "fired": injector.fired, "left": left}

        status, found = in_child(attempt, answer)
        where = f"{action}, {mode} at {number}"
        done = False
        if status == KILLED:
            if mode in ("short", "full", "stayfull"):
                failures.append(f"{where}: the process ended")
        elif status or not isinstance(found, dict):
            failures.append(f"{where}: {found}")
        else:
            where += f" ({found['fired']})"
            done = found["outcome"] == "done"
            acknowledged += done
            if not done and mode == "short":
                failures.append(f"{where}: a short write was not carried on: {found['outcome']}")
            elif not done and found["outcome"] != "StorageFailure disk-full":
                failures.append(f"{where}: {found['outcome']}")
            if found["left"]:
                failures.append(f"{where}: left {found['left']}")
        status, problems = in_child(lambda case=case, done=done: judge(case, before, after, texts, done, again), answer)
        failures += [f"{where}: {problem}" for problem in ([problems] if status else problems)]
        shutil.rmtree(case.folder)
    return {"operations": len(kinds), "acknowledged": acknowledged, "wrong": failures}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
