"""gc: packs are joined, and what neither a ref nor a recent operation needs is removed.

Order: the joined pack is durable under its name, then an operation says so, then the packs it replaces go.  Killed
anywhere, everything is there at least once.  Nothing is removed unless all that is kept could be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from vexrepo.history.reach import reachable, with_bases
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.repository import mergestate
from vexrepo.repository.core import Core
from vexrepo.storage.oplog import gc_horizon
from vexrepo.storage.pack import Entry, Key, PackReader

GEOMETRIC: Final = 2  # a pack stays as it is while it is at least so many times as large as all smaller ones together
GARBAGE_SHARE: Final = 0.25  # a pack is rewritten where more than this share of it is not needed
DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Collected:
    """What a gc did, or with a dry run would do.  Sizes in bytes; ``horizon`` is the oldest operation still whole."""

    packs_before: int
    packs_after: int
    size_before: int
    size_after: int
    objects_removed: int
    commits_kept: int
    horizon: int

    @property
    def freed_bytes(self) -> int:
        """Bytes given back."""
        return self.size_before - self.size_after


@dataclass(slots=True)
class _Plan:
    """Which packs are replaced, and which of their objects go into the one that replaces them."""

    readers: dict[str, PackReader]
    sizes: dict[str, int]
    replaced: list[str] = field(default_factory=list)
    copied: dict[_Place, tuple[PackReader, Entry]] = field(default_factory=dict)
    removed: int = 0

    @property
    def size_after(self) -> int:
        kept = sum(size for name, size in self.sizes.items() if name not in self.replaced)
        return kept + (sum(entry.stored + 64 for _, entry in self.copied.values()) + 96 if self.copied else 0)


def collect(
    repository: Core, *, keep_days: float = 30, full: bool = False, prune: bool = True, dry_run: bool = False
) -> Collected:
    """Join packs and remove what nothing needs.

    Kept is what the refs need, and what those of the operations of the last ``keep_days`` need, so that undo works;
    without ``prune`` everything is kept and packs are only joined; ``full`` joins them all.
    Raises: Tampered where something that is kept cannot be read (nothing is changed then), Locked, StorageFailure.
    """
    with repository.lock():
        commits, horizon = _roots(repository, keep_days if prune else float("inf"))
        walked = 0

        def advance(count: int) -> None:
            nonlocal walked
            walked += count
            repository.around.progress("finding what is needed", walked, None)

        kept: set[Key] | None = None
        if prune:
            kept = with_bases(repository.objects, reachable(repository.objects, commits, advance))
        plan = _plan(repository, kept, full=full)
        found = Collected(
            len(plan.sizes),
            len(plan.sizes) - len(plan.replaced) + bool(plan.copied),
            sum(plan.sizes.values()),
            plan.size_after if plan.replaced else sum(plan.sizes.values()),
            plan.removed,
            walked,
            horizon,
        )
        if plan.replaced and not dry_run:
            _carry_out(repository, plan, found)
        return found


def _roots(repository: Core, keep_days: float) -> tuple[set[CommitId], int]:
    """Return the commits that are kept with their ancestors, and the oldest operation whose view is kept."""
    _, current = repository.log.current()
    oldest_us = repository.around.now_us() - keep_days * DAY_US
    commits, horizon, before = set[CommitId](), current.sequence, 0
    for _, operation in repository.log.walk():
        is_old = operation.time_us < oldest_us or operation.sequence < before
        if is_old and operation.sequence != current.sequence:
            break
        horizon, before = operation.sequence, max(before, gc_horizon(operation) or 0)
        view = operation.view
        commits.update(view.refs.values())
        if view.commit is not None:
            commits.add(view.commit)
        # What a store was last seen at may be long gone.
        seen = [CommitId.parse(found["commit"]) for found in view.stores.values() if found.get("commit")]
        commits.update(commit for commit in seen if commit in repository.objects)
    state = mergestate.read_state(repository.folder)
    if state is not None:
        commits |= {state.ours, state.theirs}
    return commits, horizon


def _plan(repository: Core, kept: set[Key] | None, *, full: bool) -> _Plan:
    objects = repository.objects
    readers = {name: objects.reader(name) for name in objects.packs}
    plan = _Plan(readers, {name: reader.path.stat().st_size for name, reader in readers.items()})
    needed = {name: _needed(reader, kept) for name, reader in readers.items()}
    garbage = {
        name: sum(entry.stored for entry in reader) - sum(e.stored for e in needed[name])
        for name, reader in readers.items()
    }
    by_size = sorted(readers, key=lambda name: (plan.sizes[name], name))
    joined = set(by_size) if full else _too_small(by_size, plan.sizes)
    joined |= {name for name in by_size if garbage[name] > GARBAGE_SHARE * plan.sizes[name]}
    joined |= {name for name in by_size if not needed[name]}
    if len(joined) == 1 and not garbage[next(iter(joined))]:
        joined = set()  # it would be written anew as it is
    signed = {entry.id for name in joined for entry in needed[name] if entry.type == ObjectType.SIGNATURE}
    held: dict[_Place, tuple[PackReader, Entry]] = {}
    for name in by_size:
        for entry in readers[name] if name not in joined else ():
            if entry.type == ObjectType.SIGNATURE and entry.id not in signed:
                continue  # its bytes need not be read
            place = _place(readers[name], entry)
            other = held.get(place)
            if other is None or entry.depth < other[1].depth:
                held[place] = readers[name], entry
    for name in sorted(joined):  # names begin with a number: oldest first
        plan.replaced.append(name)
        plan.removed += readers[name].count - len(needed[name])
        for entry in sorted(needed[name], key=lambda entry: entry.offset):
            place = _place(readers[name], entry)
            other = held.get(place)
            # The copy nearest to a whole object stays: differences from it may be from that very copy.
            if other is None or entry.depth < other[1].depth:
                held[place] = plan.copied[place] = readers[name], entry
    return plan


_Place = tuple[bytes, int, bytes]


def _place(reader: PackReader, entry: Entry) -> _Place:
    """Return what tells one object from all others: id and type, and of a commit's signatures their bytes."""
    return entry.id, entry.type, reader.stored(entry) if entry.type == ObjectType.SIGNATURE else b""


def _needed(reader: PackReader, kept: set[Key] | None) -> list[Entry]:
    return [entry for entry in reader if kept is None or (entry.id, entry.type) in kept]


def _too_small(by_size: list[str], sizes: dict[str, int]) -> set[str]:
    """Return the packs to join so that each remaining one is GEOMETRIC times as large as all smaller ones together."""
    smaller = sum(sizes[name] for name in by_size)
    split = len(by_size)
    for position in range(len(by_size) - 1, -1, -1):
        smaller -= sizes[by_size[position]]
        if sizes[by_size[position]] < GEOMETRIC * smaller:
            break
        split = position
    return set(by_size[:split]) if split > 1 else set()


def _carry_out(repository: Core, plan: _Plan, found: Collected) -> None:
    total = sum(entry.stored for _, entry in plan.copied.values())
    done = 0
    with repository.objects.writer() as writer:
        for reader, entry in plan.copied.values():
            # Read whole and checked, so that damage is never copied and then taken for sound.
            repository.objects.read_copy(reader, entry)
            writer.copy(reader, entry)
            done += entry.stored
            repository.around.progress("joining packs bytes", done, total)
        packs = writer.finish()
    detail = f"horizon {found.horizon}: {found.packs_before} packs to {found.packs_after}"
    repository.record(repository.view(), "gc", detail, packs)
    for name in plan.replaced:
        if name not in packs:
            repository.files.remove(repository.folder / "packs" / name)
    repository.objects.refresh()
