"""Bad input: one clear error naming file, line and id; nothing is committed; read in one process or in two."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vexrepo.errors import InvalidData, StateError, StorageFailure, StoreError, VexError
from vexrepo.formats import vmig
from vexrepo.remotes.stores import jsonl
from vexrepo.remotes.stores.address import Address
from vexrepo.repository import Repository, Surroundings

GOOD = [
    json.dumps({"id": f"m{number}", "text": f"memory {number}", "vector": [number, 0.5], "dims": 2}).encode()
    for number in range(40)
]
DEEP = b"[" * 200 + b"]" * 200
VERY_DEEP = b"[" * 100_000 + b"]" * 100_000

# What the line is, the code of its error, words of the message, the id that must be named.
LINES: dict[str, tuple[bytes, str, str, str]] = {
    "no JSON": (b'{"id":"bad",', "not-json", "", "bad"),
    "JSON and more": (b'{"id":"bad"} {"id":"worse"}', "not-json", "", "bad"),
    "text": (b"hello", "not-json", "", ""),
    "a NUL": (b"\0", "not-json", "", ""),
    "a list": (b'["bad"]', "not-an-object", "list", ""),
    "a number": (b"17", "not-an-object", "int", ""),
    "null": (b"null", "not-an-object", "NoneType", ""),
    "a comment": (b"// nothing", "not-json", "", ""),
    "Latin-1": (b'{"id":"bad","text":"caf\xe9"}', "not-utf8", "byte", "bad"),
    "a member twice": (b'{"id":"bad","text":"a","text":"b"}', "duplicate-member", "'text'", "bad"),
    "a nested member twice": (b'{"id":"bad","metadata":{"a":{"b":1,"b":2}}}', "duplicate-member", "'b'", "bad"),
    "an escaped member twice": (b'{"id":"bad","text":"a","\\u0074ext":"b"}', "duplicate-member", "'text'", "bad"),
    "two vectors": (b'{"id":"bad","vector":[1,2],"vector":[3,4]}', "duplicate-member", "'vector'", "bad"),
    "NaN": (b'{"id":"bad","score":NaN}', "not-finite", "NaN", "bad"),
    "infinity": (b'{"id":"bad","score":-Infinity}', "not-finite", "Infinity", "bad"),
    "NaN in the vector": (b'{"id":"bad","vector":[1,NaN]}', "not-finite", "NaN", "bad"),
    "a number past all doubles": (b'{"id":"bad","score":1e999}', "not-finite", "1e999", "bad"),
    "such a number in the vector": (b'{"id":"bad","vector":[1e999,1]}', "not-finite", "1e999", "bad"),
    "an endless integer": (b'{"id":"bad","score":' + b"9" * 5000 + b"}", "too-long", "5000", "bad"),
    "half a surrogate pair": (b'{"id":"bad","text":"\\ud800"}', "lone-surrogate", "D800", "bad"),
    "half a pair as a name": (b'{"id":"bad","\\udfff":1}', "lone-surrogate", "DFFF", "bad"),
    "half a pair in the id": (b'{"id":"\\ud83d"}', "lone-surrogate", "D83D", "\\ud83d"),
    "deep nesting": (b'{"id":"bad","metadata":' + DEEP + b"}", "too-deep", "128", "bad"),
    "very deep nesting": (b'{"id":"bad","metadata":' + VERY_DEEP + b"}", "too-deep", "128", "bad"),
    "a deep vector": (b'{"id":"bad","vector":' + DEEP + b"}", "too-deep", "128", "bad"),
    "no id": (b'{"text":"who am I"}', "id-missing", "None", ""),
    "an empty id": (b'{"id":""}', "id-missing", "''", ""),
    "a number as id": (b'{"id":7}', "id-missing", "7", ""),
    "null as id": (b'{"id":null}', "id-missing", "None", ""),
    "a list as id": (b'{"id":["bad"]}', "id-missing", "['bad']", ""),
    "a number as namespace": (b'{"id":"bad","namespace":3}', "namespace-type", "3", "bad"),
    "dims that disagree": (b'{"id":"bad","vector":[1,2],"dims":3}', "dims-mismatch", "3", "bad"),
    "dims as text": (b'{"id":"bad","vector":[1,2],"dims":"2"}', "dims-mismatch", "'2'", "bad"),
    "text as vector": (b'{"id":"bad","vector":"1,2"}', "vector-type", "str", "bad"),
    "text in the vector": (b'{"id":"bad","vector":[1,"2"]}', "vector-type", "vector[1]", "bad"),
    "null in the vector": (b'{"id":"bad","vector":[1,null]}', "vector-type", "vector[1]", "bad"),
    "true in the vector": (b'{"id":"bad","vector":[1,true]}', "vector-type", "true", "bad"),
    "an integer no double holds": (b'{"id":"bad","vector":[9007199254740993,1]}', "vector-type", "9007199", "bad"),
    "ragged rows": (b'{"id":"bad","vector":[[1,2],[3]]}', "vector-type", "list", "bad"),
    "sparse lengths that disagree": (
        b'{"id":"bad","vector":{"indices":[1,2],"values":[1]}}',
        "vector-type",
        "dict",
        "bad",
    ),
}


def around() -> Surroundings:
    return Surroundings(lambda: 1_780_000_000_000_000, "tester")


class Place:
    """A repository with one commit, and the file it is bound to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "memory.vmig.jsonl"
        self.file.write_bytes(b"\n".join(GOOD) + b"\n")
        self.repository = Repository.init(folder, around(), store=str(self.file))
        self.repository.commit("before")
        self.before = self.state()

    def state(self) -> tuple[str, list[str]]:
        folder = self.folder / ".vex"
        # A pack that nothing refers to is no commit; everything else stays as it was.
        return (folder / "operation").read_text(), sorted(
            str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "lock"
        )

    def refused(self, message: str = "never", **options: Any) -> VexError:
        """Return the error of a commit that must fail and leave everything as it was."""
        with pytest.raises(VexError) as caught:
            self.repository.commit(message, **options)
        assert self.state() == self.before
        assert self.repository.check().problems == []
        return caught.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(params=["one process", "two processes"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Reading as small and as large files are read."""
    if request.param == "two processes":
        monkeypatch.setattr(jsonl, "SPLIT_BYTES", 1)
        monkeypatch.setattr(jsonl, "is_worthwhile", lambda: True)
    return str(request.param)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("line", [1, 3, 39, 41])
def test_a_bad_line_is_named_and_nothing_is_committed(place: Place, processes: str, name: str, line: int) -> None:
    bad, code, words, identifier = LINES[name]
    lines = [*GOOD[: line - 1], bad, *GOOD[line - 1 :]]
    place.file.write_bytes(b"\n".join(lines) + b"\n")
    error = place.refused()
    assert error.code == code
    assert isinstance(error, InvalidData)
    assert str(error).startswith(f"{place.file} line {line}")
    assert words in str(error)
    assert (f"(id {identifier})" in str(error)) if identifier else ("(id" not in str(error))
    assert len(str(error)) < 600


def test_the_first_bad_line_is_the_one_that_is_named(place: Place, processes: str) -> None:
    lines = list(GOOD)
    lines[4] = lines[35] = b"not json"
    lines[20] = b'{"id":7}'
    place.file.write_bytes(b"\n".join(lines) + b"\n")
    assert str(place.refused()).startswith(f"{place.file} line 5")


def test_skipping_problems_reports_each_and_commits_the_rest(place: Place, processes: str) -> None:
    lines = list(GOOD)
    lines[4] = lines[35] = b"not json"
    lines[20] = b'{"id":7}'
    place.file.write_bytes(b"\n".join(lines) + b"\n")
    done = place.repository.commit("rest", skip_problems=True)
    assert sorted(code for code, _ in done.problems) == ["id-missing", "not-json", "not-json"]
    assert sorted(int(message.split(" line ")[1].split(":")[0].split(" ")[0]) for _, message in done.problems) == [
        5,
        21,
        36,
    ]
    assert done.snapshot.records.count == 37


@pytest.mark.parametrize("cut", [1, 5, 20, 40])
def test_a_file_that_ends_in_the_middle_of_a_line_is_called_truncated(place: Place, processes: str, cut: int) -> None:
    place.file.write_bytes((b"\n".join(GOOD))[:-cut])
    error = place.refused()
    assert error.code == "truncated-line"
    assert str(error).startswith(f"{place.file} line 40")
    assert "copied completely" in str(error)


def test_a_last_line_without_a_newline_is_fine(place: Place, processes: str) -> None:
    place.file.write_bytes(b"\n".join([*GOOD, b'{"id":"last"}']))
    assert place.repository.commit("all").snapshot.records.count == 41


def test_blank_lines_a_byte_order_mark_and_crlf_are_fine(place: Place, processes: str) -> None:
    place.file.write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n  \n".join([*GOOD, b'{"id":"last"}']) + b"\r\n")
    assert place.repository.commit("all").snapshot.records.count == 41


@pytest.mark.parametrize("first", [0, 17, 39])
@pytest.mark.parametrize("changed", ["both as before", "one changed", "both changed", "two new"])
def test_two_records_with_one_id_are_refused(place: Place, processes: str, first: int, changed: str) -> None:
    other = GOOD[first].replace(b"memory", b"another memory")
    pair = {
        "both as before": (GOOD[first], GOOD[first]),
        "one changed": (GOOD[first], other),
        "both changed": (other, other.replace(b"another", b"yet another")),
        "two new": (b'{"id":"new"}', b'{"id":"new","text":"x"}'),
    }[changed]
    lines = [*GOOD[:first], pair[0], *GOOD[first + 1 :], pair[1]]
    place.file.write_bytes(b"\n".join(lines) + b"\n")
    error = place.refused()
    assert error.code == "duplicate-key"
    assert str(place.file) in str(error) and " line " in str(error)
    assert "line 41" in str(error) or f"line {first + 1}" in str(error)


def test_the_same_id_in_two_namespaces_is_fine(place: Place, processes: str) -> None:
    place.file.write_bytes(b"\n".join([*GOOD, b'{"id":"m1","namespace":"a"}', b'{"id":"m1","namespace":"b"}']))
    assert place.repository.commit("all").snapshot.records.count == 42


def test_an_empty_file_is_refused_unless_its_sidecar_says_so(place: Place, processes: str) -> None:
    place.file.write_bytes(b"")
    sidecar = place.folder / "memory.vmig.meta.json"
    for said in (None, b'{"record_count": 40}', b"{}", b"null", b"[]", b"\xff"):
        if said is not None:
            sidecar.write_bytes(said)
        assert place.refused().code == "empty-file"
    sidecar.write_text('{"record_count": 0}')
    assert place.repository.commit("emptied").snapshot.records.count == 0


def test_a_folder_in_place_of_a_file_is_refused(place: Place) -> None:
    place.file.unlink()
    place.file.mkdir()
    error = place.refused()
    assert (type(error), error.code) == (StoreError, "store-unreadable")
    assert str(place.file) in str(error)


def test_a_missing_file_is_refused(place: Place) -> None:
    place.file.unlink()
    error = place.refused()
    assert (type(error), error.code) == (StoreError, "store-missing")
    assert str(place.file) in str(error)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of somebody without privileges, whom the test becomes: root can read everything."""
    folder = Path(tempfile.mkdtemp(prefix="vex-nobody-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_may_not_be_read_is_refused(as_nobody: Path, processes: str) -> None:
    place = Place(as_nobody)
    place.file.chmod(0)
    error = place.refused()
    assert (type(error), error.code) == (StoreError, "store-unreadable")
    assert str(place.file) in str(error) and "ermission" in str(error)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_repository_that_may_not_be_written_is_refused(as_nobody: Path) -> None:
    place = Place(as_nobody)
    place.file.write_bytes(b'{"id":"new"}\n')
    folders = [path for path in (as_nobody / ".vex").rglob("*") if path.is_dir()] + [as_nobody / ".vex"]
    for folder in folders:
        folder.chmod(0o555)
    lock = as_nobody / ".vex/lock"
    try:
        if lock.exists():
            lock.chmod(0o444)
        error = place.refused()
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert (type(error), error.code) == (StorageFailure, "disk-error")


def test_a_line_longer_than_the_limit_is_refused(place: Place, processes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmig, "MAX_LINE_BYTES", 4096)
    for at in (0, 20, 40):
        lines = [*GOOD[:at], b'{"id":"bad","text":"' + b"x" * 5000 + b'"}', *GOOD[at:]]
        place.file.write_bytes(b"\n".join(lines) + b"\n")
        error = place.refused()
        assert error.code == "too-long"
        assert str(error).startswith(f"{place.file} line {at + 1}")


def test_a_file_without_any_newline_is_not_read_whole(
    place: Place, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vmig, "MAX_LINE_BYTES", 4096)
    place.file.write_bytes(b"x" * 3_000_000)
    assert place.refused().code == "too-long"


def test_a_file_that_changes_while_it_is_read_is_refused(place: Place, processes: str) -> None:
    place.file.write_bytes(b"\n".join([*GOOD, b'{"id":"new"}']) + b"\n")

    def advance(what: str, done: int, total: int | None) -> None:
        if what.startswith("reading"):
            with open(place.file, "ab") as file:
                file.write(b'{"id":"newer"}\n')

    place.repository = Repository.open(
        place.folder / ".vex", Surroundings(lambda: 1_780_000_000_000_000, "tester", progress=advance)
    )
    error = place.refused()
    assert (type(error), error.code) == (StoreError, "store-changed")
    assert str(place.file) in str(error)


def test_what_is_written_after_a_store_was_read_is_still_seen_as_a_change(place: Place) -> None:
    """The clock is asked for after reading: somebody appends a memory just then."""
    place.file.write_bytes(b"\n".join([*GOOD, b'{"id":"new"}']) + b"\n")
    late = [b'{"id":"late"}\n']

    def now_us() -> int:
        if late:
            with open(place.file, "ab") as file:
                file.write(late.pop())
        return 1_780_000_000_000_000

    repository = Repository.open(place.folder / ".vex", Surroundings(now_us, "tester"))
    assert repository.commit("new").snapshot.records.count == 41
    assert repository.status().learned == 1
    assert repository.commit("late").snapshot.records.count == 42


def test_a_dry_run_leaves_nothing_behind(place: Place) -> None:
    place.file.write_bytes(b"\n".join([*GOOD, b'{"id":"new"}']) + b"\n")
    done = place.repository.commit("tried", dry_run=True)
    assert (done.id, done.tally.learned) == (None, 1)
    assert place.state() == place.before


def test_nothing_to_commit_is_said_and_nothing_changes(place: Place, processes: str) -> None:
    error = place.refused()
    assert (type(error), error.code) == (StateError, "nothing-to-commit")


def test_a_checkout_over_a_bad_file_leaves_it_as_it_was(place: Place, processes: str) -> None:
    place.file.write_bytes(b"\n".join([*GOOD, b"not json"]) + b"\n")
    raw = place.file.read_bytes()
    commit = place.repository.resolve("HEAD")
    with pytest.raises(InvalidData) as caught:
        place.repository.checkout(commit, Address("jsonl", str(place.file)))
    assert caught.value.code == "not-json"
    assert place.file.read_bytes() == raw
