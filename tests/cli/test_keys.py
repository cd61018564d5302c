"""``vex key``: making, sealing, exporting, importing and rotating signing keys."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from vexrepo.cli import passphrases
from vexrepo.cli.passphrases import KeyPassphrases
from vexrepo.cli.surroundings import Edge
from vexrepo.errors import WrongKey
from vexrepo.objects.signature import public_key
from vexrepo.storage import keyfile
from vexrepo.storage.passphrase import Cost

SEED = bytes(range(32))
KEY = public_key(SEED)
SECRET = "seven green boats drift along quietly"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Tests need not wait for what makes guessing dear."""
    monkeypatch.setattr(keyfile, "COST", Cost(memory_kib=32, passes=1))


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", SECRET)


def test_a_key_is_sealed_and_asks_for_its_passphrase_when_it_signs(vex, memory, home, monkeypatch):
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", SECRET)
    made = vex("key", "new", "--passphrase", "--json").json()
    assert made["sealed"] and made["current"]
    content = (home / "keys" / "default.key").read_text()
    assert SECRET not in content and json.loads(content)["key"] == made["key"]
    assert vex("init", "--store", "agent.vmig.jsonl").code == 0
    assert vex("commit", "-m", "first").code == 0
    monkeypatch.delenv("VEX_KEY_PASSPHRASE")
    memory.learn("m9", "new")
    for args in (["commit", "-m", "second"], ["sign", "agent.vmig.jsonl"], ["key", "rotate"]):
        ran = vex(*args)
        assert ran.code == 12 and "[no-passphrase]" in ran.err and "VEX_KEY_PASSPHRASE" in ran.err, args
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", "wrong")
    ran = vex("commit", "-m", "second")
    assert ran.code == 12 and "[key-passphrase-wrong]" in ran.err and "wrong" not in ran.err.replace("-wrong", "")
    # What only looks needs none.
    for args in (["verify"], ["log"], ["key", "list"], ["key", "show"], ["key", "export"], ["status"]):
        assert vex(*args).code == 0, args


