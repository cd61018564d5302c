"""The gate at the repository's own events: what a commit, merge or checkout changes is shown to checks and hooks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vexrepo.errors import Refused
from vexrepo.history.diff import diff_trees
from vexrepo.history.walk import iter_records
from vexrepo.hooks.check import Change
from vexrepo.hooks.event import Event
from vexrepo.objects.snapshot import TreeRoot

if TYPE_CHECKING:
    from vexrepo.objects.digest import CommitId
    from vexrepo.repository.core import Core
    from vexrepo.repository.difference import Difference
    from vexrepo.storage.store import ObjectStore

UNVERIFIED = {"unverified": True}  # in the source of a commit that passed the checks and hooks by


def iter_changes(store: ObjectStore, old: TreeRoot | None, new: TreeRoot) -> Iterator[Change]:
    """Yield what changes from one tree (None: nothing) to another, in key order."""
    if old is None:
        for record in iter_records(store, new):
            yield Change(record.key, None, record)
        return
    for change in diff_trees(store, old, new):
        yield Change(change.key, change.old.record if change.old else None, change.new.record if change.new else None)


def as_changes(differences: Iterable[Difference]) -> Iterator[Change]:
    """Yield differences as the gate wants them."""
    for each in differences:
        yield Change(each.key, each.old.record if each.old else None, each.new.record if each.new else None)


def branch_event(
    repository: Core, name: str, source: Mapping[str, Any], total: int, signature: Mapping[str, Any] | None = None
) -> Event:
    """Return an event whose target is the current branch; ``source`` is that of a commit, of which it tells the text.

    What a commit calls ``store`` is the ``address`` of an event.
    """
    branch = repository.view().branch
    words = {key: value for key, value in source.items() if isinstance(value, str)}
    if "store" in words:
        store = words.pop("store")
        words["address"] = store if ":" in store else f"{words.get('kind', '')}:{store}"
    return Event(name, words, {"kind": "branch", "name": branch or "HEAD"}, branch, total, signature)


def pass_gate(
    repository: Core, event: Event, changes: Callable[[], Iterable[Change]], packs: Sequence[str] = ()
) -> None:
    """Show changes to those who may refuse them; ``packs`` are new ones that nothing refers to, removed on a veto.

    Raises: Vetoed.
    """
    gate = repository.gate()
    if not gate.is_watched(event.name):
        return
    with undo_on_refusal(repository, event, changes, packs):
        passed = gate.pass_through(event, changes)
    repository.around.heard(passed)


@contextlib.contextmanager
def undo_on_refusal(
    repository: Core, event: Event, changes: Callable[[], Iterable[Change]], packs: Sequence[str]
) -> Iterator[None]:
    """Remove new packs, that nothing refers to, where what is done inside fails; what was refused may be kept apart."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Refused):
            repository.around.keep_apart(error, event, changes)
        for name in packs:
            repository.files.remove(repository.objects.folder / name)
        repository.objects.refresh()
        raise


def tell(repository: Core, event: Event, changes: Callable[[], Iterable[Change]]) -> None:
    """Tell the hooks of a post- event.  The caller holds no lock, so that they may use the repository."""
    gate = repository.gate()
    if gate.is_watched(event.name):
        repository.around.heard(gate.tell(event, changes))


def tell_of_commit(repository: Core, commit: CommitId) -> None:
    """Tell the hooks of ``post-commit`` of a commit that was made."""
    if not repository.gate().is_watched("post-commit"):
        return
    made = repository.commit_at(commit)
    old = repository.records_root(made.parents[0]) if made.parents else None
    new = repository.records_root(commit)
    assert new is not None
    event = branch_event(repository, "post-commit", {**made.source, "commit": commit.hex()}, new.count)
    tell(repository, event, lambda: iter_changes(repository.objects, old, new))
