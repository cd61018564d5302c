"""gc joins packs and removes what nothing needs; never anything that a ref or a recent operation reaches."""

import contextlib
import itertools
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import QuickFiles
from vexrepo.errors import StateError, Tampered, VexError
from vexrepo.history.walk import iter_records
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import message_of, public_key, sign
from vexrepo.repository import Repository, Surroundings, Trust
from vexrepo.repository.collect import GEOMETRIC, collect
from vexrepo.storage.keys import Identity
from vexrepo.storage.oplog import gc_horizon

DAY = 86_400_000_000
SEED = bytes(range(32))


class Agent:
    """A repository whose clock can be moved, over a JSONL file."""

    def __init__(self, folder: Path) -> None:
        self.now_us = 1_790_000_000_000_000
        self.path = folder / "agent.vmig.jsonl"
        identity = Identity("tester", public_key(SEED), SEED)
        trust = Trust.of({identity.key: "tester"})
        around = Surroundings(self.clock, "tester", identity, trust, state_folder=folder / "state", files=QuickFiles())
        self.repository = Repository.init(folder, around, store=f"jsonl:{self.path}")
        self.held: dict[str, str] = {}

    def clock(self) -> int:
        self.now_us += 1_000_000
        return self.now_us

    def later(self, days: float) -> None:
        self.now_us += round(days * DAY)

    def commit(self, **texts: str) -> CommitId:
        self.held |= texts
        self.path.write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in self.held.items()))
        made = self.repository.commit("m", allow_empty=True).id
        assert made is not None
        return made

    def contents(self, commit: CommitId) -> dict[str, str]:
        root = self.repository.records_root(commit)
        assert root is not None
        return {item.to_json()["id"]: item.text for item in iter_records(self.repository.objects, root)}

    def packs(self) -> list[Path]:
        return sorted((self.repository.folder / "packs").glob("*.pack"))

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.packs())

    def reset(self, commit: CommitId) -> None:
        with self.repository.lock():
            view = self.repository.view()
            for store in view.stores:  # what a store was last seen at is kept
                view = view.with_store(store, None)
            self.repository.record(view.with_commit(commit), "reset", "")

    def is_sound(self) -> bool:
        report = self.repository.check()
        return not report.problems


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def test_many_small_packs_become_few_and_everything_is_still_there(agent: Agent) -> None:
    commits = [agent.commit(**{f"m{number}": f"text {number} " * 5}) for number in range(30)]
    wanted = [agent.contents(commit) for commit in commits]
    before = agent.size()
    preview = collect(agent.repository, dry_run=True)
    assert len(agent.packs()) == 30
    done = collect(agent.repository)
    assert (done.packs_before, done.packs_after) == (preview.packs_before, preview.packs_after)
    assert done.packs_after == len(agent.packs()) <= 6
    assert done.size_after == preview.size_after == agent.size() <= before
    assert [agent.contents(commit) for commit in commits] == wanted
    assert all(agent.repository.signatures(commit) for commit in commits)
    assert agent.is_sound()
    fresh = Repository.open(agent.repository.folder, agent.repository.around)
    assert fresh.check().problems == []


def test_a_second_gc_finds_nothing_to_do(agent: Agent) -> None:
    for number in range(5):
        agent.commit(a=f"{number}")
    collect(agent.repository)
    names = agent.packs()
    assert collect(agent.repository).freed_bytes == 0
    assert agent.packs() == names


def test_packs_left_alone_are_each_as_large_as_the_smaller_ones_together(agent: Agent) -> None:
    agent.commit(**{f"big{number}": random.Random(number).randbytes(900).hex() for number in range(60)})
    for number in range(12):
        agent.commit(a=f"small {number}")
    big = max(agent.packs(), key=lambda path: path.stat().st_size)
    collect(agent.repository)
    sizes = sorted(path.stat().st_size for path in agent.packs())
    assert big in agent.packs()
    assert all(size >= GEOMETRIC * sum(sizes[:place]) for place, size in enumerate(sizes) if place)
    collect(agent.repository, full=True)
    assert len(agent.packs()) == 1
    assert agent.is_sound()


