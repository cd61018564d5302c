"""What is particular to Milvus: types and lengths of fields, one vector or several, consistency, what goes wrong."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from tests.contract import moving
from tests.contract.milvus_server import TOKEN, new_address, port
from tests.contract.moving import fill, read
from tests.hosting.listening import PAGE, Listening, saying_to_everybody
from tests.hosting.proxy import Cuts, proxy_to
from tests.property.strategies import attempt
from vexrepo.errors import StoreError, UsageError
from vexrepo.objects.record import from_json
from vexrepo.remotes.stores import milvus
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.milvus import MilvusStore
from vexrepo.remotes.stores.milvus_fields import Field, Layout, holds_json, layout_of
from vexrepo.repository import Repository, Surroundings
from vexrepo.testing.stores import check_holds, plan_between

CLOCK = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))


@pytest.fixture(scope="module")
def client() -> Iterator[MilvusClient]:
    """Another program, on the server."""
    found = MilvusClient(uri=f"http://127.0.0.1:{port()}", token=TOKEN)
    yield found
    found.close()


@pytest.fixture(params=["server", "lite"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A collection that is not there yet, on each engine."""
    return new_address() if request.param == "server" else lite(tmp_path)


def lite(tmp_path: Path, **options: str) -> Address:
    return Address("milvus", str(tmp_path / "agent.db"), options)


def name_of(address: Address) -> str:
    return address.location.rpartition("/")[2]


memory = partial(moving.memory, last=0.3)


def rows(client: MilvusClient, address: Address) -> dict[Any, Any]:
    """Return what is in a collection, as another program sees it."""
    found = client.query(name_of(address), filter="", limit=1000, output_fields=["*"], consistency_level="Strong")
    return {each.get("id"): dict(each) for each in found}


