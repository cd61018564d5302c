"""The quick look and the exact way agree; what is valid can be read; the JSON Schema says the same."""

import json
from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import attempt, json_values, record_values, texts
from vexrepo.formats import schema, validation, vmig
from vexrepo.formats.validation import check_exactly, check_line, severity

numbers = st.one_of(st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False), st.just(2**53 + 1))
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), numbers, texts)
anything = st.one_of(scalars, json_values())
vectors = st.one_of(
    st.none(),
    st.lists(numbers, max_size=4),
    st.lists(st.one_of(numbers, scalars), max_size=3),
    st.lists(st.lists(numbers, min_size=1, max_size=2), max_size=2),
    st.just({"indices": [1], "values": [0.5]}),
    anything,
)
dates = st.one_of(
    st.sampled_from(["2026-01-31", "2026-01-31T09:30:00.000Z", " 2026-01-31", "2026-02-30", "2026", "now"]),
    st.sampled_from([0, 1780525199, 1780525199000.5, -1e15, 1e16, 1e20]),
)
members: dict[str, st.SearchStrategy[Any]] = {
    "id": st.one_of(st.text("ab", max_size=2), anything),
    "text": st.one_of(st.none(), texts, anything),
    "vector": vectors,
    "model": st.one_of(st.just("m"), anything),
    "dims": st.one_of(st.integers(-1, 4), st.just(2.0), anything),
    "namespace": st.one_of(st.sampled_from(["", "a"]), anything),
    "metadata": st.one_of(st.dictionaries(texts, st.one_of(scalars, st.lists(scalars, max_size=2))), anything),
    "created_at": st.one_of(dates, anything),
    "source_store": st.one_of(st.just("s"), anything),
    "modality": st.one_of(st.just("text"), anything),
    "score": st.one_of(st.just(0.5), anything),
    "vex_version": st.one_of(st.sampled_from(["1.0.0", "1.0", "2.1.0-rc.1", "1", "v1.0.0"]), anything),
    "extra": anything,
}
good = {"id": "a", "text": "x", "vex_version": "1.0.0"}


@st.composite
def values(draw: st.DrawFn, **others: st.SearchStrategy[Any]) -> dict[str, Any]:
    """A record of which some members are wrong."""
    kinds = {**members, **others}
    value = {**draw(record_values()), **good} if draw(st.booleans()) else dict(good)
    for name in draw(st.sets(st.sampled_from(sorted(kinds)), max_size=5)):
        value[name] = draw(kinds[name])
    for name in draw(st.sets(st.sampled_from(sorted(value)), max_size=1)):
        del value[name]
    return value


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line of a file as other programs may write it, at times damaged."""
    value = draw(values())
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", "\t:")]))
    raw = json.dumps(value, separators=separators, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(raw)))
        piece = draw(
            st.one_of(
                st.binary(max_size=2),
                st.sampled_from(
                    [b'"', b"\\", b"]", b"{}", b'"vector":[1],', b"1e999", b"NaN", b"\\u0022", b"\xef\xbb\xbf"]
                ),
            )
        )
        raw = raw[:at] + piece + raw[at + draw(st.integers(0, 2)) :]
    return raw.replace(b"\n", b" ") + draw(st.sampled_from([b"\n", b"\r\n", b""]))


@given(lines())
def test_the_quick_look_and_the_exact_way_agree(line: bytes) -> None:
    assert check_line(line) == check_exactly(line)


@given(lines())
def test_what_is_valid_can_be_read(line: bytes) -> None:
    checked = check_line(line)
    if all(severity(found.code, strict=False) != "error" for found in checked.findings):
        item = vmig.parse_record(line)
        assert checked.key is not None
        assert item.key == vmig.record.make_key(*checked.key)
        codes, again = ({found.code for found in each.findings} for each in (checked, validation.check_record(item)))
        # An empty vector, and what only files must say, is not there in a store.
        beside = {"no-vector", "vector-shape"} | validation.NOT_OF_STORES
        assert codes - beside == again - beside


@given(lines())
def test_what_cannot_be_read_is_an_error(line: bytes) -> None:
    _, code = attempt(lambda: vmig.parse_record(line))
    if code:
        codes = {found.code for found in check_line(line).findings}
        assert code in codes or codes & {"dims-mismatch", "member-type", "vector-type"}


def _codes(value: dict[str, Any], *, strict: bool) -> set[str]:
    found = check_line(json.dumps(value).encode()).findings
    return {each.code for each in found if severity(each.code, strict=strict) == "error"}


LENIENT = jsonschema.Draft202012Validator(schema.json_schema())
STRICT = jsonschema.Draft202012Validator({**schema.json_schema(), "$ref": "#/$defs/strict"})
# What a schema cannot say: two members that must agree, dates that exist, ids that repeat, exact integers, equal rows.
UNSAID = {"dims-mismatch", "time-form", "not-finite", "limit-exceeded", "vector-type"}


@given(values(), st.booleans())
def test_what_the_schema_refuses_is_an_error(value: dict[str, Any], strict: bool) -> None:
    if not (STRICT if strict else LENIENT).is_valid(value):
        assert _codes(value, strict=strict)


@given(values(), st.booleans())
def test_an_error_that_a_schema_can_tell_is_refused_by_it(value: dict[str, Any], strict: bool) -> None:
    codes = _codes(value, strict=strict)
    if codes - UNSAID:
        assert not (STRICT if strict else LENIENT).is_valid(value), codes
