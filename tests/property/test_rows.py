"""Rows in files: what is appended is read again; a cache of raw bytes that is not whole is no cache."""

import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vexrepo.errors import StorageFailure
from vexrepo.history.baseline import IdTable
from vexrepo.remotes import rawcache
from vexrepo.remotes.rawcache import KnownRaws, digest_of
from vexrepo.storage.files import Files
from vexrepo.storage.rows import RowFile

BOUND = rawcache.binding(["jsonl"])

ids = st.lists(st.binary(min_size=32, max_size=32), max_size=20, unique=True)


def cached(folder: Path, lines: list[tuple[bytes, bytes]]) -> Path:
    """A cache that says which line gave which record."""
    rows = RowFile(folder / "lines", rawcache.ROW_BYTES)
    for line, identifier in lines:
        rows.append(digest_of(line) + identifier)
    rows.close()
    rawcache.write(Files(), folder / "cache" / "lines", BOUND, [rows])
    return folder / "cache" / "lines"


@given(ids, ids)
@settings(max_examples=40)
def test_an_id_is_found_where_it_is_and_nowhere_else(held: list[bytes], others: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = IdTable.of_ids(held, Path(folder) / "ids")
        wanted = [*others, *held]
        places = [held.index(each) if each in held else -1 for each in wanted]
        assert table.match(b"".join(wanted)).tolist() == places


def test_ids_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    table = IdTable.of_ids([b"a" * 32], tmp_path / "ids")
    assert table.match(b"a" * 31 + b"b" + b"a" * 32).tolist() == [-1, 0]


@given(st.lists(st.binary(max_size=8), max_size=20, unique=True), st.sets(st.integers(0, 19)))
@settings(max_examples=40)
def test_a_known_line_is_one_whose_record_the_base_has(lines: list[bytes], in_base: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        records = [bytes([number]) * 32 for number in range(len(lines))]
        path = cached(Path(folder), list(zip(lines, records, strict=True)))
        base = [each for number, each in enumerate(records) if number in in_base]
        rows = rawcache.read(path, BOUND)
        assert rows is not None
        known = KnownRaws(rows, IdTable.of_ids(base, Path(folder) / "base"))
        asked = [b"a line of nine or more", *lines]
        places, found = known.match(b"".join(map(digest_of, asked)))
        assert places.tolist() == [-1, *(base.index(each) if each in base else -1 for each in records)]
        wanted = [digest_of(line) + each for line, each in zip(lines, records, strict=True) if each in base]
        assert found == b"".join(wanted)


def test_a_damaged_cache_of_lines_is_none(tmp_path: Path) -> None:
    path = cached(tmp_path, [(b"one", b"1" * 32), (b"two", b"2" * 32)])
    raw = path.read_bytes()
    assert rawcache.read(path, BOUND) is not None
    for at in range(len(raw)):
        path.write_bytes(raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :])
        assert rawcache.read(path, BOUND) is None
        path.write_bytes(raw[:at])
        assert rawcache.read(path, BOUND) is None
    path.write_bytes(raw + b"x")
    assert rawcache.read(path, BOUND) is None


def test_a_cache_of_what_is_read_in_another_way_is_none(tmp_path: Path) -> None:
    path = cached(tmp_path, [(b"one", b"1" * 32)])
    assert rawcache.read(path, rawcache.binding(["jsonl"])) is not None
    for other in (["jsonl", ""], ["json", "l"], [], ["pgvector", "a table"]):
        assert rawcache.read(path, rawcache.binding(other)) is None


def test_a_digest_is_of_all_bytes_however_many_there_are() -> None:
    pieces = [bytes(size) for size in (0, 1, 2047, 2048, rawcache.LONG_BYTES - 1, rawcache.LONG_BYTES, 1 << 16)]
    pieces += [piece[:-1] + b"x" for piece in pieces[1:]]
    digests = {rawcache.digest_of(piece) for piece in pieces}
    assert len(digests) == len(pieces)
    assert digests == {rawcache.digest_of(memoryview(piece)) for piece in pieces}
    assert {len(each) for each in digests} == {rawcache.DIGEST_BYTES}


def test_mapped_rows_go_to_another_process(tmp_path: Path) -> None:
    path = cached(tmp_path, [(b"one", b"1" * 32), (b"two", b"2" * 32)])
    rows = rawcache.read(path, BOUND)
    assert rows is not None
    assert (pickle.loads(pickle.dumps(rows)).words == rows.words).all()


def test_a_scratch_file_that_ends_early_is_an_error(tmp_path: Path) -> None:
    rows = RowFile(tmp_path / "rows", 8)
    rows.append(bytes(80))
    rows.close()
    rows.path.write_bytes(bytes(72))
    with pytest.raises(StorageFailure):
        list(rows.blocks())
