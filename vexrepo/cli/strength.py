"""How hard a passphrase is to guess."""

from __future__ import annotations

import itertools
import math
import re

WEAK_BITS, FAIR_BITS = 45, 70
ADVICE = "five or more words picked at random are easy to keep and hard to guess"
_WORD = re.compile(r"(?<![^\W\d_])[^\W\d_]{3,14}(?![^\W\d_])")


def strength(passphrase: str) -> int:
    """Return how many bits of guessing a passphrase is worth at most.

    A coarse upper bound: words count as words, runs and repetitions once.
    """
    words = _WORD.findall(passphrase)
    if len(words) == 1 and len(words[0]) < 5:
        words = []  # a piece of something picked at random
    bits = 11.0 * len({word.casefold() for word in words})
    characters = _WORD.sub("", passphrase) if words else passphrase
    shrunk = re.sub(r"(.)\1+", r"\1", characters)
    steps = sum(abs(ord(a) - ord(b)) > 1 for a, b in itertools.pairwise(shrunk)) + bool(shrunk)
    pool = sum(
        size
        for pattern, size in ((r"[a-z]", 26), (r"[A-Z]", 26), (r"\d", 10), (r"[^a-zA-Z\d]", 33))
        if re.search(pattern, shrunk)
    )
    bits += min(steps, len(set(shrunk))) * (math.log2(pool) if pool > 1 else 0)
    return int(bits)
