"""Memories handed from store to store, one kind after the other, are at the end what they were at the beginning."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Vex
from tests.contract.servers import SERVERS
from tests.hosting.proxy import proxy_to
from vexrepo.objects.record import from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.testing.stores import plan_between, tricky_values, with_dims

FILES = {
    "vektor": "vektor:agent.db",
    "sqlite-vec": "sqlite-vec:notes.db?table=notes",
    "parquet": "notes.parquet",
    "numpy": "notes.npz",
    "milvus file": "milvus:milvus.db?collection=notes",
    "qdrant folder": "qdrant:folder?collection=notes",
    "mcp": "mcp:memory.jsonl",
    "letta": "agent.af",
}
ALTERING = ("chroma", "qdrant", "qdrant folder")  # those compare by cosine unless told, and scale vectors


@pytest.fixture
def start(folder: Path) -> str:
    """A file of what stores have been seen to lose, but for a text that is longer than Pinecone's records may be."""
    values = [each for each in with_dims(tricky_values(), 4) if each["id"] != "text-long"]
    with JsonlStore.open(Address("jsonl", "start.vmig.jsonl"), create=True) as store:
        store.write(plan_between([], map(from_json, values)))
    return "start.vmig.jsonl"


@contextlib.contextmanager
def _address(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if kind in FILES:
        yield FILES[kind]
        return
    with SERVERS[kind]() as live, proxy_to(live.target) as proxy:
        monkeypatch.setenv(live.variable, live.secret)
        yield live.address(proxy.port)


def test_memories_pass_through_all_kinds_of_stores_in_a_row(
    vex: Vex, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vex("init", "--store", start).code == 0
    assert vex("commit", "-m", "as it was").code == 0
    kinds = [each for each in (*FILES, *SERVERS) if each not in ALTERING]
    # Each kind once, files and servers in turns, so that what one carries beside a memory meets the others' ways.
    kinds = [*kinds[::3], *kinds[1::3], *kinds[2::3], *ALTERING]
    at = start
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            address = stack.enter_context(_address(kind, monkeypatch))
            moved = vex("migrate", "--from", at, "--to", address, "--mix-models", "--skip-graph")
            assert (moved.code, kind) == (0, kind), moved.err
            compared = vex("diff", "HEAD", address, "--exit-code")
            assert (compared.code, kind) == (0, kind), compared.out
            if kind not in ALTERING:
                at = address
