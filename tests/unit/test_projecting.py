"""Embeddings of another model are not written among those of one, unless they are projected or that is wanted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.contract.points import KINDS, SERVERS, MemoryStore, serve
from tests.property.strategies import attempt
from vexrepo.exchange import projecting
from vexrepo.exchange.request import Request
from vexrepo.exchange.transfer import transfer
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.plugins import Plugins
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.registry import BUILT_IN
from vexrepo.testing.stores import plan_between


class Halving:
    """Turns embeddings of ``old`` into those of ``new``: two numbers of four."""

    source, target, dims = "old", "new", 2

    def project(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return vectors[:, :2] / 2


class Wild(Halving):
    def project(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return vectors


@pytest.fixture(autouse=True)
def _points(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(BUILT_IN, "points", "tests.contract.points:MemoryStore")
    yield
    SERVERS.clear()


def note(identifier: str, model: str | None, vector: list[float]) -> Record:
    value: dict[str, Any] = {"id": identifier, "text": identifier, "vector": vector, "dims": len(vector)}
    return from_json(value if model is None else {**value, "model": model})


def file_of(tmp_path: Path, *records: Record) -> Address:
    found = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    with JsonlStore.open(found, create=True) as store:
        store.write(plan_between([], records))
    return found


def target_of(*records: Record) -> Address:
    found = serve("there", KINDS["scalars"])
    with MemoryStore.open(found, create=True) as store:
        store.write(plan_between([], records))
    return found


def held(address: Address) -> dict[str, Any]:
    with MemoryStore.open(address) as store:
        return {item.record.to_json()["id"]: item.record.to_json() for batch in store.scan() for item in batch}


def test_another_model_of_the_same_dims_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source, target = (
        file_of(tmp_path, note("a", "new", [1, 2]), note("b", "other", [3, 4])),
        target_of(note("c", "new", [5, 6])),
    )
    for dry_run in (True, False):
        found, code = attempt(lambda dry_run=dry_run: transfer(source, target, Request(dry_run=dry_run)))
        assert (found, code) == (None, "store-model") and set(held(target)) == {"c"}
    transfer(source, target, Request(mix_models=True))
    assert set(held(target)) == {"a", "b", "c"}


def test_the_same_model_none_and_an_empty_store_are_no_reason(tmp_path: Path) -> None:
    source = file_of(tmp_path, note("a", "new", [1, 2]), note("b", None, [3, 4]), from_json({"id": "t", "text": "t"}))
    transfer(source, target_of(note("c", "new", [5, 6])), Request())
    transfer(source, serve("empty", KINDS["scalars"]), Request())
    transfer(source, Address("jsonl", str(tmp_path / "out.vmig.jsonl")), Request())


def test_an_adapter_turns_vectors_into_those_that_are_there(tmp_path: Path) -> None:
    source = file_of(
        tmp_path, note("a", "old", [1, 2, 3, 4]), note("b", "new", [7, 8]), from_json({"id": "t", "text": "t"})
    )
    target = target_of(note("c", "new", [5, 6]))
    assert attempt(lambda: transfer(source, target, Request())) == (None, "store-model")
    done = transfer(source, target, Request(adapter=Halving()))
    assert done.written == 3
    found = held(target)
    assert (found["a"]["vector"], found["a"]["model"], found["a"]["dims"]) == ([0.5, 1.0], "new", 2)
    assert found["b"]["vector"] == [7, 8] and "vector" not in found["t"]


def test_dims_that_do_not_fit_name_the_ways_out(tmp_path: Path) -> None:
    source, target = file_of(tmp_path, note("a", None, [1, 2, 3])), target_of(note("c", None, [5, 6]))
    found, code = attempt(lambda: transfer(source, target, Request()))
    assert (found, code) == (None, "store-dims") and set(held(target)) == {"c"}


@pytest.mark.parametrize(
    ("adapter", "record"), [(Halving(), note("a", "third", [1, 2, 3, 4])), (Wild(), note("a", "old", [1, 2, 3, 4]))]
)
def test_an_adapter_that_does_not_fit_is_refused(tmp_path: Path, adapter: Halving, record: Record) -> None:
    source, target = file_of(tmp_path, record), target_of(note("c", "new", [5, 6]))
    assert attempt(lambda: transfer(source, target, Request(adapter=adapter))) == (None, "adapter-misfit")
    assert set(held(target)) == {"c"}


def test_adapters_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attempt(lambda: projecting.find_adapter("halving"))[1] == "unknown-adapter"
    known = Plugins({"halving": "tests.unit.test_projecting:Halving"}, projecting.GROUP, "none", "unknown-adapter")
    monkeypatch.setattr(projecting, "_ADAPTERS", known)
    assert projecting.find_adapter("halving").dims == 2
