"""What a command needs to talk to a remote's host: the way there, the keys, and a place to remember what was seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vexrepo.cli.output import say
from vexrepo.cli.remotes import check_no_secret
from vexrepo.cli.text import plain
from vexrepo.errors import HostError, UsageError, VexError, WrongKey

if TYPE_CHECKING:
    from vexrepo.cli.remotes import Remote
    from vexrepo.cli.secrets import Secrets
    from vexrepo.cli.surroundings import Edge
    from vexrepo.config import Config
    from vexrepo.remotes.hosts.base import Access
    from vexrepo.remotes.hosts.vault import Vault
    from vexrepo.repository import Repository
    from vexrepo.repository.remotes import Reach
    from vexrepo.repository.remotes import Remote as Place
    from vexrepo.storage.keys import Identity, KeyFile, KeyFolder


NO_TOKEN = "Give a token as VEX_TOKEN, in the keyring, or by git's credential helper"


def secrets_of(edge: Edge, remote: Remote, root: Path) -> Secrets:
    """Return where the secrets of a remote come from; ``root`` is what relative paths in settings are relative to."""
    from vexrepo.cli.secrets import Secrets

    return Secrets(edge.environ, remote, root, edge.terminal())


def reach_to(
    edge: Edge,
    remote: Remote,
    repository: Repository | None,
    secrets: Secrets,
    *,
    identities: bool = True,
    recovery: Identity | None = None,
) -> Reach:
    """Return how to get to a remote's host and to open it: with the user's identities first, then a passphrase.

    A host that a push makes is opened by the passphrase and by the identity that signs here.  ``identities`` off leaves
    them out; ``recovery`` is tried in their place.
    """
    from vexrepo.remotes.hosts.header import Unlock
    from vexrepo.remotes.hosts.members import Recipient
    from vexrepo.repository.remotes import Reach

    config = repository.config if repository is not None else edge.config(None)
    keys, current = edge.keys(), config["user.identity"]
    opened = repository.around.identity if repository is not None else None
    if recovery is not None:
        # Its public half is known to those who share the remote and not to the host, which so cannot have made this.
        unlock = Unlock([recovery], secrets.passphrases, lambda key: True)
    else:
        unlock = Unlock(OwnIdentities(keys, current, opened) if identities else (), secrets.passphrases)
    own = [Recipient(self_name(edge, config), keys.look(current).key)] if current in keys.names() else []
    return Reach(
        access=access_to(remote.url, config, secrets, edge.environ, edge.progress),
        unlock=unlock,
        new_passphrase=secrets.new_passphrase,
        recipients=tuple(own),
    )


class OwnIdentities:
    """The user's identities, read when they are tried; of those that a passphrase seals, only the current one."""

    def __init__(self, keys: KeyFolder, current: str, opened: Identity | None) -> None:
        self._keys, self._current = keys, current
        self._read = [opened] if opened is not None else []
        self._left: list[KeyFile] | None = None

    def __iter__(self) -> Iterator[Identity]:
        yield from self._read
        if self._left is None:
            known = {each.key for each in self._read}
            looks = [look for name in self._keys.names() if (look := self._keys.look(name)).key not in known]
            wanted = [each for each in looks if not each.is_sealed or each.name == self._current]
            self._left = sorted(wanted, key=lambda each: (each.is_sealed, each.name != self._current, each.name))
        while self._left:
            # A remote's own passphrase may be at hand where that of a key is not.
            with suppress(WrongKey):
                self._read.append(self._keys.read(self._left.pop(0).name))
                yield self._read[-1]


@contextmanager
def visiting(
    edge: Edge,
    repository: Repository,
    remote: Remote,
    secrets: Secrets,
    *,
    identities: bool = True,
    recovery: Identity | None = None,
) -> Iterator[Vault]:
    """Open a remote's host, to look at who can open it or to change that.  Raises: HostError, WrongKey, Tampered."""
    from vexrepo.repository.hostcare import open_host

    reach = reach_to(edge, remote, repository, secrets, identities=identities, recovery=recovery)
    with way_out(remote), open_host(repository, as_place(remote), reach) as vault:
        yield vault
    secrets.accepted()


def as_place(remote: Remote) -> Place:
    """Return what a repository needs to know of a remote."""
    from vexrepo.repository.remotes import Remote as Place

    return Place(remote.name, remote.url)


def self_name(edge: Edge, config: Config) -> str:
    """Return the name by which others know this user on this machine: ``alice on laptop``."""
    import platform

    return f"{config['user.name'] or edge.login()} on {platform.node() or 'this machine'}"


