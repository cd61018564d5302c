"""What the original tool accepts and ours must not, and other ways to pass off a file: one attack, one code."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vexrepo.errors import InvalidData, StoreError
from vexrepo.exchange.signing import FileVerdict, sign_file, verify_file
from vexrepo.formats import signature_file
from vexrepo.formats.signature_file import SignatureFile, message_of, record_hash, root_of
from vexrepo.objects.signature import Verdict, is_proper_key, public_key, sign
from vexrepo.objects.trust import KnownKey, Trust
from vexrepo.storage.trust import parse_public_key

OWNER, STRANGER = bytes(32), bytes([1]) * 32
TRUST = Trust.of({public_key(OWNER): "owner"})
NOW_US = 1_790_000_000_000_000
TIME = "2026-01-31T12:00:00.000Z"
LINES = [
    b'{"id":"a","text":"first","vex_version":"1.0.0","toString":"kept","count":9007199254740992}',
    b'{"id":"b","text":"second","amount":5}',
    b'{"id":"c","text":"third"}',
]
SMALL_ORDER = (
    bytes([1]) + bytes(31),  # the identity
    bytes(32),
    bytes([0xEC]) + bytes([0xFF]) * 30 + bytes([0x7F]),
    bytes([1]) + bytes(30) + bytes([0x80]),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
)


class Files:
    def __init__(self, folder: Path) -> None:
        self.data, self.signature = folder / "m.vmig.jsonl", folder / "m.vmig.sig"

    def sign(self, lines: list[bytes], seed: bytes = OWNER) -> SignatureFile:
        """Sign as the original tool would: whatever the lines are."""
        self.data.write_bytes(b"".join(line + b"\n" for line in lines))
        made = sign_file(self.data, lambda message: sign(seed, message), TIME, compat=True)
        self.signature.write_bytes(made.encode())
        return made

    def replace(self, lines: list[bytes]) -> None:
        self.data.write_bytes(b"".join(line + b"\n" for line in lines))

    def verdict(self, *, compat: bool = False, trust: Trust = TRUST) -> FileVerdict:
        return verify_file(self.data, self.signature, trust, NOW_US, compat=compat)

    def codes(self, **options: bool) -> list[str]:
        found = self.verdict(**options)
        assert (found.verdict is Verdict.GOOD) == (not found.reasons)
        return [each.code for each in found.reasons]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


PLAIN = LINES[1:]


def test_what_the_owner_signed_is_good(files):
    files.sign(PLAIN)
    found = files.verdict()
    assert found.verdict is Verdict.GOOD and found.name == "owner" and found.records == 2 and not found.findings


def test_a_file_signed_again_by_anybody_is_by_an_unknown_key(files):
    files.sign([b'{"id":"a","text":"forged"}'], STRANGER)
    found = files.verdict()
    assert found.verdict is Verdict.UNKNOWN and [each.code for each in found.reasons] == ["signature-unknown-key"]
    assert f"vex trust add {public_key(STRANGER).hex()} --name NAME" in found.reasons[0].message
    assert files.codes(compat=True) == ["signature-unknown-key"]


@pytest.mark.parametrize("key", SMALL_ORDER)
@pytest.mark.parametrize("compat", [False, True])
def test_a_key_of_small_order_fits_nothing_even_if_it_were_trusted(key, compat, files):
    made = files.sign(PLAIN)
    for signature in (bytes(64), key + bytes(32), bytes([1]) + bytes(63)):
        forged = SignatureFile(TIME, made.root, made.hashes, key, signature, made.count)
        files.signature.write_bytes(forged.encode())
        found = files.verdict(trust=Trust({**TRUST.keys, key: KnownKey("attacker", key)}), compat=compat)
        assert found.verdict is Verdict.BAD and found.reasons[0].code == "weak-key"


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_key_of_small_order_cannot_become_a_known_one(key):
    assert not is_proper_key(key)
    with pytest.raises(InvalidData) as caught:
        parse_public_key(key.hex(), "KEY")
    assert caught.value.code == "weak-key"


def test_a_changed_member_that_the_hash_leaves_out_is_noticed(files):
    files.sign([LINES[0]])
    files.replace([LINES[0].replace(b'"kept"', b'"evil"')])
    assert files.codes() == ["inherited-member"]
    assert files.codes(compat=True) == []  # the original's verdict


def test_an_integer_swapped_for_another_of_the_same_hash_is_noticed(files):
    files.sign([b'{"id":"a","count":9007199254740992}'])
    assert files.codes() == []
    files.replace([b'{"id":"a","count":9007199254740993}'])
    assert files.codes() == ["number-inexact"]
    assert files.codes(compat=True) == []


@pytest.mark.parametrize(
    ("signed", "swapped", "code"),
    [
        (b'{"id":"a","n":null}', b'{"id":"a","n":1e400}', "number-inexact"),
        (b'{"id":"a","n":1e21}', b'{"id":"a","n":1000000000000000000000}', "number-inexact"),
        (b'{"id":"a","n":0}', b'{"id":"a","n":1e-400}', "unprotected-spelling"),
        (b'{"id":"a","n":0.1}', b'{"id":"a","n":0.1000000000000000055511151231257827}', "unprotected-spelling"),
        (b'{"id":"a","vector":[1]}', b'{"id":"a","vector":[1.00]}', "unprotected-spelling"),
        (b'{"id":"a"}', b'{"id":"b","id":"a"}', "duplicate-member"),
        (b'{"id":"a","m":{"k":1}}', b'{"id":"a","m":{"k":{"x":2},"k":1}}', "duplicate-member"),
        ('{"id":"a","t":"\ufffd"}'.encode(), b'{"id":"a","t":"\xff"}', "not-utf8"),
        ('{"id":"a","t":"\ufffd"}'.encode(), b'{"id":"a","t":"\xe2\x82"}', "not-utf8"),
        (b'{"id":"a","t":"x"}', b'{"id":"a","t":"\\u0078"}', "unprotected-spelling"),
        (b'{"id":"a"}', b'{ "id":"a"}', "unprotected-spelling"),
        (b'{"id":"a"}', b'\xef\xbb\xbf{"id":"a"}', "unprotected-spelling"),
        (b'{"id":"a"}', b'{"id":"a"}\n', "unprotected-spelling"),
        (b'{"0":"a"}', b'["a"]', "not-an-object"),
        (b'{"0":"a"}', b'"a"', "not-an-object"),
        (b"{}", b"5", "not-an-object"),
        (b"{}", b"true", "not-an-object"),
        (b'{"id":"a"}', b'{"id":"a","__proto__":{"admin":true}}', "inherited-member"),
    ],
)
def test_a_line_with_the_hash_of_another_is_refused_unless_judged_as_the_original_does(files, signed, swapped, code):
    files.sign([signed])
    files.replace([swapped])
    assert files.codes() == [code]
    assert files.verdict().findings[0].line in (1, 2) and files.verdict().findings[0].code == code
    assert files.codes(compat=True) == []


def test_emptied_hashes_are_noticed(files):
    made = files.sign(PLAIN)
    for compat in (False, True):
        emptied = SignatureFile(TIME, made.root, b"", made.key, made.signature, made.count)
        files.signature.write_bytes(emptied.encode())
        assert "signature-incomplete" in files.codes(compat=compat)
        emptied = SignatureFile(TIME, made.root, b"", made.key, made.signature, 0)
        files.signature.write_bytes(emptied.encode())
        assert "signature-incomplete" in files.codes(compat=compat)


def test_hashes_of_other_records_under_the_signed_root_are_noticed(files):
    made = files.sign(PLAIN)
    forged_line = b'{"id":"b","text":"forged"}'
    rows = record_hash(forged_line) + made.hashes[32:]
    files.replace([forged_line, PLAIN[1]])
    files.signature.write_bytes(SignatureFile(TIME, made.root, rows, made.key, made.signature, 2).encode())
    assert files.codes() == ["signature-incomplete", "records-changed"]
    files.signature.write_bytes(SignatureFile(TIME, root_of(rows), rows, made.key, made.signature, 2).encode())
    assert files.codes() == ["signature-bad"]


def test_a_signature_of_something_else_by_the_same_key_does_not_fit(files):
    made = files.sign(PLAIN)
    other = sign(OWNER, message_of(bytes(32)))
    files.signature.write_bytes(SignatureFile(TIME, made.root, made.hashes, made.key, other.signature, 2).encode())
    assert files.codes() == ["signature-bad"]


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (lambda lines: lines[:1], [("removed", None, 2, "")]),
        (lambda lines: [lines[1], lines[0]], [("reordered", 1, 2, "c")]),
        (lambda lines: [lines[0], b'{"id":"x"}', lines[1]], [("added", 2, None, "x")]),
        (lambda lines: [lines[0].replace(b"5", b"6"), lines[1]], [("changed", 1, 1, "b")]),
        (lambda lines: [*lines, lines[0]], [("added", 3, None, "b")]),
    ],
)
def test_changed_added_removed_and_reordered_records_are_named_with_their_lines(files, change, kinds):
    files.sign(PLAIN)
    files.replace(change(PLAIN))
    found = files.verdict()
    assert found.verdict is Verdict.BAD and [each.code for each in found.reasons] == ["records-changed"]
    shown = [(each.kind, each.line, each.place, each.id) for each in found.findings]
    assert shown == kinds
    assert files.codes(compat=True) == ["records-changed"]


def test_a_line_that_is_no_json_is_named(files):
    files.sign(PLAIN)
    files.replace([PLAIN[0], b'{"id":"c",'])
    found = files.verdict()
    assert [each.code for each in found.reasons] == ["records-changed", "not-json"]
    assert [(each.kind, each.line) for each in found.findings] == [("unprotected", 2), ("changed", 2)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: b"[]",
        lambda raw: b"null",
        lambda raw: raw[:-10],
        lambda raw: raw.replace(b"signed_at", b"signed_xx"),
        lambda raw: raw.replace(b"ed25519:", b"ed25519:AA"),
        lambda raw: raw.replace(b'"record_count": 2', b'"record_count": -2'),
        lambda raw: raw.replace(b'"record_count": 2', b'"record_count": "2"'),
        lambda raw: raw.replace(b"blake3:", b"sha256:"),
        lambda raw: b"\xff" + raw,
        lambda raw: b"[" * 100_000,
        lambda raw: raw.replace(b'{\n  "vex', b'{\n  "root_hash": "blake3:' + b"0" * 64 + b'",\n  "vex'),
    ],
)
@pytest.mark.parametrize("compat", [False, True])
def test_a_damaged_signature_file_is_never_good(files, damage: Callable[[bytes], bytes], compat):
    files.sign(PLAIN)
    files.signature.write_bytes(damage(files.signature.read_bytes()))
    found = files.verdict(compat=compat)
    assert found.verdict is Verdict.BAD and [each.code for each in found.reasons] == ["signature-file-corrupt"]


def test_a_signature_file_that_another_program_wrote_again_needs_compat(files):
    files.sign(PLAIN)
    files.signature.write_bytes(json.dumps(json.loads(files.signature.read_bytes())).encode())
    assert files.codes() == ["signature-file-corrupt"]
    assert files.codes(compat=True) == []


def test_missing_files_are_errors_of_their_own(files):
    files.sign(PLAIN)
    files.signature.unlink()
    with pytest.raises(InvalidData) as caught:
        files.verdict()
    assert caught.value.code == "signature-file-missing"
    files.sign(PLAIN)
    files.data.unlink()
    with pytest.raises(StoreError) as missing:
        files.verdict()
    assert missing.value.code == "store-missing"


def test_a_huge_signature_file_is_refused_before_it_is_read(files, monkeypatch):
    files.sign(PLAIN)
    monkeypatch.setattr(signature_file, "MAX_BYTES", 100)
    with pytest.raises(InvalidData) as caught:
        files.verdict()
    assert caught.value.code == "limit-exceeded"


def test_very_many_bad_lines_are_counted_not_kept(files):
    files.sign(PLAIN)
    files.replace([b'{ "id":"x"}'] * 3000)
    found = files.verdict()
    assert found.unlisted == 2000
    assert sum(each.kind == "unprotected" for each in found.findings) == 1000


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (LINES[0], "inherited-member"),
        (b'{"id":"a","id":"b"}', "duplicate-member"),
        (b'{"id":"\xff"}', "not-utf8"),
        (b'{"id":"a","n":9007199254740993}', "number-inexact"),
        (b"[1]", "not-an-object"),
        (b"null", "not-an-object"),
        (b"{", "not-json"),
        (b'{"id":NaN}', "not-json"),
        (b'{"id" : "a"}', "unprotected-spelling"),
    ],
)
def test_a_file_that_cannot_be_signed_safely_is_refused_with_the_line(files, line, code):
    files.replace([PLAIN[0], line])
    with pytest.raises(InvalidData) as caught:
        sign_file(files.data, lambda message: sign(OWNER, message), TIME)
    assert caught.value.code == code and f"{files.data} line 2" in str(caught.value)
