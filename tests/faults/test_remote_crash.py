"""Law 5 with a host: killed at any file operation of a push, fetch or clone, or out of space, nothing is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.remote_harness import TRIED

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and looks files up in /proc")


@pytest.mark.parametrize(("action", "mode"), TRIED)
def test_a_fault_at_any_file_operation_loses_nothing_here_or_at_the_host(
    action: str, mode: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.remote_harness", action, mode, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=115,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert not result["wrong"], "\n".join(result["wrong"][:20])
    assert result["operations"] >= 30, "the faults did not reach the file operations"
