"""Two commands that write into one store take turns."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.property.strategies import attempt
from vexrepo.remotes.stores import turns
from vexrepo.remotes.stores.address import Reach, parse_address
from vexrepo.remotes.stores.turns import take_turn


@pytest.fixture
def lock_folder() -> Path:
    return Path(os.environ["VEX_HOME"]) / "turns"


def test_who_waits_too_long_for_its_turn_is_told_and_writes_nothing(vex, repo, folder, lock_folder, monkeypatch):
    monkeypatch.setattr(turns, "WAIT_S", 0.1)
    target = folder / "out.db"
    end = take_turn(replace_reach(f"vektor:{target}", lock_folder))
    for command in (
        ("checkout", "main", "--to", f"vektor:{target}"),
        ("push", f"vektor:{target}"),
        ("import", "agent.vmig.jsonl", "--to", "vektor:out.db", "--no-verify"),
    ):
        ran = vex(*command)
        assert ran.code != 0 and "another vex is writing to" in ran.err and "store-locked" in ran.err, command
    assert not target.exists()
    # Another store is another matter, and reading needs no turn.
    assert vex("checkout", "main", "--to", "vektor:other.db").code == 0
    end()
    assert vex("checkout", "main", "--to", f"vektor:{target}").code == 0
    end = take_turn(replace_reach(f"vektor:{target}", lock_folder))
    assert vex("status", f"vektor:{target}").code == 0
    assert vex("inspect", f"vektor:{target}").code == 0
    end()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("redis://127.0.0.1:6379/0?prefix=a:", "redis://me@127.0.0.1:6379/0?prefix=a:", True),
        ("pgvector://Me@DB.example/agent", "pgvector://you@db.example/agent", True),
        ("redis://127.0.0.1:6379/0?prefix=a:", "redis://127.0.0.1:6379/0?prefix=b:", False),
        ("vektor:agent.db", "vektor:./folder/../agent.db", True),
        ("vektor:agent.db", "sqlite-vec:agent.db", False),
    ],
)
def test_addresses_of_one_store_share_its_turns(folder, lock_folder, monkeypatch, one, other, is_same):
    monkeypatch.setattr(turns, "WAIT_S", 0.05)
    end = take_turn(replace_reach(one, lock_folder))
    take_another = partial(take_turn, replace_reach(other, lock_folder))
    let_go, code = attempt(take_another)
    assert code == ("store-locked" if is_same else "")
    if let_go is not None:
        let_go()
    end()
    take_another()()


def test_a_state_folder_that_cannot_be_written_keeps_nobody_from_writing(folder):
    (folder / "file").write_text("no folder")
    take_turn(replace_reach("vektor:agent.db", folder / "file" / "turns"))()


def replace_reach(text, lock_folder):
    """Return an address as the command line makes it."""
    return replace(parse_address(text), reach=Reach(turns=lock_folder))
