"""Whose public keys a user knows, with what each may sign, in a file of the user's configuration folder.

Format: objects/KEYS.md, "Known keys".  A file of version 1 (names and keys only) is read, and written as version 2.
What a later version adds to an entry may narrow it, so an entry with other members is refused, not read in part.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import orjson

from vexrepo.errors import InvalidData, StateError, UsageError
from vexrepo.objects import canonical
from vexrepo.objects.lookalike import skeleton
from vexrepo.objects.signature import KEY_BYTES, is_proper_key
from vexrepo.objects.timestamp import format_time, parse_time_us
from vexrepo.objects.trust import KnownKey
from vexrepo.storage.files import Files, wrapped
from vexrepo.storage.lock import writer_lock

VERSION = 2
MAX_NAME = 100
MAX_TEXT = 1000  # of a note or reason
MAX_BYTES = 1 << 24
_DIGITS = re.compile(r"[0-9a-fA-F]{64}")
_LOCK_TIMEOUT_S = 10
_REQUIRED = ("name", "key", "added_at")
_OPTIONAL = ("valid_from", "valid_until", "revoked", "namespaces", "components", "note")


class Changed(NamedTuple):
    """An entry before and after a change; ``before`` None where it is new."""

    before: KnownKey | None
    after: KnownKey


def parse_public_key(text: str, where: str) -> bytes:
    """Return the public key of a text: 64 digits, or ``ed25519:`` and base64 (or 64 digits).

    Raises: InvalidData (key-unreadable, weak-key), without showing the text, which may be a private key.
    """
    body = text.strip().removeprefix("ed25519:")
    if _DIGITS.fullmatch(body):
        raw = bytes.fromhex(body)
    else:
        try:
            raw = base64.b64decode(body, validate=True) if text.strip().startswith("ed25519:") else b""
        except (ValueError, binascii.Error):
            raw = b""
    if len(raw) != KEY_BYTES:
        raise InvalidData(
            f"{where} is not a public key: expected 64 digits, or ed25519: and base64", code="key-unreadable"
        )
    if not is_proper_key(raw):
        raise InvalidData(
            f"{where} is a key that fits signatures nobody made (of small order, or not a point at all): it is never "
            "accepted",
            code="weak-key",
        )
    return raw


def looks_like_key(text: str) -> bool:
    """Whether a text is meant as a public key, not as a name."""
    return bool(_DIGITS.fullmatch(text)) or text.startswith("ed25519:")


class TrustStore:
    """The public keys a user vouches for.

    ``own`` are the user's own keys with their names, which count by themselves; ``warn`` is told of a file that others
    can write.  Every change is made under a lock and written whole.
    """

    def __init__(
        self,
        path: Path,
        files: Files,
        own: Mapping[bytes, str] | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.path = path
        self._files = files
        self._own = dict(own or {})
        self._warn = warn

    def read(self) -> list[KnownKey]:
        """Return all keys, sorted by name.  Raises: InvalidData (trust-unreadable)."""
        if not self.path.exists():
            return []
        with wrapped("read", self.path), open(self.path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(MAX_BYTES + 1)
        if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
            self._warn(f"others on this machine can write {self.path}, and so say whose keys you trust; chmod 600 it")
        if len(raw) > MAX_BYTES:
            self._refuse(f"it is larger than {MAX_BYTES} bytes")
        try:
            value = canonical.parse(raw)
        except InvalidData as error:
            self._refuse(str(error))
        if not isinstance(value, dict) or type(value.get("version")) is not int:
            self._refuse("it does not say its version")
        version = value["version"]
        if version not in (1, VERSION):
            self._refuse(f"it has version {version}, this vexrepo knows versions up to {VERSION}; please update")
        listed = value.get("keys")
        if set(value) != {"version", "keys"} or not isinstance(listed, list):
            self._refuse('expected exactly "version" and "keys"')
        try:
            found = [_decode(entry, version) for entry in listed]
        except InvalidData as error:
            self._refuse(str(error))
        if len({each.name for each in found}) != len(found) or len({each.key for each in found}) != len(found):
            self._refuse("a name or a key is there twice")
        return sorted((replace(each, is_own=each.key in self._own) for each in found), key=lambda each: each.name)

    def _refuse(self, why: str) -> NoReturn:
        raise InvalidData(
            f"{self.path} cannot be used: {why}; no key in it counts until it is put right", code="trust-unreadable"
        )

    def find(self, what: str) -> KnownKey:
        """Return the entry of a name or of a key's digits.  Raises: UsageError (trust-unknown)."""
        return _find(self.read(), what)

    def add(self, new: KnownKey) -> bool:
        """Take a key; False if it is there exactly so.

        Raises: UsageError (bad-option), StateError (trust-exists) for a name or key in use, or a name that looks
        like another.
        """
        new = _checked(new)
        with self._changing() as known:
            for each in known:
                if each.key == new.key:
                    if replace(new, added_at=each.added_at, is_own=each.is_own) == each:
                        return False
                    self._refuse_known(each, new)
            self._check_free(new, known)
            self._write([*known, new])
        return True

    def _refuse_known(self, each: KnownKey, new: KnownKey) -> NoReturn:
        if each.name != new.name:
            why = f"that key is known already as {each.name!r}; `vex trust edit {each.name} --name NAME` renames it"
        else:
            why = f"{each.name!r} is known already, with other limits; `vex trust edit` changes them"
        raise StateError(why, code="trust-exists")

    def change(self, what: str, change: Callable[[KnownKey], KnownKey], new: KnownKey | None = None) -> Changed:
        """Replace an entry, named by name or digits; ``new`` stands for one that is not there yet.

        Raises: UsageError (trust-unknown, bad-option), StateError (trust-exists).
        """
        with self._changing() as known:
            before: KnownKey | None
            try:
                before = _find(known, what)
            except UsageError:
                if new is None:
                    raise
                before = None
            after = _checked(change(before or new))  # type: ignore[arg-type]
            after = replace(after, is_own=after.key in self._own)
            others = [each for each in known if each is not before]
            if before is None or after.name != before.name:
                self._check_free(after, others)
            if after != before:
                self._write([*others, after])
        return Changed(before, after)

    def remove(self, what: str, *, force: bool = False) -> KnownKey:
        """Forget a key, by name or by its digits.

        Raises: UsageError (trust-unknown); StateError (trust-narrows) where signatures would count for more without
        the entry, unless ``force``.
        """
        with self._changing() as known:
            gone = _find(known, what)
            if not force and (gone.revoked_us is not None or gone.is_own):
                if gone.revoked_us is not None:
                    why = f"{gone.name!r} is revoked, and would be a key like any other without its entry"
                else:
                    why = f"{gone.name!r} is a key of your own, and would count without limit without its entry"
                raise StateError(f"{why}; --force forgets it nevertheless", code="trust-narrows")
            self._write([each for each in known if each is not gone])
        return gone

    def follow(self, old: bytes, new: KnownKey, until_us: int) -> Changed:
        """Take ``new`` as the key of whoever had ``old``, whose period ends then.

        The new entry has the name and limits of the old one, which is named after its end.
        """
        with self._changing() as known:
            before = _find(known, old.hex())
            ends = until_us if before.valid_until_us is None else min(until_us, before.valid_until_us)
            day = format_time(ends)[:10]
            base = f"{before.name[: MAX_NAME - 26]} (until {day}"
            names = {each.name for each in known}
            retired = next(n for n in (f"{base})", *(f"{base}, {i})" for i in range(2, 99))) if n not in names)
            after = replace(before, key=new.key, added_at=new.added_at, is_own=new.key in self._own)
            others = [each for each in known if each is not before]
            for each in others:
                if each.key == new.key:
                    self._refuse_known(each, after)
            self._write([*others, replace(before, name=retired, valid_until_us=ends), after])
        return Changed(before, after)

    def _check_free(self, new: KnownKey, known: list[KnownKey]) -> None:
        taken = {each.name: each.key for each in known} | {name: key for key, name in self._own.items()}
        for name, key in taken.items():
            if key == new.key:
                continue
            if name == new.name:
                whose = "one of your own keys" if key in self._own else f"another key ({key.hex()})"
                raise StateError(
                    f"{name!r} is the name of {whose}; choose another --name, or `vex trust remove` that one first",
                    code="trust-exists",
                )
            if skeleton(name) == skeleton(new.name):
                raise StateError(
                    f"{new.name!r} looks like {name!r}, the name of another key; choose another --name",
                    code="trust-exists",
                )

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[KnownKey]]:
        self._files.make_folder(self.path.parent)
        with writer_lock(self.path.with_suffix(".lock"), _LOCK_TIMEOUT_S):
            yield self.read()

    def _write(self, known: list[KnownKey]) -> None:
        listed = [_encode(each) for each in sorted(known, key=lambda each: each.name)]
        content = orjson.dumps({"version": VERSION, "keys": listed}, option=orjson.OPT_INDENT_2)
        self._files.write(self.path, content + b"\n", mode=0o600)


