"""Writers of one store take turns, as far as they are of one user on one machine.

Most stores have no transactions: what two programs write at the same moment is mixed.  A lock beside the user's other
state keeps two of ours apart; the next one then sees all that the former has written.  Of others nothing is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from vexrepo.errors import StoreError
from vexrepo.remotes.stores.address import Address

WAIT_S: Final = 10.0


def take_turn(address: Address) -> Callable[[], None]:
    """Wait until nobody else writes to a store, and return what lets the next one.

    Raises: StoreError (store-locked) after ``WAIT_S`` seconds.
    """
    folder = address.reach.turns
    if folder is None:
        return lambda: None
    from blake3 import blake3
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{blake3(_place(address).encode()).hexdigest(16)}.lock", timeout=WAIT_S)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StoreError(
            f"another vex is writing to {address} (waited {WAIT_S:g} s); nothing was written: run the command again "
            "when it has ended",
            code="store-locked",
        ) from None
    except OSError:  # a state folder that cannot be written to: everything else works, too
        return lambda: None
    return lock.release


def _place(address: Address) -> str:
    """Return what two addresses of one store have in common: not the user, not how a path is written."""
    location = address.location
    if address.is_path:
        location = os.path.realpath(location)
    else:
        host, slash, rest = location.removeprefix("//").partition("/")
        location = f"//{host.rpartition('@')[2].lower()}{slash}{rest}"
    return str(Address(address.kind, location, address.options))
