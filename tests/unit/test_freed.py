"""What a long transfer frees is given back to the system now and then, and it holds no more the longer it takes."""

from __future__ import annotations

import platform
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Final

import pytest

from vexrepo.objects.record import Record, from_json
from vexrepo.storage import freed
from vexrepo.storage.spill import Sorter


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what grows by one each time that memory would be given back."""
    found: list[int] = []
    monkeypatch.setattr(freed, "_TALLY", freed._Tally())
    monkeypatch.setattr(freed, "give_back", lambda: found.append(1))
    return found


RECORD: Final[Record] = from_json({"id": "m", "text": "tide " * 100, "vector": [0.5] * 64, "namespace": "a"})


def test_memory_is_given_back_every_so_many_bytes(given_back: list[int]) -> None:
    for _ in range(15):
        freed.note_passed(freed.EVERY_BYTES // 8)
    assert len(given_back) == 1
    freed.note_passed(freed.EVERY_BYTES // 8)
    assert len(given_back) == 2


def test_records_count_with_their_bodies_and_vectors(given_back: list[int]) -> None:
    size = len(RECORD.body) + 64 * 4
    freed.note_records(RECORD, freed.EVERY_BYTES // size)
    assert not given_back
    freed.note_records(RECORD, 1)
    assert len(given_back) == 1


# Blocks of all sizes, of which one in a hundred stays: what is between cannot be given back from the end.
_PIECES = """
import random
from vexrepo.storage import freed

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

bytes(31 << 20)  # as the command does: from now on even large blocks come from the heap
draw = random.Random(7)
held = [bytes(draw.randrange(1000, 60_000)) for _ in range(3000)]
before = resident()
held = held[::100]
kept = resident()
freed.give_back()
print(before - kept, kept - resident())
"""


def test_what_was_freed_between_what_is_held_goes_back_to_the_system() -> None:
    if platform.libc_ver()[0] != "glibc":  # others have nothing to ask for
        assert not freed.give_back()
        return
    done = subprocess.run([sys.executable, "-c", _PIECES], capture_output=True, text=True, check=True)
    of_itself, when_asked = map(int, done.stdout.split())
    assert of_itself < 20 << 20
    assert when_asked > 40 << 20


def _traced_peak(folder: Path, count: int) -> int:
    """Return the most that so many records take while they are sorted, without the block that they are held in."""
    folder.mkdir()
    tracemalloc.start()
    try:
        sorter = Sorter(folder, run_bytes=2 << 20)
        for number in range(count):
            sorter.add(RECORD._replace(key=b"%08d" % (number * 7919 % count)), number)
        keys = [int(row.record.key) for row in sorter.sorted() if int(row.record.key) % 1000 == 0]
        assert keys == list(range(0, count, 1000))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_sorting_ten_times_as_many_records_takes_hardly_more_memory(tmp_path: Path) -> None:
    few = _traced_peak(tmp_path / "few", 2_500)
    many = _traced_peak(tmp_path / "many", 25_000)
    assert many < 1.5 * few, (few, many)


def test_a_record_longer_than_a_run_is_sorted_among_others(tmp_path: Path) -> None:
    sorter = Sorter(tmp_path, run_bytes=1000)
    long = RECORD._replace(body=b"x" * 3_000_000)
    given = [each._replace(key=b"%d" % number) for number, each in enumerate((RECORD, long, RECORD, RECORD, long))]
    for place, record in enumerate(reversed(given)):
        sorter.add(record, place)
    assert [row.record for row in sorter.sorted()] == given
