"""``vex log``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from vexrepo.cli.describe import change_signs, commit_block, commit_json, decorations, one_line
from vexrepo.cli.options import REVISION, as_json, example
from vexrepo.cli.output import emit_stream, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import memories

if TYPE_CHECKING:
    from vexrepo.cli.graph import Line
    from vexrepo.objects.commit import Commit
    from vexrepo.objects.digest import CommitId
    from vexrepo.repository import Difference, Repository
    from vexrepo.storage.oplog import View

_NUMBER = re.compile(r"^-(\d+)$")
_LANES = ("green", "magenta", "blue", "cyan", "yellow", "red")


class Listed(NamedTuple):
    """A commit in the list; ``changes`` is what it did to the memory that was asked for (in each namespace)."""

    id: CommitId
    commit: Commit
    changes: tuple[Difference, ...] = ()


class LogCommand(click.Command):
    """Understands ``-3`` as ``-n 3``, and takes what follows ``--`` as the id of a memory."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        memory: list[str] = []
        if "--" in args:
            at = args.index("--")
            args, memory = args[:at], args[at + 1 :]
        if len(memory) > 1:
            raise click.UsageError("one memory at a time: vex log [REV] -- ID", ctx)
        ctx.meta["vexrepo.memory"] = memory[0] if memory else None
        spread: list[str] = []
        for item in args:
            match = _NUMBER.match(item)
            spread += ["-n", match[1]] if match else [item]
        return super().parse_args(ctx, spread)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- ID]"]


