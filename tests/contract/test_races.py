"""Several writers at once: one wins, the others go on or are told; nothing is lost.  On every kind of host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hosting.http_backend import PARTIAL, SECRET, USER, http_backend, make_bare
from tests.hosting.team import REMOTE, Machine, Team, refusal
from vexrepo.errors import StateError
from vexrepo.remotes.hosts.base import Access, OutcomeUnknown, Tip, Token
from vexrepo.remotes.hosts.git import GitHost
from vexrepo.remotes.hosts.git_directory import DirectoryHost
from vexrepo.remotes.hosts.memory import MemoryHost
from vexrepo.repository.hostcare import check_host, compact_host

WRITERS, ROUNDS = 3, 2


def token(url: str) -> Token:
    return Token(USER, SECRET, "a test")


@pytest.fixture(params=["memory", "directory", "http"])
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Team]:
    if request.param == "memory":
        yield Team(tmp_path)
    elif request.param == "directory":
        bare = make_bare(tmp_path / "memory.git")
        yield Team(tmp_path, host=lambda: DirectoryHost.open(str(bare), Access()))
    else:
        make_bare(tmp_path / "served" / "memory.git", PARTIAL)
        with http_backend(tmp_path / "served") as server:
            yield Team(tmp_path, host=lambda: GitHost.open(server.url(), Access(token=token)))


def together(*actions: Callable[[], None]) -> None:
    """Run actions at once; raise what any of them raised."""
    errors: list[BaseException] = []
    ready = threading.Barrier(len(actions))

    def run(action: Callable[[], None]) -> None:
        try:
            ready.wait()
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def machines(team: Team) -> list[Machine]:
    team.begun()
    return [team.cloned() for _ in range(WRITERS)]


def test_writers_of_different_branches_all_succeed_unasked(team: Team) -> None:
    every = machines(team)

    def work(number: int, machine: Machine) -> Callable[[], None]:
        def run() -> None:
            machine.branch(f"b{number}")
            for round_ in range(ROUNDS):
                machine.commit(**{f"k{number}": f"round {round_} of {number}"})
                machine.push()

        return run

    together(*(work(number, machine) for number, machine in enumerate(every)))
    last = team.machine()
    assert set(last.clone().branches) == {"main", *(f"b{number}" for number in range(WRITERS))}
    for number, machine in enumerate(every):
        assert last.tracking()[f"b{number}"] == machine.head
        assert last.texts(machine.head) == machine.texts()
    assert check_host(last.repository, REMOTE, last.reach, read_data=True).problems == []


def test_writers_of_one_branch_take_turns_and_nothing_is_lost(team: Team) -> None:
    every = machines(team)
    pulls = 0

    def work(number: int, machine: Machine) -> Callable[[], None]:
        def run() -> None:
            nonlocal pulls
            for round_ in range(ROUNDS):
                machine.commit(**{f"w{number}-{round_}": f"round {round_} of {number}"})
                while True:
                    try:
                        machine.push()
                        break
                    except StateError as error:
                        if error.code not in ("host-moved", "not-fast-forward") or "vex pull" not in str(error):
                            raise
                        pulls += 1
                        machine.pull()

        return run

    together(*(work(number, machine) for number, machine in enumerate(every)))
    last = team.machine()
    last.clone()
    expected = {f"w{number}-{round_}" for number in range(WRITERS) for round_ in range(ROUNDS)}
    assert expected <= set(last.texts()) and pulls >= 1
    assert last.is_sound() and check_host(last.repository, REMOTE, last.reach, read_data=True).problems == []


def test_two_first_pushes_make_one_host(team: Team) -> None:
    both = [team.machine().init(), team.machine().init()]
    codes: list[str] = []
    for machine in both:
        machine.commit(a=machine.folder.name)

    def work(machine: Machine) -> Callable[[], None]:
        return lambda: codes.append(refusal(machine.push))

    together(*(work(machine) for machine in both))
    assert sorted(codes)[0] == "" and sorted(codes)[1] in ("repository-exists", "not-fast-forward", "host-moved")
    last = team.machine()
    last.clone()
    assert last.texts() in [machine.texts() for machine in both]


def test_writers_go_on_while_somebody_compacts(team: Team) -> None:
    every = machines(team)

    def write() -> None:
        for round_ in range(ROUNDS):
            every[0].commit(k0=f"round {round_}")
            every[0].push()

    def compact() -> None:
        for _ in range(2):
            code = refusal(lambda: compact_host(every[1].repository, REMOTE, every[1].reach))
            assert code in ("", "host-moved", "host-file-missing")

    together(write, compact)
    last = team.machine()
    last.clone()
    assert last.texts() == every[0].texts()
    assert check_host(last.repository, REMOTE, last.reach, read_data=True).problems == []


# -- by hand, in memory ------------------------------------------------------------------------------------------------


class Between(MemoryHost):
    """Lets something happen just before or just after the next publish."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def publish(self, *arguments: object, **more: object) -> Tip:
        kind = type(self)
        before, kind.before = kind.before, None
        if before is not None:
            before()
        tip = super().publish(*arguments, **more)  # type: ignore[arg-type]
        after, kind.after = kind.after, None
        if after is not None:
            after()
        return tip


