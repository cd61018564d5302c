"""The edge: what the process brings along (environment, home, login name, clock, terminal) enters here only."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from vexrepo.cli.progress import Progress
from vexrepo.cli.text import plain
from vexrepo.errors import NoRepository, Refused, UsageError, VexError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vexrepo.cli.passphrases import KeyPassphrases
    from vexrepo.cli.secrets import Terminal
    from vexrepo.config import Config
    from vexrepo.hooks.check import Change, Check
    from vexrepo.hooks.event import Event
    from vexrepo.hooks.gate import MakeChecks, Passed
    from vexrepo.objects.trust import Trust
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import Repository, Surroundings
    from vexrepo.repository.surroundings import ReadBack
    from vexrepo.storage.keys import Identity, KeyFolder
    from vexrepo.storage.trust import TrustStore

ENVIRONMENT: dict[str, str] = {
    "VEX_HOME": "folder of configuration, identities and pins (default: the system's places for them)",
    "VEX_<SECTION>_<KEY>": "any setting, e.g. VEX_WORKSPACE_STORE; goes before the configuration files",
    "VEX_PASSPHRASE": "the passphrase of encrypted remotes; programs that vex starts do not get it",
    "VEX_PASSPHRASE_FILE": "a file that holds it; both go before remote.NAME.passphrase_command and passphrase_file",
    "VEX_KEY_PASSPHRASE": "the passphrase of sealed private keys (VEX_KEY_PASSPHRASE_FILE: a file that holds it)",
    "VEX_KEY_NEW_PASSPHRASE": "the passphrase that vex key passphrase sets (VEX_KEY_NEW_PASSPHRASE_FILE: a file)",
    "VEX_NEW_PASSPHRASE": "the new one for vex remote passphrase and rekey, or VEX_NEW_PASSPHRASE_FILE",
    "VEX_RECOVERY_KEY_FILE": "a file that holds a recovery key, for --recovery-key",
    "VEX_TOKEN_<REMOTE>": "access token for the host of one remote, e.g. VEX_TOKEN_BACKUP",
    "VEX_TOKEN": "access token for the hosts of all remotes that have none of their own",
    "VEKTOR_DB": "the vektor database of export, import and migrate where no flag names one (or VEKTOR_DB_PATH)",
    "VEKTOR_AGENT_ID": "the agent whose rows import and migrate write into a vektor database, as --agent-id",
    "PGVECTOR_URL": "where the tables of pgvector are, with a password or without (or DATABASE_URL, PGPASSWORD)",
    "VEX_DEBUG": "1: show the Python traceback of a fault",
    "HTTPS_PROXY": "proxy for https hosts where http.proxy is not set; HTTP_PROXY, ALL_PROXY, NO_PROXY as usual",
    "SSL_CERT_FILE": "certificates that vouch for hosts (or GIT_SSL_CAINFO), where http.ca_file is not set",
    "GIT_SSH_COMMAND": "what is run for ssh (or GIT_SSH), where ssh.command is not set",
    "GIT_TERMINAL_PROMPT": "0: ask nothing on the terminal; CI does the same",
    "NO_COLOR": "anything: no colours",
    "FORCE_COLOR": "anything: colours even where the output is not a terminal",
}


def variable_of(key: str) -> str:
    """Return the environment variable that sets a configuration key."""
    return "VEX_" + key.upper().replace(".", "_").replace("-", "_")


class Edge:
    """What one run of the command line knows of the process around it."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.environ = os.environ
        given = self.environ.get("VEX_HOME")
        self._given_home = Path(os.path.abspath(os.path.expanduser(given))) if given else None  # before -C takes effect
        self.progress = Progress(sys.stderr)
        self._pointer: tuple[Path, bytes] | None = None
        self.verify = True  # off with --no-verify
        self.quarantine = False  # on with --quarantine
        self.fresh = False  # on with --fresh
        self.mixes_models = False  # on with --mix-models
        self.concurrency: int | None = None  # set by --concurrency
        self.read_back: str | None = None  # set by --read-back
        self.is_silent = False  # says and asks nothing
        self._warned: set[str] = set()
        self.unsure = ""  # what an interrupted command may leave behind
        self.unsure_later = ""  # the same, once the repository was changed

    def silently(self) -> Edge:
        """Return the same for work beside others, which must neither say nor ask anything."""
        from io import StringIO

        other = copy.copy(self)
        other.is_silent, other.progress = True, Progress(StringIO())
        return other

    # -- time and place ----------------------------------------------------------------------------------------

    @staticmethod
    def now_us() -> int:
        """Return the time in microseconds since 1970."""
        return time.time_ns() // 1000

    def elapsed_s(self) -> float:
        """Return the seconds since the command began."""
        return time.perf_counter() - self.started

    @cached_property
    def home(self) -> Path:
        """The folder of the user's configuration and keys."""
        if self._given_home is not None:
            return self._given_home
        import platformdirs

        return Path(platformdirs.user_config_dir("vexrepo"))

    @cached_property
    def state_folder(self) -> Path:
        """The folder of what this machine remembers of repositories."""
        if self._given_home is not None:
            return self._given_home
        import platformdirs

        return Path(platformdirs.user_state_dir("vexrepo"))

    def login(self) -> str:
        """Return the user's login name."""
        for name in ("LOGNAME", "USER", "USERNAME"):
            if self.environ.get(name):
                return self.environ[name]
        try:
            import pwd

            return pwd.getpwuid(os.getuid()).pw_name
        except (ImportError, KeyError):
            return "unknown"

    # -- configuration -----------------------------------------------------------------------------------------

    def user_config(self) -> Path:
        """Return where the user's configuration file is."""
        return self.home / "config.toml"

    def config(self, folder: Path | None) -> Config:
        """Return the configuration: environment before the repository's file before the user's before defaults."""
        from vexrepo.config import FAMILIES, SETTINGS, Config, parse_value

        config = Config()
        config.add_file(self.user_config())
        if folder is not None:
            config.add_file(folder / "config.toml")
        keys = [
            f"{family}.{name}.{last}"
            for family in FAMILIES
            for name in config.names(family)
            for last in FAMILIES[family]
        ]
        for key in (*SETTINGS, *keys):
            text = self.environ.get(variable_of(key))
            if text is not None:
                try:
                    value = parse_value(key, text)
                except UsageError as error:
                    raise UsageError(f"environment {variable_of(key)}: {error}", code=error.code) from None
                if value and (key == "workspace.store" or (key.startswith("remote.") and key.endswith(".store"))):
                    value = self.relative_to(folder.parent if folder else Path(), self.address(value))
                config.add(key, value, f"environment {variable_of(key)}")
        return config

    @staticmethod
    def relative_to(root: Path, address: Address) -> str:
        """Return an address given from the current folder as one relative to ``root``."""
        from vexrepo.remotes.stores.address import Address

        if not address.is_path or os.path.isabs(address.location):
            return str(address)
        location = os.path.relpath(address.location, root).replace(os.sep, "/")
        return str(Address(address.kind, location, address.options))

    # -- repository --------------------------------------------------------------------------------------------

    def find(self) -> Path | None:
        """Return the nearest ``.vex`` folder, relative to the current folder; None if there is none."""
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / ".vex" / "format").exists():
                return Path(os.path.relpath(folder / ".vex", here))
        return None

    def no_repository(self, also: str = "") -> NoReturn:
        """Raise NoRepository."""
        raise NoRepository(
            f"no repository in {Path.cwd()} or above it; make one with `vex init --store STORE`{also}",
            code="no-repository",
        )

    def repository(self, *, signs: bool = False, trusts: bool = False, accept_rollback: bool = False) -> Repository:
        """Return the repository around the current folder.

        ``signs``: commits will be made; ``trusts``: signatures will be judged.  Raises: NoRepository, Tampered,
        UsageError (no-identity).
        """
        folder = self.find()
        if folder is None:
            self.no_repository()
        return self.open(folder, signs=signs, trusts=trusts, accept_rollback=accept_rollback)

    def open(
        self, folder: Path, *, signs: bool = False, trusts: bool = False, accept_rollback: bool = False
    ) -> Repository:
        """Return the repository whose ``.vex`` folder is ``folder``.  As ``repository`` otherwise."""
        from vexrepo.repository import Repository

        config = self.config(folder)
        self.check_verify(config)
        around = self.surroundings(config, signs=signs, trusts=trusts)
        repository = Repository.open(folder, around, accept_rollback=accept_rollback)
        repository.config = config
        self.watch(folder)
        return repository

    def surroundings(
        self, config: Config, *, signs: bool = False, trusts: bool = False, identity: Identity | None = None
    ) -> Surroundings:
        """Return what a repository needs from the process."""
        from vexrepo.repository import Surroundings, Trust

        if identity is None and signs and config["commit.sign"]:
            identity = self.signer(config["user.identity"])
        return Surroundings(
            now_us=self.now_us,
            author=config["user.name"] or self.login(),
            identity=identity,
            trust=self.trusted() if trusts else Trust(),
            state_folder=self.state_folder,
            progress=self.progress,
            environ=self.environ,
            checks=_make_checks(config),
            verify=self.verify,
            heard=_hear,
            equip=self.equip,
            keep_apart=self._keep_apart,
            resumes=not self.fresh,
            mixes_models=self.mixes_models,
            read_back=self._read_back(config),
        )

    def _read_back(self, config: Config) -> ReadBack:
        """Return what is read back of a store.  Raises: UsageError (bad-config)."""
        from vexrepo.repository.surroundings import READ_BACK

        said = self.read_back or config["store.read_back"]
        for each in READ_BACK:
            if said == each:
                return each
        raise UsageError(f"store.read_back is {said!r:.40}, expected one of {', '.join(READ_BACK)}", code="bad-config")

    def _keep_apart(self, error: Refused, event: Event, changes: Callable[[], Iterable[Change]]) -> None:
        """Keep what the gate refused in quarantine, where that was asked for."""
        if self.quarantine:
            from vexrepo.cli.admission import keep_changes

            keep_changes(self, error, event, changes())

    def check_verify(self, config: Config) -> None:
        """Raise Refused (no-verify-refused) where checks and hooks may not be passed by, and were asked to be."""
        if not self.verify and not config["hooks.allow_no_verify"]:
            raise Refused(
                "--no-verify is not allowed here: hooks.allow_no_verify is false "
                f"({config.origin('hooks.allow_no_verify')})",
                code="no-verify-refused",
            )

    def keys(self) -> KeyFolder:
        """Return the user's identities."""
        from vexrepo.storage.files import Files
        from vexrepo.storage.keys import KeyFolder

        return KeyFolder(self.home / "keys", Files(), self.passphrases().tries, self.warn)

    def signer(self, name: str) -> Identity:
        """Return one of the user's identities, to sign with; say so where its signatures would not count.

        Raises: UsageError (no-identity), InvalidData (key-unreadable), WrongKey (key-passphrase-wrong, no-passphrase).
        """
        from vexrepo.objects.signature import Verdict
        from vexrepo.objects.trust import SigningTime, Trust, judge

        identity = self.keys().read(name)
        with contextlib.suppress(VexError):  # what is wrong with the known keys is said where they are needed
            limits = {each.key: each for each in self.trust().read() if each.is_own}
            if identity.key in limits:
                now_us = self.now_us()
                judged = judge(identity.key, SigningTime(now_us, now_us), (), (), Trust(limits))
                if judged.verdict is not Verdict.GOOD:
                    self.warn(f"{judged.why}.  Sign with another: vex key new NAME, vex config set user.identity NAME")
        return identity

    def passphrases(self) -> KeyPassphrases:
        """Return where the passphrases of private keys come from."""
        from vexrepo.cli.passphrases import KeyPassphrases

        return KeyPassphrases(self.environ, self.terminal())

    def terminal(self) -> Terminal:
        """Return the terminal to ask on."""
        from vexrepo.cli.secrets import Terminal

        return Terminal(self.environ, self.progress.clear, is_silent=self.is_silent)

    def warn(self, message: str) -> None:
        """Say once on stderr what should be put right."""
        if message not in self._warned and not self.is_silent:
            self._warned.add(message)
            self.progress.clear()
            click.echo(f"note: {plain(message)}", err=True)

    def trust(self) -> TrustStore:
        """Return the known keys of other people."""
        from vexrepo.storage.files import Files
        from vexrepo.storage.trust import TrustStore

        return TrustStore(self.home / "trust.json", Files(), self.keys().public_keys(), self.warn)

    def trusted(self) -> Trust:
        """Return every public key that counts: the known ones with their limits, and the user's own."""
        from vexrepo.objects.trust import KnownKey, Trust

        own = {key: KnownKey(name, key, is_own=True) for key, name in self.keys().public_keys().items()}
        return Trust({**own, **{each.key: each for each in self.trust().read()}})

    # -- stores ------------------------------------------------------------------------------------------------

    def address(self, text: str) -> Address:
        """Return the store a user named on the command line, as ``named`` does, with what opens it (``equip``)."""
        return self.equip(self.named(text))

    @staticmethod
    def named(text: str) -> Address:
        """Return the store a user named; its path is relative to the current folder.

        Raises: UsageError (bad-address, unknown-store).
        """
        from vexrepo.remotes.stores.address import parse_address
        from vexrepo.remotes.stores.registry import connector

        address = parse_address(text)
        connector(address.kind)
        if address.is_path and address.location.startswith("~"):
            return replace(address, location=os.path.expanduser(address.location))
        return address

    def equip(self, address: Address) -> Address:
        """Return an address that can be asked for the secrets its connector needs, and lets its writers take turns.

        Raises: UsageError (bad-address) for one that is written into it, unknown-store.
        """
        from vexrepo.remotes.stores.registry import connector

        wanted = connector(address.kind).secrets
        if not address.is_path or wanted:
            from vexrepo.cli.store_secrets import equip

            address = equip(self, address, wanted)
        return replace(address, reach=replace(address.reach, turns=self.state_folder / "turns"))

    def place(self, text: str, repository: Repository | None) -> Address | None:
        """Return the store a text names, None if it can only be a revision."""
        from vexrepo.remotes.stores.address import parse_address

        if ":" in text.split("@{", 1)[0]:
            return self.address(text)
        try:
            parse_address(text)
        except UsageError:
            if not os.path.exists(text) or (repository is not None and _names_revision(repository, text)):
                return None
            raise
        if repository is not None and not os.path.exists(text) and _names_revision(repository, text):
            return None
        return self.address(text)

    def reads(self, address: Address) -> None:
        """Say, for where the command is interrupted, whether the reading of a store can go on."""
        from vexrepo.remotes.stores.registry import connector

        if connector(address.kind).resumes:
            self.unsure = (
                f"of {address}, every 10,000 memories that were read are kept: the same command goes on from there"
            )
        elif not address.is_path:
            self.unsure = f"{address} cannot be read on from where it stopped: the same command reads it anew"

    def writes(self, address: Address, again: str = "the same command again completes it") -> str:
        """Return, for where the command is interrupted, what is true of a store that it writes."""
        from vexrepo.remotes.stores.registry import connector

        if connector(address.kind).writes_whole:
            return f"{address} is as it was"
        return f"{address} may hold a part of what it was to get: {again}"

    # -- interruption ------------------------------------------------------------------------------------------

    def watch(self, folder: Path) -> None:
        """Remember where a repository stands, to tell after an interruption whether it moved."""
        try:
            self._pointer = (Path(os.path.abspath(folder)) / "operation", (folder / "operation").read_bytes())
        except OSError:
            self._pointer = None

    def interruption(self) -> str:
        """Return what is true after the user stopped the command."""
        self.progress.clear()
        moved = False
        if self._pointer is not None:
            path, before = self._pointer
            try:
                moved = path.read_bytes() != before
            except OSError:
                moved = True
        if moved:
            told = "interrupted after the repository was changed; `vex op log` shows how, `vex undo` takes it back"
            return told + (f"; {self.unsure_later}" if self.unsure_later else "")
        return "interrupted; nothing was committed" + (f"; {self.unsure}" if self.unsure else "")


def _make_checks(config: Config) -> MakeChecks:
    def make(event: str) -> list[Check]:
        from vexrepo.hooks.registry import make_checks

        return make_checks(event, config)

    return make


def _hear(passed: Passed) -> None:
    from vexrepo.cli.gate import say_passed

    say_passed(passed)


def _names_revision(repository: Repository, text: str) -> bool:
    try:
        repository.resolve(text)
    except UsageError:
        return False
    return True


pass_edge = click.make_pass_decorator(Edge)
