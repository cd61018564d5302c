"""What merging, blaming and gc cost, and what they cost with four times the memory.

    python tests/bench/bench_history.py [--records 100000] [--dims 384] [--commits 200] [--folder DIR]

Two branches change 1 % of the memories each, a tenth of those on both sides; the merge is timed, its peak memory taken,
at N and at 4 N records.  Then so many small commits are made and joined by gc; the size is compared with that of the
same history before gc.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.bench.bench_repository import VEX, folder_bytes, run  # noqa: E402


class Measured(NamedTuple):
    """Seconds and MB of a merge, and of its dry run."""

    merge_s: float
    merge_mb: float
    preview_s: float


def changed(lines: list[bytes], chosen: range, word: bytes) -> list[bytes]:
    """Return lines with a word added to the texts of some."""
    found = list(lines)
    for number in chosen:
        found[number] = found[number].replace(b'","vector"', b" " + word + b'","vector"', 1)
    return found


def fork(folder: Path, records: int, dims: int) -> Path:
    """Make a repository whose branches main and side changed 1 % of the memories each."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = folder / "agent.vmig.jsonl"
    script = [sys.executable, str(HERE / "make_memories.py"), "--records", str(records), "--dims", str(dims)]
    subprocess.run([*script, "--seed", "7", "--out", str(store)], check=True)
    lines = store.read_bytes().splitlines(keepends=True)
    random.Random(5).shuffle(lines)
    share = max(2, records // 100)
    home = {"VEX_HOME": str(folder / "home")}
    vex(folder, home, "init", "--store", str(store))
    vex(folder, home, "commit", "-m", "base")
    vex(folder, home, "switch", "-c", "side")
    store.write_bytes(b"".join(changed(lines, range(share), b"As the side knows.")))
    vex(folder, home, "commit", "-m", "side")
    vex(folder, home, "switch", "--keep", "main")
    # A tenth on both sides, with the same new text: looked into, and no conflict.
    mine = changed(lines, range(share - share // 10, share), b"As the side knows.")
    store.write_bytes(b"".join(changed(mine, range(share, 2 * share - share // 10), b"As main knows.")))
    vex(folder, home, "commit", "-m", "main")
    return store


def vex(folder: Path, home: dict[str, str], *args: str) -> None:
    """Run vex; it must succeed."""
    subprocess.run([*VEX, *args], cwd=folder, env={**os.environ, **home}, check=True, capture_output=True)


def measure_merge(folder: Path, records: int, dims: int) -> Measured:
    """Return what a merge of two branches costs."""
    fork(folder, records, dims)
    home = {"VEX_HOME": str(folder / "home")}
    preview = run([*VEX, "merge", "side", "--dry-run"], folder, **home)
    merge = run([*VEX, "merge", "side", "--no-checkout"], folder, **home)
    return Measured(merge.wall_s, merge.peak_mb, preview.wall_s)


def measure_gc(folder: Path, commits: int) -> tuple[float, int, int, int]:
    """Make commits of three changed texts each; return seconds of a gc, bytes before and after, and packs after."""
    from vexrepo.history.build import Edit
    from vexrepo.history.walk import iter_records
    from vexrepo.objects import record
    from vexrepo.repository import Repository, Surroundings
    from vexrepo.repository.editing import commit_edits

    clock = itertools.count(1_800_000_000_000_000, 1_000_000)
    repository = Repository.open(folder / ".vex", Surroundings(clock.__next__), accept_rollback=True)
    root = repository.records_root(repository.resolve("HEAD"))
    assert root is not None
    wanted = random.Random(3).sample(range(root.count), 3 * commits)
    places = set(wanted)
    found = {n: item for n, item in enumerate(iter_records(repository.objects, root)) if n in places}
    for number in range(commits):
        edits = []
        for place in wanted[3 * number : 3 * number + 3]:
            value = found[place].to_json()
            value["text"] = f"{value['text']} Seen again."
            edits.append(Edit(found[place].key, record.from_json(value)))
        with repository.lock():
            commit_edits(repository, sorted(edits), f"small {number}", {"kind": "bench"}, command="commit")
    packs = folder / ".vex" / "packs"
    before = folder_bytes(packs)
    cost = run([*VEX, "gc", "--full"], folder, VEX_HOME=str(folder / "home"))
    return cost.wall_s, before, folder_bytes(packs), len(list(packs.glob("*.pack")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--commits", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        one = measure_merge(folder / "one", args.records, args.dims)
        seconds, before, after, packs = measure_gc(folder / "one", args.commits)
        four = measure_merge(folder / "four", 4 * args.records, args.dims)
        print(f"| what | {args.records:,} × {args.dims} | {4 * args.records:,} × {args.dims} | ratio |")
        print("|---|---|---|---|")
        print(f"| merge, 1 % changed on each side | {one.merge_s:.2f} s | {four.merge_s:.2f} s | |")
        print(f"| the same, --dry-run | {one.preview_s:.2f} s | {four.preview_s:.2f} s | |")
        ratio = four.merge_mb / one.merge_mb
        print(f"| peak memory of the merge | {one.merge_mb:.0f} MB | {four.merge_mb:.0f} MB | {ratio:.2f} |")
        print(f"| gc of {args.commits} small commits | {seconds:.2f} s, {packs} pack(s) | | |")
        print(f"| size after it | {after / 1e6:.1f} MB | | {after / before:.3f} of the same history before |")


if __name__ == "__main__":
    main()
