"""Install the engines that tests run against aside, before there are tests to wait for it: ``python -m tests.engines``.

What cannot be had is said here and ends the tests that need it.
"""

import sys

from _pytest.outcomes import OutcomeException

from tests.contract import chroma_local, chroma_server, lancedb_engine, milvus_server, neo4j_server
from tests.hosting import redis_server

ENGINES = (
    chroma_server.package,
    chroma_local.needed,
    lancedb_engine.package,
    milvus_server.package,
    neo4j_server.package,
    redis_server.libssl,
)

if __name__ == "__main__":
    for each in ENGINES:
        try:
            each()
        except OutcomeException as error:
            print(error, file=sys.stderr)
