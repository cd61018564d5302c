"""The original tool, installed once and shared by all test processes."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import node

HERE = Path(__file__).parent

Original = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def package(pytestconfig: pytest.Config) -> Path:
    """Where the original tool is installed."""
    modules = node.installed(pytestconfig.rootpath, "original", (HERE / "package.json").read_bytes())
    return modules / "@vektormemory" / "vex"


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
