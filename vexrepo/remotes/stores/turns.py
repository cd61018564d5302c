"""Writers of one store take turns, as far as they are of one user on one machine.

Most stores have no transactions: what two programs write at the same moment is mixed.  A lock beside the user's other
state keeps two of ours apart; the next one then sees all that the former has written.  Of others nothing is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.address import Address

WAIT_S: Final = 10.0
# Where the address names none; their connectors have the same.
PORTS: Final = {
    "chroma": 8000,
    "milvus": 19530,
    "neo4j": 7687,
    "opensearch": 9200,
    "pgvector": 5432,
    "qdrant": 6333,
    "redis": 6379,
    "weaviate": 8080,
}
_SAME_SERVERS: Final = {"elasticsearch": "opensearch"}
_HERE: Final = frozenset(("", "localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"))
# Options that say how a server is reached or its memories are read, and not which these are.
_HOW: Final = frozenset(
    (
        *("host", "port", "user", "tls", "routing", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslnegotiation"),
        *("channel_binding", "gssencmode", "profile", "distance", "metric", "similarity", "dims"),
        *("text", "id", "vector"),
    )
)


def take_turn(address: Address) -> Callable[[], None]:
    """Wait until nobody else writes to a store, and return what lets the next one.

    Raises: StoreError (store-locked) after ``WAIT_S`` seconds.
    """
    folder = address.reach.turns
    if folder is None:
        return lambda: None
    from blake3 import blake3
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{blake3(_place(address).encode()).hexdigest(16)}.lock", timeout=WAIT_S)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StoreError(
            f"another vex is writing to {address} (waited {WAIT_S:g} s); nothing was written: run the command again "
            "when it has ended",
            code="store-locked",
        ) from None
    except OSError:  # a state folder that cannot be written to: everything else works, too
        return lambda: None
    return lock.release


def _place(address: Address) -> str:
    """Return what all addresses of one store have in common: not the user, nor how a path or a host is written.

    Nobody is asked where a host is.  Two stores that seem to be one only wait for each other.
    """
    kind = _SAME_SERVERS.get(address.kind, address.kind)
    if address.is_path:
        return str(Address(kind, os.path.realpath(address.location), address.options))
    server, _, path = address.location.removeprefix("//").partition("/")
    host, port = _split(server.rpartition("@")[2])
    host, port = address.options.get("host") or host, address.options.get("port") or port or str(PORTS.get(kind, ""))
    if kind == "redis":
        path = path or "0"
    options = {name: value for name, value in address.options.items() if name not in _HOW}
    if kind == "pgvector":
        options.pop("index", None)  # how a new table is indexed
    return str(Address(kind, f"//{_plain_host(host)}:{port.lstrip('0')}/{path.strip('/')}", options))


def _split(server: str) -> tuple[str, str]:
    """Return the host and the port of a server, "" for none."""
    host, colon, port = server.rpartition(":")
    if server.startswith("[") and not server.endswith("]"):
        return host.strip("[]"), port
    if server.startswith("[") or server.count(":") > 1:
        return server.strip("[]"), ""
    return (host, port) if colon else (server, "")


def _plain_host(host: str) -> str:
    """Return a host in one form; every way to say this machine, and the folder of a socket, is ``localhost``."""
    import ipaddress

    host = host.lower().rstrip(".")
    if host.startswith("/") or host in _HERE:
        return "localhost"
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return host
    number = getattr(number, "ipv4_mapped", None) or number
    return "localhost" if number.is_loopback or number.is_unspecified else str(number)
