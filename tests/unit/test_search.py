"""Search: what a query means, what it finds at a commit and in history, and what is near a vector."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.property.strategies import QuickFiles
from vexrepo.errors import InvalidData, UsageError
from vexrepo.history.nearest import choose_spaces, unit_vector
from vexrepo.history.search import tags_of
from vexrepo.history.terms import parse_query
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import split_key
from vexrepo.objects.selection import Selection
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.searching import Hit, search_history, search_text, search_vector


class Agent:
    """A repository and the file that is committed into it."""

    def __init__(self, folder: Path) -> None:
        clock = itertools.count(1_790_000_000_000_000, 1_000_000)
        self.path = folder / "agent.jsonl"
        self.store = Address("jsonl", str(self.path))
        around = Surroundings(clock.__next__, "tester", files=QuickFiles())
        self.repository = Repository.init(folder, around, store=str(self.store))
        self.memories: dict[str, dict[str, Any]] = {}

    def know(self, identifier: str, text: str, **rest: Any) -> None:
        self.memories[identifier] = {"id": identifier, "text": text, **rest}

    def commit(self) -> CommitId:
        self.path.write_text("".join(json.dumps(each) + "\n" for each in self.memories.values()), "utf-8")
        # An empty file counts as cut off unless its companion says that it should be empty.
        self.path.with_name("agent.vmig.meta.json").write_text(json.dumps({"record_count": len(self.memories)}))
        done = self.repository.commit("a state", allow_empty=True).id
        assert done is not None
        return done


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def ids(hits: list[Hit]) -> list[str]:
    return [split_key(hit.key)[1] for hit in hits]


def found(agent: Agent, query: str, **options: Any) -> list[str]:
    return ids(search_text(agent.repository, agent.commit(), query, **options))


def marked(query: str, text: str) -> list[str]:
    return [text[start:end] for start, end in parse_query(query).spans(text)]


# -- queries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text", "wanted"),
    [
        ("calls", "Short CALLS, recalls", ["CALLS"]),
        ("call*", "calls, recalls, Calling", ["calls", "Calling"]),
        ('"short calls"', "short calls; short, calls; calls short", ["short calls", "short, calls"]),
        ("“short calls”", "short calls", ["short calls"]),
        ('"short ca"*', "a short call", ["short call"]),
        ("bge-small", "bge-small and bge small, not bge", ["bge-small", "bge small"]),
        ("mem_8f3a", "see mem_8f3a1c, mem_8f3a", ["mem_8f3a"]),
        ("strasse", "Die STRASSE, die Straße", ["STRASSE", "Straße"]),
        ("café", "cafe\u0301 und CAFÉ, nicht cafe", ["cafe\u0301", "CAFÉ"]),
        ("привет", "Привет, мир", ["Привет"]),
        ("हिन्दी", "मैं हिन्दी बोलता", ["हिन्दी"]),
        ("ह", "हिन्दी", []),
        ("東京", "私は東京に住む", ["東京"]),
        ("東京都", "東京と京都", ["東京", "京都"]),
        ('"東京都"', "東京と京都、東京都", ["東京都"]),
        ("ガス", "ｶﾞｽ", ["ｶﾞｽ"]),
        ("서울", "서울은 크다", ["서울"]),
        ("กรุงเทพ", "ไปกรุงเทพ", ["กรุงเทพ"]),
        ("tower", "東京tower", ["tower"]),
        ("coop", "a co\u00adop", ["co\u00adop"]),
        ("aa", "aa aaa aa", ["aa", "aa"]),
    ],
)
def test_a_query_matches_whole_words_of_any_script(query: str, text: str, wanted: list[str]) -> None:
    assert marked(query, text) == wanted


@pytest.mark.parametrize("query", ["", "   ", "-only", "!?", '""', "-", "*"])
def test_a_query_without_a_word_is_refused(query: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_query(query)
    assert error.value.code == "bad-option"


def test_a_query_of_too_many_words_is_refused() -> None:
    with pytest.raises(UsageError):
        parse_query(" ".join(f"w{number}" for number in range(300)))


def test_the_same_word_twice_counts_once() -> None:
    assert len(parse_query("call CALL call").terms) == 1


# -- a commit ----------------------------------------------------------------------------------------------------


def test_rare_words_count_more_than_common_ones_and_short_texts_more_than_long_ones(agent: Agent) -> None:
    for number in range(9):
        agent.know(f"c{number}", "the coffee is hot")
    agent.know("rare", "the tea is hot")
    agent.know("long", "tea " + "and a lot of other things " * 9)
    assert found(agent, "tea coffee", limit=3)[:2] == ["rare", "long"]


def test_tags_count_double_and_questions_half(agent: Agent) -> None:
    agent.know("question", "other", metadata={"potential": ["Where is the tower?"]})
    agent.know("text", "tower")
    agent.know("list", "other", metadata={"tags": ["tower", "x"]})
    agent.know("string", "other", metadata={"tags": "x,tower"})
    assert set(found(agent, "tower", limit=2)) == {"list", "string"}
    assert found(agent, "tower")[2:] == ["text", "question"]


def test_a_phrase_does_not_reach_from_one_tag_into_the_next(agent: Agent) -> None:
    agent.know("a", "x", metadata={"tags": ["short", "calls"]})
    agent.know("b", "x", metadata={"tags": "short,calls"})
    agent.know("c", "x", metadata={"tags": ["short calls"]})
    assert found(agent, '"short calls"') == ["c"]


def test_what_has_an_excluded_word_anywhere_is_left_out(agent: Agent) -> None:
    agent.know("a", "coffee at noon")
    agent.know("b", "coffee by mail")
    agent.know("c", "coffee", metadata={"tags": ["mail"]})
    assert found(agent, "coffee -mail") == ["a"]
    assert found(agent, 'coffee -"at noon" -c*') == []


def test_a_selection_leaves_hits_out_and_changes_no_score(agent: Agent) -> None:
    agent.know("a", "coffee", namespace="x", metadata={"memory_type": "working"})
    agent.know("b", "coffee coffee", namespace="y")
    commit = agent.commit()
    everything = {hit.key: hit.score for hit in search_text(agent.repository, commit, "coffee")}
    for selection in (Selection(frozenset("x")), Selection(components=frozenset(["working"]))):
        (hit,) = search_text(agent.repository, commit, "coffee", selection=selection)
        assert split_key(hit.key) == ("x", "a") and hit.score == everything[hit.key]


def test_records_without_text_and_odd_members_are_no_trouble(agent: Agent) -> None:
    agent.memories["a"] = {"id": "a", "vector": [1.0]}
    agent.know("b", None, metadata={"tags": 3, "potential": {"coffee": 1}})  # type: ignore[arg-type]
    agent.know("c", "x", metadata={"tags": [1, None, "coffee"], "big": 10**400})
    agent.know("d", 'a "coffee"\nbreak \u0001')
    assert sorted(found(agent, "coffee")) == ["c", "d"]


def test_many_leaves_are_searched_and_equal_scores_come_in_key_order(agent: Agent) -> None:
    for number in range(5_000):
        agent.know(f"m{number:04}", "alike" if number % 100 == 0 else "other")
    commit = agent.commit()
    hits = search_text(agent.repository, commit, "alike", limit=99)
    assert ids(hits) == [f"m{number:04}" for number in range(0, 5_000, 100)]
    assert all(json.loads(hit.record.body)["text"] == "alike" for hit in hits)


def test_an_empty_snapshot_has_no_hit(agent: Agent) -> None:
    assert found(agent, "anything") == []


def test_tags_are_a_list_or_a_string_with_commas() -> None:
    assert tags_of({"metadata": {"tags": "a, b,,"}}) == ["a", "b"]
    assert tags_of({"metadata": {"tags": ["a", 3]}}) == ["a"]
    assert tags_of({"tags": ["top"]}) == ["top"]
    assert tags_of({"metadata": []}) == []


# -- history -----------------------------------------------------------------------------------------------------


def test_history_says_when_a_memory_came_and_when_it_went(agent: Agent) -> None:
    agent.know("stays", "coffee at nine")
    agent.know("goes", "coffee at ten")
    first = agent.commit()
    agent.know("changes", "coffee at noon")
    second = agent.commit()
    del agent.memories["goes"]
    agent.know("changes", "tea at noon")
    third = agent.commit()
    agent.know("stays", "coffee at eight")
    last = agent.commit()
    hits = {split_key(hit.key)[1]: hit for hit in search_history(agent.repository, last, "coffee")}
    assert set(hits) == {"stays", "goes", "changes"}
    lives = {
        name: (hit.appeared.commit if hit.appeared else None, hit.vanished.commit if hit.vanished else None)
        for name, hit in hits.items()
    }
    assert lives == {"stays": (first, None), "goes": (first, third), "changes": (second, third)}
    assert hits["goes"].commit == first and json.loads(hits["goes"].record.body)["text"] == "coffee at ten"
    assert ids(search_history(agent.repository, second, "coffee at ten", limit=1)) == ["goes"]
    assert search_history(agent.repository, first, "noon") == []


def test_a_memory_that_came_back_is_there(agent: Agent) -> None:
    agent.know("m", "coffee")
    first = agent.commit()
    del agent.memories["m"]
    agent.commit()
    agent.know("m", "coffee")
    (hit,) = search_history(agent.repository, agent.commit(), "coffee")
    assert hit.appeared and hit.appeared.commit == first and hit.vanished is None


def test_each_version_is_searched_once(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    from vexrepo.history import search

    for number in range(200):
        agent.know(f"m{number}", "coffee")
    agent.commit()
    for number in range(5):
        agent.know(f"m{number}", f"coffee number {number}")
        last = agent.commit()
    read: list[bytes] = []
    monkeypatch.setattr(search, "total_length", lambda bodies: read.extend(bodies) or 0)
    search_history(agent.repository, last, "coffee")
    assert len(read) == len(set(read)) == 205


def test_what_only_a_merged_branch_had_is_found_with_the_merge_that_dropped_it(agent: Agent) -> None:
    from dataclasses import replace

    agent.know("base", "tea")
    base = agent.commit()
    repository = agent.repository
    repository.create_branch("side", "HEAD", switch=True)
    agent.know("dropped", "coffee")
    side = agent.commit()
    with repository.lock(), repository.objects.writer() as writer:
        merge = replace(repository.commit_at(base), parents=(base, side), time_us=1_790_009_000_000_000)
        merged = repository.write_commit(writer, merge)
        writer.finish()
    (hit,) = search_history(repository, merged, "coffee")
    assert hit.appeared and hit.appeared.commit == side
    assert hit.vanished and hit.vanished.commit == merged


# -- vectors -----------------------------------------------------------------------------------------------------


def test_the_nearest_come_first_whatever_their_length(agent: Agent) -> None:
    agent.know("same", "x", vector=[10.0, 0.0], model="m")
    agent.know("near", "x", vector=[1.0, 0.1], model="m")
    agent.know("far", "x", vector=[-1.0, 0.0], model="m")
    agent.know("zero", "x", vector=[0.0, 0.0], model="m")
    agent.know("none", "x")
    agent.know("double", "x", vector=[1.0, 0.123456789012], model="m")  # kept as doubles: same model, searched too
    commit = agent.commit()
    hits, space = search_vector(agent.repository, commit, [1.0, 0.0])
    assert ids(hits) == ["same", "near", "double", "far"] and space.dims == 2
    assert hits[0].score == pytest.approx(1) and hits[-1].score == pytest.approx(-1)
    assert ids(search_vector(agent.repository, commit, [1.0, 0.0], limit=2)[0]) == ["same", "near"]


def test_the_space_with_the_dims_is_chosen_and_other_models_are_not_mixed_in(agent: Agent) -> None:
    agent.know("a", "x", vector=[1.0, 0.0], model="m")
    agent.know("b", "x", vector=[1.0, 0.0, 0.0], model="n")
    agent.know("c", "x", vector=[1.0, 0.5], model="other")
    agent.know("d", "x", vector=[1.0, 0.5], model="m")
    commit = agent.commit()
    assert ids(search_vector(agent.repository, commit, [1, 0, 0])[0]) == ["b"]
    assert ids(search_vector(agent.repository, commit, [1, 0])[0]) == ["a", "d"]
    other = Space("", "dense", "other", 2, "f32")
    assert ids(search_vector(agent.repository, commit, [1, 0], like=other)[0]) == ["c"]
    with pytest.raises(UsageError, match=r"4 dims.*m, 2 dims; .*n, 3 dims|4 dims.*n, 3 dims"):
        search_vector(agent.repository, commit, [1, 0, 0, 0])


def test_a_selection_holds_for_vectors_too(agent: Agent) -> None:
    agent.know("a", "x", vector=[1.0, 0.0], namespace="one")
    agent.know("b", "x", vector=[1.0, 0.1], metadata={"memory_type": "working"})
    commit = agent.commit()
    for selection, wanted in (
        (Selection(frozenset(["one"])), "a"),
        (Selection(components=frozenset(["working"])), "b"),
    ):
        assert ids(search_vector(agent.repository, commit, [1.0, 0.0], selection=selection)[0]) == [wanted]


def test_vectors_that_point_nowhere_are_refused() -> None:
    with pytest.raises(UsageError):
        unit_vector([0.0, 0.0])
    with pytest.raises(InvalidData):
        unit_vector([1.0, float("nan")])
    with pytest.raises(UsageError, match="no dense vectors"):
        choose_spaces([Space("", "sparse", None, 0, "f32")], 3)
