"""NumPy files: ``numpy:memory.npz``, or ``numpy:memory.npy`` with ``memory.npy.jsonl`` beside it.

An array ``vectors`` of float32 and lines of JSON, one a memory, in the same order; a row of not-a-numbers is no vector.
Files of others are only read; one of ours is written anew as a whole, under another name until it is complete.  What
the two cannot hold is in the member ``_vex`` of a line (``points``).  Format: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.stores import npy
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Written
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.exact_vectors import Found, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.file_store import FileStore
from vexrepo.remotes.stores.numpy_arrays import LINES, VECTORS, Arrays, Beside, Zipped
from vexrepo.remotes.stores.points import RESERVED, Fields, Point, read_point, told_text_name, write_point
from vexrepo.storage.files import Files, wrapped

_ROWS: Final = 1000
_MEMBERS: Final = ("text", "namespace", "model", "created_at")
_KNOWN: Final = frozenset(("id", *_MEMBERS, "metadata", RESERVED))
_CAN: Final = Capabilities(lambda value: True)
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, NotImplementedError)


class NumpyStore(FileStore):
    """A file of arrays.  Places are numbers of rows, from 1."""

    kind: ClassVar[str] = "numpy"
    keeps_others: ClassVar[bool] = False
    options: ClassVar[frozenset[str]] = frozenset({"id", "text", "vector"})
    expected: ClassVar[str] = "a file of arrays, .npz or .npy"

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.is_npz = self.path.suffix != ".npy"
        self.beside = self.path.with_name(f"{self.path.name}.jsonl")
        if self.path.suffix not in (".npz", ".npy"):
            raise UsageError(f"{address}: expected a file that ends in .npz or .npy", code="bad-address")

    def files(self) -> Sequence[Path]:
        """Return the file, and the one beside a bare array."""
        return (self.path,) if self.is_npz else (self.path, self.beside)

    def check_ours(self) -> None:
        """Raise StoreError (store-schema) unless the file is as we write it: another would not be kept whole."""
        with self._arrays() as arrays:
            matrix = arrays.headers.get(VECTORS)
            is_ours = (
                matrix is not None
                and len(arrays.headers) == 1
                and not arrays.left_out
                and (matrix.dtype, matrix.is_fortran, len(matrix.shape)) == ("<f4", False, 2)
                and all(line.keys() <= _KNOWN for line in arrays.lines())
            )
        if not is_ours:
            raise StoreError(
                f"{self.path} was not written by vexrepo, and not all of it would be kept; name another file as the "
                "target",
                code="store-schema",
            )

    @contextlib.contextmanager
    def _arrays(self) -> Iterator[Arrays]:
        """Give what is in the file, open.  Raises: StoreError."""
        with contextlib.ExitStack() as stack:
            try:
                if self.is_npz:
                    yield Zipped(self, stack)
                else:
                    yield Beside(self, self.beside)
            except _DAMAGED as error:
                raise StoreError(
                    f"cannot read {self.path}: {str(error) or type(error).__name__:.200}", code="store-corrupt"
                ) from None
            except OSError as error:
                raise StoreError(f"cannot read {self.path}: {error.strerror}", code="store-unreadable") from None

    def describe(self) -> Description:
        """Return the number of rows, and what changes whenever the file does."""
        if not self.path.exists():
            return Description(0)
        with self._arrays() as arrays:
            count = arrays.count
        return Description(count, fingerprint=self.fingerprint())

    def place(self, place: int) -> str:
        """Return words for a row."""
        return f"{self.path} row {place}"

    # -- reading -----------------------------------------------------------------------------------------------------

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield the rows as memories."""
        if not self.path.exists():
            return
        place = 0
        fields: Fields | None = None
        with self._arrays() as arrays:
            for rows in arrays.batches():
                fields = fields or self._fields(rows)
                found = []
                for payload, vectors in rows:
                    place += 1
                    try:
                        found.append(Sourced(_record(payload, vectors, fields), place))
                    except InvalidData as error:
                        told = InvalidData(f"{self.place(place)}: {error}", code=error.code)
                        if on_problem is None:
                            raise told from None
                        on_problem(told)
                yield found

    def _fields(self, rows: list[tuple[dict[str, Any], dict[str, Any]]]) -> Fields:
        name = self.address.options.get("text")
        if name is None:
            votes = Counter(told_text_name(payload) for payload, _ in rows[:256])
            del votes[None]
            name = votes.most_common(1)[0][0] if votes else None
        return Fields(text=name) if name else Fields()

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Write the file anew."""
        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        lines, matrix = (scratch.with_name(f"{scratch.name}.{name}") for name in ("jsonl", "npy"))
        files = Files()
        try:
            with wrapped("write", self.path):
                count = _write_parts(plan, lines, matrix, files)
                if self.is_npz:
                    _write_zip(scratch, matrix, lines, files)
            self.check_expected(plan)
            if self.is_npz:
                files.replace(scratch, self.path)
            else:  # vectors are never seen beside the lines of others
                files.remove(self.beside)
                files.replace(matrix, self.path)
                files.replace(lines, self.beside)
        finally:
            for each in (scratch, lines, matrix):
                with contextlib.suppress(OSError):
                    each.unlink()
        return Written(count, 0, self.describe().fingerprint)


def _write_parts(plan: Plan, lines: Path, matrix: Path, files: Files) -> int:
    """Write the lines and the matrix, and return how many memories there are."""
    count, dims = 0, 0
    missing = b""
    can = replace(_CAN, holds_vector=lambda vector: vector.space.dims == dims)
    records = plan.records()
    with open(lines, "wb") as text, open(matrix, "wb") as numbers:
        numbers.write(npy.encode_header(0, 0))
        while block := list(islice(records, _ROWS)):
            for record in block:
                if not dims and (dims := _dims(record)):  # the first vector says how long rows are
                    missing = struct.pack("<f", float("nan")) * dims
                    for _ in range(count):
                        numbers.write(missing)
                point = write_point(record, str(body_value(record.body)["id"]), can, Fields())
                text.write(_line(point) + b"\n")
                numbers.write(point.vectors[0].row if point.vectors else missing)
                count += 1
            plan.advance(len(block))
        numbers.seek(0)
        numbers.write(npy.encode_header(count, dims))
        files.sync(text, lines)
        files.sync(numbers, matrix)
    return count


def _dims(record: Record) -> int:
    return next((space.dims for space, _ in record.vectors if space.name == MAIN and space.kind == "dense"), 0)


def _line(point: Point) -> bytes:
    rest = dict(point.payload)
    line: dict[str, Any] = {"id": point.id}
    line |= {name: rest.pop(name) for name in _MEMBERS if name in rest}
    carried = rest.pop(RESERVED, None)
    if rest:
        line["metadata"] = rest
    if carried is not None:
        line[RESERVED] = carried
    return canonical.encode(line)


def _write_zip(path: Path, matrix: Path, lines: Path, files: Files) -> None:
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, source, method in (
            (f"{VECTORS}.npy", matrix, zipfile.ZIP_STORED),
            (LINES, lines, zipfile.ZIP_DEFLATED),
        ):
            info = zipfile.ZipInfo(name)  # of 1980: the same memory makes the same file
            info.compress_type = method
            with open(source, "rb") as raw, archive.open(info, "w", force_zip64=True) as target:
                shutil.copyfileobj(raw, target, 1 << 20)
    with open(path, "rb+") as file:
        files.sync(file, path)


def _record(payload: dict[str, Any], vectors: Mapping[str, Any], fields: Fields) -> Record:
    identifier = payload.pop("id", None)
    if isinstance(identifier, bool) or not isinstance(identifier, (str, int)) or identifier == "":
        raise InvalidData(f"the id is {identifier!r:.60}, expected a text or a number", code="id-missing")
    found = [_vector(name, row) for name, row in vectors.items()]
    held = [each for each in found if each is not None]
    point = Point(str(identifier), with_exact(payload, held, []), single_vectors(held))
    return read_point(point, _CAN, fields)


def _vector(name: str, row: Any) -> Found | None:
    """Return the vector of a row, None for one of not-a-numbers."""
    import numpy as np

    if not len(row) or bool(np.isnan(row).all()):
        return None
    return exact_vector(name, row.tobytes(), f"<f{row.dtype.itemsize}", name or VECTORS)
