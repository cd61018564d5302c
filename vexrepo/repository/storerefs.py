"""Stores as remotes: what a store was last seen to hold is a commit, named ``remotes/NAME/HEAD`` in the view.

A store has no branches: it holds one state.  The ref says which commit that was when the repository last wrote or read
the whole store, and moves with what is noted of the store (``View.stores``), in the same operation.  A store that is
no configured remote is tracked under a name made from its address, so that what was fetched from it has a name, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vexrepo.objects.digest import CommitId, checksum
from vexrepo.remotes.stores.address import Address
from vexrepo.storage.oplog import REMOTES, View

if TYPE_CHECKING:
    from vexrepo.repository.core import Core

HEAD: Final = "HEAD"  # no branch can be called that, and git gives it to what a remote stands at


@dataclass(frozen=True, slots=True)
class StoreRemote:
    """A store under a name; ``label`` is what a user types for it: the name, or the address where it has none."""

    name: str
    address: Address
    label: str

    @property
    def ref(self) -> str:
        """The full name of the tracking ref."""
        return ref_of(self.name)


def ref_of(name: str) -> str:
    """Return the full name of the ref that says what the store of a name was last seen to hold."""
    return f"{REMOTES}{name}/{HEAD}"


def name_for(store_name: str) -> str:
    """Return the name under which a store is tracked that is no configured remote."""
    return f"store-{checksum(store_name.encode()).hex()[:8]}"


def configured(repository: Core) -> dict[str, str]:
    """Return the name of the store at each configured remote that is one, by the remote's name."""
    config = repository.config
    texts = {name: config[f"remote.{name}.store"] for name in config.names("remote")}
    return {name: repository.store_name(repository.address(text)) for name, text in texts.items() if text}


def tracking_name(repository: Core, store_name: str) -> str:
    """Return the name under which a store is tracked, or would be."""
    return next((name for name, each in configured(repository).items() if each == store_name), name_for(store_name))


def last_seen(repository: Core, view: View, remote: StoreRemote) -> CommitId | None:
    """Return the commit a store was last seen to hold, None where it was never seen (or gc has removed that)."""
    noted = view.stores.get(repository.store_name(remote.address), {}).get("commit")
    commit = CommitId.parse(noted) if noted else view.refs.get(remote.ref)
    return commit if commit is not None and commit in repository.objects else None


def with_seen(
    repository: Core,
    view: View,
    store_name: str,
    commit: CommitId | None,
    fingerprint: str | None,
    remote: str | None = None,
) -> View:
    """Return the view with what was seen at a store, and the refs that track it (also under ``remote``) moved along."""
    after = view.with_store(store_name, {"commit": commit.hex() if commit else None, "fingerprint": fingerprint})
    if commit is None:
        return after
    names = {name for name, each in configured(repository).items() if each == store_name}
    if remote is not None:
        names.add(remote)
    elif ref_of(name_for(store_name)) in view.refs:
        names.add(name_for(store_name))
    for name in names:
        after = after.with_ref(ref_of(name), commit)
    return after


def track(repository: Core, remote: StoreRemote) -> CommitId | None:
    """Give a store's last seen state the name of a new remote, in place of the one made from its address.

    Return the commit, None where the store was never seen.  Raises: Locked.
    """
    with repository.lock():
        view = repository.view()
        commit = last_seen(repository, view, remote)
        nameless = ref_of(name_for(repository.store_name(remote.address)))
        after = view if commit is None else view.with_ref(nameless, None).with_ref(remote.ref, commit)
        if after != view:
            repository.record(after, "remote", f"add {remote.name}")
        return commit
