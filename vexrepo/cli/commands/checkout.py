"""``vex checkout`` and ``vex switch``: a store is brought to a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.describe import branch_of, place_words
from vexrepo.cli.options import (
    REVISION,
    as_json,
    concurrency,
    example,
    mixing,
    no_verify,
    reading_back,
    selecting,
    selection,
)
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, memories, plain
from vexrepo.errors import UsageError
from vexrepo.storage.oplog import BRANCHES

if TYPE_CHECKING:
    from vexrepo.objects.digest import CommitId
    from vexrepo.remotes.outflow import Outflow
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import CheckedOut, Repository, Selection

_UNSURE = "the repository is as it was; `vex status` tells what the store holds"


@click.command(
    epilog=example(
        "vex checkout HEAD~1                              the workspace goes back one commit",
        "vex checkout HEAD --force                        drop what is not committed",
        "vex checkout HEAD --merge                        keep it, and bring the rest along",
        "vex checkout main --to jsonl:copy.vmig.jsonl     into another store",
    )
)
@click.argument("revision", metavar="REV", type=REVISION)
@click.option("--to", "store", metavar="STORE", help="Write to this store instead of the workspace.")
@selecting
@click.option("-f", "--force", is_flag=True, help="Overwrite memories that no commit has.")
@click.option(
    "-m", "--merge", is_flag=True, help="Write only what changed since the store was last seen; keep the rest."
)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be written, write nothing.")
@mixing
@no_verify
@reading_back
@concurrency
@as_json
@pass_edge
def checkout(
    edge: Edge,
    revision: str,
    store: str | None,
    namespaces: tuple[str, ...],
    components: tuple[str, ...],
    force: bool,
    merge: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring a store to a commit.

    Only the difference is written.  Without --to the workspace is written and HEAD moves to REV: to the branch, if
    REV is one, else detached.  With --namespace or --components only those memories are written and HEAD stays.
    Memories that no commit has are not overwritten without --force.  With --merge they stay in the store, beside what
    changed from the commit it was last seen at to REV; where both are about the same memory, nothing is written.
    """
    if merge and (force or namespaces or components):
        raise click.UsageError("--merge does not go with --force, --namespace or --components")
    if merge and edge.read_back is not None:
        raise click.UsageError("--merge leaves what others wrote: --read-back does not go with it")
    repository = edge.repository()
    view = repository.view()
    commit = repository.resolve(revision, view)
    chosen = selection(namespaces, components)
    head = None
    if store is None and chosen is None and not dry_run:
        branch = branch_of(view, revision)
        head = BRANCHES + branch if branch else view.head if revision in ("HEAD", "@") else commit.hex()
    address = edge.address(store) if store is not None else repository.workspace()
    if merge:
        from vexrepo.repository.bringing import bring

        edge.unsure = "" if dry_run else _UNSURE
        done = bring(repository, commit, address, head=head, dry_run=dry_run)
    else:
        done = _apply(edge, repository, commit, address, chosen, force=force, dry_run=dry_run, head=head)
    if as_json:
        emit(_as_json(repository, done, address, dry_run))
    elif merge:
        say_brought(done, address, dry_run=dry_run)
    else:
        on = place_words(repository.view()) if head else ""
        _print(done, address, revision, dry_run, on, partial=chosen is not None)


def _apply(
    edge: Edge,
    repository: Repository,
    commit: CommitId,
    address: Address,
    chosen: Selection | None = None,
    *,
    force: bool,
    dry_run: bool = False,
    head: str | None,
) -> CheckedOut:
    edge.unsure = "" if dry_run else _UNSURE
    return repository.checkout(commit, address, selection=chosen, force=force, dry_run=dry_run, head=head)


def _as_json(repository: Repository, done: CheckedOut, address: Address, dry_run: bool) -> dict[str, Any]:
    view = repository.view()
    flow = done.outflow
    return {
        "commit": done.commit.hex(),
        "store": repository.store_name(address),
        "dry_run": dry_run,
        "records": done.snapshot.records.count,
        "added": flow.added,
        "changed": flow.changed,
        "removed": flow.removed,
        "kept": flow.kept,
        "edges_written": len(flow.edge_upserts),
        "edges_removed": len(flow.edge_deletes),
        "unsaved": len(flow.unsaved),
        "unsaved_edges": len(flow.unsaved_edges),
        "verified": done.verified,
        "read_back": done.read_back,
        "whole": done.is_whole,
        "head": {"branch": view.branch, "commit": view.commit.hex() if view.commit else None},
    }


def say_brought(done: CheckedOut, address: Address, *, dry_run: bool = False) -> None:
    """Print what was written into a store beside what it holds of its own."""
    flow = done.outflow
    name = plain(str(address))
    what = ", ".join(flow_words(flow)) or "nothing to do"
    if not dry_run:
        say(f" → {name} · {what}" if not flow.is_empty else f" → {name} · it has that already")
        return
    say(f"would bring {name} along to {done.commit.short}: {what}")
    both = len(flow.unsaved) + len(flow.unsaved_edges)
    if both:
        say(
            f"  refused as it stands: {counted(both, 'of these was', 'of these were')} changed there, too; commit first"
        )


def verified_words(done: CheckedOut) -> str:
    """Return ``verified 312 of 312``; of a store that others may have changed meanwhile what was done instead.

    ``counted 20,000 of 20,000, 256 of 6,000 read back``.  "" where the store could not be asked.
    """
    written = done.outflow.added + done.outflow.changed
    verb = "verified" if done.is_whole else "counted"
    parts = [f"{verb} {done.verified:,} of {done.snapshot.records.count:,}"] if done.verified is not None else []
    if done.read_back and (not done.is_whole or done.read_back < written):
        of = f" of {written:,}" if not done.is_whole else ""
        parts.append(f"{done.read_back:,}{of} read back")
    return ", ".join(parts)


