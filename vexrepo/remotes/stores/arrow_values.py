"""Cells of Arrow columns as JSON values, and JSON values as what Arrow makes such cells of."""

from __future__ import annotations

import base64
import datetime as dt
import re
from decimal import Decimal
from typing import Any, Final

from vexrepo.remotes.stores.carry import ABSENT, is_same

_DURATION: Final = re.compile(r"(?:(-?\d+) days?,? )?(\d+):(\d\d):(\d\d)(?:\.(\d{6}))?")  # as Python prints it


def plain(value: Any) -> Any:
    """Return a cell, as ``to_pylist`` gives it, as JSON."""
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (Decimal, dt.timedelta)):
        return str(value)
    if isinstance(value, bytes):
        return {"$blob": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def cell(value: Any, kind: Any) -> Any:
    """Return what a cell of an Arrow type is made of for a JSON value, ABSENT where it would read otherwise."""
    import pyarrow as pa

    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return value if isinstance(value, str) else ABSENT
    try:
        native = _native(value, kind)
        found = pa.array([native], kind)[0].as_py()
    except (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError, AttributeError):
        return ABSENT
    return native if is_same(plain(found), value) else ABSENT


def _native(value: Any, kind: Any) -> Any:
    """Return the Python value of a cell.  Raises: ValueError, TypeError."""
    import pyarrow as pa

    if pa.types.is_boolean(kind) != isinstance(value, bool):
        raise TypeError("a truth value is no number")
    if pa.types.is_timestamp(kind):
        return dt.datetime.fromisoformat(value)
    if pa.types.is_date(kind):
        return dt.date.fromisoformat(value)
    if pa.types.is_time(kind):
        return dt.time.fromisoformat(value)
    if pa.types.is_duration(kind):
        return _duration(value)
    if pa.types.is_decimal(kind):
        return Decimal(value)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return base64.b64decode(value["$blob"], validate=True)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if not isinstance(value, list):
            raise TypeError("no list")
        return [None if each is None else _native(each, kind.value_type) for each in value]
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        return {name: None if each is None else _native(each, fields[name]) for name, each in value.items()}
    return value


def _duration(value: Any) -> dt.timedelta:
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError("no duration")
    days, hours, minutes, seconds, micros = (int(each or 0) for each in match.groups())
    return dt.timedelta(days, seconds, micros, 0, minutes, hours)
