"""Stores as remotes on the command line: which one a text means, and what push, fetch and pull say of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from vexrepo.cli.output import heading, say
from vexrepo.cli.remotes import find_remote, is_store_address, key
from vexrepo.cli.surroundings import Edge
from vexrepo.cli.text import UNCHANGED, counted, memories, plain, seconds_words, tally
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.cli.remotes import Remote
    from vexrepo.objects.digest import CommitId
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import Repository
    from vexrepo.repository.pulling import Pulled
    from vexrepo.repository.storefetch import StoreFetched, StorePulled
    from vexrepo.repository.storepush import Moved, StorePushed
    from vexrepo.repository.storerefs import StoreRemote


def find_store(edge: Edge, repository: Repository, text: str | None) -> StoreRemote | None:
    """Return the store that push, fetch and pull are about, None where they are about a host.

    ``text`` is a remote's name or a store's address; None: the remote that is meant where none is named.
    Raises: UsageError (unknown-remote, bad-address, unknown-store).
    """
    config = repository.config
    names = config.names("remote")
    if text is None or text in names:
        if not any(config[key(name, "store")] for name in names):
            return None
        found = find_remote(config, text, stores=True)
        return as_store(repository, found) if found.store else None
    if text in {ref.partition("/")[2] for ref in repository.view().own_refs} or not is_store_address(text):
        return None
    return named_store(repository, edge.address(text))


def named_store(repository: Repository, address: Address) -> StoreRemote:
    """Return a store under the name of the remote it is, else under one made from its address."""
    from vexrepo.repository.storerefs import StoreRemote, configured, name_for

    store = repository.store_name(address)
    for name, each in configured(repository).items():
        if each == store:
            return StoreRemote(name, address, name)
    return StoreRemote(name_for(store), address, str(address))


def as_store(repository: Repository, remote: Remote) -> StoreRemote:
    """Return a configured remote that is a store, with what opens it."""
    from vexrepo.repository.storerefs import StoreRemote

    address = repository.around.equip(repository.address(remote.store))
    return StoreRemote(remote.name, address, remote.name)


def check_host_options(store: StoreRemote, given: dict[str, bool]) -> None:
    """Raise UsageError (bad-option) for options that go with hosts only."""
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise UsageError(
            f"{store.label} is a store: it holds one state, and no branches, tags or keys; {named[0]} goes with "
            "remotes at a Git host",
            code="bad-option",
        )


# -- push --------------------------------------------------------------------------------------------------------------


def push_to_store(
    edge: Edge,
    repository: Repository,
    store: StoreRemote,
    branches: tuple[str, ...],
    *,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring a store to a branch and report.  Raises: StateError (store-moved, not-fast-forward), StoreError, …"""
    from vexrepo.cli.output import emit
    from vexrepo.repository.storepush import push_store

    if len(branches) > 1:
        raise UsageError(f"{store.label} is a store and holds one state: name one branch", code="bad-option")
    name = branches[0] if branches else repository.view().branch or "HEAD"
    if name.startswith("+") or ":" in name:
        raise UsageError(
            f"{store.label} is a store and has no branches: expected a branch or revision of yours, got {name!r}",
            code="bad-option",
        )
    commit = repository.resolve(name if branches else "HEAD")
    edge.unsure = "" if dry_run else f"the same command again completes it: vex push {store.label}"
    done = push_store(repository, store, commit, force=force, dry_run=dry_run)
    if as_json:
        emit(pushed_json(repository, done, dry_run))
    else:
        _say_pushed(edge, done, name, dry_run)


def _say_pushed(edge: Edge, done: StorePushed, name: str, dry_run: bool) -> None:
    from vexrepo.cli.commands.checkout import flow_words, verified_words

    where = _where(done.remote)
    if done.done is None or done.done.outflow.is_empty:
        if dry_run:
            say(f"would write nothing: {where} holds {done.new.short}")
        else:
            say(f"nothing to send: {where} holds {plain(name)} ({done.new.short}) as it is here")
        return
    total = done.done.snapshot.records.count
    parts = flow_words(done.done.outflow)
    if dry_run:
        say(f"would bring {where} to {plain(name)} ({done.new.short}): {', '.join(parts)}")
        if done.moved:
            what = _moved_words(done.moved)
            say(f"  refused as it stands: {what} there since it was last seen; pull first, or --force")
        elif done.diverged and done.old is not None:
            say(f"  refused as it stands: it was last seen at {done.old.short}; merge {plain(done.remote.name)} first")
        return
    parts += [words] if (words := verified_words(done.done)) else []
    say(f"{memories(total)} → {where} · {' · '.join(parts)} · {seconds_words(edge.elapsed_s())}")
    old = f"{done.old.short} → " if done.old is not None and done.old != done.new else ""
    mark = "  new" if done.kind == "new" else "  forced" if done.kind == "forced" else ""
    say(f"  {plain(name)}  {old}{heading(done.new.short)}{mark}")
    if done.moved:
        say(f"  overwritten: {_moved_words(done.moved)} there since it was last seen")


def _where(store: StoreRemote) -> str:
    address = plain(str(store.address))
    return address if store.label == str(store.address) else f"{plain(store.name)} ({address})"


