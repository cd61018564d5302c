"""A partial checkout where a memory has another component in the store than in the snapshot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vexrepo.objects.record import from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import collect
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository import Repository, Selection, Surroundings


def _note(identifier: str, kind: str, text: str) -> dict[str, object]:
    return {"id": identifier, "text": text, "metadata": {"memory_type": kind}}


@pytest.mark.parametrize("kind", ["jsonl", "vektor"])
def test_a_memory_that_moved_into_the_selection_gets_the_version_of_the_snapshot(tmp_path: Path, kind: str) -> None:
    address = Address(kind, str(tmp_path / ("m.vmig.jsonl" if kind == "jsonl" else "m.db")))
    clock: Callable[[], int] = lambda: 1_700_000_000_000_000  # noqa: E731
    repository = Repository.init(tmp_path, Surroundings(now_us=clock))

    def write(*values: dict[str, object]) -> None:
        with open_store(address, create=True) as store:
            store.write(collect([from_json(dict(value)) for value in values]))

    def texts() -> dict[str, str]:
        with open_store(address) as store:
            return {item.record.key.decode()[2:]: item.record.text for batch in store.scan() for item in batch}

    write(_note("a", "semantic", "old"), _note("b", "working", "kept"))
    first = repository.commit("first", store=address).id
    assert first is not None
    write(_note("a", "working", "new"), _note("b", "working", "kept"))
    repository.commit("second", store=address)

    done = repository.checkout(first, address, selection=Selection(components=frozenset({"working"})))

    assert texts() == {"a": "old", "b": "kept"}
    assert (done.outflow.added, done.outflow.changed, done.outflow.removed) == (0, 1, 0)
