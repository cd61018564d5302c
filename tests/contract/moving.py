"""Memories moved in and out of a vector store of any kind, for tests of what is particular to one."""

from pathlib import Path
from typing import Any

from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository import Repository, Surroundings
from vexrepo.testing.stores import check_holds, plan_between

_CLOCK = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))


def memory(count: int = 30, start: int = 0, last: float = 2.0) -> list[Record]:
    """Return memories with vectors of four dimensions, the ``last`` of which 0.3 is no number of single precision."""
    return [
        from_json({"id": f"m{n}", "text": f"note {n}", "vector": [n + 1.0, 0.5, 2.0, last], "dims": 4, "model": "tiny"})
        for n in range(start, start + count)
    ]


def fill(address: Address, records: list[Record], config: dict[str, Any] | None = None) -> None:
    """Write memories into a store that may not be there yet."""
    with open_store(address, create=True) as store:
        store.write(plan_between([], records, config=config))


def read(address: Address) -> dict[str, dict[str, Any]]:
    """Return the memories of a store as JSON, by id."""
    with open_store(address) as store:
        found = [item.record.to_json() for batch in store.scan() for item in batch]
    return {item["id"]: item for item in found}


def holds(address: Address, records: list[Record]) -> bool:
    """Return True where a store holds exactly these memories.  Raises: AssertionError."""
    with open_store(address) as store:
        check_holds(store, records)
    return True


def repository(folder: Path) -> Repository:
    """Return a new repository."""
    return Repository.init(folder, Surroundings(now_us=lambda: next(_CLOCK)))


def commit_file(kept: Repository, folder: Path, records: list[Record]) -> Any:
    """Commit memories by way of a file, and return the commit's id."""
    address = Address("jsonl", str(folder / "in.vmig.jsonl"))
    with JsonlStore.open(address, create=True) as store:
        store.write(plan_between([], records))
    return kept.commit("first", store=address).id
