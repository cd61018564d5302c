"""The original tool, installed once and shared by all test processes."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
IN_CI = bool(os.environ.get("CI"))  # read before a test hides it

Original = Callable[..., subprocess.CompletedProcess[str]]


def _missing(why: str) -> NoReturn:
    if IN_CI:
        pytest.fail(f"{why}: in CI the original tool must be there")
    pytest.skip(why)


@pytest.fixture(scope="session")
def package(pytestconfig: pytest.Config) -> Path:
    """Where the original tool is installed: a folder that git ignores, kept for later runs."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        _missing("node and npm are needed to run the original tool")
    folder = pytestconfig.rootpath / ".pytest_cache" / "original"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package.json").read_bytes()
    done = folder / "installed.json"
    with FileLock(folder / "lock", timeout=300):
        if not done.exists() or done.read_bytes() != wanted:
            done.unlink(missing_ok=True)
            (folder / "package.json").write_bytes(wanted)
            command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            try:
                ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=280)
            except subprocess.TimeoutExpired:
                _missing("npm install took too long")
            if ran.returncode:
                _missing(f"npm install failed with {ran.returncode}")
            done.write_bytes(wanted)
    return folder / "node_modules" / "@vektormemory" / "vex"


@pytest.fixture
def original(package: Path, tmp_path: Path) -> Original:
    """Run the original tool in the test's folder, without the user's settings: ``original("verify", FILE)``."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_COLOR": "1"}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["node", str(package / "vex.mjs"), *args],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    return run