def _moved_words(moved: Moved) -> str:
    return change_words(moved.learned, moved.changed, moved.forgotten, moved.edges)


def change_words(learned: int, changed: int, forgotten: int, edges: int = 0) -> str:
    """Return ``2 learned, 1 forgotten, 3 edges``."""
    parts = [part for part in (tally(learned, changed, forgotten),) if part != UNCHANGED]
    if edges:
        parts.append(counted(edges, "edge"))
    return ", ".join(parts) or UNCHANGED


def pushed_json(repository: Repository, done: StorePushed, dry_run: bool) -> dict[str, Any]:
    """Return what a push to a store did as JSON."""
    flow = done.done.outflow if done.done is not None else None
    moved = done.moved
    return {
        "remote": done.remote.name,
        "store": repository.store_name(done.remote.address),
        "dry_run": dry_run,
        "old": done.old.hex() if done.old else None,
        "new": done.new.hex(),
        "result": done.kind,
        "records": done.done.snapshot.records.count if done.done is not None else None,
        "added": flow.added if flow else 0,
        "changed": flow.changed if flow else 0,
        "removed": flow.removed if flow else 0,
        "edges_written": len(flow.edge_upserts) if flow else 0,
        "edges_removed": len(flow.edge_deletes) if flow else 0,
        "verified": done.done.verified if done.done is not None else None,
        "read_back": done.done.read_back if done.done is not None else 0,
        "whole": done.done.is_whole if done.done is not None else False,
        "moved": {
            "learned": moved.learned,
            "changed": moved.changed,
            "forgotten": moved.forgotten,
            "edges": moved.edges,
        },
        "diverged": done.diverged,
    }


# -- fetch -------------------------------------------------------------------------------------------------------------


def fetch_from_store(edge: Edge, repository: Repository, store: StoreRemote, *, dry_run: bool = False) -> StoreFetched:
    """Commit what a store holds to the ref that tracks it."""
    from vexrepo.repository.storefetch import fetch_store

    edge.reads(store.address)
    return fetch_store(repository, store, dry_run=dry_run)


def say_fetched(edge: Edge, found: StoreFetched, dry_run: bool) -> None:
    """Print what a fetch from a store found."""
    where = _where(found.remote)
    if found.kind == "same":
        say(f"nothing new: {where} holds {found.old.short if found.old else 'nothing'} as it was last seen")
        return
    counts = found.tally
    what = change_words(counts.learned, counts.changed, counts.forgotten)
    if found.new is not None and not found.is_made:
        say(f"{where} holds exactly {found.new.short}: {memories(found.records)}")
    elif dry_run:
        say(f"would commit what {where} holds: {what} · {memories(found.records)}")
    else:
        say(f"{what} · {memories(found.records)} from {where} · {seconds_words(edge.elapsed_s())}")
    if found.new is not None and not dry_run:
        old = f"{found.old.short} → " if found.old is not None else ""
        say(f"  {plain(found.remote.name)}  {old}{heading(found.new.short)}" + ("" if found.old else "  new"))
    if found.note:
        say(f"note: {plain(found.note)}")


def fetched_json(repository: Repository, found: StoreFetched, dry_run: bool) -> dict[str, Any]:
    """Return what a fetch from a store found as JSON."""
    return {
        "remote": found.remote.name,
        "store": repository.store_name(found.remote.address),
        "dry_run": dry_run,
        "old": found.old.hex() if found.old else None,
        "new": found.new.hex() if found.new else None,
        "result": found.kind,
        "committed": found.is_made and not dry_run,
        "records": found.records,
        "learned": found.tally.learned,
        "changed": found.tally.changed,
        "forgotten": found.tally.forgotten,
        "note": found.note or None,
    }


# -- pull --------------------------------------------------------------------------------------------------------------


class Source(ABC):
    """What a pull is from: a branch at a host, or a store; ``say`` and ``to_json`` are about what was fetched."""

    def __init__(self, edge: Edge, repository: Repository) -> None:
        self.edge, self.repository = edge, repository

    @abstractmethod
    def pull(self, **options: Any) -> Pulled | StorePulled:
        """Fetch and merge; ``options`` are those of ``merging.merge``."""

    @abstractmethod
    def look(self) -> tuple[CommitId, str]:
        """Fetch; return what a pull would merge, and its name."""

    @abstractmethod
    def say(self) -> None:
        """Print what was fetched."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what was fetched as JSON."""


class StoreSource(Source):
    """What a store holds now."""

    def __init__(self, edge: Edge, repository: Repository, store: StoreRemote) -> None:
        super().__init__(edge, repository)
        self._store = store
        self._fetched: StoreFetched | None = None

    def pull(self, **options: Any) -> StorePulled:
        from vexrepo.repository.storefetch import pull_store

        self.edge.reads(self._store.address)
        done = pull_store(self.repository, self._store, **options)
        self._fetched = done.fetched
        return done

    def look(self) -> tuple[CommitId, str]:
        found = self._fetched = fetch_from_store(self.edge, self.repository, self._store)
        assert found.new is not None
        return found.new, self._store.name

    def say(self) -> None:
        assert self._fetched is not None
        say_fetched(self.edge, self._fetched, False)

    def to_json(self) -> dict[str, Any]:
        assert self._fetched is not None
        return fetched_json(self.repository, self._fetched, False)
