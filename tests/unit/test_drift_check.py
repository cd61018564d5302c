"""The check drift: shares of what changes, and vectors that are not where they should be (real embeddings)."""

import functools
from typing import Any

import numpy as np
import orjson
import pytest
import zstandard

import vexrepo.demo
from vexrepo.hooks.check import Change, Finding, Severity
from vexrepo.hooks.checks.drift import DriftCheck
from vexrepo.hooks.checks.drift_vectors import _Heaviest, _rank_z
from vexrepo.hooks.surrounding import NOTHING_KNOWN, Shape, Surrounding
from vexrepo.objects import record, vector
from vexrepo.objects.record import Record, split_key

RANDOM = np.random.default_rng(7)


@functools.cache
def embeddings() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """300 sentence embeddings of all-MiniLM-L6-v2 and the namespaces (topics) of their memories."""
    from importlib.resources import files

    packed = files(vexrepo.demo).joinpath("memory.vmig.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(packed).read().splitlines()
    items = [record.from_json(orjson.loads(line)) for line in lines]
    rows = np.stack([vector.floats(*item.vectors[0]) for item in items]).astype(np.float64)
    return rows, np.array([split_key(item.key)[0] for item in items])


def memory(number: int, row: Any = None, text: str | None = None, namespace: str = "n") -> Record:
    value: dict[str, Any] = {
        "id": f"m{number:05}",
        "text": text or f"text {number}",
        "namespace": namespace,
        "model": "mini",
    }
    if row is not None:
        value["vector"] = [float(each) for each in row]
    return record.from_json(value)


def knowing(rows: np.ndarray[Any, Any]) -> Surrounding:
    shape = Shape("", "dense", "mini", rows.shape[1])
    return Surrounding(
        len(rows), {"n": len(rows)}, {"n": {shape: len(rows)}}, lambda namespace, wanted, most: rows[:most]
    )


def look(
    changes: list[Change], surrounding: Surrounding = NOTHING_KNOWN, total: int | None = None, **settings: Any
) -> list[Finding]:
    check = DriftCheck.make(settings)
    check.enter(surrounding)
    found = [each for start in range(0, len(changes), 7) for each in check.look(changes[start : start + 7])]
    return [*found, *check.finish(total)]


def learn(rows: Any, surrounding: Surrounding = NOTHING_KNOWN) -> list[Finding]:
    return look([Change(item.key, None, item) for item in map(memory, range(len(rows)), rows)], surrounding)


def rules(found: list[Finding]) -> set[str]:
    return {each.rule for each in found}


# -- shares ----------------------------------------------------------------------------------------------------


def test_forgetting_most_of_a_memory_is_an_alarm():
    items = [memory(number) for number in range(100)]
    around = Surrounding(100, {"n": 100})
    gone = [Change(item.key, item, None) for item in items]
    assert rules(look(gone[:50], around)) == set()
    (found,) = look(gone[:51], around)
    assert (found.rule, found.severity, found.id) == ("share", Severity.WARNING, "")
    assert "51%" in found.message and "51 forgotten" in found.message
    assert rules(look(gone[:30], around, share=0.2)) == {"share"}
    assert look(gone[:51], around, severity="veto")[0].severity is Severity.VETO


def test_rewriting_counts_and_counters_do_not():
    items = [memory(number) for number in range(40)]
    around = Surrounding(40, {"n": 40})
    rewritten = [memory(number, text=f"other {number}") for number in range(40)]
    counted = [record.from_json({**item.to_json(), "access_count": 7}) for item in items]
    assert rules(look([Change(a.key, a, b) for a, b in zip(items, rewritten, strict=True)], around)) == {"share"}
    assert look([Change(a.key, a, b) for a, b in zip(items, counted, strict=True)], around) == []


def test_a_namespace_that_is_wiped_is_named():
    items = [memory(number, namespace="policies") for number in range(30)]
    around = Surrounding(10_000, {"policies": 30, "n": 9_970})
    (found,) = look([Change(item.key, item, None) for item in items], around)
    assert (found.rule, found.namespace) == ("share", "policies")


def test_the_size_before_is_had_from_the_size_after():
    items = [memory(number) for number in range(30)]
    gone = [Change(item.key, item, None) for item in items]
    assert rules(look(gone, total=10)) == {"share"}
    assert look(gone, total=100) == []
    assert look(gone) == []  # nothing is known


def test_shares_of_a_small_memory_say_nothing():
    items = [memory(number) for number in range(10)]
    assert look([Change(item.key, item, None) for item in items], Surrounding(12, {"n": 12})) == []


# -- vectors ---------------------------------------------------------------------------------------------------


def test_vectors_of_the_same_model_pass_also_on_another_topic():
    rows, topics = embeddings()
    for topic in sorted(set(topics)):
        assert learn(rows[topics == topic], knowing(rows[topics != topic])) == []
        assert learn(rows[topics != topic], knowing(rows[topics == topic])) == []


@pytest.mark.parametrize("known", [32, 100, 250])
@pytest.mark.parametrize("new", [8, 40])
def test_vectors_of_another_model_are_found(known, new):
    """A rotation keeps all lengths and angles among the vectors: what another model of the same dims would give."""
    rows, _ = embeddings()
    order = RANDOM.permutation(len(rows))
    rotation, _ = np.linalg.qr(RANDOM.normal(size=(384, 384)))
    around = knowing(rows[order[:known]])
    assert rules(learn(rows[order[-new:]] @ rotation, around)) == {"foreign"}
    assert learn(rows[order[-new:]], around) == []


@pytest.mark.parametrize(("known", "new"), [(31, 40), (200, 7)])
def test_too_few_vectors_say_nothing(known, new):
    rows, _ = embeddings()
    rotation, _ = np.linalg.qr(RANDOM.normal(size=(384, 384)))
    assert learn(rows[-new:] @ rotation, knowing(rows[:known])) == []


def test_random_vectors_in_no_direction_are_not_judged():
    rows = RANDOM.normal(size=(300, 64))
    assert learn(rows[200:], knowing(rows[:200])) == []


def test_other_lengths_are_found_and_single_giants_named():
    rows, _ = embeddings()
    assert rules(learn(rows[:40] * 3, knowing(rows[100:]))) == {"norms"}
    found = learn(np.concatenate((rows[:40], rows[40:41] * 100)), knowing(rows[100:]))
    assert [(each.rule, each.id) for each in found] == [("norm-outlier", "m00040")]


def test_a_vector_made_to_be_near_to_everything_is_named():
    rows, _ = embeddings()
    found = learn(np.concatenate((rows[:20], rows.mean(axis=0, keepdims=True))), knowing(rows[100:]))
    assert [(each.rule, each.id) for each in found] == [("hub", "m00020")]
    found = learn(np.concatenate((rows[:100], rows.mean(axis=0, keepdims=True))))
    assert [(each.rule, each.id) for each in found] == [("hub", "m00100")]


@pytest.mark.parametrize(("row", "rule"), [(np.zeros(384), "zero"), (np.full(384, 0.5), "constant")])
def test_blank_vectors_en_masse_are_found(row, rule):
    rows, _ = embeddings()
    assert rule in rules(learn([*rows[:50], *[row] * 8], knowing(rows[100:])))
    assert rule not in rules(learn([*rows[:50], *[row] * 2], knowing(rows[100:])))


def test_one_vector_for_many_texts_is_found_and_for_one_text_is_not():
    rows, _ = embeddings()
    assert "same" in rules(learn([*rows[:40], *[rows[50]] * 8], knowing(rows[100:])))
    items = [memory(number, rows[50], text="tea") for number in range(20)]
    assert "same" not in rules(look([Change(item.key, None, item) for item in items], knowing(rows[100:])))


def test_other_dims_than_the_namespace_has_are_found():
    rows, _ = embeddings()
    found = learn(rows[:10, :128], knowing(rows[100:]))
    assert rules(found) == {"dims"}
    assert "128" in found[0].message and "384" in found[0].message


def test_vectors_that_did_not_change_are_not_looked_at():
    rows, _ = embeddings()
    before = [memory(number, np.zeros(384)) for number in range(20)]
    after = [record.from_json({**item.to_json(), "importance": 2}) for item in before]
    assert look([Change(a.key, a, b) for a, b in zip(before, after, strict=True)], knowing(rows)) == []


def test_the_sample_does_not_depend_on_the_order():
    rows = RANDOM.normal(size=(5000, 8))
    items = [memory(number, row) for number, row in enumerate(rows)]
    changes = [Change(item.key, None, item) for item in items]
    one = look(changes, knowing(np.abs(RANDOM.normal(size=(200, 8)))))
    other = look(changes[::-1], knowing(np.abs(RANDOM.normal(size=(200, 8)))))
    assert rules(one) == rules(other)


def test_strange_numbers_do_no_harm():
    rows = np.array([[1e308, -1e308, 1e-308, 0.0]] * 3 + [[5e-324, 0.0, 0.0, 0.0]] * 60)
    assert "zero" in rules(learn(rows, knowing(np.full((60, 4), 1e300))))  # too short to have a direction
    assert isinstance(learn(np.ones((60, 1))), list)


def test_counting_the_most_frequent_needs_few_counters():
    heaviest = _Heaviest(8)
    for number in range(1000):
        heaviest.add(b"often" if number % 3 == 0 else f"{number}".encode(), memory(number))
    row_count = max(count for _, count, _ in heaviest.heaviest())
    assert 334 - 1000 // 9 <= row_count <= 334
    assert len(list(heaviest.heaviest())) <= 8


def test_rank_sums_of_equal_samples_are_in_the_middle():
    assert abs(_rank_z(np.arange(0, 100, 2.0), np.arange(1, 101, 2.0))) < 1
    assert _rank_z(np.zeros(20), np.ones(20)) < -5
