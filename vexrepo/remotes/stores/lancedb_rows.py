"""Rows of LanceDB as points and records, and points as rows: Arrow batches, a column at a time where rows are plain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Vector
from vexrepo.remotes.stores.arrow_values import cell, plain
from vexrepo.remotes.stores.carry import ABSENT
from vexrepo.remotes.stores.exact_vectors import Found, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.lancedb_table import Table, VectorColumn
from vexrepo.remotes.stores.points import RESERVED, BadPoint, Fields, Point
from vexrepo.remotes.stores.record_columns import AT_ONCE, ColumnReader, Columns
from vexrepo.remotes.stores.record_splitting import ColumnWriter, Named

# -- reading -----------------------------------------------------------------------------------------------------------


def read_points(table: Table, batch: Any) -> Iterator[Point]:
    """Yield the points of a batch."""
    names = [table.id, *table.members]
    names += [name for name in (table.payload, table.struct, table.reserved) if name is not None]
    cells = {name: batch.column(name).to_pylist() for name in names}
    rows = [_rows(each, batch.column(each.column)) for each in table.vectors]
    for at in range(batch.num_rows):
        row = {name: held[at] for name, held in cells.items()}
        identifier = row[table.id]
        try:
            yield _point(table, row, [each[at] for each in rows])
        except InvalidData as error:
            yield BadPoint.of("" if identifier is None else str(identifier), error)


class RecordReader:
    """Makes records of batches of a table of ours, and points of rows that are not plain."""

    def __init__(self, table: Table, fields: Fields) -> None:
        assert table.payload is not None and table.reserved is not None
        self._table = table
        self._names = [table.id, table.reserved, table.payload, *(name for _, name in fields.members)]
        self._columns = ColumnReader(fields, table.vectors[0].dims if table.vectors else 0)

    @staticmethod
    def suits(table: Table, fields: Fields) -> bool:
        """Whether a table is of ours: the usual columns of texts and no other, at most one of float32 vectors."""
        import pyarrow as pa

        is_usual = table.members == dict.fromkeys([name for _, name in fields.members], pa.string())
        has_all = table.has_text_id and table.payload is not None and table.reserved is not None
        vectors = [(each.name, each.dtype) for each in table.vectors]
        return is_usual and has_all and vectors in ([], [(MAIN, "<f4")]) and table.struct is None

    def batches(self, batch: Any) -> Iterator[list[Record | Point]]:
        """Yield the records of a batch, points of those rows that are not plain."""
        for start in range(0, batch.num_rows, AT_ONCE):
            yield self._records(batch.slice(start, AT_ONCE))

    def _records(self, batch: Any) -> list[Record | Point]:
        import numpy as np

        vectors: list[bytes | None] = [None] * batch.num_rows
        for column in self._table.vectors:
            array = batch.column(column.column)
            if not np.isfinite(array.flatten().to_numpy(zero_copy_only=False)).all():
                return [*read_points(self._table, batch)]
            vectors = _rows(column, array)
        identifiers, carried, payloads, text, namespace, model, created = (
            batch.column(name).to_pylist() for name in self._names
        )
        found = self._columns.records(Columns(identifiers, carried, payloads, text, namespace, model, created, vectors))
        if None not in found:
            return found  # type: ignore[return-value]
        import pyarrow as pa

        points = read_points(self._table, batch.filter(pa.array([record is None for record in found])))
        return [next(points) if record is None else record for record in found]


def _rows(column: VectorColumn, array: Any) -> list[bytes | None]:
    """Return the numbers of each vector, None for none."""
    values = array.flatten().to_numpy(zero_copy_only=False).astype(column.dtype, copy=False).tobytes()
    size = column.dims * int(column.dtype[2])
    found: list[bytes | None] = []
    start = 0
    for is_there in array.is_valid().to_pylist():
        found.append(values[start : start + size] if is_there else None)
        start += size if is_there else 0
    return found


def _point(table: Table, cells: dict[str, Any], rows: Sequence[bytes | None]) -> Point:
    identifier = cells.pop(table.id)
    if isinstance(identifier, bool) or not isinstance(identifier, (str, int)) or identifier == "":
        raise InvalidData(f"the id is {identifier!r:.60}, expected a text or a number", code="id-missing")
    payload: dict[str, Any] = {}
    if table.payload is not None and (text := cells.pop(table.payload)) is not None:
        held = parse_json(text)
        payload = held if isinstance(held, dict) else {table.payload: text}
    if table.struct is not None:
        struct = cells.pop(table.struct) or {}
        payload |= {name: plain(value) for name, value in struct.items() if value is not None}
    payload |= {name: plain(value) for name, value in cells.items() if value is not None}
    found: list[Found] = [
        exact_vector(each.name, row, each.dtype, each.column)
        for each, row in zip(table.vectors, rows, strict=True)
        if row is not None
    ]
    return Point(str(identifier), with_exact(payload, found, []), single_vectors(found))


def parse_json(text: str) -> Any:
    """Return the value of a JSON text, None where it is none."""
    try:
        return canonical.parse(text.encode())
    except (InvalidData, UnicodeEncodeError):
        return None


# -- writing -----------------------------------------------------------------------------------------------------------


def is_held(column: VectorColumn, item: Vector) -> bool:
    """Whether a column holds a vector, but for what it does to all."""
    import numpy as np

    if column.dtype != "<f2":
        return True
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.frombuffer(item.row, "<f4").astype("<f2")).all())


def make_rows(table: Table, points: Sequence[Point]) -> Any:
    """Return points as rows of a table."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in table.schema.names}
    for identifier, payload, _ in points:
        left = dict(payload)
        columns[table.id].append(identifier if table.has_text_id else int(identifier))
        if table.reserved is not None:
            columns[table.reserved].append(left.pop(RESERVED, None))
        for name, kind in table.members.items():
            columns[name].append(_take(left, name, kind))
        if table.struct is not None:
            struct = {name: _take(left, name, kind) for name, kind in table.fields.items()}
            columns[table.struct].append(struct if any(value is not None for value in struct.values()) else None)
        if table.payload is not None:
            columns[table.payload].append(canonical.encode(left).decode() if left else None)
    held = {each.column: _vectors(each, points) for each in table.vectors}
    arrays = [
        held[each.name] if each.name in held else pa.array(columns[each.name], each.type) for each in table.schema
    ]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def _take(left: dict[str, Any], name: str, kind: Any) -> Any:
    """Take the value that a column holds out of a payload."""
    value = left.get(name)
    made = cell(value, kind) if value is not None else ABSENT
    if made is ABSENT:
        return None
    del left[name]
    return made


