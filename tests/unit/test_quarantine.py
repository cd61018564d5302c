"""What was refused, kept apart."""

from pathlib import Path
from typing import Any

import pytest

from vexrepo.errors import InvalidData, Tampered, UsageError
from vexrepo.hooks.quarantine import RECORDS, REPORT, Quarantine, Report
from vexrepo.objects.record import Record, from_json
from vexrepo.storage.files import Files


def memories(*names: str) -> list[Record]:
    return [from_json({"id": name, "text": f"text of {name}", "vector": [0.5, 1.0]}) for name in names]


REPORT_OF = Report(
    1_750_000_000_000_000,
    "pre-import",
    {"kind": "jsonl", "address": "stranger.vmig.jsonl"},
    {"kind": "vektor", "address": "vektor:agent.db"},
    "check-veto",
    "1 finding refuses this",
    {"verdict": "unknown"},
    [{"check": "injection", "rule": "override", "id": "a"}],
)


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine", Files())


def test_what_is_kept_comes_back_whole(quarantine: Quarantine) -> None:
    kept = quarantine.keep(REPORT_OF, memories("a", "b"))
    found = quarantine.entry(kept.number)
    assert (found.number, found.report, found.records) == (1, REPORT_OF, 2)
    assert list(quarantine.records(found)) == memories("a", "b")


def test_numbers_are_not_used_again_while_a_later_one_is_there(quarantine: Quarantine) -> None:
    for _ in range(3):
        quarantine.keep(REPORT_OF, memories("a"))
    quarantine.drop(2)
    assert quarantine.numbers() == [1, 3]
    assert quarantine.keep(REPORT_OF, memories("a")).number == 4


def test_memories_leave_one_by_one_and_the_number_stays(quarantine: Quarantine) -> None:
    entry = quarantine.keep(REPORT_OF, memories("a", "b", "c"))
    keys: dict[str, Any] = {record.body.decode(): record.key for record in memories("a", "b", "c")}
    left = quarantine.without(entry, frozenset([next(iter(keys.values()))]))
    assert left is not None and (left.number, left.records) == (1, 2)
    assert list(quarantine.records(quarantine.entry(1))) == memories("b", "c")
    assert quarantine.without(left, frozenset(keys.values())) is None
    assert quarantine.numbers() == []


def test_a_number_is_never_used_again(quarantine: Quarantine) -> None:
    for number in (1, 2):
        assert quarantine.keep(REPORT_OF, memories("a")).number == number
        quarantine.drop(number)
    (quarantine.folder / "last").write_text("garbage", "utf-8")
    assert quarantine.keep(REPORT_OF, memories("a")).number == 1  # better than none


@pytest.mark.parametrize("change", [b"text of b", b"", b'{"id":"a","text":"text of a"}\n' * 2])
def test_memories_that_were_changed_meanwhile_are_not_used(quarantine: Quarantine, change: bytes) -> None:
    entry = quarantine.keep(REPORT_OF, memories("a", "b"))
    content = entry.file.read_bytes()
    entry.file.write_bytes(content.replace(b"text of a", change) if len(change) < 20 else change)
    with pytest.raises(Tampered, match="not as it was put in quarantine") as caught:
        next(quarantine.records(quarantine.entry(1)))
    assert caught.value.code == "quarantine-changed"
    with pytest.raises(Tampered):
        quarantine.without(entry, frozenset())
    quarantine.drop(1)


def test_killed_between_two_files_an_entry_is_one_of_them(quarantine: Quarantine, monkeypatch: Any) -> None:
    entry = quarantine.keep(REPORT_OF, memories("a", "b", "c"))
    first = frozenset([memories("a")[0].key])
    write = Files.write

    def killed(self: Files, path: Path, content: Any, *, mode: int = 0o644) -> None:
        if path.name == REPORT:
            raise KeyboardInterrupt
        write(self, path, content, mode=mode)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Files, "write", killed)
        quarantine.without(entry, first)
    assert list(quarantine.records(quarantine.entry(1))) == memories("a", "b", "c")
    again = quarantine.without(quarantine.entry(1), first)
    assert again is not None and again.records == 2
    third = quarantine.without(again, frozenset([memories("b")[0].key]))
    assert third is not None and list(quarantine.records(quarantine.entry(1))) == memories("c")
    assert sorted(path.name for path in third.path.iterdir()) == ["records-3.vmig.jsonl", REPORT]


def test_a_half_written_entry_is_none(quarantine: Quarantine) -> None:
    entry = quarantine.keep(REPORT_OF, memories("a"))
    (entry.path / REPORT).unlink()
    assert quarantine.numbers() == []
    with pytest.raises(UsageError, match="there: none"):
        quarantine.entry(1)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version":2}'])
def test_a_report_that_cannot_be_read_says_so(quarantine: Quarantine, content: str) -> None:
    entry = quarantine.keep(REPORT_OF, memories("a"))
    (entry.path / REPORT).write_text(content, "utf-8")
    with pytest.raises(InvalidData, match=RECORDS):
        quarantine.entry(1)
    quarantine.drop(1)


def test_only_its_owner_can_read_it(quarantine: Quarantine) -> None:
    entry = quarantine.keep(REPORT_OF, memories("a"))
    assert {path.stat().st_mode & 0o777 for path in entry.path.iterdir()} == {0o600}
