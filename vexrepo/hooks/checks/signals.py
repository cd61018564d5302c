"""Reads the words of a text and finds what speaks for its being an instruction to an agent.

Words are put into classes and rules ask for some classes near each other, so that one rule serves all languages.  The
work grows with the length of the text, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from vexrepo.hooks.checks.injection_rules import PHRASES, RULES, SIGNS, Phrase, Rule, Signal
from vexrepo.hooks.checks.lexicon import HAS_INNER, INNER, INNER_WORD, NOTHING, Class, class_of

C = Class
BREAK = 3  # the end of a sentence counts as so many words

Hit = tuple[int, int]  # the place of a word, and its classes

_DISGUISED = C.DISGUISED
_TABLE = str.maketrans(
    {chr(code): " " for code in range(128) if not (chr(code).isalnum() or chr(code) in "@$")}
    | dict.fromkeys(".!?;\n", "\x01")
)
_WORD = re.compile(r"[^\W_]+(?:[@$][^\W_]+)*|[@$][^\W_]+|[.!?;\n。！？；]")
_STOPS = frozenset(".!?;\n。！？；\x01")
_BREAKS = " \x01" * BREAK + " "


def read_words(folded: str) -> list[Hit]:
    """Return the words of a folded text that mean something here, with their places."""
    folded = folded.replace("n't", "nt")
    if folded.isascii():
        words = folded.translate(_TABLE).replace("\x01", _BREAKS).split()
        return [(place, kind) for place, word in enumerate(words) if (kind := class_of(word))]
    hits: list[Hit] = []
    place = 0
    for word in _WORD.findall(folded):
        if word in _STOPS:
            place += BREAK
            continue
        kind = class_of(word)
        if kind:
            hits.append((place, kind))
        elif not word.isascii() and HAS_INNER.search(word):
            for match in INNER_WORD.finditer(word):
                hits.append((place, INNER[match.group()]))
                place += 1
        place += 1
    return hits


def kinds_of(hits: Sequence[Hit]) -> int:
    """Return all classes of some words together."""
    present = NOTHING
    for _, kind in hits:
        present |= kind
    return present


_OF_PHRASES = 0
for _each in PHRASES:
    _OF_PHRASES |= _each.kinds
# The first two parts of each rule beside it: most texts lack one of them.
_BY_PARTS = tuple((rule.parts[0], rule.parts[1], rule) for rule in RULES)


@cache
def _possible_phrases(signs: int, kinds: int) -> tuple[Phrase, ...]:
    return tuple(phrase for phrase in PHRASES if phrase.signs & signs or phrase.kinds & kinds)


def match_rules(hits: Sequence[Hit], present: int) -> Iterator[Signal]:
    """Yield a signal for each rule that the words fit; ``present`` are their classes together."""
    refusals: list[int] | None = None
    for first, second, rule in _BY_PARTS:
        if not present & first or not present & second or not all(present & part for part in rule.parts[2:]):
            continue
        if refusals is None:
            refusals = [place for place, kind in hits if kind & C.NOT] if present & C.NOT else []
        if _fits(rule, hits, refusals):
            yield rule.signal


def _fits(rule: Rule, hits: Sequence[Hit], refusals: Sequence[int]) -> bool:
    parts, window, denied = rule.parts, rule.window, rule.denied
    count = len(parts)
    near = frozenset(place + step for place in refusals for step in (-1, 1, 2)) if denied else frozenset()
    if rule.is_ordered:
        starts = [-1] * count  # the latest place where parts up to this one begin
        for place, kind in hits:
            for number in range(count - 1, -1, -1):
                if not kind & parts[number] or (kind & denied & parts[number] and place in near):
                    continue
                start = place if number == 0 else starts[number - 1]
                if start >= 0 and place - start <= window:
                    starts[number] = start
                    if number == count - 1:
                        return True
        return False
    last = [-1] * count
    for place, kind in hits:
        for number in range(count):
            if kind & parts[number] and not (kind & denied & parts[number] and place in near):
                last[number] = place
        if min(last) >= 0 and place - min(last) <= window and (len(set(last)) == count or kind & _DISGUISED):
            return True
    return False


def match_phrases(folded: str, present: int) -> Iterator[Signal]:
    """Yield a signal for each pattern that the folded text fits; ``present`` are the classes of its words."""
    signs = 0
    for place, sign in enumerate(SIGNS):
        if sign in folded:
            signs |= 1 << place
    for phrase in _possible_phrases(signs, present & _OF_PHRASES):
        for need in phrase.needs:
            if need in folded:
                if phrase.pattern.search(folded):
                    yield phrase.signal
                break
