"""The connector for LanceDB: ``lancedb:FOLDER?table=NAME``, a database in a folder.

A row is a memory (``lancedb_table``).  Rows are read as Arrow batches of one version.  New ones are added in one
stream, which is one version, others are written by ``merge_insert`` on the id, which replaces whole rows.  A write that
fails leaves the version before it, or restores it.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from vexrepo.errors import StorageFailure, StoreError, VexError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.arrow_values import cell
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.capabilities import HALF, NOTHING, Capabilities
from vexrepo.remotes.stores.carry import ABSENT
from vexrepo.remotes.stores.lancedb_rows import RecordReader, RecordWriter, is_held, make_rows, parse_json, read_points
from vexrepo.remotes.stores.lancedb_stream import RowStream
from vexrepo.remotes.stores.lancedb_table import (
    Table,
    describe_indexes,
    new_schema,
    understand,
    wanted_indexes,
)
from vexrepo.remotes.stores.point_store import PointStore, Wanted
from vexrepo.remotes.stores.points import RESERVED, Fields, Point
from vexrepo.remotes.stores.record_splitting import Named

TABLE: Final = "memories"
READ_ROWS: Final = 2000
_AHEAD_BYTES: Final = 6 << 20  # of rows, that the library may hold before they are asked for
_ROW_BYTES: Final = 1000  # of a row, as a rule, without its vectors
_DELETED_AT_ONCE: Final = 500
_MERGED_ROWS, _MERGED_BYTES = 10_000, 64 << 20  # at once: each merge looks through the ids of the whole table


class LanceStore(PointStore):
    """A table of a database in a folder."""

    kind: ClassVar[str] = "lancedb"
    reads_snapshot: ClassVar[bool] = True
    writes_whole: ClassVar[bool] = True
    batch_points: ClassVar[int] = 2000
    batch_bytes: ClassVar[int] = 16 << 20
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
        self._stream: RowStream | None = None  # of new rows
        self._merging: list[Any] = []  # rows that replace others
        self._ours: set[int] = set()  # versions of this write

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
                    f"no space left while writing the {self.collection_words()}: free some and run the command again",
                    code="disk-full",
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
                    if text is not None and not isinstance(parse_json(text), dict):
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
            count, mark = self._open.count_rows(), self._mark()
            indexes = describe_indexes(self._open)
        config: dict[str, Any] = {
            "columns": {each.name: str(each.type) for each in table.schema},
            "id": table.id,
            "indexes": indexes,
        }
        if table.vectors:
            config["vector"] = table.vectors[0].column
        return Description(count, config, mark)

    def _mark(self) -> str:
        """Return what changes with each version of the table, of the one that is open."""
        status = os.stat(self._path / f"{self._name}.lance" / "_versions")
        return f"{self._open.version}:{status.st_ino}:{status.st_mtime_ns}"

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield all rows in batches."""
        for batch in self._batches():
            yield list(read_points(self.table, batch))

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield all rows in batches, those of a table of ours as records."""
        if self.table.text is None or not RecordReader.suits(self.table, self.fields()):
            yield from super().read_records()
            return
        reader = RecordReader(self.table, self.fields())
        for batch in self._batches():
            yield from reader.batches(batch)

    def _batches(self) -> Iterator[Any]:
        """Yield the rows of the newest version in Arrow batches, by several queries: one for all reads far ahead."""
        row_bytes = _ROW_BYTES + sum(int(each.dtype[2]) * each.dims for each in self.table.vectors)
        at, most = 0, max(READ_ROWS, _AHEAD_BYTES // row_bytes)
        with self._wrapped("read"):
            table = self._database.open_table(self._name)
            table.checkout(table.version)  # stays so, whatever is written meanwhile
            count = table.count_rows()
            while at < count:
                before = at
                for batch in table.search().offset(at).limit(most).to_batches(READ_ROWS):
                    at += batch.num_rows
                    yield batch
                if at == before:
                    raise StoreError(
                        f"the {self.collection_words()} gave {at} of {count} rows; run the command again",
                        code="store-changed",
                    )

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the rows of some ids."""
        with self._wrapped("read"):
            self._open.checkout_latest()
            rows = self._open.search().where(self._of_ids(ids)).limit(None)
            return [point for batch in rows.to_batches(READ_ROWS) for point in read_points(self.table, batch)]

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
        if self._find() is None:
            return done
        with self._wrapped("read"):
            self._open.checkout_latest()
            return replace(done, fingerprint=self._mark())

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Leave the table as it is, or take it away, where something goes wrong before all is written."""
        before, had_folder = None, self._path.is_dir()
        if self.exists():
            with self._wrapped("write"):
                self._open.checkout_latest()
                before = self._open.version
        self._ours.clear()
        try:
            yield
        except BaseException:
            if self._stream is not None:
                self._stream.cancel()
            if before is not None or self._is_made:
                self._take_back(before)
            if not had_folder:
                with contextlib.suppress(OSError):
                    self._path.rmdir()
            raise
        finally:
            self._stream = None
            self._merging.clear()

    def _take_back(self, before: int | None) -> None:
        """Restore a version, or drop the table that was made; not where another program has written meanwhile."""
        self._table, self._is_made = None, False
        with self._wrapped("restore"):
            self._open.checkout_latest()
            added = {each["version"] for each in self._open.list_versions() if each["version"] > (before or 0)}
            if added - self._ours:
                self.address.reach.notice(
                    f"{self.address}: another program wrote at the same time, so what was written so far stays: "
                    "run the command again"
                )
            elif before is None:
                self._database.drop_table(self._name)
            elif added:
                self._open.checkout(before)
                self._open.restore()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Note the version that a change makes."""
        with self._wrapped("write"):
            yield
            self._ours.add(self._open.version)

    def prepare(self, wanted: Wanted) -> None:
        """Make the table."""
        with self._wrapped("make"):
            self._open = self._database.create_table(self._name, schema=new_schema(wanted.spaces, wanted.config))
            self._ours.add(self._open.version)
        self._is_made, self._table, self._fields, self._config = True, None, None, wanted.config

    def insert_records(self, records: Sequence[Named]) -> Sequence[Named]:
        """Add rows of records of new ids to a table of ours, and return those that are not plain."""
        if not records or self.table.text is None or not RecordReader.suits(self.table, self.fields()):
            return records
        rows, others = RecordWriter(self.table, self.fields()).rows(records)
        if rows.num_rows:
            self._add([rows])
        return others

    def insert(self, points: Sequence[Point]) -> None:
        """Add rows of ids that are not there."""
        self._make_room(points)
        self._add(make_rows(self.table, points).to_batches())

    def _add(self, batches: Sequence[Any]) -> None:
        with self._wrapped("write"):
            for batch in batches:
                if self._stream is None:
                    self._stream = RowStream(self._open, self.table.schema)
                self._stream.write(batch)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write rows, replacing those of their ids."""
        self._make_room(points)
        self._merging.append(make_rows(self.table, points))
        rows, size = sum(each.num_rows for each in self._merging), sum(each.nbytes for each in self._merging)
        if rows >= _MERGED_ROWS or size >= _MERGED_BYTES:
            self._flush()

    def _make_room(self, points: Sequence[Point]) -> None:
        """Add the column for what is carried, where it is needed and missing."""
        if self.table.reserved is None and any(RESERVED in point.payload for point in points):
            self._flush()
            with self._changing():
                self._open.add_columns({RESERVED: "CAST(NULL AS string)"})
            self._table = None

    def _flush(self) -> None:
        """Let all rows arrive that are under way."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with self._changing():
                stream.end()
        if self._merging:
            import pyarrow as pa

            rows = pa.concat_tables(self._merging)
            self._merging.clear()
            with self._changing():
                merge = self._open.merge_insert(self.table.id).when_matched_update_all().when_not_matched_insert_all()
                merge.execute(rows, on_bad_vectors="null")

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        self._flush()
        for start in range(0, len(ids), _DELETED_AT_ONCE):
            some = ids[start : start + _DELETED_AT_ONCE]
            with self._changing():
                self._open.delete(self._of_ids(some))

    def finish(self) -> None:
        """Let all rows arrive; index a table that was made."""
        self._flush()
        if not self._is_made:
            return
        from lancedb import index as kinds

        for column, kind, parameters in wanted_indexes(self._config, self.table.schema.names):
            try:
                self._open.create_index(column, config=getattr(kinds, kind)(**parameters))
                self._ours.add(self._open.version)
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
        holds_id_member=True,
        id_form="text" if table.has_text_id else "number",
        holds_id=lambda identifier: "\0" not in identifier,
        is_named=len(columns) > 1,
        names=frozenset(columns),
        holds_vector=lambda item: is_held(columns[item.space.name], item),
        alters=HALF if any(each.dtype == "<f2" for each in table.vectors) else NOTHING,
    )
