"""What was written into a store is looked at afterwards: too few, or others, is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.points import KINDS, SERVERS, MemoryStore, serve
from tests.property.strategies import attempt
from vexrepo.exchange.readback import SAMPLE
from vexrepo.exchange.transfer import Request, transfer
from vexrepo.objects.record import from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.registry import BUILT_IN
from vexrepo.testing.stores import plan_between


@pytest.fixture(autouse=True)
def _points(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(BUILT_IN, "points", "tests.contract.points:MemoryStore")
    yield
    SERVERS.clear()


@pytest.fixture
def source(tmp_path: Path) -> Address:
    found = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    many = [from_json({"id": f"m{n}", "text": f"note {n}", "vector": [n + 1.5, 2.0], "dims": 2}) for n in range(600)]
    with JsonlStore.open(found, create=True) as store:
        store.write(plan_between([], many))
    return found


@pytest.mark.parametrize("kind", ["everything", "scales", "halves", "numbers", "filled"])
def test_what_was_written_is_counted_and_read_back(source: Address, kind: str) -> None:
    done = transfer(source, serve("new", KINDS[kind]), Request())
    assert done.verified is not None and (done.verified.count, done.verified.sample) == (600, SAMPLE)
    again = transfer(source, serve("new", KINDS[kind]), Request())
    assert again.verified is not None and (again.verified.count, again.verified.sample) == (600, 0)


def test_a_store_that_loses_what_it_is_given_is_found_out(source: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def upsert(self: MemoryStore, points: Any) -> None:
        kept(self, points[1:])

    kept = MemoryStore.upsert
    monkeypatch.setattr(MemoryStore, "upsert", upsert)
    assert attempt(lambda: transfer(source, serve("new", KINDS["everything"]), Request())) == (None, "store-differs")


def test_a_store_that_changes_what_it_is_given_is_found_out(source: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def upsert(self: MemoryStore, points: Any) -> None:
        kept(self, [each._replace(payload={**each.payload, "text": "x"}) for each in points])

    kept = MemoryStore.upsert
    monkeypatch.setattr(MemoryStore, "upsert", upsert)
    assert attempt(lambda: transfer(source, serve("new", KINDS["everything"]), Request())) == (None, "store-differs")
