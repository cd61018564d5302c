"""Edges between memories, as the agent's own import builds them: by time, by tag, by what superseded what.

One pass over the memories in order of time, whatever their number; edges that are there already stay.  A text
that is empty or blank makes no memory in the original tool, so such rows are passed over.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from typing import Any, ClassVar, Final

import orjson

from vexrepo.objects import canonical
from vexrepo.objects.timestamp import parse_time_us
from vexrepo.remotes.stores.vektor_edges import EdgeReader
from vexrepo.remotes.stores.vektor_schema import GRAPH_EDGES, MEMORIES, NEWEST, Layout, quote, read_layout

GAP_S: Final = 3600
LEAST_WEIGHT: Final = 0.1
TAG_WEIGHT: Final = 0.6
CAUSAL_WEIGHT: Final = 0.9
MOST_MEMBERS: Final = 50  # a tag that more memories have says nothing about them
_MILLISECONDS_FROM: Final = 20_000_000_000
# What JavaScript takes for white space.
_STRIPPED: Final = "".join(
    map(
        chr, (*range(9, 14), 0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF)
    )
)
_SUPERSEDED: Final = re.compile(rf"superseded[{_STRIPPED}_]by[{_STRIPPED}:]+([\w-]+)", re.ASCII | re.IGNORECASE)
_ROLES: Final = ("id", "source", "target", "type")
_BATCH: Final = 1000

Edge = tuple[str, str, str, str, float]  # id, source, target, type, weight


def link(
    db: sqlite3.Connection,
    path: str,
    layout: Layout,
    agents: set[str] | None,
    ids: tuple[Mapping[str, str], Mapping[str, Any]],
    now_us: int | None,
) -> int:
    """Build the edges between the memories of some agents (None: of all) and return how many were new.

    ``ids`` map native ids to record ids and back, where these differ.  Raises: sqlite3.Error.
    """
    if agents is not None and not agents and "agent_id" in layout.others:
        return 0
    table = read_layout(db, path, GRAPH_EDGES)
    is_new = table is None
    if table is None:
        db.execute(NEWEST[GRAPH_EDGES])
        table = read_layout(db, path, GRAPH_EDGES)
        assert table is not None
    if not table.id_is_unique or table.id_is_rowid:
        return 0  # nothing there would tell an edge built anew from one that is there
    # What is carried for edges that the agent removed must not come back with edges built anew.
    EdgeReader(db, path, ids[0]).heal()
    names = [table.roles[role] for role in _ROLES]
    names += [column.name for column in table.columns if column.name in ("weight", "created_at")]
    now_s = None if now_us is None else now_us // 1_000_000
    values = {"weight": "?5", "created_at": "?6"}
    marks = [f"?{place + 1}" for place in range(len(_ROLES))] + [values[name] for name in names[len(_ROLES) :]]
    insert = f"INSERT OR IGNORE INTO {GRAPH_EDGES} ({', '.join(map(quote, names))}) VALUES ({', '.join(marks)})"
    linked = 0
    edges = _edges(db, layout, agents, ids[1])
    while batch := [(*edge, now_s) for edge in islice(edges, _BATCH)]:
        linked += db.executemany(insert, batch).rowcount
    if is_new:  # afterwards, as building an index at once is quicker
        for role in ("source", "target"):
            db.execute(f"CREATE INDEX IF NOT EXISTS ge_{role} ON {GRAPH_EDGES}({quote(table.roles[role])})")
    return linked


def _edges(
    db: sqlite3.Connection, layout: Layout, agents: set[str] | None, native_ids: Mapping[str, Any]
) -> Iterator[Edge]:
    tags = _Tags(db)
    last: str | None = None
    last_s: float = 0
    for native, tagged, text, seconds in _by_time(db, layout, agents):
        identifier = str(native)
        if last is not None and seconds - last_s <= GAP_S:
            weight = max(LEAST_WEIGHT, 1 - (seconds - last_s) / GAP_S)
            yield f"ge-temporal-{last}-{identifier}", identifier, last, "temporal", weight
        last, last_s = identifier, seconds
        if tagged:
            for tag in tags_of(tagged):
                tags.add(tag, identifier)
        if text is not None:
            found = _SUPERSEDED.search(text)
            if found is not None:
                target = str(native_ids.get(found[1], found[1]))
                yield f"ge-sup-{identifier}", identifier, target, "causal", CAUSAL_WEIGHT
    for tag, members in tags.chains():
        for one, other in pairwise(members):
            yield f"ge-tag-{tag}-{one}-{other}", one, other, f"tag:{tag}", TAG_WEIGHT


def _by_time(
    db: sqlite3.Connection, layout: Layout, agents: set[str] | None
) -> Iterator[tuple[str | int, Any, str | None, float]]:
    """Yield (native id, tags, text if it may name what supersedes it, seconds) of memories, oldest first."""
    db.create_function("vex_seconds", 1, _seconds, deterministic=True)
    created = quote(layout.roles["created_at"]) if "created_at" in layout.roles else "NULL"
    tags = '"tags"' if "tags" in layout.others else "NULL"
    text, identifier = quote(layout.roles["text"]), quote(layout.roles["id"])
    where = [f"{identifier} IS NOT NULL", f"typeof({text}) = 'text'", f"trim({text}, ?1) <> ''"]
    values: list[Any] = [_STRIPPED]
    if agents is not None and "agent_id" in layout.others:
        values += sorted(agents)
        where.append(f'"agent_id" IN ({", ".join(f"?{place + 2}" for place in range(len(agents)))})')
    query = f"""SELECT {identifier}, {tags}, CASE WHEN {text} LIKE '%superseded%by%' THEN {text} END,
            CASE typeof({created}) WHEN 'null' THEN 0 WHEN 'text' THEN vex_seconds({created}) WHEN 'blob' THEN 0
            ELSE CASE WHEN {created} > {_MILLISECONDS_FROM} THEN {created} / 1000.0 ELSE {created} END END AS seconds
        FROM {MEMORIES} WHERE {" AND ".join(where)} ORDER BY seconds, {created}, {layout.rowid}"""
    yield from db.execute(query, values)


def _seconds(text: str) -> float:
    found = parse_time_us(text)
    if found is not None:
        return found / 1_000_000
    try:
        number = float(text)
    except ValueError:
        return 0
    if not abs(number) < 1e300:
        return 0
    return number / 1000 if number > _MILLISECONDS_FROM else number


def tags_of(text: Any) -> list[str]:
    """Return the tags in a ``tags`` column: a JSON array's members, or what commas separate."""
    if type(text) is not str:
        return []
    try:
        value = orjson.loads(text) if text.lstrip(" \t\n\r")[:1] in _JSON_STARTS else None
    except orjson.JSONDecodeError:
        value = None
    else:
        if isinstance(value, list):
            return [tag for tag in map(_as_javascript, value) if tag]
        if value is not None or text.strip(" \t\n\r") == "null":
            return []
    return [tag for tag in (part.strip(_STRIPPED) for part in text.split(",")) if tag]


