"""Faults at every file operation on this side of a push, fetch or clone; the host is a bare repository beside it.

    python -m tests.faults.remote_harness ACTION MODE FOLDER

As ``harness`` (modes, injection); here what must hold afterwards is: the repository is sound and as before or after;
the host is whole, by itself, and as before or after; and doing it again succeeds.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.faults.harness import KILLED, Case, Injector, in_child, write_lines
from tests.faults.harness import line as a_line

# Writing a file of ours is one piece of code, which the other harness tries in all modes.
TRIED = [
    ("first-push", "kill"),
    ("push", "kill"),
    ("push", "full"),
    ("push", "stayfull"),
    ("fetch", "kill"),
    ("fetch", "lost"),
    ("fetch", "stayfull"),
    ("clone", "kill"),
    ("clone", "lost"),
    ("clone", "stayfull"),
]
LINES = [a_line(number) for number in range(60)]
LATER = [a_line(number, version=number % 20 == 3) for number in range(60) if number % 25] + [a_line(100)]


class LocalInjector(Injector):
    """Counts what happens in one folder, not in the host's beside it."""

    def operation(self, what: str, path: Any, handle: int = -1, content: bytes = b"") -> None:
        name = path
        if isinstance(path, int):
            try:
                name = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return
        elif what == "write" and handle >= 0:
            name = os.readlink(f"/proc/self/fd/{handle}")
        if os.fspath(name).startswith(f"{self.root}/"):
            super().operation(what, path, handle, content)


