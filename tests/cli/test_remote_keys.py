"""Who can read a remote: recipients, a key on paper, passphrases, another master key; and the care of a host."""

import os
import stat
from functools import partial
from pathlib import Path

import pytest

from tests.cli.desks import PASSPHRASE, Desk
from tests.cli.test_secrets import memory_keyring
from tests.hosting.http_backend import git, make_bare
from vexrepo.repository import remotes
from vexrepo.storage.passphrase import Cost

pytestmark = pytest.mark.usefixtures("quick")

OTHER = "anvil meadow quartz ribbon saddle tundra"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(make_bare(tmp_path / "memory.git"))


@pytest.fixture
def alice(tmp_path: Path, url: str) -> Desk:
    """Alice has pushed, and her key opens the remote."""
    desk = Desk(tmp_path, "alice").begin()
    desk.ok("remote", "add", "backup", url)
    desk.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    return desk


@pytest.fixture
def bob(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "bob")


def names(desk: Desk) -> list[str]:
    return sorted(each["name"] for each in desk.json("remote", "recipient", "list"))


def opens(url: str, root: Path, name: str, **env: str) -> int:
    """Return the exit code of a clone."""
    return Desk(root, name)("clone", url, "copy", **env).code


# -- recipients --------------------------------------------------------------------------------------------------------


def test_whoever_makes_a_remote_can_open_it_and_so_can_the_passphrase(alice):
    lines = alice.ok("remote", "recipient", "list").splitlines()
    assert len(lines) == 2 and any(line.startswith("* alice on ") and "this machine" in line for line in lines)
    found = alice.json("remote", "recipient", "list", "backup")
    assert {each["kind"] for each in found} == {"passphrase", "x25519"}
    assert [each["mine"] for each in found if each["kind"] == "x25519"] == [True]


def test_a_recipient_needs_no_passphrase(alice, bob, url, tmp_path):
    bob.ok("key", "new")
    (alice.folder / "bob.pub").write_text(bob.ok("key", "export"))
    assert bob("clone", url, "copy").code == 12
    dry = alice.ok("remote", "recipient", "add", "backup", "bob.pub", "--dry-run")
    assert dry.startswith("would share") and "bob" in dry
    assert "is shared with bob, " in alice.ok("remote", "recipient", "add", "backup", "bob.pub")
    ran = bob("clone", url, "copy")  # anybody could have made that for bob's public key
    assert ran.code == 1 and "host-unproven" in ran.err
    bob.ok("trust", "add", alice.ok("key", "export").strip(), "--name", "alice")
    assert bob.ok("clone", url, "copy").startswith("Cloned")
    ran = alice("remote", "recipient", "add", "backup", "bob.pub")
    assert ran.code == 1 and "recipient-exists" in ran.err


def test_a_known_key_is_named_and_a_revoked_one_refused(alice, bob):
    bob.ok("key", "new")
    key = bob.ok("key", "export").strip()
    alice.ok("trust", "add", key, "--name", "bob")
    alice.ok("remote", "recipient", "add", "backup", "bob")
    assert "bob" in names(alice)
    alice.ok("remote", "recipient", "remove", "backup", "bob")
    alice.ok("trust", "revoke", "bob", "--reason", "laptop stolen")
    ran = alice("remote", "recipient", "add", "backup", "bob")
    assert ran.code == 2 and "key-revoked" in ran.err


