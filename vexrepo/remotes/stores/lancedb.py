"""The connector for LanceDB: ``lancedb:FOLDER?table=NAME``, a database in a folder.

A row is a memory (``lancedb_table``).  Rows are read as Arrow batches of one version and written by ``merge_insert`` on
the id, which replaces whole rows; nothing else of Lance's versions is relied on.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from vexrepo.errors import InvalidData, StorageFailure, StoreError, VexError
from vexrepo.objects import canonical
from vexrepo.objects.vector import Space, Vector
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.arrow_values import cell, plain
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.capabilities import HALF, NOTHING, Capabilities
from vexrepo.remotes.stores.carry import ABSENT
from vexrepo.remotes.stores.exact_vectors import Found, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.lancedb_table import (
    Table,
    VectorColumn,
    describe_indexes,
    new_schema,
    understand,
    wanted_indexes,
)
from vexrepo.remotes.stores.point_store import PointStore, Wanted
from vexrepo.remotes.stores.points import RESERVED, BadPoint, Fields, Point

TABLE: Final = "memories"
READ_ROWS: Final = 1000
_DELETED_AT_ONCE: Final = 500


class LanceStore(PointStore):
    """A table of a database in a folder."""

    kind: ClassVar[str] = "lancedb"
    reads_snapshot: ClassVar[bool] = True
    batch_points: ClassVar[int] = 10_000
    batch_bytes: ClassVar[int] = 64 << 20
    options: ClassVar[frozenset[str]] = frozenset({"table", "id", "text", "vector"})
    can = Capabilities(lambda value: True, "any JSON")

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._path = Path(address.location)
        self._name = address.options.get("table") or TABLE
        self._open: Any = None
        self._table: Table | None = None
        self._is_made = False
        self._config: Mapping[str, Any] = {}

    def collection_words(self) -> str:
        """Return what the table is called to people."""
        return f"table {self._name} in {self._path}"

    # -- the table ---------------------------------------------------------------------------------------------------

    @cached_property
    def _database(self) -> Any:
        try:
            import lancedb
        except ImportError:
            raise StoreError(
                f"{self.address}: the library for such databases is not installed: pip install 'vexrepo[lancedb]'",
                code="store-unreadable",
            ) from None
        with self._wrapped("open"):
            return lancedb.connect(str(self._path))

    @contextlib.contextmanager
    def _wrapped(self, doing: str) -> Iterator[None]:
        """Raise what the library raises as ours."""
        try:
            yield
        except VexError:
            raise
        except (RuntimeError, ValueError, OSError) as error:
            said = f"{str(error).splitlines()[0] if str(error) else type(error).__name__:.300}"
            if "No space left" in str(error):
                raise StorageFailure(
                    f"no space left while writing {self._path}: free some", code="disk-full"
                ) from error
            code = "store-changed" if "onflict" in said else "store-unreadable"
            again = "; another program wrote at the same time: run the command again" if "onflict" in said else ""
            raise StoreError(f"cannot {doing} the {self.collection_words()}: {said}{again}", code=code) from error

    def exists(self) -> bool:
        """Whether there is such a table."""
        return self._find() is not None

    def _find(self) -> Table | None:
        if self._table is None:
            if self._path.exists() and not self._path.is_dir():
                raise StoreError(f"{self._path} is no folder, expected a LanceDB database", code="store-unreadable")
            if not (self._path / f"{self._name}.lance").is_dir():
                if not self.create:
                    names = sorted(each.stem for each in self._path.glob("*.lance")) if self._path.is_dir() else []
                    raise StoreError(
                        f"there is no {self.collection_words()}; tables there: {', '.join(names) or 'none'}; name one "
                        "with ?table=NAME",
                        code="store-missing",
                    )
                return None
            with self._wrapped("open"):
                self._open = self._database.open_table(self._name)
                schema = self._open.schema
            found = understand(schema, self.address.options, self.collection_words())
            if found.payload is not None and found.reserved is None and not self._holds_objects(found.payload):
                found = replace(
                    found,
                    payload=None,
                    members={**found.members, found.payload: schema.field(found.payload).type},
                )
            self.can = _capabilities(found)
            self._table = found
        return self._table

    def _holds_objects(self, name: str) -> bool:
        """Whether a column of texts holds JSON objects and nothing else."""
        with self._wrapped("read"):
            for batch in self._open.search().select([name]).limit(None).to_batches(READ_ROWS):
                for text in batch.column(name).to_pylist():
                    if text is not None and not isinstance(_parse(text), dict):
                        return False
        return True

    @property
    def table(self) -> Table:
        """The table, which is there."""
        found = self._find()
        assert found is not None
        return found

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return what the members are called: a column holds the text, or a member of the payload."""
        table = self._find()
        if table is None:
            return Fields(text="content")
        return Fields(text=table.text) if table.text is not None else super().find_fields(sample)

    def fields(self) -> Fields:
        """Return what the members of a payload are called."""
        table = self._find()
        if self._fields is None and (table is None or table.text is not None):
            self._fields = self.find_fields(())
        return super().fields()

    def mapping(self) -> dict[str, str]:
        """Return which column, with its type, each member of a record is."""
        table = self._find()
        if table is None:
            return {}
        kinds = {each.name: str(each.type) for each in table.schema}
        rest = f"a member of {table.payload}" if table.payload is not None else "carried"
        found = {"id": f"{table.id} {kinds[table.id]}"}
        named = dict(self.fields().members)
        for member, name in named.items():
            found[member] = f"{name} {kinds[name]}" if name in table.members else f"{rest}: {name}"
        for each in table.vectors:
            found[f"vectors.{each.name}" if each.name else "vector"] = f"{each.column} {kinds[each.column]}"
        for name in table.members:
            if name not in named.values():
                found[f"metadata.{name}"] = f"{name} {kinds[name]}"
        found |= {f"metadata.{name}": f"{table.struct}.{name} {kind}" for name, kind in table.fields.items()}
        found["metadata"] = f"all members of {table.payload}" if table.payload is not None else "carried"
        found["everything else"] = table.reserved or f"{RESERVED} string, added when it is needed"
        return found

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that the columns are declared for."""
        return {each.name: each.space for each in self.table.vectors}

    def describe(self) -> Description:
        """Return the number of rows, how the table is set up, and what changes with each version of it."""
        table = self._find()
        if table is None:
            return Description(0)
        with self._wrapped("read"):
            self._open.checkout_latest()
            count, version = self._open.count_rows(), self._open.version
            indexes = describe_indexes(self._open)
        config: dict[str, Any] = {
            "columns": {each.name: str(each.type) for each in table.schema},
            "id": table.id,
            "indexes": indexes,
        }
        if table.vectors:
            config["vector"] = table.vectors[0].column
        status = os.stat(self._path / f"{self._name}.lance" / "_versions")
        return Description(count, config, f"{version}:{status.st_ino}:{status.st_mtime_ns}")

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield all rows in batches."""
        with self._wrapped("read"):
            self._open.checkout_latest()
            for batch in self._open.search().limit(None).to_batches(READ_ROWS):
                yield list(_points(self.table, batch))

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the rows of some ids."""
        with self._wrapped("read"):
            self._open.checkout_latest()
            rows = self._open.search().where(self._of_ids(ids)).limit(None)
            return [point for batch in rows.to_batches(READ_ROWS) for point in _points(self.table, batch)]

    def _of_ids(self, ids: Sequence[str]) -> str:
        """Return the expression that is true of rows with one of the ids."""
        table = self.table
        values = ", ".join("'" + each.replace("'", "''") + "'" if table.has_text_id else each for each in ids)
        return f"`{table.id}` IN ({values})"

    def place(self, place: int) -> str:
        """Return words for a row."""
        return f"{self.address} row {place}"

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Bring the table to a plan.  Raises: StoreError (store-changed)."""
        self._is_made = False
        self.exists()
        self.check_expected(plan)
        done = super().write(plan)
        return replace(done, fingerprint=self.describe().fingerprint)

    def prepare(self, wanted: Wanted) -> None:
        """Make the table."""
        with self._wrapped("make"):
            self._database.create_table(self._name, schema=new_schema(wanted.spaces, wanted.config))
        self._is_made, self._table, self._fields, self._config = True, None, None, wanted.config

    def upsert(self, points: Sequence[Point]) -> None:
        """Write rows, replacing those of their ids."""
        table = self.table
        with self._wrapped("write"):
            if table.reserved is None and any(RESERVED in point.payload for point in points):
                self._open.add_columns({RESERVED: "CAST(NULL AS string)"})
                self._table = None
                table = self.table
            rows = _arrow(table, points)
            if self._is_made:
                self._open.add(rows, on_bad_vectors="null")
            else:
                merge = self._open.merge_insert(table.id).when_matched_update_all().when_not_matched_insert_all()
                merge.execute(rows, on_bad_vectors="null")

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        with self._wrapped("write"):
            for start in range(0, len(ids), _DELETED_AT_ONCE):
                self._open.delete(self._of_ids(ids[start : start + _DELETED_AT_ONCE]))

    def finish(self) -> None:
        """Index a table that was made, once all rows are there."""
        if not self._is_made:
            return
        from lancedb import index as kinds

        for column, kind, parameters in wanted_indexes(self._config, self.table.schema.names):
            try:
                self._open.create_index(column, config=getattr(kinds, kind)(**parameters))
            except (RuntimeError, ValueError, TypeError, AttributeError) as error:
                said = (str(error).splitlines() or [""])[0]
                self.address.reach.notice(f"{self.address}: no index {kind} on {column} was made again: {said:.200}")


