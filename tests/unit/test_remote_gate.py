"""The gate before what a remote sends, and before what it is given."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.hosting.team import REMOTE, Machine, Team, refusal
from vexrepo.objects.trust import Trust
from vexrepo.storage.oplog import REMOTES


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def hook(machine: Machine, event: str, text: str) -> Path:
    path = machine.repository.folder / "hooks" / event
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + text, "utf-8")
    path.chmod(0o755)
    return path


def trusting(machine: Machine, *others: Machine, policy: str = "trusted") -> None:
    """Let a machine know the keys of some others, and hold remotes to a policy."""
    known = {other.around.identity.key: f"m{number}" for number, other in enumerate(others) if other.around.identity}
    machine.around = replace(machine.around, trust=Trust.of(known))
    machine.reopen()
    machine.repository.config.add("trust.policy", policy, "test")


def packs(machine: Machine) -> list[str]:
    return sorted(path.name for path in (machine.repository.folder / "packs").iterdir())


def two(team: Team) -> tuple[Machine, Machine]:
    """Two machines with the same history, and one commit at the host that the second has not."""
    one = team.machine().init()
    one.commit(a="first")
    one.push("main")
    other = team.machine()
    other.clone()
    one.commit(b="second")
    one.push("main")
    return one, other


@pytest.mark.parametrize(
    ("policy", "knows", "code"),
    [
        ("auto", False, ""),
        ("integrity", False, ""),
        ("signed", False, ""),
        ("trusted", False, "signature-unknown-key"),
        ("trusted", True, ""),
    ],
)
def test_the_policy_decides_about_the_signers_of_commits(team: Team, policy: str, knows: bool, code: str) -> None:
    one, other = two(team)
    trusting(other, *([one] if knows else []), policy=policy)
    before, held = other.repository.log.current_id(), packs(other)
    assert refusal(other.fetch) == code
    if code:
        assert (other.repository.log.current_id(), packs(other)) == (before, held)
        assert not other.repository.check().problems
        trusting(other, one)
        assert refusal(other.fetch) == ""  # what was refused can be fetched later
    assert other.repository.view().refs[f"{REMOTES}{REMOTE.name}/main"] == one.head


def test_unknown_signers_are_said_and_known_ones_are_not(team: Team) -> None:
    one, other = two(team)
    trusting(other, policy="auto")
    (said,) = other.fetch().said
    assert "1 commit signed by" in said and "unknown" in said
    one.commit(c="third")
    one.push("main")
    trusting(other, one, policy="auto")
    assert other.fetch().said == ()


def test_an_unsigned_commit_is_let_in_only_where_the_policy_allows(team: Team) -> None:
    one, other = two(team)
    one.around = replace(one.around, identity=None)
    one.reopen()
    one.commit(c="unsigned")
    one.push("main")
    trusting(other, one, policy="signed")
    assert refusal(other.fetch) == "signature-missing"
    trusting(other, one, policy="auto")
    assert "1 commit unsigned" in other.fetch().said


def test_a_clone_that_the_policy_refuses_leaves_no_repository(team: Team) -> None:
    one = team.machine().init()
    one.commit(a="first")
    one.push("main")
    other = team.machine()

    def strict(made: object) -> None:
        made.config.add("trust.policy", "trusted", "test")  # type: ignore[attr-defined]

    assert refusal(lambda: other.clone(configure=strict)) == "signature-unknown-key"
    assert not (other.folder / ".vex" / "format").exists()
    assert one.around.identity is not None
    other.around = replace(other.around, trust=Trust.of({one.around.identity.key: "one"}))
    assert other.clone(configure=strict).said == ()


def test_a_hook_sees_what_a_fetch_brings_and_can_refuse_it(team: Team) -> None:
    one, other = two(team)
    path = hook(
        other, "pre-import", 'cat > event.json\ngrep -q second "$(sed "s/.*records\\":\\"//; s/\\".*//" event.json)"'
    )
    assert refusal(other.fetch) == ""
    one.commit(c="third")
    one.push("main")
    before, held = other.repository.log.current_id(), packs(other)
    assert refusal(other.fetch) == "hook-veto"
    assert refusal(other.pull) == "hook-veto"
    assert (other.repository.log.current_id(), packs(other)) == (before, held)
    path.unlink()
    other.pull()
    assert other.texts() == one.texts()


def test_hooks_never_arrive_with_data(team: Team) -> None:
    one = team.machine().init()
    hook(one, "post-import", "touch /tmp/never\n")
    one.commit(a="first")
    one.push("main")
    other = team.machine()
    other.clone()
    assert not (other.repository.folder / "hooks").exists()


def test_a_push_can_be_refused_and_is_told_of(team: Team) -> None:
    one = team.machine().init()
    one.commit(a="first")
    path = hook(one, "pre-push", "echo no >&2; exit 1\n")
    hook(one, "post-push", "echo pushed >> told\n")
    assert refusal(lambda: one.push("main")) == "hook-veto"
    other = team.machine()
    assert refusal(other.clone) == "host-empty"
    path.unlink()
    one.push("main")
    assert (one.folder / "told").read_text() == "pushed\n"
    one.push("main")  # nothing to push: nothing is told
    assert (one.folder / "told").read_text() == "pushed\n"


def test_passing_hooks_by_does_not_pass_signatures_by(team: Team) -> None:
    _, other = two(team)
    hook(other, "pre-import", "exit 1\n")
    trusting(other, policy="auto")
    other.around = replace(other.around, verify=False)
    other.reopen()
    assert refusal(other.fetch) == ""
    other.repository.config.add("trust.policy", "trusted", "test")
    third = team.cloned()
    third.commit(z="more")
    third.push("main")
    assert refusal(other.fetch) == "signature-unknown-key"


def test_what_was_refused_is_offered_to_quarantine_before_it_is_gone(team: Team) -> None:
    _, other = two(team)
    kept: list[str] = []
    other.around = replace(
        other.around,
        keep_apart=lambda error, event, changes: kept.extend(
            change.after.text for change in changes() if change.after is not None
        ),
    )
    other.reopen()
    hook(other, "pre-import", "exit 1\n")
    assert refusal(other.fetch) == "hook-veto"
    assert kept == ["second"]
