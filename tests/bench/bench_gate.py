"""What the gate costs: an import of a signed file, beside the same import of it unsigned; proofs; verifying.

    python tests/bench/bench_gate.py [--records 100000] [--runs 3] [--folder DIR]

Every command is a process of its own; the variants take turns; medians are printed with their ratios.  "Parsing" is
the file's lines read by ``orjson.loads``, one after another, in one process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PARSE = "import orjson,sys\nfor line in open(sys.argv[1],'rb'): orjson.loads(line)"


def vex(*arguments: str, cwd: Path) -> float:
    """Run a command that must succeed, and return its seconds."""
    os.sync()
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "vexrepo.cli", *arguments], cwd=cwd, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"vex {' '.join(arguments)} failed: {done.stderr.decode()[-2000:]}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="vex-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["VEX_HOME"] = str(folder / "home")
    os.environ["PYTHONPATH"] = str(HERE.parents[1])
    source = folder / "m.vmig.jsonl"
    if not source.exists():
        make = [sys.executable, str(HERE / "make_memories.py"), "--records", str(given.records), "--seed", "7"]
        subprocess.run([*make, "--out", str(source)], check=True)
    if not (folder / "home" / "keys").exists():
        vex("key", "new", cwd=folder)
    signed = folder / "m.vmig.sig"
    vex("sign", str(source), cwd=folder)
    kept = folder / "kept.sig"
    shutil.move(signed, kept)
    costs: dict[str, list[float]] = {}
    for _ in range(given.runs):
        for name in ("unsigned", "signed"):
            if name == "signed":
                shutil.copyfile(kept, signed)
            (folder / "t.db").unlink(missing_ok=True)
            taken = vex("import", str(source), "--to", "vektor:t.db", cwd=folder)
            costs.setdefault(name, []).append(taken)
        signed.unlink()
        (folder / "t.db").unlink()
        os.environ["VEX_CHECKS_FOREIGN"] = "auto"
        costs.setdefault("checked", []).append(vex("import", str(source), "--to", "vektor:t.db", cwd=folder))
        del os.environ["VEX_CHECKS_FOREIGN"]
        shutil.copyfile(kept, signed)
        costs.setdefault("verify", []).append(vex("verify", str(source), cwd=folder))
        signed.unlink()
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", PARSE, str(source)], check=True)
        costs.setdefault("parse", []).append(time.perf_counter() - start)
    shutil.copyfile(kept, signed)
    cost = {name: statistics.median(taken) for name, taken in costs.items()}
    print(f"{given.records:,} × 384, {source.stat().st_size / 1e6:.0f} MB, median of {given.runs}\n")
    print("| what | s | beside | ratio |\n|---|---|---|---|")
    print(f"| import of an unsigned file | {cost['unsigned']:.2f} | | |")
    dearer, slower = cost["signed"] / cost["unsigned"], cost["verify"] / cost["parse"]
    looked = cost["checked"] / cost["unsigned"]
    print(f"| the same with checks.foreign = auto | {cost['checked']:.2f} | none | {looked:.2f} |")
    print(f"| import of a signed file | {cost['signed']:.2f} | unsigned | {dearer:.2f} (≤ 1.2) |")
    print(f"| vex verify | {cost['verify']:.2f} | parsing, {cost['parse']:.2f} s | {slower:.2f} (≤ 1.5) |")
    size = prove_one(folder, source)
    print(f"| proof of one memory | | 64 kB | {size:,} bytes |")
    if given.folder is None:
        shutil.rmtree(folder)


def prove_one(folder: Path, source: Path) -> int:
    """Return the bytes of the proof of the file's first memory."""
    import json

    place = folder / "repository"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with source.open("rb") as lines:
        namespace = json.loads(lines.readline())
    vex("init", "--store", str(source), cwd=place)
    vex("commit", "-m", "all", cwd=place)
    from vexrepo.history.proving import Prover
    from vexrepo.objects.record import key_of
    from vexrepo.repository import Repository, Surroundings
    from vexrepo.repository.restoring import Keys

    repository = Repository.discover(place, Surroundings(now_us=lambda: 0))
    prover = Prover(repository.objects, repository.resolve("HEAD"), Keys(keys=frozenset([key_of(namespace)])))
    assert len(list(prover.records())) == 1
    return len(prover.proof().encode())


if __name__ == "__main__":
    main()
