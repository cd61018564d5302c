"""``vex validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vexrepo.cli.failures import DONE, FAILED
from vexrepo.cli.options import as_json, example
from vexrepo.cli.output import added, changed, emit, quiet, removed, say
from vexrepo.cli.surroundings import Edge, pass_edge
from vexrepo.cli.text import counted, plain, seconds_words, shorten

if TYPE_CHECKING:
    from vexrepo.exchange.validating import Problem, Report
    from vexrepo.remotes.stores.address import Address

_ID_WIDTH = 40


@click.command(
    epilog=example(
        "vex validate memories.vmig.jsonl",
        "vex validate memories.vmig.jsonl --strict --json",
        "vex validate vektor:agent.db",
    )
)
@click.argument("source", metavar="FILE|STORE")
@click.option("--strict", is_flag=True, help="By the letter of the format: what is a warning otherwise is an error.")
@click.option(
    "--max-errors",
    type=click.IntRange(min=0),
    metavar="N",
    default=20,
    show_default=True,
    help="List at most N errors; all are counted.",
)
@as_json
@pass_edge
def validate(edge: Edge, source: str, strict: bool, max_errors: int, as_json: bool) -> int:
    """Check every record of a file or store against the format.

    Errors are what no vmig tool should have to read, and all that vex would refuse; warnings are what is kept but goes
    beyond the format, such as arrays in metadata.  Exits with 1 if there is an error.
    """
    from vexrepo.exchange.validating import validate as check
    from vexrepo.remotes.stores.jsonl import JsonlStore
    from vexrepo.remotes.stores.registry import open_store

    address = edge.address(source)
    with open_store(address) as store:
        is_file = isinstance(store, JsonlStore)
        total = store.size_bytes if isinstance(store, JsonlStore) else store.describe().count
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done += amount
            edge.progress("checking bytes" if is_file else "checking", done, total)

        report = check(store, strict=strict, limit=max_errors, advance=advance)
    if as_json:
        emit(_report_json(address, report, is_file))
    else:
        _print(edge, report)
    return DONE if report.is_valid else FAILED


def _print(edge: Edge, report: Report) -> None:
    errors = report.total("error")
    for problem in report.errors:
        say(_line(report, removed("error"), problem))
    if errors > len(report.errors):
        by_code = ", ".join(f"{code} {report.counts[code]:,}" for code in report.codes("error"))
        more = "… and " if report.errors else ""
        say(quiet(f"{more}{counted(errors - len(report.errors), 'error')} not listed; all by code: {by_code}"))
    for level, paint in (("warning", changed), ("note", quiet)):
        for code in report.codes(level):
            say(_line(report, paint(level), report.first[code], report.counts[code]))
    parts = [counted(errors, "error")] if errors else []
    warnings = report.total("warning")
    if warnings:
        parts.append(counted(warnings, "warning"))
    verdict = removed("not valid") if errors else added("valid")
    said = f"{verdict}: {counted(report.records, 'record')}" + "".join(f", {part}" for part in parts)
    say(f"{said}{' by the strict reading' if report.strict else ''} {quiet('· ' + seconds_words(edge.elapsed_s()))}")


def _line(report: Report, level: str, problem: Problem, count: int = 1) -> str:
    where = report.where(problem.place) if problem.place >= 0 else ""
    who = f" ({shorten(problem.id, _ID_WIDTH)})" if problem.id else ""
    place = f"{where}{who}: " if where else ""
    times = f" {count:,} times, first" if count > 1 else ""
    return f"{level}{times} {plain(place + problem.message)}" + quiet(f"  [{problem.code}]")


def _report_json(address: Address, report: Report, is_file: bool) -> dict[str, Any]:
    def problem_json(problem: Problem) -> dict[str, Any]:
        place: int | str | None = None
        if problem.place >= 0:
            place = problem.place if is_file else report.where(problem.place)
        return {
            "line" if is_file else "place": place,
            "id": problem.id or None,
            "code": problem.code,
            "message": problem.message,
        }

    def kinds(level: str) -> list[dict[str, Any]]:
        return [{"count": report.counts[code], **problem_json(report.first[code])} for code in report.codes(level)]

    errors = report.total("error")
    return {
        "ok": report.is_valid,
        "store": str(address),
        "strict": report.strict,
        "records": report.records,
        "counts": dict(report.counts.most_common()),
        "error_count": errors,
        "errors": [problem_json(problem) for problem in report.errors],
        "truncated": errors > len(report.errors),
        "warnings": kinds("warning"),
        "notes": kinds("note"),
    }
