"""One line on a terminal that says how far long work is."""

from __future__ import annotations

import time
from typing import IO

from vexrepo.cli.text import size_words

EVERY_S = 0.1
QUIET_S = 0.4  # work shorter than this shows nothing


class Progress:
    """Told (what, done, total); ``what`` ends in " bytes" where the amounts are bytes.  Silent off a terminal."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.is_shown = bool(getattr(stream, "isatty", lambda: False)())
        self._what = ""
        self._began = self._shown = 0.0
        self._width = self._first = 0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if not self.is_shown:
            return
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._shown = what, now, now
            self._first = done  # a read that goes on has much of it done at once
        if now - self._began < QUIET_S or now - self._shown < EVERY_S:
            return
        self._shown = now
        line = describe(what, done, total, now - self._began, self._first)
        self._stream.write("\r" + line + " " * max(0, self._width - len(line)))
        self._stream.flush()
        self._width = len(line)

    def clear(self) -> None:
        """Remove the line."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def describe(what: str, done: int, total: int | None, seconds: float, first: int = 0) -> str:
    """Return ``reading 120 MB of 509 MB (23 %) · 95.1 MB/s · 4 s left``; ``first`` was done when it began."""
    verb = what.removesuffix(" bytes")
    show = size_words if verb != what else lambda amount: f"{amount:,.0f}"
    line = f"{verb} {show(done)}"
    if total:
        line += f" of {show(total)} ({min(100, 100 * done // total)} %)"
    rate = (done - first) / seconds if seconds > 0 else 0
    if rate < 1:
        return line
    left = f" · {_left((total - done) / rate)} left" if total and done < total else ""
    return f"{line} · {show(rate)}/s{left}"


def _left(seconds: float) -> str:
    """Return about how long that is: ``40 s``, ``3 min``, ``2 h 10 min``."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
