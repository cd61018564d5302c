"""What an HTTP service said: an answer, its JSON, how long it asks us to wait, and its own words, made safe to show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from vexrepo.errors import VexError

_LONGEST_WORDS = 200
_TELLING = ("message", "error_description", "detail", "error", "errors", "status")
_TITLE = re.compile(rb"<title[^>]*>(.{1,400}?)</title>", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came: status, headers (names in lower case), body.  ``where`` is the URL without its query."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    where: str
    _complain: Callable[[str], VexError] = field(repr=False)  # the error for an answer that makes no sense
    _secrets: tuple[str, ...] = field(default=(), repr=False)

    def json(self) -> Any:
        """Return the body's JSON value.  Raises: the client's error for answers that make no sense."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            got = "a web page" if self.is_page else "something else"
            words = self.words()
            raise self._complain(
                f"{self.where} answered {self.status} with {got} where JSON was expected"
                + (f" ({words})" if words else "")
                + ": check the address, and whether a login page or a proxy stands in between"
            ) from error

    def fields(self) -> Fields:
        """Return the members of the JSON object that the body is.  Raises: as ``json``."""
        return self.fields_of(self.json())

    def fields_of(self, value: Any) -> Fields:
        """Return the members of a JSON object that was found in the body.  Raises: as ``json``."""
        return Fields(value, self.where, self._complain)

    @property
    def size_bytes(self) -> int:
        """The length of the body."""
        return len(self.body)

    @property
    def is_page(self) -> bool:
        """Whether the body is HTML."""
        kind = self.headers.get("content-type", "").lower()
        return "html" in kind or self.body[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))

    def words(self) -> str:
        """Return what the service says in its own words, in one line without secrets; empty if it says nothing."""
        if self.is_page:
            title = _TITLE.search(self.body[:65_536])
            return self._safe(title[1].decode("utf-8", "replace")) if title else ""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return self._safe(self.body.decode("utf-8", "replace"))
        return self._safe("; ".join(dict.fromkeys(_sentences(value))))

    def _safe(self, text: str) -> str:
        return safe_words(text, self._secrets)

    def wait_s(self) -> float | None:
        """Return how long the service asks us to wait, in seconds; None if it does not.

        Times of day are compared with the service's own clock (its Date header), so that ours may be wrong.
        """
        seconds = self.header_number("retry-after")
        if seconds is not None:
            return float(seconds)
        then, now = _moment(self.headers.get("retry-after", "")), _moment(self.headers.get("date", ""))
        if then is not None and now is not None:
            return max(0.0, (then - now).total_seconds())
        for prefix in ("x-ratelimit", "ratelimit"):  # as GitHub and GitLab say it: seconds since 1970
            if self.header_number(f"{prefix}-remaining") == 0:
                left = self.seconds_until(self.header_number(f"{prefix}-reset"))
                return None if left is None else float(left)
        return None

    def header_number(self, name: str) -> int | None:
        """Return a header that is a whole number; None if it is absent or something else."""
        found = self.headers.get(name, "").strip()
        return int(found) if _NUMBER.fullmatch(found) else None

    def seconds_until(self, epoch_s: int | None) -> int | None:
        """Return the seconds until a moment given in seconds since 1970, by the service's clock; None: not known."""
        now = _moment(self.headers.get("date", ""))
        return None if epoch_s is None or now is None else max(0, round(epoch_s - now.timestamp()))

    @property
    def is_busy(self) -> bool:
        """Whether the service turned us away for now: too many requests, or overloaded and saying until when."""
        if self.status == 429:
            return True
        if self.status == 403:  # GitHub says it so; a 403 for want of rights has none of these
            is_spent = self.header_number("x-ratelimit-remaining") == 0
            return is_spent or "retry-after" in self.headers or "rate limit" in self.words().lower()
        return self.status == 503


class Fields:
    """The members of a JSON object, taken with their types.  An absent member and null are both None."""

    __slots__ = ("_complain", "_where", "value")

    def __init__(self, value: Any, where: str, complain: Callable[[str], VexError]) -> None:
        if not isinstance(value, dict):
            raise complain(f"{where} answered with {_kind(value)} where a JSON object was expected")
        self.value: dict[str, Any] = value
        self._where = where
        self._complain = complain

    def _take(self, name: str, kind: type | tuple[type, ...], wanted: str) -> Any:
        found = self.value.get(name)
        if found is not None and (not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool)):
            raise self._complain(f"{self._where} answered with {_kind(found)} as {name!r} where {wanted} was expected")
        return found

    def text(self, name: str) -> str | None:
        """Return a member that is text."""
        found: str | None = self._take(name, str, "text")
        return found

    def need_text(self, name: str) -> str:
        """Return a member that is text and must be there."""
        found = self.text(name)
        if not found:
            raise self._complain(f"{self._where} answered without {name!r}")
        return found

    def flag(self, name: str) -> bool | None:
        """Return a member that is true or false."""
        found: bool | None = self._take(name, bool, "true or false")
        return found

    def number(self, name: str) -> int | None:
        """Return a member that is a number, its fraction cut off."""
        found = self._take(name, (int, float), "a number")
        return None if found is None else int(found)

    def part(self, name: str) -> Fields | None:
        """Return a member that is an object."""
        found = self._take(name, dict, "an object")
        return None if found is None else Fields(found, self._where, self._complain)

    def parts(self, name: str) -> list[Fields]:
        """Return a member that is an array of objects; an empty list if it is absent."""
        found = self._take(name, list, "an array")
        return [Fields(item, self._where, self._complain) for item in found or ()]

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Return a member that is an array of objects, these as they are; an empty list if it is absent."""
        found: list[dict[str, Any]] = self._take(name, list, "an array") or []
        if not {dict}.issuperset(map(type, found)):
            raise self._complain(f"{self._where} answered with other things than objects in {name!r}")
        return found

    def texts(self, name: str) -> list[str] | None:
        """Return a member that is an array of texts."""
        found: list[str] | None = self._take(name, list, "an array")
        if found is not None and not all(isinstance(item, str) for item in found):
            raise self._complain(f"{self._where} answered with other things than text in {name!r}")
        return found


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {
        dict: "an object",
        list: "an array",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "something else")


def _sentences(value: Any, depth: int = 0) -> Iterable[str]:
    """Yield the texts by which services explain a failure, in their order: GitHub's, GitLab's, Gitea's, Qdrant's …"""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth < 4:
        for item in value[:5]:
            yield from _sentences(item, depth + 1)
    elif isinstance(value, dict) and depth < 4:
        known = [name for name in _TELLING if value.get(name) and (name != "status" or isinstance(value[name], dict))]
        if known or depth == 0:
            for name in known:
                yield from _sentences(value[name], depth + 1)
        else:  # {"name": ["has already been taken"]}
            for name, item in list(value.items())[:5]:
                yield from (f"{name} {text}" for text in _sentences(item, depth + 1))


def safe_words(text: str, secrets: Iterable[str] = (), longest: int = _LONGEST_WORDS) -> str:
    """Return text from outside for a message: one short line, nothing that moves a terminal's cursor, no secret."""
    for secret in secrets:
        text = text.replace(secret, "…")
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: longest * 4])
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None
