"""The connector for PostgreSQL with pgvector: ``pgvector://user@host:5432/database?table=NAME``.

A table with a key, columns of vectors and others (``pgvector_table``), read by one binary COPY, written by binary COPY
into a temporary table and one upsert.  A write is one transaction that keeps other writers out: all of it is done or
nothing, and what an agent wrote since the table was read is never overwritten.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson
from blake3 import blake3

from vexrepo.errors import StoreError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Store, Written
from vexrepo.remotes.stores.pgvector_columns import Column
from vexrepo.remotes.stores.pgvector_copy import CopiedRows, RawRows, Row
from vexrepo.remotes.stores.pgvector_holding import OURS, capabilities_of, mapping_of
from vexrepo.remotes.stores.pgvector_indexing import make_indexes
from vexrepo.remotes.stores.pgvector_leaving import find_left
from vexrepo.remotes.stores.pgvector_making import make_table, widen_table
from vexrepo.remotes.stores.pgvector_numbers import advance_numbers
from vexrepo.remotes.stores.pgvector_pages import Pages, find_middle
from vexrepo.remotes.stores.pgvector_record_rows import RecordWriter
from vexrepo.remotes.stores.pgvector_records import RecordReader
from vexrepo.remotes.stores.pgvector_rights import check_name, check_usage, check_writable, missing_rights
from vexrepo.remotes.stores.pgvector_rows import RowReader, RowWriter
from vexrepo.remotes.stores.pgvector_session import LIBPQ, Session
from vexrepo.remotes.stores.pgvector_table import Table, find_indexes, find_table
from vexrepo.remotes.stores.pgvector_wire import HEADER, TRAILER
from vexrepo.remotes.stores.point_reading import RawPoints
from vexrepo.remotes.stores.point_store import PointStore, Wanted, cannot_hold
from vexrepo.remotes.stores.points import RESERVED, Fields, Point
from vexrepo.remotes.stores.profiles import MEM0_TABLE, profile_fields
from vexrepo.storage.beside import is_worthwhile

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

TABLE: Final = "vex_memories"
SENT_ROWS: Final = 64
SECOND_HALF: Final = 1 << 40  # places from here on are those of rows that a second process read
_FILLED: Final = "pg_catalog.to_jsonb(CAST({} AS {}))::pg_catalog.text"
# The rows with the transactions that wrote them: any change gives a row another place or another transaction.
_STATE = """
SELECT count(*), coalesce(sum(hashtextextended(ctid::text, xmin::text::bigint)), 0)::text
FROM {table}
"""


class PgvectorStore(PointStore):
    """A table of PostgreSQL.  A connection is made when it is first needed."""

    kind: ClassVar[str] = "pgvector"
    reads_snapshot: ClassVar[bool] = True
    holds_others_off: ClassVar[bool] = True
    writes_whole: ClassVar[bool] = True
    batch_points: ClassVar[int] = 2000
    batch_bytes: ClassVar[int] = 16 << 20
    options: ClassVar[frozenset[str]] = LIBPQ | {"table", "schema", "id", "text", "vector", "index", "profile"}
    secrets: ClassVar[Mapping[str, str]] = {"password": "the password of the database's user"}
    can = OURS

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._table: Table | None = None
        self._is_known = False  # whether there is a table, and which
        self._is_told = False  # that its rows may be hidden
        self._pages: Pages | None = None  # those that are read, where others are read by a second process
        self._made = False
        self._inserts = False  # rows of new ids, by this write
        self._written: str | None = None  # the fingerprint after what was written
        self._fillable: dict[str, bool] = {}  # columns whose type may not take what stands for nothing
        self._session = Session(address, self.where)
        self._method = address.choice("index", ("hnsw", "ivfflat", "none")) or "hnsw"

    # -- the table ---------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self.address.options.get("table") or TABLE

    @property
    def _schema(self) -> str | None:
        return self.address.options.get("schema") or None

    @property
    def where(self) -> str:
        """The table, as people are told of it."""
        return f"table {_quoted(self._schema, self._name)} at pgvector:{self.address.location}"

    def collection_words(self) -> str:
        """Return what the table is called to people."""
        return self.where

    def close(self) -> None:
        """End the connection."""
        self._session.close()

    def exists(self) -> bool:
        """Whether there is such a table."""
        return self._find() is not None

    def _find(self) -> Table | None:
        if not self._is_known:
            self._table = None
            with self._session.transaction("read") as connection:
                if self.create:
                    check_writable(connection, self.where)
                if self._schema:
                    check_usage(connection, self._schema, self.where)
                for schema in [self._schema] if self._schema else self._session.schemas:
                    found = find_table(connection, _quoted(schema, self._name), self.address.options, self.where)
                    if found is not None:
                        self._table = replace(found, name=self._name)
                        self.can = capabilities_of(self._table)
                        self._tell_of_hidden_rows(connection, _quoted(schema, self._name))
                        break
                else:
                    check_name(connection, self._schema, self._name, self.where, is_made=self.create)
            self._is_known = True
        return self._table

    def _tell_of_hidden_rows(self, connection: psycopg.Connection[Any], name: str) -> None:
        """Say that a user may not see all rows: what is missing for one would seem to have been removed."""
        row = connection.execute("SELECT pg_catalog.row_security_active(%s::pg_catalog.text)", (name,)).fetchone()
        if row is not None and row[0] and not self._is_told:
            self._is_told = True
            self.address.reach.notice(
                f"{self.where} has row-level security for this user: rows that it hides are no part of the memory that "
                "is read, and their ids cannot be written"
            )

    @property
    def table(self) -> Table:
        """The table, which is there."""
        found = self._find()
        assert found is not None
        return found

    @property
    def _place(self) -> str:
        """The table's quoted name, with its schema."""
        return _quoted(self.table.schema, self._name)

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return what the members are called: a column holds the text, or a member of the payload."""
        table = self._find()
        if table is None:
            return profile_fields(self.address, sample) or Fields(text="content")
        if table.text:
            return Fields(text=table.text)
        return super().find_fields(sample)

    def fields(self) -> Fields:
        """Return what the members of a payload are called."""
        if self._fields is None and (self._find() is None or self.table.text):
            self._fields = self.find_fields(())
        return super().fields()

    def mapping(self) -> dict[str, str]:
        """Return which column, with its type, each member of a record is."""
        table = self._find()
        return {} if table is None else mapping_of(table, self.fields())

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that the columns are declared for."""
        spaces = [each.space for each in self.table.vectors]
        return {space.name: space for space in spaces if space.dims or space.kind == "sparse"}

    def describe(self) -> Description:
        """Return the number of rows, how the table is set up, and a fingerprint of which rows there are."""
        table = self._find()
        if table is None:
            return Description(0)
        with self._session.transaction("read") as connection:
            count, mark = self._look()
            indexes = [index.to_json() for index in find_indexes(connection, self._place)]
        main = next((each.column for each in table.vectors if each.name == MAIN), None)
        config: dict[str, Any] = {"columns": dict(table.columns), "id": table.id.name, "indexes": indexes}
        if main is not None:
            config["vector"] = main
        return Description(count, config, mark)

    def find_left(self) -> list[str]:
        """Return what the table has that is not made again."""
        with self._session.transaction("read") as connection:
            return find_left(connection, self._place, self.table.id.name)

    def _look(self) -> tuple[int, str | None]:
        """Return the number of rows, and a fingerprint of which there are."""
        table = self.table
        count, state = self._one(_STATE if table.has_rows else "SELECT count(*), NULL FROM {table}")
        # A column that is added or dropped touches no row.
        columns = blake3(repr(table.columns).encode()).hexdigest(8)
        return count, f"{count}:{columns}:{state}" if state is not None else None

    def _one(self, statement: str) -> tuple[Any, ...]:
        row = self._session.connection.execute(self._sql(statement)).fetchone()
        assert row is not None
        return tuple(row)

    def _sql(self, text: str, **parts: sql.Composable) -> sql.Composed:
        from psycopg import sql

        return sql.SQL(text).format(table=self.table.identifier(), **parts)

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield all rows in batches, all of one moment."""
        reader = RowReader(self.table)
        return map(reader.points, self._rows(reader))

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield all rows in batches, those of tables of ours as records."""
        reader = self._record_reader()
        return super().read_records() if reader is None else map(reader.records, self._rows(reader))

    def read_raw(self) -> RawPoints | None:
        """Return the rows as bytes, which the table's layout and the fields make records."""
        fields, records, points = self.fields(), self._record_reader(), RowReader(self.table)
        reader, make = (records, records.records) if records is not None else (points, points.points)
        named = *fields.members, getattr(fields.complete, "__name__", None)
        return RawRows(lambda: self._copied(reader), make, self.kind, repr(self.table), repr(named))

    @contextlib.contextmanager
    def halved(self) -> Iterator[Store | None]:
        """Give a connector for a second process: of two connections, each reads half of the table's pages.

        Not where the store may be written: then this process has to know which ids there are.
        """
        table = self._find()
        middle = None
        if table is not None and not self.create and sys.platform == "linux" and is_worthwhile():
            with self._session.transaction("read") as connection:
                middle = find_middle(connection, self._place)
        if middle is None:
            yield None
            return
        fields = self.fields()  # asked before: that may read a few rows and leave the others
        with self._session.doubled(self.table.identifier()) as session:
            if session is None:
                yield None
                return
            other = type(self)(self.address)
            other._session, other._table, other._is_known = session, table, True
            other.can, other._fields = self.can, fields
            other._pages, other.first_place = Pages(middle, is_second=True), SECOND_HALF
            self._pages = Pages(middle, is_second=False)
            try:
                yield other
            finally:
                self._pages = None

    def place(self, place: int) -> str:
        """Return words for a row."""
        if place > SECOND_HALF:
            return f"{super().place(place - SECOND_HALF)} of the second half of its pages"
        return super().place(place)

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the rows of some ids."""
        reader = RowReader(self.table)
        return [point for rows in self._rows(reader, reader.statement(ids)) for point in reader.points(rows)]

    def _record_reader(self) -> RecordReader | None:
        """Return what makes records of the rows, of a table of ours."""
        table = self.table
        return RecordReader(table, self.fields()) if table.text and RecordReader.suits(table, self.fields()) else None

    def _rows(self, reader: RowReader | RecordReader, statement: sql.Composed | None = None) -> Iterator[list[Row]]:
        with self._copied(reader, statement) as rows:
            for batch in rows.batches():
                yield rows.split(batch)

    @contextlib.contextmanager
    def _copied(self, reader: RowReader | RecordReader, statement: sql.Composed | None = None) -> Iterator[CopiedRows]:
        with (
            self._session.transaction("read") as connection,
            connection.cursor() as cursor,
            cursor.copy(statement or reader.statement(pages=self._pages)) as copy,
            self._session.reading(connection),
        ):
            yield CopiedRows(copy, reader.types())

    # -- writing -----------------------------------------------------------------------------------------------------

    def checks_points(self) -> bool:
        """Whether there are points that the table may not take."""
        table = self._find()
        if table is None:
            return False
        return not table.id.takes_any_id or (table.reserved is None and table.payload is None)

    def check_point(self, point: Point) -> None:
        """Raise StoreError for an id that the column does not take, or where what is carried has no place."""
        table = self.table
        native: Any = int(point.id) if table.id.id_form == "number" else point.id
        if not table.id.holds(native):
            raise cannot_hold(self, point.id, f"the column {table.id.name} is of type {table.id.type}")
        if table.reserved is None and table.payload is None and RESERVED in point.payload:
            self._check_can_add()

    def _check_can_add(self) -> None:
        """Raise StoreError (store-refused) where the table has no column for what is carried, nor may get one."""
        with self._session.transaction("read") as connection:
            row = connection.execute(
                "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(%s)", (self._place,)
            ).fetchone()
        if not (row and row[0]):
            raise StoreError(
                f"{self.where} has no column for what else a memory says, and only its owner can add one; nothing was "
                f"written: ask for ALTER TABLE … ADD COLUMN {RESERVED} text",
                code="store-refused",
            )

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold a transaction, and other writers off, until all is written."""
        with self._session.transaction("write") as connection:
            if self.exists():
                connection.execute(self._sql("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
                self.check_expected(self._plan)
            try:
                yield
                self._session.end_stream()
                if self._made:  # once the vectors are all there
                    make_indexes(self._session, self.table, self._config, self._method)
                if self._inserts:
                    self._advance(connection)
                self._written = self._look()[1]  # as long as nobody else can write
            except BaseException:
                self._is_known = False  # what was made is gone
                self._session.cancel_stream()
                raise

    def _advance(self, connection: psycopg.Connection[Any]) -> None:
        """Let the server go on with numbers that no row has, and say what that could not be done for."""
        notice = self.address.reach.notice
        for statement in advance_numbers(connection, self.table, self._place):
            notice(
                f"{self.where}: the next row that another program adds may get a number that is taken; have the owner "
                f"of the table do this once: {statement}"
            )
        if self.table.numbered:
            notice(
                f"{self.where}: the server numbers {', '.join(self.table.numbered)}, which is no part of a memory: "
                "memories that were added have new numbers there, also those that had been in the table before"
            )

    def write(self, plan: Plan) -> Written:
        """Bring the table to a plan, as a whole or not at all.  Raises: StoreError (store-changed)."""
        self._made, self._written, self._inserts = False, None, False
        if plan.expected is None:
            self._names = None  # what was read before may have changed
            plan = replace(plan, expected=self.describe().fingerprint)
        self._plan = plan
        try:
            done = super().write(plan)
        except StoreError as error:
            if error.code == "store-refused" and (lacking := self._missing_rights()):
                raise StoreError(f"{error}; {lacking}", code=error.code) from None
            raise
        return replace(done, fingerprint=self._written)

    def _missing_rights(self) -> str:
        """Return what the user may not do that a write needs, "" where that is not why it was refused."""
        with contextlib.suppress(StoreError):  # then it is not known
            table = self._find()
            if table is not None:
                with self._session.transaction("read") as connection:
                    return missing_rights(connection, self._place, table.read_columns())
        return ""

    def prepare(self, wanted: Wanted) -> None:
        """Make the table."""
        config = wanted.config
        if not config and self.fields().complete is not None:
            config = MEM0_TABLE
        make_table(self._session, self._schema, self._name, wanted.spaces, config, self.where)
        self._made, self._is_known, self._fields, self._config = True, False, None, wanted.config
        assert self._find() is not None

    def widen(self, spaces: Mapping[str, Space]) -> None:
        """Add columns for vectors to the table that was made."""
        widen_table(self._session, self.table, spaces)
        self._is_known = False

    def upsert(self, points: Sequence[Point]) -> None:
        """Write rows, replacing those of their ids."""
        table = self.table
        if table.reserved is None and table.payload is None and any(RESERVED in point.payload for point in points):
            with self._session.transaction("write") as connection, self._session.as_the_user():
                connection.execute(
                    self._sql(f"ALTER TABLE {{table}} ADD COLUMN IF NOT EXISTS {RESERVED} pg_catalog.text")
                )
            self._is_known = False
        self._copy(points)

    def insert(self, points: Sequence[Point]) -> None:
        """Write rows of ids that are not there: the table is held against other writers."""
        self._inserts = True
        table, writer = self.table, RowWriter(self.table)
        if not (table.is_plain and writer.is_direct and (table.reserved or table.payload is not None)):
            self.upsert(points)
            return
        self._session.send(writer.copy(directly=True), [writer.rows(points)])

    def insert_records(self, records: Sequence[tuple[Record, str]]) -> Sequence[tuple[Record, str]]:
        """Write records of new ids into a table of ours, and return those that are not plain."""
        if not records or not RecordWriter.suits(self.table, self.fields()):
            return records
        self._inserts = True
        writer, statement = RecordWriter(self.table, self.fields()), RowWriter(self.table).copy(directly=True)
        left: list[tuple[Record, str]] = []
        for start in range(0, len(records), SENT_ROWS):  # the server takes these in while the next are made
            pieces, others = writer.rows(records[start : start + SENT_ROWS])
            left += others
            if pieces:
                self._session.send(statement, pieces)
        return left

    def _copy(self, points: Sequence[Point]) -> None:
        writer = RowWriter(self.table)
        with (
            self._session.transaction("write") as connection,
            connection.cursor() as cursor,
            self._session.as_the_user(),
        ):
            cursor.execute(writer.incoming())
            with cursor.copy(writer.copy(directly=False)) as copy:
                copy.write(HEADER)
                copy.write(writer.rows(points))
                copy.write(TRAILER)
            for statement in writer.merge():
                cursor.execute(statement)

    def fills(self, count: int) -> Sequence[Mapping[str, Any]]:
        """Return what the columns that must not be NULL say where a record does not: their defaults, one for each row.

        A default may be a function of the table's owner.  So it is only asked when rows are written, which the server
        would do as well; reading goes without.  What has no default, and whose type takes nothing that would stand for
        one, is left to the records.
        """
        from psycopg import sql

        columns = [each for each in self.table.members.values() if each.is_required and self._can_fill(each)]
        if not columns:
            return [{}] * count
        forms = [sql.SQL(_FILLED).format(each.filler(), sql.SQL(each.type)) for each in columns]
        statement = sql.SQL("SELECT {} FROM pg_catalog.generate_series(1, %s)").format(sql.SQL(", ").join(forms))
        with self._session.transaction("write") as connection, self._session.as_the_user():
            rows = connection.execute(statement, (count,)).fetchall()
        return [
            {each.name: orjson.loads(text) if text is not None else "" for each, text in zip(columns, row, strict=True)}
            for row in rows
        ]

    def _can_fill(self, column: Column) -> bool:
        """Whether there is a value for rows that say nothing in a column that must not be NULL."""
        import psycopg
        from psycopg import sql

        if column.has_filler:
            return True
        if column.name not in self._fillable:
            statement = sql.SQL("SELECT " + _FILLED).format(column.filler(), sql.SQL(column.type))
            with self._session.transaction("write") as connection:
                try:
                    with connection.transaction(), self._session.as_the_user():
                        connection.execute(statement)
                    self._fillable[column.name] = True
                except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
                    self._fillable[column.name] = False
        return self._fillable[column.name]

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        from psycopg import sql

        parts = {"id": sql.Identifier(self.table.id.name), "kind": sql.SQL(self.table.id.type)}
        text = "DELETE FROM {table} WHERE {id} OPERATOR(pg_catalog.=) ANY(%s::pg_catalog.text[]::{kind}[])"
        with self._session.transaction("write") as connection, self._session.as_the_user():
            connection.execute(self._sql(text, **parts), (list(ids),))


def _quoted(*parts: str | None) -> str:
    """Return a name as ``to_regclass`` reads it."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)