def test_a_passphrase_comes_from_a_file_too(vex, memory, monkeypatch, tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    monkeypatch.setenv("VEX_KEY_PASSPHRASE_FILE", str(path))
    assert vex("key", "new", "--passphrase").code == 0
    assert vex("sign", "agent.vmig.jsonl").code == 0
    path.write_text("other\n")
    assert "[key-passphrase-wrong]" in vex("sign", "agent.vmig.jsonl").err
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", "")
    assert "[no-passphrase]" in vex("sign", "agent.vmig.jsonl").err


def test_a_weak_passphrase_is_said_to_be_weak(vex, folder, monkeypatch):
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", "abc")
    ran = vex("key", "new", "--passphrase")
    assert ran.code == 0 and "weak" in ran.err and "abc" not in ran.err + ran.out


class Typist:
    """A terminal at which these answers are given."""

    def __init__(self, *answers: str) -> None:
        self.can_ask = bool(answers)
        self.answers = list(answers)

    def tries(self, question: str) -> Iterator[str]:
        while self.answers:
            yield self.answers.pop(0)

    def choose(self, question: str) -> str:
        return self.answers.pop(0)


def test_what_is_typed_is_tried_in_turn_and_the_keyring_goes_first(monkeypatch):
    monkeypatch.setattr(passphrases, "read_keyring", lambda service, name: "kept" if name == KEY.hex() else None)
    asked = KeyPassphrases({}, Typist("one", "two"))
    assert list(asked.tries("a.key", KEY)) == ["kept", "one", "two"]
    assert list(KeyPassphrases({}, Typist("one")).tries("a.key", bytes(32))) == ["one"]
    assert list(KeyPassphrases({"VEX_KEY_PASSPHRASE": "given"}, Typist("one")).tries("a.key", KEY)) == ["given"]
    assert KeyPassphrases({}, Typist("new")).new("x") == "new"
    with pytest.raises(WrongKey) as caught:
        KeyPassphrases({"VEX_KEY_PASSPHRASE": "old"}, Typist()).new("x", is_change=True)
    assert caught.value.code == "no-passphrase" and "VEX_KEY_NEW_PASSPHRASE" in str(caught.value)


def test_a_passphrase_is_set_changed_and_removed(vex, memory, monkeypatch):
    key = vex("key", "new", "--json").json()["key"]
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", SECRET)
    assert vex("key", "passphrase", "--json").json() == {"name": "default", "key": key, "sealed": True}
    ran = vex("key", "passphrase")
    assert ran.code == 12 and "VEX_KEY_NEW_PASSPHRASE" in ran.err
    monkeypatch.setenv("VEX_KEY_NEW_PASSPHRASE", "nine blue kites over the quiet harbour")
    assert vex("key", "passphrase").code == 0
    assert "[key-passphrase-wrong]" in vex("sign", "agent.vmig.jsonl").err
    monkeypatch.setenv("VEX_KEY_PASSPHRASE", "nine blue kites over the quiet harbour")
    assert vex("key", "passphrase", "--remove").code == 0
    monkeypatch.delenv("VEX_KEY_PASSPHRASE")
    assert vex("sign", "agent.vmig.jsonl", "--json").json()["identity"]["key"] == key
    assert vex("key", "passphrase", "--remove").code == 2


def test_a_kept_passphrase_is_used_and_forgotten_with_the_change(vex, memory, monkeypatch, secret):
    ring: dict[str, str] = {}
    monkeypatch.setattr(passphrases, "read_keyring", lambda service, name: ring.get(name))
    monkeypatch.setattr(passphrases, "write_keyring", lambda service, name, value: ring.update({name: value}) is None)
    monkeypatch.setattr(passphrases, "remove_keyring", lambda service, name: ring.pop(name, None) is not None)
    key = vex("key", "new", "--passphrase", "--keyring", "--json").json()["key"]
    assert ring == {key: SECRET}
    monkeypatch.delenv("VEX_KEY_PASSPHRASE")
    assert vex("sign", "agent.vmig.jsonl").code == 0
    assert vex("key", "passphrase", "--remove").code == 0 and ring == {}


def test_a_sealed_key_is_exported_as_it_is_kept_without_its_passphrase(vex, memory, home, monkeypatch, secret):
    assert vex("key", "new", "--passphrase").code == 0
    kept = Path(vex("key", "show", "--json").json()["file"]).read_bytes()
    monkeypatch.delenv("VEX_KEY_PASSPHRASE")
    for _ in range(2):  # the same again is no error
        ran = vex("key", "export", "--private", "sealed.key")
        assert ran.code == 0 and "whoever has it and its passphrase signs as you" in ran.err
        assert Path("sealed.key").read_bytes() == kept
    ran = vex("key", "export", "--private", "plain.key", "--plain")
    assert ran.code == 12 and not Path("plain.key").exists()


def test_a_private_key_is_exported_to_a_file_only_and_comes_back(vex, memory, home, tmp_path, monkeypatch, secret):
    key = vex("key", "new", "--passphrase", "--json").json()["key"]
    assert vex("key", "export").out.strip() == key
    ran = vex("key", "export", "--private", "sealed.key")
    assert ran.code == 0 and ran.out.strip() == key and "signs as you" in ran.err
    assert vex("key", "export", "--private", "plain.key", "--plain", "--json").json()["private"] == "plain.key"
    assert json.loads(Path("sealed.key").read_text())["key"] == key
    assert Path("plain.key").read_text().startswith("hex:")
    seed = Path("plain.key").read_text().removeprefix("hex:")
    assert seed not in ran.out + ran.err
    if os.name == "posix":
        assert {stat.S_IMODE(Path(name).stat().st_mode) for name in ("sealed.key", "plain.key")} == {0o600}
    ran = vex("key", "export", "--private", "plain.key")
    assert ran.code == 1 and "[key-exists]" in ran.err
    assert vex("key", "export", "--plain").code == 2
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "other"))
    assert vex("key", "import", "sealed.key", "mine", "--json").json() == {
        "name": "mine",
        "key": key,
        "current": False,
        "sealed": True,
    }
    ran = vex("key", "import", "plain.key")
    assert ran.code == 1 and "[key-exists]" in ran.err and "'mine'" in ran.err


