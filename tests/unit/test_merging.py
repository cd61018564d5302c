"""Merging branches of a repository: what is committed, what waits, what is refused."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import QuickFiles
from vexrepo.errors import InvalidData, StateError, UsageError, VexError
from vexrepo.history.ancestry import ahead_behind, is_ancestor, merge_bases
from vexrepo.history.policy import Policy
from vexrepo.history.walk import iter_records
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId, SnapshotId
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings, conflicts, merging
from vexrepo.repository.mergestate import FILE, Resolution
from vexrepo.storage.oplog import BRANCHES

FAIL = Policy()


# -- ancestry ----------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> dict[CommitId, Commit]:
    """Commits of which each descends from earlier ones; clocks are not to be trusted."""
    found: dict[CommitId, Commit] = {}
    for number in range(draw(st.integers(2, 12))):
        parents = draw(st.lists(st.sampled_from(sorted(found)), max_size=2, unique=True)) if found else []
        identifier = CommitId(bytes([number]) * 32)
        time_us = draw(st.integers(0, 20))
        found[identifier] = Commit(SnapshotId(bytes(32)), tuple(parents), {}, time_us, "")
    return found


def ancestors(graph: dict[CommitId, Commit], start: CommitId) -> set[CommitId]:
    return {start}.union(*(ancestors(graph, parent) for parent in graph[start].parents))


@given(graphs(), st.data())
def test_merge_bases_are_the_common_ancestors_that_no_other_descends_from(
    graph: dict[CommitId, Commit], data: st.DataObject
) -> None:
    ours, theirs = (data.draw(st.sampled_from(sorted(graph))) for _ in range(2))
    common = ancestors(graph, ours) & ancestors(graph, theirs)
    best = {each for each in common if not any(each in ancestors(graph, other) for other in common if other != each)}
    found = merge_bases(graph.__getitem__, ours, theirs)
    assert set(found) == best
    assert len(found) == len(best)
    assert is_ancestor(graph.__getitem__, ours, theirs) == (ours in ancestors(graph, theirs))


@given(graphs(), st.data())
def test_ahead_and_behind_count_what_only_one_side_has(graph: dict[CommitId, Commit], data: st.DataObject) -> None:
    ours, theirs = (data.draw(st.sampled_from(sorted(graph))) for _ in range(2))
    mine, other = ancestors(graph, ours), ancestors(graph, theirs)
    ahead, behind = ahead_behind(graph.__getitem__, ours, theirs)
    assert len(mine - other) <= ahead <= len(mine) and len(other - mine) <= behind <= len(other)
    sane = {name: replace(commit, time_us=number) for number, (name, commit) in enumerate(sorted(graph.items()))}
    assert ahead_behind(sane.__getitem__, ours, theirs) == (len(mine - other), len(other - mine))


# -- a repository ------------------------------------------------------------------------------------------------------


class Team:
    """A repository whose branches are written as dictionaries of memories."""

    def __init__(self, folder: Path) -> None:
        clock = itertools.count(1_790_000_000_000_000, 1_000_000)
        self.path = folder / "agent.vmig.jsonl"
        around = Surroundings(clock.__next__, "tester", files=QuickFiles(), state_folder=folder / "state")
        self.repository = Repository.init(folder, around, store=f"jsonl:{self.path}")

    def commit(self, texts: dict[str, Any], message: str = "m") -> CommitId:
        """Commit memories: id to text, or to members."""
        lines = [
            json.dumps({"id": name, **(value if isinstance(value, dict) else {"text": value})})
            for name, value in texts.items()
        ]
        self.path.write_text("".join(line + "\n" for line in lines))
        self.path.with_name("agent.vmig.meta.json").write_text(json.dumps({"record_count": len(lines)}))
        made = self.repository.commit(message, store=Address("jsonl", str(self.path)), allow_empty=True).id
        assert made is not None
        return made

    def branch(self, name: str, start: str = "HEAD") -> None:
        self.repository.create_branch(name, start, switch=True)

    def switch(self, name: str) -> None:
        found = self.repository.view().refs[BRANCHES + name]
        self.repository.move_head(BRANCHES + name, found)

    def texts(self, revision: str = "HEAD") -> dict[str, Any]:
        root = self.repository.records_root(self.repository.resolve(revision))
        assert root is not None
        return {item.to_json()["id"]: item.text for item in iter_records(self.repository.objects, root)}

    def merge(self, name: str, policy: Policy = FAIL, **options: Any) -> merging.MergeResult:
        return merging.merge(self.repository, self.repository.resolve(name), name, policy, **options)


@pytest.fixture
def team(tmp_path: Path) -> Team:
    made = Team(tmp_path)
    made.commit({"a": "one", "b": "two", "c": "three"})
    return made


def refused(code: str, action: Callable[[], Any]) -> str:
    with pytest.raises(VexError) as caught:
        action()
    assert caught.value.code == code
    return str(caught.value)


def diverged(team: Team, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Leave ``main`` (the current branch) at ours and ``side`` at theirs."""
    team.branch("side")
    team.commit(theirs)
    team.switch("main")
    team.commit(ours)