def _find(known: list[KnownKey], what: str) -> KnownKey:
    key = parse_public_key(what, "KEY") if looks_like_key(what) else None
    for each in known:
        if each.key == key or (key is None and each.name == what):
            return each
    names = ", ".join(repr(each.name) for each in known) or "none"
    raise UsageError(f"no known key is named {what!r} (known: {names})", code="trust-unknown")


def _checked(new: KnownKey) -> KnownKey:
    """Return an entry as it is stored.  Raises: UsageError (bad-option) where it says what no entry may."""
    name = unicodedata.normalize("NFC", new.name)
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise UsageError(
            f"{name!r:.120} cannot be the name of a key: expected up to {MAX_NAME} visible characters, without spaces "
            "around them",
            code="bad-option",
        )
    if looks_like_key(name):
        raise UsageError(f"{name!r:.120} cannot be the name of a key: it is a key itself", code="bad-option")
    start, end = new.valid_from_us, new.valid_until_us
    if start is not None and end is not None and start >= end:
        raise UsageError(
            f"a period from {format_time(start)} until {format_time(end)} covers nothing: it ends before it starts",
            code="bad-option",
        )
    for what, text in (("note", new.note), ("reason", new.reason)):
        if len(text) > MAX_TEXT or not text.isprintable():
            raise UsageError(f"a {what} has up to {MAX_TEXT} visible characters on one line", code="bad-option")
    return replace(new, name=name)


