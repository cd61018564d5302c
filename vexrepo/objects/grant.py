"""Grants: somebody lets somebody else take out, or bring in, some memories until some time.

A grant is a signed statement by the one who owns the memories.  Whoever holds the key it names may use it; it says
nothing to those who do not trust its issuer.  Format: hooks/CONTRACT.md, "Grants".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from blake3 import blake3

from vexrepo.errors import InvalidData, UsageError
from vexrepo.objects import canonical
from vexrepo.objects.selection import Selection
from vexrepo.objects.signature import KEY_BYTES, SIGNATURE_BYTES, Signature, is_good
from vexrepo.objects.timestamp import format_time
from vexrepo.objects.trust import CLOCK_TOLERANCE_US, KnownKey

ENDING: Final = ".vmig.grant"
MAX_BYTES: Final = 1 << 20
MAX_NAMES: Final = 1000


@dataclass(frozen=True, slots=True)
class Grant:
    """What is granted: to a key, for namespaces and components (none: all), from and until a time (µs since 1970)."""

    issuer: bytes
    to: bytes
    namespaces: frozenset[str]
    components: frozenset[str]
    from_us: int
    until_us: int
    nonce: str
    note: str = ""

    @property
    def statement(self) -> bytes:
        """The canonical JSON that is signed."""
        return canonical.encode(
            {
                "version": 1,
                "issuer": self.issuer.hex(),
                "to": self.to.hex(),
                "namespaces": sorted(self.namespaces),
                "components": sorted(self.components),
                "from_us": self.from_us,
                "until_us": self.until_us,
                "nonce": self.nonce,
                "note": self.note,
            }
        )

    @property
    def id(self) -> str:
        """What names the grant: 16 hexadecimal digits of the digest of its statement."""
        return blake3(b"vex:grant:1\n" + self.statement).hexdigest()[:16]

    @property
    def message(self) -> bytes:
        """The exact bytes the signature is over."""
        return b"vex:grant-signature:1\n" + blake3(b"vex:grant:1\n" + self.statement).digest()

    def check_time(self, now_us: int) -> None:
        """Raise InvalidData (grant-expired) unless the grant covers a time, give or take what clocks differ by."""
        if not self.from_us - CLOCK_TOLERANCE_US <= now_us < self.until_us + CLOCK_TOLERANCE_US:
            raise InvalidData(
                f"grant {self.id} is valid from {format_time(self.from_us)} until {format_time(self.until_us)}, and "
                f"it is {format_time(now_us)}: ask for a new one",
                code="grant-expired",
            )

    def narrowed(self, selection: Selection) -> Selection:
        """Return a selection within the grant: what is not narrowed is narrowed to what is granted.

        Raises: UsageError (grant-exceeded) where more was asked for.
        """
        found = {}
        for what, asked, granted in (
            ("namespaces", selection.namespaces, self.namespaces),
            ("components", selection.components, self.components),
        ):
            beyond = sorted(asked - granted) if granted else []
            if beyond:
                raise UsageError(
                    f"grant {self.id} covers the {what} {', '.join(sorted(granted))}, not {', '.join(beyond)}",
                    code="grant-exceeded",
                )
            found[what] = asked or granted
        return Selection(found["namespaces"], found["components"], selection.min_importance, selection.since_us)

    def as_known(self, name: str) -> KnownKey:
        """Return the trust that the grant gives to its holder's signatures."""
        return KnownKey(
            name,
            self.to,
            valid_from_us=self.from_us,
            valid_until_us=self.until_us,
            namespaces=self.namespaces,
            components=self.components,
        )


@dataclass(frozen=True, slots=True)
class SignedGrant:
    """A grant and its issuer's signature."""

    grant: Grant
    signature: bytes

    def encode(self) -> bytes:
        """Return the bytes of the file: canonical JSON and a newline."""
        return canonical.encode({"grant": self.grant.statement.decode(), "signature": self.signature.hex()}) + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> SignedGrant:
        """Return the grant of a file's bytes; its signature fits, but its issuer may be anybody.

        Raises: InvalidData (grant-unreadable, grant-forged).
        """
        try:
            value: Any = canonical.decode(raw.removesuffix(b"\n")) if len(raw) <= MAX_BYTES else None
            match value:
                case {"grant": str(statement), "signature": str(text), **rest} if not rest:
                    made = cls(_decode(statement.encode()), _hex(text, SIGNATURE_BYTES))
                case _:
                    raise _unreadable("it is not a grant of version 1")
        except InvalidData as error:
            if error.code == "grant-unreadable":
                raise
            raise _unreadable(str(error)) from None
        if not is_good(Signature(made.grant.issuer, made.signature), made.grant.message):
            raise InvalidData(
                "the grant is not as its issuer signed it: it was altered, or somebody else made it up",
                code="grant-forged",
            )
        return made


def _decode(statement: bytes) -> Grant:
    match canonical.decode(statement):
        case {
            "version": 1,
            "issuer": str(issuer),
            "to": str(to),
            "namespaces": list(namespaces),
            "components": list(components),
            "from_us": from_us,
            "until_us": until_us,
            "nonce": str(nonce),
            "note": str(note),
            **rest,
        } if not rest and type(from_us) is int and type(until_us) is int:
            grant = Grant(
                _hex(issuer, KEY_BYTES),
                _hex(to, KEY_BYTES),
                _names(namespaces),
                _names(components),
                from_us,
                until_us,
                nonce,
                note,
            )
            if grant.statement == statement:
                return grant
    raise _unreadable("it is not a grant of version 1")


def _names(value: list[Any]) -> frozenset[str]:
    if len(value) > MAX_NAMES or not all(isinstance(each, str) for each in value):
        raise _unreadable("namespaces and components are lists of names")
    return frozenset(value)


def _hex(text: str, size: int) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != size or raw.hex() != text:
        raise _unreadable(f"expected {2 * size} hexadecimal digits")
    return raw


def _unreadable(why: str) -> InvalidData:
    return InvalidData(f"the grant cannot be understood: {why}", code="grant-unreadable")
