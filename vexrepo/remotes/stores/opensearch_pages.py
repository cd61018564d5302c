"""The documents of an index of OpenSearch or Elasticsearch in pages: all of one point in time, or those of some ids."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vexrepo.errors import StoreError
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.stores.http_store import HttpPointStore
from vexrepo.remotes.stores.opensearch_documents import Hit
from vexrepo.remotes.stores.opensearch_errors import reason

_KEEP_ALIVE: Final = "5m"  # between two pages
_MOST_POINTS: Final = 1000  # of one page
_PAGE_BYTES: Final = 16 << 20
VECTORS_APART: Final = (9, 2)  # since this version of Elasticsearch vectors are no part of what is given back unasked


@dataclass(eq=False, slots=True)
class _Search:
    """What the server keeps of a search between two pages: a point in time or, of an older one, a scroll."""

    moment: str | None
    scroll: str | None = None


class Pages:
    """What reads the documents of one index: ``above`` is the path of the server, ``path`` that of the index."""

    def __init__(self, store: HttpPointStore, above: str, path: str) -> None:
        self._store = store
        self._above = above
        self._path = path

    def read(self) -> Generator[list[Hit], None, None]:
        """Yield what is found at one point in time, in pages, of which the first is small."""
        ask = self._store.ask
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
                    answer = ask("POST", f"{self._above}/_search", body=body, also={400}, can_repeat=True)
                    if answer.status == 400 and after is None:  # before OpenSearch 3.3 it has no such order
                        self._forget(search)
                        search.moment = None
                        continue
                    _need(answer)
                elif search.scroll is None:
                    del body["track_total_hits"]
                    body["sort"] = ["_doc"]
                    query = {"scroll": _KEEP_ALIVE}
                    answer = ask("POST", f"{self._path}/_search", query=query, body=body, can_repeat=True)
                else:  # asked again, it would leave out what the lost answer had
                    body = {"scroll": _KEEP_ALIVE, "scroll_id": search.scroll}
                    answer = ask("POST", f"{self._above}/_search/scroll", body=body, can_repeat=False)
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
                    raise self._store.http.nonsense(f"{self._store.address} gives the same page again and again")
                size = max(1, min(_MOST_POINTS, 2 * size, size * _PAGE_BYTES // max(1, length)))
        finally:
            self._forget(search)

    def find(self, ids: Sequence[str]) -> list[Hit]:
        """Return the documents of some ids, of those that can be searched now."""
        body = {"size": len(ids), "query": {"ids": {"values": list(ids)}}, **self._wanted_source()}
        answer = self._store.ask("POST", f"{self._path}/_search", body=body, can_repeat=True)
        found = answer.fields()
        self._check_whole(answer, found.value)
        hits = found.part("hits")
        return [] if hits is None else hits.objects("hits")

    def _check_whole(self, answer: Answer, value: Mapping[str, Any]) -> None:
        """Raise StoreError (store-busy) where some shards did not answer: what they have would seem forgotten."""
        shards = value.get("_shards")
        failed = shards.get("failed") if isinstance(shards, dict) else 0
        if failed or value.get("timed_out") is True:
            raise StoreError(
                f"{answer.where}: {failed or 'some'} of the shards of {self._store.address} did not answer; nothing "
                "was read of them: see _cluster/health, then run the command again",
                code="store-busy",
            )

    # -- what OpenSearch and Elasticsearch do each in its own way ----------------------------------------------------

    def _wanted_source(self) -> dict[str, Any]:
        """Return what a search says so that documents are given back whole."""
        return {}

    def _open(self) -> str | None:
        """Return a new point in time, None where the server has none."""
        answer = self._store.ask(
            "POST",
            f"{self._path}/_search/point_in_time",
            query={"keep_alive": _KEEP_ALIVE},
            also={400, 403, 404, 405},
            can_repeat=True,
        )
        return answer.fields().text("pit_id") if answer.status == 200 else None

    def _end(self, point_in_time: str) -> None:
        body = {"pit_id": [point_in_time]}
        self._store.ask("DELETE", f"{self._above}/_search/point_in_time", body=body, also={404})

    def _forget(self, search: _Search) -> None:
        """Let the server forget a search; where it cannot be told, it forgets by itself after some minutes."""
        with contextlib.suppress(StoreError):
            if search.moment is not None:
                self._end(search.moment)
            if search.scroll is not None:
                body = {"scroll_id": search.scroll}
                self._store.ask("DELETE", f"{self._above}/_search/scroll", body=body, also={404})


class ElasticsearchPages(Pages):
    """What reads the documents of one index of Elasticsearch."""

    def __init__(self, store: HttpPointStore, above: str, path: str, version: tuple[int, int]) -> None:
        super().__init__(store, above, path)
        self._version = version

    def _wanted_source(self) -> dict[str, Any]:
        return {"_source": {"exclude_vectors": False}} if self._version >= VECTORS_APART else {}

    def _open(self) -> str | None:
        query = {"keep_alive": _KEEP_ALIVE}
        answer = self._store.ask("POST", f"{self._path}/_pit", query=query, also={400, 403, 404, 405}, can_repeat=True)
        return answer.fields().text("id") if answer.status == 200 else None

    def _end(self, point_in_time: str) -> None:
        self._store.ask("DELETE", f"{self._above}/_pit", body={"id": point_in_time}, also={404})


def _need(answer: Answer) -> None:
    """Raise StoreError (store-answer) where a search was refused."""
    if answer.status == 400:
        raise StoreError(f"{answer.where} does not take a search: {reason(answer)}", code="store-answer")
