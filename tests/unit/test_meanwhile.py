"""Another program that writes into a store at the very moment that a command reads it or writes into it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.moving import commit_file, fill, holds, memory, read, repository
from vexrepo.errors import StoreError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes import intake
from vexrepo.remotes.stores import sqlite_files, sqlite_vec
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.registry import open_store
from vexrepo.testing.stores import plan_between

KINDS = ("vektor", "sqlite-vec")


@pytest.fixture(params=[(kind, mode) for kind in KINDS for mode in ("wal", "delete")], ids="-".join)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    """Give a database of ten memories; an agent has it open."""
    kind, mode = request.param
    address = Address(kind, str(tmp_path / "agent.db"))
    fill(address, memory(10))
    with closing(sqlite3.connect(address.location)) as agent:
        agent.execute(f"PRAGMA journal_mode = {mode}")
        agent.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield address


def edit(address: Address, text: str = "by the agent") -> None:
    """Change the text of m3, as an agent does."""
    with closing(sqlite3.connect(address.location)) as agent:
        agent.execute("UPDATE memories SET content = ? WHERE id = 'm3'", (text,))
        agent.commit()


def once_before(function: Callable[..., Any], action: Callable[[], None]) -> Callable[..., Any]:
    """Return a function that does something else first, the first time that it opens a database to be written to."""
    left = [action]

    def run(*given: Any) -> Any:
        if "mode=rw" in given and left:
            left.pop()()
        return function(*given)

    return run


def test_what_is_committed_between_the_last_look_and_the_lock_is_not_overwritten(
    where: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = [replace_text(record) for record in memory(10)]
    module, name = (sqlite_vec, "connect") if where.kind == "sqlite-vec" else (sqlite_files, "_connect")
    with open_store(where, create=True) as store:
        list(store.scan())
        plan = replace(plan_between(memory(10), changed), expected=store.describe().fingerprint)
        monkeypatch.setattr(module, name, once_before(getattr(module, name), lambda: edit(where)))
        with pytest.raises(StoreError) as raised:
            store.write(plan)
        assert raised.value.code == "store-changed" and "nothing was written" in str(raised.value)
    assert [each["text"] for each in read(where).values() if each["text"] != f"note {each['id'][1:]}"] == [
        "by the agent"
    ]
    # Nobody writes any more: it is written.
    with open_store(where, create=True) as store:
        list(store.scan())
        store.write(replace(plan_between(memory(10), changed), expected=store.describe().fingerprint))
    assert holds(where, changed)


def replace_text(record: Record) -> Record:
    """Return a memory with another text."""
    return from_json({**record.to_json(), "text": "by us"})


def while_it_is_read(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the agent edit a memory once the store has been read."""
    read_all, left = intake._read_all, ["by the agent"]

    def run(*given: Any) -> Any:
        found = read_all(*given)
        if left:
            edit(address, left.pop())
        return found

    monkeypatch.setattr(intake, "_read_all", run)


def test_a_checkout_does_not_write_over_what_came_after_it_had_read(
    where: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = repository(tmp_path / "kept")
    kept.commit("as it was", store=where)
    second = commit_file(kept, tmp_path, [replace_text(record) for record in memory(10)])
    while_it_is_read(where, monkeypatch)
    with pytest.raises(StoreError) as raised:
        kept.checkout(second, where, force=True)
    assert raised.value.code == "store-changed" and "nothing was written" in str(raised.value)
    assert read(where)["m3"]["text"] == "by the agent"
    assert kept.checkout(second, where, force=True).verified == 10


def test_a_store_of_one_moment_is_committed_though_its_agent_never_rests(
    where: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = repository(tmp_path / "kept")
    while_it_is_read(where, monkeypatch)
    assert kept.commit("as it was", store=where).id is not None
    # What came later is not taken for known.
    assert kept.status(where).changed
