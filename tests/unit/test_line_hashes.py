"""One pass over a file, in one process or two."""

import json

import pytest

from vexrepo.errors import InvalidData, StoreError
from vexrepo.exchange import line_hashes
from vexrepo.exchange.line_hashes import read_line_hashes
from vexrepo.exchange.signing import sign_file
from vexrepo.formats import canonical_line, vmig
from vexrepo.formats.signature_file import record_hash
from vexrepo.objects.signature import sign

LINES = [json.dumps({"id": f"r{number}", "text": "x" * (number % 7)}).encode() for number in range(40)]


@pytest.fixture(params=["one process", "two processes"])
def processes(request, monkeypatch):
    if request.param == "two processes":
        monkeypatch.setattr(line_hashes, "SPLIT_BYTES", 1)
        monkeypatch.setattr(line_hashes, "is_worthwhile", lambda: True)
    return request.param


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
@pytest.mark.parametrize("closed", [True, False])
def test_every_record_is_hashed_in_order(processes, line_end, count, closed, tmp_path):
    path = tmp_path / "m.vmig.jsonl"
    path.write_bytes(line_end.join(LINES[:count]) + (line_end if closed and count else b""))
    told = []
    found = read_line_hashes(path, compat=False, advance=told.append)
    assert found.hashes == b"".join(record_hash(canonical_line.canonical(line)) for line in LINES[:count])
    assert list(found.lines) == list(range(1, count + 1))
    assert not found.problems and found.line_count == count
    if count:
        assert sum(told) == pytest.approx(path.stat().st_size, abs=200)


def test_problems_and_blank_lines_keep_their_numbers(processes, tmp_path):
    path = tmp_path / "m.vmig.jsonl"
    lines = [*LINES[:5], b"", b"{", *LINES[5:30], b"   ", b'{ "id":"odd"}', LINES[30] + b"\r"]
    path.write_bytes(b"\n".join(lines))
    found = read_line_hashes(path, compat=False)
    assert [(each.line, each.id, each.code) for each in found.problems] == [
        (6, "", "unprotected-spelling"),
        (7, "", "not-json"),
        (33, "", "unprotected-spelling"),
        (34, "odd", "unprotected-spelling"),
        (35, "r30", "unprotected-spelling"),
    ]
    assert found.problem_count == 5
    assert list(found.lines) == [number for number in range(1, 36) if number not in (6, 33)]
    assert found.hashes[5 * 32 : 6 * 32] == line_hashes.NO_HASH
    loose = read_line_hashes(path, compat=True)
    assert [each.code for each in loose.problems] == ["not-json"]
    assert list(loose.lines) == list(found.lines) and loose.hashes == found.hashes


@pytest.mark.parametrize("at", [0, 5, 20, 35, 39])
def test_signing_names_the_first_bad_line_wherever_it_is(processes, at, tmp_path):
    path = tmp_path / "m.vmig.jsonl"
    path.write_bytes(b"\n".join([*LINES[:at], b'{"id":"a","id":"b"}', *LINES[at:], b"{"]))
    with pytest.raises(InvalidData) as caught:
        sign_file(path, lambda message: sign(bytes(32), message), "2026-01-31T12:00:00.000Z")
    assert f"line {at + 1} " in str(caught.value) and caught.value.code == "duplicate-member"


def test_problems_beyond_the_limit_are_counted(processes, monkeypatch, tmp_path):
    monkeypatch.setattr(line_hashes, "MOST_PROBLEMS", 3)
    path = tmp_path / "m.vmig.jsonl"
    path.write_bytes(b"\n".join([b'{ "id":"a"}'] * 30))
    found = read_line_hashes(path, compat=False)
    assert len(found.problems) == 3 and found.problem_count == 30


def test_a_line_past_the_limit_is_refused(processes, monkeypatch, tmp_path):
    monkeypatch.setattr(vmig, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "m.vmig.jsonl"
    path.write_bytes(b"\n".join([*LINES, b"x" * 2000]))
    with pytest.raises(InvalidData) as caught:
        read_line_hashes(path, compat=False)
    assert caught.value.code == "too-long"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "m.vmig.jsonl"
    path.write_bytes(b"\n".join(LINES))
    with pytest.raises(StoreError) as caught:
        read_line_hashes(path, compat=False, advance=lambda amount: path.write_bytes(b"{}"))
    assert caught.value.code == "store-changed"


def test_a_folder_or_a_missing_file_is_an_error_of_its_own(tmp_path):
    for path, code in ((tmp_path, "store-unreadable"), (tmp_path / "absent", "store-missing")):
        with pytest.raises(StoreError) as caught:
            read_line_hashes(path, compat=False)
        assert caught.value.code == code
