"""Signatures across tools: the original tool verifies ours, we verify its, and both hash every line alike."""

import json
import random
import shutil
import struct
from pathlib import Path

import pytest

from vexrepo.exchange.signing import sign_file, verify_file
from vexrepo.formats import canonical_line, signature_file
from vexrepo.formats.signature_file import record_hash
from vexrepo.objects.signature import Verdict, public_key, sign
from vexrepo.objects.trust import Trust
from vexrepo.storage.keys import read_key_file

pytestmark = pytest.mark.timeout(400)  # the first test installs the tool

SIGN = Path(__file__).parents[1] / "sign"
SEED = bytes(range(32))
NOW_US = 1_790_000_000_000_000
TIME = "2026-01-31T12:00:00.000Z"
FUZZED = 5000


def sign_here(path: Path, *, compat: bool) -> Path:
    target = path.with_name(signature_file.path_of(path.name))
    target.write_bytes(sign_file(path, lambda message: sign(SEED, message), TIME, compat=compat).encode())
    return target


def generated(path: Path) -> None:
    source = random.Random(4)
    lines = []
    for number in range(50):
        vector = [struct.unpack("<f", struct.pack("<f", source.gauss(0, 0.05)))[0] for _ in range(64)]
        value = {"id": f"m{number}", "text": f"Café {number} 🙂", "vector": vector, "dims": 64}
        lines.append(json.dumps({**value, "metadata": {"tags": ["a"], "w": number / 7}, "vex_version": "1.0.0"}))
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.mark.parametrize("name", ["small", "large", "edge", "bytes", "generated"])
def test_theirs_verifies_ours(name, original, tmp_path):
    data = tmp_path / f"{name}.vmig.jsonl"
    if name == "generated":
        generated(data)
    else:
        shutil.copy(SIGN / f"{name}.vmig.jsonl", data)
    sign_here(data, compat=name in ("edge", "bytes"))
    ran = original("verify", data.name)
    assert ran.returncode == 0 and "VALID" in ran.stdout and "INVALID" not in ran.stdout, ran.stdout + ran.stderr


def test_theirs_refuses_ours_once_the_data_was_changed(original, tmp_path):
    data = tmp_path / "m.vmig.jsonl"
    generated(data)
    sign_here(data, compat=False)
    data.write_text(data.read_text("utf-8").replace('"m7"', '"m8"'), "utf-8")
    ran = original("verify", data.name)
    assert ran.returncode != 0 or "INVALID" in ran.stdout


@pytest.mark.parametrize("name", ["small", "edge", "generated"])
def test_ours_verifies_theirs_with_the_key_it_wrote(name, original, tmp_path):
    data = tmp_path / f"{name}.vmig.jsonl"
    if name == "generated":
        generated(data)
    else:
        shutil.copy(SIGN / f"{name}.vmig.jsonl", data)
    original("sign", data.name)  # exits with 1 after success
    signature = tmp_path / f"{name}.vmig.sig"
    key = read_key_file(tmp_path / f"{name}.vmig.key").key
    found = verify_file(data, signature, Trust.of({key: "them"}), NOW_US, compat=name == "edge")
    assert found.verdict is Verdict.GOOD, found.reasons
    mine = Trust.of({public_key(SEED): "me"})
    assert verify_file(data, signature, mine, NOW_US, compat=True).verdict is Verdict.UNKNOWN
    again = signature_file.decode(signature.read_bytes())
    assert again.encode() == signature.read_bytes()


