"""Qdrant and Chroma in a folder: the connectors of servers keep the contract on engines in this process, too."""

import base64
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import uuid
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.contract import chroma_local, moving
from tests.contract.moving import fill, read
from tests.property.strategies import attempt
from vexrepo.errors import StorageFailure, StoreError, UsageError
from vexrepo.objects.record import from_json
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store
from vexrepo.remotes.stores.chroma import ChromaStore
from vexrepo.remotes.stores.chroma_local import ChromaFolder
from vexrepo.remotes.stores.qdrant import QdrantStore
from vexrepo.remotes.stores.registry import open_store
from vexrepo.testing.stores import StoreContract, check_holds, plan_between


class _Qdrant(StoreContract):
    dims = 6
    distance: ClassVar[str] = "Dot"

    def open_store(self, tmp_path: Path) -> Store:
        address = qdrant(tmp_path, distance=self.distance)
        return QdrantStore.open(address, create=True)


class TestQdrantFolderDot(_Qdrant):
    """A metric that leaves vectors as they are."""


class TestQdrantFolderCosine(_Qdrant):
    """The usual metric, which scales vectors to length 1."""

    distance = "Cosine"


class _Chroma(StoreContract):
    dims = 6
    distance: ClassVar[str] = "l2"

    def open_store(self, tmp_path: Path) -> Store:
        return ChromaStore.open(chroma(tmp_path, distance=self.distance), create=True)


class TestChromaFolderL2(_Chroma):
    """A metric that leaves vectors as they are."""


class TestChromaFolderCosine(_Chroma):
    """The usual metric, which rounds vectors in the last digit."""

    distance = "cosine"


def qdrant(folder: Path, **options: str) -> Address:
    return Address("qdrant", str(folder / "qdrant"), {"collection": "agent", **options})


def chroma(folder: Path, **options: str) -> Address:
    chroma_local.importable()
    return Address("chroma", str(folder / "chroma"), {"collection": "agent", **options})


BOTH = pytest.mark.parametrize("address", [qdrant, chroma])


memory = partial(moving.memory, last=0.3)


@BOTH
def test_a_folder_is_not_made_by_looking_and_other_things_are_left_alone(tmp_path: Path, address: Any) -> None:
    live = address(tmp_path)
    with pytest.raises(StoreError, match="check the name") as raised:
        open_store(live)
    assert raised.value.code == "store-missing" and not Path(live.location).exists()
    Path(live.location).mkdir()
    (Path(live.location) / "notes.txt").write_text("mine")
    assert attempt(lambda: fill(live, memory(1)))[1] == "store-schema"
    assert os.listdir(live.location) == ["notes.txt"]


@BOTH
def test_several_collections_of_a_folder_can_be_open_at_once(tmp_path: Path, address: Any) -> None:
    one, other = address(tmp_path), address(tmp_path, collection="other")
    fill(one, memory(3))
    with open_store(one) as source, open_store(other, create=True) as target:
        records = [item.record for batch in source.scan() for item in batch]
        target.write(plan_between([], records))
        check_holds(target, records)
    assert read(one).keys() == read(other).keys() == {"m0", "m1", "m2"}


@BOTH
def test_a_collection_of_a_folder_must_be_named(tmp_path: Path, address: Any) -> None:
    kind, location = address(tmp_path).kind, str(tmp_path / "x")
    with pytest.raises(UsageError, match="FOLDER") as raised:
        open_store(Address(kind, location))
    assert raised.value.code == "bad-address"
    with pytest.raises(UsageError, match="in its path") as raised:
        open_store(Address(kind, "//host/agent", {"collection": "other"}))
    assert raised.value.code == "bad-address"


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [(qdrant, "qdrant_client", "qdrant-local"), (chroma, "chromadb.api", "chroma-local")],
)
def test_a_missing_engine_is_named(
    tmp_path: Path, address: Any, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = address(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StoreError, match=rf"vexrepo\[{extra}\]") as raised:
        fill(live, memory(1))
    assert raised.value.code == "store-unreadable"


def test_a_full_disk_under_a_folder_of_qdrant_is_said_and_the_next_run_does_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, records = qdrant(tmp_path), memory(1_200)
    fill(live, records[:5])
    connect = sqlite3.connect

    def small(*values: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*values, **options)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", small)
        with pytest.raises(StorageFailure, match="free some space and run the command again") as raised:
            fill(live, records)
    assert raised.value.code == "disk-full" and "database or disk is full" in str(raised.value)
    assert {f"m{n}" for n in range(5)} <= read(live).keys()
    fill(live, records)
    assert read(live).keys() == {f"m{n}" for n in range(len(records))}


def test_a_full_disk_under_a_folder_of_chroma_is_said_where_the_engine_says_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, records = chroma(tmp_path), memory(20)
    fill(live, records[:5])
    left = [0]

    def refuse(*_: Any) -> None:
        raise RuntimeError("Error in compaction: Error purging logs")

    with monkeypatch.context() as patched:
        patched.setattr(ChromaFolder, "_answer", refuse)
        patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=left[0]))
        refusals = [attempt(lambda: fill(live, records))[1]]
        left = [1 << 30]
        refusals.append(attempt(lambda: fill(live, records))[1])
    assert refusals == ["disk-full", "store-answer"]
    fill(live, records)
    assert read(live).keys() == {f"m{n}" for n in range(len(records))}


