"""What a built-in check is: something that looks at changes of memory and says what it found.

A check never changes a record and decides nothing: the gate vetoes where a finding is severe enough.  Contract:
hooks/CONTRACT.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self

from vexrepo.objects.record import Record


class Severity(IntEnum):
    """How much a finding matters: a note is shown, a warning is shown and counted, a veto refuses."""

    NOTE = 1
    WARNING = 2
    VETO = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: where (record and field; empty for the whole batch), by which rule, and why it matters.

    ``message`` never repeats a secret that was found; ``score`` is from 0 to 1 where the rule weighs, else 1.
    """

    check: str
    rule: str
    severity: Severity
    namespace: str
    id: str
    field: str
    message: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """A memory as it is and as it would be: ``before`` None for a learned one, ``after`` None for a forgotten one."""

    key: bytes
    before: Record | None
    after: Record | None


class Check(ABC):
    """A check, with its settings.  One object sees one batch of changes, in any number of calls."""

    name: ClassVar[str]
    meaning: ClassVar[str]  # one line for people
    settings: ClassVar[Mapping[str, Any]] = {}  # name → default, set in the configuration as checks.NAME_SETTING

    @classmethod
    @abstractmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Return the check with settings (missing ones have their defaults).  Raises: UsageError (bad-config)."""

    @abstractmethod
    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """Yield what is found in some of the changes."""

    def finish(self, total: int | None) -> Iterator[Finding]:
        """Yield what can only be said at the end; ``total`` is the number of memories afterwards, where known."""
        return iter(())
