"""What is to be moved between stores and files, and what was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vexrepo.exchange.projecting import Adapter
from vexrepo.objects.selection import Selection
from vexrepo.remotes.readback import Verified

Advance = Callable[[str, int, int | None], None]  # (what, done, total)


def silent(what: str, done: int, total: int | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to move and how.

    ``limit`` counts selected records, the newest first where the source can tell; with ``nearest`` it is those whose
    vectors are nearest, best first.  ``namespace`` is given to every record written.  ``complete`` fills in what a vmig
    line should have and the source does not say; ``link`` asks for the edges that the target's own tools build.
    ``adapter`` projects main vectors; with ``mix_models`` a store may come to hold embeddings of several models.
    """

    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    nearest: tuple[float, ...] | None = None
    namespace: str | None = None
    complete: bool = False
    link: bool = False
    skip_problems: bool = False
    check_sidecar: bool = True
    dry_run: bool = False
    adapter: Adapter | None = None
    mix_models: bool = False


@dataclass(slots=True)
class Transferred:
    """What was moved.  ``problems`` are (code, message) of records left out, of which ``skipped`` is the number."""

    source: str
    target: str
    read: int = 0
    selected: int = 0
    written: int = 0
    edges: int = 0
    skipped: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    models: dict[str, int] = field(default_factory=dict)
    dims: dict[int, int] = field(default_factory=dict)
    size_bytes: int | None = None
    notes: list[str] = field(default_factory=list)
    verified: Verified | None = None
    was_empty: bool = False  # the target, before
    fingerprint: str | None = None  # of the target, afterwards
