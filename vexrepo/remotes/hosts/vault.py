"""A vault: a host with keys.  What is read is opened and checked, what is written is sealed.

The one writer of a host is whoever replaces its tip while it is what was read (``Host.publish``): here that becomes
a head that follows the one before.  Format and order: remotes/PROTOCOL.md, "Reading" and "Writing".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
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
from vexrepo.remotes.hosts.head import Head, Pack
from vexrepo.remotes.hosts.header import Header, Unlock
from vexrepo.remotes.hosts.members import Recipient, SlotBook, SlotInfo, describe_slot
from vexrepo.remotes.hosts.opening import Opening, Seen
from vexrepo.remotes.hosts.publishing import Means, Publisher, Target, scratch_folder
from vexrepo.remotes.hosts.seal import SealKeys
from vexrepo.remotes.hosts.slots import MASTER_BYTES, Slot

__all__ = [
    "Head",
    "HostMoved",
    "Means",
    "OutcomeUnknown",
    "Pack",
    "Problem",
    "Recipient",
    "Seen",
    "SlotInfo",
    "Unlock",
    "Vault",
]


class Vault:
    """A host with keys, at one moment: ``tip``, ``header`` and ``head`` are what was read or published last.

    Not for several threads.  Closing the host is the business of whoever opened it.
    """

    def __init__(self, host: Host, means: Means, offer: Unlock, state: Opening) -> None:
        self.host = host
        self._means = means
        self._offer = offer
        self._publisher = Publisher(host, means, state, self._read)

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
            raise _exists(host.url) if headers.PATH in tip.files else headers.not_ours(host.url)
        host_id, master = means.entropy(16).hex(), means.entropy(MASTER_BYTES)
        book = SlotBook(host_id, 1, master, means.cost, means.entropy)
        if passphrase is not None:
            book.add_passphrase("passphrase", passphrase)
        for recipient in recipients:
            book.add_recipient(recipient)
        header = book.header()
        head = Head(host_id, 0, (), header.digest, "0" * 32, 0, slots=book.notes)
        offer = Unlock(passphrases=None if passphrase is None else lambda: [passphrase])
        return cls(host, means, offer, Opening(None, header, b"", head, None, SealKeys(host_id, 1, {1: master}), None))

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

        Passphrases are asked again only if somebody drew a new master key.  Raises: as ``open``; StateError
        (repository-exists) if this is new and somebody else has made one there.
        """
        tip = self.host.read_tip()
        if self.tip is None:
            if tip is not None:
                raise _exists(self.host.url)
            return False
        if tip is None:
            raise Tampered(f"{self.host.url} held a repository and is empty now", code="host-rolled-back")
        before = self.head.id
        self._publisher.state = self._read(tip, self.keys.masters)
        return self.head.id != before

    def _read(self, tip: Tip, masters: Mapping[int, bytes]) -> Opening:
        seen = self.seen if self.head.generation else None
        known = SealKeys(self.host_id, self.header.epoch, masters)
        found = opening.read(self.host, tip, self._offer, lambda host_id: seen, known=known)
        return found if found.slot is not None else replace(found, slot=self._state.slot)

    @property
    def _state(self) -> Opening:
        return self._publisher.state

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
        epoch = self.header.epoch
        return Seen(self.host_id, self.head.generation, self.head.id, epoch, self.keys.mark(epoch) or "")

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
        return describe_slot(slot, self.head.slots[slot.id])

    # -- packs -------------------------------------------------------------------------------------------------

    def read_packs(self, packs: Sequence[Pack], folder: Path) -> Iterator[tuple[Pack, Path]]:
        """Yield packs as plain, durable pack files ``folder/DIGEST.pack``, each when its digest was checked.

        One request to the host gets them all, in the order it likes; memory holds one part.  What they say is still
        to be checked, object by object.  Raises: Tampered (host-tampered), HostError, StorageFailure.
        """
        if self.tip is not None and packs:
            means = self._means
            yield from parts.iter_joined(self.host, self.tip, self.keys, packs, folder, means.files, means.progress)

    def read_indexes(self, packs: Sequence[Pack]) -> Iterator[tuple[Pack, bytes]]:
        """Yield packs with their indexes, the rest of them not fetched where that can be avoided.

        Raises: Tampered (host-tampered, pack-corrupt), HostError.
        """
        if self.tip is not None and packs:
            yield from parts.iter_indexes(self.host, self.tip, self.keys, packs)

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
            means = self._means
            with scratch_folder(means) as folder:
                reader = DataCheck(self.host, self.tip, self.keys, folder, means.files, means.progress)
                problems += reader.run(self.head.packs, on_pack)
        return problems

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
        target = Target(self.header, self.keys, self.head.slots, refs, self._kept(keep), alone)
        return self._publisher.advance(target, new_packs)

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
        book = SlotBook(self.host_id, epoch, master, self._means.cost, self._means.entropy)
        for name, passphrase in passphrases.items():
            book.add_passphrase(name, passphrase)
        for recipient in recipients:
            book.add_recipient(recipient)
        keys = SealKeys(self.host_id, epoch, {**self.keys.masters, epoch: master})
        found = self.head.refs if refs is None else refs
        target = Target(book.header(), keys, book.notes, found, self._kept(keep), alone)
        return self._publisher.advance(target, new_packs)

    def _kept(self, keep: Collection[str] | None) -> list[Pack]:
        return [pack for pack in self.head.packs if keep is None or pack.digest in keep]

    # -- key slots ---------------------------------------------------------------------------------------------

    def add_recipient(self, recipient: Recipient) -> SlotInfo:
        """Share the host with an identity; return its slot.

        Raises: StateError (recipient-exists), InvalidData (weak-key), and as ``publish``.
        """
        if any(slot.key == recipient.key for slot in self.slots):
            raise StateError(f"{self.host.url} is shared with this key already", code="recipient-exists")
        book = self._book()
        slot = book.add_recipient(recipient)
        self._publish_slots(book)
        return slot

    def add_passphrase(self, passphrase: str, name: str = "passphrase") -> SlotInfo:
        """Let the host be opened with one more passphrase; return its slot.  Raises: UsageError, as ``publish``."""
        book = self._book()
        slot = book.add_passphrase(name, passphrase)
        self._publish_slots(book)
        return slot

    def change_passphrase(self, slot: str, passphrase: str) -> SlotInfo:
        """Replace a passphrase slot (by id) by one of a new passphrase, or of the same at today's cost.

        Whoever knows the old passphrase and has kept a copy of the header can still open what was written so far:
        ``rekey`` shuts him out of what comes.  Raises: UsageError (unknown-slot, bad-option), as ``publish``.
        """
        old = self._slot(slot)
        if old.kind != "passphrase":
            raise UsageError(f"the key slot {slot} has no passphrase", code="unknown-slot")
        book = self._book(without=slot)
        new = book.add_passphrase(old.name, passphrase)
        self._publish_slots(book)
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
        self._publish_slots(self._book(without=slot))

    def _slot(self, slot: str) -> SlotInfo:
        for each in self.slots:
            if each.id == slot:
                return each
        raise UsageError(f"{self.host.url} has no key slot {slot!r}", code="unknown-slot")

    def _book(self, without: str = "") -> SlotBook:
        epoch, means = self.header.epoch, self._means
        book = SlotBook(self.host_id, epoch, self.keys.masters[epoch], means.cost, means.entropy)
        book.keep([slot for slot in self.header.slots if slot.id != without], self.head.slots)
        return book

    def _publish_slots(self, book: SlotBook) -> None:
        self._publisher.advance(Target(book.header(), self.keys, book.notes, self.head.refs, self.head.packs), ())


def _exists(url: str) -> StateError:
    return StateError(
        f"there is a memory repository at {url} already; nothing was changed: open it with its passphrase or key",
        code="repository-exists",
    )
