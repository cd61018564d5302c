"""Secrets come from the environment, files, programs, the keyring, git's helper or the terminal."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vexrepo.cli import keyrings
from vexrepo.cli.remotes import Remote
from vexrepo.cli.secrets import Secrets, Terminal, token_variable
from vexrepo.cli.strength import FAIR_BITS, WEAK_BITS, strength
from vexrepo.errors import HostError, UsageError, WrongKey

URL = "https://git.example/alice/memory.git"


class Answers(Terminal):
    """A terminal with somebody who answers."""

    def __init__(self, *answers: str, yes: bool = True) -> None:
        self.can_ask = bool(answers)
        self.answers = list(answers)
        self.asked: list[str] = []
        self._yes = yes

    def ask_secret(self, question: str) -> str:
        self.asked.append(question)
        return self.answers.pop(0)

    def confirm(self, question: str) -> bool:
        self.asked.append(question)
        return self._yes


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """No keyring and no credential helper of the user who runs the tests."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("GIT_ASKPASS", raising=False)
    monkeypatch.delenv("SSH_ASKPASS", raising=False)


def secrets(tmp_path: Path, terminal: Terminal | None = None, env: dict[str, str] | None = None, **of: Any) -> Secrets:
    environ = {**os.environ, **(env or {})}
    return Secrets(environ, Remote("backup", of.pop("url", URL), **of), tmp_path, terminal or Answers())


# -- passphrase ------------------------------------------------------------------------------------------------------


def test_the_environment_goes_before_files_and_programs(tmp_path):
    (tmp_path / "pass").write_text("of the file\n")
    command = f"{sys.executable} -c \"print('of the program')\""
    of = {"passphrase_command": command, "passphrase_file": "pass"}
    env = {"VEX_PASSPHRASE": "of the variable", "VEX_PASSPHRASE_FILE": str(tmp_path / "pass")}
    assert list(secrets(tmp_path, env=env, **of).passphrases()) == ["of the variable"]
    del env["VEX_PASSPHRASE"]
    assert list(secrets(tmp_path, env=env, **of).passphrases()) == ["of the file"]
    assert list(secrets(tmp_path, **of).passphrases()) == ["of the program"]
    del of["passphrase_command"]
    assert list(secrets(tmp_path, **of).passphrases()) == ["of the file"]


def test_a_given_passphrase_is_tried_once_and_nobody_is_asked(tmp_path):
    terminal = Answers("another")
    assert list(secrets(tmp_path, terminal, {"VEX_PASSPHRASE": "x"}).passphrases()) == ["x"]
    assert terminal.asked == []


def test_without_a_terminal_the_ways_to_give_one_are_named(tmp_path):
    with pytest.raises(WrongKey) as caught:
        next(secrets(tmp_path).passphrases())
    assert caught.value.code == "no-passphrase"
    for way in ("VEX_PASSPHRASE", "VEX_PASSPHRASE_FILE", "remote.backup.passphrase_file", "passphrase_command"):
        assert way in str(caught.value)


def test_a_typed_passphrase_may_be_wrong_twice(tmp_path, capsys):
    assert list(secrets(tmp_path, Answers("one", "", "three", "never asked")).passphrases()) == ["one", "three"]
    assert "does not fit" in capsys.readouterr().err


def test_only_the_line_end_is_cut_off(tmp_path):
    (tmp_path / "pass").write_bytes("  zwölf \r\n".encode())
    assert list(secrets(tmp_path, passphrase_file="pass").passphrases()) == ["  zwölf "]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "expected one line, got 0"),
        (b"\n", "got 0"),
        (b"a\nb\n", "got 2"),
        (b"\xff\n", "not UTF-8"),
        (b"x" * 70000, "more than"),
    ],
)
def test_a_file_that_holds_no_passphrase_is_refused_without_showing_it(tmp_path, content, why):
    (tmp_path / "pass").write_bytes(content)
    with pytest.raises(WrongKey) as caught:
        next(secrets(tmp_path, passphrase_file="pass").passphrases())
    assert why in str(caught.value) and "xxx" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WrongKey, match="nowhere: No such file"):
        next(secrets(tmp_path, passphrase_file="nowhere").passphrases())


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_others_can_read_is_mentioned(tmp_path, capsys):
    (tmp_path / "pass").write_text("x")
    (tmp_path / "pass").chmod(0o644)
    list(secrets(tmp_path, passphrase_file="pass").passphrases())
    assert "chmod 600" in capsys.readouterr().err
    (tmp_path / "pass").chmod(0o600)
    list(secrets(tmp_path, passphrase_file="pass").passphrases())
    assert capsys.readouterr().err == ""


