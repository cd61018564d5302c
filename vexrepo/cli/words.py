"""Differences between two texts, word by word: ``The user prefers [-async-]{+short calls+}``."""

from __future__ import annotations

import re
from typing import NamedTuple

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|\s+|[^\w\s]")
_MOST = 4_000_000  # tokens old × new that are still compared one by one
CONTEXT = 40  # characters of unchanged text kept beside a difference


class Piece(NamedTuple):
    """A run of text: unchanged when ``old`` and ``new`` are equal."""

    old: str
    new: str

    @property
    def same(self) -> bool:
        """Whether the run is unchanged."""
        return self.old == self.new


def word_pieces(old: str, new: str) -> list[Piece]:
    """Return two texts as runs that are the same and runs that differ."""
    head = _head(old, new)
    cut = _tail(old[head:], new[head:])
    a, b = _TOKEN.findall(old, head, len(old) - cut), _TOKEN.findall(new, head, len(new) - cut)
    tail = 0
    while tail < min(len(a), len(b)) and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    middle_a, middle_b = a[: len(a) - tail], b[: len(b) - tail]
    pieces = [Piece(old[:head], old[:head])]
    if not middle_a or not middle_b or len(middle_a) * len(middle_b) > _MOST:
        pieces.append(Piece("".join(middle_a), "".join(middle_b)))
    else:
        from difflib import SequenceMatcher

        for _, i, j, k, m in SequenceMatcher(None, middle_a, middle_b, autojunk=False).get_opcodes():
            pieces.append(Piece("".join(middle_a[i:j]), "".join(middle_b[k:m])))
    end = "".join(a[len(a) - tail :]) + old[len(old) - cut :]
    pieces.append(Piece(end, end))
    return _joined(pieces)


def _head(a: str, b: str) -> int:
    """Return the length of the tokens that two texts both start with."""
    same = _common(a, b)
    # White space is a token of its own, so tokens can be counted from the last of it; most of a long text is skipped.
    at = max(a.rfind(" ", 0, same), 0)
    while at and a[at - 1].isspace():
        at -= 1
    for x, y in zip(_TOKEN.finditer(a, at), _TOKEN.finditer(b, at), strict=False):
        if x.group() != y.group():
            break
        at = x.end()
    return at


def _tail(a: str, b: str) -> int:
    """Return the length of what two texts both end with, from after white space on."""
    end = len(a)
    at = a.find(" ", end - _common(a[::-1], b[::-1])) + 1 or end
    while at < end and a[at].isspace():
        at += 1
    return end - at


def _common(a: str, b: str) -> int:
    """Return the length of what two texts both start with."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Join neighbouring differences that only white space keeps apart."""
    found: list[Piece] = []
    for piece in pieces:
        if not piece.old and not piece.new:
            continue
        if found and not piece.same and not found[-1].same:
            found[-1] = Piece(found[-1].old + piece.old, found[-1].new + piece.new)
        elif len(found) > 1 and not piece.same and found[-1].old.isspace() and not found[-2].same:
            space = found.pop()
            found[-1] = Piece(found[-1].old + space.old + piece.old, found[-1].new + space.new + piece.new)
        else:
            found.append(piece)
    return found


def elided(text: str, *, first: bool, last: bool) -> str:
    """Return an unchanged run with its middle left out where it is long; an end keeps only the side that touches."""
    if first and last:
        return text
    limit = CONTEXT if first or last else 2 * CONTEXT
    if len(text) <= limit + CONTEXT // 2:
        return text
    head = "" if first else text[:CONTEXT].rsplit(" ", 1)[0]
    tail = "" if last else text[-CONTEXT:].split(" ", 1)[-1]
    return f"{head} … {tail}" if head and tail else f"… {tail}" if tail else f"{head} …"
