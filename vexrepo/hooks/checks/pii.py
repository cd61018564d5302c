"""The check ``pii``: what names or locates a person: addresses, numbers of phones, accounts, cards and identity papers.

Off unless named.  Names, dates of birth and street addresses have no form that tells them from other words, and are
not looked for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from vexrepo.config import CHECKS
from vexrepo.errors import UsageError
from vexrepo.hooks.check import Change, Check, Finding, Severity
from vexrepo.hooks.checks import identifiers
from vexrepo.hooks.folding import fold
from vexrepo.hooks.texts import QuietTexts, field_name

KINDS = ("email", "phone", "iban", "card", "id", "ip")
MOST_PER_MEMORY = 8  # findings

_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24})(?![\w-])")
_RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|org|net))?|test|invalid|localhost|local)$")
_PHONE = re.compile(
    r"(?<![\w.+/-])(?:\+|00)[1-9]\d{0,2}[ ./()-]{0,3}(?:\d[ ./()-]{0,2}){6,12}\d(?![\w-])"
    r"|(?<![\w.+/-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-])"
)
_PHONE_WORD = re.compile(
    r"(?:phone|tel(?:efon(?:o|e)?|ephone)?|mobil(?:e|nummer)?|cell|handy|call|fax|whatsapp|rufnummer|telefone|celular|portable"
    r"|телефон|тел|电话|手机|電話|携帯)[^\d\n]{0,24}(\+?\d(?:[ ./()-]{0,3}\d){6,14})(?!\d)"
)
_IBAN = re.compile(r"(?<![a-z0-9])[a-z]{2}\d{2}[a-z0-9 ]{11,40}")
_DIGITS = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)")
_IP4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IP6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:.])")
_IP_NOT = re.compile(r"(?:version|driver|kernel|release|firmware|build|section|chapter|§|v)[ .:]{0,2}$")
_PLAIN = re.compile(r"[^a-z0-9]")


class _Paper(NamedTuple):
    """A number of an identity paper: its form, its check, and words of which one must stand before it (none: any)."""

    name: str
    pattern: re.Pattern[str]
    is_right: Callable[[str], bool]
    words: tuple[str, ...] = ()


def _paper(name: str, pattern: str, is_right: Callable[[str], bool], words: str = "") -> _Paper:
    return _Paper(name, re.compile(rf"(?<![\w.,/-])(?:{pattern})(?![\w/-]|[.,]\d)"), is_right, tuple(words.split()))


# Where the check alone is weak (one number in ten or eleven passes), a word must say what the number is.
_PAPERS = (
    _paper("a German tax id", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", identifiers.is_german_tax_id, "steuer idnr tin tax"),
    _paper(
        "a French social security number",
        r"[12] ?\d{2} ?\d{2} ?\d[\dab] ?\d{3} ?\d{3} ?\d{2}",
        identifiers.is_french_nir,
    ),
    _paper("a Spanish DNI or NIE", r"(?:\d{8}|[xyz]-?\d{7})-?[a-z]", identifiers.is_spanish_id),
    _paper("an Italian codice fiscale", r"[a-z]{6}\d{2}[a-ehlmprst]\d{2}[a-z]\d{3}[a-z]", identifiers.is_italian_code),
    _paper("a Dutch BSN", r"\d{9}", identifiers.is_dutch_bsn, "bsn burgerservice sofi"),
    _paper("a Polish PESEL", r"\d{11}", identifiers.is_polish_pesel, "pesel"),
    _paper("a Norwegian fødselsnummer", r"\d{6} ?\d{5}", identifiers.is_norwegian_number),
    _paper("a Brazilian CPF", r"\d{3}\.\d{3}\.\d{3}-\d{2}", identifiers.is_brazilian_cpf),
    _paper("a Brazilian CPF", r"\d{11}", identifiers.is_brazilian_cpf, "cpf"),
    _paper("a Chinese identity number", r"\d{17}[\dx]", identifiers.is_chinese_id),
    _paper("a Swedish personnummer", r"(?:19|20)?\d{6}[-+]\d{4}", identifiers.is_swedish_number),
    _paper("a Finnish henkilötunnus", r"\d{6}[-+a-f]\d{3}[0-9a-y]", identifiers.is_finnish_code),
    _paper("a Swiss AHV number", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", identifiers.is_swiss_number),
    _paper("a Belgian national number", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", identifiers.is_belgian_number),
    _paper("an Indian Aadhaar number", r"\d{4} ?\d{4} ?\d{4}", identifiers.is_indian_number, "aadhaar aadhar uidai"),
    _paper("a British NHS number", r"\d{3} ?\d{3} ?\d{4}", identifiers.is_british_nhs_number, "nhs"),
    _paper("an American social security number", r"\d{3}-\d{2}-\d{4}", identifiers.is_american_ssn, "ssn social"),
)
_WORDS_BEFORE = 40  # characters


class Found(NamedTuple):
    """Something personal: its kind, what it is, how long it is."""

    kind: str
    what: str
    length: int


class PersonalCheck(Check):
    """Patterns with a check digit wherever there is one."""

    name: ClassVar[str] = "pii"
    meaning: ClassVar[str] = "e-mail, phone, IBAN, card, identity numbers, IP addresses"
    settings = CHECKS["pii"]

    def __init__(self, severity: Severity, kinds: frozenset[str]) -> None:
        self._severity = severity
        self._kinds = kinds
        self._quiet = QuietTexts()

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Return the check with settings.  Raises: UsageError (bad-config)."""
        given = cls.complete(settings)
        kinds = frozenset(part.strip() for part in given["kinds"].split(",") if part.strip()) or frozenset(KINDS)
        unknown = sorted(kinds - set(KINDS))
        if unknown:
            raise UsageError(
                f"checks.pii_kinds names {unknown[0]!r:.40}; there are: {', '.join(KINDS)}", code="bad-config"
            )
        return cls(cls.severity_of(given, "severity"), kinds)

    def look(self, changes: Sequence[Change]) -> Iterator[Finding]:
        """Yield what is personal, at most a few findings for a memory."""
        quiet = self._quiet
        for change in changes:
            for text in change.strings:
                if text in quiet:
                    continue
                if next(self._find(text), None):
                    yield from self._look_at(change)
                    break
                quiet.add(text)

    def _find(self, text: str) -> Iterator[Found]:
        return (found for found in find_personal(text) if found.kind in self._kinds)

    def _look_at(self, change: Change) -> Iterator[Finding]:
        namespace, identifier = change.name
        count = 0
        hidden = frozenset(text.text for text in change.texts if text.is_name and next(self._find(text.text), None))
        for text in change.texts:
            for found in dict.fromkeys(self._find(text.text)):
                if count == MOST_PER_MEMORY:
                    return
                count += 1
                yield Finding(
                    self.name,
                    found.kind,
                    self._severity,
                    namespace,
                    identifier,
                    field_name(text, hidden),
                    f"{found.what}, {found.length} characters",
                )


