"""What ``vex status`` asks of remotes while it looks at the workspace, and prints of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Self

from vexrepo.cli.output import say
from vexrepo.cli.remotes import read_remotes
from vexrepo.cli.tracking import standings
from vexrepo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vexrepo.cli.drifting import Asked, Looked
    from vexrepo.cli.surroundings import Edge
    from vexrepo.cli.tips import AskedHost
    from vexrepo.repository import Repository
    from vexrepo.storage.oplog import View

MODES: Final = ("reachable", "all", "files", "none")


class Lookout:
    """The remotes of a repository, asked from when it is made; used as a context manager, at whose end none is asked.

    ``asked``: all of them, and read to the end, or none; else as ``status.remotes`` says.
    Raises: UsageError (bad-config, bad-address).
    """

    def __init__(self, edge: Edge, repository: Repository, view: View, asked: bool | None) -> None:
        self._edge, self._repository = edge, repository
        mode = repository.config["status.remotes"] if asked is None else "all" if asked else "none"
        if mode not in MODES:
            raise UsageError(f"status.remotes is {mode!r:.40}, expected one of {', '.join(MODES)}", code="bad-config")
        remotes = read_remotes(repository.config)
        seen = {each.remote: each for each in standings(repository, view, view.branch)} if view.branch else {}
        self._hosts: list[AskedHost] = []
        self._stores: list[Asked] = []
        self._scratch = repository.folder / "tmp" / os.urandom(6).hex()
        if not remotes:
            return
        from vexrepo.cli.drifting import Limits, ask_store
        from vexrepo.cli.tips import ask_host

        whole_s = float(max(1, repository.config["status.timeout_s"]))
        limits = self._limits = Limits(whole_s, float(max(1, repository.config["status.connect_s"])), mode == "all")
        silent = edge.silently()
        try:
            for each in remotes:
                if each.store:
                    self._stores.append(ask_store(silent, repository, view, each, limits, self._scratch, mode))
                elif each.url:
                    standing = seen.get(each.name)
                    self._hosts.append(ask_host(silent, repository, view.branch, standing, each, limits, mode))
        except BaseException:
            self.end()
            raise

    def to_json(self) -> list[dict[str, Any]]:
        """Wait for all answers and return them as JSON."""
        return [
            *(each.result().to_json() for each in self._hosts),
            *(each.to_json(self._repository) for each in self._looked()),
        ]

    def say(self) -> None:
        """Print a line for each remote, in their order, as soon as it is known."""
        for host in self._hosts:
            if words := host.result().words():
                say(f"  {words}")
        for store in self._looked():
            say(f"  {store.words(self._limits)}")

    def _looked(self) -> Iterator[Looked]:
        for each in self._stores:
            yield each.result(self._edge.progress)

    def end(self) -> None:
        """Ask no more, and remove what was read."""
        for host in self._hosts:
            host.end()
        for store in self._stores:
            store.end()
        if self._scratch.exists():
            import shutil

            shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()
