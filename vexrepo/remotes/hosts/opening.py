"""Opening a host: tip, header, key, head, and every check that comes before anything of it is used.

Rules: remotes/PROTOCOL.md, "Reading".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vexrepo.errors import HostError, InvalidData, Tampered, WrongKey
from vexrepo.objects.digest import checksum
from vexrepo.objects.signature import Signature
from vexrepo.remotes.hosts import head as heads
from vexrepo.remotes.hosts import header as headers
from vexrepo.remotes.hosts.base import Host, Tip
from vexrepo.remotes.hosts.checking import iter_part_problems
from vexrepo.remotes.hosts.head import Head, HeadId
from vexrepo.remotes.hosts.header import Header, Opened, Unlock, unlock
from vexrepo.remotes.hosts.seal import HostTampered, SealKeys, open_sealed, sealed_size
from vexrepo.remotes.hosts.slots import PassphraseSlot, RecipientSlot, Slot, is_hex
from vexrepo.storage.keys import fingerprint


@dataclass(frozen=True, slots=True)
class Seen:
    """What a machine saw of a host last.  Kept outside the repository, by host id.

    ``key`` is the mark of the master key of ``epoch`` (``SealKeys.mark``), empty where it was not noted.
    """

    host: str
    generation: int
    head: HeadId
    epoch: int = 0
    key: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        value = {"generation": self.generation, "head": self.head.hex(), "host": self.host}
        return {**value, "epoch": self.epoch, "key": self.key} if self.key else value

    @classmethod
    def from_json(cls, value: Any) -> Seen:
        """Return the value of its JSON form.  Raises: InvalidData (object-corrupt)."""
        match value:
            case {"generation": int(generation), "head": str(head), "host": str(host), **rest}:
                if is_hex(head, 32) and is_hex(host, 16) and generation >= 1:
                    seen = cls(host, generation, HeadId(bytes.fromhex(head)))
                    match rest:
                        case {"epoch": int(epoch), "key": str(key), **more} if not more and epoch >= 1:
                            if is_hex(key, 32):
                                return replace(seen, epoch=epoch, key=key)
                        case _ if not rest:
                            return seen
        raise InvalidData("not what a machine remembers of a host", code="object-corrupt")


@dataclass(frozen=True, slots=True)
class Opening:
    """A host's state, opened and checked.  ``tip`` is None for a host that is yet to be made."""

    tip: Tip | None
    header: Header
    raw_header: bytes = field(repr=False)
    head: Head
    signature: Signature | None
    keys: SealKeys
    slot: Slot | None  # the one that was opened; None where the master key was known

    def at(self, tip: Tip) -> Opening:
        """Return the same state at a tip that differs in files no head lists."""
        return replace(self, tip=tip)


def read(
    host: Host,
    tip: Tip,
    offer: Unlock,
    seen: Callable[[str], Seen | None],
    *,
    known: SealKeys | None = None,
    with_damage: bool = False,
) -> Opening:
    """Return the state of a tip.  ``known`` keys are used before any are asked for.

    Raises: HostError (host-not-ours, host-version, …), WrongKey, Tampered (host-tampered, host-rolled-back,
    host-unproven).
    """
    if headers.PATH not in tip.files:
        raise headers.not_ours(host.url)
    limits = {headers.PATH: headers.MAX_BYTES, heads.PATH: sealed_size(heads.MAX_BYTES)}
    if (tip.files[headers.PATH].size or 0) > headers.MAX_BYTES:
        raise headers.not_ours(host.url)
    present = [path for path in limits if path in tip.files]
    for path in present:
        if (tip.files[path].size or 0) > limits[path]:
            raise HostTampered(path, "it is too large")
    contents = dict(host.fetch(tip, present))
    raw_header = _taken(contents, headers.PATH, host)
    header = headers.decode_header(raw_header, host.url)
    if heads.PATH not in present:
        raise HostTampered(heads.PATH, "it is missing")
    sealed = _taken(contents, heads.PATH, host)
    if known is not None and known.host != header.host:
        raise Tampered(f"{host.url} is another repository than a moment ago", code="host-tampered")
    if known is not None and header.epoch in known.masters:
        opened = Opened(known.masters[header.epoch], None)
    else:
        opened = unlock(header, offer, host.url)
    master = opened.master
    keys = SealKeys(header.host, header.epoch, {header.epoch: master})
    head, signature = heads.decode_head(open_sealed(keys, heads.PATH, sealed))
    keys = SealKeys(header.host, header.epoch, {**head.keys, header.epoch: master})
    _check_together(header, raw_header, head)
    before = seen(header.host)
    if before is not None:
        _check_seen(host.url, header, head, keys, before)
    elif isinstance(opened.slot, RecipientSlot):
        _check_vouched(host.url, header, opened, offer, signature)
    if not with_damage:
        for problem in iter_part_problems(tip, head):
            raise HostTampered(problem.path, problem.message)
    return Opening(tip, header, raw_header, head, signature, keys, opened.slot)


