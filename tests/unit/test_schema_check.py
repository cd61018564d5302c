"""The check schema: the rules of vmig, and vectors that fit what a namespace holds."""

from typing import Any

import pytest

from vexrepo.errors import CODES
from vexrepo.hooks.check import Change, Finding, Severity
from vexrepo.hooks.checks.schema import SchemaCheck
from vexrepo.hooks.surrounding import NOTHING_KNOWN, Shape, Surrounding
from vexrepo.objects import record
from vexrepo.objects.record import Record


def memory(identifier: str, dims: int = 0, model: Any = "tiny", namespace: str = "n", **more: Any) -> Record:
    value: dict[str, Any] = {"id": identifier, "text": "t", "namespace": namespace, **more}
    if model is not None:
        value["model"] = model
    if dims:
        value["vector"] = [0.5] * dims
    return record.from_json(value)


def look(
    *items: Record, surrounding: Surrounding = NOTHING_KNOWN, before: Record | None = None, **settings: Any
) -> list[Finding]:
    check = SchemaCheck.make({"severity": "veto", **settings})
    check.enter(surrounding)
    found = list(check.look([Change(item.key, before, item) for item in items]))
    return [*found, *check.finish(None)]


def holding(**shapes: int) -> Surrounding:
    """Namespace n with so many vectors of each, e.g. tiny_4=10."""
    made = {Shape("", "dense", name.split("_")[0], int(name.split("_")[1])): count for name, count in shapes.items()}
    return Surrounding(sum(shapes.values()), {"n": sum(shapes.values())}, {"n": made})


def test_a_good_memory_has_no_findings():
    assert (
        look(memory("a", 4, created_at="2026-01-31", metadata={"importance": 3}), surrounding=holding(tiny_4=9)) == []
    )


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("model", 3, "member-type"),
        ("created_at", "yesterday", "time-form"),
        ("metadata", "none", "member-type"),
        ("modality", None, "member-type"),
    ],
)
def test_what_breaks_the_format_is_refused_and_its_value_not_shown(member, value, code):
    found = [each for each in look(memory("a", **{"model": None, member: value})) if each.severity is Severity.VETO]
    assert [(each.rule, each.field) for each in found] == [(code, member)]
    assert found[0].message == CODES[code]


def test_what_the_format_discourages_passes_and_is_refused_when_strict():
    item = memory("a", metadata={"tags": ["a"], "deep": {"er": 1}})
    assert look(item) == []
    assert {(each.rule, each.severity) for each in look(item, strict=True)} == {
        ("metadata-list", Severity.VETO),
        ("metadata-nested", Severity.VETO),
    }


def test_one_model_has_one_number_of_dims():
    (found,) = look(memory("a", 3), surrounding=holding(tiny_4=9))
    assert (found.rule, found.severity, found.id, found.field) == ("dims-other", Severity.VETO, "a", "vector")
    assert "'tiny', 3 dims" in found.message and "'tiny', 4 dims" in found.message


def test_another_model_is_a_warning():
    (found,) = look(memory("a", 3, "other"), surrounding=holding(tiny_4=9))
    assert (found.rule, found.severity) == ("model-other", Severity.WARNING)


def test_a_model_that_is_not_named_may_be_the_one_that_is_used():
    assert look(memory("a", 4, None), surrounding=holding(tiny_4=9)) == []
    assert [each.rule for each in look(memory("a", 3, None), surrounding=holding(tiny_4=9))] == ["dims-other"]


def test_a_namespace_with_several_models_takes_each_of_them():
    assert look(memory("a", 4), memory("b", 8, "big"), surrounding=holding(tiny_4=9, big_8=2)) == []


def test_a_new_namespace_is_held_to_what_the_model_has_elsewhere():
    assert [each.rule for each in look(memory("a", 3, namespace="new"), surrounding=holding(tiny_4=9))] == [
        "dims-other"
    ]
    assert look(memory("a", 3, "unknown", namespace="new"), surrounding=holding(tiny_4=9)) == []


def test_a_batch_is_held_to_its_own_first_vector_where_nothing_is_known():
    found = look(memory("a", 4), memory("b", 4), memory("c", 5))
    assert [(each.rule, each.id) for each in found] == [("dims-other", "c")]


def test_a_memory_that_was_so_before_stays():
    item = memory("a", 3)
    assert look(memory("a", 3, importance=4), surrounding=holding(tiny_4=9), before=item) == []


def test_embedding_a_whole_namespace_anew_is_a_warning_only():
    items = [memory(f"m{number:02}", 3) for number in range(30)]
    found = look(*items, surrounding=holding(tiny_4=30))
    assert {each.severity for each in found} == {Severity.WARNING}
    assert len(found) == 20 and "30 memories in all" in found[0].message
    assert {each.severity for each in look(*items, surrounding=holding(tiny_4=31))} == {Severity.VETO}


def test_named_vectors_are_compared_by_their_names():
    item = memory("a", 4, vectors={"title": [1.0, 2.0]})
    assert look(item, surrounding=holding(tiny_4=9)) == []
    known = Surrounding(9, {"n": 9}, {"n": {Shape("title", "dense", "tiny", 3): 9}})
    assert [(each.rule, each.field) for each in look(item, surrounding=known)] == [("dims-other", "vectors.title")]


def test_severity_is_as_set():
    (found,) = look(memory("a", 3), surrounding=holding(tiny_4=9), severity="note")
    assert found.severity is Severity.NOTE
