"""Stores as remotes, on every kind of engine: nothing that an agent or a branch changed is lost."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract import postgres
from tests.contract.points import KINDS, SERVERS, serve
from tests.contract.qdrant_server import QdrantServer
from tests.hosting.redis_server import valkey
from tests.property.strategies import attempt
from vexrepo.config import write_value
from vexrepo.history.walk import iter_records
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.redis import RedisStore
from vexrepo.remotes.stores.registry import BUILT_IN, open_store
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.checkout import CheckedOut
from vexrepo.repository.storefetch import StoreFetched, fetch_store, pull_store
from vexrepo.repository.storepush import Moved, StorePushed, push_store
from vexrepo.repository.storerefs import StoreRemote, ref_of
from vexrepo.testing.stores import plan_between

CLOCK = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))
Contents = dict[str, Record]


def note(identifier: str, text: str, **more: object) -> Record:
    """Return a memory with a vector that stores which scale change in its last digits."""
    vector = [((sum(text.encode()) * (place + 3)) % 97 - 48.5) / 7 for place in range(4)]
    return from_json({"id": identifier, "text": text, "vector": vector, "dims": 4, **more})


def memory(count: int = 12) -> Contents:
    return {f"m{n}": note(f"m{n}", f"note {n}") for n in range(count)}


@dataclass
class Place:
    """A repository, its own memory as a file, and the store of an agent elsewhere, as the remote ``agent``."""

    repository: Repository
    own: Address
    store: Address

    @property
    def remote(self) -> StoreRemote:
        return StoreRemote("agent", self.store, "agent")

    def keep(self, contents: Contents, message: str = "kept") -> CommitId:
        """Commit something on the current branch."""
        with JsonlStore.open(self.own, create=True) as store:
            store.write(plan_between([], contents.values()))
        made = self.repository.commit(message, store=self.own)
        assert made.id is not None
        return made.id

    def agent(self, *learnt: Record, forgets: tuple[str, ...] = ()) -> None:
        """The agent works in its store."""
        held = {each.key: each for each in self.held().values()}
        after = {key: each for key, each in held.items() if each.to_json()["id"] not in forgets}
        after |= {each.key: each for each in learnt}
        with open_store(self.store, create=True) as store:
            store.write(plan_between(held.values(), after.values()))

    def held(self) -> Contents:
        """Return what the agent's store holds, as it is read."""
        with open_store(self.store) as store:
            return {each.record.to_json()["id"]: each.record for batch in store.scan() for each in batch}

    def texts(self) -> Mapping[str, str]:
        return {name: each.to_json()["text"] for name, each in self.held().items()}

    def committed(self, commit: CommitId) -> Mapping[str, str]:
        root = self.repository.records_root(commit)
        assert root is not None
        records = iter_records(self.repository.objects, root)
        return {each.to_json()["id"]: each.to_json()["text"] for each in records}

    def push(self, **how: bool) -> StorePushed:
        return push_store(self.repository, self.remote, self.head, **how)

    def fetch(self, **how: bool) -> StoreFetched:
        return fetch_store(self.repository, self.remote, **how)

    @property
    def head(self) -> CommitId:
        found = self.repository.view().commit
        assert found is not None
        return found

    @property
    def tracked(self) -> CommitId | None:
        return self.repository.view().refs.get(ref_of("agent"))


def _jsonl(tmp_path: Path) -> Address:
    return Address("jsonl", str(tmp_path / "agent.vmig.jsonl"))


def _vektor(tmp_path: Path) -> Address:
    return Address("vektor", str(tmp_path / "agent.db"))


def _points(tmp_path: Path) -> Address:
    return serve("agent", KINDS["everything"])


def _scales(tmp_path: Path) -> Address:
    return serve("agent", KINDS["scales"])


def _pgvector(tmp_path: Path) -> Address:
    return postgres.address(postgres.new_database())


ENGINES: dict[str, Callable[[Path], Address]] = {
    "jsonl": _jsonl,
    "vektor": _vektor,
    "points": _points,
    "scales": _scales,
    "pgvector": _pgvector,
}


