"""Tables of sqlite-vec that hold memories: which columns are what, found by types and names.

A memory is a row of a vec0 table (``vec0(id text primary key, embedding float[384], +content text)``), or a row of an
ordinary table and the row of a vec0 table with the same number: ours, ``memories`` and ``memories_vec``, LangChain's,
and whatever else joins the two so.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from vexrepo.errors import StoreError
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.points import RESERVED, TEXTS
from vexrepo.remotes.stores.sqlite_columns import Column

TEXT_NAMES: Final = ("content", *TEXTS)
VECTOR_NAMES: Final = ("vector", "embedding", "embeddings", "text_embedding", "contents_embedding", "vec")
PAYLOAD_NAMES: Final = ("metadata", "cmetadata", "metadata_", "payload", "meta")
TABLE: Final = "memories"
MAX_DIMS: Final = 8192  # of vec0
CARRY: Final = "_vex"  # ends the name of the table that has what is carried, where the rows have no column for it
Role: TypeAlias = Literal["key", "partition", "vector", "metadata", "auxiliary"]
_AFFIXES: Final = ("_vec", "_vectors", "_vector", "_embeddings", "_embedding")
_PREFIXES: Final = ("vec_", "vss_", "embeddings_", "embedding_")
_SHADOWS: Final = re.compile(r"_(?:info|chunks|rowids|auxiliary|vector_chunks\d\d|metadatachunks\d\d|metadatatext\d\d)")
_VEC0: Final = re.compile(r"\bUSING\s+vec0\s*\((.*)\)\s*;?\s*$", re.IGNORECASE | re.DOTALL)
_WORD: Final = r"[A-Za-z]\w*"
_VECTOR: Final = re.compile(
    rf"({_WORD})\s+(float|f32|int8|i8|bit)\s*\[\s*(\d+)\s*\](?:\s+distance_metric\s*=\s*(\w+))?", re.I | re.A
)
_PLAIN: Final = re.compile(
    rf"(\+?)\s*({_WORD})\s+(text|integer|int|float|double|boolean|bool|blob)\b\s*(.*)", re.I | re.A
)
_OPTION: Final = re.compile(r"chunk_size\s*=\s*(\d+)", re.I | re.A)
_TYPES: Final = {"int": "integer", "double": "float", "bool": "boolean", "f32": "float", "i8": "int8"}


@dataclass(frozen=True, slots=True)
class Part:
    """One column of a vec0 table: its role, name and type; of vectors also dims and metric."""

    role: Role
    name: str
    type: str
    dims: int = 0
    metric: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, for a configuration."""
        more = {"dims": self.dims, "metric": self.metric or "l2"} if self.role == "vector" else {}
        return {"role": self.role, "name": self.name, "type": self.type, **more}

    def sql(self) -> str:
        """Return the words that declare it."""
        if self.role == "vector":
            metric = f" distance_metric={self.metric}" if self.metric and self.type != "bit" else ""
            return f"{self.name} {self.type}[{self.dims}]{metric}"
        tail = {"key": " primary key", "partition": " partition key"}.get(self.role, "")
        return f"{'+' if self.role == 'auxiliary' else ''}{self.name} {self.type}{tail}"

    @property
    def column(self) -> Column:
        """The column, for a part that is no vector."""
        return Column(self.name, self.type, "exact", self.role == "metadata")


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A vec0 table: its columns, and how many vectors it keeps together."""

    name: str
    parts: tuple[Part, ...]
    chunk_size: int = 0

    @property
    def key(self) -> str:
        """The column that identifies a row."""
        return next((part.name for part in self.parts if part.role == "key"), "rowid")

    @property
    def has_text_key(self) -> bool:
        """Whether rows are identified by texts, not by numbers."""
        return any(part.role == "key" and part.type == "text" for part in self.parts)

    @property
    def vectors(self) -> tuple[Part, ...]:
        """The columns of vectors."""
        return tuple(part for part in self.parts if part.role == "vector")

    @property
    def members(self) -> dict[str, Column]:
        """The columns that are neither the key nor vectors."""
        return {part.name: part.column for part in self.parts if part.role not in ("key", "vector")}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where memories are: in ``rows`` with vectors in ``vectors``, or in ``vectors`` alone where ``rows`` is "".

    ``id`` is the column that identifies a memory, ``number`` the one that ``vectors`` shares.  ``copy`` is a column of
    ``rows`` that has the main vector as well.  ``payload`` is the column of JSON objects whose members are members of
    the payload, ``reserved`` that of what is carried: None where there is none, then it is in the table ``carry``.
    """

    rows: str
    vectors: VectorTable | None
    id: str
    has_text_id: bool
    number: str
    main: str | None
    text: str | None
    payload: str | None
    reserved: str | None
    copy: str | None
    members: Mapping[str, Column]
    beside: Mapping[str, Column] = field(default_factory=dict)  # those members that are columns of ``vectors``
    columns: Mapping[str, str] = field(default_factory=dict)  # all of ``rows``, as declared

    @property
    def table(self) -> str:
        """The table whose rows are memories."""
        return self.rows or (self.vectors.name if self.vectors is not None else "")

    @property
    def carry(self) -> str:
        """The table that has what is carried, where no column does."""
        return self.table + CARRY

    @property
    def vector_parts(self) -> tuple[Part, ...]:
        """The columns of vectors, the main one first."""
        if self.vectors is None:
            return ()
        return tuple(sorted(self.vectors.vectors, key=lambda part: part.name != self.main))

    def space(self, part: Part) -> Space:
        """Return the space of a column's vectors."""
        return Space(MAIN if part.name == self.main else part.name, "dense", None, part.dims, "f32")