class Fuzz:
    """Lines of JSON with everything in which JavaScript differs from others."""

    NAMES = (
        *canonical_line.ORDER,
        *("modality", "score", "x", "", "é", "🙂", "toJSON", "length"),
        *("0", "1", "7", "10", "01", "-1", "1.5", "4294967294", "4294967295", "4294967296", "99999999999"),
        *sorted(canonical_line.INHERITED),
    )
    NUMBERS = (
        *("0", "-0", "0.0", "-0.0", "1.0", "1e2", "1E2", "1e+2", "1e20", "1e21", "1.5e21", "-1e-7", "1e-6", "1e-7"),
        *("9007199254740993", "18446744073709551615", "123456789012345680000", "999999999999999999999"),
        *("1e400", "-1e999", "1e-400", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308"),
        *("0.1", "0.30000000000000004", "3.141592653589793238462643383279", "100.50", "0.000001", "0.0000001"),
    )
    MARKS = (
        "a",
        "Z",
        " ",
        "é",
        "ß",
        "潮",
        "🙂",
        "\u0085",
        "\u00a0",
        "\u2028",
        "\u2029",
        "\ufeff",
        "\x7f",
        "/",
        "<",
        "'",
    )
    ESCAPES = (
        *(
            "\\n",
            "\\t",
            "\\b",
            "\\f",
            "\\r",
            '\\"',
            "\\\\",
            "\\/",
            "\\u0000",
            "\\u001F",
            "\\u007f",
            "\\u00e9",
            "\\u2028",
        ),
        *("\\ud83d\\ude42", "\\uD83D", "\\ude42", "\\ude42\\ud83d", "\\u0041", "\\ufffe"),
    )
    RAW = (b"\x80", b"\xe2\x82", b"\xf0\x9f\x99", b"\xed\xa0\xbd", b"\xc0\xaf", b"\xff", b"\xf4\x90\x80\x80", b"\xe9")
    AROUND = ("", "", "", "", " ", "\t", "\r", "\v", "\f", "\u00a0", "\u3000", "\ufeff", "\u2003", "\u2028")

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)

    def space(self) -> str:
        return self.source.choice(("", "", "", "", " ", "\t", "  ")) if self.is_loose else ""

    def string(self) -> str:
        pieces = (self.source.choice(self.source.choice((self.MARKS, self.MARKS, self.ESCAPES))) for _ in range(9))
        return '"' + "".join(list(pieces)[: self.source.randrange(10)]) + '"'

    def number(self) -> str:
        kind = self.source.randrange(6)
        if kind == 0:
            return self.source.choice(self.NUMBERS)
        if kind == 1:
            return str(self.source.randrange(-(10**6), 10**6))
        if kind == 2:
            return repr(struct.unpack("<f", struct.pack("<f", self.source.gauss(0, 0.05)))[0])
        if kind == 3:
            found = struct.unpack("<d", self.source.randbytes(8))[0]
            return repr(found) if found - found == 0 else "0"
        if kind == 4:
            return str(self.source.randrange(-(2**70), 2**70))
        digits = self.source.randrange(1, 10**17)
        return f"{digits}{self.source.choice(('e', 'E', 'e+', 'e-'))}{self.source.randrange(40)}"

    def value(self, depth: int) -> str:
        kind = self.source.randrange(9 if depth < 4 else 6)
        if kind < 2:
            return self.string()
        if kind < 4:
            return self.number()
        if kind < 6:
            return self.source.choice(("true", "false", "null"))
        return self.array(depth) if kind == 6 else self.object(depth)

    def array(self, depth: int) -> str:
        items = [self.value(depth + 1) for _ in range(self.source.randrange(5))]
        return "[" + self.space() + f"{self.space()},{self.space()}".join(items) + self.space() + "]"

    def object(self, depth: int, given: tuple[str, ...] = ()) -> str:
        names = [*given, *(self.source.choice(self.NAMES) for _ in range(self.source.randrange(7)))]
        self.source.shuffle(names)
        members = []
        for name in names:
            quoted = (
                self.string()
                if self.source.random() < 0.1
                else json.dumps(name, ensure_ascii=self.source.random() < 0.5)
            )
            members.append(f"{quoted}{self.space()}:{self.space()}{self.value(depth + 1)}")
        return "{" + self.space() + f"{self.space()},{self.space()}".join(members) + self.space() + "}"

    def vector(self) -> str:
        return "[" + ",".join(self.number() for _ in range(self.source.randrange(1, 24))) + "]"

    def plain(self) -> str:
        """A record as Python programs write it."""
        vector = [self.source.choice((0.0, self.source.gauss(0, 0.05), self.source.gauss(0, 1e-6))) for _ in range(16)]
        value = {"modality": "text", "id": "r", "text": "".join(self.source.choices(self.MARKS, k=5)), "vector": vector}
        value["metadata"] = {"n": self.source.randrange(9), "w": self.source.random(), "tags": ["a"], "f": 2.0}
        separators = self.source.choice(((",", ":"), (", ", ": ")))
        return json.dumps(value, ensure_ascii=self.source.random() < 0.5, separators=separators)

    def line(self) -> bytes:
        self.is_loose = self.source.random() < 0.5
        kind = self.source.randrange(20)
        if kind == 0:
            text = self.source.choice((self.array(0), self.string(), self.number(), "true", "false"))
        elif kind < 4:
            text = self.plain()
        elif kind < 8:
            metadata = self.object(2)
            text = f'{{"id":"r","text":{self.string()},"vector":{self.vector()},"metadata":{metadata},"score":null}}'
        else:
            text = self.object(0, ("id", "text", "vector"))
        around = self.source.choices(self.AROUND, k=2) if kind >= 2 else ("", "")
        raw = (around[0] + text + around[1]).encode("utf-8", "surrogatepass")
        if self.source.random() < 0.05:
            at = raw.find(b'"a') + 1
            raw = raw[:at] + self.source.choice(self.RAW) + raw[at:] if at else raw
        return raw


def test_both_hash_fuzzed_lines_alike(original, tmp_path):
    fuzz = Fuzz(1)
    lines = [fuzz.line() for _ in range(FUZZED)]
    data = tmp_path / "fuzz.vmig.jsonl"
    data.write_bytes(b"\n".join(lines))
    original("sign", data.name)
    theirs = json.loads((tmp_path / "fuzz.vmig.sig").read_bytes())
    fast = 0
    for line, hashed in zip(lines, theirs["record_hashes"], strict=True):
        canonical = canonical_line.canonical(line)
        assert "blake3:" + record_hash(canonical).hex() == hashed, (line, canonical)
        ordinary = canonical_line.ordinary(line)
        assert ordinary in (None, canonical), line
        fast += ordinary is not None
    assert fast > FUZZED // 20
    ours = sign_file(data, lambda message: sign(SEED, message), TIME, compat=True)
    assert "blake3:" + ours.root.hex() == theirs["root_hash"]
