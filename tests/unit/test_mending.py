"""Blame, bisect, restore and reset."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_merging import Team, diverged, refused
from vexrepo.history.policy import Policy
from vexrepo.history.terms import parse_query
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import make_key
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import restoring
from vexrepo.repository.bisecting import Answer, believes, bisect
from vexrepo.repository.blame import Blame, blame


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def memory(text: str, namespace: str = "", **metadata: Any) -> dict[str, Any]:
    return {"text": text, **({"namespace": namespace} if namespace else {}), "metadata": metadata}


def origins(found: Blame) -> dict[str, CommitId]:
    return {".".join(each.path): each.commit for each in found.origins}


def of(team: Team, name: str, namespace: str = "") -> Blame:
    return blame(team.repository, team.repository.resolve("HEAD"), make_key(namespace, name))


def test_each_field_is_blamed_on_the_commit_that_gave_it_its_value(team: Team) -> None:
    first = team.commit({"a": memory("one", importance=1, tags=["x"])})
    second = team.commit({"a": memory("two", importance=1, tags=["x"])})
    third = team.commit({"a": memory("two", importance=5, tags=["x"]), "b": "other"})
    team.commit({"a": memory("two", importance=5, tags=["x"])})
    found = of(team, "a")
    assert origins(found) == {"text": second, "metadata.importance": third, "metadata.tags": first}
    assert (found.added, found.forgotten) == (first, None)


def test_a_value_that_came_back_is_blamed_on_its_return(team: Team) -> None:
    team.commit({"a": "one"})
    team.commit({"a": "two"})
    third = team.commit({"a": "one"})
    assert origins(of(team, "a")) == {"text": third}


def test_a_memory_that_moved_to_another_namespace_is_followed(team: Team) -> None:
    first = team.commit({"a": memory("one", "old", importance=1)})
    second = team.commit({"a": memory("one", "new", importance=1)})
    found = of(team, "a", "new")
    assert origins(found) == {"text": first, "metadata.importance": first, "namespace": second}
    assert found.added == first


def test_a_forgotten_memory_is_blamed_as_it_was(team: Team) -> None:
    first = team.commit({"a": "one", "b": "two"})
    second = team.commit({"b": "two"})
    team.commit({"b": "three"})
    found = of(team, "a")
    assert (found.added, found.forgotten, origins(found)) == (first, second, {"text": first})
    refused("unknown-record", lambda: of(team, "never"))


def test_a_merge_is_not_blamed_for_what_its_sides_did(team: Team) -> None:
    base = team.commit({"a": memory("one", importance=1), "c": "c"})
    diverged(
        team, {"a": memory("ours", importance=1), "c": "c"}, {"a": memory("one", importance=9), "c": "c", "d": "d"}
    )
    ours, theirs = team.repository.resolve("main"), team.repository.resolve("side")
    assert team.merge("side", Policy()).kind == "merged"
    assert origins(of(team, "a")) == {"text": ours, "metadata.importance": theirs}
    assert origins(of(team, "c")) == {"text": base}
    assert of(team, "d").added == theirs


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 25), st.data())
def test_bisect_finds_the_first_bad_commit_by_asking_few(
    tmp_path_factory: Any, count: int, data: st.DataObject
) -> None:
    team = Team(tmp_path_factory.mktemp("bisect"))
    commits = [team.commit({"a": str(number)}) for number in range(count)]
    first = data.draw(st.integers(0, count - 1))
    good = data.draw(st.none() | st.integers(0, first - 1)) if first else None
    skips = data.draw(st.sets(st.sampled_from(commits[:-1]))) if count > 1 and data.draw(st.booleans()) else set()

    def ask(commit: CommitId) -> Answer:
        return "skip" if commit in skips else "bad" if commits.index(commit) >= first else "good"

    found = bisect(team.repository, commits[good] if good is not None else None, commits[-1], ask)
    assert commits[first] in found.suspects
    if not skips:
        assert found.first == commits[first]
        assert len(found.asked) <= count.bit_length()


def test_bisect_walks_merged_branches(team: Team) -> None:
    team.commit({"a": "0"})
    diverged(team, {"a": "0", "x": "1"}, {"a": "0", "y": "bad"})
    culprit = team.repository.resolve("side")
    team.merge("side")
    team.repository.checkout(team.repository.resolve("HEAD"), team.repository.workspace(), force=True)
    last = team.commit({"a": "2", "x": "1", "y": "bad"})
    found = bisect(
        team.repository,
        None,
        last,
        lambda commit: "bad" if believes(team.repository, commit, parse_query("BAD")) else "good",
    )
    assert found.first == culprit
    message = refused("bad-option", lambda: bisect(team.repository, last, culprit, lambda commit: "good"))
    assert "swap" in message


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("phone", True), ("one", False), ("new PHONE", True), ("new -phone", False), ('"a new"', True), ("pho*", True)],
)
def test_what_an_agent_believes_is_told_by_whole_words(team: Team, query: str, wanted: bool) -> None:
    commit = team.commit(
        {"a": "She has a new phone", "b": "new, but not that"} if "-" not in query else {"a": "new phone"}
    )
    assert believes(team.repository, commit, parse_query(query)) is wanted


def test_restore_brings_single_memories_back_and_leaves_the_others(team: Team) -> None:
    commit = team.commit({"a": "one", "b": "two", "c": "three"})
    team.path.write_text('{"id":"b","text":"two"}\n{"id":"new","text":"learned since"}\n')
    store = Address("jsonl", str(team.path))
    done = restoring.restore(team.repository, commit, [make_key("", "a")], store)
    assert (done.outflow.added, done.outflow.changed, done.outflow.removed) == (1, 0, 0)
    team.repository.commit("restored")
    assert team.texts() == {"a": "one", "b": "two", "new": "learned since"}


def test_restore_does_not_overwrite_what_no_commit_has(team: Team) -> None:
    commit = team.commit({"a": "one"})
    team.path.write_text('{"id":"a","text":"changed since"}\n')
    store = Address("jsonl", str(team.path))
    refused("unsaved-changes", lambda: restoring.restore(team.repository, commit, [make_key("", "a")], store))
    restoring.restore(team.repository, commit, [make_key("", "a")], store, force=True)
    assert '"one"' in team.path.read_text()
    refused("unknown-record", lambda: restoring.restore(team.repository, commit, [], store))


def test_reset_moves_the_branch_and_undo_moves_it_back(team: Team) -> None:
    first, second = team.commit({"a": "one"}), team.commit({"a": "two"})
    restoring.reset(team.repository, first)
    assert team.repository.view().commit == first
    team.repository.undo()
    assert team.repository.view().commit == second


def test_a_commit_is_written_out_without_touching_what_is_known_of_stores(team: Team, tmp_path: Path) -> None:
    commit = team.commit({name: str(random.Random(name).random()) for name in "abc"})
    before = team.repository.view()
    restoring.write_out(team.repository, commit, Address("jsonl", str(tmp_path / "out.vmig.jsonl")))
    assert (tmp_path / "out.vmig.jsonl").read_text().count("\n") == 3
    assert team.repository.view() == before


def test_the_history_of_a_memory_follows_it_through_merges_and_namespaces(team: Team) -> None:
    first = team.commit({"a": memory("one", "old")})
    moved = team.commit({"a": memory("one", "new"), "b": "b"})
    diverged(team, {"a": memory("two", "new"), "b": "b"}, {"a": memory("one", "new"), "b": "c"})
    changed = team.repository.resolve("main")
    merge = team.merge("side").commit
    history = [(commit, change.kind) for commit, change in team.repository.history_of(merge, "new/a")]
    assert history == [(changed, "changed"), (moved, "learned"), (first, "learned")]
    assert [commit for commit, _ in team.repository.history_of(merge, "b")] == [
        team.repository.resolve("side"),
        moved,
    ]
