"""Neo4j: ArcadeDB over Bolt, which is what can be installed, and a script on the official driver.

Both use the same driver, so it is the driver's own work, in Python, that most of the time is; with neo4j-rust-ext both
are quicker.  Rates say nothing of Neo4j's own engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import ClassVar

import neo4j
import numpy as np

from tests.bench.peers import MODEL, Peer, Row
from tests.contract import neo4j_server
from vexrepo.remotes.stores.address import Address

_BATCH = 1000


class _Neo4j(Peer):
    client = "neo4j driver, UNWIND and MERGE"
    environment: ClassVar[dict[str, str]] = {"NEO4J_PASSWORD": neo4j_server.PASSWORD}

    def __init__(self, driver: neo4j.Driver) -> None:
        self._driver = driver

    def address(self, name: str) -> Address:
        return neo4j_server.address(name)

    def drop(self, name: str) -> None:
        with self._session() as session:
            while session.run(f"MATCH (n:{name}) WITH n LIMIT 5000 DETACH DELETE n RETURN count(*)").single(
                strict=True
            )[0]:
                pass

    def _session(self) -> neo4j.Session:
        return self._driver.session(database=neo4j_server.DATABASE)

    def write(self, name: str, rows: Sequence[Row]) -> None:
        query = f"UNWIND $rows AS row MERGE (n:{name} {{id: row.id}}) SET n = row"
        left = iter(rows)
        with self._session() as session:
            session.run(f"CREATE CONSTRAINT {name} IF NOT EXISTS FOR (n:{name}) REQUIRE n.id IS UNIQUE").consume()
            while batch := list(islice(left, _BATCH)):
                values = [
                    {
                        "id": row.id, "content": row.text, "namespace": row.namespace, "model": MODEL,
                        "created_at": row.created_at, **row.metadata, "vector": row.vector.tolist(),
                    }
                    for row in batch
                ]  # fmt: skip
                session.execute_write(lambda it, values=values: it.run(query, rows=values).consume())

    def read(self, name: str) -> int:
        count, last = 0, ""
        query = f"MATCH (n:{name}) WHERE n.id > $last RETURN properties(n) AS n ORDER BY n.id LIMIT {_BATCH}"
        with self._session() as session:
            while rows := session.run(query, last=last).value():
                found = [(each, np.array(each.pop("vector"), "<f4")) for each in rows]
                count += len(found)
                last = found[-1][0]["id"]
        return count


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a running server."""
    where = f"bolt://127.0.0.1:{neo4j_server.port()}"
    with neo4j.GraphDatabase.driver(where, auth=("root", neo4j_server.PASSWORD)) as driver:
        yield _Neo4j(driver)
