"""The fast way to a line's canonical form is the slow one; what passes the check cannot change unnoticed."""

import json
import random
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property.strategies import any_double, attempt, tricky_text
from vexrepo.errors import InvalidData
from vexrepo.formats import canonical_line, javascript

NAMES = (
    *canonical_line.ORDER,
    *("modality", "score", "tags", "importance", "", "é", "🙂", "a b", "vectors"),
    *("0", "7", "10", "01", "-1", "4294967294", "4294967295", "1.5", "٣"),
    *("constructor", "toString", "__proto__", "toJSON"),
)
NUMBERS = (
    *(
        "0",
        "-0",
        "0.0",
        "-0.0",
        "1",
        "1.0",
        "-1",
        "100",
        "1e2",
        "1E2",
        "1e+2",
        "10.50",
        "12.5",
        "1e20",
        "1e21",
        "1.5e21",
    ),
    *("1e-5", "1e-05", "0.00001", "0.000001", "1e-6", "1e-7", "1.5e-07", "9.5e-5", "0.000095", "9.5e-05", "5e-324"),
    *("9007199254740991", "9007199254740992", "9007199254740993", "18446744073709551615", "18446744073709552000"),
    *("123456789012345680000", "999999999999999999999", "1e400", "-1e400", "1e-400", "0.1", "0.30000000000000004"),
    *("3.141592653589793238462643383279", "0.10000000149011612", "1e15", "1000000000000000.0", "1e+16", "1e16"),
)

numbers = st.one_of(
    st.sampled_from(NUMBERS),
    any_double.map(repr),
    any_double.map(javascript.number),
    any_double.map(lambda each: orjson.dumps(each).decode()),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(-2, 2, width=32).map(repr),
)
strings = st.one_of(
    st.text(max_size=8),
    tricky_text,
    st.sampled_from(['"vector":[', '"vector": [1]', "7130250613487291", "e", "]", ", "]),
)


