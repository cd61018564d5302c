"""One rule judges every signature: who, when, and for which memories; and what each policy makes of it."""

from dataclasses import replace

import pytest

from vexrepo.errors import UsageError
from vexrepo.objects.signature import Signature, Verdict, public_key, sign
from vexrepo.objects.trust import (
    CLOCK_TOLERANCE_US,
    Decision,
    KnownKey,
    Policy,
    SignedBy,
    SigningTime,
    Trust,
    combined,
    decide,
    judge,
    judge_signature,
    parse_policy,
)

HOUR = 3_600_000_000
NOW = 1_790_000_000_000_000
ALICE, BOB = public_key(bytes(32)), public_key(bytes([1]) * 32)


def verdict(time: SigningTime, spaces=("work",), types=("semantic",), /, **limits) -> SignedBy:
    return judge(ALICE, time, spaces, types, Trust({ALICE: KnownKey("alice", ALICE, **limits)}))


def protected(claimed_us: int = NOW, **rest) -> SigningTime:
    return SigningTime(NOW, claimed_us, True, **rest)


def test_a_known_key_without_limits_is_good_whatever_the_time():
    for time in (protected(), protected(0), protected(NOW * 2), SigningTime(NOW)):
        assert verdict(time) == SignedBy(ALICE, "alice", Verdict.GOOD)


def test_a_key_nobody_vouches_for_is_unknown_and_the_way_out_is_said():
    found = judge(BOB, protected(), (), (), Trust.of({ALICE: "alice"}))
    assert found.verdict is Verdict.UNKNOWN and not found.name
    assert f"vex trust add {BOB.hex()} --name NAME" in found.why


def test_what_was_signed_is_not_read_for_a_key_without_limits():
    def unread():
        raise AssertionError
        yield

    assert judge(ALICE, protected(), unread(), unread(), Trust.of({ALICE: "alice"})).verdict is Verdict.GOOD


def test_a_period_covers_its_first_moment_and_not_its_last_give_or_take_the_clocks():
    start, end = NOW - 10 * HOUR, NOW - 5 * HOUR
    limits = {"valid_from_us": start, "valid_until_us": end}
    for claimed, wanted in (
        (start, Verdict.GOOD),
        (start - CLOCK_TOLERANCE_US, Verdict.GOOD),
        (start - CLOCK_TOLERANCE_US - 1, Verdict.EXPIRED),
        (end - 1, Verdict.GOOD),
        (end + CLOCK_TOLERANCE_US - 1, Verdict.GOOD),
        (end + CLOCK_TOLERANCE_US, Verdict.EXPIRED),
    ):
        assert verdict(protected(claimed), **limits).verdict is wanted, claimed


def test_a_period_that_has_not_begun_covers_nothing_whatever_is_claimed():
    found = verdict(protected(NOW + 2 * HOUR), valid_from_us=NOW + HOUR)
    assert found.verdict is Verdict.EXPIRED and "has not come yet" in found.why
    assert verdict(protected(NOW), valid_from_us=NOW + CLOCK_TOLERANCE_US).verdict is Verdict.GOOD


def test_a_time_that_nothing_protects_does_not_bring_an_ended_key_back():
    end = NOW - HOUR
    assert verdict(protected(end - HOUR), valid_until_us=end).verdict is Verdict.GOOD
    for time in (SigningTime(NOW, end - HOUR), SigningTime(NOW)):
        found = verdict(time, valid_until_us=end)
        assert found.verdict is Verdict.EXPIRED and "nothing proves" in found.why
    assert verdict(SigningTime(NOW, end - HOUR, known_us=end - 1), valid_until_us=end).verdict is Verdict.GOOD


def test_a_backdated_commit_upon_newer_ones_is_found_out():
    end = NOW - HOUR
    found = verdict(protected(end - HOUR, after_us=NOW - 1), valid_until_us=end)
    assert found.verdict is Verdict.EXPIRED and "later than it says" in found.why
    # A clock that ran ahead below is no evidence.
    assert verdict(protected(end - HOUR, after_us=NOW + HOUR), valid_until_us=end).verdict is Verdict.GOOD


def test_a_revoked_key_signs_nothing_but_what_was_held_before():
    revoked = NOW - HOUR
    for time in (protected(), protected(0), protected(known_us=revoked), protected(known_us=NOW), SigningTime(NOW)):
        found = verdict(time, revoked_us=revoked, reason="laptop stolen")
        assert found.verdict is Verdict.REVOKED and "laptop stolen" in found.why
    assert verdict(protected(known_us=revoked - 1), revoked_us=revoked).verdict is Verdict.GOOD


def test_a_revocation_in_the_future_counts_already():
    assert verdict(protected(), revoked_us=NOW + HOUR).verdict is Verdict.REVOKED


