"""A host that lies: whatever it changes, withholds or shows again is noticed, and nothing of it is used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from tests.hosting.team import REMOTE, Machine, Team, refusal
from vexrepo.errors import Tampered
from vexrepo.remotes.hosts.base import Tip
from vexrepo.remotes.hosts.memory import MemoryHost, Place
from vexrepo.repository.hostcare import check_host, compact_host

Lie = Callable[[bytes], bytes]


@pytest.fixture
def team(tmp_path: Path) -> Team:
    made = Team(tmp_path)
    one = made.begun()
    made.cloned()
    one.commit(k2="second push")
    one.push()
    one.commit(k3="third push")
    one.push()
    return made


def copy_of(place: Place) -> Place:
    return Place(place.tip, dict(place.files), place.commits)


def replaced(place: Place, path: str, content: bytes | None) -> Place:
    """A host whose tip says that a file is something else (None: is not there): its ids all fit."""
    made = copy_of(place)
    assert made.tip is not None
    files = dict(made.tip.files)
    if content is None:
        del files[path]
    else:
        files[path] = made.put(content)
    made.tip = Tip(f"{made.commits + 1:040x}", files)
    return made


def content(place: Place, path: str) -> bytes:
    assert place.tip is not None
    return place.files[place.tip.files[path].id]


def parts(place: Place) -> list[str]:
    assert place.tip is not None
    return [path for path in place.tip.files if path.startswith("packs/")]


class Victim:
    """A machine that has seen the host before, and a new one; what they hold before and after."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.old = team.machines[1]

    def state(self, machine: Machine) -> tuple[object, ...]:
        repository = machine.repository
        packs = sorted((repository.folder / "packs").iterdir())
        tmp = list((repository.folder / "tmp").glob("*")) if (repository.folder / "tmp").exists() else []
        return repository.log.current_id(), repository.view(), packs, tmp

    def codes(self, place: Place) -> tuple[str, str]:
        """What a fetch and a clone say; neither may have used anything."""
        honest, self.team.place = self.team.place, place
        try:
            before = self.state(self.old)
            fetched = refusal(self.old.fetch)
            assert not fetched or self.state(self.old) == before
            new = self.team.machine()
            cloned = refusal(new.clone)
            if cloned:
                assert not (new.folder / ".vex" / "format").exists()
        finally:
            self.team.place = honest
        return fetched, cloned


@pytest.fixture
def victim(team: Team) -> Victim:
    return Victim(team)


def flipped(at: float, bit: int = 1) -> Lie:
    def lie(raw: bytes) -> bytes:
        place = min(int(at * len(raw)), len(raw) - 1)
        return raw[:place] + bytes([raw[place] ^ bit]) + raw[place + 1 :]

    return lie


@pytest.mark.parametrize("at", [0, 0.001, 0.01, 0.2, 0.5, 0.9, 1])
def test_a_flipped_bit_in_any_sealed_file_is_noticed(team: Team, victim: Victim, at: float) -> None:
    for path in ["head", *parts(team.place)]:
        bad = replaced(team.place, path, flipped(at)(content(team.place, path)))
        fetched, cloned = victim.codes(bad)
        assert cloned == "host-tampered"
        assert fetched in ("host-tampered", "")  # a pack that it has already is not read again
        if path == "head":
            assert fetched == "host-tampered"
    assert refusal(victim.old.fetch) == ""


def test_any_flipped_bit_in_the_header_is_noticed(team: Team, victim: Victim) -> None:
    raw = content(team.place, "vexrepo")
    for at in range(0, len(raw), 7):
        codes = victim.codes(replaced(team.place, "vexrepo", flipped(at / len(raw), 1 << (at % 7))(raw)))
        assert codes[0] != "host-not-ours"
        assert set(codes) <= {"host-tampered", "host-replaced", "host-not-ours", "host-version", "wrong-passphrase"}


@pytest.mark.parametrize(
    "lie",
    [
        lambda raw: raw[:-1],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
        lambda raw: raw + b"\0",
        lambda raw: raw * 2,
    ],
    ids=["last byte", "half", "all", "one more", "twice"],
)
def test_a_file_that_was_cut_or_grew_is_noticed(team: Team, victim: Victim, lie: Lie) -> None:
    for path in ["head", *parts(team.place)]:
        bad = replaced(team.place, path, lie(content(team.place, path)))
        assert victim.codes(bad) == ("host-tampered", "host-tampered")


def test_files_in_each_others_place_are_noticed(team: Team, victim: Victim) -> None:
    every = parts(team.place)
    for path in every:
        for other in every:
            if path != other:
                bad = replaced(team.place, path, content(team.place, other))
                assert victim.codes(bad)[1] == "host-tampered"
        bad = replaced(team.place, path, content(team.place, "head"))
        assert victim.codes(bad)[1] == "host-tampered"
        assert victim.codes(replaced(team.place, "head", content(team.place, path))) == ("host-tampered",) * 2


def test_a_missing_file_is_noticed(team: Team, victim: Victim) -> None:
    for path in ["head", *parts(team.place)]:
        assert victim.codes(replaced(team.place, path, None)) == ("host-tampered", "host-tampered")
    assert victim.codes(replaced(team.place, "vexrepo", None)) == ("host-replaced", "host-not-ours")


