"""``vex gc``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, quiet, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, size_words

if TYPE_CHECKING:
    from vexrepo.repository import Repository
    from vexrepo.repository.collect import Collected


@click.command(epilog=example("vex gc --dry-run", "vex gc", "vex gc --keep-days 0 --full"))
@click.option("--keep-days", type=click.FloatRange(min=0), metavar="N", help="Keep what undo needs for so long.")
@click.option("--full", is_flag=True, help="Write everything into one pack.")
@click.option("--auto", is_flag=True, help="Only join packs, and only if there are many.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be freed; change nothing.")
@as_json
@pass_edge
def gc(edge: Edge, keep_days: float | None, full: bool, auto: bool, dry_run: bool, as_json: bool) -> None:
    """Join packs, remove what nothing needs.

    Kept is what branches, tags and stores need, and what the operations of the last days need (gc.keep_days), so
    that vex undo works.  Safe to stop at any moment.
    """
    from vexrepo.repository.collect import collect

    repository = edge.repository()
    if auto and not is_due(repository):
        if as_json:
            emit({"due": False})
        return
    days = repository.config["gc.keep_days"] if keep_days is None else keep_days
    done = collect(repository, keep_days=days, full=full, prune=not auto, dry_run=dry_run)
    if as_json:
        emit(_as_json(done, dry_run))
        return
    would = "would join" if dry_run else "joined"
    if done.packs_before == done.packs_after and not done.freed_bytes:
        say(f"nothing to do: {counted(done.packs_after, 'pack')}, {size_words(done.size_after)}")
        return
    packs = f"{would} {counted(done.packs_before, 'pack')} into {done.packs_after}"
    sizes = f"{size_words(done.size_before)} → {size_words(done.size_after)}"
    say(f"{packs} · {counted(done.objects_removed, 'object')} removed · {sizes}")
    if done.objects_removed:
        say(quiet(f"  what operations before #{done.horizon} alone needed {'would be' if dry_run else 'is'} gone"))


def is_due(repository: Repository) -> bool:
    """Whether there are so many packs that joining them pays."""
    return bool(repository.config["gc.auto"]) and len(repository.objects.packs) > repository.config["gc.auto_packs"]


def after_commit(repository: Repository) -> Collected | None:
    """Join packs if there are many; a failure is no failure of the commit, which stands."""
    from vexrepo.errors import VexError
    from vexrepo.repository.collect import collect

    if not is_due(repository):
        return None
    try:
        return collect(repository, prune=False)
    except VexError:
        return None


def _as_json(done: Collected, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "packs_before": done.packs_before,
        "packs_after": done.packs_after,
        "size_before": done.size_before,
        "size_after": done.size_after,
        "freed_bytes": done.freed_bytes,
        "objects_removed": done.objects_removed,
        "horizon": done.horizon,
    }