def test_a_branch_that_only_moved_on_is_taken_by_moving_forward(team: Team) -> None:
    team.branch("side")
    tip = team.commit({"a": "one", "d": "new"})
    team.switch("main")
    assert team.merge("side", dry_run=True).kind == "preview"
    result = team.merge("side")
    assert (result.kind, result.commit) == ("fast-forward", tip)
    assert team.merge("side").kind == "up-to-date"


def test_both_sides_changes_are_in_the_merge_commit(team: Team) -> None:
    diverged(team, {"a": "one", "b": "2", "c": "three", "x": "ours"}, {"a": "1", "b": "two", "y": "theirs"})
    heads = (team.repository.resolve("main"), team.repository.resolve("side"))
    result = team.merge("side")
    assert result.kind == "merged"
    commit = team.repository.commit_at(result.commit)
    assert commit.parents == heads
    assert commit.message == "Merge side into main"
    assert team.texts() == {"a": "1", "b": "2", "x": "ours", "y": "theirs"}
    assert [commit.statistics[name] for name in ("learned", "changed", "forgotten")] == [1, 1, 1]
    assert team.repository.check().problems == []


def test_no_ff_makes_a_commit_and_ff_only_refuses_one(team: Team) -> None:
    team.branch("side")
    team.commit({"a": "one"})
    team.switch("main")
    assert team.merge("side", fast_forward="never").kind == "merged"
    team.branch("other", "HEAD~1")
    team.commit({"z": "z"})
    refused("not-fast-forward", lambda: team.merge("main", fast_forward="only"))


def test_a_merge_with_conflicts_changes_nothing_and_waits(team: Team) -> None:
    diverged(team, {"a": "ours", "b": "two", "c": "three"}, {"a": "theirs", "b": "two", "d": "more"})
    before = team.repository.view()
    result = team.merge("side")
    assert result.kind == "conflicts"
    assert [(each.key, each.path) for each in result.outcome.conflicts] == [(b"\0\x01a", ("text",))]
    assert team.repository.view() == before
    refused("merge-under-way", lambda: team.merge("side"))
    refused("conflicts-open", lambda: merging.proceed(team.repository))
    # The state survives: another process sees it.
    again = Repository.open(team.repository.folder, team.repository.around)
    state, found = merging.conflicts(again)
    assert (state.name, len(found)) == ("side", 1)
    assert merging.resolve(again, state.with_resolution(found[0], Resolution("value", "both"))) == []
    assert merging.proceed(again).kind == "merged"
    assert team.texts() == {"a": "both", "b": "two", "d": "more"}
    refused("no-merge", lambda: merging.conflicts(again))


def test_an_aborted_merge_leaves_nothing_behind(team: Team) -> None:
    diverged(team, {"a": "ours"}, {"a": "theirs"})
    team.merge("side")
    assert merging.abort(team.repository)
    refused("no-merge", lambda: merging.abort(team.repository))
    assert team.merge("side", Policy("theirs")).kind == "merged"
    assert team.texts() == {"a": "theirs"}


def test_a_damaged_state_is_refused_and_can_be_dropped(team: Team) -> None:
    for content in (b"{}", b"\xff", b'{"version": 9}', b"[]"):
        (team.repository.folder / FILE).write_bytes(content)
        assert "--abort" in refused("merge-state", lambda: merging.conflicts(team.repository))
        assert merging.abort(team.repository) is None


def test_a_merge_is_not_finished_on_a_branch_that_moved(team: Team) -> None:
    diverged(team, {"a": "ours"}, {"a": "theirs"})
    team.merge("side")
    team.commit({"a": "later"})
    assert "--abort" in refused("head-moved", lambda: merging.proceed(team.repository))


def test_one_side_forgot_what_the_other_changed(team: Team) -> None:
    diverged(team, {"b": "two", "c": "three"}, {"a": "changed", "b": "two", "c": "three"})
    result = team.merge("side")
    assert [each.path for each in result.outcome.conflicts] == [()]
    state, found = merging.conflicts(team.repository)
    with pytest.raises(InvalidData):
        merging.resolve(team.repository, state.with_resolution(found[0], Resolution("value", "x")))
    for choice, wanted in (("theirs", True), ("ours", False)):
        merging.resolve(team.repository, state.with_resolution(found[0], Resolution(choice)))  # type: ignore[arg-type]
        assert merging.conflicts(team.repository)[1] == []
        if choice == "ours":
            merging.proceed(team.repository)
            assert ("a" in team.texts()) == wanted


