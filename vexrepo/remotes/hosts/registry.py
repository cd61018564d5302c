"""Finds the host for an address: a plugin is imported only when an address of its kind is opened.

Built-in kinds are listed here; others come from the entry-point group ``vexrepo.hosts``, named by the scheme of their
addresses.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from vexrepo.errors import UsageError
from vexrepo.remotes.hosts.address import scheme_of
from vexrepo.remotes.hosts.base import Access, Host

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

_GIT = "vexrepo.remotes.hosts.git:GitHost"
BUILT_IN = {
    "https": _GIT,
    "http": _GIT,
    "ssh": _GIT,
    "git": _GIT,
    "file": "vexrepo.remotes.hosts.git_directory:DirectoryHost",
}


def schemes() -> list[str]:
    """Return the schemes of all addresses that can be opened, sorted."""
    return sorted({*BUILT_IN, *(point.name for point in _plugins())})


def _plugins() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group="vexrepo.hosts")


def connector(scheme: str) -> type[Host]:
    """Return the class of hosts with a scheme.  Raises: UsageError (bad-address)."""
    if scheme in BUILT_IN:
        module, _, name = BUILT_IN[scheme].partition(":")
        found: type[Host] = getattr(importlib.import_module(module), name)
        return found
    for point in _plugins():
        if point.name == scheme:
            loaded: type[Host] = point.load()
            return loaded
    near = difflib.get_close_matches(scheme, schemes(), n=1)
    raise UsageError(
        f"no way to hosts of kind {scheme!r}; known: {', '.join(schemes())}"
        + (f"; did you mean {near[0]}?" if near else ""),
        code="bad-address",
    )


def open_host(url: str, access: Access) -> Host:
    """Return the host at an address, open; nothing is asked of it yet.  Raises: UsageError (bad-address)."""
    return connector(scheme_of(url)).open(url, access)