def make(
    client: MilvusClient,
    address: Address,
    fields: list[tuple[str, str, dict[str, Any]]],
    index: dict[str, Any] | None = None,
    **more: Any,
) -> None:
    """Make a collection as another program would."""
    said = {"auto_id": more.pop("auto_id", False), "description": more.pop("description", "")}
    schema = client.create_schema(**said, enable_dynamic_field=more.pop("dynamic", False))
    indexes = client.prepare_index_params()
    for name, kind, params in fields:
        schema.add_field(name, getattr(DataType, kind), **params)
        if kind == "SPARSE_FLOAT_VECTOR":
            indexes.add_index(name, index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        elif kind.endswith("VECTOR"):
            indexes.add_index(name, **(index or {"index_type": "FLAT", "metric_type": "L2"}))
    client.create_collection(name_of(address), schema=schema, index_params=indexes, **more)


KEY = ("id", "VARCHAR", {"is_primary": True, "max_length": 100})
VECTOR = ("vector", "FLOAT_VECTOR", {"dim": 2})


def test_a_commit_of_what_was_checked_out_is_the_same(tmp_path: Path, live: Address) -> None:
    kept = Repository.init(tmp_path / "kept", Surroundings(now_us=lambda: next(CLOCK)))
    source = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    with JsonlStore.open(source, create=True) as store:
        store.write(plan_between([], memory()))
    first = kept.commit("first", store=source)
    assert first.id is not None
    assert kept.checkout(first.id, live).verified == 30
    assert kept.status(live).is_clean
    again = kept.commit("how the collection is set up", store=live)
    assert again.snapshot.records == first.snapshot.records
    indexes = again.snapshot.collections["milvus"]["indexes"]
    assert indexes["vector"][0]["metric_type"] == "COSINE"
    assert attempt(lambda: kept.commit("again", store=live))[1] == "nothing-to-commit"
    fill(live, [from_json({"id": "m3", "text": "other", "vector": [9.0, 0, 0, 1]})])
    changes = {change.key.rpartition(b"\1")[2].decode(): change.kind for change in kept.diff_with_store(first.id, live)}
    assert changes == {"m3": "changed"}


def test_what_another_program_wrote_or_removed_is_seen_at_once(client: MilvusClient) -> None:
    """The collection's own consistency is bounded: a reader may be seconds behind, unless it asks for more."""
    live = new_address()
    fill(live, memory(3))
    with MilvusStore.open(live) as store:
        for n in range(20):
            client.upsert(name_of(live), [{"id": f"x{n}", "text": "", "_vex": [], "vector": [n + 1.0, 0, 0, 0]}])
            assert sum(len(batch) for batch in store.scan()) == store.describe().count == 4
            client.delete(name_of(live), ids=[f"x{n}"])
            assert store.describe().count == sum(len(batch) for batch in store.scan()) == 3


def test_an_update_takes_away_what_a_memory_has_no_more(live: Address) -> None:
    whole = {"id": "1", "text": "a", "vector": [1.0, 2], "metadata": {"x": 1, "tags": ["a"]}, "model": "tiny"}
    for value in (whole, {"id": "1", "vector": [1.0, 2], "metadata": {"y": 2}}, {"id": "1"}, whole):
        record = from_json(value)
        fill(live, [record])
        with MilvusStore.open(live) as store:
            check_holds(store, [record])


def test_what_no_field_has_room_for_is_carried_and_never_cut(live: Address) -> None:
    values: list[dict[str, Any]] = [
        {"id": "text", "text": "é" * 40_000, "vector": [1.0, 2]},
        {"id": "many", "text": "a", "metadata": {f"n{n}": "x" * 9_000 for n in range(20)}, "vector": [1.0, 2]},
        {"id": "one", "text": "a", "metadata": {"n": ["🙂" * 100_000]}, "vector": [1.0, 2]},
        {"id": "k" * 70_000, "text": "a", "vector": [1.0, 2]},
    ]
    records = [from_json(each) for each in values]
    fill(live, records)
    with MilvusStore.open(live) as store:
        check_holds(store, records)


def test_what_is_larger_than_a_request_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "MAX_ROW", 100_000)
    records = [*memory(3), from_json({"id": "z", "text": "x" * 100_001, "vector": [1.0, 2, 3, 4]})]
    with pytest.raises(StoreError, match="100,0") as raised:
        fill(lite(tmp_path), records)
    assert raised.value.code == "store-cannot-hold" and not (tmp_path / "agent.db").exists()


def test_pages_shrink_where_rows_are_large_and_nothing_is_missed() -> None:
    """A server sends 64 MiB at once, at most."""
    live = new_address()
    long = [from_json({"id": f"{n:03}", "text": "x" * 1_000_000, "vector": [1.0, 2]}) for n in range(70)]
    fill(live, long)
    with MilvusStore.open(live) as store:
        check_holds(store, long)


