"""What is remembered of remotes' branches when a remote gets another name or is forgotten."""

from __future__ import annotations

from vexrepo.repository.core import Core


def rename(repository: Core, old: str, new: str) -> None:
    """Keep what was seen of a remote under another name."""
    with repository.lock():
        view = repository.view()
        moved = view.with_tracking(old, {}).with_tracking(new, view.tracking(old))
        if moved != view:
            repository.record(moved, "remote", f"rename {old} to {new}")


def forget(repository: Core, remote: str) -> int:
    """Forget where a remote's branches were; return how many were known."""
    with repository.lock():
        view = repository.view()
        known = len(view.tracking(remote))
        if known:
            repository.record(view.with_tracking(remote, {}), "remote", f"remove {remote}")
        return known
