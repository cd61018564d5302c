"""What a query looks for: words, beginnings of words and phrases, in any script.

Query and text are compared folded: compatibility forms composed (NFKC), case folded, invisible joiners left out.
Accents count: ``café`` is another word than ``cafe``.  A word is a run of letters, digits, marks and underscores.  In
scripts written without spaces (Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer) every character is a word, and a
run of them in a query is looked for by its pairs of neighbours.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TERMS = 256
BETWEEN = "\0"  # stands between the items of a list: no phrase reaches across

_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u109f\u1100-\u11ff\u1780-\u17d3\u3005-\u3007"
    "\u3041-\u309f\u30a1-\u30fa\u30fc-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_INVISIBLE = re.compile("[\u00ad\u034f\u200c\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
# Code points beyond ASCII that fold to ASCII letters or digits, or to nothing (all of them: a test looks).
_FOLDS_TO_ASCII = (
    "aa ad b2-b3 b9-ba bc-be df 130-133 13f-140 149 17f 1c4-1cc 1f0-1f3 2b0-2b8 2e1-2e3 34f 1d2c-1d65 1d9c-1da0 1dbb "
    "1e96-1e9e 200c-200d 2060-209c 20a8 2100-213b 2145-217f 2189 2460-24ea 2c7c-2c7d 3250-325f 32b1-32cf 3358-33ff "
    "a7f2-a7f4 fb00-fb06 fe00-fe0f fe33-fe34 fe4d-fe4f feff ff10-ff5a 107a5 1d400-1d6a3 1d7ce-1d7ff 1f100-1f14f "
    "1f16a-1f16c 1f190 1fbf0-1fbf9 e0100-e01ef"
)
_QUOTES = str.maketrans("“”„\u201f\uff02", '"""""')
_CHUNK = re.compile(r'(?P<not>-?)(?:"(?P<quoted>[^"]*)"?(?P<star>\*?)|(?P<bare>[^\s"]+))')
_ASCII_RUN = re.compile("[0-9a-z_]+")


def fold(text: str) -> str:
    """Return a text as it is compared: idempotent, and the same for all spellings that Unicode holds for equal."""
    if text.isascii():
        return text.lower()
    if _INVISIBLE.search(text):
        text = _INVISIBLE.sub("", text)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class _Grammar(NamedTuple):
    """``alone`` and ``mark`` are the characters of words in scripts with spaces, ``letter`` is either."""

    alone: str
    mark: str
    letter: str
    word: re.Pattern[str]
    marked: re.Pattern[str]  # a character with the marks that may compose with it


@functools.cache
def _grammar() -> _Grammar:
    runs: list[list[int]] = []
    for point in range(0x300, 0x20000):  # marks beyond are variation selectors, which are left out
        if unicodedata.category(chr(point)).startswith("M") and not _IS_UNSPACED.match(chr(point)):
            if runs and runs[-1][1] == point - 1:
                runs[-1][1] = point
            else:
                runs.append([point, point])
    marks = "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)
    alone, mark = rf"[^\W{_UNSPACED}]", f"[{marks}]"
    letter = f"(?:{alone}|{mark})"
    word = re.compile(f"[{_UNSPACED}]|{letter}+")
    # Marks of kana and the later parts of Korean syllables compose, too.
    return _Grammar(alone, mark, letter, word, re.compile(f"(?s:.[{marks}\u1160-\u11ff\u3099\u309a\uff9e\uff9f]*)"))


def split_words(folded: str) -> list[str]:
    """Return the words of a folded text, in order."""
    return _grammar().word.findall(folded)


