"""NumPy files: ``numpy:memory.npz``, or ``numpy:memory.npy`` with ``memory.npy.jsonl`` beside it.

An array ``vectors`` of float32 and lines of JSON, one a memory, in the same order; a row of not-a-numbers is no vector.
Files of others are only read; one of ours is written anew as a whole, under another name until it is complete.  What
the two cannot hold is in the member ``_vex`` of a line (``points``).  Format: remotes/STORES.md.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import IO, Any, ClassVar, Final

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.formats.vmig import MAX_LINE_BYTES
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.stores import npy
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Written
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.exact_vectors import Found, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.file_store import FileStore
from vexrepo.remotes.stores.points import RESERVED, TEXTS, Fields, Point, read_point, told_text_name, write_point
from vexrepo.storage.files import Files, wrapped

ROWS: Final = 1000
BATCH_BYTES: Final = 32 << 20
VECTORS: Final = "vectors"
LINES: Final = "records.jsonl"
_NAMES: Final = ("vectors", "vector", "embeddings", "embedding", "emb", "values", "X")
_IDS: Final = ("ids", "id", "keys", "key")
_TEXTS: Final = tuple(chain.from_iterable((name, f"{name}s") for name in TEXTS))
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
    def _arrays(self) -> Iterator[_Arrays]:
        """Give what is in the file, open.  Raises: StoreError."""
        with contextlib.ExitStack() as stack:
            try:
                if self.is_npz:
                    yield _Zipped(self, stack)
                else:
                    yield _Beside(self, stack)
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
        while block := list(islice(records, ROWS)):
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


# -- what is in a file ---------------------------------------------------------------------------------------------


class _Arrays:
    """Arrays by name, and lines.  ``left_out``: parts of the file that are neither."""

    def __init__(self, store: NumpyStore) -> None:
        self.path = store.path
        self.headers: dict[str, npy.Header] = {}
        self.left_out: list[str] = []
        self.has_lines = False
        self._options = store.address.options
        self._notice = store.address.reach.notice

    def _raw(self, name: str) -> IO[bytes]:
        """Return an array, opened at its header."""
        raise AssertionError(name)

    def _raw_lines(self) -> IO[bytes]:
        """Return the lines, opened."""
        raise AssertionError(self.path)

    def _as_file(self, name: str) -> Path:
        """Return a file with an array."""
        raise AssertionError(name)

    @property
    def count(self) -> int:
        """How many memories there are."""
        return self._matrix.shape[0]

    @property
    def _main(self) -> str:
        names = [name for name, header in self.headers.items() if header.is_vectors]
        wanted = self._options.get("vector")
        found = wanted or next((name for name in _NAMES if name in names), names[0] if len(names) == 1 else "")
        if found not in names:
            held = ", ".join(f"{name} {header.dtype}{list(header.shape)}" for name, header in self.headers.items())
            raise StoreError(
                f"{self.path} has no vectors{f' {wanted!r}' if wanted else ''}, a row each: expected an array of two "
                f"axes; it has {held or 'no arrays':.300}; name it with vector=",
                code="store-schema",
            )
        return found

    @property
    def _matrix(self) -> npy.Header:
        return self.headers[self._main]

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the objects of the lines.  Raises: StoreError (store-corrupt)."""
        with self._raw_lines() as file:
            for number in range(1, 1 << 62):
                line = file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                try:
                    value = canonical.parse(line.strip())
                except InvalidData as error:
                    raise StoreError(
                        f"{self.path}: line {number} of its lines: {error}", code="store-corrupt"
                    ) from None
                if not isinstance(value, dict) or len(line) > MAX_LINE_BYTES:
                    raise StoreError(
                        f"{self.path}: line {number} of its lines is {line[:60]!r}, expected a JSON object",
                        code="store-corrupt",
                    )
                yield value

    def batches(self) -> Iterator[list[tuple[dict[str, Any], dict[str, Any]]]]:
        """Yield rows as (payload with the id, vectors by name)."""
        main, count = self._main, self.count
        columns = {name: header for name, header in self.headers.items() if header.shape[0] == count}
        matrices = [name for name, header in columns.items() if header.is_vectors]
        plain = [name for name, header in columns.items() if len(header.shape) == 1]
        rest = [*self.left_out, *(name for name in self.headers if name not in matrices and name not in plain)]
        if rest:
            self._notice(f"{self.path}: left out what is not one row a memory: {', '.join(rest):.300}")
        key = self._key(plain)
        text = next((name for name in _TEXTS if name in plain), None)
        members = {name: name for name in plain}
        if key is not None:
            members[key] = "id"
        if text is not None and "text" not in self._options:
            members[text] = "text"
        step = min(ROWS, max(1, BATCH_BYTES // (1 + sum(columns[name].row_bytes for name in (*matrices, *plain)))))
        counts = [step] * (count // step) + ([count % step] if count % step else [])
        readers = {name: self._rows(name, columns[name], counts) for name in (*matrices, *plain)}
        lines = self.lines() if self.has_lines else repeat({})
        for size in counts:
            payloads = [_payload(line) for line in islice(lines, size)]
            if len(payloads) < size:
                raise self._uneven()
            for name in plain:
                for payload, cell in zip(payloads, self._cells(next(readers[name]), name), strict=True):
                    if cell is not None:
                        payload[members[name]] = cell
            rows = {MAIN if name == main else name: npy.as_floats(next(readers[name])) for name in matrices}
            yield [(payload, {name: row[at] for name, row in rows.items()}) for at, payload in enumerate(payloads)]
        if self.has_lines and next(lines, None) is not None:
            raise self._uneven()

    def _uneven(self) -> StoreError:
        return StoreError(
            f"{self.path} has {self.count} rows of vectors, and another number of lines; do the two belong together?",
            code="store-corrupt",
        )

    def _key(self, plain: list[str]) -> str | None:
        wanted = self._options.get("id")
        found = wanted or next((name for name in _IDS if name in plain), None)
        if found not in plain and not self.has_lines:
            raise StoreError(
                f"{self.path} has no ids: expected an array ids of {self.count} texts or numbers"
                f"{' (or another, named with id=)' if plain else ''}, or lines of JSON in "
                f"{LINES if self.path.suffix != '.npy' else f'{self.path.name}.jsonl'}",
                code="store-schema",
            )
        return found

    def _rows(self, name: str, header: npy.Header, counts: list[int]) -> Iterator[Any]:
        is_mapped = header.is_fortran and len(header.shape) > 1
        return npy.iter_rows(header, lambda: self._raw(name), self._as_file(name) if is_mapped else None, counts)

    def _cells(self, values: Any, name: str) -> list[Any]:
        try:
            found = npy.cells(values)
        except (ValueError, OverflowError, SystemError):
            raise StoreError(f"{self.path}: the array {name} holds what is no text", code="store-corrupt") from None
        return [_text(cell) if isinstance(cell, bytes) else cell for cell in found]


def _text(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"$blob": base64.b64encode(raw).decode()}


def _payload(line: dict[str, Any]) -> dict[str, Any]:
    metadata = line.get("metadata")
    if not isinstance(metadata, dict):
        return dict(line)
    return {**metadata, **{name: value for name, value in line.items() if name != "metadata"}}


class _Zipped(_Arrays):
    """An ``.npz``: a zip of arrays."""

    def __init__(self, store: NumpyStore, stack: contextlib.ExitStack) -> None:
        super().__init__(store)
        self._archive = stack.enter_context(zipfile.ZipFile(self.path))
        self._stack = stack
        names = self._archive.namelist()
        twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 10_000 else names[:1]
        if twice:
            raise StoreError(f"{self.path} has two parts {twice[0]!r:.80}", code="store-corrupt")
        for info in self._archive.infolist():
            if info.filename == LINES:
                self.has_lines = True
            elif info.filename.endswith(".npy"):
                name = info.filename.removesuffix(".npy")
                with self._archive.open(info) as file:
                    self.headers[name] = npy.read_header(file, info.file_size, f"{self.path}: the array {name}")
            else:
                self.left_out.append(info.filename)

    def _raw(self, name: str) -> IO[bytes]:
        return self._archive.open(f"{name}.npy")

    def _raw_lines(self) -> IO[bytes]:
        return self._archive.open(LINES)

    def _as_file(self, name: str) -> Path:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vex-", ignore_cleanup_errors=True))
        path = Path(folder) / "array.npy"
        with self._raw(name) as raw, open(path, "wb") as target:
            shutil.copyfileobj(raw, target, 1 << 20)
        return path


class _Beside(_Arrays):
    """An ``.npy`` with lines beside it."""

    def __init__(self, store: NumpyStore, stack: contextlib.ExitStack) -> None:
        super().__init__(store)
        self._beside = store.beside
        self.has_lines = store.beside.exists()
        if not self.has_lines:
            raise StoreError(
                f"{self.path} has no {store.beside.name} beside it, with a JSON object a row: at least its id "
                "(where a write was interrupted, remove the file and run the command again)",
                code="store-schema",
            )
        with open(self.path, "rb") as file:
            self.headers[VECTORS] = npy.read_header(file, self.path.stat().st_size, str(self.path))

    def _raw(self, name: str) -> IO[bytes]:
        return open(self.path, "rb")

    def _raw_lines(self) -> IO[bytes]:
        return open(self._beside, "rb")

    def _as_file(self, name: str) -> Path:
        return self.path
