"""Which members of payloads have numbers with a point, for stores that tell 1.0 from 1 where a memory does not.

Whoever looks for ``score > 0.5`` finds in such a store those whose score is a floating-point number, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

_EXACT: Final = 1 << 49  # up to here every parser reads 5.0 as what it says: its digits are below 2^53
_NUMBERS: Final = (int, float)


class NumberKinds:
    """The kinds of numbers that members were seen to have, by name."""

    def __init__(self, floats: Iterable[str] = ()) -> None:
        self._floats = set(floats)
        self._whole: set[str] = set()

    def note(self, payload: Mapping[str, Any]) -> None:
        """Note what one payload has."""
        for name, value in payload.items():
            kind = _kind(value)
            if kind is float:
                self._floats.add(name)
            elif kind is int:
                self._whole.add(name)

    @property
    def floats(self) -> list[str]:
        """The names of members that have floating-point numbers and no whole ones."""
        return sorted(self._floats - self._whole)

    def typed(self, payload: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        """Return a payload whose numbers are of the kind they were before, else of the one that their member has."""
        found = dict(payload)
        for name, value in payload.items():
            if _kind(value) is int and self._is_float(name, before.get(name)):
                found[name] = _float(value)
        return found

    def _is_float(self, name: str, before: Any) -> bool:
        return (_kind(before) or (float if name in self._floats and name not in self._whole else int)) is float


def _kind(value: Any) -> type | None:
    """Return float or int for a number, or a list of numbers; None for anything else.  ``True`` is no number."""
    kinds = set(map(type, value)) if type(value) is list else {type(value)}
    if not kinds or not kinds.issubset(_NUMBERS):
        return None
    return float if float in kinds else int


def _float(value: Any) -> Any:
    if type(value) is list:
        return [_float(each) for each in value] if all(abs(each) <= _EXACT for each in value) else value
    return float(value) if abs(value) <= _EXACT else value
