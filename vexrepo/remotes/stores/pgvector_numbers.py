"""Numbers that PostgreSQL gives rows by itself: identities and serial columns.

Rows are written with the numbers they had.  The sequence does not know of them: the agent's next row would get one that
is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vexrepo.remotes.stores.pgvector_table import Table

if TYPE_CHECKING:
    from psycopg import Connection

_OF: Final = """
SELECT s.seqrelid, s.seqrelid::regclass::text, has_sequence_privilege(s.seqrelid, 'SELECT'),
  has_sequence_privilege(s.seqrelid, 'UPDATE')
FROM pg_sequence s WHERE s.seqrelid = to_regclass(pg_get_serial_sequence(%s, %s)) AND s.seqincrement > 0
"""


def advance_numbers(connection: Connection[Any], table: Table, name: str) -> list[str]:
    """Bring the sequences of a (quoted) table beyond the numbers that its rows have.

    Returns statements, for people, that would do so for those which the user may not change.
    """
    from psycopg import sql

    left = []
    for column in [each for each in (table.id, *table.members.values()) if each.is_numbered]:
        row = connection.execute(_OF, (name, column.name)).fetchone()
        if row is None:
            continue  # one that is nobody's, or counts down
        number, sequence, may_read, may_change = row
        most = sql.SQL("SELECT pg_catalog.max({}) FROM {}").format(sql.Identifier(column.name), table.identifier())
        (highest,) = connection.execute(most).fetchone() or (None,)
        if highest is None or highest < 1:
            continue
        if not (may_read and may_change):
            left.append(f"SELECT setval('{sequence}', {highest})")
            continue
        (last,) = connection.execute("SELECT pg_sequence_last_value(%s::oid::regclass)", (number,)).fetchone() or (
            None,
        )
        if last is None or last < highest:
            connection.execute("SELECT setval(%s::oid::regclass, %s)", (number, highest))
    return left
