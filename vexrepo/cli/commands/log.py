"""``vex log``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import click

from vexrepo.cli.describe import change_signs, commit_block, commit_json, decorations, one_line
from vexrepo.cli.options import REVISION, as_json, example
from vexrepo.cli.output import emit_stream, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import memories

if TYPE_CHECKING:
    from vexrepo.objects.commit import Commit
    from vexrepo.objects.digest import CommitId
    from vexrepo.repository import Difference, Repository
    from vexrepo.storage.oplog import View

_NUMBER = re.compile(r"^-(\d+)$")


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
    epilog=example("vex log -3", "vex log main --oneline", "vex log -- mem_8f3a1c        the life of one memory"),
)
@click.argument("revision", required=False, default="HEAD", metavar="[REV]", type=REVISION)
@click.option("--oneline", is_flag=True, help="One line a commit.")
@click.option("-n", "--number", type=click.IntRange(min=0), metavar="N", help="At most N commits; -N for short.")
@click.option("--stat", is_flag=True, help="Also what each commit changed, by namespace.")
@click.option("--show-signature", is_flag=True, help="Verify the signatures.")
@as_json
@click.pass_context
@pass_edge
def log(
    edge: Edge,
    ctx: click.Context,
    revision: str,
    oneline: bool,
    number: int | None,
    stat: bool,
    show_signature: bool,
    as_json: bool,
) -> None:
    """List commits, or those that touched one memory.

    Newest first, from REV (default: HEAD).  After -- comes the id of a memory (or NAMESPACE/ID): then only the
    commits that learned, changed or forgot it are listed, each with what it did.
    """
    repository = edge.repository(trusts=show_signature)
    start = repository.resolve(revision)
    view = repository.view()
    names = decorations(view)
    memory = ctx.meta["vexrepo.memory"]
    commits = _of_memory(repository, start, memory) if memory else ((i, c, None) for i, c in repository.history(start))
    found = islice(commits, number)
    if as_json:
        items = _json_items(repository, found, view, stat, show_signature)
        emit_stream({"start": start.hex()}, "commits", items, iter(()))
        return
    now_us = edge.now_us()
    shown = False
    for identifier, commit, change in found:
        decoration = names.get(identifier, [])
        if oneline:
            say(one_line(identifier, commit, decoration))
        else:
            if shown:
                say()
            for line in commit_block(identifier, commit, decoration, now_us):
                say(line)
            if change is None:
                say()
                say("    " + quiet(_statistics(commit)))
        shown = True
        if show_signature:
            from vexrepo.cli.describe_signatures import signature_lines

            for line in signature_lines(repository, identifier, commit):
                say(f"    {line}")
        if change is not None:
            from vexrepo.cli.changes import change_line, label

            if not oneline:
                say()
            say("    " + change_line(change, label(change), 0, "exact"))
        if stat:
            for line in _stat(repository, commit, identifier):
                say(f"   {line}")


def _statistics(commit: Commit) -> str:
    count = commit.statistics.get("records")
    parts = [memories(count) if isinstance(count, int) else "", change_signs(commit)]
    return " · ".join(part for part in parts if part)


def _of_memory(
    repository: Repository, start: CommitId, memory: str
) -> Iterator[tuple[CommitId, Commit, Difference | None]]:
    from vexrepo.errors import UsageError

    found = False
    for identifier, change in repository.history_of(start, memory):
        found = True
        yield identifier, repository.commit_at(identifier), change
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
    repository: Repository,
    commits: Iterator[tuple[CommitId, Commit, Difference | None]],
    view: View,
    stat: bool,
    show_signature: bool,
) -> Iterator[object]:
    for identifier, commit, change in commits:
        value = commit_json(identifier, commit, view)
        if change is not None:
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
