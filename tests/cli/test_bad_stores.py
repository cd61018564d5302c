"""Every store in trouble, as a user meets it: nothing is lost, the message says what to do, a second run completes.

Each server stands behind a proxy that cuts connections; those that answer by HTTP can be told what to say.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Memory, Ran, Vex, record, run_process
from tests.contract import chroma_local, lancedb_engine
from tests.contract.servers import BY_HTTP, CLIENTS, KEY, SERVERS, Live
from tests.hosting.listening import PAGE, saying_to_everybody
from tests.hosting.programs import free_port
from tests.hosting.proxy import Cuts, Proxy, proxy_to
from vexrepo.remotes.http import Patience
from vexrepo.remotes.stores import neo4j_graph
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.http_store import HttpPointStore
from vexrepo.remotes.stores.registry import connector, kinds

NEED_TABLES = ("sqlite-vec", "lancedb")
# What is only a file or a folder: no server, no connection, no secret.
FILES = {
    "jsonl": "agent.vmig.jsonl",
    "vektor": "agent.db",
    "sqlite-vec": "agent.db",
    "lancedb": "folder",
    "parquet": "agent.parquet",
    "numpy": "agent.npz",
    "mcp": "memory.jsonl",
    "letta": "agent.af",
    "vex-backup": "agent.vexbackup",
}
# The same, with the forms of servers' stores that are files or folders, too.
PLACES = {
    **{kind: f"{kind}:{name}" + ("?table=notes" if kind in NEED_TABLES else "") for kind, name in FILES.items()},
    "qdrant folder": "qdrant:folder?collection=agent",
    "chroma folder": "chroma:folder?collection=agent",
    "milvus file": "milvus:agent.db?collection=agent",
}
SAYS_WHAT_TO_DO = ("is it running", "is that its address", "run the command again", "try again")
WRONG = "wr0ng/secret"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long stores that are asked by HTTP would have waited."""
    found: list[float] = []
    monkeypatch.setattr(HttpPointStore, "patience", Patience(sleep=found.append))
    return found


