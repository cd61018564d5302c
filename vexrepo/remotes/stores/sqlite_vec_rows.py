"""Points as rows of tables of sqlite-vec: how each is read and written.

A vec0 table has all its vectors in each row: where a memory has none, the main one is a placeholder (``points``), any
other is zeros, which what is carried names (its member ``z``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from blake3 import blake3

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.objects.vector import Space, Vector, check_row
from vexrepo.remotes.stores.carry import is_same
from vexrepo.remotes.stores.payload_records import are_finite
from vexrepo.remotes.stores.point_carried import VERSION
from vexrepo.remotes.stores.points import RESERVED, BadPoint, Point
from vexrepo.remotes.stores.sqlite_vec_table import Layout, Part, quote

_IN: Final = 500  # ids in one question


def decode_vector(part: Part, space: Space, raw: bytes) -> Vector:
    """Return the vector of a cell.  Raises: InvalidData (dims-mismatch)."""
    import numpy as np

    size = {"float": 4 * part.dims, "int8": part.dims, "bit": part.dims // 8}[part.type]
    if len(raw) != size:
        raise InvalidData(
            f"the column {part.name} has {len(raw)} bytes, expected {size} for {part.type}[{part.dims}]",
            code="dims-mismatch",
        )
    if part.type == "int8":
        raw = np.frombuffer(raw, "i1").astype("<f4").tobytes()
    elif part.type == "bit":
        raw = np.unpackbits(np.frombuffer(raw, "u1"), bitorder="little").astype("<f4").tobytes()
    return Vector(space, raw)


def encode_vector(part: Part, row: bytes) -> bytes:
    """Return the cell of a vector's row, which the column holds."""
    import numpy as np

    if part.type == "int8":
        return np.frombuffer(row, "<f4").astype("i1").tobytes()
    if part.type == "bit":
        return np.packbits(np.frombuffer(row, "<f4").astype("u1"), bitorder="little").tobytes()
    return row


def is_held(part: Part, vector: Vector) -> bool:
    """Whether a column of vectors holds one exactly; its dims are another matter."""
    import numpy as np

    if part.type == "float":
        return True
    values = np.frombuffer(vector.row, "<f4")
    if part.type == "bit":
        return bool(((values == 0) | (values == 1)).all() and not np.signbit(values).any())
    is_whole = (np.rint(values) == values) & (np.abs(values) <= 128) & (values < 128)
    return bool(is_whole.all() and not np.signbit(values[values == 0]).any())


# -- reading -----------------------------------------------------------------------------------------------------------