@BOTH
def test_other_dimensions_are_refused_before_anything_is_written(tmp_path: Path, address: Any) -> None:
    live = address(tmp_path)
    fill(live, memory(2))
    records = [*memory(5), from_json({"id": "odd", "text": "a", "vector": [1.0, 2.0]})]
    assert attempt(lambda: fill(live, records))[1] == "store-dims"
    assert len(read(live)) == 2


def test_a_folder_of_qdrant_that_another_program_has_open_is_said_to_be_locked(tmp_path: Path) -> None:
    live = qdrant(tmp_path)
    fill(live, memory(1))
    code = (
        "import sys; from qdrant_client import QdrantClient as Q; q = Q(path=sys.argv[1]); print(flush=True); input()"
    )
    command = [sys.executable, "-c", code, live.location]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "\n"
        with pytest.raises(StoreError, match="another program") as raised:
            read(live)
        other.stdin.write("\n")
        other.stdin.close()
    assert raised.value.code == "store-locked"
    assert len(read(live)) == 1


def test_what_the_client_of_qdrant_wrote_is_read_replaced_and_removed(tmp_path: Path) -> None:
    from qdrant_client import QdrantClient, models

    live = qdrant(tmp_path)
    client = QdrantClient(path=live.location)
    client.create_collection(
        "agent",
        vectors_config=models.VectorParams(size=2, distance=models.Distance.EUCLID),
        sparse_vectors_config={"words": models.SparseVectorParams()},
    )
    words = models.SparseVector(indices=[7, 1], values=[0.5, 0.25])
    client.upsert(
        "agent",
        [
            models.PointStruct(id=0, vector=[0.1, 2], payload={"document": "first", "deep": {"a": [None, 0.1]}}),
            models.PointStruct(id=5, vector={"words": words}, payload={"document": "second"}),
        ],
    )
    client.close()
    found = read(live)
    assert [round(x, 6) for x in found["0"].pop("vector")] == [0.1, 2.0]
    assert found["0"] == {"id": "0", "text": "first", "metadata": {"deep": {"a": [None, 0.1]}}}
    assert found["5"]["vectors"] == {"words": {"indices": [1, 7], "values": [0.25, 0.5]}}
    wanted = [from_json({"id": "0", "text": "changed", "vector": [1.0, 2]}), from_json({"id": "m", "text": "new"})]
    with open_store(live, create=True) as store:
        held = [item.record for batch in store.scan() for item in batch]
        store.write(plan_between(held, wanted))
        check_holds(store, wanted)
    client = QdrantClient(path=live.location)
    points = {each.id: each for each in client.scroll("agent", with_vectors=True)[0]}
    assert len(points) == 2 and points[0].payload == {"document": "changed"} and points[0].vector == [1.0, 2.0]
    client.close()


