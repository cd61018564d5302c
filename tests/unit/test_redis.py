"""Redis as people have it: collections of others, indexes, passwords, TLS, servers that cannot search."""

import base64
import builtins
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.cli.conftest import folder, memory, vex  # noqa: F401 - fixtures
from tests.hosting.certificates import make_certificate
from tests.hosting.redis_server import free_port, redis_stack, valkey
from vexrepo.errors import InvalidData, StoreError, UsageError, VexError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address, Reach, parse_address
from vexrepo.remotes.stores.redis import RedisStore
from vexrepo.testing.stores import check_holds, plan_between

WIRE = Path(__file__).parents[1] / "interop" / "wire"


@dataclass
class Server:
    port: int
    client: redis.Redis

    def address(self, prefix: str, **options: str) -> Address:
        return Address("redis", f"//127.0.0.1:{self.port}/0", {"prefix": prefix, **options})

    def open(self, prefix: str, *, create: bool = False, **options: str) -> RedisStore:
        return RedisStore.open(self.address(prefix, **options), create=create)

    def write(self, prefix: str, *values: dict[str, Any], **options: str) -> list[str]:
        """Write memories; return the notices."""
        said: list[str] = []
        address = replace(self.address(prefix, **options), reach=Reach(notice=said.append))
        with RedisStore.open(address, create=True) as store:
            store.write(plan_between([], [from_json(value) for value in values]))
        return said

    def read(self, prefix: str, **options: str) -> dict[str, dict[str, Any]]:
        with self.open(prefix, **options) as store:
            return {value["id"]: value for value in map(_json, _records(store))}


def _records(store: RedisStore) -> list[Record]:
    return [each.record for batch in store.scan() for each in batch]


def _json(record: Record) -> dict[str, Any]:
    from vexrepo.formats.vmig import format_record

    value: dict[str, Any] = json.loads(format_record(record))
    return value


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_stack(tmp_path_factory.mktemp("redis")) as port:
        yield Server(port, redis.Redis(port=port, protocol=2))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with valkey(tmp_path_factory.mktemp("valkey")) as port:
        yield Server(port, redis.Redis(port=port, protocol=2))


def refusal(function: Callable[[], Any]) -> VexError:
    with pytest.raises(VexError) as caught:
        function()
    return caught.value


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


# -- the original tool's -----------------------------------------------------------------------------------------------


def test_hashes_of_the_original_tool_read_as_it_reads_them_and_lose_nothing(plain: Server) -> None:
    hashes = json.loads((WIRE / "redis-plain.hashes.json").read_bytes())
    for key, fields in hashes.items():
        plain.client.hset(key, mapping=fields)
    found = plain.read("vex-memory:")
    wanted = [json.loads(line) for line in (WIRE / "redis-plain.export.vmig.jsonl").read_text().splitlines()]
    assert len(found) == len(wanted) == 3
    for each in wanted:
        mine = found[each["id"]]
        assert [mine[name] for name in ("text", "namespace", "created_at")] == [
            each[name] for name in ("text", "namespace", "created_at")
        ]
        assert mine["metadata"]["source"] == "vex"  # the original forgets the metadata
    assert found["p1"]["metadata"] == {"importance": 4, "tags": "a,b", "source": "vex"}


def test_vectors_in_base64_are_read(plain: Server) -> None:
    row = floats(0.1, 0.2, 0.3)
    plain.client.hset("b64:m", mapping={"id": "m", "content": "a", "vector": base64.b64encode(row)})
    with plain.open("b64:") as store:
        (record,) = _records(store)
        assert record.vectors[0].row == row
    # These raw bytes are the base64 of others, too: what is written here is never mistaken for it.
    odd = struct.unpack("<2f", b"AAAAAAAA")
    plain.write("b64x:", {"id": "m", "text": "a", "vector": list(odd)})
    assert plain.read("b64x:")["m"]["vector"] == pytest.approx(odd)


# -- collections of others ---------------------------------------------------------------------------------------------