@pytest.fixture(params=SERVERS)
def live(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Iterator[Live]:
    """A server of each kind, let in, that is written to in batches of fifty."""
    with SERVERS[request.param]() as found:
        monkeypatch.setenv(found.variable, found.secret)
        monkeypatch.setattr(connector(found.kind), "batch_points", 50)
        monkeypatch.setattr(neo4j_graph, "_RETRY_S", 0.5)
        yield found


@pytest.fixture
def proxy(live: Live) -> Iterator[Proxy]:
    with proxy_to(live.target) as found:
        yield found


def refused(ran: Ran, code: str, *words: str) -> None:
    """Check that a run failed with a code and the way out, without a secret and without a page."""
    assert ran.code == 1 and ran.err.rstrip().endswith(f"[{code}]"), (ran.code, ran.out, ran.err)
    assert all(word in ran.err for word in words), ran.err
    assert WRONG not in ran.err + ran.out and "<html" not in ran.err and "Traceback" not in ran.err


def tells_what_to_do(ran: Ran) -> bool:
    return any(words in ran.err for words in SAYS_WHAT_TO_DO)


def later(vex: Vex, live: Live) -> Vex:
    """Return what runs ``vex`` after a failure: in a process of its own where this one waits before it connects again.

    gRPC does, for all clients of an address.
    """
    return run_process if live.kind == "milvus" else vex


def learn(memory: Memory, count: int, words: str) -> None:
    """Change all memories, and have so many."""
    memory.records = {f"m{n}": record(f"m{n}", f"{words} {n} " + "of some length " * 6) for n in range(count)}
    memory.write()


def texts(path: Path) -> dict[str, str]:
    found: list[dict[str, Any]] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {each["id"]: each["text"] for each in found}


def test_no_store_is_left_out(vex: Vex) -> None:
    servers = {name.partition(" ")[0].replace("valkey", "redis") for name in SERVERS}
    assert servers | set(FILES) == set(kinds()) == {each["kind"] for each in vex("adapters", "--json").json()["stores"]}


# -- servers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", CLIENTS, indirect=True)
def test_a_server_that_is_down_is_named_with_what_to_do(
    vex: Vex, memory: Memory, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEX_HTTP_TIMEOUT_S", "1")
    port = free_port()
    address = live.address(port)
    for args in (
        ("export", "--from", address, "-o", "out.vmig.jsonl"),
        ("import", str(memory.path), "--to", address),
    ):
        ran = vex(*args)
        refused(ran, "store-unreachable", f"127.0.0.1:{port}")
        assert tells_what_to_do(ran), ran.err
    assert not Path("out.vmig.jsonl").exists()


@pytest.mark.parametrize("live", CLIENTS, indirect=True)
def test_a_wrong_secret_is_refused_and_the_right_variable_named(
    vex: Vex, memory: Memory, live: Live, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = live.address(proxy.port)
    assert vex("import", str(memory.path), "--to", address).code == 0
    monkeypatch.setenv(live.variable, WRONG)
    refused(vex("export", "--from", address, "-o", "out.vmig.jsonl"), "store-refused", live.variable)
    refused(vex("import", str(memory.path), "--to", address), "store-refused", live.variable)
    assert not Path("out.vmig.jsonl").exists()
    monkeypatch.setenv(live.variable, live.secret)
    ran = vex("export", "--from", address, "-o", "out.vmig.jsonl", "--json")
    assert ran.code == 0 and live.secret not in ran.out + ran.err
    assert texts(Path("out.vmig.jsonl")) == memory.texts()


def test_a_collection_that_is_not_there_is_named_and_not_made(vex: Vex, live: Live, proxy: Proxy) -> None:
    if live.kind == "pinecone":
        return  # a namespace that holds nothing is one that is not there; an index is, tests/contract has it
    for _ in range(2):
        refused(vex("export", "--from", live.address(proxy.port), "-o", "out.vmig.jsonl"), "store-missing")
    assert not Path("out.vmig.jsonl").exists()


def test_other_dimensions_are_refused_before_anything_is_written(
    vex: Vex, memory: Memory, live: Live, proxy: Proxy
) -> None:
    address = live.address(proxy.port)
    assert vex("import", str(memory.path), "--to", address).code == 0
    lines = [{"id": f"m{n}", "text": "other", "vector": [1.0, 2.0], "dims": 2} for n in range(120)]
    Path("two.vmig.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    if live.has_dims:
        for dry in ((), ("--dry-run",)):
            refused(vex("import", "two.vmig.jsonl", "--to", address, *dry), "store-dims", "2", "4")
    assert vex("export", "--from", address, "-o", "out.vmig.jsonl").code == 0
    assert texts(Path("out.vmig.jsonl")) == memory.texts()


def test_a_connection_that_is_cut_while_it_is_written_to_loses_nothing(
    vex: Vex, memory: Memory, live: Live, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = live.address(proxy.port)
    learn(memory, 300, "first")
    assert vex("init", "--store", str(memory.path)).code == 0
    assert vex("commit", "-m", "first").code == 0
    clean = proxy.begin()
    assert vex("checkout", "main", "--to", address).code == 0
    learn(memory, 320, "second")
    assert vex("commit", "-m", "second").code == 0
    proxy.begin(Cuts(asked=clean.asked_bytes // 2, for_good=True))
    with monkeypatch.context() as now:
        now.setenv("VEX_HTTP_TIMEOUT_S", "5")
        ran = vex("checkout", "main", "--to", address)
    refused(ran, "store-unreachable", "127.0.0.1")
    assert tells_what_to_do(ran), ran.err
    says = "is not there at all" if connector(live.kind).writes_whole else "command again"
    assert says in ran.err, ran.err
    proxy.begin()
    ran = later(vex, live)("checkout", "main", "--to", address)
    # Of batches that are sent at once, the last may have come whole, and only its answer is lost.
    assert ran.code == 0 and ("verified 320 of 320" in ran.out or "already holds" in ran.out), ran.out + ran.err
    ran = vex("diff", "main", address, "--exit-code")
    assert ran.code == 0, ran.out + ran.err


def test_a_connection_that_is_cut_while_it_is_read_changes_nothing(
    vex: Vex, memory: Memory, live: Live, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = live.address(proxy.port)
    learn(memory, 300, "first")
    assert vex("import", str(memory.path), "--to", address).code == 0
    clean = proxy.begin()
    assert vex("export", "--from", address, "-o", "whole.vmig.jsonl").code == 0
    Path("out.vmig.jsonl").write_text('{"id":"a","text":"what was there"}\n')
    assert vex("init").code == 0
    proxy.begin(Cuts(answered=clean.answered_bytes * 2 // 3, for_good=True))
    with monkeypatch.context() as now:
        now.setenv("VEX_HTTP_TIMEOUT_S", "5")
        exported = vex("export", "--from", address, "-o", "out.vmig.jsonl")
        committed = vex("commit", "--from", address, "-m", "cut")
    for ran in (exported, committed):
        refused(ran, "store-unreachable", "127.0.0.1")
        assert tells_what_to_do(ran), ran.err
    assert texts(Path("out.vmig.jsonl")) == {"a": "what was there"}
    proxy.begin()
    assert later(vex, live)("export", "--from", address, "-o", "out.vmig.jsonl").code == 0
    assert Path("out.vmig.jsonl").read_bytes() == Path("whole.vmig.jsonl").read_bytes()
    ran = later(vex, live)("commit", "--from", address, "-m", "whole")
    assert ran.code == 0 and "300 memories" in ran.out and vex("log", "--oneline").out.count("\n") == 1


def interrupt(monkeypatch: pytest.MonkeyPatch, kind: type[Store]) -> None:
    """Let writes be interrupted in the middle of the third batch."""
    whole_write = getattr(kind, name := "insert_records" if kind.writes_whole else "upsert")
    batches = itertools.count(1)

    def interrupted(store: Any, some: Any) -> Any:
        if next(batches) > 2:
            if not kind.writes_whole:
                whole_write(store, some[: len(some) // 2])
            raise KeyboardInterrupt
        return whole_write(store, some)

    monkeypatch.setattr(kind, name, interrupted)


def check_interrupted(vex: Vex, memory: Memory, kind: type[Store], address: str) -> None:
    learn(memory, 300, "first")
    with pytest.MonkeyPatch.context() as now:
        interrupt(now, kind)
        ran = vex("import", str(memory.path), "--to", address)
    assert ran.code == 130 and "[interrupted]" in ran.err, ran.err
    says = "is as it was" if kind.writes_whole else "may hold a part of what it was to get: the same command again"
    assert f"{address} {says}" in ran.err
    found = vex("export", "--from", address, "-o", "out.vmig.jsonl")
    if kind.writes_whole:
        assert found.code == 1
    else:
        assert found.code == 0 and texts(Path("out.vmig.jsonl")).items() <= memory.texts().items()
    assert vex("import", str(memory.path), "--to", address).code == 0
    assert vex("export", "--from", address, "-o", "out.vmig.jsonl").code == 0
    assert texts(Path("out.vmig.jsonl")) == memory.texts()


# Elasticsearch is written to as OpenSearch is; what Redis does in the middle of a write, tests/contract has.
WRITTEN_IN_BATCHES = [name for name in CLIENTS if name not in ("elasticsearch", "redis hashes")]


@pytest.mark.parametrize("live", WRITTEN_IN_BATCHES, indirect=True)
def test_an_interrupted_import_says_what_the_store_may_hold_and_a_second_completes_it(
    vex: Vex, memory: Memory, live: Live, proxy: Proxy
) -> None:
    check_interrupted(vex, memory, connector(live.kind), live.address(proxy.port))


@pytest.mark.parametrize("live", BY_HTTP, indirect=True)
def test_a_storm_of_429_is_waited_for_as_asked_given_up_and_completed_by_a_second_run(
    vex: Vex, memory: Memory, live: Live, waits: list[float]
) -> None:
    assert live.scripted is not None
    address = live.address(live.port)
    storm = (429, {"Retry-After": "7"}, b'{"message":"slow down"}')
    live.scripted.script = [storm] * 2
    assert vex("import", str(memory.path), "--to", address).code == 0
    assert len(waits) == 2 and all(7 <= each < 8 for each in waits)
    for args in (
        ("import", str(memory.path), "--to", address),
        ("export", "--from", address, "-o", "out.vmig.jsonl"),
    ):
        waits.clear()
        live.scripted.script = [storm] * 99
        refused(vex(*args), "store-busy", "try again in 7 s", "127.0.0.1")
        assert 2 <= len(waits) < 10 and all(7 <= each < 8 for each in waits)
        live.scripted.script = [(429, {"Retry-After": "3600"}, b"{}")] * 99
        waits.clear()
        refused(vex(*args), "store-busy", "try again in")
        assert waits == []  # what is asked for is too long to wait for here
        live.scripted.script = []
        assert vex(*args).code == 0
    assert texts(Path("out.vmig.jsonl")) == memory.texts()


@pytest.mark.parametrize("live", CLIENTS, indirect=True)
def test_what_answers_in_html_is_said_to_be_something_else(
    vex: Vex, memory: Memory, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEX_HTTP_TIMEOUT_S", "1")
    page = PAGE if live.scripted is None else PAGE.replace(b"400 Bad Request", b"200 OK")
    with saying_to_everybody(page) as front:
        for args in (
            ("export", "--from", live.address(front.port), "-o", "out.vmig.jsonl"),
            ("import", str(memory.path), "--to", live.address(front.port)),
        ):
            ran = vex(*args)
            code = "store-answer" if live.scripted is not None or live.kind == "redis" else "store-unreachable"
            refused(ran, code, f"127.0.0.1:{front.port}")
    assert not Path("out.vmig.jsonl").exists()


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a file or folder that is not there, of each kind; what reads it is installed."""
    monkeypatch.setenv("VEX_TOKEN", KEY)  # with which backups of the original tool are sealed
    if request.param == "lancedb":
        lancedb_engine.install()
    elif request.param == "chroma folder":
        chroma_local.importable()
    return PLACES[request.param]


def path_of(place: str) -> Path:
    return Path(place.partition(":")[2].partition("?")[0])


def test_a_file_that_is_something_else_is_said_and_left_as_it_is(vex: Vex, memory: Memory, place: str) -> None:
    kind, path = place.partition(":")[0], path_of(place)
    memory.path = memory.path.rename("mine.vmig.jsonl")
    path.write_bytes(page := b"<!doctype html>\n<html><title>Sign in</title></html>\n" * 40)
    for args in (
        ("export", "--from", place, "-o", "out.vmig.jsonl"),
        ("inspect", place),
        ("import", str(memory.path), "--to", place),
    ):
        if (args[0], kind) in (("import", "jsonl"), ("inspect", "jsonl"), ("inspect", "mcp")):
            continue  # a target of lines is replaced by intent; lines that cannot be read are counted by inspect
        ran = vex(*args)
        assert ran.code == 1 and path.name in ran.err and ran.err.rstrip().endswith("]"), (args, ran.out, ran.err)
        assert "<html" not in ran.err and "Traceback" not in ran.err and "not installed" not in ran.err, ran.err
        assert not ran.err.rstrip().endswith(("[store-answer]", "[unexpected]")), ran.err
        assert path.read_bytes() == page
    assert not Path("out.vmig.jsonl").exists()
    path.unlink()  # and with that out of the way the same command does it
    if kind not in ("vex-backup", "letta"):
        assert vex("import", str(memory.path), "--to", place).code == 0


@pytest.mark.parametrize("place", ["qdrant folder", "chroma folder", "milvus file", *NEED_TABLES], indirect=True)
def test_an_interrupted_import_into_a_folder_is_completed_by_a_second(
    vex: Vex, memory: Memory, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = connector(place.partition(":")[0])
    monkeypatch.setattr(kind, "batch_points", 50)
    check_interrupted(vex, memory, kind, place)


def test_a_file_that_is_not_there_is_named_and_not_made(vex: Vex, place: str) -> None:
    assert vex("init").code == 0
    for args in (("export", "--from", place, "-o", "out.vmig.jsonl"), ("commit", "--from", place, "-m", "x")):
        refused(vex(*args), "store-missing", path_of(place).name)
    assert not path_of(place).exists() and not Path("out.vmig.jsonl").exists()
