"""Which values a column of PostgreSQL keeps as they are."""

import pytest

from vexrepo.remotes.stores.pgvector_columns import _is_decimal


@pytest.mark.parametrize(
    ("value", "size", "scale"),
    [
        *((0, 2, 2), (0.0, 2, 2), (0.5, 2, 2), (99.99, 4, 2), (-99.99, 4, 2), (1200, 4, 0)),
        *((1e-7, 8, 7), (10, 1, -1), (10**400, 500, 2), (10**38 + 1, 50, 2)),
    ],
)
def test_a_numeric_column_holds_what_fits_it(value, size, scale):
    assert _is_decimal(value, size, scale)


@pytest.mark.parametrize(
    ("value", "size", "scale"),
    [
        *((1, 2, 2), (100, 4, 2), (0.125, 4, 2), (1e-7, 8, 6), (15, 1, -1), (123, 2, 0), (1e300, 8, 2)),
        *((10**400, 8, 2), (10**38 + 1, 38, 0), ("1", 4, 2), (True, 4, 2), (None, 4, 2)),
    ],
)
def test_a_numeric_column_does_not_hold_what_it_would_round_or_refuse(value, size, scale):
    assert not _is_decimal(value, size, scale)
