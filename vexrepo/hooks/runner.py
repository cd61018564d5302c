"""Running a hook: one program, one line on its standard input, a time limit, and a verdict.

The program gets a process group of its own, so that whatever it starts can be ended with it.  Contract:
hooks/CONTRACT.md, section 4.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

OUTPUT_BYTES: Final = 64 << 10  # kept of what a program writes: the first three quarters of that, and the last one
_LAST_BYTES: Final = OUTPUT_BYTES // 4
REASON_LINES: Final = 10
_ENDING_S: Final = 2.0  # for what is left in the pipe once the program has ended


@dataclass(frozen=True, slots=True)
class Ran:
    """How a hook ended: ``code`` is "" where it allowed, else why not (a code of ``errors.CODES``).

    ``dropped_bytes`` are missing in the middle of ``output``.
    """

    name: str
    code: str
    reason: str
    output: str
    dropped_bytes: int = 0

    @property
    def allows(self) -> bool:
        """Whether the hook allowed."""
        return not self.code


def environment_for(environ: Mapping[str, str], event: str) -> dict[str, str]:
    """Return the environment of a hook: the caller's without its secrets and settings, and the event's name."""
    kept = {name: value for name, value in environ.items() if not name.startswith("VEX_") or name == "VEX_HOME"}
    return {**kept, "VEX_EVENT": event}


def run_hook(program: Path, line: bytes, folder: Path, environ: Mapping[str, str], timeout_s: float) -> Ran:
    """Run a program to its end or its time limit and return what it said.

    It never raises for anything the program does: what cannot be run, is too slow or fails is a veto.
    """
    name = program.name if program.parent.suffix != ".d" else f"{program.parent.name}/{program.name}"
    if not program.is_file():
        return Ran(name, "hook-not-runnable", f"{program} is no file, or a link to none: remove it or mend it", "")
    if not os.access(program, os.X_OK):
        return Ran(name, "hook-not-runnable", f"{program} is not executable: chmod +x {program}", "")
    try:
        process = subprocess.Popen(
            [os.path.abspath(program)],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=os.name == "posix",
        )
    except OSError as error:
        why = error.strerror or str(error)
        return Ran(name, "hook-not-runnable", f"{program} cannot be started: {why}; does it begin with #! ?", "")
    assert process.stdin is not None and process.stdout is not None
    output = _Output(process.stdout)
    writer = threading.Thread(target=_feed, args=(process.stdin, line), daemon=True)
    writer.start()
    try:
        status: int | None = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        _end(process)
    text = output.text()
    if status is None:
        reason = f"it did not end within {timeout_s:g} s (hooks.timeout_s)"
        return Ran(name, "hook-timeout", reason, text, output.dropped)
    if status == 0:
        return Ran(name, "", "", text, output.dropped)
    said = "\n".join(text.strip().splitlines()[-REASON_LINES:])
    how = f"ended by signal {-status}" if status < 0 else f"exit code {status}"
    return Ran(name, "hook-veto", f"{said} ({how})" if said else how, text, output.dropped)


def _feed(pipe: IO[bytes], line: bytes) -> None:
    # A hook need not read what it is told.
    with contextlib.suppress(OSError, ValueError):
        pipe.write(line)
    with contextlib.suppress(OSError, ValueError):
        pipe.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and whatever it started that is still in its group."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


class _Output:
    """Keeps the first and the last part of what a program writes, and reads the rest away, so that it does not block.

    The last lines are those that say why.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._first = bytearray()
        self._last = bytearray()
        self.dropped = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while block := os.read(self._pipe.fileno(), 1 << 16):
                room = OUTPUT_BYTES - _LAST_BYTES - len(self._first)
                self._first += block[:room]
                self._last += block[room:]
                excess = max(0, len(self._last) - _LAST_BYTES)
                self.dropped += excess
                del self._last[:excess]

    def text(self) -> str:
        """Return what was written; called once the program has ended.

        A process that left the group may hold the pipe open; it is not waited for.
        """
        self._thread.join(_ENDING_S)
        if not self._thread.is_alive():
            self._pipe.close()
        gap = b"\n" if self.dropped else b""
        return bytes(self._first + gap + self._last).decode("utf-8", "replace")
