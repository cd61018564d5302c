"""What checks know of a memory is what is in it."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.property.strategies import forest
from vexrepo.hooks.surrounding import Shape, Surrounding, read_surrounding
from vexrepo.objects import record


def made(number: int) -> record.Record:
    namespace = ("", "a", "b\0c", "zz")[number % 4]
    value: dict[str, Any] = {"id": f"m{number}", "namespace": namespace, "text": "t", "model": "tiny"}
    if number % 3:
        value["vector"] = [number + 0.5, 1.0] if number % 5 else [0.5, 1.0, number + 0.25]
    if number % 7 == 0:
        value["vectors"] = {"title": [0.25]}
    return record.from_json(value)


def test_counts_and_samples_are_those_of_the_records():
    items = [made(number) for number in range(400)]
    with forest(16) as woods:
        around = read_surrounding(woods.store, woods.build({item.key: item for item in items}))
        assert around.total == 400
        assert around.memories == Counter(record.split_key(item.key)[0] for item in items)
        expected: Counter[tuple[str, Shape]] = Counter()
        for item in items:
            for space, _ in item.vectors:
                expected[record.split_key(item.key)[0], Shape(space.name, space.kind, space.model, space.dims)] += 1
        assert {(ns, shape): n for ns, shapes in around.vectors.items() for shape, n in shapes.items()} == expected
        for (namespace, shape), count in expected.items():
            sample = around.sample(namespace, shape, 1000)
            assert sample is not None and 0 < len(sample) <= count
            rows = {
                tuple(np.frombuffer(each.row, "<f8" if each.space.dtype == "f64" else "<f4").tolist())
                for item in items
                if record.split_key(item.key)[0] == namespace
                for each in item.vectors
                if (each.space.name, each.space.dims) == (shape.name, shape.dims)
            }
            assert {tuple(row) for row in sample.tolist()} <= rows
            few = around.sample(namespace, shape, 10)
            assert few is not None and 0 < len(few) <= 10


@pytest.mark.parametrize("around", [Surrounding(), read_surrounding(None, None)])  # type: ignore[arg-type]
def test_where_there_is_nothing_there_is_no_sample(around):
    assert around.sample("n", Shape("", "dense", None, 3), 10) is None
    assert not around.memories