@pytest.fixture(params=[*ENGINES, "qdrant"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    server = QdrantServer() if request.param == "qdrant" else None
    store = server.address() if server is not None else ENGINES[request.param](tmp_path)
    yield make_place(tmp_path, store, monkeypatch)
    if server is not None:
        server.end()
    SERVERS.clear()


@pytest.fixture
def scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A store that alters vectors and can be told when to fail."""
    yield make_place(tmp_path, _scales(tmp_path), monkeypatch)
    SERVERS.clear()


def make_place(tmp_path: Path, store: Address, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setitem(BUILT_IN, "points", "tests.contract.points:MemoryStore")
    made = Repository.init(tmp_path, Surroundings(now_us=lambda: next(CLOCK)))
    write_value(made.files, made.folder / "config.toml", "remote.agent.store", str(store))
    made.load_config()
    return Place(made, Address("jsonl", str(tmp_path / "own.vmig.jsonl")), store)


# -- laws --------------------------------------------------------------------------------------------------------------


def test_what_was_pushed_is_there_and_nothing_is_new(place: Place) -> None:
    first = place.keep(memory())
    done = place.push()
    assert (done.kind, done.old, done.new, place.tracked) == ("new", None, first, first)
    assert place.texts() == place.committed(first)
    assert place.push().kind == "same"
    found = place.fetch()
    assert (found.kind, found.is_made, place.tracked) == ("same", False, first)
    assert pull_store(place.repository, place.remote).result.kind == "up-to-date"
    assert place.repository.resolve("agent") == place.repository.resolve("agent/HEAD") == first


def test_what_the_agent_did_stops_a_push_until_it_is_pulled(place: Place) -> None:
    place.keep(memory())
    place.push()
    place.agent(note("new", "learnt"), note("m3", "other"), forgets=("m4", "m5"))
    place.keep({**memory(), "m7": note("m7", "ours")}, "ours")
    before, tracked = place.texts(), place.tracked
    assert attempt(place.push) == (None, "store-moved")
    assert (place.texts(), place.tracked) == (before, tracked)
    would = place.push(dry_run=True)
    assert would.moved == Moved(1, 1, 2) and (place.texts(), place.tracked) == (before, tracked)
    pulled = pull_store(place.repository, place.remote)
    assert pulled.result.kind == "merged"
    assert (pulled.fetched.tally.learned, pulled.fetched.tally.changed, pulled.fetched.tally.forgotten) == (1, 1, 2)
    done = place.push()
    assert (done.kind, done.moved) == ("forward", Moved())
    assert place.texts() == place.committed(place.head) == {**before, "m7": "ours"}
    assert place.fetch().kind == "same"


def test_forcing_a_push_drops_what_the_agent_did(place: Place) -> None:
    first = place.keep(memory())
    place.push()
    place.agent(note("new", "learnt"), forgets=("m4",))
    done = place.push(force=True)
    assert (done.kind, done.moved) == ("forced", Moved(1, 0, 1))
    assert place.texts() == place.committed(first) and place.fetch().kind == "same"


def test_what_was_fetched_and_not_merged_is_not_pushed_over(place: Place) -> None:
    place.keep(memory())
    place.push()
    place.agent(note("new", "learnt"))
    found = place.fetch()
    assert found.is_made and found.old == place.head and place.tracked == found.new
    assert attempt(place.push) == (None, "not-fast-forward")
    assert place.push(dry_run=True).diverged
    # Between the fetch and the push, the agent goes on.
    pull_store(place.repository, place.remote)
    place.agent(note("late", "one more"))
    assert attempt(place.push) == (None, "store-moved")
    pull_store(place.repository, place.remote)
    assert place.push().kind == "same"
    assert place.texts()["late"] == "one more" and place.texts() == place.committed(place.head)


def test_the_same_change_on_both_sides_is_no_change(place: Place) -> None:
    place.keep(memory())
    place.push()
    place.agent(note("new", "learnt"), forgets=("m4",))
    both = {**memory(), "new": note("new", "learnt"), "m1": note("m1", "ours")}
    del both["m4"]
    second = place.keep(both)
    done = place.push()
    assert (done.kind, done.moved) == ("forward", Moved())
    assert place.texts() == place.committed(second)


def test_a_store_that_was_never_seen_is_not_overwritten(place: Place) -> None:
    with open_store(place.store, create=True) as store:
        store.write(plan_between([], [note("theirs", "old")]))
    place.keep(memory())
    assert attempt(place.push) == (None, "store-moved") and place.texts() == {"theirs": "old"}
    found = place.fetch()
    assert (found.kind, found.records, found.old) == ("new", 1, None)
    assert attempt(lambda: pull_store(place.repository, place.remote)) == (None, "unrelated-histories")
    pull_store(place.repository, place.remote, allow_unrelated=True)
    assert place.push().kind == "forward"
    assert place.texts() == {"theirs": "old", **{f"m{n}": f"note {n}" for n in range(12)}}


def test_a_store_fills_a_branch_without_commits(place: Place) -> None:
    with open_store(place.store, create=True) as store:
        store.write(plan_between([], memory().values()))
    pulled = pull_store(place.repository, place.remote)
    assert pulled.result.kind == "fast-forward" and place.head == place.tracked
    assert place.push().kind == "same"


def test_a_checkout_and_a_commit_of_the_store_move_what_was_seen(place: Place) -> None:
    first = place.keep(memory())
    place.repository.checkout(first, place.store)
    assert place.tracked == first
    place.agent(note("new", "learnt"))
    made = place.repository.commit("the agent's", store=place.store)
    assert made.id == place.tracked and place.push().kind == "same"


def test_undo_leaves_what_a_store_holds(place: Place) -> None:
    place.keep(memory())
    second = place.keep({**memory(), "m1": note("m1", "ours")}, "second")
    place.push()
    undone, _ = place.repository.undo()
    assert undone.command == "commit" and place.tracked == second
    assert attempt(place.push) == (None, "not-fast-forward")
    assert place.push(force=True).kind == "forced" and place.texts()["m1"] == "note 1"


# -- interruptions -----------------------------------------------------------------------------------------------------


def test_an_interrupted_push_is_completed_by_the_next(scaled: Place) -> None:
    server = SERVERS["agent"]
    first = scaled.keep(memory(300))
    scaled.push()
    changed = {**memory(400), **{f"m{n}": note(f"m{n}", f"other {n}") for n in range(0, 300, 2)}}
    for n in range(1, 300, 3):
        changed.pop(f"m{n}")
    second = scaled.keep(changed, "much")
    server.fail_after = 2
    assert attempt(scaled.push) == (None, "store-unreachable")
    server.fail_after = None
    assert scaled.tracked == first and scaled.texts() != scaled.committed(first)
    written = len(server.written)
    done = scaled.push()
    assert (done.kind, done.moved, scaled.tracked) == ("forward", Moved(), second)
    assert scaled.texts() == scaled.committed(second)
    assert len(server.written) - written == done.done.outflow.added + done.done.outflow.changed  # type: ignore[union-attr]
    assert scaled.fetch().kind == "same"


def test_what_an_agent_does_after_an_interrupted_push_counts_alone(scaled: Place) -> None:
    scaled.keep(memory(300))
    scaled.push()
    scaled.keep({name: note(name, f"other {name}") for name in memory(300)}, "all of them")
    SERVERS["agent"].fail_after = 3
    assert attempt(scaled.push) == (None, "store-unreachable")
    SERVERS["agent"].fail_after = None
    scaled.agent(note("m1", "the agent's"), forgets=("m2",))
    would = scaled.push(dry_run=True)
    assert would.moved == Moved(0, 1, 1)
    pulled = pull_store(scaled.repository, scaled.remote)
    assert pulled.result.kind == "conflicts"
    assert {each.key.rpartition(b"\1")[2] for each in pulled.result.outcome.conflicts} == {b"m1", b"m2"}


def test_a_push_that_was_done_and_not_noted_is_recognised(scaled: Place) -> None:
    first = scaled.keep(memory())
    scaled.push()
    second = scaled.keep({**memory(), "m1": note("m1", "ours")}, "second")
    before = scaled.repository.view()
    scaled.push()
    with scaled.repository.lock():  # as if it had been killed between the store's answer and the note
        scaled.repository.record(before, "test", "")
    assert scaled.tracked == first
    found = scaled.fetch()
    assert (found.kind, found.is_made, found.new, scaled.tracked) == ("forward", False, second, second)
    with scaled.repository.lock():
        scaled.repository.record(before, "test", "")
    assert scaled.push().kind == "forward" and scaled.tracked == second


@pytest.fixture(scope="module")
def valkey_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with valkey(tmp_path_factory.mktemp("valkey")) as port:
        yield port


@pytest.mark.parametrize("how", ["push", "checkout"])
def test_a_process_that_is_killed_in_the_middle_of_writing_a_server_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey_port: int, how: str
) -> None:
    one_by_one = Reach(concurrency=1)
    store = Address("redis", f"//127.0.0.1:{valkey_port}/0", {"prefix": f"{how}:"}, reach=one_by_one)
    place = make_place(tmp_path, store, monkeypatch)
    monkeypatch.setattr(RedisStore, "batch_points", 50)

    def write() -> CheckedOut | None:
        if how == "push":
            done = place.push()
            assert done.moved == Moved()
            return done.done
        return place.repository.checkout(place.head, place.store)

    def write_and_die(batches: int) -> None:
        child = os.fork()
        if child == 0:  # pragma: no cover - the child ends without a word
            try:
                kept, left = RedisStore._send, [batches]

                def counted(self: RedisStore, *given: Any) -> None:
                    if not left[0]:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left[0] -= 1
                    kept(self, *given)

                RedisStore._send = counted  # type: ignore[method-assign]
                write()
            finally:
                os._exit(1)  # whatever comes up: else there would be two runs of these tests
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    first = place.keep(memory(300))
    write_and_die(2)
    assert len(place.held()) == 100 and place.tracked is None
    done = write()
    assert done is not None and (done.outflow.added, done.outflow.kept) == (200, 100)
    assert place.texts() == place.committed(first) and place.tracked == first
    second = {**memory(320), **{f"m{n}": note(f"m{n}", f"other {n}") for n in range(200)}}
    for n in range(200, 250):
        del second[f"m{n}"]
    wanted = place.keep(second, "much")
    write_and_die(3)
    left = place.committed(wanted).items() - place.texts().items()
    assert 0 < len(left) < 220 and place.tracked == first  # of 20 new and 200 changed ones
    done = write()
    assert done is not None and done.outflow.added + done.outflow.changed == done.read_back == len(left)
    assert done.outflow.removed == 50
    assert place.texts() == place.committed(wanted) and place.tracked == wanted
