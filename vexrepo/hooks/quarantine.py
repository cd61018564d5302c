"""Quarantine: what the gate refused, kept apart for a look.

Each entry is a folder with a number: ``records.vmig.jsonl`` as they would have come in, and ``report.json``, which says
from where, why not, and what was found.  Nothing in it counts: it is in no ref and no store.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from vexrepo.errors import InvalidData, UsageError
from vexrepo.formats import vmig
from vexrepo.objects.record import Record
from vexrepo.storage.files import Files, wrapped

RECORDS: Final = "records.vmig.jsonl"
REPORT: Final = "report.json"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Report:
    """Why something is in quarantine.

    ``event`` is the one that was refused, ``source`` and ``target`` are as in ``hooks.event.Event``, ``code`` and
    ``reason`` say why; ``findings`` are those of the checks in their JSON form.
    """

    time_us: int
    event: str
    source: Mapping[str, str]
    target: Mapping[str, str]
    code: str
    reason: str
    signature: Mapping[str, Any] | None = None
    findings: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in quarantine: its number, why it is there, how many memories are left in it."""

    number: int
    report: Report
    records: int
    path: Path


class Quarantine:
    """The things kept apart in a folder."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self._files = files

    def numbers(self) -> list[int]:
        """Return the numbers in use, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(path.name) for path in self.folder.iterdir() if path.name.isdigit() and (path / REPORT).exists()
        )

    def keep(self, report: Report, records: Iterable[Record]) -> Entry:
        """Keep records apart, and return their entry.  Durable on return.  Raises: StorageFailure."""
        self._files.make_folder(self.folder)
        number = max((int(path.name) for path in self.folder.iterdir() if path.name.isdigit()), default=0) + 1
        path = self.folder / str(number)
        self._files.make_folder(path)
        return self._write(number, report, records)

    def _write(self, number: int, report: Report, records: Iterable[Record]) -> Entry:
        path = self.folder / str(number)
        count = 0

        def lines() -> Iterator[bytes]:
            nonlocal count
            for record in records:
                count += 1
                yield vmig.format_record(record) + b"\n"

        # The report comes last: without it there is no entry, whatever a crash left behind.
        self._files.write(path / RECORDS, lines(), mode=0o600)
        value = {
            "version": VERSION,
            "time_us": report.time_us,
            "event": report.event,
            "source": dict(report.source),
            "target": dict(report.target),
            "code": report.code,
            "reason": report.reason,
            "signature": dict(report.signature) if report.signature is not None else None,
            "findings": report.findings,
            "records": count,
        }
        self._files.write(path / REPORT, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n", mode=0o600)
        return Entry(number, report, count, path)

    def entry(self, number: int) -> Entry:
        """Return an entry.  Raises: UsageError (unknown-quarantine), InvalidData (quarantine-unreadable)."""
        path = self.folder / str(number)
        if number not in self.numbers():
            known = ", ".join(map(str, self.numbers())) or "none"
            raise UsageError(
                f"nothing in quarantine has the number {number} (there: {known})", code="unknown-quarantine"
            )
        with wrapped("read", path / REPORT):
            raw = (path / REPORT).read_bytes()
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            value = None
        match value:
            case {
                "version": 1,
                "time_us": int(time_us),
                "event": str(event),
                "source": dict(source),
                "target": dict(target),
                "code": str(code),
                "reason": str(reason),
                "signature": None | dict() as signature,
                "findings": list(findings),
                "records": int(count),
            }:
                report = Report(time_us, event, source, target, code, reason, signature, findings)
                return Entry(number, report, count, path)
        raise InvalidData(
            f"{path / REPORT} cannot be understood; look at {path / RECORDS} by hand, or drop it with "
            f"`vex quarantine drop {number}`",
            code="quarantine-unreadable",
        )

    def drop(self, number: int) -> Path:
        """Remove an entry for good, and return where it was.  Raises: UsageError (unknown-quarantine)."""
        path = self.folder / str(number)
        if number not in self.numbers():
            self.entry(number)
        self._files.remove(path / REPORT)  # first: what is half removed is no entry
        with wrapped("remove", path):
            shutil.rmtree(path)
        return path

    def without(self, entry: Entry, keys: frozenset[bytes]) -> Entry | None:
        """Take memories out of an entry, and return what is left of it; None where nothing is, and it was dropped."""
        left = [record for record in self.records(entry) if record.key not in keys]
        if not left:
            self.drop(entry.number)
            return None
        return self._write(entry.number, entry.report, left)

    def records(self, entry: Entry) -> Iterator[Record]:
        """Yield the records of an entry, as they would have come in.  Raises: InvalidData, StorageFailure."""
        path = entry.path / RECORDS
        with wrapped("read", path), open(path, "rb") as file:
            for line in file:
                yield vmig.parse_record(line)
