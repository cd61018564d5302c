"""Keys that other programs wrote to Redis: an edit changes what it says, and nothing else that is under them."""

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.hosting.redis_server import redis_stack
from vexrepo.errors import StoreError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.redis import RedisStore
from vexrepo.testing.stores import check_holds, plan_between

_VECTOR = ["embedding", "VECTOR", "HNSW", "6", "TYPE", "FLOAT32", "DIM", "4", "DISTANCE_METRIC", "IP"]
DOUBLES = [0.7059025442445032, 0.3480365654178443, -0.4186604062930267, 0.45309558744689377]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_stack(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def client(port: int) -> Iterator[Any]:
    with redis.Redis(port=port, protocol=2) as found:
        found.flushall()
        yield found


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def opened(port: int, heard: list[str]) -> Callable[..., RedisStore]:
    def opened(**options: str) -> RedisStore:
        reach = Reach(notice=heard.append)
        return RedisStore.open(Address("redis", f"//127.0.0.1:{port}/0", options, reach=reach), create=True)

    return opened


def _records(store: RedisStore) -> list[Record]:
    return sorted(each.record for batch in store.scan() for each in batch)


def _edited(record: Record, **metadata: Any) -> Record:
    value = record.to_json()
    return from_json({**value, "text": "edited", "metadata": {**value.get("metadata", {}), **metadata}})


def _held(client: Any) -> dict[str, Any]:
    """Return all keys with what is under them, when they end, and when each field does."""
    found: dict[str, Any] = {}
    for key in sorted(client.keys("*")):
        kind = client.type(key)
        value: Any = client.dump(key)
        ends: Any = None
        if kind == b"hash":
            value = client.hgetall(key)
            ends = {name: client.execute_command("HPEXPIRETIME", key, "FIELDS", 1, name)[0] for name in value}
        elif kind == b"ReJSON-RL":
            value = client.execute_command("JSON.GET", key)
        found[key.decode()] = (kind, value, client.pexpiretime(key), ends)
    return found


def _hashes(client: Any) -> None:
    """Write what LangChain's and RedisVL's hashes look like, and what others keep beside them."""
    schema = ["content", "TEXT", "page", "NUMERIC", *_VECTOR]
    client.execute_command("FT.CREATE", "docs", "ON", "HASH", "PREFIX", "1", "doc:", "SCHEMA", *schema)
    for n in range(3):
        fields: dict[str, Any] = {
            "content": f"text {n}",
            "page": n,
            "score": "0.50",
            "raw": b"\xff\x00",
            "id": f"own-{n}",
        }
        client.hset(f"doc:{n}", mapping={**fields, "embedding": struct.pack("<4f", n, 1, 2, 3)})
        client.pexpire(f"doc:{n}", 10_000_000 + n)
        client.execute_command("HPEXPIRE", f"doc:{n}", 5_000_000, "FIELDS", 2, "score", "page")
    client.set("doc:lock", "mine")
    client.rpush("doc:list", "a", "b")
    client.execute_command("JSON.SET", "doc:json", "$", '{"content":"a document"}')


def test_an_edit_of_a_hash_leaves_all_else_and_all_times_as_they_were(
    client: Any, opened: Callable[..., RedisStore]
) -> None:
    _hashes(client)
    before = _held(client)
    with opened(index="docs") as store:
        records = _records(store)
        edited = [records[0], _edited(records[1], page=7), records[2]]
        store.write(plan_between(records, edited))
    kind, fields, end, ends = before["doc:1"]
    assert _held(client) == {**before, "doc:1": (kind, {**fields, b"content": b"edited", b"page": b"7"}, end, ends)}
    with opened(index="docs") as store:
        check_holds(store, edited)
        changed = from_json({**edited[1].to_json(), "metadata": {"page": 7, "raw": {"$blob": "/wA="}}})
        store.write(plan_between(edited, [edited[0], changed, edited[2]]))
        left = {b"content", b"page", b"raw", b"embedding"}
        assert client.hgetall("doc:1").keys() == left and client.pexpiretime("doc:1") == end
    with opened(index="docs") as store:
        bare = [edited[0], from_json({"id": "1"}), from_json({"id": "new"})]
        store.write(plan_between(_records(store), bare))
        check_holds(store, bare)
    assert client.hgetall("doc:1") == {b"id": b"1"} and client.pexpiretime("doc:1") == end


@pytest.mark.parametrize("keys", ["hash", "json"])
def test_what_others_write_between_a_look_and_the_write_is_not_mixed_with_it(
    client: Any, opened: Callable[..., RedisStore], monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    """What differs was found beside what had been there: its text of one and its vector of another are nobody's."""
    old = [from_json({"id": each, "text": "old", "vector": [1.0, 2, 3, 4]}) for each in "ab"]
    new = [from_json({"id": "a", "text": "new", "vector": [1.0, 2, 3, 4]}), old[1]]
    with opened(prefix="m:", keys=keys) as store:
        store.write(plan_between([], old))
    find = RedisStore._differing
    others = iter([from_json({"id": "a", "text": "of others", "vector": [5.0, 6, 7, 8]})])

    def between(store: RedisStore, points: Any) -> Any:
        found = find(store, points)
        for other in others:
            with opened(prefix="m:", keys=keys) as their:
                their.write(plan_between(old, [other, old[1]]))
        return found

    monkeypatch.setattr(RedisStore, "_differing", between)
    with opened(prefix="m:", keys=keys) as store:
        store.write(plan_between(old, new))
    with opened(prefix="m:", keys=keys) as store:
        check_holds(store, new)


def test_keys_that_others_change_all_the_time_are_said_to_be_busy(
    client: Any, opened: Callable[..., RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [from_json({"id": "a", "text": "old"})]
    with opened(prefix="m:") as store:
        store.write(plan_between([], old))
    find = RedisStore._differing

    def between(store: RedisStore, points: Any) -> Any:
        client.hincrby("m:a", "n", 1)
        return find(store, points)

    monkeypatch.setattr(RedisStore, "_differing", between)
    with opened(prefix="m:") as store, pytest.raises(StoreError, match="the same command again") as raised:
        store.write(plan_between(old, [from_json({"id": "a", "text": "new"})]))
    assert raised.value.code == "store-busy" and client.hget("m:a", "content") == b"old"


def test_a_key_of_something_else_is_not_written_over(client: Any, opened: Callable[..., RedisStore]) -> None:
    _hashes(client)
    before = _held(client)
    with opened(index="docs") as store:
        records = _records(store)
        with pytest.raises(StoreError, match=r"key 'doc:lock' is not a hash.*another prefix") as raised:
            store.write(plan_between(records, [*records, from_json({"id": "lock", "text": "a memory"})]))
    assert raised.value.code == "store-cannot-hold" and _held(client) == before


def test_what_is_brought_back_is_as_it_was_and_what_cannot_be_is_said(
    client: Any, opened: Callable[..., RedisStore], heard: list[str]
) -> None:
    _hashes(client)
    before = _held(client)
    with opened(index="docs") as store:
        records = _records(store)
        store.write(plan_between(records, records[:2]))
    assert not any("time to live" in each for each in heard)
    with opened(index="docs") as store:
        store.write(plan_between(records[:2], records))
    kind, fields, _, ends = before["doc:2"]
    assert _held(client) == {**before, "doc:2": (kind, fields, -1, dict.fromkeys(ends, -1))}
    assert any("2 of the 2 looked at" in each and "EXPIRE" in each for each in heard)


def test_an_edit_of_a_document_leaves_doubles_and_its_own_id_as_they_were(
    client: Any, opened: Callable[..., RedisStore]
) -> None:
    vector = [
        "$.embedding",
        "AS",
        "embedding",
        "VECTOR",
        "FLAT",
        6,
        "TYPE",
        "FLOAT64",
        "DIM",
        4,
        "DISTANCE_METRIC",
        "L2",
    ]
    schema = ["$.content", "AS", "content", "TEXT", *vector]
    client.execute_command("FT.CREATE", "docs", "ON", "JSON", "PREFIX", "1", "doc:", "SCHEMA", *schema)
    value = {"ratio": 0.1 + 0.2, "long": 0.9908333333333333, "one": 1.0, "big": (1 << 60) + 1, "deep": {"x": [1, None]}}
    for n in range(3):
        document = {"id": str(n), "content": f"text {n}", **value, "embedding": [each + n for each in DOUBLES]}
        client.execute_command("JSON.SET", f"doc:{n}", "$", json.dumps(document))
        client.pexpire(f"doc:{n}", 10_000_000 + n)
    before = _held(client)
    with opened(index="docs") as store:
        records = _records(store)
        edited = [records[0], _edited(records[1], one=2), records[2]]
        store.write(plan_between(records, edited))
        kind, document, end, _ = before["doc:1"]
        changed = document.replace(b'"text 1"', b'"edited"').replace(b'"one":1.0', b'"one":2')
        assert _held(client) == {**before, "doc:1": (kind, changed, end, None)}
        check_holds(store, edited)
    with opened(index="docs") as store:
        store.write(plan_between(_records(store), edited[:2]))
    with opened(index="docs") as store:
        store.write(plan_between(edited[:2], edited))
        check_holds(store, edited)
    found, wanted = (json.loads(raw) for raw in (client.execute_command("JSON.GET", "doc:2"), before["doc:2"][1]))
    assert found == wanted


def test_a_collection_made_as_another_one_was_is_read_as_it_was_written(
    client: Any, opened: Callable[..., RedisStore]
) -> None:
    schema = ["text", "TEXT", *_VECTOR]
    client.execute_command("FT.CREATE", "two", "ON", "HASH", "PREFIX", "2", "a:", "b:", "SCHEMA", *schema)
    for key in ("a:1", "a:2", "b:1"):
        client.hset(key, mapping={"text": f"text {key}", "embedding": struct.pack("<4f", 1, 1, 2, 3)})
    with opened(index="two", prefix="a:") as store, opened(prefix="copy:") as copy:
        records = _records(store)
        assert [each.to_json()["text"] for each in records] == ["text a:1", "text a:2"]
        copy.write(plan_between([], records, config=store.kept_config()))
    with opened(prefix="copy:") as copy:
        check_holds(copy, records)
    assert client.hgetall("copy:1") == client.hgetall("a:1")
    assert client.hget("copy:1", "text") == b"text a:1" and client.hget("b:1", "text") == b"text b:1"


def test_a_document_with_names_that_no_path_says_is_written_as_a_whole_and_keeps_its_time(
    client: Any, opened: Callable[..., RedisStore]
) -> None:
    client.execute_command("JSON.SET", "doc:1", "$", '{"content":"one","a b":1,"id":"1","x":0.25}')
    client.pexpire("doc:1", 10_000_000)
    with opened(prefix="doc:", keys="json") as store:
        records = _records(store)
        edited = [_edited(records[0], **{"a b": 2})]
        store.write(plan_between(records, edited))
        check_holds(store, edited)
    found = json.loads(client.execute_command("JSON.GET", "doc:1"))
    assert found == {"content": "edited", "a b": 2, "id": "1", "x": 0.25}
    assert 9_000_000 < client.pttl("doc:1") <= 10_000_000
