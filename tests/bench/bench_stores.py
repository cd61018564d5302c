"""What reading and writing vector stores costs, beside a script written by hand for each that only moves the data.

    python tests/bench/bench_stores.py [KIND …] [--only read,write,status,many,memory] [--records 20000] [--runs 5]

Each kind is a module of ``peers``: it starts its engine and ends it again.  Vex and the script take turns in one
process, each with the collector set as where it runs: as the command sets it, and as Python does for a script; with
``--one-collector`` both as the command.  The median of the runs is printed with the ratio of the rates (1 is as fast,
0.5 half as fast).  The script
knows its store and the memories, and has nothing to do but the transfer; vex makes whole records, hashes and checks
them, and looks at each before the first is written.

- read: a collection that vex wrote.  ``raw`` is what the engine sends, thrown away, where something does only that;
  ``into a file`` the engine's own program writes it.  A second script goes without what the store's own client does
  beside, where that is much.
- write: into a new collection, without an index of vectors where that can be said.
- status: of a store that holds what the branch holds, beside the scan of it.  ``touched``: one memory was written as it
  is, so that no fingerprint can say that nothing changed.
- many: reading ``--many`` memories, beside ``raw``.
- again: ``--many`` memories that were committed before, beside ``raw``: read against that commit with and without what
  is known of their bytes; the same in one process; status where one memory was written as it is, a commit of nothing
  new and one of every hundredth memory changed; ``into a file``.  For stores that give records as bytes.
- memory: commands as processes of their own, with a tenth of ``--most`` memories and with all.  It must not grow.
"""

from __future__ import annotations

import argparse
import gc
import pkgutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1])]

from tests.bench import peers  # noqa: E402
from tests.bench.measure import run as run_process  # noqa: E402
from tests.bench.peers import Peer, Row, as_json, as_record  # noqa: E402
from vexrepo.cli import COLLECTOR  # noqa: E402
from vexrepo.history.baseline import iter_record_ids  # noqa: E402
from vexrepo.objects.record import Record  # noqa: E402
from vexrepo.remotes import rawcache  # noqa: E402
from vexrepo.remotes.intake import take_in  # noqa: E402
from vexrepo.remotes.stores.address import Address  # noqa: E402
from vexrepo.remotes.stores.base import Plan  # noqa: E402
from vexrepo.remotes.stores.registry import open_store  # noqa: E402
from vexrepo.repository import Repository, Surroundings  # noqa: E402
from vexrepo.repository.commit import Committed  # noqa: E402

VEX = [sys.executable, "-m", "vexrepo.cli"]
COLLECTORS = {"vex": COLLECTOR, "script": gc.get_threshold()}
PARTS = ("read", "write", "status", "many", "again", "memory")


def plan_of(records: list[Record]) -> Plan:
    return Plan(upserts=lambda: iter(records), deletes=(), records=lambda: iter(records))


