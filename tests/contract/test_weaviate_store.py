"""What is particular to Weaviate: typed properties, its cursor, tenants, batches that are half refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.contract.moving import commit_file, fill, holds, memory, read, repository
from tests.contract.weaviate_server import CONFORMANCE, Refused, WeaviateServer
from tests.node import missing
from tests.property.strategies import attempt
from vexrepo.errors import InvalidData, StoreError, UsageError
from vexrepo.objects.record import from_json
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.weaviate import WeaviateStore
from vexrepo.remotes.stores.weaviate_schema import MOST_PROPERTIES

KEY = "k3y/of the server"
ONE = Reach(concurrency=1)
UUID = "8ac1c623-a897-4cd0-8d32-383f79ffc623"
OTHER = "11111111-1111-1111-1111-111111111111"
ORIGINAL = dict.fromkeys(("text", "model", "namespace", "created_at", "metadata"), "text")


@pytest.fixture
def server() -> Iterator[WeaviateServer]:
    found = WeaviateServer()
    yield found
    found.end()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WeaviateStore, "patience", Patience(sleep=lambda seconds: None))


def kinds(server: WeaviateServer, name: str = "Agent") -> dict[str, str]:
    return {each["name"]: each["dataType"][0] for each in server.classes[name].definition["properties"]}


def test_the_server_of_these_tests_is_held_to_the_published_description() -> None:
    if CONFORMANCE is None:
        missing("weaviate-openapi.json beside the project")
    path = "/v1/batch/objects"
    good = {"objects": [{"class": "Agent", "id": UUID, "vector": [1.0], "properties": {"a": 1}}]}
    assert CONFORMANCE.request_fault("POST", path, {}, good) is None
    for bad in (
        {"objects": [{"class": "Agent", "id": "m1"}]},
        {"objects": [{"class": "Agent", "vector": ["1"]}]},
        {"objects": [{"klass": "Agent"}]},
        {"objects": {}},
        {"points": []},
    ):
        assert CONFORMANCE.request_fault("POST", path, {}, bad) is not None, bad
    assert CONFORMANCE.request_fault("GET", "/v1/objects", {"where": "a"}, None) is not None
    assert CONFORMANCE.request_fault("POST", "/v1/schema", {}, {"class": "A", "distance": "dot"}) is not None
    assert CONFORMANCE.request_fault("GET", "/v2/objects", {}, None) is not None
    assert CONFORMANCE.answer_fault("GET", "/v1/objects", 200, {"objects": [{"id": 5}]}) is not None
    assert CONFORMANCE.answer_fault("POST", path, 207, []) is not None


@pytest.mark.parametrize("distance", ["cosine", "dot", "l2-squared"])
def test_a_commit_of_what_was_checked_out_is_the_same(tmp_path: Path, server: WeaviateServer, distance: str) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory())
    live = server.address(options={"distance": distance})
    assert kept.checkout(first, live).verified == 30
    assert kept.status(live).is_clean
    again = kept.commit("how the class is set up", store=live)
    assert again.snapshot.records == kept.snapshot_of(first).records
    assert again.snapshot.collections["weaviate"]["vectorIndexConfig"]["distance"] == distance
    assert attempt(lambda: kept.commit("again", store=live))[1] == "nothing-to-commit"
    assert kept.checkout(again.id, live).outflow.is_empty


def test_an_agents_edits_count_and_nothing_else(tmp_path: Path, server: WeaviateServer) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory())
    live = server.address()
    kept.checkout(first, live)
    edited = next(each for each in server.written if each["properties"]["text"] == "note 3")
    server.put("Agent", [{**edited, "vector": [9.0, 0, 0, 0]}])
    server.put("Agent", [{"id": UUID, "vector": [0.5, 0.5, 0.5, 0.5], "properties": {"text": "new"}}])
    changes = {change.key.rpartition(b"\1")[2].decode(): change.kind for change in kept.diff_with_store(first, live)}
    assert len(changes) == 2 and set(changes) == {"m3", UUID}


def test_uuids_are_kept_as_ids_and_others_are_mapped(server: WeaviateServer) -> None:
    ids = [UUID, UUID.upper(), "12", "m1"]
    records = [from_json({"id": each, "text": each}) for each in ids]
    fill(server.address(), records)
    native = {each["properties"]["text"]: each["id"] for each in server.written}
    assert native.pop(UUID) == UUID and all(len(each) == 36 and each != UUID for each in native.values())
    assert holds(server.address(), records)


def test_properties_are_declared_with_types_before_anything_is_written(server: WeaviateServer) -> None:
    values: list[dict[str, Any]] = [
        {"importance": 3, "tags": ["a", "b"], "pinned": True, "topic": "harbour", "when": "2026-01-01T00:00:00Z"},
        {"importance": 0.5, "tags": "a,b", "pinned": 1, "topic": ["x"], "scores": [1, 0.5]},
        {"importance": "high", "tags": [], "mixed": [1, "a"], "deep": {"a": 1}},
    ]
    records = [
        from_json(
            {"id": str(n), "text": "a", "namespace": "n s", "model": "m", "created_at": "2026-01-01", "metadata": each}
        )
        for n, each in enumerate(values)
    ]
    fill(server.address(), records)
    assert kinds(server) == {
        "text": "text", "namespace": "text", "model": "text", "created_at": "text", "importance": "number",
        "tags": "text[]", "pinned": "boolean", "topic": "text", "when": "text", "scores": "number[]", "_vex": "text",
    }  # fmt: skip
    held = {each["properties"]["_vex"]: each["properties"] for each in server.written}
    assert sorted(str(each.get("importance")) for each in held.values()) == ["0.5", "3", "None"]
    made = {each["name"]: each for each in server.classes["Agent"].definition["properties"]}
    assert made["namespace"]["tokenization"] == "field" and made["text"]["tokenization"] == "word"
    assert made["_vex"]["indexFilterable"] is made["_vex"]["indexSearchable"] is False
    assert holds(server.address(), records)
    more = [from_json({"id": "9", "text": "a", "metadata": {"later": 1, "importance": 2}})]
    fill(server.address(), more)
    assert kinds(server)["later"] == "number" and holds(server.address(), [*records, *more])


def test_names_that_the_server_would_refuse_or_take_for_others_are_carried(server: WeaviateServer) -> None:
    names = ["good", "Good", "gOOD", "_under", "__type", "id", "_id", "a b", "a-b", "ü", "", "1a", "x" * 232, "Title"]
    record = from_json({"id": UUID, "text": "a", "metadata": dict.fromkeys(names, 1) | {"vector": "v"}})
    fill(server.address(), [record])
    assert server.written[0]["properties"].keys() - {"_vex"} == {"text", "gOOD", "_under"}
    assert holds(server.address(), [record])


def test_a_class_does_not_get_a_property_for_every_name_there_is(server: WeaviateServer) -> None:
    records = [from_json({"id": str(n), "text": "a", "metadata": {f"k{n}": n, "all": n}}) for n in range(300)]
    fill(server.address(), records)
    assert len(kinds(server)) <= MOST_PROPERTIES + 1 and {"all", "_vex"} <= kinds(server).keys()
    assert holds(server.address(), records)


def test_what_the_original_tool_wrote_is_read(server: WeaviateServer) -> None:
    """As it sends it: metadata as JSON in a text, empty text for what a memory has not, ids of the server's own."""
    server.make("Mem", ORIGINAL, vectorIndexConfig={"distance": "cosine"})
    metadata = '{"tags":["a","b"],"importance":4,"text":"META OVERRIDES","namespace":"metaNS"}'
    objects: list[dict[str, Any]] = [
        {
            "id": OTHER,
            "vector": [1, 2, 3],
            "properties": {
                "text": "hello", "model": "x", "namespace": "n1", "created_at": "2026-05-29T10:23:00.000Z",
                "metadata": metadata,
            },
        },
        {"id": UUID, "properties": {"text": "uuid", "model": "", "namespace": "", "created_at": "", "metadata": ""}},
        {"properties": {"text": "sci", "model": "", "namespace": "", "created_at": "", "metadata": "{}"}},
    ]  # fmt: skip
    server.put("Mem", objects)
    address = server.address("mem")
    found = read(address)
    assert found[OTHER] == {
        "id": OTHER, "text": "hello", "vector": [1.0, 2.0, 3.0], "model": "x", "namespace": "n1",
        "metadata": {"tags": ["a", "b"], "importance": 4, "text": "META OVERRIDES", "namespace": "metaNS"},
        "created_at": "2026-05-29T10:23:00.000Z",
    }  # fmt: skip
    assert found[UUID] == {"id": UUID, "text": "uuid", "model": "", "namespace": "", "created_at": ""}
    assert next(each for each in found.values() if each["text"] == "sci")["metadata"] == {}
    records = [from_json({**each, "text": each["text"] + "!"}) for each in found.values()]
    records.append(from_json({"id": "new", "text": "b", "metadata": {"metadata": '{"a":1}', "importance": 1}}))
    fill(address, records)
    assert holds(address, records) and kinds(server, "Mem")["tags"] == "text[]"


