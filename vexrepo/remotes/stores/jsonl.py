"""vmig JSONL files: ``jsonl:memory.vmig.jsonl`` or a bare path, with a ``.vmig.meta.json`` beside it.

Read as a stream, in several parts at once when large; written anew as a whole, atomically.  A file holds
records and nothing else, so edges and collection settings are not kept there.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar, Self

from vexrepo.errors import InvalidData, StoreError
from vexrepo.formats import sidecar, vmig
from vexrepo.formats.sidecar import Checksum, Sidecar
from vexrepo.objects.record import Record
from vexrepo.objects.timestamp import format_time
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Raw, RawScan, Sourced, Store, Written
from vexrepo.storage.beside import BesideStream, is_worthwhile
from vexrepo.storage.files import EarlyWriteback, Files, wrapped

BATCH = 512
BATCH_BYTES = 8 << 20
SPLIT_BYTES = 48 << 20  # files below this are read by one process


class JsonlStore(Store):
    """A file of records, one JSON object a line.  Places are byte offsets; messages turn them into lines."""

    kind: ClassVar[str] = "jsonl"
    rewrites: ClassVar[bool] = True
    keeps_others: ClassVar[bool] = False

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.path = Path(address.location)
        self.span: tuple[int, int | None] = (0, None)  # where the lines begin that are read

    @classmethod
    def open(cls, address: Address, *, create: bool = False) -> Self:
        store = cls(address)
        if store.path.is_dir():
            raise StoreError(f"{store.path} is a folder; expected a .vmig.jsonl file", code="store-unreadable")
        if not store.path.exists() and not create:
            raise StoreError(f"there is no file {store.path}; check the path", code="store-missing")
        if store.path.exists() and not store.path.is_file():  # read more than once, and replaced when written
            raise StoreError(f"{store.path} is a pipe or device; expected a .vmig.jsonl file", code="store-unreadable")
        return store

    def describe(self) -> Description:
        if not self.path.exists():
            return Description(0)
        status = self.path.stat()
        return Description(None, fingerprint=f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}")

    @property
    def size_bytes(self) -> int:
        """Bytes to read."""
        return self.path.stat().st_size if self.path.exists() else 0

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, line) of the lines that begin in [start, end), blank ones left out.

        Raises: StoreError (store-unreadable), InvalidData (too-long).
        """
        if not self.path.exists():  # made when it is written to
            return
        try:
            with open(self.path, "rb", buffering=1 << 20) as file:
                at = start
                if start:
                    file.seek(start - 1)
                    at -= 1
                    while piece := file.readline(1 << 20):
                        at += len(piece)
                        if piece.endswith(b"\n"):
                            break
                limit = end if end is not None else 1 << 62
                while at < limit:
                    line = file.readline(vmig.MAX_LINE_BYTES + 1)
                    if not line:
                        return
                    if len(line) > vmig.MAX_LINE_BYTES:
                        raise InvalidData(
                            f"{self.place(at)}: longer than the limit of {vmig.MAX_LINE_BYTES} bytes", code="too-long"
                        )
                    if at == 0 and line.startswith(b"\xef\xbb\xbf"):
                        line = line[3:]
                        at = 3
                    if line and not line.isspace():
                        yield at, line
                    at += len(line)
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}", code="store-unreadable") from error

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        lines = self.scan_raw()
        for raw in lines.batches():
            if batch := lines.records(raw, on_problem):
                yield batch

    def scan_raw(self) -> LineScan:
        return LineScan(self)

    @contextlib.contextmanager
    def halved(self) -> Iterator[Store | None]:
        # Parsing is the larger half of a first commit and needs the interpreter: a second process takes half the file.
        size = self.size_bytes
        if size < SPLIT_BYTES or not is_worthwhile():
            yield None
            return
        middle, other = size // 2, type(self)(self.address)
        self.span, other.span = (0, middle), (middle, None)
        try:
            yield other
        finally:
            self.span = (0, None)

    def check_not_empty(self) -> None:
        """Raise InvalidData (empty-file) unless the file has content or its sidecar says that it holds no record."""
        if self.path.exists() and self._is_blank() and self._sidecar_count() != 0:
            raise InvalidData(
                f"{self.path} is empty; expected one record a line (an emptied memory has a {self.sidecar.name} that "
                "says 0 records)",
                code="empty-file",
            )

    def _is_blank(self) -> bool:
        try:
            with open(self.path, "rb") as file:
                block = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf")
                while not block.strip():
                    block = file.read(1 << 16)
                    if not block:
                        return True
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}", code="store-unreadable") from error
        return False

    @property
    def sidecar(self) -> Path:
        """Where the ``.vmig.meta.json`` of this file is."""
        return sidecar.path_of(self.path)

    def _sidecar_count(self) -> int | None:
        try:
            count = json.loads(self.sidecar.read_bytes())["record_count"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return count if isinstance(count, int) else None

    def parse(self, offset: int, line: bytes) -> Record:
        """Return the record of a line.  Raises: InvalidData that names file, line and id."""
        try:
            return vmig.parse_record(line)
        except InvalidData as error:
            identifier = vmig.line_id(line)
            who = f" (id {identifier})" if identifier else ""
            code, why = error.code, str(error)
            if code == "not-json" and not line.endswith(b"\n") and offset + len(line) >= self.size_bytes:
                code = "truncated-line"
                why = f"the file ends in the middle of this line ({why}); was it copied completely?"
            raise InvalidData(f"{self.place(offset)}{who}: {why}", code=code) from None

    def place(self, place: int) -> str:
        number, at = 1, 0
        with open(self.path, "rb") as file:
            while at < place:
                block = file.read(min(1 << 20, place - at))
                if not block:
                    break
                number += block.count(b"\n")
                at += len(block)
        return f"{self.path} line {number}"

    def write(self, plan: Plan) -> Written:
        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        files = Files()
        checksum, first = Checksum(), b""
        try:
            with (
                wrapped("write", self.path),
                open(scratch, "wb", buffering=1 << 20) as file,
                contextlib.ExitStack() as stack,
            ):
                early = EarlyWriteback(file)
                stack.callback(early.stop)
                for text, lines in _texts(plan):
                    first = first or text[: text.index(b"\n")]
                    checksum.add(text, lines)
                    file.write(text)
                    early.wrote(len(text))
                    plan.advance(lines)
                files.sync(file, scratch)
            count = checksum.count
            self.check_expected(plan)
            # A crash may leave a file without its sidecar, but never one with the sidecar of another content; and an
            # empty file is only readable with one.
            if count and self.path.exists() and not self._is_blank():
                files.remove(self.sidecar)
            elif not count:
                self._write_sidecar(files, checksum, first, scratch)
            files.replace(scratch, self.path)
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink()
        if count:
            self._write_sidecar(files, checksum, first, self.path)
        return Written(count, 0, self.describe().fingerprint)

    def _write_sidecar(self, files: Files, checksum: Checksum, first: bytes, written: Path) -> None:
        """Write the ``.vmig.meta.json``; ``first`` is the first line, which says where the records are from."""
        source = json.loads(first).get("source_store") if first else None
        exported_at = format_time(written.stat().st_mtime_ns // 1000)
        made = Sidecar(exported_at, source if isinstance(source, str) else "vexrepo", checksum.count, checksum.text)
        files.write(self.sidecar, made.encode())


class LineScan(RawScan):
    """The lines of a file, each of which is a record whatever else there is."""

    def __init__(self, store: JsonlStore) -> None:
        self.decided_by = (store.kind,)
        self._store = store

    def batches(self) -> Generator[Raw, None, None]:
        self._store.check_not_empty()
        offsets: list[int] = []
        lines: list[bytes] = []
        held = 0
        for offset, line in self._store.lines(*self._store.span):
            offsets.append(offset)
            lines.append(line)
            held += len(line)
            if len(lines) >= BATCH or held >= BATCH_BYTES:
                yield Raw(offsets, lines, held)
                offsets, lines, held = [], [], 0
        if lines:
            yield Raw(offsets, lines, held)

    def records(self, raw: Raw, on_problem: Callable[[InvalidData], None] | None = None) -> list[Sourced]:
        found = []
        for offset, line in zip(raw.places, raw.pieces, strict=True):
            try:
                found.append(Sourced(self._store.parse(offset, bytes(line)), offset))
            except InvalidData as error:
                if on_problem is None:
                    raise
                on_problem(error)
        return found


def _texts(plan: Plan) -> Iterator[tuple[bytes, int]]:
    """Yield (text, number of lines) in order; of a large plan, every second block is made by a second process."""
    if plan.lines is not None:
        lines = plan.lines()
        while some := list(islice(lines, BATCH)):
            yield b"\n".join([*some, b""]), len(some)
        return
    if plan.blocks is None or sys.platform != "linux" or not is_worthwhile():
        records = plan.records()
        while block := list(islice(records, BATCH)):
            yield _text(block), len(block)
        return
    with BesideStream(_second_texts, plan.blocks) as second:
        mine = plan.blocks(0)
        for process in plan.order:
            if process == 0:
                block = next(mine)
                yield _text(block), len(block)
            else:
                text = second.take()
                yield text, text.count(b"\n")


def _second_texts(blocks: Callable[[int], Iterator[list[Record]]]) -> Iterator[bytes]:
    return (_text(block) for block in blocks(1))


def _text(records: list[Record]) -> bytes:
    return b"\n".join([*map(vmig.format_record, records), b""])
