"""Signatures that were put beside a commit after a host had it: what a push has to send besides what its refs need.

What the host's packs are known to hold is kept with what else is known of them (``Contents``); what is not known is
sent again, which does no harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from vexrepo.objects.digest import ID_BYTES, CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import Signature
from vexrepo.remotes.hosts.contents import Contents
from vexrepo.remotes.hosts.head import Pack
from vexrepo.repository.core import Core
from vexrepo.storage.codec import Codec
from vexrepo.storage.files import Files
from vexrepo.storage.pack import ROW, PackReader, PackWriter
from vexrepo.storage.store import ObjectStore

Beside = tuple[CommitId, bytes]  # a commit and the payload of a signature of it

_MOST_BYTES: Final = (
    512  # that a signature takes in a pack, its index row included; other objects rarely take so little
)


def cosigned(objects: ObjectStore) -> list[CommitId]:
    """Return the commits that have several signatures here, or one that lies in a pack without its commit."""
    import numpy as np

    counts: Counter[bytes] = Counter()
    apart: set[bytes] = set()
    for name in objects.packs:
        rows = np.frombuffer(objects.reader(name).index, np.uint8).reshape(-1, ROW.size)
        kinds = rows[:, 54]
        signed = [row.tobytes() for row in rows[kinds == ObjectType.SIGNATURE, :ID_BYTES]]
        counts.update(signed)
        apart.update(set(signed) - {row.tobytes() for row in rows[kinds == ObjectType.COMMIT, :ID_BYTES]})
    return sorted(CommitId(each) for each, count in counts.items() if count > 1 or each in apart)


def late_signatures(
    repository: Core, contents: Contents, packs: Collection[str], sent: Collection[CommitId]
) -> list[Beside]:
    """Return the signatures, but the authors' own, that a host is not known to have beside commits that it has.

    ``packs`` are the host's, by digest; the commits in ``sent`` go along with all of their signatures.
    """
    candidates = [commit for commit in cosigned(repository.objects) if commit not in set(sent)]
    there = contents.held(packs, [(commit, ObjectType.COMMIT) for commit in candidates])
    found: list[Beside] = []
    for commit in candidates:
        if (commit, ObjectType.COMMIT) not in there:
            continue
        author = repository.commit_at(commit).author.get("key", "")
        for payload in repository.objects.signatures(commit):
            if Signature.decode(payload).key.hex() != author and not contents.has_signature(packs, payload):
                found.append((commit, payload))
    return found


def write_signatures(files: Files, folder: Path, signatures: Iterable[Beside]) -> Path:
    """Return a pack of signatures, in a folder."""
    files.make_folder(folder)
    writer = PackWriter(files, folder / ".signatures.tmp")
    try:
        for commit, payload in signatures:
            writer.add(commit, ObjectType.SIGNATURE, Codec.RAW, payload, len(payload))
        return folder / writer.finish(folder, 1)
    except BaseException:
        writer.abandon()
        raise


def may_be_signatures(pack: Pack) -> bool:
    """Whether a pack at a host is small enough for its objects to be signatures of commits that others hold."""
    return pack.size <= _MOST_BYTES * (pack.objects + 1)


def count_late(packs: Iterable[Path], new: Collection[CommitId]) -> int:
    """Return how many signatures packs hold of commits that are not among the new ones."""
    known = {bytes(commit) for commit in new}
    entries = (entry for path in packs for entry in PackReader(path))
    return sum(entry.type == ObjectType.SIGNATURE and entry.id not in known for entry in entries)
