"""vex log --graph."""

import pytest

from tests.cli.conftest import run_process
from vexrepo.repository import Repository


@pytest.fixture
def merged(vex, two):
    """``two`` with a branch of two commits, merged into a main that went on."""
    assert vex("switch", "-c", "side").code == 0
    two.learn("s1", "A side note")
    assert vex("commit", "-m", "side one").code == 0
    two.learn("s2", "Another one")
    assert vex("commit", "-m", "side two\n\nwith a body").code == 0
    assert vex("switch", "main").code == 0
    del two.records["s1"], two.records["s2"]
    two.learn("n1", "The main thing")
    assert vex("commit", "-m", "main one").code == 0
    assert vex("merge", "side", "-m", "merged").code == 0
    return two


def test_a_merge_is_drawn(vex, merged):
    lines = vex("log", "--graph", "--oneline").out.splitlines()
    expected = [
        ("@   ", "merged"),
        ("├─╮", ""),
        ("│ ○ ", "side two"),
        ("│ ○ ", "side one"),
        ("○ │ ", "main one"),
        ("├─╯", ""),
        ("○ ", "second"),
        ("○ ", "first"),
    ]
    assert len(lines) == len(expected)
    for line, (lanes, subject) in zip(lines, expected, strict=True):
        assert line.startswith(lanes) and subject in line
        assert line == lanes or line[len(lanes)].isalnum()


def test_messages_stand_beside_their_lanes(vex, merged):
    out = vex("log", "--graph").out
    assert "│ ○ commit " in out and "│ │     with a body\n" in out
    assert "@   commit " in out and "├─╮ Merge:  " in out
    assert not any(line != line.rstrip() for line in out.splitlines())
    assert out.splitlines()[-1].startswith("      4 memories")


def test_a_number_cuts_the_graph_and_leaves_its_lines_open(vex, merged):
    lines = vex("log", "--graph", "--oneline", "-2").out.splitlines()
    assert len(lines) == 4 and lines[1] == "├─╮" and lines[2].startswith("│ ○ ") and lines[3] == "~ ~"
    assert vex("log", "--graph", "-0").out == ""


def test_of_one_memory_only_its_commits_are_drawn_with_lines_to_the_nearest(vex, merged):
    del merged.records["m4"]
    merged.write()
    assert vex("commit", "-m", "fourth").code == 0
    lines = vex("log", "--graph", "--oneline", "--", "m4").out.splitlines()
    assert [line[0] for line in lines] == ["@", "│", "○", " "]
    assert "fourth" in lines[0] and "- notes/m4" in lines[1] and "first" in lines[2] and "+ notes/m4" in lines[3]
    lines = vex("log", "--graph", "--oneline", "-1", "--", "m1").out.splitlines()
    assert "second" in lines[0] and lines[-1] == "~"


def test_json_and_a_graph_do_not_go_together(vex, two):
    ran = vex("log", "--graph", "--json")
    assert ran.code == 2 and "--json lists parents" in ran.err


def test_statistics_and_signatures_go_with_the_graph(vex, merged):
    out = vex("log", "--graph", "--oneline", "--stat", "--show-signature").out
    assert out.count("good signature") == 6 and "│ │   " in out


def test_the_graph_is_ascii_where_the_encoding_has_no_boxes(vex, merged, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    lines = run_process("log", "--graph", "--oneline").out.splitlines()
    assert lines[1] == "+-." and lines[5] == "+-'" and lines[2].startswith("| * ")


def test_lanes_have_colours_where_there_are_colours(vex, merged, monkeypatch):
    assert "\x1b[" not in run_process("log", "--graph", "--oneline").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run_process("log", "--graph", "--oneline").out
    assert "\x1b[32m│\x1b[0m \x1b[35m\x1b[1m○\x1b[0m" in out


def test_the_order_is_right_where_clocks_disagree(vex, merged, monkeypatch):
    history = Repository.history

    def skewed(self, start):
        return iter(sorted(history(self, start), key=lambda item: item[0]))

    straight = vex("log", "--graph", "--oneline").out
    monkeypatch.setattr(Repository, "history", skewed)
    assert vex("log", "--graph", "--oneline").out == straight
