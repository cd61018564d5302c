"""The records of a source as they are to be written: read, selected, looked at once, one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from vexrepo.errors import InvalidData, StoreError
from vexrepo.exchange.nearest import Nearest
from vexrepo.exchange.projecting import project_record
from vexrepo.exchange.reading import select
from vexrepo.exchange.request import Advance, Request, Transferred
from vexrepo.exchange.seen_keys import SeenKeys
from vexrepo.formats import vmig
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, key_name, key_of, make_key, split_key, with_body
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.models import Models, models_of, other_model
from vexrepo.remotes.stores.base import Sourced, Store
from vexrepo.remotes.stores.beside import BesideScan
from vexrepo.remotes.stores.jsonl import BATCH, JsonlStore
from vexrepo.storage.beside import is_worthwhile
from vexrepo.storage.freed import note_records

BESIDE_BYTES: Final = 32 << 20  # smaller files are parsed by this process
_TOLD: Final = 100  # problems of which the words are kept
_WAYS_OUT: Final = (
    "Write such memories into a collection or a namespace of their own; or turn them into the other model's "
    "(--adapter, see vex adapters); or leave them out (--namespace, --components).  If both names are of one model: "
    "--mix-models"
)


class Stream:
    """The records of a source as they are to be written; ``done`` counts on the way."""

    def __init__(
        self,
        origin: Store,
        request: Request,
        done: Transferred,
        advance: Advance,
        before: str | None,
        *,
        to_records: bool,
    ) -> None:
        self._origin, self._request, self._done, self._advance = origin, request, done, advance
        self._before = before
        self._held = Models()  # of what is there
        self._goal: Store | None = None
        self._seen = SeenKeys()
        self._stack = contextlib.ExitStack()
        self._total: int | None = None
        self._size_bytes: int | None = None  # of a file that is read from its beginning to its end
        self._place = 0
        self._is_ordered = False
        # Begun before the target is opened for writing.
        self._batches = iter(()) if self.keeps_lines and not to_records else self._begin()

    def __enter__(self) -> Stream:
        return self

    def refuse_others(self, goal: Store) -> str | None:
        """Refuse embeddings of other models than those that a store holds, before anything is written.

        Return the fingerprint that a store has to have when it is written, so that it need not be read again.
        """
        self._goal, before = goal, goal.describe().fingerprint
        self._held = models_of(goal)
        return before if goal.scans_to_write else None

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _begin(self) -> Iterator[list[Sourced]]:
        request, origin = self._request, self._origin
        report = self._report if request.skip_problems else None
        if request.nearest is not None and (ordered := origin.scan_nearest(request.nearest, report)) is not None:
            self._is_ordered = True
            return ordered
        scan = origin.scan_newest if request.limit is not None and request.nearest is None else origin.scan
        size = getattr(origin, "size_bytes", None)
        self._total = origin.describe().count if size is None else None
        if isinstance(origin, JsonlStore) and request.limit is None:
            self._size_bytes = origin.size_bytes
        if request.limit is None and origin.is_forkable and is_worthwhile() and _is_large(origin):
            # Parsing is about half of the work.
            beside = self._stack.enter_context(BesideScan(scan, report))
            return iter(beside)
        return scan(report)

    def _report(self, error: InvalidData) -> None:
        self._done.skipped += 1
        if len(self._done.problems) < _TOLD:
            self._done.problems.append((error.code, str(error)))

    @property
    def keeps_lines(self) -> bool:
        """Whether the records are lines of a file that can go into another as they are."""
        request = self._request
        changes = request.namespace is not None or request.complete or request.nearest is not None
        changes = changes or request.adapter is not None
        return isinstance(self._origin, JsonlStore) and not changes

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the selected records, each read and checked.  Raises: InvalidData."""
        if self.keeps_lines:
            assert isinstance(self._origin, JsonlStore)
            held: dict[int, bytes] = {}
            self._batches = _keeping(self._origin, held, self._report if self._request.skip_problems else None)
            for place, _ in self._limited():
                yield held[place]
        else:
            complete = self._origin.kind if self._request.complete else None
            for _, record in self._limited():
                yield vmig.format_record(self._renamed(record), complete)
        self._check_unchanged()

    def records(self) -> Iterator[Record]:
        """Yield the selected records.  Raises: InvalidData."""
        for _, record in self._limited():
            yield self._renamed(record)
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        """Raise StoreError (store-changed) where the source changed since it was checked; called at the end."""
        if self._before is not None and self._origin.describe().fingerprint != self._before:
            raise StoreError(
                f"{self._origin.address} changed while it was being read; nothing was written: run the command again",
                code="store-changed",
            )

    def _limited(self) -> Iterator[tuple[int, Record]]:
        limit = self._request.limit
        for item in self._nearest() if self._request.nearest is not None else self._selected():
            if limit is not None and self._done.selected >= limit:
                return
            self._done.selected += 1
            place, record = item
            if self._request.adapter is not None:
                record = project_record(self._request.adapter, record)
            self._note_space(record)
            yield place, record

    def _selected(self) -> Iterator[tuple[int, Record]]:
        """Yield (place, record)."""
        done = self._done
        for batch in select(self._counted(self._batches), self._request.selection):
            for item, is_new in zip(batch, self._seen.add([self._key(item.record) for item in batch]), strict=True):
                if is_new:
                    yield item.place, item.record
                else:
                    self._repeated(item)
            if self._size_bytes is not None:
                self._advance("moving bytes", self._place, self._size_bytes)
            else:
                self._advance("moving", done.read, self._total)

    def _key(self, record: Record) -> bytes:
        """Return the key a record will have."""
        namespace = self._request.namespace
        return record.key if namespace is None else make_key(namespace, split_key(record.key)[1])

    def _counted(self, batches: Iterator[list[Sourced]]) -> Iterator[list[Sourced]]:
        for batch in batches:
            self._done.read += len(batch)
            self._place = batch[-1].place if batch else self._place
            yield batch
            if batch:
                note_records(batch[0].record, len(batch))

    def _repeated(self, item: Sourced) -> None:
        name = key_name(self._key(item.record))
        error = InvalidData(
            f"{self._origin.place(item.place)} has the id {name} once more; ids must be unique within a namespace: "
            "remove or rename one, or leave later ones out with --on-error skip",
            code="duplicate-key",
        )
        if not self._request.skip_problems:
            raise error
        self._report(error)

    def _nearest(self) -> Iterator[tuple[int, Record]]:
        assert self._request.nearest is not None
        nearest = Nearest(self._request.nearest, self._request.limit or 10)
        for _, record in self._selected():
            if not nearest.offer(record) and self._is_ordered:
                break
        return ((0, record) for record in nearest.best())

    def _renamed(self, record: Record) -> Record:
        if self._request.namespace is None:
            return record
        value = {**body_value(record.body), "namespace": self._request.namespace}
        return with_body(key_of(value), canonical.encode(value), record.vectors)

    def _note_space(self, record: Record) -> None:
        for item in record.vectors:
            if self._held and (held := self._held.others(self._namespace(record), item.space)):
                assert self._goal is not None
                raise other_model(self._goal, self._key(record), item.space.model, held, _WAYS_OUT)
            if item.space.name == MAIN:
                model = item.space.model or ""
                self._done.models[model] = self._done.models.get(model, 0) + 1
                self._done.dims[item.space.dims] = self._done.dims.get(item.space.dims, 0) + 1

    def _namespace(self, record: Record) -> str:
        """Return the namespace a record will have."""
        return split_key(record.key)[0] if self._request.namespace is None else self._request.namespace


def _keeping(
    store: JsonlStore, held: dict[int, bytes], on_problem: Callable[[InvalidData], None] | None
) -> Iterator[list[Sourced]]:
    """Yield the records of a file in batches; ``held`` has the lines of the latest batch, by place."""
    store.check_not_empty()
    batch: list[Sourced] = []
    lines: dict[int, bytes] = {}
    for offset, line in store.lines():
        try:
            batch.append(Sourced(store.parse(offset, line), offset))
        except InvalidData as error:
            if on_problem is None:
                raise
            on_problem(error)
            continue
        lines[offset] = line.strip()
        if len(batch) >= BATCH:
            held.clear()
            held.update(lines)
            yield batch
            batch, lines = [], {}
    held.clear()
    held.update(lines)
    yield batch


def _is_large(store: Store) -> bool:
    if isinstance(store, JsonlStore):
        return store.size_bytes >= BESIDE_BYTES
    return (store.describe().count or 0) >= 10_000
