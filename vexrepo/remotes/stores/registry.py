"""Finds the connector for an address: a plugin is imported only when it is named.

Built-in connectors are listed here; others come from the entry-point group ``vexrepo.stores``.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from vexrepo.errors import StoreError, UsageError
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Store

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

BUILT_IN = {
    "jsonl": "vexrepo.remotes.stores.jsonl:JsonlStore",
    "vektor": "vexrepo.remotes.stores.vektor:VektorStore",
    "vex-backup": "vexrepo.remotes.stores.vex_backup:BackupStore",
}


def kinds() -> list[str]:
    """Return the names of all kinds of store that can be opened, sorted."""
    return sorted({*BUILT_IN, *(point.name for point in _plugins())})


def _plugins() -> EntryPoints:
    from importlib.metadata import entry_points  # a tenth of the time that `vex log` takes

    return entry_points(group="vexrepo.stores")


def connector(kind: str) -> type[Store]:
    """Return the connector class for a kind of store.  Raises: UsageError (unknown-store)."""
    if kind in BUILT_IN:
        module, _, name = BUILT_IN[kind].partition(":")
        found: type[Store] = getattr(importlib.import_module(module), name)
        return found
    for point in _plugins():
        if point.name == kind:
            loaded: type[Store] = point.load()
            return loaded
    near = difflib.get_close_matches(kind, kinds(), n=1)
    raise UsageError(
        f"no connector for stores of kind {kind!r}; known: {', '.join(kinds())}"
        + (f"; did you mean {near[0]}?" if near else ""),
        code="unknown-store",
    )


def open_store(address: Address, *, create: bool = False) -> Store:
    """Return the store at ``address``, open; with ``create``, to be written to.  Raises: UsageError, StoreError."""
    found = connector(address.kind)
    if create and not found.writable:
        raise StoreError(f"{address} can only be read; name another target", code="store-read-only")
    return found.open(address, create=create)
