"""A repository and a vector store: what was written is what is read, and what an agent does counts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.contract.points import EVERYTHING, KINDS, SERVERS, Collection, MemoryStore, scalars, serve
from tests.property.strategies import attempt
from vexrepo.errors import StoreError, VexError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Plan
from vexrepo.remotes.stores.capabilities import LENGTH, Capabilities
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.registry import BUILT_IN
from vexrepo.repository import Repository, Surroundings
from vexrepo.testing.stores import check_holds, plan_between, tricky_values, with_dims

CLOCK = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))


@pytest.fixture(autouse=True)
def _points(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(BUILT_IN, "points", "tests.contract.points:MemoryStore")
    yield
    SERVERS.clear()


def repository(tmp_path: Path) -> Repository:
    return Repository.init(tmp_path, Surroundings(now_us=lambda: next(CLOCK)))


def memory(count: int = 30) -> list[Record]:
    return [
        from_json({"id": f"m{n}", "text": f"note {n}", "vector": [n + 1.0, 0.5, 2.0, 2.0], "dims": 4})
        for n in range(count)
    ]


def file_of(tmp_path: Path, records: list[Record]) -> Address:
    address = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    with JsonlStore.open(address, create=True) as store:
        store.write(plan_between([], records))
    return address


def fill(address: Address, records: list[Record]) -> None:
    with MemoryStore.open(address, create=True) as store:
        store.write(plan_between([], records))


def kinds_of_change(kept: Repository, store: Address) -> dict[str, str]:
    changes = kept.diff_with_store(kept.view().commit, store)
    return {change.key.rpartition(b"\1")[2].decode(): change.kind for change in changes}


def server(address: Address) -> Collection:
    return SERVERS[address.location.rsplit("/", 1)[-1]]


def edit(store: Address, native: str, **members: Any) -> None:
    points = server(store).points
    assert points is not None
    raw, vectors = points[native]
    points[native] = orjson.dumps({**orjson.loads(raw), **members}), vectors


@pytest.mark.parametrize("kind", KINDS)
def test_a_commit_of_what_was_checked_out_is_the_same(tmp_path: Path, kind: str) -> None:
    kept = repository(tmp_path)
    dims = None if KINDS[kind].mixes_dims or not KINDS[kind].kinds else 6
    values = tricky_values() if dims is None else with_dims(tricky_values(), dims)
    first = kept.commit("first", store=file_of(tmp_path, [from_json(value) for value in values]))
    assert first.id is not None
    store = serve("agent", KINDS[kind])
    kept.checkout(first.id, store)
    assert kept.status(store).is_clean
    again = kept.commit("how the collection is set up", store=store)
    assert again.snapshot.records == first.snapshot.records
    assert again.snapshot.collections["points"] == {"metric": "cosine"}
    assert attempt(lambda: kept.commit("again", store=store))[1] == "nothing-to-commit"
    done = kept.checkout(again.id or first.id, store)
    assert done.outflow.is_empty


@pytest.mark.parametrize("kind", ["everything", "scales", "halves", "uuids"])
def test_an_edit_counts_and_nothing_else(tmp_path: Path, kind: str) -> None:
    kept = repository(tmp_path)
    store = serve("agent", KINDS[kind])
    first = kept.commit("first", store=file_of(tmp_path, memory()))
    assert first.id is not None
    kept.checkout(first.id, store)
    native = next(name for name, (raw, _) in (server(store).points or {}).items() if b'"note 7"' in raw)
    edit(store, native, text="note seven", importance=4)
    assert kinds_of_change(kept, store) == {"m7": "changed"}
    kept.commit("an edit", store=store)
    (change,) = kept.diff(first.id, kept.view().commit or first.id)
    assert change.new is not None and change.old is not None
    assert change.new.record.vectors == change.old.record.vectors
    assert change.new.record.to_json() == {
        "id": "m7",
        "text": "note seven",
        "vector": [8.0, 0.5, 2.0, 2.0],
        "dims": 4,
        "metadata": {"importance": 4},
    }
    kept.checkout(first.id, store)
    with MemoryStore.open(store) as opened:
        check_holds(opened, memory())


def test_a_store_seen_at_an_older_commit_keeps_the_vectors_of_that_one(tmp_path: Path) -> None:
    kept = repository(tmp_path)
    store = serve("agent", KINDS["scales"])
    first = kept.commit("first", store=file_of(tmp_path, memory()))
    other = [from_json({**item.to_json(), "vector": [-3.0, 4.0, 0.0, 0.0]}) for item in memory(5)]
    kept.commit("second", store=file_of(tmp_path, other + memory()[5:]))
    assert first.id is not None
    kept.checkout(first.id, store)
    back = kept.commit("back", store=store)
    assert back.snapshot.records == first.snapshot.records


def test_what_nobody_saved_is_not_lost(tmp_path: Path) -> None:
    kept = repository(tmp_path)
    store = serve("agent", KINDS["scales"])
    first = kept.commit("first", store=file_of(tmp_path, memory()))
    assert first.id is not None
    kept.checkout(first.id, store)
    second = kept.commit("second", store=file_of(tmp_path, memory(20)))
    assert second.id is not None
    edit(store, "m3", text="new")
    found, code = attempt(lambda: kept.checkout(second.id, store))
    assert (found, code) == (None, "unsaved-changes")
    edit(store, "m3", text="note 3")
    done = kept.checkout(second.id, store)
    assert (done.outflow.removed, done.outflow.changed, done.outflow.added) == (10, 0, 0)
    assert server(store).deleted and len(server(store).points or ()) == 20


def test_an_interrupted_checkout_goes_on_where_it_stopped(tmp_path: Path) -> None:
    kept = repository(tmp_path)
    store = serve("agent", KINDS["scales"])
    records = memory(400)
    first = kept.commit("first", store=file_of(tmp_path, records))
    assert first.id is not None
    for batches in (0, 1, 3):
        server(store).fail_after = batches
        assert attempt(lambda: kept.checkout(first.id, store))[1] == "store-unreachable"
    server(store).fail_after = None
    assert len(server(store).points or ()) == 200
    kept.checkout(first.id, store)
    assert len(server(store).written) == len(set(server(store).written)) == 400
    assert kept.status(store).is_clean


def test_the_store_takes_less_at_once_and_gets_less(tmp_path: Path) -> None:
    store = serve("agent", EVERYTHING, most=7)
    fill(store, memory(100))
    with MemoryStore.open(store) as opened:
        check_holds(opened, memory(100))


def test_other_dimensions_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = serve("agent", KINDS["scalars"])
    fill(store, memory(3))
    more = [*memory(5), from_json({"id": "odd", "vector": [1.0, 2.0]})]
    with MemoryStore.open(store, create=True) as opened, pytest.raises(StoreError) as refused:
        opened.write(plan_between([], more))
    assert refused.value.code == "store-dims"
    assert "odd has a vector of 2 dimensions" in str(refused.value) and "--namespace" in str(refused.value)
    assert len(server(store).written) == 3
    new = serve("new", KINDS["scalars"])
    with MemoryStore.open(new, create=True) as opened, pytest.raises(StoreError) as refused:
        opened.write(plan_between([], more))
    assert refused.value.code == "store-dims" and not server(new).written and server(new).points is None


def test_what_cannot_be_held_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = serve("agent", EVERYTHING, longest=1000)
    records = [*memory(200), from_json({"id": "z", "text": "x" * 2000})]
    with MemoryStore.open(store, create=True) as opened:
        assert attempt(lambda: opened.write(plan_between([], records)))[1] == "store-cannot-hold"
    assert server(store).points is None


def test_memories_of_one_id_in_two_namespaces_have_ids_of_their_own(tmp_path: Path) -> None:
    records = [from_json({"id": "1", "text": name, "namespace": name}) for name in "abc"]
    store = serve("agent", EVERYTHING)
    fill(store, records)
    natives = sorted(server(store).points or ())
    assert natives[0] == "1" and all(name.startswith("vex-") for name in natives[1:])
    fill(store, records)
    assert sorted(server(store).points or ()) == natives
    with MemoryStore.open(store, create=True) as opened:
        opened.write(plan_between(records, records[1:]))
        check_holds(opened, records[1:])
    with MemoryStore.open(store, create=True) as opened:
        opened.write(plan_between(records[1:], records))
    assert sorted(server(store).points or ()) == natives


def test_a_memory_that_moves_to_another_namespace_keeps_its_id(tmp_path: Path) -> None:
    store = serve("agent", EVERYTHING)
    before, after = ([from_json({"id": "1", "text": "x", "namespace": name})] for name in "ab")
    fill(store, before)
    edit(store, "1", namespace="b")
    with MemoryStore.open(store, create=True) as opened:
        check_holds(opened, after)
        opened.write(plan_between(after, before))
        check_holds(opened, before)
    assert list(server(store).points or ()) == ["1"] and not server(store).deleted


@pytest.mark.parametrize("name", ["content", "page_content", "body"])
def test_a_foreign_collection_is_read_and_written_with_its_own_names(tmp_path: Path, name: str) -> None:
    store = serve("agent", EVERYTHING)
    server(store).points = {
        f"f{n}": (orjson.dumps({name: f"note {n}", "topic": "tides", "nested": {"a": [n]}}), ()) for n in range(9)
    }
    kept = repository(tmp_path)
    first = kept.commit("found", store=store)
    assert first.id is not None
    assert next(kept.diff_with_store(None, store)).new.record.to_json() == {  # type: ignore[union-attr]
        "id": "f0",
        "text": "note 0",
        "metadata": {"topic": "tides", "nested": {"a": [0]}},
    }
    edit(store, "f3", **{name: "other"})
    kept.checkout(first.id, store, force=True)
    assert orjson.loads((server(store).points or {})["f3"][0])[name] == "note 3"
    # Another memory's metadata may have the name that a text usually has.
    fill(store, [from_json({"id": "n", "text": "t", "metadata": {"text": "m", "data": "d"}})])
    with MemoryStore.open(store) as opened:
        found = {item.record.to_json()["id"]: item.record.to_json() for batch in opened.scan() for item in batch}
    assert found["n"] == {"id": "n", "text": "t", "metadata": {"text": "m", "data": "d"}}
    assert found["f3"]["text"] == "note 3"


def test_the_text_can_be_named_in_the_address(tmp_path: Path) -> None:
    store = serve("agent", EVERYTHING)
    server(store).points = {"a": (orjson.dumps({"text": "a title", "story": "long"}), ())}
    named = Address(store.kind, store.location, {"text": "story"})
    with MemoryStore.open(named) as opened:
        ((item,),) = opened.scan()
    assert item.record.to_json() == {"id": "a", "text": "long", "metadata": {"text": "a title"}}


def test_a_missing_collection_is_named(tmp_path: Path) -> None:
    store = serve("agent", EVERYTHING)
    with pytest.raises(VexError) as missing:
        MemoryStore.open(store)
    assert missing.value.code == "store-missing" and "points://memory/agent" in str(missing.value)


def test_a_store_that_needs_dimensions_says_so(tmp_path: Path) -> None:
    store = serve("agent", KINDS["needs-vector"])
    with MemoryStore.open(store, create=True) as opened:
        assert attempt(lambda: opened.write(plan_between([], [from_json({"id": "a"})])))[1] == "store-cannot-hold"
    assert server(store).points is None


def test_the_configuration_of_a_collection_is_made_again(tmp_path: Path) -> None:
    kept = repository(tmp_path)
    store, other = serve("agent", KINDS["scalars"]), serve("other", KINDS["scalars"])
    fill(store, memory())
    server(store).config["metric"] = "dot"
    first = kept.commit("first", store=store)
    assert first.id is not None
    kept.checkout(first.id, other)
    assert server(other).config == {"metric": "dot"}


def test_what_a_carried_member_says_is_read_only_where_it_is_ours() -> None:
    store = serve("agent", Capabilities(scalars, alters=LENGTH))
    odd = ['{"v":2}', '{"v":1,"a":[]}', '{"v":1,"b":[[[],[],[]]]}', '{"v":1,"s":[["x","y",1]]}', '{"v":1,"f":1}']
    server(store).points = {
        str(at): (orjson.dumps({"text": "x", "_vex": text}), ()) for at, text in enumerate(["", "{}", *odd])
    }
    with MemoryStore.open(store) as opened:
        for batch in opened.scan():
            for item in batch:
                assert item.record.text == "x"


def test_an_empty_plan_makes_nothing() -> None:
    store = serve("agent", EVERYTHING)
    with MemoryStore.open(store, create=True) as opened:
        done = opened.write(Plan(upserts=lambda: iter(()), deletes=(), records=lambda: iter(())))
    assert (done.upserted, server(store).points) == (0, None)
