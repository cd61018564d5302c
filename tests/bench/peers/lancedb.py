"""LanceDB beside a script on it: Arrow tables in, Arrow batches out."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.bench.peers import MODEL, Peer, Row
from tests.contract.lancedb_engine import install, package
from vexrepo.remotes.stores.address import Address

_BATCH = 5000  # the quickest of those tried, from 2,000 to all


class _Lance(Peer):
    client = "lancedb, Arrow, 5,000 rows"

    def __init__(self, folder: Path) -> None:
        install()
        import lancedb  # noqa: F401 - loaded before anything is measured

        self._folder = folder
        path = [str(Path(__file__).parents[3]), str(package())]  # where the engine is installed aside
        self.environment = {"PYTHONPATH": os.pathsep.join(path)}

    def address(self, name: str) -> Address:
        return Address("lancedb", str(self._folder / name))

    def drop(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def write(self, name: str, rows: Sequence[Row]) -> None:
        import lancedb

        dims = len(rows[0].vector)
        texts = ("id", "content", "namespace", "model", "created_at", "metadata", "_vex")
        schema = pa.schema([*((each, pa.string()) for each in texts), ("vector", pa.list_(pa.float32(), dims))])
        table = lancedb.connect(str(self._folder / name)).create_table("memories", schema=schema)
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            columns = [
                [row.id for row in some],
                [row.text for row in some],
                [row.namespace for row in some],
                [MODEL] * len(some),
                [row.created_at for row in some],
                [json.dumps(row.metadata) for row in some],
                [None] * len(some),
            ]
            numbers = pa.array(np.concatenate([row.vector for row in some]))
            arrays = [pa.array(each, pa.string()) for each in columns]
            arrays.append(pa.FixedSizeListArray.from_arrays(numbers, dims))
            table.add(pa.Table.from_arrays(arrays, schema=schema))

    def read(self, name: str) -> int:
        import lancedb

        found = []
        table = lancedb.connect(str(self._folder / name)).open_table("memories")
        for batch in table.search().limit(None).to_batches(_BATCH):
            vectors = batch.column("vector").flatten().to_numpy().reshape(batch.num_rows, -1)
            rest = batch.drop_columns(["vector"]).to_pylist()
            found += [({**row, "metadata": json.loads(row["metadata"])}, vectors[at]) for at, row in enumerate(rest)]
        return len(found)

    def raw(self, name: str) -> None:
        import lancedb

        for _ in (
            lancedb.connect(str(self._folder / name)).open_table("memories").search().limit(None).to_batches(_BATCH)
        ):
            pass


@contextmanager
def serve() -> Iterator[Peer]:
    """Give a folder for databases."""
    with tempfile.TemporaryDirectory() as folder:
        yield _Lance(Path(folder))
