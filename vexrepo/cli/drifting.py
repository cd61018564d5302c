"""What ``vex status`` says of remotes that are stores: how far each has drifted.

All are asked at once, each beside everything else (``storage.apart``), and no longer than is said: a server that does
not answer is told of, and so is one that answers and cannot be read in time.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vexrepo.cli.output import quiet, removed
from vexrepo.cli.storing import change_words
from vexrepo.cli.text import memories, plain
from vexrepo.cli.tracking import Standing, standing_of_store
from vexrepo.errors import Refused, StorageFailure, StoreError, Tampered, UsageError, VexError
from vexrepo.storage.apart import Fault, apart

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vexrepo.cli.remotes import Remote
    from vexrepo.cli.surroundings import Edge
    from vexrepo.remotes.stores.address import Address
    from vexrepo.repository import Repository
    from vexrepo.repository.drift import Drift
    from vexrepo.repository.storerefs import StoreRemote
    from vexrepo.storage.apart import Apart, Piece, Teller
    from vexrepo.storage.oplog import View

_MOST_PER_S = 200_000  # memories that no store gives faster: what holds more than can come in time is not begun
_STATES = {"store-unreachable": "unreachable", "store-refused": "refused", "store-missing": "missing"}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long is waited: ``whole_s`` for an answer, ``connect_s`` of it for the connection.

    ``waits``: what answers is read to its end.
    """

    whole_s: float
    connect_s: float
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """A remote that is a store, and what came of looking at it.

    ``drift`` is None where it was not read: ``is_slow`` (``count`` memories are there, where it said so), an ``error``,
    or not asked.
    """

    remote: StoreRemote
    standing: Standing | None
    drift: Drift | None = None
    count: int | None = None
    is_slow: bool = False
    error: VexError | None = None

    @property
    def state(self) -> str:
        """The state in one word, as ``--json`` has it."""
        if self.error is not None:
            return _STATES.get(self.error.code, "failed")
        if self.is_slow:
            return "slow"
        if self.drift is None:
            return "unasked"
        return "unseen" if self.drift.seen is None else "same" if self.drift.is_clean else "drifted"

    def to_json(self, repository: Repository) -> dict[str, Any]:
        """Return the JSON form."""
        standing, drift = self.standing, self.drift
        return {
            "remote": self.remote.name,
            "store": repository.store_name(self.remote.address),
            "state": self.state,
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
            "records": self.count,
            "error": {"code": self.error.code, "message": str(self.error)} if self.error is not None else None,
        }

    def words(self, limits: Limits) -> str:
        """Return a line for people."""
        name, drift, standing = plain(self.remote.name), self.drift, self.standing
        start = standing.words() if standing is not None else f"{name}: never seen"
        if self.error is not None:
            return self._trouble(name, start, self.error)
        if self.is_slow:
            held = f"{memories(self.count)} there, " if self.count is not None else ""
            return f"{start} as last seen; {held}more than {limits.whole_s:g} s to read: vex status --remotes waits"
        if drift is None:
            return start + (quiet("  as last seen") if standing is not None else " (vex status --remotes looks)")
        if drift.seen is None:
            held = f", {memories(drift.count)} there" if drift.count is not None else ""
            return f"{name}: never seen{held} (vex fetch {name})"
        if drift.is_clean:
            return start
        if drift.is_emptied:
            lost = removed(f"emptied: {memories(drift.forgotten)} that it was last seen to hold are gone")
            return f"{start}; {lost} (vex push {name} --force brings them back; vex pull {name} forgets them here, too)"
        changes = change_words(drift.learned, drift.changed, drift.forgotten, drift.edges)
        if drift.is_loss:
            return (
                f"{start}; {removed(changes)} there since it was last seen: most of it is gone (vex diff {name} "
                f"{plain(str(self.remote.address))} shows what; vex pull {name} forgets it here, too)"
            )
        return f"{start}; {changes} there since it was last seen (vex pull {name})"

    def _trouble(self, name: str, start: str, error: VexError) -> str:
        if self.state == "missing":
            if self.standing is None:
                return f"{start}, and not there (vex push {name} makes it)"
            return (
                f"{start} as last seen; " + removed("gone: it is not there any more") + f" ({plain(place_of(self))}; "
                f"vex push {name} --force makes it anew, vex remote set-url {name} STORE says where it is now)"
            )
        kept = f"{name}: " if self.standing is None or self.standing.is_same else f"{start} as last seen; "
        if self.state == "unreachable":
            return kept + removed("not reachable") + f" ({plain(place_of(self))})"
        return kept + removed("cannot be looked at: ") + f"{plain(str(error))}  [{error.code}]"


def fault_of(fault: Fault) -> VexError:
    """Return an error to be shown beside everything else for a fault of ours."""
    why = f"a fault in vexrepo itself ({fault}); please report it with the command you ran"
    return VexError(why, code="unexpected")