def test_pages_are_no_larger_for_being_of_several_segments(
    client: MilvusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each segment of a collection answers with as many rows as are asked for."""
    monkeypatch.setattr(milvus, "_MOST_ROWS", 40)
    live = new_address()
    fill(live, memory(100))
    for part in ("b", "c", "d"):
        client.create_partition(name_of(live), part)
        client.upsert(
            name_of(live),
            [{"id": f"{n:03}{part}", "text": "x", "vector": [1.0, 2, 3, 4], "_vex": []} for n in range(100)],
            partition_name=part,
        )
    with MilvusStore.open(live) as store:
        pages = [len(page) for page in store.read_points()]
    assert sum(pages) == 400 and max(pages) <= 50, pages


def test_keys_of_any_characters_are_read_replaced_and_removed(live: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "_MOST_ROWS", 3)
    keys = [
        'a"b',
        "a'b",
        "a\\b",
        "a\nb",
        "a\0b",
        "\0",
        "é",
        "🙂",
        "\uffff",
        "\U0010ffff",
        "%",
        "a\tb",
        "\x7f",
        '\\"',
        "{x}",
    ]
    first = [from_json({"id": key, "text": "old", "vector": [1.0, 2]}) for key in keys]
    fill(live, first)
    then = [from_json({"id": key, "text": "new", "vector": [1.0, 2]}) for key in keys[::2]]
    with MilvusStore.open(live, create=True) as store:
        check_holds(store, first)
        store.write(plan_between(first, then))
    with MilvusStore.open(live) as store:
        check_holds(store, then)


def test_a_read_goes_on_after_a_memory(live: Address) -> None:
    fill(live, memory(30))
    with MilvusStore.open(live) as store:
        ids = [point.id for batch in store.read_points() for point in batch]
        assert [point.id for batch in store.read_points_after(ids[11]) for point in batch] == ids[12:]
        assert list(store.read_points_after(ids[-1])) == []


def test_what_the_original_tool_wrote_is_read_and_kept(client: MilvusClient) -> None:
    live = new_address()
    texts = [(name, "VARCHAR", {"max_length": 200}) for name in ("content", "namespace", "tags", "source")]
    numbers = [("importance", "FLOAT", {}), ("created_at", "INT64", {})]
    index = {"index_type": "IVF_FLAT", "metric_type": "COSINE", "params": {"nlist": 128}}
    make(client, live, [KEY, *texts, *numbers, VECTOR], index)
    row = {"id": "m1", "content": "hello", "namespace": "n1", "tags": "a,b", "source": "vektor"}
    row |= {"importance": 3.5, "created_at": 1780525199, "vector": [0.1, 0.2]}
    client.insert(name_of(live), [row])
    found = read(live)
    numbers_read = found["m1"].pop("vector")
    assert [round(x, 6) for x in numbers_read] == [0.1, 0.2]
    assert found == {
        "m1": {
            "id": "m1", "text": "hello", "namespace": "n1", "created_at": 1780525199,
            "metadata": {"tags": "a,b", "source": "vektor", "importance": 3.5},
        }
    }  # fmt: skip
    changed = from_json({**found["m1"], "text": "changed", "vector": numbers_read})
    fill(live, [changed])
    assert rows(client, live)["m1"] == {**row, "content": "changed", "vector": numbers_read}
    with pytest.raises(StoreError, match="nothing was written") as raised:
        fill(live, [from_json({"id": "m2", "text": "a", "metadata": {"new": 1}, "vector": [1.0, 2]})])
    assert raised.value.code == "store-cannot-hold" and "_vex" in str(raised.value)
    with pytest.raises(StoreError, match="cannot hold"):  # 201 bytes; a shorter text would do
        fill(live, [from_json({**found["m1"], "text": "x" * 201, "vector": numbers_read})])
    assert len(rows(client, live)) == 1


def test_a_foreign_collection_of_many_types_is_read_and_written(tmp_path: Path) -> None:
    live = lite(tmp_path)
    other = MilvusClient(uri=live.location)
    name = "vex_memory"
    fields: list[tuple[str, str, dict[str, Any]]] = [
        ("pk", "INT64", {"is_primary": True}), ("embedding", "FLOAT_VECTOR", {"dim": 2}),
        ("title", "FLOAT_VECTOR", {"dim": 3}), ("words", "SPARSE_FLOAT_VECTOR", {}),
        ("body", "VARCHAR", {"max_length": 50, "nullable": True}), ("rank", "INT64", {"default_value": 5}),
        ("info", "JSON", {}), ("score", "FLOAT", {}), ("exact", "DOUBLE", {}), ("tiny", "INT8", {}),
        ("is_new", "BOOL", {}),
        ("tags", "ARRAY", {"element_type": DataType.VARCHAR, "max_capacity": 4, "max_length": 20}),
    ]  # fmt: skip
    make(other, Address("milvus", f"//x/{name}"), fields, dynamic=True)
    plain = {"info": {"a": [1, None, 1.5]}, "score": 0.5, "exact": 0.1, "tiny": -3, "is_new": True, "tags": ["x"]}
    vectors = {"embedding": [1.0, 2], "title": [1.0, 0, 0], "words": {1: 0.5, 4294967294: 0.25}}
    other.insert(
        name, [{"pk": 7, "body": "b", "more": 1, **plain, **vectors}, {"pk": -5, "rank": 9, **plain, **vectors}]
    )
    found = read(live)
    words = {"indices": [1, 4294967294], "values": [0.5, 0.25]}
    shared = {"vector": [1.0, 2.0], "vectors": {"title": [1.0, 0.0, 0.0], "words": words}}
    assert found == {
        "7": {"id": "7", "text": "b", "metadata": {**plain, "rank": 5, "more": 1}, **shared},
        "-5": {"id": "-5", "metadata": {**plain, "rank": 9}, **shared},
    }
    wanted = [
        from_json({**found["7"], "text": "changed"}),
        from_json({"id": "8", "vector": [1.0, 0.0], "metadata": {"rank": None, "tiny": 1000, "tags": list("abcde")}}),
        from_json({"id": "text", "namespace": "n", "text": "a" * 60}),
    ]
    with MilvusStore.open(live, create=True) as store:
        held = [item.record for batch in store.scan() for item in batch]
        store.write(plan_between(held, wanted))
    with MilvusStore.open(live) as store:
        check_holds(store, wanted)
    found7 = other.query(name, filter="pk == 7", output_fields=["*"])[0]
    assert found7["body"] == "changed" and dict(found7["info"]) == plain["info"] and found7["rank"] == 5
    other.close()


def test_a_field_for_what_is_carried_may_be_a_text_of_a_length(tmp_path: Path) -> None:
    live, other = lite(tmp_path), MilvusClient(uri=lite(tmp_path).location)
    carried = ("_vex", "VARCHAR", {"max_length": 300})
    make(other, Address("milvus", "//x/vex_memory"), [KEY, VECTOR, ("text", "VARCHAR", {"max_length": 50}), carried])
    records = [
        from_json({"id": "1", "text": "a", "metadata": {"n": [1, None]}}),
        from_json({"id": "2", "vector": [1.0, 2]}),
    ]
    fill(live, records)
    with MilvusStore.open(live) as store:
        check_holds(store, records)
    long = from_json({"id": "3", "text": "a" * 400, "vector": [1.0, 2]})
    with pytest.raises(StoreError, match="which takes 300; nothing was written") as raised:
        fill(live, [*records, long])
    assert raised.value.code == "store-cannot-hold" and len(read(live)) == 2
    other.close()


def test_named_and_sparse_vectors_have_fields_where_the_engine_has_several(tmp_path: Path) -> None:
    words = {"indices": [1, 7], "values": [0.5, -2.0]}
    values: list[dict[str, Any]] = [
        {"id": "1", "vector": [1.0, 2, 3], "vectors": {"title": [1.0, 0], "words": words}},
        {"id": "2", "vectors": {"words": {"indices": [4294967294], "values": [1.0]}}},
        {"id": "3", "vector": [1.0, 0, 0], "vectors": {"a/b": [1.0], "metadata": [2.0], "title": [3.0, 4.0]}},
        {"id": "4", "text": "no vector at all", "metadata": {"title": "t"}},
        {"id": "5", "vectors": {f"v{n}": [1.0, n] for n in range(9)}},
    ]
    records = [from_json(each) for each in values]
    fill(lite(tmp_path), records)
    with MilvusStore.open(lite(tmp_path)) as store:
        check_holds(store, records)
        spaces = store.held_spaces()
    assert spaces is not None and len(spaces) == 4 and {"", "title"} < spaces.keys()


def test_the_configuration_of_a_collection_is_made_again(client: MilvusClient) -> None:
    old, new = new_address(), new_address()
    index = {"index_type": "HNSW", "metric_type": "IP", "params": {"M": 8, "efConstruction": 50}}
    number = ("rank", "INT64", {})
    make(client, old, [("pk", "INT64", {"is_primary": True}), VECTOR, number], index, dynamic=True,
         description="of alice", consistency_level="Session")  # fmt: skip
    with MilvusStore.open(old) as store:
        before = store.describe().config
    assert before["indexes"] == {"vector": [{"index_type": "HNSW", "metric_type": "IP", "M": 8, "efConstruction": 50}]}
    records = [from_json({"id": "x", "vector": [1.0, 2, 3], "metadata": {"rank": 5}}), *memory(0)]
    fill(new, records, config=before)
    with MilvusStore.open(new) as store:
        check_holds(store, records)
        after = store.describe().config
    assert after["indexes"] == before["indexes"] and after["consistency"] == "Session"
    assert after["fields"][0] == before["fields"][0] and after["fields"][1]["params"] == {"dim": 3}
    assert [each["name"] for each in after["fields"]] == ["pk", "vector", "rank", "_vex"]
    assert after["dynamic"] and after["description"] == "of alice"


def test_a_collection_that_is_not_loaded_is_loaded_and_released_again(client: MilvusClient) -> None:
    live = new_address()
    fill(live, memory(3))
    client.release_collection(name_of(live))
    assert len(read(live)) == 3
    assert client.get_load_state(name_of(live))["state"].name == "NotLoad"
    fill(live, memory(2, 10))
    client.load_collection(name_of(live))
    assert len(read(live)) == 5
    assert client.get_load_state(name_of(live))["state"].name == "Loaded"


def test_a_collection_without_an_index_says_what_is_missing(client: MilvusClient) -> None:
    live = new_address()
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    client.create_collection(name_of(live), schema=schema)
    with pytest.raises(StoreError, match="index"):
        read(live)


@pytest.mark.parametrize("what", ["auto_id", "partitions"])
def test_collections_whose_rows_cannot_be_replaced_are_only_read(client: MilvusClient, what: str) -> None:
    live = new_address()
    key = ("id", "INT64", {"is_primary": True})
    make(client, live, [key, VECTOR], dynamic=True, auto_id=what == "auto_id")
    if what == "partitions":
        client.create_partition(name_of(live), "other")
        client.insert(name_of(live), [{"id": 1, "vector": [1.0, 2]}], partition_name="other")
    else:
        client.insert(name_of(live), [{"vector": [1.0, 2]}])
    assert [each["vector"] for each in read(live).values()] == [[1.0, 2.0]]
    with pytest.raises(StoreError, match="only be read") as raised:
        fill(live, [from_json({"id": "5", "vector": [1.0, 2]})])
    assert raised.value.code == "store-cannot-hold"


def test_fields_of_unknown_types_are_not_written_over() -> None:
    fields = [
        {"name": "id", "type": "VARCHAR", "params": {"max_length": 9}, "is_primary": True},
        {"name": "vector", "type": "FLOAT_VECTOR", "params": {"dim": 2}},
        {"name": "place", "type": "GEOMETRY", "nullable": True},
    ]
    found = layout_of({"fields": fields, "dynamic": True})
    assert isinstance(found, Layout) and "place (GEOMETRY)" in found.trouble
    known = layout_of({"fields": fields[:2], "dynamic": True})
    assert isinstance(known, Layout) and not known.trouble
    halves = {"name": "half", "type": "FLOAT16_VECTOR", "params": {"dim": 2}}
    assert "half (FLOAT16_VECTOR)" in str(layout_of({"fields": [*fields, halves]}))


def test_values_that_fields_hold_are_known() -> None:
    def field(kind: str, **params: Any) -> Callable[[Any], bool]:
        return Field("x", kind, params, element=params.pop("element", "")).holds

    assert field("VARCHAR", max_length=2)("é") and not field("VARCHAR", max_length=1)("é")
    assert field("INT8")(-128) and not any(map(field("INT8"), (128, True, 1.0, "1", None)))
    assert field("FLOAT")(0.5) and not any(map(field("FLOAT"), (0.1, 1, 1e300)))
    assert field("DOUBLE")(0.1) and not field("DOUBLE")(1)
    assert field("JSON")({"a": [None]}) and not any(map(field("JSON"), ([], "a", None, {"a": 1 << 64})))
    assert field("ARRAY", element="INT8", max_capacity=2)([1, 2])
    assert not any(map(field("ARRAY", element="INT8", max_capacity=2), ([1, 2, 3], [1.0], 1)))
    assert not field("GEOMETRY")("POINT (1 1)")
    assert holds_json({"a": [1 << 62, 1e300, -0.0, None]}) and not holds_json([1 << 64])


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_missing_collection_is_named_and_nothing_is_made_by_looking(tmp_path: Path) -> None:
    for address in (new_address(), lite(tmp_path)):
        with pytest.raises(StoreError, match="check the name") as raised:
            MilvusStore.open(address)
        assert raised.value.code == "store-missing"
    assert not (tmp_path / "agent.db").exists()
    nowhere = Address("milvus", str(tmp_path / "no" / "agent.db"))
    assert attempt(lambda: fill(nowhere, memory(1)))[1] == "store-missing"
    with pytest.raises(StoreError, match="nowhere"):
        MilvusStore.open(new_address({"database": "nowhere"}))


def test_a_server_that_is_down_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = Address("milvus", f"//127.0.0.1:{free.getsockname()[1]}/agent", reach=Reach(timeout_s=0.5))
    with pytest.raises(StoreError, match="is it running") as raised:
        MilvusStore.open(down)
    assert raised.value.code == "store-unreachable"


def test_what_is_not_milvus_is_said_to_be_out_of_reach() -> None:
    with saying_to_everybody(PAGE) as front, pytest.raises(StoreError, match="is that its address") as raised:
        MilvusStore.open(by_way_of(front, Address("milvus", "//x/agent"), timeout_s=0.5))
    assert raised.value.code == "store-unreachable"


def test_a_password_is_wanted_sent_and_never_shown() -> None:
    fill(live := new_address(), memory(3))
    user = Address("milvus", live.location.replace("//", "//root@"), secrets={"password": lambda: "Milvus"})
    assert len(read(user)) == 3
    for token in ("root:wr0ng", ""):
        wrong = Address(
            "milvus", live.location, secrets={"password": lambda token=token: token}, reach=Reach(timeout_s=5)
        )
        with pytest.raises(StoreError, match="MILVUS_TOKEN") as raised:
            MilvusStore.open(wrong)
        assert raised.value.code == "store-refused" and "wr0ng" not in str(raised.value)


def test_other_dimensions_are_refused_before_anything_is_written(live: Address) -> None:
    fill(live, memory(2))
    records = [*memory(5), from_json({"id": "odd", "text": "a", "vector": [1.0, 2.0]})]
    assert attempt(lambda: fill(live, records))[1] == "store-dims"
    assert len(read(live)) == 2


def test_memories_without_vectors_need_dimensions_from_somewhere(tmp_path: Path) -> None:
    bare = [from_json({"id": "1", "text": "a"})]
    with pytest.raises(StoreError, match=r"\?dims=384") as raised:
        fill(lite(tmp_path), bare)
    assert raised.value.code == "store-cannot-hold" and not (tmp_path / "agent.db").exists()
    with pytest.raises(StoreError, match="1 to 32,768 dimensions"):
        fill(lite(tmp_path), [from_json({"id": "1", "text": "a", "vector": [1.0] * 40_000})])
    fill(lite(tmp_path, dims="384"), bare)
    with MilvusStore.open(lite(tmp_path)) as store:
        check_holds(store, bare)
    assert attempt(lambda: fill(lite(tmp_path, dims="3", collection="other"), memory(1)))[1] == "store-dims"


def by_way_of(front: Listening, collection: Address, timeout_s: float) -> Address:
    """Return the address of a collection through what stands before the server."""
    place = f"//{front.host}/{name_of(collection)}"
    return Address("milvus", place, secrets=collection.secrets, reach=Reach(timeout_s=timeout_s))


def test_a_second_run_completes_what_a_cut_connection_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MilvusStore, "batch_points", 50)
    fill(live := new_address(), memory(1))
    long = [from_json({"id": f"m{n}", "text": "x" * 5_000, "vector": [1.0, 2, 3, 4]}) for n in range(600)]
    with proxy_to(port()) as proxy, pytest.raises(StoreError) as raised:
        proxy.cuts = Cuts(asked=1_500_000, for_good=True)
        fill(by_way_of(proxy, live, timeout_s=1), long)
    assert raised.value.code == "store-unreachable"
    assert 50 < len(read(live)) < 600
    fill(live, long)
    with MilvusStore.open(live) as store:
        check_holds(store, long)


def test_a_server_that_limits_requests_is_said_to_be_busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill(lite(tmp_path), memory(1))

    def limited(*args: object, **more: object) -> None:
        raise MilvusException(8, "request is rejected by grpc RateLimiter middleware, please retry later")

    with MilvusStore.open(lite(tmp_path), create=True) as store:
        list(store.scan())
        with monkeypatch.context() as now, pytest.raises(StoreError, match="try again later") as raised:
            now.setattr(store.server.client, "insert", limited)
            store.write(plan_between(memory(1), memory(2)))
        assert raised.value.code == "store-busy"
        store.write(plan_between(memory(1), memory(2)))
        check_holds(store, memory(2))


def test_batches_are_halved_until_the_server_takes_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill(lite(tmp_path), memory(1))
    with MilvusStore.open(lite(tmp_path), create=True) as store:
        list(store.scan())
        original = store.server.client.insert

        def limited(name: str, data: list[Any], **more: Any) -> Any:
            if len(data) > 20:
                raise MilvusException(65535, "grpc: received message larger than max (70000000 vs. 67108864)")
            return original(name, data, **more)

        monkeypatch.setattr(store.server.client, "insert", limited)
        store.write(plan_between(memory(1), memory(100)))
        check_holds(store, memory(100))


def test_a_file_that_another_program_has_open_is_said_to_be_locked(tmp_path: Path) -> None:
    fill(lite(tmp_path), memory(1))
    code = (
        "import sys; from milvus_lite.server_manager import server_manager_instance as m; "
        "print(m.start_and_get_uri(sys.argv[1]), flush=True); sys.stdin.read()"
    )
    path = lite(tmp_path).location
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline().startswith("http")
        with pytest.raises(StoreError, match="another program") as raised:
            read(lite(tmp_path))
        other.stdin.close()
    assert raised.value.code == "store-locked"
    assert len(read(lite(tmp_path))) == 1


@pytest.mark.parametrize(("module", "extra"), [("pymilvus", "milvus"), ("milvus_lite.server_manager", "milvus-lite")])
def test_a_missing_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StoreError, match=rf"vexrepo\[{extra}\]") as raised:
        fill(lite(tmp_path), memory(1))
    assert raised.value.code == "store-unreadable"


@pytest.mark.parametrize(
    ("location", "options"),
    [
        ("//host/a b", {}), ("//host/1a", {}), ("//host/a-b", {}), ("//host/" + "x" * 256, {}), ("//host:x/c", {}),
        ("//host/c", {"metric": "dot"}), ("//host/c", {"dims": "0x1"}), ("//host/c", {"dims": "32769"}),
        ("//host/c", {"tls": "yes"}), ("//host/c", {"x": "1"}), ("agent.sqlite", {}),
        ("agent.db", {"collection": "a b"}),
    ],
)  # fmt: skip
def test_an_address_that_says_nothing_is_refused(location: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        MilvusStore.open(Address("milvus", location, options))
    assert raised.value.code == "bad-address"
