"""Records as a stream out of any store or vmig file, filtered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vexrepo.errors import InvalidData
from vexrepo.objects.selection import Selection
from vexrepo.remotes.stores.base import Sourced, Store

Report = Callable[[InvalidData], None]


def iter_selected(
    store: Store, selection: Selection | None = None, on_problem: Report | None = None
) -> Iterator[list[Sourced]]:
    """Yield the selected records of a store in batches, in the store's order; a batch may be empty.

    A record that cannot be read raises InvalidData, or is reported to ``on_problem`` and left out.
    """
    return select(store.scan(on_problem), selection)


def select(batches: Iterable[list[Sourced]], selection: Selection | None) -> Iterator[list[Sourced]]:
    """Yield batches of records with only the selected ones."""
    for batch in batches:
        if selection:
            batch = [item for item in batch if selection.accepts(item.record.key, _body(item))]
        yield batch


def _body(item: Sourced) -> Callable[[], bytes]:
    return lambda: item.record.body
