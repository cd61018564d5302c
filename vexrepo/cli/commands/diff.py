"""``vex diff``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import click

from vexrepo.cli.changes import (
    EdgeTotals,
    Totals,
    change_json,
    change_words,
    edge_json,
    edge_line,
    first_and_rest,
    is_relevant,
    print_changes,
    relevant,
)
from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.options import REVISION, as_json, example, filtering, filters
from vexrepo.cli.output import Json, emit_stream, quiet, say, to_json
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain
from vexrepo.repository.difference import Difference, Shown

if TYPE_CHECKING:
    from vexrepo.objects.digest import CommitId
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import Repository, Selection


class Side(NamedTuple):
    """One side of a difference: a store, or a commit (None: nothing yet)."""

    label: str
    store: Address | None
    commit: CommitId | None


@click.command(
    epilog=example(
        "vex diff                              the last commit against the workspace",
        "vex diff HEAD~2 HEAD --stat",
        "vex diff v1 HEAD --html moved.html    a page to open in a browser",
        "vex diff main qdrant.vmig.jsonl       a commit against a store",
        "vex diff old.vmig.jsonl new.db        two stores, no repository needed",
    )
)
@click.argument("sides", nargs=-1, metavar="[A [B]]", type=REVISION)
@click.option("--stat", is_flag=True, help="Only counts, by namespace.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there are differences.")
@click.option(
    "--vectors",
    type=click.Choice(["exact", "scale", "ignore"]),
    default="exact",
    show_default=True,
    help="Which differences of embeddings count: all; not those of length; none.",
)
@click.option("--edges", "list_edges", is_flag=True, help="Also list the edges between memories that differ.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Show at most N memories.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page to open in a browser: every difference, and a picture of how the memory moved.",
)
@filtering
@as_json
@pass_edge
def diff(
    edge: Edge,
    sides: tuple[str, ...],
    stat: bool,
    exit_code: bool,
    vectors: str,
    list_edges: bool,
    limit: int | None,
    html: Path | None,
    namespaces: tuple[str, ...],
    components: tuple[str, ...],
    min_importance: float | None,
    since: str | None,
    as_json: bool,
) -> int:
    """Show what was learned, changed and forgotten.

    A and B are revisions or stores.  Without B the workspace store is compared; without A, too, the last commit is
    what it is compared with.  Texts are shown by word, metadata by member, embeddings as cosine distance.
    """
    if len(sides) > 2:
        raise click.UsageError("diff takes at most two sides: vex diff [A [B]]")
    if html is not None and (as_json or stat):
        raise click.UsageError(f"--html does not go with {'--json' if as_json else '--stat'}; the page has the counts")
    repository, old, new = _sides(edge, sides)
    chosen = filters(edge, namespaces, components, min_importance, since) or None
    totals = Totals()
    if html is not None:
        from vexrepo.cli.html.page import check_target

        check_target(html)
    changes: Iterator[Difference | Shown]
    if html is None and not stat and limit is None and repository is not None and old.commit and new.commit:
        # All of it will be shown, which two processes can do.
        say_it = partial(_in_words, mode=vectors, as_json=as_json)
        found = repository.show_diff(old.commit, new.commit, say_it, chosen)
        changes = first_and_rest(totals.counting(click.get_current_context().with_resource(closing(found))))
    else:
        changes = first_and_rest(totals.counting(relevant(_changes(repository, old, new, chosen), vectors)))
    # The part of a memory that was asked for has no edges of its own; two stores are compared without them.
    edges = _edges(repository, old, new) if repository is not None and chosen is None else None
    if html is not None:
        from vexrepo.cli.html.difference import Compared, write_difference

        compared = Compared(old.label, new.label, old.commit, new.commit, vectors, chosen, limit)
        write_difference(edge, html, repository, compared, cast("Iterator[Difference]", changes), totals, edges)
    elif as_json:
        _print_json(old, new, changes, totals, edges, vectors, 0 if stat else limit, list_edges)
    else:
        _print(old, new, changes, totals, edges, vectors, limit, stat, list_edges)
    return FAILED if exit_code and (totals or edges) else DONE


def show(repository: Repository, old: Side, new: Side, limit: int | None, as_json: bool) -> bool:
    """Print how two sides differ; return whether they do."""
    totals = Totals()
    changes = first_and_rest(totals.counting(relevant(_changes(repository, old, new, None), "exact")))
    edges = _edges(repository, old, new)
    if as_json:
        _print_json(old, new, changes, totals, edges, "exact", limit, False)
    else:
        _print(old, new, changes, totals, edges, "exact", limit, False, False)
    return bool(totals or edges)


def _in_words(change: Difference, mode: str, as_json: bool) -> str | None:
    """Return a change as it is printed, after its memory's name; None where it does not count."""
    if not is_relevant(change, mode):
        return None
    return to_json(change_json(change, mode)) if as_json else change_words(change, mode)


