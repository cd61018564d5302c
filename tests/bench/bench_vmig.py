"""What vmig files cost: checked, signed, verified, moved into and out of VEKTOR, beside the original tool, in one run.

    python tests/bench/bench_vmig.py [--records 100000] [--signed 50000] [--runs 3] [--original PATH-TO-vex]
                                     [--only validate,sign,verify,import,export] [--folder DIR]

The original is the npm package @vektormemory/vex 0.8.8.  Without ``--original`` it is installed with npm into the
folder of the run, where Node is there; its SQLite driver is compiled or fetched by its own install script.

Every command is a process of its own, timed from start to end, its output thrown away; the two tools take turns, and
the median counts.  Before each command the disk is synced, so that nobody pays for what was written before.

The data: invented memories with 384-dimensional float32 embeddings, each number printed as the double it is.  The
original cannot sign more than about 60,000 of them (it makes one string of the file), so signing and verifying are
measured with ``--signed``.  Its import leaves the graph of edges out (``--skip-graph``: with it the time grows with the
square of the records); ours builds it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from measure import Cost, median, run

HERE = Path(__file__).parent
PACKAGE = "@vektormemory/vex@0.8.8"
STEPS = ("validate", "sign", "verify", "import", "export")
TARGETS = {"validate": 1.5, "sign": 5.0, "verify": 5.0, "import": 3.0, "export": 2.0}
PEAK_MB = 250


def make_data(folder: Path, records: int, signed: int) -> tuple[Path, Path]:
    """Write the file of all records and the one of its first records, which will be signed."""
    whole, part = folder / f"whole-{records}.vmig.jsonl", folder / f"part-{signed}.vmig.jsonl"
    script = [sys.executable, str(HERE / "make_memories.py"), "--dims", "384", "--seed", "7"]
    for path, count in ((whole, records), (part, signed)):
        if not path.exists():
            subprocess.run([*script, "--records", str(count), "--out", str(path)], check=True)
    return whole, part


def find_original(given: Path | None, folder: Path) -> list[str] | None:
    """Return the command of the original tool, installed if need be; None where it cannot be."""
    if given is not None:
        return [str(given)]
    installed = folder / "npm" / "node_modules" / ".bin" / "vex"
    if not installed.exists():
        if not (shutil.which("node") and shutil.which("npm")):
            return None
        quiet = ["--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(["npm", "install", *quiet, "--prefix", str(folder / "npm"), PACKAGE], check=True)
    return [str(installed)]


class Tool:
    """One of the two tools in a folder of its own, with its own copy of what it signs."""

    name = ""
    command: list[str]

    def __init__(self, folder: Path, whole: Path, part: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.whole = whole
        self.part = self.folder / "memory.vmig.jsonl"
        shutil.copyfile(part, self.part)
        self.signature = self.folder / "memory.vmig.sig"
        self.database = self.folder / "agent.db"
        self.exported = self.folder / "exported.vmig.jsonl"
        self.costs: dict[str, list[Cost]] = defaultdict(list)

    def once(self, step: str, source: Path) -> None:
        """Do one step; ``source`` is the database to export from."""
        for path in {"sign": [self.signature], "import": self.databases(), "export": [self.exported]}.get(step, []):
            path.unlink(missing_ok=True)
        self.costs[step].append(self.do(step, source))

    def databases(self) -> list[Path]:
        """Return the files of the database imported into."""
        return [Path(f"{self.database}{ending}") for ending in ("", "-wal", "-shm")]

    def do(self, step: str, source: Path) -> Cost:
        """Run the command of a step."""
        if step == "validate":
            return self.run("validate", str(self.whole))
        if step == "import":
            return self.run("import", "--from", str(self.whole), "--to", "vektor", "--db", str(self.database))
        assert step == "export"
        return self.run("export", "--from", "vektor", "--db", str(source), "--output", str(self.exported))

    def run(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> Cost:
        """Run the tool."""
        return run([*self.command, *arguments], self.folder, allowed=allowed, VEX_HOME=str(self.folder / "home"))


class Ours(Tool):
    """vexrepo, through its command line."""

    name = "ours"
    command = [sys.executable, "-m", "vexrepo.cli"]  # noqa: RUF012

    def do(self, step: str, source: Path) -> Cost:
        key = self.folder / "bench.vmig.key"
        if step == "sign":
            if not key.exists():
                key.write_text("hex:" + secrets.token_hex(32))
                key.chmod(0o600)
            return self.run("sign", str(self.part), "--key", str(key))
        if step == "verify":
            public = json.loads(self.signature.read_bytes())["public_key"]
            return self.run("verify", str(self.part), "--public-key", public)
        return super().do(step, source)


class Original(Tool):
    """The npm package."""

    name = "original"

    def do(self, step: str, source: Path) -> Cost:
        if step == "sign":
            cost = self.run("sign", str(self.part), allowed=(0, 1))  # it ends with 1 when it has done it
            if not self.signature.exists():
                raise SystemExit("the original tool wrote no signature")
            return cost
        if step == "verify":
            return self.run("verify", str(self.part))
        if step == "import":
            return self.run(
                "import", "--from", str(self.whole), "--to", "vektor", "--db", str(self.database), "--skip-graph"
            )
        return super().do(step, source)


def report(ours: Tool, theirs: Tool, steps: list[str], options: argparse.Namespace) -> None:
    """Print the table as Markdown."""
    size = ours.whole.stat().st_size / 1e6
    print(
        f"\n{options.records:,} records × 384 dims, {size:,.0f} MB of JSONL (sign and verify: {options.signed:,}); "
        f"median of {options.runs} interleaved runs; {os.cpu_count()} cores; memory of all processes of a command\n"
    )
    print("| what | vexrepo | original | times as fast | processor time | memory | original's memory |")
    print("|---|---|---|---|---|---|---|")
    for step in steps:
        mine, peer = median(ours.costs[step]), median(theirs.costs[step])
        ratio, target = peer.wall_s / mine.wall_s, TARGETS[step]
        missed = "" if ratio >= target else ", **missed**"
        memory = f"{mine.peak_mb:.0f} MB" + ("" if mine.peak_mb < PEAK_MB else f" (< {PEAK_MB}, **missed**)")
        print(
            f"| {step} | {mine.wall_s:.2f} s | {peer.wall_s:.2f} s | {ratio:.1f} (≥ {target:g}{missed}) | "
            f"{mine.cpu_s:.2f} s to {peer.cpu_s:.2f} s | {memory} | {peer.peak_mb:.0f} MB |"
        )


def check(ours: Tool, theirs: Tool, steps: list[str]) -> None:
    """Print what shows that both did the same work."""
    if "export" in steps:
        counts = [sum(1 for line in open(tool.exported, "rb") if line.strip()) for tool in (ours, theirs)]  # noqa: SIM115
        print(f"\nrecords exported from one database: {counts[0]:,} by us, {counts[1]:,} by the original")
    if "import" in steps:
        import sqlite3

        for tool in (ours, theirs):
            with sqlite3.connect(tool.database) as database:
                tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                counts = [
                    database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] if table in tables else 0
                    for table in ("memories", "graph_edges")
                ]
            print(f"imported by {tool.name}: {counts[0]:,} memories, {counts[1]:,} edges")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--signed", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--original", type=Path, help="the original's command, if it is installed")
    parser.add_argument("--only", default=",".join(STEPS), help="steps, separated by commas")
    parser.add_argument("--folder", type=Path, help="where to work (kept); default: a temporary folder")
    options = parser.parse_args()
    steps = [step for step in STEPS if step in options.only.split(",")]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="vex-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = find_original(options.original, folder)
        if found is None:
            print("nothing to compare with: the original needs Node and npm, or name an installed one with --original")
            return
        Original.command = found
        whole, part = make_data(folder, options.records, options.signed)
        ours, theirs = Ours(folder, whole, part), Original(folder, whole, part)
        if "verify" in steps and "sign" not in steps:
            for tool in (ours, theirs):
                tool.do("sign", whole)
        if "export" in steps and not theirs.database.exists():
            theirs.do("import", whole)
        for turn in range(options.runs):
            for step in steps:
                for tool in (ours, theirs):
                    tool.once(step, theirs.database)
                    cost = tool.costs[step][-1]
                    line = f"run {turn + 1} {step} {tool.name}: {cost.wall_s:.2f} s, {cost.peak_mb:.0f} MB"
                    print(line, file=sys.stderr)
        report(ours, theirs, steps, options)
        check(ours, theirs, steps)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
