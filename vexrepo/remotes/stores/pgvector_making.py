"""Making a table that holds memories, and widening it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vexrepo.errors import StoreError
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.pgvector_columns import Column
from vexrepo.remotes.stores.pgvector_indexing import extension_schema
from vexrepo.remotes.stores.pgvector_session import Session
from vexrepo.remotes.stores.pgvector_table import Table, columns_to_make


def make_table(
    session: Session, schema: str | None, name: str, spaces: Mapping[str, Space], config: Mapping[str, Any], where: str
) -> None:
    """Make a table with room for vectors, set up as ``config`` says; and the extension, if it is not there.

    ``schema`` None is the first of the user's search path.  Raises: StoreError (store-schema where there is none).
    """
    from psycopg import sql

    with session.transaction("make") as connection:
        schemas = [*session.schemas, *([schema] if schema else [])]
        if not schemas:
            raise StoreError(f"{where} has no schema to be made in; name one with ?schema=NAME", code="store-schema")
        home = sql.Identifier(schemas[0])
        connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA {}").format(home))
        columns = columns_to_make(spaces, config)
        key = str(config.get("id", "id"))
        key = key if key in columns else "id"
        extension = sql.Identifier(extension_schema(connection))
        parts = [
            sql.SQL("{} {}{}{}").format(
                sql.Identifier(column),
                extension + sql.SQL(".") if Column(column, kind).vector else sql.SQL(""),
                sql.SQL(kind),
                sql.SQL(" PRIMARY KEY" if column == key else ""),
            )
            for column, kind in columns.items()
        ]
        made = sql.Identifier(schema or schemas[0], name)
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(made, sql.SQL(", ").join(parts)))


def widen_table(session: Session, table: Table, spaces: Mapping[str, Space]) -> None:
    """Add columns for vectors to a table that was made."""
    from psycopg import sql

    kinds = columns_to_make(spaces, {})
    add = sql.SQL("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {schema}.{kind}")
    with session.transaction("write") as connection:
        schema = sql.Identifier(extension_schema(connection))
        for name in sorted(spaces.keys() & kinds.keys()):
            connection.execute(
                add.format(
                    table=table.identifier(), name=sql.Identifier(name), schema=schema, kind=sql.SQL(kinds[name])
                )
            )
