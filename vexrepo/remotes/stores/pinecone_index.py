"""What a Pinecone index holds, how it is set up, and the request that makes it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.capabilities import ROUNDING, Capabilities, is_ascending

METRICS: Final = ("cosine", "dotproduct", "euclidean")
TYPES: Final = ("dense", "sparse")
CLOUDS: Final = {"aws": "us-east-1", "gcp": "us-central1", "azure": "eastus2"}  # the region where none is said
SPARSE: Final = "sparse"  # what the sparse vector beside a dense one is called in a record
MAX_DIMS: Final = 20_000
MOST_METADATA_BYTES: Final = 40_960
MOST_SPARSE: Final = 1000
MOST_ID: Final = 512
NOTHING_SPARSE: Final = ([(1 << 32) - 1], [1.0])  # stands for no vector in a sparse index, which wants one
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
_ID = re.compile(r"[!-~]+")  # printable ASCII; a space cannot be fetched
_EXACT = 1 << 53  # numbers are doubles
_KEPT: Final = ("dimension", "metric", "vector_type", "deletion_protection", "tags")


@dataclass(frozen=True, slots=True)
class Index:
    """What an index takes: ``dims`` are 0 for one of sparse vectors, and for one that is to be made."""

    metric: str
    vector_type: str
    dims: int = 0

    @property
    def is_sparse(self) -> bool:
        """Whether its vectors are sparse."""
        return self.vector_type == "sparse"

    @property
    def spaces(self) -> dict[str, Space]:
        """Its vectors, by the names that records have for them."""
        if self.is_sparse:
            return {MAIN: Space(MAIN, "sparse", None, 0, "f32")}
        found = {MAIN: Space(MAIN, "dense", None, self.dims, "f32")} if self.dims else {}
        if self.metric == "dotproduct":
            found[SPARSE] = Space(SPARSE, "sparse", None, 0, "f32")
        return found

    def capabilities(self) -> Capabilities:
        """Return what it holds."""
        names = {MAIN} if self.is_sparse or self.metric != "dotproduct" else {MAIN, SPARSE}

        def fits(item: Vector) -> bool:
            kind = "sparse" if self.is_sparse or item.space.name == SPARSE else "dense"
            if item.space.kind != kind:
                return False
            return _fits_sparse(item) if kind == "sparse" else _fits_dense(item)

        return Capabilities(
            holds,
            values="text, flags, doubles, and lists of text; 40 KB in all",
            holds_name=lambda name: bool(name) and not name.startswith("$"),
            holds_id_member=True,
            id_bytes=MOST_ID,
            holds_id=lambda identifier: _ID.fullmatch(identifier) is not None,
            kinds=frozenset({"sparse"} if self.is_sparse else {"dense", "sparse"}),
            is_named=True,
            names=frozenset(names),
            holds_vector=fits,
            needs_vector=not self.is_sparse,
            alters=ROUNDING,
        )


def holds(value: Any) -> bool:
    """Whether a value of the metadata comes back as it is: a text, flag or double, or a list of texts."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, str) and "\0" not in each for each in value)
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, int):
        return abs(value) <= _EXACT
    return isinstance(value, float)


def _fits_dense(item: Vector) -> bool:
    """Whether a vector has a number that is not zero, as it must."""
    return 0 < item.space.dims <= MAX_DIMS and any(item.row.replace(b"\0\0\0\x80", b"\0\0\0\0"))


def _fits_sparse(item: Vector) -> bool:
    import numpy as np

    count = len(item.row) // 8
    values = np.frombuffer(item.row[4 * count :], "<f4")
    is_marker = count == 1 and item.row[:4] == b"\xff\xff\xff\xff" and values[0] == 1
    return count <= MOST_SPARSE and is_ascending(item) and bool(values.all()) and not is_marker


# -- setting up --------------------------------------------------------------------------------------------------------


def read_index(model: Mapping[str, Any]) -> Index | None:
    """Return what an index takes, as the control plane or its own statistics say it; None where they do not."""
    metric = model.get("metric")
    kind = model.get("vector_type") or model.get("vectorType") or "dense"
    dims = model.get("dimension")
    dims = dims if type(dims) is int else 0
    if not isinstance(metric, str) or kind not in TYPES or (kind == "dense" and not 0 < dims <= MAX_DIMS):
        return None
    return Index(metric, str(kind), 0 if kind == "sparse" else dims)


def read_config(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of an index, from what the control plane says of it."""
    found = {name: model[name] for name in _KEPT if model.get(name) not in (None, {})}
    spec = model.get("spec")
    serverless = spec.get("serverless") if isinstance(spec, dict) else None
    if isinstance(serverless, dict):
        kept = {name: serverless[name] for name in ("cloud", "region", "schema") if serverless.get(name)}
        found["spec"] = {"serverless": kept}
    return found


def creation(
    name: str, index: Index, config: Mapping[str, Any], cloud: str | None, region: str | None
) -> dict[str, Any]:
    """Return the request that makes an index, set up as a kept configuration says."""
    spec = config.get("spec")
    serverless = dict(spec["serverless"]) if isinstance(spec, dict) and isinstance(spec.get("serverless"), dict) else {}
    if cloud is not None and cloud != serverless.get("cloud"):
        serverless["region"] = CLOUDS[cloud]
    serverless["cloud"] = cloud or serverless.get("cloud") or "aws"
    serverless["region"] = region or serverless.get("region") or CLOUDS[serverless["cloud"]]
    found: dict[str, Any] = {
        "name": name,
        "metric": index.metric,
        "vector_type": index.vector_type,
        "spec": {"serverless": serverless},
    }
    found |= {each: config[each] for each in ("deletion_protection", "tags") if config.get(each)}
    if not index.is_sparse:
        found["dimension"] = index.dims
    return found
