"""Packages of npm that tests run against, installed once and shared by all test processes."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

IN_CI = bool(os.environ.get("CI"))  # read before a test hides it


def missing(why: str) -> NoReturn:
    """End the test: in CI what it runs against must be there."""
    if IN_CI:
        pytest.fail(f"{why}: in CI it must be there")
    pytest.skip(why)


def npm(folder: Path, *arguments: str) -> str:
    """Run npm in a folder and return what it prints."""
    program = shutil.which("npm")
    if program is None or shutil.which("node") is None:
        missing("node and npm are needed")
    try:
        ran = subprocess.run(
            [program, *arguments], cwd=folder, check=False, capture_output=True, text=True, timeout=280
        )
    except subprocess.TimeoutExpired:
        missing(f"npm {arguments[0]} took too long")
    if ran.returncode:
        missing(f"npm {arguments[0]} failed with {ran.returncode}")
    return ran.stdout


def installed(root: Path, name: str, wanted: bytes) -> Path:
    """Return the ``node_modules`` of a package.json: in a folder that git ignores, kept for later runs."""
    folder = root / ".pytest_cache" / name
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "installed.json"
    with FileLock(folder / "lock", timeout=300):
        if not done.exists() or done.read_bytes() != wanted:
            done.unlink(missing_ok=True)
            (folder / "package.json").write_bytes(wanted)
            npm(folder, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
            done.write_bytes(wanted)
    return folder / "node_modules"