def test_a_collection_of_others_is_found_by_its_index_and_keeps_every_field(stack: Server) -> None:
    schema = "page TEXT user TAG SEPARATOR | year NUMERIC SORTABLE emb AS e VECTOR HNSW 10 TYPE FLOAT64 DIM 2"
    words = f"FT.CREATE docs ON HASH PREFIX 1 doc: SCHEMA {schema} DISTANCE_METRIC L2 M 8 EF_CONSTRUCTION 50".split()
    stack.client.execute_command(*words)
    fields: dict[str, Any] = {"page_content": "hello", "user": "a|b", "year": "2024", "n": "7", "raw": b"\xff\x00"}
    stack.client.hset("doc:1", mapping={**fields, "emb": struct.pack("<2d", 0.1, 1e300)})
    stack.client.hset("doc:2", mapping={"page_content": "", "emb": struct.pack("<2d", 0.5, 1)})
    stack.client.set("doc:other", "no hash")
    address = Address("redis", f"//127.0.0.1:{stack.port}/0", {"index": "docs"})
    with RedisStore.open(address, create=True) as store:
        found = {value["id"]: value for value in map(_json, _records(store))}
        assert found.keys() == {"1", "2"}
        assert found["1"]["text"] == "hello" and found["1"]["vector"] == [0.1, 1e300]
        assert found["1"]["metadata"] == {"user": "a|b", "year": 2024, "n": "7", "raw": {"$blob": "/wA="}}
        held = sorted(_records(store))
        config = store.describe().config
        changed = [from_json({**found["1"], "text": "changed"}), held[1]]
        store.write(plan_between(held, changed))
    with RedisStore.open(address) as store:
        check_holds(store, changed)
    assert stack.client.hgetall("doc:1")[b"raw"] == b"\xff\x00"
    # The same index is made elsewhere, as it was.
    with stack.open("copy:", create=True, index="copied") as store:
        store.write(plan_between([], changed, config=config))
        assert store.describe().config == config
        check_holds(store, changed)


def test_documents_of_others_keep_numbers_that_single_precision_does_not(stack: Server) -> None:
    value = {"text": "a", "vector": [0.1, 0.1234567890123], "metadata": {"deep": [None, 1.5]}}
    stack.client.execute_command("JSON.SET", "jd:1", "$", json.dumps(value))
    stack.client.execute_command("JSON.SET", "jd:2", "$", json.dumps({"text": "b", "vector": [0.1, 0.5]}))
    stack.client.execute_command("JSON.SET", "jd:3", "$", "[1]")
    problems: list[InvalidData] = []
    with stack.open("jd:") as store:
        found = {each["id"]: each for batch in store.scan(problems.append) for each in (_json(x.record) for x in batch)}
    assert found["1"]["vector"] == value["vector"] and found["2"]["vector"] == [0.1, 0.5]
    assert found["1"]["metadata"] == {"metadata": {"deep": [None, 1.5]}}
    assert [each.code for each in problems] == ["not-an-object"] and "jd:3" in str(problems[0])


@pytest.mark.parametrize("keys", ["hash", "json"])
def test_an_agents_edit_counts_and_what_the_store_cannot_hold_is_kept(stack: Server, keys: str) -> None:
    value = {"id": "m", "text": "a", "metadata": {"importance": 3, "tags": ["x", "y"], "big": 1 << 70}, "score": 0.5}
    stack.write(f"edit-{keys}:", {**value, "vector": [1.0, 2.0]}, keys=keys)
    if keys == "hash":
        held = stack.client.hgetall("edit-hash:m")
        assert (held[b"content"], held[b"importance"], held[b"tags"]) == (b"a", b"3", b"x,y")
        assert held[b"vector"] == floats(1, 2)
        stack.client.hset("edit-hash:m", mapping={"importance": "5", "tags": "x,z", "content": "b"})
    else:
        stack.client.execute_command(
            "JSON.MERGE", "edit-json:m", "$", '{"importance":5,"tags":["x","z"],"content":"b"}'
        )
    found = stack.read(f"edit-{keys}:")["m"]
    assert found["metadata"] == {"importance": 5, "tags": ["x", "z"], "big": 1 << 70}
    assert (found["text"], found["score"], found["vector"]) == ("b", 0.5, [1, 2])


