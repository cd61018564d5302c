"""Single rows of a stored matrix are those of the whole one, and a damaged row is never taken for one."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import Forest, forest
from vexrepo.errors import Tampered
from vexrepo.history.walk import LeafReader
from vexrepo.objects import record
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.storage.codec import Codec

ROWS = 200
DIMS = 24


def memory(number: int, version: int) -> Record:
    numbers = random.Random(f"{number} {version}")
    vector = [round(numbers.gauss(0, 1), 3) for _ in range(DIMS)]
    return record.from_json({"id": f"m{number:04}", "text": f"note {number}", "vector": vector})


def versions(woods: Forest, steps: list[set[int]]) -> tuple[TreeRoot, dict[bytes, Record]]:
    """A tree of one leaf, changed step by step, and what it holds in the end."""
    held = {item.key: item for item in (memory(number, 0) for number in range(ROWS))}
    root = woods.build(held)
    for version, numbers in enumerate(steps, 1):
        edits = {item.key: item for item in (memory(number, version) for number in numbers)}
        root = woods.edit(root, dict(edits))
        held.update(edits)
    return root, held


def codec_of(woods: Forest, reader: LeafReader) -> int:
    place = woods.store.locate(reader.leaf.columns[0].vectors, ObjectType.VECTORS)
    assert place is not None
    return place[1].codec


@given(st.lists(st.sets(st.integers(0, ROWS - 1), min_size=1, max_size=8), max_size=5), st.integers(0, ROWS - 1))
@settings(max_examples=30)
def test_a_row_read_by_itself_is_that_of_the_whole_matrix(steps: list[set[int]], row: int) -> None:
    with forest(1024) as woods:
        root, held = versions(woods, steps)
        reader = LeafReader(woods.store, root.id)
        keys = sorted(held)
        for number in {row, 0, ROWS - 1, *(steps[-1] if steps else ())}:
            assert LeafReader(woods.store, root.id)._glance(number) == held[keys[number]].vectors
            assert reader.record(number) == held[keys[number]]
        assert codec_of(woods, reader) == (Codec.ROWS if steps else Codec.SHUFFLE4)


def test_past_some_rows_the_whole_matrix_is_read() -> None:
    with forest(1024) as woods:
        root, held = versions(woods, [{3}])
        reader = LeafReader(woods.store, root.id)
        assert [reader.record(row) for row in range(ROWS)] == [held[key] for key in sorted(held)]
        assert reader._matrices


@pytest.mark.parametrize("step", [0, 1], ids=["whole", "difference"])
def test_a_damaged_row_is_never_given(tmp_path: Path, step: int) -> None:
    woods = Forest(tmp_path, 1024)
    root, held = versions(woods, [{5, 9}])
    reader = LeafReader(woods.store, root.id)
    column = reader.leaf.columns[0]
    place = woods.store.locate(column.vectors, ObjectType.VECTORS)
    assert place is not None and place[1].codec == Codec.ROWS
    pack, entry = place
    if step == 0:
        pack, entry = woods.store.find(pack.base(entry))
    assert reader.record(5) == held[sorted(held)[5]]
    raw = bytearray(pack.path.read_bytes())
    wrong = 0
    for at in range(entry.offset, entry.offset + entry.stored, max(1, entry.stored // 40)):
        raw[at] ^= 1
        pack.path.write_bytes(raw)
        raw[at] ^= 1
        woods.store.close()
        try:
            found = LeafReader(woods.store, root.id).record(5)
        except Tampered:
            wrong += 1
        else:
            assert found == held[sorted(held)[5]]
    assert wrong or step == 0
