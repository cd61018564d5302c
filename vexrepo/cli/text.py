"""Words for people: numbers, times, texts cut to size, and untrusted text made harmless for a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# Memories are written by strangers: what moves the cursor, changes colours, turns the reading direction or is
# invisible is shown as an escape.  Joiners (U+200C, U+200D) stay: scripts and emoji need them.
_UNSAFE = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_ANY_UNSAFE = re.compile(f"[{_UNSAFE}]")
_BUT_NEWLINE = re.compile(f"(?!\n)[{_UNSAFE}]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_STEPS = (
    (60, 1, "second"),
    (3600, 60, "minute"),
    (86400, 3600, "hour"),
    (14 * 86400, 86400, "day"),
    (60 * 86400, 7 * 86400, "week"),
    (730 * 86400, 2629800, "month"),
)


def _escape(match: re.Match[str]) -> str:
    mark = match.group()
    point = ord(mark)
    if mark in _SHORT:
        return _SHORT[mark]
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def plain(text: str, *, lines: bool = False) -> str:
    """Return a text with everything a terminal might act on shown as an escape; ``lines`` keeps line ends."""
    if text.isascii() and text.isprintable():
        return text
    return (_BUT_NEWLINE if lines else _ANY_UNSAFE).sub(_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    raw = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[at]:02x}{raw[at + 1]:02x}" for at in range(0, len(raw), 2))


def plain_json(text: str) -> str:
    """Return the same JSON with the characters of ``plain`` (but line ends between values) written as escapes."""
    return _BUT_NEWLINE.sub(_json_escape, text)


def shorten(text: str, width: int) -> str:
    """Return a text in at most ``width`` characters, "…" at the end where it was cut."""
    return text if len(text) <= width else text[: max(width - 1, 0)].rstrip() + "…"


def counted(number: int, one: str, many: str = "") -> str:
    """Return ``1 memory`` or ``2,808 memories``."""
    if number == 1:
        return f"1 {one}"
    return f"{number:,} {many or one + 's'}"


def memories(number: int) -> str:
    """Return a count of memories."""
    return counted(number, "memory", "memories")


def size_words(size_bytes: float) -> str:
    """Return a size as ``1.1 MB`` (decimal units)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 999.5 or unit == "GB":
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "bytes" or size_bytes >= 99.5 else f"{size_bytes:.1f} {unit}"


def seconds_words(seconds: float) -> str:
    """Return a duration as ``0.2 s`` or ``3 min 20 s``."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def moment(time_us: int) -> datetime:
    """Return a time as local date and time; one the calendar cannot hold as its nearest end."""
    try:
        return datetime.fromtimestamp(time_us // 1_000_000, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return datetime(9999, 12, 31, tzinfo=UTC) if time_us > 0 else datetime(1, 1, 1, tzinfo=UTC)


def ago(time_us: int, now_us: int) -> str:
    """Return how long ago a time is: ``2 hours ago``."""
    gone = (now_us - time_us) // 1_000_000
    if gone < 0:
        return "in the future"
    for limit, unit, name in _STEPS:
        if gone < limit:
            return "just now" if gone < 2 else f"{counted(gone // unit, name)} ago"
    return f"{counted(gone // 31557600, 'year')} ago"


def when(time_us: int, now_us: int) -> str:
    """Return a time both ways: ``2 hours ago (2026-11-20 08:00:12+01:00)``."""
    return f"{ago(time_us, now_us)} ({moment(time_us).isoformat(' ', 'seconds')})"


def iso(time_us: int) -> str:
    """Return a time as ISO 8601 in UTC, as JSON output has it."""
    return moment(time_us).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


UNCHANGED = "nothing changed"


def tally(learned: int, changed: int, forgotten: int) -> str:
    """Return what changed in words: ``4 learned, 2 changed, 1 forgotten``."""
    parts = ((learned, "learned"), (changed, "changed"), (forgotten, "forgotten"))
    return ", ".join(f"{number:,} {word}" for number, word in parts if number) or UNCHANGED


def signs(learned: int, changed: int, forgotten: int) -> str:
    """Return what changed in signs: ``+4 ~2 -1``."""
    parts = ((learned, "+"), (changed, "~"), (forgotten, "-"))
    return " ".join(f"{sign}{number:,}" for number, sign in parts if number)
