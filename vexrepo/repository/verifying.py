"""Whether commits are what they were, and who says so; and saying so oneself, beside a commit that is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from vexrepo.errors import StateError, VexError
from vexrepo.history.treecheck import TreeCheck
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId, SnapshotId
from vexrepo.objects.selection import Selection
from vexrepo.objects.signature import Verdict, message_of
from vexrepo.objects.trust import SignedBy, combined
from vexrepo.remotes.stores.address import Address
from vexrepo.repository.core import Core
from vexrepo.repository.difference import diff_edges_with_store, diff_with_store
from vexrepo.storage.keys import Identity


@dataclass(frozen=True, slots=True)
class CommitVerdict:
    """What a commit is worth: its signatures, and whether its content was read and fits its id.

    ``damage`` says what is wrong with the content (None: nothing); ``commit`` is None where not even that could be
    read.  ``records`` counts memories that were read: those of its parents, checked before, are not read again.
    """

    id: CommitId
    commit: Commit | None
    signatures: Sequence[SignedBy] = field(default=())
    damage: VexError | None = None
    records: int = 0

    @property
    def verdict(self) -> Verdict | None:
        """What the signatures are worth together, None for an unsigned commit."""
        return combined(self.signatures, self.author)

    @property
    def author(self) -> str:
        """The key that the commit names as its author's, in hexadecimal, "" for none."""
        return self.commit.author.get("key", "") if self.commit is not None else ""


def verify_commits(repository: Core, commits: Iterable[CommitId]) -> Iterator[CommitVerdict]:
    """Yield what each commit is worth; given parents first, what they have in common is read once."""
    sound: set[SnapshotId] = set()
    for identifier in commits:
        try:
            commit = repository.commit_at(identifier)
        except VexError as error:
            yield CommitVerdict(identifier, None, damage=error)
            continue
        signatures: list[SignedBy] = []
        damage: VexError | None = None
        trees = TreeCheck(repository.objects)  # a new one each time: what it remembers of the last would only grow
        try:
            signatures = repository.signatures(identifier)
            if commit.snapshot not in sound:
                parents = [repository.commit_at(parent).snapshot for parent in commit.parents]
                trees.check_snapshot(commit.snapshot, [each for each in parents if each in sound])
                sound.add(commit.snapshot)
        except VexError as error:
            damage = error
        yield CommitVerdict(identifier, commit, signatures, damage, trees.records)


def sign_commits(repository: Core, commits: Iterable[CommitId], identity: Identity) -> list[CommitId]:
    """Add an identity's signature beside commits; return those that had none by it.

    One pack and one operation, which changes no ref; nothing is written where there is nothing new.
    Raises: Tampered (object-missing) for a commit that is not there, Locked, StorageFailure.
    """
    signed = []
    with repository.lock():
        with repository.objects.writer() as writer:
            for identifier in commits:
                repository.commit_at(identifier)
                payload = identity.sign(message_of(identifier)).encode()
                if payload not in repository.objects.signatures(identifier):
                    writer.put_signature(identifier, payload)
                    signed.append(identifier)
            packs = writer.finish()
        if packs:
            more = f" and {len(signed) - 1} more" if len(signed) > 1 else ""
            repository.record(repository.view(), "sign", f"{signed[0].short}{more} by {identity.key.hex()[:8]}", packs)
    return signed


MOST_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class StoreVerdict:
    """How a live store compares with a commit, and what that commit's signatures are worth.

    ``differences`` names memories that differ, as (``learned``, ``changed`` or ``forgotten``; key), up to MOST_LISTED.
    """

    commit: CommitVerdict
    learned: int
    changed: int
    forgotten: int
    edges: int
    records: int
    differences: list[tuple[str, bytes]]

    @property
    def is_same(self) -> bool:
        """Whether the store holds exactly what the commit says."""
        return not (self.learned or self.changed or self.forgotten or self.edges)


def verify_store(
    repository: Core, address: Address, commit: CommitId | None = None, selection: Selection | None = None
) -> StoreVerdict:
    """Compare what a store holds now with a commit (None: the one it was last committed to or checked out from).

    Raises: StateError (store-unseen) where there is none, StoreError, Tampered.
    """
    name = repository.store_name(address)
    if commit is None:
        seen = repository.view().stores.get(name, {}).get("commit")
        if not seen:
            raise StateError(
                f"this repository has never committed {name} nor checked it out, so that there is nothing to compare "
                "it with; name a commit with --at REV",
                code="store-unseen",
            )
        commit = CommitId.parse(seen)
    counts = {"learned": 0, "changed": 0, "forgotten": 0}
    differences: list[tuple[str, bytes]] = []
    for change in diff_with_store(repository, commit, address, selection):
        counts[change.kind] += 1
        if len(differences) < MOST_LISTED:
            differences.append((change.kind, change.key))
    edges = 0 if selection else len(diff_edges_with_store(repository, commit, address))
    root = repository.records_root(commit)
    assert root is not None
    found = CommitVerdict(commit, repository.commit_at(commit), repository.signatures(commit))
    return StoreVerdict(found, **counts, edges=edges, records=root.count, differences=differences)