def kept(server: WeaviateServer) -> Any:
    return orjson.loads(orjson.dumps(server.classes["Agent"].objects[""][UUID].properties))


def test_what_an_update_does_not_know_stays_in_a_foreign_class(server: WeaviateServer) -> None:
    server.make("Author", {"name": "text"})
    server.put("Author", [{"id": OTHER, "properties": {"name": "Ada"}}])
    server.make("Agent", {
        "content": "text", "when": "date", "ref": "uuid", "raw": "blob", "place": "geoCoordinates", "n": "int",
        "phone": "phoneNumber", "author": "Author", "list": "date[]", "score": "number",
    })  # fmt: skip
    nested = [{"name": "a", "dataType": ["int"]}, {"name": "b", "dataType": ["object"], "nestedProperties": [
        {"name": "c", "dataType": ["text[]"]}]}]  # fmt: skip
    server._add_property(server.classes["Agent"], {"name": "deep", "dataType": ["object"], "nestedProperties": nested})
    properties = {
        "content": "The tide table", "when": "2026-01-01T10:00:00.120Z", "ref": OTHER, "raw": "AAEC/w==", "n": 7,
        "place": {"latitude": 52.3679, "longitude": 4.9041}, "phone": {"input": "020 1234567", "defaultCountry": "nl"},
        "author": [{"beacon": f"weaviate://localhost/Author/{OTHER}"}], "list": ["2026-01-01T10:00:00+02:00"],
        "score": 1e20, "deep": {"a": 1, "b": {"c": ["x"]}},
    }  # fmt: skip
    server.put("Agent", [{"id": UUID, "vector": [1.0, 2.0], "properties": properties}])
    before = kept(server)
    found = read(server.address())[UUID]
    assert found["text"] == "The tide table" and found["metadata"]["when"] == "2026-01-01T10:00:00.12Z"
    assert found["metadata"]["n"] == 7 and found["metadata"]["place"] == {"latitude": 52.3679, "longitude": 4.9041}
    record = from_json({**found, "text": "The tide table of May"})
    fill(server.address(), [record])
    assert kept(server) == {**before, "content": "The tide table of May"}
    assert "_vex" not in kinds(server)  # a property that nothing is in
    assert holds(server.address(), [record])


