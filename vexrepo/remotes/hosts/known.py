"""What well-known hosts take.  Where each number comes from: remotes/HOSTS.md."""

from __future__ import annotations

from typing import Final

from vexrepo.remotes.hosts.base import Limits

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30

LIMITS: Final = {
    "github.com": Limits(file_bytes=100 * _MIB, push_bytes=2 * _GIB),
    "gitlab.com": Limits(file_bytes=100 * _MIB, push_bytes=5_000_000_000),
}


def limits_of(host: str) -> Limits:
    """Return the limits of the host of a name; none for hosts that are not known."""
    return LIMITS.get(host.lower().removeprefix("ssh."), Limits())
