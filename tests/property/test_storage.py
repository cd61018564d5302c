"""What is stored is what is read: codecs, chains of differences, pack lookups, sorting on disk."""

import random
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property.strategies import Forest, QuickFiles, attempt, forest, plain, records
from vexrepo.errors import InvalidData, Tampered
from vexrepo.history.walk import iter_leaves, iter_records
from vexrepo.objects import record, tree
from vexrepo.objects.digest import BodiesId, CommitId, SnapshotId, VectorsId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import Record
from vexrepo.objects.vector import Space
from vexrepo.storage import codec, pack, spill, store
from vexrepo.storage.codec import Codec
from vexrepo.storage.pack import Entry, PackReader, PackWriter
from vexrepo.storage.spill import Sorter
from vexrepo.storage.store import ObjectStore

payloads = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=9), st.integers(0, 200)),
    st.integers(0, 2**32).map(lambda seed: random.Random(seed).randbytes(seed % 5000)),
)


WORDS = ["tide", "boat", "harbour", "rope", "mast", "keel"]


# -- codecs ------------------------------------------------------------------------------------------------------


@given(payloads, st.sampled_from([0, 4, 8]))
@example(b"", 0)
@example(b"", 4)
@example(b"a" * 63, 8)
@example(b"a" * 64, 8)
@example(b"a" * 71, 8)
def test_a_payload_survives_its_stored_form(payload: bytes, item_bytes: int) -> None:
    form, stored = codec.encode(payload, item_bytes)
    assert form not in codec.IS_DELTA
    assert codec.decode(form, stored, len(payload)) == payload
    assert codec.decode(form, memoryview(stored), len(payload)) == payload


@given(payloads, payloads)
@example(b"", b"")
@example(b"a" * 1000, b"")
@example(b"", b"a" * 1000)
def test_a_payload_survives_as_a_difference_from_any_other(payload: bytes, base: bytes) -> None:
    stored = codec.encode_prefix(payload, base)
    assert codec.decode(Codec.PREFIX, stored, len(payload), base) == payload


def test_the_difference_of_large_objects_is_small() -> None:
    """With zstd's default parameters matches more than some 200 KB back are lost."""
    base = random.Random(1).randbytes(3_000_000)
    payload = base[:100] + b"changed" + base[107:2_500_000] + b"more" + base[2_500_000:]
    assert len(codec.encode_prefix(payload, base)) < 10_000


@st.composite
def matrices(draw: st.DrawFn) -> tuple[list[bytes], list[bytes], Space]:
    """Two lists of rows, the second made from the first by inserts, deletes, updates and moves."""
    space = Space("", "dense", "m", draw(st.integers(1, 3)), draw(st.sampled_from(["f32", "f64"])))
    pool = draw(st.lists(st.binary(min_size=space.row_bytes, max_size=space.row_bytes), min_size=1, max_size=8))
    old = draw(st.lists(st.sampled_from(pool), min_size=0, max_size=30))
    new = list(old)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(new)))
        what = draw(st.sampled_from(["insert", "delete", "update", "move", "reverse"]))
        if what == "insert":
            new.insert(at, draw(st.binary(min_size=space.row_bytes, max_size=space.row_bytes)))
        elif what == "reverse":
            new[at:] = new[at:][::-1]
        elif at < len(new):
            row = new.pop(at)
            if what == "update":
                new.insert(at, bytes(byte ^ 1 for byte in row))
            elif what == "move":
                new.insert(draw(st.integers(0, len(new))), row)
    return old, new, space


@given(matrices())
def test_rows_survive_as_a_difference_from_any_rows(found: tuple[list[bytes], list[bytes], Space]) -> None:
    old_rows, new_rows, space = found
    old, new = tree.encode_vectors(space, old_rows), tree.encode_vectors(space, new_rows)
    head = len(tree.vectors_header(space, 0))
    stored = codec.encode_rows(new, old, head, space.row_bytes, space.item_bytes)
    if stored is None:
        kept = sum(row in set(old_rows) for row in new_rows)
        assert not old_rows or not new_rows or 2 * kept <= len(new_rows)
        return
    assert codec.decode(Codec.ROWS, stored, len(new), old) == new
    runs, _, head_size, row_bytes = codec.rows_runs(stored, len(new))
    assert (head_size, row_bytes) == (head, space.row_bytes)
    assert sum(copied + given for _, copied, given in runs) == len(new_rows)
    with pytest.raises(InvalidData):
        codec.decode(Codec.ROWS, stored, len(new) + space.row_bytes, old)


