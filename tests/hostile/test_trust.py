"""Attacks on who signed a commit: one attack, one verdict with its exact error code."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.property.strategies import QuickFiles
from vexrepo.errors import VexError
from vexrepo.objects.commit import Commit
from vexrepo.objects.digest import CommitId
from vexrepo.objects.kinds import ObjectType
from vexrepo.objects.signature import Signature, message_of, public_key, sign
from vexrepo.objects.trust import KnownKey, Trust, code_of
from vexrepo.repository import Repository, Surroundings
from vexrepo.repository.verifying import CommitVerdict, sign_commits
from vexrepo.storage.keys import Identity
from vexrepo.storage.trust import parse_public_key

NOW = 1_790_000_000_000_000
DAY = 86_400_000_000
ALICE, MALLORY = bytes(32), bytes([1]) * 32
ALICE_KEY, MALLORY_KEY = public_key(ALICE), public_key(MALLORY)
SMALL_ORDER = bytes([1]) + bytes(31)


class Place:
    """Alice's repository with one commit of hers, and whoever gets at its packs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "a.vmig.jsonl").write_text('{"id":"m1","text":"truth","namespace":"work"}\n')
        repository = Repository.init(folder, self.around(), store="jsonl:" + str(folder / "a.vmig.jsonl"))
        made = repository.commit("by alice").id
        assert made is not None
        self.commit = made

    @staticmethod
    def around(**limits: object) -> Surroundings:
        known = KnownKey("alice", ALICE_KEY, **limits)  # type: ignore[arg-type]
        identity = Identity("alice", ALICE_KEY, ALICE)
        return Surroundings(lambda: NOW, "alice", identity, Trust({ALICE_KEY: known}), files=QuickFiles())

    def open(self, **limits: object) -> Repository:
        return Repository.open(self.folder / ".vex", self.around(**limits))

    def put(self, commit: CommitId, signature: Signature) -> None:
        """Put a signature beside a commit, as whoever can write the packs does."""
        with self.open().objects.writer() as writer:
            writer.put_signature(commit, signature.encode())
            writer.finish()

    def forge(self, **changes: object) -> CommitId:
        """Write a commit like Alice's that says something else."""
        repository = self.open()
        made: Commit = replace(repository.commit_at(self.commit), parents=(self.commit,), **changes)  # type: ignore[arg-type]
        identifier, payload = made.encode()
        with repository.objects.writer() as writer:
            writer.put(ObjectType.COMMIT, identifier, payload)
            writer.finish()
        return identifier

    def judge(self, commit: CommitId, **limits: object) -> CommitVerdict:
        [found] = self.open(**limits).verify([commit])
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def code(found: CommitVerdict) -> str:
    """Return how a verdict that is not good is told from others."""
    if found.damage is not None:
        return found.damage.code
    return code_of(found.verdict) if found.verdict is None or found.verdict.value != "good" else "good"


def test_the_untouched_commit_is_good(place):
    assert code(place.judge(place.commit)) == "good"


def test_a_stranger_who_signs_beside_changes_nothing(place):
    place.put(place.commit, sign(MALLORY, message_of(place.commit)))
    found = place.judge(place.commit)
    assert code(found) == "good" and [each.verdict.value for each in found.signatures] == ["good", "unknown"]


def by_mallory(place: Place) -> CommitId:
    forged = place.forge(author={"name": "alice", "key": MALLORY_KEY.hex()}, message="by alice")
    place.put(forged, sign(MALLORY, message_of(forged)))
    return forged


def in_alices_name(place: Place) -> CommitId:
    forged = place.forge(message="by alice, honestly")
    place.put(forged, sign(MALLORY, message_of(forged)))
    return forged


def with_her_old_signature(place: Place) -> CommitId:
    forged = place.forge(message="by alice, honestly")
    place.put(forged, sign(ALICE, message_of(place.commit)))
    return forged


def with_anybodys_key(place: Place) -> CommitId:
    forged = place.forge(author={"name": "alice", "key": SMALL_ORDER.hex()})
    place.put(forged, Signature(SMALL_ORDER, bytes([1]) + bytes(63)))
    return forged


def unsigned(place: Place) -> CommitId:
    return place.forge(author={"name": "alice"})


def of_a_file(place: Place) -> CommitId:
    """A signature over the bytes that files are signed by is none of a commit."""
    forged = place.forge(message="by alice, honestly")
    place.put(forged, sign(ALICE, b"blake3:" + forged.hex().encode()))
    return forged


