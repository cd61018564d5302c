"""What a commit, a diff and a checkout cost, beside git, restic and Parquet, in one run.

    python tests/bench/bench_repository.py [--records 100000] [--numbers short|exact] [--runs 3] [--rounds 3]
        [--folder DIR]

Makes a file of invented memories and a second version of it with 3 % of the records changed (half of them with a
new vector and text, half with one metadata value), then does with it what a user would: commit, commit again,
compare, check out.  Every command is a process of its own, timed from start to end, its output thrown away.  A run
takes each tool in turn through its commits; then the tools take turns again, in ``--rounds``, at what is quick:
comparing, checking out, reading arrays.  The median of all is printed with the ratio to each peer.  Before each
command the disk is synced, so that nobody pays for what was written before.  git and restic are used where they are
installed, Parquet where pyarrow is.

With ``--folder`` everything is kept there, and what was measured there before counts too (``measured.jsonl``; remove
it to begin anew), so that a long measurement can be made piece by piece.

``--numbers exact`` prints each float32 as the double it is (about 21 characters, as JavaScript tools do);
``short`` prints its shortest decimal (about 12, as NumPy and most APIs do).
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
SCRIPT = Path(sys.executable).with_name("vex")
VEX = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "vexrepo.cli"]

SLOWER = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")  # set by developers, not where vex is installed

RUNNER = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
wall = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(wall, used.ru_maxrss, used.ru_utime + used.ru_stime)
sys.exit(code)
"""


class Cost(NamedTuple):
    """Seconds from start to end, the largest resident set of any process (MB), and seconds of processor time."""

    wall_s: float
    peak_mb: float
    cpu_s: float = 0.0


class Sizes(NamedTuple):
    """Bytes of a repository after the first commit, and what the second added."""

    first: int
    added: int


def run(command: list[str], cwd: Path, **environment: str) -> Cost:
    """Run a command to its end; it must succeed.  What others wrote before is brought to the disk first."""
    os.sync()
    # A process starts with its parent's peak in its account, so a small one is put between.
    done = subprocess.run(
        [sys.executable, "-S", "-c", RUNNER, *command],
        cwd=cwd,
        env={**{name: value for name, value in os.environ.items() if name not in SLOWER}, **environment},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.decode()[-2000:]}")
    wall, peak, cpu = map(float, done.stdout.split())
    return Cost(wall, peak / 1024, cpu)


