"""vmig lines: the fast way of reading one is the strict way, and a line written is the record it was written from."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.property.strategies import any_double, json_values, record_values, texts
from vexrepo.errors import InvalidData
from vexrepo.formats import vmig
from vexrepo.objects import canonical, record
from vexrepo.objects.record import Record
from vexrepo.testing.stores import tricky_values

MARK = vmig._MARK_TEXT.decode()
# Texts that look like what the fast path searches for.
bait = st.sampled_from(
    ['"vector":[1,2]', '"vector":[', '"vector":null', '"vector":true', '\\"vector\\":[', "]", '"', '\\"', "\\u0022",
     "\\\\u0022", '","id":"b', "8e5-4d3", "1e5,", "2.0,", '"vectors":{}', "\u2028", "🙂", "\uffff", MARK,
     f'"vector":{MARK}', "true", "null", '"vector":[1]}', "\0"]
)  # fmt: skip
baited_text = st.lists(st.one_of(bait, texts), max_size=3).map("".join)
uuids = st.uuids().map(str) | st.integers(0, 10**16).map(lambda number: f"{number}e5-{number}.0")
numbers = st.lists(
    st.one_of(st.floats(width=32, allow_nan=False, allow_infinity=False), any_double, st.integers(-9, 9))
)
nested = json_values(st.one_of(st.none(), st.booleans(), st.integers(), any_double, baited_text), size=6)
names = st.one_of(st.sampled_from(["vector", "vectors", "id", "x", "text", "dims", 'a"vector', "é", MARK]), baited_text)


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """A record as a JSON object: mostly good, with every kind of bait in every place."""
    value: dict[str, Any] = {"id": draw(uuids | baited_text.filter(bool))}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "text": baited_text | st.none() | st.dictionaries(names, nested, max_size=2),
        "namespace": st.none() | baited_text,
        "metadata": st.dictionaries(names, nested, max_size=3),
        "vector": numbers | st.none() | st.just([[1.5, 2.0], [0.1, 3]]) | st.just({"indices": [3], "values": [0.1]}),
        "model": st.sampled_from(["m", None, 7]),
        "vectors": st.dictionaries(names, numbers, max_size=2) | nested,
        "score": any_double | st.integers(),
        "é": nested,
        draw(names): nested,
    }
    for name in draw(st.permutations(sorted(optional))):
        if draw(st.booleans()):
            value[name] = draw(optional[name])
    if draw(st.booleans()):
        order = draw(st.permutations(sorted(value)))
        value = {name: value[name] for name in order}
    return value


def written(draw: st.DrawFn | Any, value: dict[str, Any]) -> bytes:
    """The object as one of the lines a tool might write."""
    compact = draw(st.booleans())
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=(",", ":") if compact else (", ", ": "))
    if draw(st.integers(0, 4)) == 0 and "\\\\" not in text:
        text = text.replace('\\"', "\\u0022")
    if draw(st.integers(0, 4)) == 0:
        text = text.replace('"vector":', draw(st.sampled_from(['"vector" :', '"vector":\t', '"\\u0076ector":'])))
    if draw(st.integers(0, 4)) == 0:
        text = text.replace("[", "[ ", 1)
    return text.encode() + draw(st.sampled_from([b"", b"\n", b"\r\n", b" \n"]))


def read_strictly(line: bytes) -> Record:
    value = canonical.parse(line)
    if not isinstance(value, dict):
        raise InvalidData("not an object", code="not-an-object")
    return record.from_json(value)


def outcome(read: Any, line: bytes) -> Record | str:
    try:
        found: Record = read(line)
    except InvalidData:
        return "refused"
    return found


@given(values(), st.data())
@example({"m": {"vector": [1]}, "id": "a", "vector": True}, None)
@example({"id": "a", "m": {"vector": [1]}, "vector": None}, None)
@example({"id": "a", 'a"vector': [1], "vector": True}, None)
@example({"id": "a", "vector": [36893488147419103233, 0.5]}, None)
@example({"id": "a", "vector": [12345678901234567000, 0.5]}, None)
@example({"id": "a", "vector": [7130250613487291], "m": 7130250613487291}, None)
@example({"m": {"vector": [1]}, "id": "a", "vector": 7130250613487291}, None)
@example({"id": "a", "vector": [1.5, 2.5], "metadata": {"uuid": "1e5-4e7", "n": 1e300, "k": 1.0}}, None)
@example({"id": "a", "vector": [1.5, 2.5], "metadata": {"big": 2**64 + 1}}, None)
@example({"id": "a", "vector": [1.5, 2.5], "metadata": {"big": 10**400}}, None)
@example({"id": "a", "vector": [], "dims": 0}, None)
@example({"id": "a", "vector": ["]"], "x": "]"}, None)
def test_the_fast_path_reads_what_the_strict_path_reads(value: dict[str, Any], data: Any) -> None:
    line = json.dumps(value, separators=(",", ":")).encode() if data is None else written(data.draw, value)
    assert outcome(vmig.parse_record, line) == outcome(read_strictly, line)


@given(record_values(), st.data())
def test_a_good_record_reads_the_same_both_ways_and_not_as_refused(value: dict[str, Any], data: st.DataObject) -> None:
    line = written(data.draw, value)
    assert vmig.parse_record(line) == read_strictly(line)


@given(values(), st.data())
@example({"id": "a", "text": {"vector": None}, "vector": [1.0, 2.0]}, None)
@example({"id": "a", "text": [{"vector": None, "é": 1e300}], "vector": [1.0, 2.0], "x": {"vector": None}}, None)
@example({"id": "a", "text": '"vector":null', "vector": [1.0, 2.0]}, None)
@example({"id": "a", "vector": [12345678901234567890.0, 0.1]}, None)
@example({"id": "a", "vector": [0.5], "metadata": {"big": 10**400, "é": 1}}, None)
@example({"id": "a", "vectors": {"": [1.0]}}, None)
@example({"id": "a", "vector": [[0.1, 1e20], [2, -0.0]], "vectors": {"é": {"indices": [1], "values": [1e20]}}}, None)
def test_a_line_written_is_the_record_it_was_written_from(value: dict[str, Any], data: Any) -> None:
    line = json.dumps(value, separators=(",", ":")).encode() if data is None else written(data.draw, value)
    found = outcome(read_strictly, line)
    if isinstance(found, str):
        return
    again = vmig.format_record(found)
    assert b"\n" not in again
    assert vmig.parse_record(again) == found
    assert read_strictly(again) == found
    assert vmig.format_record(vmig.parse_record(again)) == again
    order = [name for name in json.loads(again) if name in vmig.MEMBER_ORDER]
    assert order == [name for name in vmig.MEMBER_ORDER if name in order]


@given(values(), st.data())
def test_a_member_named_twice_is_always_refused(value: dict[str, Any], data: st.DataObject) -> None:
    """In the record itself or in anything nested, in any spelling, with any worth."""
    members = [(name, json.dumps(item, separators=(",", ":"))) for name, item in value.items()]
    if data.draw(st.booleans()):
        members.append(("vector", data.draw(st.sampled_from(["[1.5,2.5]", "[0.1,0.2]", "[1]", "null"]))))
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from([name for name, _ in members]))
        worth = data.draw(
            st.sampled_from(
                ["true", "null", '""', "[1.5,2.5]", "0", MARK, '{"vector":[1]}', "[]", '"\\""', members[0][1]]
            )
        )
        members.insert(data.draw(st.integers(0, len(members))), (name, worth))
    else:
        inside = data.draw(st.sampled_from(['{"x":1,"x":[]}', '{"vector":[1],"vector":true}', '[{"":"\\"","":1}]']))
        members.append(("nested", inside))
        if len({name for name, _ in members}) == len(members) and data.draw(st.booleans()):
            members = members[-1:] + members[:-1]
    spelled = [
        '"' + "".join(f"\\u{ord(mark):04x}" for mark in name) + '"'
        if data.draw(st.integers(0, 3)) == 0 and all(" " < mark < "\ud800" for mark in name)
        else json.dumps(name)
        for name, _ in members
    ]
    line = "{" + ",".join(f"{name}:{worth}" for name, (_, worth) in zip(spelled, members, strict=True)) + "}"
    with pytest.raises(InvalidData):
        vmig.parse_record(line.encode())


@given(values(), st.binary(max_size=5), st.data())
def test_noise_in_a_line_is_read_as_the_strict_path_reads_it(
    value: dict[str, Any], noise: bytes, data: st.DataObject
) -> None:
    line = bytearray(written(data.draw, value))
    at = data.draw(st.integers(0, len(line)))
    line[at : at + data.draw(st.integers(0, 4))] = data.draw(
        st.sampled_from([noise, b'"vector":[', b"]", b'"', b"\\", b"NaN", b'"vector":true,', vmig._MARK_TEXT, b"\xff"])
    )
    assert outcome(vmig.parse_record, bytes(line)) == outcome(read_strictly, bytes(line))
    assert isinstance(vmig.line_id(bytes(line)), str)


@given(st.text(max_size=6), st.text(min_size=1, max_size=6), st.text(max_size=6), st.text(min_size=1, max_size=6))
@example("a", "b", "a\0", "b")
@example("a", "\0\x01b", "a\0\x01", "b")
@example("", "a", "\0", "a")
def test_keys_sort_by_namespace_then_id_and_give_both_back(space: str, name: str, space2: str, name2: str) -> None:
    one, two = record.make_key(space, name), record.make_key(space2, name2)
    assert record.split_key(one) == (space, name)
    assert (one < two) == ((space, name) < (space2, name2))
    assert (one == two) == ((space, name) == (space2, name2))


@pytest.mark.parametrize("value", tricky_values(), ids=lambda value: repr(value["id"])[:20])
def test_a_tricky_record_survives_a_line(value: dict[str, Any]) -> None:
    line = json.dumps(value, separators=(",", ":")).encode()
    found = vmig.parse_record(line)
    assert found == read_strictly(line) == record.from_json(json.loads(line))
    assert vmig.parse_record(vmig.format_record(found)) == found
    assert record.check_record(found) == found.key
    assert record.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"id":"a","vector":[1.5,2.5],"vector":[1.5,2.5]}', "duplicate-member"),
        (b'{"vector":[1.5,2.5],"id":"a","vector":true}', "duplicate-member"),
        (b'{"id":"a","m":{"vector":[1.5]},"vector":true}', "vector-type"),
        (b'{"id":"a","vector":[1.5,2.5],"dims":3}', "dims-mismatch"),
        (b'{"id":"a","vector":[1.5,2.5],"dims":"2"}', "dims-mismatch"),
        (b'{"id":"a","vector":[1.5],"dims":true}', "dims-mismatch"),
        (b'{"id":"","vector":[1.5]}', "id-missing"),
        (b'{"id":7,"vector":[1.5]}', "id-missing"),
        (b'{"vector":[1.5]}', "id-missing"),
        (b'{"id":"a","namespace":5,"vector":[1.5]}', "namespace-type"),
        (b'{"id":"a","vector":[1.5,NaN]}', "not-finite"),
        (b'{"id":"a","vector":[1.5,1e999]}', "not-finite"),
        (b'{"id":"a","vector":[1.5],"x":NaN}', "not-finite"),
        (b'{"id":"a","vector":[1.5,"2"]}', "vector-type"),
        (b'{"id":"a","vector":[1.5,true]}', "vector-type"),
        (b'{"id":"a","vector":"x"}', "vector-type"),
        (b'{"id":"a","vector":{}}', "vector-type"),
        (b'{"id":"a\\ud800","vector":[1.5]}', "lone-surrogate"),
        (b'{"id":"a","vector":[1.5],"text":"\\udc00"}', "lone-surrogate"),
        (b'{"id":"a","vector":[1.5],"text":"\xff"}', "not-utf8"),
        (b'{"id":"a","vector":[1.5],"x":' + b"[" * 200 + b"]" * 200 + b"}", "too-deep"),
        (b'{"id":"' + b"a" * (1 << 20) + b'","vector":[1.5]}', "limit-exceeded"),
        (b'{"id":"a","vector":[1.5]', "not-json"),
        (b'{"id":"a","vector":[1.5', "not-json"),
        (b"[1]", "not-an-object"),
        (b'"vector":[1]', "not-json"),
        (b'["vector",[1]]', "not-an-object"),
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_with_its_reason(line: bytes, code: str) -> None:
    for read in (vmig.parse_record, read_strictly):
        with pytest.raises(InvalidData) as caught:
            read(line)
        assert caught.value.code == code
