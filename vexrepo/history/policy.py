"""What decides where both sides of a merge changed the same field.

A rule gets the three values and returns one, or UNDECIDED: then the field is in conflict.  Rules are chosen by
field, else by the memory's type, else for the whole merge.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from vexrepo.errors import UsageError
from vexrepo.history.fields import ABSENT, Path, words
from vexrepo.objects.timestamp import time_us

RULES: Final = {
    "fail": "a conflict, for you to resolve",
    "ours": "the value of the current branch",
    "theirs": "the value of the merged branch",
    "newest": "the value of the memory that was changed last (updated_at, else created_at, else the commit's time)",
    "highest-importance": "the value of the memory with the higher importance",
    "union": "of lists of words and of tags: what either side has, less what one took out; of a value that one "
    "side removed and the other changed: the changed one; else a conflict",
    "max": "the larger number; else a conflict",
    "sum": "of counters: what both sides added; else a conflict",
    "by-type": "by memory type: episodic keeps both (union, else newest), semantic fails, procedural takes the newest",
}
_BY_TYPE = {"episodic": ("union", "newest"), "semantic": ("fail",), "procedural": ("newest",)}


class Undecided:
    """The type of UNDECIDED."""

    def __repr__(self) -> str:
        return "undecided"


UNDECIDED: Final = Undecided()
Side = Literal["ours", "theirs"]


@dataclass(frozen=True, slots=True)
class Sides:
    """What rules know of the two versions beside the field itself: their fields and the times of their commits."""

    ours: Mapping[Path, Any]
    theirs: Mapping[Path, Any]
    ours_time_us: int = 0
    theirs_time_us: int = 0
    component: str = ""

    def newest(self) -> Side | None:
        """Return the side that was changed last, None if neither was."""
        ours, theirs = _changed_at(self.ours), _changed_at(self.theirs)
        if ours is None or theirs is None or ours == theirs:
            ours, theirs = self.ours_time_us, self.theirs_time_us
        return None if ours == theirs else "ours" if ours > theirs else "theirs"

    def most_important(self) -> Side | None:
        """Return the side with the higher importance, None if that is neither."""
        ours, theirs = (_importance(each) for each in (self.ours, self.theirs))
        return None if ours == theirs else "ours" if ours > theirs else "theirs"


@dataclass(frozen=True, slots=True)
class Policy:
    """Which rule decides: by field (``metadata.importance``), by memory type, and otherwise."""

    default: str = "fail"
    by_component: Mapping[str, str] = field(default_factory=dict)
    by_field: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for rule in (self.default, *self.by_component.values(), *self.by_field.values()):
            check_rule(rule)

    def decide(self, path: Path, base: Any, ours: Any, theirs: Any, sides: Sides) -> Any:
        """Return the value of a field that both sides changed, or UNDECIDED.  ABSENT stands for no such field."""
        for rule in self._rules(path, sides.component):
            found = _apply(rule, path, base, ours, theirs, sides)
            if found is not UNDECIDED:
                return found
        return UNDECIDED

    def _rules(self, path: Path, component: str) -> tuple[str, ...]:
        rule = self.by_field.get(words(path)) or self.by_component.get(component) or self.default
        return _BY_TYPE.get(component, ("fail",)) if rule == "by-type" else (rule,)


def check_rule(rule: str) -> str:
    """Return a rule's name.  Raises: UsageError (bad-option), with the nearest."""
    if rule in RULES:
        return rule
    near = difflib.get_close_matches(rule, RULES, n=1)
    raise UsageError(
        f"there is no merge rule {rule!r}; known: {', '.join(RULES)}" + (f"; did you mean {near[0]}?" if near else ""),
        code="bad-option",
    )


def _apply(rule: str, path: Path, base: Any, ours: Any, theirs: Any, sides: Sides) -> Any:
    if rule in ("ours", "theirs"):
        return ours if rule == "ours" else theirs
    if rule in ("newest", "highest-importance"):
        side = sides.newest() if rule == "newest" else sides.most_important()
        return UNDECIDED if side is None else ours if side == "ours" else theirs
    if rule == "union":
        return _union(path, base, ours, theirs)
    if rule in ("max", "sum") and _is_number(ours) and _is_number(theirs):
        if rule == "max":
            return max(ours, theirs)
        return ours + theirs - (base if _is_number(base) else 0)
    return UNDECIDED


def _union(path: Path, base: Any, ours: Any, theirs: Any) -> Any:
    if ours is ABSENT or theirs is ABSENT:
        return theirs if ours is ABSENT else ours
    if path[-1:] == ("tags",) and isinstance(ours, str) and isinstance(theirs, str):
        return ",".join(_merged_list(_tags(base), _tags(ours), _tags(theirs)))
    if _is_tags(ours) and _is_tags(theirs):
        return _merged_list(base if _is_tags(base) else [], ours, theirs)
    return UNDECIDED


def _tags(text: Any) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else []


def _merged_list(base: list[Any], ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Return our items less those they took out, then their new ones; equal but for the order both ways round."""
    kept = [item for item in ours if item in theirs or item not in base]
    return kept + [item for item in theirs if item not in ours and item not in base]


def _is_tags(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _changed_at(fields: Mapping[Path, Any]) -> int | None:
    for path in (("metadata", "updated_at"), ("updated_at",), ("created_at",)):
        found = time_us(fields.get(path))
        if found is not None:
            return found
    return None


def _importance(fields: Mapping[Path, Any]) -> float:
    found = fields.get(("metadata", "importance"))
    return float(found) if isinstance(found, (int, float)) and _is_number(found) else float("-inf")
