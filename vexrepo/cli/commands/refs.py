"""``vex branch`` and ``vex tag``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.options import REVISION, as_json, example
from vexrepo.cli.output import added, emit, heading, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import plain, shorten
from vexrepo.cli.tracking import standings
from vexrepo.storage.oplog import BRANCHES, REMOTES, TAGS

if TYPE_CHECKING:
    from vexrepo.repository import Repository


@click.command(
    epilog=example(
        "vex branch                      list them; * is the current one",
        "vex branch experiment HEAD~1",
        "vex branch -v                   also what remotes were last seen to hold of them",
        "vex branch -r                   the branches of remotes, as last seen",
        "vex branch -m experiment plan-b",
        "vex branch -d plan-b",
    )
)
@click.argument("names", nargs=-1, metavar="[NAME [START]]", type=REVISION)
@click.option("-d", "--delete", is_flag=True, help="Delete the branch NAME; its commits stay reachable by undo.")
@click.option("-m", "--move", is_flag=True, help="Rename: -m OLD NEW, or -m NEW for the current branch.")
@click.option("-f", "--force", is_flag=True, help="Move a branch that exists to START.")
@click.option("-v", "--verbose", is_flag=True, help="List with what remotes were last seen to hold of each.")
@click.option("-r", "--remotes", is_flag=True, help="List the branches of remotes, as last seen.")
@as_json
@pass_edge
def branch(
    edge: Edge,
    names: tuple[str, ...],
    delete: bool,
    move: bool,
    force: bool,
    verbose: bool,
    remotes: bool,
    as_json: bool,
) -> None:
    """List, make, rename or delete branches.

    With a NAME, makes a branch at START (default: HEAD) without going to it; vex switch -c does both.
    """
    if len(names) > 2 or (delete and move) or (delete and len(names) != 1) or (move and not names):
        raise click.UsageError("expected: vex branch [NAME [START]], -d NAME, or -m OLD NEW")
    if names and (verbose or remotes):
        raise click.UsageError("-v and -r list, and take no NAME")
    repository = edge.repository()
    if delete:
        commit = repository.delete_ref(BRANCHES, names[0])
        _told(as_json, {"deleted": names[0], "commit": commit.hex()}, f"deleted branch {names[0]} (was {commit.short})")
        return
    if move:
        view = repository.view()
        if len(names) == 1 and view.branch is None:
            raise click.UsageError("HEAD is on no branch; name both: vex branch -m OLD NEW")
        old, new = (view.branch or "", names[0]) if len(names) == 1 else names
        repository.rename_branch(old, new)
        _told(as_json, {"renamed": old, "to": new}, f"renamed branch {old} to {new}")
        return
    if names:
        made = repository.create_branch(names[0], names[1] if len(names) == 2 else "HEAD", force=force)
        assert made is not None
        _told(
            as_json,
            {"branch": names[0], "commit": made.hex()},
            f"branch {names[0]} at {made.short}; go there with vex switch {names[0]}",
        )
        return
    _list(repository, REMOTES if remotes else BRANCHES, as_json, verbose)


@click.command(epilog=example("vex tag", "vex tag before-the-cleanup", "vex tag v1 HEAD~3", "vex tag -d v1"))
@click.argument("names", nargs=-1, metavar="[NAME [REV]]", type=REVISION)
@click.option("-d", "--delete", is_flag=True, help="Delete the tag NAME.")
@click.option("-f", "--force", is_flag=True, help="Move a tag that exists to REV.")
@as_json
@pass_edge
def tag(edge: Edge, names: tuple[str, ...], delete: bool, force: bool, as_json: bool) -> None:
    """List, make or delete tags.

    A tag is a name for a commit (default: HEAD) that does not move with new commits.
    """
    if len(names) > 2 or (delete and len(names) != 1):
        raise click.UsageError("expected: vex tag [NAME [REV]], or -d NAME")
    repository = edge.repository()
    if delete:
        commit = repository.delete_ref(TAGS, names[0])
        _told(as_json, {"deleted": names[0], "commit": commit.hex()}, f"deleted tag {names[0]} (was {commit.short})")
        return
    if names:
        made = repository.create_tag(names[0], names[1] if len(names) == 2 else "HEAD", force=force)
        assert made is not None
        _told(as_json, {"tag": names[0], "commit": made.hex()}, f"tag {names[0]} at {made.short}")
        return
    _list(repository, TAGS, as_json)


def _told(as_json: bool, value: dict[str, str], line: str) -> None:
    if as_json:
        emit(value)
    else:
        say(plain(line))


def _list(repository: Repository, prefix: str, as_json: bool, verbose: bool = False) -> None:
    view = repository.view()
    rows = [
        (name.removeprefix(prefix), commit) for name, commit in sorted(view.refs.items()) if name.startswith(prefix)
    ]
    if as_json:
        items: list[dict[str, Any]] = [
            {"name": name, "commit": commit.hex(), "current": prefix + name == view.head} for name, commit in rows
        ]
        if prefix == BRANCHES:
            for item in items:
                item["remotes"] = [each.to_json() for each in standings(repository, view, item["name"])]
        if prefix == BRANCHES and view.branch is not None and view.commit is None:
            items.insert(0, {"name": view.branch, "commit": "", "current": True, "remotes": []})
        emit(items)
        return
    if prefix == BRANCHES and view.branch is None and view.commit is not None:
        say(added(f"* (no branch, at {view.commit.short})"))
    if prefix == BRANCHES and view.branch is not None and view.commit is None:
        say(added(f"* {plain(view.branch)}") + "  no commit yet")
    width = min(40, max((len(plain(name)) for name, _ in rows), default=0))
    for name, commit in rows:
        subject = plain(shorten(repository.commit_at(commit).subject, 80))
        shown = f"{plain(name):<{width}}"
        if verbose:
            subject += "".join(quiet(f"  [{each.words()}]") for each in standings(repository, view, name))
        if prefix != BRANCHES:
            say(f"{shown}  {heading(commit.short)} {subject}")
        elif prefix + name == view.head:
            say(f"{added('* ' + shown)}  {heading(commit.short)} {subject}")
        else:
            say(f"  {shown}  {heading(commit.short)} {subject}")
