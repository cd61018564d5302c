"""``.vmig.meta.json``: what stands beside a vmig file, so that a damaged or incomplete copy is noticed.

The checksum is over the records' lines joined by newlines, without the last one, as the original tool computes it.
It protects from accidents only; a signature (``signature_file``) protects from people.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vexrepo.errors import InvalidData
from vexrepo.formats import javascript

ENDING: Final = ".vmig.meta.json"
VERSION: Final = "1.0.0"
_FILE_ENDING = re.compile(r"(\.vmig)?\.jsonl$")


def path_of(path: Path) -> Path:
    """Return where the sidecar of a vmig file is: ``memory.vmig.meta.json`` beside ``memory.vmig.jsonl``."""
    return path.with_name(_FILE_ENDING.sub("", path.name) + ENDING)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar says.  ``record_count`` and ``checksum`` are None where it does not say; ``extra`` is kept."""

    exported_at: str
    source_store: str
    record_count: int | None
    checksum: str | None
    extra: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the file's content, as the original tool writes it."""
        value = {
            "exported_at": self.exported_at,
            "source_store": self.source_store,
            "record_count": self.record_count,
            "checksum": self.checksum,
            "vex_version": VERSION,
            **self.extra,
        }
        return json.dumps({name: item for name, item in value.items() if item is not None}, indent=2).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Sidecar:
        """Return what a file says.  Raises: InvalidData (sidecar-unreadable)."""
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise InvalidData("it is not a JSON object", code="sidecar-unreadable")
        count, checksum = value.pop("record_count", None), value.pop("checksum", None)
        if not (count is None or type(count) is int) or not (checksum is None or isinstance(checksum, str)):
            raise InvalidData("its record_count is no number or its checksum no text", code="sidecar-unreadable")
        return cls(str(value.pop("exported_at", "")), str(value.pop("source_store", "")), count, checksum, value)


class Checksum:
    """Adds up lines, in order, to what a sidecar says of them."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._held = b""
        self.count = 0

    def add(self, lines: bytes, count: int) -> None:
        """Take lines, each with its newline."""
        self._hasher.update(self._held)
        self._held = lines
        self.count += count

    @property
    def text(self) -> str:
        """``sha256:`` and the digits."""
        found = self._hasher.copy()
        found.update(self._held.removesuffix(b"\n"))
        return f"sha256:{found.hexdigest()}"


def measure(lines: Iterable[bytes]) -> Checksum:
    """Return the checksum of lines as they are, white space around them left out."""
    found = Checksum()
    for line in lines:
        found.add(line.strip() + b"\n", 1)
    return found


def measure_printed(lines: Iterable[bytes]) -> Checksum:
    """Return the checksum of lines as the original tool would print them, which is slow.

    Raises: InvalidData where one of them is not JSON.
    """
    found = Checksum()
    for line in lines:
        printed = javascript.stringify(javascript.parse(javascript.decode_line(line).strip()))
        found.add(printed.encode("utf-8", "surrogatepass") + b"\n", 1)
    return found
