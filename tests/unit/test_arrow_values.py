"""Cells of Arrow columns: what was read of one is written into it again."""

import datetime as dt

import pyarrow as pa
import pytest

from vexrepo.remotes.stores.arrow_values import cell, plain
from vexrepo.remotes.stores.carry import ABSENT


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("seconds", [0, 59, -1, 90_061, -90_061, 10_000_000])
def test_a_duration_that_was_read_is_written_again(unit: str, seconds: int) -> None:
    for length in (dt.timedelta(seconds=seconds), dt.timedelta(seconds=seconds, milliseconds=500)):
        kind = pa.duration(unit)
        if unit == "s" and length.microseconds:
            assert cell(plain(length), kind) is ABSENT
            continue
        read = plain(pa.array([length], kind)[0].as_py())
        assert pa.array([cell(read, kind)], kind)[0].as_py() == length


@pytest.mark.parametrize("value", ["", "a while", "1:2:3", "25:00:00", 5, None, ["0:00:01"]])
def test_what_is_no_duration_is_kept_beside(value: object) -> None:
    assert cell(value, pa.duration("ms")) is ABSENT
