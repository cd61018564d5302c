"""Stores named by a kind and flags, as the original tool does: ``--from vektor --db agent.db``.

A connector's flags are listed here and nowhere else, so that each command knows them at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from vexrepo.errors import UsageError
from vexrepo.remotes.stores.address import Address

Side: TypeAlias = Literal["source", "target"]


@dataclass(frozen=True, slots=True)
class Server:
    """How a kind of store behind a server is named: a URL, and what it holds by a flag.

    ``url`` is where it is if nothing says.  The flag ``name`` becomes an ``option`` of the address, or where that is ""
    the end of its path; ``default`` is its value if nothing says, None: none.  ``scheme`` is that of a URL which is
    given without one, "" where there must be one.
    """

    name: str
    option: str = ""
    url: str = ""
    default: str | None = None
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class KindFlags:
    """How a kind of store is named by flags.

    ``source`` and ``target`` are flags that give the location, the first one given counts; ``options`` are flags that
    become options of a target's address, ``source_options`` of a source's; ``environment`` are variables for what no
    flag gives, ``secrets`` those that hold what opens the store, by the names of ``Store.secrets``.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source_options: Mapping[str, str] = field(default_factory=dict)
    server: Server | None = None
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Return all the flags of this kind."""
        server = (self.server.name,) if self.server is not None else ()
        return (*self.source, *self.target, *server, *self.options, *self.source_options)


def _server(server: Server, *options: str, **more: Any) -> KindFlags:
    """Return the flags of a kind of store behind a server; ``options`` are flags that hold for both sides."""
    names = {"text-field": "text", **{name: name for name in options}}
    return KindFlags(("url",), ("url",), names, source_options=names, server=server, **more)


KINDS: Final[dict[str, KindFlags]] = {
    "jsonl": KindFlags(("in", "file"), ("out", "output")),
    "vektor": KindFlags(
        ("db",),
        ("db", "out"),
        {"agent-id": "agent_id"},
        {"location": ("VEKTOR_DB", "VEKTOR_DB_PATH"), "agent-id": ("VEKTOR_AGENT_ID",)},
    ),
    "vex-backup": KindFlags(("file", "in"), (), source_options={"machine-id": "machine_id"}),
    "pgvector": _server(
        Server("table", option="table"),
        environment={"location": ("PGVECTOR_URL", "DATABASE_URL")},
        secrets={"password": ("PGPASSWORD",)},
    ),
    "chroma": _server(
        Server("collection", url="http://localhost:8000"),
        "tenant",
        "database",
        environment={
            "location": ("CHROMA_URL",),
            "collection": ("CHROMA_COLLECTION",),
            "tenant": ("CHROMA_TENANT",),
            "database": ("CHROMA_DATABASE",),
        },
        secrets={"api_key": ("CHROMA_API_KEY",)},
    ),
    "qdrant": _server(
        Server("collection", url="http://localhost:6333"),
        environment={"location": ("QDRANT_URL",), "collection": ("QDRANT_COLLECTION",)},
        secrets={"api_key": ("QDRANT_API_KEY",)},
    ),
    "opensearch": _server(
        Server("index", url="http://localhost:9200"),
        environment={"location": ("OPENSEARCH_URL",), "index": ("OPENSEARCH_INDEX",)},
        secrets={"password": ("OPENSEARCH_PASSWORD",)},
    ),
    "elasticsearch": _server(
        Server("index", url="http://localhost:9200"),
        environment={"location": ("ELASTICSEARCH_URL",), "index": ("ELASTICSEARCH_INDEX",)},
        secrets={
            "api_key": ("ELASTICSEARCH_API_KEY", "ELASTIC_API_KEY"),
            "password": ("ELASTICSEARCH_PASSWORD", "ELASTIC_PASSWORD"),
        },
    ),
    "neo4j": _server(
        Server("label", option="label", url="bolt://localhost:7687"),
        "user",
        environment={
            "location": ("NEO4J_URL", "NEO4J_URI"),
            "user": ("NEO4J_USER", "NEO4J_USERNAME"),
        },
        secrets={"password": ("NEO4J_PASSWORD",)},
    ),
    "pinecone": _server(
        Server("index", option="index", url="https://api.pinecone.io", scheme="https"),
        environment={"location": ("PINECONE_HOST",), "index": ("PINECONE_INDEX",)},
        secrets={"api_key": ("PINECONE_API_KEY",)},
    ),
    "weaviate": _server(
        Server("collection", url="http://localhost:8080"),
        "tenant",
        environment={
            "location": ("WEAVIATE_URL",),
            "collection": ("WEAVIATE_CLASS",),
            "tenant": ("WEAVIATE_TENANT",),
        },
        secrets={"api_key": ("WEAVIATE_API_KEY",)},
    ),
    "milvus": _server(
        Server("collection", url="http://localhost:19530", default="vex_memory"),
        "database",
        environment={
            "location": ("MILVUS_URL",),
            "collection": ("MILVUS_COLLECTION",),
            "database": ("MILVUS_DATABASE",),
        },
        secrets={"password": ("MILVUS_TOKEN",)},
    ),
    "mcp": KindFlags(("in", "file"), ("out", "output")),
    "lancedb": KindFlags(
        ("db",),
        ("db", "out"),
        {"table": "table", "text-field": "text"},
        source_options={"table": "table", "text-field": "text"},
    ),
    "letta": KindFlags(("in", "file"), ("out", "output")),
    "numpy": KindFlags(("in", "file"), ("out", "output")),
    "parquet": KindFlags(("in", "file"), ("out", "output")),
    "sqlite-vec": KindFlags(
        ("db",),
        ("db", "out"),
        {"table": "table", "text-field": "text"},
        source_options={"table": "table", "text-field": "text"},
    ),
    "redis": _server(
        Server("index", option="index", url="redis://localhost:6379/0"),
        "prefix",
        environment={"location": ("REDIS_URL",)},
        secrets={"password": ("REDIS_PASSWORD",)},
    ),
}


# What the flags are called to a user: name, what stands for the value, help.  Commands make their options from these.
FLAGS: Final[tuple[tuple[str, str, str], ...]] = (
    ("db", "FILE", "The vektor database, the file for sqlite-vec, the folder for lancedb."),
    ("in", "FILE", "The source, for --from jsonl."),
    ("file", "FILE", "The source, for --from jsonl or vex-backup."),
    ("out", "PATH", "The target: a file, or a vektor database."),
    ("agent-id", "ID", "The agent whose rows new ones are, in a vektor database."),
    ("machine-id", "ID", "The machine a vex-backup was made on (default: this one)."),
    ("url", "URL", "Where the server of a vector store is; without passwords and keys."),
    ("collection", "NAME", "The collection, for qdrant, chroma, weaviate and milvus."),
    ("table", "NAME", "The table, for pgvector, sqlite-vec and lancedb."),
    ("tenant", "NAME", "The tenant, for weaviate, and for chroma (default: default_tenant)."),
    ("database", "NAME", "The database, for chroma (default: default_database) and milvus."),
    ("index", "NAME", "The index, for pinecone, opensearch and elasticsearch; the search index, for redis."),
    ("label", "LABEL", "The label of the nodes, for neo4j (default: Memory)."),
    ("user", "NAME", "The user, for neo4j (default: neo4j)."),
    ("prefix", "PREFIX", "What the keys begin with, for redis."),
    ("text-field", "NAME", "Which field of a vector store has the text (default: found by name)."),
)


class ServerUrl(NamedTuple):
    """A server's URL as the parts of an address, with the password that was in it."""

    location: str
    options: dict[str, str]
    password: str


