"""Moving memories between stores and files, as a stream: memory use does not grow with what is moved.

What is written is exactly what was read and selected; a record that cannot be read, or that the source has twice,
stops the transfer with nothing written unless it may be skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vexrepo.errors import UsageError
from vexrepo.exchange.admission import Guard, check_signature, pass_in, tell_of_import
from vexrepo.exchange.request import Advance, Request, Transferred, silent
from vexrepo.exchange.sidecars import check_sidecar, note_import
from vexrepo.exchange.stream import Stream
from vexrepo.formats import sidecar
from vexrepo.hooks.event import Event
from vexrepo.objects.record import Record
from vexrepo.remotes.readback import Written
from vexrepo.remotes.stores.base import Plan, Store
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.registry import open_store

if TYPE_CHECKING:
    from vexrepo.remotes.stores.address import Address


def transfer(
    source: Address,
    target: Address,
    request: Request,
    *,
    now_us: int | None = None,
    advance: Advance = silent,
    guard: Guard | None = None,
) -> Transferred:
    """Write what a store holds into another; a vmig, Parquet or NumPy file is written anew, others keep what they have.

    What a store has under the same key is replaced.

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
        note_import(origin, target, now_us, done)
    if guard is not None:
        event = _event("post-import", guard.place or source, target)
        tell_of_import(guard, event, lambda: iter_incoming(source, request))
    return done


def transfer_from(
    origin: Store,
    target: Address,
    request: Request,
    *,
    now_us: int | None = None,
    advance: Advance = silent,
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
        with Stream(origin, request, done, advance, before, to_records=to_records) as stream:
            expected = None
            if not (done.was_empty or goal.rewrites or request.mix_models):
                expected = stream.refuse_others(goal)
            config = origin.kept_config() if origin.kind == goal.kind else {}
            if request.dry_run:
                goal.rehearse(Plan(stream.records, (), stream.records, config=config))
                done.edges = _count_edges(origin, goal, request)
                return done
            noted, arrived = Written(goal), 0

            def advance_writing(count: int) -> None:
                nonlocal arrived
                arrived += count
                if not goal.writes_whole:  # others are written while the source is read, which is told of
                    advance("writing", arrived, done.selected)

            edges = list(origin.edges()) if origin.holds_edges and goal.holds_edges and _is_whole(request) else []
            stays = _Others([], [])
            if goal.rewrites and goal.keeps_others:
                expected = goal.describe().fingerprint  # before it is read: an agent may write to it meanwhile
                stays = _others(goal, {each.key for each in _incoming(origin, request, before)}, edges)
            plan = Plan(
                upserts=noted.passing(stream.records),
                deletes=(),
                records=lambda: chain(stays.records, stream.records()),
                lines=stream.lines if isinstance(goal, JsonlStore) else None,
                edge_upserts=edges,
                edges=lambda: chain(stays.edges, edges),
                config=config,
                expected=expected,
                advance=advance_writing,
                now_us=now_us,
                keep_unnamed=True,
                link=request.link and goal.builds_edges and not edges,
                is_at_hand=source.is_path,
            )
            written = goal.write(plan)
            done.written, done.edges = written.upserted - len(stays.records), len(edges) + written.linked
            done.fingerprint = written.fingerprint
        done.verified = noted.verify(at_least=done.written)
        if done.verified.altered and goal.alteration:
            done.notes.append(
                f"{target} {goal.alteration}: {done.verified.altered:,} of the {done.verified.sample:,} that were "
                "read back have other numbers there than in the source.  Whoever needs those keeps the source, or "
                "commits it (vex migrate --record)"
            )
        if isinstance(goal, JsonlStore):
            done.size_bytes = goal.size_bytes
    return done


class _Others(NamedTuple):
    """What a store that is written as a whole keeps."""

    records: list[Record]
    edges: list[Record]


def _others(goal: Store, keys: set[bytes], edges: list[Record]) -> _Others:
    """Return the memories of a store but those of some keys, and its edges but those that come.

    Raises: InvalidData for one that cannot be read: it would be lost.
    """
    coming = {each.key for each in edges}
    records = [item.record for batch in goal.scan() for item in batch if item.record.key not in keys]
    return _Others(records, [each for each in goal.edges() if each.key not in coming])


def iter_incoming(source: Address, request: Request) -> Iterator[Record]:
    """Yield the records that a request moves, as they would be written."""
    with open_store(source) as origin:
        yield from _incoming(origin, request, None)


def _incoming(origin: Store, request: Request, before: str | None) -> Iterator[Record]:
    aside = Transferred(str(origin.address), "")
    with Stream(origin, request, aside, silent, before, to_records=True) as stream:
        yield from stream.records()


def _event(name: str, source: Address, target: Address, signature: Mapping[str, Any] | None = None) -> Event:
    of, to = ({"kind": each.kind, "address": str(each)} for each in (source, target))
    return Event(name, of, to, signature=signature)


def _admit(origin: Store, goal: Store, request: Request, done: Transferred, guard: Guard, before: str | None) -> None:
    """Let the gate see what would come in.  Raises: Refused."""
    admitted = check_signature(origin, guard)
    if admitted.note:
        done.notes.append(admitted.note)
    event = _event("pre-import", guard.place or origin.address, goal.address, admitted.signature)
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
