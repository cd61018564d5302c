"""The texts of a memory, one by one: what it says, what its metadata say, and how those are called."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import orjson

from vexrepo.objects.record import Record, body_value

LEAST_NUMBER = 10**8  # numbers from here on are looked at as texts: of a card, an account
_NAME_SHOWN = 40
_NAME = re.compile(rf"[\w .-]{{0,{_NAME_SHOWN}}}")
_SURELY = 8  # characters of a name that is shown whatever its digits
_WORDS = re.compile(r"(?:[^\W\d_]*\d{0,4}(?:[ _.-]|$))*")
_SHORT, _MOST_KNOWN = 60, 1 << 14
_OF_THE_FORMAT = frozenset(("vex_version", "created_at", "dims", "score", "vector", "vectors"))
_MEMBERS = frozenset(
    (*_OF_THE_FORMAT, "id", "text", "model", "namespace", "metadata", "source_store", "modality", "memory_type")
)


class QuietTexts:
    """Short texts in which nothing was found, so that what recurs in every memory is looked at once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __contains__(self, text: str) -> bool:
        return text in self._known

    def add(self, text: str) -> None:
        """Remember a text, if it is short and there is room."""
        if len(text) <= _SHORT and len(self._known) < _MOST_KNOWN:
            self._known.add(text)


class Text(NamedTuple):
    """A string of a record: ``path`` leads to it (members' names and places in arrays), or it is that member's name."""

    path: tuple[str | int, ...]
    text: str
    is_name: bool

    @property
    def label(self) -> str:
        """The name of the nearest member that holds it, "" for a name."""
        if self.is_name:
            return ""
        return next((step for step in reversed(self.path) if isinstance(step, str)), "")


def strings_of(record: Record) -> list[str]:
    """Return the same strings as ``texts_of``, in some order and without saying where they are, quickly."""
    found: list[str] = []
    value = _value(record)
    nested: list[Any] = []
    for name, item in value.items():
        if name not in _MEMBERS:
            found.append(name)
        kind = type(item)
        if kind is str:
            if name not in _OF_THE_FORMAT or len(item) > _NAME_SHOWN:
                found.append(item)
        elif kind is dict or kind is list:
            nested.append(item)
        elif kind is int and name not in _OF_THE_FORMAT and abs(item) >= LEAST_NUMBER:
            found.append(str(item))
    for each in nested:  # grows while it is read
        if type(each) is dict:
            found.extend(each)
            inner: Iterable[Any] = each.values()
        else:
            inner = each
        for item in inner:
            kind = type(item)
            if kind is str:
                found.append(item)
            elif kind is dict or kind is list:
                nested.append(item)
            elif kind is int and abs(item) >= LEAST_NUMBER:
                found.append(str(item))
    return found


def texts_of(record: Record) -> tuple[Text, ...]:
    """Return every text of a record, names of members included, vectors and the format's own members left out."""
    texts: list[Text] = []
    nested: list[tuple[tuple[str | int, ...], Any]] = []
    for name, item in _value(record).items():
        path: tuple[str | int, ...] = (name,)
        if name not in _MEMBERS:
            texts.append(Text(path, name, True))
        if type(item) is str and name in _OF_THE_FORMAT and len(item) <= _NAME_SHOWN:
            continue
        if type(item) in (dict, list) or name not in _OF_THE_FORMAT or type(item) is str:
            _add(path, item, texts, nested)
    for path, each in nested:  # grows while it is read
        if type(each) is dict:
            for name, item in each.items():
                texts.append(Text((*path, name), name, True))
                _add((*path, name), item, texts, nested)
        else:
            for place, item in enumerate(each):
                _add((*path, place), item, texts, nested)
    return tuple(texts)


def _add(path: tuple[str | int, ...], item: Any, texts: list[Text], nested: list[Any]) -> None:
    kind = type(item)
    if kind is str:
        texts.append(Text(path, item, False))
    elif kind is dict or kind is list:
        nested.append((path, item))
    elif kind is int and abs(item) >= LEAST_NUMBER:
        texts.append(Text(path, str(item), False))


def _value(record: Record) -> dict[str, Any]:
    try:
        value: dict[str, Any] = orjson.loads(record.body)
    except orjson.JSONDecodeError:  # an integer past 64 bits
        value = body_value(record.body)
    return value


def field_name(text: Text, hidden: Collection[str] = ()) -> str:
    """Return where a text is, e.g. ``metadata.tags[1]``.

    A member's name that is long, holds anything but letters, digits, blanks and ``_.-``, has digits between its letters
    as a token has, or is among ``hidden`` is shown as ``*``: names are a sender's words.
    """
    parts = []
    for step in text.path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
            continue
        is_plain = step not in hidden and _NAME.fullmatch(step) and (len(step) <= _SURELY or _WORDS.fullmatch(step))
        parts.append(("." if parts else "") + (step if is_plain else "*"))
    return "".join(parts) + (" (name)" if text.is_name else "")
