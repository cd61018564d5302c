"""Milvus: collections of a server, of Zilliz Cloud, or of a file (Milvus Lite).

``milvus://HOST:19530/COLLECTION`` and ``milvus:FILE.db?collection=COLLECTION``; the collection is ``vex_memory`` where
nothing is said.  Options: ``?tls=1``, ``?database=``; ``?text=`` and ``?vector=`` name fields; for a collection that is
to be made ``?metric=COSINE`` (or L2, IP) and ``?dims=384``, needed where no memory has a vector.  Everything is read
with strong consistency.  A collection that is not loaded is loaded to be read, and released again.
Mapping: remotes/STORES.md.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from dataclasses import replace
from threading import Lock
from typing import Any, ClassVar, Final

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import Record, key_name
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.asked_dims import no_dims, parse_dims, with_dims
from vexrepo.remotes.stores.base import Description, Plan, Written
from vexrepo.remotes.stores.milvus_config import create, read_collection
from vexrepo.remotes.stores.milvus_fields import (
    MAX_DIMS,
    MAX_ROW,
    MAX_TEXT,
    METRICS,
    Layout,
    again,
    capabilities,
    layout_of,
    new_schema,
    vector_fields,
    with_vectors,
)
from vexrepo.remotes.stores.milvus_rows import Rows, any_of, literal
from vexrepo.remotes.stores.milvus_server import PASSWORD, MilvusServer
from vexrepo.remotes.stores.milvus_twins import Key, Twins
from vexrepo.remotes.stores.point_store import Point, PointStore, Wanted, cannot_hold
from vexrepo.remotes.stores.points import Fields
from vexrepo.storage.ahead import Pool, one_ahead

_PAGE_BYTES: Final = 8 << 20  # of a page of rows with 2 KB beside their vectors; less is slow, more fragments the heap
_LOAD_S: Final = 600.0  # a large collection takes minutes
_MOST_ROWS: Final = 5_000  # of a page; the server gives 16,384
_FIRST: Final = 8  # the part of a page that is asked for first, by one who does not know yet of how many segments
# Rows in the order of their keys, none left out; vectors as arrays.
_BY_KEY: Final = {"reduce_stop_for_best": "True", "strict_float32": True}


class MilvusStore(PointStore):
    """The connector of one collection."""

    kind: ClassVar[str] = "milvus"
    secrets: ClassVar[Mapping[str, str]] = {PASSWORD: "USER:PASSWORD or the key of the Milvus server"}
    options: ClassVar[frozenset[str]] = frozenset({"collection", "database", "dims", "metric", "text", "tls", "vector"})
    resumes: ClassVar[bool] = True
    shows_late: ClassVar[bool] = True
    writes_at_once: ClassVar[bool] = True
    batch_points: ClassVar[int] = 1000
    batch_bytes: ClassVar[int] = 16 << 20
    can = capabilities(None)

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self.server = MilvusServer(address)
        self._schema: dict[str, Any] | None = None
        self._number = 0  # by which the server knows the collection
        self._layout: Layout | None = None
        self._is_known = self._is_ours_to_release = False
        self._is_loaded = False
        self._loading: Future[None] | None = None
        self._writing = Lock()
        self._metric = address.options.get("metric", METRICS[0]).upper()
        if self._metric not in METRICS:
            raise UsageError(
                f"{address}: metric is {self._metric!r:.40}, expected one of {', '.join(METRICS)}", code="bad-address"
            )
        self._dims = parse_dims(address, MAX_DIMS)

    def _ask(self, what: str, *args: Any, **more: Any) -> Any:
        """Ask the server something about the collection."""
        with self.server.asking():
            asked = getattr(self.server.client, what)
            return asked(self.server.collection, *args, timeout=self.server.timeout_s, **more)

    # -- what there is -----------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the collection is there; asked once."""
        if not self._is_known:
            self._look()
        return self._schema is not None

    def _look(self) -> None:
        """Ask what the collection is like now."""
        self._schema = None
        if self.server.is_there and self._ask("has_collection"):
            self._schema, self._number = read_collection(self.server)
            self._take(self._schema)
        elif self.server.is_there:
            self.can = capabilities(None, has_several=self.server.has_several)
        self._is_known = True

    def _take(self, schema: Mapping[str, Any]) -> None:
        """Take the layout of a schema."""
        found = layout_of(schema, self.address.options.get("vector"))
        if isinstance(found, str):
            raise StoreError(f"{self.address} {found}", code="store-schema")
        self._layout = found
        self.can = capabilities(found, has_several=self.server.has_several)

    @property
    def layout(self) -> Layout:
        """The layout of the collection, which is there or is known to be made."""
        assert self._layout is not None
        return self._layout

    def _load(self) -> None:
        """See that the collection is in the server's memory, where alone it can be read."""
        begun, self._loading = self._loading, None
        if begun is not None:
            begun.result()
        if not self._is_loaded:
            self._load_now()

    def _load_now(self) -> None:
        state = self._ask("get_load_state")["state"]
        if getattr(state, "name", "") != "Loaded":
            try:
                with self.server.asking():
                    longest_s = max(_LOAD_S, self.server.timeout_s)
                    self.server.client.load_collection(self.server.collection, timeout=longest_s)
            except StoreError as error:
                raise StoreError(
                    f"{error}; a collection must be in the server's memory to be read: does each of its vectors have "
                    "an index, and is there room?",
                    code=error.code,
                ) from error
            self._is_ours_to_release = True
        self._is_loaded = True

    @property
    def outlasts_readings(self) -> bool:
        """Whether the engine would go under a page that is read: that of a file would."""
        return self.address.is_path

    def close(self) -> None:
        """End what is read, and the connection; what was loaded for us is released."""
        super().close()
        if self._is_ours_to_release:
            with suppress(StoreError):
                self._ask("release_collection")
        self.server.close()

    def describe(self) -> Description:
        """Return the exact count and how the collection is set up."""
        self._look()
        if self._schema is None:
            return Description(0)
        return Description(self._count(), self._schema)

    def _count(self, of: str = "") -> int:
        self._load()
        found = self._ask("query", filter=of, output_fields=["count(*)"], consistency_level="Strong")
        return int(found[0]["count(*)"])

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that the collection has fields for."""
        self.exists()
        return {each.space.name: each.space for each in self.layout.vectors}

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return the fields: the text's name as the address says, as the schema has it, or as most rows do."""
        given = self.address.options.get("text") or (self._layout.text if self._layout is not None else None)
        return Fields(text=given) if given else super().find_fields(sample)

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield the points in the order of their keys; then say which keys several rows have."""
        return self._points(None)

    def read_points_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the points whose keys come after one."""
        return self._points(last)

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the rows of some keys."""
        self._load()
        key, rows = self.layout.key, Rows(self.layout)
        keys: list[str | int] = [int(each) for each in ids] if key.type == "INT64" else list(ids)
        how = {"output_fields": self.layout.read_fields, "consistency_level": "Strong"}
        found = self._ask("query", filter=any_of(key.name, keys), **how)
        return [rows.point(each, str(self.address)) for each in found]

    def _points(self, last: str | None) -> Iterator[list[Point]]:
        """Yield points; the next page is on its way while one is worked on."""
        self._load()
        rows, where, key = Rows(self.layout), str(self.address), self.layout.key.name
        after = "" if last is None else f"{key} > {literal(int(last) if self.layout.key.type == 'INT64' else last)}"
        twins = Twins(key, after, self._count, self._keys)
        for page in one_ahead(self._pages(after), self.readings):
            twins.saw([each[key] for each in page])
            yield [rows.point(each, where) for each in page]
        if not self.address.is_path:  # Milvus Lite replaces rows of a key
            for each in twins.find():
                self._is_there_twice(f"the {key} {each!r:.80}")
            if twins.has_more:
                self._is_there_twice("others")

    def _is_there_twice(self, what: str) -> None:
        self.tell(
            InvalidData(
                f"{self.address} has more than one row of {what}, and Milvus shows one of them (insert adds to a row "
                "that is there): write that memory once more with upsert, which replaces both; or take what is shown: "
                "vex export with --on-error skip, then vex import the file into the collection",
                code="duplicate-key",
            )
        )

    def _keys(self, of: str) -> list[Key]:
        """Return the keys of a page, in order."""
        name, how = self.layout.key.name, self._reading()
        found = self._ask("query", filter=of, limit=2 * _MOST_ROWS, output_fields=[name], **how)
        return [each[name] for each in found]

    def _pages(self, after: str) -> Generator[Any, None, None]:
        """Yield pages of rows, all or those that an expression is true of."""
        key, how = self.layout.key.name, self._reading()
        width = sum(4 * each.space.dims or 1024 for each in self.layout.vectors) + 2048
        most = max(1, min(_MOST_ROWS, _PAGE_BYTES // width))
        limit = max(1, most // _FIRST)
        while True:
            try:
                found = self._ask("query", filter=after, limit=limit, output_fields=self.layout.read_fields, **how)
            except StoreError as error:
                if error.code != "store-limit" or limit == 1:
                    raise
                limit = most = max(1, limit // 4)
                continue
            if not found:
                return
            moment = found.extra.get("iterator_session_ts") or 0
            if "iterator" in how and moment > 0:
                how["guarantee_timestamp"] = moment  # the pages that follow are of the same
            if after == (after := f"{key} > {literal(found[-1][key])}"):
                raise StoreError(f"{self.address} gives the same rows again and again", code="store-answer")
            # Each segment of a collection gives as many as asked for, and those of a new one are many.
            limit = max(1, limit * most // max(limit, len(found)))
            yield found

    def _reading(self) -> dict[str, Any]:
        """Return how pages are asked for: in the order of their keys, with everything that was written until now.

        Servers from 2.4 on keep that order only for what calls itself an iterator, and for those the client takes the
        collection's own consistency, whatever it is told: so a request that waits for all writes goes before.
        """
        if not self.server.has_several:
            return {"consistency_level": "Strong", **_BY_KEY}
        self._ask("query", filter="", limit=1, output_fields=[self.layout.key.name], consistency_level="Strong")
        return {"iterator": "True", "collection_id": self._number, **_BY_KEY}

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> Written:
        """Bring the collection to a plan.

        Raises: StoreError (store-cannot-hold) also for a collection whose rows cannot be replaced.
        """
        if not self.exists():
            if plan.config.get("fields"):
                self._take(again(plan.config))
        elif self.layout.trouble:
            raise StoreError(
                f"{self.address} {self.layout.trouble}; nothing was written: it can only be read, and what is "
                "committed of it be checked out into a collection of another name (vex checkout REV --to STORE)",
                code="store-cannot-hold",
            )
        return super().write(replace(plan, upserts=lambda: map(self._sized, plan.upserts())))

    def _sized(self, record: Record) -> Record:
        """Return a record that one request has room for.  Raises: StoreError (store-cannot-hold)."""
        size = len(record.body) + sum([len(item.row) * 4 // 3 for item in record.vectors])
        if size > MAX_ROW:
            raise cannot_hold(self, key_name(record.key), f"it has {size:,} bytes, and a request takes {MAX_ROW:,}")
        return record

    def checks_points(self) -> bool:
        """Whether a memory may find no room: each does in a collection of ours."""
        return self._layout is not None and not self._layout.has_room

    def check_point(self, point: Point) -> None:
        """Raise StoreError (store-cannot-hold) for a point that fits no row."""
        if self._layout is not None:
            try:
                Rows(self._layout).row(point)
            except StoreError as error:
                raise StoreError(
                    f"{self.address} cannot hold {error}; nothing was written: write into a collection that vex makes "
                    f"(another name), or give this one a field _vex, an array of VARCHAR({MAX_TEXT})",
                    code=error.code,
                ) from None

    def prepare(self, wanted: Wanted) -> None:
        """Make the collection with its indexes, and begin to load it."""
        spaces = with_dims(wanted.spaces, self._dims, self.address)
        config = wanted.config
        schema = again(config) if config.get("fields") else new_schema(self.fields().text, self._metric)
        schema = with_vectors(schema, spaces, self._metric)
        if not vector_fields(schema):
            raise no_dims(self.address, MAX_DIMS)
        create(self.server, schema)
        self._is_known = False
        self._look()
        if self.address.is_path:
            self._load_new()
        else:  # a server takes a second or more, and takes rows meanwhile
            pool = Pool(1)
            self.readings.add(pool)
            self._loading = pool.submit(self._load_new)

    def _load_new(self) -> None:
        """Load a collection that was made; it stays loaded."""
        self._load_now()
        self._is_ours_to_release = False

    def finish(self) -> None:
        """Wait until a collection that was made is loaded."""
        if self._loading is not None:
            self._load()

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing rows of their keys whole."""
        rows = Rows(self.layout)
        made = [rows.row(each) for each in points]
        with self._writing if self.address.is_path else nullcontext():  # a file takes one at a time
            self._ask("insert" if self.server.merges else "upsert", made)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points."""
        key = self.layout.key
        keys: list[str | int] = [int(each) for each in ids] if key.type == "INT64" else list(ids)
        self._ask("delete", filter=any_of(key.name, keys))
