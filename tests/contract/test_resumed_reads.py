"""A read that was interrupted goes on where it stopped, and gives what an uninterrupted one would; or begins anew."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.contract.points import EVERYTHING, SERVERS, MemoryStore, serve
from tests.contract.qdrant_server import QdrantServer
from tests.property.strategies import attempt
from vexrepo.errors import StoreError
from vexrepo.objects.record import Record, from_json
from vexrepo.remotes.stores.address import Address, Reach
from vexrepo.remotes.stores.base import Description
from vexrepo.remotes.stores.point_store import Point
from vexrepo.remotes.stores.registry import BUILT_IN, open_store
from vexrepo.repository import Committed, Repository, Surroundings
from vexrepo.testing.stores import plan_between

HOUR_US = 3_600 * 1_000_000
REFUSED = (401, {}, b'{"status": {"error": "no"}}')


def note(identifier: str, text: str, number: int = 0) -> Record:
    return from_json({"id": identifier, "text": text, "vector": [number + 0.5, 1.0], "dims": 2})


def memory(count: int) -> list[Record]:
    return [note(f"m{n:04}", f"note {n}", n) for n in range(count)]


@dataclass
class Clock:
    now_us: int = 1_795_000_000_000_000

    def __call__(self) -> int:
        self.now_us += 1_000_000
        return self.now_us


@dataclass
class Desk:
    """A repository that commits one store."""

    folder: Path
    store: Address
    clock: Clock = field(default_factory=Clock)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.repository = Repository.init(self.folder, Surroundings(self.clock))
        self.store = replace(self.store, reach=Reach(notice=self.said.append))

    def commit(self, message: str = "kept", **how: bool) -> Committed:
        return self.repository.commit(message, store=self.store, **how)

    def write(self, *records: Record, gone: tuple[Record, ...] = ()) -> None:
        with open_store(self.store, create=True) as store:
            store.write(plan_between(gone, records))

    def kept(self) -> list[Path]:
        return sorted(path for path in (self.repository.folder / "tmp").glob("read-*/*"))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vexrepo.remotes.intake.EVERY_RECORDS", 60)


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    found = QdrantServer()
    yield found
    found.end()


@dataclass
class Reading:
    """What a store of points in memory does when it is read."""

    fails_after: int | None = None  # points
    fingerprint: str | None = None
    read: int = 0


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    """How ``points:`` stores are read in this test: in order, with cursors."""
    how = Reading()

    class Ordered(MemoryStore):
        resumes = True

        def describe(self) -> Description:
            return replace(super().describe(), fingerprint=how.fingerprint)

        def read_points(self) -> Iterator[list[Point]]:
            for batch in super().read_points():
                how.read += len(batch)
                if how.fails_after is not None and how.read > how.fails_after:
                    raise StoreError("the server went away", code="store-unreachable")
                yield batch

    monkeypatch.setattr("tests.contract.points.Ordered", Ordered, raising=False)
    monkeypatch.setitem(BUILT_IN, "points", "tests.contract.points:Ordered")
    yield how
    SERVERS.clear()


@pytest.fixture
def desk(tmp_path: Path, reading: Reading) -> Desk:
    found = Desk(tmp_path, serve("agent", EVERYTHING))
    found.write(*memory(400))
    return found


def interrupted(desk: Desk, reading: Reading, after: int = 250) -> None:
    reading.read, reading.fails_after = 0, after
    assert attempt(desk.commit) == (None, "store-unreachable")
    reading.read, reading.fails_after = 0, None


@pytest.mark.parametrize("page", range(1, 5))
def test_a_server_is_asked_only_for_what_was_not_read(tmp_path: Path, server: QdrantServer, page: int) -> None:
    desk = Desk(tmp_path, server.address())
    desk.write(*memory(500))
    other = Desk(tmp_path / "other", server.address())
    wanted = other.commit().snapshot.records
    passing: list[tuple[int, dict[str, str], bytes] | None] = [None] * (page + 4)
    asked = len(server.asked)
    server.script = [*passing, REFUSED]
    assert attempt(desk.commit) == (None, "store-refused")
    server.script = []
    first = [each for each in server.asked[asked:] if "scroll" in each]
    done = desk.commit()
    assert done.snapshot.records == wanted and not desk.kept()
    again = [each for each in server.asked[asked:] if "scroll" in each][len(first) :]
    everything = sum("scroll" in each for each in server.asked[:asked])
    assert len(again) < everything + 2  # one page for what the text is called
    if done.commit.source.get("read_since"):
        assert "goes on after" in desk.said[-1] and "--fresh" in desk.said[-1]


@pytest.mark.parametrize("after", [0, 50, 100, 130, 250, 399])
def test_an_interrupted_read_gives_what_an_uninterrupted_one_does(desk: Desk, reading: Reading, after: int) -> None:
    wanted = Desk(desk.folder / "other", desk.store).commit().snapshot
    interrupted(desk, reading, after)
    done = desk.commit()
    assert done.snapshot.records == wanted.records
    assert ("read_since" in done.commit.source) == (after >= 100) == bool(desk.said)
    assert not desk.kept()


def test_several_interruptions_add_up(desk: Desk, reading: Reading) -> None:
    wanted = Desk(desk.folder / "other", desk.store).commit().snapshot
    for after in (150, 250, 350, 400):
        interrupted(desk, reading, after)
    done = desk.commit()
    assert done.snapshot.records == wanted.records
    assert [int(text.split(" memories")[0].rpartition(" ")[2]) for text in desk.said] == [100, 200, 300, 300]


def test_what_is_unchanged_stays_so(desk: Desk, reading: Reading) -> None:
    first = desk.commit()
    changed = [from_json({**item.to_json(), "text": "other"}) for item in memory(400)[::40]]
    desk.write(*changed)
    interrupted(desk, reading)
    done = desk.commit("changed")
    assert (done.tally.learned, done.tally.changed, done.tally.forgotten) == (0, 10, 0)
    assert done.commit.parents == (first.id,) and "read_since" in done.commit.source


def test_a_store_that_tells_whether_it_changed_is_believed(desk: Desk, reading: Reading) -> None:
    reading.fingerprint = "one"
    interrupted(desk, reading)
    reading.fingerprint = "two"
    desk.write(note("m0001", "other"))
    done = desk.commit()
    assert "read_since" not in done.commit.source and not desk.said
    found = {item.record.to_json()["id"]: item.record.to_json()["text"] for batch in _scan(desk) for item in batch}
    assert found["m0001"] == "other"
    interrupted_at = desk.clock.now_us
    desk.write(note("m0002", "other"))
    reading.fingerprint = "three"
    interrupted(desk, reading)
    desk.clock.now_us = interrupted_at + 5 * HOUR_US
    done = desk.commit("again")
    assert "read_since" not in done.commit.source and "goes on after" in desk.said[-1] and "fresh" not in desk.said[-1]


def _scan(desk: Desk) -> Iterator[list]:  # type: ignore[type-arg]
    with open_store(desk.store) as store:
        yield from store.scan()


@pytest.mark.parametrize("why", ["count", "base", "late", "fresh", "skips", "damaged", "cut"])
def test_what_is_not_surely_the_same_is_read_anew(desk: Desk, reading: Reading, why: str) -> None:
    interrupted(desk, reading)
    assert desk.kept()
    how: dict[str, bool] = {}
    if why == "count":
        desk.write(note("new", "learnt"))
    elif why == "base":
        own = Address("jsonl", str(desk.folder / "own.vmig.jsonl"))
        with open_store(own, create=True) as store:
            store.write(plan_between([], memory(3)))
        desk.repository.commit("another", store=own)
    elif why == "late":
        desk.clock.now_us += HOUR_US
    elif why == "fresh":
        desk.repository.around = replace(desk.repository.around, resumes=False)
    elif why == "skips":
        how = {"skip_problems": True}
    elif why == "damaged":
        next(path for path in desk.kept() if path.name == "state.json").write_bytes(b'{"version": 1, "runs": [')
    else:
        path = next(path for path in desk.kept() if path.name.endswith("-0"))
        path.write_bytes(path.read_bytes()[:-1])
    done = desk.commit("kept", **how)
    assert "read_since" not in done.commit.source and not desk.said and not desk.kept()
    assert reading.read >= 400
    assert done.snapshot.records.count == 400 + (why == "count")


def test_a_process_that_is_killed_loses_little(desk: Desk, reading: Reading) -> None:
    wanted = Desk(desk.folder / "other", desk.store).commit().snapshot
    child = os.fork()
    if child == 0:  # pragma: no cover - the child ends without a word, as by kill -9
        reading.read, reading.fails_after = 0, 300
        try:
            desk.repository.commit("kept", store=desk.store)
        except StoreError:
            os._exit(9)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert json.loads(next(path for path in desk.kept() if path.name == "state.json").read_bytes())["count"] == 300
    desk.clock.now_us += 60_000_000
    done = desk.commit()
    assert done.snapshot.records == wanted.records and len(desk.said) == 1


def test_what_lies_about_is_removed_after_a_day(desk: Desk, reading: Reading) -> None:
    interrupted(desk, reading)
    folder = desk.kept()[0].parent
    desk.clock.now_us = int((folder.stat().st_mtime + 25 * 3600) * 1e6)
    desk.repository.create_branch("other", "HEAD", switch=True)
    assert not desk.kept()