@pytest.mark.parametrize(
    ("attack", "wanted"),
    [
        (by_mallory, "signature-unknown-key"),
        (in_alices_name, "signature-bad"),
        (with_her_old_signature, "signature-bad"),
        (with_anybodys_key, "signature-bad"),
        (of_a_file, "signature-bad"),
        (unsigned, "signature-missing"),
    ],
)
def test_a_forged_commit_is_never_good(attack: Callable[[Place], CommitId], wanted: str, place: Place) -> None:
    assert code(place.judge(attack(place))) == wanted


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({"valid_until_us": NOW - DAY}, "signature-expired"),
        ({"valid_from_us": NOW + DAY}, "signature-expired"),
        ({"revoked_us": NOW - DAY}, "signature-revoked"),
        ({"revoked_us": NOW + DAY}, "signature-revoked"),
        ({"namespaces": frozenset({"prefs"})}, "signature-out-of-scope"),
        ({"components": frozenset({"semantic"})}, "signature-out-of-scope"),
        ({"namespaces": frozenset({"work"}), "components": frozenset({""})}, "good"),
    ],
)
def test_a_key_that_may_not_sign_this_now_is_not_good(limits, wanted, place):
    assert code(place.judge(place.commit, **limits)) == wanted


def test_the_owner_of_a_revoked_key_cannot_wash_it_with_another_key(place):
    """Whoever has the stolen key signs with a fresh one, too: the worst still counts."""
    place.put(place.commit, sign(MALLORY, message_of(place.commit)))
    assert code(place.judge(place.commit, revoked_us=NOW - DAY)) == "signature-revoked"


def test_a_thief_cannot_vouch_for_what_was_held_before_the_key_was_revoked(tmp_path):
    """What was held before is the commit and its author's signature, not one that is put beside it today."""
    place = Place(tmp_path)
    stranger = Identity("stranger", MALLORY_KEY, MALLORY)
    around = replace(place.around(), identity=stranger, state_folder=tmp_path / "state", now_us=lambda: NOW)
    unknown = Repository.open(tmp_path / ".vex", around).commit("by a stranger", allow_empty=True).id
    assert unknown is not None
    place.put(unknown, sign(ALICE, message_of(unknown)))
    later = replace(place.around(revoked_us=NOW + DAY), state_folder=tmp_path / "state", now_us=lambda: NOW + 2 * DAY)
    [found] = Repository.open(tmp_path / ".vex", later).verify([unknown])
    assert {each.verdict.value for each in found.signatures} == {"unknown", "revoked"}
    assert code(found) == "signature-revoked"


def test_a_signature_beside_a_commit_has_no_time_of_its_own(place):
    """The commit's time is its author's: whoever signs beside it may do so after the end of a period."""
    forged = by_mallory(place)
    place.put(forged, sign(ALICE, message_of(forged)))
    made_us = place.open().commit_at(forged).time_us
    assert code(place.judge(forged)) == "good"
    for limits, wanted in (
        ({"valid_from_us": made_us - 2 * DAY, "valid_until_us": NOW - DAY}, "signature-expired"),
        ({"valid_from_us": NOW + DAY}, "signature-expired"),
        ({"valid_from_us": NOW - DAY, "valid_until_us": NOW + DAY}, "good"),
    ):
        assert code(place.judge(forged, **limits)) == wanted, limits


def test_a_bad_signature_spoils_what_a_good_one_says(place):
    place.put(place.commit, Signature(MALLORY_KEY, bytes(64)))
    assert code(place.judge(place.commit)) == "signature-bad"


def test_a_signature_object_that_is_none_is_damage(place):
    with place.open().objects.writer() as writer:
        writer.put_signature(place.commit, b'{"type":"ed25519"}')
        writer.finish()
    assert code(place.judge(place.commit)) == "object-corrupt"


def test_signing_beside_a_commit_that_is_not_there_is_refused(place):
    repository = place.open()
    with pytest.raises(VexError) as caught:
        sign_commits(repository, [place.commit, CommitId(bytes(32))], Identity("m", MALLORY_KEY, MALLORY))
    assert caught.value.code == "object-missing"
    assert len(place.judge(place.commit).signatures) == 1
    assert not list((place.folder / ".vex" / "packs").glob(".*"))


@pytest.mark.parametrize("text", [SMALL_ORDER.hex(), "00" * 32, "ff" * 32, "ed25519:" + "A" * 43 + "="])
def test_a_key_that_fits_anything_is_never_taken(text):
    with pytest.raises(VexError) as caught:
        parse_public_key(text, "KEY")
    assert caught.value.code == "weak-key"