def _capabilities(table: Table) -> Capabilities:
    """Return what a table holds."""
    columns = {each.name: each for each in table.vectors}

    def holds_member(name: str, value: Any) -> bool:
        kind = table.members.get(name, table.fields.get(name))
        if kind is not None and cell(value, kind) is not ABSENT:
            return True
        return table.payload is not None and name != table.payload

    return replace(
        LanceStore.can,
        holds_member=holds_member,
        id_form="text" if table.has_text_id else "number",
        holds_id=lambda identifier: "\0" not in identifier,
        is_named=len(columns) > 1,
        names=frozenset(columns),
        holds_vector=lambda item: _is_held(columns[item.space.name], item),
        alters=HALF if any(each.dtype == "<f2" for each in table.vectors) else NOTHING,
    )


def _is_held(column: VectorColumn, item: Vector) -> bool:
    import numpy as np

    if column.dtype != "<f2":
        return True
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.frombuffer(item.row, "<f4").astype("<f2")).all())


# -- rows --------------------------------------------------------------------------------------------------------------


def _points(table: Table, batch: Any) -> Iterator[Point]:
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
        held = _parse(text)
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


def _parse(text: str) -> Any:
    try:
        return canonical.parse(text.encode())
    except (InvalidData, UnicodeEncodeError):
        return None


def _arrow(table: Table, points: Sequence[Point]) -> Any:
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
    import numpy as np
    import pyarrow as pa

    rows = [next((row for space, row in point.vectors if space.name == column.name), None) for point in points]
    blank = bytes(4 * column.dims)
    numbers = np.frombuffer(b"".join([row if row is not None else blank for row in rows]), "<f4")
    with np.errstate(over="ignore"):
        values = pa.array(numbers.astype(column.dtype, copy=False))
    return pa.FixedSizeListArray.from_arrays(values, column.dims, mask=pa.array([row is None for row in rows]))
