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
    a, b = _TOKEN.findall(old), _TOKEN.findall(new)
    shorter = min(len(a), len(b))
    head = 0
    while head < shorter and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < shorter - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    middle_a, middle_b = a[head : len(a) - tail], b[head : len(b) - tail]
    pieces = [Piece("".join(a[:head]), "".join(a[:head]))]
    if not middle_a or not middle_b or len(middle_a) * len(middle_b) > _MOST:
        pieces.append(Piece("".join(middle_a), "".join(middle_b)))
    else:
        from difflib import SequenceMatcher

        for _, i, j, k, m in SequenceMatcher(None, middle_a, middle_b, autojunk=False).get_opcodes():
            pieces.append(Piece("".join(middle_a[i:j]), "".join(middle_b[k:m])))
    end = "".join(a[len(a) - tail :])
    pieces.append(Piece(end, end))
    return _joined(pieces)


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
