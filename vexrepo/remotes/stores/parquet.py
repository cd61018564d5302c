"""Parquet and Arrow files: ``parquet:memory.parquet``, ``parquet:memory.arrow`` (or ``.feather``).

A row is a memory.  Files of others are only read; a file of ours is written anew as a whole, under another name until
it is complete.  What the columns cannot hold is in the column ``_vex`` (``points``).  Format: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Final

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.arrow_values import plain
from vexrepo.remotes.stores.base import Description, Plan, Sourced, Written
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.exact_vectors import exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.file_store import FileStore
from vexrepo.remotes.stores.points import RESERVED, TEXTS, Fields, Point, read_point, write_point
from vexrepo.storage.files import Files, wrapped

ROWS: Final = 1000
MARK: Final = b"vexrepo"
VERSION: Final = b"1"
VECTORS: Final = ("vector", "embedding", "embeddings", "emb", "values")
_TEXT_COLUMNS: Final = ("id", "text", "namespace", "model", "created_at")
_CAN: Final = Capabilities(lambda value: True, mixes_dims=True)


class ParquetStore(FileStore):
    """A file of rows.  Places are numbers of rows, from 1."""

    kind: ClassVar[str] = "parquet"
    keeps_others: ClassVar[bool] = False
    options: ClassVar[frozenset[str]] = frozenset({"id", "text", "vector"})
    expected: ClassVar[str] = "a Parquet or Arrow file"

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.is_arrow = self.path.suffix in (".arrow", ".feather", ".ipc")
        try:
            import pyarrow as pa  # noqa: F401
        except ImportError:
            raise StoreError(
                f"{address}: the library for such files is not installed: pip install 'vexrepo[parquet]'",
                code="store-unreadable",
            ) from None

    def check_ours(self) -> None:
        """Raise StoreError (store-schema) for a file of somebody else, whose columns would not be kept."""
        with self._reading() as file:
            if not _is_ours(file.schema_arrow if not self.is_arrow else file.schema):
                raise StoreError(
                    f"{self.path} was not written by vexrepo, and its columns would not be kept; name another file as "
                    "the target",
                    code="store-schema",
                )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Any]:
        """Give the file, open.  Raises: StoreError (store-unreadable)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with open(self.path, "rb") as raw:
                yield pa.ipc.open_file(raw) if self.is_arrow else pq.ParquetFile(raw)
        except (pa.ArrowException, OSError) as error:
            what = "Arrow" if self.is_arrow else "Parquet"
            raise StoreError(
                f"cannot read {self.path} as {what}: {str(error).splitlines()[0]:.200}", code="store-unreadable"
            ) from None

    def describe(self) -> Description:
        """Return the number of rows, which the file says itself."""
        if not self.path.exists():
            return Description(0)
        with self._reading() as file:
            batches = range(file.num_record_batches) if self.is_arrow else ()
            count = sum(file.get_batch(at).num_rows for at in batches) if self.is_arrow else file.metadata.num_rows
        return Description(count, fingerprint=self.fingerprint())

    def scan(self, on_problem: Callable[[InvalidData], None] | None = None) -> Iterator[list[Sourced]]:
        """Yield the rows as memories."""
        if not self.path.exists():
            return
        place = 0
        with self._reading() as file:
            schema = file.schema if self.is_arrow else file.schema_arrow
            rows = _Rows(self, schema)
            for batch in _arrow_batches(file) if self.is_arrow else file.iter_batches(ROWS):
                found = []
                for make in rows.of(batch):
                    place += 1
                    try:
                        found.append(Sourced(make(), place))
                    except InvalidData as error:
                        told = InvalidData(f"{self.place(place)}: {error}", code=error.code)
                        if on_problem is None:
                            raise told from None
                        on_problem(told)
                yield found

    def place(self, place: int) -> str:
        """Return words for a row."""
        return f"{self.path} row {place}"

    def write(self, plan: Plan) -> Written:
        """Write the file anew."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        files, count, records = Files(), 0, plan.records()
        try:
            with wrapped("write", self.path), open(scratch, "wb") as file:
                schema = _schema()
                with pa.ipc.new_file(file, schema) if self.is_arrow else pq.ParquetWriter(file, schema) as writer:
                    while block := list(islice(records, ROWS)):
                        batch = _batch([_point(record) for record in block], schema)
                        writer.write_batch(batch)
                        count += len(block)
                        plan.advance(len(block))
                files.sync(file, scratch)
            self.check_expected(plan)
            files.replace(scratch, self.path)
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink()
        return Written(count, 0, self.describe().fingerprint)


def _point(record: Record) -> Point:
    return write_point(record, str(body_value(record.body)["id"]), _CAN, Fields())


def _is_ours(schema: Any) -> bool:
    return bool((schema.metadata or {}).get(MARK) == VERSION)


def _arrow_batches(file: Any) -> Iterator[Any]:
    for at in range(file.num_record_batches):
        batch = file.get_batch(at)
        for start in range(0, batch.num_rows, ROWS):
            yield batch.slice(start, ROWS)


# -- writing -----------------------------------------------------------------------------------------------------------


def _schema() -> Any:
    import pyarrow as pa

    text = [pa.field(name, pa.string(), name != "id") for name in _TEXT_COLUMNS]
    more = [("vector", pa.list_(pa.float32())), ("metadata", pa.string()), (RESERVED, pa.string())]
    return pa.schema([*text, *more], metadata={MARK: VERSION})


def _batch(points: Sequence[Point], schema: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    rows, offsets = [], [0]
    for identifier, payload, vectors in points:
        rest = dict(payload)
        columns["id"].append(identifier)
        for name in _TEXT_COLUMNS[1:]:
            # A time that is a number stays with the metadata, where no metadata can have its name.
            columns[name].append(rest.pop(name) if isinstance(rest.get(name), str) else None)
        columns[RESERVED].append(rest.pop(RESERVED, None))
        columns["metadata"].append(canonical.encode(rest).decode() if rest else None)
        rows += [row for _, row in vectors]
        offsets.append(offsets[-1] + sum(space.dims for space, _ in vectors))
    values = pa.array(np.frombuffer(b"".join(rows), "<f4"))
    missing = pa.array([not vectors for _, _, vectors in points])
    vectors = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=missing)
    arrays = [vectors if name == "vector" else pa.array(columns[name], pa.string()) for name in schema.names]
    return pa.record_batch(arrays, schema=schema)


# -- reading -----------------------------------------------------------------------------------------------------------


class _Rows:
    """Makes memories of rows: which column is what is known from the schema."""

    def __init__(self, store: ParquetStore, schema: Any) -> None:
        import pyarrow as pa

        names, given = list(schema.names), store.address.options
        self.is_ours = _is_ours(schema)
        twice = sorted({name for name in names if names.count(name) > 1})
        absent = sorted({name for name in given.values() if name not in names})
        self.id = given.get("id", "id")
        if twice or absent or self.id not in names:
            what = f"two columns {twice[0]!r}" if twice else f"no column {(absent or [self.id])[0]!r}"
            raise StoreError(
                f"{store.path} has {what}; it has {', '.join(names):.300}; name that of the ids with id=, of the text "
                "with text=, of the vectors with vector=",
                code="store-schema",
            )
        lists = {
            field.name
            for field in schema
            if pa.types.is_list(field.type)
            or pa.types.is_large_list(field.type)
            or pa.types.is_fixed_size_list(field.type)
            if pa.types.is_floating(field.type.value_type)
        }
        texts = [name for name in TEXTS if name in names]
        self.vector = given.get("vector") or next((name for name in VECTORS if name in lists), None)
        if self.vector is not None and self.vector not in lists:
            raise StoreError(
                f"{store.path}: column {self.vector!r} holds no lists of floating-point numbers", code="store-schema"
            )
        self.fields = Fields() if self.is_ours else Fields(text=given.get("text") or (texts or ["text"])[0])

    def of(self, batch: Any) -> Iterator[Callable[[], Record]]:
        """Yield, for each row, what makes its memory or raises InvalidData."""
        plain = {name: batch.column(name).to_pylist() for name in batch.schema.names if name != self.vector}
        vectors = batch.column(self.vector) if self.vector is not None else None
        for at in range(batch.num_rows):
            cells = {name: column[at] for name, column in plain.items() if column[at] is not None}
            yield lambda cells=cells, at=at: self._record(cells, vectors[at] if vectors is not None else None)  # type: ignore[misc]

    def _record(self, cells: dict[str, Any], vector: Any) -> Record:
        identifier = cells.pop(self.id, None)
        if isinstance(identifier, bool) or not isinstance(identifier, (str, int)) or identifier == "":
            raise InvalidData(f"the id is {identifier!r:.60}, expected a text or a number", code="id-missing")
        if self.is_ours and "metadata" in cells:
            cells |= _members(cells.pop("metadata"))
        payload = cells if self.is_ours else {name: plain(value) for name, value in cells.items()}
        found = []
        if vector is not None and vector.is_valid:
            values = vector.values.to_numpy(zero_copy_only=False)
            if len(values):
                width = values.dtype.itemsize
                found.append(exact_vector(MAIN, values.astype(f"<f{width}").tobytes(), f"<f{width}", self.vector or ""))
        return read_point(
            Point(str(identifier), with_exact(payload, found, []), single_vectors(found)), _CAN, self.fields
        )


def _members(text: str) -> Mapping[str, Any]:
    value = canonical.parse(text.encode())
    if not isinstance(value, dict):
        raise InvalidData(f"the column metadata has {text!r:.60}, expected a JSON object", code="not-an-object")
    return value