_JSON_STARTS: Final = frozenset('[{"0123456789-tfn')


def _as_javascript(value: Any, *, inner: bool = False) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "" if inner else "null"
    if isinstance(value, list):
        return ",".join(_as_javascript(item, inner=True) for item in value)
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    return canonical.encode(value).decode()


class _Tags:
    """The memories of each tag, in order; those of too many tags for memory go into a temporary table."""

    held: ClassVar[int] = 100_000

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._members: dict[str, list[str]] = {}
        self._common: set[str] = set()  # tags with too many members
        self._count = 0
        self._spilled = False

    def add(self, tag: str, identifier: str) -> None:
        """Note the next memory of a tag."""
        if tag in self._common:
            return
        members = self._members.setdefault(tag, [])
        members.append(identifier)
        self._count += 1
        if len(members) > MOST_MEMBERS:
            self._common.add(tag)
            del self._members[tag]
            self._count -= len(members)
        elif self._count >= self.held:
            self._spill()

    def _spill(self) -> None:
        if not self._spilled:
            self._db.execute("CREATE TEMP TABLE vex_tags (tag TEXT, member TEXT)")
            self._spilled = True
        rows = ((tag, member) for tag, members in self._members.items() for member in members)
        self._db.executemany("INSERT INTO temp.vex_tags VALUES (?, ?)", rows)
        self._members.clear()
        self._count = 0

    def chains(self) -> Iterator[tuple[str, list[str]]]:
        """Yield (tag, members) of the tags with 2 to MOST_MEMBERS of them."""
        if not self._spilled:
            yield from ((tag, members) for tag, members in self._members.items() if len(members) > 1)
            return
        self._spill()
        tag, members = "", [""]
        for name, member in self._db.execute("SELECT tag, member FROM temp.vex_tags ORDER BY tag, rowid"):
            if name != tag:
                if 1 < len(members) <= MOST_MEMBERS and tag not in self._common:
                    yield tag, members
                tag, members = name, []
            if len(members) <= MOST_MEMBERS:
                members.append(member)
        if 1 < len(members) <= MOST_MEMBERS and tag not in self._common:
            yield tag, members
        self._db.execute("DROP TABLE temp.vex_tags")
