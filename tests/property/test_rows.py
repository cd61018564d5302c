"""Rows in files: what is appended is read again; a cache of lines that is not whole is no cache."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vexrepo.errors import StorageFailure
from vexrepo.history.baseline import IdTable
from vexrepo.remotes import linecache
from vexrepo.remotes.linecache import KnownLines, line_digest
from vexrepo.storage.files import Files
from vexrepo.storage.rows import RowFile

ids = st.lists(st.binary(min_size=32, max_size=32), max_size=20, unique=True)


def cached(folder: Path, lines: list[tuple[bytes, bytes]]) -> Path:
    """A cache that says which line gave which record."""
    rows = RowFile(folder / "lines", linecache.ROW_BYTES)
    for line, identifier in lines:
        rows.append(line_digest(line) + identifier)
    rows.close()
    linecache.write(Files(), folder / "cache" / "lines", [rows])
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
        rows = linecache.read(path)
        assert rows is not None
        known = KnownLines(rows, IdTable.of_ids(base, Path(folder) / "base"))
        asked = [b"a line of nine or more", *lines]
        places, found = known.match(b"".join(map(line_digest, asked)))
        assert places.tolist() == [-1, *(base.index(each) if each in base else -1 for each in records)]
        wanted = [line_digest(line) + each for line, each in zip(lines, records, strict=True) if each in base]
        assert found == b"".join(wanted)


def test_a_damaged_cache_of_lines_is_none(tmp_path: Path) -> None:
    path = cached(tmp_path, [(b"one", b"1" * 32), (b"two", b"2" * 32)])
    raw = path.read_bytes()
    assert linecache.read(path) is not None
    for at in range(len(raw)):
        path.write_bytes(raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :])
        assert linecache.read(path) is None
        path.write_bytes(raw[:at])
        assert linecache.read(path) is None
    path.write_bytes(raw + b"x")
    assert linecache.read(path) is None


def test_a_scratch_file_that_ends_early_is_an_error(tmp_path: Path) -> None:
    rows = RowFile(tmp_path / "rows", 8)
    rows.append(bytes(80))
    rows.close()
    rows.path.write_bytes(bytes(72))
    with pytest.raises(StorageFailure):
        list(rows.blocks())