def _sides(edge: Edge, sides: tuple[str, ...]) -> tuple[Repository | None, Side, Side]:
    repository = edge.repository() if len(sides) < 2 or edge.find() is not None else None
    stores = [edge.place(text, repository) for text in sides]
    if repository is None and not all(stores):
        edge.no_repository()
    found = []
    for text, store in zip(sides, stores, strict=True):
        if store is not None:
            found.append(Side(str(store), store, None))
        else:
            assert repository is not None
            found.append(Side(text, None, repository.resolve(text)))
    if len(found) < 2:
        assert repository is not None
        workspace = repository.workspace()
        if not found:
            view = repository.view()
            found.append(Side(view.branch or "HEAD", None, view.commit))
        found.append(Side(str(workspace), workspace, None))
    return repository, found[0], found[1]


def _changes(repository: Repository | None, old: Side, new: Side, chosen: Selection | None) -> Iterator[Difference]:
    if old.store is not None and new.store is not None:
        from vexrepo.repository.difference import diff_stores, scratch_folder

        # Records are read when they are shown, which is after they were found: the folder lives as long as the command.
        scratch = click.get_current_context().with_resource(scratch_folder())
        return diff_stores(old.store, new.store, scratch, chosen)
    assert repository is not None
    if new.store is not None:
        return repository.diff_with_store(old.commit, new.store, chosen)
    if old.store is not None:
        return repository.diff_with_store(new.commit, old.store, chosen, reverse=True)
    assert old.commit is not None and new.commit is not None
    return repository.diff(old.commit, new.commit, chosen)


def _edges(repository: Repository, old: Side, new: Side) -> EdgeTotals | None:
    """Return the graph edges that differ; None for two stores."""
    if new.store is not None:
        return EdgeTotals(repository.diff_edges_with_store(old.commit, new.store)) if old.store is None else None
    assert new.commit is not None
    if old.store is not None:
        found = repository.diff_edges_with_store(new.commit, old.store)
        return EdgeTotals(each._replace(old=each.new, new=each.old) for each in found)
    assert old.commit is not None
    return EdgeTotals(repository.diff_edges(old.commit, new.commit))


def _print(
    old: Side,
    new: Side,
    changes: Iterator[Difference | Shown],
    totals: Totals,
    edges: EdgeTotals | None,
    mode: str,
    limit: int | None,
    stat: bool,
    list_edges: bool,
) -> None:
    hidden = print_changes(changes, mode, 0 if stat else limit)
    if not totals and not edges:
        what = "no memory differs" if edges is None else "no differences"
        say(f"{what} between {plain(old.label)} and {plain(new.label)}")
    elif stat and totals:
        for line in totals.stat_lines():
            say(line)
        say(f"{totals.words()} in {counted(len(totals.namespaces), 'namespace')}")
    elif hidden:
        say(quiet(f"… and {hidden:,} more: {totals.words()} in all"))
    if edges:
        for change in edges.changes if list_edges else ():
            say(edge_line(change))
        say(edges.words())


def _print_json(
    old: Side,
    new: Side,
    changes: Iterator[Difference | Shown],
    totals: Totals,
    edges: EdgeTotals | None,
    mode: str,
    limit: int | None,
    list_edges: bool,
) -> None:
    def items() -> Iterator[object]:
        for number, change in enumerate(changes):
            if limit is None or number < limit:
                yield change_json(change, mode) if isinstance(change, Difference) else Json(change.text)

    def tail() -> Iterator[dict[str, object]]:
        yield {**totals.to_json(), "namespaces": totals.by_namespace()}
        if edges is not None:
            yield {"edges": edges.to_json()}
            if list_edges:
                yield {"edge_changes": [edge_json(change) for change in edges.changes]}

    head = {name: _side_json(side) for name, side in (("old", old), ("new", new))}
    emit_stream(head, "changes", items(), tail())


def _side_json(side: Side) -> dict[str, str | None]:
    if side.store is not None:
        return {"store": str(side.store)}
    return {"revision": side.label, "commit": side.commit.hex() if side.commit else None}
