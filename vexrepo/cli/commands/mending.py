"""``vex restore``, ``vex reset``, ``vex blame`` and ``vex bisect``."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.changes import key_label
from vexrepo.cli.conflicts import value_words
from vexrepo.cli.describe import one_line
from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.options import REVISION, as_json, example, mixing
from vexrepo.cli.output import added, emit, heading, quiet, removed, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import ago, counted, iso, memories, plain, shorten
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.objects.digest import CommitId
    from vexrepo.repository import Repository
    from vexrepo.repository.bisecting import Answer, Bisected
    from vexrepo.repository.blame import Blame

SKIP = 125  # what a command run by bisect says of a commit it cannot judge, as with git


@click.command(
    epilog=example(
        "vex restore HEAD mem_02bb71              it was forgotten since the last commit",
        "vex restore @{yesterday} prefs/mem_8f3a1c",
        "vex restore v1 mem_1 mem_2 --to other.db",
    )
)
@click.argument("revision", metavar="REV", type=REVISION)
@click.argument("identifiers", metavar="ID...", nargs=-1, required=True)
@click.option("--to", "store", metavar="STORE", help="Write to this store instead of the workspace.")
@click.option("-f", "--force", is_flag=True, help="Overwrite memories that were changed since and are in no commit.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be written; write nothing.")
@mixing
@as_json
@pass_edge
def restore(
    edge: Edge,
    revision: str,
    identifiers: tuple[str, ...],
    store: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring single memories back into the store.

    They become as they were at REV; all others stay as they are.  Nothing is committed: vex status shows what came
    back.  ID may be NAMESPACE/ID.
    """
    from vexrepo.repository import restoring

    repository = edge.repository()
    commit = repository.resolve(revision)
    keys = [key for identifier in identifiers for key in _keys(repository, commit, revision, identifier)]
    address = edge.address(store) if store is not None else repository.workspace()
    done = restoring.restore(repository, commit, keys, address, force=force, dry_run=dry_run)
    flow = done.outflow
    if as_json:
        emit({"store": repository.store_name(address), "added": flow.added, "changed": flow.changed, "kept": flow.kept})
        return
    name = plain(str(address))
    back = flow.added + flow.changed
    if not back:
        say(f"{name} already holds {'it' if len(keys) == 1 else 'them'} as at {plain(revision)}")
    else:
        say(f"{'would restore' if dry_run else 'restored'} {memories(back)} in {name} as at {plain(revision)}")


def _keys(repository: Repository, commit: CommitId, revision: str, identifier: str) -> list[bytes]:
    found = repository.find(commit, identifier)
    if not found:
        raise UsageError(
            f"no memory {identifier!r} at {revision}; `vex log -- {identifier}` shows when it was there",
            code="unknown-record",
        )
    return [item.reader.leaf.keys[item.row] for item in found]


@click.command(epilog=example("vex reset HEAD~1", "vex reset --hard v1"))
@click.argument("revision", metavar="REV", type=REVISION)
@click.option("--hard", is_flag=True, help="Bring the workspace store along, dropping what no commit has.")
@mixing
@as_json
@pass_edge
def reset(edge: Edge, revision: str, hard: bool, as_json: bool) -> None:
    """Move the current branch to a commit.

    The store keeps what it holds, which vex status then shows as changes, unless --hard.  vex undo takes it back.
    """
    from vexrepo.repository import restoring

    repository = edge.repository()
    commit = repository.resolve(revision)
    address = repository.workspace() if hard else None
    before = restoring.reset(repository, commit)
    if address is not None:
        repository.checkout(commit, address, force=True, head=repository.view().head)
    was = before.commit
    if as_json:
        emit({"branch": before.branch, "commit": commit.hex(), "before": was.hex() if was else None})
        return
    where = plain(before.branch) if before.branch else "HEAD"
    say(f"{where} is at {one_line(commit, repository.commit_at(commit), [])}")
    if was is not None and was != commit:
        say(quiet(f"  was at {was.short}; vex undo goes back"))


