"""Vectors in PostgreSQL's binary form."""

import struct

import numpy as np
import pytest

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.pgvector_table import VectorColumn
from vexrepo.remotes.stores.pgvector_wire import decode_rows

COLUMN = VectorColumn("vector", "", "vector", 0)


def _field(numbers, dims=None):
    return struct.pack(">HH", len(numbers) if dims is None else dims, 0) + np.array(numbers, ">f4").tobytes()


def _row(numbers):
    return np.array(numbers, "<f4").tobytes()


@pytest.mark.parametrize(
    "vectors",
    [
        [],
        [None],
        [None, None],
        [[1.5, -0.0, 3e-45]],
        [[1.0, 2.0]] * 3,
        [[float(n)] * 300 for n in range(400)],  # more than are turned at once
        [[1.0], None, [2.0, 3.0]],
    ],
)
def test_numbers_come_back_with_the_other_byte_first(vectors):
    fields = [None if each is None else _field(each) for each in vectors]
    assert decode_rows(COLUMN, fields) == [None if each is None else _row(each) for each in vectors]


@pytest.mark.parametrize(
    "fields",
    [
        [_field([1.0, 2.0], dims=1)],
        [_field([1.0, 2.0]), _field([1.0, 2.0], dims=3)],
        [_field([1.0, 2.0]), _field([1.0], dims=2)],
        [_field([1.0]), _field([1.0])[:7]],
        [_field([1.0]), None, _field([1.0], dims=0)],
    ],
)
def test_a_vector_of_another_length_than_it_says_is_refused(fields):
    with pytest.raises(StoreError, match="does not hold vectors as they are known"):
        decode_rows(COLUMN, fields)