# -- writing -----------------------------------------------------------------------------------------------------------


def test_what_is_written_can_be_searched(stack: Server) -> None:
    said = stack.write("search:", *({"id": f"m{at}", "text": f"note {at}", "vector": [at, 1.0]} for at in range(9)))
    assert said == []
    query = "*=>[KNN 2 @vector $v AS d]"
    words = ["FT.SEARCH", "search", query, "PARAMS", "2", "v", floats(0, 1), "SORTBY", "d", "NOCONTENT", "DIALECT", "2"]
    assert stack.client.execute_command(*words)[1:] == [b"search:m0", b"search:m1"]
    with stack.open("search:") as store:
        assert store.describe().count == 9


def test_a_key_keeps_the_time_it_has_left_and_other_keys_are_left_alone(plain: Server) -> None:
    plain.client.hset("ttl:m", mapping={"content": "a", "gone": "x"})
    plain.client.pexpire("ttl:m", 500_000)
    plain.client.hset("ttlx:m", mapping={"content": "other"})
    with plain.open("ttl:", create=True) as store:
        held = _records(store)
        store.write(plan_between(held, [from_json({"id": "m", "text": "b"})]))
    assert 400_000 < plain.client.pttl("ttl:m") <= 500_000
    assert plain.client.hgetall("ttl:m") == {b"content": b"b"}
    assert plain.client.hgetall("ttlx:m") == {b"content": b"other"}


def test_a_server_that_cannot_search_holds_memories_all_the_same_and_that_is_said(plain: Server, stack: Server) -> None:
    said = plain.write("note:", {"id": "m", "text": "a"}, {"id": "n", "vector": [1.0]}, {"id": "o", "vector": [1, 2]})
    assert len(said) == 1 and "cannot search" in said[0] and "stored and read" in said[0]
    assert plain.read("note:").keys() == {"m", "n", "o"}
    address = Address("redis", f"//127.0.0.1:{stack.port}/3", {"prefix": "n:"}, reach=Reach(notice=said.append))
    with RedisStore.open(address, create=True) as store:
        store.write(plan_between([], [from_json({"id": "m", "text": "a"})]))
    assert "only database 0" in said[1]
    assert stack.client.keys("n:*") == []


def test_vectors_that_the_index_would_leave_out_are_refused_before_anything_is_written(stack: Server) -> None:
    stack.write("dims:", {"id": "m", "vector": [1.0, 2.0]})
    refused = refusal(partial(stack.write, "dims:", {"id": "n", "text": "a"}, {"id": "o", "vector": [1.0, 2.0, 3.0]}))
    assert isinstance(refused, StoreError) and refused.code == "store-dims" and "3 dimensions" in str(refused)
    assert stack.read("dims:").keys() == {"m"}


def test_documents_are_refused_by_a_server_without_them(plain: Server) -> None:
    refused = refusal(partial(plain.write, "j:", {"id": "m", "text": "a"}, keys="json"))
    assert isinstance(refused, StoreError) and refused.code == "store-schema" and "keys=json" in str(refused)


def test_an_index_over_other_keys_is_not_taken_over(stack: Server) -> None:
    stack.client.execute_command("FT.CREATE", "taken", "PREFIX", "2", "x:", "y:", "SCHEMA", "a", "TEXT")
    refused = refusal(partial(stack.write, "taken:", {"id": "m", "text": "a"}))
    assert isinstance(refused, StoreError) and refused.code == "store-schema" and "index=" in str(refused)
    address = Address("redis", f"//127.0.0.1:{stack.port}/0", {"index": "taken"})
    refused = refusal(partial(RedisStore.open, address))
    assert isinstance(refused, StoreError) and "'x:', 'y:'" in str(refused) and "prefix=" in str(refused)


