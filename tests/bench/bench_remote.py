"""What a push and a clone cost, beside git, over HTTP from Git's own http-backend on this machine, in one run.

    python tests/bench/bench_remote.py [--records 100000] [--runs 3] [--folder DIR]

Makes a file of invented memories, commits and pushes it, changes 1 % of them (half with a new vector and text, half
with one metadata value), commits and pushes that; then clones, beside ``git clone`` of the same repository from the
same server.  Last, the same with a quarter of the memories, for the memory each takes.  Printed are ratios: bytes sent
to what changed, requests, seconds to git's, memory at N to memory at N / 4.

The passphrase costs what it costs users (Argon2id over 256 MiB, about a second); a clone without it, by a key, is
timed, too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import measure  # noqa: E402

from tests.hosting import http_backend  # noqa: E402
from vexrepo.storage import codec  # noqa: E402

VEX = [sys.executable, "-m", "vexrepo.cli"]


class Traffic:
    """Bytes that arrive at a server, counted as they are read."""

    def __init__(self) -> None:
        self.received = 0
        self._lock = threading.Lock()
        read = http_backend.body_of

        def counted(handler: Any) -> Iterator[bytes]:
            for chunk in read(handler):
                with self._lock:
                    self.received += len(chunk)
                yield chunk

        http_backend.body_of = counted


def change(source: Path, target: Path, share: float) -> tuple[bytes, bytes]:
    """Write a file with some records changed; return the raw bytes of the new vectors, and of the new bodies."""
    chance = random.Random(1)
    vectors, bodies = bytearray(), bytearray()
    import numpy as np

    with open(source, "rb") as lines, open(target, "wb") as out:
        for number, line in enumerate(lines):
            if chance.random() < share:
                value = json.loads(line)
                if number % 2:
                    made = np.asarray([chance.gauss(0, 0.05) for _ in value["vector"]], np.float32)
                    value["vector"] = [float(each) for each in made]
                    value["text"] = f"{value['text']} Changed on {number}."
                    vectors += made.tobytes()
                else:
                    value["metadata"]["importance"] = 9
                bodies += json.dumps({key: item for key, item in value.items() if key != "vector"}).encode()
                line = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
            out.write(line)
    return bytes(vectors), bytes(bodies)


class Story:
    """One size of memory: a repository, a server, and what each step cost."""

    def __init__(self, folder: Path, records: int, traffic: Traffic) -> None:
        self.folder, self.traffic = folder, traffic
        self.agent = folder / "agent"
        self.agent.mkdir(parents=True)
        self.server = http_backend.HttpBackend(folder / "served")
        self.bare = http_backend.make_bare(folder / "served" / "memory.git", http_backend.PARTIAL)
        self.environ = {
            "VEX_HOME": str(folder / "home"),
            "VEX_PASSPHRASE": "correct horse battery staple",
            "VEX_TOKEN": http_backend.SECRET,
        }
        first, second = self.agent / "memory.vmig.jsonl", self.agent / "second"
        maker = [sys.executable, str(HERE / "make_memories.py"), "--records", str(records), "--out", str(first)]
        subprocess.run(maker, check=True)
        self.vex("init", "--store", f"jsonl:{first}")
        self.vex("commit", "-m", "one")
        self.vex("remote", "add", "backup", self.server.url(), "--user", http_backend.USER)
        self.first_push = self.push()
        self.vectors, self.bodies = change(first, second, 0.01)
        second.rename(first)
        self.vex("commit", "-m", "two")
        self.second_push = self.push()

    def close(self) -> None:
        self.server.close()

    def vex(self, *arguments: str, cwd: Path | None = None, **more: str) -> measure.Cost:
        return measure.run([*VEX, *arguments], cwd or self.agent, **{**self.environ, **more})

    def push(self) -> tuple[measure.Cost, int, int]:
        """Push; return cost, bytes sent, requests."""
        before, asked = self.traffic.received, len(self.server.requests)
        cost = self.vex("push", "backup")
        return cost, self.traffic.received - before, len(self.server.requests) - asked

    def clone(self, *, with_key: bool) -> measure.Cost:
        """Clone on a machine that knows the passphrase, or has this machine's key."""
        home = self.folder / "home-of-clone"
        shutil.rmtree(home, ignore_errors=True)
        if with_key:
            shutil.copytree(self.folder / "home", home, ignore=shutil.ignore_patterns("pins", "hosts", "remotes"))
        target = self.folder / "clone"
        shutil.rmtree(target, ignore_errors=True)
        url = self.server.url().replace("://", f"://{http_backend.USER}@")
        cost = self.vex("clone", url, str(target), cwd=self.folder, VEX_HOME=str(home))
        size = sum(path.stat().st_size for path in (target / ".vex" / "packs").iterdir())
        self.pack_bytes = size
        return cost

    def git_clone(self) -> measure.Cost:
        target = self.folder / "git-clone"
        shutil.rmtree(target, ignore_errors=True)
        url = self.server.url().replace("://", f"://{http_backend.USER}:{http_backend.SECRET}@")
        command = ["git", "clone", "-q", "--bare", url, str(target)]
        return measure.run(command, self.folder, GIT_CONFIG_GLOBAL=os.devnull)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vex-bench-", dir=options.folder))
    traffic = Traffic()
    try:
        story = Story(folder / "large", options.records, traffic)
        cost, sent, requests = story.first_push
        print(
            f"first push of {options.records:,} × 384: {cost.wall_s:.1f} s ({cost.cpu_s:.1f} s of processor), "
            f"{sent / 1e6:.1f} MB sent in {requests} requests, peak {cost.peak_mb:.0f} MB"
        )
        cost, sent, requests = story.second_push
        raw = len(story.vectors) + len(story.bodies)
        packed = len(codec.encode(story.vectors, 4)[1]) + len(codec.encode(story.bodies)[1])
        print(
            f"push of a 1 % change: {cost.wall_s:.1f} s, {sent / 1e6:.2f} MB sent in {requests} requests "
            f"(a refused one without the token among them: {requests - 1} without), peak {cost.peak_mb:.0f} MB"
        )
        print(
            f"  changed: vectors {len(story.vectors) / 1e6:.2f} MB + bodies {len(story.bodies) / 1e6:.2f} MB raw; "
            f"sent is {sent / raw:.2f} × that, {sent / packed:.2f} × that compressed"
        )
        clones, keyed, gits = [], [], []
        for _ in range(options.runs):
            clones.append(story.clone(with_key=False))
            keyed.append(story.clone(with_key=True))
            gits.append(story.git_clone())
        ours, by_key, theirs = (measure.median(each) for each in (clones, keyed, gits))
        ratios = [cost.wall_s / theirs.wall_s for cost in (ours, by_key)]
        print(
            f"clone of {story.pack_bytes / 1e6:.0f} MB: {ours.wall_s:.2f} s by passphrase, {by_key.wall_s:.2f} s by "
            f"key, git clone {theirs.wall_s:.2f} s: {ratios[0]:.2f} ×, {ratios[1]:.2f} × (processor {ours.cpu_s:.2f}, "
            f"{by_key.cpu_s:.2f}, {theirs.cpu_s:.2f} s)"
        )
        story.close()
        small = Story(folder / "small", options.records // 4, traffic)
        small_clone = small.clone(with_key=True)
        small.close()
        for what, large_cost, small_cost in (
            ("first push", story.first_push[0], small.first_push[0]),
            ("push of 1 %", story.second_push[0], small.second_push[0]),
            ("clone", by_key, small_clone),
        ):
            print(
                f"peak of {what}: {large_cost.peak_mb:.0f} MB at N, {small_cost.peak_mb:.0f} MB at N / 4: "
                f"{large_cost.peak_mb / small_cost.peak_mb:.2f} ×"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
