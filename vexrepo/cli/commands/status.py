"""``vex status``."""

from __future__ import annotations

from typing import Any

import click

from vexrepo.cli.describe import place_words
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import UNCHANGED, counted, memories, plain, tally
from vexrepo.cli.tracking import Standing, standings


@click.command(epilog=example("vex status", "vex status vektor:other.db"))
@click.argument("store", required=False, metavar="[STORE]")
@as_json
@pass_edge
def status(edge: Edge, store: str | None, as_json: bool) -> None:
    """Say how the store differs from the last commit.

    Compares the workspace store, or STORE, with the current branch.  A store that is as it was at the last commit
    or checkout is not read again.  Beside it stands how the branch compares with what remotes were last seen to hold
    (vex fetch looks again).
    """
    repository = edge.repository()
    view = repository.view()
    on = place_words(view)
    value: dict[str, Any] = {"branch": view.branch, "commit": view.commit.hex() if view.commit else None}
    remotes = standings(repository, view, view.branch) if view.branch is not None else []
    if as_json:
        value["remotes"] = [each.to_json() for each in remotes]
    under_way = repository.merge_under_way()
    if under_way is not None:
        value["merge"] = under_way
        if not as_json:
            say(f"A {under_way['action']} of {plain(under_way['name'])} is under way: vex conflicts, vex merge --abort")
    if store is None and not repository.config["workspace.store"]:
        if as_json:
            emit({**value, "store": None})
        else:
            say(f"On {on}; no workspace store: vex status STORE, or vex config set workspace.store STORE")
            _say_remotes(remotes)
        return
    address = edge.address(store) if store is not None else repository.workspace()
    found = repository.status(address)
    if as_json:
        counts = {"learned": found.learned, "changed": found.changed, "forgotten": found.forgotten}
        counts["edges"] = found.edges
        emit({**value, "store": repository.store_name(address), **counts, "clean": found.is_clean})
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
    _say_remotes(remotes)


def _say_remotes(found: list[Standing]) -> None:
    for each in found:
        say(f"  {each.words()}{quiet('  as last seen') if each.ahead or each.behind else ''}")
