"""The other labels of nodes, which are read and written as a member of their metadata: ``neo4j:labels``.

A node of a graph of others is a ``Person``, say, besides what the label of the memories says; made again without that,
it is found by none of their queries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vexrepo.errors import InvalidData
from vexrepo.remotes.stores.neo4j_graph import is_name, quoted

LABELS: Final = "neo4j:labels"


def with_labels(properties: Mapping[str, Any], labels: Sequence[str], label: str) -> Mapping[str, Any]:
    """Return a node's properties, and its labels beside ``label`` as one more, where it has any.

    Raises: InvalidData (unsupported-value) for a property of that name.
    """
    if len(labels) < 2:
        return properties
    if LABELS in properties:
        raise InvalidData(
            f"has other labels and a property {LABELS!r}, which is what these are called here; rename that property",
            code="unsupported-value",
        )
    return {**properties, LABELS: sorted(each for each in labels if each != label)}


def are_labels(value: Any, label: str) -> bool:
    """Whether a member of metadata can be the other labels of a node."""
    is_list = isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
    return is_list and value == sorted(set(value)) and label not in value and all(map(is_name, value))


def write_nodes(ask: Any, label: str, id_name: str, rows: Sequence[dict[str, Any]], *, has_others: bool) -> None:
    """Write nodes in one transaction: their properties, and which other labels they have.

    ``has_others``: some nodes have other labels already.
    """
    one, name = quoted(label), quoted(id_name)
    held: dict[Any, set[str]] = {}
    if has_others or any(row["labels"] for row in rows):
        query = f"MATCH (n:{one}) WHERE n.{name} IN $ids RETURN n.{name}, labels(n)"
        held = {at: {*labels} - {label} for at, labels in ask(query, {"ids": [row["id"] for row in rows]})}
    made: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    added: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    gone: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for row in rows:
        labels = row.pop("labels")
        before = held.get(row["id"])
        made[() if before is not None else tuple(labels)].append(row)
        if before is not None:
            if more := tuple(sorted({*labels} - before)):
                added[more].append(row["id"])
            if less := tuple(sorted(before - {*labels})):
                gone[less].append(row["id"])
    for labels, some in made.items():
        node = f"(n:{_joined((label, *labels))} {{{name}: row.id}})"
        ask(f"UNWIND $rows AS row MERGE {node} SET n = row.properties", {"rows": some})
    for word, changes in (("SET", added), ("REMOVE", gone)):
        for labels, ids in changes.items():
            ask(f"MATCH (n:{one}) WHERE n.{name} IN $ids {word} n:{_joined(labels)}", {"ids": ids})


def _joined(labels: Sequence[str]) -> str:
    return ":".join(map(quoted, labels))
