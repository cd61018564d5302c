"""What was written into a store is looked at afterwards: too few, or others, is said."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.points import KINDS, SERVERS, MemoryStore, serve
from tests.property.strategies import attempt
from vexrepo.cli.commands.checkout import verified_words
from vexrepo.errors import StoreError
from vexrepo.exchange.request import Request
from vexrepo.exchange.transfer import transfer
from vexrepo.objects.digest import CommitId
from vexrepo.objects.record import from_json, make_key
from vexrepo.remotes.readback import SAMPLE, Verified, Written
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.jsonl import JsonlStore
from vexrepo.remotes.stores.point_store import PointStore
from vexrepo.remotes.stores.registry import BUILT_IN
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.restoring import Keys
from vexrepo.repository.surroundings import ReadBack
from vexrepo.testing.stores import plan_between


@pytest.fixture(autouse=True)
def _points(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(BUILT_IN, "points", "tests.contract.points:MemoryStore")
    yield
    SERVERS.clear()


@pytest.fixture
def source(tmp_path: Path) -> Address:
    found = Address("jsonl", str(tmp_path / "in.vmig.jsonl"))
    many = [from_json({"id": f"m{n}", "text": f"note {n}", "vector": [n + 1.5, 2.0], "dims": 2}) for n in range(600)]
    with JsonlStore.open(found, create=True) as store:
        store.write(plan_between([], many))
    return found


@pytest.mark.parametrize("kind", ["everything", "scales", "halves", "numbers", "filled"])
def test_what_was_written_is_counted_and_read_back(source: Address, kind: str) -> None:
    done = transfer(source, serve("new", KINDS[kind]), Request())
    assert done.verified is not None and (done.verified.count, done.verified.sample) == (600, SAMPLE)
    again = transfer(source, serve("new", KINDS[kind]), Request())
    assert again.verified is not None and (again.verified.count, again.verified.sample) == (600, SAMPLE)


def test_a_store_that_loses_what_it_is_given_is_found_out(source: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def upsert(self: MemoryStore, points: Any) -> None:
        kept(self, points[1:])

    kept = MemoryStore.upsert
    monkeypatch.setattr(MemoryStore, "upsert", upsert)
    assert attempt(lambda: transfer(source, serve("new", KINDS["everything"]), Request())) == (None, "store-differs")


def test_a_store_that_changes_what_it_is_given_is_found_out(source: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def upsert(self: MemoryStore, points: Any) -> None:
        kept(self, [each._replace(payload={**each.payload, "text": "x"}) for each in points])

    kept = MemoryStore.upsert
    monkeypatch.setattr(MemoryStore, "upsert", upsert)
    assert attempt(lambda: transfer(source, serve("new", KINDS["everything"]), Request())) == (None, "store-differs")


def test_a_checkout_reads_back_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, first, later = _memory_of_two_commits(tmp_path)
    store = serve("agent", KINDS["scales"])
    done = made.checkout(first, store)
    assert (done.verified, done.read_back) == (600, SAMPLE)
    kept, asked = MemoryStore.find_points, []

    def find_points(self: MemoryStore, ids: Any) -> Any:
        asked.extend(ids)
        return kept(self, ids)

    monkeypatch.setattr(MemoryStore, "find_points", find_points)
    done = made.checkout(later, store)
    assert (done.verified, done.read_back, sorted(asked)) == (600, 2, ["m3", "m7"])

    def upsert(self: MemoryStore, points: Any) -> None:
        written(self, [each._replace(payload={**each.payload, "text": "x"}) for each in points])

    written = MemoryStore.upsert
    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "upsert", upsert)
        with pytest.raises(StoreError, match=r"gives m\d back otherwise than it was written \(its text\)") as caught:
            made.checkout(first, store, head="heads/old")
    assert caught.value.code == "store-differs" and "run the command again" in str(caught.value).lower()
    assert made.view().head != "heads/old"
    assert made.checkout(first, store, force=True).read_back == 2


@pytest.mark.parametrize("kind", ["everything", "scales"])
@pytest.mark.parametrize("other", ["edits", "swaps"])
def test_what_another_program_did_to_memories_that_were_left_alone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, other: str
) -> None:
    made, first, later = _memory_of_two_commits(tmp_path)
    store = serve("agent", KINDS[kind])
    made.checkout(first, store)
    left = [from_json({"id": "m9" if other == "edits" else "n1", "text": "of the other", "vector": [10.5, 2.0]})]

    def upsert(self: MemoryStore, points: Any) -> None:
        written(self, points)
        if left:
            record = left.pop()
            with MemoryStore.open(store, create=True) as second:
                gone = [] if other == "edits" else [from_json({"id": "m9", "vector": [10.5, 2.0]})]
                second.write(plan_between(gone, [record]))

    written = MemoryStore.upsert
    monkeypatch.setattr(MemoryStore, "upsert", upsert)
    with pytest.raises(StoreError, match=r"1 of 600 memories are not there or are otherwise \(among others") as caught:
        made.checkout(later, store)
    assert caught.value.code == "store-changed" and "vex diff" in str(caught.value)
    assert made.checkout(later, store, force=True).verified == 600


@pytest.mark.parametrize(
    ("how", "changed", "is_whole", "words"),
    [
        ("auto", range(2), False, "counted 600 of 600, 2 of 2 read back"),
        ("auto", range(150), True, "verified 600 of 600"),
        ("sample", range(300), False, "counted 600 of 600, 256 of 300 read back"),
        ("all", range(2), True, "verified 600 of 600"),
    ],
)
def test_a_large_store_is_called_verified_only_where_all_of_it_was_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: ReadBack, changed: range, is_whole: bool, words: str
) -> None:
    monkeypatch.setattr("vexrepo.repository.lookback.MOST", 100)
    made, first, later = _memory_of_two_commits(tmp_path, changed, read_back=how)
    store = serve("agent", KINDS["everything"])
    made.checkout(first, store)
    written, left = MemoryStore.upsert, ["m599"]

    def upsert(self: MemoryStore, points: Any) -> None:
        written(self, points)
        if left:
            with MemoryStore.open(store, create=True) as second:
                second.write(plan_between([], [from_json({"id": left.pop(), "text": "of the other"})]))

    monkeypatch.setattr(MemoryStore, "upsert", upsert)
    _, code = attempt(lambda: made.checkout(later, store))
    assert not left and code == ("store-changed" if is_whole else "")
    made.checkout(first, store, force=True)
    done = made.checkout(later, store)
    assert done.is_whole == is_whole and verified_words(done) == words
    assert not made.checkout(first, store, force=True, selection=Keys(keys=frozenset({make_key("", "m5")}))).is_whole


def test_a_part_that_is_checked_out_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, first, _ = _memory_of_two_commits(tmp_path)
    store = serve("agent", KINDS["everything"])
    done = made.checkout(first, store, selection=Keys(keys=frozenset({make_key("", "m3"), make_key("", "m4")})))
    assert (done.verified, done.read_back) == (2, 2)

    def upsert(self: MemoryStore, points: Any) -> None:
        pass

    monkeypatch.setattr(MemoryStore, "upsert", upsert)
    chosen = Keys(keys=frozenset({make_key("", "m5")}))
    assert attempt(lambda: made.checkout(first, store, selection=chosen)) == (None, "store-differs")


def test_a_store_that_shows_late_is_asked_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "shows_late", True)
    waited: list[float] = []
    kept = MemoryStore.find_points

    def find_points(self: MemoryStore, ids: Any) -> Any:
        return kept(self, ids) if len(waited) >= appears_after else []

    monkeypatch.setattr(MemoryStore, "find_points", find_points)
    records = [from_json({"id": f"m{n}", "text": "t"}) for n in range(5)]
    for appears_after, wanted in ((0, 0), (3, 3), (99, None)):
        waited.clear()
        with MemoryStore.open(serve(f"late{appears_after}", KINDS["everything"]), create=True) as store:
            noted = Written(store, sleep=waited.append)
            store.write(plan_between([], list(map(noted.note, records))))
            _, code = attempt(lambda noted=noted: noted.verify(5))  # type: ignore[misc]
        assert code == ("" if wanted is not None else "store-differs")
        assert len(waited) == wanted if wanted is not None else sum(waited) < 10


def test_a_store_that_is_not_asked_by_key_is_scanned(source: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "find_points", PointStore.find_points)
    done = transfer(source, serve("new", KINDS["scales"]), Request())
    assert done.verified == Verified(600, SAMPLE, altered=SAMPLE)
    monkeypatch.setattr("vexrepo.remotes.readback.SCANNED", 100)
    done = transfer(source, serve("other", KINDS["scales"]), Request())
    assert done.verified is not None and 0 < done.verified.sample < SAMPLE


def _memory_of_two_commits(
    tmp_path: Path, others: Collection[int] = (3, 7), **more: Any
) -> tuple[Repository, CommitId, CommitId]:
    times = iter(range(1_795_000_000_000_000, 1_796_000_000_000_000, 1_000_000))
    made = Repository.init(tmp_path, Surroundings(now_us=lambda: next(times), **more))
    own = Address("jsonl", str(tmp_path / "own.vmig.jsonl"))
    found = []
    for changed in ((), others):
        texts = {n: "other" if n in changed else f"note {n}" for n in range(600)}
        records = [from_json({"id": f"m{n}", "text": text, "vector": [n + 1.5, 2.0]}) for n, text in texts.items()]
        with JsonlStore.open(own, create=True) as store:
            store.write(plan_between([], records))
        done = made.commit("kept", store=own)
        assert done.id is not None
        found.append(done.id)
    return made, found[0], found[1]
