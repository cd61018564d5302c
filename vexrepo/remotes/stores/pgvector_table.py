"""A table that holds memories: which of its columns is what, found by types and names, and how one is made.

Ours are ``id, content, namespace, model, created_at, metadata, vector, _vex``.  The original tool's ``vex_memories``
and anybody else's tables are read by the same rules; a column they do not speak of is a member of the payload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vexrepo.errors import StoreError
from vexrepo.objects.vector import MAIN, Kind, Space
from vexrepo.remotes.stores.pgvector_columns import Column
from vexrepo.remotes.stores.pgvector_rights import check_readable
from vexrepo.remotes.stores.points import RESERVED, TEXTS

if TYPE_CHECKING:
    from psycopg import Connection, sql

TEXT_NAMES: Final = ("content", *TEXTS)
VECTOR_NAMES: Final = ("vector", "embedding", "embeddings", "vec")
PAYLOAD_NAMES: Final = ("metadata", "cmetadata", "langchain_metadata", "metadata_", "payload", "meta")
KINDS: Final[dict[str, Kind]] = {"vector": "dense", "halfvec": "dense", "sparsevec": "sparse"}
MAX_INDEXED: Final = {"vector": 2000, "halfvec": 4000}  # dims that an HNSW or IVFFlat index takes
_NAME_BYTES = 63
_METHODS = {"hnsw": ("m", "ef_construction"), "ivfflat": ("lists",)}
_OPCLASS = re.compile(r"(?:vector|halfvec|sparsevec)_(?:l2|ip|cosine|l1)_ops")
_CAST = re.compile(r"\(*(?P<column>\w+|\"(?:[^\"]|\"\")+\")\)?::(?:\w+\.)?(?P<cast>(?:half)?vec(?:tor)?\(\d{1,5}\))\)*")
_INDEXES = """
SELECT am.amname, op.opcname, pg_get_indexdef(i.indexrelid, 1, true), coalesce(c.reloptions, '{}')
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
  JOIN pg_opclass op ON op.oid = i.indclass[0]
