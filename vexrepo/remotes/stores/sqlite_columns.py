"""Columns of SQLite tables: which JSON values each holds so that they come back as they were.

An ordinary column turns values by its affinity (https://sqlite.org/datatype3.html), one of a STRICT table refuses them;
columns of vec0 tables hold their type and nothing else.  A blob is ``{"$blob": base64}``, as in vektor stores.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from vexrepo.remotes.stores.carry import ABSENT, is_same

Affinity: TypeAlias = Literal["text", "integer", "real", "blob"]
Rule: TypeAlias = Literal["affinity", "strict", "exact"]
BLOB: Final = "$blob"
_NUMBER: Final = re.compile(r"[ \t\n\v\f\r]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\n\v\f\r]*")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its type as declared, and which rule that type is followed by.

    ``exact`` is that of vec0's columns.  ``is_required``: it must not be NULL.  ``default``: an SQL expression.
    """

    name: str
    declared: str
    rule: Rule = "affinity"
    is_required: bool = False
    default: str | None = None

    @property
    def affinity(self) -> Affinity:
        """What its declared type makes of values."""
        return _affinity(self.declared)

    def stored(self, value: Any) -> Any:
        """Return what a JSON value that is written reads as afterwards, ABSENT where it cannot be written."""
        kind = type(value)
        if value is None:
            return ABSENT
        if kind is dict:
            raw = parse_blob(value)
            is_held = raw is not None and (self.rule == "affinity" or self.declared.lower() in ("blob", "any"))
            return value if is_held else ABSENT
        if self.rule == "exact" and self.declared == "boolean":
            return value if kind is bool else ABSENT
        if kind not in (str, int, float) or (kind is int and not -(1 << 63) <= value < 1 << 63):
            return ABSENT
        if kind is str and not _is_text(value):
            return ABSENT
        return self._converted(value, kind)

    def _converted(self, value: Any, kind: type) -> Any:
        affinity, is_loose = self.affinity, self.rule == "affinity"
        if affinity == "blob":
            return value if is_loose or self.declared.lower() == "any" else ABSENT
        if affinity == "text":
            return value if kind is str else ABSENT
        if kind is str:
            return value if is_loose and not _NUMBER.fullmatch(value) else ABSENT
        if affinity == "real":
            return value if self.rule == "exact" else float(value) + 0.0  # −0.0 becomes 0.0
        if kind is float and value.is_integer() and abs(value) < 1 << 63:
            return int(value)
        return value if kind is int or is_loose else ABSENT

    def holds(self, value: Any) -> bool:
        """Whether a JSON value that is written comes back as it was."""
        return is_same(self.stored(value), value)

    def bind(self, value: Any) -> Any:
        """Return what SQLite is given for a value that the column holds."""
        if type(value) is dict:
            return parse_blob(value)
        if self.rule == "exact" and value is not None:
            if self.affinity == "integer":
                return int(value)
            if self.affinity == "real":
                return float(value)
        return value

    def read(self, cell: Any) -> Any:
        """Return the JSON value of a cell that is not NULL."""
        if type(cell) is bytes:
            return {BLOB: base64.b64encode(cell).decode()}
        return bool(cell) if self.rule == "exact" and self.declared == "boolean" else cell

    def filler(self) -> Any:
        """Return what stands for nothing in a column that must not be NULL and has no default."""
        if self.rule == "exact" and self.declared == "boolean":
            return False
        return {"text": "", "integer": 0, "real": 0.0, "blob": {BLOB: ""}}[self.affinity]


def _affinity(declared: str) -> Affinity:
    name = declared.upper()
    if "INT" in name:
        return "integer"
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if not name or "BLOB" in name or name == "ANY":
        return "blob"
    if any(word in name for word in ("REAL", "FLOA", "DOUB")):
        return "real"
    return "integer"  # NUMERIC: the same but for casts


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def parse_blob(value: dict[str, Any]) -> bytes | None:
    """Return the bytes of ``{"$blob": base64}``, None for any other object."""
    text = value.get(BLOB)
    if len(value) != 1 or not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
