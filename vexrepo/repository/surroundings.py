"""What a repository needs from the process around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from vexrepo.objects.trust import Trust
from vexrepo.storage.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vexrepo.errors import Refused
    from vexrepo.hooks.check import Change
    from vexrepo.hooks.event import Event
    from vexrepo.hooks.gate import MakeChecks, Passed
    from vexrepo.remotes.stores.address import Address
    from vexrepo.storage.keys import Identity


ReadBack: TypeAlias = Literal["auto", "all", "sample"]
READ_BACK: Final[tuple[ReadBack, ...]] = ("auto", "all", "sample")


def _no_progress(what: str, done: int, total: int | None) -> None:
    pass


@dataclass(frozen=True)
class Surroundings:
    """What a repository needs from the process around it.

    ``now_us`` is the clock (microseconds since 1970), ``identity`` signs commits (None: unsigned),
    ``trust`` says whose signatures count, ``state_folder`` is where the last seen operation of each repository
    is remembered (None: not), ``progress`` is told (what, done, total) on long work; ``what`` ends
    in " bytes" where the amounts are bytes.  ``environ`` is what hooks see of the environment, ``checks`` makes the
    built-in checks of an event, ``heard`` is told what checks and hooks said; without ``verify`` neither are asked.
    ``keep_apart`` is given what the gate refused before it is gone.  ``equip`` gives the workspace's address what opens
    the store.  Without ``resumes``, a read that was interrupted begins anew; with ``mixes_models`` a store may come to
    hold embeddings of other models than it did.  ``read_back`` is what is read again of a store that others may have
    written into while it was written: all that it holds, its count and a sample of what was written, or what
    ``lookback`` finds right.
    """

    now_us: Callable[[], int]
    author: str = "unknown"
    identity: Identity | None = None
    trust: Trust = field(default_factory=Trust)
    state_folder: Path | None = None
    files: Files = field(default_factory=Files)
    progress: Callable[[str, int, int | None], None] = _no_progress
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    checks: MakeChecks = lambda event: ()
    verify: bool = True
    heard: Callable[[Passed], None] = lambda passed: None
    keep_apart: Callable[[Refused, Event, Callable[[], Iterable[Change]]], None] = lambda error, event, changes: None
    equip: Callable[[Address], Address] = lambda address: address
    resumes: bool = True
    mixes_models: bool = False
    read_back: ReadBack = "auto"