@dataclass(frozen=True, slots=True)
class Term:
    """One thing to look for: words that follow one another, the last one perhaps only the beginning of a word.

    ``pattern`` matches at each place of a folded text where it begins; what follows is in group 1, if there is one.
    ``needle`` is ASCII that is in every text with the term (see ``possible_rows``), b"" where there is none.
    """

    words: tuple[str, ...]
    is_prefix: bool
    pattern: re.Pattern[str]
    needle: bytes

    @classmethod
    def of(cls, words: Sequence[str], is_prefix: bool = False) -> Term:
        """Return the term of folded words."""
        runs = [run for word in words for run in _ASCII_RUN.findall(word)]
        needle = max(runs, key=len, default="").encode()
        is_prefix = is_prefix and not _is_unspaced(words[-1])
        return cls(tuple(words), is_prefix, re.compile(_expression(words, is_prefix)), needle)

    def spans(self, folded: str) -> Iterator[tuple[int, int]]:
        """Yield where it is in a folded text, as (start, end)."""
        for found in self.pattern.finditer(folded):
            yield found.start(), found.end(1) if found.re.groups else found.end()


def _is_unspaced(word: str) -> bool:
    return bool(_IS_UNSPACED.match(word))


def _expression(words: Sequence[str], is_prefix: bool) -> str:
    """Return the regular expression of a term.

    It begins with the literal to be found, which the engine searches for fast, and looks back from there.  Only the
    first word is consumed, so that occurrences which overlap are all found.
    """
    alone, mark, letter, *_ = _grammar()
    first = words[0]
    if _is_unspaced(first):
        head, rest = re.escape(first[0]), re.escape(first[1:])
    else:
        word = re.escape(first)
        head, rest = f"{word}(?<!{alone}{word})(?<!{mark}{word})", ""
    for before, word in pairwise(words):
        least = "*" if _is_unspaced(before) or _is_unspaced(word) else "+"
        rest += rf"(?:(?!{letter}|[{_UNSPACED}{BETWEEN}]).){least}{re.escape(word)}"
    if is_prefix:
        rest += f"{letter}*"
    end = "" if is_prefix or _is_unspaced(words[-1]) else f"(?!{letter})"
    return f"(?s:{head}(?=({rest}){end}))" if rest else f"(?s:{head}{end})"


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for.  A text with any of ``terms`` is found, but none with one of ``excluded``."""

    terms: tuple[Term, ...]
    excluded: tuple[Term, ...] = ()

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where a text, as it is, has any of the terms: (start, end), in order and apart from one another."""
        folded, starts, ends = _fold_with_places(text)
        found = sorted((starts[a], ends[b - 1]) for term in self.terms for a, b in term.spans(folded))
        joined: list[tuple[int, int]] = []
        for start, end in found:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined


def parse_query(text: str) -> Query:
    """Return the query a user typed.

    ``word``, ``begin*``, ``"a phrase"``, and each of them with a minus before it to leave out what has it.  What is
    typed as one but is several words (``bge-small``) is a phrase.  Raises: UsageError (bad-option).
    """
    wanted: dict[tuple[tuple[str, ...], bool], Term] = {}
    excluded: list[Term] = []
    for chunk in _CHUNK.finditer(text.translate(_QUOTES)):
        bare = chunk["bare"]
        is_prefix = bare.endswith("*") if bare is not None else bool(chunk["star"])
        try:
            words = split_words(fold(bare if bare is not None else chunk["quoted"]))
        except UnicodeError:
            words = []
        if not words:
            continue
        if chunk["not"]:
            excluded.append(Term.of(words, is_prefix))
            continue
        for term in (Term.of(words, is_prefix),) if bare is None else _terms_of(words, is_prefix):
            wanted.setdefault((term.words, term.is_prefix), term)
    if not wanted:
        why = "it only says what to leave out" if excluded else "it holds no word"
        raise UsageError(f"there is nothing to look for in the query {text!r:.200}: {why}", code="bad-option")
    if len(wanted) > MAX_TERMS:
        raise UsageError(f"the query has {len(wanted)} words, the limit is {MAX_TERMS}", code="bad-option")
    return Query(tuple(wanted.values()), tuple(excluded))


