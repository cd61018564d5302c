"""What a built-in check is: something that looks at changes of memory and says what it found.

A check never changes a record and decides nothing: the gate vetoes where a finding is severe enough.  Contract:
hooks/CONTRACT.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar, Self

from vexrepo.config import Setting
from vexrepo.errors import UsageError
from vexrepo.hooks.surrounding import Surrounding
from vexrepo.hooks.texts import Text, strings_of, texts_of
from vexrepo.objects.record import Record, split_key


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


@dataclass(frozen=True)
class Change:
    """A memory as it is and as it would be: ``before`` None for a learned one, ``after`` None for a forgotten one."""

    key: bytes
    before: Record | None
    after: Record | None

    @property
    def name(self) -> tuple[str, str]:
        """The memory's namespace and id."""
        return split_key(self.key)

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """Every text of the memory as it would be; several checks look at them."""
        return () if self.after is None else texts_of(self.after)

    @cached_property
    def strings(self) -> list[str]:
        """The strings of ``texts`` alone, which are had in a third of the time."""
        return [] if self.after is None else strings_of(self.after)


class Check(ABC):
    """A check, with its settings.  One object sees one batch of changes, in any number of calls."""

    name: ClassVar[str]  # [a-z][a-z0-9-]*
    meaning: ClassVar[str]  # one line for people
    settings: ClassVar[Mapping[str, Setting]] = {}  # by name; in the configuration as checks.CHECK_NAME

    @classmethod
    @abstractmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Return the check with settings (missing ones have their defaults).  Raises: UsageError (bad-config)."""

    def enter(self, surrounding: Surrounding) -> None:  # noqa: B027 - most checks need not know
        """Take note of the memory that the changes enter, as it is before them.  Called first, where it is known."""

    @abstractmethod
    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """Yield what is found in some of the changes."""

    def finish(self, total: int | None) -> Iterator[Finding]:
        """Yield what can only be said at the end; ``total`` is the number of memories afterwards, where known."""
        return iter(())

    @classmethod
    def complete(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with the defaults of those that are missing.  Raises: UsageError (bad-config)."""
        for name, value in settings.items():
            known = cls.settings.get(name)
            if known is None:
                raise UsageError(
                    f"the check {cls.name} has no setting {name!r}; known: {', '.join(cls.settings) or 'none'}",
                    code="bad-config",
                )
            if type(value) is not known.kind and not (known.kind is float and type(value) is int):
                raise UsageError(
                    f"checks.{cls.name}_{name} must be a {known.kind.__name__}, got {value!r:.40}", code="bad-config"
                )
        return {name: setting.default for name, setting in cls.settings.items()} | dict(settings)

    @classmethod
    def severity_of(cls, settings: Mapping[str, Any], name: str) -> Severity:
        """Return the severity that a setting names.  Raises: UsageError (bad-config)."""
        try:
            return Severity[settings[name].upper()]
        except KeyError:
            raise UsageError(
                f"checks.{cls.name}_{name} must be veto, warning or note, got {settings[name]!r:.40}",
                code="bad-config",
            ) from None

    @classmethod
    def share_of(cls, settings: Mapping[str, Any], name: str) -> float:
        """Return a setting that is from 0 to 1.  Raises: UsageError (bad-config)."""
        value = float(settings[name])
        if not 0 <= value <= 1:
            raise UsageError(f"checks.{cls.name}_{name} must be from 0 to 1, got {value:g}", code="bad-config")
        return value
