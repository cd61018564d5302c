"""Events: what is about to happen or has happened, as hooks are told.  Contract: hooks/CONTRACT.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from vexrepo.errors import UsageError
from vexrepo.hooks.check import Finding

EVENTS: Final[dict[str, str]] = {
    "pre-import": "before memory from elsewhere is let in (import, migrate, a foreign file, fetch, pull, clone)",
    "post-import": "after memory from elsewhere was let in",
    "pre-commit": "before a commit is made",
    "post-commit": "after a commit was made",
    "pre-checkout": "before a store is brought to a commit",
    "post-checkout": "after a store was brought to a commit",
    "pre-merge": "before a merge, cherry-pick or revert is committed",
    "pre-push": "before a remote is given what it has not seen",
    "post-push": "after a remote was given something",
}
VERSION: Final = 1


def check_event(name: str) -> str:
    """Return the name of an event.  Raises: UsageError (unknown-event)."""
    if name not in EVENTS:
        raise UsageError(f"there is no event {name!r}; known: {', '.join(EVENTS)}", code="unknown-event")
    return name


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    ``source`` and ``target`` say ``kind`` and ``address`` or ``name``, without secrets.  ``total`` is the number of
    memories afterwards, ``signature`` what is known of who signed, each None where there is none.
    """

    name: str
    source: Mapping[str, str] = field(default_factory=dict)
    target: Mapping[str, str] = field(default_factory=dict)
    branch: str | None = None
    total: int | None = None
    signature: Mapping[str, Any] | None = None

    @property
    def is_vouched_for(self) -> bool:
        """Whether what comes in was signed by somebody known, or sent by one of the user's own remotes."""
        is_signed = self.signature is not None and self.signature.get("verdict") == "good"
        return self.name == "pre-import" and (is_signed or self.source.get("kind") == "remote")

    @property
    def is_before(self) -> bool:
        """Whether it can still be prevented."""
        return self.name.startswith("pre-")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many memories a batch of changes learns, changes and forgets."""

    learned: int = 0
    changed: int = 0
    forgotten: int = 0


def to_line(
    event: Event, repository: Path | None, records: Path, before: Path, counts: Counts, findings: Iterable[Finding]
) -> bytes:
    """Return the line of JSON that a hook reads, its newline included."""
    return orjson.dumps(
        {
            "version": VERSION,
            "event": event.name,
            "repository": str(repository) if repository else None,
            "source": dict(event.source),
            "target": dict(event.target),
            "branch": event.branch,
            "records": str(records),
            "before": str(before),
            "counts": {
                "learned": counts.learned,
                "changed": counts.changed,
                "forgotten": counts.forgotten,
                "total": event.total,
            },
            "signature": dict(event.signature) if event.signature is not None else None,
            "findings": [finding_json(each) for each in findings],
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return the JSON form of a finding."""
    return {
        "check": finding.check,
        "rule": finding.rule,
        "severity": finding.severity.name.lower(),
        "namespace": finding.namespace,
        "id": finding.id,
        "field": finding.field,
        "message": finding.message,
        "score": finding.score,
    }