def quote(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def parse_vec0(name: str, statement: str) -> VectorTable | None:
    """Return the vec0 table that a CREATE statement makes, None for another table or one that is not understood."""
    match = _VEC0.search(statement)
    if match is None:
        return None
    parts: list[Part] = []
    size = 0
    for text in match[1].split(","):
        text = text.strip()
        if option := _OPTION.fullmatch(text):
            size = int(option[1])
        elif vector := _VECTOR.fullmatch(text):
            kind = vector[2].lower()
            parts.append(Part("vector", vector[1], _TYPES.get(kind, kind), int(vector[3]), (vector[4] or "").lower()))
        elif plain := _PLAIN.fullmatch(text):
            tail = re.sub(r"\s+", " ", plain[4].strip().lower())
            roles: dict[str, Role] = {"": "metadata", "primary key": "key", "partition key": "partition"}
            if tail not in roles:
                return None
            kind = plain[3].lower()
            parts.append(Part("auxiliary" if plain[1] else roles[tail], plain[2], _TYPES.get(kind, kind)))
        else:
            return None
    return VectorTable(name, tuple(parts), size)


# -- finding -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tables:
    """What a database holds: its vec0 tables, and ordinary ones with the statements that made them.

    ``odd`` are vec0 tables declared in a way that is not known here.
    """

    vectors: Mapping[str, VectorTable]
    plain: Mapping[str, str]
    odd: Mapping[str, str]


def find_tables(db: sqlite3.Connection) -> Tables:
    """Return the tables of a database that may hold memories."""
    found = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL").fetchall()
    vectors = {name: table for name, sql in found if (table := parse_vec0(name, sql)) is not None}
    odd = {name: sql for name, sql in found if name not in vectors and _VEC0.search(sql) is not None}
    plain = {}
    for name, sql in found:
        is_shadow = any(name.startswith(each) and _SHADOWS.fullmatch(name[len(each) :]) for each in (*vectors, *odd))
        is_virtual = re.match(r"\s*CREATE\s+VIRTUAL", sql, re.IGNORECASE) is not None
        if not (name in vectors or is_shadow or is_virtual or name.startswith("sqlite_") or name.endswith(CARRY)):
            plain[name] = sql
    return Tables(vectors, plain, odd)


def find_layout(db: sqlite3.Connection, options: Mapping[str, str], where: str) -> Layout | None:
    """Return where the memories of a database are, None if there is no such table.

    Raises: StoreError (store-schema) where that cannot be told.
    """
    tables = find_tables(db)
    name = options.get("table")
    odd = name if name is not None else next(iter(tables.odd), "")
    if odd in tables.odd:
        raise StoreError(
            f"{where}: the vec0 table {odd} is declared in a way that is not known: {tables.odd[odd]:.300}",
            code="store-schema",
        )
    if name is None:
        pairs = {table.name: _counterpart(table.name, tables.plain) for table in tables.vectors.values()}
        if len(pairs) > 1:
            raise StoreError(
                f"{where} has {len(pairs)} tables of vectors: {', '.join(sorted(pairs))}; name one with ?table=NAME",
                code="store-schema",
            )
        name = next(iter(pairs), TABLE)
    if name in tables.vectors:
        table = tables.vectors[name]
        rows = None if _has_text(table, options) else _counterpart(name, tables.plain)
    elif name in tables.plain:
        rows, table = name, _vectors_of(name, tables, options)  # type: ignore[assignment]
    else:
        return None
    if rows is None:
        return _of_vec0(db, table, options, where)
    layout = _of_rows(db, rows, tables.plain[rows], table, options, where)
    if layout.vectors is None and layout.reserved is None:
        raise StoreError(
            f"{where}: the table {rows} has no vec0 table with its vectors; name that with ?vectors=NAME "
            f"(there are: {', '.join(sorted(tables.vectors)) or 'none'})",
            code="store-schema",
        )
    return layout


def _has_text(table: VectorTable, options: Mapping[str, str]) -> bool:
    return any(column.affinity == "text" for column in table.members.values()) or options.get("text") in table.members


def _counterpart(vectors: str, plain: Iterable[str]) -> str | None:
    """Return the ordinary table that a vec0 table belongs to by its name."""
    names = {name.lower(): name for name in plain}
    lower = vectors.lower()
    wanted = [lower.removesuffix(affix) for affix in _AFFIXES if lower.endswith(affix)]
    wanted += [lower.removeprefix(prefix) for prefix in _PREFIXES if lower.startswith(prefix)]
    return next((names[each] for each in wanted if each in names), None)


def _vectors_of(rows: str, tables: Tables, options: Mapping[str, str]) -> VectorTable | None:
    named = options.get("vectors")
    if named is not None:
        return tables.vectors.get(named)
    return next((table for table in tables.vectors.values() if _counterpart(table.name, [rows]) == rows), None)


def _main(table: VectorTable | None, options: Mapping[str, str], where: str) -> str | None:
    if table is None:
        return None
    names = [part.name for part in table.vectors]
    wanted = options.get("vector")
    if wanted is not None and wanted not in names:
        raise StoreError(
            f"{where}: the table {table.name} has no vectors {wanted!r}; it has {', '.join(names)}", code="store-schema"
        )
    return wanted or first(VECTOR_NAMES, names) or names[0]


def first(preferred: Iterable[str], names: Iterable[str]) -> str | None:
    """Return the name that is preferred to the others, capitals or not; None where none is."""
    by_lower = {name.lower(): name for name in names}
    return next((by_lower[name] for name in preferred if name in by_lower), None)


def _text(texts: Sequence[str], payload: str | None, options: Mapping[str, str]) -> str | None:
    named = options.get("text")
    if named in texts:
        return named
    if named is not None:
        return None  # a member of the payload
    only = texts[0] if len(texts) == 1 and payload is None else None
    return first(TEXT_NAMES, texts) or only


def _payload(db: sqlite3.Connection, table: str, columns: Iterable[Column]) -> str | None:
    """Return the column that holds JSON objects, and nothing else, by a name that such columns have."""
    name = first(PAYLOAD_NAMES, [each.name for each in columns if each.affinity in ("text", "blob", "integer")])
    if name is None:
        return None
    column = quote(name)
    odd = db.execute(
        f"SELECT 1 FROM {quote(table)} WHERE {column} IS NOT NULL AND CASE WHEN typeof({column}) <> 'text' THEN 1 "
        f"WHEN NOT json_valid({column}) THEN 1 ELSE json_type({column}) <> 'object' END LIMIT 1"
    ).fetchone()
    return name if odd is None else None


def _of_vec0(db: sqlite3.Connection, table: VectorTable, options: Mapping[str, str], where: str) -> Layout:
    members = dict(table.members)
    payload = _payload(db, table.name, [each for each in members.values() if each.affinity == "text"])
    texts = [name for name, column in members.items() if column.affinity == "text" and name != payload]
    members.pop(payload or "", None)
    main = _main(table, options, where)
    text = _text(texts, payload, options)
    return Layout(
        "", table, table.key, table.has_text_key, table.key, main, text, payload, None, None, members, members
    )


def _of_rows(
    db: sqlite3.Connection,
    name: str,
    statement: str,
    table: VectorTable | None,
    options: Mapping[str, str],
    where: str,
) -> Layout:
    is_strict = re.search(r"\)[^)]*\bSTRICT\b[^)]*$", statement, re.IGNORECASE) is not None
    has_numbers = re.search(r"\bWITHOUT\s+ROWID\b[^)]*$", statement, re.IGNORECASE) is None
    info = db.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    keys = [(column, declared) for _, column, declared, _, _, pk, _ in info if pk]
    columns = {
        column: Column(column, declared or "", "strict" if is_strict else "affinity", bool(notnull), default)
        for _, column, declared, notnull, default, _, hidden in info
        if not hidden
    }
    has_alias = has_numbers and len(keys) == 1 and keys[0][1].upper() == "INTEGER"
    number = keys[0][0] if has_alias else "rowid"
    identifier, has_text_id = _identifier(db, name, columns, keys, number, options, where)
    if table is not None and table.has_text_key:
        number = identifier
    if not (has_numbers or (table is not None and table.has_text_key)):
        raise StoreError(
            f"{where}: the table {name} has no row numbers that a vec0 table could share", code="store-schema"
        )
    main = _main(table, options, where)
    copy = main if main in columns and columns[main].affinity == "blob" else None
    beside = {key: part for key, part in (table.members if table is not None else {}).items() if key not in columns}
    members = {key: each for key, each in columns.items() if key not in (identifier, number, copy, RESERVED)}
    payload = _payload(db, name, members.values())
    members.pop(payload or "", None)
    texts = [key for key, each in members.items() if each.affinity == "text"]
    reserved = RESERVED if RESERVED in columns and columns[RESERVED].affinity == "text" else None
    declared = {column: kind or "" for _, column, kind, _, _, _, hidden in info if not hidden}
    text = _text([*texts, *(key for key, part in beside.items() if part.affinity == "text")], payload, options)
    every = {**members, **beside}
    return Layout(
        name, table, identifier, has_text_id, number, main, text, payload, reserved, copy, every, beside, declared
    )


def _identifier(
    db: sqlite3.Connection,
    table: str,
    columns: Mapping[str, Column],
    keys: Sequence[tuple[str, str]],
    number: str,
    options: Mapping[str, str],
    where: str,
) -> tuple[str, bool]:
    """Return the column that identifies a memory, and whether by a text."""
    unique = {keys[0][0]} if len(keys) == 1 else set[str]()
    for row in db.execute(f"PRAGMA index_list({quote(table)})").fetchall():
        if row[2] and not row[4]:
            inside = [each[2] for each in db.execute(f"PRAGMA index_info({quote(row[1])})").fetchall()]
            unique |= set(inside) if len(inside) == 1 else set()
    texts = [name for name in columns if name in unique and columns[name].affinity == "text"]
    wanted = options.get("id")
    if wanted is not None and wanted not in texts and wanted != number:
        raise StoreError(
            f"{where}: the column {wanted!r} of {table} does not identify a row: it must be unique, and text or the "
            f"row number; there are {', '.join([*texts, number])}",
            code="store-schema",
        )
    found = wanted or first(("id", "key", "uuid"), texts) or (texts[0] if len(texts) == 1 else number)
    return found, found in texts