def _taken(contents: Mapping[str, bytes], path: str, host: Host) -> bytes:
    if path not in contents:
        raise HostError(f"{host.url} does not give the file {path}", code="host-file-missing")
    return contents[path]


def _check_together(header: Header, raw_header: bytes, head: Head) -> None:
    if head.host != header.host:
        raise HostTampered(heads.PATH, "it is the head of another host")
    if head.header != checksum(raw_header).hex():
        raise HostTampered(headers.PATH, "it is not the one that the head was written with")
    if any(epoch >= header.epoch for epoch in head.keys):
        raise HostTampered(heads.PATH, "it holds a key of an epoch that is not earlier")
    wanted = {slot.id: isinstance(slot, RecipientSlot) for slot in header.slots}
    if wanted != {name: note.key is not None for name, note in head.slots.items()}:
        raise HostTampered(heads.PATH, "it does not name the key slots of the header")


def _check_seen(url: str, header: Header, head: Head, keys: SealKeys, seen: Seen) -> None:
    """Refuse what does not come after what was seen, or is by somebody who did not know its key.

    Who does not know the master key cannot write a head under it, nor the id of a sealed one into ``previous``.  But
    anybody can make a whole new host, with the same id, for somebody's public key.
    """
    if head.generation < seen.generation:
        raise _rolled_back(url, f"generation {head.generation}, after generation {seen.generation} was seen")
    follows = head.follows(seen.generation, seen.head)
    if follows is False:
        raise _rolled_back(url, f"another generation {seen.generation} in its history than was seen")
    if header.epoch < seen.epoch:
        raise _rolled_back(url, f"master key {header.epoch}, after master key {seen.epoch} was seen")
    mark = keys.mark(seen.epoch)
    is_shown = mark == seen.key if mark else follows is True
    if seen.key and not is_shown:
        raise Tampered(
            f"{url} is sealed by somebody who does not show that he knew the key this machine has seen there; nothing "
            "of it was used.  Either the host put its own key in place of yours, or others changed the master key, "
            "compacted, and published 16 times since: ask them, and only then forget what was seen and clone again",
            code="host-unproven",
        )


def _check_vouched(url: str, header: Header, opened: Opened, offer: Unlock, signature: Signature | None) -> None:
    """Refuse a host seen for the first time that anybody could have made, as far as can be told.

    An identity that opens it proves nothing: its public key is enough.  A passphrase that opens the same key proves
    that who made it knew the passphrase, so it is asked for where the signature is not enough.
    """
    if offer.vouches is None or offer.vouches(signature.key if signature else None):
        return
    if any(isinstance(slot, PassphraseSlot) for slot in header.slots) and offer.passphrases is not None:
        with contextlib.suppress(WrongKey):
            if unlock(header, replace(offer, identities=()), url).master == opened.master:
                return
    by = f"signed by {fingerprint(signature.key)}, a key you do not trust" if signature else "not signed"
    raise Tampered(
        f"{url} opens with your key, but anybody who knows your public key could have made it: its head is {by}, and "
        "no passphrase shows who made it.  Give its passphrase, or trust that key if it is somebody's you share with "
        "(`vex trust add`)",
        code="host-unproven",
    )


def _rolled_back(url: str, what: str) -> Tampered:
    return Tampered(
        f"{url} shows another state than this machine has seen ({what}); nothing of it was used.  If nobody restored "
        "it from a backup on purpose, the host is at fault: push what you have to another one",
        code="host-rolled-back",
    )