def find_personal(text: str) -> Iterator[Found]:
    """Yield what is personal in a text."""
    has_digits = any(map(str.isdigit, text))
    if not has_digits and "@" not in text:
        return
    text = fold(text)
    for match in _EMAIL.finditer(text):
        if not _RESERVED.search(match.group(1)):
            yield Found("email", "an e-mail address", len(match.group()))
    if not has_digits:
        return
    taken: list[tuple[int, int]] = []  # of numbers that are known to be something

    def is_free(match: re.Match[str], group: int = 0) -> bool:
        start, end = match.span(group)
        if any(start < other_end and other_start < end for other_start, other_end in taken):
            return False
        taken.append((start, end))
        return True

    for match in _IBAN.finditer(text):
        number = _iban_in(match.group().upper())
        if number and is_free(match):
            yield Found("iban", "an IBAN", len(number))
    for match in _DIGITS.finditer(text):
        if identifiers.is_card(_PLAIN.sub("", match.group())) and is_free(match):
            yield Found("card", "a payment card's number", len(match.group()))
    for paper in _PAPERS:
        for match in paper.pattern.finditer(text):
            before = text[max(0, match.start() - _WORDS_BEFORE) : match.start()]
            if paper.words and not any(word in before for word in paper.words):
                continue
            if paper.is_right(_PLAIN.sub("", match.group()).upper()) and is_free(match):
                yield Found("id", paper.name, len(match.group()))
    for match in _PHONE.finditer(text):
        if is_free(match):
            yield Found("phone", "a phone number", len(match.group()))
    for match in _PHONE_WORD.finditer(text):
        if is_free(match, 1):
            yield Found("phone", "a phone number", len(match.group(1)))
    yield from _find_addresses(text)


def _iban_in(text: str) -> str:
    """Return the IBAN that a text begins with, "" if with none: words may follow."""
    words = text.split(" ")
    for count in range(len(words), 0, -1):
        number = "".join(words[:count])
        if identifiers.is_iban(number):
            return number
    return ""


def _find_addresses(text: str) -> Iterator[Found]:
    for pattern in (_IP4, _IP6):
        for match in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(match.group())
            except ValueError:
                continue
            if address.is_global and not _IP_NOT.search(text[max(0, match.start() - 16) : match.start()]):
                yield Found("ip", "a public IP address", len(match.group()))