_ENCODED: Final = "characters such as / ? # @ % in a password are written %2F %3F %23 %40 %25 there"


def parse_server_url(url: str, where: str) -> ServerUrl:
    """Return the parts of a URL such as ``postgresql://user:password@host:5432/database?sslmode=require``.

    ``where`` is what it was given by, for the message.  Raises: UsageError (bad-address).
    """
    from urllib.parse import parse_qsl, unquote

    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://([^?#]*)(?:\?([^#]*))?", url.strip())
    if match is None:
        raise UsageError(f"{where}: expected a URL, SCHEME://HOST:PORT/…; {_ENCODED}", code="bad-address")
    scheme, rest, query = match[1].lower(), match[2].rstrip("/"), match[3] or ""
    host, slash, path = rest.partition("/")
    userinfo, at, place = host.rpartition("@")
    user, _, password = userinfo.partition(":")
    ports = [each.rpartition("]")[2].partition(":")[2] for each in place.split(",")]
    if "@" in path + query or not all(each.isdecimal() for each in ports if each):
        # What follows may be the rest of a password, so it is not shown.
        raise UsageError(f"{where}: its host and port cannot be told from the rest; {_ENCODED}", code="bad-address")
    options = dict(parse_qsl(query, keep_blank_values=True))
    written = options.pop("password", "")
    password = unquote(password) or written
    if scheme in ("http", "https"):
        options["tls"] = str(int(scheme == "https"))
    elif scheme in ("rediss", "bolt+s", "neo4j+s"):
        options["tls"] = "1"
    return ServerUrl(f"//{unquote(user)}{at}{place}{slash}{unquote(path)}", options, password)


