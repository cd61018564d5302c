"""``vex fsck``."""

from __future__ import annotations

import click

from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import added, emit, quiet, removed, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain, size_words
from vexrepo.errors import Tampered


@click.command(epilog=example("vex fsck", "vex fsck --json"))
@click.option("--accept-rollback", is_flag=True, help="The repository was put back on purpose: take it as the newest.")
@as_json
@pass_edge
def fsck(edge: Edge, accept_rollback: bool, as_json: bool) -> int:
    """Read everything and report damage.

    Every pack, object, operation, commit, signature and record is read and checked, and that the repository is not
    older than this machine last saw it.  Exits with 1 if anything is wrong.
    """
    repository = edge.repository(accept_rollback=True)
    rolled_back: Tampered | None = None
    try:
        repository.check_pin()
    except Tampered as error:
        if error.code == "repository-rolled-back":
            rolled_back = error
    total = sum(path.stat().st_size for path in (repository.folder / "packs").glob("*.pack"))
    done = 0

    def advance(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        edge.progress("checking bytes", done, total)

    report = repository.check(advance)
    if rolled_back is not None and accept_rollback and not report.problems:
        repository.accept_rollback()
        report.notes.append("the repository as it is now counts as the newest")
    elif rolled_back is not None:
        report.add(rolled_back)
    if as_json:
        emit(
            {
                "ok": not report.problems,
                "packs": report.packs,
                "objects": report.objects,
                "operations": report.operations,
                "commits": report.commits,
                "records": report.records,
                "size_bytes": report.size_bytes,
                "problems": [{"code": code, "message": message} for code, message in report.problems],
                "notes": report.notes,
            }
        )
        return FAILED if report.problems else DONE
    for code, message in report.problems:
        say(removed("damaged: ") + plain(message) + quiet(f"  [{code}]"))
    for note in report.notes:
        say(f"note: {plain(note)}")
    counts = ", ".join(
        (
            counted(report.packs, "pack"),
            counted(report.objects, "object"),
            counted(report.operations, "operation"),
            counted(report.commits, "commit"),
            f"{counted(report.records, 'version')} of memories ({size_words(report.size_bytes)})",
        )
    )
    verdict = removed(counted(len(report.problems), "problem")) if report.problems else added("all good")
    say(f"checked {counts}: {verdict}")
    return FAILED if report.problems else DONE
