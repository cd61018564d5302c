"""Columns of a table by their PostgreSQL type: which JSON values each holds so that they come back as they were.

Values go to the server as JSON and are read as JSON: ``to_jsonb`` of a column, and ``jsonb_populate_record``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from vexrepo.objects.timestamp import time_us
from vexrepo.remotes.stores.capabilities import IdForm, is_uuid

if TYPE_CHECKING:
    from psycopg import sql

_EXACT_FLOAT: Final = 1e21  # from here on whole numbers are printed with an exponent, which jsonb does not keep
_MAX_DEPTH: Final = 6  # of PostgreSQL's arrays
_LIMITS: Final = {"smallint": 1 << 15, "integer": 1 << 31, "bigint": 1 << 63}
_VECTOR = re.compile(r"(vector|halfvec|sparsevec)(?:\((\d+)\))?")
_SIZED = re.compile(r"(character varying|character|numeric)\((\d+)(?:,(-?\d+))?\)")
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{0,5}[1-9])?(\+00:00)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INFINITE: Final = frozenset(("NaN", "Infinity", "-Infinity"))


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type as ``format_type`` says it, whether it must not be NULL, and what it is if nothing says.

    ``is_made``: the server makes its values itself.  ``default`` is an SQL expression.  ``is_foreign``: of a type that
    somebody made.  ``base``: what a domain is one over.
    """

    name: str
    type: str
    is_required: bool = False
    is_made: bool = False
    default: str | None = None
    labels: tuple[str, ...] = ()  # of an enumeration
    is_foreign: bool = False
    base: str | None = None

    @property
    def vector(self) -> tuple[str, int] | None:
        """For a vector its type and dims (0: any); None for another column."""
        match = _VECTOR.fullmatch(self.type)
        return (match[1], int(match[2] or 0)) if match else None

    @property
    def is_numbered(self) -> bool:
        """Whether the server has a sequence of numbers for it."""
        return (self.default or "").removeprefix("pg_catalog.").startswith("nextval(")

    @property
    def is_json(self) -> bool:
        """Whether it holds JSON."""
        return self.type in ("jsonb", "json")

    @property
    def is_text(self) -> bool:
        """Whether it holds text of any form."""
        return self.type == "text" or self.type.startswith("character varying")

    @property
    def id_form(self) -> IdForm:
        """Which ids it holds."""
        if self.type == "uuid":
            return "uuid only"
        return "number" if self.type in _LIMITS else "text"

    @property
    def takes_any_id(self) -> bool:
        """Whether it takes every id that is made for a record that cannot have its own."""
        return self.type in ("uuid", "bigint", "text", "character varying")

    def filler(self) -> sql.Composable:
        """Return the expression of what it says where it must not be NULL and nothing is given."""
        from psycopg import sql

        if self.default is None and self.labels:
            return sql.Literal(self.labels[0])
        return sql.SQL(self.default or _ZEROS.get(self.type.partition("(")[0]) or self._nothing)

    @property
    def _nothing(self) -> str:
        return "'{}'" if self.type.endswith("[]") else "''"

    @property
    def has_filler(self) -> bool:
        """Whether its type is known to take what stands for nothing; one that somebody made, or inet, may not."""
        is_known = self.is_text or self.type == "bytea" or self.type.partition("(")[0] in _ZEROS
        return self.default is not None or bool(self.labels) or (is_known and not self.is_foreign)

    def holder(self) -> Callable[[Any], bool]:
        """Return what says whether a JSON value that is written comes back as it was."""
        labels, kind = self.labels, self.base or self.type
        if labels:
            return lambda value: type(value) is str and value in labels
        inner = _holder(kind.removesuffix("[]"))
        return _array_holder(inner, is_json=kind in ("jsonb[]", "json[]")) if kind.endswith("[]") else inner

    def holds(self, value: Any) -> bool:
        """Whether a JSON value that is written comes back as it was."""
        return value is not None and self.holder()(value)

    def as_text(self) -> sql.Composed:
        """Return the expression of its value as text, of a value that is no array."""
        return self._read("{}::text")

    def as_json(self) -> sql.Composed:
        """Return the expression of its value as the text of JSON."""
        return self._read("to_jsonb({})::text")

    def _read(self, form: str) -> sql.Composed:
        from psycopg import sql

        value = sql.Identifier(self.name)
        if not self.is_foreign:
            return sql.SQL(form).format(value)
        # A cast that the type's owner made is a function of theirs, and would run with the reader's rights: ``format``
        # calls nothing but the type's own output, which only a superuser can make.  A row of NULLs is no NULL.
        inner = "CASE WHEN num_nulls({0}) = 0 THEN format('%s', {0})" + ("::text[]" if self.type.endswith("[]") else "")
        return sql.SQL(form.format(inner + " END")).format(value)

    def nearest(self, value: Any) -> Any:
        """Return what the column says instead of a value that it does not hold, None for nothing.

        Times are the same moment in the column's form, lists are joined as the original tool does.
        """
        if type(value) in (str, int, float) and (moment := time_us(value)) is not None:
            return _moment(self, moment)
        if self.is_text and isinstance(value, list) and all(isinstance(item, str) for item in value):
            joined = _JOINTS.get(self.name)
            return None if joined is None or not holds_json(value) else joined.join(value)
        return None


