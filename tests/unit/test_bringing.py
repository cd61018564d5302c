"""A store is brought along with a branch; what it holds that no commit has stays."""

import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import QuickFiles
from vexrepo.errors import StateError
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import split_key
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.bringing import bring
from vexrepo.repository.restoring import reset

Texts = dict[str, str]


class Agent:
    """A repository whose store is a file that is written as a dictionary."""

    def __init__(self, folder: Path) -> None:
        clock = itertools.count(1_790_000_000_000_000, 1_000_000)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "agent.vmig.jsonl"
        self.address = Address("jsonl", str(self.path))
        self.repository = Repository.init(
            folder, Surroundings(clock.__next__, "tester", files=QuickFiles()), store=f"jsonl:{self.path}"
        )

    def write(self, texts: Texts) -> None:
        self.path.write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts.items()))

    def texts(self) -> Texts:
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return {each["id"]: each["text"] for each in found}

    def commit(self, texts: Texts) -> CommitId:
        self.write(texts)
        done = self.repository.commit("m", allow_empty=True)
        assert done.id is not None
        return done.id

    def differences(self) -> set[tuple[str, str]]:
        head = self.repository.view().commit
        found = self.repository.diff_with_store(head, self.address)
        return {(split_key(each.key)[1], each.kind) for each in found}


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path / "place")


BASE = {"a": "1", "b": "1", "c": "1"}
NEXT = {"a": "2", "c": "1", "d": "1"}  # a changed, b forgotten, d learned


def moved(agent: Agent) -> CommitId:
    """Return a commit the branch moved to while the store stayed at the one before."""
    first = agent.commit(BASE)
    after = agent.commit(NEXT)
    reset(agent.repository, first)
    agent.repository.checkout(first, agent.address, force=True)
    reset(agent.repository, after)
    return after


def test_a_store_with_nothing_of_its_own_is_checked_out(agent):
    after = moved(agent)
    bring(agent.repository, after, agent.address)
    assert agent.texts() == NEXT and agent.repository.status().is_clean


def test_what_no_commit_has_stays(agent):
    after = moved(agent)
    agent.write({"a": "1", "b": "1", "c": "mine", "new": "mine"})
    bring(agent.repository, after, agent.address)
    assert agent.texts() == {"a": "2", "c": "mine", "d": "1", "new": "mine"}
    assert agent.differences() == {("c", "changed"), ("new", "learned")}


def test_what_the_store_has_forgotten_stays_forgotten(agent):
    after = moved(agent)
    agent.write({"a": "1", "b": "1"})
    bring(agent.repository, after, agent.address)
    assert agent.texts() == {"a": "2", "d": "1"}
    assert agent.differences() == {("c", "forgotten")}


def test_the_next_time_counts_from_there(agent):
    after = moved(agent)
    agent.write({**BASE, "new": "mine"})
    bring(agent.repository, after, agent.address)
    held = agent.texts()
    agent.commit({**NEXT, "d": "2"})
    newest = agent.repository.view().commit
    reset(agent.repository, after)
    agent.write(held)
    seen = {"commit": after.hex(), "fingerprint": None}
    with agent.repository.lock():
        name = agent.repository.store_name(agent.address)
        agent.repository.record(agent.repository.view().with_store(name, seen), "test", "")
    reset(agent.repository, newest)
    bring(agent.repository, newest, agent.address)
    assert agent.texts() == {"a": "2", "c": "1", "d": "2", "new": "mine"}


@pytest.mark.parametrize("live", [{**BASE, "a": "mine"}, {**BASE, "b": "mine"}, {**BASE, "d": "mine"}])
def test_what_both_changed_is_refused_with_nothing_written(agent, live):
    after = moved(agent)
    agent.write(live)
    before = agent.repository.view()
    with pytest.raises(StateError) as caught:
        bring(agent.repository, after, agent.address)
    assert caught.value.code == "unsaved-changes"
    assert agent.texts() == live and agent.repository.view() == before


def test_the_same_change_on_both_sides_is_none(agent):
    after = moved(agent)
    agent.write({**BASE, "a": "2", "new": "mine"})
    bring(agent.repository, after, agent.address)
    assert agent.texts() == {"a": "2", "c": "1", "d": "1", "new": "mine"}