def folder_bytes(folder: Path, leave_out: str = "") -> int:
    """Return the bytes of all files below a folder."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not (leave_out and leave_out in path.parts)
    )


def make_data(folder: Path, records: int, numbers: str) -> tuple[Path, Path, dict[str, int]]:
    """Write both versions of the file; return them and the raw bytes of what changed."""
    import numpy as np
    import orjson

    first, second = folder / "first.vmig.jsonl", folder / "second.vmig.jsonl"
    plain = folder / "plain.jsonl"
    script = [sys.executable, str(HERE / "make_memories.py"), "--records", str(records), "--seed", "7"]
    if not (first.exists() and second.exists()):
        subprocess.run([*script, "--out", str(plain)], check=True)
        rng, noise = random.Random(11), np.random.default_rng(11)
        chosen = rng.sample(range(records), max(2, records * 3 // 100))
        moved = set(chosen[: len(chosen) // 2])
        marked = set(chosen[len(chosen) // 2 :])
        with open(plain, "rb") as source, open(first, "wb") as one, open(second, "wb") as two:
            for number, line in enumerate(source):
                start = line.index(b'"vector":[') + 9
                end = line.index(b"]", start) + 1
                vector = np.array(orjson.loads(line[start:end]), np.float32)

                def text(values: Any, number_format: str = numbers) -> bytes:
                    kept = values if number_format == "short" else values.astype(np.float64)
                    return bytes(orjson.dumps(kept, option=orjson.OPT_SERIALIZE_NUMPY))

                line = line[:start] + text(vector) + line[end:]
                one.write(line)
                if number in moved:
                    vector += noise.normal(0, 0.01, len(vector)).astype(np.float32)
                    end = line.index(b"]", start) + 1
                    line = line[:start] + text(vector) + line[end:]
                    line = line.replace(b'","vector"', b' Seen again this week.","vector"', 1)
                elif number in marked:
                    line = line.replace(b'"importance":', b'"importance":1', 1)
                two.write(line)
        plain.unlink()
    changed = max(2, records * 3 // 100)
    return first, second, {"vectors": changed // 2 * 384 * 4, "records": changed}


class Tool:
    """A tool under measure; ``costs`` collects (step → list of costs), ``sizes`` what its repositories took."""

    name = ""

    def __init__(self, folder: Path, first: Path, second: Path) -> None:
        self.folder = folder / self.name
        self.first = first
        self.second = second
        self.costs: dict[str, list[Cost]] = defaultdict(list)
        self.sizes: list[Sizes] = []

    def once(self) -> None:
        """Do the commits in a new folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.commits()

    def commits(self) -> None:
        """Commit both versions."""
        raise AssertionError("each tool says how")

    def again(self) -> None:
        """Do once more what is quick and leaves the repository as it is."""

    def last(self) -> None:
        """Do once what changes the repository."""

    def replace(self, target: Path, source: Path) -> None:
        """Put a version of the file in place, as a program that rewrites it would."""
        shutil.copyfile(source, target)

    def median(self, step: str) -> Cost | None:
        """Return the median cost of a step."""
        found = self.costs.get(step)
        if not found:
            return None
        return Cost(
            statistics.median(c.wall_s for c in found),
            max(c.peak_mb for c in found),
            statistics.median(c.cpu_s for c in found),
        )


class Vex(Tool):
    """vexrepo, through its command line."""

    name = "vex"
    one_record_bytes = 0

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def home(self) -> dict[str, str]:
        return {"VEX_HOME": str(self.folder / "home")}

    def commits(self) -> None:
        work, home = self.work, self.home
        work.mkdir()
        live = work / "memory.vmig.jsonl"
        self.replace(live, self.first)
        run([*VEX, "init", "--store", f"jsonl:{live}"], work, **home)
        self.costs["first commit"].append(run([*VEX, "commit", "-m", "one"], work, **home))
        first = folder_bytes(work / ".vex", "cache")
        self.replace(live, self.second)
        self.costs["second commit"].append(run([*VEX, "commit", "-m", "two"], work, **home))
        self.sizes.append(Sizes(first, folder_bytes(work / ".vex", "cache") - first))

    def again(self) -> None:
        work, home = self.work, self.home
        self.costs["diff"].append(run([*VEX, "diff", "HEAD~1", "HEAD"], work, **home))
        self.costs["diff --stat"].append(run([*VEX, "diff", "--stat", "HEAD~1", "HEAD"], work, **home))
        out = self.folder / "out.vmig.jsonl"
        out.unlink(missing_ok=True)
        self.costs["checkout"].append(run([*VEX, "checkout", "HEAD", "--to", str(out)], work, **home))
        self.costs["log -1"].append(run([*VEX, "log", "-1"], work, **home))
        self.costs["help"].append(run([*VEX, "--help"], work, **home))
        self.arrays()

    def last(self) -> None:
        """Measure what a commit of one changed record adds."""
        work, home, live = self.work, self.home, self.work / "memory.vmig.jsonl"
        raw = live.read_bytes()
        at = raw.index(b'"importance":', len(raw) // 2) + len(b'"importance":')
        live.write_bytes(raw[:at] + b"7" + raw[at + 1 :])
        del raw
        before = folder_bytes(work / ".vex", "cache")
        self.costs["one-record commit"].append(run([*VEX, "commit", "-m", "three"], work, **home))
        self.one_record_bytes = folder_bytes(work / ".vex", "cache") - before
        run([*VEX, "undo"], work, **home)

    def arrays(self) -> None:
        """Time reading all vectors of a snapshot as one array, inside a process."""
        script = (
            "import sys, time\n"
            "from pathlib import Path\n"
            "from vexrepo.repository import Repository, Surroundings\n"
            "r = Repository.open(Path(sys.argv[1]), Surroundings(now_us=lambda: 0)); c = r.resolve('HEAD')\n"
            "times = []\n"
            "for _ in range(5):\n"
            "    t = time.perf_counter(); m = r.vectors(c).values; times.append(time.perf_counter() - t)\n"
            "print(sorted(times)[2])"
        )
        out = subprocess.run(
            [sys.executable, "-c", script, str(self.work / ".vex")], check=True, capture_output=True, text=True
        )
        self.costs["all vectors"].append(Cost(float(out.stdout), 0))


class Git(Tool):
    """git with its default settings: add and commit, loose objects."""

    name = "git"

    def commits(self) -> None:
        live = self.folder / "memory.vmig.jsonl"
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "gc.auto=0"]
        run(["git", "init", "-q", "."], self.folder)
        empty = folder_bytes(self.folder / ".git")
        for step, version in (("first commit", self.first), ("second commit", self.second)):
            self.replace(live, version)
            add = run(["git", "add", live.name], self.folder)
            commit = run(["git", *who, "commit", "-q", "-m", step], self.folder)
            self.costs[step].append(
                Cost(add.wall_s + commit.wall_s, max(add.peak_mb, commit.peak_mb), add.cpu_s + commit.cpu_s)
            )
            if step == "first commit":
                first = folder_bytes(self.folder / ".git")
        self.sizes.append(Sizes(first - empty, folder_bytes(self.folder / ".git") - first))

    def again(self) -> None:
        live = self.folder / "memory.vmig.jsonl"
        # Above core.bigFileThreshold git says no more than "binary files differ".
        text = ["-c", "core.bigFileThreshold=4g"]
        self.costs["diff"].append(run(["git", *text, "diff", "HEAD~1", "HEAD"], self.folder))
        live.unlink()
        self.costs["checkout"].append(run(["git", "checkout", "--", live.name], self.folder))


