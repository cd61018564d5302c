"""What is remembered of a remote when it gets another name or is forgotten: its branches, and which host it led to."""

from __future__ import annotations

from vexrepo.repository.core import Core


def rename(repository: Core, old: str, new: str) -> None:
    """Keep what is known of a remote under another name.  Raises: Locked."""
    from vexrepo.repository.remotes import Base

    with repository.lock():
        view = repository.view()
        moved = view.with_tracking(old, {}).with_tracking(new, view.tracking(old))
        if moved != view:
            repository.record(moved, "remote", f"rename {old} to {new}")
        base = Base.of(repository)
        base.memory.led_to(base.repository, new, base.memory.host_of(base.repository, old))
        base.memory.led_to(base.repository, old, None)


def forget(repository: Core, remote: str) -> int:
    """Forget where a remote's branches were and which host it led to; return how many branches were known.

    Another host may then go by that name.  Raises: Locked.
    """
    from vexrepo.repository.remotes import Base

    with repository.lock():
        view = repository.view()
        known = len(view.tracking(remote))
        if known:
            repository.record(view.with_tracking(remote, {}), "remote", f"remove {remote}")
        base = Base.of(repository)
        base.memory.led_to(base.repository, remote, None)
        return known
