"""Care of a host: what it holds, whether all of it is right, dropping what it no longer needs, another master key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from vexrepo.errors import StateError
from vexrepo.history.check import Checker
from vexrepo.history.lacking import commits_between
from vexrepo.remotes.hosts.base import HostMoved
from vexrepo.remotes.hosts.head import Head, Pack
from vexrepo.remotes.hosts.members import Recipient
from vexrepo.remotes.hosts.vault import Vault
from vexrepo.repository.core import Core
from vexrepo.repository.fetching import fetch_from
from vexrepo.repository.packing import pack_commits
from vexrepo.repository.remotes import Base, Reach, Remote, visit
from vexrepo.storage.pack import PackReader
from vexrepo.storage.store import ObjectStore

ATTEMPTS: Final = 3


@dataclass(slots=True)
class HostReport:
    """What was checked at a host, and what is wrong with it: (code, words).  Empty ``problems`` mean sound.

    Objects, commits and memories are counted only where the data was read.
    """

    host: str
    generation: int
    refs: int
    packs: int
    parts: int
    sealed_bytes: int
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    objects: int = 0
    commits: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did, or with a dry run would do.  Sizes are of sealed files; ``leftovers`` is how many went."""

    packs_before: int
    packs_after: int
    sealed_before: int
    sealed_after: int
    objects: int
    leftovers: int
    generation: int


@contextmanager
def open_host(repository: Core, remote: Remote, reach: Reach) -> Iterator[Vault]:
    """Open a remote's host to look at it or to change who can open it; what is seen is remembered afterwards."""
    with visit(Base.of(repository), remote, reach) as door:
        yield door.vault
        door.remember()


def check_host(
    repository: Core,
    remote: Remote,
    reach: Reach,
    *,
    read_data: bool = False,
    accept_rollback: bool = False,
) -> HostReport:
    """Check a host: its head, and that every part is there; with ``read_data`` everything in it, object by object.

    Nothing of this repository is needed for that: what a host holds has to be complete by itself.
    ``accept_rollback`` takes an older state, or another host, for what is to be there from now on.
    Raises: HostError, WrongKey, Tampered (host-tampered, host-rolled-back, host-replaced) where there is nothing to
    check.
    """
    base = Base.of(repository)
    with (
        visit(base, remote, reach, with_damage=True, accept_rollback=accept_rollback) as door,
        repository.scratch() as scratch,
    ):
        vault, head = door.vault, door.vault.head
        parts = [part for pack in head.packs for part in pack.parts]
        report = HostReport(
            vault.host_id, head.generation, len(head.refs), len(head.packs), len(parts), sum(p.sealed for p in parts)
        )
        taken = _Taken(scratch / "packs")
        found = vault.check(read_data=read_data, on_pack=taken.take)
        report.problems += [(each.code, f"{each.path}: {each.message}") for each in found]
        leftovers = vault.leftovers()
        if leftovers:
            report.notes.append(
                f"{len(leftovers)} file(s) of interrupted pushes, harmless; `vex remote compact` drops them"
            )
        if read_data:
            _check_data(repository, taken.folder, head, report)
        if not report.problems:
            if accept_rollback:
                base.memory.forget(vault.host_id)
            door.remember()
    return report


class _Taken:
    """Packs that a check has read, kept until they can be looked at together: differences need their bases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def take(self, pack: Pack, path: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._count += 1
        path.rename(self.folder / f"{self._count:08d}-{PackReader(path).digest}.pack")


def _check_data(repository: Core, folder: Path, head: Head, report: HostReport) -> None:
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        repository.around.progress("checking bytes", done, None)

    checker = Checker(ObjectStore(folder, repository.files), advance)
    checker.check_packs()
    checker.check_commits(sorted(set(head.refs.values())))
    found = checker.report
    lacking = [each for each in found.problems if each[0] == "object-missing"]
    others = [each for each in found.problems if each[0] != "object-missing"]
    if report.problems and lacking:  # they are in the files that are named already
        count = f"{len(lacking)} {'object' if len(lacking) == 1 else 'objects'}"
        lacking = [("object-missing", f"{count} that its branches need cannot be read for that")]
    # What the checker says is about a folder of ours that nobody knows.
    report.problems += [
        (code, words.partition("; ")[0].replace(str(folder), "the host's packs")) for code, words in lacking + others
    ]
    report.objects, report.commits, report.records = found.objects, found.commits, found.records


# -- compaction --------------------------------------------------------------------------------------------------------


def compact_host(repository: Core, remote: Remote, reach: Reach, *, dry_run: bool = False) -> Compacted:
    """Replace all packs of a host by ones that hold what its refs need, and leave its history behind.

    What the remote has and we have not is fetched first.  Raises: as ``fetch``; HostMoved (host-moved).
    """
    return _renew(repository, remote, reach, _publish_alone, dry_run=dry_run)


def _publish_alone(vault: Vault, packs: Sequence[Path]) -> Head:
    return vault.publish(vault.head.refs, packs, keep=(), alone=True)


def rekey_host(
    repository: Core,
    remote: Remote,
    reach: Reach,
    *,
    passphrases: Mapping[str, str],
    recipients: Sequence[Recipient],
    compact: bool = True,
) -> Compacted:
    """Draw a new master key for a host and give it to those named, and nobody else.

    With ``compact`` everything is sealed anew, so that no earlier key opens anything that is left; else what was there
    stays readable to whoever had an earlier key.
    Raises: as ``compact_host``; UsageError (bad-option) where nobody could open it.
    """

    def publish(vault: Vault, packs: Sequence[Path]) -> Head:
        return vault.rekey(passphrases=passphrases, recipients=recipients, new_packs=packs, keep=(), alone=True)

    if compact:
        return _renew(repository, remote, reach, publish)
    with visit(Base.of(repository), remote, reach) as door:
        head = door.vault.rekey(passphrases=passphrases, recipients=recipients)
        door.remember()
        sealed = _sealed(head)
        return Compacted(len(head.packs), len(head.packs), sealed, sealed, 0, 0, head.generation)


def _renew(
    repository: Core,
    remote: Remote,
    reach: Reach,
    publish: Callable[[Vault, Sequence[Path]], Head],
    *,
    dry_run: bool = False,
) -> Compacted:
    with visit(Base.of(repository), remote, reach) as door, repository.scratch() as scratch:
        vault = door.vault
        slots = vault.header.slots
        for attempt in range(ATTEMPTS):
            folder = scratch / str(attempt)
            fetch_from(repository, door, folder / "in", all_tags=True)
            before = vault.head
            commits = commits_between(repository.commit_at, (), set(before.refs.values()))
            packed = pack_commits(repository, commits, folder / "out")
            found = Compacted(
                len(before.packs),
                len(packed.paths),
                _sealed(before),
                packed.size_bytes,
                packed.objects,
                len(vault.leftovers()),
                before.generation,
            )
            if dry_run:
                return found
            try:
                head = publish(vault, packed.paths)
            except HostMoved:
                vault.refresh()
                if vault.header.slots != slots:
                    raise StateError(
                        f"somebody else changed who can open {remote.url} meanwhile; nothing was changed: look at "
                        f"`vex remote recipient list {remote.name}` and run the command again",
                        code="host-moved",
                    ) from None
                continue
            door.learn(head.packs, packed.paths)
            door.remember()
            return replace(found, sealed_after=_sealed(head), generation=head.generation)
        raise HostMoved(f"others keep publishing to {remote.url}; run the command again", code="host-moved")


def _sealed(head: Head) -> int:
    return sum(part.sealed for pack in head.packs for part in pack.parts)
