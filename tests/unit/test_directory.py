"""Many packs are asked as one; what is found is what asking each would find."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import QuickFiles
from vexrepo.errors import Tampered
from vexrepo.objects.digest import BodiesId
from vexrepo.objects.kinds import ObjectType
from vexrepo.storage import store as stores
from vexrepo.storage.codec import Codec
from vexrepo.storage.directory import PackDirectory
from vexrepo.storage.pack import PackWriter
from vexrepo.storage.store import ObjectStore


def write_packs(folder: Path, chance: random.Random, count: int) -> list[bytes]:
    """Packs that share some objects; return all payloads."""
    folder.mkdir(exist_ok=True)
    every = [chance.randbytes(20) for _ in range(3 * count)]
    for number in range(1, count + 1):
        writer = PackWriter(QuickFiles(), folder / f".{number}.tmp")
        for payload in {b"in all", *chance.sample(every, chance.randrange(4))}:
            writer.add(BodiesId.of(payload), ObjectType.BODIES, Codec.RAW, payload, len(payload))
        writer.finish(folder, number)
    return every


@given(st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=25)
def test_a_directory_narrows_and_never_loses(tmp_path_factory: pytest.TempPathFactory, seed: int, count: int) -> None:
    folder = tmp_path_factory.mktemp("packs")
    every = write_packs(folder, random.Random(seed), count)
    plain = ObjectStore(folder, QuickFiles())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "WORTHWHILE", 1)
        quick = ObjectStore(folder, QuickFiles())
        for payload in [*every, b"in all", b"in none"]:
            identifier = BodiesId.of(payload)
            found = [(reader.path, entry) for reader, entry in quick.copies(identifier)]
            patch.setattr(stores, "WORTHWHILE", 1000)
            assert found == [(reader.path, entry) for reader, entry in plain.copies(identifier)]
            patch.setattr(stores, "WORTHWHILE", 1)
            places = PackDirectory([quick.reader(name) for name in quick.packs]).places(identifier)
            assert [quick.packs[place] for place in places] == [path.name for path, _ in found]


def test_packs_that_come_and_go_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "WORTHWHILE", 1)
    every = write_packs(tmp_path, random.Random(1), 3)
    store = ObjectStore(tmp_path, QuickFiles())
    held = [payload for payload in every if BodiesId.of(payload) in store]
    assert held and len(held) < len(every)
    path = tmp_path / store.packs[0]
    gone = [entry.id for entry in store.reader(path.name) if entry.id != BodiesId.of(b"in all")]
    path.unlink()
    store.refresh()
    assert all(identifier not in store for identifier in gone if not list(store.copies(identifier)))
    with pytest.raises(Tampered):
        store.get(BodiesId.of(b"in none"), ObjectType.BODIES)
    assert store.get(BodiesId.of(b"in all"), ObjectType.BODIES) == b"in all"
    assert ObjectStore(tmp_path / "nothing", QuickFiles()).packs == []


def test_a_damaged_pack_hides_nothing_that_newer_ones_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "WORTHWHILE", 1)
    write_packs(tmp_path, random.Random(1), 3)
    (tmp_path / ObjectStore(tmp_path, QuickFiles()).packs[-1]).write_bytes(b"VEXPACK1")
    store = ObjectStore(tmp_path, QuickFiles())
    assert store.get(BodiesId.of(b"in all"), ObjectType.BODIES) == b"in all"
    with pytest.raises(Tampered) as caught:
        store.get(BodiesId.of(b"in none"), ObjectType.BODIES)
    assert caught.value.code == "pack-corrupt"
