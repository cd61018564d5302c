"""What is particular to Chroma: upserts that add, mandatory embeddings, its metrics, what goes wrong."""

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import orjson
import pytest

from tests.contract import moving
from tests.contract.chroma_server import Front, new_address, port
from tests.contract.moving import fill, read
from tests.hosting.scripted import Request as HttpRequest
from tests.hosting.scripted import Said
from tests.property.strategies import attempt
from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import from_json
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores import chroma
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.chroma import ChromaStore, holds, holds_name
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.repository import Repository, Surroundings
from vexrepo.testing.stores import check_holds, plan_between

CLOCK = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))
BASE = "/api/v2/tenants/default_tenant/databases/default_database/collections"
KEY = "k3y/of the server"


@pytest.fixture
def front() -> Iterator[Front]:
    found = Front()
    yield found
    found.end()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChromaStore, "patience", Patience(sleep=lambda seconds: None))


def call(address: Address, what: str, body: Any) -> Any:
    """Ask the server as another program would; ``what`` is made of the collection's id."""
    with ChromaStore(address) as store:
        if what == "create":
            return store.ask("POST", BASE, body={"name": store.collection, **body}).json()
        assert store.exists()
        return store.ask("POST", f"{store._path}/{what}", body=body).json()


memory = partial(moving.memory, last=0.3)


@pytest.mark.parametrize("distance", ["cosine", "l2", "ip"])
def test_a_commit_of_what_was_checked_out_is_the_same(tmp_path: Path, distance: str) -> None:
    kept = Repository.init(tmp_path, Surroundings(now_us=lambda: next(CLOCK)))
    source = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    with JsonlStore.open(source, create=True) as store:
        store.write(plan_between([], memory()))
    first = kept.commit("first", store=source)
    assert first.id is not None
    live = new_address({"distance": distance})
    assert kept.checkout(first.id, live).verified == 30
    assert kept.status(live).is_clean
    again = kept.commit("how the collection is set up", store=live)
    assert again.snapshot.records == first.snapshot.records
    assert again.snapshot.collections["chroma"]["configuration"]["hnsw"]["space"] == distance
    assert attempt(lambda: kept.commit("again", store=live))[1] == "nothing-to-commit"
    call(live, "upsert", {"ids": ["m3"], "embeddings": [[9.0, 0, 0, 1]], "documents": ["other"], "metadatas": [None]})
    changes = {change.key.rpartition(b"\1")[2].decode(): change.kind for change in kept.diff_with_store(first.id, live)}
    assert changes == {"m3": "changed"}


def test_an_update_takes_away_what_a_memory_has_no_more() -> None:
    live = new_address({"distance": "l2"})
    whole = {"id": "1", "text": "a", "vector": [1.0, 2], "metadata": {"x": 1, "tags": ["a"]}, "model": "tiny"}
    call(live, "create", {"configuration": {"hnsw": {"space": "l2"}}})
    body = {"ids": ["1"], "embeddings": [[1.0, 2]], "documents": ["a"], "uris": ["file:///a"], "metadatas": [{"x": 1}]}
    call(live, "upsert", body)
    for value in (whole, {"id": "1", "vector": [1.0, 2], "metadata": {"y": 2}}, {"id": "1"}, whole):
        record = from_json(copy.deepcopy(value))
        with ChromaStore.open(live) as store:
            store.write(plan_between([], [record]))
        with ChromaStore.open(live) as store:
            check_holds(store, [record])
    found = call(live, "get", {"include": ["metadatas", "documents", "uris"]})
    assert found["documents"] == ["a"] and found["uris"] == [None]
    assert set(found["metadatas"][0]) == {"x", "tags", "model"} | set(found["metadatas"][0]) & {"_vex"}


def test_the_configuration_of_a_collection_is_made_again() -> None:
    old, new = new_address(), new_address()
    configuration = {"hnsw": {"space": "ip", "ef_construction": 50, "max_neighbors": 8, "ef_search": 33}}
    call(old, "create", {"configuration": configuration, "metadata": {"owner": "alice"}})
    with ChromaStore.open(old) as store:
        before = store.describe().config
    with ChromaStore.open(new, create=True) as store:
        store.write(plan_between([], memory(3), config=before))
        after = store.describe().config
    assert after == before
    assert after["metadata"] == {"owner": "alice"}
    assert configuration["hnsw"].items() <= after["configuration"]["hnsw"].items()


