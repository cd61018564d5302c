"""Moving memories between stores and files, as a stream: memory use does not grow with what is moved.

What is written is exactly what was read and selected; a record that cannot be read, or that the source has twice,
stops the transfer with nothing written unless it may be skipped.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vexrepo.errors import InvalidData, StoreError, UsageError, VexError
from vexrepo.exchange.admission import Guard, check_signature, pass_in, tell_of_import
from vexrepo.exchange.nearest import Nearest
from vexrepo.exchange.projecting import Adapter, project_record
from vexrepo.exchange.reading import select
from vexrepo.formats import sidecar, vmig
from vexrepo.formats.sidecar import Sidecar
from vexrepo.hooks.event import Event
from vexrepo.objects import canonical
from vexrepo.objects.record import Record, body_value, key_name, key_of, make_key, split_key, with_body
from vexrepo.objects.selection import Selection
from vexrepo.objects.timestamp import format_time
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.models import Models, models_of, other_model
from vexrepo.remotes.readback import Verified, Written
from vexrepo.remotes.stores.base import Plan, Sourced, Store
from vexrepo.remotes.stores.beside import BesideScan
from vexrepo.remotes.stores.jsonl import BATCH, JsonlStore
from vexrepo.remotes.stores.point_store import PointStore
from vexrepo.remotes.stores.registry import open_store
from vexrepo.storage.beside import is_worthwhile
from vexrepo.storage.files import Files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vexrepo.remotes.stores.address import Address

BESIDE_BYTES: Final = 32 << 20  # smaller files are parsed by this process
_FRESH: Final = 1 << 16  # hashes kept in a set before they join the sorted array
_TOLD: Final = 100  # problems of which the words are kept
_WAYS_OUT: Final = (
    "Write such memories into a collection or a namespace of their own; or turn them into the other model's "
    "(--adapter, see vex adapters); or leave them out (--namespace, --components).  If both names are of one model: "
    "--mix-models"
)

Advance = Callable[[str, int, int | None], None]  # (what, done, total)


def _silent(what: str, done: int, total: int | None) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Request:
    """What to move and how.

    ``limit`` counts selected records, the newest first where the source can tell; with ``nearest`` it is those whose
    vectors are nearest, best first.  ``namespace`` is given to every record written.  ``complete`` fills in what a vmig
    line should have and the source does not say; ``link`` asks for the edges that the target's own tools build.
    ``adapter`` projects main vectors; with ``mix_models`` a store may come to hold embeddings of several models.
    """

    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    nearest: tuple[float, ...] | None = None
    namespace: str | None = None
    complete: bool = False
    link: bool = False
    skip_problems: bool = False
    check_sidecar: bool = True
    dry_run: bool = False
    adapter: Adapter | None = None
    mix_models: bool = False


@dataclass(slots=True)
class Transferred:
    """What was moved.  ``problems`` are (code, message) of records left out, of which ``skipped`` is the number."""

    source: str
    target: str
    read: int = 0
    selected: int = 0
    written: int = 0
    edges: int = 0
    skipped: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    models: dict[str, int] = field(default_factory=dict)
    dims: dict[int, int] = field(default_factory=dict)
    size_bytes: int | None = None
    notes: list[str] = field(default_factory=list)
    verified: Verified | None = None
    was_empty: bool = False  # the target, before
    fingerprint: str | None = None  # of the target, afterwards


def transfer(
    source: Address,
    target: Address,
    request: Request,
    *,
    now_us: int | None = None,
    advance: Advance = _silent,
    guard: Guard | None = None,
) -> Transferred:
    """Write what a store holds into another; a file is written anew, other stores keep what is not overwritten.

    ``guard`` decides first whether it may come in (None: it is one's own).

    Raises: UsageError (same-store), StoreError, InvalidData (a record, with file, place and id; duplicate-key;
    checksum-mismatch before anything is read), Refused, StorageFailure.  Nothing is written then.  StoreError
    (store-differs) where the target does not give back what was written.
    """
    with open_store(source) as origin:
        done = transfer_from(origin, target, request, now_us=now_us, advance=advance, guard=guard)
    if request.dry_run:
        return done
    if isinstance(origin, JsonlStore) and target.kind != JsonlStore.kind and now_us is not None:
        _note_import(origin, target, now_us, done)
    if guard is not None:
        tell_of_import(guard, _event("post-import", source, target), lambda: iter_incoming(source, request))
    return done


def transfer_from(
    origin: Store,
    target: Address,
    request: Request,
    *,
    now_us: int | None = None,
    advance: Advance = _silent,
    guard: Guard | None = None,
) -> Transferred:
    """Write what an open store holds into another.  As ``transfer``, but that the source's file is told nothing."""
    source = origin.address
    _check_apart(source, target)
    done = Transferred(str(source), str(target))
    with open_store(target, create=True) as goal:
        is_watched = guard is not None and guard.gate.is_watched("pre-import")
        before = None if origin.reads_snapshot and not is_watched else origin.describe().fingerprint
        if request.check_sidecar and isinstance(origin, JsonlStore):
            check_sidecar(origin)
        if guard is not None:
            _admit(origin, goal, request, done, guard, before)
        to_records = request.dry_run or not isinstance(goal, JsonlStore)
        done.was_empty = goal.describe().count in (0, None) and not goal.rewrites
        with _Stream(origin, request, done, advance, before, to_records=to_records) as stream:
            expected = None
            if not (done.was_empty or goal.rewrites or request.mix_models):
                expected = stream.refuse_others(goal)
            if request.dry_run:
                deque(stream.records(), maxlen=0)
                done.edges = _count_edges(origin, goal, request)
                return done
            noted, arrived = Written(goal), 0

            def advance_writing(count: int) -> None:
                nonlocal arrived
                arrived += count
                if not goal.writes_whole:  # others are written while the source is read, which is told of
                    advance("writing", arrived, done.selected)

            edges = list(origin.edges()) if origin.holds_edges and goal.holds_edges and _is_whole(request) else []
            plan = Plan(
                upserts=noted.passing(stream.records),
                deletes=(),
                records=stream.records,
                lines=stream.lines if isinstance(goal, JsonlStore) else None,
                edge_upserts=edges,
                edges=lambda: iter(edges),
                config=origin.describe().config if origin.kind == goal.kind else {},
                expected=expected,
                advance=advance_writing,
                now_us=now_us,
                keep_unnamed=True,
                link=request.link and goal.builds_edges and not edges,
                is_at_hand=source.is_path,
            )
            written = goal.write(plan)
            done.written, done.edges = written.upserted, len(edges) + written.linked
            done.fingerprint = written.fingerprint
        done.verified = noted.verify(at_least=done.written)
        if isinstance(goal, JsonlStore):
            done.size_bytes = goal.size_bytes
    return done


def iter_incoming(source: Address, request: Request) -> Iterator[Record]:
    """Yield the records that a request moves, as they would be written."""
    with open_store(source) as origin:
        yield from _incoming(origin, request, None)


def _incoming(origin: Store, request: Request, before: str | None) -> Iterator[Record]:
    aside = Transferred(str(origin.address), "")
    with _Stream(origin, request, aside, _silent, before, to_records=True) as stream:
        yield from stream.records()


def _event(name: str, source: Address, target: Address, signature: Mapping[str, Any] | None = None) -> Event:
    of, to = ({"kind": each.kind, "address": str(each)} for each in (source, target))
    return Event(name, of, to, signature=signature)


def _admit(origin: Store, goal: Store, request: Request, done: Transferred, guard: Guard, before: str | None) -> None:
    """Let the gate see what would come in.  Raises: Refused."""
    admitted = check_signature(origin, guard)
    if admitted.note:
        done.notes.append(admitted.note)
    event = _event("pre-import", origin.address, goal.address, admitted.signature)
    pass_in(guard, event, lambda: _incoming(origin, request, before))


def _is_whole(request: Request) -> bool:
    return not (request.selection or request.limit is not None or request.nearest is not None)


def _count_edges(origin: Store, goal: Store, request: Request) -> int:
    whole = origin.holds_edges and goal.holds_edges and _is_whole(request)
    return sum(1 for _ in origin.edges()) if whole else 0


def _check_apart(source: Address, target: Address) -> None:
    """Raise UsageError (same-store) where the target is the source, or what belongs beside it, by whatever name."""
    if not (source.is_path and target.is_path):
        if str(source) == str(target):
            raise UsageError(f"{source} cannot be written into itself; name another target", code="same-store")
        return
    origin, goal = Path(source.location), Path(target.location)
    for path in (origin, *_beside(source)):
        if _is_same_file(path, goal):
            what = "the input itself" if path is origin else f"what belongs to the input ({path.name})"
            raise UsageError(f"{goal} is {what} and will not be overwritten; name another output", code="same-store")
    said = sidecar.path_of(goal)
    if source.kind == target.kind == JsonlStore.kind and said.exists() and _is_same_file(sidecar.path_of(origin), said):
        raise UsageError(
            f"{goal} would get the {said.name} that belongs to {origin}; name another output", code="same-store"
        )


def _beside(source: Address) -> list[Path]:
    """Return the files that belong to the one at an address."""
    path = Path(source.location)
    if source.kind == JsonlStore.kind:
        stem = sidecar.path_of(path).name.removesuffix(".meta.json")
        return [path.with_name(stem + ending) for ending in (".meta.json", ".sig", ".key")]
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm", "-journal")]


def _is_same_file(one: Path, other: Path) -> bool:
    if os.path.abspath(one) == os.path.abspath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


class _Stream:
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

    def __enter__(self) -> _Stream:
        return self

    def refuse_others(self, goal: Store) -> str | None:
        """Refuse embeddings of other models than those that a store holds, before anything is written.

        Return the fingerprint that a store has to have when it is written, so that it need not be read again.
        """
        self._goal, before = goal, goal.describe().fingerprint
        self._held = models_of(goal)
        return before if isinstance(goal, PointStore) else None

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


class SeenKeys:
    """Which keys there were, in 8 bytes each: two different ones count as the same once in 10^19."""

    def __init__(self, kept_apart: int = _FRESH) -> None:
        self._kept_apart = kept_apart
        self._fresh: set[int] = set()
        self._sorted: NDArray[np.int64] | None = None

    def add(self, keys: list[bytes]) -> list[bool]:
        """Add keys and return for each whether it is new."""
        hashes = [hash(key) for key in keys]
        old = self._among_sorted(hashes)
        found = []
        for number, value in enumerate(hashes):
            is_new = value not in self._fresh and not (old is not None and old[number])
            self._fresh.add(value)
            found.append(is_new)
        if len(self._fresh) >= self._kept_apart:
            self._settle()
        return found

    def _among_sorted(self, hashes: list[int]) -> NDArray[np.bool_] | None:
        import numpy as np

        if self._sorted is None or not hashes:
            return None
        wanted = np.array(hashes, np.int64)
        places = np.searchsorted(self._sorted, wanted)
        found: NDArray[np.bool_] = self._sorted[np.minimum(places, len(self._sorted) - 1)] == wanted
        return found

    def _settle(self) -> None:
        import numpy as np

        fresh = np.sort(np.fromiter(self._fresh, np.int64, len(self._fresh)))
        if self._sorted is not None:
            fresh = np.insert(self._sorted, np.searchsorted(self._sorted, fresh), fresh)
        self._sorted = fresh
        self._fresh.clear()


# -- sidecars ----------------------------------------------------------------------------------------------------------


def check_sidecar(store: JsonlStore) -> Sidecar | None:
    """Compare a file with what its sidecar says, if it has one, and return that.

    Raises: InvalidData (checksum-mismatch, sidecar-unreadable).
    """
    path = store.sidecar
    if not path.exists():
        return None
    said = _read_sidecar(path)
    found = sidecar.measure(line for _, line in store.lines())
    if said.record_count is not None and said.record_count != found.count:
        raise _mismatch(store, path, f"{found.count} records", f"{said.record_count}")
    if said.checksum is not None and said.checksum != found.text:
        # The original tool's is over the lines as it would print them.
        with contextlib.suppress(InvalidData):
            if said.checksum == sidecar.measure_printed(line for _, line in store.lines()).text:
                return said
        raise _mismatch(store, path, f"the checksum {found.text[:19]}…", f"{said.checksum[:19]}…")
    return said


def _read_sidecar(path: Path) -> Sidecar:
    try:
        return Sidecar.decode(path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", code="store-unreadable") from error
    except InvalidData as error:
        raise InvalidData(
            f"{path} cannot be understood: {error}; remove it, or pass it over with --ignore-sidecar", code=error.code
        ) from None


def _mismatch(store: JsonlStore, path: Path, found: str, said: str) -> InvalidData:
    return InvalidData(
        f"{store.path} has {found}, but {path.name} says {said}: the file was changed since, or not copied completely; "
        "if that is as it should be, --ignore-sidecar",
        code="checksum-mismatch",
    )


def _note_import(origin: JsonlStore, target: Address, now_us: int, done: Transferred) -> None:
    """Write into a file's sidecar where it was imported to, and when."""
    path = origin.sidecar
    if not path.exists():
        return
    try:
        said = _read_sidecar(path)
        noted = {**said.extra, "imported_to": str(target), "imported_at": format_time(now_us)}
        Files().write(path, replace(said, extra=noted).encode())
    except VexError as error:
        done.notes.append(f"{path} could not be told of the import: {error}")
