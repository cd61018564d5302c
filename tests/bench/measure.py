"""Runs a command as a process of its own and says what it cost: seconds from start to end, and memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# A process starts with its parent's peak in its account, so this small one is put between.  It adds up, every 50 ms,
# what the command and the processes below it hold (pages that several share are divided among them).
RUNNER = """
import resource, subprocess, sys, time

def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(each) for each in file.read().split()]
    except OSError:
        return []

def held(pid):
    found = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            found = sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except OSError:
        pass
    return found + sum(held(each) for each in children(pid))

peak, start = 0, time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
while True:
    try:
        code = process.wait(0.05)
        break
    except subprocess.TimeoutExpired:
        peak = max(peak, held(process.pid))
wall, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(wall, max(peak, used.ru_maxrss), used.ru_utime + used.ru_stime, code)
"""


class Cost(NamedTuple):
    """Seconds from start to end, memory of all its processes together at the worst moment, processor seconds."""

    wall_s: float
    peak_mb: float
    cpu_s: float


def run(command: list[str], cwd: Path, *, allowed: Iterable[int] = (0,), **environment: str) -> Cost:
    """Run a command to its end, its output thrown away.  What others wrote before is brought to the disk first."""
    os.sync()
    done = subprocess.run(
        [sys.executable, "-S", "-c", RUNNER, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    wall, peak, cpu, code = done.stdout.split()
    if int(code) not in allowed:
        raise SystemExit(f"{' '.join(command)} ended with {int(code)}: {done.stderr.decode()[-2000:]}")
    return Cost(float(wall), float(peak) / 1024, float(cpu))


def median(costs: list[Cost]) -> Cost:
    """Return the median seconds and the largest memory of some runs."""
    return Cost(
        statistics.median(cost.wall_s for cost in costs),
        max(cost.peak_mb for cost in costs),
        statistics.median(cost.cpu_s for cost in costs),
    )
