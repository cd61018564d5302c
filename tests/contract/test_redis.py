"""Redis with search, hashes and documents, and Valkey without: all keep the contract."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
import redis

from tests.hosting.redis_server import redis_stack, valkey
from vexrepo.errors import StoreError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.base import Store, collect
from vexrepo.remotes.stores.redis import RedisStore
from vexrepo.remotes.stores.redis_pages import hash_pages
from vexrepo.testing.stores import StoreContract, check_holds, plan_between


class _Redis(StoreContract):
    port = 0
    options: ClassVar[dict[str, str]] = {}

    def open_store(self, tmp_path: Path) -> Store:
        options = {"prefix": f"t[{tmp_path.parent.name}/{tmp_path.name}]:", **self.options}
        return RedisStore.open(Address("redis", f"//127.0.0.1:{self.port}/0", options), create=True)


class _Searching(_Redis):
    dims = 6

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with redis_stack(tmp_path_factory.mktemp("redis")) as port:
            cls.port = port
            yield


class TestRedisHashes(_Searching):
    """Hashes with an index over them."""

    def test_a_connection_that_ends_while_hashes_come_loses_nothing(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store, redis.Redis(port=self.port) as other:
            assert isinstance(store, RedisStore)
            records = sorted(from_json({"id": f"m{n:05}", "text": f"note {n}"}) for n in range(1_500))
            store.write(collect(records))
            found: list[Record] = []
            for batch in store.scan():
                found += [each.record for each in batch]
                other.client_kill_filter(_type="normal", skipme=True)
            assert sorted(found) == records

    def test_a_reader_that_leaves_early_leaves_no_answers_to_the_next(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            records = sorted(from_json({"id": f"m{n:05}", "text": f"note {n}"}) for n in range(1_500))
            store.write(collect(records))
            for _ in range(3):
                assert next(iter(store.scan()))
            check_holds(store, records)

    def test_keys_that_become_something_else_while_they_are_read_are_left_out(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store, redis.Redis(port=self.port) as other:
            assert isinstance(store, RedisStore)
            store.write(collect(from_json({"id": name, "text": "note"}) for name in ("a", "b", "c")))
            other.set(f"{store.prefix}b", "no hash")
            other.delete(f"{store.prefix}c")
            pages = hash_pages(store.client, [[f"{store.prefix}{name}".encode() for name in "abc"]], lambda keys: [])
            assert [[key.decode() for key, _ in page] for page in pages] == [[f"{store.prefix}a"]]

    def test_keys_looked_at_meanwhile_leave_problems_of_a_reading_its_own(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store, redis.Redis(port=self.port) as other:
            assert isinstance(store, RedisStore)
            store.write(collect(from_json({"id": f"m{n:05}", "text": f"note {n}"}) for n in range(1_500)))
            for n in range(30):
                other.hset(f"{store.prefix}".encode() + b"\xff%d" % n, mapping={"text": "no id"})
            problems: list[str] = []
            for _ in store.scan(lambda error: problems.append(error.code)):
                assert len(store.find_points(["m00001", "m00002"])) == 2
            assert problems == ["not-utf8"] * 30

    def test_documents_beside_hashes_are_told_of_and_can_be_asked_for(self) -> None:
        heard: list[str] = []

        def texts(**options: str) -> list[str]:
            where = Address(
                "redis", f"//127.0.0.1:{self.port}/0", {"prefix": "mixed:", **options}, reach=Reach(notice=heard.append)
            )
            with RedisStore.open(where) as store:
                return sorted(str(each.record.to_json()["text"]) for batch in store.scan() for each in batch)

        with redis.Redis(port=self.port) as other:
            other.hset("mixed:h", mapping={"content": "of a hash"})
            assert texts() == ["of a hash"] and not heard
            other.json().set("mixed:j", "$", {"content": "of a document"})
            assert texts() == ["of a hash"] and "the documents are left alone: say keys=json" in heard.pop()
            assert texts(keys="json") == ["of a document"] and texts(keys="hash") == ["of a hash"] and not heard

    def test_a_user_who_may_only_read_reads_and_is_told_what_to_allow(self) -> None:
        with redis.Redis(port=self.port) as other:
            other.hset("only:a", mapping={"content": "read me"})
            other.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection")
            place = f"//reader@127.0.0.1:{self.port}/0"
            where = Address("redis", place, {"prefix": "only:"}, secrets={"password": lambda: "pw"})
            with RedisStore.open(where) as store:
                check_holds(store, [each.record for batch in store.scan() for each in batch])
                with pytest.raises(StoreError, match="ACL SETUSER") as raised:
                    store.write(collect([from_json({"id": "b", "text": "SECRET TEXT"})]))
            assert raised.value.code == "store-refused" and "password" not in str(raised.value)
            assert "SECRET" not in str(raised.value) and other.keys("only:*") == [b"only:a"]

    def test_a_server_without_memory_left_is_told_of_and_the_next_run_does_the_rest(self, tmp_path: Path) -> None:
        records = sorted(from_json({"id": f"m{n:05}", "text": "SECRET " * 300}) for n in range(2_000))
        with self.open_store(tmp_path) as store, redis.Redis(port=self.port) as other:
            store.write(collect(records[:5]))
            other.config_set("maxmemory", other.info("memory")["used_memory"] + 1_000_000)
            try:
                with pytest.raises(StoreError, match="run the command again: it goes on") as raised:
                    store.write(plan_between(records[:5], records))
            finally:
                other.config_set("maxmemory", 0)
            assert "SECRET" not in str(raised.value)
            held = [each.record for batch in store.scan() for each in batch]
            assert set(records[:5]) <= set(held) < set(records)
            store.write(plan_between(sorted(held), records))
            check_holds(store, records)

    def test_a_server_that_is_busy_says_so_and_the_next_run_does_the_rest(self, tmp_path: Path) -> None:
        records = sorted(from_json({"id": f"m{n}", "text": f"note {n}"}) for n in range(9))
        with self.open_store(tmp_path) as store:
            store.write(collect(records[:5]))

        def refused(call: Callable[[Store], Any]) -> None:
            with pytest.raises(StoreError, match="run the command again") as raised, self.open_store(tmp_path) as store:
                call(store)
            assert raised.value.code == "store-busy", raised.value

        with _endless_script(self.port):
            refused(lambda store: list(store.scan()))
            refused(lambda store: store.write(plan_between([], records)))
        with redis.Redis(port=self.port) as other:
            for name, value, before in (("maxclients", 1, 100), ("min-replicas-to-write", 3, 0)):
                other.config_set(name, value)
                try:
                    refused(lambda store: store.write(plan_between(records[:5], records)))
                finally:
                    other.config_set(name, before)
        with self.open_store(tmp_path) as store:
            check_holds(store, records[:5])
            store.write(plan_between(records[:5], records))
            check_holds(store, records)


def _is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.exceptions.ResponseError:
        return True
    return False


@contextmanager
def _endless_script(port: int) -> Iterator[None]:
    """Keep a server from everything else."""
    with redis.Redis(port=port) as other, redis.Redis(port=port) as running:
        other.config_set("busy-reply-threshold", 1)

        def run() -> None:
            with suppress(redis.exceptions.RedisError):  # it is killed
                running.eval("while true do end", 0)

        thread = Thread(target=run)
        thread.start()
        while not _is_busy(other):
            time.sleep(0.01)
        try:
            yield
        finally:
            other.execute_command("SCRIPT", "KILL")
            thread.join()


class TestRedisDocuments(_Searching):
    """JSON documents with an index over them."""

    options: ClassVar[dict[str, str]] = {"keys": "json"}


class TestValkey(_Redis):
    """A server that cannot search."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with valkey(tmp_path_factory.mktemp("valkey")) as port:
            cls.port = port
            yield
