"""What is particular to OpenSearch and Elasticsearch: mappings that refuse, outcomes in bulk, what goes wrong.

What only one of the two does, and the emulator does not, is held to the requests that are sent (see the fake's words).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import orjson
import pytest

from tests.contract import moving
from tests.contract.moving import fill, read
from tests.contract.opensearch_server import KEY, PASSWORD, USER, Front, call, new_index, port, put
from tests.hosting.scripted import Request, Said
from tests.property.strategies import attempt
from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import from_json
from vexrepo.objects.vector import Space, Vector
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores import opensearch_pages, point_store
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.opensearch import OpenSearchStore
from vexrepo.remotes.stores.opensearch_mapping import capabilities, fits, holds, holds_name, read_vectors
from vexrepo.remotes.stores.registry import open_store
from vexrepo.repository import Repository, Surroundings
from vexrepo.storage.ahead import Pool
from vexrepo.testing.stores import check_holds, plan_between

CLOCK = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))
KNN = {"type": "knn_vector", "dimension": 2, "method": {"name": "hnsw", "engine": "lucene", "space_type": "l2"}}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenSearchStore, "patience", Patience(sleep=lambda seconds: None))


@pytest.fixture
def fronts() -> Iterator[Callable[..., Front]]:
    made: list[Front] = []

    def front(*args: Any) -> Front:
        made.append(Front(*args))
        return made[-1]

    yield front
    for each in made:
        each.end()


@pytest.fixture
def front(fronts: Callable[..., Front]) -> Front:
    return fronts()


memory = partial(moving.memory, last=0.3)


def change(address: Address, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Write memories that are there back, edited."""
    with open_store(address) as store:
        held = [item.record for batch in store.scan() for item in batch]
        wanted = []
        for each in held:
            value = each.to_json()
            edit(value)
            wanted.append(from_json(value))
        store.write(plan_between(held, wanted))


