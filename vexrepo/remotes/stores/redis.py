"""Redis and Valkey: ``redis://host:6379/0?index=NAME&prefix=vex-memory:``.

A collection is the keys that begin with a prefix, all hashes or all JSON documents (``redis_forms``); with a search
index over them where the server can search (``redis_index``).  Read by SCAN, never by a search, whose pages end early.
A batch is one transaction of the server.  What a key had left to live it keeps when it is written.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson

from vexrepo.errors import InvalidData, StoreError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description
from vexrepo.remotes.stores.capabilities import HALF, NOTHING, Capabilities
from vexrepo.remotes.stores.point_names import Hashes
from vexrepo.remotes.stores.point_store import SAMPLE, Point, PointStore, Wanted
from vexrepo.remotes.stores.points import Fields
from vexrepo.remotes.stores.redis_changes import (
    Words,
    document_commands,
    hash_change,
    hash_commands,
    read_ends,
    read_held,
)
from vexrepo.remotes.stores.redis_forms import (
    TYPES,
    Keys,
    Layout,
    VectorField,
    decode_hash,
    decode_json,
    encode_hash,
    encode_json,
    json_holds,
)
from vexrepo.remotes.stores.redis_index import VECTORS, Index, new_index, of_config, read_index
from vexrepo.remotes.stores.redis_pages import Batch, Page, hash_pages
from vexrepo.remotes.stores.redis_records import HashReader
from vexrepo.remotes.stores.redis_session import PASSWORD, UNKNOWN, Session
from vexrepo.remotes.stores.serde import nearest_value
from vexrepo.storage.ahead import one_ahead

if TYPE_CHECKING:
    import redis

PREFIX: Final = "vex-memory:"  # the original tool's
_SCAN: Final = 1000
_LOOKS: Final = 4  # answers to SCAN that are looked through for keys of another kind
_LOOKED: Final = 5000  # keys of each: every command that opens the store waits for them
_TRIES: Final = 16  # of a batch whose keys others change while it is written
_SAMPLE: Final = 16  # keys that are looked at for what the vector is called
_MEMBER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TYPES: Final = {"hash": "hash", "json": "ReJSON-RL"}


class RedisStore(PointStore):
    """The keys of one prefix.  ``keys=json`` in the address makes a new collection of documents."""

    kind: ClassVar[str] = "redis"
    names_text: ClassVar[bool] = True
    own_text: ClassVar[str] = "content"
    secrets: ClassVar[Mapping[str, str]] = {PASSWORD: "the password of the Redis server"}
    options: ClassVar[frozenset[str]] = frozenset({"index", "keys", "prefix", "text", "tls", "vector"})
    writes_at_once: ClassVar[bool] = True
    batch_points: ClassVar[int] = 500
    can = Capabilities(lambda value: True)

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._told_of_ends = False
        self._session = Session(address)
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    @property
    def client(self) -> redis.Redis:
        """The client; connects when it is asked."""
        return self._session.client

    def close(self) -> None:
        """End what is read, and the connections."""
        super().close()
        self._session.close()

    # -- what is there -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Find out whether the server can search, which index covers the keys, and how they are laid out."""
        _ = self.client  # says first what is wrong with the address, or missing
        given, wanted = self.address.options, self.address.options.get("prefix")
        indexes = self._indexes()
        self.has_search = indexes is not None
        self.prefix = PREFIX if wanted is None else wanted
        self.has_json = self._session.unless_unknown("JSON.TYPE", self.prefix + "?") is not UNKNOWN
        self.index: Index | None = None
        if name := given.get("index"):
            self.index = next((each for each in indexes or () if each.name == name), None)
        else:
            fitting = (each for each in indexes or () if (wanted or PREFIX) in each.prefixes)
            self.index = next(fitting, None)
        if self.index is not None and wanted not in self.index.prefixes:
            if wanted is not None or len(self.index.prefixes) > 1:
                raise StoreError(
                    f"{self.address}: index {self.index.name!r:.60} covers the keys "
                    f"{', '.join(map(repr, self.index.prefixes))}; name one of these with prefix=",
                    code="store-schema",
                )
            self.prefix = self.index.prefixes[0]
        self._taken = {each.name for each in indexes or ()}
        asked = self.address.choice("keys", ("hash", "json"))
        first = None if self.index is not None else next(self._keys(None), None)
        self._is_there = self.index is not None or first is not None
        keys: Keys = "json" if asked == "json" else "hash"
        if first is not None:
            keys = "hash" if self._session.command("TYPE", first) == b"hash" else "json"
            if keys == "hash" and asked == "json" and self._has_documents(sys.maxsize):
                keys = "json"
            elif keys == "hash" and asked is None and self._has_documents(_LOOKS):
                self.address.reach.notice(
                    f"{self.address}: there are JSON documents beside hashes under this prefix; the hashes are the "
                    "memories, the documents are left alone: say keys=json for those, or keys=hash"
                )
        self._set_up(Layout(keys, {MAIN: self._vector_field(keys)}))

    def _indexes(self) -> list[Index] | None:
        """Return the indexes of the server, None where it cannot search: only database 0 can have any."""
        if self._session.database:
            return None
        names = self._session.unless_unknown("FT._LIST")
        if names is UNKNOWN:
            return None
        wanted = self.address.options.get("index")
        told = sorted(name.decode(errors="replace") for name in names)
        return [read_index(name, self._session.command("FT.INFO", name)) for name in told if wanted in (None, name)]

    def _vector_field(self, keys: Keys) -> VectorField:
        """Return the field of the vector: as the address says, or as some of the keys have it."""
        given, command = self.address.options.get("vector"), self._session.command
        if given is None and self._is_there and self.index is None:
            held: set[str] = set()
            for key in islice(self._keys(keys), _SAMPLE):
                if keys == "hash":
                    found = command("HKEYS", key)
                else:
                    found = command("JSON.OBJKEYS", key) if command("JSON.TYPE", key) == b"object" else ()
                held |= {name.decode(errors="replace") for name in found or ()}
            given = next((name for name in VECTORS if name in held), None)
        return VectorField(given or VECTORS[0])

    def _set_up(self, layout: Layout) -> None:
        """Take a layout, or the index's, and say what such a collection can hold."""
        if self.index is not None:
            layout = self.index.layout(self.address.options.get("vector"))
        self.layout = layout
        is_document = layout.keys == "json"
        names = frozenset(layout.vectors) if self._is_there or not self.has_search else None
        is_half = any(each.dtype == "<f2" for each in layout.vectors.values())
        self.can = Capabilities(
            json_holds if is_document else lambda value: True,
            values="any JSON of 64-bit integers, and nearly all doubles" if is_document else "any JSON",
            holds_name=layout.takes_name,
            holds_member=lambda name, value: name != "id" or is_document or isinstance(value, str),
            nearest=nearest_value if is_document else lambda value: value,
            holds_id_member=True,
            drops_id_member=True,
            is_named=names is None or len(names) > 1,
            names=names,
            mixes_dims=not self.has_search or (self._is_there and not self._index_spaces()),
            alters=HALF if is_half else NOTHING,
        )

    def _index_spaces(self) -> dict[str, Space]:
        return self.index.spaces(self.layout) if self.index is not None else {}

    def collection_words(self) -> str:
        """Return what the collection is called to people."""
        return f"key that begins with {self.prefix!r} in {self.address}"

    def exists(self) -> bool:
        """Whether there is an index over the keys, or a key."""
        return self._is_there

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors the index is for, None where there is none: then any are held."""
        return self._index_spaces() or None

    def describe(self) -> Description:
        """Return the fields of the index, and how many keys there are, listed where the index does not have all."""
        count, config = None, {"keys": self.layout.keys} if self._is_there else {}
        if self.index is not None:
            self.index = read_index(self.index.name, self._session.command("FT.INFO", self.index.name))
            count, config = self.index.count, self.index.config()
            if len(self.index.prefixes) > 1:
                count = None
        return Description(sum(1 for _ in self._keys(self.layout.keys)) if count is None else count, config)

    def kept_config(self) -> dict[str, Any]:
        """Return what is kept of the index, and whether keys have their id as a field, too."""
        config = super().kept_config()
        return {**config, "names_ids": self._names_ids} if config else config

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return the fields: the text's name as address, index or most keys have it, else the original tool's."""
        given = self.address.options.get("text") or (self.index.text() if self.index is not None else None)
        if given is not None:
            return Fields(text=given)
        found = super().find_fields(sample)
        return found if any(found.text in point.payload for point in sample) else Fields(text=self.own_text)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def _pattern(self) -> str:
        return re.sub(r"([*?\[\]\\^-])", r"\\\1", self.prefix) + "*"

    def _keys(self, kind: str | None) -> Iterator[bytes]:
        """Yield the keys of the prefix, of one type or of both, each once, whatever is written meanwhile."""
        for each in (kind,) if kind else ("hash", "json") if self.has_json else ("hash",):
            cursor: int | str = 0
            seen = Hashes()
            while True:
                words = ("SCAN", cursor, "MATCH", self._pattern, "COUNT", _SCAN, "TYPE", _TYPES[each])
                cursor, keys = self._session.command(*words)
                for key in keys:
                    if key not in seen:
                        seen.note(key)
                        yield key
                if int(cursor) == 0:
                    break

    def _has_documents(self, looks: int) -> bool:
        """Whether there are JSON documents of the prefix among the keys of the first so many looks."""
        cursor: int | str = 0
        for _ in range(looks if self.has_json else 0):
            words = ("SCAN", cursor, "MATCH", self._pattern, "COUNT", _LOOKED, "TYPE", _TYPES["json"])
            cursor, keys = self._session.command(*words)
            if keys or not int(cursor):
                return bool(keys)
        return False

    def read_points(self) -> Iterator[list[Point]]:
        """Yield all points in batches."""
        return map(self._points, self._pages())

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the points of some ids; what makes none is left out."""
        page = self._page([(self.prefix + each).encode() for each in ids])
        return self._points(page, lambda error: None)  # a scan under way has another one to report to

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield all points in batches, but for the first those of hashes as records."""
        pages = self._pages()
        first = self._points(next(pages, []))
        fields = self.name_fields(first)
        if self.layout.keys == "json":
            return chain((first,), map(self._points, pages))
        reader = HashReader(self.layout, fields)
        return chain((first,), (self._records(reader, page) for page in pages))

    def _pages(self) -> Iterator[Page]:
        """Yield all keys and what is under each, in batches."""
        batches = self._batches()
        if self.layout.keys == "json":
            yield from one_ahead((self._page(keys) for keys in batches), self.readings)
            return
        with self._session.wrapped():
            yield from hash_pages(self.client, batches, self._page)

    def _batches(self) -> Iterator[Batch]:
        """Yield all keys in batches.  The first is small: fields are named after what is under them."""
        keys, most = self._keys(self.layout.keys), SAMPLE
        while batch := list(islice(keys, most)):
            self._session.check_open()
            yield batch
            most = self.batch_points

    def _page(self, keys: Batch) -> Page:
        """Return keys and what is under each; one that is gone, or replaced by something else, is left out."""
        is_document = self.layout.keys == "json"
        with self._session.asking():
            pipe = self.client.pipeline(transaction=False)
            for key in keys:
                if is_document:
                    pipe.execute_command("JSON.GET", key)  # type: ignore[no-untyped-call]
                else:
                    pipe.hgetall(key)
            answers = pipe.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
                    raise answer
        found = zip(keys, answers, strict=True)
        return [(key, held) for key, held in found if held and not isinstance(held, Exception)]

    def _records(self, reader: HashReader, page: Page) -> list[Point | Record]:
        """Return the records of hashes, and points of those that are not plain."""
        at = len(self.prefix.encode())
        made = reader.records([key[at:] for key, _ in page], [held for _, held in page])
        found: list[Point | Record] = []
        for each, record in zip(page, made, strict=True):
            found += (record,) if record is not None else self._points([each])
        return found

    def _points(self, page: Page, report: Callable[[InvalidData], None] | None = None) -> list[Point]:
        report = report or self.tell
        found = []
        for key, held in page:
            try:
                found.append(self._point(key, held))
            except InvalidData as error:
                report(InvalidData(f"{self.address} key {key!r:.80}: {error}", code=error.code))
        return found

    def _point(self, key: bytes, answer: Any) -> Point:
        try:
            identifier = key.decode()[len(self.prefix) :]
        except UnicodeDecodeError:
            raise InvalidData("is not UTF-8, and so no id of a memory", code="not-utf8") from None
        if not identifier:
            raise InvalidData("is the prefix alone, which leaves no id", code="id-missing")
        if self.layout.keys == "json":
            return decode_json(identifier, answer, self.layout)
        return decode_hash(identifier, answer, self.layout)

    # -- writing -----------------------------------------------------------------------------------------------------

    def prepare(self, wanted: Wanted) -> None:
        """Make the index, where the server can search."""
        keys = self.address.options.get("keys") or str(wanted.config.get("keys", "hash"))
        if keys == "json" and not self.has_json:
            raise StoreError(
                f"{self.address}: the server has no JSON documents (the module ReJSON); leave keys=json out",
                code="store-schema",
            )
        layout = Layout("json" if keys == "json" else "hash", self.layout.vectors)
        self._is_there = True
        if isinstance(told := wanted.config.get("names_ids"), bool):
            self._names_ids = told
        if self.has_search:
            self._make_index(layout, wanted)
        self._set_up(layout)
        if self.index is not None and "text" not in self.address.options and (text := self.index.text()) is not None:
            self._fields = Fields(text=text)  # as everybody who opens it again reads the index

    def _make_index(self, layout: Layout, wanted: Wanted) -> None:
        name = self.address.options.get("index") or self.prefix.rstrip(":/-_.") or "vex"
        if name in self._taken:
            raise StoreError(
                f"{self.address}: there is an index {name!r:.60} over other keys; name this one with index=",
                code="store-schema",
            )
        fields, main = self.fields(), layout.vectors[MAIN].name
        reserved = fields.taken | {TYPES, main}
        spaces = {
            held: space
            for held, space in wanted.spaces.items()
            if not held or (held not in reserved and _MEMBER.fullmatch(held))
        }
        made = of_config(name, self.prefix, wanted.config, spaces) if wanted.config.get("keys") == layout.keys else None
        made = made or new_index(name, layout.keys, self.prefix, fields, spaces, main)
        self._session.command(*made.command())
        self.index = replace(read_index(name, self._session.command("FT.INFO", name)), failures=0)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points in one transaction; under keys that are there, what differs."""
        self._send(points, lambda: self._differing(points))

    def insert(self, points: Sequence[Point]) -> None:
        """Write points whose keys were not there; as ``upsert`` does where any is there by now."""
        self._tell_of_ends()

        def commands() -> Sequence[Words]:
            if self.client.exists(*(self.prefix + each.id for each in points)):
                return self._differing(points)
            return [self._whole(each) for each in points]

        self._send(points, commands)

    def _send(self, points: Sequence[Point], commands: Callable[[], Sequence[Words]]) -> None:
        """Send the commands for what is there, as one transaction; found anew where others change that meanwhile.

        Else what others wrote of a memory would be mixed with what we write of it.
        """
        from redis.exceptions import WatchError

        if not points:
            return
        with self._session.asking():
            for _ in range(_TRIES):
                with self.client.pipeline(transaction=True) as pipe, contextlib.suppress(WatchError):
                    pipe.watch(*(self.prefix + each.id for each in points))  # type: ignore[no-untyped-call]
                    found = commands()
                    pipe.multi()
                    for words in found:
                        pipe.execute_command(*words)  # type: ignore[no-untyped-call]
                    pipe.execute()
                    return
        raise StoreError(
            f"{self.address}: others change the same keys, again and again, while they are written; a part may have "
            "been written: the same command again completes it, once that has ended",
            code="store-busy",
        )

    def _differing(self, points: Sequence[Point]) -> list[Words]:
        """Return the commands that make of what is under the keys of points what these say."""
        is_document = self.layout.keys == "json"
        commands: list[Words] = []
        changes = []
        keys = [self.prefix + each.id for each in points]
        held = read_held(self.client, keys, self.address, is_document=is_document)
        for key, point, (kept, life_ms) in zip(keys, points, held, strict=True):
            if not kept:
                commands.append(self._whole(point))
            elif is_document:
                commands += document_commands(key, point, self.layout, kept, life_ms)
            else:
                changes.append((key, *hash_change(point, self.layout, kept), kept))
        ends = read_ends(self.client, changes) if self._has_field_ends else [{}] * len(changes)
        for (key, changed, gone, _), ends_ms in zip(changes, ends, strict=True):
            commands += hash_commands(key, changed, gone, ends_ms)
        return commands

    @cached_property
    def _has_field_ends(self) -> bool:
        """Whether the server lets single fields of hashes end (Redis 7.4)."""
        return self._session.unless_unknown("HPEXPIRETIME", self.prefix + "?", "FIELDS", "1", "?") is not UNKNOWN

    def _whole(self, point: Point) -> Words:
        key = self.prefix + point.id
        if self.layout.keys == "json":
            return ("JSON.SET", key, "$", encode_json(point, self.layout, names_id=self._names_ids))
        fields = encode_hash(point, self.layout, names_id=self._names_ids)
        return ("HSET", key, *chain.from_iterable(fields.items()))

    @cached_property
    def _first_keys(self) -> list[bytes]:
        """Some keys of the collection, as they were before anything was written."""
        return list(islice(self._keys(self.layout.keys), _SAMPLE))

    @cached_property
    def _names_ids(self) -> bool:
        """Whether new memories have their id as a field, too: as most of some that are there do; hashes of ours do."""
        is_document = self.layout.keys == "json"
        keys = self._first_keys
        if not keys:
            return not is_document
        at = len(self.prefix.encode())
        pipe = self.client.pipeline(transaction=False)
        for key in keys:
            words = ("JSON.GET", key, "id") if is_document else ("HGET", key, "id")
            pipe.execute_command(*words)  # type: ignore[no-untyped-call]
        found = pipe.execute(raise_on_error=False)
        wanted = [orjson.dumps(key[at:].decode(errors="replace")) if is_document else key[at:] for key in keys]
        named = [one == other for one, other in zip(found, wanted, strict=True)]
        return named.count(True) * 2 > len(keys)

    def _tell_of_ends(self) -> None:
        """Say, before the first is added, that keys here have a time to live, which new ones have not."""
        if self._told_of_ends:
            return
        self._told_of_ends = True
        keys = self._first_keys
        with self._session.asking():
            pipe = self.client.pipeline(transaction=False)
            for key in keys:
                pipe.pttl(key)
            ending = sum(life > 0 for life in pipe.execute()) if keys else 0
        if ending:
            self.address.reach.notice(
                f"{self.address}: keys of this prefix have a time to live ({ending} of the {len(keys)} looked at), "
                "which is no part of a memory: those that are added, or brought back, stay until somebody says "
                "otherwise (EXPIRE)"
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points by id."""
        if ids:
            with self._session.asking():
                self.client.delete(*(self.prefix + each for each in ids))

    def finish(self) -> None:
        """Say what searches will not find."""
        if self.index is None:
            why = "this server cannot search (it has no FT commands, or keeps them from us)"
            if self.has_search or self._session.database:
                why = "no index covers these keys" if self.has_search else "only database 0 can have an index"
            self.address.reach.notice(f"{self.address}: {why}: memories are stored and read, but not indexed")
            return
        before = self.index.failures
        self.index = read_index(self.index.name, self._session.command("FT.INFO", self.index.name))
        if self.index.failures > before:
            self.address.reach.notice(
                f"{self.address}: index {self.index.name} leaves out {self.index.failures - before} of the written "
                f"keys: {self.index.trouble}"
            )