def test_dates_and_numbers_that_would_come_back_otherwise_are_carried(server: WeaviateServer) -> None:
    server.make("Agent", {"text": "text", "when": "date", "n": "int"})
    whens = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00+00:00", "2026-02-30T00:00:00Z",
             "2026-01-01T00:00:00.5+02:00", "yesterday", "2026-01-01"]  # fmt: skip
    numbers = [1 << 53, (1 << 53) + 1, -1, 1641628187827904800, 1 << 60, 0.5, True]
    records = [
        from_json({"id": str(n), "text": "a", "metadata": {"when": when, "n": number}})
        for n, (when, number) in enumerate(zip(whens, numbers, strict=True))
    ]
    fill(server.address(), records)
    native = sorted(str(each["properties"].get("when")) for each in server.written if "when" in each["properties"])
    assert native == ["2026-01-01T00:00:00.5+02:00", "2026-01-01T00:00:00Z"]
    assert holds(server.address(), records)


def test_the_text_is_found_by_name_or_named_in_the_address(server: WeaviateServer) -> None:
    server.make("Agent", {"page_content": "text", "note": "text"})
    fill(server.address(), [from_json({"id": UUID, "text": "first"})])
    assert server.written[-1]["properties"] == {"page_content": "first"}  # by the class alone
    server.put("Agent", [{"id": OTHER, "properties": {"page_content": "this", "note": "that"}}])
    assert read(server.address())[OTHER] == {"id": OTHER, "text": "this", "metadata": {"note": "that"}}
    found = read(server.address(options={"text": "note"}))[OTHER]
    assert found == {"id": OTHER, "text": "that", "metadata": {"page_content": "this"}}


