"""The checks against the labelled sample: floors of precision and recall, and a page that says what was measured."""

import re

import pytest

from tests.sample import measure
from tests.sample.fakes import SECRETS, Fakes
from tests.sample.loading import HERE, PARTS, read_part
from vexrepo.hooks.registry import make_check

FLOORS = {  # check, part: precision, recall
    ("secrets", "tuned"): (0.98, 0.98),
    ("secrets", "held_out"): (0.98, 0.92),
    ("injection", "tuned"): (0.98, 0.95),
    ("injection", "held_out"): (0.97, 0.82),
    ("pii", "tuned"): (0.98, 0.98),
    ("pii", "held_out"): (0.98, 0.90),
}


@pytest.mark.parametrize(("name", "part"), FLOORS)
def test_precision_and_recall_stay_above_their_floors(name, part):
    got = measure.measure(part, name)
    precision, recall = FLOORS[name, part]
    assert got.precision >= precision and got.recall >= recall, (got.precision, got.recall, got.places)


@pytest.mark.parametrize(("name", "precision", "recall"), [("schema", 0.98, 0.98), ("drift", 0.98, 0.9)])
def test_precision_and_recall_of_batches_stay_above_their_floors(name, precision, recall):
    got = measure.measure_batches(name)
    assert got.precision >= precision and got.recall >= recall, (got.precision, got.recall, got.places)
    assert got.ordinary > 50 and got.found > 30


def test_no_ordinary_memory_is_refused():
    for name in ("secrets", "injection"):
        for part in PARTS:
            assert measure.measure(part, name).refused_false <= (1 if part == "held_out" else 0), (name, part)


def test_the_page_says_what_was_measured():
    text = measure.PAGE.read_text("utf-8")
    assert measure.page_with(text, measure.table()) == text, "run: python -m tests.sample.measure --write"


def test_each_part_has_some_hundreds_of_memories_and_hard_negatives():
    for part in PARTS:
        samples = read_part(part)
        assert len(samples) > 300
        assert sum(not sample.check for sample in samples) > 100


def test_the_files_hold_nothing_that_a_check_takes_for_a_secret_of_known_form():
    """What a host's scanner would refuse to take: tokens are made when the sample is read."""
    prefixes = ("ghp_(?!x)", "xoxb-", "sk_live_", "AKIA(?!X|IOS)", "glpat-")
    rules = "|".join(rf"{prefix}[\w-]{{16,}}" for prefix in prefixes)
    for path in HERE.rglob("*.jsonl"):
        assert not re.search(rules, path.read_text("utf-8")), path


@pytest.mark.parametrize("name", sorted(set(SECRETS) - {"password", "twilio_sid"}))
def test_fakes_are_new_each_time_and_the_same_for_a_seed(name):
    assert SECRETS[name](Fakes("a")) == SECRETS[name](Fakes("a")) != SECRETS[name](Fakes("b"))


@pytest.mark.parametrize("part", PARTS)
def test_no_finding_of_any_check_repeats_a_secret_of_the_sample(part):
    for sample in read_part(part):
        for name in ("secrets", "injection", "pii", "schema"):
            check = make_check(name, {})
            for finding in (*check.look([sample.change]), *check.finish(None)):
                for secret in sample.secrets:
                    assert secret not in finding.message + finding.field
                    if len(secret) > 8:
                        assert secret[:8] not in finding.message + finding.field, sample.place
