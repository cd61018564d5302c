"""Projection adapters: embeddings of one model turned into those of another, where both mean the same kind of text.

Adapters come with packages of their own: an entry point of the group ``vexrepo.adapters`` names a class that is made
without arguments and keeps to ``Adapter``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from vexrepo.errors import InvalidData
from vexrepo.objects.record import Record, from_json, key_name
from vexrepo.objects.vector import MAIN
from vexrepo.remotes.plugins import Plugins

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUP: Final = "vexrepo.adapters"
_ADAPTERS = Plugins({}, GROUP, "no projection adapter is installed as", "unknown-adapter")


class Adapter(Protocol):
    """What turns embeddings of the model ``source`` into embeddings of the model ``target``, of ``dims`` dimensions."""

    source: str
    target: str
    dims: int

    def project(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the projected rows.  Shapes: (n, d) in, (n, dims) out, float32."""


def find_adapter(name: str) -> Adapter:
    """Return an installed adapter.  Raises: UsageError (unknown-adapter)."""
    made: Adapter = _ADAPTERS.find(name)()
    return made


def project_record(adapter: Adapter, record: Record) -> Record:
    """Return a record with its main vector projected; one without, or of the target model already, as it is.

    Raises: InvalidData (adapter-misfit) for a vector of another model, or numbers that the adapter does not give.
    """
    import numpy as np

    main = next((item for item in record.vectors if item.space.name == MAIN), None)
    if main is None or main.space.model == adapter.target:
        return record
    name = key_name(record.key)
    if main.space.model != adapter.source or main.space.kind != "dense":
        raise InvalidData(
            f"{name:.80} has a {main.space.kind} vector of the model {main.space.model!r}; the adapter turns dense "
            f"ones of {adapter.source!r} into {adapter.target!r}: leave it out, or name another adapter",
            code="adapter-misfit",
        )
    row = np.frombuffer(main.row, "<f8" if main.space.dtype == "f64" else "<f4").astype(np.float32)
    found = np.asarray(adapter.project(row.reshape(1, -1)), np.float32)
    if found.shape != (1, adapter.dims) or not np.isfinite(found).all():
        raise InvalidData(
            f"{name:.80}: the adapter gives an array of shape {found.shape}, expected (1, {adapter.dims}) of finite "
            "numbers",
            code="adapter-misfit",
        )
    value: dict[str, Any] = record.to_json()
    value |= {"vector": found[0].astype(float).tolist(), "model": adapter.target, "dims": adapter.dims}
    return from_json(value)