def test_a_foreign_collection_is_read_and_written_with_its_own_names() -> None:
    live = new_address()
    call(live, "create", {"configuration": {"hnsw": {"space": "l2"}}})
    body = {
        "ids": ["a", "b"], "embeddings": [[1.0, 2], [3.0, 4]], "documents": ["the document", None],
        "metadatas": [{"note": "n", "n": 1, "tags": ["x"]}, None], "uris": ["file:///a", None],
    }  # fmt: skip
    call(live, "upsert", body)
    assert read(live) == {
        "a": {
            "id": "a", "text": "the document", "vector": [1.0, 2.0],
            "metadata": {"note": "n", "n": 1, "tags": ["x"], "chroma:uri": "file:///a"},
        },
        "b": {"id": "b", "vector": [3.0, 4.0]},
    }  # fmt: skip
    with ChromaStore.open(live) as store:
        kept = [item.record for batch in store.scan() for item in batch]
        store.write(plan_between([], [from_json({**item.to_json(), "model": "m"}) for item in kept]))
    held = call(live, "get", {"include": ["metadatas", "uris", "documents"]})
    assert held["uris"] == body["uris"] and held["documents"] == body["documents"]
    assert held["metadatas"] == [{"note": "n", "n": 1, "tags": ["x"], "model": "m"}, {"model": "m"}]
    odd = from_json({"id": "c", "vector": [1.0, 2], "metadata": {"chroma:uri": 5}})
    fill(live, [odd])
    assert read(live)["c"]["metadata"] == {"chroma:uri": 5}
    named = Address("chroma", live.location, {"text": "note"})
    found = read(named)["a"]
    assert found["text"] == "n" and found["metadata"]["chroma:document"] == "the document"


def test_what_the_original_tool_wrote_is_read() -> None:
    """As it sends it: empty text for what a memory has not, the metadata's own "text" beside the document."""
    live = new_address()
    call(live, "create", {"configuration": {"hnsw": {"space": "cosine"}}})
    metadatas = [
        {
            "namespace": "metaNS", "model": "x", "created_at": "2026-05-29T10:23:00.000Z", "tags": ["a", "b"],
            "importance": 4, "text": "META OVERRIDES",
        },
        {"namespace": "", "model": "", "created_at": ""},
    ]  # fmt: skip
    body = {"ids": ["m1", "12"], "embeddings": [[1.0, 0]] * 2, "documents": ["hello", "int"], "metadatas": metadatas}
    call(live, "upsert", body)
    found = read(live)
    assert found["12"] == {
        "id": "12", "text": "int", "namespace": "", "model": "", "created_at": "", "vector": [1.0, 0.0]
    }  # fmt: skip
    assert found["m1"] == {
        "id": "m1", "text": "hello", "namespace": "metaNS", "model": "x", "created_at": "2026-05-29T10:23:00.000Z",
        "metadata": {"tags": ["a", "b"], "importance": 4, "text": "META OVERRIDES"}, "vector": [1.0, 0.0],
    }  # fmt: skip


def test_names_and_values_that_chroma_refuses_or_bends_are_known() -> None:
    assert all(map(holds, ["", True, 0, (1 << 63) - 1, -(1 << 63), 0.1, 1.0, ["a"], [1, 2], [True], [0.5, 1.0]]))
    wrong = [
        None,
        {},
        [],
        [[]],
        [["a"]],
        [{}],
        [1, 1.0],
        [1, True],
        ["a", None],
        1 << 63,
        -0.0,
        [-0.0],
        0.9908333333333333,
    ]
    assert not any(map(holds, wrong))
    assert holds_name("a.b") and holds_name("chroma:uri")
    assert not any(map(holds_name, ["", "$a", "#a", "chroma:document", "chroma:x"]))


