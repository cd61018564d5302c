"""The records of a namespace of Pinecone in pages: their ids are listed, in order, and records are fetched by id."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vexrepo.remotes.answer import Answer
from vexrepo.remotes.http import segment
from vexrepo.remotes.stores.http_store import HttpPointStore
from vexrepo.remotes.stores.json_numbers import placed, take_numbers
from vexrepo.remotes.stores.pinecone_records import read_record
from vexrepo.remotes.stores.points import Point
from vexrepo.storage.ahead import reading_ahead

if TYPE_CHECKING:
    from concurrent.futures import Future

_VALUES = b'"values":['
_PAGE = 100  # ids of one list, the most there is
_URL_BYTES = 6000  # of the ids in one fetch


class Pages:
    """What reads the records of a namespace, "" for the default one.

    ``is_sparse``: of an index of sparse vectors alone.
    """

    def __init__(self, store: HttpPointStore, namespace: str, *, is_sparse: bool) -> None:
        self._store = store
        self._namespace = namespace
        self._of_namespace = {"namespace": namespace} if namespace else {}
        self._is_sparse = is_sparse

    def read_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the records whose ids come after one, those of several requests at a time."""
        at_once = max(1, self._store.address.reach.concurrency)
        under_way: deque[Future[list[Point]]] = deque()
        with reading_ahead(at_once, self._store.readings) as pool:
            for ids in self._ids_after(last):
                under_way.append(pool.submit(self.fetch, ids))
                if len(under_way) > at_once:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

    def _ids_after(self, last: str) -> Iterator[list[str]]:
        """Yield the ids of the namespace that come after one, as many as one fetch takes."""
        query = {"limit": str(_PAGE), **self._of_namespace}
        while True:
            answer = self._store.ask("GET", "/vectors/list", query=query, also={404})
            found = answer.fields()
            if answer.status == 404:
                if found.number("code") is None:
                    raise self._store.http.nonsense(f"{answer.where} is not there, and what answers is not Pinecone")
                return  # no such namespace
            batch: list[str] = []
            size = 0
            for each in found.parts("vectors"):
                identifier = each.need_text("id")
                if identifier <= last:
                    continue
                size += len(quote(identifier, safe="")) + 5
                if batch and size > _URL_BYTES:
                    yield batch
                    batch, size = [], len(quote(identifier, safe="")) + 5
                batch.append(identifier)
            if batch:
                yield batch
            pages = found.part("pagination")
            token = None if pages is None else pages.text("next")
            if not token:
                return
            if token == query.get("paginationToken"):
                raise self._store.http.nonsense(f"{answer.where} gives the same page again and again")
            query["paginationToken"] = token

    def lists(self, identifier: str) -> bool:
        """Whether the list of ids shows one."""
        query = {"limit": "1", "prefix": identifier, **self._of_namespace}
        answer = self._store.ask("GET", "/vectors/list", query=query, also={404})
        found = [] if answer.status == 404 else answer.fields().parts("vectors")
        return any(each.text("id") == identifier for each in found)

    def find(self, ids: Sequence[str]) -> list[Point]:
        """Return the records of some ids, in as many requests as an address has room for."""
        found: list[Point] = []
        batch: list[str] = []
        size = 0
        for each in (*ids, None):
            length = 0 if each is None else len(quote(each, safe="")) + 5
            if batch and (each is None or size + length > _URL_BYTES):
                found += self.fetch(batch)
                batch, size = [], 0
            if each is not None:
                batch.append(each)
                size += length
        return found

    def fetch(self, ids: Sequence[str]) -> list[Point]:
        """Return records by id.  One that is listed and not there may come a moment later, or be gone."""
        found: dict[str, Point] = {}
        left = list(ids)
        for attempt in range(1, 4):
            query = "&".join(f"ids={quote(each, safe='')}" for each in left)
            if self._namespace:
                query += f"&namespace={segment(self._namespace)}"
            answer = self._store.ask("GET", f"/vectors/fetch?{query}")
            vectors, rows = self._read_page(answer)
            found |= {
                name: read_record(name, each, row, is_sparse=self._is_sparse)
                for (name, each), row in zip(vectors.items(), rows, strict=True)
            }
            left = [each for each in left if each not in found]
            if not left:
                break
            if attempt < 3:
                self._store.patience.sleep(0.2 * attempt)
        return [found[each] for each in ids if each in found]

    def _read_page(self, answer: Answer) -> tuple[Mapping[str, Any], Sequence[bytes | None]]:
        """Return the records of an answer by id and of each the numbers of its vector, where they were taken out."""
        taken = take_numbers(answer.body, _VALUES)
        if taken is not None:
            vectors = self._vectors(answer, taken[0])
            rows = placed(list(vectors.values()), "values", taken[1])
            if rows is not None:
                return vectors, rows
        vectors = self._vectors(answer, answer.json())
        return vectors, [None] * len(vectors)

    def _vectors(self, answer: Answer, value: Any) -> Mapping[str, Any]:
        vectors = answer.fields_of(value).part("vectors")
        if vectors is None:
            raise self._store.http.nonsense(f"{answer.where} does not answer as Pinecone does: no vectors")
        return vectors.value