def test_a_recipient_is_taken_off_and_told_what_that_means(alice, bob, url):
    bob.join(url)
    who = next(each for each in names(alice) if each.startswith("bob"))
    assert "would take" in alice.ok("remote", "recipient", "remove", "backup", who, "-n") and who in names(alice)
    out = alice.ok("remote", "recipient", "remove", "backup", who)
    assert "and what comes, until a new master key" in out and "vex remote rekey backup" in out
    assert who not in names(alice)
    ran = bob("fetch")
    assert ran.code == 12 and "taken off since" in ran.err and "[no-passphrase]" in ran.err


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["add", "backup"], 2, "expected a KEY, or --self"),
        (["add", "backup", "nobody"], 2, "no key is known as"),
        (["add", "backup", "0" * 64], 1, "weak-key"),
        (["remove", "backup", "nobody"], 2, "unknown-slot"),
        (["add", "nope", "--self"], 2, "no remote 'nope'"),
    ],
)
def test_what_is_no_recipient_is_refused(alice, args, code, why):
    ran = alice("remote", "recipient", *args)
    assert ran.code == code and why in ran.err


# -- a key on paper ----------------------------------------------------------------------------------------------------


def test_a_recovery_key_opens_the_remote_when_all_else_is_lost(alice, bob, url):
    ran = alice("remote", "recovery-key", "backup")
    assert ran.code == 0 and ran.out.count("-") == 12 and "shown once" in ran.err
    assert "recovery key" in names(alice)
    path = bob.folder / "paper.txt"
    path.write_text(ran.out.lower())
    path.chmod(0o600)
    assert bob("clone", url, "x", "--recovery-key").code == 12  # nobody to ask
    out = bob.ok("clone", url, "copy", "--recovery-key", VEX_RECOVERY_KEY_FILE=str(path))
    assert out.startswith("Cloned") and "--self" not in out
    # And whoever has it can set another passphrase.
    bob.ok(
        "-C", "copy", "remote", "passphrase", "origin", "--recovery-key",
        VEX_RECOVERY_KEY_FILE=str(path), VEX_NEW_PASSPHRASE=OTHER,
    )  # fmt: skip


def test_a_recovery_key_goes_into_a_new_file_that_only_its_owner_can_read(alice):
    found = alice.json("remote", "recovery-key", "backup", "--output", "paper.txt", "--name", "safe")
    path = alice.folder / "paper.txt"
    assert found["name"] == "safe" and path.read_text().count("-") == 12
    assert os.name != "posix" or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() not in str(found)
    assert alice("remote", "recovery-key", "backup", "--output", "paper.txt").code == 1
    assert alice("remote", "recovery-key", "backup", "--json").code == 2
    ran = alice("remote", "recovery-key", "backup", "--name", "safe")
    assert ran.code == 1 and "recipient-exists" in ran.err and ran.out == ""


def test_a_slip_on_paper_is_found(alice, bob, url):
    text = alice("remote", "recovery-key", "backup").out.strip()
    wrong = text[:7] + ("0" if text[7] != "0" else "1") + text[8:]
    path = bob.folder / "paper.txt"
    path.write_text(wrong)
    ran = bob("clone", url, "copy", "--recovery-key", VEX_RECOVERY_KEY_FILE=str(path))
    assert ran.code == 12 and "group" in ran.err and text[:5] not in ran.err


# -- passphrases -------------------------------------------------------------------------------------------------------


def test_the_passphrase_is_changed(alice, url, tmp_path):
    out = alice.ok("remote", "passphrase", "backup", VEX_NEW_PASSPHRASE=OTHER)
    assert "passphrase changed" in out and "vex remote rekey backup" in out
    assert opens(url, tmp_path, "old", VEX_PASSPHRASE=PASSPHRASE) == 12
    assert opens(url, tmp_path, "new", VEX_PASSPHRASE=OTHER) == 0


def test_a_dry_run_changes_nobodys_access(alice, url, tmp_path):
    before = git("rev-parse", "main", cwd=Path(url))
    assert "would be changed" in alice.ok("remote", "passphrase", "--dry-run")
    assert "as much to guess" in alice.ok("remote", "passphrase", "--upgrade", "-n", VEX_PASSPHRASE=PASSPHRASE)
    assert "would add the recovery key" in alice.ok("remote", "recovery-key", "backup", "--dry-run")
    assert alice.json("remote", "recovery-key", "backup", "-n")["recovery_key"] == "would be made"
    assert alice.json("remote", "rekey", "backup", "-n", "--no-passphrase")["dry_run"]
    assert alice("remote", "passphrase", "--dry-run", "--keep").code == 2
    assert git("rev-parse", "main", cwd=Path(url)) == before


