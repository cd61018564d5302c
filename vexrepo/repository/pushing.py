"""Pushing: what a host has not is sealed and sent, and its refs move, all at once or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vexrepo.errors import Locked, StateError, StorageFailure, Tampered
from vexrepo.history.ancestry import is_ancestor
from vexrepo.history.lacking import commits_between
from vexrepo.objects.digest import CommitId
from vexrepo.remotes.hosts.base import HostMoved
from vexrepo.remotes.hosts.parts import describe_pack
from vexrepo.repository.admitting import pass_push, tell_of_push
from vexrepo.repository.core import Core
from vexrepo.repository.cosigning import cosigned, late_signatures, write_signatures
from vexrepo.repository.packing import Packed, pack_commits
from vexrepo.repository.refspec import RefUpdate
from vexrepo.repository.remotes import Base, Reach, RefMove, Remote, Visit, visit
from vexrepo.storage.oplog import BRANCHES, TAGS
from vexrepo.storage.pack import PackReader
from vexrepo.storage.passphrase import Cost

ATTEMPTS: Final = 8  # while others publish in between without touching what is pushed


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, or with a dry run would do.

    ``pack_bytes`` is what was sealed, ``sealed_bytes`` what that made; ``signatures`` counts those beside commits that
    the host had already; ``generation`` is that of the host's newest
    head, ``created`` says that the host was empty, ``retries`` how often somebody else was quicker.  ``noted`` is false
    where the push is done and the repository could not be told: the next fetch makes up for that.
    """

    moves: tuple[RefMove, ...]
    packs: int = 0
    objects: int = 0
    pack_bytes: int = 0
    sealed_bytes: int = 0
    generation: int = 0
    created: bool = False
    retries: int = 0
    noted: bool = True
    signatures: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to push: nothing was published."""
        return not self.signatures and all(move.kind == "same" for move in self.moves)


@dataclass(frozen=True, slots=True)
class _Parcel:
    """Packs made for a host that has certain packs already; ``signatures`` beside commits in those go along."""

    packed: Packed
    on: frozenset[str]
    signatures: int


def push(
    repository: Core,
    remote: Remote,
    reach: Reach,
    updates: Sequence[RefUpdate],
    *,
    expect: Mapping[str, CommitId | None] | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Bring refs of a remote to what ``updates`` say, all of them or none; an empty host is made ours.

    ``expect`` says where refs have to be at the remote (None: not there).  Without it ``force`` leaves behind only
    commits that this repository has seen there.

    Raises: StateError (not-fast-forward, host-moved) where the remote has what we have not: pull first; HostError,
    WrongKey, Tampered, Refused (a check or hook), StorageFailure.
    """
    if dry_run:  # an empty host is left empty, and nobody is asked for a passphrase that would not be used
        reach = replace(reach, new_passphrase=lambda: secrets.token_hex(16), recipients=(), cost=Cost(64, 1, 1))
    with visit(Base.of(repository), remote, reach, makes=True) as door, repository.scratch() as scratch:
        vault = door.vault
        created = vault.tip is None
        started = {update.name: vault.head.refs.get(update.name) for update in updates}
        parcel: _Parcel | None = None
        signs_more = bool(cosigned(repository.objects))
        for attempt in range(ATTEMPTS):
            moves = tuple(_move(repository, remote, door, update, expect) for update in updates)
            moves_none = all(move.kind == "same" for move in moves)
            if moves_none and not signs_more:
                return _nothing(repository, remote, door, moves, dry_run=dry_run)
            if parcel is None or not parcel.on <= {pack.digest for pack in vault.head.packs}:
                parcel = _parcel(repository, door, moves, scratch / str(attempt))
            if moves_none and not parcel.signatures:
                return _nothing(repository, remote, door, moves, dry_run=dry_run)
            packed, before = parcel.packed, {pack.digest for pack in vault.head.packs}
            done = Pushed(moves, len(packed.paths), packed.objects, packed.size_bytes, created=created, retries=attempt)
            done = replace(done, signatures=parcel.signatures)
            if dry_run:
                return done
            if not attempt and not moves_none:
                pass_push(repository, remote, moves)
            try:
                head = vault.publish(_refs_after(vault.head.refs, moves), packed.paths)
            except HostMoved:
                vault.refresh()
                _check_unmoved(remote, started, vault.head.refs)
                continue
            new = [pack for pack in head.packs if pack.digest not in before]
            door.learn(new, packed.paths)
            sealed = sum(part.sealed for pack in new for part in pack.parts)
            done = replace(done, packs=len(new), sealed_bytes=sealed, generation=head.generation)
            done = _settle(repository, remote, door, done)
            if not moves_none:
                tell_of_push(repository, remote, moves)
            return done
        raise HostMoved(f"others keep publishing to {remote.url}; run the command again", code="host-moved")


# -- what is to happen -------------------------------------------------------------------------------------------------


