"""Where memory comes from, and which of several rules is about a source: the most particular one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from vexrepo.objects.trust import Policy

FILE, REMOTE = "file:", "remote:"


class SourceKind(Enum):
    """What a source is."""

    FILE = "file"
    STORE = "store"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder (``name``: its absolute path with ``/``), a store (its address) or a remote (its name)."""

    kind: SourceKind
    name: str

    @property
    def is_remote(self) -> bool:
        """Whether it is a remote."""
        return self.kind is SourceKind.REMOTE

    def __str__(self) -> str:
        """Return the source as rules name it: ``file:PATH``, ``remote:NAME``, or an address."""
        return {SourceKind.FILE: FILE, SourceKind.STORE: "", SourceKind.REMOTE: REMOTE}[self.kind] + self.name


@dataclass(frozen=True, slots=True)
class Ruling:
    """The policy that counts for a source; ``rule`` is the source that it was set for, "" where it was set for all.

    ``origin`` says where it was set: a file, the environment, ``default``.
    """

    policy: Policy
    rule: str
    origin: str


def covers(rule: str, source: Source) -> bool:
    """Whether a rule is about a source: the same, a folder above a file, the beginning of an address."""
    text = str(source)
    if rule == text:
        return True
    if source.kind is SourceKind.REMOTE or not text.startswith(rule):
        return False
    # Whole parts only: file:/data/mail is not above file:/data/mailbox.
    ends = "/" if source.kind is SourceKind.FILE else "/?"
    return rule.endswith("/") or text[len(rule)] in ends


def most_particular(rules: Iterable[str], source: Source) -> str | None:
    """Return the rule about a source that says most of it, None if none is about it."""
    return max((rule for rule in rules if covers(rule, source)), key=len, default=None)
