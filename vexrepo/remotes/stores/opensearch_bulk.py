"""Documents written to an index of OpenSearch or Elasticsearch, and removed, in bulk; each outcome is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from vexrepo.errors import StoreError
from vexrepo.remotes.answer import Answer
from vexrepo.remotes.stores.exact_vectors import exact_numbers
from vexrepo.remotes.stores.http_store import HttpPointStore
from vexrepo.remotes.stores.opensearch_errors import said
from vexrepo.remotes.stores.opensearch_mapping import VectorField
from vexrepo.remotes.stores.points import Point

_BUSY: Final = frozenset((429, 503))


@dataclass(frozen=True, slots=True)
class Bulk:
    """What writes the documents of one index, whose path is ``path``.

    ``vectors``: which fields those are, by the names of the vectors.  ``routes`` says, by id, where a document lies
    that is not where its id says; ``doubles`` which vectors came with more than single precision.
    """

    store: HttpPointStore
    path: str
    vectors: Mapping[str, VectorField]
    routes: Mapping[str, str]
    doubles: frozenset[str]

    def index(self, points: Sequence[Point]) -> None:
        """Write documents; those of the same ids are replaced."""
        lines = []
        for point in points:
            payload, exact = exact_numbers(point, tells_decimals=False)
            # Where none was seen, the server may rebuild them from its index, and only what is carried tells.
            document = dict(payload if self.doubles.issuperset(exact) else point.payload)
            for space, row in point.vectors:
                document[self.vectors[space.name].name] = exact.get(space.name) or np.frombuffer(row, "<f4")
            action = orjson.dumps({"index": self._action(point.id)})
            lines.append(b"%s\n%s\n" % (action, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)))
        self._do(lines)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove documents."""
        self._do([orjson.dumps({"delete": self._action(each)}) + b"\n" for each in ids])

    def _action(self, identifier: str) -> dict[str, str]:
        route = self.routes.get(identifier)
        return {"_id": identifier} if route is None else {"_id": identifier, "routing": route}

    def _do(self, lines: Sequence[bytes]) -> None:
        """Do some actions; those that the server had no room for are done again after a while."""
        left, attempt = list(lines), 1
        patience = self.store.patience
        headers = {"Content-Type": "application/x-ndjson"}
        while left:
            body = b"".join(left)
            answer = self.store.ask("POST", f"{self.path}/_bulk", body=body, headers=headers, can_repeat=True)
            items = answer.fields().parts("items")
            if len(items) != len(left):
                raise self.store.http.nonsense(f"{answer.where} answers {len(items)} of {len(left)} actions")
            again, wrong = [], []
            for line, item in zip(left, items, strict=True):
                (outcome,) = item.value.values() if len(item.value) == 1 else ({},)
                status = outcome.get("status") if isinstance(outcome, dict) else None
                if status in _BUSY:
                    again.append(line)
                elif type(status) is not int or not (status < 300 or ("delete" in item.value and status == 404)):
                    wrong.append((status, outcome))
            if wrong:
                raise _refused(answer, wrong)
            if again:
                wait_s = patience.wait_s(attempt, None)
                if wait_s is None:
                    raise StoreError(
                        f"{answer.where} has no room for {len(again)} documents; run the command again later: it goes "
                        "on where it stopped",
                        code="store-busy",
                    )
                patience.sleep(wait_s)
            left, attempt = again, attempt + 1


def _refused(answer: Answer, wrong: Sequence[tuple[Any, Any]]) -> StoreError:
    status, outcome = wrong[0]
    outcome = outcome if isinstance(outcome, dict) else {}
    error = outcome.get("error")
    words = said(error) if isinstance(error, dict) else str(error)
    code = {400: "store-cannot-hold", 401: "store-refused", 403: "store-refused"}.get(status, "store-answer")
    return StoreError(
        f"{answer.where} does not take {len(wrong)} documents, the first {outcome.get('_id')!r:.80}: {words} "
        f"({status}); the others of this request were written: mend it, then run the command again",
        code=code,
    )
