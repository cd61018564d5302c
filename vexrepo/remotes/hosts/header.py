"""The header of a host: what is readable without a key, and how one gets to the key.

Format: remotes/PROTOCOL.md, "Header".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vexrepo.errors import HostError, InvalidData, UsageError, WrongKey
from vexrepo.objects import canonical
from vexrepo.objects.digest import checksum
from vexrepo.remotes.hosts.seal import HostTampered
from vexrepo.remotes.hosts.slots import PassphraseSlot, RecipientSlot, Slot, decode_slot, is_hex
from vexrepo.storage.keys import Identity

PATH: Final = "vexrepo"
FORMAT: Final = "vexrepo host 1"
MAX_BYTES: Final = 1 << 20
MAX_SLOTS: Final = 1024
MAX_PASSPHRASES: Final = 16
MAX_EPOCH: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Header:
    """A host's id, the number of its current master key, and the slots that wrap it."""

    host: str
    epoch: int
    slots: tuple[Slot, ...]

    def encode(self) -> bytes:
        """Return the file's bytes."""
        slots = [slot.to_json() for slot in self.slots]
        return canonical.encode({"epoch": self.epoch, "format": FORMAT, "host": self.host, "slots": slots})

    @property
    def digest(self) -> str:
        """What a head says of its header."""
        return checksum(self.encode()).hex()


@dataclass(frozen=True, slots=True)
class Unlock:
    """What somebody offers to open a host with.

    Identities are tried first, each taken only if those before do not fit.  ``passphrases`` is called only if none of
    them fits, and only if a slot wants one; what it gives is tried in turn until one fits, so that an iterator may ask
    somebody again.

    Anybody can wrap a key for a public key.  So a host that this machine has not seen before and that an identity
    opens is only used if ``vouches`` says of the key that signed its head (None: no signature) that it is trusted, or
    a passphrase opens it as well.  Without ``vouches`` any is taken: for what is only looked at, or where somebody
    has been asked.
    """

    identities: Iterable[Identity] = ()
    passphrases: Callable[[], Iterable[str]] | None = field(default=None, repr=False)
    vouches: Callable[[bytes | None], bool] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A master key, and the slot it came out of (None: known from before)."""

    master: bytes = field(repr=False)
    slot: Slot | None


def decode_header(raw: bytes, url: str) -> Header:
    """Return the header of a file.

    Raises: HostError (host-not-ours, host-version), Tampered (host-tampered).
    """
    value = _parse(raw)
    form = value.get("format") if isinstance(value, dict) else None
    if not isinstance(form, str) or not form.startswith("vexrepo host "):
        raise not_ours(url)
    if form != FORMAT:
        raise HostError(
            f"the repository at {url} has the format {form[:40]!r}, expected {FORMAT!r}: written by a newer vexrepo, "
            "please update",
            code="host-version",
        )
    match value:
        case {"epoch": int(epoch), "format": _, "host": str(host), "slots": list(slots), **rest} if not rest:
            if type(epoch) is int and 1 <= epoch <= MAX_EPOCH and is_hex(host, 16) and 1 <= len(slots) <= MAX_SLOTS:
                header = Header(host, epoch, _slots(slots))
                if header.encode() == raw:
                    return header
    raise HostTampered(PATH, "it is not a header as vex writes it")


def not_ours(url: str) -> HostError:
    """Return the error for a repository that holds something else."""
    return HostError(
        f"the repository at {url} is not empty and holds no memory repository of vex; it was left as it is: name an "
        "empty one",
        code="host-not-ours",
    )


def _parse(raw: bytes) -> Any:
    if len(raw) > MAX_BYTES:
        return None
    try:
        return canonical.parse(raw)
    except InvalidData:
        return None


def check_counts(slots: Sequence[Slot]) -> None:
    """Raise UsageError (limit-exceeded) for more key slots than a header may have."""
    if len(slots) > MAX_SLOTS or not _are_few(slots):
        raise UsageError(
            f"a host has at most {MAX_SLOTS} key slots, {MAX_PASSPHRASES} of them passphrases", code="limit-exceeded"
        )


def _are_few(slots: Sequence[Slot]) -> bool:
    """Whether trying a passphrase on each slot that has one ends in a reasonable time."""
    return sum(isinstance(slot, PassphraseSlot) for slot in slots) <= MAX_PASSPHRASES


def _slots(values: list[Any]) -> tuple[Slot, ...]:
    found: list[Slot] = []
    for value in values:
        try:
            slot = decode_slot(value)
        except InvalidData as error:
            raise HostTampered(PATH, str(error)) from error
        if slot is None:
            raise HostTampered(PATH, "a key slot is not as vex writes it")
        found.append(slot)
    if len({slot.id for slot in found}) != len(found):
        raise HostTampered(PATH, "two key slots have the same id")
    if not _are_few(found):
        raise HostTampered(PATH, "it has too many passphrase slots")
    return tuple(found)


def unlock(header: Header, offer: Unlock, url: str) -> Opened:
    """Return the master key that one of the offered keys opens.

    Raises: WrongKey (wrong-passphrase, wrong-key, no-passphrase).
    """
    tried: list[str] = []
    shared = [slot for slot in header.slots if isinstance(slot, RecipientSlot)]
    for identity in offer.identities if shared else ():
        tried.append(identity.name or "the given key")
        for recipient in shared:
            master = recipient.unwrap(identity.seed, header.host, header.epoch)
            if master is not None:
                return Opened(master, recipient)
    asked = [slot for slot in header.slots if isinstance(slot, PassphraseSlot)]
    who = ", ".join(tried) or "an identity of yours"
    if not asked:
        raise WrongKey(
            f"{url} is not shared with you: no key slot opens with {who}, and it has no passphrase; ask somebody who "
            "can open it to add your public key",
            code="wrong-key",
        )
    if offer.passphrases is None:
        raise WrongKey(
            f"{url} needs a passphrase: no key slot opens with {who}, and no passphrase was given",
            code="no-passphrase",
        )
    try:
        for passphrase in offer.passphrases():
            for slot in asked:
                master = slot.unwrap(passphrase, header.host, header.epoch)
                if master is not None:
                    return Opened(master, slot)
    except WrongKey as error:
        if not tried:
            raise
        # Somebody whose key opened it yesterday should not look for a passphrase he never had.
        raise WrongKey(
            f"no key slot opens with {who} (never added, or taken off since), and {error}", code=error.code
        ) from error
    raise WrongKey(
        f"wrong passphrase for {url}: it opens none of its {len(asked)} passphrase slots (if you are sure of it, the "
        "host's header may be damaged); nothing was downloaded",
        code="wrong-passphrase",
    )
