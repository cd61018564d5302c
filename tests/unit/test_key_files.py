"""Private keys at rest: plain as the original tool writes them, sealed with a passphrase; and rotation statements."""

import json
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vexrepo.errors import InvalidData, StateError, UsageError, VexError, WrongKey
from vexrepo.objects import rotation
from vexrepo.objects.signature import public_key, sign
from vexrepo.storage import keyfile
from vexrepo.storage.files import Files
from vexrepo.storage.keyfile import Sealed
from vexrepo.storage.keys import Identity, KeyFolder, read_key_file, write_key_file
from vexrepo.storage.passphrase import Cost

SEED = bytes(range(32))
KEY = public_key(SEED)
CHEAP = Cost(memory_kib=32, passes=1, lanes=4)

GOLDEN = Path(__file__).parents[2] / "objects/vectors/v1/identity"  # frozen


def asks(*passphrases: str):
    def ask(where: str, key: bytes) -> Iterator[str]:
        yield from passphrases

    return ask


def refused(action) -> VexError:
    with pytest.raises(VexError) as caught:
        action()
    return caught.value


def sealed_with(passphrase: str) -> dict:
    return json.loads(keyfile.seal(SEED, passphrase, CHEAP).encode())


@pytest.mark.parametrize(
    "text",
    [
        "hex:" + SEED.hex(),
        "hex:" + SEED.hex().upper() + "\n",
        "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        SEED.hex(),
        f"  {SEED.hex()}\r\n",
    ],
)
def test_key_files_of_the_original_tool_are_read(text, tmp_path):
    path = tmp_path / "agent.vmig.key"
    path.write_text(text)
    assert read_key_file(path).key == KEY


def test_bare_digits_in_a_file_that_is_not_named_as_a_key_are_refused(tmp_path):
    path = tmp_path / "alice.pub"
    path.write_text(KEY.hex())
    error = refused(lambda: read_key_file(path))
    assert error.code == "key-unreadable" and "public key" in str(error) and KEY.hex() not in str(error)


def test_a_sealed_key_opens_with_its_passphrase_only(tmp_path):
    path = tmp_path / "a.key"
    path.write_bytes(keyfile.seal(SEED, "correct horse", CHEAP).encode())
    path.chmod(0o600)
    assert SEED.hex() not in path.read_text()
    assert read_key_file(path, asks("wrong", "correct horse")).seed == SEED
    error = refused(lambda: read_key_file(path, asks("wrong", "Correct horse", "correct horse ")))
    assert isinstance(error, WrongKey) and error.code == "key-passphrase-wrong"
    error = refused(lambda: read_key_file(path))
    assert isinstance(error, WrongKey) and error.code == "no-passphrase"


def test_the_frozen_keys_open(tmp_path):
    for name in ("plain.key", "sealed.key"):
        path = tmp_path / name
        path.write_bytes((GOLDEN / name).read_bytes())
        assert read_key_file(path, asks("correct horse")).seed == SEED
    raw = (GOLDEN / "sealed.key").read_bytes()
    found = keyfile.decode(raw, "")
    assert isinstance(found, Sealed) and found.encode() == raw


def test_a_passphrase_is_the_same_however_its_accents_are_typed():
    name = "Zoë’s café"
    found = keyfile.seal(SEED, unicodedata.normalize("NFD", name), CHEAP)
    assert found.open(unicodedata.normalize("NFC", name)) == SEED


def test_two_seals_of_one_key_have_nothing_in_common():
    one, two = sealed_with("a"), sealed_with("a")
    assert one["salt"] != two["salt"] and one["sealed"][:24] != two["sealed"][:24]


@pytest.mark.parametrize("passphrase", ["", "\ud800"])
def test_what_is_no_passphrase_seals_nothing(passphrase):
    assert refused(lambda: keyfile.seal(SEED, passphrase, CHEAP)).code == "bad-option"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 2}, "key-unreadable"),
        ({"version": True}, "key-unreadable"),
        ({"type": "vex-keys"}, "key-unreadable"),
        ({"extra": 1}, "key-unreadable"),
        ({"salt": "00" * 15}, "key-unreadable"),
        ({"salt": "0G" * 16}, "key-unreadable"),
        ({"salt": "AA" * 16}, "key-unreadable"),
        ({"sealed": "00" * 59}, "key-unreadable"),
        ({"key": "00" * 32}, "key-unreadable"),
        ({"key": "01" + "00" * 31}, "key-unreadable"),
        ({"memory_kib": 1 << 22}, "limit-exceeded"),
        ({"memory_kib": 8}, "limit-exceeded"),
        ({"memory_kib": 1 << 21, "passes": 64}, "limit-exceeded"),
        ({"passes": 0}, "limit-exceeded"),
        ({"lanes": 17}, "limit-exceeded"),
        ({"passes": True}, "key-unreadable"),
        ({"passes": 1.5}, "key-unreadable"),
    ],
)
def test_a_sealed_key_that_is_not_exactly_one_is_refused_before_anything_is_spent(change, code, tmp_path):
    path = tmp_path / "a.key"
    path.write_text(json.dumps({**sealed_with("x"), **change}))
    error = refused(lambda: read_key_file(path, asks("x")))
    assert isinstance(error, InvalidData) and error.code == code


