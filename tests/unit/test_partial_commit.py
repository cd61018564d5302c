"""Committing some of what a store holds adds to the branch and never takes away."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_bringing import Agent
from vexrepo.errors import StateError
from vexrepo.history.walk import iter_records
from vexrepo.objects.record import body_value
from vexrepo.objects.selection import Selection
from vexrepo.repository.partial import commit_some

Memories = dict[str, tuple[str, int]]  # id → text, importance


def write(agent: Agent, memories: Memories) -> None:
    lines = (
        json.dumps({"id": name, "text": text, "metadata": {"importance": importance}})
        for name, (text, importance) in memories.items()
    )
    agent.path.write_text("".join(line + "\n" for line in lines))


def held(agent: Agent) -> dict[str, str]:
    root = agent.repository.records_root(agent.repository.view().commit)
    if root is None:
        return {}
    found = (body_value(record.body) for record in iter_records(agent.repository.objects, root))
    return {each["id"]: each["text"] for each in found}


IMPORTANT = Selection(min_importance=3)
memories = st.dictionaries(st.sampled_from("abcd"), st.tuples(st.sampled_from("12"), st.sampled_from([1, 5])))


@settings(max_examples=40)
@given(st.lists(memories.filter(bool), min_size=1, max_size=4), st.none() | st.integers(1, 3))
def test_nothing_that_was_committed_is_forgotten_or_replaced_by_what_was_not_chosen(tmp_path_factory, states, limit):
    agent = Agent(tmp_path_factory.mktemp("some") / "place")
    expected: dict[str, str] = {}
    for state in states:
        write(agent, state)
        chosen = [(name, text) for name, (text, importance) in state.items() if importance >= 3][:limit]
        expected.update(chosen)
        with contextlib.suppress(StateError):  # nothing-to-commit
            commit_some(agent.repository, agent.address, "some", IMPORTANT, limit=limit)
        assert held(agent) == expected


def test_one_that_lost_its_importance_stays_as_it_was(tmp_path):
    agent = Agent(tmp_path / "place")
    write(agent, {"a": ("old", 5), "b": ("old", 5)})
    commit_some(agent.repository, agent.address, "some", IMPORTANT)
    write(agent, {"a": ("new", 1)})
    with pytest.raises(StateError) as caught:
        commit_some(agent.repository, agent.address, "some", IMPORTANT)
    assert caught.value.code == "nothing-to-commit" and held(agent) == {"a": "old", "b": "old"}


def test_a_commit_says_what_it_was_chosen_by(tmp_path):
    agent = Agent(tmp_path / "place")
    write(agent, {"a": ("old", 5), "b": ("old", 5)})
    done = commit_some(agent.repository, agent.address, "some", IMPORTANT, limit=1)
    assert done.commit.source["selection"] == {"min_importance": 3, "newest": 1}
    assert agent.repository.status().learned == 1


def test_a_dry_run_commits_nothing(tmp_path):
    agent = Agent(tmp_path / "place")
    write(agent, {"a": ("old", 5)})
    done = commit_some(agent.repository, agent.address, "some", IMPORTANT, dry_run=True)
    assert done.id is None and done.tally.learned == 1 and held(agent) == {}