class Restic(Tool):
    """restic with its default settings; each command pays for its key derivation."""

    name = "restic"

    @property
    def secret(self) -> dict[str, str]:
        return {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(self.folder / "repo")}

    def commits(self) -> None:
        secret = self.secret
        data = self.folder / "data"
        data.mkdir()
        run(["restic", "init", "-q"], self.folder, **secret)
        empty = folder_bytes(self.folder / "repo")
        sizes = []
        for step, version in (("first commit", self.first), ("second commit", self.second)):
            self.replace(data / "memory.vmig.jsonl", version)
            command = ["restic", "backup", "-q", "--no-cache", "data"]
            self.costs[step].append(run(command, self.folder, **secret))
            sizes.append(folder_bytes(self.folder / "repo") - empty)
        self.sizes.append(Sizes(sizes[0], sizes[1] - sizes[0]))

    def again(self) -> None:
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        command = ["restic", "restore", "-q", "--no-cache", "latest", "--target", "out"]
        self.costs["checkout"].append(run(command, self.folder, **self.secret))


class Parquet(Tool):
    """The vectors alone, as a Parquet column: byte-stream split and zstd."""

    name = "parquet"

    def commits(self) -> None:
        script = (
            "import sys, orjson, numpy as np, pyarrow as pa, pyarrow.parquet as pq\n"
            "rows = []\n"
            "for line in open(sys.argv[1], 'rb'):\n"
            "    s = line.index(b'\"vector\":[') + 9\n"
            "    rows.append(np.array(orjson.loads(line[s:line.index(b']', s) + 1]), np.float32))\n"
            "m = np.stack(rows); del rows\n"
            "t = pa.table({'v': pa.FixedSizeListArray.from_arrays(pa.array(m.ravel()), m.shape[1])})\n"
            "pq.write_table(t, sys.argv[2], compression='zstd', use_dictionary=False, use_byte_stream_split=True)\n"
        )
        subprocess.run([sys.executable, "-c", script, str(self.second), str(self.target)], check=True)
        self.sizes.append(Sizes(self.target.stat().st_size, 0))

    @property
    def target(self) -> Path:
        return self.folder / "v.parquet"

    def again(self) -> None:
        script = (
            "import sys, time, numpy as np, pyarrow.parquet as pq\n"
            "times = []\n"
            "for _ in range(5):\n"
            "    s = time.perf_counter(); c = pq.read_table(sys.argv[1])['v'].combine_chunks()\n"
            "    a = c.flatten().to_numpy().reshape(-1, c.type.list_size); times.append(time.perf_counter() - s)\n"
            "print(sorted(times)[2])"
        )
        command = [sys.executable, "-c", script, str(self.target)]
        out = subprocess.run(command, check=True, capture_output=True, text=True)
        self.costs["all vectors"].append(Cost(float(out.stdout), 0))