@click.command(
    cls=LogCommand,
    epilog=example(
        "vex log -3",
        "vex log main --oneline --graph",
        "vex log -- mem_8f3a1c        the life of one memory",
        "vex log --html history.html",
    ),
)
@click.argument("revision", required=False, default="HEAD", metavar="[REV]", type=REVISION)
@click.option("--oneline", is_flag=True, help="One line a commit.")
@click.option("--graph", is_flag=True, help="Draw how the commits descend from one another.")
@click.option("-n", "--number", type=click.IntRange(min=0), metavar="N", help="At most N commits; -N for short.")
@click.option("--stat", is_flag=True, help="Also what each commit changed, by namespace.")
@click.option("--show-signature", is_flag=True, help="Verify the signatures.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page to open in a browser: the timeline, and what each commit changed.",
)
@as_json
@click.pass_context
@pass_edge
def log(
    edge: Edge,
    ctx: click.Context,
    revision: str,
    oneline: bool,
    graph: bool,
    number: int | None,
    stat: bool,
    show_signature: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """List commits, or those that touched one memory.

    Newest first, from REV (default: HEAD).  After -- comes the id of a memory (or NAMESPACE/ID): then only the
    commits that learned, changed or forgot it are listed, each with what it did.
    """
    if as_json and (graph or html):
        raise click.UsageError(f"--json lists parents; it does not go with {'--graph' if graph else '--html'}", ctx)
    if html is not None:
        shown = {"--oneline": oneline, "--stat": stat, "--show-signature": show_signature, "--graph": graph}
        if any(shown.values()):
            which = next(name for name, given in shown.items() if given)
            raise click.UsageError(f"the page shows all of it; {which} does not go with --html", ctx)
    repository = edge.repository(trusts=show_signature or html is not None)
    start = repository.resolve(revision)
    view = repository.view()
    memory = ctx.meta["vexrepo.memory"]
    if html is not None:
        from vexrepo.cli.html.history import write_history

        listed, parents = _ordered(repository, start, memory)
        write_history(edge, repository, html, revision, memory, listed, parents, number)
        return
    if graph:
        listed, parents = _ordered(repository, start, memory)
        _print_graph(edge, repository, islice(listed, number), parents, oneline, stat, show_signature)
        return
    found = islice(_list(repository, start, memory), number)
    if as_json:
        items = _json_items(repository, found, view, stat, show_signature)
        emit_stream({"start": start.hex()}, "commits", items, iter(()))
        return
    for at, lines in enumerate(_texts(edge, repository, found, oneline, stat, show_signature)):
        if at and not oneline:
            say()
        for line in lines:
            say(line)


def _list(repository: Repository, start: CommitId, memory: str | None) -> Iterator[Listed]:
    if memory is not None:
        return _of_memory(repository, start, memory)
    return (Listed(identifier, commit) for identifier, commit in repository.history(start))


def _ordered(
    repository: Repository, start: CommitId, memory: str | None
) -> tuple[list[Listed], dict[CommitId, tuple[CommitId, ...]]]:
    """Return the list in an order that can be drawn, and the parents to draw lines to."""
    from vexrepo.cli.graph import simplify, topological

    commits = dict(repository.history(start))
    order = topological({identifier: commit.parents for identifier, commit in commits.items()}, [start])
    if memory is None:
        return [Listed(each, commits[each]) for each in order], {each: commits[each].parents for each in order}
    listed: dict[CommitId, Listed] = {}
    for found in _of_memory(repository, start, memory):
        before = listed.get(found.id, found._replace(changes=()))
        listed[found.id] = found._replace(changes=before.changes + found.changes)
    parents = dict(simplify([(each, commits[each].parents) for each in order], listed))
    return [listed[each] for each in parents], parents


def _texts(
    edge: Edge, repository: Repository, commits: Iterable[Listed], oneline: bool, stat: bool, show_signature: bool
) -> Iterator[list[str]]:
    """Yield the lines of each commit."""
    names = decorations(repository.view())
    now_us = edge.now_us()
    for identifier, commit, changes in commits:
        decoration = names.get(identifier, [])
        if oneline:
            lines = [one_line(identifier, commit, decoration)]
        else:
            lines = commit_block(identifier, commit, decoration, now_us)
            if not changes:
                lines += ["", "    " + quiet(_statistics(commit))]
        if show_signature:
            from vexrepo.cli.describe_signatures import signature_lines

            lines += [f"    {line}" for line in signature_lines(repository, identifier, commit)]
        if changes:
            from vexrepo.cli.changes import change_line, label

            lines += [] if oneline else [""]
            lines += ["    " + change_line(change, label(change), 0, "exact") for change in changes]
        if stat:
            lines += [f"   {line}" for line in _stat(repository, commit, identifier)]
        yield lines


def _print_graph(
    edge: Edge,
    repository: Repository,
    commits: Iterable[Listed],
    parents: dict[CommitId, tuple[CommitId, ...]],
    oneline: bool,
    stat: bool,
    show_signature: bool,
) -> None:
    from vexrepo.cli.graph import END, draw, iter_rows, verticals

    listed = list(commits)
    boxes = _has_boxes()
    head = repository.view().commit
    texts = _texts(edge, repository, listed, oneline, stat, show_signature)
    rows = list(iter_rows((each.id, parents[each.id]) for each in listed))
    for row, text in zip(rows, texts, strict=True):
        gap, first, link, pad = draw(row)
        width = max(map(len, (first, link or (), pad)))
        if gap is not None:
            say(_drawn(gap, 0, boxes))
        say(_drawn(first, width, boxes, "@" if row.id == head else "") + " " + text[0])
        rest = text[1:] if oneline or row is rows[-1] else [*text[1:], ""]
        lines = [pad] * len(rest)
        if link is not None:
            lines[:1] = [link]
        for number, line in enumerate(lines):
            below = rest[number] if number < len(rest) else ""
            say(_drawn(line, width, boxes) + " " + below if below else _drawn(line, 0, boxes))
    if rows and rows[-1].after:
        say(_drawn(verticals(rows[-1].after, END), 0, boxes))


def _drawn(line: Line, width: int, boxes: bool, node: str = "") -> str:
    """Return a line of the graph in colours, filled up to ``width`` characters."""
    from vexrepo.cli.graph import NODE, character

    last = max((place for place, cell in enumerate(line) if cell.mask), default=-1)
    parts = []
    for cell in line[: last + 1]:
        text = character(cell, boxes=boxes, node=node)
        bold = True if cell.mask == NODE else None
        parts.append(click.style(text, fg=_LANES[cell.colour], bold=bold) if cell.mask else text)
    return "".join(parts) + " " * (width - last - 1)


def _has_boxes() -> bool:
    """Whether the output can show box drawing."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "○│├╮".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _statistics(commit: Commit) -> str:
    count = commit.statistics.get("records")
    parts = [memories(count) if isinstance(count, int) else "", change_signs(commit)]
    return " · ".join(part for part in parts if part)


def _of_memory(repository: Repository, start: CommitId, memory: str) -> Iterator[Listed]:
    from vexrepo.errors import UsageError

    found = False
    for identifier, change in repository.history_of(start, memory):
        found = True
        yield Listed(identifier, repository.commit_at(identifier), (change,))
    if not found:
        raise UsageError(f"no commit up to {start.short} has a memory {memory!r}", code="unknown-record")


def _stat(repository: Repository, commit: Commit, identifier: CommitId) -> list[str]:
    from vexrepo.cli.changes import Totals

    if not commit.parents:
        return [" the first commit of this line"]
    totals = Totals()
    for _ in totals.counting(repository.diff(commit.parents[0], identifier)):
        pass
    return totals.stat_lines()


def _json_items(
    repository: Repository, commits: Iterator[Listed], view: View, stat: bool, show_signature: bool
) -> Iterator[object]:
    for identifier, commit, changes in commits:
        value = commit_json(identifier, commit, view)
        for change in changes:
            from vexrepo.cli.changes import change_json

            value["change"] = change_json(change, "exact")
        if stat and commit.parents:
            from vexrepo.cli.changes import Totals

            totals = Totals()
            for _ in totals.counting(repository.diff(commit.parents[0], identifier)):
                pass
            value["namespaces"] = totals.by_namespace()
        if show_signature:
            from vexrepo.cli.describe_signatures import signatures_json

            value["signatures"] = signatures_json(repository.signatures(identifier))
        yield value
