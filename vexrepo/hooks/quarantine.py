"""Quarantine: what the gate refused, kept apart for a look.

Each entry is a folder with a number: ``records.vmig.jsonl`` as they would have come in, and ``report.json``, which says
from where, why not, what was found, and what the records' file must be.  Nothing in it counts: it is in no ref and no
store.  A number is never used again: who looked at 1 must not accept another 1.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from blake3 import blake3

from vexrepo.errors import InvalidData, Tampered, UsageError
from vexrepo.formats import vmig
from vexrepo.objects.record import Record
from vexrepo.storage.files import Files, wrapped

RECORDS: Final = "records.vmig.jsonl"
REPORT: Final = "report.json"
LAST: Final = "last"
VERSION: Final = 1
_FILE: Final = re.compile(r"records(?:-([0-9]+))?\.vmig\.jsonl")


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
    """One thing in quarantine: its number, why it is there, how many memories are left in it.

    ``file`` holds them; ``digest`` is the BLAKE3 of its bytes, in hexadecimal.
    """

    number: int
    report: Report
    records: int
    path: Path
    file: Path
    digest: str


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
        number = max(self._last(), *(int(path.name) for path in self.folder.iterdir() if path.name.isdigit()), 0) + 1
        self._files.write(self.folder / LAST, b"%d\n" % number, mode=0o600)
        path = self.folder / str(number)
        self._files.make_folder(path)
        return self._write(number, report, records, RECORDS)

    def _last(self) -> int:
        """Return the number that was given last, 0 where that is not known."""
        path = self.folder / LAST
        with wrapped("read", path):
            text = path.read_bytes()[:20].strip() if path.is_file() else b""
        return int(text) if text.isdigit() else 0

    def _write(self, number: int, report: Report, records: Iterable[Record], name: str) -> Entry:
        path = self.folder / str(number)
        count, hasher = 0, blake3()

        def lines() -> Iterator[bytes]:
            nonlocal count
            for record in records:
                line = vmig.format_record(record) + b"\n"
                hasher.update(line)
                count += 1
                yield line

        # The report comes last: without it there is no entry, whatever a crash left behind.
        self._files.write(path / name, lines(), mode=0o600)
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
            "file": name,
            "digest": hasher.hexdigest(),
        }
        self._files.write(path / REPORT, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n", mode=0o600)
        return Entry(number, report, count, path, path / name, hasher.hexdigest())

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
                "file": str(name),
                "digest": str(digest),
            } if _FILE.fullmatch(name):
                report = Report(time_us, event, source, target, code, reason, signature, findings)
                return Entry(number, report, count, path, path / name, digest)
        raise InvalidData(
            f"{path / REPORT} cannot be understood; look at the memories beside it by hand ({RECORDS}), or drop them "
            f"with `vex quarantine drop {number}`",
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
        # Another file, which the report names: at any moment a crash leaves one of the two, whole.
        found = _FILE.fullmatch(entry.file.name)
        number = int(found[1] or 1) + 1 if found else 2
        kept = self._write(entry.number, entry.report, left, f"records-{number}.vmig.jsonl")
        self._files.remove(entry.file)
        return kept

    def records(self, entry: Entry) -> Iterator[Record]:
        """Yield the records of an entry, as they would have come in.

        Raises: Tampered (quarantine-changed) before the first where the file is not as it was written, StorageFailure.
        """
        with wrapped("read", entry.file), open(entry.file, "rb") as file:
            hasher = blake3()
            while block := file.read(1 << 20):
                hasher.update(block)
            if hasher.hexdigest() != entry.digest:
                raise Tampered(
                    f"{entry.file} is not as it was put in quarantine: it was changed or damaged since, and nothing of "
                    f"it was used.  Drop it (`vex quarantine drop {entry.number}`) and import again from its source",
                    code="quarantine-changed",
                )
            file.seek(0)
            for line in file:
                yield vmig.parse_record(line)
