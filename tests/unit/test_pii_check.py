"""The check pii: what has a check digit is found by it, everything else is left alone."""

from typing import Any

import pytest

from tests.sample.fakes import PERSONAL, Fakes
from vexrepo.errors import UsageError
from vexrepo.hooks.check import Change, Finding, Severity
from vexrepo.hooks.checks import identifiers
from vexrepo.hooks.checks.pii import PersonalCheck
from vexrepo.objects import record

WORDS = {"steuer_id": "Steuer-ID ", "pesel": "PESEL ", "bsn": "BSN "}


def look(value: dict[str, Any], **settings: Any) -> list[Finding]:
    item = record.from_json({"id": "m1", **value})
    return list(PersonalCheck.make(settings).look([Change(item.key, None, item)]))


@pytest.mark.parametrize("kind", PERSONAL)
@pytest.mark.parametrize("seed", range(10))
def test_numbers_with_check_digits_are_found_and_one_digit_off_they_are_not(kind, seed):
    made = PERSONAL[kind](Fakes(f"{kind}{seed}"))
    expected = {"iban": "iban", "card": "card", "amex": "card"}.get(kind.partition("_")[0], "id")
    (finding,) = look({"text": f"it is {WORDS.get(kind, '')}{made}, he said"})
    assert finding.rule == expected and finding.severity is Severity.WARNING
    assert made not in finding.message and made[:8] not in finding.message
    place = next(place for place in range(len(made) - 1, -1, -1) if made[place].isdigit())
    wrong = made[:place] + str((int(made[place]) + 1) % 10) + made[place + 1 :]
    assert expected not in {each.rule for each in look({"text": f"it is {WORDS.get(kind, '')}{wrong}, he said"})}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("write to a.b+c@mail.example-host.no please", "email"),
        ("+47 912 34 567", "phone"),
        ("0049 (30) 901820-14", "phone"),
        ("(415) 555-2671", "phone"),
        ("Tel.: 030 901820", "phone"),
        ("телефон 8 495 123-45-67", "phone"),
        ("from 81.166.42.17 again", "ip"),
        ("2a02:26f0:fe::5f64:9a12", "ip"),
        ("131052-308T", "id"),
        ("756.9217.0769.85", "id"),
        ("85.07.30-033.28", "id"),
        ("Aadhaar 2341 2341 2346", "id"),
        ("NHS 943 476 5919", "id"),
        ("SSN 536-22-8714", "id"),
    ],
)
def test_other_forms(text, rule):
    assert [each.rule for each in look({"text": text})] == [rule]


@pytest.mark.parametrize(
    "text",
    [
        "someone@example.com",
        "x@localhost",
        "10.0.0.1 and 192.168.1.1 and 127.0.0.1 and ::1 and fe80::1",
        "version 10.2.33.4",
        "v1.2.3.4",
        "203.0.113.9 is for documentation",
        "4111 1111 1111 1111 is a test card",
        "1234 5678 9012 3456",
        "ISBN 978-3-16-148410-0",
        "2024-05-01 12:30:00",
        "1772436025000",
        "00340434161094015902",
        "PO 4500012345678",
        "100-200-3000-4",
        "DE00 0000 0000 0000 0000 00",
        "12345678A",
        "16:9 and 12:30:45",
        "a@b",
        "SSN 000-12-3456",
        "@tomasz",
        "550e8400-e29b-41d4-a716-446655440000",
        "9fceb02d0ae598e95dc970b74767f19372d61af8",
    ],
)
def test_ordinary_numbers_are_left_alone(text):
    assert look({"text": text}) == []


def test_only_the_kinds_that_are_named_are_looked_for():
    text = {"text": "a@b.no, 81.166.42.17"}
    assert {each.rule for each in look(text)} == {"email", "ip"}
    assert {each.rule for each in look(text, kinds="ip, phone")} == {"ip"}
    assert {each.severity for each in look(text, severity="veto")} == {Severity.VETO}
    with pytest.raises(UsageError, match="names 'names'"):
        PersonalCheck.make({"kinds": "names"})


def test_numbers_and_names_of_members_are_texts_too():
    number = int(PERSONAL["card"](Fakes("number")))
    assert [(each.rule, each.field) for each in look({"text": "t", "metadata": {"pan": number}})] == [
        ("card", "metadata.pan")
    ]
    assert [each.field for each in look({"text": "t", "metadata": {"a@b.no": {"x": "c@d.no"}}})] == [
        "metadata.* (name)",
        "metadata.*.x",
    ]


def test_a_memory_full_of_addresses_gives_a_few_findings():
    assert len(look({"text": "t", "metadata": {f"k{n}": f"a{n}@b.no" for n in range(100)}})) == 8


def test_an_iban_may_be_followed_by_words():
    assert identifiers.is_iban("DE89370400440532013000")
    assert [each.rule for each in look({"text": "DE89 3704 0044 0532 0130 00 at our bank"})] == ["iban"]