# -- reaching it -------------------------------------------------------------------------------------------------------


def test_passwords_and_tls(tmp_path: Path) -> None:
    authority, certificate, key = make_certificate(tmp_path, "localhost")
    port = free_port()
    files = ["--tls-ca-cert-file", authority, "--tls-cert-file", certificate, "--tls-key-file", key]
    tls = ["--tls-port", str(port), "--tls-auth-clients", "no", *map(str, files)]
    with redis_stack(tmp_path, *tls, password="pass w0rd") as clear:
        right = {"password": lambda: "pass w0rd"}
        for at, options in ((f"127.0.0.1:{clear}", {}), (f"localhost:{port}", {"tls": "1"})):
            address = Address("redis", f"//{at}/0", options, right, Reach(ca_file=authority))
            with RedisStore.open(address, create=True) as store:
                store.write(plan_between(_records(store), [from_json({"id": "m", "text": at})]))
                assert _records(store)[0].body.decode().count(at) == 1
        wrong = Address("redis", f"//127.0.0.1:{clear}/0", {}, {"password": lambda: "s3cret-wrong"})
        for address in (wrong, replace(wrong, secrets={})):
            refused = refusal(partial(RedisStore.open, address))
            assert isinstance(refused, StoreError) and refused.code == "store-refused"
            assert "REDIS_PASSWORD" in str(refused) and "s3cret" not in str(refused)
        stranger = Address("redis", f"//localhost:{port}/0", {"tls": "1"}, right)
        refused = refusal(partial(RedisStore.open, stranger))
        assert isinstance(refused, StoreError) and refused.code == "store-unreachable"
        assert "ertificate" in str(refused) and "pass w0rd" not in str(refused)


def test_a_server_that_is_not_there_and_addresses_that_say_nothing(plain: Server) -> None:
    refused = refusal(partial(RedisStore.open, Address("redis", f"//127.0.0.1:{free_port()}/0")))
    assert isinstance(refused, StoreError) and refused.code == "store-unreachable"
    for location, options in (("//h:x/0", {}), ("//h/one", {}), ("//h/0", {"tls": "yes"}), ("//h/0", {"what": "x"})):
        wrong = refusal(partial(RedisStore.open, Address("redis", location, options)))
        assert isinstance(wrong, UsageError) and wrong.code == "bad-address"
    missing = refusal(partial(plain.open, "nothing:"))
    assert isinstance(missing, StoreError) and missing.code == "store-missing" and "'nothing:'" in str(missing)


def test_without_the_client_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "redis":
            raise ImportError(name)
        return whole(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    refused = refusal(partial(RedisStore.open, parse_address("redis://localhost:6379/0")))
    assert isinstance(refused, StoreError) and "pip install 'vexrepo[redis]'" in str(refused)


# -- a repository ------------------------------------------------------------------------------------------------------


def test_a_repository_goes_to_redis_and_back(vex, memory, stack: Server, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    vex("init")
    vex("commit", "--from", "agent.vmig.jsonl", "-m", "x")
    store = f"redis://127.0.0.1:{stack.port}/0?prefix=repo:"
    ran = vex("checkout", "main", "--to", store)
    assert ran.code == 0 and "verified 4 of 4" in ran.out, ran.err
    assert vex("diff", "main", store, "--exit-code").code == 0
    stack.client.hset(next(iter(stack.client.scan_iter("repo:*m1"))), "content", "edited by the agent")
    ran = vex("commit", "--from", store, "-m", "y")
    assert ran.code == 0, ran.err
    assert "edited by the agent" in vex("diff", "main~1", "main").out.replace("{+", "").replace("+}", "")
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{stack.port}/0")
    ran = vex("export", "--from", "redis", "--prefix", "repo:", "--output", "out.vmig.jsonl")
    assert ran.code == 0 and len(Path("out.vmig.jsonl").read_text().splitlines()) == 4
    assert vex("inspect", store, "--json").json()["records"] == 4
