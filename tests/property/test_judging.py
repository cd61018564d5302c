"""A verdict never gets better by trusting less, nor by a time leaving a key's period."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vexrepo.objects.signature import Verdict, public_key
from vexrepo.objects.trust import (
    CLOCK_TOLERANCE_US,
    RANK,
    Decision,
    KnownKey,
    Policy,
    SignedBy,
    SigningTime,
    Trust,
    combined,
    decide,
    judge,
)

KEYS = [public_key(bytes([number]) * 32) for number in range(4)]
NAMES = ("", "work", "prefs", "trading")
STEP = CLOCK_TOLERANCE_US
moments = st.integers(0, 40).map(lambda number: number * STEP // 2)
names = st.frozensets(st.sampled_from(NAMES))


@st.composite
def known_keys(draw: st.DrawFn, key: bytes) -> KnownKey:
    return KnownKey(
        "alice",
        key,
        valid_from_us=draw(st.none() | moments),
        valid_until_us=draw(st.none() | moments),
        revoked_us=draw(st.none() | moments),
        namespaces=draw(names),
        components=draw(names),
    )


@st.composite
def trusts(draw: st.DrawFn) -> Trust:
    return Trust({key: draw(known_keys(key)) for key in KEYS if draw(st.booleans())})


times = st.builds(SigningTime, moments, st.none() | moments, st.booleans(), st.none() | moments, st.none() | moments)


def rank(key: bytes, time: SigningTime, namespaces: frozenset[str], components: frozenset[str], trust: Trust) -> int:
    return RANK[judge(key, time, namespaces, components, trust).verdict]


@given(trusts(), times, names, names, st.sampled_from(KEYS), st.sampled_from(KEYS))
def test_nothing_becomes_good_because_a_key_was_forgotten(trust, time, namespaces, components, key, gone):
    fewer = Trust({each: known for each, known in trust.keys.items() if each != gone})
    after = judge(key, time, namespaces, components, fewer).verdict
    if after is Verdict.GOOD:
        assert judge(key, time, namespaces, components, trust).verdict is Verdict.GOOD


@given(known_keys(KEYS[0]), known_keys(KEYS[0]), times, names, names)
def test_a_key_that_is_limited_further_is_never_worth_more(one, other, time, namespaces, components):
    def latest(*values: int | None) -> int | None:
        return max((each for each in values if each is not None), default=None)

    def earliest(*values: int | None) -> int | None:
        return min((each for each in values if each is not None), default=None)

    def both(a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
        return (a & b or frozenset({"nothing"})) if a and b else a | b

    narrower = replace(
        one,
        valid_from_us=latest(one.valid_from_us, other.valid_from_us),
        valid_until_us=earliest(one.valid_until_us, other.valid_until_us),
        revoked_us=earliest(one.revoked_us, other.revoked_us),
        namespaces=both(one.namespaces, other.namespaces),
        components=both(one.components, other.components),
    )
    before = rank(KEYS[0], time, namespaces, components, Trust({KEYS[0]: one}))
    assert rank(KEYS[0], time, namespaces, components, Trust({KEYS[0]: narrower})) >= before


@given(known_keys(KEYS[0]), times, names, names, moments)
def test_a_claim_that_moves_further_out_of_the_period_is_never_worth_more(known, time, namespaces, components, step):
    trust = Trust({KEYS[0]: known})
    claimed = time.claimed_us
    if claimed is None:
        return
    before = rank(KEYS[0], time, namespaces, components, trust)
    if known.valid_until_us is not None and claimed >= known.valid_until_us:
        later = replace(time, claimed_us=claimed + step)
        assert rank(KEYS[0], later, namespaces, components, trust) >= before
    if known.valid_from_us is not None and claimed < known.valid_from_us:
        earlier = replace(time, claimed_us=claimed - step)
        assert rank(KEYS[0], earlier, namespaces, components, trust) >= before


@given(known_keys(KEYS[0]), times, names, names, names)
def test_signing_for_more_memories_is_never_worth_more(known, time, namespaces, components, more):
    trust = Trust({KEYS[0]: known})
    before = rank(KEYS[0], time, namespaces, components, trust)
    assert rank(KEYS[0], time, namespaces | more, components | more, trust) >= before


@given(known_keys(KEYS[0]), times, names, names)
def test_evidence_that_is_taken_away_never_betters_a_verdict(known, time, namespaces, components):
    trust = Trust({KEYS[0]: known})
    before = rank(KEYS[0], time, namespaces, components, trust)
    assert rank(KEYS[0], replace(time, known_us=None), namespaces, components, trust) >= before
    if time.claimed_us is not None:
        assert rank(KEYS[0], replace(time, is_protected=False), namespaces, components, trust) >= before


signatures = st.lists(
    st.builds(SignedBy, st.sampled_from(KEYS), st.just(""), st.sampled_from(list(Verdict))), max_size=4
)


@given(signatures, st.sampled_from(list(Verdict)))
def test_a_signature_that_is_not_good_never_betters_a_commit(found, verdict):
    if verdict is Verdict.GOOD:
        return
    before = combined(found)
    after = combined([*found, SignedBy(b"", "", verdict)])
    assert after is not None
    assert before is None or RANK[after] >= RANK[before]


@given(st.sampled_from(list(Policy)), st.booleans(), st.none() | st.sampled_from(list(Verdict)))
def test_no_policy_lets_in_what_a_looser_one_refuses(policy, is_remote, verdict):
    order = [Decision.ALLOWED, Decision.SAID, Decision.REFUSED]
    found = order.index(decide(policy, verdict, is_remote=is_remote))
    assert order.index(decide(Policy.INTEGRITY, verdict, is_remote=is_remote)) <= found
    assert order.index(decide(Policy.TRUSTED, verdict, is_remote=is_remote)) >= found