def access_to(
    url: str,
    config: Config,
    secrets: Secrets,
    environ: Mapping[str, str],
    progress: Callable[[str, int, int | None], None],
) -> Access:
    """Return how to reach a host: the configuration before what git, curl and others read from the environment.

    Raises: UsageError (bad-address, bad-config).
    """
    from vexrepo.remotes.hosts.base import Access

    return Access(
        token=secrets.token,
        refused=secrets.refused,
        ssh_command=config["ssh.command"] or environ.get("GIT_SSH_COMMAND") or environ.get("GIT_SSH") or None,
        proxy=proxy_for(url, config),
        ca_file=ca_file_of(config, environ),
        timeout_s=float(max(1, config["http.timeout_s"])),
        progress=progress,
        notice=lambda text: say(f"note: {plain(text)}", err=True),
    )


def ca_file_of(config: Config, environ: Mapping[str, str]) -> Path | None:
    """Return the file of certificates to trust in place of the system's.  Raises: UsageError (bad-config)."""
    ca_file = config["http.ca_file"] or environ.get("GIT_SSL_CAINFO") or environ.get("SSL_CERT_FILE")
    if ca_file and not os.path.isfile(os.path.expanduser(ca_file)):
        raise UsageError(f"there is no file of certificates {ca_file} (http.ca_file)", code="bad-config")
    return Path(os.path.expanduser(ca_file)) if ca_file else None


def proxy_for(url: str, config: Config) -> str | None:
    """Return the proxy for an address: the configured one, else the environment's (or the system's).

    Raises: UsageError (bad-address).
    """
    check_no_secret(config["http.proxy"])
    if config["http.proxy"]:
        return str(config["http.proxy"])
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    from urllib.request import getproxies, proxy_bypass

    found = getproxies()
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return found.get(parts.scheme) or found.get("all")


def make_at_host(
    url: str, provider: str, access: Access, secrets: Secrets, *, web: str | None = None
) -> tuple[str, str]:
    """Make a host's repository if it is missing, private; return its address and in words what was found or done.

    ``url`` is a Git address, a folder, or PROVIDER:OWNER/NAME.  Warnings (it is public) go to stderr.
    Raises: HostError, StorageFailure, UsageError (bad-option) for a host that has no interface for that.
    """
    from vexrepo.remotes.hosts.address import parse_git_address, scheme_of

    if scheme_of(url) == "file" and not provider:
        from vexrepo.remotes.hosts.git_directory import DirectoryHost

        folder = Path(parse_git_address(url).path)
        if folder.is_dir() and any(folder.iterdir()):
            return url, f"{plain(url)} is there"
        DirectoryHost.create(folder)
        return url, f"made an empty bare repository in {plain(url)}"
    from vexrepo.remotes.hosts.forges.ensure import ensure_repository

    try:
        found = ensure_repository(url, access, provider=provider or None, web=web)
        if found is not None:
            found.check()
    except HostError as error:
        if error.code != "host-refused" or secrets.gave_token:
            raise
        raise HostError(f"{error}.  {NO_TOKEN}", code=error.code) from error
    if found is None:
        raise UsageError(
            f"{url} has no interface to make a repository with: make an empty one there by hand, or say whose "
            "interface it speaks with --provider",
            code="bad-option",
        )
    for warning in found.warnings:
        say(f"note: {plain(warning)}", err=True)
    is_address = "://" in url or "@" in url
    return (url if is_address else found.https_url), plain(found.words)


@contextmanager
def way_out(remote: Remote) -> Iterator[None]:
    """Say, where a host's repository is missing, how to make it."""
    try:
        yield
    except HostError as error:
        if error.code != "host-missing":
            raise
        raise HostError(f"{error}.  To make it: {_making(remote)}", code=error.code) from error


def _making(remote: Remote) -> str:
    """Return the command that makes a remote's repository: an account reached by ssh has no interface for that."""
    from vexrepo.remotes.hosts.address import parse_git_address, scheme_of
    from vexrepo.remotes.hosts.base import Access
    from vexrepo.remotes.hosts.forges.registry import find_forge

    if scheme_of(remote.url) == "ssh" and not remote.provider and find_forge(remote.url, Access()) is None:
        return f"there, git init --bare {parse_git_address(remote.url).path}"
    return f"vex push {remote.name} --create"


def warnings_of(remote: Remote, access: Access) -> tuple[str, ...]:
    """Return what a host tells that should worry: that others can see the repository."""
    if not remote.url.startswith(("https://", "http://")):
        return ()
    from vexrepo.remotes.hosts.forges.ensure import ensure_repository

    try:
        found = ensure_repository(remote.url, access, provider=remote.provider or None, create=False)
    except VexError:  # a host that does not tell
        return ()
    return found.warnings if found else ()