def test_zeros_with_a_sign_come_back_with_it(server: WeaviateServer) -> None:
    records = [from_json({"id": UUID, "text": "[-0,", "vector": [-0.0, 0.0, -1.0, 0.5]})]
    fill(server.address(), records)
    assert server.classes["Agent"].objects[""][UUID].vectors[""] is not None
    assert holds(server.address(), records) and "_vex" not in server.written[0]["properties"]


def test_vectors_by_name_lie_in_the_places_a_class_has(server: WeaviateServer) -> None:
    values = [
        {"id": "1", "vector": [1.0, 2, 3], "vectors": {"title": [1.0, 2], "a/b": [1.0], "default": [1.0]}},
        {"id": "2", "vectors": {"words": {"indices": [1], "values": [0.5]}}},
        {"id": "3", "text": "no vector"},
    ]
    records = [from_json(each) for each in values]
    fill(server.address(), records)
    made = server.classes["Agent"].definition
    assert made["vectorConfig"].keys() == {"default", "title"} and "vectorizer" not in made
    assert [sorted(each.get("vectors", {})) for each in server.written] == [["default", "title"], [], []]
    assert holds(server.address(), records)


def test_how_a_class_is_set_up_is_made_again(tmp_path: Path, server: WeaviateServer) -> None:
    server.make("Author")
    server.make(
        "Old", {"content": "text", "tags": "text[]", "author": "Author"},
        description="what the agent knows",
        vectorIndexType="hnsw", vectorIndexConfig={"distance": "dot", "ef": 77, "pq": {"enabled": True}},
        invertedIndexConfig={"indexNullState": True, "stopwords": {"preset": "none"}},
    )  # fmt: skip
    server._add_property(
        server.classes["Old"], {"name": "user", "dataType": ["text"], "tokenization": "field", "indexFilterable": False}
    )
    server.put("Old", [{"vector": [1.0, 2.0, n], "properties": {"content": f"t{n}", "user": "u"}} for n in range(5)])
    kept = repository(tmp_path)
    first = kept.commit("as it is", store=server.address("Old")).id
    assert first is not None
    kept.checkout(first, server.address("New"))
    old, new = server.classes["Old"].definition, server.classes["New"].definition
    for name in ("description", "vectorIndexType", "vectorIndexConfig", "invertedIndexConfig", "vectorizer"):
        assert new[name] == old[name], name
    made = {each["name"]: each for each in new["properties"] if each["name"] != "_vex"}
    assert made == {each["name"]: each for each in old["properties"] if each["name"] != "author"}
    assert kept.status(server.address("New")).is_clean


def test_a_class_of_one_vector_gets_names_where_memories_have_more(server: WeaviateServer) -> None:
    config = {
        "vectorizer": "text2vec-transformers", "moduleConfig": {"text2vec-transformers": {"poolingStrategy": "cls"}},
        "vectorIndexType": "hnsw", "vectorIndexConfig": {"distance": "dot"},
    }  # fmt: skip
    records = [from_json({"id": UUID, "vector": [1.0, 2], "vectors": {"title": [1.0]}})]
    fill(server.address(), records, config)
    made = server.classes["Agent"].definition["vectorConfig"]
    assert made["default"]["vectorizer"] == {"text2vec-transformers": {"poolingStrategy": "cls"}}
    assert made["default"]["vectorIndexConfig"]["distance"] == "dot" and made["title"]["vectorizer"] == {"none": {}}
    assert holds(server.address(), records)


def test_a_server_that_embeds_is_not_asked_to(server: WeaviateServer) -> None:
    server.make("Agent", vectorizer="text2vec-transformers")
    records = [*memory(3), from_json({"id": "none", "text": "without a vector"})]
    fill(server.address(), records)
    assert all(len(each["vector"]) == 4 for each in server.written) and holds(server.address(), records)


# -- tenants -----------------------------------------------------------------------------------------------------------