def flow_words(flow: Outflow) -> list[str]:
    """Return ``["4 added", "1 removed", "2 edges"]``."""
    parts = [
        f"{number:,} {word}"
        for number, word in ((flow.added, "added"), (flow.changed, "changed"), (flow.removed, "removed"))
        if number
    ]
    edges = len(flow.edge_upserts) + len(flow.edge_deletes)
    return [*parts, counted(edges, "edge")] if edges else parts


def _print(
    done: CheckedOut, address: Address, revision: str, dry_run: bool, head: str, *, partial: bool = False
) -> None:
    flow, total = done.outflow, done.snapshot.records.count
    name = plain(str(address))
    parts = flow_words(flow)
    if dry_run:
        would = ", ".join(parts) or "nothing to do"
        say(f"would bring {name} to {plain(revision)} ({done.commit.short}): {would}")
        lost = [memories(len(flow.unsaved))] if flow.unsaved else []
        lost += [counted(len(flow.unsaved_edges), "edge")] if flow.unsaved_edges else []
        if lost:
            verb = "is" if len(flow.unsaved) + len(flow.unsaved_edges) == 1 else "are"
            say(f"  {' and '.join(lost)} there {verb} in no commit and would be lost: commit first, or --force")
        return
    if not parts and partial and not flow.kept:
        say(f"neither {name} nor {done.commit.short} has a memory in that part; nothing to do")
        return
    if not parts:
        line = f"{name} already holds {done.commit.short}" + (" in that part" if partial else "")
    elif partial:
        line = f"{memories(flow.added + flow.changed + flow.kept)} → {name} · {', '.join(parts)}"
    else:
        line = f"{memories(total)} → {name} · {', '.join(parts)}"
        line += f" · {words}" if (words := verified_words(done)) else ""
    if head:
        line += f" · on {head}" if not head.startswith("detached") else f" · HEAD {head}"
    say(line)
    if head.startswith("detached"):
        say(quiet("  commits made here belong to no branch; keep them with vex switch -c NAME"))


@click.command(
    epilog=example(
        "vex switch -c experiment      a new branch here; the store is not touched",
        "vex switch main               back; the store goes back, too",
        "vex switch --detach v1        look at a tag",
    )
)
@click.argument("name", metavar="NAME", type=REVISION)
@click.argument("start", metavar="[START]", required=False, type=REVISION)
@click.option("-c", "--create", is_flag=True, help="Make the branch, at START (default: HEAD).")
@click.option("--detach", is_flag=True, help="Go to any revision, on no branch.")
@click.option("--keep", is_flag=True, help="Leave the store as it is; only HEAD moves.")
@click.option("-f", "--force", is_flag=True, help="Overwrite memories that no commit has.")
@mixing
@no_verify
@reading_back
@as_json
@pass_edge
def switch(
    edge: Edge, name: str, start: str | None, create: bool, detach: bool, keep: bool, force: bool, as_json: bool
) -> None:
    """Go to a branch and bring the store to it.

    The workspace store is brought to the branch's commit; this is refused if it holds memories that no commit
    has (--force drops them, --keep leaves the store alone).  -c makes a branch; made at HEAD, the default, it does
    not touch the store.
    """
    if start is not None and not create:
        raise click.UsageError("START goes with -c: vex switch -c NAME START")
    if create and detach:
        raise click.UsageError("-c and --detach exclude each other")
    repository = edge.repository()
    view = repository.view()
    if create:
        commit = repository.check_new_branch(name, start or "HEAD")
        if commit is None or commit == view.commit:
            repository.create_branch(name, start or "HEAD", switch=True)
            _tell(repository, None, None, "made and switched to", as_json)
            return
        head = BRANCHES + name
    elif detach:
        commit = repository.resolve(name, view)
        head = commit.hex()
    else:
        if view.branch == name:
            _tell(repository, None, None, "already on", as_json)
            return
        commit, head = _branch_commit(repository, name), BRANCHES + name
    if keep or not repository.config["workspace.store"]:
        repository.move_head(head, commit)
        _tell(repository, None, None, "switched to", as_json)
        return
    address = repository.workspace()
    done = _apply(edge, repository, commit, address, force=force, head=head)
    _tell(repository, done, address, "made and switched to" if create else "switched to", as_json)


def _branch_commit(repository: Repository, name: str) -> CommitId:
    view = repository.view()
    found = view.refs.get(BRANCHES + name)
    if found is not None:
        return found
    commit = repository.resolve(name)  # raises with the nearest name, if it is nothing at all
    raise UsageError(
        f"{name!r} is not a branch but names commit {commit.short}; look at it with `vex switch --detach {name}`, or "
        f"make a branch there: vex switch -c NAME {name}",
        code="unknown-revision",
    )


def _tell(repository: Repository, done: CheckedOut | None, address: Address | None, verb: str, as_json: bool) -> None:
    view = repository.view()
    if as_json:
        value: dict[str, Any] = {"branch": view.branch, "commit": view.commit.hex() if view.commit else None}
        if done is not None and address is not None:
            value["checkout"] = _as_json(repository, done, address, dry_run=False)
        emit(value)
        return
    at = f" at {view.commit.short}" if view.commit and view.branch else ""
    say(f"{verb} {place_words(view) if view.branch else 'a HEAD ' + place_words(view)}{at}")
    if done is not None and address is not None:
        _print(done, address, "", False, "")