def _encode(known: KnownKey) -> dict[str, Any]:
    value: dict[str, Any] = {"name": known.name, "key": known.key.hex(), "added_at": known.added_at}
    if known.valid_from_us is not None:
        value["valid_from"] = format_time(known.valid_from_us)
    if known.valid_until_us is not None:
        value["valid_until"] = format_time(known.valid_until_us)
    if known.revoked_us is not None:
        value["revoked"] = {"from": format_time(known.revoked_us), "reason": known.reason}
    if known.namespaces:
        value["namespaces"] = sorted(known.namespaces)
    if known.components:
        value["components"] = sorted(known.components)
    if known.note:
        value["note"] = known.note
    return value


def _decode(entry: Any, version: int) -> KnownKey:
    """Return the key of an entry.  Raises: InvalidData for anything that is not exactly one."""
    if not isinstance(entry, dict):
        raise _wrong("an entry is not an object")
    optional = _OPTIONAL if version > 1 else ()
    unknown = sorted(set(entry) - {*_REQUIRED, *optional})
    if unknown:
        raise _wrong(f"an entry has a member {unknown[0]!r:.60}, which version {version} does not have")
    name, text, added_at = (entry.get(member) for member in _REQUIRED)
    if not (isinstance(name, str) and isinstance(text, str) and isinstance(added_at, str)):
        raise _wrong(f"an entry lacks one of {', '.join(_REQUIRED)}")
    revoked_us, reason = None, ""
    if "revoked" in entry:
        match entry["revoked"]:
            case {"from": str() as start, "reason": str(reason), **rest} if not rest:
                revoked_us = _time(start, name)
            case _:
                raise _wrong(f"revoked of {name!r:.60} is not an object of from and reason")
    note = entry.get("note", "")
    if not isinstance(note, str):
        raise _wrong(f"note of {name!r:.60} is not text")
    return KnownKey(
        name,
        parse_public_key(text, f"the key of {name!r:.60}"),
        added_at,
        _time(entry["valid_from"], name) if "valid_from" in entry else None,
        _time(entry["valid_until"], name) if "valid_until" in entry else None,
        revoked_us,
        reason,
        _names(entry, "namespaces", name),
        _names(entry, "components", name),
        note,
    )


def _time(text: Any, name: str) -> int:
    found = parse_time_us(text) if isinstance(text, str) else None
    if found is None:
        raise _wrong(f"a time of {name!r:.60} is {text!r:.40}, expected one such as 2026-01-31T12:00:00.000Z")
    return found


def _names(entry: dict[str, Any], member: str, name: str) -> frozenset[str]:
    listed = entry.get(member)
    if member not in entry:
        return frozenset()
    # An empty list could be read as "all" or as "none".
    if not isinstance(listed, list) or not listed or not all(isinstance(each, str) for each in listed):
        raise _wrong(f"{member} of {name!r:.60} is not a list of one or more names")
    return frozenset(listed)


def _wrong(why: str) -> InvalidData:
    return InvalidData(why, code="trust-unreadable")