def test_tenants_hold_memories_of_their_own(tmp_path: Path, server: WeaviateServer) -> None:
    alice, bob = server.address(options={"tenant": "alice"}), server.address(options={"tenant": "bob"})
    fill(alice, memory(5))
    fill(bob, memory(3))
    fill(alice, [from_json({"id": "more", "text": "a", "metadata": {"later": [1]}})])
    assert len(read(alice)) == 6 and len(read(bob)) == 3
    assert {name: len(each) for name, each in server.classes["Agent"].objects.items()} == {"alice": 6, "bob": 3}
    with pytest.raises(UsageError, match=r"\?tenant=NAME: alice, bob") as raised:
        read(server.address())
    assert raised.value.code == "bad-address"
    with pytest.raises(StoreError, match=r"tenant .*carol") as missing_one:
        read(server.address(options={"tenant": "carol"}))
    assert missing_one.value.code == "store-missing"
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(2))
    assert kept.checkout(first, server.address(options={"tenant": "carol"})).verified == 2 and len(read(alice)) == 6


def test_a_tenant_that_sleeps_and_a_class_without_tenants_are_named(server: WeaviateServer) -> None:
    alice = server.address(options={"tenant": "alice"})
    fill(alice, memory(2))
    server.classes["Agent"].inactive.add("alice")
    with pytest.raises(StoreError, match="tenant not active") as raised:
        read(alice)
    assert raised.value.code == "store-answer"
    server.make("Plain")
    assert attempt(lambda: read(server.address("Plain", {"tenant": "alice"})))[1] == "bad-address"


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_reading_goes_on_from_page_to_page(server: WeaviateServer) -> None:
    records = memory(2345)
    fill(server.address(), records)
    server.asked.clear()
    assert holds(server.address(), records)
    assert 8 <= server.asked.count("GET /v1/objects") < 20


def test_a_server_that_gives_and_removes_few_at_once_is_asked_more_often(
    tmp_path: Path, server: WeaviateServer
) -> None:
    kept = repository(tmp_path)
    server.maximum = 30
    first = commit_file(kept, tmp_path, memory(200))
    assert kept.checkout(first, server.address()).verified == 200
    fewer = commit_file(kept, tmp_path, memory(10))
    assert kept.checkout(fewer, server.address()).verified == 10
    server.maximum = 0
    with pytest.raises(StoreError, match="maximum results"):
        read(server.address())


def test_pages_shrink_where_objects_are_large_and_nothing_is_missed(server: WeaviateServer) -> None:
    long = [from_json({"id": str(n), "text": "x" * 400_000, "vector": [1.0, 2]}) for n in range(120)]
    fill(server.address(), long)
    server.asked.clear()
    assert holds(server.address(), long)
    assert server.asked.count("GET /v1/objects") > 4


def test_other_dimensions_are_refused_before_anything_is_written(server: WeaviateServer) -> None:
    fill(server.address(), memory(3))
    server.written.clear()
    records = [from_json({"id": "odd", "text": "a", "vector": [1.0, 2.0]})]
    with pytest.raises(StoreError, match="set up for 4") as raised:
        fill(server.address(), records)
    assert raised.value.code == "store-dims" and not server.written
    mixed = [*memory(2), *records]
    assert attempt(lambda: fill(server.address("New"), mixed))[1] == "store-dims" and "New" not in server.classes


def test_dimensions_that_only_the_server_knows_are_said_as_such(server: WeaviateServer) -> None:
    server.make("Agent", {"text": "text"}).dims["", ""] = 3  # an index that held objects once
    with pytest.raises(StoreError, match=r"length 4.*length 3") as raised:
        fill(server.address(), memory(2))
    assert raised.value.code == "store-dims"


@pytest.mark.parametrize(
    ("why", "code"),
    [("store is read-only due to: disk usage too high", "store-busy"), ("too odd to hold", "store-cannot-hold")],
)
def test_a_batch_that_is_half_refused_is_said_and_completed_by_a_second_run(
    tmp_path: Path, server: WeaviateServer, why: str, code: str
) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(40))
    server.refuses = lambda value: why if value["properties"]["text"].endswith("7") else None
    with pytest.raises(StoreError, match=why) as raised:
        kept.checkout(first, server.address())
    assert raised.value.code == code and "4 of 40" in str(raised.value)
    assert len(server.classes["Agent"].objects[""]) == 36
    server.refuses = lambda value: None
    server.written.clear()
    assert kept.checkout(first, server.address()).verified == 40
    assert len(server.written) == 4