def remember(path: Path, tools: dict[str, Tool], before: dict[str, int]) -> None:
    """Append what was measured since ``before`` (step → how many were known) to a file."""
    with open(path, "a") as file:
        for tool in tools.values():
            for step, costs in tool.costs.items():
                for cost in costs[before.get(f"{tool.name} {step}", 0) :]:
                    file.write(json.dumps([tool.name, step, *cost]) + "\n")
            for sizes in tool.sizes[before.get(tool.name, 0) :]:
                file.write(json.dumps([tool.name, "", *sizes]) + "\n")


def recall(path: Path, tools: dict[str, Tool]) -> dict[str, int]:
    """Take over what earlier runs measured; return how much of each there is."""
    for line in path.read_text().splitlines() if path.exists() else ():
        name, step, *values = json.loads(line)
        if name not in tools:
            continue
        if step:
            tools[name].costs[step].append(Cost(*values))
        else:
            tools[name].sizes.append(Sizes(*values))
    known = {f"{tool.name} {step}": len(costs) for tool in tools.values() for step, costs in tool.costs.items()}
    return known | {tool.name: len(tool.sizes) for tool in tools.values()}


def equal_records(left: Path, right: Path) -> int:
    """Return how many records of two files are equal as JSON; both must hold the same ids."""
    import hashlib

    import orjson

    seen = {}
    for line in open(left, "rb"):  # noqa: SIM115
        value = orjson.loads(line)
        seen[value["id"]] = hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()
    count = 0
    for line in open(right, "rb"):  # noqa: SIM115
        value = orjson.loads(line)
        count += seen.get(value["id"]) == hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()
    return count


TARGETS = {
    ("first commit", "git"): 0.45,
    ("first commit", "restic"): 0.6,
    ("second commit", "git"): 0.25,
    ("second commit", "restic"): 0.4,
    ("diff", "git"): 0.05,
    ("checkout", "git"): 1.0,
    ("all vectors", "parquet"): 1.0,
    ("size", "git"): 0.62,
    ("size", "restic"): 0.68,
}


