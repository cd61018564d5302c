"""Objects of a class of Weaviate written and removed in batches; each outcome is looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.http_store import HttpPointStore
from vexrepo.remotes.stores.json_numbers import cut_arrays
from vexrepo.remotes.stores.points import Point
from vexrepo.remotes.stores.weaviate_objects import VECTOR, object_of
from vexrepo.remotes.stores.weaviate_schema import Schema

_MOST_DELETED: Final = 1000  # of one request; the server takes 10,000
_DIMS: Final = re.compile(r"vector with length|vector dimensions|vector lengths", re.IGNORECASE)
_PASSING: Final = re.compile(
    r"read-only|deadline|timeout|memory|consistency level|overloaded|shutting down", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What writes the objects of one class: ``above`` is the path of the interface, ``tenant`` names one in a query."""

    store: HttpPointStore
    above: str
    class_name: str
    tenant: Mapping[str, str]
    schema: Schema

    def write(self, points: Sequence[Point]) -> None:
        """Write objects.  Raises: StoreError (store-dims, store-cannot-hold, store-busy) where some were refused."""
        objects = [object_of(each, self.class_name, self.tenant, self.schema) for each in points]
        body = orjson.dumps({"objects": objects}, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = self.store.ask("POST", f"{self.above}/batch/objects", body=body, can_repeat=True)
        try:
            found = orjson.loads(cut_arrays(answer.body, VECTOR)[0])  # all that was sent is said again
        except orjson.JSONDecodeError:
            found = answer.json()
        if not isinstance(found, list) or len(found) != len(points):
            raise self.store.http.nonsense(
                f"{answer.where} does not answer as Weaviate does: not as many results as objects"
            )
        refused = [(each, why) for each, result in zip(points, found, strict=True) if (why := _refusal(result))]
        if refused:
            point, why = refused[0]
            code = "store-busy" if _PASSING.search(why) else "store-cannot-hold"
            code = "store-dims" if _DIMS.search(why) else code
            raise StoreError(
                f"{self.store.address} did not take {len(refused)} of {len(points)} memories, the first {point.id}: "
                f"{why:.300}; what was taken is written, and running the command again writes the rest",
                code=code,
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Remove objects."""
        for start in range(0, len(ids), _MOST_DELETED):
            some = list(ids[start : start + _MOST_DELETED])
            while self._delete_some(some):
                pass  # the server is set up for fewer at once

    def _delete_some(self, ids: list[str]) -> bool:
        """Remove objects, and return whether some are left."""
        where = {"path": ["id"], "operator": "ContainsAny", "valueTextArray": ids}
        answer = self.store.ask(
            "DELETE",
            f"{self.above}/batch/objects",
            query=self.tenant or None,
            body={"match": {"class": self.class_name, "where": where}},
        )
        results = answer.fields().part("results")
        if results is None:
            raise self.store.http.nonsense(f"{answer.where} does not answer as Weaviate does: no results")
        matches, done, failed = (results.number(name) or 0 for name in ("matches", "successful", "failed"))
        if failed or (matches and not done):
            raise StoreError(
                f"{answer.where} did not remove {failed or matches} memories: {answer.words()}; run the command again",
                code="store-busy",
            )
        return matches > done


def _refusal(result: Any) -> str:
    """Return why an object of a batch was refused, "" if it was not."""
    told = result.get("result") if isinstance(result, dict) else None
    if not isinstance(told, dict) or (told.get("status") in (None, "SUCCESS") and not told.get("errors")):
        return "" if isinstance(result, dict) else "no result"
    errors = (told.get("errors") or {}).get("error") or []
    words = [str(each["message"]) for each in errors if isinstance(each, dict) and each.get("message")]
    return "; ".join(words) or "no reason given"
