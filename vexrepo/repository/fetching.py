"""Fetching: what a remote has and we have not is received, checked whole, and only then named by refs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vexrepo.errors import Tampered
from vexrepo.history.ancestry import is_ancestor
from vexrepo.objects.digest import CommitId
from vexrepo.repository.admitting import admit, tell_of_fetch
from vexrepo.repository.core import Core
from vexrepo.repository.receiving import Received, receive
from vexrepo.repository.remotes import Base, Kind, Reach, RefMove, Remote, Visit, visit
from vexrepo.storage.oplog import BRANCHES, TAGS, View


@dataclass(frozen=True, slots=True)
class TagKept:
    """A tag that is elsewhere at the remote than here, and was left where it is."""

    name: str
    ours: CommitId
    theirs: CommitId


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch found.  ``moves`` are the remote's branches (``deleted``: no longer there), ``tags`` new ones.

    ``sealed_bytes`` were received, in ``packs`` with ``objects``; ``generation`` is that of the head that was read.
    ``said`` is what the policy lets in but wants said of signatures.
    """

    moves: tuple[RefMove, ...]
    tags: tuple[RefMove, ...] = ()
    tags_kept: tuple[TagKept, ...] = ()
    packs: int = 0
    objects: int = 0
    commits: int = 0
    sealed_bytes: int = 0
    generation: int = 0
    said: tuple[str, ...] = ()
    signatures: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether everything is as it was."""
        return not self.tags and not self.signatures and all(move.kind == "same" for move in self.moves)


def fetch(repository: Core, remote: Remote, reach: Reach, *, dry_run: bool = False) -> Fetched:
    """Receive what a remote's branches and tags need; take note of where its branches are, and of tags that are new.

    Raises: HostError, WrongKey, Tampered (host-tampered, host-rolled-back, host-incomplete, …), InvalidData
    (signature-bad, …), Refused: then nothing was changed.  StorageFailure, Locked.
    """
    with visit(Base.of(repository), remote, reach) as door, repository.scratch() as scratch:
        if dry_run:
            _, found = _plan(repository, repository.view(), remote, door.vault.head.refs)
            return replace(found, generation=door.vault.head.generation)
        return fetch_from(repository, door, scratch)


def fetch_from(repository: Core, door: Visit, scratch: Path, *, all_tags: bool = False) -> Fetched:
    """Fetch from a host that is open; ``all_tags``: also what those tags need that will not be named here."""
    remote, refs = door.remote, door.vault.head.refs

    def receive_all(part: str) -> tuple[Received, set[CommitId]]:
        view = repository.view()
        have = complete_commits(view)
        want = set(refs.values()) - have if all_tags else wanted_commits(view, refs)
        return receive(door, repository.objects.folder, have, want, scratch / part), have | want

    repository.objects.refresh()
    before = set(repository.objects.packs)
    received, complete = receive_all("first")
    with repository.lock():
        # A gc may have come in between, or a tag may have gone that kept another from being wanted.
        is_as_before = before <= set(repository.objects.packs)
        if not is_as_before or not wanted_commits(repository.view(), refs) <= complete:
            received, _ = receive_all("again")
        names = repository.objects.adopt(received.packs)
        view, found = _plan(repository, repository.view(), remote, refs)
        said = admit(repository, remote, (*found.moves, *found.tags), received.checked.commits, names)
        if names or view.refs != repository.view().refs:
            repository.record(view, "fetch", _detail(remote, found), names)
    door.remember()
    tell_of_fetch(repository, remote, (*found.moves, *found.tags))
    return replace(
        found,
        said=tuple(said),
        packs=len(received.packs),
        objects=received.checked.objects,
        commits=len(received.checked.commits),
        sealed_bytes=received.sealed_bytes,
        signatures=received.signatures,
        generation=door.vault.head.generation,
    )


def complete_commits(view: View) -> set[CommitId]:
    """Return commits that are here with all they need: those that refs name."""
    found = set(view.refs.values())
    if view.commit is not None:
        found.add(view.commit)
    return found


def wanted_commits(view: View, refs: Mapping[str, CommitId]) -> set[CommitId]:
    """Return the commits at a remote that refs will name here."""
    wanted = {
        commit for name, commit in refs.items() if name.startswith(BRANCHES) or name not in view.refs
    }  # a tag that is here stays where it is
    return wanted - complete_commits(view)


def _plan(repository: Core, view: View, remote: Remote, refs: Mapping[str, CommitId]) -> tuple[View, Fetched]:
    """Return the view after a fetch, and how it differs."""
    known = view.tracking(remote.name)
    now = {name[len(BRANCHES) :]: commit for name, commit in refs.items() if name.startswith(BRANCHES)}
    moves = []
    for name in sorted({*known, *now}):
        old, new = known.get(name), now.get(name)
        moves.append(RefMove(BRANCHES + name, old, new, _kind(repository, old, new)))
    after, tags, kept = view.with_tracking(remote.name, now), [], []
    for name in sorted(name for name in refs if name.startswith(TAGS)):
        ours = view.refs.get(name)
        if ours is None:
            after = after.with_ref(name, refs[name])
            tags.append(RefMove(name, None, refs[name], "new"))
        elif ours != refs[name]:
            kept.append(TagKept(name[len(TAGS) :], ours, refs[name]))
    return after, Fetched(tuple(moves), tuple(tags), tuple(kept))


def _kind(repository: Core, old: CommitId | None, new: CommitId | None) -> Kind:
    if old == new:
        return "same"
    if old is None:
        return "new"
    if new is None:
        return "deleted"
    try:
        return "forward" if is_ancestor(repository.commit_at, old, new) else "forced"
    except Tampered as error:
        if error.code != "object-missing":
            raise
        return "forward"  # a dry run has not fetched what would tell


def _detail(remote: Remote, found: Fetched) -> str:
    moved = [move.name.partition("/")[2] for move in (*found.moves, *found.tags) if move.kind != "same"]
    return f"{', '.join(moved[:8])}{' …' if len(moved) > 8 else ''} from {remote.name}".strip()
