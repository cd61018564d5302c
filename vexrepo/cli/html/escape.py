"""Untrusted text made harmless for a page."""

from __future__ import annotations

import html
import re

# What cannot be seen, or turns the reading direction, is shown as an escape: all that ``text.plain`` shows so, and
# fillers, tags and variation selectors in which text can be smuggled.  Joiners stay between letters that need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
_HIDDEN_OR_LINE = re.compile(f"[\t\n]|{_HIDDEN.pattern}")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text as HTML that shows it and does nothing else; fit for elements and quoted attributes.

    Hidden characters become ``\\u202e`` and the like; ``lines`` keeps line ends and tabs.
    """
    pattern = _HIDDEN if lines else _HIDDEN_OR_LINE
    return html.escape(pattern.sub(_escape, text))


def marked(text: str, *, lines: bool = False) -> str:
    """Return a text as ``visible`` does, with each escape in an element that sets it apart (not for attributes)."""
    pattern = _HIDDEN if lines else _HIDDEN_OR_LINE
    parts, done = [], 0
    for match in pattern.finditer(text):
        parts.append(html.escape(text[done : match.start()]))
        parts.append(f'<span class="esc">{_escape(match)}</span>')
        done = match.end()
    return "".join((*parts, html.escape(text[done:])))


def _escape(match: re.Match[str]) -> str:
    mark = match.group()
    point = ord(mark)
    if mark in _SHORT:
        return _SHORT[mark]
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