@pytest.mark.parametrize(
    "text", ["hex:" + SEED.hex(), SEED.hex() + "\n", "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]
)
def test_a_key_of_the_original_tool_is_imported_under_its_files_name(vex, memory, text):
    Path("memory.vmig.key").write_text(text)
    Path("memory.vmig.key").chmod(0o644)
    ran = vex("key", "import", "memory.vmig.key")
    assert ran.code == 0 and ran.out.startswith("identity memory ") and SEED.hex() not in ran.out + ran.err
    assert os.name != "posix" or "chmod 600" in ran.err
    assert Path("memory.vmig.key").read_text() == text
    assert vex("sign", "agent.vmig.jsonl", "--identity", "memory").code == 0
    assert vex("verify", "agent.vmig.jsonl", "--public-key", KEY.hex()).code == 0


def test_a_public_key_is_never_imported_as_a_private_one(vex, folder):
    Path("alice.pub").write_text(KEY.hex())
    ran = vex("key", "import", "alice.pub")
    assert ran.code == 12 and "[key-unreadable]" in ran.err
    vex("trust", "add", "alice.pub")
    for name in ("renamed.key", "disguised.key"):
        Path(name).write_text(("hex:" if name.startswith("d") else "") + KEY.hex())
        ran = vex("key", "import", name)
        assert ran.code == 12 and "that of 'alice'" in ran.err
    assert vex("key", "list", "--json").json() == []


def test_a_name_is_one_of_yours_or_somebody_elses_not_both(vex, folder):
    vex("trust", "add", KEY.hex(), "--name", "alice")
    ran = vex("key", "new", "alice")
    assert ran.code == 1 and "[key-exists]" in ran.err
    assert vex("key", "new", "bob").code == 0
    other = public_key(bytes([7]) * 32).hex()
    for name in ("bob", "B0b"):
        ran = vex("trust", "add", other, "--name", name)
        assert ran.code == 1 and "[trust-exists]" in ran.err


def test_show_tells_all_but_the_secret(vex, folder, home):
    made = vex("key", "new", "--json").json()
    seed = (home / "keys" / "default.key").read_text().removeprefix("hex:")
    found = vex("key", "show", "--json")
    assert seed not in found.out
    assert found.json() == {
        **made,
        "ed25519": found.json()["ed25519"],
        "file": str(home / "keys" / "default.key"),
        "valid_until": None,
        "revoked": False,
        "rotation": None,
    }
    assert found.json()["ed25519"].startswith("ed25519:")
    ran = vex("key", "show", "absent")
    assert ran.code == 12 and "[no-identity]" in ran.err


# -- rotation ------------------------------------------------------------------------------------------------------


def test_after_a_rotation_old_commits_are_good_and_new_ones_have_the_new_key(vex, repo, monkeypatch):
    old = vex("key", "export").out.strip()
    vex("sign", "agent.vmig.jsonl")
    done = vex("key", "rotate", "--json").json()
    new = done["key"]
    assert done["old"]["key"] == old != new == vex("key", "export").out.strip()
    repo.learn("m9", "afterwards")
    assert vex("commit", "-m", "second").code == 0
    for revision, key in (("HEAD", new), ("HEAD~", old)):
        found = vex("verify", revision, "--json").json()
        assert found["ok"] and found["signatures"][0]["key"] == key
    # A file could have been signed at any time, whatever it says.
    now = Edge.now_us()
    monkeypatch.setattr(Edge, "now_us", staticmethod(lambda: now + 3_600_000_000))
    vex("sign", "agent.vmig.jsonl", "--identity", done["old"]["name"])
    found = vex("verify", "agent.vmig.jsonl", "--json")
    assert found.code == 1 and found.json()["verdict"] == "expired"
    assert found.json()["reasons"][0]["code"] == "signature-expired"
    assert vex("sign", "agent.vmig.jsonl").code == 0 and vex("verify", "agent.vmig.jsonl").code == 0


def test_a_commit_with_an_ended_key_is_expired_even_when_it_is_backdated(vex, repo, monkeypatch):
    done = vex("key", "rotate", "--json").json()
    repo.learn("m9", "afterwards")
    vex("commit", "-m", "by the new key")
    vex("config", "set", "user.identity", done["old"]["name"])
    now = Edge.now_us()
    monkeypatch.setattr(Edge, "now_us", staticmethod(lambda: now + 86_400_000_000))
    repo.learn("m10", "by the old key")
    vex("commit", "-m", "honest")
    monkeypatch.setattr(Edge, "now_us", staticmethod(lambda: now - 86_400_000_000))
    repo.learn("m11", "by the old key")
    vex("commit", "-m", "backdated")
    monkeypatch.setattr(Edge, "now_us", staticmethod(lambda: now + 172_800_000_000))
    for revision, why in (("HEAD~", "says it was signed at"), ("HEAD", "later than it says")):
        found = vex("verify", revision, "--json")
        assert found.code == 1 and found.json()["signatures"][0]["verdict"] == "expired"
        assert why in found.json()["signatures"][0]["why"]


def test_others_follow_a_rotation_when_they_are_shown_it(vex, repo, home, tmp_path, monkeypatch):
    old = vex("key", "export").out.strip()
    statement = Path(vex("key", "rotate", "--json").json()["statement"])
    Path("me.rotation").write_bytes(statement.read_bytes())
    repo.learn("m9", "afterwards")
    vex("commit", "-m", "second")
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "other"))
    ran = vex("trust", "follow", "me.rotation")
    assert ran.code == 1 and "[rotation-refused]" in ran.err and "do not know" in ran.err
    assert vex("trust", "list", "--json").json() == []
    vex("trust", "add", old, "--name", "me", "--namespace", "notes,prefs,work,trading")
    assert vex("verify", "HEAD").code == 1
    ran = vex("trust", "follow", "me.rotation")
    assert ran.code == 0 and "compare the new digits" in ran.out
    assert vex("verify", "HEAD").code == 0 and vex("verify", "HEAD~").code == 0
    listed = vex("trust", "list", "--json").json()
    assert len(listed) == 2 and all(len(each["namespaces"]) == 4 for each in listed)
    assert vex("trust", "follow", "me.rotation").code == 0
    assert vex("trust", "list", "--json").json() == listed
    ran = vex("trust", "add", "me.rotation", "--name", "x")
    assert ran.code == 12 and "vex trust follow" in ran.err