def timed(what: Callable[[], Any]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def turns(runs: int, **each: Callable[[], float]) -> dict[str, float]:
    """Return the median seconds of each, which take turns."""
    found: dict[str, list[float]] = {name: [] for name in each}
    for _ in range(runs):
        for name, what in each.items():
            gc.set_threshold(*COLLECTORS["vex" if name == "vex" else "script"])
            found[name].append(what())
    return {name: statistics.median(values) for name, values in found.items()}


def scan(where: Address, expected: int) -> None:
    with open_store(where) as store:
        found = sum(len(batch) for batch in store.scan())
    assert found == expected, (found, expected)


def fill(peer: Peer, name: str, records: list[Record]) -> None:
    peer.drop(name)
    with open_store(peer.address(name), create=True) as store:
        store.write(plan_of(records))
    peer.settle(name)


def show(title: str, seconds: dict[str, float], count: int, **words: str) -> None:
    print(f"  {title}, {count:,} memories")
    ours = seconds["vex"]
    for name, value in seconds.items():
        rate = "" if name == "vex" else f"   vex ÷ this: {value / ours:.2f} × the rate"
        print(f"    {words.get(name, name):28} {value:8.3f} s {count / value:10,.0f} a second{rate}")


def measure_read(peer: Peer, given: argparse.Namespace, count: int, title: str) -> None:
    name = f"read{count}"
    fill(peer, name, [as_record(row) for row in peers.rows(count, given.dims)])
    where = peer.address(name)

    def by_hand(read: Callable[[str], int]) -> float:
        start = time.perf_counter()
        found = read(name)
        seconds = time.perf_counter() - start
        assert found == count, (found, count)
        return seconds

    more: dict[str, Callable[[], float]] = {}
    if peers.has(peer, "read_bare"):
        more[peer.bare] = lambda: by_hand(peer.read_bare)
    if peers.has(peer, "raw"):
        more["raw"] = lambda: timed(lambda: peer.raw(name))
    with tempfile.TemporaryDirectory() as folder:
        if peers.has(peer, "dump"):
            more["into a file"] = lambda: timed(lambda: peer.dump(name, Path(folder) / "dumped"))
        vex, hand = lambda: timed(lambda: scan(where, count)), lambda: by_hand(peer.read)
        found = turns(given.runs, vex=vex, by_hand=hand, **more)
    show(title, found, count, by_hand=peer.client)
    peer.drop(name)


def measure_write(peer: Peer, given: argparse.Namespace) -> None:
    rows = list(peers.rows(given.records, given.dims))
    records = [as_record(row) for row in rows]

    def ours() -> float:
        peer.drop("written")
        with open_store(peer.address("written"), create=True) as store:
            return timed(lambda: store.write(plan_of(records)))

    def by_hand(write: Callable[[str, list[Row]], None]) -> float:
        peer.drop("by_hand")
        return timed(lambda: write("by_hand", rows))

    bare = {peer.bare: lambda: by_hand(peer.write_bare)} if peers.has(peer, "write_bare") else {}
    found = turns(given.runs, vex=ours, by_hand=lambda: by_hand(peer.write), **bare)
    show("write", found, given.records, by_hand=peer.client)
    scan(peer.address("written"), given.records)
    peer.drop("written")
    peer.drop("by_hand")


def measure_status(peer: Peer, given: argparse.Namespace) -> None:
    name = "status"
    fill(peer, name, [as_record(row) for row in peers.rows(given.records, given.dims)])
    where = peer.address(name)
    with tempfile.TemporaryDirectory() as folder:
        times = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))
        kept = Repository.init(Path(folder), Surroundings(now_us=lambda: next(times)))
        kept.commit("first", store=where)

        def status() -> None:
            assert kept.status(where).is_clean

        def unchanged() -> float:
            kept.commit("seen", store=where, allow_empty=True)
            return timed(status)

        def touched() -> float:
            peer.touch(name)
            return timed(status)

        measured = {"scan": lambda: timed(lambda: scan(where, given.records)), "unchanged": unchanged}
        if peers.has(peer, "touch"):
            measured["touched"] = touched
        found = turns(given.runs, **measured)
    print(f"  status, {given.records:,} memories")
    for what, value in found.items():
        ratio = "" if what == "scan" else f"   {value / found['scan']:.2f} × the scan"
        print(f"    {what:28} {value:8.3f} s{ratio}")
    peer.drop(name)