@pytest.mark.parametrize("change", ["add", "remove", "update", "remove and add", "swap", "shuffle"])
def test_rows_that_stayed_or_moved_are_not_stored_again(change: str) -> None:
    rows = [row.tobytes() for row in np.random.default_rng(3).standard_normal((500, 64)).astype("<f4")]
    new = list(rows)
    if change in ("remove", "remove and add"):
        del new[3]
    if change in ("add", "remove and add"):
        new.insert(470, bytes(256))
    if change == "update":
        new[77] = bytes(256)
    if change == "swap":
        new[5], new[400] = new[400], new[5]
    if change == "shuffle":
        random.Random(5).shuffle(new)
    space = Space("", "dense", None, 64, "f32")
    payload, base = tree.encode_vectors(space, new), tree.encode_vectors(space, rows)
    stored = codec.encode_rows(payload, base, len(tree.vectors_header(space, 0)), 256, 4)
    assert stored is not None
    assert len(stored) < (12 * 500 + 500 if change == "shuffle" else 700)
    assert codec.decode(Codec.ROWS, stored, len(payload), base) == payload


@settings(max_examples=300)
@given(st.integers(0, 7), st.binary(max_size=60), st.integers(0, 10**6), st.none() | st.binary(max_size=40))
def test_stored_noise_is_refused_or_has_the_stated_size(
    form: int, stored: bytes, size: int, base: bytes | None
) -> None:
    found, code = attempt(lambda: codec.decode(form, stored, size, base))
    assert code == "object-corrupt" if found is None else len(found) == size


@given(matrices(), st.data())
def test_a_damaged_row_difference_is_refused_or_has_the_stated_size(
    found: tuple[list[bytes], list[bytes], Space], data: st.DataObject
) -> None:
    old, new = (tree.encode_vectors(found[2], rows) for rows in found[:2])
    head = len(tree.vectors_header(found[2], 0))
    stored = bytearray(codec.encode_rows(new, old, head, found[2].row_bytes, found[2].item_bytes) or b"")
    if not stored:
        return
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    size = data.draw(st.sampled_from([len(new), len(new) + 4, 0, 1 << 30]))
    cut = bytes(stored[: data.draw(st.integers(0, len(stored)))])
    read, code = attempt(lambda: codec.decode(Codec.ROWS, cut, size, old))
    assert code == "object-corrupt" if read is None else len(read) == size


def test_a_size_that_lies_is_refused_before_it_is_believed() -> None:
    form, stored = codec.encode(b"a" * 100_000)
    for size in (0, 1, 99_999, 100_001, 1 << 30):
        with pytest.raises(InvalidData):
            codec.decode(form, stored, size)
    with pytest.raises(InvalidData):
        codec.decode(
            Codec.ROWS, struct.pack("<IIII", 0, 1 << 31, 4, 1) + struct.pack("<III", 0, 0, 1 << 31), 1 << 30, b""
        )
    with pytest.raises(InvalidData):
        codec.decode(99, b"", 0)


# -- chains ------------------------------------------------------------------------------------------------------


def chain_entries(woods: Forest, kind: ObjectType) -> list[Entry]:
    return [e for name in woods.store.packs for e in woods.store.reader(name) if e.type == kind]