def test_what_recent_operations_need_is_kept_and_older_things_go(agent: Agent) -> None:
    first = agent.commit(a="keep")
    lost = agent.commit(b=random.Random(1).randbytes(3000).hex())
    agent.reset(first)
    agent.later(10)
    collect(agent.repository, keep_days=30, full=True)
    assert agent.contents(lost)["b"]
    agent.later(30)
    preview = collect(agent.repository, dry_run=True)
    assert preview.objects_removed >= 4
    done = collect(agent.repository)
    assert done.freed_bytes > 0
    assert lost not in agent.repository.objects
    assert agent.contents(first) == {"a": "keep"}
    assert agent.is_sound()
    with pytest.raises(StateError) as error:
        agent.repository.undo()
    assert error.value.code == "nothing-to-undo"
    assert "gc" in str(error.value)


def test_an_undo_that_gc_left_possible_works(agent: Agent) -> None:
    first = agent.commit(a="one")
    agent.commit(a="two")
    collect(agent.repository, full=True)
    agent.repository.undo()
    assert agent.repository.view().commit == first


def test_differences_keep_what_they_are_made_from(agent: Agent) -> None:
    """An object may be stored as a difference from one that nothing else needs."""
    agent.commit(**{f"m{number}": f"a longer text number {number} " * 20 for number in range(40)})
    middle = [agent.commit(m1=f"version {number} " * 30) for number in range(4)]
    last = agent.commit(m2="the last one " * 20)
    wanted = agent.contents(last)
    with agent.repository.lock(), agent.repository.objects.writer() as writer:
        # A commit of the same content without history: the versions between are needed by nothing but differences.
        made = agent.repository.write_commit(writer, replace(agent.repository.commit_at(last), parents=()))
        writer.finish()
    agent.reset(made)
    agent.later(60)
    agent.repository.move_head(agent.repository.view().head, made)
    done = collect(agent.repository, keep_days=1, full=True)
    assert done.objects_removed
    assert agent.contents(made) == wanted
    assert middle[0] not in agent.repository.objects
    assert agent.is_sound()


def test_nothing_is_removed_where_something_kept_cannot_be_read(agent: Agent) -> None:
    agent.commit(a="one " * 30)
    agent.commit(a="two " * 30)
    path = agent.packs()[0]
    raw = bytearray(path.read_bytes())
    for place in range(60, 160):
        raw[place] ^= 0xFF
    path.write_bytes(bytes(raw))
    before = {each: each.read_bytes() for each in agent.packs()}
    agent.repository.objects.close()
    with pytest.raises(VexError) as error:
        collect(agent.repository, full=True)
    assert isinstance(error.value, Tampered)
    assert {each: each.read_bytes() for each in agent.packs()} == before


def test_without_pruning_packs_are_joined_and_everything_stays(agent: Agent) -> None:
    first = agent.commit(a="one")
    lost = agent.commit(b="two")
    agent.reset(first)
    agent.later(100)
    done = collect(agent.repository, prune=False, full=True)
    assert done.objects_removed == 0
    assert lost in agent.repository.objects
    assert len(agent.packs()) == 1
    assert agent.is_sound()


def test_packs_of_interrupted_work_are_removed(agent: Agent) -> None:
    agent.commit(a="one")
    with agent.repository.objects.writer() as writer:
        from vexrepo.objects.digest import BodiesId
        from vexrepo.objects.tree import encode_bodies

        payload = encode_bodies([b'{"id":"never"}'])
        writer.put(ObjectType.BODIES, BodiesId.of(payload), payload)
        writer.finish()
    assert len(agent.packs()) == 2
    collect(agent.repository)
    assert len(agent.packs()) == 1
    assert agent.is_sound()