@pytest.fixture
def between(tmp_path: Path) -> Iterator[Team]:
    made = Team(tmp_path)
    made._host = lambda: Between(REMOTE.url, made.place)
    yield made
    Between.before = Between.after = None


def lose_the_answer() -> None:
    raise OutcomeUnknown("the connection ended", code="host-no-answer")


def test_a_push_is_refused_when_the_other_writer_won(between: Team) -> None:
    one = between.begun()
    two = between.cloned()
    one.commit(k1="by one")
    two.commit(k2="by two")
    Between.before = lambda: two.push() and None
    with pytest.raises(StateError, match="vex pull backup") as caught:
        one.push()
    assert caught.value.code == "host-moved" and one.tracking() != {"main": one.head}
    one.pull()
    assert not one.push().is_empty


def test_a_push_is_tried_again_when_only_other_refs_moved(between: Team) -> None:
    one = between.begun()
    two = between.cloned()
    two.branch("elsewhere")
    two.commit(k2="by two")
    one.commit(k1="by one")
    Between.before = lambda: two.push() and None
    done = one.push()
    assert done.retries == 1 and [move.kind for move in done.moves] == ["forward"]
    three = between.machine()
    assert set(three.clone().branches) == {"main", "elsewhere"}


def test_a_push_is_made_anew_when_somebody_compacted_in_between(between: Team) -> None:
    one = between.begun()
    two = between.cloned()
    one.commit(k1="by one")
    Between.before = lambda: compact_host(two.repository, REMOTE, two.reach) and None
    assert one.push().retries == 1
    assert check_host(two.repository, REMOTE, two.reach, read_data=True).problems == []


def test_a_lost_answer_is_known_for_a_success(between: Team) -> None:
    one = between.begun()
    two = between.cloned()
    one.commit(k1="by one")
    Between.after = lose_the_answer
    done = one.push()
    assert [move.kind for move in done.moves] == ["forward"] and one.tracking() == {"main": one.head}
    assert two.fetch().moves[0].new == one.head

    def answer_lost_and_somebody_went_on() -> None:
        two.pull()
        two.commit(k2="on top of it")
        two.push()
        lose_the_answer()

    one.commit(k1="by one again")
    Between.after = answer_lost_and_somebody_went_on
    done = one.push()
    assert [move.kind for move in done.moves] == ["forward"] and one.tracking() == {"main": one.head}
    assert one.pull().result.kind == "fast-forward" and one.texts() == two.texts()


def test_a_request_that_never_arrived_is_sent_again(between: Team) -> None:
    one = between.begun()
    one.commit(k1="by one")
    Between.before = lose_the_answer
    assert [move.kind for move in one.push().moves] == ["forward"]
    assert between.cloned().texts() == one.texts()
