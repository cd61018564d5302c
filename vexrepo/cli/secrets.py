"""Where secrets come from: environment, files, programs, the keyring, git's credential helper, the terminal.

A secret is asked for when it is needed and not before, never taken from the command line, and never written anywhere
but into the keyring, and there only when the user says so.  Programs started here do not inherit secrets of ours.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from vexrepo.cli.keyrings import read_keyring, write_keyring
from vexrepo.cli.output import say
from vexrepo.cli.remotes import hidden, host_words
from vexrepo.cli.strength import ADVICE, FAIR_BITS, WEAK_BITS, strength
from vexrepo.cli.text import plain
from vexrepo.errors import HostError, InvalidData, UsageError, WrongKey

if TYPE_CHECKING:
    from vexrepo.cli.remotes import Remote
    from vexrepo.remotes.hosts.base import Token
    from vexrepo.storage.keys import Identity

TRIES = 3  # on a terminal
MOST_BYTES = 65536
KEYRING_PASSPHRASE, KEYRING_TOKEN = "vexrepo passphrase", "vexrepo token"
_OURS = re.compile(r"VEX_((KEY_)?(NEW_)?PASSPHRASE|TOKEN(_.*)?)$")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def token_variable(remote: str) -> str:
    """Return the environment variable of a remote's token."""
    return "VEX_TOKEN_" + remote.upper().replace("-", "_")


class Terminal:
    """The terminal, where there is somebody to ask."""

    def __init__(self, environ: Mapping[str, str], clear: Callable[[], None], *, is_silent: bool = False) -> None:
        # What git and CI systems are told keeps us from waiting for an answer that nobody gives.
        silenced = is_silent or bool(environ.get("CI")) or environ.get("GIT_TERMINAL_PROMPT") == "0"
        self.can_ask = sys.stdin.isatty() and not silenced
        self._clear = clear  # takes the progress line away

    def ask_secret(self, question: str) -> str:
        """Return what is typed, unseen; "" for an empty line.  Raises: click.Abort for Ctrl-C and Ctrl-D."""
        self._clear()
        found: str = click.prompt(question, hide_input=True, default="", show_default=False, err=True)
        return found

    def ask_visibly(self, question: str) -> str:
        """Return what is typed: a secret too long to be typed blindly."""
        self._clear()
        found: str = click.prompt(question, default="", show_default=False, err=True)
        return found

    def confirm(self, question: str) -> bool:
        """Return whether the user says yes."""
        self._clear()
        return click.confirm(question, default=False, err=True)

    def tries(self, question: str) -> Iterator[str]:
        """Yield what is typed, up to three times; whoever takes the next one found that the last does not fit."""
        for left in reversed(range(TRIES)):
            answer = self.ask_secret(question)
            if answer:
                yield answer
            if left:
                say("that does not fit; once more" if answer else "an empty passphrase does not count", err=True)

    def choose(self, question: str) -> str:
        """Return a new passphrase, typed twice.  Raises: WrongKey (no-passphrase) where none was chosen."""
        for _ in range(TRIES):
            answer = self.ask_secret(question)
            if not answer:
                say("an empty passphrase does not count", err=True)
                continue
            bits = strength(answer)
            if bits < WEAK_BITS:
                say(f"  weak: {ADVICE}", err=True)
                if not self.confirm("  Take it nevertheless?"):
                    continue
            else:
                say(f"  {'fair: ' + ADVICE if bits < FAIR_BITS else 'strong'}", err=True)
            if self.ask_secret("The same again") == answer:
                return answer
            say("the two differ; from the start", err=True)
        raise WrongKey("no passphrase was chosen; nothing was changed", code="no-passphrase")


