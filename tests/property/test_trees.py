"""Laws 1 and 2: a tree depends on its records alone, and a difference applied to one side gives the other."""

import copy
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property.strategies import Forest, forest, plain, records
from vexrepo.history import build
from vexrepo.history.baseline import iter_record_ids
from vexrepo.history.diff import diff_trees
from vexrepo.history.treecheck import TreeCheck
from vexrepo.history.walk import RecordAt, find_record, iter_leaves, iter_records, read_node
from vexrepo.objects import record, tree
from vexrepo.objects.digest import NodeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.storage.store import ObjectStore

SMALL_FANOUT = 2
NO_WORDS: dict[str, list[float]] = {"indices": [], "values": []}
VECTORS = [[1.5], [2.5], [0.1, 0.2], [[1.0], [2.0]], [[1.0]], NO_WORDS, {"indices": [3], "values": [1.0]}, None]
Contents = dict[bytes, Record]
Edits = dict[bytes, Record | None]


@pytest.fixture(autouse=True, scope="module")
def _small_nodes() -> Iterator[None]:
    """Nodes of two children and leaves of a few records, so that a handful of records makes a tall tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "FANOUT", SMALL_FANOUT)
        patch.setattr(build, "FANOUT", SMALL_FANOUT)
        yield


def by_key(items: list[Record]) -> Contents:
    return {item.key: item for item in items}


contents = st.lists(records, max_size=25).map(by_key)
numbered = st.dictionaries(st.integers(0, 60), st.integers(0, 2), max_size=40).map(
    lambda found: by_key([plain(number, version) for number, version in found.items()])
)
any_contents = st.one_of(contents, numbered)


@st.composite
def histories(draw: st.DrawFn) -> list[Edits]:
    """Batches of edits, most of them of records that are there or were."""
    universe = draw(st.lists(records, min_size=1, max_size=12))
    universe += [plain(number) for number in range(draw(st.integers(0, 40)))]
    batches = []
    for _ in range(draw(st.integers(1, 4))):
        batch: Edits = {}
        for item in draw(st.lists(st.sampled_from(universe), max_size=30)):
            what = draw(st.integers(0, 3))
            if what == 0:
                batch[item.key] = None
            elif what == 1:
                batch[item.key] = item
            else:
                value = copy.deepcopy(item.to_json())
                value["text"] = f"version {draw(st.integers(0, 3))}"
                if what == 3:
                    value["vector"] = draw(st.sampled_from(VECTORS))
                    value.pop("dims", None)
                batch[item.key] = record.from_json(value)
        batches.append(batch)
    return batches


def applied(held: Contents, edits: Edits) -> Contents:
    result: dict[bytes, Record | None] = {**held, **edits}
    return {key: item for key, item in sorted(result.items()) if item is not None}


def fresh(held: Contents, leaf_records: int) -> TreeRoot:
    """The tree of some records, built at once in a store of its own."""
    with forest(leaf_records) as other:
        return other.build(held)


def check(woods: Forest, root: TreeRoot, held: Contents) -> None:
    """The tree is the one a fresh build gives, whole and sound."""
    assert root == fresh(held, woods.leaf_records)
    assert list(iter_records(woods.store, root)) == [held[key] for key in sorted(held)]
    TreeCheck(woods.store)._check_tree(root, woods.leaf_records, "records")


leaf_sizes = st.sampled_from([1, 2, 3, 16])


# -- law 1 -------------------------------------------------------------------------------------------------------


@given(histories(), leaf_sizes)
def test_any_grouping_of_edits_gives_the_tree_of_a_fresh_build(batches: list[Edits], leaf_records: int) -> None:
    with forest(leaf_records) as woods:
        root, held = None, {}
        for batch in batches:
            root, held = woods.edit(root, batch), applied(held, batch)
            check(woods, root, held)


@given(any_contents, st.randoms(use_true_random=False), leaf_sizes)
def test_any_order_of_edits_gives_the_same_tree(held: Contents, chance: random.Random, leaf_records: int) -> None:
    wanted = fresh(held, leaf_records)
    with forest(leaf_records) as woods:
        order = list(held)
        chance.shuffle(order)
        root, at = None, 0
        while at < len(order):
            step = chance.randint(1, 9)
            root = woods.edit(root, {key: held[key] for key in order[at : at + step]})
            at += step
        if root is not None:
            assert root == wanted
        back, at = root, 0
        chance.shuffle(order)
        while at < len(order):
            step = chance.randint(1, 9)
            back = woods.edit(back, dict.fromkeys(order[at : at + step]))
            at += step
        assert back is None or back == fresh({}, leaf_records)


@settings(max_examples=25)
@given(st.integers(100, 400), st.integers(0, 2**32))
def test_a_large_tree_edited_here_and_there_is_that_of_a_fresh_build(how_many: int, seed: int) -> None:
    chance = random.Random(seed)
    numbers = chance.sample(range(2000), how_many)
    held = by_key([plain(number) for number in numbers])
    with forest(16) as woods:
        root = woods.build(held)
        assert root.height
        for version in range(1, 4):
            some = chance.sample(numbers, 5)
            edits: Edits = {plain(n).key: chance.choice([None, plain(n, version)]) for n in some}
            edits |= {plain(n).key: plain(n) for n in (chance.randint(0, 2000) for _ in range(3))}
            root, held = woods.edit(root, edits), applied(held, edits)
            check(woods, root, held)


def without_ends(level: int, expected: int, how_many: int) -> list[Record]:
    """Records whose keys end no leaf (level 0), or each end a leaf but no node above it (level 1)."""
    found = []
    for number in itertools.count():
        item = plain(number)
        if level == 0 and tree.ends_here(item.key, 0, expected):
            continue
        if level == 1 and (not tree.ends_here(item.key, 0, expected) or tree.ends_here(item.key, 1, SMALL_FANOUT)):
            continue
        found.append(item)
        if len(found) == how_many:
            return found
    raise AssertionError


@pytest.mark.parametrize(("level", "expected"), [(0, 2), (1, 2), (0, 16)])
def test_a_run_without_a_natural_end_is_cut_and_stays_history_independent(level: int, expected: int) -> None:
    every = without_ends(level, expected, 60 if expected == 2 else 300)
    chance = random.Random(7)
    with forest(expected) as woods:
        held = by_key(every[::2])
        root = woods.build(held)
        sizes = [child.count for child in iter_leaves(woods.store, root)]
        if level == 0:
            assert sizes[:-1] == [tree.OVERFULL * expected] * (len(sizes) - 1)
        else:
            assert set(sizes) == {1}
            lowest = [len(node) for node in nodes_of(woods.store, root) if node]
            assert max(lowest) == tree.OVERFULL * SMALL_FANOUT
        for version in range(1, 25):
            some = chance.sample(every, chance.choice([1, 1, 2, 9]))
            edits: Edits = {i.key: None if chance.random() < 0.4 else plain(int(i.key[3:]), version) for i in some}
            root, held = woods.edit(root, edits), applied(held, edits)
            check(woods, root, held)


def nodes_of(store: ObjectStore, root: TreeRoot) -> list[list[tree.Child]]:
    """The children of each inner node."""
    found, layer = [], [(root.id, root.height)]
    while layer:
        identifier, height = layer.pop()
        if height:
            node = read_node(store, identifier)
            found.append(node.children)
            layer += [(child.id, height - 1) for child in node.children]
    return found


@pytest.mark.parametrize("leaf_records", [1, 2, 16])
def test_every_single_removal_and_return_gives_the_fresh_tree(leaf_records: int) -> None:
    """Among them the keys that end a leaf, a node, or the tree, and the first one."""
    held = by_key([plain(number) for number in range(60)])
    with forest(leaf_records) as woods:
        whole = woods.build(held)
        for key in held:
            less = woods.edit(whole, {key: None})
            check(woods, less, applied(held, {key: None}))
            assert woods.edit(less, {key: held[key]}) == whole


def test_removing_all_that_ends_a_leaf_joins_the_leaves() -> None:
    held = by_key([plain(number) for number in range(120)])
    with forest(2) as woods:
        root = woods.build(held)
        ends = {key: None for key in held if tree.ends_here(key, 0, 2)}
        assert len(ends) > 20
        check(woods, woods.edit(root, dict(ends)), applied(held, dict(ends)))
        lasts = {child.last_key: None for child in iter_leaves(woods.store, root)}
        check(woods, woods.edit(root, dict(lasts)), applied(held, dict(lasts)))


@given(any_contents, leaf_sizes)
def test_emptied_is_empty_and_edits_that_change_nothing_keep_the_root(held: Contents, leaf_records: int) -> None:
    with forest(leaf_records) as woods:
        root = woods.build(held)
        empty = woods.edit(root, dict.fromkeys(held))
        assert empty == woods.build({}) and (empty.height, empty.count) == (0, 0)
        assert woods.edit(root, {}) == root
        assert woods.edit(root, dict(held)) == root
        assert woods.edit(root, {b"nobody": None, b"\0\x01": None, b"\xff": None}) == root
        assert woods.edit(empty, dict(held)) == root
        check(woods, empty, {})
        assert list(iter_records(woods.store, empty)) == []
        assert find_record(woods.store, empty, b"x") is None
        assert b"".join(iter_record_ids(woods.store, empty)) == b""


@settings(max_examples=30)
@given(histories(), leaf_sizes)
def test_threads_make_no_difference(batches: list[Edits], leaf_records: int) -> None:
    with forest(leaf_records) as woods, ThreadPoolExecutor(3) as pool:
        root, held = None, {}
        for batch in batches:
            root, held = woods.edit(root, batch, pool=pool), applied(held, batch)
            check(woods, root, held)


@given(any_contents, st.sampled_from([1, 2]))
def test_no_root_has_a_single_child(held: Contents, leaf_records: int) -> None:
    with forest(leaf_records) as woods:
        root = woods.build(held)
        if root.height:
            assert len(read_node(woods.store, root.id).children) > 1
            assert isinstance(NodeId(root.id), NodeId)


# -- reading -----------------------------------------------------------------------------------------------------


@given(any_contents, st.lists(st.binary(max_size=6), max_size=5), leaf_sizes)
def test_a_record_is_found_by_its_key_and_only_by_it(held: Contents, others: list[bytes], leaf_records: int) -> None:
    with forest(leaf_records) as woods:
        root = woods.build(held)
        for key in [*held, *others, *(key + b"\0" for key in held), *(key[:-1] for key in held)]:
            found = find_record(woods.store, root, key)
            assert (found and found.record) == held.get(key)
        assert list(iter_records(woods.store, root)) == list(iter_records(woods.store, root, ahead=2))
        assert b"".join(iter_record_ids(woods.store, root)) == b"".join(held[key].id for key in sorted(held))
        assert sum(child.count for child in iter_leaves(woods.store, root)) == root.count == len(held)


# -- law 2 -------------------------------------------------------------------------------------------------------


def changes(woods: Forest, old: TreeRoot, new: TreeRoot) -> dict[bytes, tuple[Record | None, Record | None]]:
    found = list(diff_trees(woods.store, old, new))
    assert [change.key for change in found] == sorted({change.key for change in found})

    def whole(side: RecordAt | None) -> Record | None:
        return side.record if side else None

    return {change.key: (whole(change.old), whole(change.new)) for change in found}


@given(st.one_of(histories(), st.tuples(any_contents, any_contents).map(list)), leaf_sizes)
@example([{}, {}], 2)
def test_a_difference_is_what_differs_and_applied_to_one_side_gives_the_other(
    batches: list[Edits], leaf_records: int
) -> None:
    with forest(leaf_records) as woods:
        held: Contents = {}
        states = []
        root = None
        for batch in batches:
            root, held = woods.edit(root, batch), applied(held, batch)
            states.append((root, held))
        for (old, before), (new, after) in itertools.product(states, states):
            found = changes(woods, old, new)
            wanted = {
                key: (before.get(key), after.get(key)) for key in {*before, *after} if before.get(key) != after.get(key)
            }
            assert found == wanted
            assert woods.edit(old, {key: pair[1] for key, pair in found.items()}) == new
            if old == new:
                assert found == {}


class CountingStore(ObjectStore):
    """Counts what is asked for, by type."""

    reads: Counter[ObjectType]

    def get(self, identifier: bytes, kind: ObjectType, *, cache: bool = True) -> bytes:
        self.reads[kind] += 1
        return super().get(identifier, kind, cache=cache)


def counting(woods: Forest) -> CountingStore:
    found = CountingStore(woods.store.folder, woods.store._files)
    found.reads = Counter()
    return found


def costs(how_many: int, changed: list[int]) -> tuple[Counter[ObjectType], Counter[ObjectType], int]:
    """Return what a diff reads, what an edit reads, and the height, for a tree of so many records."""
    held = by_key([plain(number) for number in range(how_many)])
    with forest(16) as woods:
        old = woods.build(held)
        store = counting(woods)
        with store.writer() as writer:
            edits = [build.Edit(plain(n).key, plain(n, 1)) for n in changed]
            new = build.edit_tree(store, writer, old, iter(edits), 16)
            editing = store.reads
            writer.finish()
        store = counting(woods)
        assert len(list(diff_trees(store, old, new))) == len(changed)
        return store.reads, editing, old.height


def test_a_difference_reads_what_changed_and_not_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "FANOUT", 8)
    monkeypatch.setattr(build, "FANOUT", 8)
    for how_many in (300, 3000):
        for changed in ([150], [10, 150, 290], []):
            diffing, editing, height = costs(how_many, changed)
            assert diffing[ObjectType.LEAF] == 2 * len(changed)
            assert diffing[ObjectType.NODE] <= 2 * len(changed) * height
            assert not diffing[ObjectType.BODIES] and not diffing[ObjectType.VECTORS]
            # An edit reads the leaves it touches, each with its columns and at most as much again for their bases.
            assert editing[ObjectType.LEAF] <= 2 * len(changed)
            assert editing[ObjectType.BODIES] <= 2 * len(changed)
            assert editing[ObjectType.VECTORS] <= 2 * len(changed)


def test_a_difference_of_text_reads_no_vectors() -> None:
    held = by_key([plain(number) for number in range(200)])
    with forest(16) as woods:
        old = woods.build(held)
        some: Any = held[plain(77).key].to_json()
        new = woods.edit(old, {plain(77).key: record.from_json({**some, "text": "new"})})
        store = counting(woods)
        (change,) = diff_trees(store, old, new)
        assert change.old is not None and change.new is not None
        assert (change.old.body, change.new.body) != (b"", b"")
        assert not store.reads[ObjectType.VECTORS]
        assert change.old.record.vectors == change.new.record.vectors


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(VECTORS, 2)), ids=str)
def test_a_record_whose_vector_changes_shape_in_a_leaf_is_that_of_a_fresh_build(before: Any, after: Any) -> None:
    held = by_key([plain(number) for number in range(9)])
    with forest(16) as woods:
        first = record.from_json({"id": "m00004", "vector": copy.deepcopy(before)})
        second = record.from_json({"id": "m00004", "vector": copy.deepcopy(after)})
        root = woods.edit(woods.build(held), {first.key: first})
        root = woods.edit(root, {second.key: second})
        check(woods, root, applied(held, {second.key: second}))
