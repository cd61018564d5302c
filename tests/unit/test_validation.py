"""What is said about one line: a case for every code."""

import json

import pytest

from vexrepo.errors import CODES
from vexrepo.formats import validation
from vexrepo.formats.validation import check_exactly, check_line, severity

GOOD = {
    "id": "m1",
    "text": "tea at four",
    "vector": [0.5, -0.25],
    "model": "tiny",
    "dims": 2,
    "namespace": "notes",
    "metadata": {"importance": 3, "pinned": False, "topic": None, "by": "alice"},
    "created_at": "2026-01-31T09:30:00.000Z",
    "source_store": "vektor",
    "modality": "text",
    "score": 0.5,
    "vex_version": "1.0.0",
}


def codes(line: bytes) -> set[str]:
    """The codes of a line, the same both ways; "no-vector" is left out."""
    found = check_line(line)
    assert found == check_exactly(line)
    return {finding.code for finding in found.findings} - {"no-vector"}


def codes_of(**changes: object) -> set[str]:
    value = {**GOOD, **changes}
    return codes(json.dumps({name: item for name, item in value.items() if item is not ...}).encode())


def test_a_good_record_has_no_findings():
    assert check_line(json.dumps(GOOD).encode()).findings == ()
    assert check_line(json.dumps(GOOD).encode()).key == ("notes", "m1")
    assert codes(b'{"id":"a","text":"","vex_version":"1.0"}') == set()


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("id", ..., "id-missing"),
        ("id", None, "id-missing"),
        ("id", "", "id-missing"),
        ("id", 7, "id-missing"),
        ("vex_version", ..., "version-missing"),
        ("vex_version", None, "version-missing"),
        ("vex_version", 1, "version-missing"),
        ("vex_version", "one", "version-missing"),
        ("vex_version", "1.0.0\n", "version-missing"),
        ("text", 3, "member-type"),
        ("text", ["a"], "member-type"),
        ("model", 3, "member-type"),
        ("source_store", False, "member-type"),
        ("modality", None, "member-type"),
        ("modality", 1, "member-type"),
        ("score", "high", "member-type"),
        ("score", True, "member-type"),
        ("metadata", [1], "member-type"),
        ("metadata", "none", "member-type"),
        ("created_at", True, "member-type"),
        ("created_at", ["2026"], "member-type"),
        ("namespace", 7, "namespace-type"),
        ("dims", 3, "dims-mismatch"),
        ("dims", True, "dims-mismatch"),
        ("dims", "2", "dims-mismatch"),
        ("dims", 2.5, "dims-mismatch"),
        ("vector", "0.5", "vector-type"),
        ("vector", [0.5, None], "vector-type"),
        ("vector", [0.5, "a"], "vector-type"),
        ("vector", [True, 0.5], "vector-type"),
        ("vector", [[1.0, 2.0], [1.0]], "vector-type"),
        ("vector", {"x": 1}, "vector-type"),
        ("vector", [9007199254740993, 1], "vector-type"),
        ("vectors", {"title": ["x"]}, "vector-type"),
        ("created_at", "yesterday", "time-form"),
        ("created_at", "2026-02-30", "time-form"),
        ("created_at", 1e17, "time-form"),
        ("created_at", 1780525199, "time-number"),
        ("created_at", 1780525199000.5, "time-number"),
        ("metadata", {"tags": ["a", "b"]}, "metadata-list"),
        ("metadata", {"a": {"b": 1}}, "metadata-nested"),
        ("metadata", {"a": [[1]]}, "metadata-nested"),
        ("vector", [[1.0, 2.0], [3.0, 4.0]], "vector-shape"),
        ("vector", {"indices": [1], "values": [0.5]}, "vector-shape"),
        ("vectors", {"title": [0.5]}, "vector-shape"),
    ],
)
def test_a_member_that_is_not_as_it_should_be_is_named(member, value, code):
    found = codes_of(**{member: value})
    assert code in found
    assert found <= {code, "vector-shape"}
    assert code in CODES


