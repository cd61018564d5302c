"""Cloning: a new repository of what a host holds.  Until all of it is there and checked, there is none."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from vexrepo.errors import StateError, UsageError
from vexrepo.objects.digest import CommitId
from vexrepo.repository.admitting import admit
from vexrepo.repository.core import FIRST_BRANCH, FOLDER, Core
from vexrepo.repository.receiving import Received, receive
from vexrepo.repository.remotes import Base, Reach, RefMove, Remote, visit
from vexrepo.repository.surroundings import Surroundings
from vexrepo.storage.lock import writer_lock
from vexrepo.storage.oplog import BRANCHES, TAGS, Operation, View
from vexrepo.storage.store import ObjectStore

AnyCore = TypeVar("AnyCore", bound=Core)
_LOCK_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Cloned:
    """What was cloned.  ``branch`` is the current one, at ``commit`` (None: it has none yet).

    ``sealed_bytes`` were received, ``kept_bytes`` were there from an attempt that was interrupted; ``said`` is what the
    policy lets in but wants said of signatures.
    """

    branch: str
    commit: CommitId | None
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    packs: int
    objects: int
    commits: int
    sealed_bytes: int
    kept_bytes: int
    said: tuple[str, ...] = ()


def clone(
    cls: type[AnyCore],
    remote: Remote,
    folder: Path,
    around: Surroundings,
    reach: Reach,
    *,
    branch: str | None = None,
    configure: Callable[[Core], None] = lambda made: None,
) -> tuple[AnyCore, Cloned]:
    """Make a repository in a new or empty folder, of all that a host holds; ``configure`` writes its settings.

    The remote's branches become ``remotes/REMOTE/…``; ``branch`` (default: main, else the only one or the first) is
    made here, too.  What an interrupted clone has received is kept in the folder, and used when it is run again.

    Raises: StateError (repository-exists, folder-not-empty), UsageError (unknown-revision) for a branch the host has
    not, HostError, WrongKey, Tampered, InvalidData, Refused, StorageFailure: then there is no repository.
    """
    place = folder / FOLDER
    _check_free(folder)
    first_id = os.urandom(16).hex()
    with visit(Base(place, around, first_id, signs=False), remote, reach) as door:
        refs = door.vault.head.refs
        chosen = _choose(remote, refs, branch)
        with _attempt(folder, around) as scratch:
            received = receive(door, place / "packs", (), set(refs.values()), scratch)
            names = ObjectStore(place / "packs", around.files).adopt(received.packs)
            view = _view(remote, refs, chosen)
            first = Operation(first_id, 0, None, around.now_us(), "clone", remote.name, view, names)
            said: list[str] = []

            def let_in(made: Core) -> None:
                configure(made)
                said.extend(admit(made, remote, _as_moves(refs), received.checked.commits))

            made = cls.establish(place, around, first, let_in)
        shutil.rmtree(scratch, ignore_errors=True)
        door.remember()
    return made, replace(_cloned(refs, chosen, received), said=tuple(said))


@contextlib.contextmanager
def _attempt(folder: Path, around: Surroundings) -> Iterator[Path]:
    """Make the folder, and keep others from cloning into it meanwhile; give where packs are received.

    A failed attempt leaves packs that came whole, and else nothing that was not there.
    """
    place = folder / FOLDER
    scratch = place / "tmp" / "clone"
    new = [path for path in (place, folder) if not path.exists()]
    around.files.make_folder(scratch)
    with writer_lock(place / "lock", _LOCK_TIMEOUT_S):
        if (place / "format").exists():
            raise _exists(place)
        try:
            yield scratch
        except BaseException:
            if not any((*scratch.glob("*.pack"), *place.glob("packs/*.pack"))):
                for path in new:
                    shutil.rmtree(path, ignore_errors=True)
            raise


def _exists(place: Path) -> StateError:
    return StateError(f"there is a repository in {place} already; nothing was changed", code="repository-exists")


def _check_free(folder: Path) -> None:
    if (folder / FOLDER / "format").exists():
        raise _exists(folder / FOLDER)
    if folder.exists() and (not folder.is_dir() or any(path.name != FOLDER for path in folder.iterdir())):
        raise StateError(
            f"{folder} is not empty; clone into a new folder, or `vex init` there and add the remote",
            code="folder-not-empty",
        )


def _choose(remote: Remote, refs: Mapping[str, CommitId], wanted: str | None) -> str:
    branches = sorted(name[len(BRANCHES) :] for name in refs if name.startswith(BRANCHES))
    if wanted is not None and wanted not in branches:
        raise UsageError(
            f"{remote.url} has no branch {wanted!r} (it has: {', '.join(branches) or 'none'})", code="unknown-revision"
        )
    if wanted is not None or not branches:
        return wanted or FIRST_BRANCH
    return FIRST_BRANCH if FIRST_BRANCH in branches else branches[0]


def _as_moves(refs: Mapping[str, CommitId]) -> list[RefMove]:
    return [RefMove(name, None, commit, "new") for name, commit in sorted(refs.items())]


def _view(remote: Remote, refs: Mapping[str, CommitId], branch: str) -> View:
    branches = {name[len(BRANCHES) :]: commit for name, commit in refs.items() if name.startswith(BRANCHES)}
    own = {name: commit for name, commit in refs.items() if name.startswith(TAGS)}
    if branch in branches:
        own[BRANCHES + branch] = branches[branch]
    return View(BRANCHES + branch, own).with_tracking(remote.name, branches)


def _cloned(refs: Mapping[str, CommitId], branch: str, received: Received) -> Cloned:
    names = sorted(refs)
    return Cloned(
        branch,
        refs.get(BRANCHES + branch),
        tuple(name[len(BRANCHES) :] for name in names if name.startswith(BRANCHES)),
        tuple(name[len(TAGS) :] for name in names if name.startswith(TAGS)),
        len(received.packs),
        received.checked.objects,
        len(received.checked.commits),
        received.sealed_bytes,
        received.kept_bytes,
    )
