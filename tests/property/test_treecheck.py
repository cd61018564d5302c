"""Checking a tree beside one that is known to be right finds exactly what checking all of it finds."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import Forest, attempt, forest, plain
from vexrepo.errors import InvalidData, Tampered
from vexrepo.history import build
from vexrepo.history.treecheck import TreeCheck
from vexrepo.history.walk import read_node
from vexrepo.objects import tree
from vexrepo.objects.digest import TreeId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.objects.tree import Child, Leaf, Node

Contents = dict[bytes, Record]


def edited(woods: Forest, root: TreeRoot, held: Contents, chance: random.Random) -> tuple[TreeRoot, Contents]:
    """A tree with a few changes: content, keys that come and go, often at the end."""
    edits: dict[bytes, Record | None] = {}
    for _ in range(chance.randrange(5)):
        number = chance.choice([chance.randrange(80), 200 + chance.randrange(3)])
        edits[plain(number).key] = plain(number, chance.randrange(9)) if chance.random() < 0.7 else None
    if chance.random() < 0.2:
        edits |= dict.fromkeys([key for key in held if chance.random() < 0.7])
    after: dict[bytes, Record | None] = {**held, **edits}
    return woods.edit(root, edits), {key: item for key, item in after.items() if item is not None}


def subtrees(woods: Forest, root: TreeRoot) -> list[tuple[int, Child]]:
    """All subtrees of a tree with their heights, as their parents describe them."""
    found, layer = [], [Child(b"", root.id, root.count)]
    for height in range(root.height, 0, -1):
        layer = [child for parent in layer for child in read_node(woods.store, parent.id).children]
        found += [(height - 1, child) for child in layer]
    return found


def put_node(woods: Forest, node: Node) -> TreeId:
    identifier, payload = node.encode()
    with woods.store.writer() as writer:
        writer.put(ObjectType.NODE, identifier, payload)
        writer.finish()
    return identifier


def spoilt(woods: Forest, root: TreeRoot, others: Sequence[tuple[int, Child]], chance: random.Random) -> TreeRoot:
    """A tree in which one node says something else; what is above says what that makes."""
    height = chance.randint(1, root.height)

    def below(identifier: TreeId, at: int) -> TreeId:
        children = list(read_node(woods.store, identifier).children)
        number = chance.randrange(len(children))
        child = children[number]
        if at > height:
            children[number] = replace(child, id=below(child.id, at - 1))
            return put_node(woods, Node(at, children))
        kind = chance.randrange(6)
        if kind == 0 and len(children) > 1:
            del children[number]
        elif kind == 1:
            other = chance.choice(others)[1]
            children[number] = replace(other, last_key=chance.choice([other.last_key, child.last_key]))
        elif kind == 2:
            same = [each for level, each in others if level == at - 1]
            children.insert(number, chance.choice(same)) if same else children.pop()
        elif kind == 3:
            children[number] = replace(child, count=child.count + 1)
        elif kind == 4:
            children[number] = replace(child, last_key=child.last_key + b"!")
        else:
            children[number] = replace(child, id=chance.choice(children).id)
        return put_node(woods, Node(at, children))

    return replace(root, id=below(root.id, root.height), count=root.count + chance.choice([0, 0, 1, -1]))


def verdict(woods: Forest, root: TreeRoot, known: Sequence[TreeRoot]) -> str:
    check = TreeCheck(woods.store)
    return attempt(lambda: check._check_tree(root, woods.leaf_records, "records", known))[1]


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3]))
@settings(max_examples=40)
def test_what_is_known_changes_the_cost_and_not_the_verdict(seed: int, leaf_records: int) -> None:
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch, forest(leaf_records) as woods:
        for module in (tree, build):
            patch.setattr(module, "FANOUT", 3)
        held = {item.key: item for item in (plain(number) for number in range(chance.randrange(80)))}
        old = woods.build(held)
        new, held = edited(woods, old, held, chance)
        newer, _ = edited(woods, new, held, chance)
        for known in ([old], [new], [old, new]):
            assert verdict(woods, newer, known) == verdict(woods, newer, ()) == ""
        if newer.height:
            others = [*subtrees(woods, old), *subtrees(woods, newer)]
            for _ in range(6):
                bad, code = attempt(lambda: spoilt(woods, newer, others, chance))
                if bad is None:
                    assert code
                    continue
                found = bool(verdict(woods, bad, ()))
                assert bool(verdict(woods, bad, [old, new])) == bool(verdict(woods, bad, [newer])) == found


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    woods = Forest(tmp_path)
    held = {item.key: item for item in (plain(number) for number in range(3000))}
    old = woods.build(held)
    changed = plain(1500, 1)
    new = woods.edit(old, {changed.key: changed})
    check = TreeCheck(woods.store)
    check._check_tree(new, woods.leaf_records, "records", [old])
    assert check.records <= tree.OVERFULL * woods.leaf_records


def test_a_record_that_only_claims_to_be_a_known_one_is_found(tmp_path: Path) -> None:
    woods = Forest(tmp_path)
    held = {item.key: item for item in (plain(number) for number in range(12))}
    old = woods.build(held)
    new = woods.edit(old, {plain(3).key: plain(3, 1)})
    mine, other = (Leaf.decode(woods.store.get(each.id, ObjectType.LEAF)) for each in (old, new))
    lie = replace(other, record_ids=mine.record_ids)  # the new content under the ids of the old
    identifier, payload = lie.encode()
    with woods.store.writer() as writer:
        writer.put(ObjectType.LEAF, identifier, payload)
        writer.finish()
    with pytest.raises((InvalidData, Tampered)) as caught:
        TreeCheck(woods.store)._check_tree(TreeRoot(identifier, 0, 12), woods.leaf_records, "records", [old])
    assert caught.value.code == "object-corrupt"
