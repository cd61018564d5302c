"""Which records of a signed list were changed, added, removed, moved."""

from hypothesis import given
from hypothesis import strategies as st

from vexrepo.exchange.alignment import Shift, align


def differences(signed: str, actual: str) -> list[tuple[str, int | None, int | None]]:
    return [tuple(each) for each in align(signed.encode(), actual.encode(), 1)]


def test_equal_lists_have_no_differences():
    assert differences("abc", "abc") == [] == differences("", "")


def test_a_replaced_record_is_changed_in_place():
    assert differences("abc", "aXc") == [("changed", 1, 1)]


def test_additions_and_removals_are_told_apart():
    assert differences("abc", "abXc") == [("added", None, 2)]
    assert differences("abc", "ac") == [("removed", 1, None)]
    assert differences("abc", "") == [("removed", 0, None), ("removed", 1, None), ("removed", 2, None)]
    assert differences("", "ab") == [("added", None, 0), ("added", None, 1)]


def test_a_moved_record_is_reordered_and_nothing_else():
    assert differences("abcd", "dabc") == [("reordered", 3, 0)]
    assert differences("abcd", "bcda") == [("reordered", 0, 3)]


def test_a_copy_of_a_signed_record_is_added():
    assert differences("abc", "abca") == [("added", None, 3)]


@given(st.text("abcde", max_size=12), st.text("abcde", max_size=12))
def test_the_differences_account_for_every_record(signed, actual):
    found = align(signed.encode(), actual.encode(), 1)
    by_kind = {kind: [each for each in found if each.kind == kind] for kind in ("changed", "added", "removed")}
    assert len(actual) - len(signed) == len(by_kind["added"]) - len(by_kind["removed"])
    assert bool(found) == (signed != actual)
    for each in found:
        if each.kind == "reordered":
            assert signed[each.signed] == actual[each.actual]
    places = [each.actual for each in found if each.actual is not None]
    assert places == sorted(set(places)) and isinstance(found, list) and all(isinstance(e, Shift) for e in found)
    signed_places = [each.signed for each in found if each.signed is not None]
    assert len(set(signed_places)) == len(signed_places)
    # Everything not named stayed, in order.
    kept_old = [mark for place, mark in enumerate(signed) if place not in signed_places]
    kept_new = [mark for place, mark in enumerate(actual) if place not in places]
    assert kept_old == kept_new