class Secrets:
    """The secrets of one remote."""

    def __init__(self, environ: Mapping[str, str], remote: Remote, root: Path, terminal: Terminal) -> None:
        self._environ = environ
        self._remote = remote
        self._root = root
        self._terminal = terminal
        self.last = ""  # the passphrase tried, or chosen, last
        self._from_git: dict[str, str] | None = None
        self._token_refused = False
        self.gave_token = False

    # -- passphrase --------------------------------------------------------------------------------------------

    def passphrases(self) -> Iterator[str]:
        """Yield what to try: the one that was given; or one from the keyring, then what is typed, up to three times.

        The one that fitted is ``last``.  Raises: WrongKey (no-passphrase) where there is none and nobody to ask.
        """
        if self.last:  # the master key was changed meanwhile, and most often not the passphrase
            yield self.last
        given = self._given_passphrase()
        if given is not None:
            self.last = given
            yield given
            return
        kept = read_keyring(KEYRING_PASSPHRASE, self._remote.url)
        if kept is not None:
            self.last = kept
            yield kept
            say("the passphrase in the keyring does not fit", err=True)  # it was changed elsewhere, since
        if not self._terminal.can_ask:
            if kept is None:
                raise WrongKey(self._how_passphrase("a passphrase is needed for"), code="no-passphrase")
            return
        for answer in self._terminal.tries(f"Passphrase of {host_words(self._remote.url)}"):
            self.last = answer
            yield answer

    def new_passphrase(self) -> str:
        """Return the passphrase for a host that has none yet; typed twice.

        Raises: WrongKey (no-passphrase) where there is none and nobody to ask.
        """
        given = self._given_passphrase()
        return self._judged(given) if given is not None else self.typed_passphrase()

    def another_passphrase(self) -> str:
        """Return the passphrase that is to be in the place of the present one; typed twice.

        Raises: WrongKey (no-passphrase) where there is none and nobody to ask.
        """
        text, path = (self._environ.get(f"VEX_NEW_PASSPHRASE{each}") for each in ("", "_FILE"))
        if text is not None:
            return self._judged(filled(text, "VEX_NEW_PASSPHRASE"))
        if path:
            return self._judged(read_secret_file(Path(os.path.expanduser(path)), "VEX_NEW_PASSPHRASE_FILE"))
        return self.typed_passphrase("VEX_NEW_PASSPHRASE or VEX_NEW_PASSPHRASE_FILE")

    def _judged(self, passphrase: str) -> str:
        if strength(passphrase) < WEAK_BITS:
            say(f"note: the passphrase of {plain(self._remote.name)} is weak ({ADVICE})", err=True)
        self.last = passphrase
        return passphrase

    def typed_passphrase(self, variables: str = "VEX_PASSPHRASE or VEX_PASSPHRASE_FILE") -> str:
        """Return a new passphrase, typed twice.  Raises: WrongKey (no-passphrase) where there is nobody to ask."""
        if not self._terminal.can_ask:
            raise WrongKey(
                f"a new passphrase is needed to protect {host_words(self._remote.url)}, and there is no terminal to "
                f"ask on: set {variables}",
                code="no-passphrase",
            )
        place = host_words(self._remote.url)
        say(f"What {place} gets is sealed with a passphrase.  Nobody can restore it for you: write it down.", err=True)
        self.last = self._terminal.choose("New passphrase")
        return self.last

    def _given_passphrase(self) -> str | None:
        """Return the passphrase that need not be typed, None if there is none."""
        text = self._environ.get("VEX_PASSPHRASE")
        if text is not None:
            return filled(text, "VEX_PASSPHRASE")
        path = self._environ.get("VEX_PASSPHRASE_FILE")
        if path:
            return read_secret_file(Path(os.path.expanduser(path)), "VEX_PASSPHRASE_FILE")
        remote = self._remote
        if remote.passphrase_command:
            setting = f"remote.{remote.name}.passphrase_command"
            return self._output(remote.passphrase_command, setting, remote.origins.get("passphrase_command", ""))
        if remote.passphrase_file:
            path = os.path.expanduser(remote.passphrase_file)
            return read_secret_file(self._root / path, f"remote.{remote.name}.passphrase_file")
        return None

    def _how_passphrase(self, start: str) -> str:
        name = self._remote.name
        return (
            f"{start} {host_words(self._remote.url)}, and there is no terminal to ask on: set VEX_PASSPHRASE or "
            f"VEX_PASSPHRASE_FILE, or say once where it is: vex config set remote.{name}.passphrase_file FILE "
            f"(or passphrase_command)"
        )

    def keep(self) -> bool:
        """Put the passphrase into the keyring; False if there is no keyring."""
        return write_keyring(KEYRING_PASSPHRASE, self._remote.url, self.last)

    def renew_keyring(self) -> bool:
        """Put the passphrase into the keyring in place of the one there; False if none is there."""
        if read_keyring(KEYRING_PASSPHRASE, self._remote.url) is None:
            return False
        return self.keep()

    # -- recovery key ------------------------------------------------------------------------------------------

    def recovery_identity(self) -> Identity:
        """Return the key pair of a recovery key, from VEX_RECOVERY_KEY_FILE or typed.

        Raises: InvalidData (key-unreadable), WrongKey (no-passphrase) where there is none and nobody to ask.
        """
        from vexrepo.objects.signature import public_key
        from vexrepo.remotes.hosts.recovery import parse_recovery
        from vexrepo.storage.keys import Identity

        path = self._environ.get("VEX_RECOVERY_KEY_FILE")
        if path:
            seed = parse_recovery(read_secret_file(Path(os.path.expanduser(path)), "VEX_RECOVERY_KEY_FILE"))
            return Identity("recovery key", public_key(seed), seed)
        if not self._terminal.can_ask:
            raise WrongKey(
                "there is no terminal to ask for the recovery key on: name a file that holds it, VEX_RECOVERY_KEY_FILE",
                code="no-passphrase",
            )
        for left in reversed(range(TRIES)):
            try:
                seed = parse_recovery(self._terminal.ask_visibly(f"Recovery key of {host_words(self._remote.url)}"))
                return Identity("recovery key", public_key(seed), seed)
            except InvalidData as error:
                if not left:
                    raise
                say(str(error), err=True)
        raise AssertionError("unreachable")

    # -- token -------------------------------------------------------------------------------------------------

    def token(self, url: str) -> Token | None:
        """Return user name and token for an address, None if there is none.

        Raises: HostError (host-refused) rather than send one in the clear over a network.
        """
        from vexrepo.remotes.hosts.base import Token

        parts = urlsplit(url)
        host = parts.hostname or ""
        found = self._token(url, host)
        if found is None:
            return None
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise HostError(
                f"{hidden(url)} wants a token, and http:// would show it to everybody on the way: use https://",
                code="host-refused",
            )
        self.gave_token = True
        return Token(*found)

    def _token(self, url: str, host: str) -> tuple[str, str, str] | None:
        """Return user name, token and where it is from."""
        user = urlsplit(url).username or self._remote.user or _user_at(host)
        for variable in (token_variable(self._remote.name), "VEX_TOKEN"):
            text = self._environ.get(variable)
            if text:
                return user, _one_line(text, variable), variable
        if self._remote.token_command:
            setting = f"remote.{self._remote.name}.token_command"
            origin = self._remote.origins.get("token_command", "")
            text = self._output(self._remote.token_command, setting, origin, code="no-token")
            return user, _one_line(text, setting), setting
        if self._token_refused:
            return self._typed_token(user, host)
        kept = read_keyring(KEYRING_TOKEN, host)
        if kept is not None:
            return user, kept, "the keyring"
        self._from_git = self._git_credential("fill", {**_described(url), **self._user_line(url)})
        if self._from_git is not None and self._from_git.get("password"):
            return self._from_git.get("username", user), self._from_git["password"], "git's credential helper"
        return self._typed_token(user, host)

    def token_at_hand(self, url: str) -> Token | None:
        """Return a token that is had without asking anybody: of the environment, or of a helper of git that knows it.

        A keyring and ``token_command`` may ask, and so are left alone.  Raises: as ``token``.
        """
        if any(self._environ.get(name) for name in (token_variable(self._remote.name), "VEX_TOKEN")):
            return self.token(url)
        if self._remote.token_command:
            return None
        from vexrepo.remotes.hosts.base import Token

        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            return None
        found = self._git_credential("fill", {**_described(url), **self._user_line(url)}, is_silent=True)
        if found is None or not found.get("password"):
            return None
        user = found.get("username") or parts.username or self._remote.user or _user_at(parts.hostname or "")
        return Token(user, found["password"], "git's credential helper")

    def _typed_token(self, user: str, host: str) -> tuple[str, str, str] | None:
        if not self._terminal.can_ask:
            return None
        answer = self._terminal.ask_secret(f"Access token for {host}")
        if not answer:
            return None
        self._from_git = {"protocol": "https", "host": host, "username": user, "password": answer}
        return user, _one_line(answer, "what was typed"), "the terminal"

    def refused(self, url: str) -> None:
        """Take note that the token was refused: git's helper forgets it, and the next one is asked for."""
        self._token_refused = True
        if self._from_git is not None:
            self._git_credential("reject", self._from_git)
            self._from_git = None

    def accepted(self) -> None:
        """Tell git's helper that its token, or the one typed, was good."""
        if self._from_git is not None:
            self._git_credential("approve", self._from_git)
            self._from_git = None

    def _user_line(self, url: str) -> dict[str, str]:
        user = urlsplit(url).username or self._remote.user
        return {"username": user} if user else {}

    def _git_credential(
        self, what: str, description: Mapping[str, str], *, is_silent: bool = False
    ) -> dict[str, str] | None:
        """Run ``git credential``; None where there is no git, or its helpers know nothing."""
        lines = "".join(f"{name}={value}\n" for name, value in description.items() if "\n" not in value)
        environ = {**_without_secrets(self._environ), "GIT_TERMINAL_PROMPT": "0"}
        if is_silent:  # nor in a window
            environ |= {"GIT_ASKPASS": "", "SSH_ASKPASS": "", "GCM_INTERACTIVE": "0"}
        try:
            ran = subprocess.run(
                ["git", "credential", what],
                input=lines + "\n",
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environ,
                timeout=120,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
        if ran.returncode != 0 or what != "fill":
            return None
        return dict(line.split("=", 1) for line in ran.stdout.splitlines() if "=" in line)

    # -- files and programs ------------------------------------------------------------------------------------

    def _output(self, command: str, setting: str, origin: str, code: str = "no-passphrase") -> str:
        """Return what a program prints.  Raises: WrongKey, UsageError (bad-config)."""
        if origin.endswith(".toml") and not _is_mine(Path(origin)):
            raise WrongKey(
                f"{setting} is not run: {origin} belongs to another user; take the file over, or use the environment",
                code=code,
            )
        try:
            words = shlex.split(command, posix=os.name == "posix")
        except ValueError as error:
            raise UsageError(f"{setting} cannot be understood: {error}", code="bad-config") from None
        if not words:
            raise UsageError(f"{setting} is empty", code="bad-config")
        try:
            ran = subprocess.run(
                words, stdout=subprocess.PIPE, cwd=self._root, env=_without_secrets(self._environ), check=False
            )
        except OSError as error:
            raise WrongKey(f"{setting}: cannot run {plain(words[0])}: {error.strerror or error}", code=code) from None
        if ran.returncode != 0:
            raise WrongKey(
                f"{setting}: {plain(words[0])} ended with exit code {ran.returncode}; what it prints was not used",
                code=code,
            )
        return _decoded(ran.stdout, setting, code)


# -- parts ---------------------------------------------------------------------------------------------------------


def read_secret_file(path: Path, setting: str) -> str:
    """Return the one line in a file.  Raises: WrongKey (no-passphrase)."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise WrongKey(f"{setting}: cannot read {path}: {error.strerror or error}", code="no-passphrase") from None
    if os.name == "posix" and mode & 0o077:
        say(f"note: others on this machine can read {plain(str(path))}; chmod 600 it", err=True)
    return _decoded(raw, f"{setting}: {path}")


def filled(text: str, where: str) -> str:
    """Return a passphrase of the environment.  Raises: WrongKey (no-passphrase) for an empty one."""
    if not text:
        raise WrongKey(f"{where} is empty; a passphrase has at least one character", code="no-passphrase")
    return text


def _one_line(text: str, where: str) -> str:
    text = text.strip()
    if not text or any(ord(mark) < 0x20 or ord(mark) > 0x7E for mark in text):
        raise WrongKey(f"{where} is not a token: expected one line of ASCII", code="no-token")
    return text


def _decoded(raw: bytes, where: str, code: str = "no-passphrase") -> str:
    """Return the one line that a file or program gave; only its line end is cut off."""
    if len(raw) > MOST_BYTES:
        raise WrongKey(f"{where}: more than {MOST_BYTES} bytes is no secret of this kind", code=code)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise WrongKey(f"{where}: not UTF-8", code=code) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text:
        raise WrongKey(f"{where}: expected one line, got {text.count(chr(10)) + bool(text)}", code=code)
    return text


def _without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not _OURS.match(name)}


def _is_mine(path: Path) -> bool:
    """Whether a configuration file is the user's own: what it says to run is run."""
    if os.name != "posix":
        return True
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_uid in (os.getuid(), 0)


def _described(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return {"protocol": parts.scheme, "host": host, "path": parts.path.lstrip("/")}


def _user_at(host: str) -> str:
    """Return the user name that hosts want beside a token."""
    return "oauth2" if "gitlab" in host else "x-access-token"
