"""Store addresses: ``vektor:agent.db``, ``jsonl:file``, ``qdrant://host:6333/collection?key=value``.

An address never holds a secret.  A bare path is understood by its ending.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vexrepo.errors import UsageError

_SCHEME = re.compile(r"^([a-z][a-z0-9_+-]+):(.*)$", re.DOTALL)
SEALED = ".vmig.sealed"  # the ending of a file that is no store: its recipients can make one of it
_ENDINGS = {
    ".vmig.jsonl": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".db": "vektor",
    ".sqlite": "vektor",
    ".sqlite3": "vektor",
    ".parquet": "parquet",
    ".af": "letta",
    ".npz": "numpy",
    ".npy": "numpy",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """How servers are reached: ``proxy`` for a URL, certificates to trust (a PEM file in place of the system's).

    ``timeout_s`` is how long to wait for an answer, ``connect_s`` for a connection to be taken, ``tries`` how often
    what may pass is tried (None: as the connector finds right), ``concurrency`` how many requests may be under way at
    once;
    ``notice`` is told what a person should know of a store that did what it was asked; ``progress`` (what, done, total)
    of long work that a server does alone, maybe from another thread while its caller waits; None: nobody looks.
    ``turns`` is a folder of locks by which this user's writers of one store take turns (None: they do not).
    """

    proxy: Callable[[str], str | None] = field(default=lambda url: None, repr=False)  # may hold a password
    ca_file: Path | None = None
    timeout_s: float = 60.0
    connect_s: float | None = None
    tries: int | None = None
    concurrency: int = 4
    notice: Callable[[str], None] = field(default=lambda text: None, repr=False)
    progress: Callable[[str, int, int | None], None] | None = field(default=None, repr=False)
    turns: Path | None = None

    def connect_within(self, longest_s: float) -> float:
        """Return how long to wait for a connection, where a connector would wait so long."""
        return min(longest_s, self.timeout_s, longest_s if self.connect_s is None else self.connect_s)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is: its kind, a path or ``//host/collection`` location, and options.

    ``secrets`` are asked, by name, for what opens the store, by connectors that say they need it (``Store.secrets``);
    ``reach`` says how to get to servers.  Both are no part of the text.
    """

    kind: str
    location: str
    options: dict[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Callable[[], str]] = field(default_factory=dict, repr=False, compare=False)
    reach: Reach = field(default_factory=Reach, repr=False, compare=False)

    def secret(self, name: str) -> str:
        """Return a secret, "" where there is none."""
        ask = self.secrets.get(name)
        return ask() if ask is not None else ""

    def choice(self, option: str, known: Collection[str]) -> str | None:
        """Return which of some words an option says, None where it says nothing.  Raises: UsageError (bad-address)."""
        found = self.options.get(option)
        if found is not None and found not in known:
            words = f"{self}: {option} is {found!r:.40}, expected one of {', '.join(known)}"
            raise UsageError(words, code="bad-address")
        return found

    def flag(self, option: str) -> bool | None:
        """Return whether an option says 1, not 0; None where it says nothing.  Raises: UsageError (bad-address)."""
        found = self.options.get(option)
        if found not in (None, "0", "1"):
            raise UsageError(f"{self}: {option} is {found!r:.20}, expected 1 or 0", code="bad-address")
        return None if found is None else found == "1"

    def __str__(self) -> str:
        query = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in sorted(self.options.items()))
        location = self.location if self.is_path else self.location.replace("%", "%25").replace("?", "%3F")
        return f"{self.kind}:{location}" + (f"?{query}" if query else "")

    @property
    def is_path(self) -> bool:
        """Whether the location is a path on this machine."""
        return not self.location.startswith("//")

    def under(self, base: str) -> Address:
        """Return the address with a relative path taken as relative to the folder ``base``."""
        if not self.is_path or os.path.isabs(self.location):
            return self
        return replace(self, location=os.path.normpath(os.path.join(base, self.location)))


def _escaped(text: str) -> str:
    """Return an option's name or value so that it is read back as it is; most need nothing."""
    for character in "%&=+#":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def parse_address(text: str) -> Address:
    """Return the address a user wrote.

    Raises: UsageError (bad-address) for an empty text, a secret in it, or a path whose ending says nothing.
    """
    if not text.strip():
        raise UsageError(
            "an empty store address; expected e.g. vektor:agent.db or memory.vmig.jsonl", code="bad-address"
        )
    match = _SCHEME.match(text)
    if match is None or (len(match[1]) == 1):  # one letter: a Windows drive
        for ending, kind in _ENDINGS.items():
            if text.endswith(ending):
                return Address(kind, text)
        if text.endswith(SEALED):
            raise UsageError(
                f"{text} is sealed: open it first with vex unseal {text}; only vex import takes it as it is",
                code="bad-address",
            )
        raise UsageError(
            f"cannot tell what kind of store {text!r} is; write KIND:PATH, e.g. jsonl:{text} or vektor:{text}",
            code="bad-address",
        )
    from urllib.parse import parse_qsl, unquote

    kind, rest = match.groups()
    location, mark, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True)) if mark else {}
    if location.startswith("//"):
        user, at, _ = location[2:].partition("@")
        if at and ":" in user:
            raise UsageError(
                "a password does not belong in a store address; give it in the environment or a key file",
                code="bad-address",
            )
        location = unquote(location)
    if not location:
        raise UsageError(
            f"the address {text!r} names no place; expected {kind}:PATH or {kind}://host/…", code="bad-address"
        )
    return Address(kind, location, options)
