"""What a user may not do with a table, and what somebody meant who named one that is not there.

PostgreSQL says only that a table was denied.  Which column, and what is to be granted, its catalogues say to everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from vexrepo.errors import StoreError

if TYPE_CHECKING:
    from psycopg import Connection

_MOST_NAMED: Final = 10  # columns
_IS_READ_ONLY: Final = """
SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on'
"""
# Tables of that name in other schemas, or of the name after its first dot in the schema before that.
_LIKE: Final = """
SELECT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE'), c.relname <> %(name)s
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (
  (c.relname = %(name)s AND n.nspname = coalesce(%(schema)s, n.nspname)) OR
  (n.nspname = split_part(%(name)s, '.', 1) AND n.nspname || '.' || c.relname = %(name)s))
ORDER BY c.relname = %(name)s, n.nspname
"""
_RIGHTS: Final = """
SELECT a.attname, has_column_privilege(a.attrelid, a.attnum, 'INSERT'),
  has_column_privilege(a.attrelid, a.attnum, 'UPDATE'), has_table_privilege(a.attrelid, 'DELETE'),
  has_table_privilege(a.attrelid, 'UPDATE, DELETE, TRUNCATE'),
  has_database_privilege(current_database(), 'TEMPORARY')
FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


def check_writable(connection: Connection[Any], where: str) -> None:
    """Raise StoreError (store-refused) where nothing can be written, so that nothing is read in vain."""
    row = connection.execute(_IS_READ_ONLY).fetchone()
    if row is not None and row[0]:
        raise StoreError(
            f"cannot write {where}: the server is a replica, which only its primary writes to; nothing was written: "
            "name the primary's address",
            code="store-refused",
        )
    if row is not None and row[1]:
        raise StoreError(
            f"cannot write {where}: transactions of this user can only read (default_transaction_read_only); nothing "
            "was written: connect as another user, or have that set to off",
            code="store-refused",
        )


def check_name(connection: Connection[Any], schema: str | None, name: str, where: str, *, is_made: bool) -> None:
    """Raise StoreError for a table that is not there, where another tells what was meant.

    ``is_made``: it is to be made, so that a table of its name elsewhere says nothing.
    """
    found = connection.execute(_LIKE, {"name": name, "schema": schema}).fetchall()
    for other, table, may_use, is_dotted in found:
        meant = f"?schema={other}&table={table}"
        if is_dotted and schema is None:
            raise StoreError(
                f"there is no {where}: a dot is part of the name; there is a table {table} in the schema {other}, "
                f"which is named with {meant}",
                code="store-missing",
            )
        if is_dotted or is_made:
            continue
        if not may_use:
            raise _no_usage(connection, other, where)
        raise StoreError(
            f"there is no {where} in the schemas that this user looks in; the schema {other} has one: name it with "
            f"{meant}",
            code="store-missing",
        )


def check_usage(connection: Connection[Any], schema: str, where: str) -> None:
    """Raise StoreError (store-refused) for a schema that the user may not use."""
    row = connection.execute(
        "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = %s", (schema,)
    ).fetchone()
    if row is not None and not row[0]:
        raise _no_usage(connection, schema, where)


def _no_usage(connection: Connection[Any], schema: str, where: str) -> StoreError:
    user = connection.info.user
    return StoreError(
        f"cannot use {where}: the user {user} has no right USAGE on the schema {schema}; ask for GRANT USAGE ON SCHEMA "
        f"{_list([schema])} TO {_list([user])}",
        code="store-refused",
    )


def check_readable(connection: Connection[Any], table: str, hidden: Sequence[str], where: str) -> None:
    """Raise StoreError (store-refused) for columns of a (quoted) table that are part of memories and cannot be read."""
    if hidden:
        user = connection.info.user
        raise StoreError(
            f"cannot read {where}: the user {user} has no right SELECT on the {_columns(hidden)}; ask for "
            f"GRANT SELECT ({_list(hidden)}) ON {table} TO {_list([user])}, or read a view of the other columns",
            code="store-refused",
        )


def missing_rights(connection: Connection[Any], table: str, written: Iterable[str]) -> str:
    """Return which rights a write of some columns of a (quoted) table may need and the user lacks, "" for none."""
    rows = [row for row in connection.execute(_RIGHTS, (table,)).fetchall() if row[0] in set(written)]
    if not rows:
        return ""
    user = connection.info.user
    lacking, wanted = [], []
    for at, right in ((1, "INSERT"), (2, "UPDATE")):
        names = [row[0] for row in rows if not row[at]]
        if names:
            whole = len(names) == len(rows)
            lacking.append(f"{right} on " + ("any column" if whole else f"the {_columns(names)}"))
            wanted.append(right if whole else f"{right} ({_list(names)})")
    if not rows[0][3]:
        lacking.append("DELETE")
        wanted.append("DELETE")
    elif not rows[0][4]:
        lacking.append("UPDATE or DELETE on the whole table, to hold other writers off")
        wanted.append("UPDATE")
    said = [f"GRANT {', '.join(wanted)} ON {table} TO {_list([user])}"] if wanted else []
    if not rows[0][5]:
        lacking.append("TEMPORARY in the database")
        said.append(f"GRANT TEMPORARY ON DATABASE {_list([connection.info.dbname])} TO {_list([user])}")
    return f"the user {user} lacks {', '.join(lacking)}: ask for {'; '.join(said)}" if lacking else ""


def _columns(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names[:_MOST_NAMED])}{more}"


def _list(names: Sequence[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)