@pytest.mark.parametrize(
    ("dims", "vector", "code"),
    [
        (2.0, [1.5, 2.5], None),
        (384, None, None),
        (None, [1.5], None),
        (0, [], "vector-shape"),
        (3, [], "dims-mismatch"),
        (-1, None, "member-type"),
        ("3", None, "member-type"),
        (False, None, "member-type"),
        (2.5, None, "member-type"),
        (True, [1.5], "dims-mismatch"),
    ],
)
def test_dims_must_be_the_length_of_the_vector(dims, vector, code):
    found = codes_of(dims=dims, vector=vector)
    assert found - {"vector-shape"} == ({code} if code not in (None, "vector-shape") else set())


@pytest.mark.parametrize(
    "empty", [{}, {"text": None}, {"vector": None}, {"text": None, "vector": None}, {"vectors": {}}]
)
def test_a_record_needs_a_text_or_a_vector(empty):
    line = json.dumps({"id": "a", "vex_version": "1.0.0", **empty}).encode()
    assert "record-empty" in codes(line)
    assert "no-vector" not in {finding.code for finding in check_line(line).findings}


def test_a_text_without_a_vector_is_noted():
    found = check_line(b'{"id":"a","text":"x","vex_version":"1.0.0"}').findings
    assert [finding.code for finding in found] == ["no-vector"]
    assert severity("no-vector", strict=True) == "note"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "not-json"),
        (b"nothing", "not-json"),
        (b'{"id":"a","text":"x","vex_version":"1.0.0"} x', "not-json"),
        (b'\xef\xbb\xbf{"id":"a","text":"x","vex_version":"1.0.0"}', "not-json"),
        (b"[1]", "not-an-object"),
        (b'"text"', "not-an-object"),
        (b"12.5", "not-an-object"),
        (b"null", "not-an-object"),
        (b"true", "not-an-object"),
        (b'{"id":"a","id":"b","text":"x","vex_version":"1.0.0"}', "duplicate-member"),
        (b'{"id":"a","text":"x","metadata":{"k":1,"k":1},"vex_version":"1.0.0"}', "duplicate-member"),
        (b'{"id":"a","vector":[1.5],"vector":[1.5],"vex_version":"1.0.0"}', "duplicate-member"),
        (b'{"id":"a","text":"\\ud800","vex_version":"1.0.0"}', "lone-surrogate"),
        (b'{"id":"a","text":"\xff","vex_version":"1.0.0"}', "not-utf8"),
        (b'{"id":"a","vector":[NaN],"vex_version":"1.0.0"}', "not-finite"),
        (b'{"id":"a","vector":[1e999],"vex_version":"1.0.0"}', "not-finite"),
        (b'{"id":"a","text":"x","score":-Infinity,"vex_version":"1.0.0"}', "not-finite"),
        (b'{"id":"a","text":"x","more":' + b"[" * 200 + b"]" * 200 + b',"vex_version":"1.0.0"}', "too-deep"),
        (b'{"id":"a","text":"x","score":' + b"1" * 1001 + b',"vex_version":"1.0.0"}', "too-long"),
        (b'{"id":"' + b"a" * (1 << 20) + b'","text":"x","vex_version":"1.0.0"}', "limit-exceeded"),
    ],
)
def test_a_line_that_is_no_record_is_refused_with_the_reason(line, code):
    assert codes(line) == {code}


def test_every_wrong_member_of_a_record_is_said():
    found = codes_of(id=1, text=2, vex_version=3, metadata={"a": [1], "b": {}}, created_at="then", dims=9)
    assert found == {
        "id-missing",
        "member-type",
        "version-missing",
        "metadata-list",
        "metadata-nested",
        "time-form",
        "dims-mismatch",
    }


def test_what_goes_beyond_the_format_is_a_warning_and_strictly_an_error():
    assert severity("metadata-list", strict=False) == "warning"
    assert severity("metadata-list", strict=True) == "error"
    assert severity("not-json", strict=False) == "error"
    assert set(CODES) >= validation.WARNINGS | validation.NOTES


def test_white_space_does_not_keep_a_line_from_the_quick_look():
    spaced = json.dumps(GOOD, separators=(" , ", " : ")).encode() + b"\r\n"
    assert validation._check_quickly(spaced) == check_exactly(spaced)
    assert validation._check_quickly(json.dumps(GOOD).encode()) is not None