@click.command(epilog=example("vex blame mem_8f3a1c", "vex blame prefs/mem_8f3a1c v1 --json"))
@click.argument("identifier", metavar="ID")
@click.argument("revision", metavar="[REV]", default="HEAD", type=REVISION)
@as_json
@pass_edge
def blame(edge: Edge, identifier: str, revision: str, as_json: bool) -> None:
    """Say which commit gave each field of a memory its value.

    Also when it was added and, if it is no longer there, when it was forgotten.  ID may be NAMESPACE/ID.
    """
    repository = edge.repository()
    commit = repository.resolve(revision)
    found = [_blame(repository, commit, key) for key in _blamed_keys(repository, commit, revision, identifier)]
    if as_json:
        emit([_blame_json(repository, each) for each in found])
        return
    for each in found:
        _print_blame(edge, repository, each)


def _blame(repository: Repository, commit: CommitId, key: bytes) -> Blame:
    from vexrepo.repository.blame import blame

    return blame(repository, commit, key)


def _blamed_keys(repository: Repository, commit: CommitId, revision: str, identifier: str) -> list[bytes]:
    here = repository.find(commit, identifier)
    if here:
        return [item.reader.leaf.keys[item.row] for item in here]
    gone = dict.fromkeys(change.key for _, change in repository.history_of(commit, identifier))
    if not gone:
        raise UsageError(f"no memory {identifier!r} at {revision} or before", code="unknown-record")
    return list(gone)


def _print_blame(edge: Edge, repository: Repository, found: Blame) -> None:
    now_us = edge.now_us()
    say(heading(key_label(found.key)))
    rows = [(".".join(origin.path), origin.commit, value_words(origin.value)) for origin in found.origins]
    width = min(30, max((len(plain(name)) for name, _, _ in rows), default=0))
    for name, commit, value in rows:
        made = repository.commit_at(commit)
        by = plain(shorten(str(made.author.get("name", "")), 16))
        note = quiet(f"{ago(made.time_us, now_us):<14}  {by}")
        say(f"  {plain(name):<{width}}  {heading(commit.short)} {note}  {value}")
    say(f"  {added('added')} in {one_line(found.added, repository.commit_at(found.added), [])}")
    if found.forgotten is not None:
        say(f"  {removed('forgotten')} in {one_line(found.forgotten, repository.commit_at(found.forgotten), [])}")


def _blame_json(repository: Repository, found: Blame) -> dict[str, Any]:
    from vexrepo.history.fields import to_json
    from vexrepo.objects.record import split_key

    namespace, identifier = split_key(found.key)

    def commit_of(commit: CommitId) -> dict[str, Any]:
        made = repository.commit_at(commit)
        return {"commit": commit.hex(), "time": iso(made.time_us), "author": made.author, "message": made.message}

    return {
        "namespace": namespace,
        "id": identifier,
        "added": commit_of(found.added),
        "forgotten": commit_of(found.forgotten) if found.forgotten else None,
        "fields": [
            {"field": list(each.path), "value": to_json(each.value), **commit_of(each.commit)} for each in found.origins
        ],
    }