def _vectors(column: VectorColumn, points: Sequence[Point]) -> Any:
    return _vector_array(
        column, [next((row for space, row in point.vectors if space.name == column.name), None) for point in points]
    )


def _vector_array(column: VectorColumn, rows: Sequence[bytes | None]) -> Any:
    """Return the column for rows of float32, None for none."""
    import numpy as np
    import pyarrow as pa

    mask = None
    if None in rows:
        mask, blank = pa.array([row is None for row in rows], pa.bool_()), bytes(4 * column.dims)
        rows = [row if row is not None else blank for row in rows]
    numbers = np.frombuffer(b"".join(rows), "<f4")  # type: ignore[arg-type]
    with np.errstate(over="ignore"):
        values = pa.array(numbers.astype(column.dtype, copy=False))
    return pa.FixedSizeListArray.from_arrays(values, column.dims, mask=mask)


class RecordWriter:
    """Makes batches of rows of a table of ours from records of new ids."""

    def __init__(self, table: Table, fields: Fields) -> None:
        assert table.payload is not None and table.reserved is not None
        self._table = table
        self._names = [table.id, table.reserved, table.payload, *(name for _, name in fields.members)]
        dims = table.vectors[0].dims if table.vectors else 0
        self._columns = ColumnWriter(fields, table.payload, dims, folds=False)

    def rows(self, records: Sequence[Named]) -> tuple[Any, list[Named]]:
        """Return an Arrow batch of those records, each with its native id, that are plain; and the others."""
        import pyarrow as pa

        columns, others = self._columns.columns(records)
        arrays = {name: pa.array(column, pa.string()) for name, column in zip(self._names, columns[:-1], strict=True)}
        for each in self._table.vectors:
            arrays[each.column] = _vector_array(each, columns.vector)
        schema = self._table.schema
        return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema), others
