"""Whose signatures count, and for what: known keys with their limits, and the one rule that judges by them.

Nothing here reads a file or a clock.  Reasons: docs/explanation/trust.md; policies: hooks/CONTRACT.md, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from vexrepo.errors import UsageError
from vexrepo.objects.signature import Signature, Verdict, is_good
from vexrepo.objects.timestamp import format_time

CLOCK_TOLERANCE_US: Final = 300 * 1_000_000  # how far two clocks may differ before a period is said not to cover a time


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A public key somebody vouches for: the name it is known by, and what it may sign.

    Times are microseconds since 1970; the period includes its first moment and not its last.  ``revoked_us`` is the
    time from which the key may have been in other hands.  Empty ``namespaces`` or ``components`` (memory types): all.
    ``is_own`` says that the user has the private key.
    """

    name: str
    key: bytes
    added_at: str = ""
    valid_from_us: int | None = None
    valid_until_us: int | None = None
    revoked_us: int | None = None
    reason: str = ""
    namespaces: frozenset[str] = frozenset()
    components: frozenset[str] = frozenset()
    note: str = ""
    is_own: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether the key may sign for some memories only."""
        return bool(self.namespaces or self.components)


@dataclass(frozen=True, slots=True)
class SigningTime:
    """When something was signed, as far as that can be known; microseconds since 1970.

    ``claimed_us`` is what the signer says (None: nothing), ``is_protected`` whether the signature covers that claim,
    ``after_us`` the newest time among what the signed thing builds upon, ``known_us`` when this machine held it at the
    latest, by its own record (None: no record).
    """

    now_us: int
    claimed_us: int | None = None
    is_protected: bool = False
    after_us: int | None = None
    known_us: int | None = None


@dataclass(frozen=True, slots=True)
class SignedBy:
    """One signature and what it is worth.  ``name`` is "" for an unknown key, ``why`` for a good signature."""

    key: bytes
    name: str
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys that a user knows, their own among them."""

    keys: Mapping[bytes, KnownKey] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Mapping[bytes, str]) -> Self:
        """Return the trust in keys without any limit, by their names."""
        return cls({key: KnownKey(name, key) for key, name in names.items()})

    def name_of(self, key: bytes) -> str:
        """Return the name a key is known by, "" for an unknown one."""
        known = self.keys.get(key)
        return known.name if known is not None else ""

    def is_limited(self, key: bytes) -> bool:
        """Whether a key may sign for some memories only, so that ``judge`` looks at what was signed."""
        known = self.keys.get(key)
        return known is not None and known.is_limited

    def needs_time(self, key: bytes) -> bool:
        """Whether ``judge`` looks at more than the claimed time: the key was revoked, or its period has an end."""
        known = self.keys.get(key)
        return known is not None and (known.revoked_us is not None or known.valid_until_us is not None)


def judge(
    key: bytes, time: SigningTime, namespaces: Iterable[str], components: Iterable[str], trust: Trust
) -> SignedBy:
    """Return what a signature that fits is worth, to somebody with that trust.

    ``namespaces`` and ``components`` are those of the memories signed for ("" where a memory has none); they are only
    iterated over for a key that is limited to some.
    """
    known = trust.keys.get(key)
    if known is None:
        why = (
            f"signed by {key.hex()}, a key you do not know, so that anybody may have signed; if you know whose it is: "
            f"vex trust add {key.hex()} --name NAME"
        )
        return SignedBy(key, "", Verdict.UNKNOWN, why)
    for verdict, why in (
        (Verdict.REVOKED, _why_revoked(known, time)),
        (Verdict.OUT_OF_SCOPE, _why_out_of_scope(known, namespaces, components)),
        (Verdict.EXPIRED, _why_expired(known, time)),
    ):
        if why:
            return SignedBy(key, known.name, verdict, why)
    return SignedBy(key, known.name, Verdict.GOOD)


def judge_signature(
    signature: Signature,
    message: bytes,
    time: SigningTime,
    namespaces: Iterable[str],
    components: Iterable[str],
    trust: Trust,
) -> SignedBy:
    """Return what a signature of a message is worth: bad where it does not fit, else as ``judge`` says."""
    if not is_good(signature, message):
        why = f"the signature does not fit what was signed and the key {signature.key.hex()}"
        return SignedBy(signature.key, trust.name_of(signature.key), Verdict.BAD, why)
    return judge(signature.key, time, namespaces, components, trust)


def _why_revoked(known: KnownKey, time: SigningTime) -> str:
    # Whoever has a stolen key writes any time into what they sign: a claim is no evidence, only what this machine
    # held before is.
    if known.revoked_us is None or (time.known_us is not None and time.known_us < known.revoked_us):
        return ""
    reason = f" ({known.reason})" if known.reason else ""
    return (
        f"the key of {known.name!r} is revoked from {format_time(known.revoked_us)} on{reason}, and nothing here shows "
        "that this was signed before"
    )


def _why_out_of_scope(known: KnownKey, namespaces: Iterable[str], components: Iterable[str]) -> str:
    for what, allowed, found in (
        ("namespace", known.namespaces, namespaces),
        ("memory type", known.components, components),
    ):
        if not allowed:
            continue
        beyond = sorted(set(found) - allowed)
        if beyond:
            shown = ", ".join(repr(each) if each else "none" for each in beyond[:3])
            more = f" and {len(beyond) - 3} more" if len(beyond) > 3 else ""
            return f"the key of {known.name!r} may not sign for the {what} {shown}{more}"
    return ""