def place_of(looked: Looked) -> str:
    """Return where a store is, in few words: the server, or the path."""
    address = looked.remote.address
    if address.is_path:
        return address.location
    return address.location.removeprefix("//").partition("/")[0].rpartition("@")[2] or address.kind


class Asked:
    """A remote that is a store, asked beside everything else unless it is not to be."""

    def __init__(self, looked: Looked, work: Apart | None, limits: Limits, began: float) -> None:
        self._looked = looked
        self._work = work
        self._limits = limits
        self._until: float | None = began + limits.whole_s
        self._is_there = False

    def result(self, progress: Callable[[str, int, int | None], None]) -> Looked:
        """Wait, no longer than the limits say, and return what was found."""
        if self._work is None:
            return self._looked
        found, until = self._looked, self._until
        what = f"reading {plain(found.remote.name)}"
        try:
            while (piece := self._work.hear(until, lambda far: progress(what, *far) if far else None)) is not None:
                found = self._take(found, piece)
                if self._limits.waits:
                    until = None
        except TimeoutError:
            if not self._is_there:
                why = f"{found.remote.address} did not answer within {self._limits.whole_s:g} s (status.timeout_s)"
                return replace(found, error=StoreError(why, code="store-unreachable"))
            return replace(found, is_slow=True)
        except (Tampered, StorageFailure, Refused):  # of the repository: not to be passed over
            raise
        except VexError as error:
            return replace(found, error=error)
        except Fault as fault:
            return replace(found, error=fault_of(fault))
        finally:
            self._work.end()
        return found

    def _take(self, found: Looked, piece: Piece) -> Looked:
        from vexrepo.objects.digest import CommitId
        from vexrepo.repository.drift import Drift

        if piece[0] == "there":
            self._is_there = True
            return replace(found, count=piece[1])
        if piece[0] == "slow":
            return replace(found, is_slow=True)
        seen, *counts = piece[1:]
        drift = Drift(CommitId(seen) if seen else None, *counts)
        return replace(found, drift=drift, count=drift.count)

    def end(self) -> None:
        """Ask no more."""
        if self._work is not None:
            self._work.end()


def ask_store(
    edge: Edge, repository: Repository, view: View, remote: Remote, limits: Limits, scratch: Path, mode: str
) -> Asked:
    """Begin to look at a remote that is a store; ``edge`` is silent, ``scratch`` a folder that the caller removes."""
    from vexrepo.repository.storerefs import StoreRemote

    began = time.monotonic()
    address = repository.address(remote.store)
    store = StoreRemote(remote.name, address, remote.name)
    looked = Looked(store, standing_of_store(repository, view, remote.name))
    is_wanted = mode in ("reachable", "all") or (mode == "files" and address.is_path)
    if not is_wanted or repository.is_workspace(address):  # which is shown above
        return Asked(looked, None, limits, began)
    try:
        store = replace(store, address=edge.equip(address))
    except UsageError as error:  # the connector of its kind is gone, say
        return Asked(replace(looked, error=error), None, limits, began)
    longest_s = None if limits.waits else limits.whole_s
    work = apart(lambda teller: _look(repository, store, limits, scratch, teller), longest_s)
    return Asked(looked, work, limits, began)


def _look(repository: Repository, remote: StoreRemote, limits: Limits, scratch: Path, teller: Teller) -> None:
    """Tell how many memories a store holds, then how far it has drifted."""
    from vexrepo.remotes.stores.registry import open_store
    from vexrepo.repository.drift import drift_of

    if teller.is_alone:  # it may be killed: what it leaves is removed with the folder
        import tempfile

        with contextlib.suppress(OSError):
            scratch.mkdir(parents=True, exist_ok=True)
            tempfile.tempdir = str(scratch.absolute())
    quick = _within(remote.address, limits)
    with open_store(quick) as store:
        now = store.describe()
    teller.tell("there", now.count)
    # Of its own, since neither files nor what is kept of them are made to be used by two at once.
    mine = type(repository)(repository.folder, repository.around)
    mine.config, mine.scratch_folder = repository.config, scratch
    done = 0

    def advance(amount: int) -> None:
        nonlocal done
        done += amount
        if remote.address.is_path:  # some count bytes
            teller.murmur()
        else:
            teller.murmur(done, now.count)

    read = remote if limits.waits else replace(remote, address=quick)
    found = drift_of(mine, read, now, advance, most=None if limits.waits else int(limits.whole_s * _MOST_PER_S))
    if found is None:
        teller.tell("slow")
        return
    seen = bytes(found.seen) if found.seen is not None else None
    teller.tell("drift", seen, found.learned, found.changed, found.forgotten, found.edges, found.count)


def _within(address: Address, limits: Limits) -> Address:
    """Return an address whose server is not waited for: what does not answer in time, and at once, counts as away."""
    reach = replace(address.reach, timeout_s=limits.whole_s, connect_s=limits.connect_s, tries=1)
    return replace(address, reach=reach)
