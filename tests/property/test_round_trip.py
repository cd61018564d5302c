"""Law 4 for files: a snapshot checked out into a fresh file and committed elsewhere is the same tree."""

import contextlib
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.property.strategies import QuickFiles, any_double, json_values, record_values
from vexrepo.errors import InvalidData, StateError, StoreError
from vexrepo.formats import vmig
from vexrepo.history.walk import iter_records
from vexrepo.objects import record, tree
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.repository import Repository, Selection, Surroundings
from vexrepo.testing.stores import tricky_values


class Bench:
    """Repositories and files in a scratch folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clock = itertools.count(1_790_000_000_000_000, 1_000_000)

    def repository(self, name: str) -> Repository:
        (self.folder / name).mkdir()
        return Repository.init(self.folder / name, Surroundings(self._clock.__next__, "tester", files=QuickFiles()))

    def file(self, name: str) -> Address:
        return Address("jsonl", str(self.folder / f"{name}.vmig.jsonl"))

    def write(self, name: str, values: list[Any]) -> Address:
        address = self.file(name)
        text = "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in values)
        Path(address.location).write_text(text, "utf-8", newline="")
        return address


@contextlib.contextmanager
def bench(leaf_records: int = 16) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="vex-test-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "expected_records", lambda size: leaf_records)
        yield Bench(Path(folder))


def distinct(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({record.key_of(value): value for value in values}.values())


rich = st.fixed_dictionaries(
    {"id": st.text(min_size=1, max_size=4)},
    optional={
        "namespace": st.none() | st.text(max_size=2),
        "text": st.one_of(st.text(max_size=9), json_values(size=3)),
        "vector": st.lists(any_double, min_size=1, max_size=4),
        "metadata": json_values(size=6),
        "é": json_values(st.integers(-(10**30), 10**30) | any_double, size=3),
    },
)


@given(st.lists(st.one_of(record_values(), rich), min_size=1, max_size=20).map(distinct))
@example([{"id": "a", "text": {"vector": None}, "vector": [1.0, 2.0]}])
@example([{"id": "a", "vector": [12345678901234567890.0]}])
@example([{"id": "a", "metadata": {"n": 10**400}}])
def test_a_checkout_committed_elsewhere_is_the_same_tree(values: list[dict[str, Any]]) -> None:
    with bench() as here:
        one, two = here.repository("one"), here.repository("two")
        done = one.commit("first", store=here.write("source", values))
        assert done.id is not None
        copy = here.file("copy")
        out = one.checkout(done.id, copy)
        assert out.written == out.verified == len(values)
        again = two.commit("again", store=copy)
        assert again.snapshot.records == done.snapshot.records
        assert again.snapshot.spaces == done.snapshot.spaces
        # And once more: the file as written is the file as written from what was read of it.
        assert again.id is not None
        two.checkout(again.id, here.file("third"))
        assert Path(here.file("third").location).read_bytes() == Path(copy.location).read_bytes()
        with pytest.raises(StateError) as caught:
            one.commit("nothing", store=copy)
        assert caught.value.code == "nothing-to-commit"
        assert one.status(copy).is_clean
        assert one.check().problems == two.check().problems == []


def test_tricky_records_pass_through_a_file_unchanged() -> None:
    with bench() as here:
        one, two = here.repository("one"), here.repository("two")
        done = one.commit("first", store=here.write("source", tricky_values()))
        assert done.id is not None
        one.checkout(done.id, here.file("copy"))
        assert two.commit("again", store=here.file("copy")).snapshot.records == done.snapshot.records
        wanted = sorted(record.from_json(value) for value in tricky_values())
        assert list(iter_records(two.objects, done.snapshot.records)) == wanted


@given(st.lists(record_values(), min_size=1, max_size=20).map(distinct), st.randoms(use_true_random=False))
def test_order_spacing_and_a_line_cache_change_nothing(values: list[dict[str, Any]], chance: Any) -> None:
    with bench() as here:
        one, two = here.repository("one"), here.repository("two")
        done = one.commit("first", store=here.write("source", values))
        chance.shuffle(values)
        lines = [
            json.dumps(value, indent=None, separators=chance.choice([(",", ":"), (" , ", " : ")])) for value in values
        ]
        spaced = here.write("spaced", [line + chance.choice(["", " ", "\r", "\n", "\n  "]) for line in lines])
        assert two.commit("first", store=spaced).snapshot.records == done.snapshot.records
        changed = dict(values[0], text="changed")
        lines[0] = json.dumps(changed)
        again = here.write("spaced", lines)
        second = two.commit("second", store=again)
        assert second.tally.changed == 1 and not second.tally.learned and not second.tally.forgotten
        third = here.repository("three").commit("all", store=again)
        assert third.snapshot.records == second.snapshot.records


@given(
    st.lists(record_values().map(json.dumps), max_size=8), st.integers(0, 2000), st.booleans(), st.sampled_from("\n\r")
)
def test_a_file_read_in_two_parts_is_the_file_read_at_once(lines: list[str], at: int, mark: bool, end: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        separator = "\n" if end == "\n" else "\r\n"
        path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + separator.join(lines).encode())
        store = JsonlStore.open(Address("jsonl", str(path)))
        whole = list(store.lines())
        assert list(store.lines(0, at)) + list(store.lines(at)) == whole
        assert [line.strip() for _, line in whole] == [line.encode() for line in lines if line.strip()]
        for number, (offset, _) in enumerate(whole, 1):
            assert store.place(offset) == f"{path} line {number}"


def test_a_record_that_moves_between_components_is_there_once_after_a_partial_checkout() -> None:
    with bench() as here:
        one = here.repository("one")
        kept = {"id": "x", "text": "x"}
        before = here.write("agent", [{"id": "a", "metadata": {"memory_type": "working"}}, kept])
        first = one.commit("working", store=before)
        here.write("agent", [{"id": "a", "metadata": {"memory_type": "semantic"}}, kept])
        one.commit("semantic", store=before)
        assert first.id is not None
        one.checkout(first.id, before, selection=Selection(components=frozenset(("working",))))
        one.checkout(first.id, before, force=True)
        with JsonlStore.open(before) as store:
            found = [item.record for batch in store.scan() for item in batch]
        assert sorted(item.key for item in found) == [b"\0\x01a", b"\0\x01x"]


def outcome(action: Any) -> str:
    with pytest.raises((InvalidData, StoreError, StateError)) as caught:
        action()
    return caught.value.code


@pytest.mark.parametrize(
    ("lines", "code", "words"),
    [
        ([{"id": "a"}, {"id": "a"}], "duplicate-key", ["line 1", "line 2"]),
        ([{"id": "a"}, {"id": "b"}, {"id": "a", "text": "x"}], "duplicate-key", ["line 1", "line 3", "'a'"]),
        ([{"id": "a", "namespace": ""}, {"id": "a"}], "duplicate-key", ["line 2"]),
        ([{"id": "a"}, '{"id":"b","x":NaN}'], "not-finite", ["line 2", "id b"]),
        ([{"id": "a"}, "", '{"id":"b","x":"\\ud800"}'], "lone-surrogate", ["line 3", "id b"]),
        ([{"id": "a", "vector": [1.0], "dims": 2}], "dims-mismatch", ["line 1", "id a"]),
        ([{"id": "a"}, '{"id":"b"'], "not-json", ["line 2", "id b"]),
        ([{"id": "a"}, '{"id":"b","id":"b"}'], "duplicate-member", ["line 2"]),
        ([[]], "not-an-object", ["line 1"]),
    ],
)
def test_a_bad_file_is_refused_by_line_and_id_and_nothing_is_committed(
    lines: list[Any], code: str, words: list[str]
) -> None:
    with bench() as here:
        one = here.repository("one")
        source = here.write("source", lines)
        with pytest.raises(InvalidData) as caught:
            one.commit("bad", store=source)
        assert caught.value.code == code
        for word in words:
            assert word in str(caught.value)
        assert one.view().refs == {}
        # Against a base that has the good ones, too: another path through the code.
        one.commit("good", store=here.write("good", [{"id": "a"}, {"id": "x"}]))
        head = one.view().commit
        assert outcome(lambda: one.commit("bad", store=source)) == code
        assert one.view().commit == head
        assert one.check().problems == []


def test_what_cannot_be_read_is_skipped_and_told_when_asked_for() -> None:
    with bench() as here:
        one = here.repository("one")
        source = here.write("source", [{"id": "a"}, '{"id":"b","x":NaN}', {"id": "c"}, "no"])
        done = one.commit("some", store=source, skip_problems=True)
        assert [code for code, _ in done.problems] == ["not-finite", "not-json"]
        assert [item.key for item in iter_records(one.objects, done.snapshot.records)] == [b"\0\x01a", b"\0\x01c"]


def test_an_empty_memory_passes_through_a_file_too() -> None:
    with bench() as here:
        one, two = here.repository("one"), here.repository("two")
        empty = one.commit(
            "none", store=here.write("source", [{"id": "a"}]), selection=Selection(frozenset(("nowhere",)))
        )
        assert empty.id is not None and empty.snapshot.records.count == 0
        there = here.write("there", [{"id": "a"}])
        one.checkout(empty.id, there, force=True)
        assert two.commit("none", store=there).snapshot.records == empty.snapshot.records
        one.checkout(empty.id, here.file("fresh"))
        assert (
            here.repository("three").commit("none", store=here.file("fresh")).snapshot.records == empty.snapshot.records
        )


def test_a_line_as_long_as_allowed_is_read_and_a_longer_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmig, "MAX_LINE_BYTES", 1000)
    with bench() as here:
        fits: dict[str, Any] = {"id": "a", "text": "x" * (999 - len(json.dumps({"id": "a", "text": ""})))}
        assert here.repository("one").commit("fits", store=here.write("fits", [fits])).snapshot.records.count == 1
        longer = here.write("longer", [dict(fits, text=fits["text"] + "xx")])
        assert outcome(lambda: here.repository("two").commit("longer", store=longer)) == "too-long"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \r\n\n", b" " * 200_000])
def test_a_file_without_a_line_is_refused_and_forgets_nothing(content: bytes) -> None:
    with bench() as here:
        one = here.repository("one")
        source = here.write("source", [{"id": "a"}])
        one.commit("one", store=source)
        Path(source.location).write_bytes(content)
        assert outcome(lambda: one.commit("none", store=source)) == "empty-file"
        assert outcome(lambda: one.status(source)) == "empty-file"
