"""A vault: a host with keys.  What is read is opened and checked, what is written is sealed.

The one writer of a host is whoever replaces its tip while it is what was read (``Host.publish``): here that becomes
a head that follows the one before.  Format and order: remotes/PROTOCOL.md, "Reading" and "Writing".
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from vexrepo.errors import HostError, StateError, Tampered, UsageError
from vexrepo.objects.digest import CommitId
from vexrepo.objects.signature import Signature
from vexrepo.remotes.hosts import head as heads
from vexrepo.remotes.hosts import header as headers
from vexrepo.remotes.hosts import opening, parts
from vexrepo.remotes.hosts.base import Host, HostMoved, OutcomeUnknown, Tip
from vexrepo.remotes.hosts.checking import DataCheck, Problem, iter_part_problems
from vexrepo.remotes.hosts.head import Head, Pack, Part, SlotNote
from vexrepo.remotes.hosts.header import Header, Unlock
from vexrepo.remotes.hosts.opening import Opening, Seen
from vexrepo.remotes.hosts.seal import SealKeys, seal
from vexrepo.remotes.hosts.slots import (
    MASTER_BYTES,
    Cost,
    Entropy,
    PassphraseSlot,
    Slot,
    wrap_passphrase,
    wrap_recipient,
)
from vexrepo.storage.files import Files, wrapped
from vexrepo.storage.keys import Identity

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
class Recipient:
    """Somebody a host is shared with: a name, and an identity's Ed25519 public key (32 bytes)."""

    name: str
    key: bytes


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """A key slot as members see it.  ``key`` is a recipient's public key; ``cost`` a passphrase's."""

    id: str
    kind: str  # "passphrase" or "x25519"
    name: str
    key: bytes | None = None
    cost: Cost | None = None