class RowReader:
    """Makes points of rows."""

    def __init__(self, db: sqlite3.Connection, layout: Layout) -> None:
        self._db = db
        self._layout = layout
        self._parts = layout.vector_parts
        self._spaces = [layout.space(part) for part in self._parts]
        self._members = list(layout.members.values())
        self._has_carry = layout.reserved is None and has_table(db, layout.carry)

    def rows(self, count: int) -> Iterator[list[Sequence[Any]]]:
        """Yield all rows, in batches.

        Each: the id, the vectors, what is carried, its mark, the payload, the members.
        """
        cursor = self._db.execute(self._select())
        while rows := cursor.fetchmany(count):
            yield rows

    def points(self, rows: Sequence[Sequence[Any]]) -> list[Point]:
        """Return the points of rows; BadPoint for those whose vectors are not finite, too."""
        points = [self._read(row) for row in rows]
        return points if all(are_finite([item.row for point in points for item in point.vectors])) else _checked(points)

    def find(self, ids: Sequence[str]) -> list[Sequence[Any]]:
        """Return the rows of some ids."""
        layout = self._layout
        natives = ids if layout.has_text_id else [int(each) for each in ids]
        where = f"{'c' if layout.rows else 'v'}.{quote(layout.id)} IN ({','.join('?' * len(ids))})"
        return self._db.execute(f"{self._select()} WHERE {where}", natives).fetchall()

    def _select(self) -> str:
        layout = self._layout
        ours = "c" if layout.rows else "v"
        cells = [f"{ours}.{quote(layout.id)}"]
        cells += [f"v.{quote(part.name)}" for part in self._parts]
        if layout.reserved is not None:
            cells.append(f"{ours}.{quote(layout.reserved)}")
        elif self._has_carry:
            cells.append("s.carried")
        else:
            cells.append("NULL")
        cells.append("s.mark" if self._has_carry else "NULL")
        cells.append(f"{ours}.{quote(layout.payload)}" if layout.payload is not None else "NULL")
        cells += [f"{'v' if name in layout.beside else ours}.{quote(name)}" for name in layout.members]
        source = f"{quote(layout.table)} {ours}"
        if layout.rows and layout.vectors is not None:
            key = quote(layout.vectors.key)
            source += f" LEFT JOIN {quote(layout.vectors.name)} v ON v.{key} = c.{quote(layout.number)}"
        if self._has_carry:
            source += f" LEFT JOIN {quote(layout.carry)} s ON s.id = CAST({cells[0]} AS TEXT)"
        return f"SELECT {', '.join(cells)} FROM {source}"

    def _read(self, row: Sequence[Any]) -> Point:
        identifier = row[0]
        if type(identifier) not in (str, int) or identifier == "":
            error = InvalidData(f"the id is {identifier!r:.60}, expected a text", code="id-missing")
            return BadPoint.of("" if identifier is None else str(identifier), error)
        count = len(self._parts)
        try:
            vectors = tuple(
                [
                    decode_vector(part, space, cell)
                    for part, space, cell in zip(self._parts, self._spaces, row[1 : 1 + count], strict=True)
                    if cell is not None
                ]
            )
        except InvalidData as error:
            return BadPoint.of(str(identifier), error)
        carried, mark, payload = row[1 + count], row[2 + count], row[3 + count]
        found = self._payload(payload, row[4 + count :])
        if carried is not None and (mark is None or not is_other(mark, text_of(self._layout, found), row[1:2])):
            vectors = self._without_fillers(carried, vectors)
            found[RESERVED] = carried
        return Point(str(identifier), found, vectors)

    def _payload(self, text: Any, cells: Sequence[Any]) -> dict[str, Any]:
        payload: dict[str, Any] = {}
        name = self._layout.payload
        if text is not None and name is not None:
            payload = _parse(name, text)
        beside = {}
        for column, cell in zip(self._members, cells, strict=True):
            if cell is None:
                continue
            value = column.read(cell)
            if column.name in payload and not is_same(payload[column.name], value):
                beside[column.name] = payload[column.name]
            payload[column.name] = value
        if beside and name is not None:
            payload[name] = beside
        return payload

    def _without_fillers(self, carried: str, vectors: tuple[Vector, ...]) -> tuple[Vector, ...]:
        if len(self._parts) < 2 or '"z"' not in carried:
            return vectors
        try:
            value = canonical.parse(carried.encode())
        except (InvalidData, UnicodeEncodeError):  # not ours
            return vectors
        names = value.get("z") if isinstance(value, dict) else None
        fillers = set(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else set()
        return tuple(item for item in vectors if item.space.name not in fillers or any(item.row))


def _checked(points: Iterable[Point]) -> list[Point]:
    found = []
    for point in points:
        try:
            for item in point.vectors:
                check_row(*item)
        except InvalidData as error:
            point = BadPoint.of(point.id, error)
        found.append(point)
    return found


def _parse(name: str, text: Any) -> dict[str, Any]:
    try:
        value = canonical.parse(text.encode())
    except (InvalidData, UnicodeEncodeError, AttributeError):
        value = text
    return value if isinstance(value, dict) else {name: value}


def text_of(layout: Layout, payload: dict[str, Any]) -> Any:
    """Return what a payload has as the text, where a column holds it."""
    return payload.get(layout.text) if layout.text is not None else None


def mark_of(text: Any, cells: Sequence[Any]) -> bytes:
    """Return what tells a row from another of its id: of its text and its main vector, 8 bytes each."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else canonical.encode(text)
    vector = cells[0] if cells and cells[0] is not None else b""
    return blake3(raw).digest(8) + blake3(vector).digest(8)


def is_other(mark: bytes, text: Any, cells: Sequence[Any]) -> bool:
    """Whether a row is another memory than the one that a mark was made of: neither its text nor its vector is."""
    now = mark_of(text, cells)
    return mark[:8] != now[:8] and mark[8:] != now[8:]


def has_table(db: sqlite3.Connection, name: str) -> bool:
    """Whether there is an ordinary table of a name."""
    found = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()
    return found is not None


# -- writing -----------------------------------------------------------------------------------------------------------


class RowWriter:
    """Writes points as rows.  ``is_new``: the tables were made by this write, so that nothing is to be replaced."""

    def __init__(self, db: sqlite3.Connection, layout: Layout, *, is_new: bool) -> None:
        self._db = db
        self._layout = layout
        self._is_new = is_new
        self._parts = layout.vector_parts
        self._names = [layout.space(part).name for part in self._parts]

    def upsert(self, points: Sequence[Point]) -> None:
        """Write rows, replacing those of their ids whole."""
        layout = self._layout
        rows = [self._cells(point) for point in points]
        if layout.rows:
            self._write_rows(points, rows)
            numbers = self._numbers([point.id for point in points])
        else:
            numbers = {point.id: self._native(point.id) for point in points}
        if layout.vectors is not None:
            self._write_vectors([(numbers[point.id], row) for point, row in zip(points, rows, strict=True)])
        if layout.reserved is None:
            self._carry(points, rows)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows; those that are not there are no error."""
        layout = self._layout
        numbers = self._numbers(ids) if layout.rows else {each: self._native(each) for each in ids}
        if layout.vectors is not None:
            self._db.executemany(
                f"DELETE FROM {quote(layout.vectors.name)} WHERE {quote(layout.vectors.key)} = ?",
                [(number,) for number in numbers.values()],
            )
        if layout.rows:
            self._db.executemany(
                f"DELETE FROM {quote(layout.rows)} WHERE {quote(layout.id)} = ?",
                [(self._native(each),) for each in ids],
            )
        if layout.reserved is None and has_table(self._db, layout.carry):
            self._db.executemany(f"DELETE FROM {quote(layout.carry)} WHERE id = ?", [(each,) for each in ids])

    def finish(self) -> None:
        """Drop the table of what is carried where it is empty."""
        carry = self._layout.carry
        if self._layout.reserved is None and has_table(self._db, carry):
            if self._db.execute(f"SELECT 1 FROM {quote(carry)} LIMIT 1").fetchone() is None:
                self._db.execute(f"DROP TABLE {quote(carry)}")

    def _native(self, identifier: str) -> str | int:
        return identifier if self._layout.has_text_id else int(identifier)

    def _cells(self, point: Point) -> dict[str, Any]:
        """Return what the columns are given, by name; vectors are under the names of their columns."""
        layout = self._layout
        left = dict(point.payload)
        carried = left.pop(RESERVED, None)
        vectors = {item.space.name: item.row for item in point.vectors}
        cells: dict[str, Any] = {}
        fillers = []
        for part, name in zip(self._parts, self._names, strict=True):
            row = vectors.get(name)
            if row is None and vectors:
                row = bytes(4 * part.dims)
                fillers.append(name)
            cells[part.name] = encode_vector(part, row) if row is not None else None
        if fillers:
            value = canonical.parse(carried.encode()) if carried else {"v": VERSION}
            carried = canonical.encode({**value, "z": fillers}).decode()  # type: ignore[dict-item]
        for name, column in layout.members.items():
            value = left.get(name)
            if value is not None and column.holds(value):
                cells[name] = column.bind(left.pop(name))
            else:
                cells[name] = None
        if layout.payload is not None:
            cells[layout.payload] = canonical.encode(left).decode() if left else None
        cells[layout.reserved or RESERVED] = carried
        return cells

    def _write_rows(self, points: Sequence[Point], rows: Sequence[dict[str, Any]]) -> None:
        layout = self._layout
        names = [name for name in layout.members if name not in layout.beside]
        names += [name for name in (layout.payload, layout.reserved, layout.copy) if name is not None]
        marks = ", ".join("?" * (1 + len(names)))
        columns = ", ".join(map(quote, (layout.id, *names)))
        statement = f"INSERT INTO {quote(layout.rows)} ({columns}) VALUES ({marks})"
        if not self._is_new:
            changes = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in names)
            statement += f" ON CONFLICT ({quote(layout.id)}) DO " + (f"UPDATE SET {changes}" if names else "NOTHING")
        self._db.executemany(
            statement,
            [(self._native(point.id), *[row[name] for name in names]) for point, row in zip(points, rows, strict=True)],
        )

    def _numbers(self, ids: Sequence[str]) -> dict[str, Any]:
        """Return what the rows of ids share with the vec0 table; those that are not there are left out."""
        layout = self._layout
        if layout.number == layout.id:
            return {each: self._native(each) for each in ids}
        found: dict[str, Any] = {}
        for start in range(0, len(ids), _IN):
            some = ids[start : start + _IN]
            marks = ",".join("?" * len(some))
            found |= dict(
                self._db.execute(
                    f"SELECT {quote(layout.id)}, {quote(layout.number)} FROM {quote(layout.rows)} "
                    f"WHERE {quote(layout.id)} IN ({marks})",
                    some,
                ).fetchall()
            )
        return found

    def _write_vectors(self, rows: Sequence[tuple[Any, dict[str, Any]]]) -> None:
        table = self._layout.vectors
        assert table is not None
        held = [(number, row) for number, row in rows if row[self._parts[0].name] is not None]
        if not self._is_new:
            self._db.executemany(
                f"DELETE FROM {quote(table.name)} WHERE {quote(table.key)} = ?", [(number,) for number, _ in rows]
            )
        plain = [part for part in table.parts if part.role not in ("key", "vector")]
        names = [table.key, *(part.name for part in self._parts), *(part.name for part in plain)]
        marks = ["?", *(_MARKS[part.type] for part in self._parts), *("?" for _ in plain)]
        statement = f"INSERT INTO {quote(table.name)} ({', '.join(map(quote, names))}) VALUES ({', '.join(marks)})"
        self._db.executemany(
            statement,
            [(number, *[self._cell(part, row) for part in (*self._parts, *plain)]) for number, row in held],
        )

    def _cell(self, part: Part, row: dict[str, Any]) -> Any:
        """Return what a column of the vec0 table is given: one that must not be NULL something of its type."""
        value = row.get(part.name)
        if part.role == "vector":
            return value
        column = part.column
        if self._layout.rows and part.name not in self._layout.beside and not column.holds(value):
            value = None  # what the column of the same name in the ordinary table has
        return column.bind(column.filler()) if value is None and part.role == "metadata" else value

    def _carry(self, points: Sequence[Point], rows: Sequence[dict[str, Any]]) -> None:
        """Keep what is carried in a table of its own."""
        layout = self._layout
        kept = []
        for point, row in zip(points, rows, strict=True):
            if row[RESERVED] is not None:
                text = point.payload.get(layout.text) if layout.text is not None else None
                main = [row[self._parts[0].name]] if self._parts else []
                kept.append((point.id, mark_of(text, main), row[RESERVED]))
        there = has_table(self._db, layout.carry)
        if there:
            self._db.executemany(f"DELETE FROM {quote(layout.carry)} WHERE id = ?", [(point.id,) for point in points])
        if kept:
            if not there:
                self._db.execute(
                    f"CREATE TABLE {quote(layout.carry)} "
                    "(id TEXT PRIMARY KEY, mark BLOB NOT NULL, carried TEXT NOT NULL) WITHOUT ROWID"
                )
            self._db.executemany(f"INSERT INTO {quote(layout.carry)} VALUES (?, ?, ?)", kept)


_MARKS: Final = {"float": "?", "int8": "vec_int8(?)", "bit": "vec_bit(?)"}
