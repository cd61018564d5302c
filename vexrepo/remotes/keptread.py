"""Reads that go on where an interrupted one stopped: what was taken in so far, kept in a folder beside a cursor.

For stores whose records come in an order that does not change, with a cursor into it (``Store.resumes``).  What is kept
is scratch: runs of new and changed records, which records of the base were seen, and a state that names them, written
after them.  It counts only against the same base, and only for the same store as it was: where that tells by a
fingerprint whether it changed, nothing else is asked; where it does not, its count has to be the same and the
interruption recent, and whoever reads is told.  Anything else is dropped, and the read begins anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from vexrepo.errors import InvalidData
from vexrepo.objects.digest import checksum
from vexrepo.objects.timestamp import format_time
from vexrepo.objects.vector import Space
from vexrepo.remotes.stores.address import Address
from vexrepo.remotes.stores.base import Cursor, Description
from vexrepo.storage.files import Files
from vexrepo.storage.spill import Run

STATE: Final = "state.json"
EVERY_RECORDS: Final = 10_000  # are lost at most
MATCHED_BYTES: Final = 16  # a row: a position in the base, and a place
_VERSION: Final = 1
_UNSURE_US: Final = 3_600 * 1_000_000  # how long what a store without a fingerprint held counts
_SURE_US: Final = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What a read has taken in up to a cursor."""

    cursor: Cursor
    runs: list[Run]
    matched: Path
    matched_count: int
    count: int
    problems: list[tuple[str, str]]
    begun_us: int


@dataclass
class KeptRead:
    """Where a read of a store is kept, in a folder below ``scratch``.

    ``base`` names what it is read against, ``skips`` says whether records that cannot be read are left out.
    ``resumed`` is what an earlier run had taken in, once ``begin`` found it good.  ``fresh`` begins anew.
    """

    scratch: Path
    store: str
    base: str
    skips: bool
    now_us: Callable[[], int]
    files: Files = field(default_factory=Files)
    fresh: bool = False
    resumed: Taken | None = None
    begun_us: int = 0
    _is: Description = field(default_factory=lambda: Description(None))

    @property
    def folder(self) -> Path:
        """The folder of this store."""
        return self.scratch / f"read-{checksum(self.store.encode()).hex()[:16]}"

    def begin(self, now: Description) -> Taken | None:
        """Return what an interrupted read of the same store had taken in, None to begin anew."""
        self._is, self.begun_us = now, self.now_us()
        if not self.fresh:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, InvalidData):
                self.resumed = self._read()
        if self.resumed is None:
            self.end()
        else:
            self.begun_us = self.resumed.begun_us
        self.files.make_folder(self.folder)
        return self.resumed

    @property
    def is_sure(self) -> bool:
        """Whether the store says itself that it did not change since the read began."""
        return self._is.fingerprint is not None

    def words(self, store: Address) -> str:
        """Return what a person should know of a read that goes on."""
        assert self.resumed is not None
        words = f"the read of {store} goes on after {self.resumed.count:,} memories that an interrupted one took in"
        if self.is_sure:
            return words
        return f"{words}; what changed among those since {format_time(self.begun_us)} is not seen: --fresh begins anew"

    def session(self) -> str:
        """Return a beginning of names that no file of an earlier run has."""
        return f"run-{os.urandom(4).hex()}"

    def note(self, taken: Taken) -> None:
        """Remember what was taken in: from here on the next run goes on from its cursor."""
        for path in (*(run.path for run in taken.runs), *([taken.matched] if taken.matched_count else [])):
            with open(path, "rb+") as file:
                self.files.sync(file, path)
        state = {
            "version": _VERSION,
            "terms": self._terms(),
            "begun_us": self.begun_us,
            "noted_us": self.now_us(),
            "cursor": list(taken.cursor),
            "runs": [
                {
                    "name": run.path.name,
                    "size": run.path.stat().st_size,
                    "spaces": [space.encode().decode() for space in run.spaces],
                    "sums": [run.records, run.body_bytes, run.vector_bytes],
                }
                for run in taken.runs
            ],
            "matched": [taken.matched.name, taken.matched_count],
            "count": taken.count,
            "problems": taken.problems,
        }
        self.files.write(self.folder / STATE, orjson.dumps(state))

    def done(self) -> None:
        """Forget the state: all was read, and what was read is used up by what follows."""
        self.files.remove(self.folder / STATE)

    def clear(self) -> None:
        """Remove what is of no use any more: everything, once all was read."""
        if not (self.folder / STATE).exists():
            self.end()

    def end(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _terms(self) -> dict[str, Any]:
        now = self._is
        return {
            "store": self.store,
            "base": self.base,
            "skips": self.skips,
            "count": now.count,
            "fingerprint": now.fingerprint,
        }

    def _read(self) -> Taken | None:
        state = orjson.loads((self.folder / STATE).read_bytes())
        age_us = self.now_us() - state["noted_us"]
        limit_us = _SURE_US if self.is_sure else _UNSURE_US
        if state["version"] != _VERSION or state["terms"] != self._terms() or not 0 <= age_us < limit_us:
            return None
        runs = [self._run(each) for each in state["runs"]]
        name, matched = state["matched"]
        path = self.folder / str(name)
        if any(run is None for run in runs) or (matched and path.stat().st_size < matched * MATCHED_BYTES):
            return None
        last, place = state["cursor"]
        problems = [(str(code), str(message)) for code, message in state["problems"]]
        kept = [run for run in runs if run is not None]
        return Taken(Cursor(str(last), int(place)), kept, path, matched, state["count"], problems, state["begun_us"])

    def _run(self, value: dict[str, Any]) -> Run | None:
        path = self.folder / str(value["name"])
        if path.parent != self.folder or path.stat().st_size != value["size"]:
            return None
        return Run(path, [Space.decode(each.encode()) for each in value["spaces"]], *value["sums"])
