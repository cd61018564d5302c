"""How a branch stands to what remotes were last seen to hold; nothing here asks a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vexrepo.cli.text import plain
from vexrepo.storage.oplog import BRANCHES, REMOTES

if TYPE_CHECKING:
    from vexrepo.objects.digest import CommitId
    from vexrepo.repository import Repository
    from vexrepo.storage.oplog import View


HEAD = "HEAD"  # under which the one state of a store is tracked


@dataclass(frozen=True, slots=True)
class Standing:
    """A branch beside the one of the same name at a remote: commits only here, commits only there."""

    remote: str
    branch: str
    commit: CommitId  # at the remote
    ahead: int
    behind: int

    @property
    def is_same(self) -> bool:
        """Whether both have the same commits."""
        return not (self.ahead or self.behind)

    def words(self) -> str:
        """Return ``backup: 2 to push, 1 to pull``."""
        parts = [f"{self.ahead:,} to push"] if self.ahead else []
        parts += [f"{self.behind:,} to pull"] if self.behind else []
        return f"{plain(self.remote)}: {', '.join(parts) or 'the same'}"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "remote": self.remote,
            "branch": self.branch,
            "commit": self.commit.hex(),
            "ahead": self.ahead,
            "behind": self.behind,
        }


def remotes_seen(view: View) -> list[str]:
    """Return the names of the remotes of which something was seen, sorted."""
    return sorted({name[len(REMOTES) :].partition("/")[0] for name in view.refs if name.startswith(REMOTES)})


def standing_of_store(repository: Repository, view: View, name: str) -> Standing | None:
    """Return how HEAD stands to what the store at a remote was last seen to hold, None where either has no commit."""
    theirs = view.refs.get(f"{REMOTES}{name}/{HEAD}")
    if theirs is None or view.commit is None:
        return None
    return Standing(name, HEAD, theirs, *repository.ahead_behind(view.commit, theirs))


def standings(repository: Repository, view: View, branch: str) -> list[Standing]:
    """Return how a branch stands to each remote that has it."""
    ours = view.refs.get(BRANCHES + branch)
    found = []
    for remote in remotes_seen(view):
        theirs = view.refs.get(f"{REMOTES}{remote}/{branch}")
        if ours is not None and theirs is not None:
            found.append(Standing(remote, branch, theirs, *repository.ahead_behind(ours, theirs)))
    return found
