"""The hooks of a repository: programs in ``.vex/hooks`` that a person put there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vexrepo.errors import StateError, UsageError
from vexrepo.hooks.event import EVENTS, check_event
from vexrepo.storage.files import Files, wrapped

OFF: Final = ".off"
MAX_PROGRAM_BYTES: Final = 16 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Hook:
    """A program for an event.  ``name`` is the event, or ``EVENT.d/NAME``; one that is off is not run."""

    event: str
    name: str
    path: Path
    is_on: bool

    @property
    def is_runnable(self) -> bool:
        """Whether there is a file that may be executed."""
        return self.path.is_file() and os.access(self.path, os.X_OK)


class HookFolder:
    """The programs below a folder, by event: ``EVENT`` itself first, then those of ``EVENT.d`` by name."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self._files = files

    def hooks(self, event: str) -> list[Hook]:
        """Return all programs of an event in the order they run, those that are off included.

        A link to what is gone is one of them, and so is a folder in the place of a program: they refuse, where nothing
        would let everything in.
        """
        found = [
            Hook(event, event, path, not path.name.endswith(OFF))
            for path in (self.folder / event, self.folder / (event + OFF))
            if os.path.lexists(path)
        ]
        below = self.folder / f"{event}.d"
        for path in sorted(below.iterdir()) if below.is_dir() else ():
            # Editors leave backups and hidden files beside what they edit.
            if not path.is_dir() and _NAME.fullmatch(path.name) and not path.name.endswith("~"):
                name = path.name.removesuffix(OFF)
                found.append(Hook(event, f"{event}.d/{name}", path, path.name == name))
        return found

    def all(self) -> list[Hook]:
        """Return the programs of all events."""
        return [hook for event in EVENTS for hook in self.hooks(event)]

    def never_run(self) -> list[str]:
        """Return what is named like no event, as one that is misspelled: programs, and folders that end with ``.d``."""
        known = {name for event in EVENTS for name in (event, event + OFF, f"{event}.d")}
        found = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [
            path.name
            for path in found
            if path.name not in known
            and _NAME.fullmatch(path.name)
            and (path.name.endswith(".d") if path.is_dir() else os.access(path, os.X_OK))
        ]

    def find(self, name: str) -> Hook:
        """Return a program by its name.  Raises: UsageError (unknown-hook)."""
        for hook in self.all():
            if hook.name == name:
                return hook
        known = ", ".join(hook.name for hook in self.all()) or "none"
        raise UsageError(f"there is no hook {name!r} (installed: {known})", code="unknown-hook")

    def add(self, event: str, program: Path, name: str | None = None) -> Hook:
        """Copy a program in, executable, as ``EVENT.d/NAME`` (default: the file's own name).

        Raises: UsageError (unknown-event, bad-option), StateError (hook-exists), StorageFailure.
        """
        check_event(event)
        name = name or program.name
        if not _NAME.fullmatch(name) or name.endswith(OFF):
            raise UsageError(
                f"{name!r} cannot be the name of a hook: letters, digits, '.', '_' and '-' only, and not {OFF} at the "
                "end; choose one with --name",
                code="bad-option",
            )
        if not program.is_file():
            raise UsageError(f"there is no file {program}", code="bad-option")
        target = self.folder / f"{event}.d" / name
        if any(hook.name == f"{event}.d/{name}" for hook in self.hooks(event)):
            raise StateError(
                f"a hook {event}.d/{name} is installed already; remove it first, or choose another --name",
                code="hook-exists",
            )
        with wrapped("read", program), open(program, "rb") as file:
            content = file.read(MAX_PROGRAM_BYTES + 1)
        if len(content) > MAX_PROGRAM_BYTES:
            raise UsageError(f"{program} is larger than {MAX_PROGRAM_BYTES} bytes, so no hook", code="bad-option")
        self._files.make_folder(target.parent)
        self._files.write(target, content, mode=0o755)
        return Hook(event, f"{event}.d/{name}", target, True)

    def remove(self, name: str) -> Hook:
        """Remove a program.  Raises: UsageError (unknown-hook)."""
        hook = self.find(name)
        self._files.remove(hook.path)
        return hook

    def turn(self, name: str, *, on: bool) -> Hook:
        """Turn a program on or off, and return it as it is then.  Raises: UsageError (unknown-hook)."""
        hook = self.find(name)
        if hook.is_on == on:
            return hook
        bare = hook.path.name.removesuffix(OFF)
        target = hook.path.with_name(bare if on else bare + OFF)
        self._files.replace(hook.path, target)
        return Hook(hook.event, hook.name, target, on)
