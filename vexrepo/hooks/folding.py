"""Texts brought to one plain form, so that a disguise does not change what a check reads.

``fold`` takes out what cannot be seen, turns compatibility forms (full width, mathematical letters) into plain ones,
look-alikes of other scripts into the Latin letters they imitate where mixed with those, drops case and accents.
"""

from __future__ import annotations

import re
import unicodedata

from vexrepo.hooks.invisible import INVISIBLE

# Letters of other scripts that look like a Latin one (a part of Unicode's confusables.txt), in pairs.
_PAIRS = (
    # Cyrillic
    "аa еe оo рp сc уy хx іi јj ѕs ԁd ԛq ԝw һh ӏl ѵv ґr кk мm тt вb нh зz ьb гr пn "
    "АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ІI ЈJ ЅS Ԍg ԚQ ԜW Ѵv ЗZ "
    # Greek
    "αa εe ιi κk νv οo ρp τt υu χx γy ωw ηn "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX "
    # Armenian, Cherokee, Latin
    "օo սu հh ոn ցg զq լl ᎪA ᏴB ᏟC ᎠD ᎬE ᎻH ᎫJ ᏦK ᏞL ᎷM ᏢP ᎡR ᏚS ᎢT ᏙV ᎳW ᏃZ "
    "ɑa ɡg ıi ɩi ʏy ᴀa ᴄc ᴅd ᴇe ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ᴢz øo łl đd ħh ŧt ß·"
)
CONFUSABLE = {ord(pair[0]): pair[1] for pair in _PAIRS.split() if pair[1] != "·"}
_FOREIGN = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u13a0-\u13fd"
# A run of letters in which one at least is of another script.
MIXED_WORD = re.compile(rf"[A-Za-z]*[{_FOREIGN}][A-Za-z{_FOREIGN}]*")
_ANY_FOREIGN = re.compile(f"[{_FOREIGN}]")
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]")
_LATIN = {ord(pair[0]): pair[1:] for pair in ["ßss", "øo", "łl", "đd", "ħh", "ŧt", "ıi", "æae", "œoe", "þth", "ðd"]}
_LATIN |= (
    dict.fromkeys(map(ord, "“”„‟«»″"), '"')
    | dict.fromkeys(map(ord, "’‘‚‛′"), "'")
    | dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
)
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_FOLDED: dict[str, str] = {}  # of characters that are usual, of which there are few
_QUOTES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'"})


# What is neither Latin letters nor everyday signs and pictures, soft hyphens included: needs the longer way.
_UNUSUAL = re.compile(
    "[^\x00-\xac\xae-\u024f\u02b0-\u02ff\u1e00-\u1eff\u2010-\u2027\u202f-\u205f\u2070-\u20cf\u2100-\u214f\u2190-\u27bf"
    "\u2b00-\u2bff\U0001f000-\U0001fbff]"
)


def is_usual(text: str) -> bool:
    """Whether a text has no letters but Latin ones, and nothing that hides."""
    return text.isascii() or not _UNUSUAL.search(text)


def fold(text: str) -> str:
    """Return the plain form of a text: what an attentive reader would read, in lower case without accents."""
    if text.isascii():
        return text.lower()
    if is_usual(text):
        return _NOT_ASCII.sub(_fold_character, text).lower()
    text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
    if _ANY_FOREIGN.search(text):
        text = MIXED_WORD.sub(_unmix, text)
    text = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", text.casefold())))
    return text.translate(_QUOTES)


def _fold_character(match: re.Match[str]) -> str:
    character = match.group()
    found = _FOLDED.get(character)
    if found is None:
        plain = _MARKS.sub("", unicodedata.normalize("NFKD", character.casefold())).translate(_LATIN)
        found = _FOLDED[character] = plain if plain.isascii() else " "
    return found


def _unmix(match: re.Match[str]) -> str:
    word = match.group()
    if word.isascii() or not is_imitation(word):
        return word
    return word.translate(CONFUSABLE)


def is_imitation(word: str) -> bool:
    """Whether a word of several scripts would be plain Latin if the others' letters were those they look like.

    "Δt" and "μm" are none: not every foreign letter has a double.  Fewer than four letters prove nothing.
    """
    if len(word) < 4 or word.isascii() or not any("a" <= each <= "z" or "A" <= each <= "Z" for each in word):
        return False
    return word.translate(CONFUSABLE).isascii()
