"""Memory of Mem0, on Qdrant and on pgvector: read as what it is, and written so that Mem0 reads it.

What Mem0 does is done here as its source does it: what a payload has, how it is listed, what an update leaves.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.contract import postgres
from tests.contract.qdrant_server import QdrantServer
from vexrepo.errors import UsageError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.points import read_point, write_point
from vexrepo.remotes.stores.profiles import profile_fields
from vexrepo.remotes.stores.qdrant import QdrantStore
from vexrepo.remotes.stores.registry import open_store
from vexrepo.testing.stores import check_holds, plan_between, tricky_records

IDS = [str(uuid.UUID(int=number << 64 | 0x4000_8000_0000_0000_0000)) for number in range(1, 9)]


def payload(text: str, **more: Any) -> dict[str, Any]:
    """Return what Mem0 writes for a new memory."""
    return {
        "data": text,
        "hash": hashlib.md5(text.encode()).hexdigest(),
        "created_at": "2026-05-01T10:00:00.000001-07:00",
        "updated_at": "2026-05-01T10:00:00.000001-07:00",
        **more,
    }


class Mem0:
    """The parts of Mem0 that touch its store."""

    def __init__(self, address: Address, rows: Callable[[], dict[str, Any]], put: Callable[..., None]) -> None:
        self.address = address
        self.rows = rows  # payloads by id
        self.put = put

    def add(self, identifier: str, text: str, **more: Any) -> None:
        self.put(identifier, payload(text, **more), [1.0, 0.0, 0.0, 0.0])

    def get_all(self, user_id: str) -> dict[str, str]:
        """Return texts by id, as ``Memory.get_all(user_id=…)`` finds and shows them."""
        found = {name: each for name, each in self.rows().items() if each.get("user_id") == user_id}
        assert all(str(uuid.UUID(name)) == name for name in found)
        assert all(each["hash"] == hashlib.md5(each["data"].encode()).hexdigest() for each in found.values())
        return {name: each["data"] for name, each in found.items()}

    def update(self, identifier: str, text: str) -> None:
        """Change a text as ``Memory.update`` does: what it does not know of a payload is lost."""
        held = self.rows()[identifier]
        kept = {name: held[name] for name in ("user_id", "agent_id", "run_id", "actor_id", "role") if name in held}
        made = {**payload(text, **kept), "created_at": held.get("created_at")}
        self.put(identifier, {**made, "updated_at": "2026-06-01T00:00:00.000001-07:00"}, [0.0, 1.0, 0.0, 0.0])


@pytest.fixture(params=["qdrant", "pgvector"])
def mem0(request: pytest.FixtureRequest) -> Iterator[Mem0]:
    if request.param == "qdrant":
        server = QdrantServer()

        def put_point(identifier: str, value: dict[str, Any], vector: list[float]) -> None:
            if "mem0" not in server.collections:
                server.make("mem0", {"size": 4, "distance": "Cosine"})
            server.put("mem0", [{"id": identifier, "vector": vector, "payload": value}])

        def points() -> dict[str, Any]:
            body = {"limit": 100, "with_payload": True, "with_vector": False}
            found = server.answer("POST", "/collections/mem0/points/scroll", {}, body)
            return {each["id"]: each["payload"] for each in found["points"]}

        yield Mem0(server.address("mem0"), points, put_point)
        server.end()
        return
    database = postgres.new_database()
    table = "CREATE TABLE IF NOT EXISTS mem0 (id UUID PRIMARY KEY, vector vector(4), payload JSONB)"

    def put_row(identifier: str, value: dict[str, Any], vector: list[float]) -> None:
        with postgres.server().connect(database) as connection:
            connection.execute(table)
            connection.execute(
                "INSERT INTO mem0 (id, vector, payload) VALUES (%s, %s::vector, %s) "
                "ON CONFLICT (id) DO UPDATE SET vector = excluded.vector, payload = excluded.payload",
                (identifier, str(vector), Jsonb(value)),
            )

    def rows() -> dict[str, Any]:
        with postgres.server().connect(database) as connection:
            found = connection.execute("SELECT id, payload FROM mem0").fetchall()
        return {str(one): value for one, value in found}

    yield Mem0(postgres.address(database, table="mem0"), rows, put_row)


def read(address: Address) -> dict[str, Any]:
    with open_store(address) as store:
        found = [item.record.to_json() for batch in store.scan() for item in batch]
    return {each["id"]: each for each in found}


def held(address: Address) -> list[Record]:
    with open_store(address) as store:
        return sorted(item.record for batch in store.scan() for item in batch)


def write(address: Address, before: list[Record], after: list[Record]) -> None:
    with open_store(address, create=True) as store:
        store.write(plan_between(before, after))
    with open_store(address) as store:
        check_holds(store, after)


def some(mem0: Mem0) -> None:
    mem0.add(IDS[0], "likes tea", user_id="alice", agent_id="helper", run_id="r1", role="user", category="taste")
    mem0.add(IDS[1], "lives in Ulm", user_id="alice", text_lemmatized="live in ulm", actor_id="bob")
    mem0.add(IDS[2], "speaks Low German", agent_id="helper")


def test_memory_of_mem0_is_found_by_itself_and_read_as_what_it_is(mem0: Mem0) -> None:
    some(mem0)
    found = read(mem0.address)
    made = payload("likes tea")
    assert found[IDS[0]] == {
        "id": IDS[0], "text": "likes tea", "namespace": "alice", "created_at": made["created_at"],
        "vector": [1.0, 0.0, 0.0, 0.0],
        "metadata": {
            "hash": made["hash"], "updated_at": made["updated_at"], "agent_id": "helper", "run_id": "r1",
            "role": "user", "category": "taste",
        },
    }  # fmt: skip
    assert found[IDS[1]]["namespace"] == "alice" and "namespace" not in found[IDS[2]]
    with open_store(mem0.address) as store:
        assert "user_id" in store.mapping()["namespace"] and "data" in store.mapping()["text"]


def test_a_round_trip_loses_nothing_and_leaves_what_mem0_wrote_as_it_is(mem0: Mem0) -> None:
    some(mem0)
    before, records = mem0.rows(), held(mem0.address)
    write(mem0.address, records, [])
    assert mem0.rows() == {}
    explicit = Address(mem0.address.kind, mem0.address.location, {**mem0.address.options, "profile": "mem0"})
    write(explicit, [], records)
    assert mem0.rows() == before
    assert held(mem0.address) == records


def test_a_changed_text_has_its_hash_and_nothing_of_the_former(mem0: Mem0) -> None:
    some(mem0)
    records = held(mem0.address)
    changed = [from_json({**each.to_json(), "text": f"{each.to_json()['text']}, indeed"}) for each in records]
    write(mem0.address, records, changed)
    assert mem0.get_all("alice") == {IDS[0]: "likes tea, indeed", IDS[1]: "lives in Ulm, indeed"}
    assert "text_lemmatized" not in mem0.rows()[IDS[1]]
    assert mem0.rows()[IDS[0]]["updated_at"] == payload("")["updated_at"]
    write(mem0.address, changed, records)
    assert mem0.rows()[IDS[1]]["text_lemmatized"] == "live in ulm"


def test_what_mem0_changes_afterwards_counts(mem0: Mem0) -> None:
    some(mem0)
    records = held(mem0.address)
    write(mem0.address, records, [from_json({**each.to_json(), "text": "written", "note": 1}) for each in records])
    mem0.update(IDS[0], "likes coffee")
    found = read(mem0.address)[IDS[0]]
    assert found["text"] == "likes coffee" and found["namespace"] == "alice"
    assert found["metadata"]["hash"] == hashlib.md5(b"likes coffee").hexdigest()


def test_memories_from_elsewhere_are_found_by_mem0(mem0: Mem0) -> None:
    some(mem0)
    records = held(mem0.address)
    new = [
        from_json({"id": "7", "text": "a number", "namespace": "carol", "vector": [1.0, 2, 3, 4]}),
        from_json({"id": "a note", "text": "no UUID", "namespace": "carol", "vector": [1.0, 2, 3, 4], "model": "m"}),
        from_json({"id": IDS[5], "text": "as metadata", "metadata": {"user_id": "carol"}, "vector": [4.0, 3, 2, 1]}),
        from_json({"id": IDS[6], "text": "nobody's", "vector": [4.0, 3, 2, 1]}),
    ]
    write(mem0.address, records, [*records, *new])
    assert sorted(mem0.get_all("carol").values()) == ["a number", "as metadata", "no UUID"]
    assert len(mem0.rows()) == 7


def test_a_store_is_made_for_mem0(mem0: Mem0) -> None:
    explicit = Address(mem0.address.kind, mem0.address.location, {**mem0.address.options, "profile": "mem0"})
    records = [from_json({"id": "n1", "text": "one", "namespace": "alice", "vector": [1.0, 2, 3, 4], "dims": 4})]
    write(explicit, [], records)
    assert list(mem0.get_all("alice").values()) == ["one"]
    assert read(mem0.address)["n1"]["namespace"] == "alice"  # by itself, from now on
    with open_store(mem0.address) as store:
        config = store.describe().config
        if isinstance(store, QdrantStore):
            assert sorted(config["payload_indexes"]) == ["actor_id", "agent_id", "run_id", "user_id"]
        else:
            assert {name: config["columns"][name] for name in ("id", "payload")} == {"id": "uuid", "payload": "jsonb"}


def test_other_profiles_are_refused_and_none_is_possible(mem0: Mem0) -> None:
    some(mem0)
    plain = Address(mem0.address.kind, mem0.address.location, {**mem0.address.options, "profile": "none"})
    found = read(plain)[IDS[0]]
    assert found["metadata"]["user_id"] == "alice" and found["text"] == "likes tea" and "namespace" not in found
    wrong = Address(mem0.address.kind, mem0.address.location, {**mem0.address.options, "profile": "zep"})
    with pytest.raises(UsageError, match="mem0, none") as raised:
        read(wrong)
    assert raised.value.code == "bad-address"


def test_every_record_is_read_as_it_was_written_in_the_profile() -> None:
    fields = profile_fields(Address("qdrant", "//h/c", {"profile": "mem0"}), [])
    assert fields is not None
    can = QdrantStore.can
    for each in tricky_records():
        for record in (each, from_json({**each.to_json(), "metadata": {"user_id": "u", "hash": "x", "data": 1}})):
            point = write_point(record, IDS[0], can, fields)
            assert read_point(point, can, fields) == record
