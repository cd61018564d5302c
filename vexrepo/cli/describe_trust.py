"""Known keys and policies in words and in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from vexrepo.cli.output import changed, quiet, removed
from vexrepo.cli.text import iso, plain
from vexrepo.objects.lookalike import deceives, scripts

if TYPE_CHECKING:
    from vexrepo.objects.sources import Ruling
    from vexrepo.objects.trust import KnownKey


class HasName(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """Its name."""


def key_name(name: str) -> str:
    """Return the name of a key; one that could be read as another is said to be written in other letters."""
    return f"{plain(name)} [{', '.join(scripts(name))} letters]" if deceives(name) else plain(name)


def name_width(listed: Iterable[HasName]) -> int:
    """Return how wide a column of names is, within reason."""
    return min(32, max((len(key_name(each.name)) for each in listed), default=0))


def limits(known: KnownKey, now_us: int) -> str:
    """Return what limits a key, "" for none."""
    parts = []
    if known.revoked_us is not None:
        parts.append(removed(f"revoked from {_day(known.revoked_us)} on"))
    if known.valid_from_us is not None:
        text = f"from {_day(known.valid_from_us)}"
        parts.append(changed(text) if known.valid_from_us > now_us else text)
    if known.valid_until_us is not None:
        text = f"until {_day(known.valid_until_us)}"
        parts.append(changed(text) if known.valid_until_us <= now_us else text)
    for what, names in (("", known.namespaces), ("type ", known.components)):
        if names:
            parts.append(f"only {what}{', '.join(plain(name) or '(none)' for name in sorted(names))}")
    return " · ".join(parts)


def _day(time_us: int) -> str:
    text = iso(time_us)
    return text.removesuffix("T00:00:00Z")


def known_lines(known: KnownKey, now_us: int) -> Iterator[str]:
    """Yield everything that is known of a key, one line a fact."""
    facts = [("key", known.key.hex()), ("known since", plain(known.added_at))]
    if known.valid_from_us is not None:
        facts.append(("valid from", iso(known.valid_from_us)))
    if known.valid_until_us is not None:
        facts.append(("valid until", iso(known.valid_until_us)))
    if known.revoked_us is not None:
        reason = f": {plain(known.reason)}" if known.reason else ""
        facts.append(("revoked", f"from {iso(known.revoked_us)} on{reason}"))
    facts.append(("namespaces", ", ".join(plain(n) or "(none)" for n in sorted(known.namespaces)) or "all"))
    facts.append(("memory types", ", ".join(plain(n) or "(none)" for n in sorted(known.components)) or "all"))
    if known.note:
        facts.append(("note", plain(known.note)))
    if known.is_own:
        facts.append(("owner", "you have the private key"))
    for name, value in facts:
        yield f"  {quiet(f'{name:<13}')} {value}"


def known_json(known: KnownKey) -> dict[str, Any]:
    """Return a known key as JSON."""
    revoked = None
    if known.revoked_us is not None:
        revoked = {"from": iso(known.revoked_us), "reason": known.reason or None}
    return {
        "name": known.name,
        "key": known.key.hex(),
        "added_at": known.added_at,
        "valid_from": iso(known.valid_from_us) if known.valid_from_us is not None else None,
        "valid_until": iso(known.valid_until_us) if known.valid_until_us is not None else None,
        "revoked": revoked,
        "namespaces": sorted(known.namespaces),
        "components": sorted(known.components),
        "note": known.note or None,
        "own": known.is_own,
    }


def ruling_words(ruling: Ruling) -> str:
    """Return a policy with why it counts."""
    why = f"set for {plain(ruling.rule)}" if ruling.rule else "trust.policy"
    return f"{ruling.policy.value}  " + quiet(f"({why}, {plain(ruling.origin)})")


def ruling_json(ruling: Ruling) -> dict[str, Any]:
    """Return a policy with why it counts as JSON."""
    return {"policy": ruling.policy.value, "rule": ruling.rule or None, "origin": ruling.origin}
