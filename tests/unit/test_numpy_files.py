"""NumPy files keep the contract; those of others are read whole, hostile ones refused, pickles never loaded."""

import contextlib
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import folder, memory, vex  # noqa: F401 - fixtures
from tests.refusals import refused
from vexrepo.errors import InvalidData, VexError
from vexrepo.formats.vmig import format_record
from vexrepo.objects.record import from_json
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.npy import MAGIC, Header, encode_header, read_header
from vexrepo.remotes.stores.numpy_file import NumpyStore
from vexrepo.testing.stores import StoreContract, plan_between


class TestNpz(StoreContract):
    name = "memory.npz"

    def open_store(self, tmp_path: Path) -> Store:
        return NumpyStore.open(Address("numpy", str(tmp_path / self.name)), create=True)


class TestNpy(TestNpz):
    name = "memory.npy"


def read(path: Path, on_problem: Any = None, **options: str) -> list[dict[str, Any]]:
    with NumpyStore.open(Address("numpy", str(path), options)) as store:
        return [json.loads(format_record(each.record)) for batch in store.scan(on_problem) for each in batch]


def write(path: Path, *values: dict[str, Any]) -> None:
    with NumpyStore.open(Address("numpy", str(path)), create=True) as store:
        store.write(plan_between([], [from_json(dict(value)) for value in values]))


VALUES: list[dict[str, Any]] = [
    {"id": "a", "text": "x", "vector": [1, 0.5], "namespace": "n", "created_at": 5, "metadata": {"k": [1]}},
    {"id": "b", "text": "no vector", "namespace": "n"},
    {"id": "c", "vector": [3, 4], "namespace": "n"},
]


def test_ours_are_what_others_expect(tmp_path: Path) -> None:
    write(tmp_path / "m.npz", *VALUES)
    write(tmp_path / "m.npy", *VALUES)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as found:
        matrix, lines = found["vectors"], found["records.jsonl"]
    assert matrix.dtype == np.float32 and matrix[[0, 2]].tolist() == [[1, 0.5], [3, 4]] and np.isnan(matrix[1]).all()
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [row["id"] for row in rows] == ["a", "b", "c"] and rows[0] == {
        "id": "a", "text": "x", "namespace": "n", "created_at": 5, "metadata": {"k": [1]}
    }  # fmt: skip
    assert np.array_equal(np.load(tmp_path / "m.npy", mmap_mode="r"), matrix, equal_nan=True)
    assert (tmp_path / "m.npy.jsonl").read_bytes() == lines
    write(tmp_path / "again.npz", *VALUES)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_others_are_read_whole(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "others.npz"
    save(
        path,
        embeddings=np.asfortranarray([[0.1, 2], [np.nan, np.nan], [1, 2]]),
        title=np.array([[1, 2], [3, 4], [5, 6]], np.int8),
        ids=np.array([7, 8, 9]),
        texts=np.array(["high tide", "潮位", ""]),
        at=np.array(["2026-01-02T03:04:05", "NaT", "2026-01-02"], "M8[s]"),
        score=np.array([0.5, np.nan, 2], ">f4"),
        raw=np.array([b"\xff", b"ok", b""]),
        vocabulary=np.array(["a", "b"]),
    )
    notices: list[str] = []
    with NumpyStore.open(Address("numpy", str(path), reach=Reach(notice=notices.append))) as store:
        assert store.describe().count == 3
        first, second, third = (json.loads(format_record(each.record)) for batch in store.scan() for each in batch)
    assert (first["id"], first["text"], first["vector"], first["vectors"]) == (
        "7",
        "high tide",
        [0.1, 2],
        {"title": [1, 2]},
    )
    assert first["metadata"] == {"at": "2026-01-02T03:04:05", "score": 0.5, "raw": {"$blob": "/w=="}}
    assert second["text"] == "潮位" and "vector" not in second and second["metadata"] == {"raw": "ok"}
    assert third["metadata"]["score"] == 2 and "vocabulary" in notices[0]
    refused(lambda: NumpyStore.open(Address("numpy", str(path)), create=True), "store-schema", "another file")


def test_a_matrix_with_lines_of_others_beside_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "e.npy"
    np.save(path, np.array([[1, 2], [3, 4]], np.float16))
    refused(lambda: read(path), "store-schema", "e.npy.jsonl", "at least its id")
    (tmp_path / "e.npy.jsonl").write_text('{"id":1,"page_content":"x","page":3}\n{"id":null}\n')
    problems: list[InvalidData] = []
    (found,) = read(path, problems.append)
    assert (found["id"], found["text"], found["vector"], found["metadata"]) == ("1", "x", [1, 2], {"page": 3})
    assert [each.code for each in problems] == ["id-missing"] and "row 2" in str(problems[0])
    assert read(path, problems.append, text="other")[0]["metadata"] == {"page": 3, "page_content": "x"}
    refused(lambda: NumpyStore.open(Address("numpy", str(path)), create=True), "store-schema")
    for lines in ('{"id":1}\n', '{"id":1}\n' * 3):
        (tmp_path / "e.npy.jsonl").write_text(lines)
        refused(lambda: read(path), "store-corrupt", "2 rows", "belong together")
    for lines in ('{"id":1}\n[]\n', '{"id":1}\n{"id\n'):
        (tmp_path / "e.npy.jsonl").write_text(lines)
        refused(lambda: read(path), "store-corrupt", "line 2")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for name, value in (("a.npz", {"vectors": np.zeros((1, 2)), "ids": np.array([Bomb(trap)], object)}),):
        np.savez(tmp_path / name, **value, allow_pickle=True)  # type: ignore[arg-type]
        refused(lambda name=name: read(tmp_path / name), "store-schema", "ids", "pickled", "dtype=str")  # type: ignore[misc]
    np.save(tmp_path / "b.npy", np.array([Bomb(trap)], object), allow_pickle=True)
    (tmp_path / "b.npy.jsonl").write_text("{}\n")
    refused(lambda: read(tmp_path / "b.npy"), "store-schema", "pickled")
    assert not trap.exists()


def header(text: str, version: int = 1) -> bytes:
    return MAGIC + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text.encode("latin-1")


HOSTILE = {
    "magic": b"PK\3\4" + bytes(60),
    "version": header("{}", 1).replace(b"\1\0", b"\11\0", 1),
    "short": MAGIC,
    "long": MAGIC + b"\2\0" + b"\xff\xff\xff\x7f" + bytes(60),
    "cut": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)")[:-10],
    "code": header("__import__('os').system('true')     "),
    "nested": header("(" * 5000),
    "keys": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), 'x': 1}"),
    "negative": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2)}") + bytes(16),
    "huge": header("{'descr': '<f4', 'fortran_order': False, 'shape': (281474976710655, 2)}") + bytes(16),
    "overflow": header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999999999999999999)}") + bytes(16),
    "bool": header("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4)}") + bytes(16),
    "tail": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}") + bytes(17),
    "less": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}") + bytes(15),
}
ODD = {
    "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}") + bytes(16),
    "fields": header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}") + bytes(8),
    "complex": header("{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}") + bytes(16),
    "void": header("{'descr': '|V4', 'fortran_order': False, 'shape': (2,)}") + bytes(8),
    "scalar": header("{'descr': '<f4', 'fortran_order': False, 'shape': ()}") + bytes(4),
    "wide": header("{'descr': '<U99999999', 'fortran_order': False, 'shape': (0,)}"),
}


