"""Embeddings of another model are not brought among those of a store by any write, unless that is wanted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.points import KINDS, SERVERS, MemoryStore, serve
from tests.property.strategies import attempt
from vexrepo.errors import StoreError
from vexrepo.exchange.request import Request
from vexrepo.exchange.transfer import transfer
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record, from_json, make_key
from vexrepo.objects.selection import Selection
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.registry import BUILT_IN, open_store
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.restoring import Keys, restore
from vexrepo.repository.storepush import push_store
from vexrepo.repository.storerefs import StoreRemote
from vexrepo.testing.stores import plan_between


@pytest.fixture(autouse=True)
def _points(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(BUILT_IN, "points", "tests.contract.points:MemoryStore")
    yield
    SERVERS.clear()


def note(identifier: str, model: str | None, namespace: str | None = None, text: str = "t") -> Record:
    value: dict[str, Any] = {"id": identifier, "text": text, "vector": [len(identifier) + 0.5, 1.0]}
    value |= {} if model is None else {"model": model}
    return from_json(value | ({} if namespace is None else {"namespace": namespace}))


def held(address: Address) -> set[str]:
    with open_store(address) as store:
        return {item.record.to_json()["id"] for batch in store.scan() for item in batch}


def refusal(work: Any) -> str:
    with pytest.raises(StoreError) as caught:
        work()
    assert caught.value.code == "store-model"
    return str(caught.value)


class Memory:
    """A repository whose commits are given as records."""

    def __init__(self, folder: Path) -> None:
        times = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))
        self.repository = Repository.init(folder, Surroundings(now_us=lambda: next(times)))
        self.own = Address("jsonl", str(folder / "own.vmig.jsonl"))

    def keep(self, *records: Record) -> CommitId:
        with JsonlStore.open(self.own, create=True) as store:
            store.write(plan_between([], records))
        made = self.repository.commit("kept", store=self.own)
        assert made.id is not None
        return made.id

    def mixing(self) -> None:
        self.repository.around = replace(self.repository.around, mixes_models=True)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path)


@pytest.fixture(params=["points", "vektor", "sqlite-vec"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    if request.param == "points":
        return serve("agent", KINDS["scales"])
    return Address(request.param, str(tmp_path / "agent.db"))


def test_a_checkout_and_a_push_are_refused_before_anything_is_written(memory: Memory, store: Address) -> None:
    old = memory.keep(note("a", "old"), note("b", "old"))
    new = memory.keep(note("a", "old"), note("b", "old"), note("c", "new"))
    memory.repository.checkout(old, store)
    remote = StoreRemote("agent", store, "agent")
    for dry_run in (True, False):
        said = refusal(lambda dry_run=dry_run: memory.repository.checkout(new, store, dry_run=dry_run))
        refusal(lambda dry_run=dry_run: push_store(memory.repository, remote, new, dry_run=dry_run))
    assert "old" in said and "c has one of new" in said and "Nothing was written" in said
    for way_out in ("--adapter", "--namespace", "of their own", "--mix-models"):
        assert way_out in said
    refusal(lambda: memory.repository.checkout(new, store, force=True))
    assert held(store) == {"a", "b"} and memory.repository.view().refs.get("remotes/agent/HEAD") is None
    memory.mixing()
    assert push_store(memory.repository, remote, new).kind == "forward" and held(store) == {"a", "b", "c"}


def test_what_is_there_already_in_that_model_is_no_reason(memory: Memory, store: Address) -> None:
    first = memory.keep(note("a", "old"), note("b", "new"))
    second = memory.keep(note("a", "old"), note("b", "new"), note("c", "new"), note("d", "old"), note("e", None))
    memory.repository.checkout(first, store)
    memory.repository.checkout(second, store)
    assert held(store) == {"a", "b", "c", "d", "e"}


def test_another_model_in_place_of_one_is_refused_as_well(memory: Memory, store: Address) -> None:
    old = memory.keep(note("a", "old"), note("b", "old"))
    new = memory.keep(note("a", "new"), note("b", "new"))
    memory.repository.checkout(old, store)
    assert "uses this one from now on" in refusal(lambda: memory.repository.checkout(new, store, head="heads/main"))
    memory.mixing()
    memory.repository.checkout(new, store)
    memory.repository.around = replace(memory.repository.around, mixes_models=False)
    assert memory.repository.checkout(new, store).outflow.is_empty


def test_namespaces_have_models_of_their_own(memory: Memory, store: Address) -> None:
    first = memory.keep(note("a", "old", "x"))
    second = memory.keep(note("a", "old", "x"), note("b", "new", "y"))
    third = memory.keep(note("a", "old", "x"), note("b", "new", "y"), note("c", "new", "x"))
    memory.repository.checkout(first, store)
    memory.repository.checkout(second, store)
    assert "in the namespace x" in refusal(lambda: memory.repository.checkout(third, store))
    part = Selection(namespaces=("y",))
    assert memory.repository.checkout(third, store, selection=part).outflow.is_empty


def test_what_surrounds_a_memory_that_is_brought_alone_counts(memory: Memory, store: Address) -> None:
    other = memory.keep(note("c", "new"))
    old = memory.keep(note("a", "old"), note("b", "old"))
    memory.repository.checkout(old, store)
    refusal(lambda: restore(memory.repository, other, [make_key("", "c")], store))
    assert held(store) == {"a", "b"}
    empty = serve("empty", KINDS["everything"])
    chosen = Keys(keys=frozenset({make_key("", "c")}))
    memory.repository.checkout(other, empty, selection=chosen)
    assert held(empty) == {"c"}


def test_files_are_written_whole(memory: Memory, tmp_path: Path) -> None:
    copy = Address("jsonl", str(tmp_path / "copy.vmig.jsonl"))
    old, new = memory.keep(note("a", "old")), memory.keep(note("a", "old"), note("c", "new"))
    memory.repository.checkout(old, copy)
    memory.repository.checkout(new, copy)
    assert held(copy) == {"a", "c"}


def test_an_import_looks_at_all_that_a_store_holds(tmp_path: Path, store: Address) -> None:
    silent = [note(f"n{n}", None) for n in range(300)]
    with open_store(store, create=True) as opened:
        opened.write(plan_between([], [*silent, note("z", "old", "x")]))
    source = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    with JsonlStore.open(source, create=True) as opened:
        opened.write(plan_between([], [note("c", "new", "y")]))
    assert attempt(lambda: transfer(source, store, Request(namespace="x"))) == (None, "store-model")
    assert "c" not in held(store)
    transfer(source, store, Request())
    assert "c" in held(store)


def test_a_store_of_points_is_read_once_for_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = serve("there", KINDS["everything"])
    with MemoryStore.open(there, create=True) as opened:
        opened.write(plan_between([], [note(f"n{n}", "old") for n in range(120)]))
    source = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    with JsonlStore.open(source, create=True) as opened:
        opened.write(plan_between([], [note("c", "old")]))
    batches: list[int] = []
    kept = MemoryStore.read_points

    def read_points(self: MemoryStore) -> Any:
        for batch in kept(self):
            batches.append(len(batch))
            yield batch

    monkeypatch.setattr(MemoryStore, "read_points", read_points)
    transfer(source, there, Request())
    assert sum(batches) == 120
