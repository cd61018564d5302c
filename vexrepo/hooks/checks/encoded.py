"""Texts inside a text: base64, hexadecimal, percent signs, escapes, entities, rot13, backwards, letters set apart."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from vexrepo.hooks.checks.lexicon import Class
from vexrepo.hooks.checks.signals import Hit

MOST = 32  # encoded parts of one text that are looked into
_LONG = re.compile(r"[A-Za-z0-9+/_-]{20,8192}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){10,}")
_HEX_PAIRS = re.compile(r"(?<![0-9a-fA-F])(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ ,:]{1,2}){10,4096}(?:0x|\\x)?[0-9a-fA-F]{2}")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_ENTITY = re.compile(r"&#x?[0-9a-fA-F]{2,6};")
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_APART = re.compile(r"(?<![^\W_])(?:[^\W_][ .\-_*|/,]{1,6}){7,2000}[^\W_](?![^\W_])")
_SIGNS = re.compile(r"[ .\-_*|/,]+")
_FEWEST = 6  # escapes, letters apart
_FEWEST_PAIRS = 11  # of hexadecimal digits
_LONG_WORD = Class.LONG
_ENCODED = _LONG_WORD | (Class.BACKWARDS | Class.ROTATED | Class.LETTER | Class.PAIR)
_ROT13 = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM"
)


def may_be_encoded(folded: str, hits: Sequence[Hit], present: int) -> bool:
    """Whether ``iter_decoded`` may yield anything for a text, seen its folded form; most are done with this."""
    if present & _ENCODED:
        if present & (_LONG_WORD | Class.BACKWARDS | Class.ROTATED):
            return True
        if present & Class.LETTER and sum(1 for _, kind in hits if kind & Class.LETTER) >= _FEWEST:
            return True
        if present & Class.PAIR and sum(1 for _, kind in hits if kind & Class.PAIR) >= _FEWEST_PAIRS:
            return True
    return any(sign in folded and folded.count(sign) >= _FEWEST for sign in ("%", "\\", "&#"))


def iter_decoded(text: str, present: int) -> Iterator[str]:
    """Yield the texts that parts of a text, or all of it, stand for; ``present`` are the classes of its words."""
    if present & Class.ROTATED:
        yield text.translate(_ROT13)
    if present & Class.BACKWARDS:
        yield text[::-1]
    for number, match in enumerate(_LONG.finditer(text)):
        if number == MOST:
            break
        if not UUID.fullmatch(match.group()):
            yield from _decode_long(match.group(), text[match.end() : match.end() + 2])
    for number, match in enumerate(_HEX_PAIRS.finditer(text) if present & Class.PAIR else ()):
        if number == MOST:
            break
        inner = _readable(bytes.fromhex(re.sub(r"0x|\\x|[ ,:]", "", match.group())))
        if inner:
            yield inner
    if text.count("%") >= _FEWEST and len(_PERCENT.findall(text)) >= _FEWEST:
        yield unquote(text, errors="ignore")
    if text.count("\\") >= _FEWEST and len(_ESCAPE.findall(text)) >= _FEWEST:
        yield (
            _ESCAPE.sub(lambda match: chr(int(match.group(1) or match.group(2), 16)), text)
            .encode("utf-8", "ignore")
            .decode()
        )
    if text.count("&#") >= _FEWEST and len(_ENTITY.findall(text)) >= _FEWEST:
        yield html.unescape(text).encode("utf-8", "ignore").decode()
    for number, match in enumerate(_APART.finditer(text) if present & Class.LETTER else ()):
        if number == MOST:
            break
        yield _SIGNS.sub("", match.group())


def _decode_long(word: str, after: str) -> Iterator[str]:
    if _HEX.fullmatch(word):
        inner = _readable(bytes.fromhex(word))
        if inner:
            yield inner
        return
    body = word.strip("-_") if set(word[:1] + word[-1:]) & set("-_") else word
    padded = body + "=" * (-len(body) % 4)
    if len(body) % 4 == 1 and not after.startswith("="):
        padded = body[:-1]
    try:
        raw = base64.b64decode(padded, altchars=b"-_" if "-" in body or "_" in body else None)
    except (binascii.Error, ValueError):
        return
    inner = _readable(raw)
    if inner:
        yield inner


def _readable(raw: bytes) -> str:
    """Return bytes as a text, "" where they are none: vectors, hashes, pictures."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    odd = sum(not each.isprintable() and each not in "\n\r\t" for each in text)
    return text if odd * 10 <= len(text) else ""
