"""What is asked on a terminal, and where a secret never shows."""

import os
import re
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.desks import PASSPHRASE, Desk
from tests.hosting.http_backend import PARTIAL, SECRET, USER, HttpBackend, http_backend, make_bare

if os.name == "posix":
    import pexpect

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX"),
    pytest.mark.usefixtures("quick"),
]
QUICK = str(Path(__file__).with_name("quick.py"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(make_bare(tmp_path / "memory.git"))


@pytest.fixture
def alice(tmp_path: Path, url: str) -> Desk:
    desk = Desk(tmp_path, "alice").begin()
    desk.ok("remote", "add", "backup", url)
    return desk


def at(desk: Desk, *args: str, **env: str) -> "pexpect.spawn[str]":
    """Start vex on a terminal."""
    environ = {**os.environ, **desk.env, "COLUMNS": "200", **env}
    return pexpect.spawn(
        sys.executable,
        [QUICK, *args],
        cwd=str(desk.folder),
        env=environ,
        encoding="utf-8",
        timeout=100,
        dimensions=(40, 200),
    )


def ended(child: "pexpect.spawn[str]") -> tuple[int, str]:
    """Return the exit code, and all that was shown after the last thing expected."""
    child.expect(pexpect.EOF)
    child.wait()  # else closing would signal one that is slow to end
    child.close()
    return child.exitstatus if child.exitstatus is not None else -child.signalstatus, child.before


# -- a new passphrase --------------------------------------------------------------------------------------------------


def test_a_new_passphrase_is_judged_and_typed_twice_and_never_shown(alice):
    child = at(alice, "push")
    child.expect("Nobody can restore it for you: write it down")
    child.expect("New passphrase: ")
    child.sendline("hunter2")
    child.expect("weak: five or more words")
    child.expect("Take it nevertheless")
    child.sendline("n")
    child.expect("New passphrase: ")
    child.sendline(PASSPHRASE)
    child.expect("strong")
    child.expect("The same again: ")
    child.sendline(PASSPHRASE + " and more")
    child.expect("the two differ")
    child.expect("New passphrase: ")
    child.sendline(PASSPHRASE)
    child.expect("The same again: ")
    child.sendline(PASSPHRASE)
    child.expect("Sealed 1 pack")
    code, shown = ended(child)
    assert code == 0 and "hunter2" not in shown and "orbit" not in shown
    assert alice.ok("push").startswith("nothing to send")


# -- a passphrase ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pushed(alice: Desk) -> Desk:
    alice.ok("push", VEX_PASSPHRASE=PASSPHRASE)
    return alice


@pytest.fixture
def bob(pushed: Desk, tmp_path: Path) -> Desk:
    return Desk(tmp_path, "bob")


def test_a_wrong_passphrase_is_asked_for_again_up_to_three_times(bob, url):
    child = at(bob, "clone", url)
    for number in range(3):
        child.expect("Passphrase of .*memory: ")
        child.sendline(f"wrong {number}")
        if number < 2:
            child.expect("that does not fit; once more")
    code, shown = ended(child)
    assert code == 12 and "wrong passphrase" in shown and not (bob.folder / "memory").exists()


def test_the_second_try_may_be_right(bob, url):
    child = at(bob, "clone", url)
    child.expect("Passphrase of .*memory: ")
    child.sendline("wrong")
    child.expect("Passphrase of .*memory: ")
    child.sendline(PASSPHRASE)
    child.expect("Cloned")
    code, shown = ended(child)
    assert code == 0 and "vex remote recipient add origin --self" in shown


def test_whoever_gives_up_has_changed_nothing(bob, url):
    child = at(bob, "clone", url)
    child.expect("Passphrase of .*memory: ")
    child.sendintr()
    code, shown = ended(child)
    assert code == 130 and "interrupted" in shown and not (bob.folder / "memory" / ".vex" / "format").exists()


@pytest.mark.parametrize("env", [{"CI": "1"}, {"GIT_TERMINAL_PROMPT": "0"}])
def test_nobody_is_asked_where_nobody_answers(bob, url, env):
    code, shown = ended(at(bob, "clone", url, **env))
    assert code == 12 and "no terminal to ask on" in shown, shown


def test_a_recovery_key_is_typed_and_a_slip_is_located(pushed, bob, url):
    key = pushed("remote", "recovery-key", "backup").out.strip()
    child = at(bob, "clone", url, "--recovery-key")
    child.expect("Recovery key of .*: ")
    child.sendline(("1" if key[0] != "1" else "2") + key[1:])
    child.expect("group")
    child.expect("Recovery key of .*: ")
    child.sendline(key.lower().replace("-", " "))
    child.expect("Cloned")
    assert ended(child)[0] == 0


# -- a token -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpBackend]:
    make_bare(tmp_path / "served" / "memory.git", PARTIAL)
    with http_backend(tmp_path / "served") as found:
        yield found


def helper(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Return a credential helper that keeps what it is told in a file, and the environment that makes git use it."""
    kept, script = tmp_path / "kept", tmp_path / "helper"
    script.write_text(
        f'#!/bin/sh\ncase "$1" in\nget) cat {kept} 2>/dev/null;;\nstore) grep -E "username|password" > {kept};;\n'
        f"erase) rm -f {kept};;\nesac\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    config = tmp_path / "gitconfig"
    config.write_text(f"[credential]\n\thelper = {script}\n")
    return kept, {"GIT_CONFIG_GLOBAL": str(config)}


def test_a_token_that_was_typed_and_is_good_goes_to_gits_helper(alice, server, tmp_path):
    kept, env = helper(tmp_path)
    alice.ok("remote", "set-url", "backup", server.url())
    alice.ok("config", "set", "remote.backup.user", USER)
    child = at(alice, "push", VEX_PASSPHRASE=PASSPHRASE, **env)
    child.expect("Access token for 127.0.0.1: ")
    child.sendline(SECRET)
    child.expect("Sealed 1 pack")
    code, shown = ended(child)
    assert code == 0 and SECRET not in shown and f"password={SECRET}" in kept.read_text()
    assert alice.ok("push", **env).startswith("nothing to send")  # asks nobody


def test_a_token_that_is_refused_is_forgotten_by_gits_helper(alice, server, tmp_path):
    kept, env = helper(tmp_path)
    kept.write_text(f"username={USER}\npassword=stale-token\n")
    alice.ok("remote", "set-url", "backup", server.url())
    ran = alice("push", VEX_PASSPHRASE=PASSPHRASE, **env)
    assert ran.code == 1 and "git's credential helper" in ran.err and "stale-token" not in ran.err
    assert not kept.exists()


# -- where a secret never shows ----------------------------------------------------------------------------------------


SCAN = """
import os, sys
found = []
for name in os.listdir("/proc"):
    if name.isdigit():
        for part in ("cmdline",) + (("environ",) if int(name) == os.getpid() else ()):
            try:
                with open(f"/proc/{name}/{part}", "rb") as file:
                    raw = file.read()
            except OSError:
                continue
            found += [f"{name}/{part}"] if any(each in raw for each in SECRETS) else []
with open(LOG, "a") as log:
    log.write(f"{sys.argv[1]}: {found}\\n")
if sys.argv[1] == "passphrase":
    print(PASSPHRASE)
elif sys.argv[1] == "token":
    print(TOKEN)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_secret_is_in_no_process_list_message_log_or_file(alice, server, tmp_path, monkeypatch):
    """Programs that vex starts look at every process there is, and at what they were given."""
    log, scan = tmp_path / "scan.log", tmp_path / "scan.py"
    passphrase, token = secrets.token_hex(20), secrets.token_hex(20)  # that no other process can have
    server.token = (USER, token)
    # They are in the script as pieces, so that the file itself is none that holds them.
    pieces = {"PASSPHRASE": passphrase, "TOKEN": token}
    head = "".join(
        f"{name} = {'+'.join(repr(value[n : n + 3]) for n in range(0, len(value), 3))}\n"
        for name, value in pieces.items()
    )
    scan.write_text(head + f"LOG = {str(log)!r}\nSECRETS = [PASSPHRASE.encode(), TOKEN.encode()]\n" + SCAN)
    alice.ok("remote", "set-url", "backup", server.url())
    alice.ok("config", "set", "remote.backup.user", USER)
    alice.ok("config", "set", "remote.backup.passphrase_command", f"{sys.executable} {scan} passphrase")
    alice.ok("config", "set", "remote.backup.token_command", f"{sys.executable} {scan} token")
    environ = {**os.environ, **alice.env, "VEX_TOKEN": "", "VEX_DEBUG": "1"}
    shown = ""
    for args in (
        ["push"],
        ["push", "--json"],
        ["remote", "show", "--json"],
        ["config", "list", "--json"],
        ["remote", "check", "--json"],
        ["fetch", "--json"],
        ["op", "log", "--json"],
    ):
        ran = subprocess.run(
            [sys.executable, QUICK, *args], cwd=alice.folder, env=environ, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        shown += ran.stdout + ran.stderr
    # Given in the environment, they do not reach the programs that vex starts.
    environ["VEX_PASSPHRASE"] = passphrase
    subprocess.run([sys.executable, QUICK, "push"], cwd=alice.folder, env=environ, capture_output=True, check=False)
    lines = log.read_text().splitlines()
    assert len(lines) > 5 and "passphrase: []" in lines and all(line.endswith(": []") for line in lines), lines
    for secret in (passphrase, token):
        assert secret not in shown
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path


def test_no_option_takes_a_secret():
    from tests.cli.test_reference import CONTEXTS

    for path, ctx in CONTEXTS.items():
        for option in ctx.command.params:
            for name in option.opts if not getattr(option, "is_flag", False) else ():
                assert not re.fullmatch(r"--?(pass(word|phrase)?|token|secret|api-key|access-token)", name), (
                    path,
                    name,
                )
