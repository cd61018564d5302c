"""Stores that take a write as a whole or not at all: one pass, and nothing is left of what could not be completed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.lancedb_engine import install
from tests.contract.postgres import address, new_database, run
from vexrepo.errors import InvalidData, StoreError, VexError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.point_writing import Sorter
from vexrepo.remotes.stores.registry import open_store
from vexrepo.testing.stores import check_holds, plan_between, read_all

pytestmark = pytest.mark.timeout(500)  # the first of LanceDB installs the engine
MANY = 2_300  # more than a batch


def memory(count: int = MANY, **more: Any) -> list[Record]:
    values = ({"id": f"m{n:05}", "text": f"note {n}", "vector": [n / 4, 1.0, 0.5], "dims": 3} for n in range(count))
    return [from_json({**value, **more}) for value in values]


def pgvector(folder: Path) -> Address:
    return address(new_database())


def sqlite_vec(folder: Path) -> Address:
    return Address("sqlite-vec", str(folder / "agent.db"))


def lancedb(folder: Path) -> Address:
    install()
    return Address("lancedb", str(folder / "lance"))


@pytest.fixture(params=[pgvector, sqlite_vec, lancedb])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    make: Callable[[Path], Address] = request.param
    return make(tmp_path)


OTHER_DIMS = from_json({"id": "zz", "text": "the last one", "vector": [1.0, 2.0]})


def test_a_memory_that_does_not_fit_at_the_very_end_leaves_a_store_as_it_was(where: Address) -> None:
    before = memory(30, text="as it was")
    with open_store(where, create=True) as store:
        store.write(plan_between([], before))
        mark = store.describe()
        with pytest.raises(StoreError) as raised:
            store.write(plan_between(before, [*memory()[5:], OTHER_DIMS]))
        assert raised.value.code == "store-dims" and "nothing was written" in str(raised.value)
        assert store.describe() == mark
        check_holds(store, before)
        # The same open store goes on.
        store.write(plan_between(before, memory()[5:]))
        check_holds(store, memory()[5:])


def test_a_memory_that_does_not_fit_at_the_very_end_leaves_no_new_store(where: Address) -> None:
    with open_store(where, create=True) as store:
        for _ in range(2):
            with pytest.raises(StoreError) as raised:
                store.write(plan_between([], [*memory(), OTHER_DIMS]))
            assert raised.value.code == "store-dims"
            assert store.describe().count == 0 and read_all(store) == {}
    with pytest.raises(VexError) as missing:
        open_store(where)
    assert missing.value.code == "store-missing"
    with open_store(where, create=True) as store:
        store.write(plan_between([], memory()))
        check_holds(store, memory())


def test_a_source_that_fails_in_the_middle_leaves_a_store_as_it_was(where: Address) -> None:
    before = memory(30, text="as it was")

    def failing() -> Iterator[Record]:
        yield from memory()
        raise InvalidData("line 2301 is no memory", code="not-json")

    with open_store(where, create=True) as store:
        store.write(plan_between([], before))
        mark = store.describe()
        with pytest.raises(InvalidData):
            store.write(replace(plan_between([], []), upserts=failing))
        assert store.describe() == mark
        check_holds(store, before)


def test_memories_go_into_such_a_store_without_a_scratch_file(where: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_scratch(*given: Any) -> None:
        raise AssertionError("a scratch file was written")

    with open_store(where, create=True) as store, monkeypatch.context() as patched:
        patched.setattr(Sorter, "add", no_scratch)
        store.write(plan_between([], memory()))
        store.write(plan_between(memory(), memory(text="changed")))
        check_holds(store, memory(text="changed"))


def test_the_order_of_what_is_written_does_not_count(where: Address) -> None:
    records = [
        from_json({"id": f"m{n:04}", "text": f"in {space}", "vector": [n / 4, 1.0, 0.5], "namespace": space})
        for n in range(1_200)
        for space in ("b", "a")
    ]
    with open_store(where, create=True) as store:
        store.write(replace(plan_between([], records), upserts=lambda: iter(records)))
        check_holds(store, records)
        store.write(plan_between(records, records[::2]))
        check_holds(store, records[::2])
        store.write(replace(plan_between([], records), upserts=lambda: reversed(records)))
        check_holds(store, records)


def test_the_first_memories_need_not_have_vectors(where: Address) -> None:
    texts = [from_json({"id": f"a{n:05}", "text": f"note {n}"}) for n in range(MANY)]
    with open_store(where, create=True) as store:
        store.write(plan_between([], [*texts, *memory(10)]))
        check_holds(store, [*texts, *memory(10)])
        assert [space.dims for space in (store.held_spaces() or {}).values()] == [3]  # type: ignore[attr-defined]


def test_vectors_of_a_name_that_comes_late_get_a_column() -> None:
    database = new_database()
    named = [
        from_json({"id": f"n{n}", "vector": [n / 4, 1.0, 0.5], "vectors": {name: [n / 4, 0.5]}})
        for n in range(20)
        for name in ("title", "content")  # the second is a column of ours, and so carried
    ][::3]
    words = from_json({"id": "o", "vectors": {"words": {"indices": [1, 70_000], "values": [0.5, 0.25]}}})
    records = sorted([*memory(), *named, words])
    with open_store(address(database), create=True) as store:
        store.write(plan_between([], records))
        check_holds(store, records)
        columns = store.describe().config["columns"]
    assert (columns["title"], columns["words"], columns["vector"]) == ("vector(2)", "sparsevec", "vector(3)")
    assert run(database, "SELECT count(*) FROM vex_memories WHERE title IS NOT NULL")[0][0] == sum(
        each.vectors[-1].space.name == "title" for each in named
    )


def test_an_id_that_a_column_does_not_take_at_the_very_end_leaves_a_table_as_it_was() -> None:
    database = new_database()
    run(database, "CREATE TABLE vex_memories (id varchar(8) PRIMARY KEY, content text, metadata jsonb, v vector(3))")
    with open_store(address(database)) as store:
        with pytest.raises(StoreError) as raised:
            store.write(plan_between([], [*memory(), from_json({"id": "z" * 9, "text": "a long id"})]))
        assert raised.value.code == "store-cannot-hold"
        assert read_all(store) == {}
        store.write(plan_between([], memory()))
        check_holds(store, memory())


def test_a_table_is_not_held_against_others_while_memories_come_slowly() -> None:
    database = new_database()
    locks = "SELECT count(*) FROM pg_locks WHERE relation = 'vex_memories'::regclass AND mode = 'ShareRowExclusiveLock'"
    held: list[Any] = []

    def slowly() -> Iterator[Record]:
        for at, item in enumerate(memory()):
            if at % 100 == 0:
                held.append(run(database, locks)[0][0])
            yield item

    with open_store(address(database), create=True) as store:
        store.write(plan_between([], memory(3)))
        store.write(replace(plan_between([], []), upserts=slowly, is_at_hand=False))
        assert not any(held)
        store.write(replace(plan_between([], []), upserts=slowly))
        assert held[-1] == 1
        check_holds(store, memory())
