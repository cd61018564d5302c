"""Keys that several rows of Milvus have are found, though it shows one row of each."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vexrepo.remotes.stores import milvus_twins
from vexrepo.remotes.stores.milvus_twins import Twins


class Held:
    """Rows of keys as a server has them; expressions about ``id`` are of a form that Python reads as well."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows
        self.asked = 0

    def count(self, of: str) -> int:
        self.asked += 1
        return sum(1 for each in self.rows if not of or eval(of, {"id": each}))

    def keys(self, of: str) -> list[int | str]:
        return sorted({each for each in self.rows if eval(of, {"id": each})})


@given(st.lists(st.integers(0, 60), max_size=90), st.integers(1, 7), st.none() | st.integers(0, 60), st.data())
def test_exactly_the_keys_of_several_rows_are_found(
    rows: list[int], size: int, after: int | None, more: st.DataObject
) -> None:
    held = Held(rows)
    first = "" if after is None else f"id > {after}"
    shown = [each for each in sorted(set(rows)) if after is None or each > after]
    twins = Twins("id", first, held.count, held.keys)
    for start in range(0, len(shown), size):
        twins.saw(shown[start : start + size])
    # Memories that came, and rows that went, since the pages were read.
    held.rows = [*rows, *(each for each in more.draw(st.lists(st.integers(0, 60), max_size=5)) if each not in rows)]
    wanted = {key for key, count in Counter(held.rows).items() if count > 1 and key in shown}
    found = list(twins.find())
    assert set(found) >= wanted and len(set(found)) == len(found)
    assert all(Counter(held.rows)[each] > 1 for each in found)


def test_where_as_many_are_counted_as_were_read_nothing_else_is_asked() -> None:
    held, twins = read_of([*range(100)])
    assert not list(twins.find()) and held.asked == 1


def test_few_are_found_with_few_questions() -> None:
    held, twins = read_of([*range(3_000), 2_222])
    assert list(twins.find()) == [2_222] and held.asked < 40


def test_where_everything_is_there_twice_the_search_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_twins, "_MOST_ASKED", 50)
    held, twins = read_of([*range(200), *range(200)])
    found = list(twins.find())
    assert twins.has_more and held.asked < 50 and found == list(range(len(found))) and len(found) > 10


def test_many_memories_that_came_meanwhile_are_no_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_twins, "_MOST_ASKED", 20)
    held, twins = read_of([*range(0, 400, 2)])
    held.rows = [*range(400)]
    assert not list(twins.find()) and not twins.has_more and held.asked < 20


def read_of(rows: list[int]) -> tuple[Held, Twins]:
    """Return what was found in pages of ten, and who holds it."""
    held = Held(rows)
    twins = Twins("id", "", held.count, held.keys)
    shown = sorted(set(rows))
    for start in range(0, len(shown), 10):
        twins.saw(shown[start : start + 10])
    return held, twins