def test_a_program_does_not_inherit_our_secrets(tmp_path):
    code = "import os; print(sorted(n for n in os.environ if n.startswith('VEX_')))"
    env = {"VEX_TOKEN": "t", "VEX_TOKEN_BACKUP": "t", "VEX_PASSPHRASE_FILE": "", "VEX_HOME": "h"}
    found = next(secrets(tmp_path, env=env, passphrase_command=f'{sys.executable} -c "{code}"').passphrases())
    assert found == "['VEX_HOME', 'VEX_PASSPHRASE_FILE']"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (f"{sys.executable} -c 'import sys; print(\"half\"); sys.exit(3)'", "ended with exit code 3"),
        ("no-such-program --of mine", "cannot run no-such-program"),
        ("pass 'show", "cannot be understood"),
        ("''", "cannot run"),
    ],
)
def test_a_program_that_fails_is_named_and_its_output_not_used(tmp_path, command, why):
    with pytest.raises((WrongKey, UsageError)) as caught:
        next(secrets(tmp_path, passphrase_command=command).passphrases())
    assert why in str(caught.value) and "half" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can give files away")
def test_a_program_in_somebody_elses_configuration_is_not_run(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("")
    os.chown(config, 12345, 12345)
    marker = tmp_path / "ran"
    origins = {"passphrase_command": str(config)}
    with pytest.raises(WrongKey, match="belongs to another user"):
        next(secrets(tmp_path, passphrase_command=f"touch {marker}", origins=origins).passphrases())
    assert not marker.exists()


# -- new passphrase --------------------------------------------------------------------------------------------------

GOOD = "orbit velvet canyon thimble moss lantern"


def test_a_new_passphrase_is_typed_twice(tmp_path):
    terminal = Answers(GOOD, GOOD)
    assert secrets(tmp_path, terminal).new_passphrase() == GOOD
    assert terminal.asked == ["New passphrase", "The same again"]


def test_two_that_differ_are_asked_for_again(tmp_path, capsys):
    assert secrets(tmp_path, Answers(GOOD, GOOD + "x", GOOD, GOOD)).new_passphrase() == GOOD
    assert "the two differ" in capsys.readouterr().err


def test_a_weak_one_is_taken_only_if_the_user_insists(tmp_path, capsys):
    terminal = Answers("hunter2", GOOD, GOOD, yes=False)
    assert secrets(tmp_path, terminal).new_passphrase() == GOOD
    assert "weak" in capsys.readouterr().err
    assert secrets(tmp_path, Answers("hunter2", "hunter2", yes=True)).new_passphrase() == "hunter2"


def test_a_weak_one_that_was_given_is_mentioned(tmp_path, capsys):
    assert secrets(tmp_path, env={"VEX_PASSPHRASE": "hunter2"}).new_passphrase() == "hunter2"
    shown = capsys.readouterr().err
    assert "weak" in shown and "hunter2" not in shown


def test_nobody_to_ask_for_a_new_one(tmp_path):
    with pytest.raises(WrongKey) as caught:
        secrets(tmp_path).new_passphrase()
    assert caught.value.code == "no-passphrase"


def test_strength_is_ordered_sensibly():
    weak = ["aaaaaaaaaaaaaaaaaaaa", "123456789012345", "hunter2", "Password1", "zz top"]
    fair = ["correct horse battery staple", "tF9#qLx2"]
    strong = [GOOD, "kQ7!vZp2#mXw9Rt&", "3f9c2d1b7e04a865c1d92f7b6083e4aa", "qzjwmkxplvbtrhdgnyfcs"]
    assert all(strength(each) < WEAK_BITS for each in weak), [strength(each) for each in weak]
    assert all(WEAK_BITS <= strength(each) < FAIR_BITS for each in fair), [strength(each) for each in fair]
    assert all(strength(each) >= FAIR_BITS for each in strong), [strength(each) for each in strong]


# -- keyring ---------------------------------------------------------------------------------------------------------


@contextmanager
def memory_keyring() -> Iterator[dict[tuple[str, str], str]]:
    """Put a keyring in memory in the place of the system's, and give what it holds."""
    import keyring
    from keyring.backend import KeyringBackend

    held: dict[tuple[str, str], str] = {}

    class Ring(KeyringBackend):
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return held.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            held[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del held[service, username]

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        yield held
    finally:
        keyring.set_keyring(before)


@pytest.fixture
def keyring_file() -> Iterator[None]:
    """A keyring in memory."""
    with memory_keyring():
        yield


def test_a_typed_passphrase_can_be_kept_in_the_keyring(tmp_path, keyring_file):
    first = secrets(tmp_path, Answers("typed once"))
    assert next(first.passphrases()) == "typed once"
    assert first.keep()
    assert next(secrets(tmp_path).passphrases()) == "typed once"
    assert keyrings.remove_keyring("vexrepo passphrase", URL)
    assert not keyrings.remove_keyring("vexrepo passphrase", URL)


def test_one_in_the_keyring_that_does_not_fit_any_more_is_asked_for(tmp_path, keyring_file, capsys):
    keyrings.write_keyring("vexrepo passphrase", URL, "old")
    assert list(secrets(tmp_path, Answers("new", "n", "n")).passphrases()) == ["old", "new", "n", "n"]
    assert "keyring does not fit" in capsys.readouterr().err


def test_a_keyring_that_fails_is_as_none(tmp_path, monkeypatch):
    monkeypatch.setattr("keyring.get_password", lambda *of: 1 / 0)
    monkeypatch.setattr("keyring.set_password", lambda *of: 1 / 0)
    assert keyrings.read_keyring("a", "b") is None and not keyrings.write_keyring("a", "b", "c")


# -- token -----------------------------------------------------------------------------------------------------------


def test_the_token_of_a_remote_goes_before_the_one_for_all(tmp_path):
    env = {"VEX_TOKEN": "for-all", "VEX_TOKEN_BACKUP": "for-backup"}
    found = secrets(tmp_path, env=env).token(URL)
    assert found is not None and (found.secret, found.source) == ("for-backup", "VEX_TOKEN_BACKUP")
    found = secrets(tmp_path, env={"VEX_TOKEN": "for-all"}).token(URL)
    assert found is not None and (found.secret, found.source) == ("for-all", "VEX_TOKEN")
    assert "for-all" not in repr(found)
    assert token_variable("my-nas") == "VEX_TOKEN_MY_NAS"


def test_a_token_is_one_line_of_ascii(tmp_path):
    for bad in ("two\nlines", "ümlaut", "\x1b[31m"):
        with pytest.raises(WrongKey) as caught:
            secrets(tmp_path, env={"VEX_TOKEN": bad}).token(URL)
        assert caught.value.code == "no-token" and bad not in str(caught.value)


def test_a_token_never_goes_over_a_network_in_the_clear(tmp_path):
    env = {"VEX_TOKEN": "secret-token"}
    with pytest.raises(HostError) as caught:
        secrets(tmp_path, env=env).token("http://git.example/alice/memory.git")
    assert caught.value.code == "host-refused" and "https://" in str(caught.value)
    assert secrets(tmp_path, env=env).token("http://127.0.0.1:8080/memory.git") is not None
    assert secrets(tmp_path, env=env).token("http://[::1]:8080/memory.git") is not None


def test_a_program_can_give_the_token(tmp_path):
    found = secrets(tmp_path, token_command=f"{sys.executable} -c \"print('tok')\"", user="alice").token(URL)
    assert found is not None and (found.user, found.secret) == ("alice", "tok")
    assert found.source == "remote.backup.token_command"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper of git that knows one token and writes down what it is told."""
    log = tmp_path / "helper.log"
    script = tmp_path / "helper"
    script.write_text(
        "#!/bin/sh\n"
        f'echo "== $1" >> {log}; cat >> {log}\n'
        'if [ "$1" = get ]; then echo username=alice; echo password=of-the-helper; fi\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    config = tmp_path / "gitconfig"
    config.write_text(f"[credential]\n\thelper = {script}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    return log


def test_gits_credential_helper_gives_a_token_and_is_told_that_it_was_good(tmp_path, helper):
    source = secrets(tmp_path)
    found = source.token(URL)
    assert found is not None and (found.user, found.secret) == ("alice", "of-the-helper")
    assert found.source == "git's credential helper"
    source.accepted()
    told = helper.read_text()
    assert "== store" in told and "host=git.example" in told and "erase" not in told


def test_gits_credential_helper_is_told_that_it_was_refused_and_somebody_is_asked(tmp_path, helper):
    source = secrets(tmp_path, Answers("typed-token"))
    assert source.token(URL) is not None
    source.refused(URL)
    assert "== erase" in helper.read_text()
    found = source.token(URL)
    assert found is not None and (found.secret, found.source) == ("typed-token", "the terminal")
    source.accepted()
    assert "password=typed-token" in helper.read_text().split("== store")[1]


def test_without_a_helper_or_a_terminal_there_is_no_token(tmp_path):
    assert secrets(tmp_path).token(URL) is None


def test_an_empty_answer_is_no_token(tmp_path):
    assert secrets(tmp_path, Answers("")).token(URL) is None
