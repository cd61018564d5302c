"""The nodes of one label in the order of their ids, in pages; those that have none, or share one, are named."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from vexrepo.remotes.stores.neo4j_graph import Graph, Row, quoted
from vexrepo.remotes.stores.neo4j_ids import LEAST
from vexrepo.storage.ahead import Readings, one_ahead

_PAGE: Final = 1000
# Of values that cannot be compared the comparison is null.
_NO_TEXT: Final = "{id} IS NULL OR ({id} >= '') IS NULL"
_NO_ID: Final = "{id} IS NULL OR (({id} >= '') IS NULL AND ({id} >= $least) IS NULL)"


@dataclass(frozen=True, slots=True)
class Pages:
    """What asks for the nodes of one label, whose ids are the property ``id_name``.

    ``is_unique``: no two share one.  ``problem`` is told, with a code, of nodes that are left out.
    """

    graph: Graph
    label: str
    id_name: str
    is_unique: bool
    readings: Readings
    problem: Callable[[str, str], None]

    def read(self, what: str, after: str | int | None = None) -> Iterator[list[Row]]:
        """Yield what is asked of all nodes that have an id, in pages; of those that share one the first."""
        for found, twice, without in one_ahead(self._asked(what, after), self.readings):
            if without:
                self.problem(
                    f"{self.graph.address}: {without} nodes have no {self.id_name!r:.60} that is a text or a number, "
                    "and so no id; name another property with ?id=NAME",
                    "id-missing",
                )
            for identifier in twice:
                self.problem(
                    f"{self.graph.address}: more than one node has the {self.id_name} {identifier!r:.80}: rename or "
                    "remove all but one, or name another property with ?id=NAME (with --on-error skip the first is "
                    "read)",
                    "duplicate-key",
                )
            if found:
                yield found

    def _asked(self, what: str, after: str | int | None) -> Generator[tuple[list[Row], list[Any], int], None, None]:
        """Yield pages as they are asked for, each with the ids that are there more than once.

        The last says how many nodes have no id.
        """
        column, ahead = self._column, int(not self.is_unique)
        count = 0
        for least in ("", LEAST):  # each is compared with its like only
            if isinstance(after, int) and least == "":
                continue
            # All are counted without a look at any of them; comparisons look at each.
            if least == LEAST and ((after is None and count == self.count_all()) or not self._count(_NO_TEXT)):
                return
            last: Any = least
            sign = ">="
            if after is not None and type(after) is type(least):
                last, sign = after, ">"
            while True:
                query = (
                    f"{self._match} WHERE {column} {sign} $last RETURN {column} AS at, {what} AS it ORDER BY at LIMIT "
                )
                rows = self.graph.read(f"{query}{_PAGE + ahead}", last=last)
                is_last = len(rows) < _PAGE + ahead
                found: list[Row] = []
                twice: list[Any] = []
                for identifier, *row in rows:
                    if found and identifier == last:
                        twice.append(identifier)
                    elif len(found) < _PAGE:
                        found.append(row)
                        last = identifier
                count += len(found)
                del rows  # not held while the next page is on its way
                yield found, twice, 0
                if is_last:
                    break
                sign = ">"
        yield [], [], self._count(_NO_ID)

    def count_all(self) -> int:
        """Return how many nodes there are, those without an id too."""
        ((count,),) = self.graph.read(f"{self._match} RETURN count(n)")
        return int(count)

    def _count(self, condition: str) -> int:
        """Return how many nodes have an id of which a condition is true."""
        query = f"{self._match} WHERE {condition.format(id=self._column)} RETURN count(n)"
        ((count,),) = self.graph.read(query, least=LEAST)
        return int(count)

    @property
    def _match(self) -> str:
        return f"MATCH (n:{quoted(self.label)})"

    @property
    def _column(self) -> str:
        return f"n.{quoted(self.id_name)}"
