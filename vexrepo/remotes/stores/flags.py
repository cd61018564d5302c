"""Stores named by a kind and flags, as the original tool does: ``--from vektor --db agent.db``.

A connector's flags are listed here and nowhere else, so that each command knows them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from vexrepo.errors import UsageError
from vexrepo.remotes.stores.address import Address

Side: TypeAlias = Literal["source", "target"]


@dataclass(frozen=True, slots=True)
class KindFlags:
    """How a kind of store is named by flags.

    ``source`` and ``target`` are flags that give the location, the first one given counts; ``options`` are flags that
    become options of a target's address, ``source_options`` of a source's; ``environment`` are variables for what no
    flag gives.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source_options: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Return all the flags of this kind."""
        return (*self.source, *self.target, *self.options, *self.source_options)


KINDS: Final[dict[str, KindFlags]] = {
    "jsonl": KindFlags(("in", "file"), ("out", "output")),
    "vektor": KindFlags(
        ("db",),
        ("db", "out"),
        {"agent-id": "agent_id"},
        {"location": ("VEKTOR_DB", "VEKTOR_DB_PATH"), "agent-id": ("VEKTOR_AGENT_ID",)},
    ),
    "vex-backup": KindFlags(("file", "in"), (), source_options={"machine-id": "machine_id"}),
}


# What the flags are called to a user: name, what stands for the value, help.  Commands make their options from these.
FLAGS: Final[tuple[tuple[str, str, str], ...]] = (
    ("db", "FILE", "The vektor database."),
    ("in", "FILE", "The source, for --from jsonl."),
    ("file", "FILE", "The source, for --from jsonl or vex-backup."),
    ("out", "PATH", "The target: a file, or a vektor database."),
    ("agent-id", "ID", "The agent whose rows new ones are, in a vektor database."),
    ("machine-id", "ID", "The machine a vex-backup was made on (default: this one)."),
)


class GivenFlags:
    """The flags of one command line; each is used once, and ``check_used`` refuses those nobody wanted."""

    def __init__(self, given: Mapping[str, str | None], environ: Mapping[str, str]) -> None:
        self._left = {name: value for name, value in given.items() if value is not None}
        self._environ = environ

    def address(self, kind: str, side: Side) -> Address:
        """Return the address of a store of a kind that flags give.  Raises: UsageError (bad-address)."""
        known = KINDS.get(kind)
        names = (known.source if side == "source" else known.target) if known else ()
        location = self._take(names)
        if location is None and known is not None:
            location = self._variable(known.environment.get("location", ()))
        if location is None:
            flag = f"give it with --{names[0]}, or " if names else ""
            raise UsageError(f"which {kind} store?  {flag}name it as an address, e.g. {kind}:PATH", code="bad-address")
        return Address(kind, location)

    def with_options(self, address: Address, side: Side) -> Address:
        """Return a source's or target's address with the options that flags and environment give."""
        known = KINDS.get(address.kind)
        options = dict(address.options)
        wanted = (known.options if side == "target" else known.source_options) if known else {}
        for flag, option in wanted.items():
            value = self._take((flag,))
            if value is None and option not in options and known is not None:
                value = self._variable(known.environment.get(flag, ()))
            if value is not None:
                options[option] = value
        return replace(address, options=options)

    def check_used(self) -> None:
        """Raise UsageError (bad-option) for a flag that fits neither store."""
        for name in self._left:
            kinds = [kind for kind, known in KINDS.items() if name in known.names()]
            raise UsageError(
                f"--{name} does not apply to these stores; it is for {', '.join(kinds) or 'none'}", code="bad-option"
            )

    def _take(self, names: tuple[str, ...]) -> str | None:
        for name in names:
            if name in self._left:
                return self._left.pop(name)
        return None

    def _variable(self, names: tuple[str, ...]) -> str | None:
        return next((self._environ[name] for name in names if self._environ.get(name)), None)
