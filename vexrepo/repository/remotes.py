"""Remotes: how a host is reached and opened, and what this machine remembers of it outside any repository.

What was seen of a host (its newest head) is kept by host id in the user's state folder, so that a host that shows an
older state, or another history, is noticed; and which host a remote led to, so that one put in its place is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from vexrepo.errors import HostError, InvalidData, StorageFailure, Tampered, WrongKey
from vexrepo.objects.digest import CommitId
from vexrepo.objects.signature import Verdict
from vexrepo.objects.trust import SigningTime, judge
from vexrepo.remotes.hosts.base import Access, Host
from vexrepo.remotes.hosts.contents import Contents
from vexrepo.remotes.hosts.head import Pack
from vexrepo.remotes.hosts.header import Unlock
from vexrepo.remotes.hosts.members import Recipient
from vexrepo.remotes.hosts.opening import Seen
from vexrepo.remotes.hosts.publishing import DEFAULT_COST, Means
from vexrepo.remotes.hosts.registry import open_host
from vexrepo.remotes.hosts.tips import decode_tip, encode_tip, tip_path
from vexrepo.remotes.hosts.vault import Vault
from vexrepo.repository.core import Core
from vexrepo.repository.surroundings import Surroundings
from vexrepo.storage.files import Files
from vexrepo.storage.pack import PackReader
from vexrepo.storage.passphrase import Cost

Kind: TypeAlias = Literal["new", "forward", "forced", "deleted", "same"]


@dataclass(frozen=True, slots=True)
class Remote:
    """A host's repository under a name.  The address holds no secret."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How to get to a host and to open it, from the command line's edge.

    ``new_passphrase`` is asked when a push makes the host; with ``recipients`` alone it gets none.  ``cost`` is that of
    new passphrase slots.  ``connect`` opens the address.  Where ``unlock`` does not say who vouches for a host that an
    identity opens for the first time, known keys do.
    """

    access: Access = field(default_factory=Access)
    unlock: Unlock = field(default_factory=Unlock)
    new_passphrase: Callable[[], str] | None = field(default=None, repr=False)
    recipients: tuple[Recipient, ...] = ()
    cost: Cost = DEFAULT_COST
    connect: Callable[[str, Access], Host] = open_host


@dataclass(frozen=True, slots=True)
class RefMove:
    """What became of a ref (``heads/NAME``, ``tags/NAME``): where it was and is, None for not at all."""

    name: str
    old: CommitId | None
    new: CommitId | None
    kind: Kind


class Memory:
    """What this machine remembers of hosts and remotes; without a state folder, nothing."""

    def __init__(self, state_folder: Path | None, files: Files) -> None:
        self._folder = state_folder
        self._files = files

    def seen(self, host_id: str) -> Seen | None:
        """Return what was last seen of a host."""
        value = self._read("hosts", host_id)
        with contextlib.suppress(InvalidData):
            return Seen.from_json(value)
        return None

    def saw(self, seen: Seen) -> None:
        """Remember what was seen of a host, unless something newer was."""
        before = self.seen(seen.host)
        if before is None or before.generation <= seen.generation:
            self._write("hosts", seen.host, seen.to_json())

    def forget(self, host_id: str) -> None:
        """Forget what was seen of a host: the next look is taken for the newest."""
        self._remove("hosts", host_id)

    def host_of(self, repository: str, remote: str) -> str | None:
        """Return the id of the host that a repository's remote led to."""
        found = (self._read("remotes", repository) or {}).get(remote)
        return found if isinstance(found, str) else None

    def led_to(self, repository: str, remote: str, host_id: str | None) -> None:
        """Remember, or for None forget, which host a repository's remote led to."""
        known = self._read("remotes", repository) or {}
        if known.get(remote) != host_id:
            rest = {name: each for name, each in known.items() if name != remote}
            self._write("remotes", repository, rest if host_id is None else {**rest, remote: host_id})

    def _path(self, kind: str, name: str) -> Path | None:
        return self._folder / kind / f"{name}.json" if self._folder is not None else None

    def _read(self, kind: str, name: str) -> dict[str, Any] | None:
        path = self._path(kind, name)
        if path is not None:
            with contextlib.suppress(OSError, ValueError):
                value = orjson.loads(path.read_bytes())
                return value if isinstance(value, dict) else None
        return None

    def _write(self, kind: str, name: str, value: dict[str, Any]) -> None:
        path = self._path(kind, name)
        if path is not None:
            # What was done stands whether or not it can be remembered; an older memory is weaker, never wrong.
            with contextlib.suppress(StorageFailure):
                self._files.make_folder(path.parent)
                self._files.write(path, orjson.dumps(value))

    def _remove(self, kind: str, name: str) -> None:
        path = self._path(kind, name)
        if path is not None:
            self._files.remove(path)


@dataclass(frozen=True, slots=True)
class Base:
    """Where the one who visits a host is at home: a ``.vex`` folder, and the id of the repository in it."""

    folder: Path
    around: Surroundings
    repository: str
    signs: bool = True

    @classmethod
    def of(cls, repository: Core) -> Base:
        """Return that of an open repository."""
        identifier = repository.log.current()[1].repository
        return cls(repository.folder, repository.around, identifier, bool(repository.config["commit.sign"]))

    @property
    def memory(self) -> Memory:
        """What this machine remembers."""
        return Memory(self.around.state_folder, self.around.files)


