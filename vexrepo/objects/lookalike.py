"""Names that look like other names: letters of different scripts with one shape, and signs people mix up.

A small part of Unicode's confusables (UTS #39): those that stand for Latin letters and digits, in which names of keys
are mostly written.  Two names with one skeleton are taken for one name by somebody who reads quickly.
"""

from __future__ import annotations

import unicodedata
from typing import Final

# Lower case after NFKC and case folding; each row: what it looks like, then what looks like it (Cyrillic, Greek,
# Armenian, and Latin letters of phonetics).
_ROWS: Final = (
    ("a", "\u0430\u0251\u03b1"),
    ("b", "\u044c\u0432\u03b2"),
    ("c", "\u0441\u03f2"),
    ("d", "\u0501\u0257"),
    ("e", "\u0435\u04bd\u0454\u03b5"),
    ("f", "\u0493\u03dd"),
    ("g", "\u0261\u050d\u0581"),
    ("h", "\u04bb\u0570\u043d"),
    ("j", "\u0458\u03f3"),
    ("k", "\u043a\u03ba\u0138\u049b"),
    ("l", "1i|\u04cf\u0456\u03b9\u0131\u05df\u043b\u0269"),
    ("m", "\u043c\u03fb"),
    ("n", "\u043f\u03b7\u0578\u057c"),
    ("o", "0\u043e\u03bf\u03c3\u0585"),
    ("p", "\u0440\u03c1"),
    ("q", "\u051b\u0563"),
    ("r", "\u0433\uab47"),
    ("s", "\u0455\ua731"),
    ("t", "\u0442\u03c4"),
    ("u", "\u03c5\u057d\u0446"),
    ("v", "\u03bd\u0475"),
    ("w", "\u051d\u0461\u03c9\u0561"),
    ("x", "\u0445\u03c7"),
    ("y", "\u0443\u03b3\u04af\u10e7"),
    ("z", "\u1d22"),
)
_SHAPES: Final = str.maketrans({sign: shape for shape, signs in _ROWS for sign in signs})


def skeleton(name: str) -> str:
    """Return what a name looks like; names with one skeleton look alike."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    bare = "".join(mark for mark in unicodedata.normalize("NFD", folded) if not unicodedata.combining(mark))
    shaped = bare.translate(_SHAPES)
    return " ".join(shaped.replace("rn", "m").replace("vv", "w").split())


def scripts(name: str) -> list[str]:
    """Return the scripts of a name's letters, such as ``Latin`` and ``Cyrillic``, sorted."""
    found = {unicodedata.name(mark, "UNKNOWN").split()[0].capitalize() for mark in name if mark.isalpha()}
    return sorted(found)


def deceives(name: str) -> bool:
    """Whether a name could be read as another: letters of several scripts, or of another that look Latin."""
    if name.isascii():
        return False
    found = scripts(name)
    return len(found) > 1 or (found not in ([], ["Latin"]) and skeleton(name).isascii())
