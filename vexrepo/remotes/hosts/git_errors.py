"""Errors of Git hosts: what a host's own words mean, and words that are safe to show."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from vexrepo.errors import HostError
from vexrepo.remotes.answer import safe_words

MOST_WORDS: Final = 600  # characters of a host's own words that are shown
_COLOUR: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TOO_LARGE: Final = re.compile(
    r"exceed\w* .{0,40}(limit|size)|(too|is) (large|big)\b|larger than|maximum (allowed )?(file |push |pack )?size|"
    r"quota|GH001",
    re.IGNORECASE,
)
_SIZE: Final = re.compile(
    r"(?:limit|maximum|max|than|exceeds? the)\D{0,40}?(\d[\d.,]* ?(?:bytes|[KMGT]i?B?)\b)", re.IGNORECASE
)
_RACE: Final = re.compile(r"lock|but expected|already exists|failed to update ref|fetch first|stale", re.IGNORECASE)


class Unreachable(HostError):
    """A host cannot be reached now.  ``again``: whether to try once more is worth it; ``after_s``: when it asked to."""

    def __init__(
        self, message: str, *, again: bool = True, after_s: float | None = None, code: str = "host-unreachable"
    ) -> None:
        super().__init__(message, code=code)
        self.again = again
        self.after_s = after_s


class Spoken(HostError):
    """A host's own words, sent where an answer was due."""


def clean(words: bytes | str, secrets: Collection[str] = ()) -> str:
    """Return a host's words fit to be shown: one line, no control characters, no secret that it echoes, not long."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    lines = (line.strip().removeprefix("remote:").strip() for line in re.split(r"[\r\n]+", _COLOUR.sub("", text)))
    return safe_words("; ".join(line for line in lines if line), secrets, MOST_WORDS)


def is_race(words: str) -> bool:
    """Return whether a refused ref may have been refused because another writer is at it."""
    return bool(_RACE.search(words))


def is_cut_off(words: str) -> bool:
    """Return whether a host could not unpack a push because its end did not come."""
    return bool(re.search(r"early EOF|unexpected disconnect", words, re.IGNORECASE))


def limit_error(where: str, words: str) -> HostError:
    """Return the error of a push that a host found too large."""
    size = _SIZE.search(words)
    return HostError(
        f"{where} does not take a file or push of that size{f' (its limit: {size[1]})' if size else ''}: {words}; "
        "nothing was published: push less at once, or make room at the host",
        code="host-limit",
    )


def refusal(where: str, words: str) -> HostError:
    """Return the error of a push that a host refused, by its words (host-limit, host-refused)."""
    if _TOO_LARGE.search(words):
        return limit_error(where, words)
    hint = ""
    if re.search(r"protected branch|force.push|non-fast-forward|denyNonFastForwards", words, re.IGNORECASE):
        hint = "; allow forced pushes to its branch main, if the host's history is to be replaced"
    return HostError(
        f"{where} refused: {words or 'without a reason'}; nothing was published{hint}", code="host-refused"
    )


def spoken(where: str, words: str) -> HostError:
    """Return the error that a host's words, sent instead of an answer, stand for."""
    low = words.lower()
    if re.search(
        r"not found|does not exist|does not appear to be a git repo|no such|not exported|could not be found", low
    ):
        return Spoken(
            f"no repository at {where}, or none that this account may see: {words}; create it, or look at the address",
            code="host-missing",
        )
    if re.search(r"denied|not allowed|unauthori[sz]ed|forbidden|authenticat|permission|read.only|not permitted", low):
        return Spoken(f"{where} refused: {words}", code="host-refused")
    if _TOO_LARGE.search(words):
        return limit_error(where, words)
    return Spoken(f"{where} gave up: {words}", code="host-answer")