@pytest.mark.parametrize(
    ("limits", "namespaces", "components", "wanted"),
    [
        ({"namespaces": {"work"}}, ["work", "work"], ["x"], Verdict.GOOD),
        ({"namespaces": {"work"}}, ["work", "prefs"], ["x"], Verdict.OUT_OF_SCOPE),
        ({"namespaces": {"work"}}, [""], ["x"], Verdict.OUT_OF_SCOPE),
        ({"namespaces": {"work"}}, ["Work"], ["x"], Verdict.OUT_OF_SCOPE),
        ({"namespaces": {""}}, [""], ["x"], Verdict.GOOD),
        ({"components": {"semantic"}}, ["any"], ["semantic"], Verdict.GOOD),
        ({"components": {"semantic"}}, ["any"], ["semantic", ""], Verdict.OUT_OF_SCOPE),
        ({"namespaces": {"work"}, "components": {"semantic"}}, ["work"], ["episodic"], Verdict.OUT_OF_SCOPE),
        ({"namespaces": {"work"}}, [], [], Verdict.GOOD),
    ],
)
def test_a_limited_key_signs_for_its_namespaces_and_memory_types_only(limits, namespaces, components, wanted):
    limits = {name: frozenset(values) for name, values in limits.items()}
    assert verdict(protected(), namespaces, components, **limits).verdict is wanted


def test_the_worst_reason_is_given_where_several_hold():
    limits = {"valid_until_us": 1, "namespaces": frozenset({"work"})}
    assert verdict(protected(), ["prefs"], **limits).verdict is Verdict.OUT_OF_SCOPE
    assert verdict(protected(), ["prefs"], **limits, revoked_us=1).verdict is Verdict.REVOKED


def test_a_signature_that_does_not_fit_is_bad_even_by_a_known_key():
    good = sign(bytes(32), b"message")
    trust = Trust.of({ALICE: "alice", bytes([1]) + bytes(31): "anybody"})
    assert judge_signature(good, b"message", protected(), (), (), trust).verdict is Verdict.GOOD
    assert judge_signature(good, b"massage", protected(), (), (), trust).verdict is Verdict.BAD
    other = replace(good, key=BOB)
    assert judge_signature(other, b"message", protected(), (), (), trust).verdict is Verdict.BAD
    anybody = Signature(bytes([1]) + bytes(31), bytes([1]) + bytes(63))  # fits any message, by libsodium's older rule
    assert judge_signature(anybody, b"message", protected(), (), (), trust).verdict is Verdict.BAD


def by(key: bytes, verdict: Verdict) -> SignedBy:
    return SignedBy(key, "", verdict)


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        ([], None),
        (["good"], "good"),
        (["good", "unknown"], "good"),
        (["revoked", "good"], "good"),
        (["good", "bad"], "bad"),
        (["unknown", "revoked"], "revoked"),
        (["unknown", "expired"], "expired"),
        (["expired", "out-of-scope"], "out-of-scope"),
        (["unknown", "unknown"], "unknown"),
    ],
)
def test_one_good_signature_is_enough_one_bad_spoils_and_else_the_worst_counts(verdicts, wanted):
    found = combined([by(ALICE, Verdict(each)) for each in verdicts])
    assert (found.value if found else None) == wanted


def test_a_commit_without_its_authors_signature_lacks_a_part():
    assert combined([by(BOB, Verdict.GOOD)], ALICE.hex()) is Verdict.BAD
    assert combined([], ALICE.hex()) is Verdict.BAD
    assert combined([by(BOB, Verdict.GOOD), by(ALICE, Verdict.REVOKED)], ALICE.hex()) is Verdict.GOOD


ALLOWED, SAID, REFUSED = Decision.ALLOWED, Decision.SAID, Decision.REFUSED
VERDICTS = ("good", None, "unknown", "expired", "out-of-scope", "revoked", "bad")


@pytest.mark.parametrize(
    ("policy", "is_remote", "decisions"),
    [
        ("integrity", False, (ALLOWED, SAID, SAID, SAID, SAID, REFUSED, REFUSED)),
        ("integrity", True, (ALLOWED, SAID, SAID, SAID, SAID, REFUSED, REFUSED)),
        ("signed", False, (ALLOWED, REFUSED, SAID, REFUSED, REFUSED, REFUSED, REFUSED)),
        ("signed", True, (ALLOWED, REFUSED, SAID, REFUSED, REFUSED, REFUSED, REFUSED)),
        ("trusted", False, (ALLOWED, *[REFUSED] * 6)),
        ("trusted", True, (ALLOWED, *[REFUSED] * 6)),
        ("auto", False, (ALLOWED, SAID, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED)),
        ("auto", True, (ALLOWED, SAID, SAID, REFUSED, REFUSED, REFUSED, REFUSED)),
    ],
)
def test_policies_decide_as_the_contract_says(policy, is_remote, decisions):
    for value, wanted in zip(VERDICTS, decisions, strict=True):
        verdict = Verdict(value) if value else None
        assert decide(Policy(policy), verdict, is_remote=is_remote) is wanted, value


def test_a_policy_that_is_none_is_refused_by_name():
    assert parse_policy(" Trusted ") is Policy.TRUSTED
    with pytest.raises(UsageError) as caught:
        parse_policy("strict", "trust.policy")
    assert caught.value.code == "bad-policy" and "trust.policy" in str(caught.value) and "signed" in str(caught.value)
