"""Exact nearest neighbours: the cosine of every vector of an embedding space with one vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vexrepo.errors import InvalidData, UsageError
from vexrepo.objects.vector import Space

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 2048  # rows made doubles at a time: they stay in the processor's cache


def unit_vector(numbers: Sequence[float]) -> NDArray[np.float64]:
    """Return a vector scaled to length 1.  Raises: InvalidData (not-finite), UsageError (bad-option) for zeros."""
    import numpy as np

    found = np.array(numbers, np.float64)
    if not np.isfinite(found).all():
        raise InvalidData("the vector to look for holds NaN or an infinite number", code="not-finite")
    largest = float(np.abs(found).max(initial=0.0))
    if not largest:
        raise UsageError("the vector to look for is all zeros, which is near to nothing", code="bad-option")
    found /= largest  # keeps the squares inside the range of a double
    return found / np.sqrt(found @ found)


def cosines(values: NDArray[np.floating[Any]], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of each row with a vector of length 1, computed in doubles; NaN for a row of zeros.

    Shapes: (n, d) and (d,) in, (n,) out.
    """
    import numpy as np

    found = np.empty(len(values))
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK].astype(np.float64)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            squares = np.einsum("ij,ij->i", block, block)
            # Not @, which adds in another order where there are fewer rows: equal rows would differ in a last bit.
            found[start : start + BLOCK] = np.einsum("ij,j->i", block, unit) / np.sqrt(squares)
        for row in np.flatnonzero(~((squares > 1e-200) & (squares < 1e200))):
            largest = np.abs(block[row]).max()
            scaled = block[row] / largest if largest else block[row]
            found[start + row] = scaled @ unit / np.sqrt(scaled @ scaled) if largest else np.nan
    return np.clip(found, -1, 1)


def nearest_rows(
    values: NDArray[np.floating[Any]],
    unit: NDArray[np.float64],
    limit: int,
    accepts: Callable[[int], bool] = lambda row: True,
) -> list[tuple[int, float]]:
    """Return the rows of largest cosine that are accepted, and their cosines; equal ones in order of rows.

    Rows of zeros never count.  ``accepts`` is asked of rows in this order, until there are ``limit``.
    """
    import numpy as np

    scores = cosines(values, unit)
    found: list[tuple[int, float]] = []
    for row in np.argsort(-scores, kind="stable").tolist():  # NaN comes last
        if len(found) == limit or np.isnan(scores[row]):
            break
        if accepts(row):
            found.append((row, float(scores[row])))
    return found


def choose_spaces(spaces: Sequence[Space], dims: int, like: Space | None = None) -> list[Space]:
    """Return the dense spaces to search with a vector of ``dims`` numbers: of one model and name, in all its dtypes.

    ``spaces`` come with the most used first, which is taken where several models fit.  With ``like``, the vector is of
    that space.  Raises: UsageError (bad-option) where none has these dims, naming those there are.
    """
    dense = [space for space in spaces if space.kind == "dense"]
    fitting = [space for space in dense if space.dims == dims]
    if not fitting:
        there = "; ".join(dict.fromkeys(space.label for space in dense)) or "no dense vectors"
        raise UsageError(
            f"the vector to look for has {dims} dims, and no embedding space here does: {there}", code="bad-option"
        )
    chosen = like or fitting[0]
    return [space for space in fitting if (space.name, space.model) == (chosen.name, chosen.model)]