def test_all_signatures_of_a_commit_are_joined_into_one_pack_and_kept(agent: Agent) -> None:
    commit = agent.commit(a="one")
    seeds = [bytes([number]) * 32 for number in range(5)]
    for seed in [*seeds, seeds[0], seeds[3]]:
        with agent.repository.objects.writer() as writer:
            writer.put_signature(commit, sign(seed, message_of(commit)).encode())
            writer.finish()
    agent.commit(b="two")
    wanted = {public_key(seed) for seed in [SEED, *seeds]}
    for options in ({}, {"full": True}, {"full": True}):
        collect(agent.repository, **options)
        assert {each.key for each in agent.repository.signatures(commit)} == wanted
        assert agent.is_sound()
    assert len(agent.packs()) == 1
    reader = agent.repository.objects.reader(agent.packs()[0].name)
    assert sum(entry.type == ObjectType.SIGNATURE for entry in reader) == len(wanted) + 1
    assert collect(agent.repository, full=True).freed_bytes == 0


def test_a_signature_more_of_a_commit_in_a_large_pack_is_not_lost_nor_doubled(agent: Agent) -> None:
    commit = agent.commit(**{f"big{number}": random.Random(number).randbytes(900).hex() for number in range(60)})
    big = agent.packs()[0]
    for seed in (bytes(32), SEED, bytes(32)):
        with agent.repository.objects.writer() as writer:
            writer.put_signature(commit, sign(seed, message_of(commit)).encode())
            writer.finish()
    agent.commit(b="two")
    collect(agent.repository)
    assert big in agent.packs() and len(agent.packs()) == 2
    assert len(agent.repository.signatures(commit)) == 2
    assert agent.is_sound()


actions = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, 4), st.integers(0, 9)),
        st.tuples(st.just("reset"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("later"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("gc"), st.integers(0, 3), st.integers(0, 1)),
        st.tuples(st.just("undo"), st.just(0), st.just(0)),
        st.tuples(st.just("branch"), st.integers(0, 3), st.integers(0, 20)),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(actions)
def test_whatever_was_done_gc_keeps_what_refs_and_recent_operations_reach(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    agent = Agent(tmp_path_factory.mktemp("gc"))
    made: dict[CommitId, dict[str, Any]] = {}
    names = itertools.count()
    for what, number, other in steps:
        alive = [commit for commit in made if commit in agent.repository.objects]
        if what == "commit":
            commit = agent.commit(**{f"m{number}": f"{other}"})
            made[commit] = dict(agent.held)
        elif what == "later":
            agent.later(number)
        elif what == "reset" and alive and agent.repository.view().commit:
            agent.reset(alive[number % len(alive)])
        elif what == "branch" and alive:
            agent.repository.create_branch(f"b{next(names)}", alive[other % len(alive)].hex())
        elif what == "undo":
            with contextlib.suppress(StateError):
                agent.repository.undo()
        elif what == "gc":
            oldest = agent.now_us - number * DAY
            operations = [operation for _, operation in agent.repository.log.walk()]
            horizon = max(gc_horizon(operation) or 0 for operation in operations)  # what an earlier gc left whole
            views = [op.view for op in operations if op.time_us >= oldest and op.sequence >= horizon]
            views.append(agent.repository.view())
            collect(agent.repository, keep_days=number, full=bool(other))
            for view in views:
                for commit in {*view.refs.values(), view.commit} - {None}:
                    assert agent.contents(commit) == made[commit]
            assert agent.is_sound()


def test_a_reader_goes_on_while_gc_removes_the_packs_it_knows(agent: Agent) -> None:
    commits = [agent.commit(**{f"m{number}": f"text {number}"}) for number in range(6)]
    reader = Repository.open(agent.repository.folder, agent.repository.around)
    for name in reader.objects.packs:
        reader.objects.reader(name)
    collect(agent.repository, full=True)
    agent.repository = reader
    assert [len(agent.contents(commit)) for commit in commits] == [1, 2, 3, 4, 5, 6]
