"""Reads that are left in the middle, with a page under way: stores close, servers hang, commands are interrupted."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.moving import memory
from tests.contract.servers import SERVERS, Live
from tests.hosting.proxy import Cuts, Proxy, proxy_to
from vexrepo.errors import StoreError, VexError
from vexrepo.remotes.stores import milvus, neo4j_pages, opensearch_pages, pinecone_pages, point_store, qdrant, redis
from vexrepo.remotes.stores.address import Address, parse_address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.point_store import PointStore
from vexrepo.remotes.stores.registry import connector, open_store
from vexrepo.testing.stores import plan_between

READ_BY_THREADS = ("qdrant", "chroma", "redis documents", "milvus", "neo4j", "opensearch", "weaviate", "pinecone")
MANY = 400


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (milvus, "_MOST_ROWS", 50),
        (neo4j_pages, "_PAGE", 50),
        (opensearch_pages, "_MOST_POINTS", 64),
        (pinecone_pages, "_PAGE", 50),
        (qdrant, "_MOST_POINTS", 64),
        (redis, "SAMPLE", 50),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(redis.RedisStore, "batch_points", 50)


@pytest.fixture(autouse=True)
def _nothing_is_raised_where_nobody_sees_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    unseen: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: unseen.append(f"{told.err_msg} {told.exc_value!r}"))
    monkeypatch.setattr(threading, "excepthook", lambda told: unseen.append(f"{told.thread} {told.exc_value!r}"))
    yield
    gc.collect()
    assert unseen == []


@pytest.fixture
def live(request: pytest.FixtureRequest) -> Iterator[Live]:
    with SERVERS[request.param]() as found:
        yield found


@pytest.fixture
def proxy(live: Live) -> Iterator[Proxy]:
    with proxy_to(live.target) as found:
        yield found


def address(live: Live, proxy: Proxy) -> Address:
    name = "password" if "password" in connector(live.kind).secrets else "api_key"
    return replace(parse_address(live.address(proxy.port)), secrets={name: lambda: live.secret})


def fill(where: Address, count: int = MANY) -> None:
    with open_store(where, create=True) as store:
        store.write(plan_between([], memory(count)))


class Reader:
    """Reads a store to its end in a thread, and keeps what that came to."""

    def __init__(self, store: Store) -> None:
        self.error: BaseException | None = None
        self._store = store
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for _ in self._store.scan():
                pass
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()


def wait_at_closing(monkeypatch: pytest.MonkeyPatch, longest_s: float) -> None:
    monkeypatch.setattr(point_store, "LEFT_S", longest_s)


@pytest.mark.parametrize("live", READ_BY_THREADS, indirect=True)
def test_a_store_closes_while_its_server_hangs_and_lets_go_later(
    live: Live, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = address(live, proxy)
    fill(where)
    wait_at_closing(monkeypatch, 0.01)
    store = open_store(where)
    cuts = proxy.cuts
    cuts.held_at = cuts.answered_bytes
    reader = Reader(store)
    assert cuts.is_held.wait(120)
    store.close()
    cuts.may_answer.set()
    reader.join()
    assert isinstance(reader.error, StoreError) and reader.error.code == "store-unreachable", repr(reader.error)
    del reader, store
    gc.collect()
    proxy.wait_until_idle()


@pytest.mark.parametrize("live", SERVERS, indirect=True)
def test_a_read_that_is_left_in_the_middle_ends_with_the_store(
    live: Live, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = address(live, proxy)
    fill(where)
    wait_at_closing(monkeypatch, 120)
    with open_store(where) as store:
        left = store.scan()
        next(left)
    assert isinstance(store, PointStore) and store.readings.end(0)  # nobody reads any more
    with pytest.raises(VexError):
        for _ in left:
            pass
    del left, store
    gc.collect()
    proxy.wait_until_idle()


INTERRUPTED = """
import signal, sys
from vexrepo.remotes.stores import neo4j_pages, point_store
point_store.LEFT_S, neo4j_pages._PAGE = 0.01, 50
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
from vexrepo.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
@pytest.mark.parametrize(
    ("live", "part"), [("neo4j", 0.05), ("neo4j", 0.66), ("qdrant", 0.05), ("qdrant", 0.66)], indirect=["live"]
)
def test_ctrl_c_ends_a_command_though_the_server_hangs(
    live: Live, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    """It waited for the thread that reads ahead: for a minute or, where the client has no limit, for ever.

    So did the driver of Neo4j, interrupted in the middle of the first questions.
    """
    fill(address(live, proxy))
    monkeypatch.setenv(live.variable, live.secret)
    command = [sys.executable, "-c", INTERRUPTED, "validate", live.address(proxy.port)]
    cuts = proxy.begin(Cuts())
    whole = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert whole.returncode == 0, whole.stderr
    cuts = proxy.begin(Cuts(held_at=int(cuts.answered_bytes * part)))
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert cuts.is_held.wait(120)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 130 and "interrupted" in said, said
