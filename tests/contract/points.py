"""A store of points in memory, which can be told what to hold and when to fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import orjson

from vexrepo.errors import StoreError
from vexrepo.objects import canonical
from vexrepo.objects.vector import MAIN, Space, Vector
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Description
from vexrepo.remotes.stores.capabilities import ALL_KINDS, HALF, LENGTH, Capabilities
from vexrepo.remotes.stores.point_store import Point, PointStore, Wanted


def scalars(value: Any) -> bool:
    return type(value) in (str, bool) or (type(value) in (int, float) and abs(value) < 2**53)


EVERYTHING = Capabilities(lambda value: True, kinds=ALL_KINDS, is_named=True, mixes_dims=True)
KINDS = {
    "everything": EVERYTHING,
    "scalars": Capabilities(scalars),
    "nothing": Capabilities(lambda value: False, kinds=frozenset()),
    "uuids": Capabilities(lambda value: True, id_form="uuid", is_named=True),
    "uuids-only": Capabilities(lambda value: True, id_form="uuid only", is_named=True),
    "numbers": Capabilities(scalars, id_form="number"),
    "short-ids": Capabilities(scalars, id_bytes=8, holds_name=str.isidentifier),
    "filled": Capabilities(scalars, fills={"importance": 3, "text": "", "created_at": 0}),
    "needs-vector": Capabilities(scalars, needs_vector=True, holds_vector=lambda vector: any(vector.row)),
    "scales": Capabilities(lambda value: True, alters=LENGTH),
    "halves": Capabilities(lambda value: True, alters=HALF, holds_vector=lambda vector: _as_half(vector) is not None),
}


def _as_half(vector: Vector) -> bytes | None:
    with np.errstate(over="ignore"):
        found = np.frombuffer(vector.row, "<f4").astype("<f2").astype("<f4")
    return found.tobytes() if np.isfinite(found).all() else None


@dataclass
class Collection:
    """What a server holds, and how it behaves.

    After ``fail_after`` batches it goes away; it takes ``most`` points at once, payloads of up to ``longest`` bytes.
    """

    can: Capabilities
    points: dict[str, tuple[bytes, tuple[Vector, ...]]] | None = None
    dims: dict[str, int] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    fail_after: int | None = None
    most: int = 1000
    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    longest: int | None = None


SERVERS: dict[str, Collection] = {}


class MemoryStore(PointStore):
    """The connector of ``points:NAME``; its server is in SERVERS."""

    kind: ClassVar[str] = "points"
    can = EVERYTHING
    batch_points: ClassVar[int] = 50

    def __init__(self, address: Address, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self.server = SERVERS[address.location.rsplit("/", 1)[-1]]
        self.finished = 0
        self._look()

    def _look(self) -> None:
        """A collection takes the vectors it was made for, and no others."""
        self.can = self.server.can
        if self.exists() and not self.can.mixes_dims:
            self.can = replace(self.can, names=frozenset(self.server.dims))

    def exists(self) -> bool:
        return self.server.points is not None

    def describe(self) -> Description:
        return Description(len(self.server.points or ()), dict(self.server.config))

    def held_spaces(self) -> Mapping[str, Space] | None:
        if self.can.mixes_dims:
            return None
        return {name: Space(name, "dense", None, dims, "f32") for name, dims in self.server.dims.items()}

    def read_points(self) -> Iterator[list[Point]]:
        rows = sorted((self.server.points or {}).items(), key=lambda item: hash(item[0]))
        for at in range(0, len(rows), 50):
            yield [Point(name, canonical.parse(raw), vectors) for name, (raw, vectors) in rows[at : at + 50]]  # type: ignore[arg-type]

    def find_points(self, ids: Sequence[str]) -> list[Point]:
        held = self.server.points or {}
        return [Point(name, canonical.parse(held[name][0]), held[name][1]) for name in ids if name in held]  # type: ignore[arg-type]

    def prepare(self, wanted: Wanted) -> None:
        assert self.server.points is None
        self.server.points = {}
        self.server.dims = {name: space.dims for name, space in wanted.spaces.items()}
        self.server.config = {"metric": "cosine", **wanted.config}
        self._look()

    def check_point(self, point: Point) -> None:
        if self.server.longest is not None and len(orjson.dumps(point.payload)) > self.server.longest:
            raise StoreError(f"{point.id} is too long", code="store-cannot-hold")

    def upsert(self, points: Sequence[Point]) -> None:
        if len(points) > self.server.most:
            raise StoreError("too many", code="store-limit")
        if self.server.fail_after is not None:
            self.server.fail_after -= 1
            if self.server.fail_after < 0:
                raise StoreError("the server went away", code="store-unreachable")
        assert self.server.points is not None
        assert len({point.id for point in points}) == len(points)
        for point in points:
            self.server.points[point.id] = self._stored(point)
            self.server.written.append(point.id)

    def _stored(self, point: Point) -> tuple[bytes, tuple[Vector, ...]]:
        assert all(self.can.holds(value) or name == "_vex" for name, value in point.payload.items())
        vectors = []
        for item in point.vectors:
            space, row = item
            assert space.kind in self.can.kinds and (self.can.is_named or not space.name) and space.dtype == "f32"
            assert self.can.mixes_dims or self.server.dims[space.name] == space.dims
            if self.can.alters is LENGTH:
                values = np.frombuffer(row, "<f4")
                length = np.linalg.norm(values.astype("<f8"))
                row = (values / length).astype("<f4").tobytes() if length else row
            elif self.can.alters is HALF:
                half = _as_half(item)
                assert half is not None
                row = half
            vectors.append(Vector(space, row))
        if self.can.needs_vector:
            assert any(item.space.name == MAIN and any(item.row) for item in vectors)
        return canonical.encode(point.payload), tuple(vectors)

    def delete(self, ids: Sequence[str]) -> None:
        assert self.server.points is not None
        for each in ids:
            if self.server.points.pop(each, None) is not None:
                self.server.deleted.append(each)

    def finish(self) -> None:
        self.finished += 1


def serve(name: str, can: Capabilities, **how: Any) -> Address:
    """Return the address of a server's collection, which is made at the first call."""
    SERVERS.setdefault(name, Collection(can, **how))
    return Address("points", f"//memory/{name}")
