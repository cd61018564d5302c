"""What is in a NumPy file: arrays by name, and lines of JSON, read together a batch of rows at a time."""

from __future__ import annotations

import base64
import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from typing import IO, Any, Final

from vexrepo.errors import InvalidData, StoreError
from vexrepo.formats.vmig import MAX_LINE_BYTES
from vexrepo.objects import canonical
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.stores import npy
from vexrepo.remotes.stores.file_store import FileStore
from vexrepo.remotes.stores.points import TEXTS

VECTORS: Final = "vectors"
LINES: Final = "records.jsonl"
_ROWS: Final = 1000
_BATCH_BYTES: Final = 32 << 20
_NAMES: Final = ("vectors", "vector", "embeddings", "embedding", "emb", "values", "X")
_IDS: Final = ("ids", "id", "keys", "key")
_TEXTS: Final = tuple(chain.from_iterable((name, f"{name}s") for name in TEXTS))


class Arrays:
    """Arrays by name, and lines.  ``left_out``: parts of the file that are neither."""

    def __init__(self, store: FileStore) -> None:
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
        step = min(_ROWS, max(1, _BATCH_BYTES // (1 + sum(columns[name].row_bytes for name in (*matrices, *plain)))))
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


class Zipped(Arrays):
    """An ``.npz``: a zip of arrays."""

    def __init__(self, store: FileStore, stack: contextlib.ExitStack) -> None:
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


class Beside(Arrays):
    """An ``.npy`` with lines beside it."""

    def __init__(self, store: FileStore, beside: Path) -> None:
        super().__init__(store)
        self._beside = beside
        self.has_lines = beside.exists()
        if not self.has_lines:
            raise StoreError(
                f"{self.path} has no {beside.name} beside it, with a JSON object a row: at least its id "
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
