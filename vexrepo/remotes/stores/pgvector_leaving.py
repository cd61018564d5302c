"""What a table has that is not made again elsewhere: it is said wherever another one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from psycopg import Connection

_LEFT: Final = """
WITH t AS (SELECT pg_catalog.to_regclass(%(name)s)::pg_catalog.oid AS oid),
a AS (SELECT attname, attgenerated, attidentity, atthasdef, attnotnull FROM pg_catalog.pg_attribute, t
  WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped)
SELECT 1, 'generated column', attname::text FROM a WHERE attgenerated <> ''
UNION ALL SELECT 2, 'default of', attname::text FROM a WHERE attgenerated = '' AND (atthasdef OR attidentity <> '')
UNION ALL SELECT 3, 'NOT NULL of', attname::text FROM a WHERE attnotnull AND attname::text <> %(id)s
UNION ALL SELECT 4, 'constraint', conname::text FROM pg_catalog.pg_constraint, t
  WHERE conrelid = t.oid AND contype IN ('c', 'f', 'u', 'x')
UNION ALL SELECT 5, 'trigger', tgname::text FROM pg_catalog.pg_trigger, t WHERE tgrelid = t.oid AND NOT tgisinternal
UNION ALL SELECT 6, 'index', c.relname::text FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am AS m ON m.oid = c.relam, t
  WHERE i.indrelid = t.oid AND NOT i.indisunique AND m.amname NOT IN ('hnsw', 'ivfflat')
ORDER BY 1, 3
"""


def find_left(connection: Connection[Any], name: str, id_column: str) -> list[str]:
    """Return what a table of this (quoted) name has that is not made again, in words."""
    rows = connection.execute(_LEFT, {"name": name, "id": id_column}).fetchall()
    return [f"{what} {which}" for _, what, which in rows]
