"""Nothing of a signed file, nor of its signature file, can change without the verdict changing."""

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vexrepo.errors import InvalidData
from vexrepo.exchange.signing import sign_file, verify_file
from vexrepo.formats import signature_file
from vexrepo.formats.signature_file import SignatureFile
from vexrepo.objects.signature import Verdict, public_key, sign
from vexrepo.objects.trust import Trust

SEED = bytes(range(32))
NOW_US = 1_790_000_000_000_000
TIME = "2026-01-31T12:00:00.000Z"
RECORDS = [
    {"id": "a", "text": "grüße 🙂\n\u0001", "vector": [0.5, -0.25, 1e-07, 0.0], "dims": 4, "score": None},
    {"id": "b", "text": "second", "metadata": {"tags": ["x"], "n": 3, "f": 1.5e300}, "vex_version": "1.0.0"},
    {"id": "c", "vector": [1.0, 2.5], "modality": "text", "namespace": "ns"},
]
WRITERS = {
    "compact": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "python": json.dumps,
}


def signed(folder: Path, content: bytes) -> tuple[Path, Path]:
    data, signature = folder / "m.vmig.jsonl", folder / "m.vmig.sig"
    data.write_bytes(content)
    signature.write_bytes(sign_file(data, lambda message: sign(SEED, message), TIME).encode())
    return data, signature


def verdict(data: Path, signature: Path) -> Verdict:
    try:
        return verify_file(data, signature, Trust.of({public_key(SEED): "me"}), NOW_US).verdict
    except InvalidData:
        return Verdict.BAD


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_byte_of_the_data_can_be_replaced(writer, line_end, count, tmp_path):
    lines = [WRITERS[writer](each) + line_end for each in RECORDS[:count]]
    content = "".join(lines).encode()
    data, signature = signed(tmp_path, content)
    assert verdict(data, signature) is Verdict.GOOD
    source = random.Random(count)
    for at, byte in enumerate(content):
        others = {
            byte ^ 1 << source.randrange(8),
            byte ^ 0x20,
            source.randrange(256),
            *source.choices(b' \t\r\n,:"0-}', k=2),
        }
        for other in others - {byte}:
            data.write_bytes(content[:at] + bytes((other,)) + content[at + 1 :])
            assert verdict(data, signature) is Verdict.BAD, (at, byte, other)


def test_no_byte_of_the_signature_file_can_be_replaced_but_for_the_time_it_claims(tmp_path):
    data, signature = signed(tmp_path, "".join(json.dumps(each) + "\n" for each in RECORDS).encode())
    content = signature.read_bytes()
    claim = re.search(rb'"signed_at": "([^"]*)"', content)
    assert claim is not None
    source = random.Random(1)
    for at, byte in enumerate(content):
        for other in {byte ^ 1 << source.randrange(8), byte ^ 0x20, source.randrange(256), ord(" ")} - {byte}:
            signature.write_bytes(content[:at] + bytes((other,)) + content[at + 1 :])
            if claim.start(1) <= at < claim.end(1) and chr(other).isdigit() and chr(byte).isdigit():
                continue  # the format does not protect the time, and we say so
            assert verdict(data, signature) is not Verdict.GOOD, (at, byte, other)


def test_nothing_can_be_cut_off_or_put_in(tmp_path):
    content = "".join(json.dumps(each) + "\n" for each in RECORDS).encode()
    data, signature = signed(tmp_path, content)
    for at in range(len(content) - 1):  # without the last line end the file holds the same
        data.write_bytes(content[:at])
        assert verdict(data, signature) is not Verdict.GOOD
    for at in range(len(content) + 1):
        for byte in b' \n\r\t0"':
            data.write_bytes(content[:at] + bytes((byte,)) + content[at:])
            assert verdict(data, signature) is not Verdict.GOOD, (at, byte)
    data.write_bytes(content)
    whole = signature.read_bytes()
    for at in range(len(whole)):
        signature.write_bytes(whole[:at])
        assert verdict(data, signature) is not Verdict.GOOD


hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=5).map(b"".join)


@given(hashes, st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_a_signature_file_is_read_back_from_its_bytes(rows, key, signature):
    value = SignatureFile(TIME, signature_file.root_of(rows), rows, key, signature, len(rows) // 32)
    assert signature_file.decode(value.encode()) == value
    again = json.dumps(json.loads(value.encode())).encode()
    assert signature_file.decode(again, strict=False) == value
    with pytest.raises(InvalidData) as caught:
        signature_file.decode(again)
    assert caught.value.code == "signature-file-corrupt"


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=12))
def test_the_root_is_the_hash_of_the_list_as_json(rows):
    from blake3 import blake3

    listed = json.dumps(["blake3:" + row.hex() for row in rows], separators=(",", ":"))
    assert signature_file.root_of(b"".join(rows)) == blake3(listed.encode()).digest()


def test_the_root_of_many_hashes_is_made_in_pieces():
    from blake3 import blake3

    rows = [number.to_bytes(32, "big") for number in range(10_000)]
    listed = json.dumps(["blake3:" + row.hex() for row in rows], separators=(",", ":"))
    assert signature_file.root_of(b"".join(rows)) == blake3(listed.encode()).digest()
