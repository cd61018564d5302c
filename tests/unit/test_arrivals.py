"""Packs from elsewhere: what is wrong with them is found before anything of them is used."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.property.strategies import QuickFiles
from tests.property.test_repack import Family, Host, a_memory
from vexrepo.errors import InvalidData, Tampered
from vexrepo.history import arrivals
from vexrepo.history.arrivals import Arrivals, Checked
from vexrepo.history.reach import reachable
from vexrepo.history.revision import read_commit
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType, identify
from vexrepo.objects.record import Record
from vexrepo.objects.signature import Signature, message_of, sign
from vexrepo.objects.snapshot import Snapshot
from vexrepo.objects.tree import Leaf
from vexrepo.storage import codec
from vexrepo.storage.codec import Codec
from vexrepo.storage.pack import Entry, PackReader, PackWriter
from vexrepo.storage.store import ObjectStore

SEED = bytes(range(32))
Change = Callable[[Entry, bytes], "bytes | None"]


@pytest.fixture
def woods(tmp_path: Path) -> Family:
    return Family(tmp_path / "woods", 1)


def memories(count: int, **versions: int) -> dict[bytes, Record]:
    items = [a_memory(number, versions.get(f"m{number}", 0)) for number in range(count)]
    return {item.key: item for item in items}


def packed(woods: Family, commits: list[CommitId], folder: Path) -> list[Path]:
    host = Host(folder)
    host.take(woods.store, commits)
    return sorted(folder.iterdir())


def checked(here: Path, packs: list[Path], have: list[CommitId], want: list[CommitId]) -> Checked:
    found = Arrivals(here, QuickFiles())
    found.add(*packs)
    return found.check(have, want)


def rewritten(pack: Path, change: Change) -> Path:
    """A pack with other payloads (None: the same, b"": left out) under the same ids, its checksums right."""
    store = ObjectStore(pack.parent, QuickFiles())
    reader = PackReader(pack)
    folder = pack.parent / "changed"
    folder.mkdir()
    writer = PackWriter(QuickFiles(), folder / ".x.tmp")
    for entry in reader:
        payload = store.read_copy(reader, entry)
        new = change(entry, payload)
        if new != b"":
            payload = payload if new is None else new
            writer.add(entry.id, ObjectType(entry.type), Codec.RAW, payload, len(payload))  # type: ignore[arg-type]
    return folder / writer.finish(folder, 1)


def use_a_second_process(wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MANY", 1)
    monkeypatch.setattr(arrivals, "is_worthwhile", lambda: wanted)


def refused(here: Path, packs: list[Path], have: list[CommitId], want: list[CommitId]) -> str:
    with pytest.raises((Tampered, InvalidData)) as caught:
        checked(here, packs, have, want)
    return caught.value.code


def test_packs_are_checked_in_the_light_of_what_is_here_and_moved_in(woods: Family, tmp_path: Path) -> None:
    one = woods.commit(memories(60), ())
    here = tmp_path / "here"
    shutil.copytree(woods.store.folder, here)
    two = woods.commit(memories(61, m7=1), (one,))
    three = woods.commit(memories(61, m7=2), (two,))
    host = Host(tmp_path / "host")
    host.take(woods.store, [one])
    first = set(host.folder.iterdir())
    sent = host.take(woods.store, [three])
    packs = sorted(set(host.folder.iterdir()) - first)
    assert any(entry.codec in codec.IS_DELTA for entry in sent)
    found = checked(here, packs, [one], [three])
    assert found.commits == (two, three) and found.objects == len(sent)
    store = ObjectStore(here, QuickFiles())
    before = len(store.packs)
    with pytest.raises(Tampered):
        read_commit(store, three)
    names = store.adopt(packs)
    assert store.adopt([store.folder / name for name in names]) == names
    assert len(store.packs) == before + len(names)
    assert reachable(store, [three]) == reachable(woods.store, [three])


def test_each_object_is_read_once_by_one_process_or_the_other(
    woods: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = woods.commit(memories(400), ())
    packs = packed(woods, [one], tmp_path / "host")
    alone = checked(tmp_path / "here", packs, [], [one])
    use_a_second_process(True, monkeypatch)
    found = Arrivals(tmp_path / "here", QuickFiles())
    found.add(*packs)
    read: list[bytes] = []
    monkeypatch.setattr(ObjectStore, "read_copy", counting(ObjectStore.read_copy, read))
    assert found.check([], [one]) == alone
    assert all(all(marks) for marks in found.store.marks.values())
    assert len(read) < 0.75 * alone.objects  # the rest was read by the other


def counting(method: Callable[..., bytes], read: list[bytes]) -> Callable[..., bytes]:
    def counted(self: ObjectStore, reader: PackReader, entry: Entry, **more: bool) -> bytes:
        read.append(entry.id)
        return method(self, reader, entry, **more)

    return counted


def test_records_that_did_not_change_are_not_read_again(woods: Family, tmp_path: Path) -> None:
    one = woods.commit(memories(400), ())
    two = woods.commit(memories(400, m7=1), (one,))
    packs = packed(woods, [two], tmp_path / "host")
    found = checked(tmp_path / "empty", packs, [], [two])
    assert found.commits == (one, two)
    assert 400 < found.records <= 400 + 64


@pytest.mark.parametrize("kind", [kind for kind in ObjectType if kind != ObjectType.SIGNATURE])
@pytest.mark.parametrize("beside", [False, True])
def test_whatever_did_not_come_is_missed(
    woods: Family, tmp_path: Path, kind: ObjectType, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_a_second_process(beside, monkeypatch)
    one = woods.commit(memories(400), ())
    (pack,) = packed(woods, [one], tmp_path / "host")
    assert checked(tmp_path / "here", [pack], [], [one]).records == 400
    chosen = [entry.id for entry in PackReader(pack) if entry.type == kind]
    bad = rewritten(pack, lambda entry, payload: b"" if entry.id == chosen[0] and entry.type == kind else None)
    assert refused(tmp_path / "here", [bad], [], [one]) == "object-missing"


@pytest.mark.parametrize("kind", list(ObjectType))
@pytest.mark.parametrize("beside", [False, True])
def test_whatever_is_another_than_its_id_says_is_found(
    woods: Family, tmp_path: Path, kind: ObjectType, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_a_second_process(beside, monkeypatch)
    one = woods.commit(memories(400), ())
    (pack,) = packed(woods, [one], tmp_path / "host")
    chosen = random.Random(kind).choice([entry.id for entry in PackReader(pack) if entry.type == kind])

    def change(entry: Entry, payload: bytes) -> bytes | None:
        if (entry.id, entry.type) != (chosen, kind):
            return None
        at = len(payload) // 2 if kind != ObjectType.SIGNATURE else payload.index(b'"signature":"') + 20
        return payload[:at] + (b"0" if payload[at : at + 1] != b"0" else b"1") + payload[at + 1 :]

    code = refused(tmp_path / "here", [rewritten(pack, change)], [], [one])
    assert code == ("signature-bad" if kind == ObjectType.SIGNATURE else "object-corrupt")


def test_what_nothing_needs_is_checked_too(woods: Family, tmp_path: Path) -> None:
    one = woods.commit(memories(20), ())
    woods.commit(memories(20, m3=9), (one,))
    packs = packed(woods, woods.commits[-1:], tmp_path / "host")
    wrong = [entry.id for path in packs for entry in PackReader(path) if entry.type == ObjectType.BODIES][-1]
    bad = [rewritten(packs[0], lambda entry, payload: payload + b"!" if entry.id == wrong else None)]
    assert refused(tmp_path / "here", bad, [], []) == "object-corrupt"


def test_a_commit_without_the_signature_it_names_is_refused(woods: Family, tmp_path: Path) -> None:
    one = woods.commit(memories(3), ())
    (pack,) = packed(woods, [one], tmp_path / "host")
    bad = rewritten(pack, lambda entry, payload: b"" if entry.type == ObjectType.SIGNATURE else None)
    assert refused(tmp_path / "here", [bad], [], [one]) == "signature-missing"
    other = sign(bytes(32), message_of(one)).encode()
    shutil.rmtree(bad.parent)
    bad = rewritten(pack, lambda entry, payload: other if entry.type == ObjectType.SIGNATURE else None)
    assert refused(tmp_path / "here", [bad], [], [one]) == "signature-missing"
    assert Signature.decode(other).key


def test_a_tree_against_the_rules_is_refused_though_every_id_fits(woods: Family, tmp_path: Path) -> None:
    """Made by somebody who may write there: all ids and signatures are right, but a record is under another's key."""
    one = woods.commit(memories(12), ())
    root = woods.root(one)
    leaf = Leaf.decode(woods.store.get(root.id, ObjectType.LEAF))
    ids = bytearray(leaf.record_ids)
    ids[:32], ids[32:64] = ids[32:64], ids[:32]
    lie = Leaf(leaf.keys, bytes(ids), leaf.bodies, leaf.columns).encode()
    snapshot = Snapshot.decode(woods.store.get(read_commit(woods.store, one).snapshot, ObjectType.SNAPSHOT))
    from dataclasses import replace

    made = replace(snapshot, records=replace(root, id=lie[0])).encode()
    commit = Commit(made[0], (one,), {"name": "x"}, 5, "m").encode()
    with woods.store.writer() as writer:
        for kind, (identifier, payload) in (
            (ObjectType.LEAF, lie),
            (ObjectType.SNAPSHOT, made),
            (ObjectType.COMMIT, commit),
        ):
            assert identify(kind, payload) == identifier
            writer.put(kind, identifier, payload)
        writer.finish()
    packs = packed(woods, [commit[0]], tmp_path / "host")
    assert refused(tmp_path / "here", packs, [], [commit[0]]) == "object-corrupt"
    assert refused(woods.store.folder, packs, [one], [commit[0]]) == "object-corrupt"


def test_a_pack_that_is_cut_or_changed_is_refused_before_anything_in_it_is_read(woods: Family, tmp_path: Path) -> None:
    one = woods.commit(memories(20), ())
    (pack,) = packed(woods, [one], tmp_path / "host")
    whole = pack.read_bytes()
    for bad in (whole[:-1], whole[:100], whole[:50] + b"\xff" + whole[51:], whole[:-100] + b"\xff" + whole[-99:], b""):
        pack.write_bytes(bad)
        assert refused(tmp_path / "here", [pack], [], [one]) == "pack-corrupt"
