"""Vectors in two dimensions."""

from itertools import pairwise

import numpy as np
import pytest

from tests.property.strategies import forest
from vexrepo.history import projection
from vexrepo.history.projection import fit_projection, sample_records, unit_rows
from vexrepo.objects.record import from_json


def cloud(count: int, dims: int, seed: int = 1) -> np.ndarray:
    """Return vectors that differ most in the first direction, then in the second."""
    random = np.random.default_rng(seed)
    spread = np.full(dims, 0.01)
    spread[:2] = (0.5, 0.2)
    found = random.normal(size=(count, dims)) * spread
    found[:, 2] += 1
    return found.astype(np.float32)


@pytest.mark.parametrize(("count", "dims"), [(500, 8), (20, 300)])
def test_the_axes_are_the_directions_of_greatest_variance(count, dims):
    projection = fit_projection(cloud(count, dims))
    assert np.allclose(projection.axes @ projection.axes.T, np.eye(2), atol=1e-9)
    assert abs(projection.axes[0, 0]) > 0.9 and abs(projection.axes[1, 1]) > 0.9
    assert projection.explained[0] > 0.6 and projection.explained[0] > projection.explained[1] > 0
    assert sum(projection.explained) <= 1 + 1e-12


@pytest.mark.parametrize(("count", "dims"), [(100, 8), (20, 300)])
def test_the_signs_do_not_depend_on_the_solver(count, dims):
    projection = fit_projection(cloud(count, dims))
    for axis in projection.axes:
        assert axis[np.argmax(np.abs(axis))] > 0
    again = fit_projection(cloud(count, dims)[::-1])
    assert np.allclose(projection.axes, again.axes, atol=1e-6)


def test_a_wide_and_a_narrow_matrix_give_the_same_axes():
    rows = cloud(40, 30)
    both = [fit_projection(rows), fit_projection(np.hstack([rows, np.zeros((40, 30), np.float32)]))]
    assert np.allclose(both[0].axes, both[1].axes[:, :30], atol=1e-6)


def test_the_mean_lies_at_the_origin_and_length_does_not_count():
    rows = cloud(50, 8)
    projection = fit_projection(rows)
    assert np.allclose(projection.place(rows).mean(axis=0), 0, atol=1e-9)
    assert np.allclose(projection.place(rows), projection.place(rows * 7), atol=1e-6)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((0, 5)),
        np.zeros((3, 5)),
        np.ones((1, 5)),
        np.ones((4, 5)),
        np.array([[1.0], [2.0]]),
        np.full((3, 4), 1e308),
        np.array([[5e-324, 0.0], [1.0, 1.0]]),
    ],
)
def test_vectors_that_do_not_differ_are_placed_without_warnings(rows):
    with np.errstate(all="raise", under="ignore"):
        projection = fit_projection(rows)
        places = projection.place(rows)
    assert places.shape == (len(rows), 2) and np.isfinite(places).all()
    assert all(0 <= part <= 1 for part in projection.explained)


def test_a_zero_row_stays_zero():
    assert unit_rows(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 0], [0.6, 0.8]]


def test_a_sample_is_spread_over_the_snapshot_and_the_same_each_time(monkeypatch):
    records = [from_json({"id": f"m{number:04d}"}) for number in range(1000)]
    with forest(leaf_records=64) as grown:
        root = grown.build({each.key: each for each in records})

        def sampled(limit: int) -> list[bytes]:
            return [each.reader.leaf.keys[each.row] for each in sample_records(grown.store, root, limit)]

        assert sampled(5000) == sorted(each.key for each in records)
        found = sampled(100)
        assert len(found) == len(set(found)) == 100 and found == sorted(found) == sampled(100)
        places = [int(key[-4:]) for key in found]
        assert max(later - earlier for earlier, later in pairwise(places)) < 60
        assert sampled(0) == []
        monkeypatch.setattr(projection, "SAMPLED_LEAVES", 3)
        assert len({each.reader.id for each in sample_records(grown.store, root, 1000)}) == 3
