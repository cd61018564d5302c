"""The original tool's signature files, reproduced byte for byte (see sign/, made with its version 0.8.8)."""

import json
import re
from pathlib import Path

import pytest

from vexrepo.exchange.signing import sign_file, verify_file
from vexrepo.formats import canonical_line, signature_file
from vexrepo.formats.signature_file import record_hash
from vexrepo.objects.signature import Verdict
from vexrepo.objects.trust import Trust
from vexrepo.storage.keys import read_key_file

SIGN = Path(__file__).parent / "sign"
NOW_US = 1_790_000_000_000_000
NAMES = ("small", "large", "edge", "bytes")
PLAIN = {"small": True, "large": True, "edge": False, "bytes": False}


def signed_at(raw: bytes) -> str:
    found = re.search(rb'"signed_at": "([^"]*)"', raw)
    assert found is not None
    return found[1].decode()


@pytest.mark.parametrize("name", NAMES)
def test_our_signature_of_a_golden_file_is_theirs(name):
    theirs = (SIGN / f"{name}.vmig.sig").read_bytes()
    identity = read_key_file(SIGN / f"{name}.vmig.key")
    made = sign_file(SIGN / f"{name}.vmig.jsonl", identity.sign, signed_at(theirs), compat=not PLAIN[name])
    assert made.encode() == theirs
    assert signature_file.decode(theirs) == made


@pytest.mark.parametrize("name", NAMES)
def test_every_canonical_line_is_theirs(name):
    lines = (SIGN / f"{name}.vmig.jsonl").read_bytes().split(b"\n")
    wanted = [json.loads(line) for line in (SIGN / f"{name}.canonical.jsonl").read_bytes().splitlines()]
    found = [
        (number, canonical) for number, line in enumerate(lines, 1) if (canonical := canonical_line.canonical(line))
    ]
    assert len(found) == len(wanted)
    for (number, canonical), want in zip(found, wanted, strict=True):
        assert number == want["line"]
        assert canonical == want["canonical"].encode()
        assert "blake3:" + record_hash(canonical).hex() == want["blake3"]
        assert canonical_line.ordinary(lines[number - 1]) in (None, canonical)


@pytest.mark.parametrize("name", ["small", "large"])
def test_files_as_programs_write_them_go_the_fast_way(name):
    for line in (SIGN / f"{name}.vmig.jsonl").read_bytes().splitlines():
        assert canonical_line.ordinary(line) is not None


@pytest.mark.parametrize("name", NAMES)
def test_their_signature_is_good_for_somebody_who_trusts_the_key(name):
    data, signature = SIGN / f"{name}.vmig.jsonl", SIGN / f"{name}.vmig.sig"
    key = read_key_file(SIGN / f"{name}.vmig.key").key
    trust = Trust.of({key: "them"})
    assert verify_file(data, signature, trust, NOW_US, compat=not PLAIN[name]).verdict is Verdict.GOOD
    assert verify_file(data, signature, Trust(), NOW_US, compat=not PLAIN[name]).verdict is Verdict.UNKNOWN
    if not PLAIN[name]:
        assert verify_file(data, signature, trust, NOW_US).verdict is Verdict.BAD
