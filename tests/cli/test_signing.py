"""``vex sign``, ``vex verify FILE`` and ``vex trust``."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import record
from vexrepo.objects.signature import public_key

SEED = bytes(range(32))
KEY = public_key(SEED)


@pytest.fixture
def keyfile(folder: Path) -> Path:
    path = folder / "team.key"
    path.write_text("hex:" + SEED.hex())
    return path


def test_signing_writes_beside_the_file_with_a_key_made_for_it_and_verify_says_good(vex, memory, home):
    before = memory.path.read_bytes()
    ran = vex("sign", "agent.vmig.jsonl")
    assert ran.code == 0 and ran.out.startswith("signed 4 memories with ") and "(new) → agent.vmig.sig" in ran.out
    assert sorted(os.listdir(".")) == ["agent.vmig.jsonl", "agent.vmig.sig"]
    assert memory.path.read_bytes() == before
    assert (home / "keys" / "default.key").exists()
    ran = vex("verify", "agent.vmig.jsonl")
    assert ran.code == 0 and "good signature by " in ran.out and "4 memories, exactly as signed" in ran.out
    again = vex("sign", "agent.vmig.jsonl", "--json").json()
    assert again["records"] == 4 and not again["identity"]["new"] and again["signature"] == "agent.vmig.sig"
    found = vex("verify", "agent.vmig.jsonl", "--json").json()
    assert found["ok"] and found["verdict"] == "good" and found["name"] == "default" and found["findings"] == []


def test_no_private_key_is_shown_or_left_beside_the_data(vex, memory, keyfile):
    ran = vex("sign", "agent.vmig.jsonl", "--key", "team.key", "--json")
    assert ran.code == 0 and ran.json()["identity"] == {"name": None, "key": KEY.hex(), "new": False}
    assert SEED.hex() not in ran.out + ran.err
    for path in Path().iterdir():
        assert path == Path("team.key") or SEED.hex().encode() not in path.read_bytes()


def test_write_key_makes_a_file_for_the_owner_only_and_never_overwrites(vex, memory, keyfile):
    assert vex("sign", "agent.vmig.jsonl", "--key", "team.key", "--write-key").code == 0
    written = Path("agent.vmig.key")
    assert written.read_text() == "hex:" + SEED.hex()
    if os.name == "posix":
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert vex("sign", "agent.vmig.jsonl", "--key", "team.key", "--write-key").code == 0  # the same key
    written.write_text("hex:" + "11" * 32)
    Path("agent.vmig.sig").unlink()
    ran = vex("sign", "agent.vmig.jsonl", "--key", "team.key", "--write-key")
    assert ran.code == 1 and "[key-exists]" in ran.err
    assert written.read_text() == "hex:" + "11" * 32 and not Path("agent.vmig.sig").exists()


@pytest.mark.parametrize("name", ["notes", "notes.jsonl", "notes.vmig.sig", "notes.vmig.key", ".vmig.jsonl"])
def test_the_data_file_is_never_overwritten_whatever_its_name(vex, memory, keyfile, name):
    content = memory.path.read_bytes()
    Path(name).write_bytes(content)
    assert vex("sign", name, "--key", "team.key", "--write-key").code == 0
    assert Path(name).read_bytes() == content
    sidecar = ".vmig.sig" if name == ".vmig.jsonl" else name + ".vmig.sig"
    assert Path(sidecar).exists()
    assert vex("verify", name, "--public-key", KEY.hex()).code == 0


@pytest.mark.parametrize("output", ["agent.vmig.jsonl", "./agent.vmig.jsonl", "link"])
def test_the_signature_cannot_be_written_over_the_data(vex, memory, output):
    os.link("agent.vmig.jsonl", "link")
    before = memory.path.read_bytes()
    ran = vex("sign", "agent.vmig.jsonl", "--output", output)
    assert ran.code == 2 and "[bad-option]" in ran.err
    assert memory.path.read_bytes() == before


def test_other_files_are_not_replaced_by_a_signature_but_older_signatures_are(vex, memory):
    Path("important.txt").write_text("do not lose")
    ran = vex("sign", "agent.vmig.jsonl", "--output", "important.txt")
    assert ran.code == 1 and "[file-exists]" in ran.err
    assert Path("important.txt").read_text() == "do not lose"
    assert vex("sign", "agent.vmig.jsonl", "--output", "s.sig").code == 0
    assert vex("sign", "agent.vmig.jsonl", "--output", "s.sig").code == 0
    assert vex("verify", "agent.vmig.jsonl", "--signature", "s.sig").code == 0


def test_an_unsafe_line_is_refused_with_its_number_and_compat_signs_it(vex, memory):
    memory.path.write_bytes(memory.path.read_bytes() + b'{"id":"x","id":"y"}\n')
    ran = vex("sign", "agent.vmig.jsonl")
    assert ran.code == 1 and "agent.vmig.jsonl line 5" in ran.err and "[duplicate-member]" in ran.err
    assert "--compat" in ran.err and not Path("agent.vmig.sig").exists()
    assert vex("sign", "agent.vmig.jsonl", "--compat").code == 0
    ran = vex("verify", "agent.vmig.jsonl")
    assert ran.code == 1 and "could have been changed" in ran.out and "[duplicate-member]" in ran.out
    ran = vex("verify", "agent.vmig.jsonl", "--compat")
    assert ran.code == 0 and "as loosely as the original tool" in ran.out


def test_an_empty_file_is_not_signed(vex, folder):
    Path("empty.vmig.jsonl").write_bytes(b"")
    assert "[empty-file]" in vex("sign", "empty.vmig.jsonl").err


def test_changes_are_listed_with_lines_and_ids(vex, memory):
    vex("sign", "agent.vmig.jsonl")
    memory.records["m2"]["text"] = "changed by somebody"
    memory.learn("m9", "slipped in")
    ran = vex("verify", "agent.vmig.jsonl")
    assert ran.code == 1 and "NOT as signed" in ran.out and "[records-changed]" in ran.out
    assert "changed line 2 (id m2)" in ran.out and "added line 5 (id m9)" in ran.out
    found = vex("verify", "agent.vmig.jsonl", "--json")
    assert found.code == 1 and not found.json()["ok"]
    assert [(each["kind"], each["line"], each["id"]) for each in found.json()["findings"]] == [
        ("changed", 2, "m2"),
        ("added", 5, "m9"),
    ]


def test_what_is_shown_of_foreign_lines_cannot_act_on_the_terminal(vex, memory):
    vex("sign", "agent.vmig.jsonl")
    memory.path.write_bytes(b'{"id":"\x1b[31mred","\x1b[2J":1,"\x1b[2J":2}\n' + memory.path.read_bytes())
    ran = vex("verify", "agent.vmig.jsonl", env={"NO_COLOR": "1"})
    assert ran.code == 1 and "\x1b" not in ran.out


def test_many_findings_are_cut_on_the_terminal_but_not_in_json(vex, memory):
    for number in range(60):
        memory.records[f"n{number}"] = record(f"n{number}", "x")
    memory.write()
    vex("sign", "agent.vmig.jsonl")
    memory.path.write_text(memory.path.read_text().replace('"x"', '"y"'))
    assert "… and 40 more places" in vex("verify", "agent.vmig.jsonl").out
    assert len(vex("verify", "agent.vmig.jsonl", "--json").json()["findings"]) == 60


def test_a_valid_signature_by_an_unknown_key_is_not_good_until_the_key_is_known(vex, memory, keyfile):
    vex("sign", "agent.vmig.jsonl", "--key", "team.key")
    ran = vex("verify", "agent.vmig.jsonl")
    assert ran.code == 1 and "NOT verified" in ran.out and "[signature-unknown-key]" in ran.out
    assert f"vex trust add {KEY.hex()} --name NAME" in ran.out
    assert vex("verify", "agent.vmig.jsonl", "--json").json()["verdict"] == "unknown"
    assert vex("trust", "add", KEY.hex(), "--name", "team").code == 0
    ran = vex("verify", "agent.vmig.jsonl")
    assert ran.code == 0 and "(team)" in ran.out
    assert vex("trust", "remove", "team").code == 0
    assert vex("verify", "agent.vmig.jsonl").code == 1


def test_a_key_given_is_the_only_one_that_counts(vex, memory, keyfile):
    import base64

    vex("sign", "agent.vmig.jsonl", "--key", "team.key")
    Path("team.pub").write_text(KEY.hex() + "\n")
    coded = "ed25519:" + base64.b64encode(KEY).decode()
    for given in (["--key", "team.key"], ["--key", "team.pub"], ["--public-key", KEY.hex()], ["--public-key", coded]):
        assert vex("verify", "agent.vmig.jsonl", *given).code == 0, given
    vex("sign", "agent.vmig.jsonl")
    ran = vex("verify", "agent.vmig.jsonl", "--key", "team.key")
    assert ran.code == 1 and "[signature-unknown-key]" in ran.out


def test_bare_digits_in_a_key_file_are_never_taken_for_a_private_key(vex, memory, folder):
    # Whoever knows a public key could sign with a private key of the same digits.
    Path("owner.pub").write_text(KEY.hex())
    Path("forger.key").write_text("hex:" + KEY.hex())
    vex("sign", "agent.vmig.jsonl", "--key", "forger.key")
    assert vex("verify", "agent.vmig.jsonl", "--key", "owner.pub").code == 1


@pytest.mark.parametrize(
    ("args", "code", "exit_code"),
    [
        (["--public-key", "xyz"], "key-unreadable", 12),
        (["--public-key", "01" + "00" * 31], "weak-key", 1),
        (["--key", "absent.key"], "no-identity", 12),
        (["--signature", "absent.sig"], "signature-file-missing", 1),
        (["--key", "team.key", "--public-key", "00"], "bad-option", 2),
    ],
)
def test_what_cannot_be_used_is_an_error_of_its_own(vex, memory, keyfile, args, code, exit_code):
    vex("sign", "agent.vmig.jsonl")
    ran = vex("verify", "agent.vmig.jsonl", *args)
    assert ran.code == exit_code and f"[{code}]" in ran.err
    assert "Traceback" not in ran.err


def test_a_missing_signature_says_what_to_do(vex, memory):
    ran = vex("verify", "agent.vmig.jsonl")
    assert ran.code == 1 and "[signature-file-missing]" in ran.err and "vex sign" in ran.err
    ran = vex("verify", "absent.vmig.jsonl")
    assert ran.code == 1 and "[store-missing]" in ran.err


def test_verify_of_a_revision_still_works_and_refuses_options_for_files(vex, repo):
    assert "content intact" in vex("verify").out
    assert "content intact" in vex("verify", "main").out
    ran = vex("verify", "main", "--compat")
    assert ran.code == 2 and "[bad-option]" in ran.err


def test_sign_needs_a_file_and_one_key(vex, memory, keyfile):
    assert "[store-missing]" in vex("sign", "absent.vmig.jsonl").err
    assert vex("sign", "agent.vmig.jsonl", "--key", "team.key", "--identity", "default").code == 2
    assert vex("sign", "agent.vmig.jsonl", "--identity", "absent").code == 12
    Path("junk.key").write_text("secret of some other kind")
    ran = vex("sign", "agent.vmig.jsonl", "--key", "junk.key")
    assert ran.code == 12 and "[key-unreadable]" in ran.err and "secret" not in ran.err


def test_commits_by_a_known_key_are_good(vex, repo, monkeypatch, tmp_path):
    public = vex("key", "export").out.strip()
    monkeypatch.setenv("VEX_HOME", str(tmp_path / "other"))
    assert vex("verify", "HEAD").code == 1
    assert vex("trust", "add", public, "--name", "alice").code == 0
    ran = vex("verify", "HEAD")
    assert ran.code == 0 and "(alice)" in ran.out


# -- trust ---------------------------------------------------------------------------------------------------------


def test_known_keys_are_added_listed_and_removed(vex, folder, home):
    assert "no keys known" in vex("trust", "list").out
    Path("bob.pub").write_text(KEY.hex() + "\n")
    added = vex("trust", "add", "bob.pub", "--json").json()
    assert (added["name"], added["key"], added["new"]) == ("bob", KEY.hex(), True)
    assert vex("trust", "add", "bob.pub", "--json").json()["new"] is False
    listed = vex("trust", "list", "--json").json()
    assert [(each["name"], each["key"]) for each in listed] == [("bob", KEY.hex())]
    assert json.loads((home / "trust.json").read_text())["version"] == 2
    assert vex("trust", "remove", KEY.hex(), "--json").json()["name"] == "bob"
    assert vex("trust", "list", "--json").json() == []
    ran = vex("trust", "remove", "bob")
    assert ran.code == 2 and "[trust-unknown]" in ran.err


def test_a_name_or_key_is_never_replaced_silently(vex, folder):
    other = public_key(bytes(32)).hex()
    vex("trust", "add", KEY.hex(), "--name", "bob")
    for args in ([other, "--name", "bob"], [KEY.hex(), "--name", "robert"]):
        ran = vex("trust", "add", *args)
        assert ran.code == 1 and "[trust-exists]" in ran.err
    assert len(vex("trust", "list", "--json").json()) == 1


def test_the_key_of_a_signature_file_can_be_taken_with_a_warning(vex, memory, keyfile):
    vex("sign", "agent.vmig.jsonl", "--key", "team.key")
    ran = vex("trust", "add", "agent.vmig.sig", "--name", "team")
    assert ran.code == 0 and "compare them" in ran.out
    assert vex("verify", "agent.vmig.jsonl").code == 0


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("00" * 31, "key-unreadable"),
        ("ed25519:AAAA", "key-unreadable"),
        ("no such thing", "key-unreadable"),
        ("00" * 32, "weak-key"),
        ("01" + "00" * 31, "weak-key"),
        ("ff" * 32, "weak-key"),
        ("team.key", "key-unreadable"),
    ],
)
def test_malformed_weak_and_private_keys_are_refused(vex, keyfile, key, code):
    ran = vex("trust", "add", key, "--name", "x")
    assert ran.code in (1, 12) and f"[{code}]" in ran.err
    assert SEED.hex() not in ran.err and vex("trust", "list", "--json").json() == []


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "x" * 101, "00" * 32])
def test_names_that_could_deceive_are_refused(vex, folder, name):
    ran = vex("trust", "add", KEY.hex(), "--name", name)
    assert ran.code == 2 and "[bad-option]" in ran.err


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"version":3,"keys":[]}',
        '{"version":1,"keys":[{"name":"a","key":"00","added_at":"x"}]}',
        '{"version":1,"keys":[{"name":"a","key":"KEY","added_at":"x","until":"2020-01-01"}]}',
        '{"version":1,"keys":[{"name":"a","key":"KEY","added_at":"x"},{"name":"a","key":"KEY","added_at":"x"}]}',
    ],
)
def test_an_unreadable_file_of_known_keys_stops_everything_that_would_use_it(vex, memory, home, content):
    vex("sign", "agent.vmig.jsonl")
    (home / "trust.json").write_text(content.replace("KEY", KEY.hex()))
    for args in (["verify", "agent.vmig.jsonl"], ["trust", "list"], ["trust", "add", KEY.hex(), "--name", "b"]):
        ran = vex(*args)
        assert ran.code == 1 and "[trust-unreadable]" in ran.err, args
    assert (home / "trust.json").read_text() == content.replace("KEY", KEY.hex())
