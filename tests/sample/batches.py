"""The labelled batches: what comes in together, of which a person said whether ``drift`` or ``schema`` should find it.

Vectors are those of the demo's memory, 300 sentence embeddings (all-MiniLM-L6-v2) in five topics.  What is done to them
is drawn with the number of the batch as seed, so that a batch is the same each time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

import numpy as np
import orjson
import zstandard

import vexrepo.demo
from vexrepo.hooks.check import Change
from vexrepo.hooks.surrounding import NOTHING_KNOWN, Shape, Surrounding
from vexrepo.objects import record, vector
from vexrepo.objects.record import Record, split_key

Rows = np.ndarray[Any, np.dtype[np.float64]]
SEEDS: Final = 4
MODEL: Final = "all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that come in together; ``check`` should find something in them ("" for none)."""

    check: str
    kind: str
    changes: list[Change] = field(repr=False)
    around: Surrounding = field(default=NOTHING_KNOWN, repr=False)


@functools.cache
def _embeddings() -> tuple[Rows, tuple[str, ...]]:
    packed = files(vexrepo.demo).joinpath("memory.vmig.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(packed).read().splitlines()
    items = [record.from_json(orjson.loads(line)) for line in lines]
    rows = np.stack([vector.floats(*item.vectors[0]) for item in items]).astype(np.float64)
    return rows, tuple(split_key(item.key)[0] for item in items)


def _memory(identifier: str, row: Sequence[float] | Rows | None = None, **members: Any) -> Record:
    value = {"id": identifier, "text": f"a note called {identifier}", "namespace": "n", "model": MODEL, **members}
    if row is not None:
        value["vector"] = [float(np.float32(each)) for each in row]
    return record.from_json({name: each for name, each in value.items() if each is not ...})


def _learned(items: Sequence[Record]) -> list[Change]:
    return [Change(item.key, None, item) for item in items]


def _knowing(rows: Rows, model: str | None = MODEL) -> Surrounding:
    shape = Shape("", "dense", model, rows.shape[1])
    return Surrounding(len(rows), {"n": len(rows)}, {"n": {shape: len(rows)}}, lambda namespace, of, most: rows[:most])


def _split(random: np.random.Generator, size: int) -> tuple[Rows, Rows]:
    """Return what is known and as many others as are new."""
    rows, _ = _embeddings()
    mixed = rows[random.permutation(len(rows))]
    return mixed[size:], mixed[:size]


def _turned(random: np.random.Generator, rows: Rows) -> Rows:
    """Return rows as another model of the same dims might give them."""
    turn, _ = np.linalg.qr(random.standard_normal((rows.shape[1], rows.shape[1])))
    return rows @ turn


def _unit(rows: Rows) -> Rows:
    found: Rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return found


Make = Callable[[np.random.Generator, Rows, Rows], Rows]  # from what is known, and what is new


def _hub(random: np.random.Generator, known: Rows, new: Rows) -> Rows:
    new[len(new) // 2] = _unit(known.mean(axis=0) + random.normal(0, 0.002, known.shape[1]))
    return new


def _one_long(random: np.random.Generator, known: Rows, new: Rows) -> Rows:
    new[0] *= 8
    return new


def _half(random: np.random.Generator, known: Rows, new: Rows) -> Rows:
    new[::2] = _turned(random, new[::2])
    return new


# What is done to new vectors, and for batches of which sizes.
_POISONED: Final[dict[str, tuple[tuple[int, ...], Make]]] = {
    "another model": ((8, 20, 60), lambda random, known, new: _turned(random, new)),
    "half of another model": ((20, 60), _half),
    "members in another order": ((20,), lambda random, known, new: new[:, random.permutation(new.shape[1])]),
    "noise": ((8, 30), lambda random, known, new: _unit(random.standard_normal(new.shape))),
    "three times as long": ((20,), lambda random, known, new: 3 * new),
    "a fifth as long": ((20,), lambda random, known, new: new / 5),
    "one that is eight times as long": ((20,), _one_long),
    "one that is near to all": ((10, 40), _hub),
    "one vector for all texts": ((12,), lambda random, known, new: np.repeat(new[:1], len(new), axis=0)),
    "zeros": ((8,), lambda random, known, new: np.zeros_like(new)),
    "one number again and again": ((8,), lambda random, known, new: np.full_like(new, 0.05)),
    "cut to other dims": ((20,), lambda random, known, new: _unit(new[:, :256])),
}
_ORDINARY: Final[dict[str, tuple[tuple[int, ...], Make]]] = {
    "more of the same": ((3, 8, 20, 60), lambda random, known, new: new),
    "near copies of what is known": (
        (20,),
        lambda random, known, new: _unit(known[: len(new)] + random.normal(0, 0.005, new.shape)),
    ),
    "rounded to half precision": ((20,), lambda random, known, new: new.astype("<f2").astype(np.float64)),
    "quantised to bytes": ((20,), lambda random, known, new: np.round(new * 400) / 400),
    "a little longer": ((20,), lambda random, known, new: new * 1.02),
}  # fmt: skip


def _vectors() -> Iterator[Batch]:
    for made, check in ((_POISONED, "drift"), (_ORDINARY, "")):
        for kind, (sizes, make) in made.items():
            for size in sizes:
                for seed in range(SEEDS):
                    random = np.random.default_rng([size, seed])
                    known, new = _split(random, size)
                    rows = make(random, known, new.copy())
                    items = [_memory(f"new{at}", row) for at, row in enumerate(rows)]
                    yield Batch(check, kind, _learned(items), _knowing(known))


def _topics() -> Iterator[Batch]:
    rows, topics = _embeddings()
    for topic in sorted(set(topics)):
        is_new = np.array([each == topic for each in topics])
        items = [_memory(f"new{at}", row) for at, row in enumerate(rows[is_new])]
        yield Batch("", "a new topic", _learned(items), _knowing(rows[~is_new]))
        yield Batch("", "the first of a memory", _learned(items))


def _shares() -> Iterator[Batch]:
    items = [_memory(f"m{at:03}", importance=1) for at in range(200)]
    around = Surrounding(len(items), {"n": len(items)})
    for rewritten, forgotten in ((120, 0), (200, 0), (0, 110), (0, 200), (60, 60), (101, 0), (0, 101)):
        yield Batch("drift", "most of it at once", _changes(items, rewritten, forgotten), around)
    for rewritten, forgotten in ((1, 0), (0, 1), (60, 0), (0, 60), (50, 49), (100, 0)):
        yield Batch("", "some of it", _changes(items, rewritten, forgotten), around)
    counted = [Change(item.key, item, record.from_json({**item.to_json(), "importance": 4})) for item in items]
    yield Batch("", "counters of all", counted, around)
    few = items[:12]
    yield Batch("", "all of a few", _changes(few, 0, 12), Surrounding(12, {"n": 12}))


def _changes(items: Sequence[Record], rewritten: int, forgotten: int) -> list[Change]:
    changed = [(item, record.from_json({**item.to_json(), "text": "other words"})) for item in items[:rewritten]]
    gone = items[rewritten : rewritten + forgotten]
    return [*(Change(old.key, old, new) for old, new in changed), *(Change(item.key, item, None) for item in gone)]


# Members that break the rules of vmig, and such as do not.
_BROKEN: Final[dict[str, tuple[Any, ...]]] = {
    "model": (3, ["m"]),
    "created_at": ("yesterday", "2026-13-01", True, "25:00", 10**17),
    "metadata": ("none", 7, ["a"]),
    "modality": (None, 4),
    "text": (9, {"a": "b"}),
}
_ALLOWED: Final[dict[str, tuple[Any, ...]]] = {
    "model": (None, "", "text-embedding-3-small", "模型"),
    "created_at": (None, "2026-01-31", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00.123456+02:00"),
    "metadata": (None, {}, {"importance": 3, "tags": ["a", "b"]}, {"source": {"path": "/notes"}}),
    "namespace": ("", "a", "über/uns", "x" * 200),
    "text": ("", "a", "\u0000", "שלום", "x" * 20_000),
    "note": (1, None, "of another program"),
}


def _members() -> Iterator[Batch]:
    for made, check in ((_BROKEN, "schema"), (_ALLOWED, "")):
        for name, values in made.items():
            for value in values:
                item = _memory("m", [0.5, 0.25, 1.0, 2.0], **{"model": ..., "vex_version": "1.0.0", name: value})
                yield Batch(check, f"{name} as it {'should not' if check else 'may'} be", _learned([item]))


def _misfits() -> Iterator[Batch]:
    rows, _ = _embeddings()
    known = _knowing(rows[:100])
    for at, dims in enumerate((1, 128, 383, 385, 768, 1536)):
        odd = [_memory(f"odd{each}", np.full(dims, 0.1)) for each in range(1 + at)]
        usual = [_memory(f"usual{each}", row) for each, row in enumerate(rows[100 : 100 + 3 * at])]
        yield Batch("schema", "other dims of one model", _learned([*usual, *odd]), known)
        other = [_memory(f"odd{each}", np.full(dims, 0.1), model="another") for each in range(1 + at)]
        yield Batch("schema", "vectors of a second model", _learned([*usual, *other]), known)
        elsewhere = [_memory(f"odd{each}", np.full(dims, 0.1), namespace="p") for each in range(1 + at)]
        yield Batch("schema", "other dims of a model known elsewhere", _learned(elsewhere), known)
        mixed = [_memory("first", rows[0]), _memory("second", np.full(dims, 0.1))]
        yield Batch("schema", "two dims in a new namespace", _learned(mixed))
        yield Batch("", "usual ones", _learned(usual or [_memory("usual", rows[120])]), known)
        unnamed = [_memory(f"new{each}", row, model=...) for each, row in enumerate(rows[100 : 101 + at])]
        yield Batch("", "a model that is not named", _learned(unnamed), known)
        others = np.random.default_rng(dims).standard_normal((1 + at, dims))
        apart = [_memory(f"new{each}", row, model="another", namespace="p") for each, row in enumerate(others)]
        yield Batch("", "another model in a namespace of its own", _learned(apart), known)
        texts = [_memory(f"new{each}") for each in range(1 + at)]
        yield Batch("", "without vectors", _learned(texts), known)


@functools.cache
def read_batches() -> tuple[Batch, ...]:
    """Return all labelled batches."""
    return tuple(each for make in (_vectors, _topics, _shares, _members, _misfits) for each in make())
