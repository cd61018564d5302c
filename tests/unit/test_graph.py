"""Pictures of histories."""

import pytest

from vexrepo.cli.graph import (
    END,
    character,
    draw,
    iter_rows,
    simplify,
    topological,
    verticals,
)


def history(text: str) -> list[tuple[str, list[str]]]:
    """Return commits of lines like ``merge first second``."""
    return [(line.split()[0], line.split()[1:]) for line in text.strip().splitlines()]


def picture(text: str, *, boxes: bool = True) -> str:
    lines = []
    after: tuple[int, ...] = ()
    for row in iter_rows(history(text)):
        drawn = draw(row)
        after = row.after
        for line in (drawn.gap, drawn.node, drawn.link):
            if line is not None:
                shown = "".join(character(cell, boxes=boxes) for cell in line).rstrip()
                lines.append(f"{shown} {row.id}" if line is drawn.node else shown)
    if after:
        lines.append("".join(character(cell, boxes=boxes) for cell in verticals(after, END)))
    return "\n".join(lines)


MERGE = "merge a side\nside base\na base\nbase"
EVERYTHING = """
tip m4 feature
feature f1
f1 m2
m4 m3 m2
m3 m2 x y z
z m1
y m1
x m1
m2 m1 other
other o1
o1
m1 root
root
"""
SNAPSHOT = """
○ tip
├─╮
│ ○ feature
│ ○ f1
○ │ m4
├─┤
○ │ m3
├─┼─┬─╮
│ │ │ ○ z
│ │ ○ │ y
│ │ ├─╯
○ │ │ x
├─│─╯
│ ○ m2
├─┤
│ ○ other
│ ○ o1
○ m1
○ root
"""


def test_a_line_of_commits_is_one_lane():
    assert picture("c b\nb a\na") == "○ c\n○ b\n○ a"


def test_a_merge_opens_a_lane_and_closes_it_at_the_common_ancestor():
    assert picture(MERGE) == "○ merge\n├─╮\n│ ○ side\n○ │ a\n├─╯\n○ base"


def test_a_picture_can_be_drawn_in_ascii():
    assert picture(MERGE, boxes=False) == "* merge\n+-.\n| * side\n* | a\n+-'\n* base"


def test_a_criss_cross_reaches_both_parents_of_both_merges():
    assert picture("h x y\nx a b\ny b a\na r\nb r\nr") == (
        "○ h\n├─╮\n○ │ x\n├─│─╮\n│ ○ │ y\n├─┴─┤\n○   │ a\n│   ○ b\n├───╯\n○ r"
    )


def test_a_line_passes_under_a_lane_that_it_does_not_join():
    assert "├─│─╯" in picture(EVERYTHING).split("\n")


def test_a_root_is_told_apart_from_an_unrelated_commit_below_it():
    assert picture("a\nb\nc d\nd") == "○ a\n\n○ b\n\n○ c\n○ d"


def test_lines_to_commits_that_are_not_listed_stay_open():
    assert picture("m a b\nb c") == "○ m\n├─╮\n│ ○ b\n~ ~"


def test_an_octopus_of_sixty_four_parents_has_sixty_four_lanes():
    names = [f"p{number}" for number in range(64)]
    text = picture("\n".join(["o " + " ".join(names), *(f"{name} r" for name in reversed(names)), "r"]))
    lines = text.split("\n")
    assert lines[1] == "├" + "─┬" * 62 + "─╮"
    assert lines[-1] == "○ r" and lines[-2] == "├─╯"


def test_a_parent_named_twice_gets_one_line():
    assert picture("a b b\nb") == "○ a\n○ b"


def test_a_history_with_everything_is_drawn_as_ever():
    assert picture(EVERYTHING) == SNAPSHOT.strip()


def test_lanes_keep_their_colour_and_neighbours_differ():
    for row in iter_rows(history(EVERYTHING)):
        used = [colour for colour in row.before if colour >= 0]
        assert len(used) == len(set(used))
        for lane, colour in enumerate(row.before):
            if lane < len(row.after) and lane != row.column and lane != row.moved:
                assert row.after[lane] == colour or colour == -1


def test_commits_are_ordered_children_first_and_lines_kept_together():
    parents = {"m": ["a2", "b2"], "a2": ["a1"], "a1": ["r"], "b2": ["b1"], "b1": ["r"], "r": []}
    assert topological(parents, ["m"]) == ["m", "b2", "b1", "a2", "a1", "r"]
    assert topological(parents, ["b2", "a2", "m", "m"]) == ["m", "b2", "b1", "a2", "a1", "r"]
    assert topological({"a": ["gone"]}, ["a"]) == ["a"]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("m r", [("m", ("r",)), ("r", ())]),
        ("m b1 r", [("m", ("b1",)), ("b1", ("r",)), ("r", ())]),
        ("m a1 b2 r", [("m", ("a1", "b2")), ("b2", ("r",)), ("a1", ("r",)), ("r", ())]),
        ("b2 a2", [("b2", ()), ("a2", ())]),
        ("", []),
    ],
)
def test_commits_left_out_are_bridged_to_the_nearest_that_are_kept(keep, expected):
    commits = history("m a2 b2\nb2 b1\nb1 r\na2 a1\na1 r\nr")
    assert simplify(commits, set(keep.split())) == expected
