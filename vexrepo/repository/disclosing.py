"""Selective disclosure: some memories of a commit in a file, with a proof that they belong to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vexrepo.history.proving import Prover
from vexrepo.objects.digest import CommitId
from vexrepo.objects.proof import path_of
from vexrepo.objects.record import Record
from vexrepo.objects.selection import Selection
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Plan
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository.core import Core


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What was written: how many memories, the bytes of file and proof; ``proof`` None where none was asked for."""

    written: int
    size_bytes: int
    proof: Path | None = None
    proof_bytes: int = 0


def disclose(
    repository: Core, commit: CommitId, target: Path, selection: Selection, *, prove: bool, dry_run: bool = False
) -> Disclosed:
    """Write the selected memories of a commit into a vmig file, exactly as they are, and with ``prove`` their proof.

    Raises: Tampered where the commit is damaged, StoreError, StorageFailure; the file is as it was then.
    """
    prover = Prover(repository.objects, commit, selection)
    count = 0

    def records() -> Iterator[Record]:
        nonlocal count
        for record in prover.records():
            count += 1
            if count % 1000 == 0:
                repository.around.progress("exporting", count, None)
            yield record

    if dry_run:
        deque(records(), maxlen=0)
        return Disclosed(count, 0, None, len(prover.proof().encode()) if prove else 0)
    with open_store(Address("jsonl", str(target)), create=True) as goal:
        goal.write(Plan(upserts=records, deletes=(), records=records))
    size = target.stat().st_size
    if not prove:
        return Disclosed(count, size)
    content = prover.proof().encode()
    beside = target.with_name(path_of(target.name))
    repository.files.write(beside, content)
    return Disclosed(count, size, beside, len(content))
