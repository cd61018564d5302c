"""The gate: checks and hooks look at changes before they count, and any of them can refuse.

Integrity and signatures are judged by those who read the data, before they come here.  Contract: hooks/CONTRACT.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vexrepo.errors import Refused
from vexrepo.formats import vmig
from vexrepo.hooks import event as events
from vexrepo.hooks.check import Change, Check, Finding, Severity
from vexrepo.hooks.event import Counts, Event
from vexrepo.hooks.folder import HookFolder
from vexrepo.hooks.runner import Ran, environment_for, run_hook
from vexrepo.hooks.surrounding import NOTHING_KNOWN, Surrounding
from vexrepo.storage.files import wrapped

BATCH: Final = 500
KEPT: Final = 200  # findings that are kept whole; the rest is counted
TIMEOUT_S: Final = 30.0

Changes = Callable[[], Iterable[Change]]
ReadSurrounding = Callable[[str], Surrounding]  # the memory that an event changes, as far as it is known
MakeChecks = Callable[[str], Sequence[Check]]  # the checks of an event, new ones each time
Scratch = Callable[[], contextlib.AbstractContextManager[Path]]


class Vetoed(Refused):
    """A check or hook refused.  ``findings`` are those of the checks, ``more`` how many are not among them."""

    def __init__(self, message: str, *, code: str, event: str, findings: Sequence[Finding] = (), more: int = 0) -> None:
        super().__init__(message, code=code)
        self.event = event
        self.findings = list(findings)
        self.more = more


@dataclass(slots=True)
class Passed:
    """What was seen on the way through: findings that refuse nothing, what hooks wrote."""

    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    ran: list[Ran] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands at the events of one repository, or of none.

    ``checks`` makes the checks of an event, ``surrounding`` reads what they may know of the memory it changes.
    ``hooks`` are the programs (None: none), run in ``folder`` with ``environ``; ``scratch`` gives a folder for the
    files they are shown.  ``spares_vouched``: checks do not look at what somebody known signed, or a remote sent.
    """

    checks: MakeChecks = lambda event: ()
    hooks: HookFolder | None = None
    folder: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = TIMEOUT_S
    scratch: Scratch | None = None
    surrounding: ReadSurrounding = lambda event: NOTHING_KNOWN
    spares_vouched: bool = False

    def is_watched(self, name: str) -> bool:
        """Whether anything stands at an event; where nothing does, changes need not be made."""
        return bool(self._programs(name)) or bool(self.checks(name))

    def _programs(self, name: str) -> list[Path]:
        return [hook.path for hook in self.hooks.hooks(name) if hook.is_on] if self.hooks is not None else []

    def pass_through(self, event: Event, changes: Changes) -> Passed:
        """Show changes to the checks and hooks of a pre- event.

        Raises: Vetoed (check-veto, hook-veto, hook-timeout, hook-not-runnable).
        """
        passed = Passed()
        checks = () if self.spares_vouched and event.is_vouched_for else self.checks(event.name)
        if checks:
            around = self.surrounding(event.name)
            for check in checks:
                check.enter(around)
            _look(event, checks, changes, passed)
        programs = self._programs(event.name)
        if programs:
            for ran in self._run(event, programs, changes, passed):
                if not ran.allows:
                    raise Vetoed(
                        f"the hook {ran.name} refused: {' / '.join(ran.reason.splitlines())}",
                        code=ran.code,
                        event=event.name,
                        findings=passed.findings,
                        more=passed.more,
                    )
        return passed

    def tell(self, event: Event, changes: Changes) -> Passed:
        """Tell the hooks of a post- event; none of them can change anything any more."""
        passed = Passed()
        programs = self._programs(event.name)
        if programs:
            for _ in self._run(event, programs, changes, passed):
                pass
        return passed

    def _run(self, event: Event, programs: Sequence[Path], changes: Changes, passed: Passed) -> Iterator[Ran]:
        assert self.scratch is not None and self.folder is not None
        environ = environment_for(self.environ, event.name)
        with self.scratch() as scratch:
            folder, scratch = self.folder.absolute(), scratch.absolute()  # a hook may go elsewhere
            records, before = scratch / "records.vmig.jsonl", scratch / "before.vmig.jsonl"
            passed.counts = _write(changes(), records, before)
            for program in programs:
                line = events.to_line(event, folder, records, before, passed.counts, passed.findings)
                ran = run_hook(program, line, folder, environ, self.timeout_s)
                passed.ran.append(ran)
                yield ran


def _look(event: Event, checks: Sequence[Check], changes: Changes, passed: Passed) -> None:
    """Let checks see all changes.  Raises: Vetoed (check-veto)."""
    vetoes: list[Finding] = []
    vetoed = 0

    def take(found: Iterable[Finding]) -> None:
        nonlocal vetoed
        for finding in found:
            kept = vetoes if finding.severity is Severity.VETO else passed.findings
            vetoed += finding.severity is Severity.VETO
            if len(kept) < KEPT:
                kept.append(finding)
            else:
                passed.more += 1

    for batch in _batches(changes()):
        for check in checks:
            take(check.look(batch))
    for check in checks:
        take(check.finish(event.total))
    if vetoes:
        memories = len({(each.namespace, each.id) for each in vetoes})
        rules = sorted({f"{each.check}: {each.rule}" for each in vetoes})
        shown = ", ".join(rules[:4]) + (" …" if len(rules) > 4 else "")
        raise Vetoed(
            f"{vetoed} {'finding refuses' if vetoed == 1 else 'findings refuse'} this, in {memories} "
            f"{'memory' if memories == 1 else 'memories'} ({shown}); first: {vetoes[0].message}",
            code="check-veto",
            event=event.name,
            findings=[*vetoes, *passed.findings],
            more=passed.more,
        )


def _batches(changes: Iterable[Change]) -> Iterator[list[Change]]:
    batch: list[Change] = []
    for change in changes:
        batch.append(change)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(changes: Iterable[Change], records: Path, before: Path) -> Counts:
    """Write the files that hooks are shown, and count."""
    learned = changed = forgotten = 0
    with wrapped("write", records), open(records, "wb") as new, open(before, "wb") as old:
        for change in changes:
            learned += change.before is None
            forgotten += change.after is None
            changed += change.before is not None and change.after is not None
            for file, record in ((new, change.after), (old, change.before)):
                if record is not None:
                    file.write(vmig.format_record(record) + b"\n")
    return Counts(learned, changed, forgotten)