def report(tools: dict[str, Tool], changed: dict[str, int], records: int, numbers: str) -> None:
    """Print the table as Markdown."""
    vex = tools["vex"]
    assert isinstance(vex, Vex)
    peers = [name for name in tools if name != "vex"]
    print(
        f"\n{records:,} records × 384 dims, numbers {numbers}, {vex.first.stat().st_size / 1e6:,.0f} MB of JSONL; ",
        end="",
    )
    print(f"medians; {os.cpu_count()} cores\n")
    print("| what | runs | vex | " + " | ".join(f"{p} | ratio" for p in peers) + " |")
    print("|---|---|---|" + "---|---|" * len(peers))

    def row(what: str, ours: str, theirs: dict[str, tuple[str, float]], runs: int = 0) -> None:
        cells = [str(runs or len(vex.sizes)), ours]
        for peer in peers:
            shown, ratio = theirs.get(peer, ("", 0.0))
            target = TARGETS.get((what, peer))
            cells.append(f"{shown} | " + (f"{ratio:.3f}" + (f" (≤ {target})" if target else "") if shown else ""))
        print(f"| {what} | " + " | ".join(cells) + " |")

    for step in ("first commit", "second commit", "diff", "diff --stat", "checkout", "all vectors"):
        ours = vex.median(step)
        if ours is None:
            continue
        theirs = {}
        for peer in peers:
            cost = tools[peer].median("diff" if step == "diff --stat" else step)
            if cost is not None:
                theirs[peer] = (f"{cost.wall_s:.2f} s", ours.wall_s / cost.wall_s)
        row(step, f"{ours.wall_s:.2f} s", theirs, len(vex.costs[step]))
    for what, part in (("size", "first"), ("added by the second", "added")):
        # Without a whole run, now or before, nothing was weighed.
        weights = {n: statistics.median(getattr(s, part) for s in t.sizes) / 1e6 for n, t in tools.items() if t.sizes}
        if "vex" in weights:
            mine = weights.pop("vex")
            theirs = {name: (f"{weight:,.1f} MB", mine / weight) for name, weight in weights.items() if weight}
            row(what, f"{mine:,.2f} MB", theirs)
    print(f"\nvectors changed × 0.83: {changed['vectors'] * 0.83 / 1e6:.2f} MB")
    if vex.one_record_bytes:
        print(f"one-record commit: {vex.one_record_bytes:,} bytes")
    for step in ("first commit", "second commit", "diff", "checkout", "one-record commit", "log -1", "help"):
        cost = vex.median(step)
        if cost:
            beside = [f"{name} {other.cpu_s:.2f} s" for name in peers if (other := tools[name].median(step))]
            print(
                f"vex {step}: {cost.wall_s:.2f} s, peak {cost.peak_mb:.0f} MB a process; "
                + ", ".join([f"processor time {cost.cpu_s:.2f} s", *beside])
            )
    equal = equal_records(vex.second, vex.folder / "out.vmig.jsonl")
    print(f"checked out and equal to the source: {equal:,} of {records:,}")


def tell(when: str, tool: Tool) -> None:
    """Say what came out last, while the rest goes on."""
    print(
        f"{when} {tool.name}: " + json.dumps({k: round(v[-1].wall_s, 3) for k, v in tool.costs.items()}),
        file=sys.stderr,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3, help="whole runs, commits included; 0: only rounds")
    parser.add_argument("--rounds", type=int, default=3, help="times that what is quick is done after each run")
    parser.add_argument("--numbers", choices=("short", "exact"), default="exact")
    parser.add_argument("--folder", type=Path, help="where to work (kept); default: a temporary folder")
    parser.add_argument("--peers", default="git,restic,parquet")
    options = parser.parse_args()
    compileall.compile_dir(HERE.parents[1] / "vexrepo", quiet=1)  # as an installer does
    folder = options.folder or Path(tempfile.mkdtemp(prefix="vex-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        first, second, changed = make_data(folder, options.records, options.numbers)
        kinds: dict[str, type[Tool]] = {"git": Git, "restic": Restic, "parquet": Parquet}
        tools: dict[str, Tool] = {"vex": Vex(folder, first, second)}
        for name in options.peers.split(","):
            if name in kinds and (name == "parquet" or shutil.which(name)):
                tools[name] = kinds[name](folder, first, second)
        measured = folder / "measured.jsonl"
        known = recall(measured, tools)
        for turn in range(max(1, options.runs)):
            if options.runs:
                for tool in tools.values():
                    tool.once()
                    tell(f"run {turn + 1}", tool)
            for number in range(options.rounds):
                for tool in tools.values():
                    tool.again()
                    tell(f"round {number + 1}", tool)
            if options.runs:
                for tool in tools.values():
                    tool.last()
        remember(measured, tools, known)
        report(tools, changed, options.records, options.numbers)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