@pytest.mark.parametrize("name", [*HOSTILE, *ODD])
def test_a_hostile_header_is_refused(tmp_path: Path, name: str) -> None:
    raw = {**HOSTILE, **ODD}[name]
    code = "store-corrupt" if name in HOSTILE else "store-schema"
    (tmp_path / "h.npy").write_bytes(raw)
    (tmp_path / "h.npy.jsonl").write_text('{"id":1}\n{"id":2}\n')
    refused(lambda: read(tmp_path / "h.npy"), code, "h.npy")
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        archive.writestr("vectors.npy", raw)
        archive.writestr("records.jsonl", '{"id":1}\n{"id":2}\n')
    refused(lambda: read(tmp_path / "h.npz"), code, "vectors")


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.npz", *VALUES)
    raw = (tmp_path / "m.npz").read_bytes()
    whole, codes = read(tmp_path / "m.npz"), set()
    for at in range(0, len(raw), 3):  # each part is covered by a checksum
        (tmp_path / "d.npz").write_bytes(raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :])
        with contextlib.suppress(VexError):
            assert read(tmp_path / "d.npz") == whole, at
            continue
        with pytest.raises(VexError) as caught:
            read(tmp_path / "d.npz")
        codes.add(caught.value.code)
    assert codes == {"store-corrupt", "store-schema", "store-unreadable"}
    (tmp_path / "d.npz").write_bytes(raw[: len(raw) // 2])
    refused(lambda: read(tmp_path / "d.npz"), "store-corrupt", "d.npz")
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("vectors.npy", encode_header(0, 0))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("vectors.npy", encode_header(0, 0))
    refused(lambda: read(tmp_path / "twice.npz"), "store-corrupt", "two parts")


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    refused(lambda: read(tmp_path / "none.npz"), "store-missing")
    refused(lambda: read(tmp_path / "none.txt"), "bad-address", ".npz or .npy")
    refused(lambda: read(tmp_path / "none.npz", colour="red"), "bad-address", "id, text, vector")
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)), key=np.array(["x", "y"]))
    refused(lambda: read(tmp_path / "a.npz"), "store-schema", "vector=", "a <f8[2, 2]")
    assert [row["id"] for row in read(tmp_path / "a.npz", vector="b", id="key")] == ["x", "y"]
    np.savez(tmp_path / "b.npz", vectors=np.zeros((2, 2)))
    refused(lambda: read(tmp_path / "b.npz"), "store-schema", "no ids", "records.jsonl")
    np.savez(tmp_path / "c.npz", vectors=np.array([[1, np.inf], [1, 2]]), ids=np.array([1, 2]))
    problems: list[InvalidData] = []
    assert [row["id"] for row in read(tmp_path / "c.npz", problems.append)] == ["2"]
    assert [each.code for each in problems] == ["not-finite"]


def test_a_header_of_ours_is_one_of_numpys(tmp_path: Path) -> None:
    for shape in ((0, 0), (3, 4), (10**9, 10**5)):
        raw = encode_header(*shape)
        assert len(raw) == 128 and read_header(io.BytesIO(raw), 128 + 4 * shape[0] * shape[1], "x") == Header(
            "<f4", shape, False, 128
        )
    assert np.load(io.BytesIO(encode_header(0, 3))).shape == (0, 3)


def test_a_repository_goes_to_numpy_and_back(vex, memory) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    vex("init")
    vex("commit", "--from", "agent.vmig.jsonl", "-m", "x")
    for store in ("m.npz", "numpy:m.npy"):
        ran = vex("checkout", "main", "--to", store)
        assert ran.code == 0 and "verified 4 of 4" in ran.out, ran.err
        assert vex("diff", "main", store, "--exit-code").code == 0
    assert vex("inspect", "m.npz", "--json").json()["records"] == 4
    assert sorted(each.name for each in Path().iterdir() if each.name.startswith(("m.", ".m"))) == [
        "m.npy", "m.npy.jsonl", "m.npz"
    ]  # fmt: skip