def test_three_hundred_edits_of_one_leaf_stay_readable_shallow_and_small() -> None:
    chance = random.Random(11)

    def made(number: int, version: int) -> Record:
        return record.from_json(
            {
                "id": f"m{number:03}",
                "text": " ".join(chance.choices(WORDS, k=30)) + str(version),
                "vector": [chance.gauss(0, 0.05) for _ in range(96)],
                "model": "m",
            }
        )

    with forest(8192) as woods:
        held = {item.key: item for item in (made(number, 0) for number in range(200))}
        roots = [(woods.build(held), dict(held))]
        first = sum(path.stat().st_size for path in woods.store.folder.iterdir())
        for version in range(1, 301):
            item = made(chance.randrange(200), version)
            held[item.key] = item
            roots.append((woods.edit(roots[-1][0], {item.key: item}), dict(held)))
        total = sum(path.stat().st_size for path in woods.store.folder.iterdir())
        # A changed row is 768 bytes of vector, some 150 of body and 32 of id.  Every second version repeats the one
        # before it, every fourth the last three and so on: that is what keeps chains short.
        assert (total - first) / 300 < 6_000
        again = ObjectStore(woods.store.folder, QuickFiles())
        for root, wanted in roots[::-1]:
            assert [item.id for item in iter_records(again, root)] == [wanted[key].id for key in sorted(wanted)]
            assert list(iter_records(again, root)) == [wanted[key] for key in sorted(wanted)]
        for kind in (ObjectType.BODIES, ObjectType.VECTORS, ObjectType.LEAF):
            entries = chain_entries(woods, kind)
            assert len(entries) == 301
            assert max(entry.depth for entry in entries) <= pack.MAX_DEPTH
            assert sum(entry.codec in codec.IS_DELTA for entry in entries) > 250
            assert all(entry.depth == 0 for entry in entries if entry.codec not in codec.IS_DELTA)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_any_tree_of_differences_is_read_as_written(seed: int) -> None:
    """Versions branch off any earlier one, as they do on branches; every one is read by a store without a cache."""
    chance = random.Random(seed)
    space = Space("", "dense", None, 4, "f32")
    head = len(tree.vectors_header(space, 0))
    with forest() as woods:
        versions: list[tuple[Any, bytes, list[bytes]]] = []
        for _ in range(40):
            base = chance.choice(versions[-3:]) if versions else None
            rows = list(base[2]) if base else [chance.randbytes(16) for _ in range(60)]
            for _ in range(chance.choice([1, 1, 1, 40])):
                what, at = chance.randrange(3), chance.randrange(len(rows))
                if what == 0:
                    rows[at] = chance.randbytes(16)
                elif what == 1:
                    rows.insert(at, chance.randbytes(16))
                elif len(rows) > 20:
                    del rows[at]
            payload = tree.encode_vectors(space, rows)
            identifier = VectorsId.of(payload)
            with woods.store.writer() as writer:
                writer.put(
                    ObjectType.VECTORS, identifier, payload, base=base[0] if base else None,
                    item_bytes=4, head=head, row_bytes=16,
                )  # fmt: skip
                writer.finish()
            versions.append((identifier, payload, rows))
        for identifier, payload, _ in versions:
            assert ObjectStore(woods.store.folder, QuickFiles()).get(identifier, ObjectType.VECTORS) == payload
        assert max(entry.depth for entry in chain_entries(woods, ObjectType.VECTORS)) <= pack.MAX_DEPTH


def test_an_object_past_the_limit_is_refused_and_not_written_to_be_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_OBJECT_BYTES", 10_000)
    with forest(8192) as woods, pytest.raises(InvalidData) as caught:
        woods.build({item.key: item for item in (plain(number) for number in range(1000))})
    assert caught.value.code == "limit-exceeded"
    with forest() as woods:
        assert woods.store.packs == []