def _why_expired(known: KnownKey, time: SigningTime) -> str:
    start, end = known.valid_from_us, known.valid_until_us
    if start is None and end is None:
        return ""
    period = (f"from {format_time(start)} " if start is not None else "") + (
        f"until {format_time(end)}" if end is not None else "on"
    )
    if start is not None and time.now_us < start - CLOCK_TOLERANCE_US:
        return f"the key of {known.name!r} is valid {period}, which has not come yet"
    if time.claimed_us is not None and not _covers(known, time.claimed_us):
        return f"the key of {known.name!r} is valid {period}, and this says it was signed at {_shown(time.claimed_us)}"
    if end is None or (time.known_us is not None and time.known_us < end):
        return ""
    # A time that has not come yet is a wrong clock, not evidence.
    after = time.after_us if time.after_us is not None and time.after_us <= time.now_us + CLOCK_TOLERANCE_US else None
    if after is not None and after >= end + CLOCK_TOLERANCE_US:
        return (
            f"the key of {known.name!r} is valid {period}, and this builds upon something of {_shown(after)}, so that "
            "it was signed later than it says"
        )
    if not (time.is_protected and time.claimed_us is not None) and time.now_us >= end + CLOCK_TOLERANCE_US:
        return f"the key of {known.name!r} is valid {period}, and nothing proves that this was signed before"
    return ""


def _covers(known: KnownKey, time_us: int) -> bool:
    """Whether a key's period covers a time, give or take what clocks differ by."""
    start, end = known.valid_from_us, known.valid_until_us
    return (start is None or time_us >= start - CLOCK_TOLERANCE_US) and (
        end is None or time_us < end + CLOCK_TOLERANCE_US
    )


def _shown(time_us: int) -> str:
    try:
        return format_time(time_us)
    except OverflowError:
        return f"{time_us} µs since 1970"


# -- several signatures ----------------------------------------------------------------------------------------------

# From best to worst: where none of several signatures is good, the worst one counts.
_ORDER: Final = (
    Verdict.GOOD,
    Verdict.UNKNOWN,
    Verdict.EXPIRED,
    Verdict.OUT_OF_SCOPE,
    Verdict.REVOKED,
    Verdict.BAD,
)
RANK: Final[Mapping[Verdict, int]] = {verdict: place for place, verdict in enumerate(_ORDER)}


def combined(signatures: Sequence[SignedBy], author: str = "") -> Verdict | None:
    """Return what all signatures of one commit are worth together, None for an unsigned one.

    ``author`` is the key that the commit names as its author's, in hexadecimal: without a signature by it, parts are
    missing, and that is bad.  One good signature is enough, whoever else signed; one bad one spoils the rest.
    """
    if author and author not in {each.key.hex() for each in signatures}:
        return Verdict.BAD
    verdicts = {each.verdict for each in signatures}
    if Verdict.BAD in verdicts:
        return Verdict.BAD
    if Verdict.GOOD in verdicts:
        return Verdict.GOOD
    return max(verdicts, key=RANK.__getitem__, default=None)


# -- policies ----------------------------------------------------------------------------------------------------------


class Policy(Enum):
    """What a source's signatures must be worth."""

    INTEGRITY = "integrity"
    SIGNED = "signed"
    TRUSTED = "trusted"
    AUTO = "auto"


class Decision(Enum):
    """What a policy makes of a verdict: let in, let in and said, or refused."""

    ALLOWED = "allowed"
    SAID = "said"
    REFUSED = "refused"


def parse_policy(text: str, where: str = "the policy") -> Policy:
    """Return the policy of that name.  Raises: UsageError (bad-policy)."""
    try:
        return Policy(text.strip().lower())
    except ValueError:
        names = ", ".join(each.value for each in Policy)
        raise UsageError(f"{where} is {text!r:.60}, expected one of: {names}", code="bad-policy") from None


def decide(policy: Policy, verdict: Verdict | None, *, is_remote: bool) -> Decision:
    """Return what a policy makes of a verdict (None: unsigned); ``is_remote`` for remotes, not for files and stores."""
    if verdict is Verdict.GOOD:
        return Decision.ALLOWED
    if policy is Policy.INTEGRITY:
        return Decision.REFUSED if verdict in (Verdict.REVOKED, Verdict.BAD) else Decision.SAID
    if verdict is None:
        return Decision.SAID if policy is Policy.AUTO else Decision.REFUSED
    if verdict is Verdict.UNKNOWN and (policy is Policy.SIGNED or (policy is Policy.AUTO and is_remote)):
        return Decision.SAID
    return Decision.REFUSED


_CODES: Final[Mapping[Verdict | None, str]] = {
    None: "signature-missing",
    Verdict.UNKNOWN: "signature-unknown-key",
    Verdict.EXPIRED: "signature-expired",
    Verdict.OUT_OF_SCOPE: "signature-out-of-scope",
    Verdict.REVOKED: "signature-revoked",
    Verdict.BAD: "signature-bad",
}


def code_of(verdict: Verdict | None) -> str:
    """Return the error code of a verdict that is not good (None: unsigned)."""
    return _CODES[verdict]