class Spelling:
    """How a text of JSON is written: by one program, or by chance."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.wild = source.random() < 0.3
        self.comma, self.colon = source.choice(((",", ":"), (", ", ": ")))
        self.is_ascii = source.random() < 0.3

    def space(self) -> str:
        return self.source.choice(("", "", "", " ", "\t", "\r")) if self.wild else ""

    def write(self, value: Any) -> str:
        if isinstance(value, tuple):
            kind, content = value
            if kind == "number":
                return str(content)
            parts = [f"{self.string(name)}{self.space()}{self.colon}{self.write(item)}" for name, item in content]
            return "{" + self.space() + self.comma.join(parts) + self.space() + "}"
        if isinstance(value, list):
            return "[" + (self.comma + self.space()).join(self.write(item) for item in value) + self.space() + "]"
        if isinstance(value, str):
            return self.string(value)
        return json.dumps(value)

    def string(self, text: str) -> str:
        plain = json.dumps(text, ensure_ascii=self.is_ascii or any("\ud800" <= each <= "\udfff" for each in text))
        if self.wild and text and self.source.random() < 0.3:
            return "".join(('"', *(f"\\u{ord(each):04X}" if ord(each) < 0x10000 else each for each in text), '"'))
        return plain


number = st.tuples(st.just("number"), numbers)
leaves = st.one_of(st.none(), st.booleans(), number, strings)
names = st.one_of(st.sampled_from(NAMES), strings)


def members(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just("object"), st.lists(st.tuples(names, values), max_size=5))


values = st.recursive(leaves, lambda inner: st.one_of(st.lists(inner, max_size=4), members(inner)), max_leaves=8)
vectors = st.lists(st.one_of(number, st.floats(-1, 1, width=32).map(lambda each: ("number", repr(each)))), max_size=6)


@st.composite
def records(draw: st.DrawFn) -> Any:
    """A record as programs write them, now and then with something odd."""
    found: list[tuple[str, Any]] = [("id", draw(strings))]
    if draw(st.booleans()):
        found.append(("text", draw(strings)))
    if draw(st.integers(0, 3)):
        found.append(("vector", draw(vectors)))
    found += draw(st.lists(st.tuples(names, values), max_size=3))
    if draw(st.booleans()):
        found.append(("metadata", draw(members(leaves))))
    if draw(st.booleans()):
        found += [("modality", "text"), ("score", None), ("vex_version", "1.0.0")]
    return "object", found


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    value = draw(st.one_of(records(), records(), records(), values))
    return Spelling(random.Random(draw(st.integers(0, 2**32)))).write(value).encode("utf-8", "surrogatepass")


def canonical_or_none(line: bytes) -> bytes | None:
    return attempt(lambda: canonical_line.canonical(line))[0]


@settings(max_examples=1500)
@given(lines())
@example(b'{"id":"a","vector":[true ,1.5]}')
@example(b'{"id":"a","vector":["e"]}')
@example(b'{"id":"a","vector":[]}')
@example(b'{"id":"a","vector":[1, 2]}')
@example(b'{"vector": [1.5,2.5], "id": "a"}')
@example(b'{"id":"7130250613487291","vector":[1.5]}')
@example(b'{"id":"\\u0037130250613487291","vector":[1.5]}')
@example(b'{"id":"a","vector":[9007199254740993]}')
@example(b'{"id":"a","vector":[0.0,-0.0,10.0,-10.0]}')
@example(b'{"metadata":{"vector":[1.5]},"id":"a"}')
@example(b'{"id":"a","vector":[1.5],"vector":[2.5]}')
def test_the_fast_way_gives_what_the_slow_way_gives_and_only_for_lines_that_pass(line):
    fast = canonical_line.ordinary(line)
    if fast is not None:
        assert fast == canonical_line.canonical(line)
        canonical_line.check(line)


@settings(max_examples=500)
@given(lines())
@example(b'{"id":"a","vector":[1, 2]}')
@example(b'{"id":"a","vector":[9007199254740993]}')
@example(b'{"id":"a","vector":[0.0,-0.0,10.0,-10.0]}')
@example(b'{"id":"a","vector":[0.0,-0]}')
@example(b'{"id":"a","vector":[-0,0.0]}')
@example(b'{"id":"a","vector":[1e-7,1E-7]}')
@example(b'{"id":"a","vector":[1.50]}')
@example(b'{"id":"a","vector":[1.5],"vector":[2.5]}')
@example(b'{"id": "a", "vector": [1, 2,  3]}')
@example(b'{"id": "a", "vector": [1,2, 3]}')
def test_a_line_that_has_its_hash_without_its_numbers_being_read_is_settled(line):
    supposed = canonical_line.supposed(line)
    found, _ = attempt(lambda: canonical_line.canonical(line))
    if supposed is not None and supposed == found:
        canonical_line.check(line)


@pytest.mark.parametrize("is_ascii", [True, False])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20),
    st.dictionaries(st.sampled_from(["a", "b", "tags", "é"]), st.one_of(st.text(max_size=8), st.integers(-9, 9))),
)
def test_what_python_writes_is_read_the_fast_way(is_ascii, separators, vector, metadata):
    value = {"id": "a", "text": "ü🙂\n", "vector": vector, "dims": len(vector), "metadata": metadata, "score": 1.0}
    line = json.dumps(value, ensure_ascii=is_ascii, separators=separators).encode()
    assert canonical_line.ordinary(line) == canonical_line.canonical(line)
    assert canonical_line.supposed(line) == canonical_line.canonical(line)


@given(st.lists(any_double, min_size=1, max_size=20), st.sampled_from(["js", "orjson", "python"]))
def test_vectors_of_any_doubles_pass_however_programs_print_them(vector, program):
    print_one = {
        "js": javascript.number,
        "python": repr,
        "orjson": lambda each: orjson.dumps(each).decode(),
    }[program]
    line = ('{"id":"a","vector":[' + ",".join(map(print_one, vector)) + "]}").encode()
    canonical_line.check(line)
    assert canonical_line.ordinary(line) in (None, canonical_line.canonical(line))
    printed = [javascript.number(each) for each in vector]
    assert canonical_line.canonical(line) == ('{"id":"a","vector":[' + ",".join(printed) + "]}").encode()


@settings(max_examples=500)
@given(lines(), st.data())
def test_no_byte_of_a_line_that_passes_can_be_replaced_without_the_hash_changing(line, data):
    if attempt(lambda: canonical_line.check(line))[1]:
        return
    before = canonical_line.canonical(line)
    for _ in range(20):
        at = data.draw(st.integers(0, len(line) - 1))
        other = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b' \t",:.eE+-0159[]{}')))
        changed = line[:at] + bytes((other,)) + line[at + 1 :]
        if changed != line and not attempt(lambda changed=changed: canonical_line.check(changed))[1]:
            assert canonical_or_none(changed) != before


@given(st.floats(allow_nan=False))
def test_every_double_is_printed_so_that_it_is_read_back(value):
    printed = javascript.number(value)
    assert printed == "null" if value in (float("inf"), float("-inf")) else float(printed) == value


@given(st.recursive(st.one_of(st.none(), st.booleans(), st.text(), any_double), st.lists))
def test_a_printed_value_parses_to_itself(value):
    assert javascript.parse(javascript.stringify(value)) == value


def test_depth_is_limited_with_a_clear_error():
    with pytest.raises(InvalidData) as caught:
        canonical_line.canonical(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert caught.value.code == "too-deep"
    with pytest.raises(InvalidData) as caught:
        canonical_line.canonical(b'{"a":' + b"[" * 700 + b"]" * 700 + b"}")
    assert caught.value.code == "too-deep"
    assert canonical_line.canonical(b'{"a":' + b"[" * 300 + b"]" * 300 + b"}")
