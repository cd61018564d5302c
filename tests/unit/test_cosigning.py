"""Signatures put beside commits that a remote has already travel both ways, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosting.team import REMOTE, Machine, Team, refusal
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import Signature, message_of, public_key, sign
from vexrepo.repository.collect import collect
from vexrepo.repository.cosigning import cosigned, write_signatures
from vexrepo.repository.hostcare import compact_host
from vexrepo.storage.files import Files
from vexrepo.storage.keys import Identity
from vexrepo.storage.pack import PackReader


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def reviewer(number: int) -> Identity:
    seed = bytes([100 + number]) * 32
    return Identity(f"r{number}", public_key(seed), seed)


def signers(machine: Machine, commit: CommitId) -> int:
    machine.repository.objects.refresh()
    return len(machine.repository.signatures(commit))


def test_a_signature_beside_a_pushed_commit_goes_with_the_next_push_and_comes_with_the_next_fetch(team: Team) -> None:
    author = team.begun()
    first, second = author.head, author.commit(k9="more")
    author.push()
    other = team.machine()
    other.clone()
    other.repository.sign([first, second], reviewer(1))
    done = other.push()
    assert done.signatures == 2 and done.packs == 1 and not done.is_empty
    assert all(move.kind == "same" for move in done.moves)
    generation = done.generation
    again = other.push()
    assert again.is_empty and again.generation == generation
    found = author.fetch()
    assert found.signatures == 2 and not found.is_empty and found.commits == 0
    assert signers(author, first) == signers(author, second) == 2
    assert author.fetch().is_empty and author.push().is_empty
    assert author.repository.check().problems == []
    late = team.machine()
    late.clone()
    assert signers(late, first) == 2 and late.push().is_empty


def test_signatures_go_along_with_new_commits_and_with_old_ones_at_once(team: Team) -> None:
    author = team.begun()
    first = author.head
    author.repository.sign([first], reviewer(1))
    second = author.commit(k9="more")
    author.repository.sign([second], reviewer(2))
    done = author.push()
    assert done.signatures == 1 and done.packs == 2
    other = team.machine()
    other.clone()
    assert signers(other, first) == signers(other, second) == 2


def test_a_dry_run_tells_and_sends_nothing(team: Team) -> None:
    author = team.begun()
    author.repository.sign([author.head], reviewer(1))
    before = dict(team.place.files)
    assert author.push(dry_run=True).signatures == 1
    assert team.place.files == before


def test_two_who_sign_at_once_both_get_through(team: Team) -> None:
    author = team.begun()
    first = author.head
    machines = [team.machine() for _ in range(3)]
    for number, machine in enumerate(machines):
        machine.clone()
        machine.repository.sign([first], reviewer(number))
    for machine in machines:
        assert machine.push().signatures == 1
    author.fetch()
    assert signers(author, first) == 4
    for machine in machines:
        machine.fetch()
        assert signers(machine, first) == 4 and machine.push().is_empty


def test_what_was_forgotten_is_sent_again_and_does_no_harm(team: Team) -> None:
    author = team.begun()
    author.repository.sign([author.head], reviewer(1))
    assert author.push().signatures == 1
    for path in (author.folder / ".vex" / "cache").rglob("*.signatures"):
        path.write_bytes(b"damaged")
    assert author.push().is_empty  # the very pack is there
    author.repository.sign([author.repository.commit_at(author.head).parents[0]], reviewer(1))
    for path in (author.folder / ".vex" / "cache").rglob("*.signatures"):
        path.unlink()
    assert author.push().signatures == 2
    assert author.push().is_empty
    other = team.machine()
    other.clone()
    assert signers(other, author.head) == 2


def test_gc_and_compaction_keep_all_signatures(team: Team) -> None:
    author = team.begun()
    first = author.head
    other = team.machine()
    other.clone()
    other.repository.sign([first], reviewer(1))
    other.push()
    compact_host(author.repository, REMOTE, author.reach)
    assert signers(author, first) == 2
    late = team.machine()
    late.clone()
    assert signers(late, first) == 2
    collect(late.repository, full=True)
    assert signers(late, first) == 2 and late.push().is_empty


def test_a_late_signature_that_does_not_fit_is_refused_and_changes_nothing(team: Team) -> None:
    author = team.begun()
    first = author.head
    other = team.machine()
    other.clone()
    forged = Signature(public_key(bytes(32)), sign(bytes(32), b"something else").signature)
    with other.repository.objects.writer() as writer:
        writer.put_signature(first, forged.encode())
        writer.finish()
    other.push()
    packs = set(author.repository.objects.packs)
    assert refusal(author.fetch) == "signature-bad"
    author.repository.objects.refresh()
    assert set(author.repository.objects.packs) == packs and signers(author, first) == 1


def test_a_commit_is_cosigned_when_it_has_several_or_one_from_elsewhere(team: Team, tmp_path: Path) -> None:
    author = team.machine().init()
    first, second = author.commit(a="1"), author.commit(a="2")
    assert cosigned(author.repository.objects) == []
    author.repository.sign([second], reviewer(1))
    assert cosigned(author.repository.objects) == [second]
    path = write_signatures(Files(), tmp_path / "out", [(first, sign(bytes(32), message_of(first)).encode())])
    entries = list(PackReader(path))
    assert [(entry.id, entry.type) for entry in entries] == [(first, ObjectType.SIGNATURE)]
