"""Publishing: parts sealed and sent, a head that follows the one before, and what really became of it.

Order and rules: remotes/PROTOCOL.md, "Writing".
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vexrepo.errors import HostError
from vexrepo.objects.digest import CommitId
from vexrepo.remotes.hosts import head as heads
from vexrepo.remotes.hosts import header as headers
from vexrepo.remotes.hosts import parts
from vexrepo.remotes.hosts.base import Host, HostMoved, OutcomeUnknown, Tip
from vexrepo.remotes.hosts.head import Head, Pack, Part, SlotNote
from vexrepo.remotes.hosts.header import Header
from vexrepo.remotes.hosts.opening import Opening
from vexrepo.remotes.hosts.seal import SealKeys, seal
from vexrepo.remotes.hosts.slots import Entropy
from vexrepo.storage.files import Files, wrapped
from vexrepo.storage.keys import Identity
from vexrepo.storage.passphrase import Cost

COMMIT_BYTES = 1 << 30
DEFAULT_COST = Cost()
ATTEMPTS = 3


def _no_progress(what: str, done: int, total: int | None) -> None:
    pass


@dataclass(frozen=True)
class Means:
    """What a vault needs from the process around it.

    ``now_us`` is the clock; ``scratch`` a folder on a disk with room, made when needed, for sealed parts on their way;
    ``identity`` signs heads (None: unsigned); ``cost`` is that of new passphrase slots; a part has at most
    ``part_bytes`` of content, a commit to the host about ``commit_bytes``; ``progress`` is told (what, done, total).
    """

    now_us: Callable[[], int]
    scratch: Path
    identity: Identity | None = None
    files: Files = field(default_factory=Files)
    progress: parts.Progress = _no_progress
    cost: Cost = DEFAULT_COST
    part_bytes: int = parts.PART_BYTES
    commit_bytes: int = COMMIT_BYTES
    entropy: Entropy = secrets.token_bytes


@dataclass(frozen=True, slots=True)
class Target:
    """What a host is to hold: ``packs`` are those of now that stay, others come with them."""

    header: Header
    keys: SealKeys
    notes: Mapping[str, SlotNote]
    refs: Mapping[str, CommitId]
    packs: Sequence[Pack]
    alone: bool = False


class Publisher:
    """Brings one host from state to state.  ``state`` is what was read or published last."""

    def __init__(
        self, host: Host, means: Means, state: Opening, read: Callable[[Tip, Mapping[int, bytes]], Opening]
    ) -> None:
        self.state = state
        self._host = host
        self._means = means
        self._read = read
        self._staged: dict[tuple[str, int], list[Part]] = {}  # parts at the host that no head lists yet

    def advance(self, target: Target, new_packs: Sequence[Path]) -> Head:
        """Publish; return the head that was written.  Raises: HostMoved, OutcomeUnknown, HostError, StorageFailure."""
        packs = list(target.packs)
        with scratch_folder(self._means) as folder:
            batch = _Batch()
            for path in new_packs:
                described = parts.describe_pack(path)
                if all(pack.digest != described.digest for pack in packs):
                    made = self._seal_pack(target, described, path, folder, batch)
                    packs.append(Pack(described.digest, described.size, described.objects, tuple(made)))
            return self._conclude(target, packs, batch)

    def _seal_pack(self, target: Target, described: Pack, path: Path, folder: Path, batch: _Batch) -> list[Part]:
        """Seal what is not at the host already from an earlier attempt; send full batches ahead."""
        means, keys = self._means, target.keys
        place = described.digest, keys.epoch
        files = self.state.tip.files if self.state.tip else {}
        made: list[Part] = []
        for part in self._staged.get(place, ()):
            if part.path not in files:
                break
            made.append(part)
        limits = self._host.limits
        part_bytes = min(means.part_bytes, heads.MAX_PART_BYTES)
        commit_bytes = min(means.commit_bytes, limits.push_bytes or means.commit_bytes)
        if limits.file_bytes is not None:  # sealing adds less than an eighth and some
            part_bytes = max(1, min(part_bytes, limits.file_bytes * 7 // 8 - 4096))
        for part, scratch in parts.iter_sealed(
            keys, path, made, folder, means.files, part_bytes=part_bytes, entropy=means.entropy
        ):
            if batch.files and batch.size + part.sealed > commit_bytes:
                self._stage(target, batch)
            batch.add(part, scratch, place)
            made.append(part)
            means.progress("sealing bytes", sum(each.size for each in made), described.size)
        return made

    def _stage(self, target: Target, batch: _Batch) -> None:
        """Send parts ahead; nothing refers to them yet."""
        if self.state.tip is None:  # a tree without header and head would be nobody's
            first = Target(target.header, target.keys, target.notes, {}, ())
            self._conclude(first, (), _Batch())
        tip = self._commit(batch.files, (), False, None, target.keys)
        assert tip is not None
        self.state = self.state.at(tip)
        for part, place in batch.parts:
            self._staged.setdefault(place, []).append(part)
        batch.clear()

    def _conclude(self, target: Target, packs: Sequence[Pack], batch: _Batch) -> Head:
        """Publish a head that follows the current one, with what is left of the parts."""
        before, means = self.state.head, self._means
        header, keys, raw_header = target.header, target.keys, target.header.encode()
        # Packs of before may be sealed with any earlier key.
        old = {part.name for pack in before.packs for part in pack.parts}
        earlier = keys.masters if any(part.name in old for pack in packs for part in pack.parts) else {}
        head = Head(
            host=header.host,
            generation=before.generation + 1,
            previous=(before.id, *before.previous)[: heads.MAX_PREVIOUS] if before.generation else (),
            header=header.digest,
            write=means.entropy(16).hex(),
            time_us=means.now_us(),
            refs=dict(target.refs),
            packs=tuple(packs),
            keys={epoch: key for epoch, key in earlier.items() if epoch != keys.epoch},
            slots=dict(target.notes),
        )
        signature = means.identity.sign(heads.message_of(head.id)) if means.identity else None
        sealed = seal(keys, heads.PATH, heads.encode_head(head, signature), means.entropy)
        add: dict[str, Path | bytes] = {**batch.files, heads.PATH: sealed}
        if raw_header != self.state.raw_header:
            add[headers.PATH] = raw_header
        keys = SealKeys(keys.host, keys.epoch, {**head.keys, keys.epoch: keys.masters[keys.epoch]})
        tip = self._commit(add, self._dropped(packs, target.alone), target.alone, head, keys)
        if tip is not None:
            self.state = Opening(tip, header, raw_header, head, signature, keys, self.state.slot)
        self._staged.clear()
        return head

    def _dropped(self, packs: Sequence[Pack], alone: bool) -> list[str]:
        """Return the files that go: parts no longer listed, and with ``alone`` those that never were."""
        files = self.state.tip.files if self.state.tip else {}
        used = {part.path for pack in packs for part in pack.parts}
        listed = {part.path for pack in self.state.head.packs for part in pack.parts}
        return sorted(path for path in files if path not in used and (path in listed or (alone and _is_part(path))))

    def _commit(
        self, add: Mapping[str, Path | bytes], remove: Collection[str], alone: bool, head: Head | None, keys: SealKeys
    ) -> Tip | None:
        """Publish once, whatever becomes of the answer; None if a later head is there already (which is adopted)."""
        doubt: OutcomeUnknown | None = None
        for _ in range(ATTEMPTS):
            try:
                return self._host.publish(self.state.tip, add, remove, alone=alone)
            except OutcomeUnknown as error:
                doubt = error
            except HostMoved:
                if doubt is None and not self._is_same_head(self._host.read_tip()):
                    raise
            try:
                now = self._host.read_tip()
                before = self.state.tip
                if (now and now.version) == (before and before.version):
                    continue  # nothing happened (yet): if it still does, the next attempt is told so
                if now is None or not self._is_same_head(now):
                    return self._own(now, head, keys, doubt)
            except HostMoved:
                raise
            except HostError as error:
                if doubt is None:
                    raise
                raise doubt from error  # what cannot be looked at stays in doubt
            if head is None and all(path in now.files for path in add):
                return now
            self.state = self.state.at(now)  # only files that no head lists came or went
        raise doubt or HostMoved(f"others keep publishing to {self._host.url}; try again later", code="host-moved")

    def _own(self, now: Tip | None, head: Head | None, keys: SealKeys, doubt: OutcomeUnknown | None) -> Tip | None:
        """Return the tip if its head is the one that was published, None if it follows that one (and adopt it).

        Raises: HostMoved for any other.
        """
        if now is not None and head is not None and doubt is not None:
            found = self._read(now, {**self.state.keys.masters, **keys.masters})
            if found.head.id == head.id:
                return now
            if found.head.follows(head.generation, head.id):
                self.state = found
                return None
        raise HostMoved(f"somebody else published to {self._host.url} meanwhile", code="host-moved") from doubt

    def _is_same_head(self, now: Tip | None) -> bool:
        """Whether a tip has the header and head that were read."""
        before = self.state.tip
        if now is None or before is None:
            return now is None and before is None
        return all(
            path in now.files and path in before.files and now.files[path].id == before.files[path].id
            for path in (headers.PATH, heads.PATH)
        )


class _Batch:
    """Sealed parts that wait to be sent together."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self.parts: list[tuple[Part, tuple[str, int]]] = []
        self.size = 0

    def add(self, part: Part, scratch: Path, place: tuple[str, int]) -> None:
        self.files[part.path] = scratch
        self.parts.append((part, place))
        self.size += part.sealed

    def clear(self) -> None:
        for scratch in self.files.values():
            with wrapped("remove", scratch):
                scratch.unlink(missing_ok=True)
        self.files, self.parts, self.size = {}, [], 0


def _is_part(path: str) -> bool:
    return path.startswith(heads.PACKS)


@contextmanager
def scratch_folder(means: Means) -> Iterator[Path]:
    """Return a new folder that is gone afterwards."""
    folder = means.scratch / f"host-{secrets.token_hex(6)}"
    means.files.make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
