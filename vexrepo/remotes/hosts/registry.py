"""Finds the host for an address: a plugin is imported only when an address of its kind is opened.

Built-in kinds are listed here; others come from the entry-point group ``vexrepo.hosts``, named by the scheme of their
addresses.
"""

from __future__ import annotations

from vexrepo.remotes.hosts.address import scheme_of
from vexrepo.remotes.hosts.base import Access, Host
from vexrepo.remotes.plugins import Plugins

_GIT = "vexrepo.remotes.hosts.git:GitHost"
BUILT_IN = {
    "https": _GIT,
    "http": _GIT,
    "ssh": _GIT,
    "git": _GIT,
    "file": "vexrepo.remotes.hosts.git_directory:DirectoryHost",
}


_HOSTS = Plugins(BUILT_IN, "vexrepo.hosts", "no way to hosts of kind", "bad-address")


def schemes() -> list[str]:
    """Return the schemes of all addresses that can be opened, sorted."""
    return _HOSTS.names()


def connector(scheme: str) -> type[Host]:
    """Return the class of hosts with a scheme.  Raises: UsageError (bad-address)."""
    found: type[Host] = _HOSTS.find(scheme)
    return found


def open_host(url: str, access: Access) -> Host:
    """Return the host at an address, open; nothing is asked of it yet.  Raises: UsageError (bad-address)."""
    return connector(scheme_of(url)).open(url, access)
