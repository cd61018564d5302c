"""Making proofs: the selected records of a commit, and what shows that they belong to it."""

from __future__ import annotations

from collections.abc import Iterator

from vexrepo.history.revision import read_commit
from vexrepo.history.walk import LeafReader
from vexrepo.objects.digest import CommitId, TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.proof import Proof, ProofLeaf, ProofNode
from vexrepo.objects.record import Record
from vexrepo.objects.selection import Selection
from vexrepo.objects.snapshot import Snapshot
from vexrepo.objects.tree import Node
from vexrepo.storage.store import ObjectStore


class Prover:
    """Gives the selected records of a commit; when all were given, ``proof`` is theirs."""

    def __init__(self, store: ObjectStore, commit: CommitId, selection: Selection) -> None:
        self._store = store
        self._commit = commit
        self._selection = selection
        self._snapshot_payload = store.get(read_commit(store, commit).snapshot, ObjectType.SNAPSHOT)
        self._nodes: list[ProofNode] = []
        self._leaves: list[ProofLeaf] = []

    def records(self) -> Iterator[Record]:
        """Yield the records in key order; memory holds one leaf, and the proof.

        Raises: Tampered where what is stored is damaged.
        """
        root = Snapshot.decode(self._snapshot_payload).records
        yield from self._below(root.id, root.height)

    def _below(self, identifier: TreeId, height: int) -> Iterator[Record]:
        """Yield the records below a node; its part of the proof is kept if there are any."""
        if not height:
            reader = LeafReader(self._store, identifier)
            rows = [row for row, key in enumerate(reader.leaf.keys) if self._accepts(reader, row, key)]
            if rows:
                payload = self._store.get(identifier, ObjectType.LEAF)
                self._leaves.append(ProofLeaf.of(payload, set(rows)))
                yield from map(reader.record, rows)
            return
        payload = self._store.get(identifier, ObjectType.NODE)
        place = len(self._nodes)
        found = False
        for child in Node.decode(payload).children:
            for record in self._below(child.id, height - 1):
                if not found:  # before those below it, as a reader wants them
                    self._nodes.insert(place, ProofNode.of(payload))
                    found = True
                yield record

    def _accepts(self, reader: LeafReader, row: int, key: bytes) -> bool:
        return self._selection.accepts(key, lambda: reader.bodies[row])

    def proof(self) -> Proof:
        """Return the proof of the records that were given."""
        return Proof(
            self._store.get(self._commit, ObjectType.COMMIT),
            tuple(self._store.signatures(self._commit)),
            self._snapshot_payload,
            tuple(self._nodes),
            tuple(self._leaves),
        )
