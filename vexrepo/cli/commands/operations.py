"""``vex undo`` and ``vex op``."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from vexrepo.cli.describe import place_words
from vexrepo.cli.lazy import Entry, LazyGroup
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import added, emit, emit_stream, heading, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import ago, iso, plain

if TYPE_CHECKING:
    from vexrepo.repository import Repository
    from vexrepo.storage.oplog import View


@click.command(epilog=example("vex undo", "vex undo && vex undo        two steps back"))
@as_json
@pass_edge
def undo(edge: Edge, as_json: bool) -> None:
    """Take back the latest change of the repository.

    Commits, branches, tags and HEAD are as they were before it; repeated, it goes further back.  Stores are not
    touched.  An undo is an operation itself, so vex op restore can take it back.
    """
    repository = edge.repository()
    operation, view = repository.undo()
    if as_json:
        emit({"undone": {"command": operation.command, "detail": operation.detail}, **_view_json(view)})
        return
    what = f"{operation.command} {operation.detail}".strip()
    say(f"took back: {plain(what)} ({ago(operation.time_us, edge.now_us())})")
    _tell_view(repository, view)


def _view_json(view: View) -> dict[str, str | None]:
    return {"branch": view.branch, "commit": view.commit.hex() if view.commit else None}


def _tell_view(repository: Repository, view: View) -> None:
    at = f" at {view.commit.short}" if view.commit and view.branch else "" if view.commit else ", which has no commit"
    line = f"  now on {place_words(view)}{at}"
    if repository.config["workspace.store"]:
        line += "; the store is as it was: vex status, or vex checkout HEAD to bring it along"
    say(line)


_OP_COMMANDS = {
    "log": Entry("vexrepo.cli.commands.operations:op_log", "List the repository's operations, newest first."),
    "restore": Entry("vexrepo.cli.commands.operations:op_restore", "Go back to the state after an operation."),
}


@click.group(cls=LazyGroup, entries=_OP_COMMANDS, epilog=example("vex op log -n 5", "vex op restore 8d21c4"))
def op() -> None:
    """List or restore the repository's operations.

    Whatever changed the repository (commits, branches, switches, undo) is an operation; each holds where all
    branches and tags were.
    """


@click.command("log", epilog=example("vex op log -n 5"))
@click.option("-n", "--number", type=click.IntRange(min=0), metavar="N", help="At most N operations.")
@as_json
@pass_edge
def op_log(edge: Edge, number: int | None, as_json: bool) -> None:
    """List the repository's operations, newest first."""
    repository = edge.repository()
    operations = islice(repository.log.walk(), number)
    if as_json:
        items = (
            {
                "id": identifier.hex(),
                "sequence": operation.sequence,
                "time": iso(operation.time_us),
                "command": operation.command,
                "detail": operation.detail,
                "undoes": operation.undoes.hex() if operation.undoes else None,
                "head": operation.view.head,
                "refs": {name: commit.hex() for name, commit in sorted(operation.view.refs.items())},
            }
            for identifier, operation in operations
        )
        emit_stream({}, "operations", items, iter(()))
        return
    now_us = edge.now_us()
    for at, (identifier, operation) in enumerate(operations):
        what = plain(f"{operation.command} {operation.detail}".strip())
        here = added("  ← now") if at == 0 else ""
        say(f"{heading(identifier.hex()[:12])}  {ago(operation.time_us, now_us):<15}  {what}{here}")


@click.command("restore", epilog=example("vex op restore 8d21c4"))
@click.argument("operation", metavar="OPERATION")
@as_json
@pass_edge
def op_restore(edge: Edge, operation: str, as_json: bool) -> None:
    """Go back to the state after an operation.

    OPERATION is an id from vex op log, abbreviated to four or more digits.  Stores are not touched.
    """
    repository = edge.repository()
    found = repository.restore_operation(operation)
    view = repository.view()
    if as_json:
        emit({"restored": found.sequence, **_view_json(view)})
        return
    what = plain(f"{found.command} {found.detail}".strip())
    say(f"restored the state after: {what} ({ago(found.time_us, edge.now_us())})")
    _tell_view(repository, view)