def source(index: str, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = call("GET", f"/{index}/_doc/{identifier}")["_source"]
    return found


# -- a repository ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["opensearch", "elasticsearch"])
def test_a_commit_of_what_was_checked_out_is_the_same(tmp_path: Path, fronts: Callable[..., Front], kind: str) -> None:
    kept = Repository.init(tmp_path, Surroundings(now_us=lambda: next(CLOCK)))
    origin, index = Address("jsonl", str(tmp_path / "in.vmig.jsonl")), new_index()
    with JsonlStore.open(origin, create=True) as store:
        store.write(plan_between([], memory()))
    first = kept.commit("first", store=origin)
    assert first.id is not None
    live = fronts(kind).address(index)
    assert kept.checkout(first.id, live).verified == 30
    assert kept.status(live).is_clean
    second = kept.commit("how the index is set up", store=live)
    assert second.snapshot.records == first.snapshot.records
    assert attempt(lambda: kept.commit("again", store=live))[1] == "nothing-to-commit"
    put(index, {"m3": {**source(index, "m3"), "text": "other"}, "new": {"text": "learnt"}})
    call("DELETE", f"/{index}/_doc/m4?refresh=true")
    changes = {each.key.rpartition(b"\1")[2].decode(): each.kind for each in kept.diff_with_store(first.id, live)}
    assert changes == {"m3": "changed", "m4": "forgotten", "new": "learned"}
    kept.checkout(first.id, live, force=True)
    assert kept.status(live).is_clean and len(read(live)) == 30


def test_what_agents_find_is_plain(front: Front) -> None:
    index = new_index()
    value = {
        "id": "a", "text": "hello", "vector": [0.1, 2.0], "namespace": "n", "model": "m", "created_at": "2026-01-01",
        "metadata": {"importance": 3, "tags": ["x"], "deep": {"a": [None, {"b": 1}]}},
    }  # fmt: skip
    fill(front.address(index), [from_json(value)])
    found = source(index, "a")
    carried = found.pop("_vex")
    assert "0.1" not in carried and len(carried) < 60  # only that the numbers are short decimals
    assert found == {
        "text": "hello", "vector": [0.1, 2.0], "namespace": "n", "model": "m", "created_at": "2026-01-01",
        "importance": 3, "tags": ["x"], "deep": {"a": [None, {"b": 1}]},
    }  # fmt: skip
    mappings = call("GET", f"/{index}")[index]["mappings"]
    assert str(mappings["dynamic"]) == "false" and mappings["properties"]["vector"]["dimension"] == 2
    method = mappings["properties"]["vector"]["method"]
    assert (method["name"], method["engine"], method["space_type"]) == ("hnsw", "lucene", "cosinesimil")


# -- how an index is set up --------------------------------------------------------------------------------------------


def test_the_configuration_of_an_index_is_made_again(front: Front) -> None:
    old, new = new_index(), new_index()
    method = {
        "name": "hnsw",
        "engine": "faiss",
        "space_type": "innerproduct",
        "parameters": {"m": 24, "ef_construction": 99},
    }
    body = {
        "settings": {"index": {"knn": True, "knn.algo_param.ef_search": 77, "number_of_shards": 2,
                               "analysis": {"analyzer": {"mine": {"type": "standard"}}}}},
        "mappings": {
            "_meta": {"owner": "alice"},
            "properties": {
                "body": {"type": "text", "analyzer": "mine"}, "kind": {"type": "keyword"},
                "embedding": {"type": "knn_vector", "dimension": 4, "method": method},
                "title": {"type": "knn_vector", "dimension": 3, "method": method},
            },
        },
    }  # fmt: skip
    assert call("PUT", f"/{old}", body)["acknowledged"]
    put(old, {"a": {"body": "one", "kind": "k", "embedding": [1, 2, 3, 4], "title": [1, 2, 3]}})
    with open_store(front.address(old)) as store:
        config = store.describe().config
        records = [item.record for batch in store.scan() for item in batch]
    assert records[0].to_json()["vectors"] == {"title": [1, 2, 3]} and records[0].to_json()["text"] == "one"
    with open_store(front.address(new), create=True) as store:
        store.write(plan_between([], records, config=config))
        check_holds(store, records)
    made = call("GET", f"/{new}")[new]
    assert made["mappings"]["properties"]["embedding"]["method"] == method and made["mappings"]["_meta"] == {
        "owner": "alice"
    }
    assert made["mappings"]["properties"]["title"]["dimension"] == 3
    settings = made["settings"]["index"]
    kept = [name for name in config["settings"] if name.startswith("knn")]
    assert kept and settings["analysis"] and settings["number_of_shards"] == "1"
    assert settings == {**settings, **{name: call("GET", f"/{old}")[old]["settings"]["index"][name] for name in kept}}


def test_elasticsearch_is_asked_in_its_own_words(fronts: Callable[..., Front]) -> None:
    front, index = fronts("elasticsearch"), new_index()
    fill(front.address(index), memory(3))
    (made,) = [orjson.loads(body) for method, path, body in front.sent if (method, path) == ("PUT", f"/{index}")]
    assert made["mappings"]["properties"]["vector"] == {
        "type": "dense_vector", "dims": 4, "index": True, "similarity": "cosine"
    }  # fmt: skip
    assert "knn" not in made["settings"]["index"]
    front.sent.clear()
    assert len(read(front.address(index))) == 3
    searches = [orjson.loads(body) for method, path, body in front.sent if path == "/_search"]
    assert searches and all(each["_source"] == {"exclude_vectors": False} for each in searches)
    assert all(each["sort"] == ["_shard_doc"] for each in searches)
    assert [path for path in front.paths() if "pit" in path] == [f"POST /{index}/_pit", "DELETE /_pit"]
    for version in ("8.19.0", "9.1.4"):
        older = fronts("elasticsearch", version)
        assert read(older.address(index))["m1"]["vector"] == [2, 0.5, 2, 0.3]
    options = {"type": "int8_hnsw", "m": 32, "ef_construction": 50}
    kept = {"type": "dense_vector", "dims": 4, "similarity": "l2_norm", "index_options": options}
    other = new_index()
    with open_store(front.address(other), create=True) as store:
        config = {"mappings": {"properties": {"vec": kept}}, "settings": {"refresh_interval": "5s"}}
        store.write(plan_between([], memory(2), config=config))
        assert store.describe().config["mappings"]["properties"]["vec"] == kept
    assert call("GET", f"/{other}")[other]["settings"]["index"]["refresh_interval"] == "5s"


def test_a_dynamic_index_finds_everything_and_keeps_what_is_carried_out_of_it(front: Front) -> None:
    index = new_index()
    live = front.address(index, dynamic="1")
    fill(live, [from_json({"id": "a", "text": "x", "metadata": {"n": 1, "a.b": 2}})])
    properties = call("GET", f"/{index}")[index]["mappings"]["properties"]
    assert properties["n"]["type"] == "long" and properties["_vex"]["index"] is False
    wrong = [from_json({"id": "b", "text": "x", "metadata": {"n": "many"}})]
    fill(live, wrong)  # what a field's mapping would refuse is carried
    assert read(live)["b"]["metadata"] == {"n": "many"} and "n" not in source(index, "b")


def test_a_foreign_index_is_read_and_written_with_its_own_names(front: Front) -> None:
    index = new_index()
    body = {
        "settings": {"index": {"knn": True}},
        "mappings": {
            "dynamic": "strict",
            "properties": {
                "page_content": {"type": "text"}, "vector_field": KNN, "rank": {"type": "integer"},
                "metadata": {"type": "object", "dynamic": True, "properties": {"source": {"type": "keyword"}}},
            },
        },
    }  # fmt: skip
    assert call("PUT", f"/{index}", body)["acknowledged"]
    put(
        index,
        {
            "a": {"page_content": "one", "vector_field": [1, 2], "metadata": {"source": "s"}, "rank": 5},
            "b": {"page_content": "two", "vector_field": [0.1234567890123456, 2]},
        },
    )
    live = front.address(index)
    assert read(live) == {
        "a": {"id": "a", "text": "one", "vector": [1, 2], "metadata": {"metadata": {"source": "s"}, "rank": 5}},
        "b": {"id": "b", "text": "two", "vector": [0.1234567890123456, 2]},
    }
    change(live, lambda value: value.update(model="m", text=value["text"].upper()))
    found = read(live)
    assert found["a"]["model"] == "m" and found["b"]["vector"] == [0.1234567890123456, 2]
    held = source(index, "a")
    assert held.pop("_vex")
    assert held == {"page_content": "ONE", "vector_field": [1, 2], "metadata": {"source": "s"}, "rank": 5}
    assert read(front.address(index, text="rank"))["a"]["metadata"]["page_content"] == "ONE"


def test_an_edit_leaves_numbers_and_members_called_id_as_others_wrote_them(front: Front) -> None:
    index = new_index()
    assert call("PUT", f"/{index}", {"settings": {"index": {"knn": True}}, "mappings": {"properties": {"v": KNN}}})
    document = {"text": "one", "v": [0.7059025442445032, 0.1], "id": "own", "items": [{"id": 1}, {"b": 0.5}]}
    put(index, {"a": document, "b": document})
    live = front.address(index)
    change(live, lambda value: value.update(text="edited") if value["id"] == "a" else None)
    assert source(index, "a") == {**document, "text": "edited"} and source(index, "b") == document
    with open_store(live) as store:
        records = sorted(item.record for batch in store.scan() for item in batch)
        store.write(plan_between(records, records[:1]))
    with open_store(live) as store:
        store.write(plan_between(records[:1], records))
        check_holds(store, records)
    assert source(index, "b") == document


def test_documents_with_a_route_keep_it(front: Front) -> None:
    index = new_index()
    live = front.address(index)
    fill(live, memory(2))
    hits = {"_shards": {"failed": 0}, "hits": {"hits": [
        {"_id": "m0", "_routing": "r1", "_source": {"text": "a"}, "sort": [1]},
        {"_id": "m1", "_routing": "r2", "_source": {"text": "b"}, "sort": [2]},
    ]}}  # fmt: skip
    none: dict[str, Any] = {"_shards": {"failed": 0}, "hits": {"hits": []}}
    front.answers["POST /_search"] = lambda body: (200, none if b"search_after" in body else hits)
    with open_store(live) as store:
        held = [item.record for batch in store.scan() for item in batch]
        assert isinstance(store, OpenSearchStore)
        front.sent.clear()
        store.write(plan_between(held, [from_json({"id": "m0", "text": "new"})]))
    bulks = [body for _, path, body in front.sent if path.endswith("/_bulk")]
    assert b'{"index":{"_id":"m0","routing":"r1"}}' in bulks[0]
    assert bulks[1] == b'{"delete":{"_id":"m1","routing":"r2"}}\n'


# -- what is held ------------------------------------------------------------------------------------------------------


def test_names_values_and_mappings_that_refuse_are_known() -> None:
    assert all(map(holds, ["", None, True, (1 << 63) - 1, -0.0, 1e300, [], [1, "a", None], {"a": {"b": []}}]))
    assert not any(map(holds, [1 << 63, {"": 1}, {"a.b": 1}, [{" ": 1}]]))
    assert holds_name("名") and not any(map(holds_name, ["", " ", "a.b", "_id"]))
    right: list[tuple[dict[str, Any], list[Any]]] = [
        ({"type": "long"}, [1, [1, 2], None]),
        ({"type": "byte"}, [127]),
        ({"type": "long", "ignore_malformed": True}, ["x"]),
        ({"type": "float"}, [1, 0.5]),
        ({"type": "boolean"}, [True]),
        ({"type": "date"}, ["2026-01-01", "2026-01-01T00:00:00.123Z", 1780000000000]),
        ({"type": "keyword"}, ["x" * 32_766, 5]),
        ({"type": "keyword", "ignore_above": 10}, ["x" * 40_000]),
        ({"properties": {"n": {"type": "long"}}}, [{"n": 1, "m": "x"}]),
        ({"type": "geo_point"}, [{"lat": 1, "lon": 2}]),
    ]
    wrong: list[tuple[dict[str, Any], list[Any]]] = [
        ({"type": "long"}, ["1", 1 << 63, 0.5, {}, [1, "x"], True]),
        ({"type": "byte"}, [128]),
        ({"type": "double"}, ["x"]),
        ({"type": "boolean"}, ["yes"]),
        ({"type": "date"}, ["yesterday", 0.5]),
        ({"type": "keyword"}, ["x" * 32_767, {}]),
        ({"type": "text"}, [{}]),
        ({"type": "nested", "properties": {"n": {"type": "long"}}}, [{"n": "x"}, "x"]),
    ]
    assert [each for mapping, values in right for each in values if not fits(mapping, each)] == []
    assert [each for mapping, values in wrong for each in values if fits(mapping, each)] == []


def test_what_an_index_does_to_vectors_is_known() -> None:
    def vector(*numbers: float) -> Vector:
        return Vector(Space("", "dense", None, len(numbers), "f32"), np.array(numbers, "<f4").tobytes())

    def of(mapping: dict[str, Any], settings: dict[str, Any] | None = None) -> Any:
        found = read_vectors({"properties": {"vector": mapping}}, settings or {})
        flavour: Any = "opensearch" if mapping["type"] == "knn_vector" else "elasticsearch"
        return capabilities(flavour, {"properties": {"vector": mapping}}, {"": found["vector"]}, "vector")

    faiss = of({**KNN, "method": {"name": "hnsw", "engine": "faiss", "space_type": "cosinesimil"}})
    assert faiss.alters.is_same(vector(3, 4), vector(0.6, 0.8)) and not faiss.alters.is_same(vector(3, 4), vector(4, 3))
    lucene = of({**KNN, "method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}})
    assert not lucene.alters.is_same(vector(3, 4), vector(0.6, 0.8)) and not lucene.holds_vector(vector(0, 0))
    assert not of(KNN).alters and of(KNN).holds_vector(vector(0, 0))
    assert of({"type": "knn_vector", "dimension": 2}, {"knn": "true", "knn.space_type": "cosinesimil"}).alters
    byte = of({"type": "dense_vector", "dims": 2, "element_type": "byte", "similarity": "l2_norm"})
    assert byte.holds_vector(vector(-128, 127)) and not byte.holds_vector(vector(0.5, 1))
    assert not of({"type": "dense_vector", "dims": 2, "element_type": "bit"}).holds_vector(vector(1, 0))
    unit = of({"type": "dense_vector", "dims": 2, "similarity": "dot_product"})
    assert unit.holds_vector(vector(0.6, 0.8)) and not unit.holds_vector(vector(3, 4))
    assert not of({"type": "dense_vector", "dims": 2, "index": False}).alters


# -- reading -----------------------------------------------------------------------------------------------------------


def test_servers_without_an_order_of_shards_are_read_by_scroll(front: Front) -> None:
    index = new_index()
    fill(front.address(index), memory(300))
    refused = {"error": {"type": "query_shard_exception", "reason": "No mapping found for [_shard_doc]"}, "status": 400}
    front.answers["POST /_search"] = lambda body: (400, refused)
    pages = iter(range(0, 400, 100))

    def page(body: bytes) -> tuple[int, Any]:
        start = next(pages)
        names = [f"m{n}" for n in range(start, min(start + 100, 300))]
        hits = [{"_id": name, "_source": source(index, name)} for name in names]
        return 200, {"_scroll_id": "s1", "_shards": {"failed": 0}, "hits": {"hits": hits}}

    front.answers[f"POST /{index}/_search"] = page
    front.answers["POST /_search/scroll"] = page
    front.answers["DELETE /_search/scroll"] = lambda body: (200, {"succeeded": True})
    front.sent.clear()
    assert len(read(front.address(index))) == 300
    assert orjson.loads(front.sent[-1][2]) == {"scroll_id": "s1"} and front.sent[-1][0] == "DELETE"
    assert "DELETE /_search/point_in_time" in front.paths()


def test_a_search_that_is_left_in_the_middle_is_ended_when_the_store_is_closed(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point_store, "LEFT_S", 120)
    index = new_index()
    fill(front.address(index), memory(300))
    front.sent.clear()
    with OpenSearchStore.open(front.address(index)) as store:
        left = store.scan()
        next(left)
    del left
    assert front.paths().count("DELETE /_search/point_in_time") == 1


class Slow(Front):
    """Gives some answer only once the store is being closed."""

    def __init__(self, path: str) -> None:
        self.slow = path
        self.is_asked, self.may_answer = Event(), Event()
        super().__init__()

    def respond(self, request: Request) -> Said:
        told = super().respond(request)
        if request.path.endswith(self.slow):
            self.is_asked.set()
            assert self.may_answer.wait(120)
        return told


@pytest.mark.parametrize(
    ("slow", "has_order", "ending"),
    [
        ("/_search/point_in_time", True, "DELETE /_search/point_in_time"),
        ("/_search", True, "DELETE /_search/point_in_time"),
        ("/_search", False, "DELETE /_search/scroll"),
    ],
)
def test_a_search_that_begins_while_the_store_is_closed_is_ended(
    monkeypatch: pytest.MonkeyPatch, slow: str, has_order: bool, ending: str
) -> None:
    index = new_index()
    fill(Address("opensearch", f"//127.0.0.1:{port()}/{index}"), memory(300))
    front = Slow(slow)
    leave = Pool.leave

    def then_answer(pool: Pool) -> None:
        leave(pool)
        front.may_answer.set()

    monkeypatch.setattr(Pool, "leave", then_answer)
    monkeypatch.setattr(point_store, "LEFT_S", 120)
    if not has_order:
        page = {"_scroll_id": "s1", "_shards": {"failed": 0}, "hits": {"hits": [{"_id": "m1", "_source": {}}]}}
        front.answers["POST .*/_search/point_in_time"] = lambda body: (400, {"error": {"reason": "no"}})
        front.answers[f"POST /{index}/_search"] = lambda body: (200, page)
        front.answers["DELETE /_search/scroll"] = lambda body: (200, {"succeeded": True})
    try:
        store = OpenSearchStore.open(front.address(index))
        reader = Thread(target=lambda: attempt(lambda: [*store.scan()]), daemon=True)
        reader.start()
        assert front.is_asked.wait(120)
        store.close()
        reader.join(120)
    finally:
        front.may_answer.set()
        front.end()
    assert front.paths().count(ending) == 1


def test_shards_that_do_not_answer_are_not_taken_for_forgotten_memories(front: Front) -> None:
    index = new_index()
    fill(front.address(index), memory(3))
    for told in ({"_shards": {"failed": 1}, "hits": {"hits": []}}, {"timed_out": True, "hits": {"hits": []}}):
        front.answers["POST /_search"] = lambda body, told=told: (200, told)
        assert attempt(lambda: read(front.address(index)))[1] == "store-busy"


def test_an_index_that_keeps_no_documents_or_stands_for_several_is_refused(front: Front) -> None:
    index = new_index()
    call("PUT", f"/{index}", {})
    for said in ({"enabled": False}, {"excludes": ["vector"]}, {"includes": ["text"]}):
        info = {index: {"mappings": {"_source": said}, "settings": {"index": {}}}}
        front.answers[f"GET /{index}"] = lambda body, info=info: (200, info)
        assert attempt(lambda: read(front.address(index)))[1] == "store-schema"
    two = {name: {"mappings": {}, "settings": {}} for name in ("a", "b")}
    front.answers[f"GET /{index}"] = lambda body: (200, two)
    with pytest.raises(StoreError, match="2 indexes") as raised:
        read(front.address(index))
    assert raised.value.code == "store-schema"


def test_pages_shrink_where_documents_are_large_and_nothing_is_missed(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opensearch_pages, "_PAGE_BYTES", 100_000)
    index = new_index()
    long = [from_json({"id": str(n), "text": "x" * 1000, "vector": [1.0, 2]}) for n in range(700)]
    fill(front.address(index), long)
    front.sent.clear()
    with open_store(front.address(index)) as store:
        check_holds(store, long)
    assert 7 <= front.paths().count("POST /_search") < 40


def test_a_vector_that_is_something_else_is_named(front: Front) -> None:
    index = new_index()
    fill(front.address(index), memory(1))
    hit = {"_id": "a", "_source": {"vector": ["x"]}, "sort": [1]}
    front.answers["POST /_search"] = lambda body: (200, {"hits": {"hits": [hit]}})
    with pytest.raises(InvalidData, match="'a'") as raised:
        read(front.address(index))
    assert raised.value.code == "vector-type"


# -- writing -----------------------------------------------------------------------------------------------------------


def test_requests_stay_below_ten_megabytes(front: Front) -> None:
    numbers = np.random.default_rng(1).normal(size=(1500, 768)).astype("<f4")
    many = [
        from_json({"id": f"m{n}", "text": "x" * 200, "vector": row.tolist(), "dims": 768})
        for n, row in enumerate(numbers)
    ]
    index = new_index()
    fill(front.address(index), many)
    sizes = [len(body) for _, path, body in front.sent if path.endswith("/_bulk")]
    assert len(sizes) >= 2 and max(sizes) < 10 << 20
    assert call("GET", f"/{index}/_count")["count"] == 1500


def test_other_dimensions_are_refused_before_anything_is_written(front: Front) -> None:
    live = front.address(new_index())
    fill(live, memory(2))
    records = [*memory(5), from_json({"id": "odd", "text": "a", "vector": [1.0, 2.0]})]
    with pytest.raises(StoreError, match="nothing was written") as raised:
        fill(live, records)
    assert raised.value.code == "store-dims" and len(read(live)) == 2


def test_batches_are_halved_until_the_server_takes_them(front: Front) -> None:
    live = front.address(new_index())
    front.most_bytes = 20_000
    fill(live, memory(400))
    assert len(read(live)) == 400


def items(body: bytes, status: Callable[[int], int], only: str | None = None) -> tuple[int, Any]:
    """Return outcomes for the actions of a request: by their place, or of one document alone."""
    names = [orjson.loads(line)["index"]["_id"] for line in body.splitlines()[::2]]
    error = {"type": "es_rejected_execution_exception", "reason": "no room"}
    told = [
        {"index": {"_id": name, "status": code, **({} if code < 300 else {"error": error})}}
        for at, name in enumerate(names)
        if (code := 201 if only not in (None, name) else status(at))
    ]
    return 200, {"errors": True, "items": told}


def test_documents_for_which_there_was_no_room_are_sent_again(front: Front) -> None:
    index = new_index()
    live = front.address(index)
    fill(live, memory(1))
    rounds: list[int] = []

    def busy(body: bytes) -> tuple[int, Any]:
        rounds.append(len(body.splitlines()) // 2)
        if len(rounds) == 3:
            del front.answers[f"POST /{index}/_bulk"]
        return items(body, lambda at: 429 if at % 2 else 201)

    front.answers[f"POST /{index}/_bulk"] = busy
    fill(live, memory(40))
    assert rounds == [40, 20, 10]
    front.answers[f"POST /{index}/_bulk"] = lambda body: items(body, lambda at: 503)
    with pytest.raises(StoreError, match="goes on where it stopped") as raised:
        fill(live, memory(40))
    assert raised.value.code == "store-busy"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "store-cannot-hold"), (403, "store-refused"), (500, "store-answer")]
)
def test_a_document_that_is_refused_is_named_and_a_second_run_completes(front: Front, status: int, code: str) -> None:
    index = new_index()
    live = front.address(index)
    fill(live, memory(1))
    front.answers[f"POST /{index}/_bulk"] = lambda body: items(body, lambda at: status, "m15")
    with pytest.raises(StoreError, match=r"'m15'.*no room.*run the command again") as raised:
        fill(live, memory(40))
    assert raised.value.code == code
    front.answers.clear()
    with open_store(live, create=True) as store:
        held = [item.record for batch in store.scan() for item in batch]
        store.write(plan_between(held, memory(40)))
        check_holds(store, memory(40))


@pytest.mark.parametrize("kind", ["opensearch", "elasticsearch"])
def test_a_read_asks_first_that_what_was_just_written_be_shown(fronts: Callable[..., Front], kind: str) -> None:
    front, index = fronts(kind), new_index()
    fill(front.address(index), memory(3))
    front.sent.clear()
    assert len(read(front.address(index))) == 3
    paths = front.paths()
    searches = [at for at, each in enumerate(paths) if "_search" in each or "_pit" in each]
    assert paths.index(f"POST /{index}/_refresh") < min(searches)


def test_an_answer_that_does_not_fit_the_request_is_refused(front: Front) -> None:
    index = new_index()
    live = front.address(index)
    fill(live, memory(1))
    front.answers[f"POST /{index}/_bulk"] = lambda body: (200, {"errors": False, "items": []})
    assert attempt(lambda: fill(live, memory(3)))[1] == "store-answer"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(front: Front, status: int) -> None:
    live = front.address(new_index())
    fill(live, memory(5))
    busy = (status, {"Retry-After": "1"}, b'{"error":{"reason":"slow down"},"status":429}')
    front.script = [busy, busy, None, busy]
    assert len(read(live)) == 5


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_missing_index_is_named_and_a_server_that_is_down(front: Front) -> None:
    with pytest.raises(StoreError, match="check the name") as raised:
        read(front.address(new_index()))
    assert raised.value.code == "store-missing"
    front.end()
    with pytest.raises(StoreError, match="is it running") as raised:
        read(front.address(new_index()))
    assert raised.value.code == "store-unreachable"


@pytest.mark.parametrize("kind", ["opensearch", "elasticsearch"])
def test_a_password_is_wanted_sent_and_never_shown(fronts: Callable[..., Front], kind: str) -> None:
    front, index = fronts(kind), new_index()
    front.want()
    live = front.address(index, {"password": PASSWORD}, USER)
    fill(live, memory(3))
    assert len(read(live)) == 3
    for secrets in ({}, {"password": "wr0ng"}):
        with pytest.raises(StoreError, match=f"{kind.upper()}_PASSWORD") as raised:
            read(front.address(index, secrets, USER))
        assert raised.value.code == "store-refused" and "wr0ng" not in str(raised.value)
    if kind == "elasticsearch":
        assert len(read(front.address(index, {"api_key": KEY}))) == 3


def test_a_secret_goes_by_https_unless_it_stays_on_this_machine() -> None:
    for host, wanted in (("example.org", "https://example.org:9200"), ("127.0.0.1", "http://127.0.0.1:9200")):
        address = Address("opensearch", f"//me@{host}/agent", {}, {"password": lambda: PASSWORD})
        assert OpenSearchStore(address).http.base_url == wanted


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html><title>Sign in</title></html>"),
        (404, b"<html>no</html>"),
        (404, b'{"detail":"Not Found"}'),
        (200, b'{"agent":{"aliases":{}}}'),
    ],
)
def test_what_is_no_search_server_is_said_to_be_something_else(front: Front, status: int, body: bytes) -> None:
    front.script = [(status, {}, body)]
    with pytest.raises(StoreError) as raised:
        open_store(front.address(new_index()), create=True).describe()
    assert raised.value.code in ("store-answer", "store-missing")


@pytest.mark.parametrize(
    ("location", "options"),
    [
        ("//host", {}),
        ("//host/Agent", {}),
        ("//host/_all", {}),
        ("//host/a,b", {}),
        ("//host/agent", {"similarity": "cosine"}),
        ("//host/agent", {"dynamic": "strict"}),
    ],
)
def test_an_address_that_says_nothing_is_refused(location: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        OpenSearchStore.open(Address("opensearch", location, options))
    assert raised.value.code == "bad-address"
