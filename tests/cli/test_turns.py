"""Two commands that write into one store take turns."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.property.strategies import attempt
from vexrepo.remotes.stores import turns
from vexrepo.remotes.stores.address import Reach, parse_address
from vexrepo.remotes.stores.registry import connector, kinds
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
        ("qdrant://localhost:6333/agent", "qdrant://127.0.0.1/agent", True),
        ("qdrant://[::1]:6333/agent", "qdrant://LOCALHOST./agent?tls=0", True),
        ("qdrant://[::1]/agent", "qdrant://[::ffff:127.0.0.1]/agent/", True),
        ("chroma://localhost:8000/agent", "chroma://127.0.0.1:8001/agent", False),
        ("weaviate://db.example/Agent", "weaviate://DB.example.:8080/Agent", True),
        ("weaviate://db.example/Agent", "weaviate://localhost/Agent", False),
        ("weaviate://[2001:db8::1]/Agent", "weaviate://[2001:DB8:0::1]:8080/Agent", True),
        ("pgvector://me@/agent?table=t", "pgvector://me@127.0.0.1:5432/agent?table=t&sslmode=require", True),
        ("pgvector:///agent", "pgvector://db.example/agent?host=localhost&port=5432", True),
        ("pgvector://me@/agent?host=/run/postgresql", "pgvector://me@localhost/agent", True),
        ("pgvector://localhost/agent?table=t", "pgvector://localhost/agent?table=s", False),
        ("pgvector://localhost/agent?schema=t", "pgvector://localhost/agent?schema=s", False),
        ("redis://localhost", "redis://127.0.0.1:6379/0", True),
        ("redis://localhost/1", "redis://127.0.0.1:6379/0", False),
        ("milvus://0.0.0.0/agent", "milvus://localhost:19530/agent", True),
        ("neo4j://me@localhost/?label=Memory", "neo4j://localhost:7687?label=Memory", True),
        ("opensearch://localhost/agent", "elasticsearch://localhost:9200/agent", True),
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


def test_ports_that_addresses_leave_out_are_those_of_the_connectors():
    from vexrepo.remotes.stores import milvus_server, neo4j_graph, redis_session

    modules = {"milvus": milvus_server, "neo4j": neo4j_graph, "redis": redis_session}
    known = {kind: connector(kind).port for kind in kinds() if hasattr(connector(kind), "port")}
    known |= {kind: module.PORT for kind, module in modules.items()} | {"pgvector": 5432}
    known.pop("pinecone", None)  # each of its indexes is a host
    assert {kind: port for kind, port in known.items() if kind != "elasticsearch"} == turns.PORTS


def test_a_state_folder_that_cannot_be_written_keeps_nobody_from_writing(folder):
    (folder / "file").write_text("no folder")
    take_turn(replace_reach("vektor:agent.db", folder / "file" / "turns"))()


def replace_reach(text, lock_folder):
    """Return an address as the command line makes it."""
    return replace(parse_address(text), reach=Reach(turns=lock_folder))
