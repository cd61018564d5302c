"""What is particular to Qdrant: its ids, its metrics, how collections are set up, what goes wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.contract.moving import commit_file, fill, memory, read, repository
from tests.contract.qdrant_server import CONFORMANCE, QdrantServer, Refused
from tests.node import missing
from tests.property.strategies import attempt
from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import from_json
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.qdrant import QdrantStore
from vexrepo.remotes.stores.qdrant_config import holds
from vexrepo.testing.stores import check_holds, plan_between

DOT = {"size": 4, "distance": "Dot"}
KEY = "k3y/of the server"


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    found = QdrantServer()
    yield found
    found.end()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QdrantStore, "patience", Patience(sleep=lambda seconds: None))


def test_the_server_of_these_tests_is_held_to_the_published_description(server: QdrantServer) -> None:
    if CONFORMANCE is None:
        missing("qdrant-openapi.json beside the project")
    path = "/collections/agent/points"
    good = {"points": [{"id": 1, "vector": {}, "payload": {}}]}
    assert CONFORMANCE.request_fault("PUT", path, {"wait": "true"}, good) is None
    for bad in (
        {"points": [{"id": -1, "vector": {}}]},
        {"points": [{"id": 1 << 64, "vector": {}}]},
        {"points": [{"id": "m1", "vector": {}}]},
        {"points": [{"id": 1}]},
        {"points": [{"id": 1, "vector": {}, "payloads": {}}]},
        {"points": [{"id": 1, "vector": [None]}]},
        {},
    ):
        assert CONFORMANCE.request_fault("PUT", path, {}, bad) is not None, bad
    assert CONFORMANCE.request_fault("PUT", path, {"waits": "true"}, good) is not None
    assert CONFORMANCE.request_fault("POST", "/collections/agent/point", {}, good) is not None
    assert CONFORMANCE.answer_fault("GET", "/collections/agent", 200, {"result": {"status": "green"}}) is not None


@pytest.mark.parametrize("distance", ["Cosine", "Dot", "Euclid", "Manhattan"])
def test_a_commit_of_what_was_checked_out_is_the_same(tmp_path: Path, server: QdrantServer, distance: str) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory())
    live = server.address(options={"distance": distance})
    done = kept.checkout(first, live)
    assert done.verified == 30
    assert kept.status(live).is_clean
    again = kept.commit("how the collection is set up", store=live)
    assert again.snapshot.records == kept.snapshot_of(first).records
    assert again.snapshot.collections["qdrant"]["vectors"] == {"": {"size": 4, "distance": distance}}
    assert attempt(lambda: kept.commit("again", store=live))[1] == "nothing-to-commit"
    assert kept.checkout(again.id, live).outflow.is_empty


def test_an_agents_edits_count_and_nothing_else(tmp_path: Path, server: QdrantServer) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory())
    live = server.address()
    kept.checkout(first, live)
    points = {each["payload"]["text"]: each for each in server.written}
    edited = points["note 3"]
    server.put("agent", [{**edited, "vector": [9.0, 0, 0, 0]}])
    server.put("agent", [{"id": 7, "vector": [0.5, 0.5, 0.5, 0.5], "payload": {"text": "new", "tags": ["a"]}}])
    changes = {change.key.rpartition(b"\1")[2].decode(): change.kind for change in kept.diff_with_store(first, live)}
    assert len(changes) == 2 and set(changes) == {"m3", "7"}


def test_ids_that_qdrant_takes_are_kept_and_others_are_mapped(server: QdrantServer) -> None:
    uuid = "8ac1c623-a897-4cd0-8d32-383f79ffc623"
    ids = ["0", "1", "18446744073709551615", uuid, uuid.upper(), "18446744073709551616", "007", "m1", ""]
    records = [from_json({"id": each, "text": each or "-", "vector": [1.0, 2, 3, 4]}) for each in ids if each]
    fill(server.address(options={"distance": "Dot"}), records)
    native = {each["payload"]["text"]: each["id"] for each in server.written}
    assert [native[each] for each in ids[:4]] == [0, 1, (1 << 64) - 1, uuid]
    assert all(native[each] != each and len(native[each]) == 36 for each in ids[4:] if each)
    with QdrantStore.open(server.address()) as store:
        check_holds(store, records)


def test_reading_goes_on_past_a_page_that_begins_with_point_0(server: QdrantServer) -> None:
    server.make("agent", DOT)
    server.put("agent", [{"id": n, "vector": [1, 1, 1, 1.0], "payload": {"text": f"t{n}"}} for n in range(3)])
    whole = server.answer(
        "POST", "/collections/agent/points/scroll", {}, {"limit": 9, "with_payload": True, "with_vector": True}
    )
    for one, after in (([], 0), (whole["points"][:1], 1), (whole["points"][1:], None)):
        body = orjson.dumps(
            {"result": {"points": one, "next_page_offset": after}, "status": "ok", "time": 0.1},
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        server.script.append((200, {}, body))
    with QdrantStore(server.address()) as store:
        assert [point.id for batch in store.read_points() for point in batch] == ["0", "1", "2"]


def test_pages_shrink_where_points_are_large_and_nothing_is_missed(server: QdrantServer) -> None:
    long = [from_json({"id": str(n), "text": "x" * 300_000, "vector": [1.0, 2, 3, 4]}) for n in range(150)]
    fill(server.address(options={"distance": "Dot"}), long)
    scrolls = server.collections["agent"].scrolls
    with QdrantStore.open(server.address()) as store:
        check_holds(store, long)
    assert server.collections["agent"].scrolls - scrolls > 4


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"distance": "Dot"}, None),
        ({"distance": "Cosine"}, "scales to length 1"),
        ({"distance": "Dot", "datatype": "float16"}, "rounds to half precision"),
        ({"distance": "Cosine", "datatype": "float16"}, "scales to length 1 and rounds to half precision"),
        ({"distance": "Cosine", "datatype": "uint8"}, None),
        ({"distance": "Euclid", "datatype": "uint8"}, None),
    ],
)
def test_what_a_collection_does_to_vectors_shows_as_no_change(
    server: QdrantServer, params: dict[str, Any], words: str | None
) -> None:
    server.make("agent", {"size": 4, **params})
    vectors = [
        [0.1, 0.2, 0.3, 0.4], [3.0, 4.0, 0.0, 255.0], [0.0, 0.0, 0.0, 0.0], [-0.0, 1.0, 2.0, 3.0],
        [-1.0, 2.0, 7e4, 1.0], [3e38, 3e38, 3e38, 1.0], [1e-40, 1e-30, 0.0, 0.0], [1e-45, 1e20, 1.0, 1.0],
        [1.0, 0.0, 0.0, 0.0], [0.12345678901234567, 1.0, 1.0, 1.0],
    ]  # fmt: skip
    records = [from_json({"id": str(n), "text": "a", "vector": each}) for n, each in enumerate(vectors)]
    fill(server.address(), records)
    with QdrantStore.open(server.address()) as store:
        assert store.can.describe()["alters_vectors"] == words
        check_holds(store, records)


def test_a_collection_whose_vectors_cannot_be_told_is_read_and_not_written(server: QdrantServer) -> None:
    server.make("agent", {"size": 4, "distance": "Dot", "datatype": "turbo4"})
    server.put("agent", [{"id": 1, "vector": [1.0, 2, 3, 4], "payload": {"text": "a"}}])
    assert len(read(server.address())) == 1
    with pytest.raises(StoreError, match="turbo4") as raised:
        fill(server.address(), memory(1))
    assert raised.value.code == "store-cannot-hold" and not server.written


def test_named_sparse_and_multi_vectors_lie_in_the_places_a_collection_has(server: QdrantServer) -> None:
    server.make(
        "agent",
        {"": DOT, "title": {"size": 2, "distance": "Dot"},
         "late": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}},
        sparse_vectors={"words": {"modifier": "idf"}},
    )  # fmt: skip
    values = [
        {"id": "1", "vector": [1.0, 2, 3, 4], "vectors": {"title": [1.0, 2], "late": [[1.0, 2], [3.0, 4]]}},
        {"id": "2", "vectors": {"words": {"indices": [1, 4294967295], "values": [0.5, 0.1]}}},
        {"id": "3", "vectors": {"words": {"indices": [9, 1], "values": [0.5, 0.1]}}},  # not in order
        {"id": "4", "vectors": {"words": {"indices": [1, 1], "values": [0.5, 0.1]}}},
        {"id": "5", "vector": [1.0, 2, 3, 4], "vectors": {"other": [1.0], "late": [1.0, 2]}},
        {"id": "6", "text": "no vector"},
    ]
    records = [from_json(each) for each in values]
    fill(server.address(), records)
    native = {each["id"]: each["vector"] for each in server.written}
    assert native[1].keys() == {"", "title", "late"} and native[2].keys() == {"words"}
    assert native[3] == native[4] == native[6] == {} and native[5] == [1.0, 2.0, 3.0, 4.0]
    with QdrantStore.open(server.address()) as store:
        check_holds(store, records)


def test_a_new_collection_has_a_place_for_every_vector(server: QdrantServer) -> None:
    values = [
        {"id": "1", "vector": [1.0, 2, 3], "vectors": {"title": [1.0, 2], "a/b": [1.0]}},
        {"id": "2", "vectors": {"words": {"indices": [1], "values": [0.5]}}},
    ]
    records = [from_json(each) for each in values]
    fill(server.address(options={"distance": "Dot"}), records)
    made = server.collections["agent"].made
    assert {name: each["size"] for name, each in made["vectors"].items()} == {"": 3, "title": 2}
    assert made["sparse_vectors"] == {"words": {}}
    with QdrantStore.open(server.address()) as store:
        check_holds(store, records)


def test_the_configuration_of_a_collection_is_made_again(tmp_path: Path, server: QdrantServer) -> None:
    vectors = {
        "": {"size": 4, "distance": "Euclid", "on_disk": True, "hnsw_config": {"m": 32}},
        "late": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}},
        "small": {"size": 3, "distance": "Manhattan", "datatype": "uint8"},
    }
    server.make(
        "old", vectors,
        sparse_vectors={"words": {"modifier": "idf", "index": {"on_disk": True}}},
        hnsw_config={"m": 24, "ef_construct": 200, "full_scan_threshold": 0},
        optimizers_config={"indexing_threshold": 5000},
        quantization_config={"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}},
        strict_mode_config={"enabled": True, "upsert_max_batchsize": 7},
        metadata={"owner": "alice", "none": None},
    )  # fmt: skip
    server.collections["old"].indexes = {
        "namespace": "keyword",
        "n": {"type": "integer", "lookup": True, "range": False},
    }
    server.put("old", [{"id": n, "vector": {"": [1.0, 2, 3, n]}, "payload": {"text": "a"}} for n in range(7)])
    kept = repository(tmp_path)
    first = kept.commit("as it is", store=server.address("old")).id
    assert first is not None
    kept.checkout(first, server.address("new"))
    made, again = server.collections["new"], server.collections["old"]
    assert made.made["vectors"] == vectors
    assert made.made["sparse_vectors"] == again.made["sparse_vectors"]
    for name in ("quantization_config", "strict_mode_config", "metadata"):
        assert made.made[name] == again.made[name]
    assert made.made["hnsw_config"] == {
        "m": 24, "ef_construct": 200, "full_scan_threshold": 10, "max_indexing_threads": 0, "on_disk": False
    }  # fmt: skip
    assert made.made["optimizers_config"]["indexing_threshold"] == 5000
    assert made.indexes == {"namespace": {"type": "keyword"}, "n": again.indexes["n"]}
    with QdrantStore.open(server.address("old")) as one, QdrantStore.open(server.address("new")) as two:
        before, after = one.describe().config, two.describe().config
    before["hnsw_config"]["full_scan_threshold"] = 10
    assert after == before


@pytest.mark.parametrize("name", ["document", "page_content", "data"])
def test_a_foreign_collection_is_read_and_written_with_its_own_names(server: QdrantServer, name: str) -> None:
    server.make("agent", {"size": 4, "distance": "Cosine"})
    payload = {name: "The tide table", "user_id": "u1", "hash": "x", "deep": {"a": [1, None]}, "n": 0.1}
    server.put("agent", [{"id": n, "vector": [0.0, 1, 0, 0], "payload": payload} for n in range(5)])
    found = read(server.address())["3"]
    assert found["text"] == "The tide table"
    assert found["metadata"] == {each: value for each, value in payload.items() if each != name}
    assert "created_at" not in found and "namespace" not in found
    fill(server.address(), [from_json({"id": "9", "text": "new", "vector": [1.0, 0, 0, 0]})])
    assert server.written[-1]["payload"] == {name: "new"}


def test_the_text_can_be_named_in_the_address(server: QdrantServer) -> None:
    server.make("agent", DOT)
    server.put("agent", [{"id": 1, "vector": {}, "payload": {"note": "this", "text": "not this"}}])
    found = read(server.address(options={"text": "note"}))["1"]
    assert found["text"] == "this" and found["metadata"] == {"text": "not this"}


def test_a_collection_made_as_another_one_was_calls_its_text_as_that_did(server: QdrantServer) -> None:
    server.make("lc", {"size": 2, "distance": "Dot"})
    points = [{"id": 1, "vector": [1.0, 2.0], "payload": {"page_content": "one", "id": "own", "metadata": {"a": None}}}]
    server.put("lc", points)
    before = server.points("lc")
    with QdrantStore.open(server.address("lc")) as store:
        records = [item.record for batch in store.scan() for item in batch]
        with QdrantStore.open(server.address("copy"), create=True) as copy:
            copy.write(plan_between([], records, config=store.kept_config()))
    assert server.points("copy") == before
    with QdrantStore.open(server.address("copy")) as copy:
        check_holds(copy, records)
    with QdrantStore.open(server.address("named", {"text": "story"}), create=True) as copy:
        copy.write(plan_between([], records, config={"text_field": "page_content"}))
    assert server.points("named")[0]["payload"]["story"] == "one"


def test_what_the_original_tool_wrote_is_read(server: QdrantServer) -> None:
    """As it sends it: numbers for ids that look like one, empty text for what a memory has not, metadata that wins."""
    server.make("agent", {"size": 3, "distance": "Cosine"})
    vector = [0.1, 0.2, 0.3]
    points: list[dict[str, Any]] = [
        {"id": 12, "payload": {"text": "int", "namespace": "n1", "model": "", "created_at": 1780525199}},
        {"id": 9007199254740992, "payload": {"text": "big", "namespace": "", "model": "", "created_at": ""}},
        {
            "id": "5c56c793-69f3-4fbf-87e6-c4bf54c28c26",
            "payload": {
                "text": "META OVERRIDES", "namespace": "metaNS", "model": "x", "created_at": "2026-05-29T10:23:00.000Z",
                "tags": ["a", "b"], "importance": 4,
            },
        },
    ]  # fmt: skip
    server.put("agent", [{**each, "vector": vector} for each in points])
    found = read(server.address())
    for each in found.values():
        assert [round(x, 6) for x in each.pop("vector")] == [0.267261, 0.534522, 0.801784]
    assert found["12"] == {"id": "12", "text": "int", "namespace": "n1", "model": "", "created_at": 1780525199}
    assert found["9007199254740992"]["text"] == "big"
    assert found["5c56c793-69f3-4fbf-87e6-c4bf54c28c26"] == {
        "id": "5c56c793-69f3-4fbf-87e6-c4bf54c28c26", "text": "META OVERRIDES", "namespace": "metaNS", "model": "x",
        "created_at": "2026-05-29T10:23:00.000Z", "metadata": {"tags": ["a", "b"], "importance": 4},
    }  # fmt: skip


def test_numbers_that_its_parser_would_bend_are_carried(server: QdrantServer) -> None:
    assert all(map(holds, [0.5, -0.0, 0.1, 1e22, 123456789.25, 1e-7, 5, -(1 << 63), (1 << 64) - 1]))
    assert all(map(holds, [0.1 + 0.2, [[0.12345678901234568]]]))
    assert not any(map(holds, [0.9908333333333333, 1e-30, 2.2790121708605243e274, 1 << 64, [[0.9908333333333333]]]))
    deep: Any = 1
    for _ in range(90):
        deep = [deep]
    assert not holds(deep)
    values = [0.9908333333333333, 2.7715077941825975e-163, 0.1, 5e-324, 1e300]
    metadata = {"list": values, "n": {"of": values[0], "by": "me"}, "whole": 1 << 64, "deep": deep}
    records = [from_json({"id": "1", "vector": [1.0, 1, 1, 1], "metadata": metadata})]
    fill(server.address(), records)
    (held,) = (each["payload"] for each in server.points("agent"))
    # What others look for is there, though it be a last digit off; the record is exact.
    assert held.keys() == {"list", "n", "_vex"} and held["n"]["by"] == "me"
    assert held["n"]["of"] == 0.9908333333333332 and [round(x, 3) for x in held["list"]] == [
        0.991,
        0.0,
        0.1,
        0.0,
        1e300,
    ]
    with QdrantStore.open(server.address()) as store:
        check_holds(store, records)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_missing_collection_is_named(server: QdrantServer) -> None:
    with pytest.raises(StoreError, match="agent; check the name") as raised:
        QdrantStore.open(server.address())
    assert raised.value.code == "store-missing"


def test_a_server_that_is_down_is_named() -> None:
    found = QdrantServer()
    address = found.address()
    found.end()
    with pytest.raises(StoreError, match="is it running") as raised:
        QdrantStore.open(address)
    assert raised.value.code == "store-unreachable"


def test_a_key_is_wanted_sent_and_never_shown(server: QdrantServer) -> None:
    server.key, server.read_only_key = KEY, "only looking"

    def with_key(key: str) -> Address:
        secrets: dict[str, Callable[[], str]] = {"api_key": lambda: key}
        return server.address(secrets=secrets)

    fill(with_key(KEY), memory(3))
    assert len(read(with_key("only looking"))) == 3
    for address in (server.address(), with_key("wr0ng key")):
        with pytest.raises(StoreError, match="QDRANT_API_KEY") as raised:
            QdrantStore.open(address)
        assert raised.value.code == "store-refused" and "wr0ng" not in str(raised.value)
    with pytest.raises(StoreError, match="may read and write") as raised:
        fill(with_key("only looking"), memory(5))
    assert raised.value.code == "store-refused" and "only looking" not in str(raised.value)
    assert KEY not in repr(with_key(KEY)) + str(with_key(KEY))


def test_other_dimensions_are_refused_before_anything_is_written(server: QdrantServer) -> None:
    server.make("agent", DOT)
    records = [*memory(3), from_json({"id": "odd", "text": "a", "vector": [1.0, 2.0]})]
    assert attempt(lambda: fill(server.address(), records))[1] == "store-dims"
    assert not server.written


def test_batches_are_halved_until_the_server_takes_them(server: QdrantServer) -> None:
    server.most_points = 40
    fill(server.address(options={"distance": "Dot"}), memory(300))
    with QdrantStore.open(server.address()) as store:
        check_holds(store, memory(300))


def test_batches_are_no_larger_than_strict_mode_allows(server: QdrantServer) -> None:
    server.make("agent", DOT, strict_mode_config={"enabled": True, "upsert_max_batchsize": 11})
    fill(server.address(), memory(100))
    assert len(server.written) == 100


def test_no_request_is_larger_than_a_server_takes_by_default(server: QdrantServer) -> None:
    import numpy as np

    rows = np.random.default_rng(1).standard_normal((200, 4096)).astype("<f4") / 1e20  # long in JSON
    long = [from_json({"id": str(n), "text": "t" * 5000, "vector": row.tolist()}) for n, row in enumerate(rows)]
    fill(server.address(options={"distance": "Euclid"}), long)
    asked = [each for each in server.asked if each.startswith("PUT") and each.endswith("/points")]
    assert 1 < len(asked) < 6 and len(server.written) == 200


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_busy_server_is_asked_again(server: QdrantServer, status: int) -> None:
    said = orjson.dumps({"status": {"error": "Rate limiting exceeded"}, "time": 0.1})
    server.make("agent", DOT)
    server.script = [None, None, None, *[(status, {"Retry-After": "1"}, said)] * 2]
    fill(server.address(reach=Reach(concurrency=1)), memory(300))
    with QdrantStore.open(server.address()) as store:
        check_holds(store, memory(300))


def test_an_interrupted_checkout_goes_on_where_it_stopped(tmp_path: Path, server: QdrantServer) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(900))
    live = server.address(reach=Reach(concurrency=1))
    server.make("agent", DOT)
    original = server.answer
    left = [2]

    def failing(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if method == "PUT":
            left[0] -= 1
            if left[0] < 0:
                raise Refused(500, "Service internal error: disk is full")
        return original(method, path, query, body)

    server.answer = failing  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="disk is full") as raised:
        kept.checkout(first, live)
    assert raised.value.code == "store-unreachable"
    half = len(server.written)
    assert half >= 512
    server.answer = original  # type: ignore[method-assign]
    server.written.clear()
    assert kept.checkout(first, live).verified == 900
    assert len(server.written) == 900 - 512


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html><title>Sign in</title></html>"),
        (404, b"<html>no</html>"),
        (404, b'{"detail":"Not Found"}'),
        (200, b'{"collections":[]}'),
        (200, b'{"result":{"status":"green"}}'),
        (200, b"[]"),
    ],
)
def test_what_is_not_qdrant_is_said_to_be_something_else(server: QdrantServer, status: int, body: bytes) -> None:
    server.script = [(status, {}, body)]
    with pytest.raises(StoreError) as raised:
        QdrantStore.open(server.address(), create=True).describe()
    assert raised.value.code == "store-answer"


@pytest.mark.parametrize(
    ("point", "code"),
    [
        ({"id": None, "payload": {}, "vector": {}}, "store-answer"),
        ({"id": 1, "payload": {}, "vector": [1.0, None]}, "vector-type"),
        ({"id": 1, "payload": {}, "vector": {"a": "text"}}, "vector-type"),
        ({"id": 1, "payload": {}, "vector": {"a": {"indices": [1, 2], "values": [1.0]}}}, "vector-type"),
        ({"id": 1, "payload": {}, "vector": 5}, "vector-type"),
    ],
)
def test_points_that_are_none_are_named(server: QdrantServer, point: dict[str, Any], code: str) -> None:
    body = orjson.dumps({"result": {"points": [point], "next_page_offset": None}, "status": "ok", "time": 0.1})
    server.make("agent", DOT)
    server.script = [None, (200, {}, body)]
    with pytest.raises((StoreError, InvalidData)) as raised:
        read(server.address())
    assert raised.value.code == code


def test_a_server_that_gives_the_same_page_for_ever_is_left(server: QdrantServer) -> None:
    body = orjson.dumps({"result": {"points": [], "next_page_offset": 5}, "status": "ok", "time": 0.1})
    server.make("agent", DOT)
    server.script = [None, *[(200, {}, body)] * 9]
    with pytest.raises(StoreError, match="again and again"):
        read(server.address())


def test_a_write_that_the_server_did_not_finish_in_time_is_said(server: QdrantServer) -> None:
    body = orjson.dumps({"result": {"operation_id": 1, "status": "wait_timeout"}, "status": "ok", "time": 0.1})
    server.make("agent", DOT)
    with QdrantStore.open(server.address(), create=True) as store:
        list(store.scan())
        server.script = [(200, {}, body)]
        with pytest.raises(StoreError, match="run the command again") as raised:
            store.write(plan_between([], memory(1)))
    assert raised.value.code == "store-busy"


def test_memories_without_vectors_need_dimensions_from_somewhere(server: QdrantServer) -> None:
    records = [from_json({"id": "1", "text": "a"})]
    with pytest.raises(StoreError, match=r"\?dims=384") as raised:
        fill(server.address(), records)
    assert raised.value.code == "store-cannot-hold"
    fill(server.address(options={"dims": "384"}), records)
    assert server.collections["agent"].made["vectors"] == {"size": 384, "distance": "Cosine"}
    assert attempt(lambda: fill(server.address("other", {"dims": "384"}), memory(1)))[1] == "store-dims"
    assert "other" not in server.collections


@pytest.mark.parametrize(
    ("location", "options"),
    [
        ("//host", {}), ("//host/a?b", {}), ("//host/a\\b", {}), ("//host/" + "x" * 256, {}),
        ("//host/c", {"distance": "cosine"}), ("//host/c", {"dims": "0x1"}), ("//host/c", {"dims": "-1"}),
        ("//host/c", {"dims": "65537"}),
    ],
)  # fmt: skip
def test_an_address_that_says_nothing_is_refused(location: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        QdrantStore.open(Address("qdrant", location, options))
    assert raised.value.code == "bad-address"


def test_a_server_may_be_below_a_path(server: QdrantServer) -> None:
    server.make("agent", DOT)
    server.script = [(404, {}, b'{"status":{"error":"Not found"}}')]
    with QdrantStore(server.address("vector%20db/agent".replace("%20", " "))) as store:
        assert not store.exists()
    assert server.asked == ["GET /vector%20db/collections/agent"]
