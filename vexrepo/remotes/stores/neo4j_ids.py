"""The ids of nodes: values of a property, which are texts or whole numbers, and the same as texts."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from vexrepo.errors import InvalidData
from vexrepo.objects import canonical
from vexrepo.remotes.stores.neo4j_graph import Graph, quoted

LEAST: Final = -(1 << 63)  # of all numbers


class Ids:
    """The property ``name`` of the nodes of one label, which tells them apart."""

    def __init__(self, graph: Graph, label: str, name: str) -> None:
        self._graph = graph
        self._label = label
        self.name = name

    @cached_property
    def _has_numbers(self) -> bool:
        """Whether there are nodes whose ids are numbers; asked where an id looks like one."""
        query = f"MATCH (n:{quoted(self._label)}) WHERE n.{quoted(self.name)} >= $least RETURN 1 LIMIT 1"
        return bool(self._graph.read(query, least=LEAST))

    def shown(self, value: Any) -> str:
        """Return an id as text.  Raises: InvalidData for one that text and numbers of this graph would share."""
        if isinstance(value, str):
            if self.native(value) != value:
                raise InvalidData(
                    f"the {self.name} {value!r:.60} is a text here and numbers elsewhere: memories would share it",
                    code="duplicate-key",
                )
            return value
        if type(value) is int:
            return str(value)
        raise InvalidData(f"the {self.name} {value!r:.60} is no text and no whole number", code="id-missing")

    def native(self, identifier: str) -> str | int:
        """Return the value of the property of a native id: a number where such are the ids of the graph."""
        if len(identifier) <= 20 and identifier.removeprefix("-").isdecimal() and self._has_numbers:
            value = int(identifier)
            if str(value) == identifier and LEAST <= value < 1 << 63:
                return value
        return identifier


def shown_end(value: Any, says: Any) -> str:
    """Return the id of the memory at the end of a relationship, where its node has an id that was made for it."""
    if isinstance(says, str):
        try:
            carried: Any = canonical.parse(says.encode())
        except (InvalidData, UnicodeEncodeError):
            carried = None
        match carried:
            case {"k": [native, str(original)]} if native == value:
                return original
    return str(value)