def test_files_that_are_listed_and_not_given_are_noticed(team: Team, victim: Victim) -> None:
    class Withholding(MemoryHost):
        held: str

        def fetch(self, tip: Tip, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
            for path, raw in super().fetch(tip, paths):
                if path != self.held:
                    yield path, raw

    def connect() -> Withholding:
        return Withholding(REMOTE.url, team.place)

    team._host = connect
    for path in parts(team.place):
        Withholding.held = path
        fetched, cloned = victim.codes(team.place)
        assert cloned == "host-file-missing" and fetched in ("host-file-missing", "")


def test_an_older_tip_shown_again_is_noticed_by_whoever_saw_a_newer(tmp_path: Path) -> None:
    team = Team(tmp_path)
    one = team.begun()
    tips = [copy_of(team.place)]
    two = team.cloned()
    for number in range(3):
        one.commit(k1=f"version {number}")
        one.push()
        two.pull()
        tips.append(copy_of(team.place))
    now = tips.pop()
    for old in tips:
        team.place = old
        for machine in (one, two):
            before = machine.repository.log.current_id()
            machine.commit(k2="mine")
            assert refusal(machine.fetch) == refusal(machine.push) == "host-rolled-back"
            assert machine.repository.log.read(machine.repository.log.current_id()).parent == before
            machine.repository.undo()
            assert refusal(lambda: check_host(machine.repository, REMOTE, machine.reach)) == "host-rolled-back"  # noqa: B023
    # One that never saw it cannot know, but is told where its state folder does.
    fresh = team.machine(state=one.around.state_folder)
    assert refusal(fresh.clone) == "host-rolled-back"
    team.place = now
    assert refusal(one.fetch) == ""


def test_an_older_head_with_the_packs_of_now_is_noticed(tmp_path: Path) -> None:
    team = Team(tmp_path)
    one = team.begun()
    old = content(team.place, "head")
    two = team.cloned()
    one.commit(k1="later")
    one.push()
    two.pull()
    team.place = replaced(team.place, "head", old)
    assert refusal(one.fetch) == refusal(two.fetch) == "host-rolled-back"


def test_two_histories_told_to_two_machines_are_noticed_once_they_meet(tmp_path: Path) -> None:
    team = Team(tmp_path)
    one = team.begun()
    two = team.cloned()
    common, here = copy_of(team.place), team.place
    one.commit(k1="told to one")
    one.push()
    team.place = common
    two.commit(k2="told to two")
    two.push()
    there = team.place
    for machine, place in ((one, there), (two, here)):
        team.place = place
        before = Victim(team).state(machine)
        assert refusal(machine.fetch) == refusal(machine.push) == "host-rolled-back"
        assert Victim(team).state(machine) == before
    team.place = here
    assert refusal(one.fetch) == ""


def test_a_restored_host_is_accepted_when_somebody_says_so(tmp_path: Path) -> None:
    team = Team(tmp_path)
    one = team.begun()
    old = copy_of(team.place)
    one.commit(k1="later")
    one.push()
    team.place = old
    assert refusal(one.fetch) == "host-rolled-back"
    report = check_host(one.repository, REMOTE, one.reach, read_data=True, accept_rollback=True)
    assert report.problems == [] and report.generation == 1
    found = one.fetch()
    assert [move.kind for move in found.moves] == ["forced"]
    assert one.push().moves[0].kind == "forward"


def test_a_check_names_each_file_that_is_wrong(team: Team) -> None:
    one = team.machines[0]
    honest, every = team.place, parts(team.place)

    def report(place: Place, *, read_data: bool) -> list[str]:
        team.place = place
        try:
            found = check_host(one.repository, REMOTE, one.reach, read_data=read_data).problems
        finally:
            team.place = honest
        return [code for code, words in found if any(path in words for path in every)]

    missing = replaced(replaced(honest, every[0], None), every[1], None)
    assert report(missing, read_data=False) == ["host-file-missing"] * 2
    assert report(missing, read_data=True) == ["host-file-missing"] * 2
    for path in every:
        bad = replaced(honest, path, flipped(0.5)(content(honest, path)))
        assert report(bad, read_data=False) == [] and report(bad, read_data=True) == ["host-tampered"]
        cut = replaced(honest, path, content(honest, path)[:-5])
        assert report(cut, read_data=False) == ["host-tampered"]
    assert report(honest, read_data=True) == []


def test_what_cannot_be_read_for_a_damaged_file_is_one_problem_beside_it(team: Team) -> None:
    one = team.machines[0]
    team.place = replaced(team.place, parts(team.place)[0], None)
    found = check_host(one.repository, REMOTE, one.reach, read_data=True).problems
    assert [code for code, _ in found] == ["host-file-missing", "object-missing"]
    assert not any("vex fsck" in words or "tmp" in words for _, words in found)


def test_a_known_host_whose_header_is_gone_is_no_strangers(team: Team) -> None:
    one = team.machines[0]
    for header in (None, b"hello"):
        team.place = replaced(team.place, "vexrepo", header)
        for ask in (one.fetch, one.push):
            with pytest.raises(Tampered, match="when it was last seen; now its header is missing or damaged") as caught:
                ask()
            assert caught.value.code == "host-replaced"


def test_a_member_who_leaves_out_what_a_branch_needs_is_noticed(team: Team, victim: Victim) -> None:
    """Somebody with the key publishes a head whose branch is not complete."""
    one = team.machines[0]
    from vexrepo.repository.hostcare import open_host

    honest = copy_of(team.place)
    with open_host(one.repository, REMOTE, one.reach) as vault:
        vault.publish(vault.head.refs, (), keep=[vault.head.packs[0].digest, vault.head.packs[2].digest])
    fetched, cloned = victim.codes(team.place)
    assert (fetched, cloned) == ("host-incomplete", "host-incomplete")
    three = team.machines[0]
    found = check_host(three.repository, REMOTE, three.reach, read_data=True).problems
    assert "object-missing" in {code for code, _ in found}
    # Whoever has everything puts it right.
    compact_host(one.repository, REMOTE, one.reach)
    assert victim.codes(team.place) == ("", "")
    assert honest.tip is not None
