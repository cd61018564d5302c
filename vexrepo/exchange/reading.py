"""Records as a stream out of any store or vmig file, filtered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vexrepo.errors import InvalidData
from vexrepo.objects.record import Record
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


def iter_others(store: Store, records: Iterable[Record]) -> Iterator[Record]:
    """Yield what a store holds under the keys of records that is not the same as they are."""
    wanted = {record.key: record for record in records}
    found = store.read_keys(list(wanted))
    if found is None:
        found = (item.record for batch in store.scan() for item in batch)
    for record in found:
        known = wanted.get(record.key)
        if known is not None and store.settle(known, record).id != known.id:
            yield record


def _body(item: Sourced) -> Callable[[], bytes]:
    return lambda: item.record.body