@pytest.mark.parametrize("member", ["key", "salt", "sealed"])
def test_no_part_of_a_sealed_key_can_be_changed_unseen(member, tmp_path):
    value = sealed_with("x")
    other = (
        public_key(bytes(32)).hex()
        if member == "key"
        else value[member][:-2] + f"{int(value[member][-2:], 16) ^ 1:02x}"
    )
    path = tmp_path / "a.key"
    path.write_text(json.dumps({**value, member: other}))
    assert refused(lambda: read_key_file(path, asks("x"))).code == "key-passphrase-wrong"


def test_a_file_that_is_no_key_is_refused_without_being_shown(tmp_path):
    path = tmp_path / "a.key"
    for raw in (b"", b"hex:zz", b"secret words", b"{}", b"{", b"hex:" + b"0" * 62, b"0" * 5000, b"\xff\xfe"):
        path.write_bytes(raw)
        error = refused(lambda: read_key_file(path, asks("x")))
        assert error.code == "key-unreadable" and "secret" not in str(error)


def test_a_private_key_that_others_can_read_is_warned_of(tmp_path):
    if os.name != "posix":
        return
    heard: list[str] = []
    path = tmp_path / "a.key"
    path.write_bytes(keyfile.encode_plain(SEED))
    for mode, said in ((0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o620, 1)):
        path.chmod(mode)
        heard.clear()
        assert read_key_file(path, asks(), heard.append).key == KEY
        assert len(heard) == said, oct(mode)
        assert not heard or (str(path) in heard[0] and "chmod 600" in heard[0])


# -- the folder ----------------------------------------------------------------------------------------------------


def folder(path: Path, *passphrases: str) -> KeyFolder:
    return KeyFolder(path / "keys", Files(), asks(*passphrases), cost=CHEAP)


def test_public_keys_are_seen_without_a_passphrase(tmp_path):
    keys = folder(tmp_path)
    made = keys.create("sealed", "secret")
    plain = keys.create("plain")
    assert keys.public_keys() == {made.key: "sealed", plain.key: "plain"}
    assert keys.look("sealed").is_sealed and not keys.look("plain").is_sealed
    assert refused(lambda: keys.read("sealed")).code == "key-passphrase-wrong"
    assert folder(tmp_path, "secret").open("sealed") == replace(
        folder(tmp_path, "no", "secret").open("sealed"), passphrase="secret"
    )


def test_no_seed_or_passphrase_shows_in_a_repr(tmp_path):
    keys = folder(tmp_path, "secret")
    keys.keep(Identity("a", KEY, SEED), "secret")
    shown = (
        repr(keys.open("a")) + repr(keys.read("a")) + repr(keyfile.decode(keyfile.seal(SEED, "x", CHEAP).encode(), ""))
    )
    assert "secret" not in shown and SEED.hex() not in shown and repr(SEED)[2:20] not in shown


def test_a_key_is_never_overwritten(tmp_path):
    keys = folder(tmp_path)
    keys.create("a")
    before = (tmp_path / "keys" / "a.key").read_bytes()
    assert isinstance(refused(lambda: keys.create("a")), StateError)
    assert refused(lambda: keys.keep(Identity("a", KEY, SEED))).code == "key-exists"
    assert (tmp_path / "keys" / "a.key").read_bytes() == before


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a\\b", "a\0", "a\nb", "a\u202eb", "x" * 101, "cafe\u0301"])
def test_a_name_of_a_key_is_a_name_of_a_file_and_nothing_else(name, tmp_path):
    error = refused(lambda: folder(tmp_path).create(name))
    assert isinstance(error, UsageError) and error.code == "bad-option"


def test_a_passphrase_is_set_changed_and_removed(tmp_path):
    keys = folder(tmp_path, "one", "two")
    made = keys.create("a")
    for passphrase in ("one", "two", None):
        keys.protect(made, passphrase)
        opened = keys.open("a")
        assert opened.identity == made and opened.passphrase == passphrase
        assert keys.look("a").path.stat().st_mode & 0o777 in (0o600, 0o666)
    other = folder(tmp_path / "other").create("a")
    assert refused(lambda: keys.protect(other, "x")).code == "key-exists"
    assert keys.read("a") == made


