"""Law 3: a merge takes what either side changed, is symmetric but for the chosen side, and decides nothing silently."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import Forest, any_double, forest, plain, records, texts
from vexrepo.errors import InvalidData, UsageError
from vexrepo.history.conflict import Conflict, marked_conflicts, settle
from vexrepo.history.fields import ABSENT, fields_of, fit, is_same, record_of
from vexrepo.history.merge import Outcome, iter_merge_edits, merge_record
from vexrepo.history.policy import RULES, UNDECIDED, Policy
from vexrepo.history.walk import iter_records
from vexrepo.objects import edge, record
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import TreeRoot

FAIL = Policy()
Contents = dict[bytes, Record]

members = st.dictionaries(
    st.sampled_from(["text", "a", "b", "metadata", "vector", "vectors", "model"]),
    st.integers(0, 3),
    max_size=5,
)
VALUES: dict[str, list[Any]] = {
    "text": ["one", "two", None, "three"],
    "a": [1, 1.5, [1, 2], "x"],
    "b": [{"c": 1}, {}, None, False],
    "metadata": [{"tags": ["x"], "importance": 1}, {"tags": ["x", "y"]}, {}, "not an object"],
    "vector": [[1.0, 2.0], [1.5, 2.5], [0.1, 0.2, 0.3], None],
    "vectors": [{"t": [1.0]}, {"t": [2.0], "u": [1.0]}, "not vectors", {}],
    "model": ["m", "n", None, 7],
}


def version(chosen: dict[str, int]) -> Record:
    value = {name: copy.deepcopy(VALUES[name][number]) for name, number in chosen.items()}
    return record.from_json({"id": "x", **value})


versions = members.map(version)
sides = st.one_of(st.none(), versions)


@given(records)
def test_a_record_taken_apart_and_put_together_is_the_same(item: Record) -> None:
    assert record_of(fields_of(item)) == item


@given(sides, versions)
def test_merging_with_an_unchanged_side_gives_the_other(base: Record | None, side: Record) -> None:
    for ours, theirs in ((side, base), (base, side)):
        if ours is None or theirs is None:
            continue
        merged = merge_record(side.key, base, ours, theirs, FAIL)
        assert merged.record == side
        assert not merged.conflicts
        assert not merged.stale


@given(sides, versions)
def test_equal_changes_are_no_conflict(base: Record | None, side: Record) -> None:
    merged = merge_record(side.key, base, side, side, FAIL)
    assert merged.record == side
    assert not merged.conflicts


@given(sides, sides, sides)
def test_a_merge_is_the_same_either_way_round_but_for_the_side_shown_in_a_conflict(
    base: Record | None, ours: Record | None, theirs: Record | None
) -> None:
    if ours is None and theirs is None:
        return
    one = merge_record(b"k", base, ours, theirs, FAIL)
    other = merge_record(b"k", base, theirs, ours, FAIL)
    assert {each.path for each in one.conflicts} == {each.path for each in other.conflicts}
    assert [(each.ours, each.theirs) for each in one.conflicts] == [(e.theirs, e.ours) for e in other.conflicts]
    if not one.conflicts:
        assert one.record == other.record
        assert one.stale == other.stale


@given(versions, versions, versions)
def test_every_field_of_a_merge_is_one_side_changed_or_in_conflict(base: Record, ours: Record, theirs: Record) -> None:
    merged = merge_record(b"k", base, ours, theirs, FAIL)
    assert merged.record is not None
    origin, a, b, result = (fields_of(each) for each in (base, ours, theirs, merged.record))
    fit((origin, a, b, result))
    conflicting = {each.path for each in merged.conflicts}
    for path in {*origin, *a, *b} - conflicting - {("model",), ("vector",)}:
        was, mine, yours, now = (each.get(path, ABSENT) for each in (origin, a, b, result))
        if path[0] == "vectors":
            continue  # a named vector's model follows the record's
        if path == ("metadata",) and now == {} and was is not ABSENT:
            continue  # one side dropped all of it, the other added to it
        if is_same(mine, was):
            assert is_same(now, yours)
        elif is_same(yours, was) or is_same(mine, yours):
            assert is_same(now, mine)


@given(versions, versions, versions, st.sampled_from(["ours", "theirs"]))
def test_a_chosen_side_leaves_no_conflict(base: Record, ours: Record, theirs: Record, rule: str) -> None:
    merged = merge_record(b"k", base, ours, theirs, Policy(rule))
    assert not merged.conflicts
    if merged.decided and merged.record is not None:
        chosen, result = fields_of(ours if rule == "ours" else theirs), fields_of(merged.record)
        for path in merged.decided:
            if len(path) == 2 and path[0] == "metadata":
                assert is_same(result.get(path, ABSENT), chosen.get(path, ABSENT))


@given(versions, versions, versions)
def test_a_resolved_conflict_has_the_value_that_was_given(base: Record, ours: Record, theirs: Record) -> None:
    asked: list[Conflict] = []

    def resolve(conflict: Conflict) -> Any:
        asked.append(conflict)
        return conflict.theirs

    merged = merge_record(b"k", base, ours, theirs, FAIL, resolve=resolve)
    assert not merged.conflicts
    open_ones = merge_record(b"k", base, ours, theirs, FAIL, resolve=lambda conflict: UNDECIDED).conflicts
    assert {each.path for each in open_ones} <= {each.path for each in asked}


# -- whole trees against a plain dict ------------------------------------------------------------------------------

edits = st.dictionaries(st.integers(0, 50), st.one_of(st.none(), st.integers(0, 3)), max_size=25)


def edited(held: Contents, changes: dict[int, int | None], side: str) -> Contents:
    found = dict(held)
    for number, changed in changes.items():
        key = plain(number).key
        if changed is None:
            found.pop(key, None)
        else:
            found[key] = plain(number, changed, side=side) if changed == 3 else plain(number, changed)
    return found


def merge_contents(base: Contents, ours: Contents, theirs: Contents) -> tuple[Contents, set[bytes]]:
    """A model of the merge: whole records, which conflict where both sides changed them differently."""
    merged, both = {}, set()
    for key in {*base, *ours, *theirs}:
        was, mine, yours = base.get(key), ours.get(key), theirs.get(key)
        chosen = yours if mine == was else mine
        if mine not in (was, yours) and yours != was:
            both.add(key)
        if chosen is not None:
            merged[key] = chosen
    return merged, both


def merge_trees(trees: Forest, base: TreeRoot, ours: TreeRoot, theirs: TreeRoot) -> tuple[TreeRoot, Outcome]:
    outcome = Outcome()
    found = {edit.key: edit.record for edit in iter_merge_edits(trees.store, base, ours, theirs, FAIL, outcome)}
    return trees.edit(ours, found), outcome


@given(st.sets(st.integers(0, 50), max_size=40), edits, edits)
def test_a_merge_of_trees_is_what_a_plain_dict_says(held: set[int], a: dict[int, Any], b: dict[int, Any]) -> None:
    base = {plain(number).key: plain(number) for number in held}
    ours, theirs = edited(base, a, "ours"), edited(base, b, "theirs")
    with forest(4) as trees:
        roots = [trees.build(each) for each in (base, ours, theirs)]
        root, outcome = merge_trees(trees, *roots)
        merged = {item.key: item for item in iter_records(trees.store, root)}
        wanted, both = merge_contents(base, ours, theirs)
        assert {each.key for each in outcome.conflicts} <= both
        assert {key: item for key, item in merged.items() if key not in both} == {
            key: item for key, item in wanted.items() if key not in both
        }
        # merge(a, b, a) = b, and merge(a, a, b) = b
        assert merge_trees(trees, roots[0], roots[0], roots[2])[0] == roots[2]
        assert merge_trees(trees, roots[0], roots[1], roots[0])[0] == roots[1]
        if not outcome.conflicts:
            assert merge_trees(trees, roots[0], roots[2], roots[1])[0] == root


# -- rules -----------------------------------------------------------------------------------------------------------


def note(**members: Any) -> Record:
    return record.from_json({"id": "x", "text": "t", **members})


@pytest.mark.parametrize(
    ("rule", "wanted"), [("ours", 3), ("theirs", 5), ("max", 5), ("sum", 7), ("highest-importance", 5), ("newest", 3)]
)
def test_rules_choose_among_numbers(rule: str, wanted: int) -> None:
    base, ours, theirs = (note(metadata={"importance": number}) for number in (1, 3, 5))
    merged = merge_record(b"k", base, ours, theirs, Policy(by_field={"metadata.importance": rule}), (2, 1))
    assert merged.record is not None
    assert merged.record.to_json()["metadata"]["importance"] == wanted
    assert merged.decided == (("metadata", "importance"),)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "wanted"),
    [
        (["a", "b"], ["a", "b", "c"], ["b", "d"], ["b", "c", "d"]),
        ("a,b", "a, b, c", "b,d", "b,c,d"),
        (None, ["c"], ["d"], ["c", "d"]),
    ],
)
def test_union_keeps_what_was_added_and_drops_what_was_taken_out(
    base: Any, ours: Any, theirs: Any, wanted: Any
) -> None:
    versions = [note(metadata={"tags": tags} if tags is not None else {}) for tags in (base, ours, theirs)]
    merged = merge_record(b"k", *versions, Policy("union"))
    assert merged.record is not None
    assert merged.record.to_json()["metadata"]["tags"] == wanted


def test_memory_types_have_their_own_rules() -> None:
    for kind, conflicts, text in (("episodic", 0, "theirs"), ("semantic", 1, "ours"), ("procedural", 0, "theirs")):
        base, ours, theirs = (
            record.from_json({"id": "x", "text": text, "metadata": {"memory_type": kind}})
            for text in ("base", "ours", "theirs")
        )
        merged = merge_record(b"k", base, ours, theirs, Policy("by-type"), (1, 2))
        assert merged.record is not None
        assert (len(merged.conflicts), merged.record.text) == (conflicts, text)
    gone = merge_record(b"k", base, None, theirs, Policy("by-type"), (3, 2))
    assert gone.record is None
    kept = merge_record(b"k", base, None, note(metadata={"memory_type": "episodic"}), Policy("by-type"), (3, 2))
    assert kept.record is not None


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean newest") as error:
        Policy("newst")
    assert error.value.code == "bad-option"
    assert all(Policy(rule) for rule in RULES)


# -- a vector follows its text -----------------------------------------------------------------------------------------


def embedded(text: str, numbers: list[float], model: str = "m") -> Record:
    return record.from_json({"id": "x", "text": text, "vector": numbers, "model": model, "dims": len(numbers)})


def test_a_vector_of_another_text_than_the_merged_one_is_reported() -> None:
    base = embedded("old", [1.0, 2.0])
    for ours, theirs in (
        (embedded("new", [1.0, 2.0]), embedded("old", [3.0, 4.0, 5.0], "n")),
        (embedded("old", [3.0, 4.0, 5.0], "n"), embedded("new", [1.0, 2.0])),
    ):
        merged = merge_record(b"k", base, ours, theirs, FAIL)
        assert merged.stale
        assert not merged.conflicts
        assert merged.record == embedded("new", [3.0, 4.0, 5.0], "n")


def test_a_new_text_keeps_its_own_vector_where_the_other_side_only_embedded_again() -> None:
    base = embedded("old", [1.0, 2.0])
    changed, again = embedded("new", [9.0, 9.5]), embedded("old", [3.0, 4.0, 5.0], "n")
    for ours, theirs in ((changed, again), (again, changed)):
        merged = merge_record(b"k", base, ours, theirs, FAIL)
        assert merged.record == changed
        assert not merged.conflicts
        assert not merged.stale


def test_two_new_texts_with_vectors_conflict_in_both() -> None:
    base, ours, theirs = embedded("old", [1.0]), embedded("one", [2.0]), embedded("two", [3.0])
    merged = merge_record(b"k", base, ours, theirs, FAIL)
    assert [each.path for each in merged.conflicts] == [("text",), ("vector",)]


@given(texts, any_double)
def test_fields_that_make_no_record_are_refused(text: str, number: float) -> None:
    fields = fields_of(note(metadata={"n": number}))
    fields["text",] = text
    assert record_of(fields).text == text
    del fields["id",]
    with pytest.raises(InvalidData) as error:
        record_of(fields)
    assert error.value.code == "id-missing"


# -- edges -------------------------------------------------------------------------------------------------------------


def link(target: str, **members: Any) -> Record:
    return edge.from_json({"source": "a", "type": "causal", "target": target, **members})


def test_edges_are_merged_by_field_like_memories() -> None:
    base = by_key(link("b", weight=0.5), link("c", weight=0.5), link("d", weight=0.5))
    ours = by_key(link("b", weight=0.9), link("c", weight=0.5, note="x"), link("e"))
    theirs = by_key(link("b", weight=0.1), link("c", weight=0.7), link("d", weight=0.5), link("f"))
    with forest(4) as trees:
        roots = [trees.build(each) for each in (base, ours, theirs)]
        outcome = Outcome()
        edits = list(iter_merge_edits(trees.store, *roots, FAIL, outcome, are_edges=True))
        merged = {edit.key: edit.record for edit in edits}
        assert merged == {link("c").key: link("c", weight=0.7, note="x"), link("f").key: link("f")}
        (conflict,) = outcome.conflicts
        assert (conflict.is_edge, conflict.path, conflict.base, conflict.ours, conflict.theirs) == (
            True,
            ("weight",),
            0.5,
            0.9,
            0.1,
        )
        kept = list(iter_merge_edits(trees.store, *roots, FAIL, Outcome(), are_edges=True, keep_conflicts=True))
        marked = next(edit.record for edit in kept if edit.key == link("b").key)
        assert marked is not None
        assert [each.theirs for each in marked_conflicts(marked, is_edge=True)] == [0.1]
        assert settle(marked, lambda each: each.theirs, is_edge=True) == link("b", weight=0.1)


def by_key(*items: Record) -> Contents:
    return {item.key: item for item in items}
