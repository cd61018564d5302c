"""What a command needs to talk to a remote's host: the way there, and the keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vexrepo.cli.output import say
from vexrepo.cli.remotes import check_no_secret
from vexrepo.cli.text import plain
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from vexrepo.cli.secrets import Secrets
    from vexrepo.config import Config
    from vexrepo.remotes.hosts.base import Access


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

    check_no_secret(config["http.proxy"])
    ca_file = config["http.ca_file"] or environ.get("GIT_SSL_CAINFO") or environ.get("SSL_CERT_FILE")
    if ca_file and not os.path.isfile(os.path.expanduser(ca_file)):
        raise UsageError(f"there is no file of certificates {ca_file} (http.ca_file)", code="bad-config")
    return Access(
        token=secrets.token,
        refused=secrets.refused,
        ssh_command=config["ssh.command"] or environ.get("GIT_SSH_COMMAND") or environ.get("GIT_SSH") or None,
        proxy=config["http.proxy"] or _proxy(url),
        ca_file=Path(os.path.expanduser(ca_file)) if ca_file else None,
        timeout_s=float(max(1, config["http.timeout_s"])),
        progress=progress,
        notice=lambda text: say(f"note: {plain(text)}", err=True),
    )


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment (or the system) has for an address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    from urllib.request import getproxies, proxy_bypass

    found = getproxies()
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return found.get(parts.scheme) or found.get("all")