class Vault:
    """A host with keys, at one moment: ``tip``, ``header`` and ``head`` are what was read or published last.

    Not for several threads.  Closing the host is the business of whoever opened it.
    """

    def __init__(self, host: Host, means: Means, offer: Unlock, opening: Opening) -> None:
        self.host = host
        self._means = means
        self._offer = offer
        self._state = opening
        self._staged: dict[tuple[str, int], list[Part]] = {}  # parts at the host that no head lists yet

    # -- opening -----------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls, host: Host, means: Means, *, passphrase: str | None = None, recipients: Sequence[Recipient] = ()
    ) -> Self:
        """Return a vault for an empty host, with a new host id and master key.  The first publish makes it.

        Raises: StateError (repository-exists) and HostError (host-not-ours) if the host is not empty, UsageError
        (bad-option) without passphrase and recipients, InvalidData (weak-key).
        """
        tip = host.read_tip()
        if tip is not None:
            if headers.PATH in tip.files:
                raise StateError(
                    f"there is a memory repository at {host.url} already; nothing was changed: open it with its "
                    "passphrase or key",
                    code="repository-exists",
                )
            raise headers.not_ours(host.url)
        host_id, master = means.entropy(16).hex(), means.entropy(MASTER_BYTES)
        made = _Slots(host_id, 1, master, means)
        if passphrase is not None:
            made.add_passphrase("passphrase", passphrase)
        for recipient in recipients:
            made.add_recipient(recipient)
        header = made.header()
        head = Head(host_id, 0, (), header.digest, "0" * 32, 0, slots=made.notes)
        keys = SealKeys(host_id, 1, {1: master})
        offer = Unlock(passphrases=None if passphrase is None else lambda: [passphrase])
        return cls(host, means, offer, Opening(None, header, b"", head, None, keys, None))

    @classmethod
    def open(
        cls,
        host: Host,
        means: Means,
        offer: Unlock,
        seen: Callable[[str], Seen | None] = lambda host_id: None,
        *,
        with_damage: bool = False,
    ) -> Self:
        """Return the vault of a host: its head is read, opened and checked, no pack is touched.

        ``seen`` is asked, by host id, what this machine saw last (``Vault.seen`` then).  ``with_damage`` opens one
        whose parts are missing or cut, too, so that ``check`` can say which.

        Raises: HostError (host-empty, host-not-ours, host-version, …), WrongKey (wrong-passphrase, wrong-key,
        no-passphrase), Tampered (host-tampered, host-rolled-back).
        """
        tip = host.read_tip()
        if tip is None:
            raise HostError(f"the repository at {host.url} holds nothing yet; push to it first", code="host-empty")
        return cls(host, means, offer, opening.read(host, tip, offer, seen, with_damage=with_damage))

    def refresh(self) -> bool:
        """Read the host again, as after HostMoved; return whether its head is another now.

        Passphrases are asked again only if somebody drew a new master key.  Raises: as ``open``.
        """
        tip = self.host.read_tip()
        if tip is None:
            raise Tampered(f"{self.host.url} held a repository and is empty now", code="host-rolled-back")
        before = self.head.id
        self._state = self._read(tip, self.keys.masters)
        return self.head.id != before

    def _read(self, tip: Tip, masters: Mapping[int, bytes]) -> Opening:
        seen = self.seen if self.head.generation else None
        known = SealKeys(self.host_id, self.header.epoch, masters)
        found = opening.read(self.host, tip, self._offer, lambda host_id: seen, known=known)
        return found if found.slot is not None else replace(found, slot=self._state.slot)

    # -- what it holds -----------------------------------------------------------------------------------------

    @property
    def host_id(self) -> str:
        """The random id that stands for this host, wherever it is moved."""
        return self._state.header.host

    @property
    def tip(self) -> Tip | None:
        """What the host's tree is; None before the first publish."""
        return self._state.tip

    @property
    def header(self) -> Header:
        """The host's header."""
        return self._state.header

    @property
    def head(self) -> Head:
        """The newest head known: refs, packs.  Its generation is 0 before the first publish."""
        return self._state.head

    @property
    def signature(self) -> Signature | None:
        """The head's signature, which fits; whether its key is trusted is another question."""
        return self._state.signature

    @property
    def keys(self) -> SealKeys:
        """The master keys."""
        return self._state.keys

    @property
    def opened_by(self) -> SlotInfo | None:
        """The slot whose key opened this; None for a new host, or when the slot is gone."""
        return next((self._info(slot) for slot in self.header.slots if slot == self._state.slot), None)

    @property
    def slots(self) -> list[SlotInfo]:
        """Who can open this host."""
        return [self._info(slot) for slot in self.header.slots]

    @property
    def seen(self) -> Seen:
        """What to remember of this host, outside the repository, for the next ``open``."""
        return Seen(self.host_id, self.head.generation, self.head.id)

    @property
    def outdated_passphrases(self) -> list[SlotInfo]:
        """Passphrase slots that are cheaper to guess than new ones would be: give the passphrase anew."""
        return [each for each in self.slots if each.cost is not None and each.cost.is_below(self._means.cost)]

    def leftovers(self) -> list[str]:
        """Return files below ``packs/`` that no head refers to: what interrupted pushes leave; ``alone`` drops them."""
        used = {part.path for pack in self.head.packs for part in pack.parts}
        files = self.tip.files if self.tip else {}
        return sorted(path for path in files if path.startswith(heads.PACKS) and path not in used)

    def _info(self, slot: Slot) -> SlotInfo:
        return _info(slot, self.head.slots[slot.id])

    # -- reading packs -----------------------------------------------------------------------------------------

    def read_packs(self, packs: Sequence[Pack], folder: Path) -> Iterator[tuple[Pack, Path]]:
        """Yield packs as plain, durable pack files ``folder/DIGEST.pack``, each when its digest was checked.

        One request to the host gets them all, in the order it likes; memory holds one part.  What they say is still
        to be checked, object by object.  Raises: Tampered (host-tampered), HostError, StorageFailure.
        """
        assert self.tip is not None or not packs
        if self.tip is not None and packs:
            yield from parts.iter_joined(
                self.host, self.tip, self.keys, packs, folder, self._means.files, self._means.progress
            )

    # -- publishing --------------------------------------------------------------------------------------------

    def publish(
        self,
        refs: Mapping[str, CommitId],
        new_packs: Sequence[Path] = (),
        *,
        keep: Collection[str] | None = None,
        alone: bool = False,
    ) -> Head:
        """Publish refs (all of them, by full name) and pack files; return the head that was written.

        ``keep`` names the packs, by digest, of those at the host that stay (None: all); ``alone`` leaves the host's
        history and leftovers behind, as a compaction does.  Large pushes go ahead in several commits, the last of
        which changes the head.  When this returns the host has said that it is done, or has been seen to be;
        ``self.head`` may be a later one by then.

        Raises: HostMoved if somebody else published (nothing changed: ``refresh``, then decide), OutcomeUnknown if it
        cannot be told (reading the host again later will tell), HostError, StorageFailure.
        """
        return self._advance(self.header, self.keys, self.head.slots, refs, new_packs, keep, alone)

    def rekey(
        self,
        *,
        passphrases: Mapping[str, str],
        recipients: Sequence[Recipient],
        refs: Mapping[str, CommitId] | None = None,
        new_packs: Sequence[Path] = (),
        keep: Collection[str] | None = None,
        alone: bool = False,
    ) -> Head:
        """Draw a new master key for those named (passphrases by name of slot) and nobody else; publish as ``publish``.

        With ``keep=()`` and new packs, nothing at the host is left that an earlier key opens; else the earlier keys
        stay in the head, and whoever had one can still read what it sealed if he kept a copy.
        Raises: as ``publish`` and ``create``.
        """
        epoch, master = self.header.epoch + 1, self._means.entropy(MASTER_BYTES)
        made = _Slots(self.host_id, epoch, master, self._means)
        for name, passphrase in passphrases.items():
            made.add_passphrase(name, passphrase)
        for recipient in recipients:
            made.add_recipient(recipient)
        keys = SealKeys(self.host_id, epoch, {**self.keys.masters, epoch: master})
        found = self.head.refs if refs is None else refs
        return self._advance(made.header(), keys, made.notes, found, new_packs, keep, alone)

    def _advance(
        self,
        header: Header,
        keys: SealKeys,
        notes: Mapping[str, SlotNote],
        refs: Mapping[str, CommitId],
        new_packs: Sequence[Path],
        keep: Collection[str] | None,
        alone: bool,
    ) -> Head:
        kept = [pack for pack in self.head.packs if keep is None or pack.digest in keep]
        with self._scratch() as folder:
            batch = _Batch()
            for path in new_packs:
                described = parts.describe_pack(path)
                if any(pack.digest == described.digest for pack in kept):
                    continue
                made = self._seal_pack(header, keys, notes, described, path, folder, batch)
                kept.append(Pack(described.digest, described.size, described.objects, tuple(made)))
            return self._conclude(header, keys, notes, refs, kept, batch, alone=alone)

    def _seal_pack(
        self,
        header: Header,
        keys: SealKeys,
        notes: Mapping[str, SlotNote],
        described: Pack,
        path: Path,
        folder: Path,
        batch: _Batch,
    ) -> list[Part]:
        """Seal what is not at the host already from an earlier attempt; send full batches ahead."""
        means = self._means
        made = []
        for part in self._staged.get((described.digest, keys.epoch), ()):
            if self.tip is None or part.path not in self.tip.files:
                break
            made.append(part)
        limit = min(means.commit_bytes, self.host.limits.push_bytes or means.commit_bytes)
        sealing = parts.iter_sealed(
            keys, path, made, folder, means.files, part_bytes=self._part_bytes(), entropy=means.entropy
        )
        for part, scratch in sealing:
            if batch.files and batch.size + part.sealed > limit:
                self._stage(header, keys, notes, batch)
            batch.add(part, scratch, (described.digest, keys.epoch))
            made.append(part)
            means.progress("sealing bytes", sum(each.size for each in made), described.size)
        return made

    def _part_bytes(self) -> int:
        limit = self.host.limits.file_bytes
        # Sealing adds at most an eighth and some.
        return self._means.part_bytes if limit is None else max(1, min(self._means.part_bytes, limit * 7 // 8 - 4096))

    def _stage(self, header: Header, keys: SealKeys, notes: Mapping[str, SlotNote], batch: _Batch) -> None:
        """Send parts ahead; nothing refers to them yet."""
        if self.tip is None:  # a tree without header and head would be nobody's
            self._conclude(header, keys, notes, {}, [], _Batch())
        tip = self._commit(batch.files, (), False, None, keys)
        assert tip is not None
        self._state = self._state.at(tip)
        for part, place in batch.parts:
            self._staged.setdefault(place, []).append(part)
        batch.clear()

    def _conclude(
        self,
        header: Header,
        keys: SealKeys,
        notes: Mapping[str, SlotNote],
        refs: Mapping[str, CommitId],
        packs: Sequence[Pack],
        batch: _Batch,
        *,
        alone: bool = False,
    ) -> Head:
        """Publish a head that follows the current one, with what is left of the parts."""
        before, means = self.head, self._means
        earlier = (before.id, *before.previous)[: heads.MAX_PREVIOUS] if before.generation else ()
        used = {part.path for pack in packs for part in pack.parts}
        kept_digests = {pack.digest for pack in before.packs}
        needs_earlier = any(pack.digest in kept_digests for pack in packs)
        head = Head(
            host=header.host,
            generation=before.generation + 1,
            previous=earlier,
            header=header.digest,
            write=means.entropy(16).hex(),
            time_us=means.now_us(),
            refs=dict(refs),
            packs=tuple(packs),
            keys={epoch: key for epoch, key in keys.masters.items() if epoch != keys.epoch and needs_earlier},
            slots=dict(notes),
        )
        signature = means.identity.sign(heads.message_of(head.id)) if means.identity else None
        sealed = seal(keys, heads.PATH, heads.encode_head(head, signature), means.entropy)
        add: dict[str, Path | bytes] = {**batch.files, heads.PATH: sealed}
        raw_header = header.encode()
        if raw_header != self._state.raw_header:
            add[headers.PATH] = raw_header
        files = self.tip.files if self.tip else {}
        dropped = {part.path for pack in before.packs for part in pack.parts} - used
        if alone:
            dropped |= {path for path in files if path.startswith(heads.PACKS)} - used
        remove = sorted(path for path in dropped if path in files)
        now_keys = SealKeys(keys.host, keys.epoch, {**head.keys, keys.epoch: keys.masters[keys.epoch]})
        tip = self._commit(add, remove, alone, head, now_keys)
        if tip is not None:
            self._state = Opening(tip, header, raw_header, head, signature, now_keys, self._state.slot)
        self._staged.clear()
        return head

    def _commit(
        self, add: Mapping[str, Path | bytes], remove: Collection[str], alone: bool, head: Head | None, keys: SealKeys
    ) -> Tip | None:
        """Publish once, whatever becomes of the answer; None if a later head is there already (which is adopted)."""
        doubt: OutcomeUnknown | None = None
        for _ in range(ATTEMPTS):
            try:
                return self.host.publish(self.tip, add, remove, alone=alone)
            except OutcomeUnknown as error:
                doubt = error
                now = self.host.read_tip()
            except HostMoved:
                now = self.host.read_tip()
                if doubt is None and not self._same_head(now):
                    raise
            if now is None or now.version == (self.tip and self.tip.version):
                continue  # nothing happened (yet): if it still does, the next attempt is told so
            if not self._same_head(now):
                if head is not None and doubt is not None:
                    found = self._read(now, {**self.keys.masters, **keys.masters})
                    if found.head.id == head.id:
                        return now
                    if found.head.follows(head.generation, head.id):
                        self._state = found
                        return None
                raise HostMoved(f"somebody else published to {self.host.url} meanwhile", code="host-moved") from doubt
            if head is None and all(path in now.files for path in add):
                return now
            self._state = self._state.at(now)  # only files that no head lists came or went
        if doubt is not None:
            raise doubt
        raise HostMoved(f"others keep publishing to {self.host.url}; run the command again", code="host-moved")

    def _same_head(self, now: Tip | None) -> bool:
        """Whether a tip has the header and head that were read."""
        if now is None or self.tip is None:
            return now is None and self.tip is None
        return all(
            path in now.files and path in self.tip.files and now.files[path].id == self.tip.files[path].id
            for path in (headers.PATH, heads.PATH)
        )

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        folder = self._means.scratch / f"push-{secrets.token_hex(6)}"
        self._means.files.make_folder(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # -- key slots ---------------------------------------------------------------------------------------------

    def add_recipient(self, recipient: Recipient) -> SlotInfo:
        """Share the host with an identity; return its slot.

        Raises: StateError (recipient-exists), InvalidData (weak-key), and as ``publish``.
        """
        if any(slot.key == recipient.key for slot in self.slots):
            raise StateError(f"{self.host.url} is shared with this key already", code="recipient-exists")
        slots = self._edited()
        slot = slots.add_recipient(recipient)
        self._publish_slots(slots)
        return slot

    def add_passphrase(self, passphrase: str, name: str = "passphrase") -> SlotInfo:
        """Let the host be opened with one more passphrase; return its slot.  Raises: UsageError, as ``publish``."""
        slots = self._edited()
        slot = slots.add_passphrase(name, passphrase)
        self._publish_slots(slots)
        return slot

    def change_passphrase(self, slot: str, passphrase: str) -> SlotInfo:
        """Replace a passphrase slot (by id) by one of a new passphrase, or of the same at today's cost.

        Whoever knows the old passphrase and has kept a copy of the header can still open what was written so far:
        ``rekey`` shuts him out of what comes.  Raises: UsageError (unknown-slot, bad-option), as ``publish``.
        """
        old = self._slot(slot)
        if old.kind != "passphrase":
            raise UsageError(f"the key slot {slot} has no passphrase", code="unknown-slot")
        slots = self._edited(without=slot)
        new = slots.add_passphrase(old.name, passphrase)
        self._publish_slots(slots)
        return new

    def remove_slot(self, slot: str) -> None:
        """Remove a key slot by id.  Who has opened the host with it knows the master key: see ``rekey``.

        Raises: UsageError (unknown-slot), StateError (last-slot), as ``publish``.
        """
        self._slot(slot)
        if len(self.header.slots) == 1:
            raise StateError(
                "the last key slot cannot be removed: nobody could open the host any more", code="last-slot"
            )
        self._publish_slots(self._edited(without=slot))

    def _slot(self, slot: str) -> SlotInfo:
        for each in self.slots:
            if each.id == slot:
                return each
        raise UsageError(f"{self.host.url} has no key slot {slot!r}", code="unknown-slot")

    def _edited(self, without: str = "") -> _Slots:
        slots = _Slots(self.host_id, self.header.epoch, self.keys.masters[self.header.epoch], self._means)
        slots.slots += [slot for slot in self.header.slots if slot.id != without]
        slots.notes |= {name: note for name, note in self.head.slots.items() if name != without}
        return slots

    def _publish_slots(self, slots: _Slots) -> None:
        self._advance(slots.header(), self.keys, slots.notes, self.head.refs, (), None, False)

    # -- checking ----------------------------------------------------------------------------------------------

    def check(
        self,
        *,
        read_data: bool = False,
        on_pack: Callable[[Pack, Path], None] = lambda pack, path: None,
    ) -> list[Problem]:
        """Return what is wrong with the parts at the host (open it ``with_damage`` for this).

        Without ``read_data`` only names and sizes are compared.  With it every part is fetched and opened, and
        ``on_pack`` is given each whole pack as a file that is removed after the call, unless it was moved.
        Raises: HostError where the host cannot be asked.
        """
        if self.tip is None:
            return []
        problems = list(iter_part_problems(self.tip, self.head))
        if read_data:
            with self._scratch() as folder:
                reader = DataCheck(self.host, self.tip, self.keys, folder, self._means.files, self._means.progress)
                problems += reader.run(self.head.packs, on_pack)
        return problems


def _info(slot: Slot, note: SlotNote) -> SlotInfo:
    if isinstance(slot, PassphraseSlot):
        return SlotInfo(slot.id, "passphrase", note.name, None, slot.cost)
    return SlotInfo(slot.id, "x25519", note.name, note.key)


class _Slots:
    """Key slots in the making."""

    def __init__(self, host: str, epoch: int, master: bytes, means: Means) -> None:
        self._host, self._epoch, self._master, self._means = host, epoch, master, means
        self.slots: list[Slot] = []
        self.notes: dict[str, SlotNote] = {}

    def add_passphrase(self, name: str, passphrase: str) -> SlotInfo:
        means = self._means
        return self._add(
            wrap_passphrase(self._master, passphrase, self._host, self._epoch, means.cost, means.entropy),
            SlotNote(name),
        )

    def add_recipient(self, recipient: Recipient) -> SlotInfo:
        slot = wrap_recipient(self._master, recipient.key, self._host, self._epoch, self._means.entropy)
        return self._add(slot, SlotNote(recipient.name, recipient.key))

    def _add(self, slot: Slot, note: SlotNote) -> SlotInfo:
        self.slots.append(slot)
        self.notes[slot.id] = note
        return _info(slot, note)

    def header(self) -> Header:
        if not self.slots:
            raise UsageError("nobody could open it: give a passphrase or a recipient", code="bad-option")
        headers.check_counts(self.slots)
        return Header(self._host, self._epoch, tuple(self.slots))


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
