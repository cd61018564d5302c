"""Strategies and small makers that the law tests share."""

import contextlib
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from vexrepo.errors import VexError
from vexrepo.history import build
from vexrepo.history.build import Edit
from vexrepo.objects import record
from vexrepo.objects.record import Record
from vexrepo.objects.snapshot import TreeRoot
from vexrepo.storage.files import Files
from vexrepo.storage.store import ObjectStore

T = TypeVar("T")
BIG = 2**53 - 1
# Where fast and slow encoders part: UTF-16 order, escapes, quotes, and characters of every length in UTF-8.
TRICKY_CHARACTERS = '"\\/\b\f\n\r\t\0\x1f\x7f aé߿ࠀ潮\ud7ff\ue000\ufb33\uffff\U00010000🙂\U0010ffff'
tricky_text = st.text(st.sampled_from(TRICKY_CHARACTERS), max_size=6)
texts = st.one_of(st.text(max_size=12), tricky_text)


def attempt(action: Callable[[], T]) -> tuple[T | None, str]:
    """What an action returns and "", or None and the code with which it is refused; other errors pass."""
    try:
        return action(), ""
    except VexError as error:
        return None, error.code


class QuickFiles(Files):
    """Files without waiting for the disk: these tests are about content."""

    def sync(self, file: IO[bytes], path: Path) -> None:
        file.flush()

    def sync_folder(self, path: Path) -> None:
        pass


def doubles_of_bits(bits: int) -> float:
    found: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return found


def bits_of(number: float) -> bytes:
    return struct.pack("<d", number)


# Every finite double has the same chance, not only the round ones that ``st.floats`` likes; both are wanted.
any_double = st.one_of(
    st.integers(0, 2**64 - 1).map(doubles_of_bits).filter(np.isfinite),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 5e-324, 1e308, 1.7976931348623157e308, 1e16, 1e21, 1e-5, 1e-6, 1e-7, 2.0**53, 2.0**64]),
)
json_integers = st.one_of(st.integers(-BIG, BIG), st.sampled_from([0, -1, BIG, -BIG]))


def json_values(leaves: st.SearchStrategy[Any] | None = None, size: int = 12) -> st.SearchStrategy[Any]:
    if leaves is None:
        leaves = st.one_of(st.none(), st.booleans(), json_integers, any_double, texts)
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=size
    )


def float32s(**options: Any) -> st.SearchStrategy[float]:
    return st.floats(width=32, allow_nan=False, allow_infinity=False, **options)


def shortest_decimal(number: float) -> float:
    """The double that a float32's shortest decimal is read as: what most APIs print."""
    return float(str(np.float32(number)))


# -- records -----------------------------------------------------------------------------------------------------

MODELS = ("m", "n")
sparse_values = st.lists(st.tuples(st.integers(0, 9), float32s()), max_size=2).map(
    lambda pairs: {"indices": [index for index, _ in pairs], "values": [number for _, number in pairs]}
)


@st.composite
def record_values(draw: st.DrawFn, identifiers: st.SearchStrategy[str] | None = None) -> dict[str, Any]:
    """A record as a JSON object, of few keys, namespaces and spaces, so that collisions are common."""
    value: dict[str, Any] = {"id": draw(identifiers or st.text("abcé", min_size=1, max_size=3))}
    if draw(st.booleans()):
        value["namespace"] = draw(st.sampled_from(["", "a", "b", "a\0", "é"]))
    if draw(st.booleans()):
        value["text"] = draw(texts)
    if draw(st.integers(0, 3)):
        kind = draw(st.integers(0, 6))
        dims = draw(st.integers(1, 3))
        numbers = st.lists(float32s(), min_size=dims, max_size=dims)
        if kind < 3:
            value["vector"] = draw(numbers)
        elif kind == 3:
            value["vector"] = draw(st.lists(any_double, min_size=dims, max_size=dims))
        elif kind == 4:
            value["vectors"] = {name: draw(numbers) for name in draw(st.sets(st.sampled_from("xy"), min_size=1))}
        elif kind == 5:
            value["vector"] = draw(sparse_values)
        else:
            value["vector"] = [draw(numbers) for _ in range(draw(st.integers(1, 2)))]
        if draw(st.booleans()):
            value["model"] = draw(st.sampled_from(MODELS))
    if draw(st.booleans()):
        value["metadata"] = draw(st.dictionaries(texts, st.one_of(json_integers, texts, any_double), max_size=2))
    return value


def a_record(value: dict[str, Any]) -> Record:
    return record.from_json(value)


records = record_values().map(a_record)


def plain(number: int, version: int = 0, **more: Any) -> Record:
    """A small record; ``number`` decides the key, ``version`` the content."""
    return record.from_json(
        {
            "id": f"m{number:05}",
            "text": f"note {number} as of {version}",
            "vector": [number + 0.5, float(version)],
            **more,
        }
    )


# -- trees -------------------------------------------------------------------------------------------------------


class Forest:
    """An object store in a scratch folder, and trees in it."""

    def __init__(self, folder: Path, leaf_records: int = 16) -> None:
        self.store = ObjectStore(folder / "packs", QuickFiles())
        self.leaf_records = leaf_records

    def edit(self, base: TreeRoot | None, edits: dict[bytes, Record | None], **options: Any) -> TreeRoot:
        """The tree of ``base`` with ``edits`` applied, in one pack."""
        with self.store.writer() as writer:
            ordered = [Edit(key, edits[key]) for key in sorted(edits)]
            root = build.edit_tree(self.store, writer, base, iter(ordered), self.leaf_records, **options)
            writer.finish()
        return root

    def build(self, contents: dict[bytes, Record]) -> TreeRoot:
        """The tree of some records, made from nothing."""
        return self.edit(None, dict(contents))


@contextlib.contextmanager
def forest(leaf_records: int = 16) -> Iterator[Forest]:
    with tempfile.TemporaryDirectory(prefix="vex-test-") as folder:
        yield Forest(Path(folder), leaf_records)
