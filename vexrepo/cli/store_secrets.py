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
from vexrepo.remotes.stores.flags import KINDS, parse_server_url

if TYPE_CHECKING:
    from vexrepo.cli.surroundings import Edge
    from vexrepo.remotes.stores.address import Address, Reach

_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_SECRET_OPTIONS = ("token", "password", "passwd", "api_key", "api-key", "apikey", "secret")


def equip(edge: Edge, address: Address, wanted: Mapping[str, str]) -> Address:
    """Return an address that can be asked for each wanted secret and says how servers are reached.

    Each secret is asked of the user once at most.  Raises: UsageError (bad-address) for one that is in the address.
    """
    options, secrets = dict(address.options), dict(address.secrets)
    known = KINDS.get(address.kind)
    variables = known.secrets if known is not None else {}
    written = next((name for name in _SECRET_OPTIONS if name in options), None)
    if written is not None:
        where = " or ".join(name for names in variables.values() for name in names) or "VEX_TOKEN"
        raise UsageError(
            f"a {written} does not belong in a store address; give it in the environment as {where}", code="bad-address"
        )
    special: dict[str, Callable[[], str]] = {}
    if address.kind == "vex-backup":
        special = {"token": partial(_token, edge, address.location), "machine_id": _machine}
    for name in wanted:
        if name in options:
            # Half of what a backup's key is made of: not shown wherever the address is.
            secrets[name] = partial(str, options.pop(name))
        elif name in special:
            secrets.setdefault(name, cache(special[name]))
        else:
            secrets.setdefault(name, cache(partial(_variable, edge, address, name)))
    reach = address.reach if address.is_path else _reach(edge)
    return replace(address, options=options, secrets=secrets, reach=reach)


def _variable(edge: Edge, address: Address, name: str) -> str:
    """Return a secret that the environment holds, "" for none: by itself, or in the URL of this very store."""
    known = KINDS.get(address.kind)
    if known is None:
        return ""
    for variable in known.secrets.get(name, ()):
        if edge.environ.get(variable):
            return edge.environ[variable].rstrip("\r\n")
    if name == "password":
        for variable in known.environment.get("location", ()):
            url = edge.environ.get(variable)
            if url:
                with suppress(UsageError):
                    found = parse_server_url(url, variable)
                    if found.location == address.location:
                        return found.password
    return ""


def _reach(edge: Edge) -> Reach:
    """Return how servers are reached, from the configuration and the environment."""
    from vexrepo.cli.hosting import ca_file_of, proxy_for
    from vexrepo.remotes.stores.address import Reach

    config = edge.config(edge.find())
    return Reach(
        proxy=partial(proxy_for, config=config),
        ca_file=ca_file_of(config, edge.environ),
        timeout_s=float(max(1, config["http.timeout_s"])),
        concurrency=max(1, edge.concurrency or config["http.concurrency"]),
        notice=edge.warn,
        progress=edge.progress if edge.progress.is_shown else None,
    )


def _token(edge: Edge, location: str) -> str:
    """Return an access token.  Raises: WrongKey (no-token) where there is none and nobody to ask."""
    from vexrepo.cli.text import plain

    given = edge.environ.get("VEX_TOKEN")
    if given:
        return given.rstrip("\r\n")
    terminal = edge.terminal()
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
