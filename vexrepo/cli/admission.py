"""The gate at the command line: who decides about what comes in, and where what was refused is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vexrepo.cli.surroundings import Edge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vexrepo.errors import Refused
    from vexrepo.exchange.admission import Guard
    from vexrepo.exchange.request import Request
    from vexrepo.hooks.check import Change
    from vexrepo.hooks.event import Event
    from vexrepo.hooks.quarantine import Quarantine
    from vexrepo.objects.record import Record
    from vexrepo.remotes.stores.address import Address


def guard_for(edge: Edge, source: Address, policy: str | None, grant_file: str | None = None) -> Guard:
    """Return who decides about what comes from a store: the repository around, or else the user's settings.

    A grant adds its holder's key to those that are trusted, for what it covers.

    Raises: UsageError (bad-policy), InvalidData (grant-…), Refused (no-verify-refused), Tampered for a repository
    around that is damaged.
    """
    from vexrepo.cli.policies import ruling, store_source
    from vexrepo.config import AUTO
    from vexrepo.exchange.admission import Guard
    from vexrepo.hooks.gate import Gate
    from vexrepo.hooks.surrounding import NOTHING_KNOWN
    from vexrepo.objects.trust import parse_policy

    if edge.find() is not None:
        repository = edge.repository(trusts=True)
        around = repository.around
        # The memory that changes is that of the store which is written, not the repository's.
        gate = replace(repository.gate(), surrounding=lambda event: NOTHING_KNOWN)
    else:
        config = edge.config(None)
        edge.check_verify(config)
        around = edge.surroundings(config, trusts=True)
        gate = Gate(around.checks, spares_vouched=config["checks.foreign"] == AUTO) if around.verify else Gate()
    total = done = 0

    def advance(amount: int) -> None:
        nonlocal done
        done += amount
        edge.progress("verifying bytes", done, total or None)

    if policy is not None:
        chosen = parse_policy(policy, "--policy")
    else:
        folder = edge.find()
        chosen = ruling(store_source(source), edge.config(folder), folder).policy
    trust = around.trust
    if grant_file is not None:
        from vexrepo.cli.sharing import trust_by_grant

        trust = trust_by_grant(edge, grant_file, trust)
    return Guard(trust, edge.now_us(), chosen, gate, around.heard, advance, source)


def quarantine_of(edge: Edge) -> Quarantine:
    """Return the quarantine of the repository around, or else the user's."""
    from vexrepo.hooks.quarantine import Quarantine
    from vexrepo.storage.files import Files

    folder = edge.find() or edge.state_folder
    return Quarantine(folder / "quarantine", Files())


def keep_apart(edge: Edge, error: Refused, source: Address, target: Address, request: Request, place: Address) -> None:
    """Keep what was refused in quarantine, and say how to look at it.  What cannot be read stays where it is.

    ``place`` is where people are told that it came from.
    """
    from dataclasses import replace

    from vexrepo.exchange.transfer import iter_incoming

    of, to = ({"kind": each.kind, "address": str(each)} for each in (place, target))
    records = iter_incoming(source, replace(request, skip_problems=True))
    _keep(edge, error, "pre-import", of, to, records)


def keep_changes(edge: Edge, error: Refused, event: Event, changes: Iterable[Change]) -> None:
    """Keep what changes would have brought in quarantine, and say how to look at it."""
    records = (change.after for change in changes if change.after is not None)
    _keep(edge, error, event.name, event.source, event.target, records)


def _keep(
    edge: Edge,
    error: Refused,
    event: str,
    source: Mapping[str, str],
    target: Mapping[str, str],
    records: Iterable[Record],
) -> None:
    from vexrepo.cli.gate import findings_of
    from vexrepo.cli.output import say
    from vexrepo.cli.text import memories
    from vexrepo.hooks.event import finding_json
    from vexrepo.hooks.quarantine import Report

    findings, _ = findings_of(error)
    listed = [finding_json(each) for each in findings]
    report = Report(edge.now_us(), event, source, target, error.code, str(error), None, listed)
    kept = quarantine_of(edge).keep(report, records)
    say(f"kept apart: {memories(kept.records)}; look with vex quarantine show {kept.number}", err=True)
