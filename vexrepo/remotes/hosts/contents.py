"""Which objects the packs at a host hold, kept locally so that a push need not ask.

A cache and no more: one small file a pack, named by the pack's digest, with a checksum of its own.  A pack never
changes, so what is known of it stays true for as long as the host lists it.  One that is missing is read from the end
of the pack again.  Layout: BLAKE3 of the rest, then rows of id (32 bytes), type, depth.  Beside it, where a pack holds
signatures that were put beside commits later: BLAKE3 of the rest, then the BLAKE3 of each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from vexrepo.errors import StorageFailure
from vexrepo.objects.digest import ID_BYTES
from vexrepo.objects.kinds import ObjectType
from vexrepo.storage.files import Files
from vexrepo.storage.pack import ROW, Entry, Key, PackReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROW_BYTES: Final = ID_BYTES + 2
ENDING: Final = ".ids"
SIGNATURES_ENDING: Final = ".signatures"
_SUM_BYTES = 32


class Contents:
    """What is known of the packs of one host; ``folder`` may be removed at any time."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._rows: dict[str, NDArray[np.uint8] | None] = {}  # by pack; None: not known
        self._signatures: dict[str, bytes] = {}

    def knows(self, digest: str) -> bool:
        """Whether the objects of a pack are known."""
        return self._read(digest) is not None

    def learn(self, digest: str, index: bytes) -> None:
        """Keep what a pack holds, given its index; failing to is not an error."""
        import numpy as np

        wide = np.frombuffer(index, np.uint8).reshape(-1, ROW.size)
        # In an index row the type is at 54 and the depth at 56.
        rows = np.concatenate([wide[:, :ID_BYTES], wide[:, 54:55], wide[:, 56:57]], axis=1)
        raw = rows.tobytes()
        self._rows[digest] = rows
        path = self._path(digest)
        try:
            self._files.make_folder(self._folder)
            self._files.write(path, (_sum_of(digest, raw), raw))
        except StorageFailure:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def learn_pack(self, digest: str, reader: PackReader) -> None:
        """Keep what a pack holds that lies here: its objects, and which signatures it has beside commits' own."""
        self.learn(digest, reader.index)
        payloads = [reader.stored(entry) for entry in _beside(reader)]
        if payloads:
            raw = b"".join(blake3(payload).digest() for payload in payloads)
            self._signatures[digest] = raw
            with contextlib.suppress(StorageFailure):
                self._files.write(self._path(digest, SIGNATURES_ENDING), (_sum_of(digest, raw), raw))

    def is_listed_only(self, digest: str) -> bool:
        """Whether a pack is known to hold signatures beside commits' own, but not which: only its index was seen."""
        rows = self._read(digest)
        if rows is None or self._read_signatures(digest):
            return False
        kinds: dict[bytes, list[int]] = {}
        for row in rows:
            kinds.setdefault(row[:ID_BYTES].tobytes(), []).append(int(row[ID_BYTES]))
        return any(_are_beside(each) for each in kinds.values())

    def has_signature(self, packs: Iterable[str], payload: bytes) -> bool:
        """Whether one of some packs is known to hold a signature; a commit's only one in its pack is not known of."""
        wanted = blake3(payload).digest()
        for digest in packs:
            raw = self._read_signatures(digest)
            if any(raw[at : at + ID_BYTES] == wanted for at in range(0, len(raw), ID_BYTES)):
                return True
        return False

    def forget_all_but(self, digests: Collection[str]) -> None:
        """Drop what is known of packs that the host no longer has."""
        for ending in (ENDING, SIGNATURES_ENDING):
            for path in self._folder.glob(f"*{ending}"):
                if path.name.removesuffix(ending) not in digests:
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)

    def held(self, packs: Iterable[str], keys: Collection[Key]) -> Mapping[Key, int]:
        """Return which of some objects are in packs that are known, with the least depth each is stored at."""
        import numpy as np

        wanted = set(keys)
        found: dict[Key, int] = {}
        if not wanted:
            return found
        starts = np.unique(np.frombuffer(b"".join(key[0][:8] for key in wanted), "<u8"))
        for digest in packs:
            rows = self._read(digest)
            if rows is None or not len(rows):
                continue
            # Ids are random: the first eight bytes leave next to nothing to look at one by one.
            near = np.isin(np.ascontiguousarray(rows[:, :8]).view("<u8").reshape(-1), starts)
            for row in rows[near]:
                key = (row[:ID_BYTES].tobytes(), int(row[ID_BYTES]))
                if key in wanted:
                    depth = int(row[ID_BYTES + 1])
                    found[key] = min(depth, found.get(key, depth))
        return found

    def _path(self, digest: str, ending: str = ENDING) -> Path:
        return self._folder / f"{digest}{ending}"

    def _read_signatures(self, digest: str) -> bytes:
        if digest not in self._signatures:
            self._signatures[digest] = b""
            with contextlib.suppress(OSError):
                raw = self._path(digest, SIGNATURES_ENDING).read_bytes()
                if raw[:_SUM_BYTES] == _sum_of(digest, raw[_SUM_BYTES:]):
                    self._signatures[digest] = raw[_SUM_BYTES:]
        return self._signatures[digest]

    def _read(self, digest: str) -> NDArray[np.uint8] | None:
        import numpy as np

        if digest not in self._rows:
            self._rows[digest] = None
            with contextlib.suppress(OSError):
                raw = self._path(digest).read_bytes()
                rows = raw[_SUM_BYTES:]
                if raw[:_SUM_BYTES] == _sum_of(digest, rows) and len(rows) % ROW_BYTES == 0:
                    self._rows[digest] = np.frombuffer(rows, np.uint8).reshape(-1, ROW_BYTES)
        return self._rows[digest]


def _beside(reader: PackReader) -> Iterator[Entry]:
    """Yield the signatures in a pack, but those that are the only one of a commit beside it: its author's."""
    for _, group in groupby(reader, key=lambda entry: entry.id):
        rows = list(group)
        if _are_beside([entry.type for entry in rows]):
            yield from (entry for entry in rows if entry.type == ObjectType.SIGNATURE)


def _are_beside(kinds: list[int]) -> bool:
    """Whether what a pack has under one id are signatures other than a commit's only one beside it."""
    signatures = kinds.count(ObjectType.SIGNATURE)
    return signatures > 1 or signatures == len(kinds)


def _sum_of(digest: str, rows: bytes) -> bytes:
    return blake3(digest.encode() + rows).digest()