def test_pages_shrink_where_records_are_large_and_nothing_is_missed(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma, "_PAGE_BYTES", 100_000)
    live = new_address({"distance": "l2"})
    long = [from_json({"id": str(n), "text": "x" * 1000, "vector": [1.0, 2]}) for n in range(700)]
    fill(live, long)
    with ChromaStore.open(front.address(live)) as store:
        check_holds(store, long)
    assert 7 <= sum(each.endswith("/get") for each in front.asked) < 20


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_missing_collection_is_named() -> None:
    with pytest.raises(StoreError, match="check the name") as raised:
        ChromaStore.open(new_address())
    assert raised.value.code == "store-missing"
    nowhere = new_address({"database": "nowhere"})
    with pytest.raises(StoreError, match="nowhere"):
        fill(nowhere, memory(1))


def test_a_server_that_is_down_is_named(front: Front) -> None:
    address = front.address(new_address())
    front.end()
    with pytest.raises(StoreError, match="is it running") as raised:
        ChromaStore.open(address)
    assert raised.value.code == "store-unreachable"


def test_a_key_is_wanted_sent_and_never_shown(front: Front) -> None:
    front.key = KEY
    live = new_address()

    def with_key(key: str) -> Address:
        secrets: dict[str, Callable[[], str]] = {"api_key": lambda: key}
        return front.address(live, secrets=secrets)

    fill(with_key(KEY), memory(3))
    assert len(read(with_key(KEY))) == 3
    for address in (front.address(live), with_key("wr0ng key")):
        with pytest.raises(StoreError, match="CHROMA_API_KEY") as raised:
            ChromaStore.open(address)
        assert raised.value.code == "store-refused" and "wr0ng" not in str(raised.value)


def test_other_dimensions_are_refused_before_anything_is_written() -> None:
    live = new_address()
    fill(live, memory(2))
    records = [*memory(5), from_json({"id": "odd", "text": "a", "vector": [1.0, 2.0]})]
    assert attempt(lambda: fill(live, records))[1] == "store-dims"
    assert len(read(live)) == 2


def test_memories_without_vectors_need_dimensions_from_somewhere() -> None:
    live = new_address()
    bare = [from_json({"id": "1", "text": "a"})]
    assert attempt(lambda: fill(live, bare))[1] == "store-cannot-hold"
    call(live, "create", {})
    with pytest.raises(StoreError, match="nothing was written") as raised:
        fill(live, bare)
    assert raised.value.code == "store-cannot-hold"
    fill(live, [*bare, *memory(1)])
    with ChromaStore.open(live) as store:
        check_holds(store, [*bare, *memory(1)])


def test_batches_are_halved_until_the_server_takes_them(front: Front) -> None:
    live = new_address()
    front.most_bytes = 20_000
    fill(front.address(live), memory(400))
    with ChromaStore.open(live) as store:
        check_holds(store, memory(400))


def test_batches_are_no_larger_than_the_server_says(front: Front) -> None:
    live = new_address({"distance": "l2"})
    limits = orjson.dumps({"max_batch_size": 50, "supports_base64_encoding": False})
    front.script = [(200, {}, limits)]
    fill(front.address(live), memory(300))
    assert sum(each.endswith("/upsert") for each in front.asked) >= 6
    with ChromaStore.open(live) as store:
        check_holds(store, memory(300))


class Meanwhile(Front):
    """Lets somebody else do something to the collection before a page of it is given."""

    before: Mapping[int, Callable[[], Any]] = MappingProxyType({})
    pages = 0

    def respond(self, request: HttpRequest) -> Said:
        if request.path.endswith("/get") and b'"embeddings"' in request.body:
            self.pages += 1
            self.before.get(self.pages, lambda: None)()
        return super().respond(request)


@pytest.fixture
def meanwhile() -> Iterator[Meanwhile]:
    server = Meanwhile()
    yield server
    server.end()


def read_while(server: Meanwhile, live: Address, before: Mapping[int, Callable[[], Any]]) -> dict[str, Any]:
    """Read a collection in pages of 250 and 500 memories while something is done before some of them; by id."""
    server.before, server.pages = before, 0
    with ChromaStore.open(server.address(live)) as store:
        found = [item.record.to_json() for batch in store.scan() for item in batch]
    assert server.pages >= max(before, default=0) and len({each["id"] for each in found}) == len(found)
    return {each["id"]: each for each in found}


