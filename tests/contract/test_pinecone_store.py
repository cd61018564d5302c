"""What is particular to Pinecone: what it shows late, its limits, its two planes, sparse vectors."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tests.contract.moving import commit_file, fill, holds, memory, read, repository
from tests.contract.pinecone_server import CONTROL, DATA, Index, Pinecone, Refused
from tests.node import missing
from tests.property.strategies import attempt
from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import from_json
from vexrepo.remotes import readback
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.base import Written
from vexrepo.remotes.stores.pinecone import PineconeStore
from vexrepo.testing.stores import plan_between

KEY = "k3y/of the project"
ONE = Reach(concurrency=1)


@pytest.fixture
def service() -> Iterator[Pinecone]:
    found = Pinecone()
    yield found
    found.end()


@pytest.fixture
def index(service: Pinecone) -> Index:
    return service.make()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PineconeStore, "patience", Patience(sleep=lambda seconds: None))


def test_the_service_of_these_tests_is_held_to_the_published_descriptions() -> None:
    if len(DATA) < 2 or len(CONTROL) < 2:
        missing("Pinecone's OpenAPI documents of 2025-10 and 2026-04 beside the project")
    version = {"x-pinecone-api-version": "2025-10"}
    good = {"vectors": [{"id": "a", "values": [0.5], "metadata": {"a": 1}}]}
    for each in DATA:
        assert each.request_fault("POST", "/vectors/upsert", {}, good, version) is None
        assert each.request_fault("POST", "/vectors/upsert", {}, good, {}) is not None
        for bad in (
            {"vectors": [{"values": [0.5]}]},
            {"vectors": [{"id": 5}]},
            {"vectors": [{"id": "a", "values": ["0.5"]}]},
            {"vectors": [{"id": "a", "sparseValues": {"indices": [1]}}]},
            {"vectors": [{"id": "a", "vector": [0.5]}]},
            {"name_space": "a", **good},
            {},
        ):
            assert each.request_fault("POST", "/vectors/upsert", {}, bad, version) is not None, bad
        assert each.request_fault("GET", "/vectors/fetch", {}, None, version) is not None
        assert each.request_fault("GET", "/vectors/list", {"page": "1"}, None, version) is not None
        assert each.answer_fault("GET", "/vectors/list", 200, {"vectors": [{"id": 5}]}) is not None
    for each in CONTROL:
        body = {"name": "a", "dimension": 3, "spec": {"serverless": {"cloud": "aws", "region": "r"}}}
        assert each.request_fault("POST", "/indexes", {}, body, version) is None
        assert each.request_fault("POST", "/indexes", {}, {**body, "spec": {}}, version) is not None
        assert each.request_fault("POST", "/indexes", {}, {**body, "dimension": 0}, version) is not None
        assert each.answer_fault("GET", "/indexes/a", 200, {"name": "a"}) is not None


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_a_commit_of_what_was_checked_out_is_the_same(tmp_path: Path, service: Pinecone, metric: str) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory())
    live = service.address("agent", "notes", metric=metric)
    assert kept.checkout(first, live).verified == 30
    assert kept.status(live).is_clean
    again = kept.commit("how the index is set up", store=live)
    assert again.snapshot.records == kept.snapshot_of(first).records
    assert again.snapshot.collections["pinecone"] == {
        "dimension": 4, "metric": metric, "vector_type": "dense", "deletion_protection": "disabled",
        "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}},
    }  # fmt: skip
    assert attempt(lambda: kept.commit("again", store=live))[1] == "nothing-to-commit"
    assert kept.checkout(again.id, live).outflow.is_empty


def test_an_agents_edits_count_and_nothing_else(tmp_path: Path, index: Index) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory())
    live = index.address("notes")
    kept.checkout(first, live)
    edited = next(each for each in index.written if each["id"] == "m3")
    index.put([{**edited, "values": [9.0, 0, 0, 0]}], "notes")
    index.put([{"id": "learnt", "values": [0.5, 0.5, 0.5, 0.5], "metadata": {"text": "new"}}], "notes")
    last_digit = next(each for each in index.written if each["id"] == "m4")
    values = np.nextafter(np.array(last_digit["values"], "<f4"), np.float32(9)).tolist()
    index.put([{**last_digit, "values": values}], "notes")  # as a service that rounds would
    changes = {change.key.rpartition(b"\1")[2].decode() for change in kept.diff_with_store(first, live)}
    assert changes == {"m3", "learnt"}


def test_namespaces_of_an_index_are_memories_of_their_own(index: Index) -> None:
    fill(index.address(), memory(3))
    fill(index.address("notes"), memory(5))
    fill(index.address("__default__"), memory(4))
    assert {name: len(each.records) for name, each in index.namespaces.items()} == {"": 4, "notes": 5}
    assert len(read(index.address("nothing"))) == 0 and len(read(index.address())) == 4
    told: list[str] = []
    for namespace, count in (("notes", 5), ("", 4)):
        with PineconeStore.open(replace(index.address(namespace), reach=Reach(notice=told.append))) as store:
            assert store.describe().count == store.describe().count == count
    assert len(told) == 1 and told[0].endswith("each a memory of its own: notes")


def test_an_index_is_found_by_name_and_made_where_it_is_missing(tmp_path: Path, service: Pinecone) -> None:
    with pytest.raises(StoreError, match=r"index pinecone.*check the name") as raised:
        PineconeStore.open(service.address("agent"))
    assert raised.value.code == "store-missing"
    live = service.address("agent", "notes", metric="euclidean", cloud="gcp")
    fill(live, memory(3))
    assert service.made == [
        {
            "name": "agent", "dimension": 4, "metric": "euclidean", "vector_type": "dense",
            "spec": {"serverless": {"cloud": "gcp", "region": "us-central1"}},
        }
    ]  # fmt: skip
    assert holds(live, memory(3)) and holds(service.indexes["agent"].address("notes"), memory(3))


def test_how_an_index_is_set_up_is_made_again(tmp_path: Path, service: Pinecone) -> None:
    schema = {"fields": {"genre": {"filterable": True}}}
    spec = {"serverless": {"cloud": "azure", "region": "eastus2", "schema": schema}}
    old = service.make("old", 4, metric="dotproduct", spec=spec, tags={"team": "memory"}, deletion_protection="enabled")
    old.put([{"id": f"r{n}", "values": [1.0, 2, 3, n], "metadata": {"text": f"t{n}"}} for n in range(3)])
    kept = repository(tmp_path)
    first = kept.commit("as it is", store=service.address("old")).id
    assert first is not None
    kept.checkout(first, service.address("new"))
    assert service.made[-1] == {
        "name": "new", "dimension": 4, "metric": "dotproduct", "vector_type": "dense", "spec": spec,
        "tags": {"team": "memory"}, "deletion_protection": "enabled",
    }  # fmt: skip
    with PineconeStore.open(service.address("old")) as one, PineconeStore.open(service.address("new")) as two:
        assert one.describe().config == two.describe().config
    sparse = service.make("words", None, vector_type="sparse")
    sparse.put([{"id": "a", "sparseValues": {"indices": [1, 7], "values": [0.5, 0.25]}, "metadata": {"text": "a"}}])
    second = kept.commit("words", store=service.address("words")).id
    assert second is not None
    kept.checkout(second, service.address("words-again"))
    assert service.made[-1]["vector_type"] == "sparse" and "dimension" not in service.made[-1]
    assert kept.status(service.address("words-again")).is_clean


def test_a_key_for_the_index_alone_is_enough(service: Pinecone, index: Index) -> None:
    host = "agent.svc.example.test"
    with PineconeStore(Address("pinecone", f"//{host}/notes", {"tls": "0"})) as store:
        store.__dict__["http"] = store.client(index.host)
        store._control_host = service.host
        service.key = "another"
        assert store.describe().config == {"dimension": 4, "metric": "cosine", "vector_type": "dense"}
    with PineconeStore(Address("pinecone", f"//{host}/notes", {"tls": "0"})) as store:
        store.__dict__["http"] = store.client(index.host)
        store._control_host, service.key = service.host, None
        service.models["agent"]["host"] = host
        assert store.describe().config["spec"]["serverless"]["cloud"] == "aws"


def test_what_the_original_tool_wrote_is_read(index: Index) -> None:
    """As it sends it: empty text for what a memory has not, members of the metadata beside the text."""
    vector = [0.1, 0.2, 0.3, 0.4]
    index.put(
        [
            {"id": "m1", "values": vector, "metadata": {
                "text": "META OVERRIDES", "namespace": "metaNS", "model": "x", "created_at": "2026-05-29T10:23:00.000Z",
                "tags": ["a", "b"], "importance": 4}},
            {"id": "12", "values": vector, "metadata": {
                "text": "int", "namespace": "n1", "model": "", "created_at": 1780525199}},
            {"id": "1e3", "values": vector, "metadata": {
                "text": "sci", "namespace": "", "model": "", "created_at": ""}},
            {"id": "bare", "values": vector},
        ],
        "NSX",
    )  # fmt: skip
    found = read(index.address("NSX"))
    for each in found.values():
        assert np.array(each.pop("vector"), "<f4").tolist() == np.array(vector, "<f4").tolist()
    assert found == {
        "m1": {
            "id": "m1", "text": "META OVERRIDES", "namespace": "metaNS", "model": "x",
            "created_at": "2026-05-29T10:23:00.000Z", "metadata": {"tags": ["a", "b"], "importance": 4},
        },
        "12": {"id": "12", "text": "int", "namespace": "n1", "model": "", "created_at": 1780525199},
        "1e3": {"id": "1e3", "text": "sci", "namespace": "", "model": "", "created_at": ""},
        "bare": {"id": "bare"},
    }  # fmt: skip


def test_a_foreign_index_is_read_and_written_with_its_own_names(index: Index) -> None:
    metadata = {"page_content": "The tide table", "source": "a.pdf", "page": 3, "done": True, "tags": ["x"]}
    index.put([{"id": f"doc {n}#1", "values": [1.0, 2, 3, n], "metadata": metadata} for n in range(3)])
    found = read(index.address())["doc 1#1"]
    assert found["text"] == "The tide table"
    assert found["metadata"] == {name: each for name, each in metadata.items() if name != "page_content"}
    fill(index.address(), [from_json({**found, "text": "The tide table of May"})])
    assert index.records()["doc 1#1"]["metadata"] == {**metadata, "page_content": "The tide table of May", "page": 3.0}
    assert read(index.address(text="source"))["doc 2#1"]["text"] == "a.pdf"


def test_ids_and_values_that_pinecone_does_not_take_are_carried(index: Index) -> None:
    ids = ["plain", "a/b#c?d&e=%", "x" * 512, "x" * 513, "ü", "a b", "tab\t"]
    metadata = {
        "flag": True, "n": 5, "x": 0.1, "big": (1 << 53) + 1, "list": ["a", "b"], "mixed": ["a", 1], "none": None,
        "deep": {"a": 1}, "empty": [], "$in": "a", "numbers": [1, 2],
    }  # fmt: skip
    records = [
        from_json({"id": each, "text": each, "vector": [1.0, 2, 3, 4], "metadata": metadata if each == "ü" else {}})
        for each in ids
    ]
    fill(index.address(), records)
    native = {each["metadata"]["text"]: each["id"] for each in index.written}
    assert [native[each] == each for each in ids] == [True, True, True, False, False, False, False]
    held = next(each for each in index.written if each["metadata"]["text"] == "ü")["metadata"]
    assert held.keys() == {"text", "flag", "n", "x", "list", "_vex"}
    assert holds(index.address(), records)


def test_what_is_too_long_is_refused_before_anything_is_written(index: Index) -> None:
    one: dict[str, Any] = {"id": "long", "vector": [1.0, 2, 3, 4]}
    for more in (
        {"text": "é" * 21_000},
        {"text": '"' * 13_000 + "\0"},  # carried: escapes of escapes
        {"vectors": {f"v{n}": [0.5] for n in range(320)}},
        {"vectors": {"other": [0.5] * 8000}},
    ):
        records = [*memory(2), from_json({**one, **more})]
        with pytest.raises(StoreError, match="40,960") as raised:
            fill(index.address(), records)
        assert raised.value.code == "store-cannot-hold" and not index.written
    held = [from_json({**one, "text": "x" * 40_000}), from_json({"id": "quotes", "text": '"' * 9_000 + "\0"})]
    fill(index.address(), held)
    assert holds(index.address(), held)


def test_vectors_of_zeros_and_memories_without_one_get_one_that_is_marked(index: Index) -> None:
    values: list[dict[str, Any]] = [
        {"id": "zeros", "vector": [0.0, -0.0, 0.0, 0.0]},
        {"id": "none", "text": "no vector"},
        {"id": "tiny", "vector": [0.0, 1e-45, 0.0, 0.0]},
        {"id": "named", "vector": [1.0, 0, 0, 0], "vectors": {"title": [1.0]}},
    ]
    records = [from_json(each) for each in values]
    fill(index.address(), records)
    assert all(any(each["values"]) for each in index.written) and holds(index.address(), records)


def test_sparse_vectors_lie_beside_dense_ones_where_the_metric_allows(service: Pinecone) -> None:
    one = {"indices": [1, 4_294_967_295], "values": [0.5, 0.1]}
    values: list[dict[str, Any]] = [
        {"id": "both", "vector": [1.0, 2, 3, 4], "vectors": {"sparse": one}},
        {"id": "sparse", "vectors": {"sparse": one}},
        {"id": "other", "vector": [1.0, 2, 3, 4], "vectors": {"words": one}},
        {"id": "order", "vectors": {"sparse": {"indices": [5, 1], "values": [0.5, 0.1]}}},
        {"id": "zero", "vectors": {"sparse": {"indices": [1], "values": [0.0]}}},
        {"id": "many", "vectors": {"sparse": {"indices": list(range(1001)), "values": [0.5] * 1001}}},
    ]
    records = [from_json(each) for each in values]
    for metric, held in (("dotproduct", {"both", "sparse"}), ("cosine", set())):
        live = service.address(metric, metric=metric)
        fill(live, records)
        written = service.indexes[metric].written
        assert {each["id"] for each in written if "sparseValues" in each} == held
        assert holds(live, records)


def test_a_sparse_index_holds_sparse_vectors_alone(service: Pinecone) -> None:
    values: list[dict[str, Any]] = [
        {"id": "sparse", "vector": {"indices": [1, 9], "values": [0.5, 0.1]}},
        {"id": "dense", "vector": [1.0, 2, 3, 4]},
        {"id": "none", "text": "no vector"},
        {"id": "marker", "vector": {"indices": [4_294_967_295], "values": [1.0]}},
    ]
    records = [from_json(each) for each in values]
    live = service.address("words", type="sparse")
    fill(live, records)
    assert not any("values" in each for each in service.indexes["words"].written) and holds(live, records)


# -- what comes late ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [1, 7, 40])
def test_a_checkout_waits_until_what_it_wrote_can_be_seen(tmp_path: Path, index: Index, lag: int) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(250))
    index.lag = lag
    live = index.address("notes")
    assert kept.checkout(first, live).verified == 250 and kept.status(live).is_clean
    fewer = commit_file(kept, tmp_path, memory(100)[10:])
    assert kept.checkout(fewer, live).verified == 90 and kept.status(live).is_clean


def test_what_cannot_be_seen_in_time_is_said_and_nothing_is_wrongly_counted(tmp_path: Path, index: Index) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(50))
    told: list[str] = []
    live = replace(index.address("notes"), reach=Reach(notice=told.append))
    index.lag = 100_000
    assert kept.checkout(first, live).verified is None
    assert len(told) == 1 and "does not show all of it yet" in told[0]
    assert not index.records("notes")
    index._reads += 200_000
    index.lag = 0
    assert kept.status(live).is_clean and kept.checkout(first, live).verified == 50


@pytest.mark.parametrize("others", ["remove", "add"])
def test_what_others_write_meanwhile_is_not_taken_for_a_delay(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    kept = repository(tmp_path)
    live = index.address("notes")
    kept.checkout(commit_file(kept, tmp_path, memory(50)), live)
    second = commit_file(kept, tmp_path, memory(60))
    upsert = PineconeStore.upsert

    def meanwhile(self: PineconeStore, points: Any) -> None:
        upsert(self, points)
        if others == "remove":
            index.records("notes").pop("m7", None)
        else:
            index.put([{"id": "theirs", "values": [1.0, 0, 0, 0]}], "notes")

    monkeypatch.setattr(readback, "WAITS_S", (0.0,))
    with monkeypatch.context() as patched:
        patched.setattr(PineconeStore, "upsert", meanwhile)
        with pytest.raises(StoreError, match="run the command again") as raised:
            kept.checkout(second, live)
        assert raised.value.code == "store-changed"
    assert kept.checkout(second, live, force=True).verified == 60 and holds(live, memory(60))


def test_a_write_of_nothing_waits_for_nothing(index: Index) -> None:
    fill(index.address(), memory(3))
    with PineconeStore.open(index.address(), create=True) as store:
        list(store.scan())
        index.put([{"id": "learnt", "values": [1.0, 0, 0, 0]}])  # meanwhile
        index.asked.clear()
        assert store.write(plan_between(memory(3), memory(3))) == Written(0, 0)
        assert not index.asked


def test_records_that_are_listed_and_gone_are_passed_over(index: Index) -> None:
    fill(index.address(), memory(5))
    original = index.answer

    def forgetful(method: str, path: str, query: dict[str, list[str]], body: Any, size: int) -> tuple[int, Any]:
        status, value = original(method, path, query, body, size)
        if path == "/vectors/fetch":
            value["vectors"].pop("m3", None)
        return status, value

    index.answer = forgetful  # type: ignore[method-assign]
    assert sorted(read(index.address())) == ["m0", "m1", "m2", "m4"]


# -- limits ------------------------------------------------------------------------------------------------------------


def test_no_request_is_larger_than_pinecone_takes(service: Pinecone) -> None:
    rows = np.random.default_rng(1).standard_normal((1200, 512)).astype("<f4") / 1e20  # long in JSON
    many = [from_json({"id": str(n), "text": "t" * 500, "vector": row.tolist()}) for n, row in enumerate(rows)]
    live = service.address()
    fill(live, many)
    requests = service.indexes["agent"].requests
    assert sum(count for count, _ in requests) == 1200 and len(requests) < 20
    assert max(size for _, size in requests) <= 2_000_000 and holds(live, many)


def test_batches_are_halved_until_the_service_takes_them(index: Index) -> None:
    index.most_bytes = 9000
    fill(index.address(), memory(300))
    assert holds(index.address(), memory(300))


def test_long_ids_are_fetched_in_addresses_that_are_not_too_long(index: Index) -> None:
    long = [from_json({"id": f"{n:03}" + "/#" * 250, "text": "a", "vector": [1.0, 2, 3, 4]}) for n in range(40)]
    fill(index.address(), long)
    assert holds(index.address(), long)


@pytest.mark.parametrize("at_once", [1, 4])
def test_reading_goes_on_from_page_to_page(index: Index, at_once: int) -> None:
    fill(index.address(), memory(1234))
    index.asked.clear()
    assert holds(replace(index.address(), reach=Reach(concurrency=at_once)), memory(1234))
    assert index.asked.count("GET /vectors/list") == index.asked.count("GET /vectors/fetch") == 26  # read twice


def test_other_dimensions_are_refused_before_anything_is_written(service: Pinecone, index: Index) -> None:
    records = [*memory(3), from_json({"id": "odd", "text": "a", "vector": [1.0, 2.0]})]
    assert attempt(lambda: fill(index.address(), records))[1] == "store-dims" and not index.written
    assert attempt(lambda: fill(service.address("new"), records))[1] == "store-dims"
    assert attempt(lambda: fill(service.address("new", dims="3"), memory(3)))[1] == "store-dims"
    assert "new" not in service.models


def test_memories_without_vectors_need_dimensions_from_somewhere(service: Pinecone) -> None:
    records = [from_json({"id": "1", "text": "a"})]
    assert attempt(lambda: fill(service.address("new"), records))[1] == "store-cannot-hold"
    live = service.address("new", dims="384")
    fill(live, records)
    assert service.models["new"]["dimension"] == 384 and holds(live, records)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_busy_service_is_asked_again(index: Index, status: int) -> None:
    said = orjson.dumps({"code": 8, "message": "Too many requests", "details": []})
    index.script = [None, None, *[(status, {"Retry-After": "1"}, said)] * 3]
    fill(replace(index.address(), reach=ONE), memory(30))
    assert holds(index.address(), memory(30))


def test_a_storm_of_429_ends_with_words_and_a_second_run_completes(index: Index) -> None:
    said = orjson.dumps({"code": 8, "message": "write unit limit reached", "details": []})
    index.script = [None, None, *[(429, {}, said)] * 4]
    with pytest.raises(StoreError, match="write unit limit reached") as raised:
        fill(replace(index.address(), reach=ONE), memory(30))
    assert raised.value.code == "store-busy"
    fill(index.address(), memory(30))
    assert holds(index.address(), memory(30))


def test_answers_that_get_lost_lose_nothing(tmp_path: Path, index: Index) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(3500))
    live = replace(index.address("notes"), reach=ONE)
    lost = iter([False, True, True, *[False] * 9])
    index.loses = lambda asked: asked == "POST /vectors/upsert" and next(lost)
    assert kept.checkout(first, live).verified == 3500
    second = commit_file(kept, tmp_path, [*memory(3500)[10:], from_json({"id": "new", "vector": [1.0, 2, 3, 4]})])
    index.loses = lambda asked: asked == "POST /vectors/upsert"
    with pytest.raises(StoreError) as raised:
        kept.checkout(second, live)
    assert raised.value.code == "store-unreachable"
    index.loses = lambda asked: False
    assert kept.checkout(second, live).verified == 3500 - 9 and kept.status(live).is_clean


def test_an_interrupted_checkout_goes_on_where_it_stopped(tmp_path: Path, index: Index) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(2500))
    live = replace(index.address("notes"), reach=ONE)
    original, left = index.answer, [2]

    def failing(method: str, path: str, query: dict[str, list[str]], body: Any, size: int) -> tuple[int, Any]:
        if path == "/vectors/upsert":
            left[0] -= 1
            if left[0] < 0:
                raise Refused(500, 13, "internal error")
        return original(method, path, query, body, size)

    index.answer = failing  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="internal error") as raised:
        kept.checkout(first, live)
    assert raised.value.code == "store-unreachable" and len(index.written) == 2000
    index.answer = original  # type: ignore[method-assign]
    index.written.clear()
    assert kept.checkout(first, live).verified == 2500 and len(index.written) == 500


def test_records_that_are_refused_are_said_with_the_services_words(index: Index) -> None:
    said = orjson.dumps({"code": 3, "message": "Metadata size is 50000 bytes, which exceeds the limit", "details": []})
    index.script = [None, None, (400, {}, said)]
    with pytest.raises(StoreError, match="Metadata size is 50000") as raised:
        fill(replace(index.address(), reach=ONE), memory(3))
    assert raised.value.code == "store-cannot-hold"


def test_a_key_is_wanted_sent_and_never_shown(service: Pinecone) -> None:
    service.key = KEY

    def with_key(key: str) -> Address:
        secrets: dict[str, Callable[[], str]] = {"api_key": lambda: key}
        return service.address("agent", "notes", secrets=secrets)

    fill(with_key(KEY), memory(3))
    for address in (service.address("agent"), with_key("wr0ng key")):
        with pytest.raises(StoreError, match="PINECONE_API_KEY") as raised:
            PineconeStore.open(address)
        assert raised.value.code == "store-refused" and "wr0ng" not in str(raised.value)
    assert KEY not in repr(with_key(KEY)) + str(with_key(KEY))


def test_a_service_that_is_down_is_named(service: Pinecone) -> None:
    found = Index("dense", "cosine", 4)
    address = found.address()
    found.end()
    with pytest.raises(StoreError, match="is it running") as raised:
        PineconeStore.open(address)
    assert raised.value.code == "store-unreachable"


def test_an_index_that_is_never_ready_is_said(service: Pinecone) -> None:
    service.wait = 10_000
    with pytest.raises(StoreError, match="not ready yet") as raised:
        fill(service.address(), memory(2))
    assert raised.value.code == "store-busy"
    service.wait = 0
    fill(service.address(), memory(2))
    assert holds(service.address(), memory(2))


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html><title>Sign in</title></html>"), (200, b"[]"), (200, b'{"collections":[]}'), (404, b'{"detail":1}')],
)
def test_what_is_not_pinecone_is_said_to_be_something_else(
    service: Pinecone, index: Index, status: int, body: bytes
) -> None:
    for server, address in ((index, index.address()), (service, service.address())):
        server.script = [(status, {}, body)]
        with pytest.raises(StoreError) as raised:
            PineconeStore.open(address, create=True).describe()
        assert raised.value.code in ("store-answer", "store-missing")


@pytest.mark.parametrize(
    "value",
    [
        {"values": [1.0, None]},
        {"sparseValues": {"indices": [1, 2], "values": [1.0]}},
        {"sparseValues": {"indices": [1]}},
        {"values": 5},
        5,
    ],
)
def test_records_that_are_none_are_named(index: Index, value: Any) -> None:
    listed = orjson.dumps({"vectors": [{"id": "a"}]})
    index.script = [None, (200, {}, listed), (200, {}, orjson.dumps({"vectors": {"a": value}}))]
    with pytest.raises(InvalidData) as raised:
        read(replace(index.address(), reach=ONE))
    assert raised.value.code == "vector-type"


def test_one_that_is_none_does_not_keep_the_others_from_being_read(index: Index) -> None:
    listed = orjson.dumps({"vectors": [{"id": "a"}, {"id": "b"}]})
    fetched = orjson.dumps({"vectors": {"a": {"values": "x"}, "b": {"values": [1.0, 0, 0, 0]}}})
    index.script = [None, (200, {}, listed), (200, {}, fetched)]
    problems: list[InvalidData] = []
    with PineconeStore.open(replace(index.address(), reach=ONE)) as store:
        found = [item.record.to_json()["id"] for batch in store.scan(problems.append) for item in batch]
    assert found == ["b"] and len(problems) == 1 and "(id 'a')" in str(problems[0])


def test_answers_that_make_no_sense_are_refused(index: Index) -> None:
    page = orjson.dumps({"vectors": [], "pagination": {"next": "x"}})
    index.script = [None, *[(200, {}, page)] * 3]
    with pytest.raises(StoreError, match="again and again"):
        read(index.address())
    index.script = [None, (200, {}, b'{"vectors":[{"id":"a"}]}'), (200, {}, b"{}")]
    with pytest.raises(StoreError, match="no vectors"):
        read(replace(index.address(), reach=ONE))
    index.script = [None, None, (200, {}, b'{"upsertedCount":1}')]
    with pytest.raises(StoreError, match="took 1 of 3"):
        fill(replace(index.address(), reach=ONE), memory(3))


@pytest.mark.parametrize(
    ("location", "options"),
    [
        ("//api.pinecone.io/notes", {}), ("//", {}), ("//host:1/a", {"index": "A"}), ("//host:1", {"metric": "dot"}),
        ("//agent", {"dims": "0x1"}), ("//agent", {"dims": "20001"}), ("//agent", {"type": "both"}),
        ("//agent", {"cloud": "moon"}), ("//agent", {"distance": "cosine"}),
    ],
)  # fmt: skip
def test_an_address_that_says_nothing_is_refused(location: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        PineconeStore.open(Address("pinecone", location, options))
    assert raised.value.code == "bad-address"


def test_names_and_hosts_of_indexes_are_told_apart() -> None:
    for location, options, wanted in (
        ("//agent/notes", {}, ("agent", "api.pinecone.io", "notes")),
        ("//api.pinecone.io/notes", {"index": "agent"}, ("agent", "api.pinecone.io", "notes")),
        ("//agent-1a2b.svc.aped-1234.pinecone.io/a/b", {}, (None, "api.pinecone.io", "a/b")),
        ("//agent-1a2b.svc.aped-1234.pinecone.io", {"index": "agent"}, ("agent", "api.pinecone.io", "")),
        ("//localhost:5081/__default__", {}, (None, None, "")),
        ("//localhost:5080", {"index": "agent"}, ("agent", "localhost:5080", "")),
    ):
        store = PineconeStore(Address("pinecone", location, options))
        assert (store._name, store._control_host, store.path) == wanted