def test_a_store_that_was_never_seen_gets_what_is_missing(agent, tmp_path):
    after = moved(agent)
    other = Address("jsonl", str(tmp_path / "other.vmig.jsonl"))
    Path(other.location).write_text(json.dumps({"id": "c", "text": "1"}) + "\n" + json.dumps({"id": "x", "text": "1"}))
    bring(agent.repository, after, other)
    assert {json.loads(line)["id"] for line in Path(other.location).read_text().splitlines()} == {"a", "c", "d", "x"}


def test_a_store_that_is_gone_is_made_again(agent):
    after = moved(agent)
    agent.path.unlink()
    bring(agent.repository, after, agent.address)
    assert agent.texts() == NEXT


def test_a_dry_run_changes_nothing(agent):
    after = moved(agent)
    agent.write({**BASE, "new": "mine"})
    before = agent.repository.view()
    done = bring(agent.repository, after, agent.address, dry_run=True)
    assert (done.outflow.added, done.outflow.changed, done.outflow.removed) == (1, 1, 1)
    assert agent.texts() == {**BASE, "new": "mine"} and agent.repository.view() == before


memories = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"), max_size=6)


@settings(max_examples=40)
@given(memories.filter(bool), memories.filter(bool), memories.filter(bool))
def test_bringing_is_a_merge_of_memories_or_refused(tmp_path_factory, base, target, live):
    agent = Agent(tmp_path_factory.mktemp("bring") / "place")
    first = agent.commit(base)
    after = agent.commit(target)
    reset(agent.repository, first)
    agent.repository.checkout(first, agent.address, force=True)
    reset(agent.repository, after)
    agent.write(live)
    expected: dict[str, Any] = {}
    clash = False
    for name in {*base, *target, *live}:
        old, ours, theirs = base.get(name), live.get(name), target.get(name)
        clash |= ours not in (None, old, theirs) and old != theirs
        expected[name] = theirs if old != theirs else ours
    try:
        bring(agent.repository, after, agent.address)
    except StateError:
        assert clash and agent.texts() == live
    else:
        assert not clash
        assert agent.texts() == {name: text for name, text in expected.items() if text is not None}


def test_edges_are_brought_too(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    path = folder / "agent.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE memories(id INTEGER PRIMARY KEY, content TEXT)")
        db.execute(
            "CREATE TABLE memory_edges(id INTEGER PRIMARY KEY, source_id INTEGER, target_id INTEGER, edge_type TEXT, "
            "weight REAL)"
        )
        db.executemany("INSERT INTO memories VALUES(?, ?)", [(n, f"memory {n}") for n in range(1, 5)])
        db.execute("INSERT INTO memory_edges VALUES(1, 1, 2, 'tag', 0.5)")
    db.close()
    clock = itertools.count(1_790_000_000_000_000, 1_000_000)
    around = Surroundings(clock.__next__, "tester", files=QuickFiles())
    repository = Repository.init(folder, around, store=f"vektor:{path}")
    address = Address("vektor", str(path))

    def run(*statements: str) -> None:
        with sqlite3.connect(path) as db:
            for statement in statements:
                db.execute(statement)
        db.close()

    def edges() -> list[tuple[int, int, float]]:
        with sqlite3.connect(path) as db:
            found = db.execute("SELECT source_id, target_id, weight FROM memory_edges ORDER BY 1, 2").fetchall()
        db.close()
        return found

    first = repository.commit("first").id
    assert first is not None
    run("INSERT INTO memory_edges VALUES(2, 2, 3, 'tag', 0.7)", "UPDATE memory_edges SET weight = 0.9 WHERE id = 1")
    after = repository.commit("edges").id
    assert after is not None
    reset(repository, first)
    repository.checkout(first, address, force=True)
    reset(repository, after)
    run("INSERT INTO memory_edges VALUES(9, 3, 4, 'tag', 0.1)", "UPDATE memories SET content = 'mine' WHERE id = 4")
    bring(repository, after, address)
    assert edges() == [(1, 2, 0.9), (2, 3, 0.7), (3, 4, 0.1)]