def test_an_edit_leaves_numbers_and_members_of_a_folder_of_qdrant_as_its_client_wrote_them(tmp_path: Path) -> None:
    from qdrant_client import QdrantClient, models

    live = qdrant(tmp_path)
    payload = {
        "page_content": "one",
        "metadata": {"long": 0.9908333333333333, "id": "x"},
        "id": "own",
        "model": {"a": 1},
    }
    client = QdrantClient(path=live.location)
    client.create_collection("agent", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    client.upsert("agent", [models.PointStruct(id=n, vector=[1.0, n], payload=payload) for n in (1, 2)])
    client.close()
    with QdrantStore.open(live) as store:
        records = sorted(each.record for batch in store.scan() for each in batch)
        edited = [from_json({**records[0].to_json(), "text": "edited"}), records[1]]
        store.write(plan_between(records, edited))
        check_holds(store, edited)
    client = QdrantClient(path=live.location)
    held = {each.id: each.payload for each in client.scroll("agent")[0]}
    client.close()
    assert held == {1: {**payload, "page_content": "edited"}, 2: payload}


def test_a_folder_of_qdrant_is_read_without_its_client_and_as_the_client_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qdrant_client import QdrantClient, models

    live = qdrant(tmp_path)
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    dense = {"": models.VectorParams(size=2, distance=models.Distance.DOT)}
    dense["many"] = models.VectorParams(size=2, distance=models.Distance.DOT, multivector_config=multi)
    client = QdrantClient(path=live.location)
    client.create_collection(
        "agent", vectors_config=dense, sparse_vectors_config={"words": models.SparseVectorParams()}
    )
    words = models.SparseVector(indices=[7, 1], values=[0.5, 0.25])
    made: list[Any] = [{}, {"": [1.0, 2.5]}, {"": [1.0, 2.0], "many": [[1.0, 2.0], [3.0, 4.0]], "words": words}]
    ids: list[Any] = [0, 5, 70_000, 1 << 40, (1 << 64) - 1, *(str(uuid.UUID(int=n)) for n in (0, 1, 1 << 127))]
    payloads = [None, {"document": "x", "n": -1}, {"deep": {"a": [None, 0.1, True]}, "when": date(2026, 5, 1)}]
    points = [
        models.PointStruct(id=each, vector=made[at % 3], payload=payloads[at % 2 + at % 3 // 2])
        for at, each in enumerate(ids)
    ]
    client.upsert("agent", points)
    client.update_collection_aliases(
        [models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="agent", alias_name="other"))]
    )
    expected = {str(each.id): each for each in client.scroll("agent", limit=100, with_vectors=True)[0]}
    client.close()
    with monkeypatch.context() as patched:
        patched.setattr("qdrant_client.QdrantClient", None)
        with QdrantStore.open(live) as store:
            assert store.describe().count == len(ids)
            found = {each.id: each for batch in store.read_points() for each in batch}
        assert read(live) == read(qdrant(tmp_path, collection="other"))
    assert found.keys() == expected.keys() == {str(each) for each in ids}
    for name, each in expected.items():
        assert found[name].payload == each.payload
        held = each.vector if isinstance(each.vector, dict) else {"": each.vector}
        assert {vector.space.name for vector in found[name].vectors} == held.keys()


def test_points_of_qdrant_that_are_no_json_or_of_older_clients_are_read_by_its_client(tmp_path: Path) -> None:
    live = qdrant(tmp_path)
    fill(live, memory(4))
    path = Path(live.location) / "collection" / "agent" / "storage.sqlite"

    def change(place: int, edit: Any, key: Any = None) -> None:
        with sqlite3.connect(path) as file:
            (raw,) = file.execute("SELECT point FROM points WHERE rowid = ?", (place,)).fetchone()
            point = pickle.loads(raw)
            edit(point)
            raw = pickle.dumps(point)
            file.execute("UPDATE points SET point = ?, id = coalesce(?, id) WHERE rowid = ?", (raw, key, place))
        file.close()

    change(1, lambda point: point.payload.update(when=date(2026, 5, 1), pair=(1, 2)))
    change(2, lambda point: setattr(point, "vector", {"": np.array([9.0, 0.5, 2.0, 0.25])}))
    found = read(live)
    assert found["m0"]["metadata"] == {"when": "2026-05-01", "pair": [1, 2]}
    assert found["m1"]["vector"] == [9.0, 0.5, 2.0, 0.25] and len(found) == 4
    upper = str(uuid.uuid4()).upper()
    change(3, lambda point: setattr(point, "id", upper), base64.b64encode(pickle.dumps(upper, 5)).decode())
    found = read(live)
    assert len(found) == 4 and found[upper.lower()]["text"] == "note 2"


class _Running:
    def __reduce__(self) -> Any:
        return os.mkdir, (f"{os.environ['VEX_HOME']}/ran",)


def _changed(live: Address, *statements: Any) -> None:
    with sqlite3.connect(Path(live.location) / "collection" / "agent" / "storage.sqlite") as file:
        for each, *values in statements:
            file.execute(each, values)
    file.close()


def _refused(live: Address, home: Path) -> str:
    """Return why a folder is refused by all that is done with it."""
    words = []
    for what in (lambda: read(live), lambda: fill(live, memory(1))):
        with pytest.raises(StoreError) as raised:
            what()
        assert raised.value.code == "store-corrupt" and not (home / "ran").exists()
        words.append(str(raised.value))
    return "\n".join(words)


@pytest.mark.parametrize("name", ["os.mkdir", "damaged"])
def test_a_folder_of_qdrant_whose_files_would_run_something_is_not_opened(
    tmp_path: Path, name: str, home: Path
) -> None:
    live = qdrant(tmp_path)
    fill(live, memory(2))
    raw = pickle.dumps({"payload": _Running()}) if name == "os.mkdir" else b"\x80\x04nonsense"
    _changed(live, ("UPDATE points SET point = ? WHERE rowid = 1", raw))
    assert ("mkdir" in _refused(live, home)) == (name == "os.mkdir")


def test_a_key_in_a_file_of_qdrant_runs_nothing(tmp_path: Path, home: Path) -> None:
    live = qdrant(tmp_path)
    fill(live, memory(2))
    _changed(live, ("UPDATE points SET id = ? WHERE rowid = 1", base64.b64encode(pickle.dumps(_Running())).decode()))
    assert len(read(live)) == 2  # as the client does, which reads the keys of none
    assert not (home / "ran").exists()


@pytest.mark.parametrize("form", ["view", "computed", "nested", "other collection"])
def test_a_folder_of_qdrant_that_shows_one_thing_and_runs_another_is_not_opened(
    tmp_path: Path, form: str, home: Path
) -> None:
    live = qdrant(tmp_path)
    fill(live, memory(2))
    raw = pickle.dumps({"payload": _Running()})
    if form == "view":
        columns = "id, CASE WHEN abs(random()) % 64 = 0 THEN evil ELSE point END AS point, rowid"
        _changed(
            live,
            ("ALTER TABLE points RENAME TO held",),
            ("ALTER TABLE held ADD COLUMN evil BLOB",),
            ("UPDATE held SET evil = ?", raw),
            (f"CREATE VIEW points AS SELECT {columns} FROM held",),
        )
    elif form == "computed":
        _changed(
            live,
            ("ALTER TABLE points RENAME TO held",),
            ("CREATE TABLE points (id TEXT PRIMARY KEY, held BLOB, point BLOB AS (held))",),
            ("INSERT INTO points (id, held) SELECT id, point FROM held",),
        )
    else:  # the client opens all collections that are named, and takes names with a slash, too
        name = "a/b" if form == "nested" else "second"
        fill(qdrant(tmp_path, collection="second"), memory(1))
        folder, meta = Path(live.location) / "collection", Path(live.location) / "meta.json"
        with sqlite3.connect(folder / "second" / "storage.sqlite") as file:
            file.execute("UPDATE points SET point = ?", (raw,))
        file.close()
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / "second").rename(folder / name)
        meta.write_text(meta.read_text().replace('"second"', f'"{name}"'))
        assert len(read(live)) == 2  # without a look at the other one
    with pytest.raises(StoreError) as raised:
        fill(live, memory(1))
    assert raised.value.code == "store-corrupt" and not (home / "ran").exists()


def test_what_the_client_of_chroma_wrote_is_read_and_replaced(tmp_path: Path) -> None:
    live = chroma(tmp_path)
    import chromadb

    client = chromadb.PersistentClient(live.location, chromadb.Settings(anonymized_telemetry=False))
    made = client.create_collection("agent", embedding_function=None, configuration={"hnsw": {"space": "l2"}})
    made.upsert(["a"], [[1.0, 2.0]], [{"n": 1, "tags": ["x"]}], ["the document"])
    client.close()
    assert read(live) == {
        "a": {"id": "a", "text": "the document", "vector": [1.0, 2.0], "metadata": {"n": 1, "tags": ["x"]}}
    }
    fill(live, [from_json({"id": "a", "text": "changed", "vector": [1.0, 3.0], "metadata": {"n": 2}})])
    client = chromadb.PersistentClient(live.location, chromadb.Settings(anonymized_telemetry=False))
    found = client.get_collection("agent", embedding_function=None).get(include=["metadatas", "documents"])
    assert found["documents"] == ["changed"] and found["metadatas"] == [{"n": 2}]
    client.close()
