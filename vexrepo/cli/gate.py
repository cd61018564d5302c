"""What checks and hooks said, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vexrepo.cli.output import changed, quiet, removed, say
from vexrepo.cli.text import counted, plain

if TYPE_CHECKING:
    from vexrepo.errors import Refused
    from vexrepo.hooks.check import Finding
    from vexrepo.hooks.gate import Passed

SHOWN = 10


def findings_of(error: Refused) -> tuple[list[Finding], int]:
    """Return the findings a refusal rests on, and how many more there are."""
    from vexrepo.hooks.gate import Vetoed

    return (error.findings, error.more) if isinstance(error, Vetoed) else ([], 0)


def finding_lines(findings: Sequence[Finding], more: int) -> Iterator[str]:
    """Yield one line a finding, the first few."""
    from vexrepo.hooks.check import Severity

    for finding in findings[:SHOWN]:
        where = "/".join(part for part in (finding.namespace, finding.id) if part)
        place = f"{plain(where)} {plain(finding.field)}".strip()
        colour = removed if finding.severity is Severity.VETO else changed
        score = f" {finding.score:.2f}" if finding.score != 1.0 else ""
        rule = quiet(f"  [{plain(finding.check)}: {plain(finding.rule)}{score}]")
        yield f"  {colour(place) + ': ' if place else ''}{plain(finding.message)}{rule}"
    left = len(findings) - SHOWN + more if len(findings) > SHOWN else more
    if left > 0:
        yield quiet(f"  … and {counted(left, 'more finding')}; --json lists them")


def say_passed(passed: Passed) -> None:
    """Print what checks and hooks said of something they let pass, or could not prevent."""
    for line in finding_lines(passed.findings, passed.more):
        say(line, err=True)
    for ran in passed.ran:
        for line in ran.output.rstrip().splitlines():
            say(quiet(f"{ran.name}: ") + plain(line), err=True)
        if ran.dropped_bytes:
            say(quiet(f"{ran.name}: {ran.dropped_bytes:,} bytes in the middle were not kept"), err=True)
        if not ran.allows:
            say(changed(f"the hook {ran.name} failed: ") + plain(ran.reason.splitlines()[-1]), err=True)
