"""The connector for PostgreSQL with pgvector: ``pgvector://user@host:5432/database?table=NAME``.

A table with a key, columns of vectors and others (``pgvector_table``), read by one binary COPY, written by binary COPY
into a temporary table and one upsert.  A write is one transaction that keeps other writers out: all of it is done or
nothing, and what an agent wrote since the table was read is never overwritten.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson
from blake3 import blake3

from vexrepo.errors import StoreError, UsageError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.capabilities import HALF, NOTHING, Capabilities
from vexrepo.remotes.stores.pgvector_columns import Column, holds_json
from vexrepo.remotes.stores.pgvector_errors import connection_parameters, store_error
from vexrepo.remotes.stores.pgvector_record_rows import RecordWriter
from vexrepo.remotes.stores.pgvector_records import RecordReader
from vexrepo.remotes.stores.pgvector_rows import RowReader, RowWriter
from vexrepo.remotes.stores.pgvector_stream import RowStream
from vexrepo.remotes.stores.pgvector_table import (
    Table,
    columns_to_make,
    default_index,
    find_indexes,
    find_table,
    indexes_of,
    is_column_name,
)
from vexrepo.remotes.stores.pgvector_wire import HEADER, TRAILER, can_be_held
from vexrepo.remotes.stores.point_store import PointStore, Wanted, cannot_hold
from vexrepo.remotes.stores.points import RESERVED, Fields, Point
from vexrepo.remotes.stores.profiles import MEM0_TABLE, profile_fields

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

TABLE: Final = "vex_memories"
MAX_ID_BYTES: Final = 2000  # an index row of PostgreSQL holds about 2,700
LOCK_WAIT: Final = "10s"
READ_ROWS: Final = 250
SENT_ROWS: Final = 64
_LIBPQ: Final = frozenset(
    {
        "host",
        "port",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslnegotiation",
        "channel_binding",
        "gssencmode",
        "options",
    }
)
_OWN_PATH: Final = "pg_catalog, pg_temp"
_PATH: Final = "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(false)::pg_catalog.text[]"
# The rows with the transactions that wrote them: any change gives a row another place or another transaction.
_STATE = """
SELECT count(*), coalesce(sum(hashtextextended(ctid::text, xmin::text::bigint)), 0)::text
FROM {table}
"""


class PgvectorStore(PointStore):
    """A table of PostgreSQL.  A connection is made when it is first needed."""

    kind: ClassVar[str] = "pgvector"
    reads_snapshot: ClassVar[bool] = True
    writes_whole: ClassVar[bool] = True
    batch_points: ClassVar[int] = 2000
    batch_bytes: ClassVar[int] = 16 << 20
    options: ClassVar[frozenset[str]] = _LIBPQ | {"table", "schema", "id", "text", "vector", "index", "profile"}
    secrets: ClassVar[Mapping[str, str]] = {"password": "the password of the database's user"}
    can = Capabilities(
        holds_json,
        "any JSON but texts with NUL",
        holds_name=lambda name: "\0" not in name,
        id_bytes=MAX_ID_BYTES,
        holds_id=lambda identifier: "\0" not in identifier,
        kinds=frozenset({"dense", "sparse"}),
        is_named=True,
        holds_vector=lambda vector: vector.space.kind == "dense" or is_column_name(vector.space.name),
    )

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._table: Table | None = None
        self._is_known = False  # whether there is a table, and which
        self._path: tuple[Any, ...] | None = (
            None  # the user's search path, as it is set and as the schemas that are there
        )
        self._stream: RowStream | None = None  # of new rows, as long as nothing else is asked of the server
        self._made = False
        self._written: str | None = None  # the fingerprint after what was written
        self._method = address.options.get("index", "hnsw")
        if self._method not in ("hnsw", "ivfflat", "none"):
            raise UsageError(
                f"{address}: index is {self._method!r:.20}, expected hnsw, ivfflat or none", code="bad-address"
            )

    # -- connecting --------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self.address.options.get("table") or TABLE

    @property
    def where(self) -> str:
        """The table, as people are told of it."""
        schema = self.address.options.get("schema")
        return f"table {_quoted(schema, self._name)} at pgvector:{self.address.location}"

    def _schemas(self) -> Sequence[str]:
        """Return the schemas that the table is looked for in, the one it would be made in first."""
        schema = self.address.options.get("schema")
        assert self._path is not None
        return [schema] if schema else self._path[1]

    def collection_words(self) -> str:
        """Return what the table is called to people."""
        return self.where

    @cached_property
    def _connection(self) -> psycopg.Connection[Any]:
        import psycopg

        with self._wrapped("reach"):
            return psycopg.connect(
                **connection_parameters(self.address, _LIBPQ),
                autocommit=True,
                prepare_threshold=None,  # poolers hand statements to connections that never saw them
            )

    @contextlib.contextmanager
    def _wrapped(self, doing: str) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise store_error(error, doing, self.where) from None

    @contextlib.contextmanager
    def _transaction(self, doing: str) -> Iterator[psycopg.Connection[Any]]:
        """Give the connection within a transaction, the one under way or a new one; settings end with it.

        Names in a statement are those of the server's own functions, types and operators: what somebody else made
        under such a name in a schema of the user's search path would run with the user's rights.
        """
        from psycopg.pq import TransactionStatus

        with self._wrapped(doing):
            connection = self._connection
            if connection.info.transaction_status != TransactionStatus.IDLE:
                self._end_stream()
                yield connection
                return
            with connection.transaction():
                if self._path is None:
                    self._path = connection.execute(_PATH).fetchone()
                connection.execute(
                    f"SET LOCAL search_path = {_OWN_PATH}; "
                    f"SET LOCAL lock_timeout = '{LOCK_WAIT}'; SET LOCAL statement_timeout = 0; "
                    "SET LOCAL timezone = 'UTC'; SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL bytea_output = 'hex'; "
                    "SET LOCAL extra_float_digits = 1; SET LOCAL datestyle = 'ISO'"
                )
                yield connection

    @contextlib.contextmanager
    def _as_the_user(self) -> Iterator[None]:
        """Let triggers and defaults find what they find when the user writes."""
        connection, set_path = self._connection, "SELECT pg_catalog.set_config('search_path', %s, true)"
        assert self._path is not None
        connection.execute(set_path, (self._path[0],))
        yield
        connection.execute(set_path, (_OWN_PATH,))  # not after an error: there is no transaction then

    def close(self) -> None:
        """End the connection."""
        if "_connection" in self.__dict__:
            self._connection.close()

    # -- the table ---------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether there is such a table."""
        return self._find() is not None

    def _find(self) -> Table | None:
        if not self._is_known:
            self._table = None
            with self._transaction("read") as connection:
                for schema in self._schemas():
                    found = find_table(connection, _quoted(schema, self._name), self.address.options, self.where)
                    if found is not None:
                        self._table = replace(found, name=self._name)
                        self.can = self._capabilities(self._table)
                        break
            self._is_known = True
        return self._table

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

    def _capabilities(self, table: Table) -> Capabilities:
        """Return what this table holds."""
        columns = {each.name: each for each in table.vectors}
        halves = any(each.type == "halfvec" for each in table.vectors)

        holders = {name: column.holder() for name, column in table.members.items()}
        holds_id = table.id.holder()
        has_payload, payload = table.payload is not None, table.payload.name if table.payload is not None else ""

        def holds_member(name: str, value: Any) -> bool:
            holds = holders.get(name)
            if holds is None:
                return has_payload and name != payload
            if value is not None and holds(value):
                return True
            column = table.members[name]
            return has_payload and (not column.is_required or column.nearest(value) is not None)

        return replace(
            type(self).can,
            holds_member=holds_member,
            holds_id=lambda identifier: "\0" not in identifier and holds_id(identifier),
            id_form=table.id.id_form,
            kinds=frozenset(each.space.kind for each in table.vectors),
            names=frozenset(columns),
            holds_vector=lambda item: can_be_held(columns[item.space.name], item),
            mixes_dims=all(not each.dims for each in table.vectors),
            alters=HALF if halves else NOTHING,
        )

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
        if table is None:
            return {}
        found = {"id": f"{table.id.name} {table.id.type}"}
        payload = f"a member of {table.payload.name}" if table.payload is not None else "carried"
        for member, name in self.fields().members:
            column = table.members.get(name)
            found[member] = f"{name} {column.type}" if column is not None else f"{payload}: {name}"
        for each in table.vectors:
            what = f"vectors.{each.name}" if each.name else "vector"
            found[what] = f"{each.column} {each.type}" + (f"({each.dims})" if each.dims else "")
        named = dict(self.fields().members).values()
        for name, column in table.members.items():
            if name not in named:
                found[f"metadata.{name}"] = f"{name} {column.type}"
        found["metadata"] = f"all members of {table.payload.name}" if table.payload is not None else "carried"
        where = table.reserved or (f"{table.payload.name}: {RESERVED}" if table.payload is not None else None)
        found["everything else"] = where or f"{RESERVED} text, added when it is needed"
        return found

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that the columns are declared for."""
        spaces = [each.space for each in self.table.vectors]
        return {space.name: space for space in spaces if space.dims or space.kind == "sparse"}

    def describe(self) -> Description:
        """Return the number of rows, how the table is set up, and a fingerprint of which rows there are."""
        table = self._find()
        if table is None:
            return Description(0)
        with self._transaction("read") as connection:
            count, mark = self._look()
            indexes = [index.to_json() for index in find_indexes(connection, self._place)]
        main = next((each.column for each in table.vectors if each.name == MAIN), None)
        config: dict[str, Any] = {"columns": dict(table.columns), "id": table.id.name, "indexes": indexes}
        if main is not None:
            config["vector"] = main
        return Description(count, config, mark)

    def _look(self) -> tuple[int, str | None]:
        """Return the number of rows, and a fingerprint of which there are."""
        table = self.table
        count, state = self._one(_STATE if table.has_rows else "SELECT count(*), NULL FROM {table}")
        # A column that is added or dropped touches no row.
        columns = blake3(repr(table.columns).encode()).hexdigest(8)
        return count, f"{count}:{columns}:{state}" if state is not None else None

    def _one(self, statement: str) -> tuple[Any, ...]:
        row = self._connection.execute(self._sql(statement)).fetchone()
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
        table = self.table
        if not table.text or not RecordReader.suits(table, self.fields()):
            return super().read_records()
        reader = RecordReader(table, self.fields())
        return map(reader.records, self._rows(reader))

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the rows of some ids."""
        reader = RowReader(self.table)
        return [point for rows in self._rows(reader, reader.statement(ids)) for point in reader.points(rows)]

    def _rows(
        self, reader: RowReader | RecordReader, statement: sql.Composed | None = None
    ) -> Iterator[list[tuple[Any, ...]]]:
        with (
            self._transaction("read") as connection,
            connection.cursor() as cursor,
            cursor.copy(statement or reader.statement()) as copy,
        ):
            copy.set_types(reader.types())
            rows = copy.rows()
            while batch := list(islice(rows, READ_ROWS)):
                yield batch

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
        with self._transaction("read") as connection:
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
        with self._transaction("write") as connection:
            if self.exists():
                connection.execute(self._sql("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
                self.check_expected(self._plan)
            try:
                yield
                self._end_stream()
                self._make_indexes()
                self._written = self._look()[1]  # as long as nobody else can write
            except BaseException:
                self._is_known = False  # what was made is gone
                if self._stream is not None:  # what is under way is given up
                    self._stream.cancel()
                    self._stream = None
                raise

    def _end_stream(self) -> None:
        """Let the rows that are on their way arrive; nothing else can be asked before."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.end()

    def write(self, plan: Plan) -> Written:
        """Bring the table to a plan, as a whole or not at all.  Raises: StoreError (store-changed)."""
        self._made, self._written = False, None
        if plan.expected is None:
            self._names = None  # what was read before may have changed
            plan = replace(plan, expected=self.describe().fingerprint)
        self._plan = plan
        done = super().write(plan)
        return replace(done, fingerprint=self._written)

    def prepare(self, wanted: Wanted) -> None:
        """Make the table."""
        from psycopg import sql

        with self._transaction("make") as connection:
            schemas = [*(self._path[1] if self._path is not None else ()), *self._schemas()]
            if not schemas:
                raise StoreError(
                    f"{self.where} has no schema to be made in; name one with ?schema=NAME", code="store-schema"
                )
            home = sql.Identifier(schemas[0])
            connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA {}").format(home))
            config = wanted.config
            if not config and self.fields().complete is not None:
                config = MEM0_TABLE
            columns = columns_to_make(wanted.spaces, config)
            key = str(config.get("id", "id"))
            key = key if key in columns else "id"
            schema = sql.Identifier(self._extension_schema())
            parts = [
                sql.SQL("{} {}{}{}").format(
                    sql.Identifier(name),
                    schema + sql.SQL(".") if Column(name, kind).vector else sql.SQL(""),
                    sql.SQL(kind),
                    sql.SQL(" PRIMARY KEY" if name == key else ""),
                )
                for name, kind in columns.items()
            ]
            name = sql.Identifier(self._schemas()[0], self._name)
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(parts)))
        self._made, self._is_known, self._fields, self._config = True, False, None, wanted.config
        assert self._find() is not None

    def widen(self, spaces: Mapping[str, Space]) -> None:
        """Add columns for vectors to the table that was made."""
        from psycopg import sql

        kinds = columns_to_make(spaces, {})
        with self._transaction("write") as connection:
            schema = sql.Identifier(self._extension_schema())
            for name in sorted(spaces.keys() & kinds.keys()):
                add = "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {schema}.{kind}"
                connection.execute(self._sql(add, name=sql.Identifier(name), schema=schema, kind=sql.SQL(kinds[name])))
        self._is_known = False

    def _extension_schema(self) -> str:
        row = self._connection.execute(
            "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
        ).fetchone()
        assert row is not None
        return str(row[0])

    def _make_indexes(self) -> None:
        """Index the vectors of a table that was made, once they are all there."""
        if not self._made:
            return
        names = {each.column for each in self.table.vectors}
        indexes = [index for index in indexes_of(self._config) if index.column in names]
        if not indexes and not self._config and (index := default_index(self.table, self._method)) is not None:
            indexes = [index]
        for index in indexes:
            self._connection.execute(index.statement(self.table, self._extension_schema()))

    def upsert(self, points: Sequence[Point]) -> None:
        """Write rows, replacing those of their ids."""
        table = self.table
        if table.reserved is None and table.payload is None and any(RESERVED in point.payload for point in points):
            with self._transaction("write") as connection, self._as_the_user():
                connection.execute(
                    self._sql(f"ALTER TABLE {{table}} ADD COLUMN IF NOT EXISTS {RESERVED} pg_catalog.text")
                )
            self._is_known = False
        self._copy(points)

    def insert(self, points: Sequence[Point]) -> None:
        """Write rows of ids that are not there: the table is held against other writers."""
        table, writer = self.table, RowWriter(self.table)
        if not (table.is_plain and writer.is_direct and (table.reserved or table.payload is not None)):
            self.upsert(points)
            return
        self._send_rows(writer, [writer.rows(points)])

    def insert_records(self, records: Sequence[tuple[Record, str]]) -> Sequence[tuple[Record, str]]:
        """Write records of new ids into a table of ours, and return those that are not plain."""
        if not records or not RecordWriter.suits(self.table, self.fields()):
            return records
        writer = RecordWriter(self.table, self.fields())
        left: list[tuple[Record, str]] = []
        for start in range(0, len(records), SENT_ROWS):  # the server takes these in while the next are made
            pieces, others = writer.rows(records[start : start + SENT_ROWS])
            left += others
            if pieces:
                self._send_rows(RowWriter(self.table), pieces)
        return left

    def _send_rows(self, writer: RowWriter, pieces: Sequence[bytes]) -> None:
        with self._wrapped("write"):
            if self._stream is None:
                self._stream = RowStream(self._connection, writer.copy(directly=True), self._as_the_user())
            for piece in pieces:
                self._stream.write(piece)

    def _copy(self, points: Sequence[Point]) -> None:
        writer = RowWriter(self.table)
        with self._transaction("write") as connection, connection.cursor() as cursor, self._as_the_user():
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
        would do as well; reading goes without.
        """
        from psycopg import sql

        columns = [column for column in self.table.members.values() if column.is_required]
        if not columns:
            return [{}] * count
        forms = [
            sql.SQL("pg_catalog.to_jsonb(CAST({} AS {}))::pg_catalog.text").format(each.filler(), sql.SQL(each.type))
            for each in columns
        ]
        statement = sql.SQL("SELECT {} FROM pg_catalog.generate_series(1, %s)").format(sql.SQL(", ").join(forms))
        with self._transaction("write") as connection, self._as_the_user():
            rows = connection.execute(statement, (count,)).fetchall()
        return [
            {each.name: orjson.loads(text) if text is not None else "" for each, text in zip(columns, row, strict=True)}
            for row in rows
        ]

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        from psycopg import sql

        parts = {"id": sql.Identifier(self.table.id.name), "kind": sql.SQL(self.table.id.type)}
        text = "DELETE FROM {table} WHERE {id} OPERATOR(pg_catalog.=) ANY(%s::pg_catalog.text[]::{kind}[])"
        with self._transaction("write") as connection, self._as_the_user():
            connection.execute(self._sql(text, **parts), (list(ids),))


def _quoted(*parts: str | None) -> str:
    """Return a name as ``to_regclass`` reads it."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)
