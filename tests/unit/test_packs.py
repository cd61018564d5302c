"""A pack's index: in order, every object once, and the signatures of a commit beside one another."""

from pathlib import Path

import pytest

from tests.property.strategies import QuickFiles
from vexrepo.errors import Tampered
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.storage import pack
from vexrepo.storage.codec import Codec
from vexrepo.storage.pack import Entry, PackReader, PackWriter

COMMIT, OTHER = CommitId(b"\x01" * 32), CommitId(b"\x02" * 32)


def written(folder: Path, rows: list[tuple[CommitId, ObjectType, bytes]]) -> PackReader:
    writer = PackWriter(QuickFiles(), folder / ".scratch.tmp")
    for identifier, kind, stored in rows:
        writer.add(identifier, kind, Codec.RAW, stored, len(stored))
    return PackReader(folder / writer.finish(folder, 1))


def test_a_commit_has_any_number_of_signatures_in_one_pack(tmp_path):
    signatures = [b"one", b"two", b"three"]
    rows = [(COMMIT, ObjectType.SIGNATURE, each) for each in [*signatures, b"one"]]
    reader = written(tmp_path, [(OTHER, ObjectType.COMMIT, b"c"), *rows, (COMMIT, ObjectType.COMMIT, b"d")])
    reader.check()
    found = [entry for entry in reader.find(COMMIT) if entry.type == ObjectType.SIGNATURE]
    assert [reader.stored(entry) for entry in found] == signatures
    assert [entry.type for entry in reader.find(COMMIT)] == [ObjectType.COMMIT, *[ObjectType.SIGNATURE] * 3]


def test_any_other_object_is_written_once(tmp_path):
    reader = written(tmp_path, [(COMMIT, ObjectType.COMMIT, b"a"), (COMMIT, ObjectType.COMMIT, b"b")])
    assert reader.count == 1 and reader.stored(reader.entry(0)) == b"a"


def row(kind: ObjectType, offset: int, stored: int, identifier: bytes = COMMIT) -> Entry:
    return Entry(identifier, offset, stored, stored, 0, 0, kind, Codec.RAW, 0)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(ObjectType.COMMIT, 8, 3), row(ObjectType.COMMIT, 11, 3)], "twice"),
        ([row(ObjectType.SIGNATURE, 8, 3), row(ObjectType.SIGNATURE, 14, 3)], "signature"),
        (
            [row(ObjectType.SIGNATURE, 8, 3), row(ObjectType.SIGNATURE, 11, 3), row(ObjectType.SIGNATURE, 14, 3)],
            "signature",
        ),
        ([row(ObjectType.SIGNATURE, 8, 3), row(ObjectType.SIGNATURE, 8, 3)], "order"),
        ([row(ObjectType.SIGNATURE, 11, 3), row(ObjectType.SIGNATURE, 8, 3)], "order"),
        ([row(ObjectType.SIGNATURE, 8, 3), row(ObjectType.COMMIT, 11, 3)], "order"),
        ([row(ObjectType.COMMIT, 8, 3, OTHER), row(ObjectType.COMMIT, 11, 3)], "order"),
    ],
)
def test_an_index_with_something_twice_or_out_of_order_is_damage(rows, why, tmp_path, monkeypatch):
    writer = PackWriter(QuickFiles(), tmp_path / ".scratch.tmp")
    writer._write(b"aaabbbaaa")
    writer._entries = {(bytes([place]), 0, b""): each for place, each in enumerate(rows)}
    with monkeypatch.context() as patched:
        patched.setattr(pack, "_order", rows.index)
        reader = PackReader(tmp_path / writer.finish(tmp_path, 1))
    with pytest.raises(Tampered) as caught:
        reader.check()
    assert caught.value.code == "pack-corrupt" and why in str(caught.value)
