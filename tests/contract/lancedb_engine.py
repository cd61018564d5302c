"""LanceDB for tests: its package, and what that needs beside what is there, installed aside: it is large."""

import sys
from pathlib import Path

from tests.packages import installed

VERSION = "0.40.0"
_NEEDED = ("lance-namespace", "lance-namespace-urllib3-client", "deprecation", "overrides", "tqdm")


def package() -> Path:
    """Return a folder with the package."""
    return installed(f"lancedb-{VERSION}", f"lancedb=={VERSION}", *_NEEDED)


def install() -> None:
    """Make ``import lancedb`` work in this process."""
    folder = str(package())
    if folder not in sys.path:
        sys.path.append(folder)  # after what is installed: nothing there is replaced
