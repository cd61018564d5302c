"""Canonical bytes: one value has one encoding, that of RFC 8785, and nothing else is read as it."""

import json
import math
import struct
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from tests.property.strategies import BIG, any_double, bits_of, json_values, texts
from vexrepo.errors import InvalidData
from vexrepo.objects import canonical

big_integers = st.integers(-(10**400), 10**400) | st.integers(-(2**70), 2**70)


def code_of(raw: bytes) -> str:
    with pytest.raises(InvalidData) as caught:
        canonical.parse(raw)
    with pytest.raises(InvalidData) as decoded:
        canonical.decode(raw)
    assert decoded.value.code == caught.value.code
    return caught.value.code


def exact(value: Any) -> Any:
    """A value in a form that compares what JSON can tell apart: 1 is 1.0, true is not 1, digits count."""
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return ("number", canonical.number(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return ("number", str(value))
    return (type(value).__name__, value)


@given(json_values())
@example([1e16, 1e20, 1e21, 1e-6, 1e-7, -0.0, 100.0, 1.5e300, 5e-324])
@example({"\U00010000": 1, "\ue000": 2, "\uffff": 3, "🙂": 4, "a": 5, "": 6})
@example([[1.0], {"x": -1.0}, "1.0,", "1e5", ",1.0]"])
def test_encoding_is_that_of_rfc_8785(value: Any) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(json_values())
def test_decoding_gives_the_value_back(value: Any) -> None:
    raw = canonical.encode(value)
    found = canonical.decode(raw)
    assert exact(found) == exact(value)
    assert canonical.encode(found) == raw
    assert canonical.decode(memoryview(raw)) == found


@given(json_values(big_integers | texts))
def test_big_integers_keep_all_their_digits(value: Any) -> None:
    raw = canonical.encode(value)
    assert json.loads(raw) == value
    assert canonical.decode(raw) == value


@given(
    st.dictionaries(st.text(st.sampled_from("\ud7ff\ue000\uffff\U00010000\U0010ffffaz"), max_size=3), st.integers(0, 9))
)
def test_names_sort_by_utf_16_units(value: dict[str, int]) -> None:
    raw = canonical.encode(value)
    assert raw == rfc8785.dumps(value)
    assert list(json.loads(raw)) == sorted(value, key=lambda name: name.encode("utf-16-be"))


@given(st.integers(0, 2**64 - 1))
def test_every_double_prints_as_the_rfc_says_and_reads_back_bit_for_bit(bits: int) -> None:
    (number,) = struct.unpack("<d", struct.pack("<Q", bits))
    if not math.isfinite(number):
        for wrap in (number, [number], {"a": {"b": number}}, ["null", number]):
            with pytest.raises(InvalidData) as caught:
                canonical.encode(wrap)
            assert caught.value.code == "not-finite"
        return
    raw = canonical.encode(number)
    assert raw == rfc8785.dumps(number) == canonical.encode([number])[1:-1] == canonical.encode({"": number})[4:-1]
    back = float(json.loads(raw))
    assert bits_of(back) == bits_of(number if number else 0.0)


@given(any_double, st.sampled_from(["%r", "%.17e", "%.30f", "%.25g"]))
def test_a_number_written_in_any_way_is_read_as_the_nearest_double(number: float, form: str) -> None:
    text = (form % number).encode()
    found = canonical.parse(b"[" + text + b"]")
    assert isinstance(found, list)
    assert found[0] == json.loads(text)


@given(json_values(), st.integers(0, 3), st.booleans())
def test_any_json_text_is_parsed_to_its_value(value: Any, indent: int, ascii_only: bool) -> None:
    raw = json.dumps(value, indent=indent or None, ensure_ascii=ascii_only).encode()
    assert exact(canonical.parse(raw)) == exact(json.loads(raw))


@given(json_values(), st.data())
def test_nothing_is_decoded_that_encoding_does_not_give(value: Any, data: st.DataObject) -> None:
    raw = canonical.encode(value)
    other = data.draw(
        st.sampled_from(
            [
                b" " + raw,
                raw + b"\n",
                json.dumps(value, ensure_ascii=True).encode(),
                json.dumps(value, indent=1, ensure_ascii=False).encode(),
                json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(),
                raw.replace(b"a", b"\\u0061", 1),
                raw.replace(b"/", b"\\/", 1),
                raw.replace(b"0", b"0.0", 1),
                raw.replace(b"1", b"1e0", 1),
            ]
        )
    )
    try:
        found = canonical.decode(other)
    except InvalidData:
        assert other != raw
        return
    # A change inside a string may have made the encoding of another value; nothing else may be read.
    assert canonical.encode(found) == other


@given(st.dictionaries(texts, st.integers(), min_size=1, max_size=4), st.data())
def test_a_member_named_twice_is_refused_however_it_is_written(value: dict[str, int], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    spellings = [json.dumps(name), json.dumps(name, ensure_ascii=False)]
    if all(" " < mark < "\U00010000" for mark in name):
        spellings.append('"' + "".join(f"\\u{ord(mark):04x}" for mark in name) + '"')
    again, worth = data.draw(st.sampled_from(spellings)), data.draw(st.sampled_from(["0", "[]", '"x"']))
    members = [f"{json.dumps(key)}:{item}" for key, item in value.items()]
    members.insert(data.draw(st.integers(0, len(members))), f"{again}:{worth}")
    text = "{" + ",".join(members) + "}"
    if data.draw(st.booleans()):
        text = '{"deep":[' + text + "]}"
    assert code_of(text.encode()) == "duplicate-member"


@given(json_values(), st.sampled_from([b"NaN", b"Infinity", b"-Infinity", b"1e309", b"-1e400"]))
def test_no_text_stands_for_a_number_that_is_not_finite(value: Any, text: bytes) -> None:
    raw = b'{"a":' + canonical.encode(value) + b',"b":[' + text + b"]}"
    assert code_of(raw) == "not-finite"


@given(texts, st.integers(0xD800, 0xDFFF), texts)
def test_a_lone_surrogate_is_refused_both_ways(before: str, half: int, after: str) -> None:
    text = before + chr(half) + after
    for value in (text, {text: 1}, [{"a": text}], {"é": text}):
        with pytest.raises(InvalidData) as caught:
            canonical.encode(value)
        assert caught.value.code == "lone-surrogate"
    quoted = f"{json.dumps(before)[:-1]}\\u{half:04x}{json.dumps(after)[1:]}".encode()
    assert code_of(b"[" + quoted + b"]") == "lone-surrogate"
    assert code_of(b'{"a":"' + bytes((0xED, 0x80 | (half >> 6 & 0x3F), 0x80 | half & 0x3F)) + b'"}') == "not-utf8"


@given(st.integers(1, 300), st.sampled_from(["list", "object", "mixed"]), st.sampled_from([None, 1, "x", 1e300]))
@example(128, "list", None)
@example(129, "list", None)
@example(129, "object", 1)
def test_nesting_is_allowed_to_the_limit_and_refused_past_it(depth: int, kind: str, inner: Any) -> None:
    value: Any = inner
    for level in range(depth):
        value = [value] if kind == "list" or (kind == "mixed" and level % 2) else {"a": value}
    raw = json.dumps(value).encode()
    if depth <= canonical.MAX_DEPTH:
        assert canonical.parse(raw) == value
        assert canonical.decode(canonical.encode(value)) == value
        return
    with pytest.raises(InvalidData) as caught:
        canonical.encode(value)
    assert caught.value.code == "too-deep"
    assert code_of(raw) == "too-deep"


@given(json_values(size=4), st.binary(max_size=4), st.data())
def test_noise_is_read_as_python_reads_it_or_refused(value: Any, noise: bytes, data: st.DataObject) -> None:
    raw = bytearray(canonical.encode(value))
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 3))] = noise
    try:
        found = canonical.parse(bytes(raw))
    except InvalidData:
        return
    assert exact(found) == exact(json.loads(raw.decode()))


