"""A server of Neo4j's protocol, Bolt, for tests: ArcadeDB, of its package, which is installed aside.

It runs Cypher with transactions, constraints and all types of properties; it has no vector indexes, whose statements
tests hold to their text.
"""

from __future__ import annotations

import functools
import itertools
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.hosting.programs import await_answer, end_with_us, free_port
from tests.packages import installed
from vexrepo.remotes.stores.address import Address

VERSION = "26.10.2.post1"
PASSWORD = "s3cret/of the server"
DATABASE = "agent"
_NUMBER = itertools.count()


def package() -> Path:
    """Return a folder with the package, which brings its own Java."""
    return installed(f"arcadedb-{VERSION}", f"arcadedb-embedded=={VERSION}") / "arcadedb_embedded"


@functools.cache
def port() -> int:
    """Return where the server speaks Bolt, started at the first call and ended with the process."""
    home, data, number = package(), tempfile.mkdtemp(prefix="vex-arcadedb-"), free_port()
    settings = {
        "server.rootPath": data,
        "server.rootPassword": PASSWORD,
        "server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "server.defaultDatabases": f"{DATABASE}[root]",
        "server.mode": "development",  # says what is wrong with a statement
        "server.httpIncomingHost": "127.0.0.1",
        "server.httpIncomingPort": free_port(),
        "bolt.host": "127.0.0.1",
        "bolt.port": number,
    }
    java = [str(home / "jre/bin/java"), "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    said = [f"-Darcadedb.{name}={value}" for name, value in settings.items()]
    server = subprocess.Popen(
        [*java, *said, "-cp", str(home / "jars/*"), "com.arcadedb.server.ArcadeDBServer"],
        cwd=data,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end_with_us(server, data)
    import neo4j

    # It listens before its database is made.
    await_answer(server, "the Bolt server", lambda: bool(ask("RETURN 1", number)), OSError, neo4j.exceptions.Neo4jError)
    return number


def ask(query: str, at: int | None = None, **parameters: Any) -> list[list[Any]]:
    """Ask the server as another program would."""
    import neo4j

    where = f"bolt://127.0.0.1:{at or port()}"
    with socket.create_connection(("127.0.0.1", at or port()), timeout=60):
        pass  # refused while it starts
    try:
        with neo4j.GraphDatabase.driver(where, auth=("root", PASSWORD)) as driver:
            records, _, _ = driver.execute_query(query, parameters, database_=DATABASE)
    except neo4j.exceptions.ServiceUnavailable as error:
        raise ConnectionError(str(error)) from error
    return [list(each.values()) for each in records]


def new_label() -> str:
    """Return a label that no node has."""
    return f"Memory{next(_NUMBER)}"


def address(label: str, at: int | None = None, password: str = PASSWORD, **options: str) -> Address:
    """Return the address of the nodes of a label."""
    where = f"//root@127.0.0.1:{at or port()}/{DATABASE}"
    return Address("neo4j", where, {"label": label, **options}, {"password": lambda: password})