class Visit:
    """A host, open: its vault, and what is known of the packs it holds."""

    def __init__(self, base: Base, remote: Remote, vault: Vault) -> None:
        self.base = base
        self.remote = remote
        self.vault = vault
        folder = base.folder / "cache" / "hosts"
        self.contents = Contents(folder / vault.host_id, base.around.files)
        self._tip_path = tip_path(base.folder, remote.url)

    def learn(self, packs: Sequence[Pack], paths: Sequence[Path]) -> None:
        """Take note of what packs that were just published hold."""
        if len(packs) == len(paths):  # else one was there already; a listing that is missing is fetched when needed
            for pack, path in zip(packs, paths, strict=True):
                self.contents.learn_pack(pack.digest, PackReader(path))

    def remember(self) -> None:
        """Remember the head that was read or written, outside the repository; call when all of it is right."""
        vault, files = self.vault, self.base.around.files
        if vault.head.generation:
            self.base.memory.saw(vault.seen)
            self.base.memory.led_to(self.base.repository, self.remote.name, vault.host_id)
            self.contents.forget_all_but({pack.digest for pack in vault.head.packs})
        if vault.tip is not None:
            with contextlib.suppress(StorageFailure):
                files.make_folder(self._tip_path.parent)
                files.write(self._tip_path, encode_tip(vault.tip))


@contextlib.contextmanager
def visit(
    base: Base,
    remote: Remote,
    reach: Reach,
    *,
    makes: bool = False,
    with_damage: bool = False,
    accept_rollback: bool = False,
) -> Iterator[Visit]:
    """Open a remote's host; its head is read and checked against what this machine remembers.

    ``makes``: an empty host becomes ours with the first publish.  ``with_damage``: see ``Vault.open``.  With
    ``accept_rollback`` what this machine remembers does not count.
    Raises: HostError (host-empty, host-not-ours, …), WrongKey, Tampered (host-tampered, host-rolled-back,
    host-replaced).
    """
    around = base.around
    identity = around.identity if base.signs else None
    means = Means(around.now_us, base.folder / "tmp", identity, around.files, around.progress, reach.cost)
    # What hosts without partial clone send may be more than the system's folder for temporary files takes.
    access = replace(reach.access, scratch=reach.access.scratch or means.scratch)
    with reach.connect(remote.url, access) as host:
        with contextlib.suppress(OSError):
            tip = decode_tip(tip_path(base.folder, remote.url).read_bytes())
            if tip is not None:
                host.recall(tip)
        before = None if accept_rollback else base.memory.host_of(base.repository, remote.name)
        seen = (lambda host_id: None) if accept_rollback else base.memory.seen
        try:
            vault = Vault.open(host, means, with_vouches(reach.unlock, around), seen, with_damage=with_damage)
        except HostError as error:
            if error.code == "host-empty" and before is not None:
                raise Tampered(
                    f"{remote.url} held the memory repository {before[:8]} when it was last seen, and is empty now.  "
                    f"If you emptied it on purpose, `vex remote remove {remote.name}` and add it again",
                    code="host-rolled-back",
                ) from error
            if error.code == "host-not-ours" and before is not None:
                raise Tampered(
                    f"{remote.url} held the memory repository {before[:8]} when it was last seen; now its header is "
                    "missing or damaged, or something else is there.  It was left as it is: ask whoever runs the host, "
                    "or push from here into an empty repository (`vex remote add`)",
                    code="host-replaced",
                ) from error
            if error.code != "host-empty" or not makes:
                raise
            vault = _make(host, means, reach)
        if before is not None and before != vault.host_id:
            raise Tampered(
                f"{remote.url} is another repository ({vault.host_id[:8]}) than the one that {remote.name} was before "
                f"({before[:8]}); nothing of it was used.  If that is what you want, `vex remote remove {remote.name}` "
                "and add it again",
                code="host-replaced",
            )
        yield Visit(base, remote, vault)


def with_vouches(unlock: Unlock, around: Surroundings) -> Unlock:
    """Return how a host is opened, where a head counts that a key signed which is good today."""
    if unlock.vouches is not None:
        return unlock

    def vouches(key: bytes | None) -> bool:
        # A head is what a host shows today, whatever time it says: its key has to be good today.
        now_us = around.now_us()
        return key is not None and judge(key, SigningTime(now_us), (), (), around.trust).verdict is Verdict.GOOD

    return replace(unlock, vouches=vouches)


def _make(host: Host, means: Means, reach: Reach) -> Vault:
    if reach.new_passphrase is None and not reach.recipients:
        raise WrongKey(
            f"{host.url} is empty: to make it yours a passphrase is needed, and none was given", code="no-passphrase"
        )
    passphrase = reach.new_passphrase() if reach.new_passphrase is not None else None
    return Vault.create(host, means, passphrase=passphrase, recipients=reach.recipients)
