"""What commands print with: lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from vexrepo.cli.text import plain_json


def say(line: str = "", *, err: bool = False) -> None:
    """Print a line; texts of memories in it must have gone through ``plain``."""
    ctx = click.get_current_context(silent=True)
    if ctx is not None and ctx.obj is not None:
        ctx.obj.progress.clear()
    click.echo(line, err=err)


class Json(str):
    """JSON text that is ready to be printed."""

    __slots__ = ()


def to_json(value: Any) -> str:
    """Return a value as one line of JSON that is harmless for a terminal."""
    return plain_json(json.dumps(value, ensure_ascii=False))


def emit(value: Any) -> None:
    """Print a value as one line of JSON."""
    _write(to_json(value) + "\n")


def emit_stream(head: dict[str, Any], name: str, items: Iterable[Any], tail: Iterator[dict[str, Any]]) -> None:
    """Print one JSON object whose list ``name`` is written item by item; ``tail`` gives members known at the end."""
    parts = [f"{to_json(key)}: {to_json(value)}" for key, value in head.items()]
    _write("{" + "".join(part + ", " for part in parts) + f"{to_json(name)}: [")
    separator = "\n"
    for item in items:
        _write(separator + (item if isinstance(item, Json) else to_json(item)))
        separator = ",\n"
    _write("]")
    for members in tail:
        _write("".join(f", {to_json(key)}: {to_json(value)}" for key, value in members.items()))
    _write("}\n")


def _write(text: str) -> None:
    # JSON is UTF-8 whatever the terminal's encoding.
    sys.stdout.flush()
    stream = sys.stdout.buffer
    stream.write(text.encode())
    if text.endswith("\n"):
        stream.flush()


def heading(text: str) -> str:
    """Return a text in the colour of ids."""
    return f"\x1b[33m{text}\x1b[0m"


def added(text: str) -> str:
    """Return a text in the colour of what is new."""
    return f"\x1b[32m{text}\x1b[0m"


def removed(text: str) -> str:
    """Return a text in the colour of what is gone."""
    return f"\x1b[31m{text}\x1b[0m"


def changed(text: str) -> str:
    """Return a text in the colour of what differs."""
    return f"\x1b[36m{text}\x1b[0m"


def quiet(text: str) -> str:
    """Return a text that stands back."""
    return f"\x1b[2m{text}\x1b[0m"
