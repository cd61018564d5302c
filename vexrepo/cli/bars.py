"""Counts as rows of bars, aligned for a terminal."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence

from vexrepo.cli.output import changed, quiet
from vexrepo.cli.text import plain

WIDTH = 24
LABEL_WIDTH = 36
_EIGHTHS = " ▏▎▍▌▋▊▉"


def has_blocks() -> bool:
    """Whether the output can show block characters."""
    try:
        "█▏".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def bar(share: float, width: int = WIDTH, *, blocks: bool = True) -> str:
    """Return a bar as long as its share of ``width``, at least a sliver if there is anything."""
    if share <= 0:
        return ""
    if not blocks:
        return "#" * max(1, round(share * width))
    whole, rest = divmod(max(1, round(share * width * 8)), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(mark) else 2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in text
    )


def cut(text: str, width: int = LABEL_WIDTH) -> str:
    """Return a harmless text that takes at most ``width`` columns."""
    text = plain(text)
    if columns(text) <= width:
        return text
    kept, used = "", 0
    for mark in text:
        used += columns(mark)
        if used >= width:
            break
        kept += mark
    return kept + "…"


def pad(text: str, width: int) -> str:
    """Return a text filled up to ``width`` columns."""
    return text + " " * (width - columns(text))


def bar_lines(rows: Sequence[tuple[str, int]], *, indent: str = "  ") -> list[str]:
    """Return a line for each (label, count): label, bar, count."""
    if not rows:
        return []
    blocks = has_blocks()
    most = max(count for _, count in rows) or 1
    labels = [cut(label) for label, _ in rows]
    width = max(map(columns, labels))
    digits = max(len(f"{count:,}") for _, count in rows)
    return [
        f"{indent}{pad(label, width)}  {changed(pad(bar(count / most, blocks=blocks), WIDTH))}  "
        + (f"{count:>{digits},}" if count else quiet(f"{0:>{digits}}"))
        for label, (_, count) in zip(labels, rows, strict=True)
    ]