def test_answers_that_get_lost_lose_nothing(tmp_path: Path, server: WeaviateServer) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(900))
    live = server.address(reach=ONE)
    lost = iter([False, True, True, *[False] * 9])
    server.loses = lambda asked: asked == "POST /v1/batch/objects" and next(lost)
    assert kept.checkout(first, live).verified == 900
    second = commit_file(kept, tmp_path, [*memory(900)[10:], from_json({"id": "new", "vector": [1.0, 2, 3, 4]})])
    server.loses = lambda asked: asked == "POST /v1/batch/objects"
    with pytest.raises(StoreError) as raised:
        kept.checkout(second, live)
    assert raised.value.code == "store-unreachable"
    server.loses = lambda asked: False
    assert kept.checkout(second, live).verified == 900 - 9 and kept.status(live).is_clean


def test_an_interrupted_checkout_goes_on_where_it_stopped(tmp_path: Path, server: WeaviateServer) -> None:
    kept = repository(tmp_path)
    first = commit_file(kept, tmp_path, memory(900))
    live = server.address(reach=ONE)
    original, left = server.answer, [2]

    def failing(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if path.endswith("/batch/objects"):
            left[0] -= 1
            if left[0] < 0:
                raise Refused(500, "disk is full")
        return original(method, path, query, body)

    server.answer = failing  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="disk is full") as raised:
        kept.checkout(first, live)
    assert raised.value.code == "store-unreachable"
    server.answer = original  # type: ignore[method-assign]
    server.written.clear()
    assert kept.checkout(first, live).verified == 900 and len(server.written) == 900 - 512


def test_a_batch_that_is_too_large_is_halved(server: WeaviateServer) -> None:
    server.most_bytes = 9000
    fill(server.address(), memory(300))
    assert holds(server.address(), memory(300))


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_busy_server_is_asked_again(server: WeaviateServer, status: int) -> None:
    server.make("Agent")
    said = orjson.dumps({"error": [{"message": "too many requests"}]})
    server.script = [None, None, *[(status, {"Retry-After": "1"}, said)] * 3]
    fill(server.address(reach=ONE), memory(300))
    assert holds(server.address(), memory(300))


def test_a_storm_of_429_ends_with_words_and_a_second_run_completes(server: WeaviateServer) -> None:
    said = orjson.dumps({"errorCode": "USAGE_LIMIT_EXCEEDED", "limit": "objects", "value": 5, "message": "limit is 5"})
    server.make("Agent")
    server.script = [None, None, *[(429, {}, said)] * 4]
    with pytest.raises(StoreError, match="limit is 5") as raised:
        fill(server.address(reach=ONE), memory(3))
    assert raised.value.code == "store-busy"
    fill(server.address(), memory(3))
    assert holds(server.address(), memory(3))


def test_a_missing_class_and_a_server_that_is_down_are_named(server: WeaviateServer) -> None:
    with pytest.raises(StoreError, match=r"class weaviate://.*Agent; check the name") as raised:
        WeaviateStore.open(server.address())
    assert raised.value.code == "store-missing"
    found = WeaviateServer()
    address = found.address()
    found.end()
    with pytest.raises(StoreError, match="is it running") as down:
        WeaviateStore.open(address)
    assert down.value.code == "store-unreachable"


