"""Several writers of one store at the same moment, on every kind of server: a mixture is told, and no memory is torn.

The two do not share a home, so that they do not take turns.  What the other does happens at a point of the one's work
that a test says, never after some time.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.contract.moving import commit_file, repository
from tests.contract.servers import CLIENTS, SERVERS, Live
from vexrepo.errors import StoreError
from vexrepo.history.walk import iter_records
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes import readback
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores import milvus, neo4j_pages
from vexrepo.remotes.stores.address import Address, Reach, parse_address
from vexrepo.remotes.stores.base import Plan
from vexrepo.remotes.stores.pinecone import PineconeStore
from vexrepo.remotes.stores.point_store import PointStore
from vexrepo.remotes.stores.registry import connector, open_store
from vexrepo.repository import Repository, lookback
from vexrepo.repository.storefetch import fetch_store
from vexrepo.repository.storerefs import StoreRemote

pytestmark = pytest.mark.timeout(500)  # the first of each kind installs and starts its engine
# One transaction keeps others off a table of PostgreSQL (tests/contract/test_pgvector_tables.py); Milvus takes seconds
# to make a collection, so only what is its own is tried there: how it is read while others write.
RACED = [name for name in (*CLIENTS, "valkey") if name not in ("pgvector", "milvus")]
_NUMBER = count()
MANY = 300


@pytest.fixture(scope="module")
def engines() -> Iterator[Callable[[str], Live]]:
    """Give what starts each server once."""
    begun: dict[str, Live] = {}
    with ExitStack() as held:

        def live(name: str) -> Live:
            if name not in begun:
                begun[name] = held.enter_context(SERVERS[name]())
            return begun[name]

        yield live


@pytest.fixture(params=RACED)
def store(request: pytest.FixtureRequest, engines: Callable[[str], Live]) -> Address:
    """Return the address of a collection that is not there yet."""
    live, number = engines(request.param), next(_NUMBER)
    names = {"neo4j": f"{live.place.partition('?')[0]}?label=Race{number}", "redis": f"0?prefix=race{number}:"}
    address = parse_address(live.address(live.port, names.get(live.kind, f"Race{number}x".lower())))
    if live.kind in ("opensearch", "elasticsearch", "neo4j", "milvus"):
        wanted = ("password",)
    else:
        wanted = tuple(connector(address.kind).secrets)
    return replace(address, secrets={name: lambda: live.secret for name in wanted}, reach=Reach(concurrency=1))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for what shows late: servers of tests show all at once; and small pages."""
    monkeypatch.setattr(readback, "WAITS_S", (0.0,))
    monkeypatch.setattr(lookback, "WAITS_S", (0.0,))
    monkeypatch.setattr(PineconeStore, "patience", Patience(sleep=lambda seconds: None))
    monkeypatch.setattr(neo4j_pages, "_PAGE", 50)
    monkeypatch.setattr(milvus, "_MOST_ROWS", 50)


def note(number: int, version: int = 0) -> Record:
    """Return a memory of which text, metadata and vector tell the version."""
    return from_json(
        {
            "id": f"m{number:03}",
            "text": f"note {number} of version {version}",
            "vector": [1.0, number + 1.0, version + 1.0, 0.5],
            "dims": 4,
            "model": "tiny",
            "metadata": {"version": version},
        }
    )


def memory(changed: range = range(0), version: int = 0) -> list[Record]:
    return [note(number, version if number in changed else 0) for number in range(MANY)]


@dataclass
class Machine:
    """One of two that write into a store, with a repository of its own."""

    kept: Repository
    folder: Path
    store: Address

    def commit(self, records: list[Record]) -> CommitId:
        made: CommitId = commit_file(self.kept, self.folder, records)
        return made

    def write(self, commit: CommitId) -> Any:
        return self.kept.checkout(commit, self.store, force=True)

    def holds(self, commit: CommitId) -> bool:
        """Whether the store holds exactly the memories of a commit."""
        return not list(self.kept.diff_with_store(commit, self.store))


@pytest.fixture
def machines(tmp_path: Path, store: Address) -> list[Machine]:
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        kept = repository(folder / "kept")
        kept.around = replace(kept.around, read_back="all")
        made.append(Machine(kept, folder, store))
    return made


