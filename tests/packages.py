"""Packages of PyPI that tests run against, installed aside: heavy ones, and those that hold others back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from tests.node import missing

_ROOT = Path(__file__).resolve().parents[1]


def installed(name: str, *packages: str, unpack: Callable[[Path, Path], None] | None = None) -> Path:
    """Return the folder of packages, installed without what they depend on: once, and kept for later runs.

    ``unpack`` makes the folder (its second argument) of the one with the packages (its first), which is removed then.
    Ends the test where they cannot be installed.
    """
    folder = _ROOT / ".pytest_cache" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=300):
        if not folder.exists():
            fresh, made = Path(f"{folder}.new"), Path(f"{folder}.made")
            for each in (fresh, made):
                shutil.rmtree(each, ignore_errors=True)
            install = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(fresh)]
            command = [sys.executable, "-m", "pip", *install, *packages]
            ran = subprocess.run(command, check=False, capture_output=True, timeout=280)
            if ran.returncode:
                missing(f"pip install {' '.join(packages)} failed")
            if unpack is not None:
                made.mkdir()
                unpack(fresh, made)
                shutil.rmtree(fresh)
                fresh = made
            fresh.rename(folder)
    return folder
