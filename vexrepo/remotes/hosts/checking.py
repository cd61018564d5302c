"""What is wrong with the parts at a host, as values: all of it, not only the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vexrepo.errors import HostError
from vexrepo.remotes.hosts.base import Host, Tip
from vexrepo.remotes.hosts.head import Head, Pack
from vexrepo.remotes.hosts.parts import Progress, iter_joined, open_part
from vexrepo.remotes.hosts.seal import HostTampered, SealKeys
from vexrepo.storage.files import Files, wrapped

GROUP_BYTES = 256 << 20  # packs fetched with one request


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a host: a code of vexrepo.errors, the file, and words."""

    code: str
    path: str
    message: str


def iter_part_problems(tip: Tip, head: Head) -> Iterator[Problem]:
    """Yield the parts that a head lists and the tree has not, or has in another size."""
    for pack in head.packs:
        for part in pack.parts:
            file = tip.files.get(part.path)
            if file is None:
                yield Problem("host-file-missing", part.path, "it is missing")
            elif file.size not in (None, part.sealed):
                yield Problem("host-tampered", part.path, f"it has {file.size:,} bytes, expected {part.sealed:,}")


class DataCheck:
    """Fetches, opens and joins packs to see whether they are whole."""

    def __init__(self, host: Host, tip: Tip, keys: SealKeys, folder: Path, files: Files, progress: Progress) -> None:
        self._host, self._tip, self._keys = host, tip, keys
        self._folder, self._files, self._progress = folder, files, progress
        self._done = self._total = 0

    def run(self, packs: Sequence[Pack], on_pack: Callable[[Pack, Path], None]) -> Iterator[Problem]:
        """Yield what is wrong; give each whole pack to ``on_pack`` and remove it after."""
        self._total = sum(part.sealed for pack in packs for part in pack.parts)
        for group in _groups(packs):
            whole = self._join(group)
            if whole is not None:
                self._give(whole, on_pack)
                continue
            for pack in group:  # somewhere in these: look at each alone, then at each part of one that is not whole
                alone = self._join([pack])
                if alone is None:
                    yield from self._look_closely(pack)
                else:
                    self._give(alone, on_pack)

    def _join(self, packs: Sequence[Pack]) -> list[tuple[Pack, Path]] | None:
        """Return the packs as files, None if any of them is not whole."""
        if any(part.path not in self._tip.files for pack in packs for part in pack.parts):
            return None
        try:
            found = list(iter_joined(self._host, self._tip, self._keys, packs, self._folder, self._files, self._tell))
        except HostTampered:
            return None
        except HostError as error:
            if error.code != "host-file-missing":
                raise
            return None
        self._done += sum(part.sealed for pack in packs for part in pack.parts)
        return found

    def _tell(self, what: str, done: int, total: int | None) -> None:
        self._progress("checking bytes", self._done + done, self._total)

    @staticmethod
    def _give(packs: Sequence[tuple[Pack, Path]], on_pack: Callable[[Pack, Path], None]) -> None:
        for pack, path in packs:
            on_pack(pack, path)
            with wrapped("remove", path):
                path.unlink(missing_ok=True)

    def _look_closely(self, pack: Pack) -> Iterator[Problem]:
        known = [part for part in pack.parts if part.path in self._tip.files]  # others are reported by name already
        bad = len(known) < len(pack.parts)
        for part in known:
            try:
                for _, raw in self._host.fetch(self._tip, [part.path]):
                    open_part(self._keys, part, raw, _Nowhere())
            except HostTampered as error:
                bad = True
                yield Problem(error.code, part.path, error.why)
            except HostError as error:
                if error.code != "host-file-missing":
                    raise
                bad = True
                yield Problem(error.code, part.path, "the host lists it and does not give it")
        if not bad:
            yield Problem(
                "host-tampered", pack.parts[0].path, f"the parts of the pack {pack.digest[:12]} do not give its digest"
            )


class _Nowhere:
    def write(self, raw: memoryview | bytes) -> None:
        pass


def _groups(packs: Sequence[Pack]) -> Iterator[list[Pack]]:
    """Yield packs in groups small enough to be on the disk together (or one alone)."""
    group: list[Pack] = []
    for pack in packs:
        if group and sum(each.size for each in group) + pack.size > GROUP_BYTES:
            yield group
            group = []
        group.append(pack)
    if group:
        yield group