class Stopped(Exception):
    """The process ended here."""


class StopsAt(Files):
    """Files that stop at the n-th operation."""

    def __init__(self, left: int) -> None:
        self.left = left

    def step(self, name: str, path: Path) -> None:
        if self.left == 0:
            raise Stopped
        self.left -= 1


def test_a_rotation_stopped_anywhere_loses_no_key_and_no_statement(tmp_path):
    for number in range(60):
        place = tmp_path / str(number)
        old = folder(place).create("a")
        new = Identity("a", KEY, SEED)
        files = StopsAt(number)
        try:
            KeyFolder(place / "keys", files, asks()).rotate(old, new, "a-old", b"statement", None)
        except Stopped:
            done = False
        else:
            done = True
        keys = folder(place)
        assert old.key in keys.public_keys()
        if keys.look("a").key == new.key:
            assert keys.read("a-old").seed == old.seed
            assert keys.statement_path("a").read_bytes() == b"statement"
        if done:
            assert keys.read("a").seed == SEED
            return
    raise AssertionError("the rotation never ended")


def test_a_private_key_is_written_once_plain_or_as_it_is_kept(tmp_path):
    path = tmp_path / "out.key"
    assert write_key_file(Files(), path, Identity("a", KEY, SEED))
    assert path.read_text() == "hex:" + SEED.hex()
    assert not write_key_file(Files(), path, Identity("a", KEY, SEED))
    assert refused(lambda: write_key_file(Files(), path, Identity("b", public_key(OLD), OLD))).code == "key-exists"
    keys = folder(tmp_path)
    keys.keep(Identity("a", KEY, SEED), "x")
    assert refused(lambda: keys.copy("a", path)).code == "key-exists"
    sealed = tmp_path / "sealed.key"
    for _ in range(2):
        keys.copy("a", sealed)
    assert isinstance(keyfile.decode(sealed.read_bytes(), ""), Sealed)
    assert read_key_file(sealed, asks("x")).seed == SEED


# -- rotation ------------------------------------------------------------------------------------------------------

OLD, NEW = bytes(32), SEED
TIME = 1_790_000_000_000_000


def statement() -> rotation.Rotation:
    return rotation.make(OLD, NEW, public_key(OLD), KEY, TIME)


def test_a_rotation_is_read_back_and_has_its_frozen_bytes():
    made = statement()
    assert rotation.decode(made.encode(), "x") == made
    assert made.encode() == (GOLDEN / "next.rotation").read_bytes()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 2}, "rotation-unreadable"),
        ({"version": True}, "rotation-unreadable"),
        ({"type": "other"}, "rotation-unreadable"),
        ({"extra": 1}, "rotation-unreadable"),
        ({"time_us": -1}, "rotation-unreadable"),
        ({"time_us": True}, "rotation-unreadable"),
        ({"time_us": 1 << 63}, "rotation-unreadable"),
        ({"new": "00"}, "rotation-unreadable"),
        ({"new": KEY.hex().upper()}, "rotation-unreadable"),
        ({"time_us": TIME + 1}, "rotation-bad"),
        ({"new": public_key(bytes([9]) * 32).hex()}, "rotation-bad"),
        ({"old": public_key(bytes([9]) * 32).hex()}, "rotation-bad"),
        ({"old": "01" + "00" * 31, "by_old": "01" + "00" * 63}, "rotation-bad"),
        ({"by_old": "00" * 64}, "rotation-bad"),
        ({"by_new": "00" * 64}, "rotation-bad"),
    ],
)
def test_a_rotation_that_both_keys_have_not_signed_exactly_so_is_refused(change, code):
    raw = json.dumps({**json.loads(statement().encode()), **change}).encode()
    assert refused(lambda: rotation.decode(raw, "alice.rotation")).code == code


def test_a_rotation_to_itself_to_nothing_or_of_any_length_is_refused():
    same = rotation.make(OLD, OLD, public_key(OLD), public_key(OLD), TIME)
    assert refused(lambda: rotation.decode(same.encode(), "x")).code == "rotation-bad"
    for raw in (b"", b"[]", b"null", b"{}", b" " * 5000 + statement().encode()):
        assert refused(lambda raw=raw: rotation.decode(raw, "x")).code == "rotation-unreadable"


def test_nobody_can_pass_off_the_key_of_another_as_their_next_one():
    thief = bytes([7]) * 32
    message = rotation.message_of(public_key(thief), KEY, TIME)

    made = rotation.Rotation(
        public_key(thief), KEY, TIME, sign(thief, message).signature, sign(thief, message).signature
    )
    assert refused(lambda: rotation.decode(made.encode(), "x")).code == "rotation-bad"
