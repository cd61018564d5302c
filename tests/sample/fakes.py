"""Fake secrets and personal numbers, made anew from pieces, so that no file holds what a host takes for a real one.

Every value has the shape (and where there is one, the checksum) of the real thing and is random: the same seed gives
the same values.  ``render`` fills the ``{{name}}`` and ``{{name:text}}`` of the sample's texts.
"""

from __future__ import annotations

import base64
import codecs
import random
import re
import string
import zlib
from collections.abc import Callable
from urllib.parse import quote

UPPER_DIGITS = string.ascii_uppercase + string.digits
BASE32 = string.ascii_uppercase + "234567"
ALNUM = string.ascii_letters + string.digits
URL_SAFE = ALNUM + "-_"
HEX = "0123456789abcdef"
_PLACE = re.compile(r"\{\{([a-z_0-9]+)(?::([^{}]*))?\}\}")


class Fakes:
    """Makes fakes; one object, one sequence."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self.made: list[str] = []  # the secrets themselves, to look for them where they must not be

    def chars(self, alphabet: str, count: int) -> str:
        """Random characters."""
        return "".join(self._random.choice(alphabet) for _ in range(count))

    def digits(self, count: int) -> str:
        """Random digits that do not begin with 0."""
        return self._random.choice("123456789") + self.chars(string.digits, count - 1)

    def password(self) -> str:
        """A password as people and generators make them."""
        word = "".join(self._random.choice(("ka", "Lo", "mi", "Fe", "tur", "Bex", "win", "Ostr")) for _ in range(3))
        made: str = self._random.choice(
            (
                word + self._random.choice("!?#%+") + self.digits(4),
                self.digits(3) + word + self._random.choice("!$&"),
                self.chars(ALNUM + "!#%*+", 14) + "7x",
                word[:4] + "_" + self.chars(ALNUM, 9) + "3",
            )
        )
        return made

    def pem(self, kind: str, *, line: str = "\n") -> str:
        """A private key block of random content."""
        body = base64.b64encode(self._random.randbytes(240)).decode()
        dashes = "-" * 5
        lines = [body[at : at + 64] for at in range(0, len(body), 64)]
        return line.join((f"{dashes}BEGIN {kind}PRIVATE KEY{dashes}", *lines, f"{dashes}END {kind}PRIVATE KEY{dashes}"))

    def jwt(self) -> str:
        """A signed JSON Web Token."""
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
        body = (
            base64.urlsafe_b64encode(b'{"sub":"' + self.digits(8).encode() + b'","role":"admin"}').decode().rstrip("=")
        )
        return f"{head}.{body}.{self.chars(URL_SAFE, 43)}"

    def iban(self, country: str, body: str) -> str:
        """An IBAN with the right check digits."""
        number = "".join(str(int(each, 36)) for each in body + country)
        return f"{country}{98 - int(number + '00') % 97:02}{body}"

    def luhn(self, start: str, length: int) -> str:
        """A number that passes the Luhn check."""
        body = start + self.chars(string.digits, length - 1 - len(start))
        total = 0
        for place, digit in enumerate(reversed(body)):
            double = int(digit) * (2 if place % 2 == 0 else 1)
            total += double - 9 if double > 9 else double
        return body + str(-total % 10)

    def weighted(self, body: str, weights: tuple[int, ...], modulus: int) -> int:
        """A weighted sum of digits."""
        return sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True)) % modulus


def _github(fakes: Fakes, prefix: str) -> str:
    body = fakes.chars(ALNUM, 30)
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        check = (string.digits + string.ascii_uppercase + string.ascii_lowercase)[rest] + check
    return prefix + body + check


def _steuer_id(fakes: Fakes) -> str:
    start = fakes.chars("123456789", 1)
    others = [each for each in string.digits if each != start]
    fakes._random.shuffle(others)
    body = start + "".join(others[:8])
    body += body[3]
    product = 10
    for digit in body:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return body + str((11 - product) % 10)


def _codice_fiscale(fakes: Fakes) -> str:
    odd = dict(zip(UPPER_DIGITS, _ODD, strict=True))
    body = "RSSMRA85T10A562"[:6] + fakes.digits(2) + "T10A" + fakes.digits(3)
    total = sum(odd[c] if place % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for place, c in enumerate(body))
    return body + chr(65 + total % 26)


_ODD = (
    *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
    *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
)


def _fodselsnummer(fakes: Fakes) -> str:
    while True:
        body = "120685" + fakes.digits(3)
        first = -fakes.weighted(body, (3, 7, 6, 1, 8, 9, 4, 5, 2), 11) % 11
        if first == 10:
            continue
        second = -fakes.weighted(body + str(first), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), 11) % 11
        if second != 10:
            return f"{body}{first}{second}"


def _cpf(fakes: Fakes) -> str:
    body = fakes.digits(9)
    for length in (9, 10):
        rest = fakes.weighted(body, tuple(range(length + 1, 1, -1)), 11)
        body += str(0 if rest < 2 else 11 - rest)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"


def _bsn(fakes: Fakes) -> str:
    while True:
        body = fakes.digits(8)
        last = fakes.weighted(body, (9, 8, 7, 6, 5, 4, 3, 2), 11)
        if last < 10:
            return body + str(last)


def _pesel(fakes: Fakes) -> str:
    body = "850612" + fakes.digits(4)
    return body + str(-fakes.weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), 10) % 10)


def _china_id(fakes: Fakes) -> str:
    body = "11010519880605" + fakes.digits(3)
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[fakes.weighted(body, weights, 11)]


def _dni(fakes: Fakes) -> str:
    number = fakes.digits(8)
    return number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def _nir(fakes: Fakes) -> str:
    body = "2880575" + fakes.digits(6)
    return f"{body}{97 - int(body) % 97:02}"


SECRETS: dict[str, Callable[[Fakes], str]] = {
    "aws_id": lambda f: "AKI" + "A" + f.chars(BASE32, 16),
    "aws_secret": lambda f: f.chars(ALNUM + "+/", 38) + f.chars("+/", 1) + "q",
    "google_api": lambda f: "AI" + "za" + f.chars(URL_SAFE, 35),
    "google_oauth": lambda f: "GOC" + "SPX-" + f.chars(URL_SAFE, 28),
    "pem_private_json": lambda f: f.pem("", line="\\n"),
    "azure_key": lambda f: base64.b64encode(f._random.randbytes(64)).decode(),
    "azure_client": lambda f: f.chars(ALNUM, 3) + "8Q~" + f.chars(URL_SAFE, 34),
    "github_pat": lambda f: _github(f, "gh" + "p_"),
    "github_oauth": lambda f: _github(f, "gh" + "o_"),
    "github_fine": lambda f: "github" + "_pat_" + f.chars(ALNUM, 22) + "_" + f.chars(ALNUM, 59),
    "gitlab_pat": lambda f: "gl" + "pat-" + f.chars(URL_SAFE, 20),
    "slack_bot": lambda f: "xo" + "xb-" + f.digits(12) + "-" + f.digits(12) + "-" + f.chars(ALNUM, 24),
    "slack_hook": lambda f: (
        "https://hooks.slack"
        ".com/services/T" + f.chars(UPPER_DIGITS, 8) + "/B" + f.chars(UPPER_DIGITS, 8) + "/" + f.chars(ALNUM, 24)
    ),
    "stripe_live": lambda f: "sk_" + "live_" + f.chars(ALNUM, 24),
    "stripe_restricted": lambda f: "rk_" + "live_" + f.chars(ALNUM, 24),
    "openai_project": lambda f: "sk-" + "proj-" + f.chars(URL_SAFE, 74) + "T3Blbk" + "FJ" + f.chars(URL_SAFE, 74),
    "openai_old": lambda f: "sk" + "-" + f.chars(ALNUM, 20) + "T3Blbk" + "FJ" + f.chars(ALNUM, 20),
    "anthropic": lambda f: "sk-" + "ant-api03-" + f.chars(URL_SAFE, 93) + "AA",
    "npm": lambda f: _github(f, "np" + "m_"),
    "pypi": lambda f: "pyp" + "i-AgEIcHlwaS5vcmc" + f.chars(URL_SAFE, 90),
    "twilio_sid": lambda f: "A" + "C" + f.chars(HEX, 32),
    "twilio_key": lambda f: "S" + "K" + f.chars(HEX, 32),
    "sendgrid": lambda f: "S" + "G." + f.chars(URL_SAFE, 22) + "." + f.chars(URL_SAFE, 43),
    "jwt": Fakes.jwt,
    "pem_rsa": lambda f: f.pem("RSA "),
    "pem_openssh": lambda f: f.pem("OPENSSH "),
    "pem_pgp": lambda f: f.pem("PGP ").replace("KEY--", "KEY BLOCK--"),
    "wireguard": lambda f: base64.b64encode(f._random.randbytes(32)).decode(),
    "password": Fakes.password,
    "random32": lambda f: f.chars(ALNUM, 31) + "4",
    "random40": lambda f: f.chars(ALNUM + "-_", 39) + "7",
    "hex32": lambda f: f.chars(HEX, 31) + "b",
    "hex40": lambda f: f.chars(HEX, 39) + "c",
    "telegram": lambda f: f.digits(10) + ":AA" + f.chars(URL_SAFE, 33),
    "digitalocean": lambda f: "dop" + "_v1_" + f.chars(HEX, 64),
    "huggingface": lambda f: "h" + "f_" + f.chars(string.ascii_letters, 34),
    "vault": lambda f: "hv" + "s." + f.chars(URL_SAFE, 92),
    "shopify": lambda f: "shp" + "at_" + f.chars(HEX, 32),
    "discord": lambda f: "MT" + f.chars(ALNUM, 24) + "." + f.chars(ALNUM, 6) + "." + f.chars(URL_SAFE, 38),
    "doppler": lambda f: "dp." + "pt." + f.chars(ALNUM, 43),
    "linear": lambda f: "lin_" + "api_" + f.chars(ALNUM, 40),
    "age": lambda f: "AGE-SECRET" + "-KEY-1" + f.chars("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
    "mailgun": lambda f: "key" + "-" + f.chars(HEX, 32),
    "databricks": lambda f: "dap" + "i" + f.chars(HEX, 32),
    "postman": lambda f: "PM" + "AK-" + f.chars(HEX, 24) + "-" + f.chars(HEX, 34),
    "square": lambda f: "sq0" + "csp-" + f.chars(URL_SAFE, 43),
    "groq": lambda f: "gs" + "k_" + f.chars(ALNUM, 52),
    "xai": lambda f: "xa" + "i-" + f.chars(ALNUM, 80),
    "dockerhub": lambda f: "dckr" + "_pat_" + f.chars(URL_SAFE, 27),
    "terraform": lambda f: f.chars(ALNUM, 14) + ".atlas" + "v1." + f.chars(URL_SAFE, 67),
    "heroku": lambda f: "HRKU-AA" + f.chars(URL_SAFE, 58),
    "newrelic": lambda f: "NRA" + "K-" + f.chars(UPPER_DIGITS, 27),
    "grafana": lambda f: "glsa" + "_" + f.chars(ALNUM, 32) + "_" + f.chars(HEX, 8),
    "discord_hook": lambda f: "https://discord" + ".com/api/webhooks/" + f.digits(18) + "/" + f.chars(URL_SAFE, 68),
    "square_token": lambda f: "EAAA" + "E" + f.chars(URL_SAFE, 59),
    "sentry": lambda f: (
        "snt" + "rys_" + base64.b64encode(b'{"iat":1' + f.digits(12).encode() + b"}").decode() + f.chars(ALNUM, 43)
    ),
    "replicate": lambda f: "r8" + "_" + f.chars(ALNUM, 37),
    "pinecone": lambda f: "pcs" + "k_" + f.chars(ALNUM, 6) + "_" + f.chars(ALNUM, 60),
}

# What looks like a secret and is none.
HARMLESS: dict[str, Callable[[Fakes], str]] = {
    "vector64": lambda f: base64.b64encode(f._random.randbytes(4 * 48)).decode(),
    "integrity": lambda f: base64.b64encode(f._random.randbytes(64)).decode(),
    "sshpublic": lambda f: "AAAAC3NzaC1lZDI1NTE5AAAAI" + f.chars(ALNUM + "+/", 43),
    "sha1": lambda f: f.chars(HEX, 40),
    "sha256": lambda f: f.chars(HEX, 64),
    "md5": lambda f: f.chars(HEX, 32),
    "uuid": lambda f: "-".join(f.chars(HEX, each) for each in (8, 4, 4, 4, 12)),
    "ulid": lambda f: "01" + f.chars("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24),
    "nanoid": lambda f: f.chars(URL_SAFE, 21),
}

PERSONAL: dict[str, Callable[[Fakes], str]] = {
    "iban_de": lambda f: _grouped(f.iban("DE", f.digits(18))),
    "iban_no": lambda f: _grouped(f.iban("NO", f.digits(11))),
    "iban_fr": lambda f: _grouped(f.iban("FR", f.digits(10) + "0" + f.digits(12))),
    "iban_gb_compact": lambda f: f.iban("GB", "WEST" + f.digits(14)),
    "card": lambda f: f.luhn("4929", 16),
    "card_spaced": lambda f: _grouped(f.luhn("5425", 16)),
    "amex": lambda f: f.luhn("3782", 15),
    "steuer_id": _steuer_id,
    "dni": _dni,
    "nir": _nir,
    "codice_fiscale": _codice_fiscale,
    "pesel": _pesel,
    "fodselsnummer": _fodselsnummer,
    "cpf": _cpf,
    "china_id": _china_id,
    "personnummer": lambda f: "-".join(re.fullmatch(r"(.{6})(.{4})", f.luhn("850612", 10)).groups()),  # type: ignore[union-attr]
    "bsn": _bsn,
}


def _grouped(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(each)) for each in text)


def _selectors(text: str) -> str:
    return "".join(chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in text.encode())


def _bits(text: str) -> str:
    return "".join("\u200b\u200c"[byte >> shift & 1] for byte in text.encode() for shift in range(8))


def _homoglyphs(text: str) -> str:
    return text.translate(str.maketrans("aceiopsxyAEIOP", "асеіорѕхуАЕІОР"))


# Ways to dress a text up.
DISGUISES: dict[str, Callable[[str], str]] = {
    "b64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "percent": lambda text: quote(text).replace("i", "%69").replace("e", "%65"),
    "leet": lambda text: text.translate(str.maketrans("aeiost", "431057")),
    "spaced": lambda text: " ".join(text.replace(" ", "  ")),
    "dotted": lambda text: ".".join(text.replace(" ", "")),
    "reversed": lambda text: text[::-1],
    "homoglyph": _homoglyphs,
    "fullwidth": lambda text: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text),
    "mathbold": lambda text: "".join(
        chr(0x1D41A + ord(each) - 97) if "a" <= each <= "z" else each for each in text.lower()
    ),
    "tags": _tags,
    "vs": _selectors,
    "zwbits": _bits,
    "zwsplit": "\u200b".join,
    "escapes": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "entities": lambda text: "".join(f"&#{ord(each)};" for each in text),
}


def render(text: str, fakes: Fakes) -> str:
    """Return a sample's text with its places filled; places of other names stay as they are."""

    def fill(match: re.Match[str]) -> str:
        name, inner = match.groups()
        if inner is None:
            if name in SECRETS:
                fakes.made.append(SECRETS[name](fakes))
                return fakes.made[-1]
            maker = HARMLESS.get(name) or PERSONAL.get(name)
            return maker(fakes) if maker else match.group()
        if name in ("zwsplit", "b64secret"):
            fakes.made.append(SECRETS[inner](fakes))
            return DISGUISES[name.removesuffix("secret")](fakes.made[-1])
        return DISGUISES[name](inner) if name in DISGUISES else match.group()

    return _PLACE.sub(fill, text)
