"""``vex status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.describe import place_words
from vexrepo.cli.lookout import Lookout
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import UNCHANGED, counted, memories, plain, tally

if TYPE_CHECKING:
    from vexrepo.repository import Repository
    from vexrepo.storage.oplog import View


@click.command(epilog=example("vex status", "vex status vektor:other.db", "vex status --remotes"))
@click.argument("store", required=False, metavar="[STORE]")
@click.option(
    "--remotes/--no-remotes", default=None, help="Look at all remotes and wait for what takes long, or at none."
)
@as_json
@pass_edge
def status(edge: Edge, store: str | None, remotes: bool | None, as_json: bool) -> None:
    """Say how the store differs from the last commit.

    Compares the workspace store, or STORE, with the current branch.  A store that is as it was at the last commit
    or checkout is not read again.  Beside it stands how the branch compares with what remotes were last seen to hold
    (vex fetch looks again).

    Of remotes that are stores it says what changed there since.  All are asked at once, within status.timeout_s: one
    that does not answer is named, and so is one that takes longer to be read, which --remotes waits for.  What is
    looked at by default is set by status.remotes.
    """
    repository = edge.repository()
    view = repository.view()
    with Lookout(edge, repository, view, remotes) as known:
        _status(edge, repository, view, known, store, as_json=as_json)


def _status(
    edge: Edge, repository: Repository, view: View, known: Lookout, store: str | None, *, as_json: bool
) -> None:
    on = place_words(view)
    value: dict[str, Any] = {"branch": view.branch, "commit": view.commit.hex() if view.commit else None, "remotes": []}
    under_way = repository.merge_under_way()
    if under_way is not None:
        value["merge"] = under_way
        if not as_json:
            say(f"A {under_way['action']} of {plain(under_way['name'])} is under way: vex conflicts, vex merge --abort")
    if store is None and not repository.config["workspace.store"]:
        if as_json:
            emit({**value, "remotes": known.to_json(), "store": None})
        else:
            say(f"On {on}; no workspace store: vex status STORE, or vex config set workspace.store STORE")
            known.say()
        return
    address = edge.address(store) if store is not None else repository.workspace()
    found = repository.status(address)
    from vexrepo.repository.commit import left_behind_at

    behind = None if found.is_clean else left_behind_at(repository, address, view)
    if as_json:
        counts = {"learned": found.learned, "changed": found.changed, "forgotten": found.forgotten}
        counts["edges"] = found.edges
        value |= {"store": repository.store_name(address), **counts, "clean": found.is_clean}
        value["left_behind_at"] = behind.hex() if behind else None
        value["remotes"] = known.to_json()
        emit(value)
        return
    what = "workspace " if store is None else ""
    start = f"On {on}, {what}{plain(str(address))}: "
    if view.commit is None:
        say(f"{start}no commit yet, {memories(found.learned)} to keep (vex commit -m MESSAGE)")
    elif found.is_clean:
        say(f"{start}nothing to commit, it holds exactly what {view.commit.short} holds")
    else:
        parts = [tally(found.learned, found.changed, found.forgotten)]
        if found.edges:
            parts = [
                *(part for part in parts if part != UNCHANGED),
                counted(found.edges, "edge differs", "edges differ"),
            ]
        say(start + ", ".join(parts))
    if behind is not None and view.commit is not None:
        to = "" if store is None else f" --to {plain(str(address))}"
        moved = f"the branch has moved on from {behind.short} to {view.commit.short} without this store"
        say(f"  {moved}: bring it along with vex checkout HEAD --merge{to}")
    known.say()
