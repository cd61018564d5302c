"""Pulling: a fetch, and what the remote's branch has is merged into the current one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vexrepo.errors import UsageError
from vexrepo.history.policy import Policy
from vexrepo.objects.digest import CommitId
from vexrepo.repository import mergestate, merging
from vexrepo.repository.core import Core
from vexrepo.repository.fetching import Fetched, fetch
from vexrepo.repository.merging import MergeResult
from vexrepo.repository.remotes import Reach, Remote


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did.  ``name`` is what was merged, ``REMOTE/BRANCH``; ``result`` is as a merge gives it."""

    fetched: Fetched
    name: str
    theirs: CommitId
    result: MergeResult


def pull(
    repository: Core,
    remote: Remote,
    reach: Reach,
    branch: str | None = None,
    *,
    policy: Policy | None = None,
    message: str = "",
    allow_unrelated: bool = False,
    fast_forward: Literal["allowed", "only", "never"] = "allowed",
    keep_conflicts: bool = False,
) -> Pulled:
    """Fetch, and merge a branch of the remote (default: the one named as the current one) into the current branch.

    A branch without commits is put where the remote's is.  The workspace store is left as it is.
    Raises: as ``fetch`` and ``merge``; UsageError (unknown-revision) where the remote has no such branch.
    """
    mergestate.check_none(repository.folder)
    view = repository.view()
    if branch is None:
        if view.branch is None:
            raise UsageError(f"HEAD is on no branch: name the branch of {remote.name} to pull", code="bad-option")
        branch = view.branch
    fetched = fetch(repository, remote, reach)
    name = f"{remote.name}/{branch}"
    theirs = repository.view().tracking(remote.name).get(branch)
    if theirs is None:
        others = ", ".join(sorted(repository.view().tracking(remote.name))) or "none"
        raise UsageError(
            f"{remote.name} has no branch {branch} (it has: {others}); push yours with `vex push {remote.name}`, or "
            "name another",
            code="unknown-revision",
        )
    result = merge_fetched(
        repository,
        theirs,
        name,
        policy=policy,
        message=message,
        allow_unrelated=allow_unrelated,
        fast_forward=fast_forward,
        keep_conflicts=keep_conflicts,
    )
    return Pulled(fetched, name, theirs, result)


def merge_fetched(
    repository: Core, theirs: CommitId, name: str, *, policy: Policy | None = None, **options: Any
) -> MergeResult:
    """Merge what was fetched into the current branch; one without commits is put there.  Raises: as ``merge``."""
    begun = merging.begin(repository, theirs, name)
    return begun or merging.merge(repository, theirs, name, policy or Policy(), **options)
