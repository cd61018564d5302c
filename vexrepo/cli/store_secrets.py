"""What opens stores, asked for when it is needed: from the environment, the terminal, this machine."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from vexrepo.errors import UsageError, WrongKey

if TYPE_CHECKING:
    from vexrepo.cli.surroundings import Edge
    from vexrepo.remotes.stores.address import Address

_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def equip(edge: Edge, address: Address, wanted: Mapping[str, str]) -> Address:
    """Return an address that can be asked for each wanted secret; each is asked of the user once at most.

    Raises: UsageError (bad-address) for a token in the address.
    """
    options, secrets = dict(address.options), dict(address.secrets)
    if "token" in options:
        raise UsageError(
            "a token does not belong in a store address; give it in the environment as VEX_TOKEN", code="bad-address"
        )
    sources: dict[str, Callable[[], str]] = {"token": partial(_token, edge, address.location), "machine_id": _machine}
    for name in wanted:
        if name in options:
            # Half of what a backup's key is made of: not shown wherever the address is.
            secrets[name] = partial(str, options.pop(name))
        elif name not in secrets and name in sources:
            secrets[name] = cache(sources[name])
    return replace(address, options=options, secrets=secrets)


def _token(edge: Edge, location: str) -> str:
    """Return an access token.  Raises: WrongKey (no-token) where there is none and nobody to ask."""
    from vexrepo.cli.secrets import Terminal
    from vexrepo.cli.text import plain

    given = edge.environ.get("VEX_TOKEN")
    if given:
        return given.rstrip("\r\n")
    terminal = Terminal(edge.environ, edge.progress.clear)
    if terminal.can_ask:
        found = terminal.ask_secret(f"Access token that {plain(location)} was pushed with")
        if found:
            return found
    raise WrongKey(
        f"{location} needs the access token it was pushed with: set VEX_TOKEN (the host need not take it any more)",
        code="no-token",
    )


def _machine() -> str:
    """Return this machine's id as the original tool makes it.  Raises: WrongKey (no-token) where it has none."""
    if sys.platform == "darwin":
        return f"darwin:{socket.gethostname()}"
    if sys.platform == "win32":
        import getpass

        return f"win32:{socket.gethostname()}:{getpass.getuser()}"
    for path in _MACHINE_ID_FILES:
        with suppress(OSError):
            text = Path(path).read_text("ascii", "replace").strip()
            if text:
                return f"linux:{text}"
    raise WrongKey(
        f"this machine has no {_MACHINE_ID_FILES[0]}: name the machine that pushed with --machine-id", code="no-token"
    )