WHERE i.indrelid = to_regclass(%s) AND i.indnatts = 1 AND i.indpred IS NULL ORDER BY i.indexrelid
"""
# ``foreign``: columns whose type, or that which it is an array of or a domain over, is none of the server's own.
_FIND = """
WITH RECURSIVE kinds(attnum, oid) AS (
  SELECT attnum, atttypid FROM pg_attribute
  WHERE attrelid = to_regclass(%(name)s) AND attnum > 0 AND NOT attisdropped
  UNION SELECT k.attnum, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END
  FROM kinds k JOIN pg_type t ON t.oid = k.oid WHERE t.typtype = 'd' OR t.typcategory = 'A'
)
SELECT n.nspname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  a.attgenerated <> '' OR a.attidentity = 'a', CASE WHEN a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid)
    ELSE format('pg_catalog.nextval(%%L::pg_catalog.regclass)', pg_get_serial_sequence(%(name)s, a.attname)) END,
  ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = a.atttypid ORDER BY e.enumsortorder),
  EXISTS (SELECT FROM kinds k JOIN pg_type t ON t.oid = k.oid WHERE k.attnum = a.attnum AND t.typtype <> 'd'
    AND t.typcategory <> 'A' AND t.typnamespace <> 'pg_catalog'::regnamespace),
  c.relkind = 'r' AND NOT (c.relrowsecurity OR c.relhasrules OR c.relhassubclass),
  (WITH RECURSIVE bases(oid, typmod) AS (
     SELECT t.typbasetype, t.typtypmod FROM pg_type t WHERE t.oid = a.atttypid AND t.typtype = 'd'
     UNION ALL SELECT t.typbasetype, t.typtypmod FROM bases b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd')
   SELECT format_type(b.oid, b.typmod) FROM bases b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype <> 'd'),
  has_column_privilege(c.oid, a.attnum, 'SELECT'), has_table_privilege(c.oid, 'SELECT')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.oid = to_regclass(%(name)s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_UNIQUE = """
SELECT i.indisprimary, a.attname
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indisprimary DESC
"""


@dataclass(frozen=True, slots=True)
class VectorColumn:
    """A column of vectors: the name of the record's vector, and its type and dims (0: any)."""

    column: str
    name: str
    type: str
    dims: int

    @property
    def space(self) -> Space:
        """The space of its vectors."""
        kind = KINDS[self.type]
        return Space(self.name, kind, None, 0 if kind == "sparse" else self.dims, "f32")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is.  ``members`` are the columns that are members of the payload under their own names: all others
    but those the server fills itself (generated ones, sequences), which say nothing of a memory.

    ``payload`` is the JSON column whose members are members of the payload, ``reserved`` the column of what is carried:
    None where there is none.  ``has_rows``: it is a table, whose rows have places and transactions; ``is_plain``: one
    for which COPY does what SELECT and INSERT do.  ``numbered``: columns of no member that the server numbers.
    """

    schema: str
    name: str
    id: Column
    is_unique: bool
    has_rows: bool
    is_plain: bool
    vectors: tuple[VectorColumn, ...]
    payload: Column | None
    text: str
    reserved: str | None
    members: Mapping[str, Column]
    columns: Mapping[str, str] = field(default_factory=dict)
    numbered: tuple[str, ...] = ()

    def identifier(self) -> sql.Identifier:
        """Return the quoted name."""
        from psycopg import sql

        return sql.Identifier(self.schema, self.name)

    def read_columns(self) -> list[str]:
        """Return the names of the columns that say something of memories."""
        names = [self.id.name, *(each.column for each in self.vectors), *self.members]
        names += [self.payload.name] if self.payload is not None else []
        return names + ([self.reserved] if self.reserved else [])


def find_table(connection: Connection[Any], name: str, options: Mapping[str, str], where: str) -> Table | None:
    """Return a table's layout, None if there is none of this (quoted) name.  Raises: StoreError (store-schema).

    Types are written as the connection's search path has it; those of pgvector without their schema.
    """
    rows = connection.execute(_FIND, {"name": name}).fetchall()
    if not rows:
        return None
    columns = {
        row[2]: Column(
            row[2],
            match[1] if (match := _VECTOR_TYPE.fullmatch(row[3])) is not None else row[3],
            is_required=row[4],
            is_made=_is_made(row),
            default=row[6],
            labels=tuple(row[7]),
            is_foreign=row[8],
            base=row[10],
        )
        for row in rows
    }
    unique = connection.execute(_UNIQUE, (name,)).fetchall()
    # Where a row is and who wrote it is told to those only who may read the whole table.
    has_rows = rows[0][1] in ("r", "p") and rows[0][12]
    found = _understand(rows[0][0], has_rows, rows[0][9], columns, unique, options, where)
    hidden = {row[2] for row in rows if not row[11]}
    check_readable(connection, name, [each for each in found.read_columns() if each in hidden], where)
    return found


def _is_made(row: Sequence[Any]) -> bool:
    # An identity that is BY DEFAULT is a member: its default, as we write it, begins otherwise.
    return bool(row[5]) or str(row[6] or "").startswith("nextval(")


def _understand(
    schema: str,
    has_rows: bool,
    is_plain: bool,
    columns: dict[str, Column],
    unique: Sequence[tuple[bool, str]],
    options: Mapping[str, str],
    where: str,
) -> Table:
    primary = next((name for is_primary, name in unique if is_primary), None)
    identifier = options.get("id") or primary or ("id" if "id" in columns else next((n for _, n in unique), None))
    if identifier is None or identifier not in columns:
        raise StoreError(
            f"{where} has no primary key of one column and no column id; name the column that identifies a memory with "
            f"?id=COLUMN (columns: {', '.join(columns)})",
            code="store-schema",
        )
    given = {name: column for name, column in columns.items() if not column.is_made}
    vectors = _vectors(given, options, where)
    taken = {identifier, RESERVED, *(each.column for each in vectors)}
    payload = _first(PAYLOAD_NAMES, [each.name for each in given.values() if each.is_json and each.name not in taken])
    named = options.get("text")
    texts = [each.name for each in given.values() if each.is_text and each.name not in taken]
    known = [name for name in texts if name in TEXT_NAMES]
    text = named or _first(TEXT_NAMES, known) or (texts[0] if len(texts) == 1 and payload is None else None)
    members = {
        name: column
        for name, column in given.items()
        if name not in taken and name != payload and column.vector is None
    }
    return Table(
        schema,
        options.get("table", ""),
        columns[identifier],
        any(name == identifier for _, name in unique),
        has_rows,
        is_plain,
        vectors,
        columns[payload] if payload else None,
        text or "",
        RESERVED if RESERVED in columns and columns[RESERVED].is_text else None,
        members,
        {name: column.type for name, column in columns.items()},
        tuple(each.name for each in columns.values() if each.is_made and each.is_numbered and each.name != identifier),
    )


def _vectors(columns: dict[str, Column], options: Mapping[str, str], where: str) -> tuple[VectorColumn, ...]:
    found = {name: kind for name, column in columns.items() if (kind := column.vector) is not None}
    main = options.get("vector")
    if main is not None and main not in found:
        raise StoreError(
            f"{where} has no column {main!r} of type vector, halfvec or sparsevec that can be written; it has "
            f"{', '.join(found) or 'no such column at all'}",
            code="store-schema",
        )
    main = main or _first(VECTOR_NAMES, list(found))
    return tuple(
        VectorColumn(name, MAIN if name == main else name, *kind)
        for name, kind in sorted(found.items(), key=lambda item: item[0] != main)
    )


def _first(preferred: Iterable[str], names: list[str]) -> str | None:
    """Return the first of the preferred names that is there, else the first there is."""
    return next((name for name in preferred if name in names), names[0] if names else None)


# -- making one --------------------------------------------------------------------------------------------------------

_OURS: Final = {
    "id": "text",
    "content": "text",
    "namespace": "text",
    "model": "text",
    "created_at": "jsonb",
    "metadata": "jsonb",
}
_KNOWN_TYPES = re.compile(
    r"(?:text|character varying(?:\(\d+\))?|boolean|smallint|integer|bigint|double precision|real"
    r"|numeric(?:\(\d+,\d+\))?|jsonb?|uuid|date|timestamp with(?:out)? time zone|text\[\])"
)


def columns_to_make(spaces: Mapping[str, Space], config: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a new table with their types, as one was set up before, with room for vectors.

    ``config`` may come from a stranger's repository: only types that are known are taken from it.
    """
    given = config.get("columns")
    had = {
        name: kind
        for name, kind in (given if isinstance(given, dict) else {}).items()
        if _is_name(name) and isinstance(kind, str) and name != RESERVED
    }
    plain = {name: kind for name, kind in had.items() if _KNOWN_TYPES.fullmatch(kind)}
    vectors = {name: match[1] for name, kind in had.items() if (match := _VECTOR_TYPE.fullmatch(kind)) is not None}
    main = config.get("vector")
    main = main if isinstance(main, str) and main in vectors else "vector"
    for space in spaces.values():
        if space.name != MAIN and not is_column_name(space.name):
            continue  # carried
        name = main if space.name == MAIN else space.name
        kind = "halfvec" if vectors.get(name, "").startswith("halfvec") else "vector"
        vectors[name] = f"{kind}({space.dims})" if space.kind == "dense" else "sparsevec"
    vectors.setdefault(main, "vector")
    return {**(plain if config.get("id") in plain else _OURS), **vectors, RESERVED: "text"}


_VECTOR_TYPE = re.compile(r"(?:(?:\w+|\"(?:[^\"]|\"\")+\")\.)?((?:vector|halfvec|sparsevec)(?:\(\d{1,10}\))?)")


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name.encode()) <= _NAME_BYTES and "\0" not in name


def is_column_name(name: str) -> bool:
    """Whether a named vector can have a column of its own in a table of ours."""
    return _is_name(name) and name not in (*_OURS, *VECTOR_NAMES, *TEXT_NAMES, *PAYLOAD_NAMES, RESERVED)


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a column of vectors, as JSON in a configuration: its method, operators and parameters."""

    column: str
    method: str
    opclass: str
    parameters: Mapping[str, int]
    cast: str = ""  # the type the column is cast to, as halfvec(384)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        cast = {"cast": self.cast} if self.cast else {}
        return {
            "column": self.column,
            "method": self.method,
            "opclass": self.opclass,
            "parameters": dict(self.parameters),
            **cast,
        }

    def statement(self, table: Table, schema: str) -> sql.Composed:
        """Return the statement that makes it; ``schema`` is where the extension lives."""
        from psycopg import sql

        column: sql.Composable = sql.Identifier(self.column)
        if self.cast:
            kind, _, dims = self.cast.rstrip(")").partition("(")
            column = sql.SQL("(({})::{}({}))").format(column, sql.Identifier(schema, kind), sql.Literal(int(dims)))
        parameters = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in sorted(self.parameters.items())
        )
        tail = sql.SQL(" WITH ({})").format(parameters) if self.parameters else sql.SQL("")
        return sql.SQL("CREATE INDEX ON {} USING {} ({} {}){}").format(
            table.identifier(), sql.Identifier(self.method), column, sql.Identifier(schema, self.opclass), tail
        )


def find_indexes(connection: Connection[Any], name: str) -> list[Index]:
    """Return the indexes of vectors that a table of this (quoted) name has."""
    rows = connection.execute(_INDEXES, (name,)).fetchall()
    return [index for row in rows if (index := parse_index(*row)) is not None]


def parse_index(method: str, opclass: str, expression: str, options: Sequence[str]) -> Index | None:
    """Return the index of vectors that the server's catalogues tell of, None for another kind."""
    if method not in _METHODS or not _OPCLASS.fullmatch(opclass):
        return None
    match = _CAST.fullmatch(expression)
    column = match["column"] if match is not None else expression
    if column.startswith('"'):
        column = column[1:-1].replace('""', '"')
    parameters = dict(option.split("=", 1) for option in options)
    numbers = {name: int(value) for name, value in parameters.items() if value.isdigit()}
    return Index(column, method, opclass, numbers, match["cast"] if match is not None else "")


def indexes_of(config: Mapping[str, Any]) -> list[Index]:
    """Return the indexes that a configuration tells of; what cannot be one is left out."""
    found = []
    for each in config.get("indexes", ()) if isinstance(config.get("indexes"), list) else ():
        match each:
            case {"column": str(column), "method": str(method), "opclass": str(opclass), "parameters": dict(given)}:
                cast = each.get("cast", "")
                names = _METHODS.get(method, ())
                is_right = names and _OPCLASS.fullmatch(opclass) and isinstance(cast, str) and _is_name(column)
                if is_right and (not cast or re.fullmatch(r"(?:halfvec|vector)\(\d{1,5}\)", cast)):
                    parameters = {name: value for name, value in given.items() if name in names and type(value) is int}
                    found.append(Index(column, method, opclass, parameters, cast))
    return found


def default_index(table: Table, method: str) -> Index | None:
    """Return the index that a new table gets if nothing else is said, None where its vectors cannot have one."""
    main = next((each for each in table.vectors if each.name == MAIN), None)
    if main is None or method == "none" or not 0 < main.dims <= MAX_INDEXED.get(main.type, 0):
        return None
    parameters = {"m": 16, "ef_construction": 64} if method == "hnsw" else {"lists": 100}
    return Index(main.column, method, f"{main.type}_cosine_ops", parameters)