def test_what_others_remove_while_it_is_read_hides_no_memory_that_stays(meanwhile: Meanwhile) -> None:
    live = new_address({"distance": "l2"})
    fill(live, memory(1200))

    there = sorted(f"m{n}" for n in range(1200))  # as they were written
    gone: list[str] = []

    def remove(start: int, end: int) -> None:
        gone.extend(there[start:end])
        call(live, "delete", {"ids": there[start:end]})

    # Some of those that were read; the last of them; most of them.
    before = {2: lambda: remove(3, 7), 3: lambda: remove(700, 754), 5: lambda: remove(20, 699)}
    found = read_while(meanwhile, live, before)
    assert {*there} - {*gone} <= found.keys() <= {*there}
    assert read_while(meanwhile, live, {}).keys() == {*there} - {*gone}


def test_a_memory_that_is_written_anew_while_it_is_read_is_read_once(meanwhile: Meanwhile) -> None:
    live = new_address({"distance": "l2"})
    fill(live, memory(1200))

    def write_anew() -> None:
        call(live, "delete", {"ids": ["m3", "m4"]})
        call(live, "upsert", {"ids": ["m3", "new"], "embeddings": [[1.0, 2.0, 3.0, 4.0]] * 2, "documents": ["a", "b"]})

    found = read_while(meanwhile, live, {3: write_anew})
    assert found.keys() == {f"m{n}" for n in range(1200)} | {"new"} and found["m3"]["text"] == "note 3"
    assert read_while(meanwhile, live, {})["m3"]["text"] == "a"


def test_a_collection_that_is_made_anew_while_it_is_read_is_read_to_its_end(meanwhile: Meanwhile) -> None:
    live = new_address({"distance": "l2"})
    fill(live, memory(600))

    def make_anew() -> None:
        call(live, "delete", {"ids": [f"m{n}" for n in range(600)]})
        call(live, "upsert", {"ids": ["new"], "embeddings": [[1.0, 2.0, 3.0, 4.0]], "documents": ["b"]})

    found = read_while(meanwhile, live, {2: make_anew})
    assert len(found) == 251 and "new" in found


def test_a_collection_that_never_rests_is_not_taken_for_read(meanwhile: Meanwhile, monkeypatch: Any) -> None:
    monkeypatch.setattr(chroma, "_MOST_IDS", 100)
    live = new_address({"distance": "l2"})
    fill(live, memory(600))
    order, kept = sorted(f"m{n}" for n in range(600)), Front.respond

    def respond(self: Front, request: HttpRequest) -> Said:
        if b'"include":[]' in request.body and order:
            call(live, "delete", {"ids": [order.pop(0)]})
        return kept(self, request)

    monkeypatch.setattr(Front, "respond", respond)
    with pytest.raises(StoreError, match="run the command again") as raised:
        read_while(meanwhile, live, {2: lambda: call(live, "delete", {"ids": [order.pop(0)]})})
    assert raised.value.code == "store-changed"


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_busy_server_is_asked_again(front: Front, status: int) -> None:
    live = new_address()
    fill(live, memory(5))
    busy = (status, {"Retry-After": "1"}, b'{"error":"RateLimit","message":"slow down"}')
    front.script = [busy, busy, None, busy]
    with ChromaStore.open(front.address(live)) as store:
        check_holds(store, memory(5))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html><title>Sign in</title></html>"),
        (404, b"<html>no</html>"),
        (404, b'{"detail":"Not Found"}'),
        (200, b'{"name":"agent"}'),
        (410, b'{"error":"Unimplemented","message":"The v1 API is deprecated"}'),
    ],
)
def test_what_is_not_chroma_is_said_to_be_something_else(front: Front, status: int, body: bytes) -> None:
    front.script = [(status, {}, body)]
    with pytest.raises(StoreError) as raised:
        ChromaStore.open(front.address(new_address()), create=True).describe()
    assert raised.value.code in ("store-answer", "store-missing")


@pytest.mark.parametrize(
    "page",
    [
        {"ids": ["a"], "embeddings": [[1.0], [2.0]]},
        {"ids": ["a"], "embeddings": []},
        {"embeddings": [[1.0]]},
        {"ids": 5},
    ],
)
def test_pages_that_do_not_fit_are_refused(front: Front, page: dict[str, Any]) -> None:
    live = new_address()
    fill(live, memory(1))
    front.script = [None, (200, {}, orjson.dumps(page))]
    assert attempt(lambda: read(front.address(live)))[1] == "store-answer"


