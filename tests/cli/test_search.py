"""``vex search`` as users meet it."""

import json

import pytest

from tests.cli.conftest import Memory, Vex
from vexrepo.cli.commands.search import _marked
from vexrepo.history.terms import parse_query


def test_a_hit_is_a_line_with_score_name_text_and_tags(vex: Vex, repo: Memory) -> None:
    ran = vex("search", "invoice", "april")
    assert ran.code == 0 and ran.err == ""
    score, name, text, tags = ran.out.strip().split("   ")[0].split() + ran.out.strip().split("   ")[1:]
    assert float(score) > 0 and name == "work/m3" and text == "The invoice of March is paid" and tags == "#money"


def test_json_is_a_list_with_score_namespace_id_text_and_commit(vex: Vex, repo: Memory) -> None:
    (hit,) = vex("search", "money", "--json").json()
    head = vex("rev-parse", "HEAD").out.strip()
    assert (hit["namespace"], hit["id"], hit["tags"], hit["commit"]) == ("work", "m3", ["money"], head)
    assert hit["text"] == "The invoice of March is paid" and hit["score"] > 0


def test_an_earlier_commit_can_be_searched(vex: Vex, two: Memory) -> None:
    assert "m2" in vex("search", "coingecko", "--at", "HEAD~1").out
    ran = vex("search", "coingecko")
    assert ran.code == 0 and ran.out.startswith("nothing found at ") and "--history" in ran.out
    assert vex("search", "coingecko", "--json").json() == []


def test_history_finds_what_is_gone_and_says_when(vex: Vex, two: Memory) -> None:
    out = vex("search", "coingecko", "--history").out
    first, second = (vex("rev-parse", name).out[:7] for name in ("HEAD~1", "HEAD"))
    assert "m2" in out and f"since {first}" in out and f"gone since {second}" in out
    (hit,) = vex("search", "market", "--history", "--json").json()
    assert hit["appeared"]["commit"].startswith(second) and hit["vanished"] is None
    assert hit["appeared"]["time"].endswith("Z")


def test_namespace_components_and_limit_narrow_it_down(vex: Vex, repo: Memory) -> None:
    assert len(vex("search", "the is", "--json").json()) == 3
    assert len(vex("search", "the is", "--json", "--limit", "1").json()) == 1
    assert [hit["id"] for hit in vex("search", "the is", "--json", "--namespace", "work").json()] == ["m3"]
    assert vex("search", "the", "--components", "semantic", "--json").json() == []


def test_a_vector_is_given_as_json_or_in_a_file(vex: Vex, repo: Memory) -> None:
    vector = repo.records["m4"]["vector"]
    (repo.path.parent / "query.json").write_text(json.dumps(vector))
    for given in (json.dumps(vector), "@query.json"):
        ran = vex("search", "--vec-query", given, "--json", "-n", "1")
        assert ran.json()[0]["id"] == "m4" and ran.json()[0]["score"] == 1.0
    assert "by cosine in tiny, 4 dims" in vex("search", "--vec-query", "@query.json").out


def test_memories_near_one_do_not_list_that_one(vex: Vex, repo: Memory) -> None:
    found = [hit["id"] for hit in vex("search", "--like", "m1", "--json").json()]
    assert sorted(found) == ["m2", "m3", "m4"]
    assert vex("search", "--like", "prefs/m1").code == 0
    assert vex("search", "--like", "nobody").code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of"),
        (("x", "--like", "m1"), "give one of"),
        (("-n", "0", "x"), "range"),
        (("--like", "m1", "--history"), "--history searches by words"),
        (("--vec-query", "[1, 2]"), "2 dims, and no embedding space here does: tiny, 4 dims"),
        (("--vec-query", "[1,"), "--vec-query"),
        (("--vec-query", "{}"), "array of numbers"),
        (("--vec-query", "[]"), "array of numbers"),
        (("--vec-query", '["a"]'), "expected a number"),
        (("--vec-query", "[0, 0, 0, 0]"), "all zeros"),
        (("--vec-query", "@nowhere.json"), "cannot read nowhere.json"),
        (("?",), "holds no word"),
        (("x", "--at", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_understood_is_refused(vex: Vex, repo: Memory, arguments: tuple[str, ...], said: str) -> None:
    ran = vex("search", *arguments)
    assert ran.code == 2 and ran.out == "" and said in ran.err


def test_texts_of_memories_cannot_act_on_the_terminal(vex: Vex, repo: Memory) -> None:
    repo.learn("evil", "coffee \x1b[2J\u202e here\nand there", tags=["\x1b[31m"])
    vex("commit", "-m", "more")
    ran = vex("search", "coffee")
    assert "\x1b" not in ran.out and "\u202e" not in ran.out and ran.out.count("\n") == 1
    assert vex("search", "coffee", env={"FORCE_COLOR": "1"}).out.count("\x1b[1mcoffee\x1b[0m") == 1


def test_long_texts_are_cut_around_the_first_word_found() -> None:
    text = "word " * 60 + "needle " + "word " * 60
    shown = _marked(text, parse_query("needle"))
    assert "\x1b[1mneedle\x1b[0m" in shown and shown.startswith("… word") and shown.endswith("…") and len(shown) < 130
    shown = _marked(text, parse_query("word"))
    assert shown.startswith("\x1b[1mword") and shown.endswith("…")
    assert len(_marked("x" * 500, parse_query("none"))) == 101
