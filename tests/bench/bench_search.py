"""What a search costs beside a plain scan with Python and numpy, in one run.

    python tests/bench/bench_search.py [--records 100000] [--dims 384] [--runs 3] [--folder DIR]

Makes a file of invented memories, commits it, and searches it in process: by a rare word, a frequent one and a phrase,
in all history, and by vector.  The plain way parses every body as JSON and looks for the words in the lower-cased text
(no scores, no other scripts); for vectors it reads a .npy of float32 rows and multiplies.  The two take turns; CPU
seconds (of all threads) of the best run are printed, as one line of Markdown a search, with the ratio to the plain way.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from vexrepo.history.walk import LeafReader, iter_leaves
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.searching import search_history, search_text, search_vector

HERE = Path(__file__).parent
QUERIES = {"a rare word": "umlaut", "a frequent word": "deploy", "a phrase and a word": '"backup window" hardware'}


def cpu_s(action: Callable[[], Any]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def plain_text(repository: Repository, query: str) -> list[str]:
    """Return the ids of the memories whose text or tags have all parts of a query, in the obvious way."""
    parts = [part.strip() for part in query.lower().split('"') if part.strip()]
    root = repository.records_root(repository.resolve("HEAD"))
    assert root is not None
    found = []
    for child in iter_leaves(repository.objects, root):
        for body in LeafReader(repository.objects, child.id).bodies:
            value = orjson.loads(body)
            text = f"{value['text']} {value['metadata']['tags']}".lower()
            if any(part in text for part in parts):
                found.append(value["id"])
    return found


def plain_vector(path: Path, vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values = np.load(path)
    scores = values @ vector / np.linalg.norm(values, axis=1)
    return np.argsort(-scores)[:10]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vex-bench-", dir=options.folder) as scratch:
        folder = Path(scratch)
        data = folder / "agent.vmig.jsonl"
        script = [sys.executable, str(HERE / "make_memories.py"), "--records", str(options.records), "--seed", "7"]
        subprocess.run([*script, "--dims", str(options.dims), "--digits", "6", "--out", str(data)], check=True)
        clock = itertools.count(1_790_000_000_000_000, 1_000_000)
        repository = Repository.init(folder, Surroundings(clock.__next__))
        commit = repository.commit("all", store=Address("jsonl", str(data))).id
        assert commit is not None
        vectors = folder / "vectors.npy"
        np.save(vectors, repository.vectors(commit).values)
        vector = np.load(vectors)[0]
        rows: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = []
        for name, query in QUERIES.items():
            rows.append(
                (name, lambda q=query: search_text(repository, commit, q), lambda q=query: plain_text(repository, q))
            )
        rows.append(
            (
                "a rare word in all history",
                lambda: search_history(repository, commit, "umlaut"),
                lambda: plain_text(repository, "umlaut"),
            )
        )
        rows.append(
            (
                f"a vector of {options.dims} dims",
                lambda: search_vector(repository, commit, vector.tolist()),
                lambda: plain_vector(vectors, vector),
            )
        )
        print(f"| {options.records:,} memories | vex search, CPU s | plain scan, CPU s | ratio |")
        print("|---|---|---|---|")
        for name, ours, theirs in rows:
            costs = [(cpu_s(ours), cpu_s(theirs)) for _ in range(options.runs)]
            mine, other = (min(column) for column in zip(*costs, strict=True))
            print(f"| {name} | {mine:.2f} | {other:.2f} | {mine / other:.2f} |", flush=True)


if __name__ == "__main__":
    main()