def test_the_empty_containers_count_as_levels() -> None:
    at_limit = b"[" * canonical.MAX_DEPTH + b"]" * canonical.MAX_DEPTH
    assert canonical.encode(canonical.decode(at_limit)) == at_limit
    assert code_of(b"[" + at_limit + b"]") == "too-deep"
    assert code_of(b"[" * 100_000) in ("too-deep", "not-json")
    assert code_of(b"[" * 100_000 + b"]" * 100_000) == "too-deep"


def test_integers_have_at_most_a_thousand_digits_both_ways() -> None:
    for longest in (10**1000 - 1, -(10**1000) + 1):
        assert canonical.decode(canonical.encode([longest])) == [longest]
    for value in (10**1000, -(10**1000), 10**5000):
        with pytest.raises(InvalidData) as caught:
            canonical.encode([value])
        assert caught.value.code == "too-long"
    assert code_of(b"[1" + b"0" * 1000 + b"]") == "too-long"
    assert code_of(b"-" + b"9" * 9000) == "too-long"


@pytest.mark.parametrize("value", [{1: "a"}, {None: 1}, b"bytes", object(), {"a": {1, 2}}, 1j, {"a": b""}, {(): 1}])
def test_values_without_a_json_form_are_refused(value: Any) -> None:
    with pytest.raises(InvalidData) as caught:
        canonical.encode(value)
    assert caught.value.code == "unsupported-value"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"[1,]", "not-json"),
        (b"{'a':1}", "not-json"),
        (b"01", "not-json"),
        (b"+1", "not-json"),
        (b".5", "not-json"),
        (b"1.", "not-json"),
        (b'"\x01"', "not-json"),
        (b"\xef\xbb\xbf1", "not-json"),
        (b'"\xff"', "not-utf8"),
        (b'"\xc0\x80"', "not-utf8"),
        (b"1 2", "not-json"),
        (b"// a\n1", "not-json"),
        (b"tru", "not-json"),
    ],
)
def test_what_is_not_json_is_refused_with_its_reason(raw: bytes, code: str) -> None:
    assert code_of(raw) == code


@pytest.mark.parametrize(
    "raw",
    [
        b"1.0", b"1e0", b"-0", b"-0.0", b"1E5", b"1e5", b"0.10", b" 1", b"[1, 2]", b'["\\u0061"]', b'["\\/"]',
        b'{"b":1,"a":2}', b'{"\xef\xbf\xbf":1,"\xf0\x90\x80\x80":2}', b"1000000000000000000000e0",
        b"100000000000000000000.0",
    ],
)  # fmt: skip
def test_a_second_spelling_of_a_value_is_not_canonical(raw: bytes) -> None:
    canonical.parse(raw)
    with pytest.raises(InvalidData) as caught:
        canonical.decode(raw)
    assert caught.value.code == "not-canonical"


def test_a_member_repeated_among_very_many_is_found_quickly() -> None:
    raw = b"{" + b",".join(b'"%d":0' % number for number in range(200_000)) + b',"199999":0}'
    assert code_of(raw) == "duplicate-member"


def test_the_largest_safe_integers_print_as_digits() -> None:
    assert canonical.encode([BIG, -BIG, 2**63, 2**64, 10**30]) == (
        b"[9007199254740991,-9007199254740991,9223372036854775808,18446744073709551616,1000000000000000000000000000000]"
    )