def at_first(monkeypatch: pytest.MonkeyPatch, kind: type[Any], name: str, action: Callable[[], Any]) -> list[Any]:
    """Do something before a connector does something for the first time; the list is empty once it was done."""
    kept, left = getattr(kind, name), [action]

    def run(self: Any, *given: Any, **more: Any) -> Any:
        if left:
            left.pop()()
        return kept(self, *given, **more)

    monkeypatch.setattr(kind, name, run)
    return left


def test_of_two_that_write_at_once_one_is_told_though_count_and_sample_agree(
    machines: list[Machine], store: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookback, "MOST", 0)  # as for a store of any size
    one, two = machines
    base = one.commit(memory())
    one.write(base)
    two.write(two.commit(memory()))
    ours, theirs = one.commit(memory(range(4), 1)), two.commit(memory(range(100, 104), 2))
    with monkeypatch.context() as patched:
        left = at_first(patched, connector(store.kind), "upsert", lambda: two.write(theirs))
        with pytest.raises(StoreError, match=r"4 of 300 memories .* run the command again") as raised:
            one.write(ours)
        assert raised.value.code == "store-changed" and not left
    assert not one.holds(ours) and not two.holds(theirs)
    done = one.write(ours)
    assert (done.verified, done.is_whole) == (300, True) and one.holds(ours)


def test_of_two_that_make_a_store_at_once_one_is_told(
    machines: list[Machine], store: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machines
    ours, theirs = one.commit(memory(range(4), 1)[:20]), two.commit(memory(range(4), 2)[2:22])
    with monkeypatch.context() as patched:
        left = at_first(patched, connector(store.kind), "prepare", lambda: two.write(theirs))
        if store.kind == "pinecone":  # a namespace is not made
            left.pop()
            left = at_first(patched, connector(store.kind), "upsert", lambda: two.write(theirs))
        with pytest.raises(StoreError, match="run the command again") as raised:
            one.write(ours)
        assert raised.value.code == "store-changed" and not left
    done = one.write(ours)
    assert (done.verified, done.is_whole) == (20, True) and one.holds(ours)


@pytest.mark.parametrize("store", [*RACED, "milvus"], indirect=True)
def test_what_others_write_while_a_store_is_committed_tears_and_hides_no_memory(
    machines: list[Machine], store: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = machines
    one.write(one.commit(memory()))
    changed, gone, new = range(0, MANY, 4), range(1, MANY, 4), range(MANY, MANY + 20)
    with ExitStack() as held:
        other = held.enter_context(open_store(store, create=True))
        list(other.scan())

        def write() -> None:
            records = [note(number, 3) for number in (*changed, *new)]
            other.write(Plan(lambda: iter(records), [note(number).key for number in gone], lambda: iter(records)))

        scan_on, left = PointStore.scan_on, [write]

        def reading(self: PointStore, *given: Any) -> Iterator[Any]:
            for batch in scan_on(self, *given):
                yield batch
                if left and batch[0]:
                    left.pop()()

        with monkeypatch.context() as patched:
            patched.setattr(PointStore, "scan_on", reading)
            done = fetch_store(one.kept, StoreRemote("agent", store, "agent"))
    assert not left and done.new is not None
    root = one.kept.records_root(done.new)
    assert root is not None
    found = {each.to_json()["id"]: each for each in iter_records(one.kept.objects, root)}
    for number in range(MANY):
        assert f"m{number:03}" in found or number in gone
    for number in (*range(MANY), *new):
        held_now = found.get(note(number).to_json()["id"])
        assert held_now is None or is_whole(held_now, number)
    # Nobody writes any more: it is committed as it is.
    again = fetch_store(one.kept, StoreRemote("agent", store, "agent"))
    assert again.new is not None and one.holds(again.new) and again.records == MANY - len(gone) + len(new)


def is_whole(record: Record, number: int) -> bool:
    """Whether all parts of a memory are of one version."""
    value = record.to_json()
    version = value["metadata"]["version"]
    wanted = note(number, version).to_json()
    longer = wanted["vector"][0] / value["vector"][0]  # of a store that scales vectors
    return bool(
        value["text"] == wanted["text"]
        and all(abs(a * longer - b) < 1e-3 * abs(b) for a, b in zip(value["vector"], wanted["vector"], strict=True))
    )
