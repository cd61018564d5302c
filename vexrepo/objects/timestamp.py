"""When a record says it was made: ISO 8601 text, or seconds or milliseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLISECONDS_FROM = 1e11  # as seconds, this would be the year 5138
_LONG_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def time_us(value: Any) -> int | None:
    """Return microseconds since 1970 of a ``created_at``, None where it is absent or no time.

    Text without a zone is UTC; a number above 10^11 is in milliseconds, a smaller one in seconds.
    """
    if isinstance(value, str):
        return parse_time_us(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    scale = 1e3 if abs(value) >= _MILLISECONDS_FROM else 1e6
    return round(value * scale) if abs(value) < 1e16 else None


def parse_time_us(text: str) -> int | None:
    """Return microseconds since 1970 of an ISO 8601 date or time, None if it is not one."""
    text = _LONG_FRACTION.sub(r"\1", text.strip())
    if not _DATE.match(text):  # week dates and basic forms are ISO 8601, but nobody writes them here
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    try:
        return (found - _EPOCH) // _MICROSECOND
    except OverflowError:
        return None


def format_time(time_us: int) -> str:
    """Return microseconds since 1970 as ISO 8601 in UTC, to milliseconds, as JavaScript prints dates."""
    found = _EPOCH + timedelta(microseconds=time_us)
    return found.strftime("%Y-%m-%dT%H:%M:%S.") + f"{found.microsecond // 1000:03d}Z"
