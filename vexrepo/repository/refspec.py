"""What a push is asked to do, as a user types it: ``main``, ``main:published``, ``v1.0``, ``:old``, ``+main``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vexrepo.errors import UsageError
from vexrepo.history.revision import check_ref_name
from vexrepo.objects.digest import CommitId
from vexrepo.repository.core import Core
from vexrepo.storage.oplog import BRANCHES, TAGS, View


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """What a ref of a remote (``heads/NAME`` or ``tags/NAME``) is to become: a commit, or None for nothing.

    ``force`` lets it leave commits behind that the remote has.
    """

    name: str
    commit: CommitId | None
    force: bool = False


def parse_refspecs(
    repository: Core,
    texts: Sequence[str] = (),
    *,
    all_branches: bool = False,
    tags: bool = False,
    delete: Sequence[str] = (),
    force: bool = False,
) -> list[RefUpdate]:
    """Return what a push is to do; with nothing named, the current branch is pushed under its own name.

    ``SRC:DST`` pushes a revision as another branch (or ``tags/NAME``), ``:DST`` removes one, a ``+`` before it is
    ``force`` for that one.
    Raises: UsageError (unknown-revision, unborn-branch, ref-name, bad-option).
    """
    view = repository.view()
    found: dict[str, RefUpdate] = {}

    def add(update: RefUpdate) -> None:
        if found.setdefault(update.name, update) != update:
            raise UsageError(f"{update.name} is to become two different things", code="bad-option")

    for text in texts:
        add(_parse(repository, view, text, force))
    for name in delete:
        add(RefUpdate(_target(view, name, None), None, force))
    for name, commit in view.own_refs.items():
        if (all_branches and name.startswith(BRANCHES)) or (tags and name.startswith(TAGS)):
            add(RefUpdate(name, commit, force))
    if not found and not (all_branches or tags):
        if view.branch is None:
            raise UsageError("HEAD is on no branch: name the branch to push, as in HEAD:NAME", code="bad-option")
        add(RefUpdate(view.head, repository.resolve("HEAD", view), force))
    return list(found.values())


def _parse(repository: Core, view: View, text: str, force: bool) -> RefUpdate:
    body = text.removeprefix("+")
    source, colon, target = body.partition(":")
    force = force or body != text
    if colon and not source:
        return RefUpdate(_target(view, target, None), None, force)
    if not source or (colon and not target):
        raise UsageError(f"{text!r} is no refspec: expected NAME, SOURCE:TARGET or :TARGET", code="bad-option")
    return RefUpdate(_target(view, target or source, source), repository.resolve(source, view), force)


def _target(view: View, name: str, source: str | None) -> str:
    """Return the full name of a ref at a remote; a short one is what the source is, or what is there here."""
    for prefix in (BRANCHES, TAGS):
        if name.startswith(prefix):
            return prefix + check_ref_name(name[len(prefix) :])
    if name in ("HEAD", "@") and source is not None and view.branch is not None:
        return view.head
    check_ref_name(name)
    for candidate in (name, source):
        if candidate is not None and BRANCHES + candidate not in view.refs and TAGS + candidate in view.refs:
            return TAGS + name
    return BRANCHES + name
