"""OpenSearch and Elasticsearch: documents of one index behind their HTTP interface.

``opensearch://[USER@]HOST:9200/INDEX`` and ``elasticsearch://…``; where the server is below a path,
``opensearch://HOST/PATH/INDEX``.  Options: ``text``, ``vector`` (which fields those are), ``tls``; for an index that is
to be made ``similarity`` and ``dynamic=1`` (index every member of the metadata).  All documents are read at one point
in time, in the order of the shards; they are written in bulk, each outcome looked at.  Mapping: remotes/STORES.md.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, Final, TypeAlias

import numpy as np
import orjson

from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space, Vector, pack_numbers
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.http import Credential, segment
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.exact_vectors import Found, exact_vector, single_vectors, with_exact
from vexrepo.remotes.stores.http_store import KEY, HttpPointStore
from vexrepo.remotes.stores.payload_records import PayloadReader, Plain
from vexrepo.remotes.stores.point_store import Point, Wanted
from vexrepo.remotes.stores.points import RESERVED, TEXTS, Fields
from vexrepo.remotes.stores.search_mapping import (
    SIMILARITIES,
    Flavour,
    VectorField,
    capabilities,
    creation,
    main_field,
    read_settings,
    read_vectors,
    reserved_mapping,
)
from vexrepo.storage.ahead import one_ahead

Hit: TypeAlias = dict[str, Any]

PASSWORD: Final = "password"
_INDEX: Final = re.compile(r"(?![-_+.])[^A-Z\\/*?\"<>| ,#:\0]{1,255}")
_NUMBERS: Final = frozenset((int, float))
_KEEP_ALIVE: Final = "5m"  # between two pages
_MOST_POINTS: Final = 1000  # of one page
_PAGE_BYTES: Final = 16 << 20
_BUSY: Final = frozenset((429, 503))
_VECTORS_APART: Final = (9, 2)  # since this version of Elasticsearch vectors are no part of what is given back unasked


@dataclass(eq=False, slots=True)
class _Search:
    """What the server keeps of a search between two pages: a point in time or, of an older one, a scroll."""

    moment: str | None
    scroll: str | None = None


class OpenSearchStore(HttpPointStore):
    """The connector of one index."""

    kind: ClassVar[str] = "opensearch"
    flavour: ClassVar[Flavour] = "opensearch"
    port: ClassVar[int] = 9200
    secrets: ClassVar[Mapping[str, str]] = {PASSWORD: "the password of the OpenSearch server"}
    key_hint: ClassVar[str] = (
        "give the password as OPENSEARCH_PASSWORD, the user in the address: opensearch://USER@HOST:9200/INDEX"
    )
    shows_late: ClassVar[bool] = True
    batch_points: ClassVar[int] = 500
    batch_bytes: ClassVar[int] = 3 << 20  # numbers are up to three times as long in JSON; a request has up to 10 MB
    options: ClassVar[frozenset[str]] = frozenset({"text", "tls", "vector", "similarity", "dynamic"})
    can: Capabilities = capabilities("opensearch", None, {}, "vector")

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        user, at, self.host = self.host.rpartition("@")
        self._user = user if at else ""
        self._info: dict[str, Any] | None = None
        self._is_known = False
        self._vectors: dict[str, VectorField] = {}
        self._routes: dict[str, str] = {}
        self._similarity = self._one_of("similarity", SIMILARITIES[self.flavour])
        self._is_dynamic = self._one_of("dynamic", ("0", "1")) == "1"

    def _one_of(self, option: str, values: tuple[str, ...]) -> str:
        found = self.address.options.get(option, values[0])
        if found not in values:
            raise UsageError(
                f"{self.address}: {option} is {found!r:.40}, expected one of {', '.join(values)}", code="bad-address"
            )
        return found

    @property
    def collection(self) -> str:
        """The name of the index.  Raises: UsageError (bad-address)."""
        name = super().collection.rpartition("/")[2]
        if not _INDEX.fullmatch(name):
            raise UsageError(
                f"{self.address}: an index's name has 1 to 255 characters, no capitals, none of \\/*?\"<>|,#: or a "
                "blank, and does not begin with - _ + .",
                code="bad-address",
            )
        return name

    @cached_property
    def _above(self) -> str:
        return "".join(f"/{segment(each)}" for each in self.path.split("/")[:-1] if each)

    @property
    def _path(self) -> str:
        return f"{self._above}/{segment(self.collection)}"

    def has_secret(self) -> bool:
        """Whether something is sent that must not go in the clear."""
        return bool(self.address.secret(PASSWORD))

    def credential(self) -> Credential | None:
        """Return who asks: the user with the password."""
        password = self.address.secret(PASSWORD)
        return Credential.basic(self._user or "admin", password) if password else None

    # -- what there is -----------------------------------------------------------------------------------------------

    def collection_words(self) -> str:
        """Return what the collection is called to people."""
        return f"index {self.address}"

    def exists(self) -> bool:
        """Whether the index is there; asked once."""
        if not self._is_known:
            self._look()
        return self._info is not None

    def _look(self) -> None:
        answer = self.ask("GET", self._path, also={404})
        found = answer.fields()
        if answer.status == 404:
            if found.value.get("error") is None or found.value.get("status") != 404:
                raise self.http.nonsense(f"{answer.where} is not there, and what answers is not {self._words}")
            self._take(None)
        else:
            indexes = found.value
            if len(indexes) != 1:
                raise StoreError(
                    f"{self.address} stands for {len(indexes)} indexes ({', '.join(sorted(indexes)):.200}); name one",
                    code="store-schema",
                )
            (info,) = indexes.values()
            if not isinstance(info, dict) or not isinstance(info.get("mappings"), dict):
                raise self.http.nonsense(f"{answer.where} does not answer as {self._words} does: no mappings")
            self._take(info)
        self._is_known = True

    @property
    def _words(self) -> str:
        return "OpenSearch" if self.flavour == "opensearch" else "Elasticsearch"

    def _take(self, info: dict[str, Any] | None) -> None:
        self._info = info
        wanted = self.address.options.get("vector")
        mappings: dict[str, Any] | None = None
        fields: dict[str, VectorField] = {}
        if info is not None:
            mappings = dict(info["mappings"])
            fields = read_vectors(mappings, (info.get("settings") or {}).get("index") or {})
        self._main = main_field(fields, wanted)
        self._vectors = {MAIN if name == self._main else name: each for name, each in fields.items()}
        self.can = capabilities(self.flavour, mappings, self._vectors, self._main)

    @property
    def _mappings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self._info or {}).get("mappings") or {}
        return found

    def describe(self) -> Description:
        """Return the count, of what can be searched now, and how the index is set up."""
        self._look()
        if self._info is None:
            return Description(0)
        self._refresh()
        count = self.ask("GET", f"{self._path}/_count").fields().number("count")
        if count is None:
            raise self.http.nonsense(f"{self.address} does not answer as {self._words} does: no count")
        return Description(
            count, {"mappings": self._info["mappings"], "settings": read_settings(self._info.get("settings") or {})}
        )

    def _refresh(self) -> None:
        """Make visible what was written; some keys may not say so, and then it is visible a second later."""
        self.ask("POST", f"{self._path}/_refresh", also={400, 403, 404, 405, 410}, can_repeat=True)

    def held_spaces(self) -> Mapping[str, Space] | None:
        """Return the vectors that the index is set up for."""
        self.exists()
        return {name: Space(name, "dense", None, each.dims, "f32") for name, each in self._vectors.items() if each.dims}

    def find_fields(self, sample: Sequence[Point]) -> Fields:
        """Return the fields: the text's name as the address or most documents have it, else as the mapping does."""
        found = super().find_fields(sample)
        if "text" in self.address.options or any(found.text in point.payload for point in sample):
            return found
        mapped = self._mappings.get("properties") or {}
        return Fields(text=next((name for name in TEXTS if name in mapped), found.text))

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_points(self) -> Iterator[list[Point]]:
        """Yield the documents as they are at one point in time."""
        return map(self._points, one_ahead(self._pages(), self.readings))

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield the documents as they are at one point in time, but for the first page those of ours as records."""
        pages = one_ahead(self._pages(), self.readings)
        first = self._points(next(pages, []))
        reader = PayloadReader(self.name_fields(first))
        return chain((first,), (self._records(reader, page) for page in pages))

    def _pages(self) -> Generator[list[Hit], None, None]:
        """Yield what is found at one point in time, in pages, of which the first is small."""
        self._check_source()
        self._refresh()
        search = _Search(self._open())
        after: list[Any] | None = None
        size = 64
        try:
            while True:
                body: dict[str, Any] = {"size": size, "track_total_hits": False, **self._wanted_source()}
                if search.moment is not None:
                    body |= {"pit": {"id": search.moment, "keep_alive": _KEEP_ALIVE}, "sort": ["_shard_doc"]}
                    if after is not None:
                        body["search_after"] = after
                    answer = self.ask("POST", f"{self._above}/_search", body=body, also={400}, can_repeat=True)
                    if answer.status == 400 and after is None:  # before OpenSearch 3.3 it has no such order
                        self._forget(search)
                        search.moment = None
                        continue
                    self._need(answer)
                elif search.scroll is None:
                    del body["track_total_hits"]
                    body["sort"] = ["_doc"]
                    query = {"scroll": _KEEP_ALIVE}
                    answer = self.ask("POST", f"{self._path}/_search", query=query, body=body, can_repeat=True)
                else:  # asked again, it would leave out what the lost answer had
                    body = {"scroll": _KEEP_ALIVE, "scroll_id": search.scroll}
                    answer = self.ask("POST", f"{self._above}/_search/scroll", body=body, can_repeat=False)
                found = answer.fields()
                self._check_whole(answer, found.value)
                hits = found.part("hits")
                rows = [] if hits is None else hits.objects("hits")
                if not rows:
                    return
                last, length = rows[-1].get("sort"), len(answer.body)
                if search.moment is None:
                    search.scroll = found.need_text("_scroll_id")
                else:
                    search.moment = found.text("pit_id") or search.moment
                del answer, found, hits  # not held while the next page is on its way
                yield rows
                if search.moment is None:
                    continue
                former, after = after, last
                if not after or after == former:
                    raise self.http.nonsense(f"{self.address} gives the same page again and again")
                size = max(1, min(_MOST_POINTS, 2 * size, size * _PAGE_BYTES // max(1, length)))
        finally:
            self._forget(search)

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the documents of some ids, of those that can be searched now."""
        body = {"size": len(ids), "query": {"ids": {"values": list(ids)}}, **self._wanted_source()}
        answer = self.ask("POST", f"{self._path}/_search", body=body, can_repeat=True)
        found = answer.fields()
        self._check_whole(answer, found.value)
        hits = found.part("hits")
        return [] if hits is None else [self._point(each.value) for each in hits.parts("hits")]

    def _check_source(self) -> None:
        """Raise StoreError (store-schema) for an index that does not give back what it was given."""
        source = self._mappings.get("_source")
        if isinstance(source, dict) and (
            source.get("enabled") in (False, "false") or source.get("excludes") or source.get("includes")
        ):
            raise StoreError(
                f"{self.address} does not keep its documents whole (_source is {orjson.dumps(source).decode():.80}); "
                "reindex it with _source, or read where it came from",
                code="store-schema",
            )

    def _wanted_source(self) -> dict[str, Any]:
        return {}

    def _open(self) -> str | None:
        """Return a new point in time, None where the server has none."""
        answer = self.ask(
            "POST",
            f"{self._path}/_search/point_in_time",
            query={"keep_alive": _KEEP_ALIVE},
            also={400, 403, 404, 405},
            can_repeat=True,
        )
        return answer.fields().text("pit_id") if answer.status == 200 else None

    def _forget(self, search: _Search) -> None:
        """Let the server forget a search; where it cannot be told, it forgets by itself after some minutes."""
        with contextlib.suppress(StoreError):
            if search.moment is not None:
                self._end(search.moment)
            if search.scroll is not None:
                self.ask("DELETE", f"{self._above}/_search/scroll", body={"scroll_id": search.scroll}, also={404})

    def _end(self, point_in_time: str) -> None:
        self.ask("DELETE", f"{self._above}/_search/point_in_time", body={"pit_id": [point_in_time]}, also={404})

    def _need(self, answer: Answer) -> None:
        if answer.status == 400:
            raise StoreError(f"{answer.where} does not take a search: {_reason(answer)}", code="store-answer")

    def _check_whole(self, answer: Answer, value: Mapping[str, Any]) -> None:
        """Raise StoreError (store-busy) where some shards did not answer: what they have would seem forgotten."""
        shards = value.get("_shards")
        failed = shards.get("failed") if isinstance(shards, dict) else 0
        if failed or value.get("timed_out") is True:
            raise StoreError(
                f"{answer.where}: {failed or 'some'} of the shards of {self.address} did not answer; nothing was read "
                "of them: see _cluster/health, then run the command again",
                code="store-busy",
            )

    def _points(self, hits: Sequence[Hit]) -> list[Point]:
        return [self._point(hit) for hit in hits]

    def _records(self, reader: PayloadReader, hits: Sequence[Hit]) -> list[Point | Record]:
        """Return the records of documents, and points of those that are not plain."""
        numbers = [self._numbers(hit) for hit in hits]
        made = reader.records_of(hits, numbers, self._plain, loses=True)  # what was more is carried
        return [self._point(hit) if record is None else record for hit, record in zip(hits, made, strict=True)]

    def _plain(self, hit: Hit, row: bytes | None) -> Plain:
        return Plain(hit["_id"], self._without_vector(hit["_source"]), row)

    def _without_vector(self, source: Mapping[str, Any]) -> dict[str, Any]:
        payload = dict(source)
        if MAIN in self._vectors:
            payload.pop(self._vectors[MAIN].name, None)
        return payload

    def _numbers(self, hit: Hit) -> list[Any] | None:
        """Return the main vector's numbers of a document of ours, [] for none; None of one that is not plain."""
        source, main = hit.get("_source"), self._vectors.get(MAIN)
        if not isinstance(source, dict) or RESERVED not in source or not isinstance(hit.get("_id"), str):
            return None
        if "_routing" in hit or any(each.name in source for each in self._vectors.values() if each is not main):
            return None
        if main is None or main.name not in source:
            return []
        numbers = source[main.name]
        is_right = isinstance(numbers, list) and numbers and _NUMBERS.issuperset(map(type, numbers))
        return numbers if is_right else None

    def _point(self, hit: Hit) -> Point:
        identifier, source = hit.get("_id"), hit.get("_source")
        if not isinstance(identifier, str) or not isinstance(source, dict):
            raise self.http.nonsense(f"{self.address}: a document has no id, or is not given back")
        if isinstance(hit.get("_routing"), str):
            self._routes[identifier] = str(hit["_routing"])
        found: list[Found] = []
        for name, each in self._vectors.items():
            numbers = source.get(each.name)
            if isinstance(numbers, list) and numbers and set(map(type, numbers)) <= _NUMBERS:
                del source[each.name]
                found.append(_vector(name, numbers, each.name, is_ours=RESERVED in source))
            elif numbers is not None:
                raise InvalidData(
                    f"{self.address} document {identifier!r:.80}: field {each.name!r:.60} has something else than "
                    "numbers in it",
                    code="vector-type",
                )
        return Point(identifier, with_exact(source, found, []), single_vectors(found))

    # -- writing -----------------------------------------------------------------------------------------------------

    def prepare(self, wanted: Wanted) -> None:
        """Make the index."""
        main = self.address.options.get("vector") or self._main
        body = creation(
            self.flavour, wanted.spaces, wanted.config, self.fields(), main, self._similarity, self._is_dynamic
        )
        answer = self.ask("PUT", self._path, body=body, also={400}, can_repeat=False)
        if answer.status == 400:
            raise StoreError(f"{answer.where} does not make the index: {_reason(answer)}", code="store-answer")
        self._look()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Make sure that what is carried is neither indexed nor refused."""
        if self._info is not None and (added := reserved_mapping(self._mappings)) is not None:
            self.ask("PUT", f"{self._path}/_mapping", body=added)
        yield

    def upsert(self, points: Sequence[Point]) -> None:
        """Write documents; they are kept when this returns, and found after ``finish``."""
        lines = []
        for point in points:
            document = dict(point.payload)
            for space, row in point.vectors:
                document[self._vectors[space.name].name] = np.frombuffer(row, "<f4")
            action = orjson.dumps({"index": self._action(point.id)})
            lines.append(b"%s\n%s\n" % (action, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)))
        self._bulk(lines)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove documents."""
        self._bulk([orjson.dumps({"delete": self._action(each)}) + b"\n" for each in ids])

    def _action(self, identifier: str) -> dict[str, str]:
        route = self._routes.get(identifier)
        return {"_id": identifier} if route is None else {"_id": identifier, "routing": route}

    def _bulk(self, lines: Sequence[bytes]) -> None:
        """Do some actions; those that the server had no room for are done again after a while."""
        left, attempt = list(lines), 1
        headers = {"Content-Type": "application/x-ndjson"}
        while left:
            answer = self.ask("POST", f"{self._path}/_bulk", body=b"".join(left), headers=headers, can_repeat=True)
            items = answer.fields().parts("items")
            if len(items) != len(left):
                raise self.http.nonsense(f"{answer.where} answers {len(items)} of {len(left)} actions")
            again, wrong = [], []
            for line, item in zip(left, items, strict=True):
                (outcome,) = item.value.values() if len(item.value) == 1 else ({},)
                status = outcome.get("status") if isinstance(outcome, dict) else None
                if status in _BUSY:
                    again.append(line)
                elif type(status) is not int or not (status < 300 or ("delete" in item.value and status == 404)):
                    wrong.append((status, outcome))
            if wrong:
                raise self._refused(answer, wrong)
            if again:
                wait_s = self.patience.wait_s(attempt, None)
                if wait_s is None:
                    raise StoreError(
                        f"{answer.where} has no room for {len(again)} documents; run the command again later: it goes "
                        "on where it stopped",
                        code="store-busy",
                    )
                self.patience.sleep(wait_s)
            left, attempt = again, attempt + 1

    def _refused(self, answer: Answer, wrong: Sequence[tuple[Any, Any]]) -> StoreError:
        status, outcome = wrong[0]
        outcome = outcome if isinstance(outcome, dict) else {}
        error = outcome.get("error")
        said = _said(error) if isinstance(error, dict) else str(error)
        code = {400: "store-cannot-hold", 401: "store-refused", 403: "store-refused"}.get(status, "store-answer")
        return StoreError(
            f"{answer.where} does not take {len(wrong)} documents, the first {outcome.get('_id')!r:.80}: {said} "
            f"({status}); the others of this request were written: mend it, then run the command again",
            code=code,
        )

    def finish(self) -> None:
        """Make what was written visible."""
        self._refresh()


