"""Check digits of numbers that belong to a person or an account.

``is_…`` take digits (and letters) without separators.  Sources are the issuers' public specifications.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

# ISO 13616: how long an IBAN of a country is.
_IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK"), 20),
    **dict.fromkeys(("CH", "CR", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "EG", "GT", "HU", "LB", "NI", "PL", "SV", "UA"), 28),
    **dict.fromkeys(("BR", "JO", "KW", "MT", "MU", "PS", "QA", "SC"), 29),
}
_CARDS = (
    ("4", (13, 16, 19)),
    ("5", (16,)),
    ("2", (16,)),
    ("34", (15,)),
    ("37", (15,)),
    ("6", (16, 19)),
    ("3", (14, 16)),
)
# Numbers that issuers and payment companies publish for tests.
_TEST_CARDS = frozenset(
    (
        *("4111111111111111", "4242424242424242", "4000000000000002", "4012888888881881", "4000056655665556"),
        *("5555555555554444", "5105105105105100", "5200828282828210", "2223003122003222", "378282246310005"),
        *("371449635398431", "6011111111111117", "6011000990139424", "3530111333300000", "30569309025904"),
        "38520000023237",
    )
)
_ODD_LETTERS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_VERHOEFF_D = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7), (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3), (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)  # fmt: skip
_VERHOEFF_P = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7), (9, 4, 5, 3, 1, 2, 6, 8, 7, 0), (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5), (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)  # fmt: skip


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def passes_luhn(digits: str) -> bool:
    """Whether the Luhn check digit at the end is right."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """Whether digits are a payment card's number, other than a published test number."""
    fits = any(digits.startswith(start) and len(digits) in lengths for start, lengths in _CARDS)
    return fits and passes_luhn(digits) and digits not in _TEST_CARDS and len(set(digits)) > 3


def is_iban(text: str) -> bool:
    """Whether a text in upper case without blanks is an IBAN."""
    if _IBAN_LENGTHS.get(text[:2]) != len(text) or not text.isascii() or not text.isalnum():
        return False
    return int("".join(str(int(each, 36)) for each in text[4:] + text[:4])) % 97 == 1


def is_german_tax_id(digits: str) -> bool:
    """Steuer-Identifikationsnummer: 11 digits, of the first ten exactly one twice or three times."""
    if len(digits) != 11 or digits[0] == "0":
        return False
    counts = sorted((digits[:10].count(each) for each in set(digits[:10])), reverse=True)
    if counts[0] not in (2, 3) or (len(counts) > 1 and counts[1] != 1):
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_french_nir(digits: str) -> bool:
    """Numéro de sécurité sociale: 13 digits and the complement of their remainder by 97."""
    return len(digits) == 15 and digits[0] in "12" and 97 - int(digits[:13]) % 97 == int(digits[13:])


def is_spanish_id(text: str) -> bool:
    """DNI (8 digits and a letter) or NIE (X, Y or Z, 7 digits and a letter)."""
    number = str("XYZ".find(text[0])) + text[1:8] if text[0] in "XYZ" else text[:8]
    return len(text) == 9 and number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[8]


def is_italian_code(text: str) -> bool:
    """Codice fiscale: 15 letters and digits and a check letter."""
    if len(text) != 16:
        return False
    total = 0
    for place, each in enumerate(text[:15]):
        value = int(each) if each.isdigit() else ord(each) - 65
        total += _ODD_LETTERS[value] if place % 2 == 0 else value
    return chr(65 + total % 26) == text[15]


def is_dutch_bsn(digits: str) -> bool:
    """Burgerservicenummer: 9 digits, the eleven test."""
    return len(digits) == 9 and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and len(set(digits)) > 2


def is_polish_pesel(digits: str) -> bool:
    """PESEL: 11 digits that begin with a date of birth."""
    if len(digits) != 11 or _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10:
        return False
    month = int(digits[2:4])
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20]
    return _is_date(century + int(digits[:2]), month % 20, int(digits[4:6]))


def is_norwegian_number(digits: str) -> bool:
    """Fødselsnummer or D-nummer: 11 digits that begin with a date of birth, two check digits."""
    if len(digits) != 11:
        return False
    first = _weighted(digits[:10], (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    second = _weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11
    day = int(digits[:2])
    return first == second == 0 and _is_date(2000, int(digits[2:4]), day - 40 if day > 40 else day)


def is_brazilian_cpf(digits: str) -> bool:
    """CPF: 11 digits, two check digits."""
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    for length in (9, 10):
        rest = _weighted(digits[:length], range(length + 1, 1, -1)) % 11
        if int(digits[length]) != (0 if rest < 2 else 11 - rest):
            return False
    return True


def is_chinese_id(text: str) -> bool:
    """Resident identity number: 17 digits with a date of birth, and a check digit or X."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    if len(text) != 18 or not text[:17].isdigit() or "10X98765432"[_weighted(text[:17], weights) % 11] != text[17]:
        return False
    return _is_date(int(text[6:10]) or 1, int(text[10:12]), int(text[12:14]))


def is_swedish_number(digits: str) -> bool:
    """Personnummer: a date of birth and four digits, with or without the century."""
    digits = digits[-10:]
    day = int(digits[4:6])
    return passes_luhn(digits) and _is_date(2000, int(digits[2:4]), day - 60 if day > 60 else day)


def is_finnish_code(text: str) -> bool:
    """Henkilötunnus: a date of birth, a sign of the century, three digits and a check character."""
    number = text[:6] + text[-4:-1]
    return (
        _is_date(2000, int(text[2:4]), int(text[:2]))
        and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number) % 31] == text[-1]
    )


def is_swiss_number(digits: str) -> bool:
    """AHV number: 13 digits that begin with 756, the check digit of an EAN."""
    return len(digits) == 13 and digits.startswith("756") and _weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def is_belgian_number(digits: str) -> bool:
    """Rijksregisternummer: 11 digits that begin with a date of birth."""
    if len(digits) != 11 or not _is_date(2000, int(digits[2:4]) or 1, int(digits[4:6]) or 1):
        return False
    return any(97 - int(start + digits[:9]) % 97 == int(digits[9:]) for start in ("", "2"))


def is_indian_number(digits: str) -> bool:
    """Aadhaar: 12 digits, the check of Verhoeff."""
    if len(digits) != 12 or digits[0] in "01":
        return False
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _VERHOEFF_D[check][_VERHOEFF_P[place % 8][int(digit)]]
    return check == 0


def is_british_nhs_number(digits: str) -> bool:
    """NHS number: 10 digits, a weighted check."""
    return len(digits) == 10 and _weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def is_american_ssn(digits: str) -> bool:
    """Social security number: no check digit, but numbers that are never given out."""
    if len(digits) != 9 or digits[:3] in ("000", "666") or digits[0] == "9":
        return False
    return digits[3:5] != "00" and digits[5:] != "0000"
