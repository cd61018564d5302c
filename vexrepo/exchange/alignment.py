"""How one list of hashes became another: what was changed in place, added, removed and moved."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["changed", "added", "removed", "reordered"]


class Shift(NamedTuple):
    """One difference: the place in the signed list, the place in the file (from 0), None where it has none."""

    kind: Kind
    signed: int | None
    actual: int | None


def align(signed: bytes, actual: bytes | bytearray, width: int) -> list[Shift]:
    """Return the differences of two lists of hashes, ``width`` bytes each, in the order of the file.

    Of the hashes in both lists the longest run in one order stays; the others were moved.  Between two that
    stay, as many as there are on both sides count as changed in place.
    """
    old = [signed[at : at + width] for at in range(0, len(signed), width)]
    new = [bytes(actual[at : at + width]) for at in range(0, len(actual), width)]
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    places: defaultdict[bytes, deque[int]] = defaultdict(deque)
    for place in range(head, len(old) - tail):
        places[old[place]].append(place)
    partner = {place: places[new[place]].popleft() for place in range(head, len(new) - tail) if places.get(new[place])}
    staying = _longest_rising(list(partner.items()))
    staying.append((len(new) - tail, len(old) - tail))  # the equal end bounds the last gap
    taken = set(partner.values())
    found: list[Shift] = []
    at_new = at_old = head
    for new_place, old_place in staying:
        loose = [place for place in range(at_old, old_place) if place not in taken]
        loose.reverse()
        for place in range(at_new, new_place):
            if place in partner:
                found.append(Shift("reordered", partner[place], place))
            elif loose:
                found.append(Shift("changed", loose.pop(), place))
            else:
                found.append(Shift("added", None, place))
        found += [Shift("removed", place, None) for place in reversed(loose)]
        at_new, at_old = new_place + 1, old_place + 1
    return found


def _longest_rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest run of pairs whose second members rise (the first do)."""
    ends: list[int] = []  # ends[n]: the smallest last second member of a run of n + 1
    which: list[int] = []
    before: list[int] = []
    for number, (_, second) in enumerate(pairs):
        length = bisect_left(ends, second)
        before.append(which[length - 1] if length else -1)
        if length == len(ends):
            ends.append(second)
            which.append(number)
        else:
            ends[length], which[length] = second, number
    run: list[tuple[int, int]] = []
    at = which[-1] if which else -1
    while at >= 0:
        run.append(pairs[at])
        at = before[at]
    run.reverse()
    return run
