"""Where the story is shown: real commands run in this process, their output, and words in between."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

WIDTH = 100
INTERRUPTED = 130


class Failure(Exception):
    """Something did not go as the story says."""


class _Captured(io.TextIOWrapper):
    """A text stream into memory that passes for what it replaces."""

    def __init__(self, held: io.BytesIO, encoding: str, *, terminal: bool) -> None:
        super().__init__(held, encoding=encoding, errors="replace", newline="", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Stage:
    """Runs ``vex`` commands through the command line itself and shows them as typed.

    ``app`` is the whole command line, ``pausing`` whether to wait for the reader.
    """

    def __init__(self, app: click.Command, *, pausing: bool, color: bool | None) -> None:
        self._app = app
        self._pausing = pausing
        self._color = color
        self.commands: list[str] = []

    # -- words -------------------------------------------------------------------------------------------------

    def say(self, text: str = "", indent: str = "") -> None:
        """Print a paragraph, wrapped."""
        for line in textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent) or [""]:
            self._echo(line + "\n")

    def act(self, title: str) -> None:
        """Begin a part of the story."""
        self._echo("\n" + click.style(title, bold=True) + "\n")

    def tell(self, text: str) -> None:
        """Say what happens next, and give time to read it."""
        self._echo("\n")
        self.say(text)
        self._pause(len(text) / 50)

    def quote(self, line: str) -> None:
        """Print a line that stands out from the words around it."""
        self._echo("\n" if line == "" else f"  {line}\n")

    def _echo(self, text: str) -> None:
        click.echo(text, nl=False, color=self._color)

    def _pause(self, seconds: float) -> None:
        if self._pausing:
            time.sleep(min(max(seconds, 0.5), 2.5))

    # -- commands ----------------------------------------------------------------------------------------------

    def vex(self, line: str, *, code: int = 0) -> str:
        """Show a command as typed, run it, show what it prints and return that.

        Raises: Failure unless it ends with the exit code ``code``.
        """
        self.commands.append(line)
        self._echo("\n" + click.style(f"$ {line}", fg="cyan", bold=True) + "\n")
        self._pause(0.0)
        found, text = self._run(line)
        self._echo(text)
        if found:
            self._echo(click.style(f"(exit code {found})", dim=True) + "\n")
        if found != code:
            _fail(f"`{line}` ended with exit code {found}, expected {code}")
        self._pause(0.6 + 0.2 * text.count("\n"))
        return text

    def ask(self, line: str) -> Any:
        """Return what a command prints as JSON; nothing is shown."""
        code, text = self._run(line)
        if code:
            _fail(f"`{line}` ended with exit code {code}: {text.strip()}")
        try:
            return json.loads(text)
        except ValueError:
            _fail(f"`{line}` did not print JSON: {text[:200]!r}")

    def _run(self, line: str) -> tuple[int, str]:
        name, *arguments = shlex.split(line)
        held = io.BytesIO()
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        out = _Captured(held, encoding, terminal=sys.stdout.isatty())
        err = _Captured(held, encoding, terminal=False)  # no progress lines among the output
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            found = self._app.main(arguments, prog_name=name, standalone_mode=False)
        code = found if isinstance(found, int) else 0
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code, held.getvalue().decode(encoding, "replace")


def _fail(what: str) -> NoReturn:
    raise Failure(what)


def check(holds: bool, what: str) -> None:
    """Raise Failure, naming what was expected, unless it holds."""
    if not holds:
        _fail(f"expected {what}")


@contextlib.contextmanager
def inside(folder: Path, home: Path) -> Iterator[None]:
    """While entered, ``folder`` is the current folder and the user's own vex settings and keys are out of reach."""
    before = os.getcwd()
    kept = {name: value for name, value in os.environ.items() if name.startswith("VEX_") and name != "VEX_DEBUG"}
    for name in kept:
        del os.environ[name]
    os.environ["VEX_HOME"] = str(home)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop("VEX_HOME", None)
        os.environ.update(kept)


@contextlib.contextmanager
def flipped_byte(path: Path) -> Iterator[int]:
    """While entered, one byte in the middle of a file is another; yields its position."""
    at = path.stat().st_size // 2
    _flip(path, at)
    try:
        yield at
    finally:
        _flip(path, at)


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))
