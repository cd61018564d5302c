"""Pictures of any history: every line ends at its parent, none is lost, and none goes elsewhere."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from vexrepo.cli.graph import Row, character, draw, iter_rows, simplify, topological

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
DIRECTIONS = {mark: mask for mask, mark in enumerate(" ╵╷│╴╯╮┤╶╰╭├─┴┬┼")}
History = list[tuple[int, list[int]]]


@st.composite
def histories(draw_: st.DrawFn, *, cut: bool = False) -> History:
    """Commits 0, 1, … whose parents have higher numbers; with ``cut``, some parents are not in the list."""
    count = draw_(st.integers(1, 25))
    end = count + (4 if cut else 0)
    found = []
    for number in range(count):
        later = st.integers(number + 1, end - 1) if number + 1 < end else st.nothing()
        most = min(draw_(st.sampled_from([0, 1, 1, 1, 2, 2, 3, 6])), end - number - 1)
        found.append((number, draw_(st.lists(later, min_size=min(most, 1), max_size=most, unique=True))))
    return found


class Drawn(NamedTuple):
    """A line of the picture: the commit's own, the one that links it onward, or a mere gap."""

    kind: str
    row: Row[int]
    text: str


def lines_of(history: History) -> list[Drawn]:
    found = []
    for row in iter_rows(history):
        drawn = draw(row)
        for kind, line in (("gap", drawn.gap), ("node", drawn.node), ("link", drawn.link), ("pad", drawn.pad)):
            if line is not None:
                text = "".join(character(cell, boxes=True) for cell in line)
                found.append(Drawn(kind, row, text))
    return found


def mask(line: Drawn, place: int) -> int:
    return DIRECTIONS[line.text[place]] if place < len(line.text) else 0


def reached(lines: list[Drawn], start: int) -> set[int | None]:
    """Follow the characters downward from a commit, as an eye would; None stands for a line that leaves the picture."""
    found: set[int | None] = set()
    own = lines[start].text.index("○")
    todo = [(start + 1, own)] if lines[start].row.links else []
    while todo:
        at, place = todo.pop()
        if at == len(lines):
            found.add(None)
            continue
        line = lines[at]
        if line.kind == "node" and line.text[place] == "○":
            found.add(line.row.id)
        elif line.kind != "link":
            if mask(line, place) == UP | DOWN:
                todo.append((at + 1, place))
            else:
                assert line.row is lines[start].row, "a line breaks off"
        else:
            todo += [(at + 1, each) for each in onward(line, place, is_own=at == start + 1 and place == own)]
    return found


def onward(line: Drawn, place: int, *, is_own: bool) -> list[int]:
    """Return where a line that comes from above goes on below."""
    here = mask(line, place)
    assert here & UP
    found = [place] if here & DOWN else []
    for side, back, step in ((LEFT, RIGHT, -1), (RIGHT, LEFT, 1)):
        # A lane that goes on is only joined by what lies beside it.
        if not here & side or (not is_own and here & DOWN):
            continue
        at = place
        while True:
            at += step
            cell = mask(line, at)
            assert cell, "a horizontal line breaks off"
            if cell == UP | DOWN:
                continue  # it passes under this lane
            if cell & DOWN and cell & back:
                found.append(at)
            if not cell & side:
                break
    return found


@given(histories())
def test_every_line_from_a_commit_ends_at_its_parents_and_nowhere_else(history: History) -> None:
    lines = lines_of(history)
    parents = dict(history)
    for at, line in enumerate(lines):
        if line.kind == "node":
            assert reached(lines, at) == set(parents[line.row.id])


@given(histories(cut=True))
def test_a_line_to_a_parent_that_is_not_listed_runs_to_the_end(history: History) -> None:
    lines = lines_of(history)
    parents = dict(history)
    for at, line in enumerate(lines):
        if line.kind == "node":
            expected = {each if each in parents else None for each in parents[line.row.id]}
            assert reached(lines, at) == expected


@given(histories(cut=True))
def test_no_lane_is_lost_and_none_is_kept_for_nothing(history: History) -> None:
    wanted: set[int] = set()
    for row, (number, parents) in zip(iter_rows(history), history, strict=True):
        wanted = (wanted | set(parents)) - {number}
        assert sum(colour >= 0 for colour in row.after) == len(wanted)
        assert not row.after or row.after[-1] >= 0


@given(histories())
def test_the_order_has_every_commit_once_and_before_its_parents(history: History) -> None:
    parents = dict(history)
    order = topological(parents, parents)
    place = {number: at for at, number in enumerate(order)}
    assert sorted(order) == sorted(parents)
    assert all(place[number] < place[parent] for number in parents for parent in parents[number])


@given(histories(), st.sets(st.integers(0, 24)))
def test_a_simplified_history_descends_as_the_whole_does(history: History, keep: set[int]) -> None:
    def ancestors(commits: list[tuple[int, list[int]]]) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for number, parents in reversed(commits):
            found[number] = set(parents).union(*(found[parent] for parent in parents))
        return found

    simple = simplify(history, keep)
    kept = {number for number, _ in simple}
    whole = ancestors(history)
    assert kept == keep & set(whole)
    short = ancestors([(number, list(parents)) for number, parents in simple])
    assert short == {number: whole[number] & kept for number in kept}
    for number, parents in simple:
        assert not any(one in whole[other] for one in parents for other in parents), number