def test_kept_conflicts_are_committed_and_settled_later(team: Team) -> None:
    diverged(team, {"a": "ours", "b": "two"}, {"a": "theirs", "b": "changed", "c": "three"})
    result = team.merge("side", keep_conflicts=True)
    assert result.kind == "merged"
    assert team.repository.commit_at(result.commit).statistics["conflicts"] == 1
    found = conflicts.committed_conflicts(team.repository, result.commit)
    assert [(each.path, each.base, each.ours, each.theirs) for each in found] == [(("text",), "one", "ours", "theirs")]
    assert team.texts()["a"] == "ours"
    assert team.repository.check().problems == []
    settled = conflicts.settle_committed(team.repository, lambda conflict: conflict.theirs, "Settle a")
    assert conflicts.committed_conflicts(team.repository, settled) == []
    assert team.texts() == {"a": "theirs", "b": "changed"}


def test_unrelated_histories_are_merged_only_when_asked(team: Team, tmp_path: Path) -> None:
    with team.repository.lock():
        view = team.repository.view()
        team.repository.record(view.with_head(BRANCHES + "fresh"), "switch", "fresh")
    team.commit({"a": "one", "z": "last"})
    refused("unrelated-histories", lambda: team.merge("main"))
    assert team.merge("main", allow_unrelated=True).kind == "merged"
    assert team.texts() == {"a": "one", "b": "two", "c": "three", "z": "last"}


def test_a_criss_cross_merge_takes_both_bases_into_account(team: Team) -> None:
    team.branch("side")
    team.commit({"a": "one", "b": "side", "c": "three"})
    team.switch("main")
    team.commit({"a": "main", "b": "two", "c": "three"})
    main, side = team.repository.resolve("main"), team.repository.resolve("side")
    assert team.merge("side").kind == "merged"
    team.switch("side")
    crossed = merging.merge(team.repository, main, "main~1", FAIL)
    assert crossed.kind == "merged"
    assert len(merge_bases(team.repository.commit_at, team.repository.resolve("main"), crossed.commit)) == 2
    team.commit({"a": "main", "b": "side", "c": "new"})
    team.switch("main")
    result = team.merge("side")
    assert result.kind == "merged"
    assert team.texts() == {"a": "main", "b": "side", "c": "new"}
    assert side != crossed.commit


def test_revert_takes_back_one_commit_and_keeps_later_ones(team: Team) -> None:
    bad = team.commit({"a": "wrong", "c": "three", "n": "noise"}, "Learned nonsense")
    team.commit({"a": "wrong", "c": "changed later", "n": "noise"})
    result = merging.revert(team.repository, bad, "HEAD~1", FAIL)
    assert result.kind == "merged"
    assert team.texts() == {"a": "one", "b": "two", "c": "changed later"}
    assert team.repository.commit_at(result.commit).subject == 'Revert "Learned nonsense"'
    refused("nothing-to-commit", lambda: merging.revert(team.repository, bad, "HEAD~2", FAIL))


def test_a_revert_of_what_was_changed_since_is_a_conflict(team: Team) -> None:
    bad = team.commit({"a": "wrong", "b": "two", "c": "three"})
    team.commit({"a": "better", "b": "two", "c": "three"})
    result = merging.revert(team.repository, bad, "x", FAIL)
    assert [(each.base, each.ours, each.theirs) for each in result.outcome.conflicts] == [("wrong", "better", "one")]


def test_the_first_commit_can_be_reverted(team: Team) -> None:
    first = team.repository.resolve("HEAD")
    assert merging.revert(team.repository, first, "HEAD", FAIL).kind == "merged"
    assert team.texts() == {}


def test_cherry_pick_takes_one_commit_without_its_history(team: Team) -> None:
    team.branch("side")
    team.commit({"a": "not wanted", "b": "two", "c": "three"})
    team.commit({"a": "not wanted", "b": "two", "c": "wanted"}, "The good part")
    team.switch("main")
    picked = team.repository.resolve("side")
    result = merging.cherry_pick(team.repository, picked, "side", FAIL)
    assert team.texts() == {"a": "one", "b": "two", "c": "wanted"}
    commit = team.repository.commit_at(result.commit)
    assert commit.subject == "The good part"
    assert picked.hex() in commit.message
    assert len(commit.parents) == 1


def test_a_merge_commit_is_not_reverted_as_a_whole(team: Team) -> None:
    diverged(team, {"a": "x"}, {"a": "one", "q": "y"})
    made = team.merge("side", Policy("ours")).commit
    with pytest.raises(UsageError, match="one by one"):
        merging.revert(team.repository, made, "HEAD", FAIL)


def test_a_branch_without_commits_cannot_merge(tmp_path: Path) -> None:
    team = Team(tmp_path)
    with pytest.raises(StateError) as caught:
        merging.merge(team.repository, CommitId(bytes(32)), "x", FAIL)
    assert caught.value.code == "unborn-branch"


def test_addresses_are_not_opened_by_a_merge(team: Team) -> None:
    diverged(team, {"a": "one", "x": "1"}, {"a": "one", "y": "2"})
    team.path.unlink()
    assert team.merge("side").kind == "merged"
    assert not Path(Address("jsonl", str(team.path)).location).exists()