@click.command(
    epilog=example(
        'vex bisect --believes "the invoice is paid"         since when does the agent believe this?',
        'vex bisect v1 HEAD --run "python check.py {store}"   exit 0: good, 125: cannot tell, else: bad',
    )
)
@click.argument("revisions", metavar="[GOOD [BAD]]", nargs=-1, type=REVISION)
@click.option(
    "--believes", metavar="TEXT", help="Bad is a commit where one memory's text has all these words; as in vex search."
)
@click.option("--run", "command", metavar="COMMAND", help="Bad is a commit for which this command fails.")
@as_json
@pass_edge
def bisect(edge: Edge, revisions: tuple[str, ...], believes: str | None, command: str | None, as_json: bool) -> int:
    """Find the first commit at which something is so.

    GOOD is a commit at which it is not so (default: before the first), BAD one at which it is (default: HEAD).
    COMMAND is run, without a shell, for each commit that is looked at, with {store} replaced by a vmig file of its
    memories and VEX_COMMIT set to its id.  Neither the workspace nor the branch is touched.
    """
    if (believes is None) == (command is None):
        raise click.UsageError("expected one of --believes TEXT and --run COMMAND")
    if len(revisions) > 2:
        raise click.UsageError("expected at most two revisions: vex bisect [GOOD [BAD]]")
    repository = edge.repository()
    good = repository.resolve(revisions[0]) if revisions else None
    bad = repository.resolve(revisions[1] if len(revisions) > 1 else "HEAD")
    from vexrepo.repository import bisecting

    with tempfile.TemporaryDirectory(prefix="vex-bisect-") as scratch:
        if command is not None:
            ask = _asking_command(repository, command, Path(scratch))
        else:
            ask = _asking_text(repository, believes or "")
        ends: list[tuple[CommitId | None, Answer]] = [(good, "good"), (bad, "bad")]
        for commit, wanted in ends:
            if commit is not None and ask(commit) != wanted:
                is_what = "so" if wanted == "good" else "not so"
                raise UsageError(f"at {commit.short} it is {is_what} already: choose another commit", code="bad-option")
        steps = 0

        def told(commit: CommitId) -> Answer:
            nonlocal steps
            steps += 1
            edge.progress("asking commit", steps, None)
            return ask(commit)

        found = bisecting.bisect(repository, good, bad, told)
    if as_json:
        emit(_bisected_json(found))
    else:
        _print_bisected(repository, found)
    return DONE if found.first is not None else FAILED


def _asking_text(repository: Repository, query: str) -> Callable[[CommitId], Answer]:
    from vexrepo.history.terms import parse_query
    from vexrepo.repository import bisecting

    wanted = parse_query(query)
    return lambda commit: "bad" if bisecting.believes(repository, commit, wanted) else "good"


def _asking_command(repository: Repository, command: str, scratch: Path) -> Callable[[CommitId], Answer]:
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import restoring

    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"cannot understand the command {command!r}: {error}", code="bad-option") from None
    if not parts:
        raise UsageError("the command is empty", code="bad-option")
    store = scratch / "memory.vmig.jsonl"

    def ask(commit: CommitId) -> Answer:
        for left in scratch.iterdir():
            left.unlink()
        restoring.write_out(repository, commit, Address("jsonl", str(store)))
        words = [word.replace("{store}", str(store)) for word in parts]
        try:
            code = subprocess.run(words, env={**os.environ, "VEX_COMMIT": commit.hex()}, check=False).returncode
        except OSError as error:
            raise UsageError(f"cannot run {words[0]}: {error.strerror}", code="bad-option") from None
        if code < 0 or code > SKIP:
            raise UsageError(f"{words[0]} ended with {code} at {commit.short}; bisect stopped", code="bad-option")
        return "good" if code == 0 else "skip" if code == SKIP else "bad"

    return ask


def _bisected_json(found: Bisected) -> dict[str, Any]:
    return {
        "first": found.first.hex() if found.first else None,
        "suspects": [each.hex() for each in found.suspects],
        "asked": [{"commit": commit.hex(), "answer": answer} for commit, answer in found.asked],
    }


def _print_bisected(repository: Repository, found: Bisected) -> None:
    asked = counted(len(found.asked), "commit")
    if found.first is not None:
        say(f"first at {one_line(found.first, repository.commit_at(found.first), [])}")
        say(quiet(f"  {asked} asked; see vex show {found.first.short}"))
        return
    say(f"first at one of {counted(len(found.suspects), 'commit')}; the others could not be judged:")
    for each in found.suspects:
        say(f"  {one_line(each, repository.commit_at(each), [])}")
