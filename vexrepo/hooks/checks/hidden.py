"""What a person does not see and a model reads: invisible characters, turned directions, look-alikes, markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from vexrepo.hooks.checks.injection_rules import Signal
from vexrepo.hooks.checks.lexicon import Class, class_of
from vexrepo.hooks.checks.signals import kinds_of, read_words
from vexrepo.hooks.folding import MIXED_WORD, fold, is_imitation, is_usual

# A flag such as Scotland's: a black flag, tags that spell the region, the tag that ends it.
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{2,7}\U000e007f")
_TAGS = re.compile("[\U000e0000-\U000e007f]+")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")
_SELECTED = re.compile("[A-Za-z][\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_FOREIGN_SELECTED = re.compile("[^\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u1800-\u18af][\U000e0100-\U000e01ef]")
_ZERO_WIDTH = re.compile("[\u200b-\u200d\u2060-\u2064\u180e\ufeff]{3,}")
_IN_WORD = re.compile("[A-Za-z][\u200b-\u200d\u2060-\u2064\u180e\ufeff\u034f]+(?=[A-Za-z])")
_SOFT = re.compile("[A-Za-z]\u00ad(?=[A-Za-z])")
_TURNED = re.compile("[\u202d\u202e]")
_DIRECTION = re.compile("[\u202a-\u202c\u2066-\u2069]")
_FROM_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_FILLERS = re.compile("[\u3164\uffa0\u115f\u1160]")
_HANGUL = re.compile("[\u1100-\u115e\u1161-\u11ff\u3131-\u3163\uac00-\ud7af]")
_SUSPICIOUS = re.compile(
    "[\u00ad\u034f\u115f\u1160\u180e\u200b-\u200d\u202a-\u202e\u2060-\u2064\u2066-\u2069\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\U000e0000-\U000e01ef]"
)
_UNSEEN_STYLE = re.compile(
    r"""style ?= ?["'][^"'<>]{0,100}(?:display ?: ?none|visibility ?: ?hidden|font-size ?: ?0|opacity ?: ?0"""
    r"""|color ?: ?(?:white|transparent|#fff)|left ?: ?-\d{3})[^"'<>]{0,100}["'][^<>]{0,100}>"""
)
_ADDRESSED = Class.PERSONA
_BIDDEN = int(
    Class.TELL
    | Class.SEND
    | Class.ACT
    | Class.IGNORE
    | Class.REVEAL
    | Class.MUST
    | Class.ALWAYS
    | Class.NOT
    | Class.SILENT
)


class Hidden(NamedTuple):
    """Signals of hiding, and what was hidden, as far as it can be read."""

    signals: list[Signal]
    texts: list[str]


def find_hidden(text: str) -> Hidden:
    """Return what is hidden in a text by characters that do not show or are not what they look like."""
    found = Hidden([], [])
    if is_usual(text):
        return found
    if _SUSPICIOUS.search(text):
        _find_invisible(text, found)
    imitations = {word for word in MIXED_WORD.findall(text) if is_imitation(word)}
    if imitations:
        weight = 0.7 if any(class_of(fold(word)) for word in imitations) else 0.5 if len(imitations) > 1 else 0.3
        _add(found, "look-alikes", weight, "letters of another script imitate Latin ones inside a word")
    return found


def _add(found: Hidden, name: str, weight: float, meaning: str) -> None:
    found.signals.append(Signal(name, weight, meaning))


def _find_invisible(text: str, found: Hidden) -> None:
    text = _FLAG.sub("", text)
    tags = "".join(_TAGS.findall(text))
    if tags:
        _add(found, "tags", 0.9, "invisible tag characters, which spell a text")
        found.texts.append("".join(chr(ord(each) - 0xE0000) for each in tags if each > "\U000e001f"))
    runs = _SELECTORS.findall(text)
    longest = max(map(len, runs), default=0)
    if longest >= 2:
        _add(found, "selectors", 0.9 if longest >= 4 else 0.4, "rows of variation selectors, which can hold any bytes")
        raw = bytes(_selected_byte(each) for run in runs for each in run)
        found.texts.append(raw.decode("utf-8", "ignore"))
    elif len(_SELECTED.findall(text)) >= 4 or len(_FOREIGN_SELECTED.findall(text)) >= 3:
        _add(found, "selectors", 0.6, "variation selectors after letters that have no variants")
    runs = _ZERO_WIDTH.findall(text)
    longest = max(map(len, runs), default=0)
    if longest >= 3:
        _add(
            found,
            "zero-width",
            0.9 if longest >= 8 else 0.45,
            "rows of characters without width, which can hold a text",
        )
        found.texts.extend(_bits(run) for run in runs if len(run) >= 16)
    elif len(_IN_WORD.findall(text)) >= 3:
        _add(found, "zero-width", 0.5, "characters without width inside words")
    soft = len(_SOFT.findall(text))
    if soft >= 4 and soft * 12 > len(text):
        _add(found, "soft-hyphens", 0.4, "soft hyphens all through the words")
    if _TURNED.search(text):
        _add(found, "direction", 0.5, "marks that turn the reading direction around")
    elif _is_unbalanced(text):
        _add(found, "direction", 0.4, "marks of reading direction that are not closed, or have nothing to turn")
    if len(_FILLERS.findall(text)) >= 2 and not _HANGUL.search(text):
        _add(found, "fillers", 0.4, "blank letters of a script that the text does not use")


def _selected_byte(selector: str) -> int:
    code = ord(selector)
    return code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16


def _is_unbalanced(text: str) -> bool:
    marks = _DIRECTION.findall(text)
    if not marks:
        return False
    if not _FROM_RIGHT.search(text):
        return True
    open_isolates = open_embeddings = 0
    for mark in marks:
        if mark in "\u2066\u2067\u2068":
            open_isolates += 1
        elif mark == "\u2069":
            open_isolates -= 1
        elif mark == "\u202c":
            open_embeddings -= 1
        else:
            open_embeddings += 1
    return open_isolates != 0 or open_embeddings != 0


def _bits(run: str) -> str:
    """Return the text that two kinds of characters spell as bits; "" where there are others."""
    kinds = sorted(set(run))
    if len(kinds) != 2:
        return ""
    bits = "".join("01"[each == kinds[1]] for each in run[: 1 << 16])
    for word in (bits, bits.translate(str.maketrans("01", "10"))):
        raw = bytes(int(word[at : at + 8], 2) for at in range(0, len(word) - 7, 8))
        turned = bytes(int(word[at : at + 8][::-1], 2) for at in range(0, len(word) - 7, 8))
        for each in (raw, turned):
            if each.isascii() and each.decode("ascii").isprintable():
                return each.decode("ascii")
    return ""


def find_unseen(folded: str) -> Iterator[Signal]:
    """Yield a signal for comments and invisible elements of HTML that speak to an agent."""
    if "<" not in folded:
        return
    for inner in _unseen_parts(folded):
        kinds = kinds_of(read_words(inner))
        if kinds & _ADDRESSED and kinds & _BIDDEN:
            yield Signal("unseen", 0.6, "a part that a browser does not show speaks to an agent")
            return


def _unseen_parts(folded: str) -> Iterator[str]:
    start = folded.find("<!--")
    while start >= 0:
        end = folded.find("-->", start)
        end = len(folded) if end < 0 else end
        yield folded[start + 4 : end]
        start = folded.find("<!--", end)
    if "style" in folded:
        for match in _UNSEEN_STYLE.finditer(folded):
            end = folded.find("<", match.end())
            yield folded[match.end() : len(folded) if end < 0 else end]
