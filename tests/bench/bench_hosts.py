"""What it costs to publish to and to read from a Git host, beside git itself and the same server.

    python tests/bench/bench_hosts.py [--mb 200] [--large-mb 1000] [--folder DIR]

Git's http-backend runs in a process of its own.  Files of 16 MiB that do not compress are published, all fetched and
written to a disk, and cloned by git; requests are counted, and memory is compared with that for five times the bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.bench.measure import Cost, median, run  # noqa: E402
from tests.hosting.http_backend import PARTIAL, SECRET, USER, HttpBackend, make_bare  # noqa: E402

PART = 16 << 20
RUNS = 3


def work(what: str, url: str, folder: Path, count: int) -> None:
    """What is measured, in a process of its own."""
    from vexrepo.remotes.hosts.base import Access, Token
    from vexrepo.remotes.hosts.registry import open_host

    access = Access(token=lambda url: Token(USER, SECRET, "a benchmark"))
    with open_host(url, access) as host:
        tip = host.read_tip()
        if what == "push":
            names = sorted(folder.iterdir())[:count]
            host.publish(tip, {"head": b"head", **{f"packs/{each.name[:2]}/{each.name}": each for each in names}})
            return
        assert tip is not None
        folder.mkdir(parents=True)
        for path, content in host.fetch(tip, tip.files):
            (folder / path.replace("/", "-")).write_bytes(content)


def serve(root: Path) -> None:
    """Run the server until the input ends; say the port, and for each line read the requests since the last one."""
    server = HttpBackend(root)
    print(server.port, flush=True)
    for _ in sys.stdin:
        print(len(server.requests), flush=True)
        server.requests.clear()
    server.close()


class Server:
    """The server in its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def url(self, name: str, *, with_token: bool = False) -> str:
        token = f"{USER}:{SECRET}@" if with_token else ""
        return f"http://{token}127.0.0.1:{self.port}/{name}"

    def requests(self) -> int:
        """Return how many requests came since this was asked last."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def served(root: Path) -> Iterator[Server]:
    command = [sys.executable, __file__, "--serve", str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()


def ours(what: str, url: str, folder: Path, count: int = 0) -> Cost:
    return run([sys.executable, __file__, "--do", what, url, str(folder), str(count)], HERE)


def measure_requests(server: Server, root: Path) -> tuple[int, int]:
    """Return the requests of a publish that begins with reading, and of one onto a tip known from before."""
    from vexrepo.remotes.hosts.base import Access, Token
    from vexrepo.remotes.hosts.registry import open_host

    make_bare(root / "requests.git", PARTIAL)
    access = Access(token=lambda url: Token(USER, SECRET, "a benchmark"))
    with open_host(server.url("requests.git"), access) as host:
        host.publish(None, {"vexrepo": b"header", "head": b"head", "packs/00/part": os.urandom(1 << 20)})
    server.requests()
    with open_host(server.url("requests.git"), access) as host:
        tip = host.read_tip()
        assert tip is not None
        dict(host.fetch(tip, ["vexrepo", "head"]))
        tip = host.publish(tip, {"head": b"next", "packs/00/next": os.urandom(1 << 20)})
    first = server.requests()
    with open_host(server.url("requests.git"), access) as host:
        host.recall(tip)
        host.publish(host.read_tip(), {"head": b"last"})
    return first, server.requests()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--large-mb", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--do", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    if args.do:
        work(args.do[0], args.do[1], Path(args.do[2]), int(args.do[3]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        parts = folder / "parts"
        parts.mkdir(parents=True)
        count, large = max(1, args.mb * 1_000_000 // PART), max(1, args.large_mb * 1_000_000 // PART)
        for place in range(max(count, large)):
            (parts / hashlib.sha256(b"%d" % place).hexdigest()[:32]).write_bytes(os.urandom(PART))
        root = folder / "served"
        for name in ("some.git", "large.git"):
            make_bare(root / name, PARTIAL)
        with served(root) as server:
            first, known = measure_requests(server, root)
            push = ours("push", server.url("some.git"), parts, count)
            large_push = ours("push", server.url("large.git"), parts, large)
            clones = {"vexrepo": [], "git clone --bare": [], "git clone": []}  # type: dict[str, list[Cost]]
            for turn in range(RUNS):
                clones["vexrepo"].append(ours("fetch", server.url("some.git"), folder / f"fetched-{turn}"))
                for name, more in (("git clone --bare", ["--bare"]), ("git clone", [])):
                    url, target = server.url("some.git", with_token=True), folder / f"{name.replace(' ', '')}-{turn}"
                    clones[name].append(run(["git", "clone", "--quiet", *more, url, str(target)], HERE))
            large_fetch = ours("fetch", server.url("large.git"), folder / "large")
            begin = time.perf_counter()
            subprocess.run(["cp", "-r", str(folder / "large"), str(folder / "copy")], check=True)
            copied = time.perf_counter() - begin
    some, all_of_it = count * PART / 1e6, large * PART / 1e6
    mine, bare, checked_out = (median(costs) for costs in clones.values())
    print(f"| what | {some:.0f} MB | {all_of_it:.0f} MB | ratio |")
    print("|---|---|---|---|")
    print(f"| requests: read, fetch head, publish | {first} | | |")
    print(f"| requests: publish onto a known tip | {known} | | |")
    print(f"| publish | {push.wall_s:.2f} s | {large_push.wall_s:.2f} s | |")
    print(f"| its peak memory | {push.peak_mb:.0f} MB | {large_push.peak_mb:.0f} MB "
          f"| {large_push.peak_mb / push.peak_mb:.2f} |")  # fmt: skip
    print(f"| fetch all to a disk | {mine.wall_s:.2f} s | {large_fetch.wall_s:.2f} s "
          f"| {large_fetch.wall_s / copied:.1f} × cp of {all_of_it:.0f} MB |")  # fmt: skip
    print(f"| its peak memory | {mine.peak_mb:.0f} MB | {large_fetch.peak_mb:.0f} MB "
          f"| {large_fetch.peak_mb / mine.peak_mb:.2f} |")  # fmt: skip
    print(f"| its processor time | {mine.cpu_s:.2f} s | {large_fetch.cpu_s:.2f} s | |")
    for name, cost in (("git clone --bare", bare), ("git clone", checked_out)):
        print(f"| {name} | {cost.wall_s:.2f} s | | ours {mine.wall_s / cost.wall_s:.2f} × |")
        print(f"| its processor time | {cost.cpu_s:.2f} s | | ours {mine.cpu_s / cost.cpu_s:.2f} × |")


if __name__ == "__main__":
    main()
