"""``vex backfill``."""

from __future__ import annotations

import click

from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import emit, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain


@click.command(
    epilog=example("vex backfill agent.db", "vex backfill --db agent.db --dims 768", "vex backfill agent.db --dry-run")
)
@click.argument("store", required=False, metavar="[FILE|STORE]")
@click.option("--db", metavar="FILE", help="The vektor database, as the original tool has it.")
@click.option("--dims", type=click.IntRange(min=1), metavar="N", help="Of a new table (default: of most vectors).")
@click.option("-n", "--dry-run", is_flag=True, help="Say what is missing, write nothing.")
@as_json
@pass_edge
def backfill(edge: Edge, store: str | None, db: str | None, dims: int | None, dry_run: bool, as_json: bool) -> None:
    """Let agents find nearest memories in a database by sqlite-vec.

    The table memories_vec of a VEKTOR database is made where it is missing and brought in step with the memories, in
    one transaction: what is there and right stays.  Writes of vex keep it in step by themselves.  Needs: pip install
    'vexrepo[sqlite-vec]'.
    """
    from vexrepo.errors import UsageError
    from vexrepo.remotes.stores import vektor_nearest
    from vexrepo.remotes.stores.address import parse_address
    from vexrepo.remotes.stores.vektor import VektorStore

    if (store is None) == (db is None):
        raise click.UsageError("which database?  name it: vex backfill agent.db")
    address = parse_address(store if store is not None else f"vektor:{db}")
    if address.kind != VektorStore.kind:
        raise UsageError(f"{address}: expected a vektor database; it is for those only", code="bad-address")
    done = vektor_nearest.backfill(address.location, VektorStore.busy_timeout_s, dims=dims, dry_run=dry_run)
    if as_json:
        emit(
            {
                "store": str(address),
                "table": vektor_nearest.TABLE,
                "dims": done.dims,
                "made": done.is_new,
                "added": done.added,
                "replaced": done.replaced,
                "removed": done.removed,
                "other_dims": done.others,
                "dry_run": dry_run,
            }
        )
        return
    name = f"{vektor_nearest.TABLE} of {plain(address.location)}"
    made = ("would be made, " if dry_run else "made, ") if done.is_new else ""
    if not done.changes and not done.is_new:
        say(f"{name}: in step, {done.dims} dims")
    else:
        verb = "would be " if dry_run else ""
        say(
            f"{name}: {made}{done.dims} dims · {verb}added {done.added}, replaced {done.replaced}, "
            f"removed {done.removed}"
        )
    if done.others:
        say(f"  {counted(done.others, 'vector')} of other dimensions left out")
