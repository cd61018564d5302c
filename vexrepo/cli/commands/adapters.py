"""``vex adapters``."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import click

from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, heading, quiet, removed, say
from vexrepo.cli.text import plain
from vexrepo.exchange.projecting import GROUP


@click.command(epilog=example("vex adapters", "vex adapters --json"))
@as_json
def adapters(as_json: bool) -> None:
    """List the kinds of store and projection adapters.

    Stores are what memories are read from and written to.  Projection adapters turn embeddings of one model into
    those of another; they come with packages of their own (entry points of the group vexrepo.adapters), and are used
    by vex import and vex migrate with --adapter.
    """
    stores = _stores()
    projections = [
        {"name": point.name, "package": point.dist.name if point.dist else ""}
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)
    ]
    if as_json:
        emit({"stores": stores, "adapters": projections})
        return
    say("Stores")
    width = max(len(each["kind"]) for each in stores)
    for each in stores:
        kind = heading(plain(each["kind"].ljust(width)))
        if "error" in each:
            say(f"  {kind}  {removed('cannot be loaded')}: {plain(each['error'])}")
            continue
        edges = "with" if each["edges"] else quiet("without")
        written = (
            "never written" if not each["write"] else "written as a whole" if each["rewrites"] else "written in place"
        )
        resumes = ", an interrupted read goes on" if each["resumes"] else ""
        say(f"  {kind}  read, {written}, {edges} edges{resumes}")
        if each["holds"] is not None:
            say(quiet(f"  {' ' * width}  {_words(each['holds'])}"))
    say("Projection adapters")
    for projection in projections:
        say(f"  {heading(plain(projection['name']))}  {plain(projection['package'])}")
    if not projections:
        say(quiet("  none installed"))


def _words(holds: dict[str, Any]) -> str:
    """Return what a vector store holds itself; all else of a memory is carried."""
    parts = [
        f"ids: {holds['ids']}",
        f"metadata: {holds['values']}",
        f"vectors: {', '.join(holds['vectors'])}" + (", several by name" if holds["named_vectors"] else ""),
    ]
    if holds["needs_vector"]:
        parts.append("every memory needs one")
    if holds["alters_vectors"]:
        parts.append(str(holds["alters_vectors"]))
    return " · ".join(parts)


def _stores() -> list[dict[str, Any]]:
    from vexrepo.remotes.stores.point_store import PointStore
    from vexrepo.remotes.stores.registry import connector, kinds

    found: list[dict[str, Any]] = []
    for kind in kinds():
        try:
            store = connector(kind)
        except Exception as error:  # a plugin of somebody else's must not hide the others
            found.append({"kind": kind, "error": f"{type(error).__name__}: {error}"})
            continue
        found.append(
            {
                "kind": kind,
                "read": True,
                "write": store.writable,
                "rewrites": store.rewrites,
                "edges": store.holds_edges,
                "resumes": store.resumes,
                "holds": store.can.describe() if issubclass(store, PointStore) else None,
            }
        )
    return found
