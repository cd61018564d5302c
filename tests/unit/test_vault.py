"""A vault: a host with keys, over a host in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import public_key
from vexrepo.remotes.hosts.header import Unlock
from vexrepo.remotes.hosts.memory import MemoryHost, Place
from vexrepo.remotes.hosts.slots import Cost
from vexrepo.remotes.hosts.vault import Means, Vault
from vexrepo.storage.codec import Codec
from vexrepo.storage.files import Files
from vexrepo.storage.keys import Identity
from vexrepo.storage.pack import PackWriter

CHEAP = Cost(64, 1, 1)
REFS = {"heads/main": CommitId(b"\1" * 32)}


def identity(number: int) -> Identity:
    seed = bytes([number]) * 32
    return Identity(f"id{number}", public_key(seed), seed)


def write_pack(folder: Path, name: str, size: int) -> Path:
    """Write a real pack file that holds ``size`` bytes of incompressible payload."""
    folder.mkdir(exist_ok=True)
    writer = PackWriter(Files(), folder / f".{name}.tmp")
    payload = blake3(name.encode()).digest(length=size)
    writer.add(CommitId(blake3(payload).digest()), ObjectType.COMMIT, Codec.RAW, payload, len(payload))
    return folder / writer.finish(folder, 1)


class World:
    """A place, a folder, a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = Place()
        self.now = 0

    def means(self, **more: object) -> Means:
        def tick() -> int:
            self.now += 1
            return self.now

        return Means(tick, self.folder / "tmp", cost=CHEAP, **more)  # type: ignore[arg-type]

    def host(self) -> MemoryHost:
        return MemoryHost("memory:test", self.place)

    def create(self, *, passphrase: str | None = "open sesame", **more: object) -> Vault:
        return Vault.create(self.host(), self.means(**more), passphrase=passphrase)

    def open(self, passphrase: str | None = "open sesame", *identities: Identity, **more: object) -> Vault:
        offer = Unlock(identities, None if passphrase is None else lambda: [passphrase])
        return Vault.open(self.host(), self.means(), offer, **more)  # type: ignore[arg-type]

    def pack(self, name: str, size: int = 1000) -> Path:
        return write_pack(self.folder / "packs", name, size)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def contents(vault: Vault, folder: Path) -> list[bytes]:
    found = {pack.digest: path.read_bytes() for pack, path in vault.read_packs(vault.head.packs, folder)}
    return [found[pack.digest] for pack in vault.head.packs]


def test_what_was_published_is_read_back(world: World) -> None:
    vault = world.create()
    assert vault.tip is None and vault.head.generation == 0 and world.place.tip is None
    first = world.pack("a", 5000)
    vault.publish(REFS, [first])
    assert vault.head.generation == 1 and world.place.commits == 1
    second = world.pack("b", 100_000)
    head = vault.publish({**REFS, "tags/v1": CommitId(b"\2" * 32)}, [second])
    assert world.place.commits == 2

    other = world.open()
    assert other.head == head == vault.head and other.seen == vault.seen
    assert contents(other, world.folder / "in") == [first.read_bytes(), second.read_bytes()]
    assert [pack.objects for pack in other.head.packs] == [1, 1]
    assert not list((world.folder / "tmp").iterdir())
    assert other.check() == other.check(read_data=True) == []