def test_an_embedding_that_chroma_has_lost_is_named(front: Front) -> None:
    live = new_address()
    fill(live, memory(1))
    front.script = [None, (200, {}, b'{"ids":["a"],"embeddings":[[null,1.0]]}')]
    with pytest.raises(InvalidData, match="'a'") as raised:
        read(front.address(live))
    assert raised.value.code == "vector-type"


@pytest.mark.parametrize(
    ("location", "options"),
    [
        ("//host", {}),
        ("//host/ab", {}),
        ("//host/a b c", {}),
        ("//host/-abc", {}),
        ("//host/agent", {"distance": "L2"}),
    ],
)
def test_an_address_that_says_nothing_is_refused(location: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        ChromaStore.open(Address("chroma", location, options))
    assert raised.value.code == "bad-address"


# -- collections of others -------------------------------------------------------------------------------------------


def _as_others_made_it(live: Address) -> Callable[[], dict[str, Any]]:
    """Make a collection as others do, and return what reads it as they do: each record by its id."""
    base = f"http://127.0.0.1:{port()}{BASE}"
    name = live.location.rpartition("/")[2]
    made = httpx.post(base, json={"name": name}, timeout=60).raise_for_status().json()["id"]
    metadata = {"score": 1.0, "page": 1, "mixed": 1, "long": 0.9908333333333333, "id": "own", "list": [1.0, 2.0]}
    body = {
        "ids": ["a", "b", "c"], "embeddings": [[1.0, 0.0]] * 3, "documents": ["one", "two", "three"],
        "metadatas": [metadata, {**metadata, "mixed": 2.0}, {**metadata, "mixed": 0.5}],
    }  # fmt: skip
    httpx.post(f"{base}/{made}/upsert", json=body, timeout=60).raise_for_status()

    def held() -> dict[str, Any]:
        found = httpx.post(f"{base}/{made}/get", json={"include": ["documents", "metadatas"]}, timeout=60).json()
        return {
            each: {"text": text, **{name: (value, type(value)) for name, value in (metadata or {}).items()}}
            for each, text, metadata in zip(found["ids"], found["documents"], found["metadatas"], strict=True)
        }

    return held


def test_an_edit_leaves_all_else_as_others_wrote_it_types_too() -> None:
    live = new_address()
    held = _as_others_made_it(live)
    before = held()
    with ChromaStore.open(live) as store:
        records = sorted(each.record for batch in store.scan() for each in batch)
        value = records[1].to_json()
        value["metadata"]["score"] = 4
        edited = [records[0], from_json({**value, "text": "edited"}), records[2]]
        store.write(plan_between(records, edited))
    changed = {**before["b"], "text": "edited", "score": (4.0, float)}
    now = held()
    assert now.keys() == before.keys() and (now["a"], now["c"]) == (before["a"], before["c"])
    assert now["b"] == {**changed, **{name: now["b"][name] for name in ("long", "_vex") if name in now["b"]}}
    assert abs(now["b"]["long"][0] - before["b"]["long"][0]) < 1e-15
    with ChromaStore.open(live) as store:
        check_holds(store, edited)
        store.write(plan_between(edited, [edited[0]]))
    with ChromaStore.open(live, create=True) as store:
        store.write(plan_between([edited[0]], edited))
        check_holds(store, edited)
    now = held()
    assert now["c"]["score"] == before["c"]["score"] == (1.0, float) and now["c"]["page"] == (1, int)
    assert now["c"]["list"][0] == [1.0, 2.0] and {type(each) for each in now["c"]["list"][0]} == {float}
    # Another collection, made as that one was, has numbers of the same kinds.
    other = new_address()
    with ChromaStore.open(live) as store, ChromaStore.open(other, create=True) as copy:
        copy.write(plan_between([], edited, config=store.describe().config))
        check_holds(copy, edited)
        config = store.describe().config
    assert config["floats"] == ["list", "long", "score"]
    with ChromaStore.open(other) as copy:
        assert copy.describe().config["floats"] == config["floats"]