def _terms_of(words: list[str], is_prefix: bool) -> Iterator[Term]:
    """Yield the terms of what was typed without a space."""
    if not any(map(_is_unspaced, words)):
        yield Term.of(words, is_prefix)
        return
    run = ""
    for place, word in enumerate((*words, "")):
        if word and _is_unspaced(word):
            run += word
            continue
        yield from (Term.of((run[at : at + 2],)) for at in range(max(len(run) - 1, min(len(run), 1))))
        run = ""
        if word:
            yield Term.of((word,), is_prefix and place == len(words) - 1)


def _fold_with_places(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """Return a text folded, and for each character of that where what it comes from starts and ends in the text."""
    if text.isascii():
        return text.lower(), range(len(text)), range(1, len(text) + 1)
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for piece in _grammar().marked.finditer(text):
        folded = fold(piece.group())
        parts.append(folded)
        starts += [piece.start()] * len(folded)
        ends += [piece.end()] * len(folded)
    return "".join(parts), starts, ends


def possible_rows(query: Query, bodies: Sequence[bytes]) -> list[int]:
    """Return the numbers of the record bodies that may hold a term of a query, ascending; never one too few.

    A letter of ASCII in a folded text was that letter or its capital in the source, unless the source has one of the
    few characters that fold to ASCII.  JSON escapes no letter, so the bytes can be searched as they are.
    """
    joined = b"".join(bodies)
    ends = list(accumulate(map(len, bodies)))
    needles = {term.needle for term in query.terms}
    if b"" in needles:
        needles.discard(b"")
        found = {row for row, body in enumerate(bodies) if not body.isascii()}
    else:
        found = _rows_folding_to(joined, ends, tuple(sorted(needles)))
    lowered = joined.lower()
    for needle in needles:
        at = lowered.find(needle)
        while at >= 0:
            row = bisect_right(ends, at)
            found.add(row)
            at = lowered.find(needle, ends[row])
    return sorted(found)


def _rows_folding_to(joined: bytes, ends: list[int], needles: tuple[bytes, ...]) -> set[int]:
    """Return the rows with a character that may be a part of a needle when folded."""
    import numpy as np

    raw = np.frombuffer(joined + b"\0\0\0", np.uint8)
    leads = np.flatnonzero(raw >= 0xC2)
    if not len(leads):
        return set()
    first, second, third, fourth = (raw[leads + step].astype(np.int32) for step in range(4))
    points = np.select(
        [first < 0xE0, first < 0xF0],
        [(first & 31) << 6 | second & 63, (first & 15) << 12 | (second & 63) << 6 | third & 63],
        (first & 7) << 18 | (second & 63) << 12 | (third & 63) << 6 | fourth & 63,
    )
    places = leads[_folding_table(needles)[points]]
    return set(np.searchsorted(ends, places, side="right").tolist())


@functools.lru_cache(maxsize=8)
def _folding_table(needles: tuple[bytes, ...]) -> NDArray[Any]:
    """Return which code points beyond ASCII may be a part of a needle when folded."""
    import numpy as np

    table = np.zeros(1 << 21, bool)
    wanted = [needle.decode() for needle in needles]
    for entry in _FOLDS_TO_ASCII.split():
        first, _, last = entry.partition("-")
        for point in range(int(first, 16), int(last or first, 16) + 1):
            # The second form is before letters and marks are composed again.
            forms = (fold(chr(point)), unicodedata.normalize("NFKC", chr(point)).casefold())
            table[point] = any(_may_overlap(form, needle) for form in forms for needle in wanted)
    return table


def _may_overlap(folded: str, needle: str) -> bool:
    """Whether a folded character can be inside a needle, around it, or across one of its ends; nothing always can."""
    return (
        folded in needle
        or needle in folded
        or any(needle.startswith(folded[at:]) or needle.endswith(folded[:at]) for at in range(1, len(folded)))
    )
