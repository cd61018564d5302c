"""How PostgreSQL is connected to, and what its errors mean to somebody who moves memories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from vexrepo.errors import StorageFailure, StoreError, UsageError, VexError
from vexrepo.remotes.stores.address import Address

if TYPE_CHECKING:
    import psycopg

_PASSWORDS: Final = "the password comes from PGPASSWORD, ~/.pgpass or PGVECTOR_URL, never from the address"
_AGAIN: Final = "run the command again: a write that was not completed is not there at all"
# By SQLSTATE, its first characters: a code and what to do.
_MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "28": ("store-refused", _PASSWORDS),
    "3D": ("store-missing", "there is no such database"),
    "42P01": ("store-missing", "name the table with ?table=NAME, its schema with ?schema=NAME"),
    "42501": ("store-refused", "this user has no right to do that: nothing was written"),
    "25006": (
        "store-refused",
        "this connection can only read, as that of a replica: nothing was written; name the server that takes writes",
    ),
    "0A000": ("store-schema", "is pgvector installed on the server?  CREATE EXTENSION vector"),
    "58P01": ("store-schema", "is pgvector installed on the server?  CREATE EXTENSION vector"),
    "42704": ("store-schema", "is pgvector installed on the server, in its newest version?"),
    "42": ("store-schema", ""),
    "55P03": ("store-locked", "another program holds the table; nothing was written: run the command again"),
    "40": ("store-locked", "another program was writing, too; nothing was written: run the command again"),
    "57014": ("store-locked", "the server ended the statement; nothing was written"),
    "57P": ("store-unreachable", _AGAIN),
    "08": ("store-unreachable", _AGAIN),
    "53300": ("store-busy", "the server takes no more connections: try again later"),
    "53": ("store-busy", "the server is short of memory or disk; nothing was written"),
    "54": ("store-cannot-hold", "a value is too large for the server; nothing was written"),
    "22": ("store-cannot-hold", "a column does not take a value; nothing was written"),
    "23": ("store-cannot-hold", "a rule of the table does not allow a value; nothing was written"),
}

# What is said with a state that others have, too, how that begins, a code and what to do.
_SAID: Final[dict[str, tuple[str, str, str]]] = {
    "statement pooling": (
        "08",
        "store-refused",
        "the pooler allows no transactions: connect with pool_mode transaction or session, or to the server itself",
    ),
    "query_wait_timeout": (
        "08",
        "store-busy",
        "the pooler has none left (a migration within one server takes two at once): give it more (pool_size)",
    ),
    "conflict with recovery": (
        "40",
        "store-busy",
        "the replica had to apply what was written: run the command again, or set hot_standby_feedback on it",
    ),
}


def store_error(error: psycopg.Error, doing: str, where: str) -> VexError:
    """Return the error that tells people what an error of psycopg means.  It never holds a password."""
    state = error.sqlstate or ""
    lines = str(error).strip().splitlines()
    said = lines[0].strip() if lines else type(error).__name__
    if state == "53100":
        return StorageFailure(f"{where}: the server's disk is full; nothing was written", code="disk-full")
    told = [meaning for words, (begins, *meaning) in _SAID.items() if words in said and state.startswith(begins)]
    for length in (5, 3, 2):
        if told:
            code, advice = told[0]
            break
        if state[:length] in _MEANINGS:
            code, advice = _MEANINGS[state[:length]]
            break
    else:
        code, advice = ("store-unreadable", "") if state else _connecting(said)
    detail = error.diag.column_name
    said += f" (column {detail})" if detail else ""
    return StoreError(f"cannot {doing} {where}: {said}" + (f"; {advice}" if advice else ""), code=code)


def _connecting(said: str) -> tuple[str, str]:
    """Return what an error before there is a connection means: it has no state, only words."""
    if "database" in said and "does not exist" in said:
        return _MEANINGS["3D"]
    if any(word in said for word in ("password", "authentication", "role", "pg_hba.conf", "no encryption")):
        return "store-refused", _PASSWORDS
    if "too many" in said or "slots" in said:
        return _MEANINGS["53300"]
    if "closed" in said or "lost" in said or "terminat" in said:
        return "store-unreachable", _AGAIN
    return "store-unreachable", "is it running, and is that its address?"


def connection_parameters(address: Address, allowed: Iterable[str]) -> dict[str, Any]:
    """Return what ``psycopg.connect`` is given for an address.  Raises: UsageError (bad-address)."""
    host, _, database = address.location.removeprefix("//").partition("/")
    user, _, place = host.rpartition("@")
    if place.startswith("["):
        name, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = place.partition(":")
    if port and not port.isdigit():
        raise UsageError(f"{address}: the port is {port!r:.20}, expected a number", code="bad-address")
    found: dict[str, Any] = {
        "host": name,
        "port": port,
        "user": user,
        "dbname": database.strip("/"),
        "password": address.secret("password"),
        **{name: value for name, value in address.options.items() if name in allowed},
    }
    return {name: value for name, value in found.items() if value} | {
        "application_name": "vexrepo",
        "connect_timeout": max(1, round(address.reach.connect_within(30.0))),
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "client_encoding": "UTF8",
    }