@pytest.mark.parametrize("limit", [["--valid-until", "2020-01-01"], ["--valid-from", "2050-01-01"]])
def test_a_statement_of_a_key_that_is_not_good_today_is_not_followed(vex, folder, home, tmp_path, monkeypatch, limit):
    old = vex("key", "new", "--json").json()["key"]
    statement = vex("key", "rotate", "--json").json()["statement"]
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "other"))
    vex("trust", "add", old, "--name", "me", *limit)
    ran = vex("trust", "follow", statement)
    assert ran.code == 1 and "[rotation-refused]" in ran.err
    vex("trust", "revoke", "me")
    ran = vex("trust", "follow", statement)
    assert ran.code == 1 and "[rotation-refused]" in ran.err and "revoked" in ran.err
    Path("forged.rotation").write_text(Path(statement).read_text().replace(old[:8], "00000000"))
    ran = vex("trust", "follow", "forged.rotation")
    assert ran.code == 1 and "[rotation-bad]" in ran.err
    assert "[store-missing]" in vex("trust", "follow", "absent").err


def test_a_revoked_key_vouches_for_no_next_one(vex, folder):
    vex("key", "new")
    assert "one of your own" in vex("trust", "revoke", "default", "--reason", "lost").out
    ran = vex("key", "rotate")
    assert ran.code == 1 and "[rotation-refused]" in ran.err
    assert len(vex("key", "list", "--json").json()) == 1


def test_a_key_is_rotated_again_and_again_and_keeps_its_passphrase(vex, folder, secret):
    vex("key", "new", "--passphrase")
    for _ in range(3):
        assert vex("key", "rotate").code == 0
    listed = vex("key", "list", "--json").json()
    assert len(listed) == 4 and all(each["sealed"] for each in listed)
    assert len(vex("trust", "list", "--json").json()) == 3