class RemoteCase(Case):
    """A folder with a repository and perhaps a clone in it, and a bare Git repository beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.host = folder.with_name(f"{folder.name}.git")
        self.clone_folder = folder / "clone"

    def copy(self, name: str) -> "RemoteCase":
        made = RemoteCase(self.folder.with_name(name))
        shutil.copytree(self.folder, made.folder)
        shutil.copytree(self.host, made.host)
        return made

    def remove(self) -> None:
        shutil.rmtree(self.folder)
        shutil.rmtree(self.host)

    def reach(self) -> Any:
        from tests.hosting.team import reach_to
        from vexrepo.remotes.hosts.git_directory import DirectoryHost

        return reach_to(lambda url, access: DirectoryHost.open(str(self.host), access))

    def remote(self) -> Any:
        from tests.hosting.team import REMOTE

        return REMOTE

    def push(self) -> bool:
        """Push; return whether the repository took note."""
        from vexrepo.repository.refspec import parse_refspecs

        repository = self.open()
        return bool(repository.push(self.remote(), self.reach(), parse_refspecs(repository)).noted)

    def fetch(self) -> None:
        self.open().fetch(self.remote(), self.reach())

    def clone(self) -> None:
        from vexrepo.repository import Repository

        Repository.clone(self.remote(), self.clone_folder, self.around(), self.reach())

    def other(self) -> "RemoteCase":
        """The clone, as a case of its own."""
        made = RemoteCase(self.clone_folder)
        made.host, made.clone_folder = self.host, self.clone_folder / "nowhere"
        made.around = self.around  # type: ignore[method-assign]
        return made

    def host_refs(self) -> dict[str, str]:
        """Return the refs of the host, which must be whole."""
        from vexrepo.errors import HostError
        from vexrepo.repository.hostcare import check_host, open_host

        try:
            with open_host(self.open(), self.remote(), self.reach()) as vault:
                refs = {name: commit.hex() for name, commit in vault.head.refs.items()}
        except HostError as error:
            if error.code != "host-empty":
                raise
            return {}
        report = check_host(self.open(), self.remote(), self.reach(), read_data=True)
        assert report.problems == [], report.problems
        return refs

    def state(self, action: str) -> dict[str, Any]:
        """Return what can be seen: of the repository, the clone, and of the host where it is written to."""
        host = self.host_refs() if "push" in action else None
        found: dict[str, Any] = {"refs": self.refs(), "host": host, "clone": None}
        if (self.clone_folder / ".vex/format").exists():
            found["clone"] = [self.other().refs(), self.other().content()]
        return found


def prepare(case: RemoteCase, action: str) -> None:
    from vexrepo.remotes.hosts.git_directory import DirectoryHost

    write_lines(case.file, LINES)
    case.init()
    case.commit("one")
    DirectoryHost.create(case.host)
    if action == "first-push":
        return
    case.push()
    if action == "fetch":
        case.clone()
        other = case.other()
        write_lines(other.file, LATER)
        from vexrepo.remotes.stores.address import Address

        other.open().commit("two", store=Address("jsonl", str(other.file)))
        other.push()
        return
    write_lines(case.file, LATER)
    case.commit("two")
    if action == "clone":
        case.push()


def judge(
    case: RemoteCase, action: str, before: dict[str, Any], after: dict[str, Any], done: bool, noted: bool
) -> list[str]:
    """Return what is wrong with what a fault left behind, and with doing it again."""
    wrong: list[str] = []
    wrong += [f"fsck: {problem}" for problem in case.open().check().problems]
    seen = case.state(action)
    for part in ("refs", "host", "clone"):
        is_certain = done and (noted or part != "refs")
        if seen[part] not in ([after[part]] if is_certain else [before[part], after[part]]):
            wrong.append(f"{part} is neither as before nor as after: {str(seen[part])[:300]}")
    if action == "clone":
        if seen["clone"] is None:
            case.clone()
        if list((case.clone_folder / ".vex/tmp").glob("*/*.pack")):
            wrong.append("packs were left in the clone's scratch folder")
        wrong += [f"fsck of the clone: {problem}" for problem in case.other().open().check().problems]
    elif action == "fetch":
        case.fetch()
    else:
        case.push()
    if case.state(action) != after:
        wrong.append(f"doing it again did not give what it should: {str(case.state(action))[:300]}")
    wrong += [f"fsck afterwards: {problem}" for problem in case.open().check().problems]
    return wrong


def run(action: str, mode: str, folder: Path) -> dict[str, Any]:
    """Try a fault at every operation of an action; return the number of operations and all that was wrong."""
    import dulwich.objects
    import dulwich.repo

    import vexrepo.repository.cloning
    import vexrepo.repository.fetching
    import vexrepo.repository.hostcare
    import vexrepo.repository.pushing
    from vexrepo.objects import tree

    assert dulwich.objects and dulwich.repo and vexrepo.repository.cloning
    os.fsync = lambda handle: None  # what a fault leaves does not depend on it, only how long this takes
    tree.LEAF_BYTES = 6000
    template, attic, answer = folder / "template", folder / "attic", folder / "answer"
    template.mkdir(parents=True)
    attic.mkdir()
    base = RemoteCase(template)
    prepare(base, action)
    before = base.state(action)

    def act(case: RemoteCase) -> bool:
        return {"first-push": case.push, "push": case.push, "fetch": case.fetch, "clone": case.clone}[
            action
        ]() is not False

    whole = base.copy("whole")

    def counted() -> list[str]:
        injector = LocalInjector(whole.folder, attic, mode, 0)
        injector.install()
        act(whole)
        return injector.kinds

    status, kinds = in_child(counted, answer)
    if status:
        return {"operations": 0, "wrong": [f"without a fault: {kinds}"]}
    after = whole.state(action)
    failures: list[str] = []
    acknowledged = 0
    for number, kind in enumerate(kinds, 1):
        if (mode in ("torn", "short") and kind != "write") or ("full" in mode and kind in ("remove", "rmdir")):
            continue
        case = base.copy(f"case-{number}")

        def attempt(case: RemoteCase = case, number: int = number) -> dict[str, Any]:
            from vexrepo.errors import VexError

            injector = LocalInjector(case.folder, attic, mode, number)
            injector.install()
            outcome, noted = "done", False
            try:
                noted = act(case)
            except VexError as error:
                outcome = f"{type(error).__name__} {error.code}"
            injector.active = False
            left = [str(path.relative_to(case.folder)) for path in case.folder.glob("**/.vex/tmp/*/*")]
            left += [str(path.relative_to(case.folder)) for path in case.folder.glob("**/.vex/packs/.*")]
            return {"outcome": outcome, "noted": noted, "fired": injector.fired, "left": left}

        status, found = in_child(attempt, answer)
        where, done, noted = f"{action}, {mode} at {number} ({kind})", False, False
        if status == KILLED:
            if mode in ("short", "full", "stayfull"):
                failures.append(f"{where}: the process ended")
        elif status or not isinstance(found, dict):
            failures.append(f"{where}: {found}")
        else:
            where += f" {found['fired']}"
            done, noted = found["outcome"] == "done", found["noted"]
            acknowledged += done
            if not done and mode == "short":
                failures.append(f"{where}: a short write was not carried on: {found['outcome']}")
            elif not done and found["outcome"] != "StorageFailure disk-full":
                failures.append(f"{where}: {found['outcome']}")
            kept = [name for name in found["left"] if not (action == "clone" and name.endswith(".pack"))]
            if kept:
                failures.append(f"{where}: left {kept}")

        def look(case: RemoteCase = case, done: bool = done, noted: bool = noted) -> list[str]:
            return judge(case, action, before, after, done, noted)

        status, problems = in_child(look, answer)
        failures += [f"{where}: {problem}" for problem in ([problems] if status else problems)]
        case.remove()
    return {"operations": len(kinds), "acknowledged": acknowledged, "wrong": failures}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
