"""Who can open a host: key slots as members see them, and key slots in the making."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vexrepo.errors import UsageError
from vexrepo.remotes.hosts.head import SlotNote
from vexrepo.remotes.hosts.header import Header, check_counts
from vexrepo.remotes.hosts.slots import Entropy, PassphraseSlot, Slot, wrap_passphrase, wrap_recipient
from vexrepo.storage.passphrase import Cost


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


def describe_slot(slot: Slot, note: SlotNote) -> SlotInfo:
    """Return what members see of a slot."""
    if isinstance(slot, PassphraseSlot):
        return SlotInfo(slot.id, "passphrase", note.name, None, slot.cost)
    return SlotInfo(slot.id, "x25519", note.name, note.key)


class SlotBook:
    """Key slots in the making, all of one master key."""

    def __init__(
        self, host: str, epoch: int, master: bytes, cost: Cost, entropy: Entropy = secrets.token_bytes
    ) -> None:
        self._host, self._epoch, self._master = host, epoch, master
        self._cost, self._entropy = cost, entropy
        self._slots: list[Slot] = []
        self.notes: dict[str, SlotNote] = {}

    def keep(self, slots: Sequence[Slot], notes: Mapping[str, SlotNote]) -> None:
        """Take over slots of the same master key."""
        for slot in slots:
            self._add(slot, notes[slot.id])

    def add_passphrase(self, name: str, passphrase: str) -> SlotInfo:
        """Add a slot.  Raises: UsageError (bad-option), StorageFailure (out-of-memory)."""
        slot = wrap_passphrase(self._master, passphrase, self._host, self._epoch, self._cost, self._entropy)
        return self._add(slot, SlotNote(name))

    def add_recipient(self, recipient: Recipient) -> SlotInfo:
        """Add a slot.  Raises: InvalidData (weak-key)."""
        slot = wrap_recipient(self._master, recipient.key, self._host, self._epoch, self._entropy)
        return self._add(slot, SlotNote(recipient.name, recipient.key))

    def header(self) -> Header:
        """Return the header with these slots.  Raises: UsageError (bad-option, limit-exceeded)."""
        if not self._slots:
            raise UsageError("nobody could open it: give a passphrase or a recipient", code="bad-option")
        check_counts(self._slots)
        return Header(self._host, self._epoch, tuple(self._slots))

    def _add(self, slot: Slot, note: SlotNote) -> SlotInfo:
        self._slots.append(slot)
        self.notes[slot.id] = note
        return describe_slot(slot, note)