def test_a_new_passphrase_comes_from_a_file_or_is_missed(alice, url, tmp_path):
    ran = alice("remote", "passphrase")
    assert ran.code == 12 and "VEX_NEW_PASSPHRASE" in ran.err
    path = tmp_path / "chosen"
    path.write_text(OTHER + "\n")
    alice.ok("remote", "passphrase", VEX_NEW_PASSPHRASE_FILE=str(path))
    assert opens(url, tmp_path, "new", VEX_PASSPHRASE=OTHER) == 0


def test_an_old_passphrase_is_brought_to_todays_cost(alice, url, tmp_path, monkeypatch):
    out = alice.ok("remote", "passphrase", "--upgrade", VEX_PASSPHRASE=PASSPHRASE)
    assert "costs as much to guess as new ones" in out
    with monkeypatch.context() as years_ago:
        years_ago.setattr(remotes, "Reach", partial(remotes.Reach, cost=Cost(8192, 3, 4)))
        alice.ok("remote", "passphrase", VEX_NEW_PASSPHRASE=OTHER)
    assert "weaker than new ones" in alice.ok("remote", "recipient", "list")
    ran = alice("remote", "passphrase", "--upgrade", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 12
    assert "passphrase upgraded" in alice.ok("remote", "passphrase", "--upgrade", VEX_PASSPHRASE=OTHER)
    assert "weaker" not in alice.ok("remote", "recipient", "list")
    assert opens(url, tmp_path, "new", VEX_PASSPHRASE=OTHER) == 0


def test_a_passphrase_is_kept_in_the_keyring_and_follows_changes(alice, url, tmp_path):
    ran = alice("remote", "passphrase", "--keep", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 1 and "no-keyring" in ran.err
    with memory_keyring() as ring:
        assert alice("remote", "passphrase", "--keep", VEX_PASSPHRASE="wrong").code == 12
        alice.ok("remote", "passphrase", "--keep", VEX_PASSPHRASE=PASSPHRASE)
        assert list(ring.values()) == [PASSPHRASE]
        assert opens(url, tmp_path, "other") == 0
        assert "the keyring has it" in alice.ok("remote", "passphrase", VEX_NEW_PASSPHRASE=OTHER)
        assert list(ring.values()) == [OTHER]
        assert "out of the keyring" in alice.ok("remote", "passphrase", "--forget")
        assert ring == {} and "not in the keyring" in alice.ok("remote", "passphrase", "--forget")


def test_without_a_passphrase_only_keys_open_it_and_one_can_be_added(alice, url, tmp_path):
    alice.ok("remote", "recipient", "remove", "backup", "passphrase")
    ran = Desk(tmp_path, "new")("clone", url, "copy", VEX_PASSPHRASE=PASSPHRASE)
    assert ran.code == 12 and "wrong-key" in ran.err
    alice.ok("remote", "passphrase", VEX_NEW_PASSPHRASE=OTHER)
    assert opens(url, tmp_path, "other", VEX_PASSPHRASE=OTHER) == 0


# -- another master key ------------------------------------------------------------------------------------------------


def test_a_new_master_key_shuts_out_whoever_is_left_out(alice, bob, url, tmp_path):
    bob.join(url)
    who = next(each for each in names(alice) if each.startswith("bob"))
    dry = alice.ok("remote", "rekey", "backup", "--without", who, "--dry-run")
    assert "would be opened by alice on " in dry and f"left out: {who}" in dry and who in names(alice)
    out = alice.ok("remote", "rekey", "backup", "--without", who, VEX_NEW_PASSPHRASE=OTHER)
    assert "is opened by alice on " in out and "a passphrase" in out
    assert who not in names(alice) and bob("fetch").code == 12
    assert opens(url, tmp_path, "old", VEX_PASSPHRASE=PASSPHRASE) == 12
    assert opens(url, tmp_path, "new", VEX_PASSPHRASE=OTHER) == 0
    alice.ok("push", "--all")


def test_the_passphrase_can_stay_or_go_with_a_new_master_key(alice, url, tmp_path):
    assert alice("remote", "rekey", "backup", "--same-passphrase").code == 12  # it has to be known for that
    assert alice("remote", "rekey", "backup", "--same-passphrase", VEX_PASSPHRASE="wrong").code == 12
    out = alice.ok("remote", "rekey", "backup", "--same-passphrase", "--no-compact", VEX_PASSPHRASE=PASSPHRASE)
    assert "nothing was sealed anew" in out
    assert opens(url, tmp_path, "same", VEX_PASSPHRASE=PASSPHRASE) == 0
    found = alice.json("remote", "rekey", "backup", "--no-passphrase")
    assert len(found["open_to"]) == 1
    assert opens(url, tmp_path, "none", VEX_PASSPHRASE=PASSPHRASE) == 12
    assert alice("remote", "rekey", "backup", "--same-passphrase", "--no-passphrase").code == 2


# -- care --------------------------------------------------------------------------------------------------------------


def test_a_host_is_checked(alice, url):
    assert "all there" in alice.ok("remote", "check")
    out = alice.ok("remote", "check", "backup", "--read-data")
    assert "all right" in out and "1 commit" in out
    found = alice.json("remote", "check", "--read-data")
    assert found["problems"] == [] and found["records"] == 4 and found["packs"] == 1


def test_a_damaged_host_is_found_out_and_made_whole_again(alice, url, tmp_path):
    blobs = git("ls-tree", "-r", "main", cwd=Path(url)).splitlines()
    pack = next(line.split("\t")[1] for line in blobs if "packs/" in line)
    work = tmp_path / "work"
    git("clone", "-q", url, str(work))
    raw = bytearray((work / pack).read_bytes())
    raw[len(raw) // 2] ^= 1
    (work / pack).write_bytes(raw)
    git("commit", "-qam", "vexrepo", cwd=work)
    git("push", "-q", "origin", "main", cwd=work)
    assert alice("remote", "check").code == 0  # the sizes are right
    ran = alice("remote", "check", "--read-data")
    assert ran.code == 1 and "[host-tampered]" in ran.out and "vex remote compact" in ran.out
    assert alice.json("fetch")["packs"] == 0
    alice.ok("remote", "compact", "backup")
    assert "all right" in alice.ok("remote", "check", "--read-data")


def test_a_host_is_compacted(alice, url):
    for number in range(3):
        alice.change("m1", f"text {number}")
        alice.ok("commit", "-m", f"change {number}")
        alice.ok("push")
    assert len(git("log", "--oneline", "main", cwd=Path(url)).splitlines()) == 4
    assert alice.ok("remote", "compact", "backup", "-n").startswith("would compact")
    out = alice.ok("remote", "compact", "backup")
    assert "4 packs → 1" in out and len(git("log", "--oneline", "main", cwd=Path(url)).splitlines()) == 1
    assert alice.json("remote", "compact", "backup")["packs_after"] == 1
    assert "nothing to send" in alice.ok("push")


def test_a_host_that_was_rolled_back_is_refused_until_that_is_accepted(alice, url):
    before = git("rev-parse", "main", cwd=Path(url))
    alice.change("m1", "later")
    alice.ok("commit", "-m", "later")
    alice.ok("push")
    git("update-ref", "refs/heads/main", before, cwd=Path(url))
    for args in (["fetch"], ["push"], ["remote", "check"]):
        ran = alice(*args)
        assert ran.code == 1 and "host-rolled-back" in ran.err
    alice.ok("remote", "check", "--accept-rollback")
    alice.ok("push")
