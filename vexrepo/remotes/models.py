"""Which models the embeddings of a store are of, so that others are not written among them.

What is compared by a search belongs together: the vectors of one name in one namespace.  A memory without a model says
nothing; sparse vectors, which are words and weights, are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from vexrepo.errors import StoreError
from vexrepo.objects.record import Record, key_name, split_key
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.base import Store

LOOKED_AT: Final = 20_000  # memories of a store that is not read as a whole before it is written


class Models:
    """The models of embeddings, by namespace and the name of the vector."""

    def __init__(self) -> None:
        self._held: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold(self, namespace: str, space: Space) -> None:
        """Note a space that vectors of a namespace are of."""
        if space.model is not None and space.kind != "sparse":
            self._held[namespace, space.name].add(space.model)

    def note(self, record: Record) -> None:
        """Note what a record's vectors are of."""
        if record.vectors:
            namespace = split_key(record.key)[0]
            for item in record.vectors:
                self.hold(namespace, item.space)

    def others(self, namespace: str, space: Space) -> list[str]:
        """Return the models that vectors are of among which one of a space would come, [] where its own is there."""
        if space.model is None or space.kind == "sparse":
            return []
        held = self._held.get((namespace, space.name), ())
        return [] if space.model in held else sorted(held)


def models_of(store: Store) -> Models:
    """Return which models a store holds.

    One that is read as a whole to be written is, which this does in advance; of others the first memories count, and
    what the store can tell of the rest.
    """
    found, count = Models(), 0
    for batch in store.scan(lambda error: None):
        for item in batch:
            found.note(item.record)
        count += len(batch)
        if count >= LOOKED_AT and not store.scans_to_write:
            for namespace, model in store.told_models():
                found.hold(namespace, Space(MAIN, "dense", model, 1, "f32"))
            break
    return found


def may_differ(*spaces: Iterable[Space]) -> bool:
    """Whether among some spaces there are several models under one name."""
    models: dict[str, str] = {}
    for space in (space for each in spaces for space in each):
        if (
            space.model is not None
            and space.kind != "sparse"
            and models.setdefault(space.name, space.model) != space.model
        ):
            return True
    return False


def space_of(value: Mapping[str, Any]) -> Space:
    """Return the space that a snapshot tells of."""
    return Space(value["name"], value["kind"], value["model"], value["dims"], value["dtype"])


def other_model(store: Store, key: bytes, model: str | None, held: Iterable[str], ways_out: str) -> StoreError:
    """Return the error for a memory whose embedding is of another model than those among which it would come."""
    namespace = split_key(key)[0]
    where = f" in the namespace {namespace:.60}" if namespace else ""
    return StoreError(
        f"{store.address} holds embeddings of {', '.join(held)}{where}, and {key_name(key):.80} has one of {model}: "
        f"distances between the two mean nothing.  Nothing was written.  {ways_out}",
        code="store-model",
    )
