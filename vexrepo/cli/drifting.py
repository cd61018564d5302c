"""What ``vex status`` says of remotes that are stores: how far each has drifted, asked no longer than is said.

Files on this machine are looked at like the workspace is; servers only where that is asked for, as git asks no host for
its status.  A server that does not answer in time is told of, and nothing waits for it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from vexrepo.cli.output import quiet, removed, say
from vexrepo.cli.remotes import read_remotes
from vexrepo.cli.storing import as_store, change_words
from vexrepo.cli.text import memories, plain
from vexrepo.cli.tracking import Standing, standing_of_store
from vexrepo.errors import InvalidData, StoreError, UsageError, VexError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vexrepo.cli.surroundings import Edge
    from vexrepo.remotes.stores.base import Description
    from vexrepo.repository import Repository
    from vexrepo.repository.drift import Drift
    from vexrepo.repository.storerefs import StoreRemote
    from vexrepo.storage.oplog import View

MODES: Final = ("files", "all", "none")


@dataclass(frozen=True, slots=True)
class Looked:
    """A remote that is a store, with its ``drift``, an ``error``, or neither where it was not asked."""

    remote: StoreRemote
    standing: Standing | None
    drift: Drift | None = None
    error: VexError | None = None

    def to_json(self, repository: Repository) -> dict[str, Any]:
        """Return the JSON form."""
        standing, drift = self.standing, self.drift
        return {
            "remote": self.remote.name,
            "store": repository.store_name(self.remote.address),
            "commit": standing.commit.hex() if standing else None,
            "ahead": standing.ahead if standing else None,
            "behind": standing.behind if standing else None,
            "checked": drift is not None,
            "drift": {
                "learned": drift.learned,
                "changed": drift.changed,
                "forgotten": drift.forgotten,
                "edges": drift.edges,
            }
            if drift is not None and drift.seen is not None
            else None,
            "records": drift.count if drift is not None else None,
            "error": {"code": self.error.code, "message": str(self.error)} if self.error is not None else None,
        }


def look_at_stores(edge: Edge, repository: Repository, view: View, asked: bool | None) -> list[Looked]:
    """Look at the remotes that are stores; ``asked``: at all of them or at none, else as ``status.remotes`` says."""
    mode = repository.config["status.remotes"] if asked is None else "all" if asked else "none"
    if mode not in MODES:
        raise UsageError(f"status.remotes is {mode!r:.40}, expected one of {', '.join(MODES)}", code="bad-config")
    from vexrepo.repository.storerefs import StoreRemote

    found: list[Looked] = []
    probes: list[_Probe | None] = []
    limit_s = float(max(1, repository.config["status.timeout_s"]))
    for each in read_remotes(repository.config):
        if not each.store:
            continue
        standing = standing_of_store(repository, view, each.name)
        try:
            remote = as_store(repository, each)
        except UsageError as error:  # the connector of its kind is gone, say
            unknown = StoreRemote(each.name, repository.address(each.store), each.name)
            found.append(Looked(unknown, standing, None, error))
            probes.append(None)
            continue
        quick = replace(remote.address.reach, timeout_s=limit_s)
        remote = replace(remote, address=replace(remote.address, reach=quick))
        found.append(Looked(remote, standing))
        is_wanted = mode == "all" or (mode == "files" and remote.address.is_path)
        is_shown = repository.is_workspace(remote.address)  # above, as the workspace
        probes.append(_Probe(remote) if is_wanted and not is_shown else None)
    enough = time.monotonic() + limit_s + 1
    return [
        each if probe is None else _looked(repository, each, probe, max(0.0, enough - time.monotonic()), limit_s)
        for each, probe in zip(found, probes, strict=True)
    ]


class _Probe:
    """Asks a store what it is, beside everything else; a server that hangs is left behind."""

    def __init__(self, remote: StoreRemote) -> None:
        self._remote = remote
        self.found: Description | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._ask, name="vex-status", daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        from vexrepo.remotes.stores.registry import open_store

        try:
            with open_store(self._remote.address) as store:
                self.found = store.describe()
        except BaseException as error:  # told by the one who waits
            self.error = error


def _looked(repository: Repository, looked: Looked, probe: _Probe, left_s: float, limit_s: float) -> Looked:
    from vexrepo.repository.drift import drift_of

    probe.thread.join(left_s)
    if probe.thread.is_alive():
        why = f"{looked.remote.address} did not answer within {limit_s:g} s (status.timeout_s)"
        return replace(looked, error=StoreError(why, code="store-unreachable"))
    try:
        if probe.error is not None:
            raise probe.error
        assert probe.found is not None
        return replace(looked, drift=drift_of(repository, looked.remote, probe.found))
    except (StoreError, InvalidData, UsageError) as error:
        return replace(looked, error=error)


def say_stores(found: Iterable[Looked]) -> None:
    """Print a line for each."""
    for each in found:
        say(f"  {_words(each)}")


def _words(looked: Looked) -> str:
    name, drift, standing = plain(looked.remote.name), looked.drift, looked.standing
    words = standing.words() if standing is not None else f"{name}: never seen"
    if standing is None and looked.error is not None and looked.error.code == "store-missing":
        return f"{words}, and not there (vex push {name} makes it)"
    if looked.error is not None:
        return words + removed("; cannot be looked at: ") + f"{plain(str(looked.error))}  [{looked.error.code}]"
    if drift is None:
        return words + (quiet("  as last seen") if standing is not None else " (vex status --remotes looks)")
    if drift.seen is None:
        held = f", {memories(drift.count)} there" if drift.count is not None else ""
        return f"{name}: never seen{held} (vex fetch {name})"
    if drift.is_clean:
        return words
    changes = change_words(drift.learned, drift.changed, drift.forgotten, drift.edges)
    return f"{words}; {changes} there since it was last seen (vex pull {name})"
