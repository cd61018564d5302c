"""When a commit was made, beside what it says: the commits it builds upon, and what this machine held when."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.property.strategies import QuickFiles
from vexrepo.errors import UsageError
from vexrepo.history.policy import Policy
from vexrepo.history.revision import split_range
from vexrepo.objects.digest import CommitId
from vexrepo.objects.signature import Verdict, public_key
from vexrepo.objects.trust import KnownKey, Trust
from vexrepo.repository import Repository, Surroundings, signatures
from vexrepo.repository.merging import merge
from vexrepo.storage.keys import Identity
from vexrepo.storage.pins import read_pin

DAY = 86_400_000_000
NOW = 1_790_000_000_000_000
SEEDS = {name: bytes([number]) * 32 for number, name in enumerate(("alice", "bob"))}
KEYS = {name: public_key(seed) for name, seed in SEEDS.items()}


class Place:
    """A repository, a clock, and whose keys are known."""

    def __init__(self, folder: Path, state: str = "state") -> None:
        self.folder, self.state = folder, folder / state
        self.now_us = NOW
        self.limits: dict[str, dict[str, int]] = {"alice": {}, "bob": {}}
        self.lines: dict[str, str] = {}

    def around(self, who: str = "alice") -> Surroundings:
        known = {KEYS[name]: KnownKey(name, KEYS[name], **limits) for name, limits in self.limits.items()}
        identity = Identity(who, KEYS[who], SEEDS[who])
        return Surroundings(
            lambda: self.now_us, who, identity, Trust(known), state_folder=self.state, files=QuickFiles()
        )

    def open(self, who: str = "alice") -> Repository:
        if not (self.folder / ".vex" / "format").exists():
            Repository.init(self.folder, self.around(who), store="jsonl:" + str(self.folder / "a.vmig.jsonl"))
        return Repository.open(self.folder / ".vex", self.around(who))

    def commit(self, who: str = "alice", at: int = 0, **texts: str) -> CommitId:
        """Commit as somebody, by a clock that stands at ``NOW + at``."""
        before, self.now_us = self.now_us, NOW + at
        self.lines |= texts
        content = "".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in self.lines.items())
        (self.folder / "a.vmig.jsonl").write_text(content)
        made = self.open(who).commit("m", allow_empty=True).id
        self.now_us = before
        assert made is not None
        return made

    def verdict(self, commit: CommitId) -> Verdict:
        [found] = self.open().signatures(commit)
        return found.verdict


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_newest_time_below_a_commit_counts_however_deep_it_lies(place):
    place.commit(a="1", at=0)
    place.commit(a="2", at=5 * DAY)
    backdated = [place.commit(a=str(number), at=number) for number in range(3, 8)]
    place.now_us = NOW + 6 * DAY
    place.limits["alice"] = {"valid_until_us": NOW + DAY}
    for commit in backdated:
        assert place.verdict(commit) is Verdict.EXPIRED
    evidence = place.open().evidence()
    assert evidence.newest_below(backdated[-1]) == NOW + 5 * DAY


def test_a_clock_that_ran_ahead_below_is_no_evidence(place):
    place.commit(a="1", at=5000 * DAY)
    later = place.commit(a="2", at=0)
    assert place.open().evidence().newest_below(later) is None
    place.limits["alice"] = {"valid_until_us": NOW + DAY}
    assert place.verdict(later) is Verdict.GOOD


def test_a_long_history_is_walked_once(place, monkeypatch):
    commits = [place.commit(a=str(number), at=number) for number in range(60)]
    place.limits["alice"] = {"valid_until_us": NOW + DAY}
    repository = place.open()
    reads = 0
    read = signatures.read_commit

    def counted(*args):
        nonlocal reads
        reads += 1
        return read(*args)

    monkeypatch.setattr(signatures, "read_commit", counted)
    assert all(repository.signatures(commit)[0].verdict is Verdict.GOOD for commit in commits)
    assert reads < 10 * len(commits)


def test_what_was_held_before_a_revocation_counts_from_the_operation_that_brought_it(place):
    first = place.commit(a="1", at=0)
    second = place.commit(a="2", at=2 * DAY)
    place.now_us = NOW + 5 * DAY
    place.limits["alice"] = {"revoked_us": NOW + DAY}
    assert place.verdict(first) is Verdict.GOOD
    assert place.verdict(second) is Verdict.REVOKED
    place.limits["alice"] = {"revoked_us": NOW}
    assert place.verdict(first) is Verdict.REVOKED


def test_a_clock_that_was_put_back_makes_nothing_older(place):
    place.commit(a="1", at=3 * DAY)
    backdated = place.commit(a="2", at=-9 * DAY)
    place.now_us = NOW + 5 * DAY
    place.limits["alice"] = {"revoked_us": NOW + DAY}
    assert place.verdict(backdated) is Verdict.REVOKED


def test_without_a_pin_or_with_a_new_one_the_log_is_no_evidence(place):
    commit = place.commit(a="1", at=0)
    place.now_us = NOW + 5 * DAY
    place.limits["alice"] = {"revoked_us": NOW + DAY}
    assert place.verdict(commit) is Verdict.GOOD
    kept = place.state
    place.state = place.folder / "another machine"
    assert place.verdict(commit) is Verdict.REVOKED
    place.commit("bob", at=5 * DAY, b="1")
    assert place.verdict(commit) is Verdict.REVOKED
    place.state = kept
    assert place.verdict(commit) is Verdict.GOOD
    # What the user takes for new is new.
    place.open().accept_rollback()
    assert place.verdict(commit) is Verdict.REVOKED


def test_a_pin_of_an_older_version_begins_to_count_when_it_is_written_next(place):
    commit = place.commit(a="1", at=0)
    [path] = (place.state / "pins").glob("*.json")
    pin = read_pin(path)
    assert pin is not None and pin.since_us == NOW
    old = json.loads(path.read_text())
    del old["since_us"]
    path.write_text(json.dumps(old))
    place.limits["alice"] = {"revoked_us": NOW + DAY}
    assert place.verdict(commit) is Verdict.REVOKED
    place.commit("bob", at=5 * DAY, b="1")
    found = read_pin(path)
    assert found is not None and found.since_us == NOW + 5 * DAY
    assert place.verdict(commit) is Verdict.REVOKED


def test_a_pin_that_cannot_be_read_is_none(place):
    place.commit(a="1")
    [path] = (place.state / "pins").glob("*.json")
    for content in (b"", b"{}", b"[]", b'{"operation":"x","sequence":1}', b'{"operation":5,"sequence":"1"}', b"\xff"):
        path.write_bytes(content)
        assert read_pin(path) is None
    assert read_pin(path.with_name("absent.json")) is None


def test_a_merge_is_answerable_for_what_none_of_its_parents_says(place):
    repository = place.open()
    base = place.commit(a="1", b="1")
    repository.create_branch("side", base.hex(), switch=True)
    place.commit("bob", a="by bob", at=1)
    repository = place.open()
    repository.move_head("heads/main", base)
    place.lines = {"a": "1", "b": "by alice"}
    place.commit(at=2)
    merged = merge(place.open(), repository.resolve("side"), "side", Policy())
    assert merged.commit is not None
    # Bob's change was signed by Bob: a merge that only joins needs no right of its own to it.
    limited = KnownKey("alice", KEYS["alice"], namespaces=frozenset({"elsewhere"}))
    trust = Trust({KEYS["alice"]: limited, KEYS["bob"]: KnownKey("bob", KEYS["bob"])})
    opened = Repository.open(place.folder / ".vex", replace(place.around(), trust=trust))
    assert opened.signatures(merged.commit)[0].verdict is Verdict.GOOD
    assert opened.signatures(base)[0].verdict is Verdict.OUT_OF_SCOPE


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("a..b", ("a", "b")), ("a..", ("a", "")), ("..b", ("", "b")), ("..", ("", "")), ("a", None), ("v1.0", None)],
)
def test_ranges_are_told_from_revisions(text, wanted):
    assert split_range(text) == wanted


@pytest.mark.parametrize("text", ["a...b", "a..b..c", "..."])
def test_ranges_of_other_kinds_are_refused(text):
    with pytest.raises(UsageError) as caught:
        split_range(text)
    assert caught.value.code == "unknown-revision"
