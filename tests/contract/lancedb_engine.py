"""LanceDB for tests: its package, and what that needs beside what is there, installed aside: it is large."""

import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests.node import missing

VERSION = "0.40.0"
_PACKAGES = (
    f"lancedb=={VERSION}",
    "lance-namespace",
    "lance-namespace-urllib3-client",
    "deprecation",
    "overrides",
    "tqdm",
)
_ROOT = Path(__file__).resolve().parents[2]


def install() -> None:
    """Make ``import lancedb`` work in this process."""
    folder = _ROOT / ".pytest_cache" / f"lancedb-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=400):
        if not folder.exists():
            fresh = Path(f"{folder}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
            ran = subprocess.run(
                [*command, "--target", str(fresh), *_PACKAGES], check=False, capture_output=True, timeout=380
            )
            if ran.returncode:
                missing(f"pip install lancedb=={VERSION} failed")
            fresh.rename(folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # after what is installed: nothing there is replaced
