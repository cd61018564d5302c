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
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, Final

import orjson

from vexrepo.errors import StoreError, UsageError
from vexrepo.objects.record import Record
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.http import Credential, segment
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description
from vexrepo.remotes.stores.capabilities import Capabilities
from vexrepo.remotes.stores.http_store import KEY, HttpPointStore
from vexrepo.remotes.stores.opensearch_bulk import Bulk
from vexrepo.remotes.stores.opensearch_documents import Documents, Hit
from vexrepo.remotes.stores.opensearch_errors import reason
from vexrepo.remotes.stores.opensearch_mapping import (
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
from vexrepo.remotes.stores.opensearch_pages import VECTORS_APART, ElasticsearchPages, Pages
from vexrepo.remotes.stores.payload_records import PayloadReader
from vexrepo.remotes.stores.point_store import Point, Wanted
from vexrepo.remotes.stores.points import TEXTS, Fields
from vexrepo.storage.ahead import one_ahead

PASSWORD: Final = "password"
_INDEX: Final = re.compile(r"(?![-_+.])[^A-Z\\/*?\"<>| ,#:\0]{1,255}")


class OpenSearchStore(HttpPointStore):
    """The connector of one index."""

    kind: ClassVar[str] = "opensearch"
    names_text: ClassVar[bool] = True
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
        self._doubles: set[str] = set()
        similarities = SIMILARITIES[self.flavour]
        self._similarity = address.choice("similarity", similarities) or similarities[0]
        self._is_dynamic = bool(address.flag("dynamic"))

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

    @property
    def _path(self) -> str:
        return f"{self.above}/{segment(self.collection)}"

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
        return map(self._documents.points, one_ahead(self._hits(), self.readings))

    def read_records(self) -> Iterator[Sequence[Point | Record]]:
        """Yield the documents as they are at one point in time, but for the first page those of ours as records."""
        pages = one_ahead(self._hits(), self.readings)
        documents = self._documents
        first = documents.points(next(pages, []))
        reader = PayloadReader(self.name_fields(first))
        return chain((first,), (documents.records(reader, page) for page in pages))

    @property
    def _documents(self) -> Documents:
        return Documents(self, self._vectors, self._routes, self._doubles)

    @property
    def _pages(self) -> Pages:
        return Pages(self, self.above, self._path)

    def _hits(self) -> Generator[list[Hit], None, None]:
        self._check_source()
        self._refresh()
        yield from self._pages.read()

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        """Return the documents of some ids, of those that can be searched now."""
        return self._documents.points(self._pages.find(ids))

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

    # -- writing -----------------------------------------------------------------------------------------------------

    def prepare(self, wanted: Wanted) -> None:
        """Make the index."""
        main = self.address.options.get("vector") or self._main
        body = creation(
            self.flavour, wanted.spaces, wanted.config, self.fields(), main, self._similarity, self._is_dynamic
        )
        answer = self.ask("PUT", self._path, body=body, also={400}, can_repeat=False)
        if answer.status == 400:
            raise StoreError(f"{answer.where} does not make the index: {reason(answer)}", code="store-answer")
        self._look()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Make sure that what is carried is neither indexed nor refused."""
        if self._info is not None and (added := reserved_mapping(self._mappings)) is not None:
            self.ask("PUT", f"{self._path}/_mapping", body=added)
        yield

    @property
    def _bulk(self) -> Bulk:
        return Bulk(self, self._path, self._vectors, self._routes, frozenset(self._doubles))

    def upsert(self, points: Sequence[Point]) -> None:
        """Write documents; they are kept when this returns, and found after ``finish``."""
        self._bulk.index(points)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove documents."""
        self._bulk.delete(ids)

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
        answer = self.ask("GET", self.above or "/", also={403})
        version = answer.fields().part("version") if answer.status == 200 else None
        if version is None or version.value.get("build_flavor") == "serverless":
            return VECTORS_APART
        match = re.match(r"(\d+)\.(\d+)", str(version.value.get("number")))
        return (int(match[1]), int(match[2])) if match else (0, 0)

    @property
    def _pages(self) -> Pages:
        return ElasticsearchPages(self, self.above, self._path, self._version)