class ElasticsearchStore(OpenSearchStore):
    """The connector of one index of Elasticsearch."""

    kind: ClassVar[str] = "elasticsearch"
    flavour: ClassVar[Flavour] = "elasticsearch"
    secrets: ClassVar[Mapping[str, str]] = {
        KEY: "the API key of Elasticsearch",
        PASSWORD: "the password of Elasticsearch",
    }
    key_hint: ClassVar[str] = (
        "give an API key as ELASTICSEARCH_API_KEY, or a password as ELASTICSEARCH_PASSWORD and the user in the address"
    )
    can: Capabilities = capabilities("elasticsearch", None, {}, "vector")

    def has_secret(self) -> bool:
        """Whether something is sent that must not go in the clear."""
        return bool(self.address.secret(KEY)) or super().has_secret()

    def credential(self) -> Credential | None:
        """Return who asks: the API key, else the user with the password."""
        if key := self.address.secret(KEY):
            return Credential.of(key, scheme="ApiKey")
        password = self.address.secret(PASSWORD)
        return Credential.basic(self._user or "elastic", password) if password else None

    @cached_property
    def _version(self) -> tuple[int, int]:
        """The server's version; a serverless one, which says an old one, is the newest."""
        answer = self.ask("GET", self._above or "/", also={403})
        version = answer.fields().part("version") if answer.status == 200 else None
        if version is None or version.value.get("build_flavor") == "serverless":
            return _VECTORS_APART
        match = re.match(r"(\d+)\.(\d+)", str(version.value.get("number")))
        return (int(match[1]), int(match[2])) if match else (0, 0)

    def _wanted_source(self) -> dict[str, Any]:
        return {"_source": {"exclude_vectors": False}} if self._version >= _VECTORS_APART else {}

    def _open(self) -> str | None:
        query = {"keep_alive": _KEEP_ALIVE}
        answer = self.ask("POST", f"{self._path}/_pit", query=query, also={400, 403, 404, 405}, can_repeat=True)
        return answer.fields().text("id") if answer.status == 200 else None

    def _end(self, point_in_time: str) -> None:
        self.ask("DELETE", f"{self._above}/_pit", body={"id": point_in_time}, also={404})


