"""The frame of a page, and its file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from vexrepo import __version__
from vexrepo.cli.html.escape import visible
from vexrepo.cli.text import iso
from vexrepo.errors import UsageError
from vexrepo.storage.files import Files, wrapped

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_START = "<!doctype html>"


@cache
def _asset(name: str) -> str:
    return (resources.files("vexrepo.cli.html") / name).read_text("utf-8")


def page(title: str, body: Iterable[str], now_us: int) -> list[str]:
    """Return a page in pieces.  ``body`` is HTML; the title is text."""
    return [
        f'{_START}\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n',
        f'<meta name="generator" content="vexrepo {__version__}">\n',
        f'<link rel="icon" href="data:,">\n<title>{visible(title)}</title>\n',
        f"<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n",
        *body,
        f'<footer>Made by vex {__version__} on <time datetime="{iso(now_us)}">{iso(now_us)[:16].replace("T", " ")} UTC',
        "</time>. This page is complete in itself and asks nothing of the network.</footer>\n",
        f"<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n",
    ]


def check_target(path: Path) -> None:
    """Raise UsageError (bad-option) if a page must not be written there: over something that is not a page."""
    with wrapped("write", path):
        if not path.exists():
            return
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is not a file; name one for the page", code="bad-option")
        with path.open("rb") as file:
            start = file.read(len(_START))
    if start and start.lower() != _START.encode():
        raise UsageError(f"{path} exists and is not a page of HTML; name another file", code="bad-option")


def write_page(path: Path, pieces: Iterable[str]) -> int:
    """Replace a page's file, all of it or nothing; return its size in bytes.  Raises: UsageError, StorageFailure."""
    check_target(path)
    content = [piece.encode() for piece in pieces]
    target = Path(os.path.realpath(path))  # a link stays one
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    Files().write(target, content, mode=mode)
    return sum(map(len, content))
