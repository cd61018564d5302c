"""Receiving: packs of a host in a scratch folder, fetched until what is wanted is complete, and checked whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from vexrepo.errors import InvalidData, Tampered, VexError
from vexrepo.history.arrivals import Arrivals, Checked
from vexrepo.objects.digest import CommitId
from vexrepo.remotes.hosts.head import Pack
from vexrepo.remotes.hosts.parts import describe_pack
from vexrepo.repository.cosigning import count_late, may_be_signatures
from vexrepo.repository.remotes import Visit
from vexrepo.storage.pack import PackReader

_MAY_BE_IN_MORE = frozenset({"object-missing", "object-corrupt"})  # a base may be there, but too deep a difference


@dataclass(frozen=True, slots=True)
class Received:
    """Packs that were received and checked, oldest first.

    ``kept_bytes`` were there from an earlier attempt; ``signatures`` are those of commits that were here before.
    """

    packs: tuple[Path, ...]
    checked: Checked
    sealed_bytes: int = 0
    kept_bytes: int = 0
    signatures: int = 0


def receive(
    door: Visit, objects: Path, have: Collection[CommitId], want: Collection[CommitId], folder: Path
) -> Received:
    """Return checked packs that hold what some commits at a host need, beside what is in the folder ``objects``.

    ``have`` are commits that are complete there.  Nothing is moved yet.  Packs that are in ``folder`` from an attempt
    that was interrupted are not fetched again.

    Packs that were never seen are fetched, with one request; after somebody compacted the host, when all of them are
    new, the newest first and no more than needed.  Small ones that may hold signatures of commits that are here are
    fetched in any case.
    Raises: Tampered (host-incomplete, object-corrupt, …), InvalidData (signature-bad, …), HostError, StorageFailure.
    """
    getting = _Getting(door, folder)
    missing: VexError | None = None
    for batch in _batches(door, is_first=not have):
        getting.get(batch)
        arrivals = Arrivals(objects, door.base.around.files, getting.advance)
        try:
            arrivals.add(*getting.paths)
            checked = arrivals.check(have, want)
        except (Tampered, InvalidData) as error:
            if error.code not in _MAY_BE_IN_MORE:
                raise _refused(door, error) from error
            missing = error
        else:
            late = count_late(getting.paths, checked.commits)
            return Received(tuple(getting.paths), checked, getting.sealed_bytes, getting.kept_bytes, late)
    assert missing is not None
    raise _refused(door, missing) from missing


def _refused(door: Visit, error: VexError) -> VexError:
    url = door.remote.url
    if error.code == "object-missing":
        return Tampered(
            f"{url} does not hold all that its branches need ({error}); nothing of it was used.  From one that has "
            "everything, `vex remote compact` puts it right",
            code="host-incomplete",
        )
    return type(error)(f"nothing of what {url} sent was used: {error}", code=error.code)


def _batches(door: Visit, *, is_first: bool) -> Iterator[list[Pack]]:
    """Yield packs to fetch: at first those that nothing else needs, then those likely to be needed before the rest."""
    new = [pack for pack in door.vault.head.packs if not door.contents.knows(pack.digest)]
    known = [pack for pack in door.vault.head.packs if door.contents.knows(pack.digest)]
    takes_all = is_first or bool(known)
    late = [
        pack
        for pack in door.vault.head.packs
        if known and may_be_signatures(pack) and (pack in new or door.contents.is_listed_only(pack.digest))
    ]
    yield late
    new, known = ([pack for pack in packs if pack not in late] for packs in (new, known))
    if takes_all:
        if new:
            yield new
        new = []
    count = 1
    for packs in (new, known):
        while packs:
            yield packs[-count:]
            packs, count = packs[:-count], 2 * count


class _Getting:
    """Packs of a host in a folder, in the order of its head."""

    def __init__(self, door: Visit, folder: Path) -> None:
        self._door = door
        self._folder = folder
        self._progress: Callable[[str, int, int | None], None] = door.base.around.progress
        self._found: dict[str, Path] = {}
        self._checked = 0
        self.sealed_bytes = self.kept_bytes = 0

    @property
    def paths(self) -> list[Path]:
        """The packs so far, oldest first."""
        return [self._found[pack.digest] for pack in self._door.vault.head.packs if pack.digest in self._found]

    def get(self, packs: Collection[Pack]) -> None:
        """Fetch packs, those that lie here already excepted."""
        self._checked = 0
        wanted = []
        for pack in packs:
            path = self._folder / f"{pack.digest}.pack"
            if path.exists() and self._is(path, pack):
                self._take(pack, path)
                self.kept_bytes += pack.size
            else:
                wanted.append(pack)
        for pack, path in self._door.vault.read_packs(wanted, self._folder):
            self._take(pack, path)
            self.sealed_bytes += sum(part.sealed for part in pack.parts)

    def _take(self, pack: Pack, path: Path) -> None:
        self._found[pack.digest] = path
        self._door.contents.learn_pack(pack.digest, PackReader(path))

    @staticmethod
    def _is(path: Path, pack: Pack) -> bool:
        try:
            found = describe_pack(path)
        except Tampered:
            return False
        return (found.digest, found.size) == (pack.digest, pack.size)

    def advance(self, size: int) -> None:
        """Say that so many bytes more were checked."""
        self._checked += size
        self._progress("checking bytes", self._checked, None)