class GivenFlags:
    """The flags of one command line; each is used once, and ``check_used`` refuses those nobody wanted."""

    def __init__(self, given: Mapping[str, str | None], environ: Mapping[str, str]) -> None:
        self._left = {name: value for name, value in given.items() if value is not None}
        self._environ = environ

    def address(self, kind: str, side: Side) -> Address:
        """Return the address of a store of a kind that flags give.  Raises: UsageError (bad-address)."""
        known = KINDS.get(kind)
        if known is not None and known.server is not None:
            return self._server_address(kind, known, known.server)
        names = (known.source if side == "source" else known.target) if known else ()
        location = self._take(names)
        if location is None and known is not None:
            location = self._variable(known.environment.get("location", ()))
        if location is None:
            flag = f"give it with --{names[0]}, or " if names else ""
            raise UsageError(f"which {kind} store?  {flag}name it as an address, e.g. {kind}:PATH", code="bad-address")
        return Address(kind, location)

    def _server_address(self, kind: str, known: KindFlags, server: Server) -> Address:
        url, where = self._take(("url",)), "--url"
        if url is None:
            names = known.environment.get("location", ())
            where = next((name for name in names if self._environ.get(name)), "")
            url = self._environ[where] if where else server.url
        if not url:
            raise UsageError(
                f"which {kind} server?  give it with --url, or as {' or '.join(known.environment.get('location', ()))}",
                code="bad-address",
            )
        if server.scheme and "://" not in url:
            url = f"{server.scheme}://{url}"
        found = parse_server_url(url, where)
        if found.password and where == "--url":
            variables = [name for names in known.secrets.values() for name in names]
            raise UsageError(
                f"--url: a password does not belong on the command line, where others see it; give it as "
                f"{' or '.join([*variables, *known.environment.get('location', ())])} in the environment",
                code="bad-address",
            )
        location, options = found.location, dict(found.options)
        name = self._take((server.name,)) or self._variable(known.environment.get(server.name, ())) or server.default
        if name is not None and server.option:
            options[server.option] = name
        elif name is not None:
            location = f"{location}/{name}"
        secrets: dict[str, Callable[[], str]] = {}
        if found.password:
            secrets["password"] = partial(str, found.password)
        return Address(kind, location, options, secrets)

    def with_options(self, address: Address, side: Side) -> Address:
        """Return a source's or target's address with the options that flags and environment give."""
        known = KINDS.get(address.kind)
        options = dict(address.options)
        wanted = (known.options if side == "target" else known.source_options) if known else {}
        for flag, option in wanted.items():
            value = self._take((flag,))
            if value is None and option not in options and known is not None:
                value = self._variable(known.environment.get(flag, ()))
            if value is not None:
                options[option] = value
        return replace(address, options=options)

    def check_used(self) -> None:
        """Raise UsageError (bad-option) for a flag that fits neither store."""
        for name in self._left:
            kinds = [kind for kind, known in KINDS.items() if name in known.names()]
            raise UsageError(
                f"--{name} does not apply to these stores; it is for {', '.join(kinds) or 'none'}", code="bad-option"
            )

    def _take(self, names: tuple[str, ...]) -> str | None:
        for name in names:
            if name in self._left:
                return self._left.pop(name)
        return None

    def _variable(self, names: tuple[str, ...]) -> str | None:
        return next((self._environ[name] for name in names if self._environ.get(name)), None)