@contextmanager
def one_process() -> Iterator[None]:
    """Keep vex from a second process: it forks only where there are no threads."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    yield
    done.set()
    thread.join()


def measure_again(peer: Peer, given: argparse.Namespace) -> None:
    name, count = "again", given.many
    fill(peer, name, [as_record(row) for row in peers.rows(count, given.dims)])
    where = peer.address(name)
    with tempfile.TemporaryDirectory() as folder:
        times = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))
        kept = Repository.init(Path(folder), Surroundings(now_us=lambda: next(times)))
        first = kept.commit("first", store=where).snapshot
        cache = rawcache.path_for(kept.folder / "cache", kept.store_name(where))

        def read(known: Path | None) -> float:
            with tempfile.TemporaryDirectory() as scratch, open_store(where) as store:
                ids = iter_record_ids(kept.objects, first.records)
                start = time.perf_counter()
                found = take_in(store, ids, Path(scratch), cache=known)
                seconds = time.perf_counter() - start
            assert found.count == count and found.seen.all()
            return seconds

        def read_alone(known: Path | None) -> float:
            with one_process():
                return read(known)

        def status() -> float:
            peer.touch(name)
            return timed(lambda: kept.status(where))

        def nothing() -> float:
            peer.touch(name)
            return timed(lambda: kept.commit("nothing", store=where, allow_empty=True))

        def changed() -> float:
            peer.change(name)
            found: list[Committed] = []
            seconds = timed(lambda: found.append(kept.commit("changed", store=where)))
            assert found[0].tally.changed == count // 100
            peer.change(name, back=True)
            kept.commit("back", store=where)
            return seconds

        measured = {
            "raw": lambda: timed(lambda: peer.raw(name)),
            "not known": lambda: read(None),
            "known": lambda: read(cache),
            "not known, one process": lambda: read_alone(None),
            "known, one process": lambda: read_alone(cache),
            "status": status,
            "commit of nothing": nothing,
            "commit of 1 %": changed,
            "into a file": lambda: timed(lambda: peer.dump(name, Path(folder) / "dumped")),
        }
        gc.set_threshold(*COLLECTOR)
        found: dict[str, list[float]] = {what: [] for what in measured}
        for _ in range(given.runs):
            for what, run in measured.items():
                found[what].append(run())
    print(f"  again, {count:,} memories, with the collector as the command")
    beside = statistics.median(found["raw"])
    for what, values in found.items():
        value = statistics.median(values)
        print(f"    {what:28} {value:8.3f} s   {value / beside:.2f} × raw")
    peer.drop(name)


def measure_memory(peer: Peer, given: argparse.Namespace) -> None:
    print("  commands, with the memory of all their processes together")
    for count in (given.most // 10, given.most):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with open(folder / "in.vmig.jsonl", "wb") as file:
                for row in peers.rows(count, given.dims):
                    value = {**as_json(row), "vector": row.vector}
                    file.write(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            where = str(peer.address(f"memory{count}"))
            outside = {"VEX_HOME": str(folder / "home"), "PYTHONPATH": str(HERE.parents[1]), **peer.environment}
            run_process([*VEX, "key", "new"], folder, **outside)
            run_process([*VEX, "init", "--store", where], folder, allowed=(0, 1, 2), **outside)
            run_process([*VEX, "commit", "--from", "in.vmig.jsonl", "-m", "first"], folder, **outside)
            for words in (["checkout", "main", "--to", where], ["commit", "--from", where, "-m", "again"], ["status"]):
                cost = run_process([*VEX, *words], folder, **outside)
                print(f"    {count:9,} {words[0]:10} {cost.wall_s:8.2f} s {cost.peak_mb:8.0f} MB")
            peer.drop(f"memory{count}")


def main() -> None:
    kinds = sorted(module.name for module in pkgutil.iter_modules([str(HERE / "peers")]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(kinds)}; else all")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--most", type=int, default=200_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one-collector", action="store_true")
    given = parser.parse_args()
    if given.one_collector:
        COLLECTORS["script"] = COLLECTOR
    only = given.only.split(",")
    if unknown := sorted({*only} - {*PARTS} | {*given.kinds} - {*kinds}):
        parser.error(f"unknown: {', '.join(unknown)}")
    for kind in given.kinds or kinds:
        print(kind)
        with import_module(f"tests.bench.peers.{kind}").serve() as peer:
            if "read" in only:
                measure_read(peer, given, given.records, "read")
            if "write" in only:
                measure_write(peer, given)
            if "status" in only:
                measure_status(peer, given)
            if "many" in only and peers.has(peer, "raw"):
                measure_read(peer, given, given.many, "read many")
            if "again" in only and peers.has(peer, "change"):
                measure_again(peer, given)
            if "memory" in only:
                measure_memory(peer, given)


if __name__ == "__main__":
    main()
