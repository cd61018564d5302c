"""The objects of a class of Weaviate: in pages in the order of their ids, or those of some ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vexrepo.remotes.answer import Answer
from vexrepo.remotes.http import segment
from vexrepo.remotes.stores.http_store import HttpPointStore
from vexrepo.remotes.stores.points import Point
from vexrepo.remotes.stores.weaviate_objects import Objects, id_of
from vexrepo.storage.ahead import reading_ahead

_MOST_OBJECTS = 1000  # of one page; the server takes 10,000
_PAGE_BYTES = 16 << 20


class Pages:
    """What asks for the objects of one class.

    ``above`` is the path of the interface; ``tenant`` names one in a query.
    """

    def __init__(
        self, store: HttpPointStore, above: str, class_name: str, tenant: Mapping[str, str], objects: Objects
    ) -> None:
        self._store = store
        self._path = f"{above}/objects"
        self._class_name = class_name
        self._tenant = tenant
        self._objects = objects
        self._most_objects = _MOST_OBJECTS

    def read_after(self, last: str) -> Iterator[list[Point]]:
        """Yield the objects whose ids come after one; the next page is on its way while one is looked at."""
        limit, after = 100, last
        with self._store.asking_ahead() as begin:
            coming = begin(self._page, after, limit)
            while True:
                answer = coming()
                objects, rows = self._objects.take(answer)
                if not objects:
                    return
                newest = id_of(objects[-1])
                if newest == after:
                    raise self._store.http.nonsense(f"{answer.where} gives the same page again and again")
                size = max(1, len(answer.body))
                limit = max(1, min(_MOST_OBJECTS, 2 * limit, limit * _PAGE_BYTES // size))
                if newest is not None:  # else one of them is refused below
                    after = newest
                    coming = begin(self._page, after, limit)
                yield self._objects.points(answer, objects, rows)

    def _page(self, after: str, limit: int) -> Answer:
        """Ask for objects after an id; "" begins in order of ids, without it they come in some other."""
        query = {"class": self._class_name, "after": after, "include": "vector", **self._tenant}
        while True:
            most = min(limit, self._most_objects)
            answer = self._store.ask(
                "GET", self._path, query={**query, "limit": str(most)}, also={422} if most > 1 else ()
            )
            if answer.status != 422:
                return answer
            if "maximum results" not in answer.words():
                raise self._store.http.nonsense(f"{answer.where} does not take the request (422: {answer.words()})")
            self._most_objects = most // 2  # the server is set up for fewer at once

    def find(self, ids: Sequence[str]) -> list[Point]:
        """Return the objects of some ids, which are asked for one by one, several at a time."""
        with reading_ahead(max(1, self._store.address.reach.concurrency), self._store.readings) as pool:
            asked = [pool.submit(self._one, each) for each in ids]
            answers = [each.result() for each in asked]
        return [self._objects.points(each, [each.json()], [None])[0] for each in answers if each.status != 404]

    def _one(self, identifier: str) -> Answer:
        path = f"{self._path}/{self._class_name}/{segment(identifier)}"
        return self._store.ask("GET", path, query={"include": "vector", **self._tenant}, also={404})
