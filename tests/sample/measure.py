"""Measures the checks with the labelled sample and writes the tables of docs/explanation/checks.md.

    python -m tests.sample.measure [--write] [--misses CHECK]

A memory counts as found where the check has a warning or veto for it.  Precision is over memories labelled for the
check and ordinary ones; a memory labelled for another check counts for neither.  So for batches, of those checks that
look at what comes in together.
"""

from __future__ import annotations

import argparse
import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sample.batches import read_batches
from tests.sample.loading import PARTS, read_part
from vexrepo.hooks.check import Severity
from vexrepo.hooks.registry import make_check

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "checks.md"
START, END = "<!-- measured by tests/sample/measure.py -->\n", "<!-- end -->\n"
MEASURED = ("secrets", "injection", "pii")
MEASURED_BY_BATCH = ("schema", "drift")


@dataclass(slots=True)
class Figures:
    """How a check did on one part of the sample; ``refused`` count vetoes only."""

    found: int = 0
    missed: int = 0
    false: int = 0
    ordinary: int = 0
    refused: int = 0
    refused_false: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)  # of what was missed, and of false findings

    @property
    def precision(self) -> float:
        """The share of right ones among what was found."""
        return self.found / max(self.found + self.false, 1)

    @property
    def recall(self) -> float:
        """The share of what should be found that was."""
        return self.found / max(self.found + self.missed, 1)


def measure(part: str, name: str, settings: Mapping[str, Any] | None = None) -> Figures:
    """Return how a check does on a part of the sample."""
    figures = Figures()
    for sample in read_part(part):
        severities = [each.severity for each in make_check(name, settings or {}).look([sample.change])]
        worst = max(severities, default=Severity.NOTE)
        is_found, is_refused = worst >= Severity.WARNING, worst is Severity.VETO
        if sample.check == name:
            figures.found += is_found
            figures.missed += not is_found
            figures.refused += is_refused
            figures.by_kind[f"{sample.kind} {'found' if is_found else 'missed'}"] += 1
        elif not sample.check:
            figures.ordinary += 1
            figures.false += is_found
            figures.refused_false += is_refused
        if (sample.check == name) != is_found and sample.check in (name, ""):
            figures.places.append(sample.place)
    return figures


@functools.cache
def measure_batches(name: str) -> Figures:
    """Return how a check does on the labelled batches."""
    figures = Figures()
    for number, batch in enumerate(read_batches()):
        if batch.check not in (name, ""):
            continue
        check = make_check(name, {})
        check.enter(batch.around)
        severities = [each.severity for each in (*check.look(batch.changes), *check.finish(None))]
        is_found = max(severities, default=Severity.NOTE) >= Severity.WARNING
        if batch.check:
            figures.found += is_found
            figures.missed += not is_found
            figures.by_kind[f"{batch.kind} {'found' if is_found else 'missed'}"] += 1
        else:
            figures.ordinary += 1
            figures.false += is_found
        if bool(batch.check) != is_found:
            figures.places.append(f"batch {number}: {batch.kind}")
    return figures


def table() -> str:
    """Return the tables of all figures, in Markdown."""
    lines = [
        "| check | part | should be found | found | ordinary memories | falsely found | precision | recall | refused |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in MEASURED:
        for part in PARTS:
            got = measure(part, name)
            refused = f"{got.refused} and {got.refused_false} falsely"
            lines.append(
                f"| `{name}` | {part.replace('_', ' ')} | {got.found + got.missed} | {got.found} | {got.ordinary} "
                f"| {got.false} | {got.precision:.3f} | {got.recall:.3f} | {refused} |"
            )
    lines += [
        "",
        "| check | batches that should be found | found | ordinary batches | falsely found | precision | recall |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in MEASURED_BY_BATCH:
        got = measure_batches(name)
        lines.append(
            f"| `{name}` | {got.found + got.missed} | {got.found} | {got.ordinary} | {got.false} | {got.precision:.3f} "
            f"| {got.recall:.3f} |"
        )
    return "\n".join(lines) + "\n"


def page_with(text: str, table_text: str) -> str:
    """Return the page with the table in its place."""
    before, rest = text.split(START)
    return before + START + "\n" + table_text + "\n" + END + rest.split(END)[1]


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables into docs/explanation/checks.md")
    parser.add_argument("--misses", metavar="CHECK", help="where a check is wrong, in the tuned part or the batches")
    given = parser.parse_args()
    if given.misses:
        of_batches = given.misses in MEASURED_BY_BATCH
        got = measure_batches(given.misses) if of_batches else measure("tuned", given.misses)
        print("\n".join(got.places))
        return
    found = table()
    print(found)
    if given.write:
        PAGE.write_text(page_with(PAGE.read_text("utf-8"), found), "utf-8")


if __name__ == "__main__":
    main()
