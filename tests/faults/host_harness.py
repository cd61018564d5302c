"""Faults at every file operation of a publish into a folder, with the injector of ``harness``; run as

python -m tests.faults.host_harness MODE FOLDER
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.faults.harness import KILLED, Injector, in_child
from vexrepo.errors import VexError
from vexrepo.remotes.hosts.base import Access, Tip
from vexrepo.remotes.hosts.git_directory import DirectoryHost
from vexrepo.testing.hosts import PART, noise, read_all

FIRST: dict[str, bytes | Path] = {"vexrepo": b"{}", "head": b"1", PART: noise(3000, "old")}
SECOND: dict[str, bytes | Path] = {"head": b"2", "packs/ab/second": noise(70_000, "second")}


def open_host(folder: Path) -> DirectoryHost:
    return DirectoryHost.open(str(folder), Access())


def publish(folder: Path) -> None:
    """What the faults happen to: a publish, then one that leaves the history behind and frees what it held."""
    with open_host(folder) as host:
        tip = host.publish(host.read_tip(), SECOND)
        host.publish(tip, {"head": b"3"}, ["packs/ab/second"], alone=True)


def seen(folder: Path) -> tuple[str, dict[str, bytes]]:
    with open_host(folder) as host:
        tip = host.read_tip()
        assert tip is not None
        return tip.version, read_all(host)


def judge(folder: Path, states: list[dict[str, bytes]]) -> list[str]:
    """Return what is wrong with what a fault left behind; then go on working with it."""
    wrong = []
    if seen(folder)[1] not in states:
        wrong.append("the tip is none of those that were published")
    (folder / "refs/heads/main.lock").unlink(missing_ok=True)  # as the message about it says
    with open_host(folder) as host:
        now: Tip | None = host.read_tip()
        host.publish(now, {"head": b"afterwards"})
        if read_all(host)["head"] != b"afterwards":
            wrong.append("the next publish does not hold what it should")
    checked = subprocess.run(["git", "fsck", "--strict"], cwd=folder, capture_output=True, text=True, check=False)
    if checked.returncode or "garbage" in checked.stderr:
        wrong.append(f"git fsck: {checked.stderr}")
    return wrong


def run(mode: str, folder: Path) -> dict[str, Any]:
    """Try a fault at every operation; return the number of operations and all that was wrong."""
    template, attic, answer = folder / "template", folder / "attic", folder / "answer"
    attic.mkdir(parents=True)
    DirectoryHost.create(template)
    with open_host(template) as host:
        host.publish(None, FIRST)
    first = seen(template)[1]
    second = {**first, **SECOND}
    third = {**first, "head": b"3"}
    whole = folder / "whole"
    shutil.copytree(template, whole)

    def counted() -> list[str]:
        injector = Injector(whole, attic, mode, 0)
        injector.install()
        publish(whole)
        return injector.kinds

    status, kinds = in_child(counted, answer)
    if status:
        return {"operations": 0, "wrong": [f"without a fault: {kinds}"]}
    wrong = []
    for number, kind in enumerate(kinds, 1):
        if (mode in ("torn", "short") and kind != "write") or ("full" in mode and kind in ("remove", "rmdir")):
            continue  # as kill, or no fault at all
        case = folder / f"case-{number}"
        shutil.copytree(template, case)

        def attempt(case: Path = case, number: int = number) -> str:
            injector = Injector(case, attic, mode, number)
            injector.install()
            try:
                publish(case)
            except VexError as error:
                return error.code
            finally:
                injector.active = False
            return ""

        status, found = in_child(attempt, answer)
        where = f"{mode} at {number} ({kind})"
        if status not in (0, KILLED) or (status == 0 and found not in ("", "disk-full", "host-no-answer")):
            wrong.append(f"{where}: {found}")
        states = [third] if (status, found) == (0, "") else [first, second, third]
        status, problems = in_child(lambda case=case, states=states: judge(case, states), answer)
        wrong += [f"{where}: {problem}" for problem in ([problems] if status else problems)]
        shutil.rmtree(case)
    return {"operations": len(kinds), "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]))))
