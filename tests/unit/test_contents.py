"""What is known of a host's packs is exact, or nothing."""

import random
from pathlib import Path

import pytest

from tests.property.strategies import QuickFiles
from vexrepo.errors import StorageFailure, Tampered
from vexrepo.objects.digest import BodiesId
from vexrepo.objects.kinds import ObjectType
from vexrepo.remotes.hosts.contents import ENDING, Contents
from vexrepo.storage.codec import Codec
from vexrepo.storage.files import Files
from vexrepo.storage.pack import FOOTER, MAGIC, Key, PackReader, PackWriter, index_of


def write_pack(folder: Path, seed: int, count: int) -> PackReader:
    chance = random.Random(seed)
    writer = PackWriter(QuickFiles(), folder / f".{seed}.tmp")
    for _ in range(count):
        payload = chance.randbytes(20)
        writer.add(BodiesId.of(payload), ObjectType.BODIES, Codec.RAW, payload, len(payload))
    return PackReader(folder / writer.finish(folder, seed))


def keys(reader: PackReader) -> list[Key]:
    return [(entry.id, entry.type) for entry in reader]


def test_what_is_held_is_what_the_packs_listed_hold(tmp_path: Path) -> None:
    packs = {f"{seed:064x}": write_pack(tmp_path, seed, seed * 7) for seed in range(4)}
    contents = Contents(tmp_path / "cache", QuickFiles())
    for digest, reader in packs.items():
        assert not contents.knows(digest)
        contents.learn(digest, reader.index)
    for known in (contents, Contents(tmp_path / "cache", QuickFiles())):
        every = [key for reader in packs.values() for key in keys(reader)]
        assert known.held(packs, every) == dict.fromkeys(every, 0)
        some = list(packs)[2:3]
        assert set(known.held(some, every)) == set(keys(packs[some[0]]))
        others = [(BodiesId.of(bytes([number])), ObjectType.BODIES) for number in range(50)]
        near = [(key[0][:8] + bytes(24), key[1]) for key in every]
        other_type = [(key[0], ObjectType.LEAF) for key in every]
        assert known.held(packs, others + near + other_type) == {} == known.held(packs, [])
    contents.forget_all_but(some)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [some[0] + ENDING]


def test_the_least_depth_counts(tmp_path: Path) -> None:
    payload = b"x" * 300
    identifier = BodiesId.of(payload)
    contents = Contents(tmp_path / "cache", QuickFiles())
    for number, depth in ((1, 3), (2, 1), (3, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        writer = PackWriter(QuickFiles(), folder / ".x.tmp")
        writer.add(identifier, ObjectType.BODIES, Codec.RAW, payload, len(payload))
        row = writer.entry(identifier, ObjectType.BODIES)
        assert row is not None
        writer.copy(row._replace(depth=depth), payload)
        contents.learn(f"{number}", PackReader(folder / writer.finish(folder, 1)).index)
    assert contents.held(["1", "2", "3"], [(identifier, ObjectType.BODIES)]) == {(identifier, ObjectType.BODIES): 1}


@pytest.mark.parametrize("cut", [0, 10, 40, 70, -1])
def test_what_is_damaged_is_not_known(tmp_path: Path, cut: int) -> None:
    reader = write_pack(tmp_path, 1, 3)
    contents = Contents(tmp_path / "cache", QuickFiles())
    contents.learn("a", reader.index)
    path = tmp_path / "cache" / f"a{ENDING}"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[cut] ^= 4
    for bad in (whole[:cut], bytes(flipped)):
        path.write_bytes(bad)
        assert not Contents(tmp_path / "cache", QuickFiles()).knows("a")
    path.rename(path.with_name(f"b{ENDING}"))
    path.with_name(f"b{ENDING}").write_bytes(whole)  # whole, but of another pack
    assert not Contents(tmp_path / "cache", QuickFiles()).knows("b")


def test_failing_to_keep_it_is_no_error(tmp_path: Path) -> None:
    class Full(Files):
        def step(self, name: str, path: Path) -> None:
            raise StorageFailure("full", code="disk-full")

    reader = write_pack(tmp_path, 1, 3)
    contents = Contents(tmp_path / "cache", Full())
    contents.learn("a", reader.index)
    assert contents.knows("a") and not Contents(tmp_path / "cache", QuickFiles()).knows("a")


def test_an_index_is_cut_out_of_the_end_of_a_pack(tmp_path: Path) -> None:
    for count in (0, 5):
        reader = write_pack(tmp_path, 1, count)
        whole = reader.path.read_bytes()
        for start in range(len(whole)):
            found = index_of(whole[start:], len(whole))
            assert found == (reader.index if start <= reader.index_at else None)
    for bad in (whole[:-1], whole[:-1] + b"!", whole[:-89] + b"!" + whole[-88:], b"", MAGIC):
        with pytest.raises(Tampered):
            index_of(bad, len(bad))
    assert FOOTER.size == 88
