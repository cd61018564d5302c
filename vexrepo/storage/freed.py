"""Memory that a long transfer has freed, given back to the system now and then.

glibc keeps what is freed for what comes next, in pieces between what is still in use, of each thread apart; the longer
records of all sizes come and go, the more of it there is.  Giving it back at every turn would cost more than the
transfer (each page is cleared anew), giving it back every 32 MiB costs a hundredth, and bounds it.  Nothing is done
where another C library is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Final

from vexrepo.objects.record import Record

EVERY_BYTES: Final = 32 << 20


class _Tally:
    """How many bytes came and went since memory was given back."""

    size_bytes = 0


_TALLY: Final = _Tally()


def note_passed(size_bytes: int) -> None:
    """Note that so many bytes of records came and went; every 32 MiB what was freed is given back."""
    _TALLY.size_bytes += size_bytes
    if _TALLY.size_bytes >= EVERY_BYTES:
        _TALLY.size_bytes = 0
        give_back()


def note_records(one: Record, count: int) -> None:
    """Note that so many records came and went, all taken to be as large as one of them."""
    note_passed(count * (len(one.body) + sum([len(item.row) for item in one.vectors])))


def give_back() -> bool:
    """Give back to the system the pages in which nothing is used; return whether there is a way to."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)
    return trim is not None


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Return glibc's function, None where there is none (musl, macOS, Windows)."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes  # takes some ms, which only a long transfer pays

        found = ctypes.CDLL(None).malloc_trim
        found.argtypes, found.restype = (ctypes.c_size_t,), ctypes.c_int
    except (ImportError, OSError, AttributeError):
        return None
    trim: Callable[[int], int] = found
    return trim
