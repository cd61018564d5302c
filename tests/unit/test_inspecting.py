"""What a summary counts."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vexrepo.cli.commands.inspect_ import date_rows
from vexrepo.exchange import inspecting
from vexrepo.exchange.inspecting import Summary, Tally, inspect
from vexrepo.exchange.inspecting_files import read_files
from vexrepo.objects.selection import Selection
from vexrepo.remotes.stores.address import parse_address
from vexrepo.remotes.stores.registry import open_store


def record(identifier: str, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "text": f"text of {identifier}", "vex_version": "1.0.0", **more}


def write(path: Path, *values: dict[str, Any]) -> Path:
    path.write_bytes(b"".join(json.dumps(value).encode() + b"\n" for value in values))
    return path


def summary_of(path: Path, *arguments: Any, **options: Any) -> Summary:
    with open_store(parse_address(str(path))) as store:
        return inspect(store, *arguments, **options)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return write(
        tmp_path / "memory.vmig.jsonl",
        record("a", namespace="x", vector=[1, 0], model="m", metadata={"memory_type": "working", "n": 1}),
        record("b", namespace="x", vector=[0, 0], model="m", metadata={"n": None, "tags": ["t"]}),
        record("c", namespace="y", vector=[3.1, 4], model="n", created_at="2026-01-31T23:00:00Z"),
        record("d", text="text of a", created_at=1780525199),
        record("e", text=None, vectors={"title": [0.6, 0.8]}, created_at="2026-02-02"),
        record("f", text="", vector=None),
        record("g", text="z" * 50_001, vector={"indices": [4, 5], "values": [2, 1.5]}, source_store="s"),
    )


def test_records_are_counted_by_what_they_hold(memory):
    found = summary_of(memory)
    assert (found.records, found.with_text, found.with_vector, found.with_neither) == (7, 5, 5, 1)
    assert found.namespaces.counts == {"x": 2, "y": 1, "": 4}
    assert found.components.counts["working"] == 1
    assert found.sources.counts == {"s": 1, "": 6}
    assert found.by_space(lambda space: space.model) == {"m": 2, "n": 1, None: 2}
    assert found.by_space(lambda space: space.kind) == {"dense": 4, "sparse": 1}
    assert found.metadata.counts == {
        ("memory_type", "string"): 1,
        ("n", "number"): 1,
        ("n", "null"): 1,
        ("tags", "array"): 1,
    }


def test_lengths_of_vectors_are_measured(memory):
    lengths = summary_of(memory).lengths
    assert (lengths.count, lengths.unit, lengths.zero) == (5, 2, 1)
    assert lengths.least == 0 and lengths.most == pytest.approx(5.0606, abs=1e-4)
    assert lengths.mean == pytest.approx((1 + 0 + 5.0606 + 1 + 2.5) / 5, abs=1e-3)


def test_lengths_that_no_double_can_hold_are_the_largest_one(tmp_path):
    path = write(tmp_path / "m.jsonl", record("a", vector=[1.7e308, 1.7e308]), record("b", vector=[1e200, 1.5]))
    lengths = summary_of(path).lengths
    assert lengths.most == pytest.approx(1.7976931348623157e308)
    assert lengths.least == pytest.approx(1e200)


def test_dates_and_texts_are_measured(memory):
    found = summary_of(memory)
    assert found.undated == 4
    assert found.days.counts == {20484: 1, 20486: 1, 20607: 1}
    assert found.longest == 50_001 and found.text_length_at(0.5) == 9
    assert max(found.text_lengths.counts) == 50_000
    assert found.repeated_texts() == (1, 2)


def test_two_processes_count_what_one_counts(memory, monkeypatch):
    whole = summary_of(memory)
    monkeypatch.setattr(inspecting, "SPLIT_BYTES", 1)
    split = summary_of(memory)
    assert split == whole


def test_a_selection_and_a_limit_leave_the_rest_out(memory):
    assert summary_of(memory, Selection(frozenset(["x"]))).records == 2
    assert summary_of(memory, limit=3).records == 3


def test_records_that_cannot_be_read_are_counted_by_reason(memory):
    memory.write_bytes(memory.read_bytes() + b'{"id":7}\nbroken\n')
    found = summary_of(memory)
    assert found.records == 7 and found.problems.counts == {"id-missing": 1, "not-json": 1}


def test_a_tally_of_too_many_values_says_so(monkeypatch):
    monkeypatch.setattr(inspecting, "MANY", 3)
    tally: Tally[int] = Tally()
    for value in (1, 2, 3, 4, 5, 1):
        tally.add(value)
    assert tally.counts == {1: 2, 2: 1, 3: 1} and tally.beyond == 2
    tally.merge(tally)
    assert tally.counts[1] == 4 and tally.beyond == 4


def test_the_sidecar_and_the_signature_are_compared_with_the_file(memory):
    with open_store(parse_address(str(memory))) as store:
        assert read_files(store).sidecar is None
        checksum = hashlib.sha256(memory.read_bytes()[:-1]).hexdigest()
        (memory.parent / "memory.vmig.meta.json").write_text(
            json.dumps({"record_count": 7, "checksum": f"sha256:{checksum}", "exported_at": "2026-01-01"})
        )
        (memory.parent / "memory.vmig.sig").write_text("[]")
        files = read_files(store)
        assert files.size_bytes == memory.stat().st_size
        assert files.sidecar is not None and files.sidecar.matches and files.sidecar.record_count == 7
        assert files.signature is not None and files.signature.record_count is None
        memory.write_bytes(memory.read_bytes() + b"\n")
        files = read_files(store)
        assert files.sidecar is not None and files.sidecar.matches is False


def test_dates_are_shown_by_day_month_or_year_whichever_is_short():
    assert date_rows(Counter({0: 2, 2: 1})) == [("1970-01-01", 2), ("1970-01-02", 0), ("1970-01-03", 1)]
    assert date_rows(Counter({0: 2, 60: 1})) == [("1970-01", 2), ("1970-02", 0), ("1970-03", 1)]
    assert date_rows(Counter({0: 2, 20_000: 1, -3000: 4})) == [("1961", 4), ("1970", 2), ("2024", 1)]
    assert date_rows(Counter({0: 1, 10**8: 1})) == [("1970", 1), ("later", 1)]