# -- packs -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 7), payloads), max_size=30))
def test_every_row_of_a_pack_is_found_by_its_id(rows: list[tuple[bytes, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writer = PackWriter(QuickFiles(), Path(folder) / ".x.tmp")
        wanted: dict[tuple[bytes, int, bytes], bytes] = {}
        for identifier, kind, payload in rows:
            # A commit may have several signatures, which are never empty.
            payload = payload or (b"signed" if kind == ObjectType.SIGNATURE else b"")
            writer.add(CommitId(identifier), ObjectType(kind), Codec.RAW, payload, len(payload))
            wanted.setdefault((identifier, kind, payload if kind == ObjectType.SIGNATURE else b""), payload)
        reader = PackReader(Path(folder) / writer.finish(Path(folder), 1))
        reader.check()
        assert reader.count == len(wanted)
        assert [(entry.id, entry.type) for entry in reader] == sorted(key[:2] for key in wanted)
        for identifier in {key[0] for key in wanted}:
            found = sorted((entry.type, reader.stored(entry)) for entry in reader.find(identifier))
            assert found == sorted((key[1], payload) for key, payload in wanted.items() if key[0] == identifier)
            for other in (identifier[:-1] + bytes((identifier[-1] ^ 1,)), bytes(32), b"\xff" * 32):
                if not any(key[0] == other for key in wanted):
                    assert list(reader.find(other)) == []


@given(st.lists(st.tuples(st.binary(max_size=2), st.sampled_from([1, 2])), min_size=1, max_size=25), st.data())
def test_the_objects_whose_id_starts_with_a_prefix_are_named(
    heads: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packs = Path(folder)
        wanted: dict[bytes, int] = {}
        for number, (head, kind) in enumerate(heads):
            identifier = head.ljust(31, b"\0") + bytes((number,))
            writer = PackWriter(QuickFiles(), packs / f".{number}.tmp")
            writer.add(CommitId(identifier), ObjectType(kind), Codec.RAW, b"", 0)
            writer.finish(packs, number)
            wanted[identifier] = kind
        objects = ObjectStore(packs, QuickFiles())
        text = data.draw(st.sampled_from([identifier.hex() for identifier in wanted]))
        for prefix in (text[: data.draw(st.integers(1, 64))], "0", "ff", text):
            for kinds in ({1}, {1, 2}, set()):
                found = objects.matching(prefix, frozenset(ObjectType(kind) for kind in kinds))
                right = sorted(
                    (i, ObjectType(k)) for i, k in wanted.items() if i.hex().startswith(prefix) and k in kinds
                )
                assert found == right if len(right) < 20 else len(found) == 20


def test_an_object_is_read_as_the_type_it_has_and_no_other(tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path / "packs", QuickFiles())
    payload = b'{"a":1}'
    identifier = SnapshotId.of(payload)
    with objects.writer() as writer:
        writer.put(ObjectType.SNAPSHOT, identifier, payload)
        assert identifier in writer and identifier not in objects
        writer.finish()
    assert identifier in objects
    assert objects.kind(identifier) == ObjectType.SNAPSHOT
    for _ in range(2):  # from the disk, then from the cache
        with pytest.raises(Tampered) as caught:
            objects.get(identifier, ObjectType.COMMIT)
        assert caught.value.code == "object-missing"
        assert objects.get(identifier, ObjectType.SNAPSHOT) == payload
    with pytest.raises(Tampered) as caught:
        objects.get(BodiesId.of(payload), ObjectType.BODIES)
    assert caught.value.code == "object-missing"


def test_nothing_is_visible_or_left_of_an_abandoned_session(tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path / "packs", QuickFiles())
    with objects.writer() as writer:
        writer.put(ObjectType.BODIES, BodiesId.of(b"x"), b"x")
    assert list((tmp_path / "packs").iterdir()) == []
    assert BodiesId.of(b"x") not in objects
    with objects.writer() as writer:
        assert writer.finish() == []


def test_an_object_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path / "packs", QuickFiles())
    for _ in range(3):
        with objects.writer() as writer:
            writer.put(ObjectType.BODIES, BodiesId.of(b"x"), b"x")
            writer.finish()
    assert len(objects.packs) == 1


# -- sorting -----------------------------------------------------------------------------------------------------


@given(st.lists(records, max_size=30), st.integers(1, 400), st.integers(0, 3))
def test_sorting_on_disk_gives_what_sorting_in_memory_gives(items: list[Record], run_bytes: int, others: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        disk = Sorter(Path(folder), "run", run_bytes)
        added = [spill.Placed(item, place) for place, item in enumerate(items)]
        for item, place in added:
            disk.add(item, place)
        for number in range(others):  # runs that other processes wrote
            other = Sorter(Path(folder), f"other{number}", 50)
            for place, item in enumerate(items):
                other.add(item, 1000 * number + place)
                added.append(spill.Placed(item, 1000 * number + place))
            other.spill()
            disk.adopt(other.runs)
        wanted, found = sorted(added, key=lambda row: row.record.key), list(disk.sorted())
        assert disk.count == len(added)
        assert disk.vector_bytes == sum(len(vector.row) for row in added for vector in row.record.vectors)
        assert [row.record.key for row in found] == [row.record.key for row in wanted]
        assert sorted(found) == sorted(wanted)
        if not others:
            assert found == wanted
        assert list(Path(folder).iterdir()) == []


@given(st.lists(records, max_size=12), st.integers(1, 40))
def test_a_run_is_read_whole_through_any_buffer(items: list[Record], buffer_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sorter = Sorter(Path(folder))
        rows = [spill.Placed(item, place) for place, item in enumerate(items)]
        for item, place in rows:
            sorter.add(item, place)
        sorter.spill()
        found = [row for run in sorter.runs for block in spill.read_run(run, buffer_bytes) for row in block]
        assert found == sorted(rows, key=lambda row: row.record.key)


def test_leaves_are_listed_in_key_order_with_their_counts() -> None:
    held = {item.key: item for item in (plain(number) for number in range(500))}
    with forest(16) as woods:
        leaves = list(iter_leaves(woods.store, woods.build(held)))
        assert [leaf.last_key for leaf in leaves] == sorted(leaf.last_key for leaf in leaves)
        assert sum(leaf.count for leaf in leaves) == 500