_ZEROS: Final = {
    "integer": "0",
    "bigint": "0",
    "smallint": "0",
    "double precision": "0",
    "real": "0",
    "numeric": "0",
    "boolean": "false",
    "jsonb": "'{}'",
    "json": "'{}'",
    "timestamp with time zone": "'epoch'",
    "timestamp without time zone": "'epoch'",
    "date": "'epoch'",
    "uuid": "'00000000-0000-0000-0000-000000000000'",
}
_JOINTS: Final = {"tags": ",", "entities": ",", "potential": "|||"}


def _moment(column: Column, moment_us: int) -> Any:
    try:
        when = datetime.fromtimestamp(moment_us // 1_000_000, UTC).replace(microsecond=moment_us % 1_000_000)
    except (ValueError, OverflowError, OSError):
        return None
    if column.type == "bigint":
        return moment_us // 1_000_000 if column.name.endswith("_at") else None
    if column.type.startswith("timestamp"):
        text = when.replace(tzinfo=None).isoformat()
        text = text.rstrip("0") if "." in text else text
        return text if "without" in column.type else text + "+00:00"
    return None


def holds_json(value: Any) -> bool:
    """Whether ``jsonb`` and our reading of it give a value back exactly."""
    kind = type(value)
    if kind is str:
        return "\0" not in value
    if kind is float:
        return abs(value) < _EXACT_FLOAT or not value.is_integer()
    if kind is list:
        return all(map(holds_json, value))
    if kind is dict:
        return all("\0" not in name and holds_json(item) for name, item in value.items())
    return True  # integers of any size keep their digits


def _holder(base: str) -> Callable[[Any], bool]:
    if base in _HOLDERS:
        return _HOLDERS[base]
    match = _SIZED.fullmatch(base)
    if match is None:
        return _holds_text  # of a type whose own form of it we do not know: what was read can be written
    kind, size, scale = match[1], int(match[2]), int(match[3] or 0)
    if kind == "numeric":
        return lambda value: _is_decimal(value, size, scale)
    if kind == "character":
        return lambda value: _holds_text(value) and len(value) == size and value == value.rstrip(" ")
    return lambda value: _holds_text(value) and len(value) <= size


def _array_holder(inner: Callable[[Any], bool], *, is_json: bool) -> Callable[[Any], bool]:
    """Return what says whether an array holds a list: its members may be NULL, or lists that are all as long."""
    if is_json:  # whose members are lists themselves, and null
        return lambda value: type(value) is list and all(map(inner, value))

    def holds(value: Any) -> bool:
        if type(value) is not list:
            return False
        depth = 1
        while value and type(value[0]) is list:
            size, depth = len(value[0]), depth + 1
            if not size or depth > _MAX_DEPTH or any(type(each) is not list or len(each) != size for each in value):
                return False
            value = [item for each in value for item in each]
        return all(item is None or inner(item) for item in value)

    return holds


def _holds_text(value: Any) -> bool:
    return type(value) is str and "\0" not in value


def _is_whole(limit: int) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        if type(value) is float:
            return value.is_integer() and abs(value) < min(limit, 1 << 53)
        return type(value) is int and -limit <= value < limit

    return holds


def _is_double(value: Any) -> bool:
    if type(value) is float:
        return holds_json(value)
    return (type(value) is int and abs(value) <= 1 << 53) or (type(value) is str and value in _INFINITE)


def _is_single(value: Any) -> bool:
    import numpy as np

    if not _is_double(value):
        return False
    if isinstance(value, str):
        return True
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return (
        bool(np.isfinite(single))
        and float(str(single)) == value
        and (not float(value).is_integer() or abs(value) < 1 << 24)
    )


def _is_numeric(value: Any) -> bool:
    return (type(value) in (int, float) and holds_json(value)) or (type(value) is str and value in _INFINITE)


def _is_decimal(value: Any, size: int, scale: int) -> bool:
    from decimal import Decimal

    if type(value) not in (int, float) or not holds_json(value):
        return False
    exact = Decimal(repr(value))
    _, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)  # of a finite number
    # Not by arithmetic, which rounds to 28 digits or raises.
    while digits and not digits[-1]:
        digits, exponent = digits[:-1], exponent + 1
    return not digits or (exponent >= -scale and exact.adjusted() < size - scale)


def _is_stamp(value: Any, *, zone: bool) -> bool:
    match = _STAMP.fullmatch(value) if type(value) is str else None
    if match is None or (match[8] is not None) != zone:
        return False
    try:
        datetime(*map(int, match.groups()[:6]))  # type: ignore[arg-type] # noqa: DTZ001 - only whether there is such a time
    except ValueError:
        return False
    return True


def _is_date(value: Any) -> bool:
    return type(value) is str and _DATE.fullmatch(value) is not None and _is_stamp(value + "T00:00:00", zone=False)


_HOLDERS: Final[dict[str, Callable[[Any], bool]]] = {
    "text": _holds_text,
    "character varying": _holds_text,
    "boolean": lambda value: type(value) is bool,
    **{name: _is_whole(limit) for name, limit in _LIMITS.items()},
    "double precision": _is_double,
    "real": _is_single,
    "numeric": _is_numeric,
    "json": holds_json,
    "jsonb": holds_json,
    "uuid": lambda value: type(value) is str and is_uuid(value),
    "timestamp with time zone": lambda value: _is_stamp(value, zone=True),
    "timestamp without time zone": lambda value: _is_stamp(value, zone=False),
    "date": _is_date,
}