def test_a_key_is_wanted_sent_and_never_shown(server: WeaviateServer) -> None:
    server.key = KEY

    def with_key(key: str) -> Address:
        secrets: dict[str, Callable[[], str]] = {"api_key": lambda: key}
        return server.address(secrets=secrets)

    fill(with_key(KEY), memory(3))
    for address in (server.address(), with_key("wr0ng key")):
        with pytest.raises(StoreError, match="WEAVIATE_API_KEY") as raised:
            WeaviateStore.open(address)
        assert raised.value.code == "store-refused" and "wr0ng" not in str(raised.value)
    assert KEY not in repr(with_key(KEY)) + str(with_key(KEY))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html><title>Sign in</title></html>"),
        (404, b"<html>no</html>"),
        (200, b'{"collections":[]}'),
        (200, b"[]"),
    ],
)
def test_what_is_not_weaviate_is_said_to_be_something_else(server: WeaviateServer, status: int, body: bytes) -> None:
    server.script = [(status, {}, body), (status, {}, body)]
    with pytest.raises(StoreError) as raised:
        WeaviateStore.open(server.address(), create=True).describe()
    assert raised.value.code == "store-answer"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"properties": {}}, "store-answer"),
        ({"id": UUID, "vector": [1.0, None]}, "vector-type"),
        ({"id": UUID, "vectors": {"a": ["x"]}}, "vector-type"),
        ({"id": UUID, "vectors": {"a": [[1.0], [1.0, 2.0]]}}, "vector-type"),
        ({"id": UUID, "vector": 5}, "vector-type"),
    ],
)
def test_objects_that_are_none_are_named(server: WeaviateServer, value: dict[str, Any], code: str) -> None:
    server.make("Agent")
    server.script = [None, (200, {}, orjson.dumps({"objects": [value]}))]
    with pytest.raises((StoreError, InvalidData)) as raised:
        read(server.address())
    assert raised.value.code == code


def test_one_that_is_none_does_not_keep_the_others_from_being_read(server: WeaviateServer) -> None:
    server.make("Agent")
    page = orjson.dumps({"objects": [{"id": OTHER, "vector": ["x"]}, {"id": UUID, "properties": {"text": "a"}}]})
    server.script = [None, (200, {}, page), (200, {}, b'{"objects":[]}')]
    problems: list[InvalidData] = []
    with WeaviateStore.open(server.address()) as store:
        found = [item.record.to_json()["id"] for batch in store.scan(problems.append) for item in batch]
    assert found == [UUID] and len(problems) == 1 and OTHER in str(problems[0])


def test_an_id_among_the_properties_is_the_objects_own(server: WeaviateServer) -> None:
    server.make("Agent")
    page = orjson.dumps(
        {"objects": [{"id": UUID, "properties": {"text": "a", "id": UUID, "none": None}, "vector": []}]}
    )
    server.script = [None, (200, {}, page), (200, {}, b'{"objects":[]}')]
    assert read(server.address()) == {UUID: {"id": UUID, "text": "a"}}


def test_answers_that_make_no_sense_are_refused(server: WeaviateServer) -> None:
    fill(server.address(), memory(2))
    page = orjson.dumps({"objects": [{"id": UUID, "properties": {}}]})
    server.script = [None, *[(200, {}, page)] * 3]
    with pytest.raises(StoreError, match="again and again"):
        read(server.address())
    for bad in (b'{"objects":5}', b"{}", b"[]"):
        server.script = [None, (200, {}, bad)]
        with pytest.raises(StoreError, match="no objects"):
            read(server.address())
    server.script = [None, (200, {}, b'{"objects":null}')]
    assert read(server.address()) == {}
    server.script = [None, (200, {}, b'{"errors":[{"message":"no such field"}]}')]
    with pytest.raises(StoreError, match="no such field"):
        WeaviateStore(server.address()).describe()
    with WeaviateStore.open(server.address(), create=True) as store:
        assert store.exists()
        (point, *_) = next(store.read_points())
        server.script = [(200, {}, b"[]")]
        with pytest.raises(StoreError, match="as many results"):
            store.upsert([point])


@pytest.mark.parametrize(
    ("location", "options"),
    [
        ("//host", {}), ("//host/a-b", {}), ("//host/1a", {}), ("//host/" + "x" * 256, {}),
        ("//host/C", {"distance": "Cosine"}), ("//host/C", {"tenant": "a b"}), ("//host/C", {"tenant": ""}),
    ],
)  # fmt: skip
def test_an_address_that_says_nothing_is_refused(location: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        WeaviateStore.open(Address("weaviate", location, options))
    assert raised.value.code == "bad-address"


def test_a_server_may_be_below_a_path(server: WeaviateServer) -> None:
    server.script = [(404, {}, b""), (200, {}, b'{"version":"1.36.0"}')]
    with WeaviateStore(server.address("vector db/agent")) as store:
        assert not store.exists()
    assert server.asked == ["GET /vector%20db/v1/schema/Agent", "GET /vector%20db/v1/meta"]