def _move(
    repository: Core, remote: Remote, door: Visit, update: RefUpdate, expect: Mapping[str, CommitId | None] | None
) -> RefMove:
    """Return what becomes of a ref.  Raises: StateError (not-fast-forward, host-moved)."""
    name, new, old = update.name, update.commit, door.vault.head.refs.get(update.name)
    if expect is not None and name in expect and expect[name] != old:
        raise StateError(
            f"{name} is at {_short(old)} at {remote.name}, expected {_short(expect[name])}: somebody moved it; look at "
            f"it with `vex fetch {remote.name}`",
            code="host-moved",
        )
    if old == new:
        return RefMove(name, old, new, "same")
    if old is None:
        return RefMove(name, None, new, "new")
    if new is not None and name.startswith(BRANCHES) and old in repository.objects:
        if is_ancestor(repository.commit_at, old, new):
            return RefMove(name, old, new, "forward")
    if not update.force and new is not None:
        _refuse(remote, update, old, is_here=old in repository.objects)
    if (expect is None or name not in expect) and not _was_seen(repository, remote, name, old):
        raise StateError(
            f"{name} at {remote.name} is at {old.short}, which this repository has not seen there: look at what would "
            f"be lost with `vex fetch {remote.name}`, then run the command again",
            code="host-moved",
        )
    return RefMove(name, old, new, "forced" if new is not None else "deleted")


def _refuse(remote: Remote, update: RefUpdate, old: CommitId, *, is_here: bool) -> None:
    kind, _, name = update.name.partition("/")
    if kind == TAGS[:-1]:
        raise StateError(
            f"the tag {name} is at {old.short} at {remote.name}; a tag does not move: choose another name, or --force",
            code="not-fast-forward",
        )
    why = "has commits that are not in yours" if is_here else "has commits that are not here"
    raise StateError(
        f"{name} at {remote.name} {why} (it is at {old.short}): bring both together first with "
        f"`vex pull {remote.name}{'' if is_here else ' ' + name}`, then push again",
        code="not-fast-forward",
    )


def _was_seen(repository: Core, remote: Remote, name: str, commit: CommitId) -> bool:
    """Whether this repository knows where a ref of a remote is; of a tag, where its commit is here."""
    if name.startswith(BRANCHES):
        return repository.view().tracking(remote.name).get(name[len(BRANCHES) :]) == commit
    return commit in repository.objects


def _check_unmoved(remote: Remote, started: Mapping[str, CommitId | None], now: Mapping[str, CommitId]) -> None:
    """Raise StateError (host-moved) where somebody else moved what was to be pushed."""
    for name, before in started.items():
        if now.get(name) != before:
            raise StateError(
                f"somebody else pushed {name.partition('/')[2]} to {remote.name} meanwhile (it is at "
                f"{_short(now.get(name))}, was at {_short(before)}); nothing of yours was published: "
                f"`vex pull {remote.name}` first",
                code="host-moved",
            )


def _short(commit: CommitId | None) -> str:
    return commit.short if commit is not None else "nothing"


def _refs_after(refs: Mapping[str, CommitId], moves: Iterable[RefMove]) -> dict[str, CommitId]:
    after = dict(refs)
    for move in moves:
        if move.new is None:
            after.pop(move.name, None)
        else:
            after[move.name] = move.new
    return after


def _nothing(repository: Core, remote: Remote, door: Visit, moves: tuple[RefMove, ...], *, dry_run: bool) -> Pushed:
    done = Pushed(moves, generation=door.vault.head.generation)
    return done if dry_run else _settle(repository, remote, door, done)


# -- what goes along ---------------------------------------------------------------------------------------------------


def _parcel(repository: Core, door: Visit, moves: Iterable[RefMove], folder: Path) -> _Parcel:
    """Make packs of what the host has not."""
    wanted = [move.new for move in moves if move.new is not None and move.kind != "same"]
    head = door.vault.head
    # Packs that others made, or whose listing is gone.
    unknown = [pack for pack in head.packs if not door.contents.knows(pack.digest)]
    for pack, index in door.vault.read_indexes(unknown):
        door.contents.learn(pack.digest, index)
    packs = [pack.digest for pack in head.packs]
    commits = _commits(repository, set(head.refs.values()), wanted)
    packed = pack_commits(repository, commits, folder, lambda keys: door.contents.held(packs, keys))
    late = late_signatures(repository, door.contents, packs, commits)
    if late:
        path = write_signatures(repository.files, folder / "signatures", late)
        digest = describe_pack(path).digest
        if digest in packs:  # it was sent before, and that was forgotten
            door.contents.learn_pack(digest, PackReader(path))
            late = []
        else:
            packed = Packed((*packed.paths, path), packed.objects + len(late))
    return _Parcel(packed, frozenset(packs), len(late))


def _commits(repository: Core, theirs: set[CommitId], wanted: Sequence[CommitId]) -> list[CommitId]:
    """Return the commits that a host has not."""
    known = theirs & set(repository.view().refs.values())
    try:
        here = {commit for commit in theirs if commit in repository.objects}
        return commits_between(repository.commit_at, here, wanted)
    except Tampered as error:
        if error.code != "object-missing":
            raise
        # What no ref here names may have been removed by gc in part.
        return commits_between(repository.commit_at, known, wanted)


# -- afterwards --------------------------------------------------------------------------------------------------------


def _settle(repository: Core, remote: Remote, door: Visit, done: Pushed) -> Pushed:
    """Remember where the remote's branches are now; what was published stands whether or not that succeeds."""
    door.remember()
    try:
        with repository.lock():
            view = repository.view()
            known = view.tracking(remote.name)
            for move in done.moves:
                if move.name.startswith(BRANCHES):
                    known.pop(move.name[len(BRANCHES) :], None)
                    if move.new is not None:
                        known[move.name[len(BRANCHES) :]] = move.new
            after = view.with_tracking(remote.name, known)
            if after.refs != view.refs:
                moved = ", ".join(move.name.partition("/")[2] for move in done.moves if move.kind != "same")
                repository.record(after, "push", f"{moved} to {remote.name}".strip())
    except (Locked, StorageFailure):
        return replace(done, noted=False)
    return done