def _vector(name: str, numbers: list[Any], place: str, *, is_ours: bool) -> Found:
    """Return a vector: its numbers are those of single precision however they are printed, unless they have more.

    In a document of ours they never have: what was more is carried.
    """
    row = _single(numbers, is_ours=is_ours)
    if row is None:
        dtype, row = pack_numbers(numbers)
        if dtype == "f64":
            return exact_vector(name, row, "<f8", place)
    return Found(Vector(Space(name, "dense", None, len(numbers), "f32"), row), None)


def _single(numbers: list[Any], *, is_ours: bool) -> bytes | None:
    """Return numbers of single precision, printed shortly or in full, as such: most are, and this is quick."""
    values = np.array(numbers, "<f8")
    with np.errstate(over="ignore"):
        single = values.astype("<f4")
    if not np.isfinite(single).all():
        return None
    if is_ours:
        return single.tobytes()
    is_short = orjson.loads(orjson.dumps(single, option=orjson.OPT_SERIALIZE_NUMPY)) == numbers
    return single.tobytes() if is_short or np.array_equal(single.astype("<f8"), values) else None


def _reason(answer: Answer) -> str:
    try:
        error = answer.fields().value.get("error")
    except StoreError:
        error = None
    return _said(error) if isinstance(error, dict) else answer.words() or "no reason given"


def _said(error: Mapping[str, Any]) -> str:
    """Return what an error says, with its cause."""
    cause = error.get("caused_by")
    words = [str(each.get("reason")) for each in (error, cause) if isinstance(each, dict) and each.get("reason")]
    return ": ".join(words)[:300] or str(error.get("type"))
